/* Locks and semaphores through core_apply: order, tokens, owners, leases, breaks, pages. */
#include "tests/unit/core_fixture.h"

static struct command acquire(const char *name, uint64_t owner, uint64_t timeout_ms)
{
    return (struct command){.kind = COMMAND_ACQUIRE,
                            .acquire = {.name = slice_str(name),
                                        .kind = LOCK_MUTEX,
                                        .owner = owner,
                                        .timeout_ms = timeout_ms,
                                        .permits = 1}};
}

static struct command semaphore(const char *name, uint64_t permits, uint64_t timeout_ms)
{
    struct command command = acquire(name, 1, timeout_ms);
    command.acquire.kind = LOCK_SEMAPHORE;
    command.acquire.permits = permits;
    return command;
}

static struct command unlock(const char *name, uint64_t owner, uint64_t token)
{
    return (struct command){.kind = COMMAND_UNLOCK,
                            .unlock = {.name = slice_str(name), .owner = owner, .token = token}};
}

static struct command named(enum command_kind kind, const char *name)
{
    return (struct command){.kind = kind, .named = {.name = slice_str(name)}};
}

/* The token of the grant that answered the request. */
static uint64_t granted(const struct fixture *f, uint64_t session, uint64_t request)
{
    assert_reply(f, session, request, STW_OK);
    const struct effect *reply = fixture_reply(f, session, request);
    ck_assert_int_eq(reply->reply, REPLY_GRANT);
    return reply->value;
}

START_TEST(hand_over_is_first_come_first_served)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t s[4];
    for (int i = 0; i < 4; i++) {
        s[i] = fixture_open(&f, (uint8_t)i);
    }
    uint64_t r = fixture_request(&f, s[0], acquire("l", 1, TIMEOUT_FOREVER));
    uint64_t token = granted(&f, s[0], r);
    for (int i = 1; i < 4; i++) {
        fixture_request(&f, s[i], acquire("l", 1, TIMEOUT_FOREVER));
        assert_silence(&f);
        fixture_restart(&f);
    }
    for (int i = 0; i < 3; i++) {
        fixture_request(&f, s[i], unlock("l", 1, token));
        uint64_t next = granted(&f, s[i + 1], 1);
        ck_assert_uint_gt(next, token);
        token = next;
    }
    fixture_fini(&f);
}
END_TEST

START_TEST(only_the_holder_unlocks)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    uint64_t token = granted(&f, a, fixture_request(&f, a, acquire("l", 1, 0)));
    uint64_t r = fixture_request(&f, b, unlock("l", 1, token));
    assert_reply(&f, b, r, STW_ENOTHOLDER);
    ck_assert_uint_gt(fixture_reply(&f, b, r)->text.size, 0);
    assert_reply(&f, a, fixture_request(&f, a, unlock("l", 2, token)), STW_ENOTHOLDER);
    assert_reply(&f, a, fixture_request(&f, a, unlock("l", 1, token + 1)), STW_ENOTHOLDER);
    assert_reply(&f, a, fixture_request(&f, a, unlock("m", 1, token)), STW_ENOTHOLDER);
    assert_reply(&f, a, fixture_request(&f, a, unlock("l", 1, token)), STW_OK);
    assert_reply(&f, a, fixture_request(&f, a, unlock("l", 1, token)), STW_ENOTHOLDER);
    fixture_fini(&f);
}
END_TEST

START_TEST(try_and_deadline)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    fixture_request(&f, a, acquire("l", 1, 0));
    uint64_t r = fixture_request(&f, b, acquire("l", 1, 0));
    assert_reply(&f, b, r, STW_EBUSY);
    ck_assert_ptr_nonnull(
        memmem(fixture_reply(&f, b, r)->text.data, fixture_reply(&f, b, r)->text.size, "l", 1));
    r = fixture_request(&f, b, acquire("l", 1, 500));
    assert_silence(&f);
    ck_assert_uint_eq(core_deadline(f.core), f.now_ms + 500);
    fixture_tick(&f, f.now_ms + 499);
    assert_silence(&f);
    fixture_restart(&f);
    fixture_tick(&f, f.now_ms + 1);
    assert_reply(&f, b, r, STW_ETIMEOUT);
    fixture_fini(&f);
}
END_TEST

