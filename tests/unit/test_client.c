/* libsteward through its public header, against the real gateway and core in a thread. */
#include "tests/unit/manager_thread.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <steward.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct manager_thread *manager;
static stw_client *client;

static void setup(void)
{
    manager = manager_thread_new();
    ck_assert_int_eq(stw_open(&client, manager_thread_endpoint(manager), NULL), STW_OK);
}

static void teardown(void)
{
    stw_close(&client);
    manager_thread_free(manager);
}

#define OK(call)     ck_assert_msg((call) == STW_OK, #call ": %s", stw_last_error(client))
#define IS(call, it) ck_assert_int_eq(call, it)

static void put(const char *queue, const char *text)
{
    OK(stw_put(client, queue, text, strlen(text), -1));
}

static stw_message *get(const char *queue)
{
    stw_message *message;
    OK(stw_get(client, queue, 5000, &message));
    return message;
}

static bool holds(const stw_message *message, const char *text)
{
    return stw_message_size(message) == strlen(text) &&
           memcmp(stw_message_data(message), text, strlen(text)) == 0;
}

START_TEST(put_get_ack)
{
    put("letters", "A");
    stw_message *message = get("letters");
    ck_assert(holds(message, "A"));
    ck_assert_str_eq(stw_message_queue(message), "letters");
    ck_assert_uint_eq(stw_message_deliveries(message), 1);
    ck_assert_int_gt(stw_message_lease_left(message), 1000);
    OK(stw_renew(message, 60000));
    ck_assert_int_gt(stw_message_lease_left(message), 31000);
    OK(stw_nack(&message, 0, "not yet"));
    ck_assert_ptr_null(message);
    message = get("letters");
    ck_assert_uint_eq(stw_message_deliveries(message), 2);
    ck_assert_str_eq(stw_message_header(message, "last_failure"), "not yet");
    OK(stw_task_done(&message));
    IS(stw_get(client, "letters", 0, &message), STW_EEMPTY);
    IS(stw_get(client, "letters", 20, &message), STW_ETIMEOUT);
}
END_TEST

START_TEST(bodies_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 255, 256, 257, 16383, 16384, 65535, 65536, 1048576};
    char *body = malloc(1048577);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(body, (int)('a' + i), sizes[i]);
        OK(stw_put(client, "sizes", body, sizes[i], -1));
        stw_message *message = get("sizes");
        ck_assert_uint_eq(stw_message_size(message), sizes[i]);
        ck_assert(sizes[i] == 0 || memcmp(stw_message_data(message), body, sizes[i]) == 0);
        OK(stw_ack(&message));
    }
    IS(stw_put(client, "sizes", body, 1048577, -1), STW_ETOOBIG);
    ck_assert_ptr_nonnull(strstr(stw_last_error(client), "1048577"));
    free(body);
}
END_TEST

START_TEST(many_with_options)
{
    stw_header header = {"colour", "red"};
    stw_put_options options;
    stw_put_options_init(&options);
    options.headers = &header;
    options.headers_count = 1;
    options.priority = 9;
    stw_item items[2] = {{"1", 1}, {"2", 1}};
    OK(stw_put_many(client, "many", items, 2, &options, NULL));
    const char *queues[2] = {"none", "many"};
    stw_message *messages[4];
    size_t count;
    OK(stw_get_many(client, queues, 2, NULL, messages, 4, &count));
    ck_assert_uint_eq(count, 2);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(stw_message_header(messages[i], "colour"), "red");
        ck_assert_uint_eq(stw_message_priority(messages[i]), 9);
        OK(stw_ack(&messages[i]));
    }
    options.dedup_id = "once";
    options.dedup_id_size = 4;
    bool duplicate = true;
    OK(stw_put_many(client, "many", items, 1, &options, &duplicate));
    ck_assert(!duplicate);
    OK(stw_put_many(client, "many", items, 1, &options, &duplicate));
    ck_assert(duplicate);
}
END_TEST

