/* The client's connection alone, against a scripted manager: docs/protocol.md, the other side. */
#include "tests/unit/conn_rig.h"

#include "common/base/alloc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER  UINT64_MAX
#define NOBODY RIG_TICKETS_MAX

static struct conn_rig *rig;

static void setup(void)
{
    rig = conn_rig_new("tcp://a:1,tcp://b:2");
}

static void teardown(void)
{
    conn_rig_free(rig);
}

static void ready(void)
{
    conn_rig_welcome(rig, 7, false);
}

#define TAKES(text) ck_assert_str_eq(conn_rig_take(rig), text)
#define ENDED(i, wanted)                                                                           \
    do {                                                                                           \
        ck_assert(rig->tickets[i].done);                                                           \
        ck_assert_int_eq(rig->tickets[i].code, wanted);                                            \
    } while (0)
#define OPEN(i) ck_assert(!rig->tickets[i].done)

/* ---- packing -------------------------------------------------------------------------------- */

START_TEST(puts_to_one_queue_make_a_run)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_put(rig, 1, "q", "B", NEVER);
    conn_rig_put(rig, 2, "r", "C", NEVER);
    conn_rig_put(rig, 3, "r", "D", 5);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A', 'B']] [16, 3, \"r\", nil, ['C']] "
          "[16, 4, \"r\", 5, ['D']]");
    conn_rig_receive(rig, "[131, 1, 2, 4, 1] [132, 3, 1, 4, \"EFULL\", \"r is full\"]");
    ENDED(0, 0);
    ENDED(1, 0);
    ENDED(2, STW_EFULL);
    ck_assert_str_eq(rig->tickets[2].text, "r is full");
    ENDED(3, 0);
    ck_assert_uint_eq(conn_outstanding(rig->conn), 0);
}
END_TEST

START_TEST(acks_of_neighbours_make_a_run)
{
    ready();
    conn_rig_ack(rig, 0, 5);
    conn_rig_ack(rig, 1, 6);
    conn_rig_ack(rig, 2, 9);
    TAKES("[2, 1] [21, 1, 5, 2] [21, 3, 9, 1]");
}
END_TEST

START_TEST(seen_answers_are_confirmed)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A']]");
    conn_rig_receive(rig, "[131, 1, 1]");
    conn_rig_put(rig, 1, "q", "B", NEVER);
    TAKES("[3, 2] [16, 2, \"q\", nil, ['B']] [3, 1, 1]");
    conn_rig_receive(rig, "[131, 2, 1]");
    conn_rig_wait(rig, 1000); /* alone, within a second */
    TAKES("[4, 3] [3, 2, 1]");
}
END_TEST

START_TEST(a_large_body_is_the_second_frame)
{
    ready();
    char *large = mem_alloc(LIMIT_BODY_FRAME_BYTES + 1);
    memset(large, 'x', LIMIT_BODY_FRAME_BYTES);
    large[LIMIT_BODY_FRAME_BYTES] = 0;
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_put(rig, 1, "q", large, NEVER);
    conn_rig_put(rig, 2, "q", "B", NEVER);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A']] [16, 2, \"q\", nil, [nil]] + 65536 | "
          "[3, 1] [16, 3, \"q\", nil, ['B']]");
    free(large);
}
END_TEST

START_TEST(packets_are_closed_at_their_size)
{
    ready();
    char body[4001];
    memset(body, 'x', 4000);
    body[4000] = 0;
    for (int i = 0; i < 100; i++) {
        conn_rig_put(rig, NOBODY, "q", body, NEVER);
    }
    struct slice large;
    size_t packets = 0;
    while (conn_next_packet(rig->conn, rig->now_ms, &rig->head, &large)) {
        ck_assert_uint_le(rig->head.size, LIMIT_PACKET_BYTES);
        packets++;
    }
    ck_assert_uint_eq(packets, 2);
}
END_TEST

/* ---- broken connections --------------------------------------------------------------------- */

