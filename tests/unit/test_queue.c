/* Queues through core_apply: order, bounds, waiting, priorities, delays, ends, pages. */
#include "tests/unit/queue_fixture.h"

START_TEST(a_queue_is_first_in_first_out)
{
    struct queues q;
    queues_begin(&q);
    uint64_t r = put(&q, q.a, "ABCD", 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_reply(&q.f, q.a, r + i, STW_OK);
    }
    ck_assert_uint_eq(q.f.effects.count, 1); /* one receipt for the run */
    r = get(&q, q.b, 3, 0);
    assert_delivered(&q, q.b, "ABC");
    ck_assert_uint_eq(fixture_reply(&q.f, q.b, r)->value, 3);
    get(&q, q.b, 3, 0);
    assert_delivered(&q, q.b, "D");
    r = get(&q, q.b, 3, 0);
    assert_reply(&q.f, q.b, r, STW_EEMPTY);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 4);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 4);
    queues_end(&q);
}
END_TEST

START_TEST(gets_wait_in_line)
{
    struct queues q;
    queues_begin(&q);
    uint64_t first = get(&q, q.b, 2, TIMEOUT_FOREVER);
    assert_silence(&q.f);
    get(&q, q.a, 1, TIMEOUT_FOREVER);
    fixture_restart(&q.f);
    put(&q, q.a, "A", 0);
    assert_delivered(&q, q.b, "A");
    assert_reply(&q.f, q.b, first, STW_OK);
    put(&q, q.b, "B", 0);
    assert_delivered(&q, q.a, "B");
    queues_end(&q);
}
END_TEST

START_TEST(a_waiting_get_times_out)
{
    struct queues q;
    queues_begin(&q);
    uint64_t r = get(&q, q.b, 1, 50);
    fixture_tick(&q.f, q.f.now_ms + 49);
    assert_silence(&q.f);
    fixture_tick(&q.f, q.f.now_ms + 1);
    assert_reply(&q.f, q.b, r, STW_ETIMEOUT);
    put(&q, q.a, "A", 0);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_DELIVER, q.b));
    queues_end(&q);
}
END_TEST

START_TEST(a_get_takes_the_first_of_several_queues_that_has_one)
{
    struct queues q;
    queues_begin(&q);
    struct command command = get_command(&q, "p", 1, TIMEOUT_FOREVER);
    q.name[1] = slice_str("q");
    command.get.queues_count = 2;
    fixture_request(&q.f, q.b, command);
    assert_silence(&q.f);
    put(&q, q.a, "A", 0);
    assert_delivered(&q, q.b, "A");
    ck_assert_uint_eq(shown(&q, "p", "getters"), 0);
    q.name[1] = slice_str("p");
    uint64_t r = fixture_request(&q.f, q.b, command);
    assert_reply(&q.f, q.b, r, STW_EINVAL); /* named twice */
    queues_end(&q);
}
END_TEST

START_TEST(priority_goes_first_and_keeps_order_within_one)
{
    struct queues q;
    queues_begin(&q);
    struct put_options options = no_options();
    put(&q, q.a, "AB", 0);
    options.priority = 5;
    put_with(&q, q.a, "CD", 0, &options);
    options.priority = 200;
    put_with(&q, q.a, "E", 0, &options);
    put(&q, q.a, "F", 0);
    get(&q, q.b, 10, 0);
    assert_delivered(&q, q.b, "ECDABF");
    queues_end(&q);
}
END_TEST

START_TEST(delayed_messages_come_when_due)
{
    struct queues q;
    queues_begin(&q);
    struct put_options options = no_options();
    options.delay_ms = 100;
    put_with(&q, q.a, "A", 0, &options);
    put(&q, q.a, "B", 0);
    ck_assert_uint_eq(shown(&q, "q", "delayed"), 1);
    get(&q, q.b, 10, 0);
    assert_delivered(&q, q.b, "B");
    uint64_t r = get(&q, q.b, 10, TIMEOUT_FOREVER);
    ck_assert_uint_eq(core_deadline(q.f.core), q.f.now_ms + 100);
    fixture_restart(&q.f);
    fixture_tick(&q.f, q.f.now_ms + 100);
    assert_delivered(&q, q.b, "A");
    assert_reply(&q.f, q.b, r, STW_OK);
    queues_end(&q);
}
END_TEST

