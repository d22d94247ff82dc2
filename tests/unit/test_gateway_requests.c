/* Requests through the gateway and back over the real core: docs/protocol.md, sections 5 to 7. */
#include "tests/unit/gateway_rig.h"

#include "common/base/limits.h"

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

/* ---- requests ------------------------------------------------------------------------------- */

START_TEST(puts_are_receipted_in_one_range)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x', 'y']] [16, 3, \"q\", nil, ['z']]",
             "[2, 2] [131, 1, 3]");
}
END_TEST

START_TEST(a_receipt_has_no_id_that_waits)
{
    rig_hello(rig, "a");
    EXCHANGE("a",
             "[2, 1] [16, 1, \"q\", nil, ['x']] [18, 2, [\"none\"], 1, nil, nil, false] "
             "[16, 3, \"q\", nil, ['y', 'z']]",
             "[2, 2] [131, 1, 1, 3, 2]");
}
END_TEST

START_TEST(messages_are_delivered_as_runs)
{
    rig_hello(rig, "a");
    EXCHANGE("a",
             "[2, 1] [16, 1, \"q\", nil, ['x', 'y']] [18, 3, [\"p\", \"q\"], 5, 0, nil, false]",
             "[2, 2] [131, 1, 2] [137, 3, \"q\", 1, 1, 30000, ['x', 'y']] [135, 3, 2]");
    EXCHANGE("a", "[3, 2] [3, 1, 3] [21, 4, 1, 2]", "[3, 3] [131, 4, 2]");
    EXCHANGE("a", "[4, 3] [21, 6, 2, 1]",
             "[4, 4] [132, 6, 1, 8, \"ELEASE\", \"the lease is lost or was never held\"]");
}
END_TEST

START_TEST(bad_names_are_quoted_in_readable_words)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [50, 1, \"a\nb\"]",
             "[2, 2] [132, 1, 1, 6, \"ENOENT\", \"there is no such object: a?b\"]");
    EXCHANGE("a", "[3, 2] [50, 2, \"a\xff\xc3\xa4\"]",
             "[3, 3] [132, 2, 1, 6, \"ENOENT\", \"there is no such object: a???\"]");
}
END_TEST

START_TEST(options_travel_with_the_message)
{
    rig_hello(rig, "a");
    EXCHANGE("a",
             "[2, 1] [17, 1, \"q\", nil, {\"priority\": 3, \"headers\": {\"k\": \"v\"}}, ['x']] "
             "[18, 2, [\"q\"], 1, 0, 5000, false]",
             "[2, 2] [133, 1, 0] "
             "[138, 2, \"q\", 1, 1, 5000, 1, 3, 1, {\"h.k\": \"v\"}, 'x'] [135, 2, 1]");
    EXCHANGE("a", "[3, 2] [17, 3, \"q\", nil, {\"prio\": 3}, ['x']]",
             "[3, 3] [132, 3, 1, 1, \"EINVAL\", \"an argument is not valid: prio\"]");
    EXCHANGE("a", "[4, 3] [48, 4, \"q\", {\"maxsize\": \"5\"}]",
             "[4, 4] [132, 4, 1, 1, \"EINVAL\", \"an argument is not valid: maxsize\"]");
}
END_TEST

START_TEST(bodies_beyond_the_limit_are_refused_alone)
{
    struct gateway_options options;
    gateway_options_default(&options);
    options.body_max = 3;
    rig_free(rig);
    rig = rig_new(&options);
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x', 'long', 'yyy', 'also long']]",
             "[2, 2] [131, 1, 1] [132, 2, 1, 12, \"ETOOBIG\", \"larger than the limit: q\"] "
             "[131, 3, 1] [132, 4, 1, 12, \"ETOOBIG\", \"larger than the limit: q\"]");
    EXCHANGE("a", "[3, 2] [17, 5, \"q\", nil, {}, ['x', 'long']]",
             "[3, 3] [132, 5, 1, 12, \"ETOOBIG\", \"larger than the limit: q\"]");
    /* Sent again, grouped otherwise: the same answers. */
    EXCHANGE("a", "[4, 3] [16, 2, \"q\", nil, ['long', 'yyy']]",
             "[4, 4] [132, 2, 1, 12, \"ETOOBIG\", \"larger than the limit: q\"] [131, 3, 1]");
}
END_TEST

