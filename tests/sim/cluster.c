/* The world of the adapter's simulation: events in order, outputs checked and carried out. */
#include "tests/sim/cluster.h"

#include "common/base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* count: more events than this at one instant mean that time stands still */
#define EVENTS_AT_ONCE 20000

void cluster_fail(struct cluster *w, const char *format, ...)
{
    va_list list;
    if (w->failed)
        return;
    w->failed = true;
    va_start(list, format);
    vsnprintf(w->why, sizeof(w->why), format, list);
    va_end(list);
}

void cluster_trace(const struct cluster *w, const char *format, ...)
{
    va_list list;
    if (!w->trace)
        return;
    printf("%6d  ", (int)w->now);
    va_start(list, format);
    vprintf(format, list);
    va_end(list);
    printf("\n");
}

struct node *cluster_node(struct cluster *w, uint64_t id)
{
    return id >= 1 && id <= WORLD_NODES ? &w->nodes[id - 1] : NULL;
}

struct node *cluster_leader(struct cluster *w)
{
    struct node *found = NULL;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &w->nodes[i];
        if (node->consensus && consensus_role(node->consensus) == CONSENSUS_LEADER &&
            (!found || consensus_term(node->consensus) > consensus_term(found->consensus)))
            found = node;
    }
    return found;
}

/* ---- outputs ------------------------------------------------------------------------------- */

static void check_leader(struct cluster *w, struct node *node,
                         const struct consensus_output *output)
{
    if (output->role != CONSENSUS_LEADER || output->term >= WORLD_TERMS)
        return;
    if (w->leaders[output->term].node != 0 &&
        (w->leaders[output->term].node != node->id ||
         w->leaders[output->term].incarnation != node->incarnation))
        cluster_fail(w, "two leaders in term %d: %d and %d", (int)output->term,
                     (int)w->leaders[output->term].node, (int)node->id);
    w->elections += w->leaders[output->term].node == 0;
    w->leaders[output->term].node = node->id;
    w->leaders[output->term].incarnation = node->incarnation;
    if (node->disk.term != output->term || node->disk.vote != node->id)
        cluster_fail(w, "node %d leads term %d, its disk says otherwise", (int)node->id,
                     (int)output->term);
}

static bool same(const struct stored *a, const struct stored *b)
{
    return a->term == b->term && a->value == b->value && a->type == b->type;
}

static void apply(struct cluster *w, struct node *node, uint64_t upto)
{
    for (uint64_t i = node->applied + 1; i <= upto; i++) {
        const struct stored *entry = &node->log.entries[i];
        if (i > node->log.last || i < node->log.first) {
            cluster_fail(w, "node %d applies %d, and has %d to %d", (int)node->id, (int)i,
                         (int)node->log.first, (int)node->log.last);
            return;
        }
        const struct disk *disk = &node->disk;
        if (i > disk->log.last || !same(entry, &disk->log.entries[i]))
            cluster_fail(w, "node %d applies %d before it is durable", (int)node->id, (int)i);
        if (i <= w->committed_last && !same(entry, &w->committed[i]))
            cluster_fail(w, "node %d applies %d^%d, others applied %d^%d", (int)node->id, (int)i,
                         (int)entry->term, (int)i, (int)w->committed[i].term);
        if (i > w->committed_last) {
            w->committed[i] = *entry;
            w->committed_last = i;
        }
        w->changes += entry->type == ENTRY_CHANGE;
    }
    node->applied = upto;
}

static void check_vote(struct cluster *w, const struct node *node, const struct peer_message *m)
{
    if (m->type == PEER_VOTE_RESULT && m->granted && !m->pre_vote &&
        (node->disk.term != m->term || node->disk.vote != m->to))
        cluster_fail(w, "node %d votes for %d in %d before that is durable", (int)node->id,
                     (int)m->to, (int)m->term);
}

static void on_output(void *context, const struct consensus_output *output);

struct source {
    struct cluster *world;
    struct node *node;
};

static struct source sources[WORLD_NODES];

