/*
 * How far the others are, and whether they are the same: every node tells the leader, and the
 * leader everybody, which entry it applied last, the running hash after it, and which version of
 * entries it reads. Who finds that the leader had another hash at the same entry stops itself.
 */
#include "broker/journal/replica_parts.h"

#include "common/base/panic.h"

#include <inttypes.h>
#include <stdio.h>

#define MARK_VERSION 1

enum {
    MARK_TIGHT = 1, /* the sender's disk is nearly full */
    MARK_VOTER = 2, /* to the sender's knowledge the receiver votes */
};

/* ---- what is known of others ---------------------------------------------------------------- */

const struct known *marks_find(const struct replica *replica, uint64_t node)
{
    for (size_t i = 0; i < KNOWN_NODES; i++) {
        if (replica->known[i].node == node) {
            return &replica->known[i];
        }
    }
    return NULL;
}

struct known *marks_known(struct replica *replica, uint64_t node)
{
    struct known *oldest = &replica->known[0];
    for (size_t i = 0; i < KNOWN_NODES; i++) {
        struct known *known = &replica->known[i];
        if (known->node == node) {
            return known;
        }
        oldest = known->heard_ms < oldest->heard_ms ? known : oldest;
    }
    *oldest = (struct known){.node = node};
    return oldest;
}

bool marks_alive(const struct replica *replica, const struct known *known)
{
    uint64_t silence_ms = max_u64(2ULL * replica->options.election_ms, 2ULL * LIMIT_MARK_MS);
    return known->heard_ms > 0 && replica->now_ms - known->heard_ms < silence_ms;
}

uint8_t marks_format(const struct replica *replica)
{
    const struct members *members = consensus_members(replica->consensus);
    uint8_t format = replica->options.format;
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->list[i].id == replica->options.node) {
            continue;
        }
        const struct known *known = marks_find(replica, members->list[i].id);
        uint8_t other = known && known->format > 0 ? known->format : 1;
        format = other < format ? other : format;
    }
    return format;
}

/* Without the nodes whose disk is nearly full there are too few voters, and with them enough. */
bool marks_tight(const struct replica *replica)
{
    const struct members *members = consensus_members(replica->consensus);
    uint32_t alive = 0, roomy = 0, needed = members_voters(members) / 2 + 1;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct known *known = marks_find(replica, members->list[i].id);
        bool self = members->list[i].id == replica->options.node;
        if (members->list[i].role != MEMBER_VOTER || (!self && !known)) {
            continue;
        }
        bool there = self || marks_alive(replica, known);
        bool tight = self ? replica->tight : known->tight;
        alive += there;
        roomy += there && !tight;
    }
    return replica->tight || (alive >= needed && roomy < needed);
}

/* ---- hashes --------------------------------------------------------------------------------- */

static void compare(struct replica *replica, uint64_t index, uint64_t hash, uint64_t leader)
{
    uint64_t own = replica->hashes[index % LIMIT_MARKS];
    if (own == hash) {
        return;
    }
    snprintf(replica->failure_text, sizeof replica->failure_text,
             "after entry %" PRIu64 " the state of this node differs from that of the leader, node "
             "%" PRIu64 " (hash %016" PRIx64 ", there %016" PRIx64 "): let this node join again, "
             "empty, under a new id, and report it",
             index, leader, own, hash);
    replica_fail(replica, replica->failure_text);
}

void marks_note(struct replica *replica)
{
    replica->hashes[replica->applied % LIMIT_MARKS] = replica->hash;
    if (replica->applied - replica->hashes_from >= LIMIT_MARKS) {
        replica->hashes_from = replica->applied - LIMIT_MARKS + 1;
    }
    if (replica->asked_index == replica->applied && replica->asked_index > 0) {
        replica->asked_index = 0;
        compare(replica, replica->applied, replica->asked_hash, replica->asked_from);
    }
}