START_TEST(unanswered_requests_are_sent_again)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_put(rig, 1, "q", "B", NEVER);
    conn_rig_put(rig, 2, "q", "C", NEVER);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A', 'B', 'C']]");
    conn_rig_receive(rig, "[131, 2, 1]");
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_connect(rig);
    TAKES("[1, 0] [1, 1, 1, 1, {\"ttl_ms\": 9000, \"grace_ms\": 2000, \"session\": 7, \"secret\": "
          "h'00000000000000000000000000000007', \"last_tag\": 0}]");
    conn_rig_receive(rig, "[128, 1, 1, {\"session\": 7, \"secret\": "
                          "h'00000000000000000000000000000007', \"resumed\": true}]");
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A']] [16, 3, \"q\", nil, ['C']] [3, 2, 1]");
    conn_rig_receive(rig, "[131, 1, 3]"); /* 2 once more: nobody is told twice */
    ENDED(2, 0);
    ck_assert_uint_eq(conn_sessions_lost(rig->conn), 0);
}
END_TEST

START_TEST(a_gap_breaks_the_connection)
{
    ready();
    conn_rig_receive_raw(rig, "[3, 1]", NULL);
    ck_assert(!conn_ready(rig->conn));
    ck_assert_str_eq(conn_trouble(rig->conn), "packets were lost");
}
END_TEST

START_TEST(silence_breaks_the_connection)
{
    ready();
    conn_rig_wait(rig, 2999);
    TAKES("");
    conn_rig_wait(rig, 1);
    TAKES("[2, 1]"); /* a keepalive, after a third of the ttl */
    conn_rig_wait(rig, 4499);
    ck_assert(conn_ready(rig->conn));
    conn_rig_wait(rig, 1);
    ck_assert(!conn_ready(rig->conn));
}
END_TEST

START_TEST(endpoints_are_tried_in_turn)
{
    uint64_t generation;
    conn_rig_wait(rig, 20);
    ck_assert_str_eq(conn_socket(rig->conn, &generation), "tcp://a:1");
    conn_rig_wait(rig, 150);
    ck_assert_str_eq(conn_socket(rig->conn, &generation), "tcp://b:2");
    ready();
    conn_rig_receive(rig, "[130, 29, \"draining\"]");
    conn_rig_connect(rig);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[129, \"tcp://c:3\"]");
    conn_rig_connect(rig);
    ck_assert_str_eq(conn_socket(rig->conn, &generation), "tcp://c:3");
}
END_TEST

START_TEST(malformed_records_break_the_connection)
{
    static const char *const bad[] = {"[131, 1]",   "[131, 5, 1]", "[99]",
                                      "[]",         "[133, 1]",    "[131, 0, 1]",
                                      "7",          "[131, 1, 3]", "[137, 1, 2, 3, 4, 5, [nil]]",
                                      "[135, 1, 9]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct conn_rig *other = conn_rig_new("tcp://a:1");
        conn_rig_welcome(other, 7, false);
        conn_rig_request(other, 0, WIRE_GET, "[\"q\"] 1 nil nil false", NEVER);
        conn_rig_put(other, 1, "q", "x", NEVER);
        conn_rig_take(other);
        conn_rig_receive(other, bad[i]);
        ck_assert_msg(!conn_ready(other->conn), "%s was taken", bad[i]);
        conn_rig_free(other);
    }
}
END_TEST

/* ---- lost sessions -------------------------------------------------------------------------- */

START_TEST(a_lost_session_ends_what_was_sent)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_ack(rig, 1, 3);
    conn_rig_take(rig);
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_put(rig, 2, "q", "B", NEVER); /* never left: it goes on */
    conn_rig_connect(rig);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[130, 15, \"session 7 is not known\"]");
    ENDED(0, STW_ESESSION);
    ENDED(1, STW_ELEASE);
    OPEN(2);
    ck_assert_uint_eq(conn_sessions_lost(rig->conn), 1);
    conn_rig_welcome(rig, 8, false);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['B']]");
    ck_assert_uint_eq(conn_session(rig->conn), 8);
}
END_TEST

START_TEST(another_version_is_final)
{
    conn_rig_connect(rig);
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[130, 17, \"version 2 only\"]");
    ck_assert_int_eq(conn_state(rig->conn), STW_EVERSION);
    ENDED(0, STW_EVERSION);
}
END_TEST

/* ---- deadlines and cancelling --------------------------------------------------------------- */