START_TEST(time_to_live_ends_only_what_waits)
{
    struct queues q;
    queues_begin(&q);
    struct put_options options = no_options();
    options.ttl_ms = 100;
    put_with(&q, q.a, "AB", 0, &options);
    get(&q, q.b, 1, 0);
    uint64_t tag = delivery(&q, q.b)->first_tag;
    fixture_tick(&q.f, q.f.now_ms + 100);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 0);
    ck_assert_uint_eq(shown(&q, "q", "expired"), 1);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 1);
    settle(&q, q.b, COMMAND_RELEASE, tag); /* too old when it comes back */
    ck_assert_uint_eq(shown(&q, "q", "expired"), 2);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 0);
    queues_end(&q);
}
END_TEST

START_TEST(a_full_queue_blocks_in_order)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 2});
    uint64_t r = put(&q, q.a, "ABCD", TIMEOUT_FOREVER);
    assert_reply(&q.f, q.a, r + 1, STW_OK);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, r + 2));
    ck_assert_uint_eq(shown(&q, "q", "putters"), 2);
    uint64_t r2 = put(&q, q.b, "E", 0);
    assert_reply(&q.f, q.b, r2, STW_EFULL);
    fixture_restart(&q.f);
    get(&q, q.b, 1, 0);
    assert_delivered(&q, q.b, "A");
    assert_reply(&q.f, q.a, r + 2, STW_OK);
    struct command cancel = {.kind = COMMAND_CANCEL, .target = r + 3};
    fixture_request(&q.f, q.a, cancel);
    assert_reply(&q.f, q.a, r + 3, STW_ECANCELED);
    get(&q, q.b, 9, 0);
    assert_delivered(&q, q.b, "BC");
    queues_end(&q);
}
END_TEST

START_TEST(a_blocked_put_times_out)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 1});
    put(&q, q.a, "A", 0);
    uint64_t r = put(&q, q.a, "B", 70);
    fixture_tick(&q.f, q.f.now_ms + 70);
    assert_reply(&q.f, q.a, r, STW_ETIMEOUT);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 1);
    queues_end(&q);
}
END_TEST

START_TEST(a_put_of_many_is_atomic)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 3});
    struct put_options options = no_options();
    put(&q, q.a, "A", 0);
    assert_reply(&q.f, q.a, put_with(&q, q.a, "BCD", 0, &options), STW_EFULL);
    assert_reply(&q.f, q.a, put_with(&q, q.a, "BCDE", 0, &options), STW_ETOOBIG);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 1);
    uint64_t many = put_with(&q, q.a, "BCD", TIMEOUT_FOREVER, &options);
    uint64_t small = put(&q, q.b, "E", 90); /* may not overtake */
    get(&q, q.b, 1, 0);
    ck_assert_uint_eq(number(&q, q.a, many), 0);
    fixture_tick(&q.f, q.f.now_ms + 90);
    assert_reply(&q.f, q.b, small, STW_ETIMEOUT);
    get(&q, q.b, 9, 0);
    assert_delivered(&q, q.b, "BCD");
    queues_end(&q);
}
END_TEST

