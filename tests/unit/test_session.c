/* Sessions: opening, resuming, ending in slices, what operators see; the core's clock. */
#include "tests/unit/core_fixture.h"

static struct command resume(uint64_t session, uint8_t secret)
{
    struct command command = {.kind = COMMAND_SESSION_RESUME,
                              .resume = {.reference = 5, .session = session}};
    memset(command.resume.secret, secret, sizeof command.resume.secret);
    return command;
}

static struct command acquire(const char *name, uint64_t timeout_ms)
{
    return (struct command){
        .kind = COMMAND_ACQUIRE,
        .acquire = {.name = slice_str(name), .timeout_ms = timeout_ms, .permits = 1}};
}

START_TEST(open_and_resume)
{
    struct fixture f;
    fixture_init(&f);
    ck_assert_uint_eq(core_deadline(f.core), UINT64_MAX);
    uint64_t s = fixture_open(&f, 9);
    ck_assert_uint_eq(s, 1);
    ck_assert_uint_eq(f.effects.items[0].reference, 99);
    ck_assert_uint_eq(f.effects.items[0].incarnation, 7);
    ck_assert(!f.effects.items[0].resumed);
    fixture_request(&f, s, acquire("l", 0));
    fixture_restart(&f);
    struct command command = resume(s, 9);
    fixture_apply(&f, &command);
    const struct effect *opened = fixture_effect(&f, EFFECT_SESSION_OPENED, s);
    ck_assert_ptr_nonnull(opened);
    ck_assert(opened->resumed);
    ck_assert_uint_eq(opened->highest_request, 1);
    command = resume(s, 8);
    fixture_apply(&f, &command);
    ck_assert_int_eq(f.effects.items[0].kind, EFFECT_SESSION_REFUSED);
    ck_assert_int_eq(f.effects.items[0].code, STW_ESECRET);
    ck_assert_uint_eq(f.effects.items[0].reference, 5);
    command = resume(77, 8);
    fixture_apply(&f, &command);
    ck_assert_int_eq(f.effects.items[0].code, STW_ESESSION);
    struct session_info info;
    ck_assert(core_session(f.core, s, &info));
    ck_assert_uint_eq(info.ttl_ms, 10000);
    ck_assert_uint_eq(info.grace_ms, 2000);
    ck_assert_uint_eq(info.highest_request, 1);
    ck_assert(!core_session(f.core, 77, &info));
    fixture_fini(&f);
}
END_TEST

START_TEST(settings_are_bounded)
{
    struct fixture f;
    fixture_init(&f);
    struct command command = {.kind = COMMAND_SESSION_OPEN,
                              .open = {.ttl_ms = 1,
                                       .grace_ms = UINT64_MAX - 1,
                                       .host = slice_str("a\tb\xff\xe2\x82\xac")}};
    fixture_apply(&f, &command);
    struct session_info info;
    ck_assert(core_session(f.core, 1, &info));
    ck_assert_uint_eq(info.ttl_ms, LIMIT_SESSION_TTL_MIN_MS);
    ck_assert_uint_eq(info.grace_ms, LIMIT_SESSION_TTL_MAX_MS);
    uint64_t r =
        fixture_request(&f, 1, (struct command){.kind = COMMAND_SESSION_SHOW, .target = 1});
    struct slice fields = fixture_reply(&f, 1, r)->fields;
    ck_assert_ptr_nonnull(memmem(fields.data, fields.size, "a?b?\xe2\x82\xac", 7));
    static char long_text[LIMIT_INFO_BYTES + 1];
    memset(long_text, 'x', sizeof long_text);
    command.open.host = slice_of(long_text, sizeof long_text);
    fixture_apply(&f, &command);
    ck_assert_int_eq(f.effects.items[0].kind, EFFECT_SESSION_REFUSED);
    ck_assert_int_eq(f.effects.items[0].code, STW_EINVAL);
    fixture_fini(&f);
}
END_TEST

START_TEST(end_is_at_once_for_the_client)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    fixture_request(&f, b, acquire("l", 0));
    for (int i = 0; i < 3000; i++) {
        struct command command = acquire("l", TIMEOUT_FOREVER);
        command.session = a;
        command.request = ++f.request[a];
        core_apply(f.core, f.now_ms, &command, &f.effects);
    }
    fixture_end(&f, a);
    ck_assert_uint_eq(f.effects.count, 1);
    ck_assert_int_eq(f.effects.items[0].kind, EFFECT_SESSION_ENDED);
    ck_assert(slice_equal(f.effects.items[0].text, slice_str("gone")));
    struct session_info info;
    ck_assert(!core_session(f.core, a, &info));
    ck_assert_uint_eq(core_deadline(f.core), f.now_ms); /* 3000 waiters: more than one slice */
    fixture_restart(&f);
    struct command again = resume(a, 1);
    fixture_apply(&f, &again);
    ck_assert_int_eq(f.effects.items[0].kind, EFFECT_SESSION_REFUSED);
    for (int i = 0; i < 5; i++) {
        fixture_tick(&f, f.now_ms);
        assert_silence(&f);
    }
    ck_assert_uint_eq(core_deadline(f.core), UINT64_MAX);
    struct command late = acquire("m", 0);
    late.session = a;
    late.request = f.request[a] + 1;
    fixture_apply(&f, &late);
    assert_reply(&f, a, late.request, STW_ESESSION);
    ck_assert_uint_eq(fixture_open(&f, 3), b + 1); /* ids are never used again */
    fixture_fini(&f);
}
END_TEST

