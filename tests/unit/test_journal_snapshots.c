/*
 * Durable journals and their snapshots: the log is trimmed behind them, a start begins with one, a
 * node that is far behind gets the leader's, and a full disk is told of in time.
 */
#include "tests/unit/journal_rig_nodes.h"

#include "broker/journal/replica.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct trio trio;

static void stop(void)
{
    trio_fini(&trio);
}

static struct trio_node *follower_of(struct trio_node *leader)
{
    return &trio.nodes[leader->id == 1 ? 2 : 1];
}

/* ---- own ones ---- */

START_TEST(a_snapshot_comes_after_enough_log_and_the_log_goes)
{
    trio_init(&trio, 1);
    trio_put(&trio, 100);
    ck_assert_uint_eq(trio_status(&trio, 1).snapshot_index, 0);
    trio_put(&trio, 300);
    trio_run(&trio, 20);
    struct raft_status status = trio_status(&trio, 1);
    ck_assert_uint_gt(status.snapshot_index, 0);
    ck_assert_uint_eq(status.first, status.snapshot_index + 1); /* nobody is behind */
    ck_assert_uint_lt(status.log_bytes, 2 * TRIO_SNAPSHOT);
    struct state_mark mark = journal_raft_mark(trio.nodes[1].journal);
    trio_crash(&trio, 1, true);
    ck_assert(trio_open(&trio, 1, false));
    ck_assert_uint_ge(journal_raft_mark(trio.nodes[1].journal).index, status.snapshot_index);
    trio_elect(&trio);
    ck_assert_uint_ge(trio_messages(&trio, 1), 400);
    ck_assert_uint_gt(journal_raft_mark(trio.nodes[1].journal).index, mark.index);
    trio_put(&trio, 10);
    stop();
}
END_TEST

static unsigned segments(void)
{
    unsigned count = 0;
    for (unsigned k = 0; k < 256; k++) {
        char name[64];
        uint64_t bytes = 0;
        snprintf(name, sizeof name, "%016x.segment", k);
        count += disk_file(trio.nodes[1].disk, name, &bytes) ? 1 : 0;
    }
    return count;
}

START_TEST(many_starts_do_not_fill_the_disk)
{
    trio_init(&trio, 1);
    trio.snapshot_bytes = TRIO_SEGMENT;
    for (unsigned lives = 0; lives < 40; lives++) {
        trio_put(&trio, 1);
        trio_run(&trio, 20);
        ck_assert_uint_le(segments(), 8);
        trio_crash(&trio, 1, true);
        ck_assert(trio_open(&trio, 1, false));
        trio_elect(&trio);
    }
    ck_assert_uint_ge(trio_messages(&trio, 1), 40);
    stop();
}
END_TEST

START_TEST(the_log_stays_small_while_the_state_does)
{
    struct command purge = {.kind = COMMAND_QUEUE_PURGE, .named.name = slice_str("q")};
    trio_init(&trio, 1);
    for (int round = 0; round < 30; round++) {
        trio_put(&trio, 200);
        purge.session = trio.session;
        purge.request = ++trio.request;
        journal_submit(trio.nodes[1].journal, trio.now_ms, &purge);
        trio_run(&trio, 20);
        ck_assert_uint_le(segments(), 6);
    }
    trio_crash(&trio, 1, true);
    ck_assert(trio_open(&trio, 1, false));
    trio_put(&trio, 1);
    stop();
}
END_TEST

START_TEST(one_can_be_asked_for)
{
    trio_init(&trio, 1);
    struct journal *journal = trio.nodes[1].journal;
    ck_assert(!journal_raft_snapshot_now(journal, trio.now_ms)); /* there is nothing yet */
    trio_put(&trio, 10);
    uint64_t index = journal_raft_mark(journal).index;
    ck_assert(journal_raft_snapshot_now(journal, trio.now_ms));
    ck_assert(trio_status(&trio, 1).snapshotting);
    ck_assert(!journal_raft_snapshot_now(journal, trio.now_ms));
    ck_assert_uint_eq(journal_deadline(journal), 0); /* it is written step by step */
    trio_run(&trio, 50);
    ck_assert_uint_eq(trio_status(&trio, 1).snapshot_index, index);
    struct snapshot_mark mark;
    ck_assert(snapshots_newest(journal_raft_snapshots(journal), &mark));
    ck_assert_uint_eq(mark.at.index, index);
    ck_assert(!journal_raft_snapshot_now(journal, trio.now_ms) ||
              journal_raft_mark(journal).index > index);
    stop();
}
END_TEST