START_TEST(overflow_rejects_or_drops)
{
    struct queues q;
    queues_begin(&q);
    struct queue_options options = {
        .given = QUEUE_MAXSIZE | QUEUE_OVERFLOW, .maxsize = 2, .overflow = OVERFLOW_DROP_OLDEST};
    declare(&q, "q", options);
    put(&q, q.a, "ABC", 0);
    ck_assert_uint_eq(shown(&q, "q", "dropped"), 1);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 2);
    options.overflow = OVERFLOW_REJECT;
    options.given = QUEUE_OVERFLOW;
    struct command alter = {.kind = COMMAND_QUEUE_ALTER,
                            .queue = {.name = slice_str("q"), .options = options}};
    fixture_request(&q.f, q.a, alter);
    assert_reply(&q.f, q.a, put(&q, q.a, "D", TIMEOUT_FOREVER), STW_EFULL);
    get(&q, q.b, 9, 0);
    assert_delivered(&q, q.b, "BC");
    queues_end(&q);
}
END_TEST

START_TEST(max_bytes_bounds_bodies)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAX_BYTES, .max_bytes = 10});
    struct command command = put_command(&q, "A", 0);
    q.body[0] = slice_str("0123456789-");
    uint64_t r = fixture_request(&q.f, q.a, command);
    assert_reply(&q.f, q.a, r, STW_ETOOBIG);
    q.body[0] = slice_str("0123456789");
    assert_reply(&q.f, q.a, fixture_request(&q.f, q.a, command), STW_OK);
    assert_reply(&q.f, q.a, put(&q, q.a, "B", 0), STW_EFULL);
    ck_assert_uint_eq(shown(&q, "q", "bytes"), 10);
    queues_end(&q);
}
END_TEST

START_TEST(consumers_take_turns_within_their_credit)
{
    struct queues q;
    queues_begin(&q);
    uint64_t channel = consume(&q, q.a, 2, 1000);
    consume(&q, q.b, 3, 1000);
    put(&q, q.a, "ABC", 0);
    assert_delivered(&q, q.a, "AB");
    assert_delivered(&q, q.b, "C");
    put(&q, q.a, "DEF", 0);
    assert_delivered(&q, q.b, "DE");
    ck_assert_uint_eq(shown(&q, "q", "consumers"), 2);
    ck_assert_uint_eq(shown(&q, "q", "getters"), 0);
    fixture_restart(&q.f);
    credit(&q, q.a, channel, 1);
    assert_delivered(&q, q.a, "F");
    ck_assert_uint_eq(delivery(&q, q.a)->first_tag, 3); /* contiguous per session */
    queues_end(&q);
}
END_TEST

START_TEST(credit_in_bytes_may_be_overdrawn_once)
{
    struct queues q;
    queues_begin(&q);
    consume(&q, q.b, 10, 2);
    put(&q, q.a, "ABC", 0);
    assert_delivered(&q, q.b, "AB");
    queues_end(&q);
}
END_TEST

START_TEST(unconsume_leaves_leases)
{
    struct queues q;
    queues_begin(&q);
    uint64_t channel = consume(&q, q.b, 1, 1000);
    put(&q, q.a, "AB", 0);
    struct command command = {.kind = COMMAND_UNCONSUME, .target = channel};
    assert_reply(&q.f, q.b, fixture_request(&q.f, q.b, command), STW_OK);
    assert_reply(&q.f, q.b, fixture_request(&q.f, q.b, command), STW_ENOENT);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 1);
    ck_assert_uint_eq(shown(&q, "q", "ready"), 1);
    queues_end(&q);
}
END_TEST

START_TEST(a_paused_queue_takes_puts_only)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    named_as(&q, COMMAND_QUEUE_PAUSE, "q");
    assert_reply(&q.f, q.b, get(&q, q.b, 1, 0), STW_EEMPTY);
    get(&q, q.b, 2, TIMEOUT_FOREVER);
    put(&q, q.a, "B", 0);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_DELIVER, q.b));
    fixture_restart(&q.f);
    named_as(&q, COMMAND_QUEUE_RESUME, "q");
    assert_delivered(&q, q.b, "AB");
    queues_end(&q);
}
END_TEST

