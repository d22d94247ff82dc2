/*
 * A follower that fetches the leader's snapshot while things go wrong around it: its log's disk is
 * slow and it crashes, its disk fills, or the leader goes on faster than it fetches.
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

/* A node that does not lead is down, and the leader's log begins behind what it has. */
static struct trio_node *leave_behind(void)
{
    trio_init(&trio, 3);
    trio_put(&trio, 50);
    trio_settle(&trio);
    struct trio_node *away = &trio.nodes[trio_leader(&trio)->id == 1 ? 2 : 1];
    uint64_t last = trio_status(&trio, away->id).last;
    trio_crash(&trio, away->id, true);
    trio_put(&trio, 1500); /* several pieces */
    for (unsigned i = 0; i < 50 && trio_status(&trio, trio_leader(&trio)->id).first <= last; i++) {
        trio_put(&trio, 100);
    }
    ck_assert_uint_gt(trio_status(&trio, trio_leader(&trio)->id).first, last + 1);
    return away;
}

/* The newest snapshot on its disk; 0: none. */
static uint64_t newest(struct trio_node *node)
{
    struct snapshot_mark mark;
    bool found = snapshots_newest(journal_raft_snapshots(node->journal), &mark);
    return found ? mark.at.index : 0;
}

/* The others elect a leader of a later term, whose snapshot is of that term. */
static void later_term(const struct trio_node *away)
{
    struct trio_node *old = trio_leader(&trio);
    uint64_t term = trio_status(&trio, old->id).term;
    ck_assert_int_eq(journal_raft_change(old->journal, trio.now_ms, RAFT_CHANGE_TRANSFER, 0),
                     CONSENSUS_OK);
    trio_run(&trio, 20);
    struct trio_node *leader = trio_elect(&trio);
    ck_assert_uint_gt(trio_status(&trio, leader->id).term, term);
    trio_put(&trio, 1);
    trio_settle_but(&trio, away->id);
    ck_assert(journal_raft_snapshot_now(leader->journal, trio.now_ms));
    trio_run(&trio, 50);
}

/* Else a crash would leave a snapshot of a term that the log does not know. */
START_TEST(nothing_is_fetched_before_the_leaders_term_is_on_disk)
{
    struct trio_node *away = leave_behind();
    later_term(away);
    ck_assert(trio_open(&trio, away->id, false));
    uint64_t before = newest(away);
    away->busy = true;
    trio_run(&trio, 1000); /* five seconds */
    ck_assert_uint_eq(newest(away), before);
    ck_assert(!trio_status(&trio, away->id).installing);
    away->busy = false;
    for (unsigned i = 0; i < TRIO_PATIENCE && newest(away) == before; i++) {
        trio_step(&trio);
    }
    trio_crash(&trio, away->id, true);
    ck_assert_msg(trio_open(&trio, away->id, false), "%s", away->error.text);
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(a_disk_that_fills_meanwhile_is_waited_for)
{
    struct trio_node *away = leave_behind();
    ck_assert(trio_open(&trio, away->id, false));
    for (unsigned i = 0; i < TRIO_PATIENCE && trio_status(&trio, away->id).install_bytes == 0;
         i++) {
        trio_step(&trio);
    }
    ck_assert_uint_gt(trio_status(&trio, away->id).install_bytes, 0);
    away->full = true;
    trio_run(&trio, 2000); /* ten seconds */
    ck_assert_ptr_null(journal_failure(away->journal));
    ck_assert(trio_status(&trio, away->id).installing);
    away->full = false;
    trio_settle(&trio);
    stop();
}
END_TEST

static unsigned piece;

/* Of the pieces three of four are lost: one comes every 300 ms. */
static bool slow_pieces(struct trio *of, const struct trio_packet *packet)
{
    (void)of;
    return packet->bytes.data[0] == PEER_BYTES_PIECE && piece++ % 4 != 0;
}

START_TEST(who_fetches_slowly_needs_one_snapshot_only)
{
    struct trio_node *away = leave_behind();
    piece = 1;
    trio.loss = slow_pieces;
    ck_assert(trio_open(&trio, away->id, false));
    for (unsigned i = 0; i < TRIO_PATIENCE && !trio_status(&trio, away->id).installing; i++) {
        trio_step(&trio);
    }
    uint64_t wanted = trio_status(&trio, trio_leader(&trio)->id).snapshot_index;
    for (unsigned i = 0; i < 60 && trio_status(&trio, away->id).installing; i++) {
        trio_put(&trio, 100); /* some are snapshots of the leader's */
        trio_run(&trio, 5);
    }
    ck_assert_uint_gt(trio_status(&trio, trio_leader(&trio)->id).snapshot_index, wanted);
    size_t pulls = trio.kinds[PEER_BYTES_PULL];
    trio.loss = NULL;
    for (unsigned i = 0; i < TRIO_PATIENCE && trio_status(&trio, away->id).installing; i++) {
        trio_step(&trio);
    }
    ck_assert_uint_eq(trio_status(&trio, away->id).snapshot_index, wanted);
    trio_run(&trio, 5);
    size_t enough = trio.kinds[PEER_BYTES_PULL];
    ck_assert_uint_ge(enough, pulls);
    trio_settle(&trio);
    ck_assert_uint_eq(trio.kinds[PEER_BYTES_PULL], enough); /* the rest came from the log */
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_install");
    TCase *tcase = tcase_create("install");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, nothing_is_fetched_before_the_leaders_term_is_on_disk);
    tcase_add_test(tcase, a_disk_that_fills_meanwhile_is_waited_for);
    tcase_add_test(tcase, who_fetches_slowly_needs_one_snapshot_only);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
