/* The manager's clock. */
#include "broker/shell/clock.h"

#include "common/base/panic.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_ms(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);
    STEWARD_ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

uint64_t clock_boot_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

uint64_t clock_boot_ns(void)
{
    struct timespec now;
    int rc = clock_gettime(CLOCK_BOOTTIME, &now);
    STEWARD_ASSERT(rc == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void clock_start(struct clock *clock, uint64_t wall_ms, uint64_t boot_ms)
{
    *clock = (struct clock){.wall_start_ms = wall_ms, .boot_start_ms = boot_ms, .now_ms = wall_ms};
}

uint64_t clock_advance(struct clock *clock, uint64_t boot_ms, uint64_t *progress_ms)
{
    uint64_t since = boot_ms > clock->boot_start_ms ? boot_ms - clock->boot_start_ms : 0;
    uint64_t now_ms = clock->wall_start_ms + since;
    if (now_ms < clock->now_ms) {
        now_ms = clock->now_ms;
    }
    if (progress_ms) {
        *progress_ms = now_ms - clock->now_ms;
    }
    clock->now_ms = now_ms;
    return now_ms;
}

void clock_forward(struct clock *clock, uint64_t at_least_ms)
{
    if (at_least_ms > clock->now_ms) {
        clock->wall_start_ms += at_least_ms - clock->now_ms;
        clock->now_ms = at_least_ms;
    }
}
