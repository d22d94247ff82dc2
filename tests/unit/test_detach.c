/*
 * Detached sessions: nobody who waits for one gets, puts or locks anything; resumed in time, they
 * go on at their old places.
 */
#include "tests/unit/queue_fixture.h"

static struct queues q;
static uint64_t c; /* a third session, which stays */

static void setup(void)
{
    queues_begin(&q);
    c = fixture_open(&q.f, 3);
}

/* Also a core that still has parked waiters must go down. */
static void teardown(void)
{
    queues_end(&q);
}

static void detach_as(uint64_t session, uint64_t reference)
{
    struct command command = {
        .kind = COMMAND_SESSION_DETACH, .session = session, .reference = reference};
    fixture_apply(&q.f, &command);
}

/* Sessions of the fixture are opened by 99. */
static void detach(uint64_t session)
{
    detach_as(session, 99);
    fixture_restart(&q.f);
}

/* The fixture's secrets count from 1, as the sessions do. */
static void resume(uint64_t session)
{
    struct command command = {.kind = COMMAND_SESSION_RESUME,
                              .resume = {.reference = 99, .session = session}};
    memset(command.resume.secret, (int)session, sizeof command.resume.secret);
    fixture_restart(&q.f);
    fixture_apply(&q.f, &command);
    ck_assert(q.f.effects.items[0].resumed);
}

static uint64_t acquire(uint64_t session, uint64_t timeout_ms)
{
    struct command command = {
        .kind = COMMAND_ACQUIRE,
        .acquire = {
            .name = slice_str("l"), .kind = LOCK_MUTEX, .timeout_ms = timeout_ms, .permits = 1}};
    return fixture_request(&q.f, session, command);
}

static void unlock(uint64_t session, uint64_t token)
{
    struct command command = {.kind = COMMAND_UNLOCK,
                              .unlock = {.name = slice_str("l"), .token = token}};
    uint64_t request = fixture_request(&q.f, session, command);
    assert_reply(&q.f, session, request, STW_OK);
}

static uint64_t granted(uint64_t session, uint64_t request)
{
    assert_reply(&q.f, session, request, STW_OK);
    return fixture_reply(&q.f, session, request)->value;
}

/* "q" holds up to `maxsize` messages. */
static void bounded(uint64_t maxsize)
{
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = maxsize});
}

/* ---- the three cases ------------------------------------------------------------------------ */

START_TEST(an_item_goes_to_a_living_get)
{
    get(&q, q.a, 1, TIMEOUT_FOREVER);
    uint64_t living = get(&q, q.b, 1, TIMEOUT_FOREVER);
    detach(q.a);
    put(&q, c, "A", 0);
    assert_delivered(&q, q.a, "");
    assert_delivered(&q, q.b, "A");
    assert_reply(&q.f, q.b, living, STW_OK);
    ck_assert_uint_eq(delivery(&q, q.b)->messages[0].deliveries, 1);
    /* One that comes now does not wait behind it. */
    put(&q, c, "B", 0);
    assert_delivered(&q, q.a, "");
    fixture_restart(&q.f);
    get(&q, q.b, 1, TIMEOUT_FOREVER);
    assert_delivered(&q, q.b, "B");
    fixture_end(&q.f, q.a);
    put(&q, c, "C", 0);
    assert_delivered(&q, q.a, "");
}
END_TEST

START_TEST(an_item_goes_to_a_living_consumer)
{
    uint64_t gone = consume(&q, q.b, 5, 5000);
    consume(&q, c, 5, 5000);
    detach(q.b);
    put(&q, q.a, "ABC", 0);
    assert_delivered(&q, q.b, "");
    assert_delivered(&q, c, "ABC");
    credit(&q, q.b, gone, 5); /* makes no difference */
    put(&q, q.a, "D", 0);
    assert_delivered(&q, c, "D");
    ck_assert_uint_eq(shown(&q, "q", "consumers"), 2);
}
END_TEST

