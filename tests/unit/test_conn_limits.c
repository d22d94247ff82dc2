/* The client's connection alone: what is bounded, and what must end. See test_conn.c. */
#include "tests/unit/conn_rig.h"

#include "common/wire/codec.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER  UINT64_MAX
#define NOBODY RIG_TICKETS_MAX

static struct conn_rig *rig;

static void setup(void)
{
    rig = conn_rig_new("tcp://a:1");
}

static void teardown(void)
{
    conn_rig_free(rig);
}

static void ready(void)
{
    conn_rig_welcome(rig, 7, false);
}

#define ENDED(i, wanted)                                                                           \
    do {                                                                                           \
        ck_assert(rig->tickets[i].done);                                                           \
        ck_assert_int_eq(rig->tickets[i].code, wanted);                                            \
    } while (0)
#define OPEN(i) ck_assert(!rig->tickets[i].done)

START_TEST(what_is_tried_again_still_counts)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_take(rig);
    size_t bytes = conn_outstanding_bytes(rig->conn);
    conn_rig_receive(rig, "[132, 1, 1, 14, \"EMEMORY\", \"\"]");
    ck_assert_uint_eq(conn_outstanding_bytes(rig->conn), bytes);
    conn_rig_wait(rig, 10);
    conn_rig_take(rig);
    ck_assert_uint_eq(conn_outstanding_bytes(rig->conn), bytes);
    conn_rig_receive(rig, "[131, 2, 1]");
    ENDED(0, 0);
    ck_assert_uint_eq(conn_outstanding_bytes(rig->conn), 0);
}
END_TEST

START_TEST(trying_again_ends_with_the_connection)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[132, 1, 1, 14, \"EMEMORY\", \"\"]");
    OPEN(0);
    conn_rig_receive(rig, "[130, 17, \"version 2 only\"]");
    ENDED(0, STW_EVERSION);
    ck_assert_uint_eq(conn_outstanding(rig->conn), 0);
    ck_assert_uint_eq(conn_outstanding_bytes(rig->conn), 0);
}
END_TEST

START_TEST(trying_again_ends_at_the_deadline)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", 1000);
    char answer[64];
    for (uint64_t id = 1, until = rig->now_ms + 1000; rig->now_ms <= until; conn_rig_wait(rig, 5)) {
        if (strstr(conn_rig_take(rig), "[16, ")) {
            snprintf(answer, sizeof answer, "[132, %llu, 1, 14, \"EMEMORY\", \"\"]",
                     (unsigned long long)id++);
            conn_rig_receive(rig, answer);
        }
    }
    ENDED(0, STW_EMEMORY);
}
END_TEST

START_TEST(many_seen_answers_take_several_records)
{
    ready();
    for (uint64_t id = 1; id <= 2 * LIMIT_BATCH + 2; id++) {
        conn_rig_put(rig, NOBODY, "q", "A", NEVER);
    }
    conn_rig_take(rig);
    for (uint64_t id = 1; id <= 2 * LIMIT_BATCH + 2; id += 2) {
        char answer[32];
        snprintf(answer, sizeof answer, "[131, %llu, 1]", (unsigned long long)id);
        conn_rig_receive(rig, answer); /* never neighbours */
    }
    conn_rig_wait(rig, 1000);
    struct slice large;
    struct wire_reader in;
    size_t pairs = 0;
    ck_assert(conn_next_packet(rig->conn, rig->now_ms, &rig->head, &large));
    wire_reader_init(&in, buf_view(&rig->head));
    wire_skip(&in);
    while (in.at != in.end && !in.failed) {
        uint32_t values = wire_read_array(&in);
        ck_assert_uint_eq(wire_read_uint(&in), WIRE_SEEN);
        ck_assert_uint_le(values, 1 + 2 * LIMIT_BATCH); /* the manager takes no more */
        pairs += values / 2;
        for (uint32_t i = 1; i < values; i++) {
            (void)wire_read_uint(&in);
        }
    }
    ck_assert(!in.failed);
    ck_assert_uint_eq(pairs, LIMIT_BATCH + 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn limits");
    TCase *test_case = tcase_create("all");
    suite_add_tcase(suite, test_case);
    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, what_is_tried_again_still_counts);
    tcase_add_test(test_case, trying_again_ends_with_the_connection);
    tcase_add_test(test_case, trying_again_ends_at_the_deadline);
    tcase_add_test(test_case, many_seen_answers_take_several_records);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
