/* What goes wrong, and what operators and clients ask for meanwhile. */
#include "tests/sim/cluster.h"

static struct node *random_node(struct cluster *w)
{
    return &w->nodes[rng_below(&w->rng, WORLD_NODES)];
}

static void cut_some(struct cluster *w)
{
    uint64_t kind = rng_below(&w->rng, 4), side = rng_next(&w->rng);
    uint64_t alone = rng_between(&w->rng, 1, WORLD_NODES);
    for (uint64_t a = 1; a <= WORLD_NODES; a++) {
        for (uint64_t b = 1; b <= WORLD_NODES; b++) {
            if (kind == 0)
                w->cut[a][b] = a == alone || b == alone;
            else if (kind == 1)
                w->cut[a][b] = (side >> a & 1) != (side >> b & 1);
            else if (kind == 2)
                w->cut[a][b] = b == alone; /* hears nothing, is heard */
            else
                w->cut[a][b] = rng_chance(&w->rng, 25);
        }
    }
}

void cluster_plan_heal(struct cluster *w)
{
    memset(w->cut, 0, sizeof(w->cut));
}

static void crash(struct cluster *w, struct node *node)
{
    if (!node->consensus)
        return;
    cluster_trace(w, "%d crashes", (int)node->id);
    cluster_disk_crash(w, node);
    consensus_destroy(&node->consensus);
    node->wakes_at = w->now + rng_between(&w->rng, 1, 2500);
    w->crashes++;
}

void cluster_plan_submit(struct cluster *w)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &w->nodes[i];
        uint64_t index, value = w->values + 1;
        if (!node->consensus || node->frozen_until > w->now ||
            consensus_role(node->consensus) != CONSENSUS_LEADER ||
            consensus_last(node->consensus) + 64 >= WORLD_ENTRIES)
            continue;
        struct slice payload = slice_of(&value, sizeof(value));
        w->values++;
        consensus_submit(node->consensus, w->now, payload, &index);
        cluster_after(w, node);
    }
}

/* One random change; true when it was accepted. */
bool cluster_plan_change(struct cluster *w, struct node *leader)
{
    const struct members *members = consensus_members(leader->consensus);
    uint64_t id = rng_between(&w->rng, 1, WORLD_NODES);
    const struct member *member = members_find(members, id);
    enum consensus_result result;
    if (members->count == 0)
        return false;
    if (!member) {
        cluster_wake(w, cluster_node(w, id));
        result = consensus_add(leader->consensus, w->now, id);
    } else if (member->role == MEMBER_SPARE && rng_chance(&w->rng, 85)) {
        result = consensus_promote(leader->consensus, w->now, id);
    } else if (members_voters(members) > 2 || member->role == MEMBER_SPARE ||
               rng_chance(&w->rng, 30)) {
        result = consensus_remove(leader->consensus, w->now, id);
    } else {
        return false;
    }
    cluster_trace(w, "%d changes %d: %s", (int)leader->id, (int)id, consensus_result_text(result));
    cluster_after(w, leader);
    return result == CONSENSUS_OK;
}

static void transfer(struct cluster *w, struct node *leader)
{
    uint64_t id = rng_below(&w->rng, WORLD_NODES + 1);
    cluster_trace(w, "%d transfers to %d", (int)leader->id, (int)id);
    if (consensus_transfer(leader->consensus, w->now, id) == CONSENSUS_OK)
        w->transfers++;
    cluster_after(w, leader);
}

static void network_mood(struct cluster *w)
{
    w->loss = (uint32_t)(rng_chance(&w->rng, 60) ? rng_below(&w->rng, 5) : rng_below(&w->rng, 40));
    w->twice = (uint32_t)rng_below(&w->rng, 20);
    w->late = (uint32_t)rng_below(&w->rng, 8);
    w->delay_ms = rng_chance(&w->rng, 70) ? 10 : 120;
}

static void ask_leader(struct cluster *w, uint64_t what)
{
    for (size_t i = 0; i < WORLD_NODES; i++) {
        struct node *node = &w->nodes[i];
        if (!node->consensus || node->frozen_until > w->now ||
            consensus_role(node->consensus) != CONSENSUS_LEADER)
            continue;
        if (what == 0)
            transfer(w, node);
        else
            cluster_plan_change(w, node);
    }
}

enum fault { CRASH, CRASH_ALL, CUT, HEAL, MOOD, TRANSFER, CHANGE, SNAPSHOT, FREEZE, FAULTS };

_Static_assert(FAULTS <= WORLD_FAULTS, "a weight for each kind of fault");

/* Each seed has its own mixture: some live without partitions, some of nothing but changes. */
static void plan_mixture(struct cluster *w)
{
    static const uint32_t usual[FAULTS] = {14, 3, 8, 12, 8, 8, 24, 14, 8};
    static const uint32_t factor[] = {0, 1, 1, 1, 4};
    for (size_t i = 0; i < FAULTS; i++)
        w->weights[i] = usual[i] * factor[rng_below(&w->rng, sizeof(factor) / sizeof(factor[0]))];
    w->weights[HEAL] += w->weights[CUT] + 1;
}

static enum fault pick_fault(struct cluster *w)
{
    uint64_t sum = 0, at;
    for (size_t i = 0; i < FAULTS; i++)
        sum += w->weights[i];
    at = rng_below(&w->rng, sum);
    size_t kind = 0;
    while (at >= w->weights[kind])
        at -= w->weights[kind++];
    return (enum fault)kind;
}

void cluster_plan_fault(struct cluster *w)
{
    struct node *node = random_node(w);
    switch (pick_fault(w)) {
    case CRASH: crash(w, node); break;
    case CRASH_ALL:
        for (size_t i = 0; i < WORLD_NODES; i++)
            crash(w, &w->nodes[i]);
        break;
    case CUT: cut_some(w); break;
    case HEAL: cluster_plan_heal(w); break;
    case MOOD: network_mood(w); break;
    case TRANSFER: ask_leader(w, 0); break;
    case CHANGE: ask_leader(w, 1); break;
    case SNAPSHOT:
        if (node->consensus)
            cluster_disk_snapshot(w, node);
        break;
    default: node->frozen_until = w->now + rng_between(&w->rng, 20, 1500); break;
    }
}

void cluster_plan_begin(struct cluster *w)
{
    static const uint32_t founders[] = {1, 1, 3, 3, 3, 5};
    struct members members = {0};
    plan_mixture(w);
    uint32_t count = founders[rng_below(&w->rng, sizeof(founders) / sizeof(founders[0]))];
    for (uint64_t id = 1; id <= count; id++)
        members_set(&members, id, MEMBER_VOTER);
    for (uint64_t id = 1; id <= count; id++)
        cluster_disk_found(w, cluster_node(w, id), &members);
    for (uint64_t id = 1; id <= count; id++)
        cluster_wake(w, cluster_node(w, id));
}