/* Another life of the manager: everybody waits at the old place until resumed. */
START_TEST(a_new_leader_serves_only_who_came_back)
{
    struct command start = {.kind = COMMAND_LEADER_START};
    uint64_t first = get(&q, q.a, 1, TIMEOUT_FOREVER);
    uint64_t second = get(&q, q.b, 1, TIMEOUT_FOREVER);
    uint64_t lock = granted(q.b, acquire(q.b, 0));
    uint64_t waits = acquire(q.a, TIMEOUT_FOREVER);
    fixture_restart(&q.f);
    fixture_apply(&q.f, &start);
    ck_assert_uint_eq(q.f.effects.count, 0);
    resume(c);
    put(&q, c, "A", 0);
    assert_delivered(&q, q.a, "");
    assert_delivered(&q, q.b, "");
    ck_assert_uint_eq(shown(&q, "q", "ready"), 1);
    resume(q.b);
    assert_delivered(&q, q.b, "A");
    assert_reply(&q.f, q.b, second, STW_OK);
    resume(q.a);
    put(&q, c, "B", 0);
    assert_delivered(&q, q.a, "B");
    assert_reply(&q.f, q.a, first, STW_OK);
    unlock(q.b, lock);
    ck_assert_uint_gt(granted(q.a, waits), lock);
}
END_TEST

struct visited {
    size_t count;
    uint64_t last, ttl_ms;
};

static void visit(void *context, uint64_t session, const struct session_info *info)
{
    struct visited *visited = context;
    ck_assert_uint_gt(session, visited->last);
    visited->count++;
    visited->last = session;
    visited->ttl_ms += info->ttl_ms;
}

START_TEST(all_sessions_are_visited_in_order)
{
    struct visited visited = {0};
    struct session_info info;
    core_sessions(q.f.core, visit, &visited);
    ck_assert_uint_eq(visited.count, 3);
    ck_assert(core_session(q.f.core, c, &info));
    ck_assert_uint_eq(visited.ttl_ms, 3 * info.ttl_ms);
    fixture_end(&q.f, q.a);
    visited = (struct visited){0};
    core_sessions(q.f.core, visit, &visited);
    ck_assert_uint_eq(visited.count, 2);
}
END_TEST

START_TEST(a_blocked_put_is_not_inserted)
{
    bounded(1);
    put(&q, c, "A", 0);
    uint64_t ghost = put(&q, q.a, "B", TIMEOUT_FOREVER);
    detach(q.a);
    get(&q, q.b, 1, 0);
    assert_delivered(&q, q.b, "A");
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, ghost));
    fixture_restart(&q.f);
    uint64_t empty = get(&q, q.b, 1, 0);
    assert_reply(&q.f, q.b, empty, STW_EEMPTY);
    uint64_t living = put(&q, c, "C", 0); /* does not queue up behind it */
    assert_reply(&q.f, c, living, STW_OK);
    fixture_end(&q.f, q.a);
    get(&q, q.b, 5, 0);
    assert_delivered(&q, q.b, "C");
}
END_TEST

START_TEST(a_smaller_put_behind_it_gets_in)
{
    bounded(2);
    put(&q, c, "A", 0);
    struct put_options options = no_options();
    put_with(&q, q.b, "BC", TIMEOUT_FOREVER, &options);
    uint64_t smaller = put(&q, c, "D", TIMEOUT_FOREVER);
    assert_silence(&q.f);
    detach_as(q.b, 99);
    assert_reply(&q.f, c, smaller, STW_OK);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 1);
}
END_TEST

START_TEST(a_lock_goes_to_a_living_waiter)
{
    uint64_t token = granted(q.b, acquire(q.b, 0));
    uint64_t ghost = acquire(q.a, TIMEOUT_FOREVER);
    uint64_t living = acquire(c, TIMEOUT_FOREVER);
    detach(q.a);
    unlock(q.b, token);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, ghost));
    token = granted(c, living);
    fixture_restart(&q.f);
    unlock(c, token);
    token = granted(q.b, acquire(q.b, 0)); /* free, though somebody is set aside */
    resume(q.a);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, ghost));
    unlock(q.b, token);
    (void)granted(q.a, ghost);
}
END_TEST

/* ---- back in time --------------------------------------------------------------------------- */

