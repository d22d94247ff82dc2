/* The gateway over the real core: the rules of docs/protocol.md, packet by packet. */
#include "tests/unit/gateway_rig.h"

#include "common/base/limits.h"
#include "common/base/steward_errors.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct rig *rig;

static void setup(void)
{
    rig = rig_new(NULL);
}

static void teardown(void)
{
    rig_free(rig);
}

/* ---- packets -------------------------------------------------------------------------------- */

START_TEST(hello_is_welcomed)
{
    EXCHANGE("a", "[1, 0] [1, 1, 9, 3, {\"ttl_ms\": 1, \"grace_ms\": 70, \"later\": [nil]}]",
             "[1, 1] [128, 1, 1, {\"session\": 1, \"secret\": " SECRET_1 ", \"incarnation\": 99, "
             "\"resumed\": false, \"highest_request\": 0, \"ttl_ms\": 500, \"grace_ms\": 70, "
             "\"body_max\": 1048576, \"server\": \"stewardd\"}]");
}
END_TEST

START_TEST(a_keepalive_is_answered)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1]", "[2, 2]");
    EXCHANGE("a", "[3, 2]", "[3, 3]");
    rig_flush(rig);
    ck_assert_str_eq(rig_take(rig, "a"), "");
}
END_TEST

/* Each of these packets, the second on its connection, ends it with EPROTO. */
static const char *const BAD_SECOND[] = {
    "[3, 1]",                                               /* a gap */
    "[1, 1]",                                               /* a repeat */
    "[2, 9]",                                               /* saw what was not sent */
    "",                                                     /* no header */
    "2",                                                    /* no array */
    "[2]",                                                  /* a header too short */
    "[2, nil]",                                             /* a wrong type in it */
    "[2, 1] 7",                                             /* a record that is no array */
    "[2, 1] []",                                            /* without op */
    "[2, 1] [99]",                                          /* unknown op */
    "[2, 1] [128]",                                         /* an op of the manager */
    "[2, 1] [1, 1, 1, 0, {}]",                              /* HELLO again */
    "[2, 1] [67]",                                          /* too few fields */
    "[2, 1] [67, 1, 2]",                                    /* too many */
    "[2, 1] [67, 0]",                                       /* no such id */
    "[2, 1] [67, \"1\"]",                                   /* a str for a uint */
    "[2, 1] [16, 1, \"q\", nil, []]",                       /* no body */
    "[2, 1] [16, 1, \"q\", nil, [\"s\"]]",                  /* a str for a bin */
    "[2, 1] [16, 1, \"q\", nil, [nil]]",                    /* nil without a second frame */
    "[2, 1] [16, 1, 'q', nil, ['b']]",                      /* a bin for a str */
    "[2, 1] [16, 18446744073709551615, \"q\", nil, ['b']]", /* ids overflow */
    "[2, 1] [17, 1, \"q\", nil, [], ['b']]",                /* options are no map */
    "[2, 1] [17, 1, \"q\", nil, {1: 2}, ['b']]",            /* a key is no str */
    "[2, 1] [21, 1, 1, 0]",                                 /* no tags */
    "[2, 1] [21, 1, 1, 1025]",                              /* too many tags */
    "[2, 1] [21, 1, 18446744073709551615, 2]",              /* tags overflow */
    "[2, 1] [22, 1, 1, 1, nil, \"why\"]",                   /* nil for a uint */
    "[2, 1] [24, 1, 1, 1, 'why']",                          /* a bin for a str */
    "[2, 1] [18, 1, \"q\", 1, 0, nil, false]",              /* queues are no array */
    "[2, 1] [18, 1, [\"q\"], 1, 0, nil, 0]",                /* a uint for a bool */
    "[2, 1] [3]",                                           /* no pair */
    "[2, 1] [3, 1]",                                        /* half a pair */
    "[2, 1] [3, 1, 0]",                                     /* an empty range */
    "[2, 1] [4]",
    "[2, 1] [5, 1, 2]",
    "[2, 1] [2, 2]",
    "[2, 1] [32, 1, \"l\", 0, 1, 1, nil, 0]",
    "[2, 1] [48, 1, \"q\", nil]"};