START_TEST(reentrant_depth_counts)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    struct command again = acquire("l", 1, 0);
    again.acquire.reentrant = true;
    uint64_t token = granted(&f, a, fixture_request(&f, a, again));
    uint64_t r = fixture_request(&f, a, again);
    ck_assert_uint_eq(granted(&f, a, r), token);
    ck_assert_uint_eq(fixture_reply(&f, a, r)->value2, 2);
    again.acquire.owner = 2;
    assert_reply(&f, a, fixture_request(&f, a, again), STW_EBUSY);
    fixture_restart(&f);
    r = fixture_request(&f, a, unlock("l", 1, token));
    ck_assert_uint_eq(fixture_reply(&f, a, r)->value, 1);
    assert_reply(&f, a, fixture_request(&f, a, again), STW_EBUSY);
    r = fixture_request(&f, a, unlock("l", 1, token));
    ck_assert_uint_eq(fixture_reply(&f, a, r)->value, 0);
    granted(&f, a, fixture_request(&f, a, again));
    fixture_fini(&f);
}
END_TEST

START_TEST(semaphore_has_its_permits)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t first = granted(&f, a, fixture_request(&f, a, semaphore("s", 2, 0)));
    uint64_t second = granted(&f, a, fixture_request(&f, a, semaphore("s", 2, 0)));
    ck_assert_uint_ne(first, second);
    assert_reply(&f, a, fixture_request(&f, a, semaphore("s", 2, 0)), STW_EBUSY);
    uint64_t r = fixture_request(&f, a, semaphore("s", 3, 0));
    assert_reply(&f, a, r, STW_EEXIST);
    struct slice text = fixture_reply(&f, a, r)->text;
    ck_assert_ptr_nonnull(memmem(text.data, text.size, "2, not 3", 8));
    assert_reply(&f, a, fixture_request(&f, a, acquire("s", 1, 0)), STW_EKIND);
    r = fixture_request(&f, a, semaphore("s", 2, TIMEOUT_FOREVER));
    fixture_restart(&f);
    fixture_request(&f, a, unlock("s", 1, first));
    granted(&f, a, r);
    assert_reply(&f, a, fixture_request(&f, a, semaphore("s", 0, 0)), STW_EINVAL);
    fixture_fini(&f);
}
END_TEST

START_TEST(lease_runs_out)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    struct command leased = acquire("l", 1, 0);
    leased.acquire.lease_ms = 1000;
    uint64_t token = granted(&f, a, fixture_request(&f, a, leased));
    uint64_t r = fixture_request(&f, b, acquire("l", 1, TIMEOUT_FOREVER));
    f.now_ms += 900;
    struct command renew = unlock("l", 1, token);
    renew.kind = COMMAND_LOCK_RENEW;
    renew.unlock.lease_ms = 2000;
    uint64_t renewed = fixture_request(&f, a, renew);
    ck_assert_uint_eq(fixture_reply(&f, a, renewed)->value, 2000);
    fixture_restart(&f);
    fixture_tick(&f, f.now_ms + 1999);
    assert_silence(&f);
    fixture_tick(&f, f.now_ms + 1);
    const struct effect *lost = fixture_effect(&f, EFFECT_LOCK_LOST, a);
    ck_assert_ptr_nonnull(lost);
    ck_assert_uint_eq(lost->token, token);
    ck_assert_int_eq(lost->code, STW_ELEASE);
    ck_assert_uint_gt(granted(&f, b, r), token);
    assert_reply(&f, a, fixture_request(&f, a, renew), STW_ENOTHOLDER);
    fixture_fini(&f);
}
END_TEST

START_TEST(leader_start_gives_full_time)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    struct command leased = acquire("l", 1, 0);
    leased.acquire.lease_ms = 1000;
    fixture_request(&f, a, leased);
    fixture_request(&f, a, acquire("l", 2, 700));
    f.now_ms += 5000;
    struct command start = {.kind = COMMAND_LEADER_START};
    fixture_apply(&f, &start);
    ck_assert_uint_eq(core_deadline(f.core), f.now_ms + 700);
    fixture_tick(&f, f.now_ms + 699);
    assert_silence(&f);
    fixture_fini(&f);
}
END_TEST