START_TEST(a_resumed_session_is_served_at_once)
{
    bounded(1);
    uint64_t token = granted(c, acquire(c, 0));
    uint64_t lock = acquire(q.a, TIMEOUT_FOREVER);
    put(&q, c, "A", 0);
    uint64_t putter = put(&q, q.a, "B", TIMEOUT_FOREVER);
    detach(q.a);
    get(&q, c, 1, 0);
    unlock(c, token);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_REPLY, q.a));
    resume(q.a);
    (void)granted(q.a, lock);
    assert_reply(&q.f, q.a, putter, STW_OK);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 1);
}
END_TEST

START_TEST(places_are_kept)
{
    uint64_t first = get(&q, q.a, 1, TIMEOUT_FOREVER);
    get(&q, q.b, 1, TIMEOUT_FOREVER);
    uint64_t third = get(&q, q.a, 1, TIMEOUT_FOREVER);
    uint64_t last = get(&q, c, 1, TIMEOUT_FOREVER);
    detach(q.a);
    detach(q.b);
    put(&q, c, "A", 0);
    assert_reply(&q.f, c, last, STW_OK);
    resume(q.b); /* before a, which waits longer */
    resume(q.a);
    put(&q, c, "B", 0);
    assert_reply(&q.f, q.a, first, STW_OK);
    put(&q, c, "C", 0);
    assert_delivered(&q, q.b, "C");
    put(&q, c, "D", 0);
    assert_reply(&q.f, q.a, third, STW_OK);
}
END_TEST

START_TEST(lock_waiters_keep_their_places)
{
    uint64_t token = granted(c, acquire(c, 0));
    uint64_t first = acquire(q.a, TIMEOUT_FOREVER), second = acquire(q.b, TIMEOUT_FOREVER);
    detach(q.a);
    detach(q.b);
    unlock(c, token);
    token = granted(c, acquire(c, 0));
    resume(q.b);
    resume(q.a);
    unlock(c, token);
    token = granted(q.a, first);
    unlock(q.a, token);
    (void)granted(q.b, second);
}
END_TEST

START_TEST(a_newer_connection_wins)
{
    uint64_t waits = get(&q, q.a, 1, TIMEOUT_FOREVER);
    detach_as(q.a, 98);
    detach_as(77, 99);
    assert_silence(&q.f);
    put(&q, c, "A", 0);
    assert_reply(&q.f, q.a, waits, STW_OK);
}
END_TEST

/* ---- what goes on meanwhile ----------------------------------------------------------------- */

/* A get, a consumer and a put of session b, all parked. */
static uint64_t park_all(uint64_t timeout_ms)
{
    bounded(1);
    uint64_t request = get(&q, q.b, 1, timeout_ms);
    consume(&q, q.b, 5, 5000);
    detach(q.b);
    put(&q, c, "A", 0);
    resume(q.b); /* the get has it: once more, with a put */
    assert_delivered(&q, q.b, "A");
    request = get(&q, q.b, 1, timeout_ms);
    detach(q.b);
    put(&q, c, "B", 0);
    put(&q, q.b, "C", timeout_ms);
    assert_delivered(&q, q.b, "");
    fixture_restart(&q.f);
    return request;
}

START_TEST(parked_waiters_end_with_their_queue)
{
    uint64_t request = park_all(TIMEOUT_FOREVER);
    named_as(&q, COMMAND_QUEUE_DELETE, "q");
    assert_reply(&q.f, q.b, request, STW_EDELETED);
    assert_reply(&q.f, q.b, request + 1, STW_EDELETED);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_CONSUMER_ENDED, q.b));
}
END_TEST

START_TEST(parked_waiters_end_with_a_shutdown)
{
    uint64_t request = park_all(TIMEOUT_FOREVER);
    named_as(&q, COMMAND_QUEUE_SHUTDOWN, "q");
    assert_reply(&q.f, q.b, request + 1, STW_ESHUTDOWN);
    ck_assert_ptr_null(fixture_reply(&q.f, q.b, request));
    fixture_restart(&q.f);
    get(&q, c, 1, 0);
    assert_delivered(&q, c, "B");
    assert_reply(&q.f, q.b, request, STW_ESHUTDOWN);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_CONSUMER_ENDED, q.b));
}
END_TEST

