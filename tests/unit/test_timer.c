/* The heap of deadlines: order of firing, ties, moving, disarming. */
#include "tests/unit/core_fixture.h"

#include "broker/core/timer.h"

#define TIMERS 500

START_TEST(fires_in_order_with_ties_by_arming)
{
    static struct timer timers[TIMERS];
    struct timers heap = {0};
    uint32_t random = 7;
    memset(timers, 0, sizeof timers);
    for (int round = 0; round < 4000; round++) {
        random = random * 1664525u + 1013904223u;
        struct timer *timer = &timers[(random >> 8) % TIMERS];
        if (random % 4 == 0) {
            timer_disarm(&heap, timer);
            ck_assert(!timer_armed(timer));
        } else {
            timer_arm(&heap, timer, (random >> 20) % 40);
            ck_assert(timer_armed(timer));
        }
        timers_check(&heap);
    }
    uint64_t due = 0;
    uint64_t number = 0;
    struct timer *first;
    while ((first = timers_first(&heap)) != NULL) {
        ck_assert(first->due_ms > due || (first->due_ms == due && first->number >= number));
        due = first->due_ms;
        number = first->number;
        timer_disarm(&heap, first);
        timers_check(&heap);
    }
    ck_assert_uint_eq(heap.count, 0);
    timers_fini(&heap);
}
END_TEST

START_TEST(rearm_keeps_the_number)
{
    struct timers heap = {0};
    struct timer a = {0};
    struct timer b = {0};
    timer_arm(&heap, &a, 10);
    timer_arm(&heap, &b, 10);
    ck_assert_ptr_eq(timers_first(&heap), &a);
    timer_arm(&heap, &a, 10); /* armed again: behind */
    ck_assert_ptr_eq(timers_first(&heap), &b);
    timer_rearm(&heap, &a, 10, 0);
    ck_assert_ptr_eq(timers_first(&heap), &a);
    timer_disarm(&heap, &a);
    timer_disarm(&heap, &a); /* twice does nothing */
    ck_assert_uint_eq(heap.count, 1);
    timers_fini(&heap);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {fires_in_order_with_ties_by_arming, rearm_keeps_the_number};
    return fixture_run("timer", tests, sizeof tests / sizeof *tests);
}