START_TEST(deadlines_pass_without_a_connection)
{
    conn_rig_put(rig, 0, "q", "A", 1000);
    conn_rig_wait(rig, 999);
    OPEN(0);
    conn_rig_wait(rig, 300);
    ENDED(0, STW_ETIMEOUT);
    ready();
    TAKES("[2, 1] [26, 1, 0]"); /* its id, and nothing behind it */
}
END_TEST

START_TEST(a_connected_manager_may_answer_late)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", 1000);
    conn_rig_take(rig);
    for (int i = 0; i < 9; i++) {
        conn_rig_wait(rig, 1000);
        conn_rig_take(rig);
        conn_rig_receive(rig, "");
    }
    OPEN(0);
    conn_rig_wait(rig, 1001);
    ENDED(0, STW_ETIMEOUT);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "[26, 2, 1]"));
    conn_rig_receive(rig, "[132, 1, 1, 11, \"ECANCELED\", \"\"] [131, 2, 1]");
    ck_assert_uint_eq(conn_outstanding(rig->conn), 0);
}
END_TEST

START_TEST(a_forgotten_get_is_cancelled_before_its_answer_is_confirmed)
{
    ready();
    conn_rig_request(rig, 0, WIRE_GET, "[\"q\"] 1 nil nil false", NEVER);
    TAKES("[2, 1] [18, 1, [\"q\"], 1, nil, nil, false]");
    conn_forget(rig->conn, &rig->tickets[0].ticket);
    conn_rig_receive(rig, "[137, 1, \"q\", 1, 10, 30000, ['A']] [135, 1, 1]");
    OPEN(0);
    TAKES("[3, 2] [26, 2, 1] [3, 1, 1]");
}
END_TEST

START_TEST(out_of_memory_is_tried_again)
{
    ready();
    conn_rig_put(rig, 0, "q", "A", 500);
    conn_rig_put(rig, 1, "q", "B", 0);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[132, 1, 2, 14, \"EMEMORY\", \"\"]");
    OPEN(0);
    ENDED(1, STW_EMEMORY); /* it did not want to wait */
    conn_rig_wait(rig, 10);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "[16, 3, \"q\", 49"));
    conn_rig_receive(rig, "[131, 3, 1]");
    ENDED(0, 0);
}
END_TEST

START_TEST(partial_gets_are_dropped)
{
    ready();
    conn_rig_request(rig, 0, WIRE_GET, "[\"q\"] 9 nil nil false", NEVER);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[137, 1, \"q\", 1, 10, 30000, ['A', 'B']]");
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_welcome(rig, 7, true);
    TAKES("[2, 1] [18, 1, [\"q\"], 9, nil, nil, false]");
    conn_rig_receive(rig, "[137, 1, \"q\", 1, 10, 30000, ['A', 'B']] [135, 1, 2]");
    ENDED(0, 0);
    ck_assert_uint_eq(rig->tickets[0].messages, 2);
}
END_TEST

START_TEST(one_long_wait_pins_nothing)
{
    ready();
    conn_rig_request(rig, 0, WIRE_GET, "[\"q\"] 1 nil nil false", NEVER);
    conn_rig_take(rig);
    char text[64];
    for (uint64_t id = 2; id < 5000; id++) {
        conn_rig_put(rig, NOBODY, "q", "x", NEVER);
        conn_rig_take(rig);
        snprintf(text, sizeof text, "[131, %llu, 1]", (unsigned long long)id);
        conn_rig_receive(rig, text);
    }
    conn_rig_put(rig, 1, "q", "y", NEVER);
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_welcome(rig, 7, true);
    const char *again = "[2, 1] [18, 1, [\"q\"], 1, nil, nil, false] [16, 5000, \"q\", nil, ['y']]";
    ck_assert_int_eq(strncmp(conn_rig_take(rig), again, strlen(again)), 0);
    conn_rig_receive(rig, "[132, 1, 1, 5, \"ESHUTDOWN\", \"\"]");
    ENDED(0, STW_ESHUTDOWN);
}
END_TEST

/* ---- consumers ------------------------------------------------------------------------------ */

static struct conn_consumer *consume(uint64_t prefetch)
{
    return conn_consume(rig->conn, rig->now_ms, &rig->tickets[0].ticket,
                        &(struct conn_consume){.queues = slice_of("\x91\xa1q", 3),
                                               .messages = prefetch,
                                               .bytes = 1000,
                                               .lease_ms = NEVER,
                                               .user = rig});
}

