/*
 * The gateway before a journal that takes its time, and its change of roles: what is confirmed
 * when, who is taken for alive meanwhile, and what a new leader, or a follower, says.
 */
#include "common/base/steward_errors.h"
#include "tests/unit/gateway_rig.h"

#include <check.h>

static struct rig *rig;

static void setup(void)
{
    rig = rig_new_late();
}

static void teardown(void)
{
    rig_free(rig);
}

static bool lives(uint64_t session)
{
    struct session_info info;
    return core_session(rig->core, session, &info);
}

static void vanish(const char *peer)
{
    rig->answer = SEND_GONE;
    gateway_closed(rig->gateway, rig->now_ms, peer[0]);
    rig->answer = SEND_DONE;
    rig_flush(rig);
}

/* ---- what is certain ------------------------------------------------------------------------ */

START_TEST(welcome_comes_once_the_session_is_certain)
{
    rig->late = true;
    EXCHANGE("a", "[1, 0] [1, 1, 1, 0, {}]", "");
    gateway_closed(rig->gateway, rig->now_ms, 'a'); /* a reused descriptor: nothing may come yet */
    ck_assert_str_eq(rig_take(rig, "a"), "");
    rig_apply(rig, 99);
    ck_assert(begins_with(rig_take(rig, "a"), "[1, 1] [128, 1, 0, {\"session\": 1, "));
    EXCHANGE("a", "[2, 1]", "[2, 2]");
}
END_TEST

START_TEST(a_packet_is_confirmed_when_it_is_applied)
{
    rig_hello(rig, "a");
    rig->late = true;
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x', 'y']]", "");
    EXCHANGE("a", "[3, 1] [3, 1, 1]", ""); /* SEEN: lost with a crash, so not confirmed either */
    rig_apply(rig, 1);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [131, 1, 2]");
    rig_apply(rig, 1);
    ck_assert_str_eq(rig_take(rig, "a"), "[3, 3]");
    rig_apply(rig, 1);
    ck_assert_str_eq(rig_take(rig, "a"), "");
}
END_TEST

START_TEST(a_slow_journal_is_no_dead_manager)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    rig->late = true;
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "");
    rig_wait(rig, 90);
    ck_assert_str_eq(rig_take(rig, "a"), "");
    rig_wait(rig, 20);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 1]"); /* here I am; the put is not certain */
    EXCHANGE("a", "[3, 2]", "");
    rig_wait(rig, 2000);
    ck_assert_str_eq(rig_take(rig, "a"), "[3, 1]"); /* one answer for one packet */
    ck_assert_str_eq(rig_take(rig, "b"), "");
    rig_apply(rig, 99);
    ck_assert_str_eq(rig_take(rig, "a"), "[4, 3] [131, 1, 1]");
}
END_TEST

/* Nothing is read for `ms`: the host says so now and then, and gives no ticks. */
static void unread(uint64_t ms)
{
    uint64_t since_ms = rig->now_ms;
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        rig->now_ms += 100;
        gateway_unread(rig->gateway, rig->now_ms, since_ms);
        rig_flush(rig);
    }
}

START_TEST(while_nothing_is_read_everybody_hears_from_us)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    vanish("b");
    unread(LIMIT_SESSION_TTL_MS / 4 - 100);
    ck_assert_str_eq(rig_take(rig, "a"), ""); /* a short pause costs nothing */
    unread(LIMIT_SESSION_TTL_MS);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 1] | [3, 1] | [4, 1] | [5, 1]");
    ck_assert_str_eq(rig_take(rig, "b"), "");
}
END_TEST

START_TEST(who_dies_waiting_is_forgotten)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    rig->late = true;
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "");
    EXCHANGE("b", "[2, 1] [16, 1, \"q\", nil, ['y']]", "");
    vanish("a");
    rig_apply(rig, 99);
    ck_assert_str_eq(rig_take(rig, "a"), "");
    ck_assert_str_eq(rig_take(rig, "b"), "[2, 2] [131, 1, 1]");
}
END_TEST