void marks_reset(struct replica *replica)
{
    replica->hashes_from = replica->applied;
    replica->hashes[replica->applied % LIMIT_MARKS] = replica->hash;
    if (replica->asked_index <= replica->applied) {
        replica->asked_index = 0;
    }
}

/* ---- telling and hearing -------------------------------------------------------------------- */

static void tell(struct replica *replica, uint64_t node)
{
    const struct replica_host *host = &replica->options.host;
    const struct member *member = members_find(consensus_members(replica->consensus), node);
    bool votes = member && member->role == MEMBER_VOTER;
    buf_clear(&replica->out);
    buf_u8(&replica->out, PEER_BYTES_MARK);
    buf_u8(&replica->out, MARK_VERSION);
    buf_u8(&replica->out, replica->options.format);
    buf_u8(&replica->out, (uint8_t)((replica->tight ? MARK_TIGHT : 0) | (votes ? MARK_VOTER : 0)));
    buf_u64(&replica->out, replica->applied);
    buf_u64(&replica->out, replica->hash);
    host->send(host->context, node, buf_view(&replica->out));
}

static bool has_others(const struct replica *replica)
{
    return replica->options.host.send && consensus_members(replica->consensus)->count > 1;
}

uint64_t marks_deadline(const struct replica *replica)
{
    return has_others(replica) ? replica->mark_at_ms : UINT64_MAX;
}

void marks_tick(struct replica *replica)
{
    const struct members *members = consensus_members(replica->consensus);
    uint64_t leader = consensus_leader(replica->consensus);
    if (!has_others(replica) || replica->mark_at_ms > replica->now_ms) {
        return;
    }
    replica->mark_at_ms = replica->now_ms + LIMIT_MARK_MS;
    for (uint32_t i = 0; i < members->count; i++) {
        uint64_t node = members->list[i].id;
        if (node != replica->options.node && (replica->leader || node == leader)) {
            tell(replica, node);
        }
    }
}

static void hear_leader(struct replica *replica, uint64_t leader, uint64_t index, uint64_t hash)
{
    if (index > replica->applied && replica->asked_index <= replica->applied) {
        replica->asked_index = index;
        replica->asked_hash = hash;
        replica->asked_from = leader;
    } else if (index >= replica->hashes_from && index <= replica->applied && index > 0) {
        compare(replica, index, hash, leader);
    }
}

/*
 * Nothing was ever written here, so this node was never promoted: who calls it a voter knew another
 * disk. What that one promised is forgotten, so the cluster must not count on this one.
 */
static void hear_of_role(struct replica *replica, struct known *known, bool votes)
{
    known->cleared = !votes;
    if (votes && replica_is_blank(replica)) {
        snprintf(replica->failure_text, sizeof replica->failure_text,
                 "this node's directory is empty, and node %" PRIu64 " knows node %" PRIu64
                 " as a voter: remove it from the cluster, and start this one under a new id",
                 known->node, replica->options.node);
        replica_fail(replica, replica->failure_text);
    }
}

const char *marks_receive(struct replica *replica, uint64_t from, struct slice bytes)
{
    struct reader reader;
    reader_init(&reader, bytes);
    uint8_t version = reader_u8(&reader);
    uint8_t format = reader_u8(&reader);
    uint8_t flags = reader_u8(&reader);
    uint64_t index = reader_u64(&reader);
    uint64_t hash = reader_u64(&reader);
    if (version != MARK_VERSION || !reader_done(&reader) || format == 0) {
        return "a mark that makes no sense, or of a version that this build does not know";
    }
    struct known *known = marks_known(replica, from);
    known->format = format;
    known->tight = flags & MARK_TIGHT;
    known->index = index;
    known->hash = hash;
    hear_of_role(replica, known, flags & MARK_VOTER);
    if (from == consensus_leader(replica->consensus) && !replica->leader) {
        hear_leader(replica, from, index, hash);
    }
    return NULL;
}