START_TEST(memory_has_a_ceiling)
{
    struct gateway_options options;
    gateway_options_default(&options);
    options.memory_max = 100000;
    rig_free(rig);
    rig = rig_new(&options);
    rig_hello(rig, "a");
    char *body = calloc(1, 200001);
    memset(body, 'x', 200000);
    rig_receive(rig, "a", "[2, 1] [16, 1, \"q\", nil, [nil]]", body);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [131, 1, 1]");
    EXCHANGE("a", "[3, 2] [16, 2, \"q\", nil, ['x']]",
             "[3, 3] [132, 2, 1, 14, \"EMEMORY\", \"the manager's memory ceiling is reached\"]");
    /* What was put before the ceiling was reached is not refused when it is sent again. */
    rig_receive(rig, "a", "[4, 3] [16, 1, \"q\", nil, [nil]]", body);
    ck_assert_str_eq(rig_take(rig, "a"), "[4, 4] [131, 1, 1]");
    EXCHANGE("a", "[5, 4] [51, 3, \"q\"]", "[5, 5] [133, 3, 1]");
    EXCHANGE("a", "[6, 5] [16, 4, \"q\", nil, ['x']]", "[6, 6] [131, 4, 1]");
    free(body);
}
END_TEST

/* One body takes it far above: nothing new is made, what takes away goes on. */
START_TEST(far_above_the_ceiling_only_less_is_allowed)
{
    static const char full[] = "14, \"EMEMORY\", \"the manager's memory ceiling is reached\"";
    struct gateway_options options;
    gateway_options_default(&options);
    options.memory_max = 100000;
    rig_free(rig);
    rig = rig_new(&options);
    rig_hello(rig, "a");
    char *body = calloc(1, 200001);
    memset(body, 'x', 200000);
    rig_receive(rig, "a", "[2, 1] [16, 1, \"q\", nil, [nil]]", body);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [131, 1, 1]");
    char wanted[200];
    (void)snprintf(wanted, sizeof wanted, "[3, 3] [132, 2, 1, %s]", full);
    EXCHANGE("a", "[3, 2] [18, 2, [\"q\"], 1, nil, nil, false]", wanted);
    (void)snprintf(wanted, sizeof wanted, "[4, 4] [132, 3, 1, %s]", full);
    EXCHANGE("a", "[4, 3] [19, 3, [\"q\"], 9, 9, nil]", wanted);
    EXCHANGE("a", "[5, 4] [51, 4, \"q\"]", "[5, 5] [133, 4, 1]");
    EXCHANGE("a", "[6, 5] [19, 5, [\"q\"], 9, 9, nil]", "[6, 6] [131, 5, 1]");
    free(body);
}
END_TEST

START_TEST(large_bodies_travel_as_second_frame)
{
    rig_hello(rig, "a");
    rig_receive(rig, "b", "[1, 0] [1, 1, 1, 0, {}]", NULL); /* offers no second frames */
    ck_assert(begins_with(rig_take(rig, "b"), "[1, 1] [128, 1, 0, "));
    char *body = calloc(1, LIMIT_BODY_FRAME_BYTES + 1);
    memset(body, 'x', LIMIT_BODY_FRAME_BYTES);
    rig_receive(rig, "a", "[2, 1] [16, 1, \"q\", nil, ['s', nil, 't']]", body);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [131, 1, 3]");
    EXCHANGE("a", "[3, 2] [18, 4, [\"q\"], 3, 0, nil, false]",
             "[3, 3] [137, 4, \"q\", 1, 1, 30000, ['s']] "
             "[137, 4, \"q\", 2, 2, 30000, [nil]] + 'xxxxxxxx' | "
             "[4, 3] [137, 4, \"q\", 3, 3, 30000, ['t']] [135, 4, 3]");
    EXCHANGE("a", "[4, 4] [23, 5, 1, 3]", "[5, 4] [131, 5, 3]");
    rig_receive(rig, "b", "[2, 1] [18, 1, [\"q\"], 3, 0, nil, false]", NULL);
    const char *answer = rig_take(rig, "b");
    ck_assert_ptr_null(strstr(answer, " + "));
    ck_assert_ptr_nonnull(strstr(answer, "xxxxxxxx"));
    free(body);
}
END_TEST

START_TEST(a_large_answer_is_cut_into_packets)
{
    rig_hello(rig, "a");
    char *body = calloc(1, 60001);
    memset(body, 'x', 60000);
    for (int i = 0; i < 10; i++) {
        char head[64];
        (void)snprintf(head, sizeof head, "[%d, 1] [16, %d, \"q\", nil, [nil]]", i + 2, i + 1);
        rig_receive(rig, "a", head, body);
    }
    (void)rig_take(rig, "a");
    size_t before = rig->sent_count;
    rig_receive(rig, "a", "[12, 1] [18, 11, [\"q\"], 10, 0, nil, false]", NULL);
    ck_assert_uint_eq(rig->sent_count - before, 3); /* 4 bodies of 60000 fit in 256 KiB */
    for (size_t i = before; i < rig->sent_count; i++) {
        ck_assert_uint_le(rig->sent[i].head.size, LIMIT_PACKET_BYTES);
    }
    free(body);
}
END_TEST

