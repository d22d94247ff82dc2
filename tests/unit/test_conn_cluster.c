/* The client's connection with several endpoints, against scripted nodes of a cluster. */
#include "tests/unit/conn_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

#define HELLO  "[1, 0] [1, 1, 1, 1, {\"ttl_ms\": 9000, \"grace_ms\": 2000"
#define SECRET "\"secret\": h'00000000000000000000000000000007'"

static struct conn_rig *rig;

static void setup(void)
{
    rig = conn_rig_new("tcp://a:1,tcp://b:2,tcp://c:3");
}

static void teardown(void)
{
    conn_rig_free(rig);
}

#define TAKES(text) ck_assert_str_eq(conn_rig_take(rig), text)
#define ENDED(i, wanted)                                                                           \
    do {                                                                                           \
        ck_assert(rig->tickets[i].done);                                                           \
        ck_assert_int_eq(rig->tickets[i].code, wanted);                                            \
    } while (0)
#define OPEN(i) ck_assert(!rig->tickets[i].done)

static const char *endpoint(void)
{
    uint64_t generation;
    const char *text = conn_socket(rig->conn, &generation);
    return text ? text : "";
}

/* The next socket goes there, is connected, and says HELLO. */
static void connects_to(const char *where)
{
    conn_rig_connect(rig);
    ck_assert_str_eq(endpoint(), where);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), HELLO));
}

static void resumed(void)
{
    conn_rig_receive(rig, "[128, 1, 1, {\"session\": 7, " SECRET ", \"resumed\": true}]");
    ck_assert(conn_ready(rig->conn));
}

START_TEST(not_now_means_the_next_endpoint_and_the_session_goes_on)
{
    static const int codes[] = {STW_EREDIRECT, STW_EDRAINING, STW_ENOQUORUM};
    for (size_t i = 0; i < 3; i++) {
        struct conn_rig *whole = rig;
        char bye[64];
        rig = conn_rig_new("tcp://a:1,tcp://b:2,tcp://c:3");
        conn_rig_welcome(rig, 7, false);
        conn_rig_put(rig, 0, "q", "A", NEVER);
        TAKES("[2, 1] [16, 1, \"q\", nil, ['A']]");
        (void)snprintf(bye, sizeof bye, "[130, %d, \"not now\"]", -codes[i]);
        conn_rig_receive(rig, bye);
        OPEN(0);
        connects_to("tcp://b:2");
        conn_rig_receive(rig, bye);
        connects_to("tcp://c:3");
        resumed();
        TAKES("[2, 1] [16, 1, \"q\", nil, ['A']]");
        conn_rig_receive(rig, "[131, 1, 1]");
        ENDED(0, 0);
        ck_assert_uint_eq(conn_sessions_lost(rig->conn), 0);
        teardown();
        rig = whole;
    }
}
END_TEST

START_TEST(a_lost_connection_is_tried_elsewhere_at_once)
{
    conn_rig_welcome(rig, 7, false);
    uint64_t before = rig->now_ms;
    conn_disconnected(rig->conn, rig->now_ms);
    connects_to("tcp://b:2");
    ck_assert_uint_le(rig->now_ms - before, 15);
}
END_TEST

START_TEST(a_redirect_is_followed_and_left_when_nobody_answers_there)
{
    connects_to("tcp://a:1");
    uint64_t before = rig->now_ms;
    conn_rig_receive(rig, "[129, \"tcp://elsewhere:9\"]");
    conn_tick(rig->conn, rig->now_ms);
    ck_assert_str_eq(endpoint(), "tcp://elsewhere:9");
    conn_rig_wait(rig, 120); /* does not connect */
    ck_assert_uint_le(rig->now_ms - before, 120);
    connects_to("tcp://b:2");
    conn_rig_receive(rig, "[129, \"tcp://c:3\"]");
    connects_to("tcp://c:3");
    conn_rig_receive(rig, "[128, 1, 1, {\"session\": 7, " SECRET ", \"resumed\": false}]");
    ck_assert(conn_ready(rig->conn));
}
END_TEST

START_TEST(a_redirect_back_to_what_just_broke_is_not_followed)
{
    conn_rig_welcome(rig, 7, false); /* a leads, and dies; b has not noticed */
    conn_disconnected(rig->conn, rig->now_ms);
    connects_to("tcp://b:2");
    conn_rig_receive(rig, "[129, \"tcp://a:1\"]");
    connects_to("tcp://c:3");
    conn_rig_wait(rig, 600); /* a is back and leads again */
    conn_rig_receive(rig, "[129, \"tcp://a:1\"]");
    connects_to("tcp://a:1");
    resumed();
}
END_TEST

START_TEST(who_sent_us_away_may_lead_a_moment_later)
{
    conn_rig_welcome(rig, 7, false); /* a leads, and dies; b has not noticed */
    conn_disconnected(rig->conn, rig->now_ms);
    connects_to("tcp://b:2");
    conn_rig_receive(rig, "[129, \"tcp://a:1\"]");
    connects_to("tcp://c:3");
    uint64_t before = rig->now_ms;
    conn_rig_receive(rig, "[129, \"tcp://b:2\"]");
    connects_to("tcp://b:2");
    ck_assert_uint_le(rig->now_ms - before, 1);
}
END_TEST