START_TEST(a_shut_down_queue_drains)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 1});
    uint64_t blocked = put(&q, q.a, "AB", TIMEOUT_FOREVER) + 1;
    uint64_t channel = consume(&q, q.b, 0, 0);
    named_as(&q, COMMAND_QUEUE_SHUTDOWN, "q");
    assert_reply(&q.f, q.a, blocked, STW_ESHUTDOWN);
    assert_reply(&q.f, q.a, put(&q, q.a, "C", 0), STW_ESHUTDOWN);
    get(&q, q.a, 1, 0);
    assert_delivered(&q, q.a, "A");
    const struct effect *ended = fixture_effect(&q.f, EFFECT_CONSUMER_ENDED, q.b);
    ck_assert_ptr_nonnull(ended);
    ck_assert_uint_eq(ended->first, channel);
    ck_assert_int_eq(ended->code, STW_ESHUTDOWN);
    assert_reply(&q.f, q.b, get(&q, q.b, 1, TIMEOUT_FOREVER), STW_ESHUTDOWN);
    queues_end(&q);
}
END_TEST

START_TEST(an_immediate_shutdown_drops_all)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "AB", 0);
    struct command join = {.kind = COMMAND_QUEUE_JOIN,
                           .join = {.name = slice_str("q"), .timeout_ms = TIMEOUT_FOREVER}};
    uint64_t joining = fixture_request(&q.f, q.b, join);
    struct command command = {.kind = COMMAND_QUEUE_SHUTDOWN,
                              .named = {.name = slice_str("q"), .immediate = true}};
    fixture_request(&q.f, q.a, command);
    assert_reply(&q.f, q.b, joining, STW_OK);
    assert_reply(&q.f, q.b, get(&q, q.b, 1, 0), STW_ESHUTDOWN);
    queues_end(&q);
}
END_TEST

START_TEST(delete_ends_everybody)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.a, 1, 0);
    uint64_t tag = delivery(&q, q.a)->first_tag;
    uint64_t waiting = get(&q, q.b, 1, TIMEOUT_FOREVER);
    consume(&q, q.b, 0, 0);
    named_as(&q, COMMAND_QUEUE_DELETE, "q");
    assert_reply(&q.f, q.b, waiting, STW_EDELETED);
    ck_assert_int_eq(fixture_effect(&q.f, EFFECT_CONSUMER_ENDED, q.b)->code, STW_EDELETED);
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_SHOW, "q"), STW_ENOENT);
    put(&q, q.b, "B", 0); /* the name is free at once */
    fixture_restart(&q.f);
    uint64_t r = settle(&q, q.a, COMMAND_ACK, tag);
    assert_reply(&q.f, q.a, r, STW_ELEASE);
    ck_assert(slice_equal(fixture_reply(&q.f, q.a, r)->text, slice_str("the queue was deleted")));
    queues_end(&q);
}
END_TEST

START_TEST(purge_counts_and_frees_in_slices)
{
    struct queues q;
    queues_begin(&q);
    struct slice bodies[1000];
    for (size_t i = 0; i < 1000; i++) {
        bodies[i] = slice_str("body");
    }
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.queue = slice_str("q"), .bodies = bodies, .count = 1000}};
    uint64_t before = core_bytes(q.f.core);
    for (int i = 0; i < 3; i++) {
        fixture_request(&q.f, q.a, command);
    }
    ck_assert_uint_eq(number(&q, q.a, named_as(&q, COMMAND_QUEUE_PURGE, "q")), 3000);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 0);
    ck_assert_uint_eq(core_deadline(q.f.core), q.f.now_ms); /* there is work left */
    put(&q, q.a, "A", 0);
    fixture_restart(&q.f);
    while (core_deadline(q.f.core) <= q.f.now_ms) {
        fixture_tick(&q.f, q.f.now_ms);
    }
    ck_assert_uint_lt(core_bytes(q.f.core), before + 1000 * 1000);
    get(&q, q.b, 9, 0);
    assert_delivered(&q, q.b, "A");
    queues_end(&q);
}
END_TEST