START_TEST(parked_waiters_have_their_deadlines)
{
    uint64_t request = park_all(500);
    fixture_tick(&q.f, q.f.now_ms + 499);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_REPLY, q.b));
    fixture_tick(&q.f, q.f.now_ms + 1);
    assert_reply(&q.f, q.b, request, STW_ETIMEOUT);
    assert_reply(&q.f, q.b, request + 1, STW_ETIMEOUT);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 0);
}
END_TEST

START_TEST(parked_waiters_end_with_their_session)
{
    park_all(TIMEOUT_FOREVER);
    fixture_end(&q.f, q.b);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 0);
    ck_assert_uint_eq(shown(&q, "q", "consumers"), 0);
    ck_assert_uint_eq(shown(&q, "q", "getters"), 0);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 2); /* A came back, C never was */
}
END_TEST

START_TEST(parked_waiters_can_be_cancelled)
{
    uint64_t request = park_all(TIMEOUT_FOREVER);
    for (uint64_t i = 0; i < 2; i++) {
        struct command cancel = {.kind = COMMAND_CANCEL, .target = request + i};
        fixture_request(&q.f, q.b, cancel);
        assert_reply(&q.f, q.b, request + i, STW_ECANCELED);
    }
    ck_assert_uint_eq(shown(&q, "q", "putters"), 0);
}
END_TEST

START_TEST(a_lock_with_parked_waiters_stays)
{
    uint64_t token = granted(c, acquire(c, 0));
    uint64_t ghost = acquire(q.a, 2 * LIMIT_IDLE_COLLECT_MS);
    detach(q.a);
    unlock(c, token);
    fixture_tick(&q.f, q.f.now_ms + 2 * LIMIT_IDLE_COLLECT_MS - 1);
    struct command show = {.kind = COMMAND_LOCK_SHOW, .named = {.name = slice_str("l")}};
    uint64_t request = fixture_request(&q.f, c, show);
    struct slice fields = fixture_reply(&q.f, c, request)->fields;
    ck_assert_uint_eq(fixture_rows(fields), 2);
    ck_assert_uint_eq(fixture_number(fields, 0, "waiters"), 1);
    fixture_tick(&q.f, q.f.now_ms + 1);
    assert_reply(&q.f, q.a, ghost, STW_ETIMEOUT);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_IDLE_COLLECT_MS);
    request = fixture_request(&q.f, c, show);
    assert_reply(&q.f, c, request, STW_ENOENT);
}
END_TEST

START_TEST(joins_and_leases_go_on)
{
    put(&q, c, "A", 0);
    get(&q, q.a, 1, 0);
    struct command join = {.kind = COMMAND_QUEUE_JOIN,
                           .join = {.name = slice_str("q"), .timeout_ms = TIMEOUT_FOREVER}};
    uint64_t request = fixture_request(&q.f, q.b, join);
    detach(q.a);
    detach(q.b);
    uint64_t ack = settle(&q, q.a, COMMAND_ACK, 1);
    assert_reply(&q.f, q.a, ack, STW_OK);
    assert_reply(&q.f, q.b, request, STW_OK);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {an_item_goes_to_a_living_get,
                                  a_new_leader_serves_only_who_came_back,
                                  all_sessions_are_visited_in_order,
                                  an_item_goes_to_a_living_consumer,
                                  a_blocked_put_is_not_inserted,
                                  a_smaller_put_behind_it_gets_in,
                                  a_lock_goes_to_a_living_waiter,
                                  a_resumed_session_is_served_at_once,
                                  places_are_kept,
                                  lock_waiters_keep_their_places,
                                  a_newer_connection_wins,
                                  parked_waiters_end_with_their_queue,
                                  parked_waiters_end_with_a_shutdown,
                                  parked_waiters_have_their_deadlines,
                                  parked_waiters_end_with_their_session,
                                  parked_waiters_can_be_cancelled,
                                  a_lock_with_parked_waiters_stays,
                                  joins_and_leases_go_on};
    Suite *suite = suite_create("detach");
    TCase *cases = tcase_create("detach");
    tcase_add_checked_fixture(cases, setup, teardown);
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
