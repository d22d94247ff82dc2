/*
 * Several durable journals: entries are replicated, leaders change, nodes come, go and lag behind,
 * and what was confirmed stays, the same on all.
 */
#include "tests/unit/journal_rig_nodes.h"

#include "broker/journal/replica.h"

#include <check.h>
#include <stdlib.h>

static struct trio trio;

static void stop(void)
{
    trio_fini(&trio);
}

/* A node that does not lead. */
static struct trio_node *follower_of(struct trio_node *leader)
{
    return &trio.nodes[leader->id == 1 ? 2 : 1];
}

START_TEST(all_apply_what_the_leader_confirms)
{
    trio_init(&trio, 3);
    trio_put(&trio, 200);
    trio_settle(&trio);
    struct trio_node *leader = trio_leader(&trio);
    ck_assert_uint_gt(leader->handed, 200);
    for (uint64_t id = 1; id <= 3; id++) {
        struct raft_status status = trio_status(&trio, id);
        ck_assert_uint_eq(status.leader, leader->id);
        ck_assert_uint_eq(journal_leader(trio.nodes[id].journal), leader->id);
        ck_assert_uint_eq(status.peers_count, 3);
        ck_assert_uint_eq(trio.nodes[id].handed > 0, id == leader->id);
        ck_assert_int_eq(status.role, id == leader->id ? CONSENSUS_LEADER : CONSENSUS_FOLLOWER);
    }
    trio_run(&trio, 200); /* marks are told */
    struct raft_status status = trio_status(&trio, leader->id);
    for (size_t i = 0; i < 3; i++) {
        ck_assert(status.peers[i].alive && status.peers[i].voter);
        ck_assert_uint_eq(status.peers[i].match, status.last);
        ck_assert_uint_eq(status.peers[i].hash_index, status.hash_index);
        ck_assert_uint_eq(status.peers[i].hash, status.hash);
    }
    stop();
}
END_TEST

START_TEST(another_leads_when_the_leader_is_gone)
{
    trio_init(&trio, 3);
    for (int round = 0; round < 6; round++) {
        trio_put(&trio, 50);
        struct trio_node *leader = trio_leader(&trio);
        size_t replies = trio.replies;
        for (int i = 0; i < 3; i++) {
            trio_put_one(&trio, leader); /* nobody was told of these */
        }
        trio_crash(&trio, leader->id, true);
        trio_put(&trio, 20);
        ck_assert_uint_eq(trio.replies, replies + 20);
        ck_assert(trio_leader(&trio) != leader);
        ck_assert(trio_open(&trio, leader->id, false));
        trio_settle(&trio);
        ck_assert_uint_ge(trio_messages(&trio, leader->id), trio.replies);
    }
    stop();
}
END_TEST