START_TEST(time_goes_on_behind_a_snapshot)
{
    trio_init(&trio, 1);
    trio_put(&trio, 10);
    ck_assert(journal_raft_snapshot_now(trio.nodes[1].journal, trio.now_ms));
    uint64_t time_ms = journal_time_ms(trio.nodes[1].journal);
    trio_run(&trio, 50);
    trio_close(&trio, 1);
    trio.now_ms = 100; /* the wall clock was set back */
    ck_assert(trio_open(&trio, 1, false));
    ck_assert_uint_ge(journal_time_ms(trio.nodes[1].journal), time_ms);
    trio_elect(&trio);
    ck_assert_uint_ge(journal_time_ms(trio.nodes[1].journal), time_ms);
    stop();
}
END_TEST

START_TEST(a_large_state_is_not_written_all_the_time)
{
    size_t taken = 0;
    uint64_t index = 0;
    trio_init(&trio, 1);
    for (int i = 0; i < 40; i++) {
        trio_put_large(&trio, 1);
        trio_run(&trio, 30);
        taken += trio_status(&trio, 1).snapshot_index != index;
        index = trio_status(&trio, 1).snapshot_index;
    }
    ck_assert_uint_ge(taken, 4); /* 4 MB, and twice the state each time */
    ck_assert_uint_le(taken, 8);
    stop();
}
END_TEST

START_TEST(one_that_finds_no_room_is_tried_again_later)
{
    trio_init(&trio, 1);
    trio_put(&trio, 10);
    trio_run(&trio, 50);
    trio_close(&trio, 1);
    trio.snapshot_bytes = 1000;
    struct trio_node *node = &trio.nodes[1];
    ck_assert(trio_open(&trio, 1, false));
    node->no_room = true;
    trio_run(&trio, 20);
    ck_assert_ptr_null(journal_failure(node->journal));
    ck_assert_ptr_nonnull(trio_status(&trio, 1).snapshot_trouble);
    ck_assert_uint_eq(trio_status(&trio, 1).snapshot_index, 0);
    node->no_room = false;
    trio_run(&trio, LIMIT_SNAPSHOT_RETRY_MS / TRIO_STEP_MS - 60);
    ck_assert_uint_eq(trio_status(&trio, 1).snapshot_index, 0);
    trio_run(&trio, 200);
    ck_assert_uint_gt(trio_status(&trio, 1).snapshot_index, 0);
    ck_assert_ptr_null(trio_status(&trio, 1).snapshot_trouble);
    stop();
}
END_TEST

START_TEST(what_the_log_holds_is_applied_by_and_by)
{
    struct command tick = {.kind = COMMAND_TICK};
    trio_init(&trio, 1);
    trio_put(&trio, 10);
    for (size_t i = 0; i < 3 * LIMIT_APPLY_COMMANDS; i++) {
        journal_submit(trio.nodes[1].journal, trio.now_ms, &tick);
    }
    trio.snapshot_bytes = 1ULL << 40;
    trio_settle(&trio);
    uint64_t last = trio_status(&trio, 1).last;
    trio_close(&trio, 1);
    ck_assert(trio_open(&trio, 1, false));
    struct journal *journal = trio.nodes[1].journal;
    unsigned turns = 0;
    uint64_t applied = 0;
    while (trio_status(&trio, 1).applied < last) {
        journal_process(journal, trio.now_ms);
        turns++;
        bool more = trio_status(&trio, 1).applied > applied;
        applied = trio_status(&trio, 1).applied;
        ck_assert_uint_lt(turns, 20);
        if (applied < last && more) {
            ck_assert(trio_status(&trio, 1).replaying);
            ck_assert_uint_eq(journal_deadline(journal), 0); /* goes on with the next turn */
            ck_assert(!journal_ready(journal));
        }
    }
    ck_assert_uint_ge(turns, 2);
    trio_elect(&trio);
    ck_assert_uint_ge(trio_messages(&trio, 1), trio.replies);
    stop();
}
END_TEST

