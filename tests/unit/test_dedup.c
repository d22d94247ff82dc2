/* Dedup ids through core_apply: known within the window, bounded, reserved only when put. */
#include "tests/unit/queue_fixture.h"

static uint64_t put_id(struct queues *q, uint64_t session, const char *body, const char *id,
                       uint64_t timeout_ms)
{
    struct put_options options = no_options();
    options.dedup_id = slice_str(id);
    return put_with(q, session, body, timeout_ms, &options);
}

START_TEST(a_known_id_puts_nothing)
{
    struct queues q;
    queues_begin(&q);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "x", 0)), 0);
    ck_assert_uint_eq(number(&q, q.b, put_id(&q, q.b, "A", "x", 0)), 1);
    ck_assert_uint_eq(number(&q, q.b, put_id(&q, q.b, "B", "y", 0)), 0);
    fixture_restart(&q.f);
    ck_assert_uint_eq(number(&q, q.b, put_id(&q, q.b, "B", "y", 0)), 1);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 2);
    ck_assert_uint_eq(shown(&q, "q", "duplicates"), 2);
    assert_reply(&q.f, q.a, put_id(&q, q.a, "AB", "z", 0), STW_EINVAL);
    queues_end(&q);
}
END_TEST

START_TEST(the_window_ends)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_DEDUP_WINDOW, .dedup_window_ms = 500});
    put_id(&q, q.a, "A", "x", 0);
    fixture_tick(&q.f, q.f.now_ms + 499);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "x", 0)), 1);
    fixture_tick(&q.f, q.f.now_ms + 1);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "x", 0)), 0);
    queues_end(&q);
}
END_TEST

/* The window an id was remembered with is its own; expired, it is none, even if still there. */
START_TEST(a_changed_window_is_for_later_ids)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_DEDUP_WINDOW, .dedup_window_ms = 500});
    put_id(&q, q.a, "A", "long", 0);
    struct command alter = {
        .kind = COMMAND_QUEUE_ALTER,
        .queue = {slice_str("q"), {.given = QUEUE_DEDUP_WINDOW, .dedup_window_ms = 100}}};
    assert_reply(&q.f, q.a, fixture_request(&q.f, q.a, alter), STW_OK);
    put_id(&q, q.a, "B", "short", 0);
    fixture_tick(&q.f, q.f.now_ms + 99);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "B", "short", 0)), 1);
    fixture_tick(&q.f, q.f.now_ms + 1);
    fixture_restart(&q.f);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "B", "short", 0)), 0);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "B", "short", 0)), 1);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "long", 0)), 1);
    q.f.now_ms += 400; /* no tick */
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "long", 0)), 0);
    queues_end(&q);
}
END_TEST

START_TEST(two_blocked_puts_of_one_id_put_once)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 1});
    put(&q, q.a, "F", 0);
    uint64_t first = put_id(&q, q.a, "A", "x", TIMEOUT_FOREVER);
    uint64_t second = put_id(&q, q.b, "A", "x", TIMEOUT_FOREVER);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 2);
    fixture_restart(&q.f);
    get(&q, q.b, 1, 0);
    ck_assert_uint_eq(number(&q, q.a, first), 0);
    get(&q, q.b, 1, 0);
    assert_delivered(&q, q.b, "A");
    ck_assert_uint_eq(number(&q, q.b, second), 1);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 0);
    queues_end(&q);
}
END_TEST

START_TEST(a_blocked_put_that_gave_up_reserves_nothing)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 1});
    put(&q, q.a, "F", 0);
    uint64_t r = put_id(&q, q.a, "A", "x", 60);
    fixture_tick(&q.f, q.f.now_ms + 60);
    assert_reply(&q.f, q.a, r, STW_ETIMEOUT);
    get(&q, q.b, 1, 0);
    ck_assert_uint_eq(number(&q, q.a, put_id(&q, q.a, "A", "x", 0)), 0);
    queues_end(&q);
}
END_TEST

/* A core without checks after every step: there are many ids. */
START_TEST(the_oldest_id_is_forgotten_at_the_limit)
{
    struct queues q;
    queues_begin(&q);
    uint64_t last = q.f.request[q.a];
    for (uint32_t i = 0; i <= LIMIT_DEDUP_IDS; i++) {
        struct put_options options = no_options();
        options.dedup_id = slice_of(&i, sizeof i);
        struct command command = put_command(&q, "A", 0);
        command.kind = COMMAND_PUT_MANY;
        command.put.options = &options;
        command.session = q.a;
        command.request = ++last;
        core_apply(q.f.core, q.f.now_ms, &command, &q.f.effects);
        ck_assert_uint_eq(q.f.effects.items[0].value, 0);
    }
    q.f.request[q.a] = last;
    struct put_options options = no_options();
    uint32_t id = 0;
    options.dedup_id = slice_of(&id, sizeof id);
    ck_assert_uint_eq(number(&q, q.a, put_with(&q, q.a, "A", 0, &options)), 0); /* forgotten */
    id = 2;
    ck_assert_uint_eq(number(&q, q.a, put_with(&q, q.a, "A", 0, &options)), 1);
    fixture_fini(&q.f);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_known_id_puts_nothing,
        the_window_ends,
        a_changed_window_is_for_later_ids,
        two_blocked_puts_of_one_id_put_once,
        a_blocked_put_that_gave_up_reserves_nothing,
        the_oldest_id_is_forgotten_at_the_limit,
    };
    return fixture_run("dedup", tests, sizeof tests / sizeof *tests);
}