START_TEST(wrong_arguments)
{
    stw_message *message;
    IS(stw_put(client, "", "x", 1, -1), STW_EINVAL);
    IS(stw_put(client, "a\nb", "x", 1, -1), STW_EINVAL);
    IS(stw_put(client, "q", NULL, 1, -1), STW_EINVAL);
    IS(stw_put(NULL, "q", "x", 1, -1), STW_EINVAL);
    IS(stw_get(client, NULL, 0, &message), STW_EINVAL);
    IS(stw_put_many(client, "q", NULL, 1, NULL, NULL), STW_EINVAL);
    stw_client *none;
    IS(stw_open(&none, "nonsense", NULL), STW_EINVAL);
    stw_open_options options;
    stw_open_options_init(&options);
    options.timeout_ms = 100;
    IS(stw_open(&none, "tcp://127.0.0.1:1", &options), STW_EUNREACHABLE);
    ck_assert_ptr_null(none);
    ck_assert_str_eq(stw_err_name(STW_ETIMEOUT), "STW_ETIMEOUT");
}
END_TEST

START_TEST(locks)
{
    stw_lock *lock, *other;
    stw_lock_options options;
    stw_lock_options_init(&options);
    options.owner = 77;
    options.timeout_ms = 0;
    OK(stw_lock_acquire(client, "door", NULL, &lock));
    ck_assert(stw_lock_held(lock));
    IS(stw_lock_acquire(client, "door", &options, &other), STW_EBUSY);
    options.timeout_ms = -1;
    stw_future *future;
    OK(stw_lock_acquire_async(client, "door", &options, &future));
    IS(stw_future_wait(future, 20), STW_EAGAIN);
    uint64_t token = stw_lock_token(lock);
    OK(stw_lock_release(&lock));
    OK(stw_future_wait(future, 5000));
    lock = stw_future_lock(future);
    stw_future_free(&future);
    ck_assert_uint_gt(stw_lock_token(lock), token);
    OK(stw_lock_break(client, "door"));
    for (int i = 0; i < 1000 && stw_lock_held(lock); i++) {
        usleep(1000);
    }
    ck_assert(!stw_lock_held(lock));
    IS(stw_lock_release(&lock), STW_ENOTHOLDER);
}
END_TEST

START_TEST(what_a_future_got_is_given_back)
{
    const char *queue = "back";
    stw_future *future;
    OK(stw_get_async(client, &queue, 1, NULL, 1, &future));
    stw_future_free(&future); /* under way: cancelled */
    put("back", "A");
    OK(stw_get_async(client, &queue, 1, NULL, 1, &future));
    OK(stw_future_wait(future, 5000));
    stw_future_free(&future); /* done, and not taken */
    stw_message *message = get("back");
    ck_assert_uint_eq(stw_message_deliveries(message), 1);
    OK(stw_ack(&message));
    stw_lock *lock;
    OK(stw_lock_acquire_async(client, "back", NULL, &future));
    OK(stw_future_wait(future, 5000));
    stw_future_free(&future);
    OK(stw_lock_acquire(client, "back", NULL, &lock));
    OK(stw_lock_release(&lock));
}
END_TEST

START_TEST(completions_come_by_descriptor)
{
    stw_completions *completions;
    OK(stw_completions_new(client, &completions));
    struct pollfd fd = {.fd = stw_completions_fd(completions), .events = POLLIN};
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    for (uintptr_t i = 0; i < 1000; i++) {
        stw_future *future;
        OK(stw_put_async(client, "done", "x", 1, -1, &future));
        OK(stw_completions_add(completions, future, (void *)i));
    }
    ck_assert_int_eq(poll(&fd, 1, 5000), 1);
    for (uintptr_t i = 0; i < 1000; i++) {
        stw_future *future;
        void *user;
        OK(stw_completions_next(completions, 5000, &future, &user));
        ck_assert_uint_eq((uintptr_t)user, i);
        OK(stw_future_poll(future));
        stw_future_free(&future);
    }
    stw_future *future;
    IS(stw_completions_next(completions, 0, &future, NULL), STW_EAGAIN);
    ck_assert_int_eq(poll(&fd, 1, 0), 0);
    stw_completions_free(&completions);
}
END_TEST

