/*
 * Several durable journals through bad days: from one seed, nodes crash and lose what is not on
 * disk, disks take their time, links are cut one way or both, messages are lost, leadership is
 * handed over, snapshots are taken at any time, and a fourth node comes and goes. Then all heals,
 * and what was confirmed is there, the same on all.
 */
#include "tests/unit/journal_rig_nodes.h"

#include <check.h>
#include <stdlib.h>

#define SEEDS  40
#define EVENTS 250

static struct trio trio;
static uint64_t state;

static uint32_t below(uint32_t end)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % end);
}

static uint32_t loss_percent;

static bool lose(struct trio *world, const struct trio_packet *packet)
{
    (void)world;
    (void)packet;
    return below(100) < loss_percent;
}

static size_t up(void)
{
    size_t count = 0;
    for (uint64_t id = 1; id <= 3; id++) {
        count += trio.nodes[id].journal != NULL;
    }
    return count;
}

/* A disk that is busy for ever would only look like a crash: toggled, it is slow. */
static void disturb(uint64_t id)
{
    struct trio_node *node = &trio.nodes[id];
    switch (below(7)) {
    case 0:
        if (node->journal && up() > 1) {
            trio_crash(&trio, id, true);
        }
        break;
    case 1:
    case 2:
        if (node->journal == NULL) {
            node->busy = false;
            ck_assert_msg(trio_open(&trio, id, id == 4), "%s", node->error.text);
        }
        break;
    case 3: node->busy = !node->busy && node->journal; break;
    case 4: trio_isolate(&trio, id, below(2)); break;
    case 5: trio.cut[id][1 + below(3)] = below(2); break;
    default: loss_percent = below(3) ? 0 : below(30); break;
    }
}

static void ask(void)
{
    struct trio_node *leader = trio_leader(&trio);
    if (leader == NULL) {
        return;
    }
    switch (below(6)) {
    case 0:
        journal_raft_change(leader->journal, trio.now_ms, RAFT_CHANGE_TRANSFER, below(4));
        break;
    case 1:
        journal_raft_change(leader->journal, trio.now_ms,
                            (enum raft_change)(RAFT_CHANGE_ADD + below(3)), 4);
        break;
    default:
        for (uint64_t id = 1; id <= 4; id++) {
            if (trio.nodes[id].journal && below(2)) {
                journal_raft_snapshot_now(trio.nodes[id].journal, trio.now_ms);
            }
        }
        break;
    }
}

static void load(void)
{
    struct trio_node *leader = trio_leader(&trio);
    struct session_info info;
    for (uint32_t i = below(30); leader && trio.session && i > 0; i--) {
        if (core_session(leader->core, trio.session, &info)) {
            trio_put_one(&trio, leader);
        }
    }
}

/* Nobody has failed, and at most one node is ready in a term. */
static void look(void)
{
    uint64_t terms[TRIO_NODES] = {0};
    for (uint64_t id = 1; id <= 4; id++) {
        struct journal *journal = trio.nodes[id].journal;
        if (journal == NULL) {
            continue;
        }
        ck_assert_msg(journal_failure(journal) == NULL, "%s", journal_failure(journal));
        terms[id] = journal_ready(journal) ? trio_status(&trio, id).term : 0;
        for (uint64_t other = 1; other < id; other++) {
            ck_assert(terms[id] == 0 || terms[other] != terms[id]);
        }
    }
}

static void heal(void)
{
    memset(trio.cut, 0, sizeof trio.cut);
    loss_percent = 0;
    for (uint64_t id = 1; id <= 4; id++) {
        trio.nodes[id].busy = false;
        if (trio.nodes[id].journal == NULL && trio.nodes[id].disk) {
            ck_assert_msg(trio_open(&trio, id, id == 4), "%s", trio.nodes[id].error.text);
        }
    }
}

/* A node that is no voter need not have it all. */
static void leave_spares(void)
{
    struct raft_status status = trio_status(&trio, trio_elect(&trio)->id);
    for (size_t i = 0; i < status.peers_count; i++) {
        if (status.peers[i].id == 4 && status.peers[i].voter) {
            return;
        }
    }
    if (trio.nodes[4].journal) {
        trio_crash(&trio, 4, false);
    }
}

START_TEST(bad_days_end_well)
{
    state = (uint64_t)_i * 2654435761u;
    loss_percent = 0;
    trio = (struct trio){.now_ms = 1000, .snapshot_bytes = 20000 + below(100000)};
    trio.part_bytes = _i % 2 ? 200 + below(2000) : 0; /* most entries go in parts, or none */
    trio_found(&trio, 3);
    trio.loss = lose;
    ck_assert(trio_open(&trio, 4, true));
    trio_put(&trio, 20);
    for (int i = 0; i < EVENTS; i++) {
        load();
        if (below(3) == 0) {
            disturb(1 + below(4));
        }
        if (below(5) == 0) {
            ask();
        }
        trio_run(&trio, below(40));
        look();
    }
    heal();
    trio_elect(&trio);
    trio_run(&trio, 200);
    leave_spares();
    trio_put(&trio, 20);
    trio_settle(&trio);
    look();
    ck_assert_uint_ge(trio_messages(&trio, trio_leader(&trio)->id), trio.replies);
    trio_fini(&trio);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal_faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, bad_days_end_well, 1, SEEDS + 1);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
