/*
 * What libraft does not offer by itself: the terms in its trail, and the fields that some guards
 * have to touch. Those are pinned: a library that lays them out in another way does not compile
 * here. To try a new version: add it to CMake's list and below, print the offsets, run the
 * simulation with and without each guard.
 */
#include "broker/journal/consensus_parts.h"

#include "common/base/panic.h"

#include <inttypes.h>
#include <stdio.h>

_Static_assert(RAFT_VERSION_NUMBER == 2201, "a libraft that was not tried: see libraft.md");

#if UINTPTR_MAX > 0xffffffffU
#define PINNED(field, offset)                                                                      \
    _Static_assert(offsetof(struct raft, field) == (offset), "libraft moved " #field)
_Static_assert(sizeof(struct raft) == 992, "libraft changed struct raft");
PINNED(tracer, 8);
PINNED(current_term, 48);
PINNED(voted_for, 56);
PINNED(configuration, 72);
PINNED(configuration_committed_index, 104);
PINNED(configuration_uncommitted_index, 112);
PINNED(last_stored, 152);
PINNED(state, 160);
PINNED(follower_state.current_leader.id, 176);
PINNED(follower_state.current_leader.address, 184);
PINNED(candidate_state.disrupt_leader, 184);
PINNED(candidate_state.in_pre_vote, 185);
PINNED(snapshot.installing, 313);
PINNED(pre_vote, 720);
PINNED(trail, 896);
PINNED(trail.records, 896);
PINNED(trail.size, 904);
PINNED(trail.front, 908);
PINNED(trail.back, 912);
PINNED(trail.offset, 920);
PINNED(trail.snapshot.index, 928);
PINNED(trail.snapshot.term, 936);
PINNED(barrier, 944);
#else
#error "libraft's layout was only tried where pointers have 64 bits"
#endif

uint64_t library_term_of(const struct raft *r, uint64_t index)
{
    const struct raft_trail *t = &r->trail;
    if (index == 0)
        return 0;
    if (index == t->snapshot.index)
        return t->snapshot.term;
    if (index <= t->offset)
        return 0;
    for (unsigned at = t->front; at != t->back; at = (at + 1) % t->size) {
        if (index <= t->records[at].index)
            return t->records[at].term;
    }
    return 0;
}

void library_configuration(const struct members *members, struct raft_configuration *out)
{
    char address[24]; /* the library wants one that differs; ours live in the links */
    raft_configuration_init(out);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct member *member = &members->list[i];
        snprintf(address, sizeof(address), "%" PRIu64, member->id);
        int role = member->role == MEMBER_VOTER ? RAFT_VOTER : RAFT_SPARE;
        STEWARD_ASSERT(raft_configuration_add(out, member->id, address, role) == 0);
    }
}

static unsigned position_of(const struct raft *r, uint64_t id)
{
    unsigned i = 0;
    while (i < r->configuration.n && r->configuration.servers[i].id != id)
        i++;
    return i;
}

void library_vote_begin(struct raft *r, struct vote_patch *patch)
{
    *patch = (struct vote_patch){0};
    /* Only a follower: a leader's own table is as long as the configuration. */
    if (r->state != RAFT_FOLLOWER || r->configuration.n > LIMIT_NODES)
        return;
    patch->active = true;
    patch->position = position_of(r, r->id);
    if (patch->position < r->configuration.n) {
        patch->role = r->configuration.servers[patch->position].role;
        r->configuration.servers[patch->position].role = RAFT_VOTER;
        return;
    }
    patch->extended = true;
    patch->saved = r->configuration;
    if (r->configuration.n > 0)
        memcpy(patch->servers, r->configuration.servers,
               r->configuration.n * sizeof(patch->servers[0]));
    patch->servers[r->configuration.n] =
        (struct raft_server){.id = r->id, .address = r->address, .role = RAFT_VOTER};
    r->configuration.servers = patch->servers;
    r->configuration.n++;
}

void library_vote_end(struct raft *r, struct vote_patch *patch)
{
    if (!patch->active)
        return;
    if (patch->extended)
        r->configuration = patch->saved;
    else
        r->configuration.servers[patch->position].role = patch->role;
    patch->active = false;
}

void library_forget_leader(struct raft *r)
{
    if (r->state != RAFT_FOLLOWER)
        return;
    raft_free(r->follower_state.current_leader.address);
    r->follower_state.current_leader.id = 0;
    r->follower_state.current_leader.address = NULL;
}

bool library_new_term(struct raft *r, uint64_t now, bool sole_voter)
{
    bool would_lead = r->state == RAFT_FOLLOWER && sole_voter && now >= raft_timeout(r) &&
                      !r->snapshot.installing && r->last_stored >= raft_last_index(r);
    if (!would_lead)
        return false;
    r->current_term++;
    r->voted_for = r->id;
    return true;
}
