/*
 * What a peer's message must satisfy before libraft sees it: unchecked, half of all random messages
 * crash it. An honest node never sends what is refused here, except late or twice.
 */
#include "broker/journal/consensus_parts.h"

/* A node that was away this many elections is not one of this cluster. */
#define TERMS_AHEAD_MAX 1000000

static bool is_number(uint64_t value)
{
    return value < NUMBER_END;
}

static bool has_log(const struct consensus *c)
{
    return c->raft.current_term > 0 || consensus_last(c) > 0;
}

static const char *check_envelope(const struct consensus *c, const struct peer_message *m)
{
    if (m->type < PEER_APPEND || m->type > PEER_TIMEOUT_NOW)
        return "unknown type";
    if (m->from == 0 || !is_number(m->from) || m->from == c->options.id)
        return "impossible sender";
    if (m->to != c->options.id)
        return "meant for another node";
    if (m->term == 0 || !is_number(m->term))
        return "impossible term";
    if (has_log(c) && m->term > c->raft.current_term + TERMS_AHEAD_MAX)
        return "term too far ahead";
    if (!is_number(m->index) || !is_number(m->index_term) || !is_number(m->commit) ||
        !is_number(m->rejected) || !is_number(m->members_index))
        return "impossible index";
    return NULL;
}

static bool leads_that_term(const struct consensus *c, const struct peer_message *m)
{
    return c->raft.state == RAFT_LEADER && c->raft.current_term == m->term;
}

/* Whether our log, beyond the snapshot, holds another term at an index. */
static bool differs(const struct consensus *c, uint64_t index, uint64_t term)
{
    if (index <= c->raft.trail.snapshot.index)
        return false;
    uint64_t own = library_term_of(&c->raft, index);
    return own != 0 && own != term;
}

static const char *check_entry(const struct log_entry *entry, uint64_t index)
{
    struct members members;
    if (entry->type < ENTRY_COMMAND || entry->type > ENTRY_CHANGE)
        return "entry of unknown type";
    if (index == 1 && entry->type != ENTRY_CHANGE)
        return "first entry is no change";
    if (entry->type == ENTRY_CHANGE && !members_decode(entry->payload, &members))
        return "change with a malformed configuration";
    return NULL;
}

static const char *check_entries(const struct consensus *c, const struct peer_message *m)
{
    uint64_t term = m->index_term > 0 ? m->index_term : 1;
    uint64_t commit = raft_commit_index(&c->raft);
    bool current = m->term >= c->raft.current_term, cuts = false; /* older ones are only answered */
    for (uint32_t i = 0; i < m->entries_count; i++) {
        const struct log_entry *entry = &m->entries[i];
        uint64_t index = m->index + 1 + i;
        bool beyond = current && index > c->raft.trail.snapshot.index;
        if (entry->term < term || entry->term > m->term ||
            (beyond && entry->term < c->raft.trail.snapshot.term))
            return "entry of an impossible term";
        term = entry->term;
        const char *why = check_entry(entry, index);
        if (why)
            return why;
        cuts = cuts || (current && differs(c, index, entry->term));
        if (cuts && index <= commit)
            return "entry contradicts a committed one";
        /* Without a committed configuration there is nothing to roll back to. */
        if (cuts && c->raft.configuration_committed_index == 0 &&
            index <= c->raft.configuration_uncommitted_index)
            return "entry contradicts the first configuration";
    }
    return NULL;
}

static const char *check_append(const struct consensus *c, const struct peer_message *m)
{
    if (leads_that_term(c, m))
        return "from a second leader of our term";
    if ((m->index == 0) != (m->index_term == 0) || m->index_term > m->term)
        return "impossible previous entry";
    if (m->entries_count > 0 && (!m->entries || !is_number(m->index + m->entries_count)))
        return "impossible number of entries";
    if (m->term >= c->raft.current_term && m->index <= raft_commit_index(&c->raft) &&
        differs(c, m->index, m->index_term))
        return "previous entry contradicts a committed one";
    return check_entries(c, m);
}

static const char *check_install(const struct consensus *c, const struct peer_message *m)
{
    if (leads_that_term(c, m))
        return "from a second leader of our term";
    if (m->index_term == 0 || m->index_term > m->term || m->index == 0)
        return "impossible snapshot";
    if (m->members_index == 0 || m->members_index > m->index || m->members.count == 0 ||
        m->members.count > LIMIT_NODES || members_voters(&m->members) == 0)
        return "snapshot with an impossible configuration";
    if (m->term >= c->raft.current_term && m->index <= raft_commit_index(&c->raft))
        return "snapshot of what we have";
    if (GUARD(INSTALL_ONCE) && c->raft.snapshot.installing)
        return "already installing";
    return NULL;
}

static const char *check_vote(const struct peer_message *m)
{
    if ((m->index == 0) != (m->index_term == 0) || m->index_term > m->term)
        return "impossible last entry";
    return NULL;
}

static const char *check_vote_result(const struct consensus *c, const struct peer_message *m)
{
    if (GUARD(VOTE_RESULT_STATE) && c->raft.state != RAFT_CANDIDATE)
        return "vote result for no election";
    if (m->granted && m->pre_vote && m->term > c->raft.current_term + 1)
        return "pre-vote granted for a term nobody asked for";
    return NULL;
}

static const char *check_append_result(const struct consensus *c, const struct peer_message *m)
{
    uint64_t match = 0;
    if (GUARD(STALE_ANSWER) && m->stale && m->term <= c->raft.current_term)
        return "answer to an older term";
    if (m->rejected == 0 || m->term != c->raft.current_term)
        return NULL;
    if (GUARD(LATE_REJECTION) && consensus_match(c, m->from, &match) && m->rejected <= match)
        return "late rejection";
    return NULL;
}

static const char *check_timeout_now(const struct consensus *c, const struct peer_message *m)
{
    const struct members *members = consensus_members(c);
    if (m->index == 0 || m->index_term == 0 || m->index_term > m->term)
        return "impossible last entry";
    if (members_sole_voter(members, c->options.id))
        return "leadership from nobody";
    return NULL;
}

const char *check_message(const struct consensus *c, const struct peer_message *m)
{
    const char *why = check_envelope(c, m);
    if (why)
        return why;
    switch (m->type) {
    case PEER_APPEND: return check_append(c, m);
    case PEER_APPEND_RESULT: return check_append_result(c, m);
    case PEER_VOTE: return check_vote(m);
    case PEER_VOTE_RESULT: return check_vote_result(c, m);
    case PEER_INSTALL: return check_install(c, m);
    default: return check_timeout_now(c, m);
    }
}