static uint64_t next(struct conn_consumer *consumer)
{
    struct item item;
    if (!conn_consumer_next(rig->conn, rig->now_ms, consumer, &item)) {
        return 0;
    }
    runs_release(conn_runs(rig->conn), item.run);
    return item.tag;
}

START_TEST(credit_is_topped_up_at_half)
{
    ready();
    struct conn_consumer *consumer = consume(4);
    TAKES("[2, 1] [19, 1, [\"q\"], 4, 1000, nil]");
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 10, 30000, ['A', 'B', 'C']]");
    ENDED(0, 0);
    ck_assert_uint_gt(rig->arrived, 0);
    ck_assert_uint_eq(next(consumer), 1);
    ck_assert(!conn_urgent(rig->conn));
    ck_assert_uint_eq(next(consumer), 2);
    ck_assert(conn_urgent(rig->conn));
    TAKES("[3, 2] [4, 2] [5, 1, 2, 2] [3, 1, 1]");
    conn_consumer_close(rig->conn, &consumer);
    TAKES("[4, 2] [4, 3] [20, 2, 1] [23, 3, 3, 1]");
    conn_rig_receive(rig, "[137, 1, \"q\", 4, 13, 30000, ['D']] [131, 2, 2]");
    TAKES("[5, 3] [23, 4, 4, 1] [3, 2, 2]"); /* what came late goes back too */
}
END_TEST

START_TEST(a_stream_goes_on_after_a_cut)
{
    ready();
    struct conn_consumer *consumer = consume(4);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 10, 30000, ['A', 'B']]");
    next(consumer);
    next(consumer);
    conn_rig_take(rig); /* credit for 2, which gets lost */
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_connect(rig);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "\"last_tag\": 2}]"));
    conn_rig_receive(rig, "[128, 1, 1, {\"session\": 7, \"secret\": "
                          "h'00000000000000000000000000000007', \"resumed\": true}]");
    /* a new channel with new credit; what comes on the old one is its as well */
    TAKES("[2, 1] [4, 2] [20, 2, 1] [19, 3, [\"q\"], 4, 1000, nil] [3, 1, 1]");
    conn_rig_receive(rig, "[137, 1, \"q\", 3, 12, 30000, ['C']] [131, 2, 2]");
    ck_assert_uint_eq(next(consumer), 3);
    conn_rig_receive(rig, "[137, 3, \"q\", 4, 13, 30000, ['D']]");
    ck_assert_uint_eq(next(consumer), 4);
}
END_TEST

START_TEST(credit_of_a_closed_consumer_is_not_urgent)
{
    ready();
    struct conn_consumer *consumer = consume(2);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 10, 30000, ['A']]");
    ck_assert_uint_eq(next(consumer), 1);
    ck_assert(conn_urgent(rig->conn));     /* credit for 1 */
    conn_rig_receive(rig, "[141, 1, 24]"); /* but the queue is deleted */
    conn_consumer_close(rig->conn, &consumer);
    conn_rig_take(rig);
    ck_assert(!conn_urgent(rig->conn));
}
END_TEST

START_TEST(a_stream_is_opened_again_in_a_new_session)
{
    ready();
    struct conn_consumer *consumer = consume(4);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 10, 30000, ['A']]");
    conn_rig_receive(rig, "[130, 15, \"an operator ended it\"]");
    ck_assert_uint_eq(next(consumer), 0);
    ck_assert_int_eq(conn_consumer_state(consumer), STW_ESESSION);
    ck_assert_int_eq(conn_consumer_state(consumer), 0);
    conn_rig_welcome(rig, 8, false);
    TAKES("[2, 1] [19, 1, [\"q\"], 4, 1000, nil]");
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 20, 30000, ['A']]");
    ck_assert_uint_eq(next(consumer), 1);
    conn_rig_receive(rig, "[141, 1, 5]");
    ck_assert_int_eq(conn_consumer_state(consumer), STW_ESHUTDOWN);
}
END_TEST

