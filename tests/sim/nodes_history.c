/*
 * Simulation B: what was committed. Every entry passes by here when a node applies it: the first
 * one to do so makes it history, and it is applied to a core of our own, whose commands and effects
 * the oracle reads; later ones must have the same entry there. See nodes.h.
 */
#include "tests/sim/nodes.h"

#include "broker/journal/entry.h"
#include "broker/journal/state_hash.h"
#include "common/base/alloc.h"

#include <stdlib.h>

typedef unsigned long long ull;

void nodes_history_open(struct nodes *nodes)
{
    nodes->history.core = core_new();
}

void nodes_history_close(struct nodes *nodes)
{
    struct nodes_history *history = &nodes->history;
    core_destroy(&history->core);
    effects_fini(&history->effects);
    command_arena_fini(&history->arena);
    buf_fini(&history->scratch);
    buf_fini(&history->left);
    buf_fini(&history->right);
    free(history->entries);
    free(history->leaders);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void apply(struct nodes *nodes, uint64_t now_ms, const struct command *command)
{
    struct net_world *world = nodes->world;
    struct nodes_history *history = &nodes->history;
    now_ms = now_ms > history->time_ms ? now_ms : history->time_ms;
    history->time_ms = world->oracle.now_ms = now_ms;
    world->counts.resumed += command->kind == COMMAND_SESSION_RESUME;
    world->counts.commands++;
    oracle_command(world, command);
    core_apply(history->core, now_ms, command, &history->effects);
    history->hash = state_hash_effects(history->hash, &history->effects, &history->scratch);
    oracle_effects(world, &history->effects);
    history->setup |= command->kind == COMMAND_SESSION_END;
}

static void apply_commands(struct nodes *nodes, struct slice payload)
{
    struct nodes_history *history = &nodes->history;
    struct entry_reader entry;
    struct command command;
    uint64_t now_ms = 0;
    history->hash = state_hash_entry(history->hash, payload);
    entry_begin(&entry, payload, entry_format);
    while (entry_next(&entry, &history->arena, &now_ms, &command)) {
        apply(nodes, now_ms, &command);
    }
    if (!entry_whole(&entry)) {
        net_fail(nodes->world, "entry %llu makes no sense", (ull)history->index);
    }
}

static void add_entry(struct nodes *nodes, const struct log_item *entry, uint64_t content)
{
    struct nodes_history *history = &nodes->history;
    if (history->index == history->room) {
        history->room = history->room ? history->room * 2 : 256;
        history->entries = mem_realloc(history->entries, history->room, sizeof *history->entries);
    }
    history->index++;
    net_note(nodes->world, "entry", entry->index, entry->term, entry->payload.size);
    nodes->world->counts.entries++;
    nodes->world->counts.changes += entry->tag == ENTRY_CHANGE;
    nodes->progressed |= nodes->healed_ms != 0;
    if (entry->tag == ENTRY_COMMAND) {
        apply_commands(nodes, entry->payload);
    }
    history->entries[entry->index - 1] =
        (struct nodes_entry){.term = entry->term, .content = content, .hash = history->hash};
}

void nodes_applied(void *context, const struct log_item *entry)
{
    struct node *node = context;
    struct nodes *nodes = node->nodes;
    struct nodes_history *history = &nodes->history;
    uint64_t content = net_hash(entry->tag, entry->payload.data, entry->payload.size);
    if (entry->index == history->index + 1) {
        add_entry(nodes, entry, content);
        return;
    }
    if (entry->index == 0 || entry->index > history->index) {
        net_fail(nodes->world, "node %d applies entry %llu, and nobody has applied %llu",
                 node->manager.node, (ull)entry->index, (ull)history->index + 1);
    }
    const struct nodes_entry *known = &history->entries[entry->index - 1];
    if (known->term != entry->term || known->content != content) {
        net_fail(nodes->world,
                 "node %d applies another entry %llu (term %llu) than was committed "
                 "(term %llu)",
                 node->manager.node, (ull)entry->index, (ull)entry->term, (ull)known->term);
    }
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static void observe_leader(struct node *node, const struct raft_status *status)
{
    struct nodes *nodes = node->nodes;
    struct nodes_history *history = &nodes->history;
    for (size_t i = history->leaders_count; i-- > 0;) {
        if (history->leaders[i].term != status->term) {
            continue;
        }
        if (history->leaders[i].node != status->node || history->leaders[i].life != node->lives) {
            net_fail(nodes->world, "term %llu is led by node %llu and by node %llu",
                     (ull)status->term, (ull)history->leaders[i].node, (ull)status->node);
        }
        return;
    }
    if (history->leaders_count == history->leaders_room) {
        history->leaders_room = history->leaders_room ? history->leaders_room * 2 : 16;
        history->leaders =
            mem_realloc(history->leaders, history->leaders_room, sizeof *history->leaders);
    }
    net_note(nodes->world, "leader", status->node, status->term, 0);
    nodes->world->counts.elections++;
    history->leaders[history->leaders_count].term = status->term;
    history->leaders[history->leaders_count].node = status->node;
    history->leaders[history->leaders_count++].life = node->lives;
}

void nodes_remembers(struct node *node)
{
    struct raft_status status;
    journal_raft_status(node->manager.journal, &status);
    if (status.term < node->promised) {
        net_fail(node->nodes->world, "node %d spoke in term %llu, and only remembers term %llu",
                 node->manager.node, (ull)node->promised, (ull)status.term);
    }
}

/*
 * Good moments for trouble: a new term, while votes are on their way, to others and to the disk; a
 * snapshot, own or received, before the log goes on behind it.
 */
static void observe_omens(struct node *node, const struct raft_status *status)
{
    struct nodes *nodes = node->nodes;
    struct rng *rng = &nodes->world->rng;
    bool installed = node->installs && !status->installing;
    uint64_t percent = status->term > node->term ? 20 : installed ? 40 : 0;
    percent = percent == 0 && status->snapshot_index > node->snapshot ? 10 : percent;
    if (percent > 0 && nodes->faults && nodes->plan.every_ms[NODE_FICKLE] &&
        rng_chance(rng, percent)) {
        node->doom_ms = nodes->world->now_ms + rng_between(rng, 1, 2 + nodes->plan.disk_ms);
    }
    nodes->world->counts.installs += status->installing && !node->installs;
    nodes->world->counts.snapshots += status->snapshot_index > node->snapshot;
    node->installs = status->installing;
    node->snapshot = status->snapshot_index;
    node->term = status->term;
}

void nodes_observe(struct node *node)
{
    struct nodes *nodes = node->nodes;
    const struct nodes_history *history = &nodes->history;
    struct raft_status status;
    journal_raft_status(node->manager.journal, &status);
    observe_omens(node, &status);
    bool shown = node->leads || node->promised >= status.term; /* else the disk may not know yet */
    if (status.role == CONSENSUS_LEADER && shown) {
        observe_leader(node, &status);
    }
    if (status.applied > history->index) {
        net_fail(nodes->world,
                 "node %d has applied %llu entries, of which nobody saw the last %llu",
                 node->manager.node, (ull)status.applied, (ull)(status.applied - history->index));
    }
    if (status.hash_index > 0 && status.hash_index <= history->index &&
        history->entries[status.hash_index - 1].hash != status.hash) {
        net_fail(nodes->world, "node %d has another state than the others after entry %llu",
                 node->manager.node, (ull)status.hash_index);
    }
}

void nodes_compare(struct node *node)
{
    struct nodes_history *history = &node->nodes->history;
    if (journal_raft_mark(node->manager.journal).index != history->index || history->index == 0) {
        return;
    }
    core_check(node->manager.core);
    buf_clear(&history->left);
    buf_clear(&history->right);
    core_snapshot(node->manager.core, &history->left);
    core_snapshot(history->core, &history->right);
    node->nodes->world->counts.compared++;
    if (!slice_equal(buf_view(&history->left), buf_view(&history->right))) {
        net_fail(node->nodes->world, "node %d has other bytes in its state after entry %llu",
                 node->manager.node, (ull)history->index);
    }
}