START_TEST(a_crash_at_any_time_of_it_loses_nothing)
{
    trio_init(&trio, 1);
    trio.snapshot_bytes = 20000;
    for (unsigned round = 0; round < 40; round++) {
        trio_put(&trio, 40);
        trio_elect(&trio);
        journal_raft_snapshot_now(trio.nodes[1].journal, trio.now_ms);
        trio_run(&trio, round % 8);
        trio_crash(&trio, 1, true);
        ck_assert(trio_open(&trio, 1, false));
        trio_elect(&trio);
        ck_assert_uint_ge(trio_messages(&trio, 1), trio.replies);
        core_check(trio.nodes[1].core);
    }
    stop();
}
END_TEST

START_TEST(a_log_that_does_not_reach_its_snapshot_is_refused)
{
    char name[64];
    trio_init(&trio, 1);
    trio_put(&trio, 3000);
    trio_run(&trio, 50);
    uint64_t index = trio_status(&trio, 1).snapshot_index;
    ck_assert_uint_gt(index, 0);
    trio_close(&trio, 1);
    snprintf(name, sizeof name, "%016llx.snapshot", (unsigned long long)index);
    ck_assert_ptr_nonnull(disk_file(trio.nodes[1].disk, name, &(uint64_t){0}));
    disk_remove(trio.nodes[1].disk, name);
    for (uint64_t older = 1; older < index; older++) {
        snprintf(name, sizeof name, "%016llx.snapshot", (unsigned long long)older);
        if (disk_file(trio.nodes[1].disk, name, &(uint64_t){0})) {
            disk_remove(trio.nodes[1].disk, name);
        }
    }
    ck_assert(!trio_open(&trio, 1, false));
    ck_assert_int_eq(trio.nodes[1].error.trouble, LOG_CORRUPTED);
    ck_assert_ptr_nonnull(strstr(trio.nodes[1].error.text, "missing"));
    stop();
}
END_TEST

START_TEST(a_failed_disk_ends_it_while_a_snapshot_is_written)
{
    trio_init(&trio, 1);
    trio_put(&trio, 10);
    trio_run(&trio, 50);
    struct journal *journal = trio.nodes[1].journal;
    ck_assert(journal_raft_snapshot_now(journal, trio.now_ms));
    disk_fail(trio.nodes[1].disk, DISK_RENAME, 1, EIO);
    trio_run(&trio, 50);
    ck_assert_ptr_nonnull(journal_failure(journal));
    ck_assert_ptr_nonnull(strstr(journal_failure(journal), strerror(EIO)));
    ck_assert(!journal_ready(journal));
    ck_assert_uint_eq(journal_deadline(journal), UINT64_MAX);
    stop();
}
END_TEST

/* ---- the leader's ---- */

/* A follower that is away until the leader's log begins behind what it has. */
static struct trio_node *leave_behind(void)
{
    trio_init(&trio, 3);
    trio_put(&trio, 50);
    trio_settle(&trio);
    struct trio_node *away = follower_of(trio_leader(&trio));
    uint64_t last = trio_status(&trio, away->id).last;
    trio_crash(&trio, away->id, true);
    trio_put(&trio, 1500); /* several pieces */
    for (unsigned i = 0; i < 50 && trio_status(&trio, trio_leader(&trio)->id).first <= last; i++) {
        trio_put(&trio, 100);
    }
    ck_assert_uint_gt(trio_status(&trio, trio_leader(&trio)->id).first, last + 1);
    return away;
}