START_TEST(buffered_leases_are_renewed_and_lost)
{
    ready();
    struct conn_consumer *consumer = consume(4);
    conn_rig_take(rig);
    conn_rig_receive(rig, "[131, 1, 1] [137, 1, \"q\", 1, 10, 3000, ['A', 'B', 'C']]");
    ck_assert_uint_eq(next(consumer), 1); /* the program's now: not renewed */
    conn_rig_wait(rig, 1000);
    TAKES("[3, 2] [4, 1] [25, 2, 2, 2, nil] [3, 1, 1]");
    conn_rig_receive(rig, "[133, 2, 3000] [132, 3, 1, 8, \"ELEASE\", \"\"]");
    ck_assert_uint_eq(next(consumer), 2);
    ck_assert_uint_eq(next(consumer), 0); /* 3 was lost */
    conn_rig_receive(rig, "[137, 1, \"q\", 4, 14, 3000, ['D', 'E']] [139, 4, 1, 8]");
    ck_assert_uint_eq(next(consumer), 5);
}
END_TEST

START_TEST(locks_are_told_of_their_loss)
{
    ready();
    struct held held = {.token = 5}, other = {.token = 6};
    conn_watch_lock(rig->conn, &held);
    conn_watch_lock(rig->conn, &other);
    conn_rig_receive(rig, "[140, \"l\", 5, 8]");
    ck_assert(held.lost);
    ck_assert(!other.lost);
    conn_rig_receive(rig, "[130, 15, \"\"]");
    ck_assert(other.lost);
}
END_TEST

START_TEST(leaving_says_goodbye_last)
{
    ready();
    conn_rig_put(rig, NOBODY, "q", "A", NEVER);
    conn_leave(rig->conn);
    TAKES("[2, 1] [16, 1, \"q\", nil, ['A']] [2]");
    ck_assert(conn_left(rig->conn));
}
END_TEST

START_TEST(the_answer_to_goodbye_opens_no_new_session)
{
    ready();
    conn_leave(rig->conn);
    TAKES("[2, 1] [2]");
    conn_rig_receive(rig, "[130, 15, \"the client left\"]");
    conn_rig_wait(rig, 5000);
    uint64_t generation;
    ck_assert(conn_socket(rig->conn, &generation) == NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conn");
    TCase *test_case = tcase_create("all");
    tcase_add_checked_fixture(test_case, setup, teardown);
    tcase_add_test(test_case, puts_to_one_queue_make_a_run);
    tcase_add_test(test_case, acks_of_neighbours_make_a_run);
    tcase_add_test(test_case, seen_answers_are_confirmed);
    tcase_add_test(test_case, a_large_body_is_the_second_frame);
    tcase_add_test(test_case, packets_are_closed_at_their_size);
    tcase_add_test(test_case, unanswered_requests_are_sent_again);
    tcase_add_test(test_case, a_gap_breaks_the_connection);
    tcase_add_test(test_case, silence_breaks_the_connection);
    tcase_add_test(test_case, endpoints_are_tried_in_turn);
    tcase_add_test(test_case, malformed_records_break_the_connection);
    tcase_add_test(test_case, a_lost_session_ends_what_was_sent);
    tcase_add_test(test_case, another_version_is_final);
    tcase_add_test(test_case, deadlines_pass_without_a_connection);
    tcase_add_test(test_case, a_connected_manager_may_answer_late);
    tcase_add_test(test_case, a_forgotten_get_is_cancelled_before_its_answer_is_confirmed);
    tcase_add_test(test_case, out_of_memory_is_tried_again);
    tcase_add_test(test_case, partial_gets_are_dropped);
    tcase_add_test(test_case, one_long_wait_pins_nothing);
    tcase_add_test(test_case, credit_is_topped_up_at_half);
    tcase_add_test(test_case, credit_of_a_closed_consumer_is_not_urgent);
    tcase_add_test(test_case, a_stream_goes_on_after_a_cut);
    tcase_add_test(test_case, a_stream_is_opened_again_in_a_new_session);
    tcase_add_test(test_case, buffered_leases_are_renewed_and_lost);
    tcase_add_test(test_case, locks_are_told_of_their_loss);
    tcase_add_test(test_case, leaving_says_goodbye_last);
    tcase_add_test(test_case, the_answer_to_goodbye_opens_no_new_session);
    suite_add_tcase(suite, test_case);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
