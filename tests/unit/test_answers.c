/*
 * Answers: each request answered once and again when it is sent again, never applied again; gaps
 * and reused ids refused; forgotten when seen; bounded.
 */
#include "tests/unit/core_fixture.h"

static struct command put(const struct slice *bodies, size_t count)
{
    return (struct command){.kind = COMMAND_PUT,
                            .put = {.queue = slice_str("q"), .bodies = bodies, .count = count}};
}

static struct command acquire(const char *name)
{
    return (struct command){
        .kind = COMMAND_ACQUIRE,
        .acquire = {.name = slice_str(name), .timeout_ms = TIMEOUT_FOREVER, .permits = 1}};
}

static void apply_at(struct fixture *f, uint64_t session, uint64_t request, struct command command)
{
    command.session = session;
    command.request = request;
    fixture_apply(f, &command);
}

static void seen(struct fixture *f, uint64_t session, uint64_t first, uint64_t count)
{
    struct id_range range = {first, count};
    struct command command = {
        .kind = COMMAND_SEEN, .session = session, .seen = {.ranges = &range, .count = 1}};
    fixture_apply(f, &command);
    assert_silence(f);
}

/* What the manager's STAT row says of commands that put. */
static uint64_t total_put(struct fixture *f, uint64_t session)
{
    uint64_t r = fixture_request(f, session, (struct command){.kind = COMMAND_STAT});
    assert_reply(f, session, r, STW_OK);
    return fixture_number(fixture_reply(f, session, r)->fields, 0, "put");
}

START_TEST(a_run_is_one_receipt)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct slice bodies[300];
    for (int i = 0; i < 300; i++) {
        bodies[i] = slice_str("body");
    }
    fixture_request(&f, s, put(bodies, 300));
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_uint_eq(f.effects.items[0].first, 1);
    ck_assert_uint_eq(f.effects.items[0].count, 300);
    ck_assert_int_eq(f.effects.items[0].reply, REPLY_PLAIN);
    fixture_restart(&f);
    apply_at(&f, s, 1, put(bodies, 300));
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_uint_eq(f.effects.items[0].count, 300);
    ck_assert_uint_eq(total_put(&f, s), 300);
    fixture_fini(&f);
}
END_TEST

START_TEST(an_atomic_put_is_one_request)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct slice bodies[3] = {slice_str("0"), slice_str("1"), slice_str("2")};
    struct command many = put(bodies, 3);
    many.kind = COMMAND_PUT_MANY;
    fixture_request(&f, s, many);
    ck_assert_uint_eq(f.request[s], 1);
    assert_reply(&f, s, 1, STW_OK);
    apply_at(&f, s, 1, many);
    assert_reply(&f, s, 1, STW_OK);
    bodies[2] = slice_str("3");
    apply_at(&f, s, 1, many);
    assert_reply(&f, s, 1, STW_EREUSED);
    ck_assert_uint_eq(total_put(&f, s), 3);
    fixture_fini(&f);
}
END_TEST

START_TEST(grouping_does_not_matter)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct slice bodies[5] = {slice_str("0"), slice_str("1"), slice_str("2"), slice_str("3"),
                              slice_str("4")};
    fixture_request(&f, s, put(bodies, 3));
    apply_at(&f, s, 2, put(bodies + 1, 4)); /* 2 and 3 are old, 4 and 5 new */
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_uint_eq(f.effects.items[0].first, 2);
    ck_assert_uint_eq(f.effects.items[0].count, 4);
    f.request[s] = 5;
    for (int i = 0; i < 5; i++) {
        apply_at(&f, s, (uint64_t)i + 1, put(bodies + i, 1));
        assert_reply(&f, s, (uint64_t)i + 1, STW_OK);
    }
    ck_assert_uint_eq(total_put(&f, s), 5);
    fixture_fini(&f);
}
END_TEST

START_TEST(another_payload_is_refused_and_harms_nothing)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct slice bodies[2] = {slice_str("0"), slice_str("1")};
    fixture_request(&f, s, put(bodies, 2));
    struct slice swapped[2] = {slice_str("0"), slice_str("X")};
    apply_at(&f, s, 1, put(swapped, 2));
    assert_reply(&f, s, 1, STW_OK);
    assert_reply(&f, s, 2, STW_EREUSED);
    apply_at(&f, s, 1, acquire("l"));
    assert_reply(&f, s, 1, STW_EREUSED);
    apply_at(&f, s, 1, put(bodies, 2));
    ck_assert_uint_eq(f.effects.items[0].count, 2);
    assert_reply(&f, s, 2, STW_OK);
    fixture_fini(&f);
}
END_TEST

START_TEST(gaps_are_refused)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    apply_at(&f, s, 2, acquire("l"));
    assert_reply(&f, s, 2, STW_EPROTO);
    apply_at(&f, s, UINT64_MAX, acquire("l"));
    assert_reply(&f, s, UINT64_MAX, STW_EPROTO);
    apply_at(&f, s, 0, acquire("l"));
    assert_silence(&f);
    apply_at(&f, s, 1, acquire("l"));
    assert_reply(&f, s, 1, STW_OK);
    apply_at(&f, 55, 1, acquire("l"));
    assert_reply(&f, 55, 1, STW_ESESSION);
    fixture_fini(&f);
}
END_TEST