START_TEST(join_waits_for_the_last_ack)
{
    struct queues q;
    queues_begin(&q);
    struct command join = {.kind = COMMAND_QUEUE_JOIN,
                           .join = {.name = slice_str("q"), .timeout_ms = 40}};
    assert_reply(&q.f, q.b, fixture_request(&q.f, q.b, join), STW_ENOENT);
    put(&q, q.a, "A", 0);
    uint64_t late = fixture_request(&q.f, q.b, join);
    fixture_tick(&q.f, q.f.now_ms + 40);
    assert_reply(&q.f, q.b, late, STW_ETIMEOUT);
    join.join.timeout_ms = TIMEOUT_FOREVER;
    uint64_t r = fixture_request(&q.f, q.b, join);
    get(&q, q.a, 1, 0);
    ck_assert_ptr_null(fixture_reply(&q.f, q.b, r));
    settle(&q, q.a, COMMAND_ACK, 1);
    assert_reply(&q.f, q.b, r, STW_OK);
    queues_end(&q);
}
END_TEST

START_TEST(declare_compares_and_names_what_differs)
{
    struct queues q;
    queues_begin(&q);
    struct queue_options options = {
        .given = QUEUE_MAXSIZE | QUEUE_LEASE, .maxsize = 5, .lease_ms = 500};
    assert_reply(&q.f, q.a, declare(&q, "q", options), STW_OK);
    assert_reply(&q.f, q.a, declare(&q, "q", options), STW_OK);
    assert_reply(&q.f, q.a, declare(&q, "q", (struct queue_options){0}), STW_OK);
    options.lease_ms = 501;
    uint64_t r = declare(&q, "q", options);
    assert_reply(&q.f, q.a, r, STW_EEXIST);
    struct slice text = fixture_reply(&q.f, q.a, r)->text;
    ck_assert_uint_gt(text.size, 0);
    options.lease_ms = 1;
    assert_reply(&q.f, q.a, declare(&q, "r", options), STW_EINVAL);
    struct queue_options dead = {.given = QUEUE_DEAD_LETTER, .dead_letter = slice_str("r")};
    assert_reply(&q.f, q.a, declare(&q, "r", dead), STW_EINVAL);
    queues_end(&q);
}
END_TEST

START_TEST(idle_queues_are_collected)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "kept", (struct queue_options){0});
    put(&q, q.a, "A", 0);
    get(&q, q.b, 1, 0);
    fixture_tick(&q.f, q.f.now_ms + 1000);
    settle(&q, q.b, COMMAND_ACK, 1);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_IDLE_COLLECT_MS - 1);
    ck_assert_uint_eq(shown(&q, "q", "acked"), 1);
    fixture_tick(&q.f, q.f.now_ms + 1);
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_SHOW, "q"), STW_ENOENT);
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_SHOW, "kept"), STW_OK);
    queues_end(&q);
}
END_TEST

START_TEST(lists_are_pages_in_order_of_names)
{
    struct queues q;
    queues_begin(&q);
    const char *const names[] = {"b", "a/2", "c", "a/1", "a"};
    for (size_t i = 0; i < 5; i++) {
        declare(&q, names[i], (struct queue_options){0});
    }
    struct command list = {.kind = COMMAND_QUEUE_LIST, .page = {.max = 2}};
    uint64_t r = fixture_request(&q.f, q.a, list);
    struct slice fields = fixture_reply(&q.f, q.a, r)->fields;
    ck_assert_uint_eq(fixture_rows(fields), 2);
    ck_assert(has_text(fields, "name", "a"));
    list.page.after = slice_str("a/1");
    r = fixture_request(&q.f, q.a, list);
    ck_assert(has_text(fixture_reply(&q.f, q.a, r)->fields, "name", "a/2"));
    list.page = (struct cmd_page){.prefix = slice_str("a/"), .max = 10};
    r = fixture_request(&q.f, q.a, list);
    fields = fixture_reply(&q.f, q.a, r)->fields;
    ck_assert_uint_eq(fixture_rows(fields), 2);
    ck_assert(has_text(fields, "name", "a/1"));
    queues_end(&q);
}
END_TEST

