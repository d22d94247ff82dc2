/*
 * Entries that are too large for one message: they reach each follower once, in parts, with
 * heartbeats between them, whatever is lost and however slow a disk is.
 */
#include "tests/unit/journal_rig_nodes.h"

#include "broker/journal/replica.h"

#include <check.h>
#include <stdlib.h>

/* bytes; the rig's entries of 90 KB go in 45 of them */
#define PART_BYTES 2048

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

static void begin_with_parts(void)
{
    trio = (struct trio){.now_ms = 1000, .snapshot_bytes = 1ULL << 40, .part_bytes = PART_BYTES};
    trio_found(&trio, 3);
    trio_put(&trio, 1);
}

/* Of three messages with parts or about them one is lost; nothing else is. */
static bool lose_parts(struct trio *of, const struct trio_packet *packet)
{
    static unsigned count;
    uint8_t kind = packet->bytes.data[0];
    (void)of;
    return (kind == PEER_BYTES_PART || kind == PEER_BYTES_SEEN) && count++ % 3 == 0;
}

START_TEST(large_entries_go_in_parts_once)
{
    begin_with_parts();
    size_t before = trio.sent_bytes;
    uint64_t term = trio_status(&trio, 1).term;
    trio.largest = 0;
    trio_put_large(&trio, 3);
    trio_settle(&trio);
    ck_assert_uint_lt(trio.largest, (LIMIT_PARTS + 2) * PART_BYTES);
    ck_assert_uint_gt(trio.kinds[PEER_BYTES_PART], 3 * 2 * 90000 / PART_BYTES);
    ck_assert_uint_lt(trio.sent_bytes - before, 3 * 2 * 110000); /* to two nodes */
    ck_assert_uint_eq(trio_status(&trio, 1).term, term);
    stop();
}
END_TEST

START_TEST(parts_that_are_lost_are_sent_again)
{
    begin_with_parts();
    uint64_t term = trio_status(&trio, 1).term;
    trio.loss = lose_parts;
    for (int i = 0; i < 150; i++) {
        trio_put_one(&trio, trio_leader(&trio));
    }
    for (unsigned i = 0; i < 4 * TRIO_PATIENCE && trio.replies < 151; i++) {
        trio_step(&trio);
    }
    ck_assert_uint_eq(trio.replies, 151);
    ck_assert_uint_eq(trio_status(&trio, 1).term, term); /* heartbeats passed all the time */
    trio.loss = NULL;
    trio_settle(&trio);
    stop();
}
END_TEST

/* Consensus asks for the entry with every heartbeat until it hears that it is on the disk. */
START_TEST(a_follower_that_writes_for_long_is_not_sent_it_again)
{
    begin_with_parts();
    struct trio_node *leader = trio_leader(&trio), *away = follower_of(leader);
    trio_isolate(&trio, away->id, true);
    trio_put_large(&trio, 1);
    away->busy = true;
    trio_isolate(&trio, away->id, false);
    trio_run(&trio, 100);
    size_t before = away->bytes;
    trio_run(&trio, 600); /* three seconds, in which it says again that it has it, six times */
    ck_assert_uint_lt(away->bytes - before, 60000 + 6 * LIMIT_PARTS_ON_WAY * PART_BYTES);
    ck_assert(trio_leader(&trio) == leader);
    away->busy = false;
    trio_settle(&trio);
    stop();
}
END_TEST

START_TEST(a_new_leader_goes_on_with_a_large_entry)
{
    begin_with_parts();
    struct trio_node *old = trio_leader(&trio), *away = follower_of(old);
    trio_isolate(&trio, away->id, true);
    trio_put_large(&trio, 2);
    trio_isolate(&trio, away->id, false);
    for (unsigned i = 0; i < TRIO_PATIENCE && trio.kinds[PEER_BYTES_PART] < 140; i++) {
        trio_step(&trio); /* it has some of the first */
    }
    trio_crash(&trio, old->id, true);
    trio_put(&trio, 1);
    ck_assert(trio_open(&trio, old->id, false));
    trio_settle(&trio);
    stop();
}
END_TEST

/* So that it can say how far it is, and a leader that it leads. */
START_TEST(a_start_applies_large_entries_by_and_by)
{
    trio = (struct trio){.now_ms = 1000, .snapshot_bytes = 1ULL << 40};
    trio_found(&trio, 1);
    trio_put_large(&trio, 200); /* by commands alone a turn would take 109 of them */
    uint64_t last = trio_status(&trio, 1).applied;
    trio_crash(&trio, 1, false);
    ck_assert(trio_open(&trio, 1, false));
    uint64_t before = 0, most = 0;
    while (trio_status(&trio, 1).applied < last) {
        journal_process(trio.nodes[1].journal, trio.now_ms);
        uint64_t applied = trio_status(&trio, 1).applied;
        most = applied - before > most ? applied - before : most;
        before = applied;
    }
    ck_assert_uint_lt(most, last * 2 / 5);
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_large");
    TCase *tcase = tcase_create("parts");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, large_entries_go_in_parts_once);
    tcase_add_test(tcase, parts_that_are_lost_are_sent_again);
    tcase_add_test(tcase, a_follower_that_writes_for_long_is_not_sent_it_again);
    tcase_add_test(tcase, a_new_leader_goes_on_with_a_large_entry);
    tcase_add_test(tcase, a_start_applies_large_entries_by_and_by);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