START_TEST(two_nodes_that_send_to_each_other_are_not_asked_without_pause)
{
    const char *there = "tcp://y:2";
    uint64_t before = rig->now_ms;
    for (int i = 0; i < 40; i++) {
        char text[64];
        conn_rig_connect(rig);
        (void)conn_rig_take(rig);
        (void)snprintf(text, sizeof text, "[129, \"%s\"]", there);
        conn_rig_receive(rig, text);
        there = strcmp(there, "tcp://y:2") == 0 ? "tcp://x:1" : "tcp://y:2";
    }
    ck_assert_uint_ge(rig->now_ms - before, 1000);
}
END_TEST

START_TEST(a_node_that_takes_the_connection_and_says_nothing_is_left)
{
    connects_to("tcp://a:1"); /* stopped: its kernel still answers */
    uint64_t before = rig->now_ms;
    connects_to("tcp://b:2");
    ck_assert_uint_le(rig->now_ms - before, 1100);
}
END_TEST

START_TEST(no_quorum_is_said_of_what_never_left)
{
    conn_rig_welcome(rig, 7, false);
    conn_rig_put(rig, 0, "q", "A", 1000);
    (void)conn_rig_take(rig);
    conn_rig_receive(rig, "[130, 32, \"no leader is known\"]");
    ck_assert_int_eq(conn_refusal(rig->conn), STW_ENOQUORUM);
    conn_rig_put(rig, 1, "q", "B", 1000);
    conn_rig_wait(rig, 1500);
    ENDED(0, STW_ETIMEOUT); /* it may have been done */
    ENDED(1, STW_ENOQUORUM);
    ck_assert_ptr_nonnull(strstr(rig->tickets[1].text, "could not be reached in time: "));
    conn_rig_welcome(rig, 7, true);
    ck_assert_int_eq(conn_refusal(rig->conn), 0);
}
END_TEST

START_TEST(a_full_disk_is_waited_for)
{
    conn_rig_welcome(rig, 7, false);
    conn_rig_put(rig, 0, "q", "A", NEVER);
    conn_rig_put(rig, 1, "q", "B", 0);
    (void)conn_rig_take(rig);
    conn_rig_receive(rig, "[132, 1, 2, 33, \"EDISK\", \"the manager's disk is full\"]");
    OPEN(0);
    ENDED(1, STW_EDISK); /* it was not to wait */
    conn_rig_wait(rig, 20);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "[16, 3, \"q\", nil, ['A']]"));
    conn_rig_receive(rig, "[131, 3, 1]");
    ENDED(0, 0);
}
END_TEST

START_TEST(a_full_disk_is_what_a_put_ends_with_at_last)
{
    conn_rig_welcome(rig, 7, false);
    conn_rig_put(rig, 0, "q", "A", 5);
    (void)conn_rig_take(rig);
    conn_rig_receive(rig, "[132, 1, 1, 33, \"EDISK\", \"\"]");
    conn_disconnected(rig->conn, rig->now_ms);
    conn_rig_wait(rig, 3);
    OPEN(0);
    conn_rig_wait(rig, 500); /* its last try could not leave */
    ENDED(0, STW_ETIMEOUT);
    conn_rig_welcome(rig, 7, true);
    conn_rig_put(rig, 1, "q", "A", 100);
    for (int i = 0; i < 50 && !rig->tickets[1].done; i++) {
        const char *at = strstr(conn_rig_take(rig), "[16, ");
        if (at) {
            char refusal[64];
            (void)snprintf(refusal, sizeof refusal, "[132, %d, 1, 33, \"EDISK\", \"\"]",
                           (int)strtol(at + 5, NULL, 10));
            conn_rig_receive(rig, refusal);
        }
        conn_rig_wait(rig, 10);
    }
    ENDED(1, STW_EDISK);
}
END_TEST

START_TEST(who_drains_is_waited_for_if_there_are_others)
{
    static const char drains[] = "[132, 1, 1, 29, \"EDRAINING\", \"\"]";
    conn_rig_welcome(rig, 7, false);
    conn_rig_put(rig, 0, "q", "A", NEVER);
    (void)conn_rig_take(rig);
    conn_rig_receive(rig, drains);
    OPEN(0);
    conn_rig_receive(rig, "[130, 29, \"\"]");
    conn_rig_welcome(rig, 7, true);
    conn_rig_wait(rig, 20);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "[16, 2, \"q\", nil, ['A']]"));
    teardown();

    rig = conn_rig_new("tcp://alone:1");
    conn_rig_welcome(rig, 7, false);
    conn_rig_put(rig, 0, "q", "A", NEVER);
    (void)conn_rig_take(rig);
    conn_rig_receive(rig, drains);
    ENDED(0, STW_EDRAINING);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, not_now_means_the_next_endpoint_and_the_session_goes_on);
    tcase_add_test(tcase, a_lost_connection_is_tried_elsewhere_at_once);
    tcase_add_test(tcase, a_redirect_is_followed_and_left_when_nobody_answers_there);
    tcase_add_test(tcase, a_redirect_back_to_what_just_broke_is_not_followed);
    tcase_add_test(tcase, who_sent_us_away_may_lead_a_moment_later);
    tcase_add_test(tcase, two_nodes_that_send_to_each_other_are_not_asked_without_pause);
    tcase_add_test(tcase, a_node_that_takes_the_connection_and_says_nothing_is_left);
    tcase_add_test(tcase, no_quorum_is_said_of_what_never_left);
    tcase_add_test(tcase, a_full_disk_is_waited_for);
    tcase_add_test(tcase, a_full_disk_is_what_a_put_ends_with_at_last);
    tcase_add_test(tcase, who_drains_is_waited_for_if_there_are_others);
}

int main(void)
{
    Suite *suite = suite_create("conn in a cluster");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    add_tests(tcase);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
