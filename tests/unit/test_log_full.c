/* The log when nobody reads it: lines are dropped and counted, and the caller goes on. */
#include "broker/shell/log.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

static size_t drain(int descriptor, char *out, size_t size)
{
    ssize_t got = read(descriptor, out, size - 1);
    ck_assert_int_gt(got, 0);
    out[got] = '\0';
    return (size_t)got;
}

START_TEST(a_reader_that_stopped_stops_nobody)
{
    static struct log log;
    static char text[1024 * 1024];
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0); /* blocking, as a service manager's is */
    log_init(&log, ends[1], LEVEL_INFO);
    char value[1001];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 200; i++) {
        log_event(&log, LEVEL_ERROR, "full", "k", value);
    }
    uint64_t dropped = log.dropped;
    ck_assert_uint_gt(dropped, 100);
    size_t size = drain(ends[0], text, sizeof text);
    ck_assert_int_eq(text[size - 1], '\n'); /* whole lines */
    log_event(&log, LEVEL_ERROR, "again", NULL, NULL);
    drain(ends[0], text, sizeof text);
    const char *told = strstr(text, "event=again dropped=");
    ck_assert_ptr_nonnull(told);
    ck_assert_uint_eq(strtoull(strchr(told, ' ') + 9, NULL, 10), dropped);
    ck_assert_uint_eq(log.dropped, 0);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log full");
    TCase *cases = tcase_create("log full");
    tcase_add_test(cases, a_reader_that_stopped_stops_nobody);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