START_TEST(stat_has_the_gateways_row)
{
    rig_hello(rig, "a");
    rig_receive(rig, "a", "[2, 1] [67, 1]", NULL);
    const char *answer = rig_take(rig, "a");
    ck_assert(begins_with(answer, "[2, 2] [136, 1, [{"));
    ck_assert_ptr_nonnull(strstr(answer, "}, {\"packets_in\": 2, "));
    rig_receive(rig, "a", "[3, 2] [57, 2, \"nothing\"]", NULL);
    ck_assert_ptr_null(strstr(rig_take(rig, "a"), "packets_in"));
}
END_TEST

START_TEST(a_stream_goes_on_after_a_resume)
{
    rig_hello(rig, "p");
    rig_hello(rig, "c");
    EXCHANGE("c", "[2, 1] [19, 1, [\"q\"], 10, 100000, nil]", "[2, 2] [131, 1, 1]");
    EXCHANGE("p", "[2, 1] [16, 1, \"q\", nil, ['x', 'y']]", "[2, 2] [131, 1, 2]");
    ck_assert_str_eq(rig_take(rig, "c"), "[3, 2] [137, 1, \"q\", 1, 1, 30000, ['x', 'y']]");
    EXCHANGE("c", "[3, 3] [3, 1, 1] [4, 1] [21, 2, 1, 1] [5, 1, 5, 1000]", "[4, 3] [131, 2, 1]");
    rig_receive(rig, "d",
                "[1, 0] [1, 1, 1, 1, {\"session\": 2, \"secret\": "
                "h'00000000000000000000000000000002', \"last_tag\": 1}]",
                NULL);
    const char *answer = rig_take(rig, "d");
    ck_assert_msg(strstr(answer, "[137, 1, \"q\", 2, 2, ") != NULL, "%s", answer);
    ck_assert_ptr_null(strstr(answer, "['x'"));
}
END_TEST

START_TEST(answers_for_nobody_are_dropped)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    EXCHANGE("a", "[2, 1] [18, 1, [\"q\"], 1, nil, nil, false]", "[2, 2]");
    rig_receive(rig, "a", "[9, 9]", NULL); /* dead */
    (void)rig_take(rig, "a");
    EXCHANGE("b", "[2, 1] [16, 1, \"q\", nil, ['x']]", "[2, 2] [131, 1, 1]");
    ck_assert_str_eq(rig_take(rig, "a"), "");
    rig_receive(rig, "c", RESUME("1", SECRET_1), NULL);
    (void)rig_take(rig, "c");
    EXCHANGE("c", "[2, 1] [18, 1, [\"q\"], 1, nil, nil, false]",
             "[2, 2] [137, 1, \"q\", 1, 1, 30000, ['x']] [135, 1, 1]");
}
END_TEST

START_TEST(an_operator_ends_a_session)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    EXCHANGE("b", "[2, 1] [66, 1, 1]", "[2, 2] [131, 1, 1]");
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "a"), "[130, 15, \"the session ended: "));
    rig_receive(rig, "b", "[3, 2] [66, 2, 2] [67, 3]", NULL); /* itself */
    ck_assert_ptr_nonnull(strstr(rig_take(rig, "b"), "[130, 15, \"the session ended: "));
}
END_TEST

static void add_requests(Suite *suite)
{
    TCase *tcase = tcase_create("requests");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, puts_are_receipted_in_one_range);
    tcase_add_test(tcase, a_receipt_has_no_id_that_waits);
    tcase_add_test(tcase, messages_are_delivered_as_runs);
    tcase_add_test(tcase, bad_names_are_quoted_in_readable_words);
    tcase_add_test(tcase, options_travel_with_the_message);
    tcase_add_test(tcase, bodies_beyond_the_limit_are_refused_alone);
    tcase_add_test(tcase, memory_has_a_ceiling);
    tcase_add_test(tcase, far_above_the_ceiling_only_less_is_allowed);
    tcase_add_test(tcase, large_bodies_travel_as_second_frame);
    tcase_add_test(tcase, a_large_answer_is_cut_into_packets);
    tcase_add_test(tcase, stat_has_the_gateways_row);
    tcase_add_test(tcase, a_stream_goes_on_after_a_resume);
    tcase_add_test(tcase, answers_for_nobody_are_dropped);
    tcase_add_test(tcase, an_operator_ends_a_session);
    suite_add_tcase(suite, tcase);
}

int main(void)
{
    Suite *suite = suite_create("gateway requests");
    add_requests(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
