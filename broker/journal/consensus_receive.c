/* A peer's message on its way into the library: what is checked, repaired, cut in pieces. */
#include "broker/journal/consensus_parts.h"

#include "common/base/panic.h"

static void address_message(const struct peer_message *from, struct raft_message *to)
{
    static const char address[] = "peer";
    *to = (struct raft_message){.server_id = from->from, .server_address = address};
}

static int receive(struct consensus *c, struct raft_message *message)
{
    struct raft_event event = {.type = RAFT_RECEIVE, .receive.message = message};
    return step(c, &event);
}

/* ---- entries ------------------------------------------------------------------------------- */

/* What stands before our snapshot is committed and the same everywhere: begin behind it. */
static void skip_prefix(const struct consensus *c, struct peer_message *m)
{
    uint64_t covered = c->raft.trail.snapshot.index;
    if (!GUARD(TRIMMED_PREFIX) || m->term < c->raft.current_term || m->index >= covered)
        return;
    uint64_t skip = covered - m->index;
    if (skip > m->entries_count)
        skip = m->entries_count;
    if (skip > 0)
        m->entries += skip;
    m->entries_count -= (uint32_t)skip;
    m->index = covered;
    m->index_term = c->raft.trail.snapshot.term;
}

/* One piece: `count` entries from `first` on. */
static int receive_piece(struct consensus *c, const struct peer_message *m, uint32_t first,
                         uint32_t count)
{
    struct raft_message message;
    address_message(m, &message);
    message.type = RAFT_APPEND_ENTRIES;
    struct raft_append_entries *append = &message.append_entries;
    append->term = m->term;
    append->prev_log_index = m->index + first;
    append->prev_log_term = first > 0 ? m->entries[first - 1].term : m->index_term;
    append->leader_commit = m->commit;
    append->n_entries = count;
    if (count > 0) {
        void *batch = raft_malloc(1); /* the library frees it: it stands for all payloads */
        STEWARD_ASSERT(batch);
        append->entries = make_entries(c, m->entries + first, count);
        for (uint32_t i = 0; i < count; i++)
            append->entries[i].batch = batch;
    }
    int error = receive(c, &message);
    free_entries(c->entries, count);
    return error;
}

/* Entries up to the next change, which has to be the first of its piece. */
static uint32_t piece_end(const struct peer_message *m, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < m->entries_count && !(GUARD(CHANGE_FIRST) && m->entries[end].type == ENTRY_CHANGE))
        end++;
    return end;
}

/* Before a change becomes the newest, the one before it must be known to be committed. */
static void commit_before(struct consensus *c, const struct peer_message *m, uint32_t first)
{
    uint64_t pending = c->raft.configuration_uncommitted_index;
    if (!GUARD(CHANGE_ORDER) || m->entries[first].type != ENTRY_CHANGE || pending == 0 ||
        pending > m->index + first || pending <= raft_commit_index(&c->raft))
        return;
    c->mute = true;
    receive_piece(c, m, first, 0);
    c->mute = false;
}

static void receive_append(struct consensus *c, const struct peer_message *given)
{
    struct peer_message m = *given;
    uint32_t first = 0;
    c->answer_stale = m.term < c->raft.current_term;
    skip_prefix(c, &m);
    if (m.entries_count == 0) {
        receive_piece(c, &m, 0, 0);
        return;
    }
    while (first < m.entries_count && !c->failed) {
        uint32_t end = piece_end(&m, first);
        commit_before(c, &m, first);
        if (receive_piece(c, &m, first, end - first) != 0)
            return;
        /* Rejected, or of an old term: so would be the rest. */
        if (library_term_of(&c->raft, m.index + end) != m.entries[end - 1].term || c->answer_stale)
            return;
        first = end;
    }
}

/* ---- the others ---------------------------------------------------------------------------- */

static void receive_append_result(struct consensus *c, const struct peer_message *m)
{
    struct raft_message message;
    uint64_t match = 0;
    address_message(m, &message);
    message.type = RAFT_APPEND_ENTRIES_RESULT;
    message.append_entries_result = (struct raft_append_entries_result){
        .version = 2,
        .term = m->term,
        .rejected = m->rejected,
        .last_log_index = m->index,
        .features = 1,
        .capacity = UINT16_MAX,
    };
    if (GUARD(LATE_REJECTION) && m->rejected > 0 && consensus_match(c, m->from, &match) &&
        m->index < match)
        message.append_entries_result.last_log_index = match;
    receive(c, &message);
}