START_TEST(a_stream_in_order)
{
    const char *queue = "stream";
    stw_consume_options options;
    stw_consume_options_init(&options);
    options.prefetch = 10;
    stw_consumer *consumer;
    OK(stw_consume(client, &queue, 1, &options, &consumer));
    stw_message *message;
    IS(stw_consumer_next(consumer, 0, &message), STW_EEMPTY);
    IS(stw_consumer_next(consumer, 10, &message), STW_ETIMEOUT);
    char text[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "%d", i);
        OK(stw_put_async(client, queue, text, strlen(text), -1, NULL));
    }
    for (int i = 0; i < 2000; i++) {
        snprintf(text, sizeof text, "%d", i);
        OK(stw_consumer_next(consumer, 5000, &message));
        ck_assert(holds(message, text));
        OK(stw_ack_async(&message, NULL));
    }
    OK(stw_queue_join(client, queue, 5000));
    OK(stw_queue_shutdown(client, queue, false));
    IS(stw_consumer_next(consumer, 5000, &message), STW_ESHUTDOWN);
    stw_consumer_close(&consumer);
}
END_TEST

START_TEST(queues_and_rows)
{
    stw_queue_options options;
    stw_queue_options_init(&options);
    options.given = STW_QUEUE_MAXSIZE | STW_QUEUE_OVERFLOW;
    options.maxsize = 1;
    OK(stw_queue_declare(client, "small", &options));
    put("small", "A");
    IS(stw_put(client, "small", "B", 1, 0), STW_EFULL);
    IS(stw_put(client, "small", "B", 1, 20), STW_ETIMEOUT);
    uint64_t count;
    OK(stw_queue_qsize(client, "small", &count));
    ck_assert_uint_eq(count, 1);
    stw_rows *rows;
    stw_value value;
    OK(stw_queue_list(client, NULL, NULL, 0, &rows));
    ck_assert_uint_eq(stw_rows_count(rows), 1);
    ck_assert(stw_rows_find(rows, 0, "name", &value));
    ck_assert_str_eq(value.data, "small");
    ck_assert(!stw_rows_value(rows, 0, 1000, &value));
    stw_rows_free(&rows);
    OK(stw_queue_purge(client, "small", &count));
    ck_assert_uint_eq(count, 1);
    OK(stw_queue_delete(client, "small"));
    IS(stw_queue_show(client, "small", &rows), STW_ENOENT);
    OK(stw_session_show(client, stw_client_session(client), &rows));
    stw_rows_free(&rows);
}
END_TEST

static void *put_later(void *unused)
{
    usleep(50000);
    put("later", "A");
    return unused;
}

START_TEST(a_blocked_get_and_another_thread)
{
    pthread_t thread;
    pthread_create(&thread, NULL, put_later, NULL);
    stw_message *message = get("later");
    ck_assert(holds(message, "A"));
    OK(stw_ack(&message));
    pthread_join(thread, NULL);
}
END_TEST

static void *call_often(void *name)
{
    for (int i = 0; i < 200; i++) {
        put(name, "x");
        stw_message *message = get(name);
        OK(stw_ack(&message));
    }
    return NULL;
}

START_TEST(many_threads_share_a_client)
{
    pthread_t threads[6];
    char names[6][8];
    for (size_t i = 0; i < 6; i++) {
        snprintf(names[i], sizeof names[i], "t%zu", i);
        pthread_create(&threads[i], NULL, call_often, names[i]);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
    }
}
END_TEST

static void *interrupt_later(void *unused)
{
    usleep(50000);
    stw_client_interrupt(client);
    return unused;
}

START_TEST(puts_that_wait_keep_nobody_from_emptying)
{
    stw_client *narrow;
    stw_open_options options;
    stw_open_options_init(&options);
    options.in_flight_max = 1;
    IS(stw_open(&narrow, manager_thread_endpoint(manager), &options), STW_OK);
    stw_queue_options bounded;
    stw_queue_options_init(&bounded);
    bounded.given = STW_QUEUE_MAXSIZE;
    bounded.maxsize = 1;
    OK(stw_queue_declare(client, "narrow", &bounded));
    stw_lock *lock;
    stw_message *message;
    stw_future *future;
    IS(stw_lock_acquire(narrow, "narrow", NULL, &lock), STW_OK);
    IS(stw_put(narrow, "narrow", "A", 1, -1), STW_OK);
    IS(stw_put_async(narrow, "narrow", "B", 1, -1, &future), STW_OK); /* no room behind it */
    IS(stw_lock_release(&lock), STW_OK);
    IS(stw_put(narrow, "narrow", "C", 1, 50), STW_ETIMEOUT);
    IS(stw_get(narrow, "narrow", 5000, &message), STW_OK);
    IS(stw_ack(&message), STW_OK);
    IS(stw_future_wait(future, 5000), STW_OK);
    stw_future_free(&future);
    stw_close(&narrow);
}
END_TEST