START_TEST(a_bad_packet_ends_its_connection_and_no_other)
{
    rig_hello(rig, "good");
    rig_hello(rig, "bad");
    rig_receive(rig, "bad", BAD_SECOND[_i], NULL);
    const char *answer = rig_take(rig, "bad");
    ck_assert_msg(begins_with(answer, "[2, ") && strstr(answer, "[130, 16, \""), "%s gave %s",
                  BAD_SECOND[_i], answer);
    ck_assert_ptr_null(strstr(answer, "|"));
    rig_receive(rig, "bad", "[3, 2] [67, 1]", NULL);
    ck_assert_str_eq(rig_take(rig, "bad"), ""); /* dead: ignored */
    struct gateway_counters counters;
    gateway_counters(rig->gateway, &counters);
    ck_assert_uint_eq(counters.bad_packets, 1);
    ck_assert_uint_eq(counters.connections, 1);
    EXCHANGE("good", "[2, 1]", "[2, 2]");
}
END_TEST

/* Each of these, as the first packet of a stranger, is answered by BYE, once. */
static const char *const BAD_FIRST[] = {
    "",
    "[1, 0]",
    "[2, 1]",
    "[5, 3] [16, 1, \"q\", nil, ['b']]",
    "[1, 0] [67, 1]",
    "[1, 0] [1, 1, 1, 0]",
    "[1, 0] [1, 2, 1, 0, {}]",
    "[1, 0] [1, 1, 1, 0, {}] [67, 1]",
    "[1, 0] [1, 1, 1, 0, []]",
    "[1, 0] [1, 1, 1, 0, {\"ttl_ms\": \"x\"}]",
    "[1, 0] [1, 1, 1, 0, {\"session\": 1}]",
    "[1, 0] [1, 1, 1, 0, {\"session\": 1, \"secret\": 'short'}]"};

START_TEST(a_stranger_must_say_hello)
{
    rig_receive(rig, "bad", BAD_FIRST[_i], NULL);
    const char *answer = rig_take(rig, "bad");
    ck_assert_msg(begins_with(answer, "[1, ") && strstr(answer, "[130, 16, \""), "%s gave %s",
                  BAD_FIRST[_i], answer);
    rig_receive(rig, "bad", "[3, 2] [67, 1]", NULL);
    ck_assert_str_eq(rig_take(rig, "bad"), "");
    rig_hello(rig, "bad"); /* a new try is welcome */
}
END_TEST

START_TEST(no_common_version)
{
    EXCHANGE("a", "[1, 0] [1, 2, 7, 0, \"of another time\", nil]",
             "[1, 1] [130, 17, \"no common protocol version\"]");
}
END_TEST

START_TEST(frames_are_counted)
{
    rig_hello(rig, "a");
    rig_receive(rig, "a", "[2, 1]", "no nil for it");
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [130, 16, \"a second frame without a nil body\"]");
    rig_hello(rig, "b");
    rig_receive(rig, "b", "[2, 1] [16, 1, \"q\", nil, [nil, nil]]", "x");
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "b"), "[130, 16, \"a nil body without"));
    rig_hello(rig, "c");
    struct slice frames[3] = {slice_of("\x92\x02\x01", 3), slice_str("x"), slice_str("y")};
    struct gateway_packet packet = {slice_str("c"), frames, 3, -1};
    gateway_receive(rig->gateway, rig->now_ms, &packet);
    ck_assert_str_eq(rig_take(rig, "c"), "[2, 1] [130, 16, \"a packet has one frame, or two\"]");
    packet = (struct gateway_packet){slice_str("d"), frames, 0, -1};
    gateway_receive(rig->gateway, rig->now_ms, &packet);
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "d"), "[130, 16, "));
}
END_TEST

START_TEST(a_head_beyond_the_limit_is_refused)
{
    rig_hello(rig, "a");
    uint8_t *bytes = calloc(1, LIMIT_PACKET_CEILING_BYTES + 1);
    rig_receive_bytes(rig, "a", slice_of(bytes, LIMIT_PACKET_CEILING_BYTES + 1));
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 1] [130, 16, \"the packet's head is too large\"]");
    free(bytes);
}
END_TEST

START_TEST(records_before_a_bad_one_count)
{
    rig_hello(rig, "a");
    rig_receive(rig, "a", "[2, 1] [32, 1, \"l\", 0, 1, 1, 0, 0, false] [99]", NULL);
    const char *answer = rig_take(rig, "a");
    ck_assert_ptr_nonnull(strstr(answer, "[134, 1, "));
    ck_assert_ptr_nonnull(strstr(answer, "[130, 16, \"unknown op\"]"));
}
END_TEST

