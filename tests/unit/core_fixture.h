/*
 * A core for unit tests: made, bootstrapped, fed with commands, checked after every one.
 * Header only; a test program includes it once.
 */
#ifndef TESTS_UNIT_CORE_FIXTURE_H
#define TESTS_UNIT_CORE_FIXTURE_H

#include "broker/core/core.h"
#include "common/base/error.h"
#include "common/base/fields.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED_FIXTURE __attribute__((unused))

struct fixture {
    struct core *core;
    struct effects effects; /* of the last command */
    uint64_t now_ms;
    uint64_t request[64]; /* last request id by session */
};

/* Applies a command now and checks every invariant. */
static void fixture_apply(struct fixture *fixture, const struct command *command)
{
    core_apply(fixture->core, fixture->now_ms, command, &fixture->effects);
    core_check(fixture->core);
}

UNUSED_FIXTURE static void fixture_init(struct fixture *fixture)
{
    *fixture = (struct fixture){.core = core_new(), .now_ms = 1000};
    struct command command = {.kind = COMMAND_BOOTSTRAP,
                              .bootstrap = {.hash_key = 42, .incarnation = 7}};
    fixture_apply(fixture, &command);
}

UNUSED_FIXTURE static void fixture_fini(struct fixture *fixture)
{
    effects_fini(&fixture->effects);
    core_destroy(&fixture->core);
    ck_assert_ptr_null(fixture->core);
}

/* Opens a session whose secret is 16 times `secret`; returns its id. */
UNUSED_FIXTURE static uint64_t fixture_open(struct fixture *fixture, uint8_t secret)
{
    struct command command = {.kind = COMMAND_SESSION_OPEN,
                              .open = {.reference = 99,
                                       .ttl_ms = 10000,
                                       .grace_ms = 2000,
                                       .pid = 123,
                                       .host = slice_str("host"),
                                       .program = slice_str("program")}};
    memset(command.open.secret, secret, sizeof command.open.secret);
    fixture_apply(fixture, &command);
    ck_assert_uint_eq(fixture->effects.count, 1);
    ck_assert_int_eq(fixture->effects.items[0].kind, EFFECT_SESSION_OPENED);
    return fixture->effects.items[0].session;
}

/* Applies a session's request under its next id(s); returns the first id. */
UNUSED_FIXTURE static uint64_t fixture_request(struct fixture *fixture, uint64_t session,
                                               struct command command)
{
    ck_assert_uint_lt(session, 64);
    command.session = session;
    command.request = fixture->request[session] + 1;
    fixture->request[session] += command_requests(&command);
    fixture_apply(fixture, &command);
    return command.request;
}

UNUSED_FIXTURE static void fixture_end(struct fixture *fixture, uint64_t session)
{
    struct command command = {
        .kind = COMMAND_SESSION_END, .session = session, .text = slice_str("gone")};
    fixture_apply(fixture, &command);
}

/* Lets time pass to the given moment and ticks until nothing is due any more. */
UNUSED_FIXTURE static void fixture_tick(struct fixture *fixture, uint64_t now_ms)
{
    fixture->now_ms = now_ms;
    struct command command = {.kind = COMMAND_TICK};
    fixture_apply(fixture, &command);
}

/* The first effect of the kind for the session, at or behind `from`; NULL if none. */
UNUSED_FIXTURE static const struct effect *fixture_effect(const struct fixture *fixture,
                                                          enum effect_kind kind, uint64_t session)
{
    for (size_t i = 0; i < fixture->effects.count; i++) {
        const struct effect *effect = &fixture->effects.items[i];
        if (effect->kind == kind && effect->session == session) {
            return effect;
        }
    }
    return NULL;
}

/* The reply to that request in the last effects; NULL if there is none. */
UNUSED_FIXTURE static const struct effect *fixture_reply(const struct fixture *fixture,
                                                         uint64_t session, uint64_t request)
{
    for (size_t i = 0; i < fixture->effects.count; i++) {
        const struct effect *effect = &fixture->effects.items[i];
        if (effect->kind == EFFECT_REPLY && effect->session == session &&
            request >= effect->first && request - effect->first < effect->count) {
            return effect;
        }
    }
    return NULL;
}

#define assert_reply(fixture, session, request, wanted)                                            \
    do {                                                                                           \
        const struct effect *reply_ = fixture_reply(fixture, session, request);                    \
        ck_assert_ptr_nonnull(reply_);                                                             \
        ck_assert_str_eq(error_name(reply_->code), error_name(wanted));                            \
    } while (0)

#define assert_silence(fixture) ck_assert_uint_eq((fixture)->effects.count, 0)

/* A number of the row-th row of the fields; fails the test when it is not there. */
UNUSED_FIXTURE static uint64_t fixture_number(struct slice fields, size_t row, const char *key)
{
    struct reader reader;
    struct field field;
    size_t at = 0;
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        at += field.type == FIELD_ROW;
        if (at == row + 1 && field.type == FIELD_U64 && slice_equal(field.key, slice_str(key))) {
            return field.number;
        }
    }
    ck_abort_msg("no field %s in row %zu", key, row);
    return 0;
}

/* How many rows there are; fails the test when they are malformed. */
UNUSED_FIXTURE static size_t fixture_rows(struct slice fields)
{
    struct reader reader;
    struct field field;
    size_t rows = 0;
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        rows += field.type == FIELD_ROW;
    }
    ck_assert(reader_done(&reader));
    return rows;
}

/* Replaces the core by its own snapshot, whose snapshot must have the same bytes. */
UNUSED_FIXTURE static void fixture_restart(struct fixture *fixture)
{
    struct buf first = {0};
    struct buf second = {0};
    core_snapshot(fixture->core, &first);
    struct core *restored = core_restore(buf_view(&first));
    ck_assert_ptr_nonnull(restored);
    core_check(restored);
    core_snapshot(restored, &second);
    ck_assert(slice_equal(buf_view(&first), buf_view(&second)));
    ck_assert_uint_eq(core_bytes(restored), core_bytes(fixture->core));
    ck_assert_uint_eq(core_deadline(restored), core_deadline(fixture->core));
    core_destroy(&fixture->core);
    fixture->core = restored;
    buf_fini(&first);
    buf_fini(&second);
}

/* Runs one case with these tests; the program's exit status. */
UNUSED_FIXTURE static int fixture_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    tcase_set_timeout(cases, 60);
    for (size_t i = 0; i < count; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
