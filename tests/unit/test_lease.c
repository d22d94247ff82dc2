/* Leases through core_apply: settling, running out, coming back, counting, sending again. */
#include "tests/unit/queue_fixture.h"

START_TEST(ack_runs_answer_each_tag_by_itself)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "ABCDE", 0);
    get(&q, q.b, 5, 0);
    settle(&q, q.b, COMMAND_ACK, 3);
    struct command ack = {.kind = COMMAND_ACK, .settle = {.first_tag = 1, .count = 6}};
    uint64_t r = fixture_request(&q.f, q.b, ack);
    for (uint64_t i = 0; i < 6; i++) {
        assert_reply(&q.f, q.b, r + i, i == 2 || i == 5 ? STW_ELEASE : STW_OK);
    }
    ck_assert_uint_eq(q.f.effects.count, 4); /* two receipts, two refusals */
    ck_assert_uint_eq(shown(&q, "q", "acked"), 5);
    ck_assert_uint_eq(shown(&q, "q", "unfinished"), 0);
    queues_end(&q);
}
END_TEST

START_TEST(tokens_grow_and_tags_are_contiguous)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "AB", 0);
    get(&q, q.b, 2, 0);
    ck_assert_uint_eq(delivery(&q, q.b)->first_tag, 1);
    uint64_t token = delivery(&q, q.b)->first_token;
    settle(&q, q.b, COMMAND_RELEASE, 1);
    get(&q, q.b, 1, 0);
    ck_assert_uint_eq(delivery(&q, q.b)->first_tag, 3);
    ck_assert_uint_eq(delivery(&q, q.b)->first_token, token + 2);
    queues_end(&q);
}
END_TEST

START_TEST(a_lease_that_runs_out_comes_back_in_its_place)
{
    struct queues q;
    queues_begin(&q);
    declare(&q, "q", (struct queue_options){.given = QUEUE_LEASE, .lease_ms = 200});
    put(&q, q.a, "ABC", 0);
    get(&q, q.b, 1, 0);
    ck_assert_uint_eq(delivery(&q, q.b)->lease_ms, 200);
    fixture_restart(&q.f);
    fixture_tick(&q.f, q.f.now_ms + 199);
    assert_silence(&q.f);
    fixture_tick(&q.f, q.f.now_ms + 1);
    const struct effect *lost = fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b);
    ck_assert_ptr_nonnull(lost);
    ck_assert_uint_eq(lost->first, 1);
    assert_reply(&q.f, q.b, settle(&q, q.b, COMMAND_ACK, 1), STW_ELEASE);
    get(&q, q.b, 3, 0);
    assert_delivered(&q, q.b, "ABC");
    ck_assert_uint_eq(delivery(&q, q.b)->messages[0].deliveries, 2);
    ck_assert(!delivery(&q, q.b)->messages[0].plain);
    ck_assert(delivery(&q, q.b)->messages[1].plain);
    queues_end(&q);
}
END_TEST

START_TEST(an_ack_before_the_tick_succeeds)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.b, 1, 0);
    q.f.now_ms += LIMIT_LEASE_MS + 5;
    assert_reply(&q.f, q.b, settle(&q, q.b, COMMAND_ACK, 1), STW_OK);
    queues_end(&q);
}
END_TEST

START_TEST(renew_moves_the_deadline)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.b, 1, 0);
    q.f.now_ms += LIMIT_LEASE_MS - 1;
    uint64_t r = settle(&q, q.b, COMMAND_RENEW, 1);
    ck_assert_uint_eq(number(&q, q.b, r), LIMIT_LEASE_MS);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_LEASE_MS - 1);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b));
    fixture_tick(&q.f, q.f.now_ms + 1);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b));
    queues_end(&q);
}
END_TEST

START_TEST(nack_counts_and_may_delay)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "AB", 0);
    get(&q, q.b, 1, 0);
    struct command nack = {
        .kind = COMMAND_NACK,
        .settle = {.first_tag = 1, .count = 1, .delay_ms = 50, .reason = slice_str("broken")}};
    fixture_request(&q.f, q.b, nack);
    ck_assert_uint_eq(shown(&q, "q", "delayed"), 1);
    get(&q, q.b, 2, 0);
    assert_delivered(&q, q.b, "B");
    fixture_restart(&q.f);
    fixture_tick(&q.f, q.f.now_ms + 50);
    get(&q, q.b, 1, 0);
    assert_delivered(&q, q.b, "A");
    const struct delivered *again = &delivery(&q, q.b)->messages[0];
    ck_assert_uint_eq(again->deliveries, 2);
    ck_assert(has_text(again->fields, "first_failure", "broken"));
    ck_assert_uint_eq(fixture_number(again->fields, SIZE_MAX, "last_failure_ms"), 50);
    queues_end(&q);
}
END_TEST

START_TEST(release_does_not_count)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "AB", 0);
    get(&q, q.b, 1, 0);
    settle(&q, q.b, COMMAND_RELEASE, 1);
    get(&q, q.b, 2, 0);
    assert_delivered(&q, q.b, "AB");
    ck_assert_uint_eq(delivery(&q, q.b)->messages[0].deliveries, 1);
    queues_end(&q);
}
END_TEST