static void on_output(void *context, const struct consensus_output *output)
{
    struct source *source = context;
    struct cluster *w = source->world;
    struct node *node = source->node;
    switch (output->type) {
    case CONSENSUS_PERSIST_VOTE:
        node->disk.term = output->term;
        node->disk.vote = output->vote;
        break;
    case CONSENSUS_APPEND: cluster_disk_append(w, node, output); break;
    case CONSENSUS_LOG_RESET: cluster_disk_reset_log(w, node, output->index); break;
    case CONSENSUS_INSTALL: cluster_disk_install(w, node, output->snapshot); break;
    case CONSENSUS_SEND:
        check_vote(w, node, output->message);
        cluster_net_send(w, node, output->message);
        break;
    case CONSENSUS_ROLE:
        cluster_trace(w, "%d is %d in term %d, leader %d", (int)node->id, output->role,
                      (int)output->term, (int)output->leader);
        check_leader(w, node, output);
        break;
    case CONSENSUS_APPLY: apply(w, node, output->index); break;
    case CONSENSUS_PROMOTION_FAILED: break;
    case CONSENSUS_FATAL: cluster_fail(w, "node %d: fatal: %s", (int)node->id, output->text); break;
    }
}

/* What a leader calls committed is durable on most of the voters. */
static void check_quorum(struct cluster *w, struct node *leader, uint64_t index)
{
    const struct members *members = consensus_members(leader->consensus);
    uint32_t holders = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct node *node = cluster_node(w, members->list[i].id);
        if (members->list[i].role != MEMBER_VOTER)
            continue;
        bool in_log = index <= node->disk.log.last && index >= node->disk.log.first &&
                      index <= leader->log.last &&
                      same(&node->disk.log.entries[index], &leader->log.entries[index]);
        holders += in_log || node->disk.snapshot.index >= index;
    }
    if (holders <= members_voters(members) / 2)
        cluster_fail(w, "node %d commits %d, which only %d of %d voters have", (int)leader->id,
                     (int)index, (int)holders, (int)members_voters(members));
}

void cluster_after(struct cluster *w, struct node *node)
{
    uint64_t commit = consensus_commit(node->consensus);
    if (consensus_role(node->consensus) == CONSENSUS_LEADER && commit > node->commit_seen)
        check_quorum(w, node, commit);
    node->commit_seen = commit;
}

/* ---- time ---------------------------------------------------------------------------------- */

void cluster_wake(struct cluster *w, struct node *node)
{
    if (node->consensus)
        return;
    size_t slot = (size_t)(node->id - 1);
    struct consensus_options options = {.id = node->id,
                                        .seed = (uint32_t)rng_next(&w->rng),
                                        .election_ms = ELECTION_MS,
                                        .heartbeat_ms = HEARTBEAT_MS,
                                        .install_ms = 5000,
                                        .inflight_max = (uint32_t)rng_between(&w->rng, 4, 64),
                                        .emit = on_output,
                                        .context = &sources[slot]};
    sources[slot] = (struct source){w, node};
    node->exists = true;
    node->incarnation++;
    node->wakes_at = UINT64_MAX;
    node->consensus = consensus_new(&options);
    cluster_disk_start(w, node);
    cluster_trace(w, "%d starts: term %d, log %d to %d, snapshot %d", (int)node->id,
                  (int)node->disk.term, (int)node->log.first, (int)node->log.last,
                  (int)node->disk.snapshot.index);
    cluster_after(w, node);
}

static uint64_t timer_due(const struct node *node)
{
    if (!node->consensus)
        return node->exists ? node->wakes_at : UINT64_MAX;
    uint64_t due = consensus_deadline(node->consensus);
    return due > node->frozen_until ? due : node->frozen_until;
}

static void timer_fire(struct cluster *w, struct node *node)
{
    if (!node->consensus) {
        cluster_wake(w, node);
        return;
    }
    consensus_tick(node->consensus, w->now);
    cluster_after(w, node);
}

/* The next thing of any node or packet, if it is due by `until`. */
static bool run_one(struct cluster *w, uint64_t until)
{
    uint64_t at = cluster_net_due(w);
    struct node *whose = NULL;
    bool disk = false;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &w->nodes[i];
        uint64_t written = cluster_disk_due(node), timer = timer_due(node);
        if (written < at) {
            at = written;
            whose = node;
            disk = true;
        }
        if (timer < at) {
            at = timer;
            whose = node;
            disk = false;
        }
    }
    if (at > until)
        return false;
    w->events_now = at > w->now ? 0 : w->events_now + 1;
    if (w->events_now > EVENTS_AT_ONCE)
        cluster_fail(w, "time stands still: a timer of %d stays in the past",
                     whose ? (int)whose->id : 0);
    w->now = at > w->now ? at : w->now;
    if (!whose)
        cluster_net_deliver(w);
    else if (disk)
        cluster_disk_finish(w, whose);
    else
        timer_fire(w, whose);
    return true;
}