START_TEST(the_log_is_not_flooded)
{
    char peer[16];
    for (int i = 0; i < 50; i++) {
        (void)snprintf(peer, sizeof peer, "p%d", i);
        rig_receive(rig, peer, "[7, 7]", NULL);
    }
    ck_assert_uint_le(rig->log_lines, 5);
    rig->now_ms += 1000;
    rig_receive(rig, "late", "[7, 7]", NULL);
    ck_assert_ptr_nonnull(strstr(rig->log, "suppressed=45"));
}
END_TEST

/* ---- sessions ------------------------------------------------------------------------------- */

START_TEST(a_session_is_resumed_on_a_new_connection)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [32, 1, \"l\", 0, 1, 1, 0, 0, false]", "[2, 2] [134, 1, 1, 1]");
    rig_receive(rig, "b", RESUME("1", SECRET_1), NULL);
    const char *answer = rig_take(rig, "b");
    ck_assert_msg(strstr(answer, "\"resumed\": true, \"highest_request\": 1,") != NULL, "%s",
                  answer);
    ck_assert_str_eq(rig_take(rig, "a"), ""); /* superseded: no BYE */
    EXCHANGE("a", "[3, 2]", "");
    /* The request sent again gets the same answer. */
    EXCHANGE("b", "[2, 1] [32, 1, \"l\", 0, 1, 1, 0, 0, false]", "[2, 2] [134, 1, 1, 1]");
    rig_wait(rig, 5000); /* the old connection's end starts no grace time */
    EXCHANGE("b", "[3, 2]", "[3, 3]");
    struct gateway_counters counters;
    gateway_counters(rig->gateway, &counters);
    ck_assert_uint_eq(counters.resumed, 1);
    ck_assert_uint_eq(counters.connections, 1);
}
END_TEST

START_TEST(a_stranger_cannot_resume)
{
    rig_hello(rig, "a");
    EXCHANGE("b", RESUME("1", "h'00000000000000000000000000000002'"),
             "[1, 1] [130, 18, \"wrong session secret\"]");
    EXCHANGE("c", RESUME("77", SECRET_1),
             "[1, 1] [130, 15, \"the session ended: the outcome is unknown\"]");
    EXCHANGE("a", "[2, 1]", "[2, 2]");
}
END_TEST

START_TEST(leaving_ends_the_session_at_once)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [2]", "[2, 2] [130, 15, \"the session ended: the client left\"]");
    struct session_info info;
    ck_assert(!core_session(rig->core, 1, &info));
    EXCHANGE("a", "[3, 2]", "");
}
END_TEST

START_TEST(silence_ends_a_session)
{
    struct session_info info;
    rig_hello(rig, "a");
    rig_wait(rig, LIMIT_SESSION_TTL_MS - 1);
    EXCHANGE("a", "[2, 1]", "[2, 2]");
    rig_wait(rig, LIMIT_SESSION_TTL_MS - 1);
    ck_assert(core_session(rig->core, 1, &info));
    rig_wait(rig, 2);
    ck_assert(!core_session(rig->core, 1, &info));
    ck_assert_str_eq(rig_take(rig, "a"), "[3, 2] [130, 15, \"the session ended: silence\"]");
}
END_TEST

START_TEST(a_pause_of_the_manager_is_nobodys_silence)
{
    struct session_info info;
    rig_hello(rig, "a");
    rig_wait(rig, 9000);
    rig->now_ms += 30000; /* stopped */
    gateway_gap(rig->gateway, rig->now_ms, 30000);
    rig_wait(rig, 900);
    ck_assert(core_session(rig->core, 1, &info));
    rig_wait(rig, 200);
    ck_assert(!core_session(rig->core, 1, &info));
}
END_TEST

START_TEST(a_closed_connection_starts_the_grace_time)
{
    struct session_info info;
    rig_hello(rig, "a");
    gateway_closed(rig->gateway, rig->now_ms, 'z'); /* somebody else's descriptor */
    gateway_closed(rig->gateway, rig->now_ms, 'a'); /* a reused one: the peer is there */
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 1]");
    rig->answer = SEND_GONE;
    gateway_closed(rig->gateway, rig->now_ms, 'a');
    rig->answer = SEND_DONE;
    rig_wait(rig, LIMIT_SESSION_GRACE_MS - 1);
    ck_assert(core_session(rig->core, 1, &info));
    rig_wait(rig, 2);
    ck_assert(!core_session(rig->core, 1, &info));
}
END_TEST

