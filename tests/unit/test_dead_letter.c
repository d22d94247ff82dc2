/* Dead letters and redrive through core_apply. */
#include "tests/unit/queue_fixture.h"

static uint64_t redrive(struct queues *q, const char *name, const char *target, uint64_t max)
{
    struct command command = {
        .kind = COMMAND_QUEUE_REDRIVE,
        .redrive = {.name = slice_str(name), .target = slice_str(target), .max = max}};
    return fixture_request(&q->f, q->a, command);
}

/* Rejects the first message of "q"; its tag. */
static uint64_t reject_one(struct queues *q)
{
    get(q, q->b, 1, 0);
    uint64_t tag = delivery(q, q->b)->first_tag;
    assert_reply(&q->f, q->b, settle(q, q->b, COMMAND_REJECT, tag), STW_OK);
    return tag;
}

START_TEST(reject_moves_with_a_record)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    reject_one(&q);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 0);
    ck_assert_uint_eq(shown(&q, "q", "dead"), 1);
    ck_assert_uint_eq(shown(&q, "q.dead", "unfinished"), 1);
    fixture_restart(&q.f);
    fixture_request(&q.f, q.b, get_command(&q, "q.dead", 1, 0));
    const struct delivered *dead = &delivery(&q, q.b)->messages[0];
    ck_assert(has_text(dead->fields, "dead.queue", "q"));
    ck_assert(has_text(dead->fields, "dead.reason", "rejected"));
    ck_assert(has_text(dead->fields, "last_failure", "why"));
    ck_assert_uint_eq(dead->deliveries, 1);
    uint64_t r = settle(&q, q.b, COMMAND_REJECT, delivery(&q, q.b)->first_tag);
    assert_reply(&q.f, q.b, r, STW_EINVAL);
    ck_assert_uint_gt(fixture_reply(&q.f, q.b, r)->text.size, 0);
    queues_end(&q);
}
END_TEST

START_TEST(max_deliveries_ends_a_poison_message)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q",
            (struct queue_options){.given = QUEUE_MAX_DELIVERIES | QUEUE_DEAD_LETTER,
                                   .max_deliveries = 2,
                                   .dead_letter = slice_str("poison")});
    put(&q, q.a, "A", 0);
    get(&q, q.b, 1, 0);
    settle(&q, q.b, COMMAND_NACK, 1);
    get(&q, q.b, 1, 0);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_LEASE_MS); /* runs out: the second delivery */
    ck_assert_uint_eq(shown(&q, "poison", "ready"), 1);
    fixture_request(&q.f, q.b, get_command(&q, "poison", 1, 0));
    const struct delivered *dead = &delivery(&q, q.b)->messages[0];
    ck_assert(has_text(dead->fields, "dead.reason", "max_deliveries"));
    ck_assert_uint_eq(fixture_number(dead->fields, SIZE_MAX, "dead.deliveries"), 2);
    queues_end(&q);
}
END_TEST

START_TEST(expired_messages_die_only_where_declared)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q",
            (struct queue_options){.given = QUEUE_TTL | QUEUE_DEAD_LETTER,
                                   .ttl_ms = 100,
                                   .dead_letter = slice_str("late")});
    put(&q, q.a, "A", 0);
    fixture_tick(&q.f, q.f.now_ms + 100);
    ck_assert_uint_eq(shown(&q, "late", "ready"), 1);
    ck_assert_uint_eq(shown(&q, "q", "expired"), 1);
    fixture_tick(&q.f, q.f.now_ms + 100000); /* dead letters do not expire */
    ck_assert_uint_eq(shown(&q, "late", "ready"), 1);
    queues_end(&q);
}
END_TEST

START_TEST(a_full_dead_letter_queue_loses_nothing)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q.dead", (struct queue_options){.given = QUEUE_MAXSIZE, .maxsize = 1});
    put(&q, q.a, "AB", 0);
    reject_one(&q);
    reject_one(&q);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_NOTICE, 0));
    ck_assert_uint_eq(shown(&q, "q", "delayed"), 1);
    fixture_restart(&q.f);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_DEAD_LETTER_RETRY_MS);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_NOTICE, 0)); /* said again */
    fixture_request(&q.f, q.b, get_command(&q, "q.dead", 1, 0));
    assert_delivered(&q, q.b, "A");
    fixture_tick(&q.f, q.f.now_ms + LIMIT_DEAD_LETTER_RETRY_MS);
    ck_assert_uint_eq(shown(&q, "q", "delayed"), 0);
    ck_assert_uint_eq(shown(&q, "q.dead", "ready"), 1);
    queues_end(&q);
}
END_TEST

