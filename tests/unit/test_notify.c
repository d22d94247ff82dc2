/* What a service manager is told, read from a socket of the test's own. */
#include "broker/shell/notify.h"

#include <check.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[64];
static char path[96];
static int manager = -1; /* the service manager's end */
static char told[1024];

static void setup(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(directory, sizeof directory, "/tmp/test_notify_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/notify", directory);
    memcpy(address.sun_path, path, strlen(path) + 1);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_int_eq(bind(manager, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void teardown(void)
{
    close(manager);
    unlink(path);
    rmdir(directory);
}

/* The next message; "" when there is none. */
static const char *next(void)
{
    ssize_t size = recv(manager, told, sizeof told - 1, 0);
    told[size > 0 ? size : 0] = '\0';
    return told;
}

static void watchdog(const char *microseconds, long pid)
{
    char text[32];
    snprintf(text, sizeof text, "%ld", pid);
    setenv("WATCHDOG_USEC", microseconds, 1);
    setenv("WATCHDOG_PID", text, 1);
}

START_TEST(it_says_ready_status_and_stopping)
{
    notify_ready("serving on tcp://127.0.0.1:5757");
    ck_assert_str_eq(next(), "READY=1\nSTATUS=serving on tcp://127.0.0.1:5757");
    notify_status("draining");
    ck_assert_str_eq(next(), "STATUS=draining");
    notify_stopping("asked to");
    ck_assert_str_eq(next(), "STOPPING=1\nSTATUS=asked to");
    ck_assert_str_eq(next(), "");
}
END_TEST

START_TEST(a_status_cannot_say_more_than_a_status)
{
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    notify_status("one\nMAINPID=1");
    ck_assert_str_eq(next(), "STATUS=one");
    notify_ready(long_text);
    ck_assert_uint_eq(strspn(next() + strlen("READY=1\nSTATUS="), "x"),
                      511 - strlen("READY=1\nSTATUS="));
}
END_TEST

START_TEST(without_a_socket_nothing_happens)
{
    struct notify notify;
    unsetenv("NOTIFY_SOCKET");
    notify_init(&notify);
    notify_ready("ready");
    notify_starting(&notify, 1000, "reading");
    notify_alive(&notify, 2000);
    notify_stopping("leaving");
    ck_assert_str_eq(next(), "");
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    notify_ready("ready"); /* lost in silence */
}
END_TEST

START_TEST(more_time_to_start_is_asked_for_once_a_second)
{
    struct notify notify;
    notify_init(&notify);
    notify_starting(&notify, 50000, "reading 1 of 9");
    ck_assert_str_eq(next(), "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=reading 1 of 9");
    notify_starting(&notify, 50999, "reading 2 of 9");
    ck_assert_str_eq(next(), "");
    notify_starting(&notify, 51000, "reading 3 of 9");
    ck_assert_str_eq(next(), "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=reading 3 of 9");
}
END_TEST

START_TEST(it_is_alive_twice_as_often_as_asked_for)
{
    struct notify notify;
    watchdog("2000000", (long)getpid());
    notify_init(&notify);
    ck_assert_uint_eq(notify.alive_every_ms, 1000);
    notify_alive(&notify, 5000);
    ck_assert_str_eq(next(), "WATCHDOG=1");
    notify_alive(&notify, 5999);
    ck_assert_str_eq(next(), "");
    notify_alive(&notify, 6000);
    ck_assert_str_eq(next(), "WATCHDOG=1");
}
END_TEST

START_TEST(a_watchdog_of_another_process_or_none_is_not_fed)
{
    struct notify notify;
    notify_init(&notify);
    notify_alive(&notify, 5000);
    ck_assert_str_eq(next(), "");
    watchdog("2000000", (long)getppid());
    notify_init(&notify);
    notify_alive(&notify, 5000);
    ck_assert_str_eq(next(), "");
    watchdog("1", (long)getpid());
    notify_init(&notify);
    ck_assert_uint_eq(notify.alive_every_ms, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("notify");
    TCase *tcase = tcase_create("notify");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, it_says_ready_status_and_stopping);
    tcase_add_test(tcase, a_status_cannot_say_more_than_a_status);
    tcase_add_test(tcase, without_a_socket_nothing_happens);
    tcase_add_test(tcase, more_time_to_start_is_asked_for_once_a_second);
    tcase_add_test(tcase, it_is_alive_twice_as_often_as_asked_for);
    tcase_add_test(tcase, a_watchdog_of_another_process_or_none_is_not_fed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