/* Ranks over plain messages and others together, at every offset. */
START_TEST(peek_sees_delivery_order_from_any_offset)
{
    struct queues q;
    queues_begin(&q);
    struct put_options options = no_options();
    options.priority = 1;
    put(&q, q.a, "ABCDEFG", 0);
    put_with(&q, q.a, "HI", 0, &options);
    get(&q, q.b, 5, 0); /* HIABC */
    settle(&q, q.b, COMMAND_RELEASE, 5);
    settle(&q, q.b, COMMAND_RELEASE, 3);
    settle(&q, q.b, COMMAND_RELEASE, 2);
    const char *const order = "IACDEFG";
    for (uint64_t offset = 0; offset < 9; offset++) {
        struct command peek = {.kind = COMMAND_QUEUE_PEEK,
                               .peek = {.name = slice_str("q"), .offset = offset, .max = 100}};
        uint64_t r = fixture_request(&q.f, q.a, peek);
        struct slice fields = fixture_reply(&q.f, q.a, r)->fields;
        size_t rows = fixture_rows(fields);
        ck_assert_uint_eq(rows, offset < 7 ? 7 - offset : 0);
        struct reader reader;
        struct field field;
        reader_init(&reader, fields);
        for (size_t i = (size_t)offset; fields_next(&reader, &field);) {
            if (field.type == FIELD_BYTES) {
                ck_assert_int_eq(field.bytes.data[0], order[i++]);
            }
        }
    }
    queues_end(&q);
}
END_TEST

START_TEST(bad_requests_say_why)
{
    struct queues q;
    queues_begin(&q);
    struct put_options options = no_options();
    options.delay_ms = LIMIT_DURATION_MS + 1;
    uint64_t r = put_with(&q, q.a, "A", 0, &options);
    assert_reply(&q.f, q.a, r, STW_EINVAL);
    ck_assert_uint_gt(fixture_reply(&q.f, q.a, r)->text.size, 0);
    struct command command = put_command(&q, "AB", 0);
    command.put.queue = slice_str("");
    r = fixture_request(&q.f, q.a, command);
    assert_reply(&q.f, q.a, r, STW_EINVAL);
    assert_reply(&q.f, q.a, r + 1, STW_EINVAL);
    assert_reply(&q.f, q.a, get(&q, q.a, 0, 0), STW_EINVAL);
    assert_reply(&q.f, q.a, get(&q, q.a, LIMIT_BATCH + 1, 0), STW_EINVAL);
    assert_reply(&q.f, q.a, named_as(&q, COMMAND_QUEUE_SHOW, "q"), STW_ENOENT);
    queues_end(&q);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_queue_is_first_in_first_out,
        gets_wait_in_line,
        a_waiting_get_times_out,
        a_get_takes_the_first_of_several_queues_that_has_one,
        priority_goes_first_and_keeps_order_within_one,
        delayed_messages_come_when_due,
        time_to_live_ends_only_what_waits,
        a_full_queue_blocks_in_order,
        a_blocked_put_times_out,
        a_put_of_many_is_atomic,
        overflow_rejects_or_drops,
        max_bytes_bounds_bodies,
        consumers_take_turns_within_their_credit,
        credit_in_bytes_may_be_overdrawn_once,
        unconsume_leaves_leases,
        a_paused_queue_takes_puts_only,
        a_shut_down_queue_drains,
        an_immediate_shutdown_drops_all,
        delete_ends_everybody,
        purge_counts_and_frees_in_slices,
        join_waits_for_the_last_ack,
        declare_compares_and_names_what_differs,
        idle_queues_are_collected,
        lists_are_pages_in_order_of_names,
        peek_sees_delivery_order_from_any_offset,
        bad_requests_say_why,
    };
    return fixture_run("queue", tests, sizeof tests / sizeof *tests);
}