/* ---- sessions meanwhile --------------------------------------------------------------------- */

START_TEST(nothing_of_an_old_connection_comes_behind_the_resume)
{
    rig_hello(rig, "a");
    rig->late = true;
    EXCHANGE("b", RESUME("1", SECRET_1), "");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "");
    ck_assert_uint_eq(rig->submitted, 1); /* the RESUME alone: the put is late */
    rig_apply(rig, 99);
    ck_assert(begins_with(rig_take(rig, "b"), "[1, 1] [128, 1, 0, {\"session\": 1, "));
    ck_assert_str_eq(rig_take(rig, "a"), "");
}
END_TEST

START_TEST(a_wrong_secret_takes_nobodys_connection)
{
    rig_hello(rig, "a");
    rig->late = true;
    EXCHANGE("b", RESUME("1", "h'00000000000000000000000000000002'"), "");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "");
    rig_apply(rig, 99);
    ck_assert_str_eq(rig_take(rig, "b"), "[1, 1] [130, 18, \"wrong session secret\"]");
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 2] [131, 1, 1]");
    rig_wait(rig, LIMIT_SESSION_TTL_MS - 1);
    rig_apply(rig, 99);
    ck_assert(lives(1));
}
END_TEST

START_TEST(a_resume_that_came_in_time_counts)
{
    rig_hello(rig, "a");
    vanish("a");
    rig_wait(rig, LIMIT_SESSION_GRACE_MS - 1);
    rig->late = true;
    EXCHANGE("b", RESUME("1", SECRET_1), "");
    rig_wait(rig, 2 * LIMIT_SESSION_GRACE_MS);
    rig_apply(rig, 99);
    ck_assert(begins_with(rig_take(rig, "b"), "[1, 1] [128, 1, 0, {\"session\": 1, "));
    rig_apply(rig, 99);
    ck_assert(lives(1));
}
END_TEST

START_TEST(a_resume_that_broke_off_does_not_keep_a_session)
{
    rig_hello(rig, "a");
    vanish("a");
    rig->late = true;
    EXCHANGE("b", RESUME("1", SECRET_1), "");
    rig_wait(rig, 40000); /* the HELLO's patience is over, then the session's */
    rig_apply(rig, 99);
    rig_wait(rig, LIMIT_SESSION_GRACE_MS + 1);
    rig_apply(rig, 99);
    ck_assert(!lives(1));
}
END_TEST

/* ---- roles ---------------------------------------------------------------------------------- */

/* As after a restart: the core keeps its sessions, nobody is connected. */
static void lead_again(void)
{
    gateway_follow(rig->gateway, rig->now_ms);
    (void)rig_take(rig, "a");
    gateway_lead(rig->gateway, rig->now_ms);
}

START_TEST(a_new_leader_waits_for_sessions)
{
    rig_hello(rig, "a");
    rig_hello(rig, "b");
    lead_again();
    rig_wait(rig, LIMIT_SESSION_TTL_MS - 1); /* longer than the grace */
    ck_assert(lives(1) && lives(2));
    rig_receive(rig, "c", RESUME("1", SECRET_1), NULL);
    ck_assert(begins_with(rig_take(rig, "c"), "[1, 1] [128, 1, 0, {\"session\": 1, "));
    rig_wait(rig, 2);
    ck_assert(lives(1) && !lives(2));
    vanish("c"); /* from now on, the grace */
    rig_wait(rig, LIMIT_SESSION_GRACE_MS + 1);
    ck_assert(!lives(1));
}
END_TEST