/* The first connection waits for a lock that the second has; then it is gone. */
static void wait_and_vanish(void)
{
    rig_hello(rig, "b");
    EXCHANGE("b", "[2, 1] [32, 1, \"l\", 0, 1, 1, 0, 0, false]", "[2, 2] [134, 1, 1, 1]");
    rig_receive(rig, "a", "[2, 1] [32, 1, \"l\", 0, 1, 1, nil, 0, false]", NULL);
    (void)rig_take(rig, "a");
    rig->answer = SEND_GONE;
    gateway_closed(rig->gateway, rig->now_ms, 'a');
    rig->answer = SEND_DONE;
}

START_TEST(who_waits_for_a_lost_connection_is_passed_over)
{
    rig_hello(rig, "a");
    wait_and_vanish();
    EXCHANGE("b", "[3, 2] [33, 2, \"l\", 1, 1]", "[3, 3] [133, 2, 0]");
    /* Free, not handed to the one that is gone. */
    EXCHANGE("b", "[4, 3] [32, 3, \"l\", 0, 1, 1, 0, 0, false]", "[4, 4] [134, 3, 2, 1]");
    EXCHANGE("b", "[5, 4] [33, 4, \"l\", 1, 2]", "[5, 5] [133, 4, 0]");
    rig_receive(rig, "c", RESUME("1", SECRET_1), NULL);
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "c"), "[134, 1, 3, 1]")); /* back in time */
}
END_TEST

/* The client was back, on a new connection, before the old one was seen to be gone. */
START_TEST(a_connection_that_was_replaced_detaches_nobody)
{
    rig_hello(rig, "a");
    rig_receive(rig, "c", RESUME("1", SECRET_1), NULL);
    (void)rig_take(rig, "c");
    wait_and_vanish();
    rig_receive(rig, "c", "[2, 1] [32, 1, \"l\", 0, 1, 1, nil, 0, false]", NULL);
    (void)rig_take(rig, "c");
    rig_receive(rig, "b", "[3, 2] [33, 2, \"l\", 1, 1]", NULL);
    ck_assert_str_eq(rig_take(rig, "c"), "[3, 2] [134, 1, 2, 1]");
}
END_TEST

START_TEST(a_bad_packet_leaves_the_session_its_grace_time)
{
    rig_hello(rig, "a");
    rig_receive(rig, "a", "[9, 1]", NULL);
    (void)rig_take(rig, "a");
    rig_wait(rig, LIMIT_SESSION_GRACE_MS - 1);
    rig_receive(rig, "b", RESUME("1", SECRET_1), NULL);
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "b"), "\"resumed\": true"));
}
END_TEST

START_TEST(a_full_pipe_keeps_packets_in_order)
{
    rig_hello(rig, "a");
    rig->answer = SEND_LATER;
    rig_receive(rig, "a", "[2, 1] [32, 1, \"l\", 0, 1, 1, 0, 0, false]", NULL);
    rig_receive(rig, "a", "[3, 1] [32, 2, \"m\", 0, 1, 1, 0, 0, false]", NULL);
    ck_assert_str_eq(rig_take(rig, "a"), "");
    rig->answer = SEND_DONE;
    rig_wait(rig, 20);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [134, 1, 1, 1] | [3, 3] [134, 2, 2, 1]");
    EXCHANGE("a", "[4, 3]", "[4, 4]");
}
END_TEST

START_TEST(nothing_overtakes_kept_packets)
{
    rig_hello(rig, "a");
    rig->answer = SEND_LATER;
    rig_receive(rig, "a", "[2, 1]", NULL);
    rig->answer = SEND_DONE;
    struct buf bad = {0};
    buf_u8(&bad, 0xc1);
    struct slice frame = buf_view(&bad);
    struct gateway_packet packet = {slice_str("a"), &frame, 1, 'a'};
    gateway_receive(rig->gateway, rig->now_ms, &packet);
    ck_assert_str_eq(rig_take(rig, "a"), ""); /* packet 3, BYE, would be a gap */
    buf_fini(&bad);
}
END_TEST