START_TEST(pending_is_silent_and_seen_is_forgotten)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    fixture_request(&f, s, acquire("l"));
    uint64_t token = f.effects.items[0].value;
    fixture_request(&f, s, acquire("l"));
    apply_at(&f, s, 2, acquire("l"));
    assert_silence(&f);
    apply_at(&f, s, 1, acquire("l"));
    assert_reply(&f, s, 1, STW_OK);
    ck_assert_uint_eq(fixture_reply(&f, s, 1)->value, token);
    seen(&f, s, 1, UINT64_MAX); /* 2 still waits: it is not forgotten */
    apply_at(&f, s, 1, acquire("l"));
    assert_silence(&f);
    fixture_restart(&f);
    struct command unlock = {.kind = COMMAND_UNLOCK,
                             .unlock = {.name = slice_str("l"), .token = token}};
    f.request[s] = 2;
    fixture_request(&f, s, unlock);
    assert_reply(&f, s, 2, STW_OK);
    apply_at(&f, s, 2, acquire("l"));
    assert_reply(&f, s, 2, STW_OK);
    seen(&f, s, 5, 1);
    seen(&f, s, 2, 2);
    apply_at(&f, s, 2, acquire("l"));
    assert_silence(&f);
    fixture_fini(&f);
}
END_TEST

START_TEST(refusals_take_their_ids)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct slice body = slice_str("0");
    struct command refuse = {.kind = COMMAND_REFUSE,
                             .refuse = {.count = 2, .code = STW_EMEMORY, .object = {NULL, 0}}};
    fixture_request(&f, s, refuse);
    assert_reply(&f, s, 2, STW_EMEMORY);
    apply_at(&f, s, 1, put(&body, 1)); /* the same request, which would be let in by now */
    assert_reply(&f, s, 1, STW_EMEMORY);
    fixture_request(&f, s, put(&body, 1));
    apply_at(&f, s, 3, refuse); /* 3 was applied: its answer stands; 4 is new */
    assert_reply(&f, s, 3, STW_OK);
    assert_reply(&f, s, 4, STW_EMEMORY);
    refuse.refuse.object = slice_str("q");
    refuse.refuse.count = 1;
    apply_at(&f, s, 5, refuse);
    struct slice text = fixture_reply(&f, s, 5)->text;
    ck_assert_ptr_nonnull(memmem(text.data, text.size, ": q", 3));
    fixture_fini(&f);
}
END_TEST

START_TEST(too_many_answers_end_the_session)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    uint64_t bytes = core_bytes(f.core);
    struct command refuse = {.kind = COMMAND_REFUSE,
                             .session = s,
                             .request = 1,
                             .refuse = {.count = LIMIT_BATCH, .code = STW_EFULL}};
    for (; refuse.request + LIMIT_BATCH <= LIMIT_ANSWERS_SESSION + 1;
         refuse.request += LIMIT_BATCH) {
        core_apply(f.core, f.now_ms, &refuse, &f.effects);
        ck_assert_int_eq(f.effects.items[0].kind, EFFECT_REPLY);
    }
    core_check(f.core);
    fixture_apply(&f, &refuse);
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_int_eq(f.effects.items[0].kind, EFFECT_SESSION_ENDED);
    ck_assert_uint_gt(f.effects.items[0].text.size, 0);
    while (core_deadline(f.core) <= f.now_ms) {
        fixture_tick(&f, f.now_ms);
    }
    ck_assert_uint_lt(core_bytes(f.core), bytes);
    fixture_fini(&f);
}
END_TEST

START_TEST(too_large_answers_end_the_session)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    struct command refuse = {.kind = COMMAND_REFUSE,
                             .session = s,
                             .request = 1,
                             .refuse = {.count = LIMIT_BATCH,
                                        .code = STW_EFULL,
                                        .object = slice_str("a/rather/long/name/of/a/queue")}};
    bool ended = false;
    for (int i = 0; i < 2000 && !ended; i++, refuse.request += LIMIT_BATCH) {
        core_apply(f.core, f.now_ms, &refuse, &f.effects);
        ended = fixture_effect(&f, EFFECT_SESSION_ENDED, s) != NULL;
    }
    ck_assert(ended);
    ck_assert_uint_eq(f.effects.count, 1);
    core_check(f.core);
    fixture_restart(&f);
    while (core_deadline(f.core) <= f.now_ms) {
        fixture_tick(&f, f.now_ms);
    }
    fixture_fini(&f);
}
END_TEST

START_TEST(random_resends_are_consistent)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s = fixture_open(&f, 1);
    static char texts[600][4];
    struct slice bodies[600];
    for (int i = 0; i < 600; i++) {
        texts[i][0] = (char)('a' + i % 26);
        texts[i][1] = (char)('a' + i / 26);
        bodies[i] = slice_of(texts[i], 2);
    }
    uint64_t highest = 0;
    uint32_t random = 3;
    while (highest < 600) {
        random = random * 1664525u + 1013904223u;
        uint64_t first = (random >> 8) % (highest + 1) + 1;
        uint64_t count = (random >> 20) % 40 + 1;
        count = first + count > 601 ? 601 - first : count;
        if (count == 0) {
            continue;
        }
        apply_at(&f, s, first, put(bodies + first - 1, count));
        ck_assert_uint_eq(f.effects.count, 1);
        ck_assert_uint_eq(f.effects.items[0].first, first);
        ck_assert_uint_eq(f.effects.items[0].count, count);
        highest = first + count - 1 > highest ? first + count - 1 : highest;
    }
    f.request[s] = 600;
    ck_assert_uint_eq(total_put(&f, s), 600);
    fixture_fini(&f);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_run_is_one_receipt,
                                  an_atomic_put_is_one_request,
                                  grouping_does_not_matter,
                                  another_payload_is_refused_and_harms_nothing,
                                  gaps_are_refused,
                                  pending_is_silent_and_seen_is_forgotten,
                                  refusals_take_their_ids,
                                  too_many_answers_end_the_session,
                                  too_large_answers_end_the_session,
                                  random_resends_are_consistent};
    return fixture_run("answers", tests, sizeof tests / sizeof *tests);
}