START_TEST(a_dead_sessions_leases_return_and_count_if_handed)
{
    struct queues q;
    queues_begin(&q);
    consume(&q, q.b, 10, 1000);
    put(&q, q.a, "ABC", 0);
    struct command handed = {.kind = COMMAND_HANDED, .session = q.b, .tag = 1};
    fixture_apply(&q.f, &handed);
    fixture_end(&q.f, q.b);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b));
    get(&q, q.a, 3, 0);
    assert_delivered(&q, q.a, "ABC");
    ck_assert_uint_eq(delivery(&q, q.a)->messages[0].deliveries, 2);
    ck_assert_uint_eq(delivery(&q, q.a)->messages[1].deliveries, 1);
    queues_end(&q);
}
END_TEST

START_TEST(a_resumed_session_gets_its_stream_again)
{
    struct queues q;
    queues_begin(&q);
    consume(&q, q.b, 10, 1000);
    put(&q, q.a, "ABCD", 0);
    settle(&q, q.b, COMMAND_ACK, 3);
    struct command resume = {.kind = COMMAND_SESSION_RESUME,
                             .resume = {.reference = 5, .session = q.b, .last_tag = 1}};
    memset(resume.resume.secret, 2, sizeof resume.resume.secret);
    fixture_apply(&q.f, &resume);
    assert_delivered(&q, q.b, "BD");
    queues_end(&q);
}
END_TEST

START_TEST(auto_ack_ends_with_seen)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    struct command command = get_command(&q, "q", 1, 0);
    command.get.auto_ack = true;
    uint64_t r = fixture_request(&q.f, q.b, command);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 1);
    struct id_range range = {r, 1};
    struct command seen = {
        .kind = COMMAND_SEEN, .session = q.b, .seen = {.ranges = &range, .count = 1}};
    fixture_apply(&q.f, &seen);
    ck_assert_uint_eq(shown(&q, "q", "acked"), 1);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 0);
    queues_end(&q);
}
END_TEST

START_TEST(a_cancelled_get_gives_back_uncounted)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "AB", 0);
    struct command cancel = {.kind = COMMAND_CANCEL, .target = get(&q, q.b, 2, 0)};
    fixture_request(&q.f, q.b, cancel);
    ck_assert_uint_eq(shown(&q, "q", "leased"), 0);
    get(&q, q.b, 2, 0);
    assert_delivered(&q, q.b, "AB");
    ck_assert_uint_eq(delivery(&q, q.b)->messages[0].deliveries, 1);
    queues_end(&q);
}
END_TEST

START_TEST(after_a_clock_gap_leases_have_their_full_time)
{
    struct queues q;
    queues_begin(&q);
    put(&q, q.a, "A", 0);
    get(&q, q.b, 1, 0);
    q.f.now_ms += LIMIT_LEASE_MS + 100;
    struct command gap = {.kind = COMMAND_CLOCK_GAP, .gap_ms = LIMIT_LEASE_MS};
    fixture_apply(&q.f, &gap);
    fixture_tick(&q.f, q.f.now_ms + LIMIT_LEASE_MS - 1);
    ck_assert_ptr_null(fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b));
    fixture_tick(&q.f, q.f.now_ms + 1);
    ck_assert_ptr_nonnull(fixture_effect(&q.f, EFFECT_LEASE_LOST, q.b));
    queues_end(&q);
}
END_TEST

/* More leases than one apply may return: slices, in order, and nothing lost. */
START_TEST(many_leases_return_in_slices)
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
    consume(&q, q.b, 5000, 1 << 20);
    while (core_deadline(q.f.core) <= q.f.now_ms) {
        fixture_tick(&q.f, q.f.now_ms);
    }
    ck_assert_uint_eq(shown(&q, "q", "leased"), 3000);
    fixture_end(&q.f, q.b);
    ck_assert_uint_gt(shown(&q, "q", "leased"), 0);
    fixture_restart(&q.f);
    while (core_deadline(q.f.core) <= q.f.now_ms) {
        fixture_tick(&q.f, q.f.now_ms);
    }
    ck_assert_uint_eq(shown(&q, "q", "ready"), 3000);
    get(&q, q.a, 1, 0);
    ck_assert_uint_eq(delivery(&q, q.a)->messages[0].sequence, 1);
    queues_end(&q);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        ack_runs_answer_each_tag_by_itself,
        tokens_grow_and_tags_are_contiguous,
        a_lease_that_runs_out_comes_back_in_its_place,
        an_ack_before_the_tick_succeeds,
        renew_moves_the_deadline,
        nack_counts_and_may_delay,
        release_does_not_count,
        a_dead_sessions_leases_return_and_count_if_handed,
        a_resumed_session_gets_its_stream_again,
        auto_ack_ends_with_seen,
        a_cancelled_get_gives_back_uncounted,
        after_a_clock_gap_leases_have_their_full_time,
        many_leases_return_in_slices,
    };
    return fixture_run("lease", tests, sizeof tests / sizeof *tests);
}