START_TEST(a_client_that_does_not_read_is_ended)
{
    struct gateway_options options;
    struct session_info info;
    gateway_options_default(&options);
    options.outbox_max = 10000;
    rig_free(rig);
    rig = rig_new(&options);
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    rig_receive(rig, "a", "[2, 1] [48, 1, \"q\", {}]", NULL);
    rig->answer = SEND_LATER;
    char head[64];
    for (int i = 0; i < 20000 && core_session(rig->core, 1, &info); i++) {
        (void)snprintf(head, sizeof head, "[%d, 1] [57, %d, \"q\"]", i + 3, i + 2);
        rig_receive(rig, "a", head, NULL);
    }
    ck_assert(!core_session(rig->core, 1, &info));
    ck_assert(core_session(rig->core, 2, &info));
    rig->answer = SEND_DONE;
    struct gateway_counters counters;
    gateway_counters(rig->gateway, &counters);
    ck_assert_uint_eq(counters.overflowed, 1);
    EXCHANGE("b", "[2, 1]", "[2, 2]");
}
END_TEST

START_TEST(hellos_are_bounded)
{
    struct gateway_options options;
    gateway_options_default(&options);
    options.connections_max = 1;
    rig_free(rig);
    rig = rig_new(&options);
    rig_hello(rig, "a");
    EXCHANGE("b", "[1, 0] [1, 1, 1, 0, {}]",
             "[1, 1] [130, 13, \"a limit of the manager is reached\"]");
    EXCHANGE("c", "[1, 0] [1, 1, 1, 0, {}]",
             "[1, 1] [130, 13, \"a limit of the manager is reached\"]");
    EXCHANGE("a", "[2, 1]", "[2, 2]");
}
END_TEST

START_TEST(draining_refuses_hellos_and_puts)
{
    rig_hello(rig, "a");
    gateway_drain(rig->gateway);
    EXCHANGE("b", "[1, 0] [1, 1, 1, 0, {}]", "[1, 1] [130, 29, \"the manager is shutting down\"]");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x', 'y']] [32, 3, \"l\", 0, 1, 1, 0, 0, false]",
             "[2, 2] [132, 1, 2, 29, \"EDRAINING\", \"the manager is shutting down\"] "
             "[134, 3, 1, 1]");
    gateway_goodbye(rig->gateway, STW_EDRAINING, "bye");
    ck_assert_str_eq(rig_take(rig, "a"), "[3, 2] [130, 29, \"bye\"]");
}
END_TEST

static void add_packets(Suite *suite)
{
    TCase *tcase = tcase_create("packets");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, hello_is_welcomed);
    tcase_add_test(tcase, a_keepalive_is_answered);
    tcase_add_loop_test(tcase, a_bad_packet_ends_its_connection_and_no_other, 0,
                        sizeof BAD_SECOND / sizeof BAD_SECOND[0]);
    tcase_add_loop_test(tcase, a_stranger_must_say_hello, 0,
                        sizeof BAD_FIRST / sizeof BAD_FIRST[0]);
    tcase_add_test(tcase, no_common_version);
    tcase_add_test(tcase, frames_are_counted);
    tcase_add_test(tcase, a_head_beyond_the_limit_is_refused);
    tcase_add_test(tcase, records_before_a_bad_one_count);
    tcase_add_test(tcase, the_log_is_not_flooded);
    suite_add_tcase(suite, tcase);
}

static void add_sessions(Suite *suite)
{
    TCase *tcase = tcase_create("sessions");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_session_is_resumed_on_a_new_connection);
    tcase_add_test(tcase, a_stranger_cannot_resume);
    tcase_add_test(tcase, leaving_ends_the_session_at_once);
    tcase_add_test(tcase, silence_ends_a_session);
    tcase_add_test(tcase, a_pause_of_the_manager_is_nobodys_silence);
    tcase_add_test(tcase, a_closed_connection_starts_the_grace_time);
    tcase_add_test(tcase, who_waits_for_a_lost_connection_is_passed_over);
    tcase_add_test(tcase, a_connection_that_was_replaced_detaches_nobody);
    tcase_add_test(tcase, a_bad_packet_leaves_the_session_its_grace_time);
    tcase_add_test(tcase, a_full_pipe_keeps_packets_in_order);
    tcase_add_test(tcase, nothing_overtakes_kept_packets);
    tcase_add_test(tcase, a_client_that_does_not_read_is_ended);
    tcase_add_test(tcase, hellos_are_bounded);
    tcase_add_test(tcase, draining_refuses_hellos_and_puts);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("gateway");
    add_packets(suite);
    add_sessions(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