START_TEST(a_leader_that_is_cut_off_forgets_what_it_could_not_confirm)
{
    trio_init(&trio, 3);
    trio_put(&trio, 20);
    struct trio_node *old = trio_leader(&trio);
    struct command tick = {.kind = COMMAND_TICK};
    trio_isolate(&trio, old->id, true);
    size_t handed = old->handed;
    for (int i = 0; i < 5; i++) {
        trio_put_one(&trio, old);
        journal_submit(old->journal, trio.now_ms, &tick);
        journal_flush(old->journal, trio.now_ms);
    }
    ck_assert_uint_gt(journal_backlog(old->journal), 0);
    ck_assert(journal_ticking(old->journal));
    for (unsigned i = 0; i < TRIO_PATIENCE && journal_ready(old->journal); i++) {
        trio_step(&trio);
    }
    ck_assert(!journal_ready(old->journal)); /* it found out by itself */
    ck_assert_uint_eq(journal_backlog(old->journal), 0);
    ck_assert(!journal_ticking(old->journal));
    trio_put(&trio, 20);
    uint64_t last = trio_status(&trio, old->id).last;
    ck_assert_uint_gt(last, trio_status(&trio, old->id).applied); /* what it has to cut */
    trio_isolate(&trio, old->id, false);
    trio_settle(&trio);
    ck_assert_uint_eq(old->handed, handed);
    ck_assert_uint_eq(trio_messages(&trio, old->id), trio_messages(&trio, trio_leader(&trio)->id));
    trio_crash(&trio, old->id, true); /* the cut is in its log */
    ck_assert(trio_open(&trio, old->id, false));
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(each_node_restarts_and_comes_back)
{
    trio_init(&trio, 3);
    for (uint64_t id = 1; id <= 3; id++) {
        trio_put(&trio, 60);
        trio_close(&trio, id);
        trio_put(&trio, 60);
        ck_assert(trio_open(&trio, id, false));
        trio_settle(&trio);
    }
    for (uint64_t id = 1; id <= 3; id++) { /* all at once */
        trio_crash(&trio, id, true);
    }
    for (uint64_t id = 1; id <= 3; id++) {
        ck_assert(trio_open(&trio, id, false));
    }
    ck_assert_uint_eq(trio.replies, 360);
    trio_put(&trio, 1);
    trio_settle(&trio);
    ck_assert_uint_ge(trio_messages(&trio, 1), 361);
    stop();
}
END_TEST

START_TEST(two_of_three_lost_and_nothing_is_confirmed)
{
    trio_init(&trio, 3);
    trio_put(&trio, 10);
    struct trio_node *leader = trio_leader(&trio);
    for (uint64_t id = 1; id <= 3; id++) {
        if (id != leader->id) {
            trio_crash(&trio, id, false);
        }
    }
    size_t replies = trio.replies;
    trio_put_one(&trio, leader);
    trio_run(&trio, 400);
    ck_assert_uint_eq(trio.replies, replies);
    ck_assert(!journal_ready(leader->journal));
    ck_assert_uint_eq(journal_leader(leader->journal), 0);
    stop();
}
END_TEST

START_TEST(a_vote_leaves_when_it_is_on_disk)
{
    trio_init(&trio, 3);
    trio_put(&trio, 10);
    trio_settle(&trio);
    struct trio_node *leader = trio_leader(&trio), *voter = follower_of(leader);
    struct trio_node *third = &trio.nodes[6 - leader->id - voter->id];
    trio_crash(&trio, leader->id, false);
    voter->busy = true;
    for (int i = 0; i < 600; i++) {
        trio_step(&trio);
        ck_assert_int_ne(trio_status(&trio, third->id).role, CONSENSUS_LEADER);
    }
    voter->busy = false;
    trio_put(&trio, 10);
    stop();
}
END_TEST

START_TEST(who_is_down_is_not_sent_much)
{
    trio_init(&trio, 3);
    trio.snapshot_bytes = 1ULL << 40;
    trio_put(&trio, 10);
    uint64_t down = follower_of(trio_leader(&trio))->id;
    trio_crash(&trio, down, false);
    trio_put_large(&trio, 30);
    trio.nodes[down].bytes = 0;
    uint64_t began = trio.now_ms;
    trio_run(&trio, 400);
    uint64_t beats = (trio.now_ms - began) / LIMIT_HEARTBEAT_MS + 2;
    ck_assert_uint_le(trio.nodes[down].bytes,
                      beats * (LIMIT_APPEND_SILENT_BYTES + TRIO_SEGMENT / 2));
    ck_assert_uint_le(trio.largest, LIMIT_APPEND_BYTES + TRIO_SEGMENT);
    stop();
}
END_TEST

START_TEST(a_message_says_who_sent_it)
{
    struct peer_message message = {.type = PEER_APPEND, .from = 3, .to = 1, .term = 100};
    struct buf bytes = {0};
    trio_init(&trio, 3);
    buf_u8(&bytes, PEER_BYTES_CONSENSUS);
    peer_encode(&message, &bytes);
    journal_raft_receive(trio.nodes[1].journal, trio.now_ms, 2, buf_view(&bytes));
    ck_assert_uint_eq(trio_status(&trio, 1).dropped, 1);
    ck_assert_ptr_nonnull(strstr(trio_status(&trio, 1).dropped_why, "another sender"));
    journal_raft_receive(trio.nodes[1].journal, trio.now_ms, 3, buf_view(&bytes));
    ck_assert_uint_eq(trio_status(&trio, 1).dropped, 1);
    ck_assert_uint_eq(trio_status(&trio, 1).term, 100);
    buf_fini(&bytes);
    stop();
}
END_TEST

/* ---- lost, doubled ---- */

static uint32_t chance;

static bool lose_some(struct trio *world, const struct trio_packet *packet)
{
    (void)world;
    (void)packet;
    chance = chance * 1664525 + 1013904223;
    return (chance >> 16) % 100 < 15;
}

START_TEST(lost_messages_do_no_harm)
{
    trio_init(&trio, 3);
    trio_put(&trio, 5);
    trio.loss = lose_some;
    for (int round = 0; round < 20; round++) {
        struct trio_node *leader = trio_elect(&trio);
        for (int i = 0; i < 10; i++) {
            trio_put_one(&trio, leader);
        }
        trio_run(&trio, 20);
    }
    trio.loss = NULL;
    trio_settle(&trio);
    ck_assert_uint_ge(trio_messages(&trio, 1), trio.replies);
    stop();
}
END_TEST

START_TEST(hostile_bytes_are_dropped_and_counted)
{
    static const uint8_t kinds[] = {0, 1, 2, 3, 4, 5, 255};
    uint8_t bytes[200];
    trio_init(&trio, 3);
    trio_put(&trio, 5);
    struct journal *journal = trio_leader(&trio)->journal;
    uint64_t before = trio_status(&trio, trio_leader(&trio)->id).dropped;
    uint64_t self = trio_leader(&trio)->id;
    for (unsigned i = 0; i < 2000; i++) {
        for (size_t k = 0; k < sizeof bytes; k++) {
            chance = chance * 1664525 + 1013904223;
            bytes[k] = (uint8_t)(chance >> 24);
        }
        bytes[0] = kinds[i % sizeof kinds];
        bytes[1] = i % 2 ? 1 : bytes[1];
        journal_raft_receive(journal, trio.now_ms, self == 1 ? 2 : 1,
                             slice_of(bytes, i % sizeof bytes));
    }
    journal_raft_receive(journal, trio.now_ms, self, slice_of(bytes, 10));
    struct raft_status status = trio_status(&trio, self);
    ck_assert_uint_ge(status.dropped, before + 1990); /* a mark may make sense by chance */
    ck_assert_ptr_nonnull(status.dropped_why);
    trio_put(&trio, 5);
    trio_settle(&trio);
    stop();
}
END_TEST

/* ---- members ---- */

static void wait_members(uint64_t leader, size_t count, size_t voters)
{
    for (unsigned i = 0; i < TRIO_PATIENCE; i++) {
        struct raft_status status = trio_status(&trio, leader);
        size_t found = 0;
        for (size_t k = 0; k < status.peers_count; k++) {
            found += status.peers[k].voter;
        }
        if (status.peers_count == count && found == voters) {
            return;
        }
        trio_step(&trio);
    }
    ck_abort_msg("the list of nodes did not change");
}

/* One change at a time: waits until the one before it is done. */
static void change(struct trio_node *leader, enum raft_change what, uint64_t id)
{
    enum consensus_result result = CONSENSUS_BUSY;
    for (unsigned i = 0; i < TRIO_PATIENCE && result == CONSENSUS_BUSY; i++) {
        result = journal_raft_change(leader->journal, trio.now_ms, what, id);
        trio_step(&trio);
    }
    ck_assert_int_eq(result, CONSENSUS_OK);
}

START_TEST(one_node_grows_to_three)
{
    trio_init(&trio, 1);
    trio_put(&trio, 30);
    for (uint64_t id = 2; id <= 3; id++) {
        ck_assert(trio_open(&trio, id, true));
        trio_run(&trio, 50);
        struct trio_node *leader = trio_leader(&trio);
        ck_assert_uint_eq(leader->id, 1);
        change(leader, RAFT_CHANGE_ADD, id);
        wait_members(1, id, id - 1);
        change(leader, RAFT_CHANGE_PROMOTE, id);
        wait_members(1, id, id);
        trio_put(&trio, 30);
    }
    trio_settle(&trio);
    trio_crash(&trio, 1, true);
    trio_put(&trio, 30);
    ck_assert(trio_open(&trio, 1, false));
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(a_node_is_removed_and_another_takes_its_place)
{
    trio_init(&trio, 3);
    trio_put(&trio, 30);
    struct trio_node *leader = trio_leader(&trio), *gone = follower_of(leader);
    trio_crash(&trio, gone->id, true);
    ck_assert_int_eq(
        journal_raft_change(leader->journal, trio.now_ms, RAFT_CHANGE_REMOVE, leader->id),
        CONSENSUS_IS_LEADER);
    change(leader, RAFT_CHANGE_REMOVE, gone->id);
    wait_members(leader->id, 2, 2);
    ck_assert(trio_open(&trio, 4, true));
    change(leader, RAFT_CHANGE_ADD, 4);
    wait_members(leader->id, 3, 2);
    change(leader, RAFT_CHANGE_PROMOTE, 4);
    wait_members(leader->id, 3, 3);
    trio_put(&trio, 30);
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(a_wiped_node_is_told_to_take_a_new_id)
{
    trio_init(&trio, 3);
    trio_put(&trio, 30);
    struct trio_node *wiped = follower_of(trio_leader(&trio));
    trio_crash(&trio, wiped->id, false);
    disk_free(&wiped->disk);
    ck_assert(trio_open(&trio, wiped->id, true));
    for (unsigned i = 0; i < TRIO_PATIENCE && !journal_failure(wiped->journal); i++) {
        ck_assert_uint_eq(trio_status(&trio, wiped->id).last, 0);
        ck_assert_uint_le(trio_status(&trio, wiped->id).term, 0); /* it votes for nobody */
        trio_step(&trio);
    }
    ck_assert_ptr_nonnull(journal_failure(wiped->journal));
    ck_assert_ptr_nonnull(strstr(journal_failure(wiped->journal), "under a new id"));
    trio_put(&trio, 30);
    stop();
}
END_TEST

START_TEST(a_promotion_that_does_not_succeed_is_told)
{
    trio_init(&trio, 1);
    trio_put(&trio, 30);
    struct journal *journal = trio_leader(&trio)->journal;
    ck_assert_int_eq(journal_raft_change(journal, trio.now_ms, RAFT_CHANGE_PROMOTE, 2),
                     CONSENSUS_BAD_NODE);
    change(trio_leader(&trio), RAFT_CHANGE_ADD, 2);
    wait_members(1, 2, 1);
    change(trio_leader(&trio), RAFT_CHANGE_PROMOTE, 2);
    for (unsigned i = 0; i < 10 * TRIO_PATIENCE; i++) {
        trio_step(&trio);
        if (trio_status(&trio, 1).promotion_failed == 2) {
            break;
        }
    }
    ck_assert_uint_eq(trio_status(&trio, 1).promotion_failed, 2);
    ck_assert(!trio_status(&trio, 1).peers[1].alive);
    trio_put(&trio, 30); /* a spare does not count */
    stop();
}
END_TEST

START_TEST(leadership_is_handed_over)
{
    trio_init(&trio, 3);
    trio_put(&trio, 30);
    struct trio_node *leader = trio_leader(&trio), *next = follower_of(leader);
    trio_settle(&trio);
    ck_assert_int_eq(journal_raft_change(follower_of(leader)->journal, trio.now_ms,
                                         RAFT_CHANGE_TRANSFER, next->id),
                     CONSENSUS_NOT_LEADER);
    ck_assert_int_eq(
        journal_raft_change(leader->journal, trio.now_ms, RAFT_CHANGE_TRANSFER, next->id),
        CONSENSUS_OK);
    trio_put_one(&trio, leader); /* waits for what comes of it, and is forgotten */
    size_t replies = trio.replies;
    uint64_t began = trio.now_ms;
    for (unsigned i = 0; i < TRIO_PATIENCE && !journal_ready(next->journal); i++) {
        trio_step(&trio);
    }
    ck_assert_uint_lt(trio.now_ms - began, LIMIT_ELECTION_MS);
    ck_assert(!journal_ready(leader->journal));
    ck_assert_uint_eq(trio.replies, replies);
    trio_put(&trio, 30);
    trio_settle(&trio);
    /* One that cannot be reached: the leader goes on, with what came meanwhile. */
    leader = trio_leader(&trio);
    next = follower_of(leader);
    trio_isolate(&trio, next->id, true);
    ck_assert_int_eq(
        journal_raft_change(leader->journal, trio.now_ms, RAFT_CHANGE_TRANSFER, next->id),
        CONSENSUS_OK);
    trio_put(&trio, 5);
    ck_assert_ptr_eq(trio_leader(&trio), leader);
    stop();
}
END_TEST

/* ---- who differs stops ---- */

START_TEST(a_node_whose_state_differs_stops_itself)
{
    trio_init(&trio, 3);
    trio_put(&trio, 30);
    trio_settle(&trio);
    struct trio_node *leader = trio_leader(&trio), *odd = follower_of(leader);
    struct command command = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 60000}};
    struct effects effects = {0};
    core_apply(odd->core, trio.now_ms, &command, &effects); /* what no log says */
    effects_fini(&effects);
    command.kind = COMMAND_SESSION_OPEN; /* its answer differs from now on */
    journal_submit(leader->journal, trio.now_ms, &command);
    trio_run(&trio, 400);
    const char *why = journal_failure(odd->journal);
    ck_assert_ptr_nonnull(why);
    ck_assert_ptr_nonnull(strstr(why, "differs from that of the leader"));
    ck_assert(journal_ready(leader->journal));
    trio_crash(&trio, odd->id, false);
    trio_settle(&trio); /* the others are well */
    stop();
}
END_TEST

/* ---- versions ---- */

START_TEST(a_leader_writes_what_all_can_read)
{
    trio_init(&trio, 3);
    trio_put(&trio, 30);
    ck_assert_uint_eq(trio_status(&trio, trio_leader(&trio)->id).format, 1);
    for (uint64_t id = 1; id <= 3; id++) { /* one after the other gets the newer build */
        trio_put(&trio, 10);
        trio_close(&trio, id);
        trio.nodes[id].format = 2;
        ck_assert(trio_open(&trio, id, false));
        trio_put(&trio, 10);
        trio_run(&trio, 200);
        ck_assert_uint_eq(trio_status(&trio, trio_leader(&trio)->id).format, id == 3 ? 2 : 1);
        trio_settle(&trio);
    }
    trio_put(&trio, 10);
    trio_settle(&trio);
    uint64_t old = follower_of(trio_leader(&trio))->id;
    trio_close(&trio, old);
    trio.nodes[old].format = 1; /* there is no way back now */
    ck_assert(trio_open(&trio, old, false));
    trio_run(&trio, 400);
    ck_assert_ptr_nonnull(strstr(journal_failure(trio.nodes[old].journal), "of version 2"));
    trio_crash(&trio, old, false);
    trio_put(&trio, 10);
    stop();
}
END_TEST

/* ---- who a directory belongs to ---- */

START_TEST(a_directory_belongs_to_one_node)
{
    trio_init(&trio, 3);
    trio_put(&trio, 10);
    trio_crash(&trio, 1, false);
    trio_crash(&trio, 2, false);
    struct disk *other = trio.nodes[2].disk;
    trio.nodes[2].disk = trio.nodes[1].disk;
    ck_assert(!trio_open(&trio, 2, false));
    ck_assert_int_eq(trio.nodes[2].error.trouble, LOG_NOT_OURS);
    ck_assert_ptr_nonnull(strstr(trio.nodes[2].error.text, "belongs to node 1"));
    trio.nodes[2].disk = other;
    ck_assert(trio_open(&trio, 2, false));
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_nodes");
    TCase *tcase = tcase_create("nodes");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, all_apply_what_the_leader_confirms);
    tcase_add_test(tcase, another_leads_when_the_leader_is_gone);
    tcase_add_test(tcase, a_leader_that_is_cut_off_forgets_what_it_could_not_confirm);
    tcase_add_test(tcase, each_node_restarts_and_comes_back);
    tcase_add_test(tcase, two_of_three_lost_and_nothing_is_confirmed);
    tcase_add_test(tcase, a_vote_leaves_when_it_is_on_disk);
    tcase_add_test(tcase, who_is_down_is_not_sent_much);
    tcase_add_test(tcase, a_message_says_who_sent_it);
    tcase_add_test(tcase, lost_messages_do_no_harm);
    tcase_add_test(tcase, hostile_bytes_are_dropped_and_counted);
    tcase_add_test(tcase, one_node_grows_to_three);
    tcase_add_test(tcase, a_node_is_removed_and_another_takes_its_place);
    tcase_add_test(tcase, a_wiped_node_is_told_to_take_a_new_id);
    tcase_add_test(tcase, a_promotion_that_does_not_succeed_is_told);
    tcase_add_test(tcase, leadership_is_handed_over);
    tcase_add_test(tcase, a_node_whose_state_differs_stops_itself);
    tcase_add_test(tcase, a_leader_writes_what_all_can_read);
    tcase_add_test(tcase, a_directory_belongs_to_one_node);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
