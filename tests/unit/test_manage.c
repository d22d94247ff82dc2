/* MANAGE through the gateway: docs/protocol.md, section 5, "The manager". */
#include "tests/unit/gateway_rig.h"
#include "tests/unit/notation.h"

#include "common/base/limits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct rig *rig;

static void setup(void)
{
    rig = rig_new(NULL);
    rig_hello(rig, "a");
}

static void teardown(void)
{
    rig_free(rig);
}

/* The rows of the core, of the gateway, of the host, in this order. */
static void assert_rows(const char *answer, const char *begin, const char *action)
{
    char head[64], tail[128];
    (void)snprintf(head, sizeof head, "%s [{\"incarnation\": 99, ", begin);
    (void)snprintf(tail, sizeof tail, "\"connections\": 1}, %s}]]", action);
    ck_assert_msg(begins_with(answer, head), "%s", answer);
    ck_assert_msg(strstr(answer, tail) != NULL, "%s", answer);
}

START_TEST(rows_of_core_gateway_and_host_in_one_answer)
{
    rig_receive(rig, "a", "[2, 1] [80, 1, \"cluster\", \"\"] [80, 2, \"cluster.add\", \"4\"]",
                NULL);
    const char *answer = rig_take(rig, "a");
    assert_rows(answer, "[2, 2] [136, 1,",
                "{\"call\": 1, \"action\": \"cluster\", \"argument\": \"\"");
    const char *second = strstr(answer, " [136, 2,");
    ck_assert_msg(second != NULL, "%s", answer);
    assert_rows(second, " [136, 2,",
                "{\"call\": 2, \"action\": \"cluster.add\", \"argument\": \"4\"");
}
END_TEST

START_TEST(the_host_acts_at_the_flush_not_before)
{
    struct buf bytes = {0};
    ck_assert(notation_encode("[2, 1] [80, 1, \"x\", \"\"]", &bytes));
    struct slice head = buf_view(&bytes);
    struct gateway_packet packet = {.peer = slice_str("a"), .frames = &head, .count = 1};
    gateway_receive(rig->gateway, rig->now_ms, &packet);
    ck_assert_uint_eq(rig->managed, 0);
    rig_flush(rig);
    ck_assert_uint_eq(rig->managed, 1);
    buf_fini(&bytes);
}
END_TEST

START_TEST(a_broken_connection_takes_its_answer_along_and_asks_again)
{
    rig->answer = SEND_GONE;
    rig_receive(rig, "a", "[2, 1] [80, 1, \"cluster\", \"\"]", NULL);
    rig->answer = SEND_DONE;
    ck_assert_str_eq(rig_take(rig, "a"), "");
    rig_receive(rig, "b", RESUME("1", SECRET_1), NULL);
    (void)rig_take(rig, "b");
    rig_receive(rig, "b", "[2, 1] [80, 1, \"cluster\", \"\"]", NULL);
    assert_rows(rig_take(rig, "b"), "[2, 2] [136, 1,",
                "{\"call\": 2, \"action\": \"cluster\", \"argument\": \"\"");
}
END_TEST

START_TEST(a_long_word_is_refused_alone)
{
    char packet[800], word[LIMIT_NAME_BYTES + 2];
    memset(word, 'w', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    (void)snprintf(packet, sizeof packet,
                   "[2, 1] [80, 1, \"x\", \"%s\"] [16, 2, \"q\", nil, ['x']]", word);
    EXCHANGE("a", packet,
             "[2, 2] [132, 1, 1, 1, \"EINVAL\", \"an argument is not valid: action\"] [131, 2, 1]");
    ck_assert_uint_eq(rig->managed, 0);
}
END_TEST

START_TEST(a_used_id_is_no_second_call)
{
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "[2, 2] [131, 1, 1]");
    rig_receive(rig, "a", "[3, 2] [80, 1, \"x\", \"\"]", NULL);
    ck_assert(strstr(rig_take(rig, "a"), "\"EREUSED\"") != NULL);
    ck_assert_uint_eq(rig->managed, 0);
}
END_TEST

START_TEST(malformed_requests_end_the_connection)
{
    rig_receive(rig, "a", "[2, 1] [80, 1, \"x\"]", NULL);
    ck_assert_msg(begins_with(rig_take(rig, "a"), "[2, 2] [130, 16, "), "no BYE");
    rig_hello(rig, "c");
    rig_receive(rig, "c", "[2, 1] [80, 1, \"x\", 'bin']", NULL);
    ck_assert_msg(begins_with(rig_take(rig, "c"), "[2, 2] [130, 16, "), "no BYE");
    ck_assert_uint_eq(rig->managed, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("manage");
    TCase *tcase = tcase_create("manage");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, rows_of_core_gateway_and_host_in_one_answer);
    tcase_add_test(tcase, the_host_acts_at_the_flush_not_before);
    tcase_add_test(tcase, a_broken_connection_takes_its_answer_along_and_asks_again);
    tcase_add_test(tcase, a_long_word_is_refused_alone);
    tcase_add_test(tcase, a_used_id_is_no_second_call);
    tcase_add_test(tcase, malformed_requests_end_the_connection);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