START_TEST(an_interrupt_ends_what_blocks)
{
    pthread_t thread;
    stw_message *message;
    pthread_create(&thread, NULL, interrupt_later, NULL);
    IS(stw_get(client, "nothing", -1, &message), STW_ECANCELED);
    pthread_join(thread, NULL);
    IS(stw_get(client, "nothing", 10, &message), STW_ETIMEOUT);
}
END_TEST

START_TEST(a_forked_child_is_refused)
{
    stw_future *future;
    OK(stw_put_async(client, "q", "x", 1, -1, &future));
    pid_t child = fork();
    if (child == 0) {
        int code = stw_put(client, "q", "x", 1, -1);
        stw_future_free(&future);
        stw_close(&client);
        _exit(code == STW_EFORK ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    OK(stw_future_wait(future, 5000));
    stw_future_free(&future);
}
END_TEST

START_TEST(objects_may_outlive_the_client)
{
    put("q", "x");
    stw_message *message = get("q");
    stw_lock *lock;
    stw_future *future;
    OK(stw_lock_acquire(client, "l", NULL, &lock));
    OK(stw_put_async(client, "q", "y", 1, -1, &future));
    stw_close(&client);
    ck_assert(holds(message, "x"));
    ck_assert(!stw_lock_held(lock));
    IS(stw_ack(&message), STW_ECLOSED);
    stw_lock_free(&lock);
    stw_future_free(&future);
}
END_TEST

/* ---- trouble -------------------------------------------------------------------------------- */

START_TEST(cuts_lose_and_double_nothing)
{
    enum { PUTS = 3000 };
    static stw_future *futures[PUTS];
    char text[16];
    stw_lock *lock;
    OK(stw_lock_acquire(client, "cut", NULL, &lock));
    for (int i = 0; i < PUTS; i++) {
        snprintf(text, sizeof text, "%d", i);
        OK(stw_put_async(client, "cut", text, strlen(text), -1, &futures[i]));
        if (i % 1000 == 500) {
            stw_flush(client);
            manager_thread_cut(manager);
        }
    }
    for (int i = 0; i < PUTS; i++) {
        OK(stw_future_wait(futures[i], 10000));
        stw_future_free(&futures[i]);
    }
    for (int i = 0; i < PUTS; i++) {
        if (i % 1000 == 700) {
            manager_thread_cut(manager);
        }
        stw_message *message = get("cut");
        snprintf(text, sizeof text, "%d", i);
        ck_assert(holds(message, text));
        OK(stw_ack_async(&message, NULL));
    }
    stw_message *message;
    IS(stw_get(client, "cut", 0, &message), STW_EEMPTY);
    ck_assert_uint_eq(stw_client_sessions_lost(client), 0);
    ck_assert(stw_lock_held(lock));
    OK(stw_lock_release(&lock));
}
END_TEST

START_TEST(a_paused_manager_makes_a_slow_call)
{
    manager_thread_pause(manager, true);
    stw_future *future;
    OK(stw_put_async(client, "slow", "x", 1, -1, &future));
    IS(stw_future_wait(future, 300), STW_EAGAIN);
    manager_thread_pause(manager, false);
    OK(stw_future_wait(future, 5000));
    stw_future_free(&future);
}
END_TEST

START_TEST(a_call_ends_by_its_timeout)
{
    manager_thread_pause(manager, true);
    IS(stw_put(client, "slow", "x", 1, 200), STW_ETIMEOUT); /* the manager is silent: +1 s */
    manager_thread_pause(manager, false);
    put("slow", "y");
}
END_TEST

START_TEST(waiting_for_a_manager_costs_nothing)
{
    stw_open_options options;
    stw_open_options_init(&options);
    options.timeout_ms = 0;
    stw_client *alone;
    stw_future *future;
    struct rusage before, after;
    OK(stw_open(&alone, "tcp://127.0.0.1:1", &options));
    OK(stw_put_async(alone, "q", "x", 1, -1, &future));
    getrusage(RUSAGE_SELF, &before);
    IS(stw_future_wait(future, 300), STW_EAGAIN);
    usleep(300000);
    getrusage(RUSAGE_SELF, &after);
    ck_assert_int_lt(after.ru_nvcsw - before.ru_nvcsw, 1000);
    ck_assert_int_lt((after.ru_utime.tv_sec - before.ru_utime.tv_sec) * 1000000 +
                         after.ru_utime.tv_usec - before.ru_utime.tv_usec,
                     100000);
    stw_future_free(&future);
    stw_close(&alone);
}
END_TEST

START_TEST(a_new_life_of_the_manager_is_told)
{
    const char *queue = "stream";
    stw_consumer *consumer;
    stw_message *message;
    stw_lock *lock;
    put("q", "x");
    message = get("q");
    OK(stw_lock_acquire(client, "l", NULL, &lock));
    OK(stw_consume(client, &queue, 1, NULL, &consumer));
    manager_thread_restart(manager);
    stw_message *streamed;
    IS(stw_consumer_next(consumer, 10000, &streamed), STW_ESESSION);
    ck_assert_uint_eq(stw_client_sessions_lost(client), 1);
    ck_assert(!stw_lock_held(lock));
    IS(stw_ack(&message), STW_ELEASE);
    IS(stw_lock_release(&lock), STW_ENOTHOLDER);
    put("stream", "again");
    OK(stw_consumer_next(consumer, 5000, &streamed));
    OK(stw_ack(&streamed));
    stw_consumer_close(&consumer);
}
END_TEST

START_TEST(leases_are_renewed)
{
    stw_get_options options;
    stw_get_options_init(&options);
    options.lease_ms = 300;
    const char *queue = "renewed";
    stw_message *message, *other;
    size_t count;
    put(queue, "x");
    OK(stw_get_many(client, &queue, 1, &options, &message, 1, &count));
    OK(stw_message_auto_renew(message, true));
    IS(stw_get(client, queue, 900, &other), STW_ETIMEOUT);
    OK(stw_message_auto_renew(message, false));
    OK(stw_get(client, queue, 3000, &other));
    IS(stw_ack(&message), STW_ELEASE);
    OK(stw_ack(&other));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *test_case = tcase_create("all");
    tcase_set_timeout(test_case, 60);
    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, put_get_ack);
    tcase_add_test(test_case, bodies_of_all_sizes);
    tcase_add_test(test_case, many_with_options);
    tcase_add_test(test_case, wrong_arguments);
    tcase_add_test(test_case, locks);
    tcase_add_test(test_case, what_a_future_got_is_given_back);
    tcase_add_test(test_case, completions_come_by_descriptor);
    tcase_add_test(test_case, a_stream_in_order);
    tcase_add_test(test_case, queues_and_rows);
    tcase_add_test(test_case, a_blocked_get_and_another_thread);
    tcase_add_test(test_case, many_threads_share_a_client);
    tcase_add_test(test_case, puts_that_wait_keep_nobody_from_emptying);
    tcase_add_test(test_case, an_interrupt_ends_what_blocks);
    tcase_add_test(test_case, a_forked_child_is_refused);
    tcase_add_test(test_case, objects_may_outlive_the_client);
    tcase_add_test(test_case, cuts_lose_and_double_nothing);
    tcase_add_test(test_case, a_paused_manager_makes_a_slow_call);
    tcase_add_test(test_case, a_call_ends_by_its_timeout);
    tcase_add_test(test_case, waiting_for_a_manager_costs_nothing);
    tcase_add_test(test_case, a_new_life_of_the_manager_is_told);
    tcase_add_test(test_case, leases_are_renewed);
    suite_add_tcase(suite, test_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