START_TEST(list_show_kill)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    uint64_t b = fixture_open(&f, 2);
    uint64_t c = fixture_open(&f, 3);
    struct command list = {.kind = COMMAND_SESSION_LIST, .page = {.max = 2}};
    uint64_t r = fixture_request(&f, a, list);
    struct slice fields = fixture_reply(&f, a, r)->fields;
    ck_assert_uint_eq(fixture_rows(fields), 2);
    ck_assert_uint_eq(fixture_number(fields, 1, "session"), b);
    list.page.after = slice_str("2");
    r = fixture_request(&f, a, list);
    ck_assert_uint_eq(fixture_number(fixture_reply(&f, a, r)->fields, 0, "session"), c);
    struct command kill = {.kind = COMMAND_SESSION_KILL, .target = b};
    r = fixture_request(&f, a, kill);
    assert_reply(&f, a, r, STW_OK);
    ck_assert_ptr_nonnull(fixture_effect(&f, EFFECT_SESSION_ENDED, b));
    ck_assert_ptr_nonnull(fixture_effect(&f, EFFECT_NOTICE, 0));
    assert_reply(&f, a, fixture_request(&f, a, kill), STW_ENOENT);
    r = fixture_request(&f, a, list); /* after one that is gone */
    ck_assert_uint_eq(fixture_number(fixture_reply(&f, a, r)->fields, 0, "session"), c);
    list.page.after = slice_str("2x");
    assert_reply(&f, a, fixture_request(&f, a, list), STW_EINVAL);
    list.page.after = slice_str("18446744073709551616");
    assert_reply(&f, a, fixture_request(&f, a, list), STW_EINVAL);
    r = fixture_request(&f, a, (struct command){.kind = COMMAND_STAT});
    fields = fixture_reply(&f, a, r)->fields;
    ck_assert_uint_eq(fixture_number(fields, 0, "sessions"), 2);
    ck_assert_uint_eq(fixture_number(fields, 0, "incarnation"), 7);
    ck_assert_uint_eq(fixture_number(fields, 0, "bytes") > 0, 1);
    kill.target = a;
    fixture_request(&f, a, kill);
    ck_assert_ptr_null(fixture_effect(&f, EFFECT_REPLY, a));
    ck_assert_ptr_nonnull(fixture_effect(&f, EFFECT_SESSION_ENDED, a));
    fixture_fini(&f);
}
END_TEST

START_TEST(time_never_goes_back)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    fixture_request(&f, a, acquire("l", 0));
    fixture_request(&f, a, acquire("l", 100));
    uint64_t due = core_deadline(f.core);
    f.now_ms += 50;
    fixture_tick(&f, f.now_ms);
    f.now_ms -= 50;
    uint64_t r = fixture_request(&f, a, acquire("l", 100));
    assert_silence(&f);
    fixture_tick(&f, due);
    assert_reply(&f, a, 2, STW_ETIMEOUT);
    ck_assert_ptr_null(fixture_reply(&f, a, r));
    fixture_tick(&f, due + 50);
    assert_reply(&f, a, r, STW_ETIMEOUT);
    fixture_fini(&f);
}
END_TEST

START_TEST(many_deadlines_take_several_ticks)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    fixture_request(&f, a, acquire("l", 0));
    for (int i = 0; i < 3000; i++) {
        struct command command = acquire("l", 10);
        command.session = a;
        command.request = ++f.request[a];
        core_apply(f.core, f.now_ms, &command, &f.effects);
    }
    uint64_t answered = 0;
    int ticks = 0;
    f.now_ms += 10;
    while (core_deadline(f.core) <= f.now_ms) {
        fixture_tick(&f, f.now_ms);
        for (size_t i = 0; i < f.effects.count; i++) {
            answered += f.effects.items[i].count;
        }
        ticks++;
        ck_assert_int_lt(ticks, 10);
    }
    ck_assert_uint_eq(answered, 3000);
    ck_assert_int_ge(ticks, 3);
    fixture_fini(&f);
}
END_TEST

START_TEST(broken_snapshots_are_refused)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    struct command leased = acquire("l", 0);
    leased.acquire.lease_ms = 5000;
    fixture_request(&f, a, leased);
    fixture_request(&f, a, acquire("l", 100));
    struct buf bytes = {0};
    core_snapshot(f.core, &bytes);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        struct core *core = core_restore(slice_of(bytes.data, cut));
        ck_assert_ptr_null(core);
    }
    for (size_t at = 0; at < bytes.size; at++) {
        bytes.data[at] ^= 0x81;
        struct core *core = core_restore(buf_view(&bytes)); /* refused or not: no crash, no leak */
        core_destroy(&core);
        bytes.data[at] ^= 0x81;
    }
    buf_fini(&bytes);
    fixture_fini(&f);
}
END_TEST

START_TEST(second_bootstrap_changes_nothing)
{
    struct fixture f;
    fixture_init(&f);
    uint64_t a = fixture_open(&f, 1);
    struct command bootstrap = {.kind = COMMAND_BOOTSTRAP,
                                .bootstrap = {.hash_key = 1, .incarnation = 1}};
    fixture_apply(&f, &bootstrap);
    assert_silence(&f);
    struct session_info info;
    ck_assert(core_session(f.core, a, &info));
    fixture_fini(&f);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {open_and_resume,
                                  settings_are_bounded,
                                  end_is_at_once_for_the_client,
                                  list_show_kill,
                                  time_never_goes_back,
                                  many_deadlines_take_several_ticks,
                                  broken_snapshots_are_refused,
                                  second_bootstrap_changes_nothing};
    return fixture_run("session", tests, sizeof tests / sizeof *tests);
}
