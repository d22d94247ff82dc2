/*
 * The manager's clock: the wall clock of the start plus what CLOCK_BOOTTIME went on since. So it
 * never goes back, does not follow corrections of the wall clock, and counts
 * a suspended host's time.
 */
#ifndef BROKER_SHELL_CLOCK_H
#define BROKER_SHELL_CLOCK_H

#include <stdint.h>

struct clock {
    uint64_t wall_start_ms; /* CLOCK_REALTIME at start */
    uint64_t boot_start_ms; /* CLOCK_BOOTTIME at start */
    uint64_t now_ms;        /* the last reading given out */
};

/* Starts at these readings of the two system clocks. */
void clock_start(struct clock *clock, uint64_t wall_ms, uint64_t boot_ms);

/*
 * The manager's time at a reading of CLOCK_BOOTTIME, and the progress since the last one in
 * *progress_ms (may be NULL). A reading that is less than an earlier one counts as no progress.
 */
uint64_t clock_advance(struct clock *clock, uint64_t boot_ms, uint64_t *progress_ms);

/* Makes it at_least_ms now if it is less, and goes on from there. */
void clock_forward(struct clock *clock, uint64_t at_least_ms);

/* Readings of the system's clocks. */
uint64_t clock_wall_ms(void);
uint64_t clock_boot_ms(void);
uint64_t clock_boot_ns(void);

#endif
