/* The manager's clock: starts at the wall clock, follows boot time, never goes back. */
#include "broker/shell/clock.h"

#include <check.h>

START_TEST(time_is_the_start_plus_progress)
{
    struct clock clock;
    clock_start(&clock, 1000000, 500);
    ck_assert_uint_eq(clock.now_ms, 1000000);
    ck_assert_uint_eq(clock_advance(&clock, 500, NULL), 1000000);
    ck_assert_uint_eq(clock_advance(&clock, 750, NULL), 1000250);
    ck_assert_uint_eq(clock.now_ms, 1000250);
}
END_TEST

START_TEST(progress_is_since_the_last_reading)
{
    struct clock clock;
    uint64_t progress_ms = 99;
    clock_start(&clock, 1000000, 500);
    clock_advance(&clock, 500, &progress_ms);
    ck_assert_uint_eq(progress_ms, 0);
    clock_advance(&clock, 700, &progress_ms);
    ck_assert_uint_eq(progress_ms, 200);
    clock_advance(&clock, 5700, &progress_ms);
    ck_assert_uint_eq(progress_ms, 5000);
}
END_TEST

START_TEST(time_never_goes_back)
{
    struct clock clock;
    uint64_t progress_ms = 99;
    clock_start(&clock, 1000000, 500);
    clock_advance(&clock, 900, NULL);
    ck_assert_uint_eq(clock_advance(&clock, 600, &progress_ms), 1000400);
    ck_assert_uint_eq(progress_ms, 0);
    ck_assert_uint_eq(clock_advance(&clock, 100, &progress_ms), 1000400);
    ck_assert_uint_eq(clock_advance(&clock, 901, &progress_ms), 1000401);
    ck_assert_uint_eq(progress_ms, 1);
}
END_TEST

START_TEST(it_goes_on_from_what_was_kept)
{
    struct clock clock;
    uint64_t progress_ms = 99;
    clock_start(&clock, 1000000, 500);
    clock_forward(&clock, 999999);
    ck_assert_uint_eq(clock.now_ms, 1000000);
    clock_forward(&clock, 3000000);
    ck_assert_uint_eq(clock.now_ms, 3000000);
    ck_assert_uint_eq(clock_advance(&clock, 510, &progress_ms), 3000010);
    ck_assert_uint_eq(progress_ms, 10); /* a step of the clock is no time that passed */
}
END_TEST

START_TEST(system_clocks_are_read_in_milliseconds)
{
    ck_assert_uint_gt(clock_wall_ms(), 1600000000000ULL);
    ck_assert_uint_lt(clock_wall_ms(), 16000000000000ULL);
    uint64_t before_ms = clock_boot_ms();
    ck_assert_uint_ge(clock_boot_ms(), before_ms);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("clock");
    TCase *tcase = tcase_create("clock");
    tcase_add_test(tcase, time_is_the_start_plus_progress);
    tcase_add_test(tcase, progress_is_since_the_last_reading);
    tcase_add_test(tcase, time_never_goes_back);
    tcase_add_test(tcase, it_goes_on_from_what_was_kept);
    tcase_add_test(tcase, system_clocks_are_read_in_milliseconds);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