START_TEST(a_node_far_behind_gets_the_leaders_snapshot)
{
    struct trio_node *away = leave_behind();
    ck_assert(trio_open(&trio, away->id, false));
    ck_assert_uint_eq(trio.kinds[PEER_BYTES_PULL], 0);
    bool seen = false;
    for (unsigned i = 0; i < TRIO_PATIENCE && !seen; i++) {
        trio_step(&trio);
        seen = trio_status(&trio, away->id).installing;
    }
    ck_assert(seen);
    trio_settle(&trio);
    ck_assert_uint_gt(trio.kinds[PEER_BYTES_PULL], 1);
    ck_assert_uint_ge(trio_messages(&trio, away->id), trio.replies);
    struct raft_status status = trio_status(&trio, away->id);
    ck_assert_uint_gt(status.snapshot_index, 0);
    ck_assert(!status.installing);
    trio_crash(&trio, away->id, true); /* what it got is durable */
    ck_assert(trio_open(&trio, away->id, false));
    ck_assert_uint_ge(journal_raft_mark(away->journal).index, status.snapshot_index);
    trio_put(&trio, 20);
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(a_crash_at_any_time_of_an_install_loses_nothing)
{
    for (unsigned steps = 1; steps < 60; steps += 2) {
        struct trio_node *away = leave_behind();
        ck_assert(trio_open(&trio, away->id, false));
        trio_run(&trio, steps);
        trio_crash(&trio, away->id, true);
        ck_assert(trio_open(&trio, away->id, false));
        trio_settle(&trio);
        ck_assert_uint_ge(trio_messages(&trio, away->id), trio.replies);
        stop();
    }
}
END_TEST

static uint32_t chance;

static bool lose_pieces(struct trio *world, const struct trio_packet *packet)
{
    (void)world;
    uint8_t kind = packet->bytes.data[0];
    chance = chance * 1664525 + 1013904223;
    return (kind == PEER_BYTES_PULL || kind == PEER_BYTES_PIECE) && (chance >> 16) % 100 < 40;
}

START_TEST(pieces_that_are_lost_are_asked_for_again)
{
    struct trio_node *away = leave_behind();
    trio.loss = lose_pieces;
    ck_assert(trio_open(&trio, away->id, false));
    trio_settle(&trio);
    ck_assert_uint_ge(trio_messages(&trio, away->id), trio.replies);
    stop();
}
END_TEST

static bool lose_all_pieces(struct trio *world, const struct trio_packet *packet)
{
    (void)world;
    return packet->bytes.data[0] == PEER_BYTES_PIECE;
}

/* Starts to install, and gets no piece yet; returns the index that it wants. */
static uint64_t begin_install(struct trio_node *away)
{
    trio.loss = lose_all_pieces;
    ck_assert(trio_open(&trio, away->id, false));
    for (unsigned i = 0; i < TRIO_PATIENCE && !trio_status(&trio, away->id).installing; i++) {
        trio_step(&trio);
    }
    trio_run(&trio, 5);
    ck_assert(trio_status(&trio, away->id).installing);
    return trio_status(&trio, trio_leader(&trio)->id).snapshot_index;
}

START_TEST(a_new_leader_without_that_snapshot_offers_its_own)
{
    struct trio_node *away = leave_behind(), *old = trio_leader(&trio);
    begin_install(away);
    /* The third node makes its own, of a later index, and leads. */
    trio_put(&trio, 1);
    struct trio_node *third = &trio.nodes[6 - away->id - old->id];
    trio_settle_but(&trio, away->id);
    journal_raft_snapshot_now(third->journal, trio.now_ms);
    trio_run(&trio, 50);
    trio_crash(&trio, old->id, false);
    trio.loss = NULL;
    trio_elect(&trio);
    ck_assert_ptr_eq(trio_leader(&trio), third);
    trio_settle(&trio);
    ck_assert_uint_ge(trio_messages(&trio, away->id), trio.replies);
    stop();
}
END_TEST

START_TEST(what_a_follower_wants_is_kept_for_it)
{
    struct trio_node *away = leave_behind();
    uint64_t wanted = begin_install(away);
    for (int i = 0; i < 4; i++) {
        trio_put(&trio, 1);
        ck_assert(journal_raft_snapshot_now(trio_leader(&trio)->journal, trio.now_ms));
        trio_run(&trio, 60);
        ck_assert(trio_status(&trio, away->id).installing);
    }
    trio.loss = NULL;
    for (unsigned i = 0; i < TRIO_PATIENCE && trio_status(&trio, away->id).installing; i++) {
        trio_step(&trio);
    }
    ck_assert_uint_eq(trio_status(&trio, away->id).snapshot_index, wanted);
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(who_no_longer_has_it_says_so)
{
    struct trio_node *away = leave_behind(), *old = trio_leader(&trio);
    struct trio_node *third = &trio.nodes[6 - away->id - old->id];
    uint64_t wanted = begin_install(away);
    trio_put(&trio, 1);
    trio_settle_but(&trio, away->id);
    for (int i = 0; i < 3; i++) { /* the third has others, and leads */
        trio_put(&trio, 1);
        trio_settle_but(&trio, away->id);
        ck_assert(journal_raft_snapshot_now(third->journal, trio.now_ms));
        trio_run(&trio, 60);
    }
    ck_assert_int_eq(
        journal_raft_change(old->journal, trio.now_ms, RAFT_CHANGE_TRANSFER, third->id),
        CONSENSUS_OK);
    for (unsigned i = 0; i < TRIO_PATIENCE && !journal_ready(third->journal); i++) {
        trio_step(&trio);
    }
    ck_assert(trio_status(&trio, away->id).installing);
    ck_assert_uint_eq(trio_status(&trio, away->id).leader, third->id);
    trio.loss = NULL;
    trio_settle(&trio);
    ck_assert_uint_gt(trio_status(&trio, away->id).snapshot_index, wanted);
    ck_assert_uint_ge(trio_messages(&trio, away->id), trio.replies);
    stop();
}
END_TEST

START_TEST(the_log_is_kept_for_who_is_a_little_behind)
{
    trio_init(&trio, 3);
    trio_put(&trio, 300);
    struct trio_node *away = follower_of(trio_leader(&trio));
    trio_settle(&trio);
    trio_isolate(&trio, away->id, true);
    trio_put(&trio, 10);
    ck_assert(journal_raft_snapshot_now(trio_leader(&trio)->journal, trio.now_ms));
    trio_run(&trio, 40);
    struct raft_status status = trio_status(&trio, trio_leader(&trio)->id);
    ck_assert_uint_lt(status.first, status.snapshot_index + 1);
    trio_isolate(&trio, away->id, false);
    trio_settle(&trio);
    ck_assert_uint_eq(trio.kinds[PEER_BYTES_PULL], 0);
    stop();
}
END_TEST

START_TEST(a_follower_far_behind_is_fed_in_parts)
{
    trio_init(&trio, 1); /* no snapshot is taken here: all has to come from the log */
    trio_fini(&trio);
    trio = (struct trio){.now_ms = 1000, .snapshot_bytes = 1ULL << 40};
    members_set(&trio.founders, 1, MEMBER_VOTER);
    members_set(&trio.founders, 2, MEMBER_VOTER);
    members_set(&trio.founders, 3, MEMBER_VOTER);
    ck_assert(trio_open(&trio, 1, false) && trio_open(&trio, 2, false));
    trio_put_large(&trio, 60);
    trio.largest = 0;
    ck_assert(trio_open(&trio, 3, false));
    trio_settle(&trio);
    ck_assert_uint_lt(trio.largest, LIMIT_APPEND_BYTES + TRIO_SEGMENT);
    ck_assert_uint_gt(trio.largest, LIMIT_APPEND_SILENT_BYTES);
    stop();
}
END_TEST

/* ---- full disks ---- */

START_TEST(a_full_disk_is_told_of_and_room_ends_it)
{
    struct command purge = {.kind = COMMAND_QUEUE_PURGE, .named.name = slice_str("q")};
    trio_init(&trio, 1);
    trio_put(&trio, 10);
    struct trio_node *node = &trio.nodes[1];
    disk_limit(node->disk, 8 * TRIO_SEGMENT);
    size_t puts = 0;
    for (; puts < 20000 && !journal_tight(node->journal); puts++) {
        trio_put(&trio, 1);
    }
    ck_assert(journal_tight(node->journal));
    ck_assert(trio_status(&trio, 1).tight);
    ck_assert_ptr_null(journal_failure(node->journal));
    purge.session = trio.session; /* what makes room goes on */
    purge.request = ++trio.request;
    journal_submit(node->journal, trio.now_ms, &purge);
    for (unsigned i = 0; i < TRIO_PATIENCE && journal_tight(node->journal); i++) {
        trio_step(&trio);
    }
    ck_assert(!journal_tight(node->journal));
    trio_put(&trio, 100);
    trio_crash(&trio, 1, true);
    ck_assert(trio_open(&trio, 1, false));
    trio_put(&trio, 1);
    stop();
}
END_TEST

START_TEST(puts_stop_when_most_disks_are_full)
{
    trio_init(&trio, 3);
    trio.snapshot_bytes = 1ULL << 40;
    trio_put(&trio, 10);
    struct trio_node *leader = trio_leader(&trio);
    for (uint64_t id = 1; id <= 3; id++) {
        if (id != leader->id) {
            disk_limit(trio.nodes[id].disk, 6 * TRIO_SEGMENT);
        }
    }
    for (size_t puts = 0; puts < 5000 && !journal_tight(leader->journal); puts++) {
        trio_put(&trio, 1);
        trio_run(&trio, 2);
    }
    ck_assert(journal_tight(leader->journal)); /* although its own disk has room */
    trio_put(&trio, 1);                        /* there is room for what makes room */
    for (uint64_t id = 1; id <= 3; id++) {
        disk_limit(trio.nodes[id].disk, 1 << 30);
    }
    trio_run(&trio, 500);
    ck_assert(!journal_tight(leader->journal));
    trio_put(&trio, 100);
    trio_settle(&trio);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_snapshots");
    TCase *tcase = tcase_create("snapshots");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_snapshot_comes_after_enough_log_and_the_log_goes);
    tcase_add_test(tcase, many_starts_do_not_fill_the_disk);
    tcase_add_test(tcase, the_log_stays_small_while_the_state_does);
    tcase_add_test(tcase, one_can_be_asked_for);
    tcase_add_test(tcase, time_goes_on_behind_a_snapshot);
    tcase_add_test(tcase, a_large_state_is_not_written_all_the_time);
    tcase_add_test(tcase, one_that_finds_no_room_is_tried_again_later);
    tcase_add_test(tcase, what_the_log_holds_is_applied_by_and_by);
    tcase_add_test(tcase, a_crash_at_any_time_of_it_loses_nothing);
    tcase_add_test(tcase, a_log_that_does_not_reach_its_snapshot_is_refused);
    tcase_add_test(tcase, a_failed_disk_ends_it_while_a_snapshot_is_written);
    tcase_add_test(tcase, a_node_far_behind_gets_the_leaders_snapshot);
    tcase_add_test(tcase, a_crash_at_any_time_of_an_install_loses_nothing);
    tcase_add_test(tcase, pieces_that_are_lost_are_asked_for_again);
    tcase_add_test(tcase, a_new_leader_without_that_snapshot_offers_its_own);
    tcase_add_test(tcase, what_a_follower_wants_is_kept_for_it);
    tcase_add_test(tcase, who_no_longer_has_it_says_so);
    tcase_add_test(tcase, the_log_is_kept_for_who_is_a_little_behind);
    tcase_add_test(tcase, a_follower_far_behind_is_fed_in_parts);
    tcase_add_test(tcase, a_full_disk_is_told_of_and_room_ends_it);
    tcase_add_test(tcase, puts_stop_when_most_disks_are_full);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