static void receive_vote(struct consensus *c, const struct peer_message *m)
{
    struct raft_message message;
    struct vote_patch patch = {0};
    address_message(m, &message);
    message.type = RAFT_REQUEST_VOTE;
    message.request_vote = (struct raft_request_vote){
        .version = 2,
        .term = m->term,
        .candidate_id = m->from,
        .last_log_index = m->index,
        .last_log_term = m->index_term,
        .disrupt_leader = m->disrupt,
        .pre_vote = m->pre_vote,
    };
    if (GUARD(VOTE_UNLISTED)) {
        if (c->now - c->leader_heard >= c->options.election_ms)
            library_forget_leader(&c->raft);
        if (consensus_last(c) > 0)
            library_vote_begin(&c->raft, &patch);
    }
    receive(c, &message);
    library_vote_end(&c->raft, &patch);
}

static void receive_vote_result(struct consensus *c, const struct peer_message *m)
{
    struct raft_message message;
    address_message(m, &message);
    message.type = RAFT_REQUEST_VOTE_RESULT;
    message.request_vote_result = (struct raft_request_vote_result){
        .version = 2,
        .term = m->term,
        .vote_granted = m->granted,
        .pre_vote = m->pre_vote,
        .features = 1,
        .capacity = UINT16_MAX,
    };
    receive(c, &message);
}

static void receive_install(struct consensus *c, const struct peer_message *m)
{
    struct raft_message message;
    address_message(m, &message);
    message.type = RAFT_INSTALL_SNAPSHOT;
    struct raft_install_snapshot *install = &message.install_snapshot;
    install->term = m->term;
    install->last_index = m->index;
    install->last_term = m->index_term;
    install->conf_index = m->members_index;
    library_configuration(&m->members, &install->conf);
    c->answer_stale = m->term < c->raft.current_term;
    c->install = (struct consensus_snapshot){.index = m->index,
                                             .term = m->index_term,
                                             .members_index = m->members_index,
                                             .members = m->members};
    receive(c, &message);
}

static void take_offer(struct consensus *c, const struct peer_message *m)
{
    struct raft_message message;
    address_message(m, &message);
    message.type = RAFT_TIMEOUT_NOW;
    message.timeout_now.term = m->term;
    message.timeout_now.last_log_index = m->index;
    message.timeout_now.last_log_term = m->index_term;
    receive(c, &message);
}

/* The leader offers leadership right behind the last entries, and the library takes none while it
 * writes: the offer would be lost, and nothing submitted until the leader gives it up. */
static void receive_timeout_now(struct consensus *c, const struct peer_message *m)
{
    bool writes = c->raft.last_stored < raft_last_index(&c->raft);
    if (GUARD(TIMEOUT_NOW_HELD) && writes && m->term == c->raft.current_term) {
        c->offer = *m;
        c->offer_until = c->now + c->options.election_ms; /* then the leader goes on */
        return;
    }
    take_offer(c, m);
}

void offer_poll(struct consensus *c)
{
    struct peer_message offer = c->offer;
    if (offer.type == 0 || c->raft.last_stored < raft_last_index(&c->raft))
        return;
    c->offer.type = 0;
    if (offer.term == c->raft.current_term && c->now < c->offer_until)
        take_offer(c, &offer);
}

static void dispatch(struct consensus *c, const struct peer_message *m)
{
    switch (m->type) {
    case PEER_APPEND: receive_append(c, m); break;
    case PEER_APPEND_RESULT: receive_append_result(c, m); break;
    case PEER_VOTE: receive_vote(c, m); break;
    case PEER_VOTE_RESULT: receive_vote_result(c, m); break;
    case PEER_INSTALL: receive_install(c, m); break;
    default: receive_timeout_now(c, m); break;
    }
}

const char *consensus_receive(struct consensus *c, uint64_t now, const struct peer_message *m)
{
    if (c->failed || !c->started)
        return "stopped";
    c->now = now > c->now ? now : c->now;
    const char *why = check_message(c, m);
    if (why)
        return why;
    if ((m->type == PEER_APPEND || m->type == PEER_INSTALL) && m->term >= c->raft.current_term)
        c->leader_heard = c->now;
    dispatch(c, m);
    c->answer_stale = false;
    settle(c);
    return NULL;
}