START_TEST(losing_the_lead_sends_everybody_away)
{
    rig_hello(rig, "a");
    rig->late = true;
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "");
    EXCHANGE("b", "[1, 0] [1, 1, 1, 0, {}]", "");
    gateway_follow(rig->gateway, rig->now_ms);
    rig_flush(rig);
    ck_assert_str_eq(rig_take(rig, "a"), "[2, 1] [130, 19, \"another node leads\"]");
    ck_assert_str_eq(rig_take(rig, "b"), "[1, 1] [130, 19, \"another node leads\"]");
    EXCHANGE("a", "[3, 2]", "");
    rig_wait(rig, 60000);
    ck_assert_uint_eq(rig->submitted, 2); /* the put and the HELLO: nothing since */
}
END_TEST

START_TEST(a_follower_tells_who_leads)
{
    gateway_follow(rig->gateway, rig->now_ms);
    EXCHANGE("a", "[1, 0] [1, 1, 1, 0, {}]",
             "[1, 1] [130, 32, \"no leader is known: too few nodes answer, or an election is under "
             "way; try again\"]");
    rig->leader = "tcp://10.0.0.2:5757";
    EXCHANGE("b", "[1, 0] [1, 1, 1, 0, {}]", "[1, 1] [129, \"tcp://10.0.0.2:5757\"]");
    EXCHANGE("b", "[2, 1]", "");
    EXCHANGE("c", RESUME("1", SECRET_1), "[1, 1] [129, \"tcp://10.0.0.2:5757\"]");
    EXCHANGE("d", "[1, 0] [1, 9, 9, 0, {}]", "[1, 1] [130, 17, \"no common protocol version\"]");
    gateway_lead(rig->gateway, rig->now_ms);
    rig_hello(rig, "b");
}
END_TEST

START_TEST(a_full_disk_takes_no_more)
{
    rig_hello(rig, "a");
    EXCHANGE("a", "[2, 1] [16, 1, \"q\", nil, ['x']]", "[2, 2] [131, 1, 1]");
    gateway_set_tight(rig->gateway, true);
    EXCHANGE("a", "[3, 2] [16, 2, \"q\", nil, ['y']]",
             "[3, 3] [132, 2, 1, 33, \"EDISK\", \"the manager's disk is full\"]");
    EXCHANGE("a", "[4, 3] [17, 3, \"q\", nil, {}, ['y']]",
             "[4, 4] [132, 3, 1, 33, \"EDISK\", \"the manager's disk is full\"]");
    EXCHANGE("a", "[5, 4] [48, 4, \"p\", {}]",
             "[5, 5] [132, 4, 1, 33, \"EDISK\", \"the manager's disk is full\"]");
    EXCHANGE("a", "[6, 5] [32, 5, \"l\", 0, 1, 1, 0, 0, false]", "[6, 6] [134, 5, 1, 1]");
    rig_hello(rig, "b");
    gateway_set_tight(rig->gateway, false);
    EXCHANGE("a", "[7, 6] [16, 6, \"q\", nil, ['y']]", "[7, 7] [131, 6, 1]");
}
END_TEST

int main(void)
{
    const TTest *const TESTS[] = {welcome_comes_once_the_session_is_certain,
                                  a_packet_is_confirmed_when_it_is_applied,
                                  a_slow_journal_is_no_dead_manager,
                                  while_nothing_is_read_everybody_hears_from_us,
                                  who_dies_waiting_is_forgotten,
                                  nothing_of_an_old_connection_comes_behind_the_resume,
                                  a_wrong_secret_takes_nobodys_connection,
                                  a_resume_that_came_in_time_counts,
                                  a_resume_that_broke_off_does_not_keep_a_session,
                                  a_new_leader_waits_for_sessions,
                                  losing_the_lead_sends_everybody_away,
                                  a_follower_tells_who_leads,
                                  a_full_disk_takes_no_more};
    Suite *suite = suite_create("gateway_late");
    TCase *tcase = tcase_create("late");
    tcase_add_checked_fixture(tcase, setup, teardown);
    for (size_t i = 0; i < sizeof TESTS / sizeof TESTS[0]; i++) {
        tcase_add_test(tcase, TESTS[i]);
    }
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