START_TEST(redrive_takes_them_home)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "ABC", 0);
    for (int i = 0; i < 3; i++) {
        reject_one(&q);
    }
    ck_assert_uint_eq(number(&q, q.a, redrive(&q, "q.dead", "", 2)), 2);
    get(&q, q.b, 5, 0);
    assert_delivered(&q, q.b, "AB");
    const struct delivered *home = &delivery(&q, q.b)->messages[0];
    ck_assert_uint_eq(home->deliveries, 1);
    ck_assert_uint_eq(home->fields.size, 0);
    ck_assert_uint_eq(number(&q, q.a, redrive(&q, "q.dead", "other", 0)), 1);
    ck_assert_uint_eq(shown(&q, "other", "ready"), 1);
    assert_reply(&q.f, q.a, redrive(&q, "q.dead", "q.dead", 0), STW_EINVAL);
    assert_reply(&q.f, q.a, redrive(&q, "nowhere", "", 0), STW_ENOENT);
    queues_end(&q);
}
END_TEST

START_TEST(redrive_stops_at_a_full_queue_and_skips_what_never_died)
{
    struct queues q;
    queues_begin(&q);
    struct command stray = put_command(&q, "S", 0);
    stray.put.queue = slice_str("q.dead");
    fixture_request(&q.f, q.a, stray);
    put(&q, q.a, "ABC", 0);
    for (int i = 0; i < 3; i++) {
        reject_one(&q);
    }
    declare(&q, "q", (struct queue_options){0});
    struct command alter = {
        .kind = COMMAND_QUEUE_ALTER,
        .queue = {.name = slice_str("q"), .options = {.given = QUEUE_MAXSIZE, .maxsize = 2}}};
    fixture_request(&q.f, q.a, alter);
    ck_assert_uint_eq(number(&q, q.a, redrive(&q, "q.dead", "", 0)), 2);
    get(&q, q.b, 5, 0);
    ck_assert_uint_eq(number(&q, q.a, redrive(&q, "q.dead", "", 0)), 1);
    ck_assert_uint_eq(shown(&q, "q.dead", "ready"), 1); /* the stray */
    queues_end(&q);
}
END_TEST

/* More than one slice; a snapshot in the middle; the answer at the end. */
START_TEST(a_long_redrive_goes_on_in_ticks)
{
    struct queues q;
    queues_begin(&q);
    struct slice bodies[1000];
    for (size_t i = 0; i < 1000; i++) {
        bodies[i] = slice_str("x");
    }
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.queue = slice_str("q"), .bodies = bodies, .count = 1000}};
    for (int i = 0; i < 3; i++) {
        fixture_request(&q.f, q.a, command);
    }
    uint64_t r = redrive(&q, "q", "target", 0);
    ck_assert_ptr_null(fixture_reply(&q.f, q.a, r));
    fixture_restart(&q.f);
    const struct effect *reply = NULL;
    for (int i = 0; i < 10 && !reply; i++) {
        fixture_tick(&q.f, q.f.now_ms);
        reply = fixture_reply(&q.f, q.a, r);
    }
    ck_assert_ptr_nonnull(reply);
    ck_assert_uint_eq(reply->value, 3000);
    ck_assert_uint_eq(shown(&q, "target", "ready"), 3000);
    queues_end(&q);
}
END_TEST

START_TEST(deleting_ends_a_redrive)
{
    struct queues q;
    queues_begin(&q);
    struct slice bodies[1000];
    for (size_t i = 0; i < 1000; i++) {
        bodies[i] = slice_str("x");
    }
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.queue = slice_str("q"), .bodies = bodies, .count = 1000}};
    for (int i = 0; i < 3; i++) {
        fixture_request(&q.f, q.a, command);
    }
    uint64_t r = redrive(&q, "q", "target", 0);
    named_as(&q, COMMAND_QUEUE_DELETE, "q");
    assert_reply(&q.f, q.a, r, STW_EDELETED);
    queues_end(&q);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        reject_moves_with_a_record,
        max_deliveries_ends_a_poison_message,
        expired_messages_die_only_where_declared,
        a_full_dead_letter_queue_loses_nothing,
        redrive_takes_them_home,
        redrive_stops_at_a_full_queue_and_skips_what_never_died,
        a_long_redrive_goes_on_in_ticks,
        deleting_ends_a_redrive,
    };
    return fixture_run("dead_letter", tests, sizeof tests / sizeof *tests);
}
