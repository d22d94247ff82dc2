/*
 * Commands on queues for unit tests, short to write, and what came out of them.
 * Header only; a test program includes it once.
 */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include "tests/unit/core_fixture.h"

/* What one test needs all the time: a core, two sessions a and b. */
struct queues {
    struct fixture f;
    uint64_t a, b;
    struct slice body[16]; /* of the last command made here */
    struct slice name[4];
};

UNUSED_FIXTURE static void queues_begin(struct queues *q)
{
    memset(q, 0, sizeof *q);
    fixture_init(&q->f);
    q->a = fixture_open(&q->f, 1);
    q->b = fixture_open(&q->f, 2);
}

UNUSED_FIXTURE static void queues_end(struct queues *q)
{
    fixture_restart(&q->f);
    fixture_fini(&q->f);
}

/* A put of the letters of `bodies`, one message each, to queue "q". */
UNUSED_FIXTURE static struct command put_command(struct queues *q, const char *bodies,
                                                 uint64_t timeout_ms)
{
    size_t count = strlen(bodies);
    ck_assert_uint_le(count, 16);
    for (size_t i = 0; i < count; i++) {
        q->body[i] = slice_of(bodies + i, 1);
    }
    return (struct command){
        .kind = COMMAND_PUT,
        .put = {
            .queue = slice_str("q"), .bodies = q->body, .count = count, .timeout_ms = timeout_ms}};
}

UNUSED_FIXTURE static uint64_t put(struct queues *q, uint64_t session, const char *bodies,
                                   uint64_t timeout_ms)
{
    return fixture_request(&q->f, session, put_command(q, bodies, timeout_ms));
}

UNUSED_FIXTURE static struct put_options no_options(void)
{
    return (struct put_options){.delay_ms = SETTING_DEFAULT, .ttl_ms = SETTING_DEFAULT};
}

/* A PUT_MANY of the letters, with options. */
UNUSED_FIXTURE static uint64_t put_with(struct queues *q, uint64_t session, const char *bodies,
                                        uint64_t timeout_ms, const struct put_options *options)
{
    struct command command = put_command(q, bodies, timeout_ms);
    command.kind = COMMAND_PUT_MANY;
    command.put.options = options;
    return fixture_request(&q->f, session, command);
}

UNUSED_FIXTURE static struct command get_command(struct queues *q, const char *name, uint64_t max,
                                                 uint64_t timeout_ms)
{
    q->name[0] = slice_str(name);
    return (struct command){.kind = COMMAND_GET,
                            .get = {.queues = q->name,
                                    .queues_count = 1,
                                    .max = max,
                                    .timeout_ms = timeout_ms,
                                    .lease_ms = SETTING_DEFAULT}};
}

UNUSED_FIXTURE static uint64_t get(struct queues *q, uint64_t session, uint64_t max,
                                   uint64_t timeout_ms)
{
    return fixture_request(&q->f, session, get_command(q, "q", max, timeout_ms));
}

UNUSED_FIXTURE static uint64_t consume(struct queues *q, uint64_t session, uint64_t messages,
                                       uint64_t bytes)
{
    struct command command = get_command(q, "q", 0, 0);
    command.kind = COMMAND_CONSUME;
    command.get.credit_messages = messages;
    command.get.credit_bytes = bytes;
    return fixture_request(&q->f, session, command);
}

UNUSED_FIXTURE static void credit(struct queues *q, uint64_t session, uint64_t channel,
                                  uint64_t messages)
{
    struct command command = {
        .kind = COMMAND_CREDIT,
        .session = session,
        .credit = {.channel = channel, .messages = messages, .bytes = 1000 * messages}};
    fixture_apply(&q->f, &command);
}

UNUSED_FIXTURE static uint64_t settle(struct queues *q, uint64_t session, enum command_kind kind,
                                      uint64_t tag)
{
    struct command command = {
        .kind = kind, .settle = {.first_tag = tag, .count = 1, .lease_ms = SETTING_DEFAULT}};
    if (kind == COMMAND_NACK || kind == COMMAND_REJECT) {
        command.settle.reason = slice_str("why");
    }
    return fixture_request(&q->f, session, command);
}

UNUSED_FIXTURE static uint64_t named_as(struct queues *q, enum command_kind kind, const char *name)
{
    struct command command = {.kind = kind, .named = {.name = slice_str(name)}};
    return fixture_request(&q->f, q->a, command);
}

UNUSED_FIXTURE static uint64_t declare(struct queues *q, const char *name,
                                       struct queue_options options)
{
    struct command command = {.kind = COMMAND_QUEUE_DECLARE,
                              .queue = {.name = slice_str(name), .options = options}};
    uint64_t request = fixture_request(&q->f, q->a, command);
    return request;
}

/* A number of the queue's row. */
UNUSED_FIXTURE static uint64_t shown(struct queues *q, const char *name, const char *key)
{
    uint64_t request = named_as(q, COMMAND_QUEUE_SHOW, name);
    assert_reply(&q->f, q->a, request, STW_OK);
    return fixture_number(fixture_reply(&q->f, q->a, request)->fields, 0, key);
}

/* The bodies that the last command delivered to the session, as one string. */
UNUSED_FIXTURE static const char *delivered(const struct queues *q, uint64_t session)
{
    static char bodies[64];
    size_t size = 0;
    for (size_t i = 0; i < q->f.effects.count; i++) {
        const struct effect *effect = &q->f.effects.items[i];
        if (effect->kind != EFFECT_DELIVER || effect->session != session) {
            continue;
        }
        for (uint64_t k = 0; k < effect->count && size < sizeof bodies - 1; k++) {
            struct slice body = effect->messages[k].body;
            bodies[size++] = body.size > 0 ? (char)body.data[0] : '.';
        }
    }
    bodies[size] = '\0';
    return bodies;
}

#define assert_delivered(q, session, wanted) ck_assert_str_eq(delivered(q, session), wanted)

/* The last command's first delivery to the session. */
UNUSED_FIXTURE static const struct effect *delivery(const struct queues *q, uint64_t session)
{
    const struct effect *effect = fixture_effect(&q->f, EFFECT_DELIVER, session);
    ck_assert_ptr_nonnull(effect);
    return effect;
}

/* The number that answered the request in the last command. */
UNUSED_FIXTURE static uint64_t number(const struct queues *q, uint64_t session, uint64_t request)
{
    assert_reply(&q->f, session, request, STW_OK);
    ck_assert_int_eq(fixture_reply(&q->f, session, request)->reply, REPLY_NUMBER);
    return fixture_reply(&q->f, session, request)->value;
}

/* Does this field stand in the fields with this text? */
UNUSED_FIXTURE static bool has_text(struct slice fields, const char *key, const char *text)
{
    struct reader reader;
    struct field field;
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        if (field.type == FIELD_TEXT && slice_equal(field.key, slice_str(key))) {
            return slice_equal(field.bytes, slice_str(text));
        }
    }
    return false;
}

#endif