START_TEST(break_gives_a_new_token)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    assert_reply(&f, b, fixture_request(&f, b, named(COMMAND_LOCK_BREAK, "l")), STW_ENOENT);
    uint64_t token = granted(&f, a, fixture_request(&f, a, acquire("l", 1, 0)));
    uint64_t r = fixture_request(&f, b, acquire("l", 1, TIMEOUT_FOREVER));
    assert_reply(&f, a, fixture_request(&f, a, named(COMMAND_LOCK_BREAK, "l")), STW_OK);
    ck_assert_int_eq(fixture_effect(&f, EFFECT_LOCK_LOST, a)->code, STW_EDELETED);
    ck_assert_ptr_nonnull(fixture_effect(&f, EFFECT_NOTICE, 0));
    ck_assert_uint_gt(granted(&f, b, r), token);
    assert_reply(&f, a, fixture_request(&f, a, unlock("l", 1, token)), STW_ENOTHOLDER);
    fixture_fini(&f);
}
END_TEST

START_TEST(break_of_many_goes_in_slices)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t first = 0;
    for (int i = 0; i < 3000; i++) {
        struct command command = semaphore("s", 5000, 0);
        command.session = a;
        command.request = ++f.request[a];
        core_apply(f.core, f.now_ms, &command, &f.effects);
        first = first ? first : f.effects.items[0].value;
    }
    fixture_request(&f, a, named(COMMAND_LOCK_BREAK, "s"));
    size_t lost = f.effects.count;
    ck_assert_uint_lt(lost, 1100);
    ck_assert_uint_eq(core_deadline(f.core), f.now_ms);
    assert_reply(&f, a, fixture_request(&f, a, unlock("s", 1, first + 2999)), STW_ENOTHOLDER);
    fixture_restart(&f);
    for (int i = 0; i < 3; i++) {
        fixture_tick(&f, f.now_ms);
    }
    uint64_t r = fixture_request(&f, a, named(COMMAND_LOCK_SHOW, "s"));
    struct slice fields = fixture_reply(&f, a, r)->fields;
    ck_assert_uint_eq(fixture_number(fields, 0, "holders"), 0);
    ck_assert_uint_eq(fixture_number(fields, 0, "broken"), 3000);
    fixture_fini(&f);
}
END_TEST

START_TEST(session_end_passes_locks_on)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    uint64_t c = fixture_open(&f, 3);
    uint64_t token = granted(&f, a, fixture_request(&f, a, acquire("l", 1, 0)));
    fixture_request(&f, b, acquire("l", 1, TIMEOUT_FOREVER));
    uint64_t r = fixture_request(&f, c, acquire("l", 1, TIMEOUT_FOREVER));
    fixture_end(&f, b);
    ck_assert_ptr_null(fixture_reply(&f, b, 1));
    fixture_end(&f, a);
    ck_assert_ptr_null(fixture_reply(&f, b, 1));
    ck_assert_uint_gt(granted(&f, c, r), token);
    fixture_fini(&f);
}
END_TEST

START_TEST(cancel_before_and_after_the_grant)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    uint64_t held = fixture_request(&f, a, acquire("l", 1, 0));
    uint64_t waits = fixture_request(&f, b, acquire("l", 1, TIMEOUT_FOREVER));
    struct command cancel = {.kind = COMMAND_CANCEL, .target = waits};
    uint64_t r = fixture_request(&f, b, cancel);
    assert_reply(&f, b, waits, STW_ECANCELED);
    ck_assert_int_eq(fixture_reply(&f, b, r)->reply, REPLY_PLAIN);
    r = fixture_request(&f, b, cancel);
    ck_assert_int_eq(fixture_reply(&f, b, r)->reply, REPLY_NUMBER);
    ck_assert_uint_eq(fixture_reply(&f, b, r)->value, 0);
    waits = fixture_request(&f, b, acquire("l", 1, TIMEOUT_FOREVER));
    cancel.target = held;
    fixture_request(&f, a, cancel);
    granted(&f, b, waits);
    struct command resent = acquire("l", 1, 0);
    resent.session = a;
    resent.request = held;
    fixture_apply(&f, &resent);
    assert_reply(&f, a, held, STW_ECANCELED);
    fixture_fini(&f);
}
END_TEST

