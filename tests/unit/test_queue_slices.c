/* Work on queues that one command may not finish: it goes on in ticks, and nobody is forgotten. */
#include "tests/unit/queue_fixture.h"

#include "common/base/limits.h"

/* Two commands' work and some more. */
#define MANY (2 * LIMIT_WORK_UNITS + 100)

/* Without the checks after each command: they would take most of the time. */
static void apply_quickly(struct queues *q, uint64_t session, struct command command)
{
    command.session = session;
    command.request = ++q->f.request[session];
    core_apply(q->f.core, q->f.now_ms, &command, &q->f.effects);
}

/* Ticks until nothing is left to do; how many it took. */
static uint64_t finish(struct queues *q)
{
    uint64_t ticks = 0;
    while (core_deadline(q->f.core) <= q->f.now_ms) {
        fixture_tick(&q->f, q->f.now_ms);
        ck_assert_uint_lt(++ticks, 100);
    }
    return ticks;
}

static void join_many(struct queues *q, uint64_t session)
{
    struct command join = {.kind = COMMAND_QUEUE_JOIN,
                           .join = {.name = slice_str("q"), .timeout_ms = TIMEOUT_FOREVER}};
    for (uint64_t i = 0; i < MANY; i++) {
        apply_quickly(q, session, join);
    }
    core_check(q->f.core);
}

START_TEST(a_join_that_was_over_ends_although_more_is_put)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.a, 1, 0);
    join_many(&q, q.b);
    settle(&q, q.a, COMMAND_ACK, 1);
    fixture_restart(&q.f);
    put(&q, q.a, "B", 0);
    struct command late = {.kind = COMMAND_QUEUE_JOIN,
                           .join = {.name = slice_str("q"), .timeout_ms = TIMEOUT_FOREVER}};
    uint64_t waits = fixture_request(&q.f, q.b, late);
    (void)finish(&q);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 1);
    ck_assert_uint_eq(shown(&q, "q", "joiners"), 1);
    get(&q, q.a, 1, 0);
    settle(&q, q.a, COMMAND_ACK, 2);
    assert_reply(&q.f, q.b, waits, STW_OK);
    queues_end(&q);
}
END_TEST

START_TEST(a_shutdown_at_once_ends_joins_in_slices)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.a, 1, 0);
    join_many(&q, q.b);
    struct command command = {.kind = COMMAND_QUEUE_SHUTDOWN,
                              .named = {.name = slice_str("q"), .immediate = true}};
    assert_reply(&q.f, q.a, fixture_request(&q.f, q.a, command), STW_OK);
    ck_assert_uint_ge(finish(&q), 2);
    ck_assert_uint_eq(shown(&q, "q", "joiners"), 0);
    queues_end(&q);
}
END_TEST

START_TEST(room_for_one_large_body_is_made_in_slices)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q",
            (struct queue_options){.given = QUEUE_MAX_BYTES | QUEUE_OVERFLOW,
                                   .max_bytes = 10,
                                   .overflow = OVERFLOW_DROP_OLDEST});
    struct command empty = put_command(&q, "A", 0);
    q.body[0].size = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        apply_quickly(&q, q.a, empty);
    }
    struct command full = put_command(&q, "A", 0);
    q.body[0] = slice_str("0123456789");
    assert_reply(&q.f, q.a, fixture_request(&q.f, q.a, full), STW_OK);
    uint64_t first = put(&q, q.a, "B", 0);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, first));
    fixture_restart(&q.f);
    uint64_t dropped = shown(&q, "q", "dropped");
    ck_assert_uint_lt(dropped, MANY);
    put(&q, q.b, "C", 0);
    (void)finish(&q);
    ck_assert_uint_eq(shown(&q, "q", "dropped"), MANY + 1);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 0);
    get(&q, q.b, 9, 0);
    assert_delivered(&q, q.b, "BC");
    queues_end(&q);
}
END_TEST

/* The getter that is served first takes all work of the command: the put is not forgotten. */
START_TEST(a_put_behind_a_long_get_waits_for_its_room)
{
    struct queues q;
    queues_begin(&q);
    for (uint64_t i = 0; i < 2 * LIMIT_WORK_UNITS; i++) {
        apply_quickly(&q, q.a, put_command(&q, "A", 0));
    }
    get(&q, q.b, LIMIT_BATCH, 0);
    get(&q, q.b, LIMIT_BATCH, 0);
    struct command alter = {.kind = COMMAND_QUEUE_ALTER, .queue.name = slice_str("q")};
    alter.queue.options = (struct queue_options){
        .given = QUEUE_MAXSIZE | QUEUE_OVERFLOW, .maxsize = 2, .overflow = OVERFLOW_DROP_OLDEST};
    fixture_request(&q.f, q.a, alter);
    get(&q, q.a, LIMIT_BATCH, TIMEOUT_FOREVER);
    fixture_end(&q.f, q.b);
    fixture_tick(&q.f, q.f.now_ms); /* all leases are back, but nobody was served */
    uint64_t request = put(&q, q.a, "B", 0);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, request));
    ck_assert_uint_ge(finish(&q), 1);
    ck_assert_uint_eq(shown(&q, "q", "putters"), 0);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 2);
    queues_end(&q);
}
END_TEST

START_TEST(the_ids_of_a_deleted_queue_go_in_slices)
{
    struct queues q;
    queues_begin(&q);
    uint64_t before = core_bytes(q.f.core);
    struct command command = put_command(&q, "A", 0);
    command.kind = COMMAND_PUT_MANY;
    for (uint32_t i = 1; i <= MANY; i++) {
        struct put_options options = no_options();
        options.dedup_id = slice_of(&i, sizeof i);
        command.put.options = &options;
        apply_quickly(&q, q.b, command);
    }
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_PURGE, "q"), STW_OK);
    (void)finish(&q);
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_DELETE, "q"), STW_OK);
    fixture_restart(&q.f);
    ck_assert_uint_ge(finish(&q), 1);
    fixture_end(&q.f, q.b);
    (void)finish(&q);
    ck_assert_uint_lt(core_bytes(q.f.core), before + 8000);
    queues_end(&q);
}
END_TEST

START_TEST(one_get_takes_no_more_bytes_than_an_outbox_holds)
{
    struct queues q;
    queues_begin(&q);
    uint8_t *large = calloc(1, 1024 * 1024);
    for (int i = 0; i < 20; i++) {
        struct command command = put_command(&q, "A", 0);
        q.body[0] = slice_of(large, 1024 * 1024);
        fixture_request(&q.f, q.a, command);
    }
    uint64_t first = get(&q, q.b, 100, 0);
    uint64_t got = fixture_reply(&q.f, q.b, first)->value;
    ck_assert_uint_eq(got, LIMIT_CREDIT_BYTES / (1024 * 1024));
    get(&q, q.b, 100, 0);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 0);
    free(large);
    queues_end(&q);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_join_that_was_over_ends_although_more_is_put,
        a_shutdown_at_once_ends_joins_in_slices,
        room_for_one_large_body_is_made_in_slices,
        a_put_behind_a_long_get_waits_for_its_room,
        the_ids_of_a_deleted_queue_go_in_slices,
        one_get_takes_no_more_bytes_than_an_outbox_holds,
    };
    return fixture_run("queue slices", tests, sizeof tests / sizeof *tests);
}