static void run_until(struct cluster *w, uint64_t until)
{
    while (!w->failed && run_one(w, until)) {
    }
    if (!w->failed)
        w->now = until;
}

/* ---- a life -------------------------------------------------------------------------------- */

static void faults(struct cluster *w)
{
    uint64_t end = w->now + rng_between(&w->rng, 4000, 20000);
    uint64_t pace = rng_between(&w->rng, 30, rng_chance(&w->rng, 50) ? 300 : 1500);
    uint64_t load = rng_between(&w->rng, 8, 200);
    uint64_t next_fault = w->now + pace, next_submit = w->now + load;
    while (w->now < end && !w->failed) {
        uint64_t next = next_fault < next_submit ? next_fault : next_submit;
        run_until(w, next);
        if (w->failed)
            return;
        if (next == next_fault) {
            cluster_plan_fault(w);
            next_fault = w->now + rng_between(&w->rng, 1, pace * 2);
        } else {
            cluster_plan_submit(w);
            next_submit = w->now + rng_between(&w->rng, 1, load * 2);
        }
    }
}

static void calm_down(struct cluster *w)
{
    w->calm = true;
    cluster_plan_heal(w);
    w->loss = w->twice = w->late = 0;
    w->delay_ms = 5;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].frozen_until = w->now;
        if (w->nodes[i].exists)
            cluster_wake(w, &w->nodes[i]);
    }
    cluster_trace(w, "calm");
}

/* Every voter has applied all that the leader has. */
static bool converged(struct cluster *w, uint64_t from)
{
    struct node *leader = cluster_leader(w);
    if (!leader || leader->applied <= from || leader->applied < consensus_last(leader->consensus))
        return false;
    const struct members *members = consensus_members(leader->consensus);
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].role == MEMBER_VOTER &&
            cluster_node(w, members->list[i].id)->applied < leader->applied)
            return false;
    }
    return true;
}

/* Faults have ended: within some elections entries are committed everywhere, and a change goes
 * through. */
static void progress(struct cluster *w)
{
    uint64_t began = w->now, end = w->now + PROGRESS_ROUNDS * ELECTION_MS;
    uint64_t from = w->committed_last;
    bool changed = false, done = false;
    while (!w->failed && !done && w->now < end) {
        if (!changed)
            cluster_plan_submit(w);
        run_until(w, w->now + 50);
        if (w->failed)
            return;
        struct node *leader = cluster_leader(w);
        if (leader && !changed && leader->applied > from)
            changed = cluster_plan_change(w, leader);
        done = changed && converged(w, from);
    }
    w->progress_ms = w->now - began;
    if (!done && !w->failed)
        cluster_fail(w, "no progress %d ms after the last fault: %s", (int)w->progress_ms,
                     !cluster_leader(w) ? "no leader"
                     : changed          ? "a voter stays behind"
                                        : "nothing committed, or no change accepted");
}

bool cluster_live(struct cluster *w, uint64_t seed, bool trace)
{
    *w = (struct cluster){.seed = seed, .rng = {seed}, .trace = trace, .twice = 3, .late = 2};
    w->delay_ms = 10;
    for (size_t i = 0; i < WORLD_NODES; i++) {
        w->nodes[i].id = i + 1;
        w->nodes[i].wakes_at = UINT64_MAX;
        w->nodes[i].disk.log.first = 1;
    }
    cluster_plan_begin(w);
    faults(w);
    if (!w->failed) {
        calm_down(w);
        progress(w);
    }
    return !w->failed;
}

void cluster_fini(struct cluster *w)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &w->nodes[i];
        consensus_destroy(&node->consensus);
        for (size_t k = 0; k < node->disk.writes_count; k++)
            free(node->disk.writes[k].entries);
        free(node->disk.writes);
    }
    for (size_t i = 0; i < w->packets_count; i++)
        free(w->packets[i].bytes);
    free(w->packets);
}