START_TEST(show_and_list)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t token = granted(&f, a, fixture_request(&f, a, acquire("b/2", 5, 0)));
    fixture_request(&f, a, acquire("b/1", 1, 0));
    fixture_request(&f, a, acquire("a", 1, 0));
    fixture_request(&f, a, acquire("c", 1, 0));
    fixture_request(&f, a, acquire("b/2", 6, TIMEOUT_FOREVER));
    f.now_ms += 50;
    uint64_t r = fixture_request(&f, a, named(COMMAND_LOCK_SHOW, "b/2"));
    struct slice fields = fixture_reply(&f, a, r)->fields;
    ck_assert_uint_eq(fixture_rows(fields), 3);
    ck_assert_uint_eq(fixture_number(fields, 0, "waiters"), 1);
    ck_assert_uint_eq(fixture_number(fields, 1, "token"), token);
    ck_assert_uint_eq(fixture_number(fields, 1, "since_ms"), 50);
    ck_assert_uint_eq(fixture_number(fields, 2, "owner"), 6);
    struct command page = {.kind = COMMAND_LOCK_LIST, .page = {.max = 3}};
    r = fixture_request(&f, a, page);
    ck_assert_uint_eq(fixture_rows(fixture_reply(&f, a, r)->fields), 3);
    page.page.after = slice_str("b/2");
    r = fixture_request(&f, a, page);
    ck_assert_uint_eq(fixture_rows(fixture_reply(&f, a, r)->fields), 1);
    page.page.after = slice_str("");
    page.page.prefix = slice_str("b/");
    r = fixture_request(&f, a, page);
    ck_assert_uint_eq(fixture_rows(fixture_reply(&f, a, r)->fields), 2);
    page.page.after = slice_str("b/1");
    r = fixture_request(&f, a, page);
    ck_assert_uint_eq(fixture_rows(fixture_reply(&f, a, r)->fields), 1);
    page.page.max = 0;
    assert_reply(&f, a, fixture_request(&f, a, page), STW_EINVAL);
    fixture_fini(&f);
}
END_TEST

START_TEST(idle_locks_are_collected)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t token = granted(&f, a, fixture_request(&f, a, acquire("l", 1, 0)));
    uint64_t bytes = core_bytes(f.core);
    fixture_request(&f, a, unlock("l", 1, token));
    fixture_tick(&f, f.now_ms + LIMIT_IDLE_COLLECT_MS - 1);
    assert_reply(&f, a, fixture_request(&f, a, named(COMMAND_LOCK_SHOW, "l")), STW_OK);
    fixture_restart(&f);
    fixture_tick(&f, f.now_ms + 1);
    assert_reply(&f, a, fixture_request(&f, a, named(COMMAND_LOCK_SHOW, "l")), STW_ENOENT);
    uint64_t again = granted(&f, a, fixture_request(&f, a, acquire("l", 1, 0)));
    ck_assert_uint_gt(again, token);
    ck_assert_uint_gt(core_bytes(f.core), 0);
    (void)bytes;
    fixture_fini(&f);
}
END_TEST

START_TEST(bad_arguments)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    static const char *const bad[] = {
        "",         "$own",    "a\nb", "\x7f", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80",
        "\xe2\x82", "\xc2\x85"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_reply(&f, a, fixture_request(&f, a, acquire(bad[i], 1, 0)), STW_EINVAL);
    }
    assert_reply(&f, a, fixture_request(&f, a, acquire("\xe2\x82\xac/\xf0\x9f\x98\x80", 1, 0)),
                 STW_OK);
    struct command leased = acquire("l", 1, 0);
    leased.acquire.lease_ms = LIMIT_LEASE_MIN_MS - 1;
    assert_reply(&f, a, fixture_request(&f, a, leased), STW_EINVAL);
    fixture_fini(&f);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {hand_over_is_first_come_first_served,
                                  only_the_holder_unlocks,
                                  try_and_deadline,
                                  reentrant_depth_counts,
                                  semaphore_has_its_permits,
                                  lease_runs_out,
                                  leader_start_gives_full_time,
                                  break_gives_a_new_token,
                                  break_of_many_goes_in_slices,
                                  session_end_passes_locks_on,
                                  cancel_before_and_after_the_grant,
                                  show_and_list,
                                  idle_locks_are_collected,
                                  bad_arguments};
    return fixture_run("lock", tests, sizeof tests / sizeof *tests);
}
