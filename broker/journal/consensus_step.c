/*
 * One step of the library, and everything that follows from it: its update becomes outputs in the
 * prescribed order, committed configurations are handed back to it, and what the adapter itself
 * owes (a leader's barrier, a promotion, a change held back) is done.
 */
#include "broker/journal/consensus_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

static void emit(struct consensus *c, const struct consensus_output *output)
{
    c->options.emit(c->options.context, output);
}

void fail(struct consensus *c, const char *text)
{
    if (c->failed)
        return;
    c->failed = true;
    emit(c, &(struct consensus_output){.type = CONSENSUS_FATAL, .text = text});
}

/* ---- entries ------------------------------------------------------------------------------- */

static int type_of(uint8_t type)
{
    if (type == ENTRY_CHANGE)
        return RAFT_CHANGE;
    return type == ENTRY_BARRIER ? RAFT_BARRIER : RAFT_COMMAND;
}

/* The library's own encoding of a configuration, in its own memory. */
static struct raft_buffer encode_change(struct slice payload)
{
    struct members members;
    struct raft_configuration configuration;
    struct raft_buffer buffer = {0};
    STEWARD_ASSERT(members_decode(payload, &members));
    library_configuration(&members, &configuration);
    STEWARD_ASSERT(raft_configuration_encode(&configuration, &buffer) == 0);
    raft_configuration_close(&configuration);
    return buffer;
}

struct raft_entry *make_entries(struct consensus *c, const struct log_entry *input, size_t count)
{
    static uint8_t nothing; /* the library never reads a command */
    if (c->entries_capacity < count) {
        c->entries = mem_realloc(c->entries, count, sizeof(*c->entries));
        c->entries_capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        c->entries[i] = (struct raft_entry){.term = input[i].term,
                                            .type = (enum raft_entry_type)type_of(input[i].type),
                                            .buf = {.base = &nothing, .len = 1},
                                            .batch = &nothing};
        if (input[i].type == ENTRY_CHANGE)
            c->entries[i].buf = encode_change(input[i].payload);
    }
    c->input = input;
    return c->entries;
}

void free_entries(struct raft_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (entries[i].type == RAFT_CHANGE)
            raft_free(entries[i].buf.base);
    }
}

/* ---- outputs ------------------------------------------------------------------------------- */

static void note_changes(struct consensus *c, const struct consensus_output *output)
{
    struct members members;
    changes_cut(c, output->index);
    for (size_t i = 0; i < output->entries_count; i++) {
        if (output->entries[i].type != ENTRY_CHANGE)
            continue;
        STEWARD_ASSERT(members_decode(output->entries[i].payload, &members));
        changes_append(c, output->index + i, &members);
    }
}

static void output_append(struct consensus *c, const struct raft_update *update)
{
    struct log_entry barrier = {.type = ENTRY_BARRIER, .term = c->raft.current_term};
    struct consensus_output output = {.type = CONSENSUS_APPEND,
                                      .index = update->entries.index,
                                      .entries_count = update->entries.n};
    if (update->entries.batch == &c->raft.barrier) {
        output.entries = &barrier;
        output.entries_count = 1;
        c->term_start = update->entries.index;
        c->led_term = c->raft.current_term;
        raft_free(update->entries.batch[0].batch);
    } else {
        output.entries = c->input + (update->entries.batch - c->entries);
    }
    note_changes(c, &output);
    emit(c, &output);
}

static void output_install(struct consensus *c, const struct raft_update *update)
{
    struct consensus_output output = {
        .type = CONSENSUS_INSTALL, .leader = consensus_leader(c), .snapshot = &c->install};
    struct raft_configuration configuration = update->snapshot.metadata.configuration;
    raft_configuration_close(&configuration);
    c->changes_count = c->changes_committed; /* the log they were in is no more */
    emit(c, &output);
}

/* Keeps a change, and what follows it, from leaving before it is durable here: a leader that lost
 * it in a crash would be outside the configuration that the others go by. */
static void hold_change(struct consensus *c, struct peer_message *message)
{
    uint64_t change = c->raft.configuration_uncommitted_index;
    if (!GUARD(CHANGE_DURABLE) || change <= c->raft.last_stored ||
        message->index + message->entries_count < change)
        return;
    size_t i = 0;
    while (i < c->held_count && c->held[i] != message->to)
        i++;
    if (i == c->held_count && i < LIMIT_NODES)
        c->held[c->held_count++] = message->to;
    c->held_index = change;
    if (message->index >= change) {
        message->index = change - 1;
        message->index_term = library_term_of(&c->raft, message->index);
    }
    message->entries_count = (uint32_t)(change - 1 - message->index);
}

static void convert_append(struct consensus *c, const struct raft_append_entries *from,
                           struct peer_message *to)
{
    to->type = PEER_APPEND;
    to->term = from->term;
    to->index = from->prev_log_index;
    to->index_term = from->prev_log_term;
    to->commit = from->leader_commit;
    to->entries_count = from->n_entries;
    hold_change(c, to);
}

static void convert_append_result(struct consensus *c,
                                  const struct raft_append_entries_result *from,
                                  struct peer_message *to)
{
    to->type = PEER_APPEND_RESULT;
    to->term = from->term;
    to->stale = c->answer_stale;
    to->rejected = from->rejected;
    to->index = from->last_log_index;
    if (!to->stale)
        return;
    /* The library leaves the index undefined; without the guard, the worst that it can be. */
    to->index = GUARD(STALE_ANSWER) ? 0 : NUMBER_END - 1;
    to->rejected = GUARD(STALE_ANSWER) ? 0 : to->rejected;
}

static void convert_vote(const struct raft_request_vote *from, struct peer_message *to)
{
    to->type = PEER_VOTE;
    to->term = from->term;
    to->index = from->last_log_index;
    to->index_term = from->last_log_term;
    to->disrupt = from->disrupt_leader;
    to->pre_vote = from->pre_vote;
}

static void convert_vote_result(const struct consensus *c,
                                const struct raft_request_vote_result *from,
                                struct peer_message *to)
{
    to->type = PEER_VOTE_RESULT;
    to->term = from->term;
    to->pre_vote = from->pre_vote;
    to->granted = from->vote_granted;
    /* The library echoes the term it was asked about. */
    if (GUARD(PRE_VOTE_TERM) && to->pre_vote && !to->granted && to->term < c->raft.current_term)
        to->term = c->raft.current_term;
}

static void convert_install(const struct consensus *c, const struct raft_install_snapshot *from,
                            struct peer_message *to)
{
    STEWARD_ASSERT(from->last_index == c->snapshot.index && from->last_term == c->snapshot.term);
    to->type = PEER_INSTALL;
    to->term = from->term;
    to->index = from->last_index;
    to->index_term = from->last_term;
    to->members = c->snapshot.members;
    to->members_index = c->snapshot.members_index;
}

static void output_message(struct consensus *c, const struct raft_message *message)
{
    struct peer_message to = {.from = c->options.id, .to = message->server_id};
    if (to.to == 0 || to.to == to.from)
        return;
    switch (message->type) {
    case RAFT_APPEND_ENTRIES: convert_append(c, &message->append_entries, &to); break;
    case RAFT_APPEND_ENTRIES_RESULT:
        convert_append_result(c, &message->append_entries_result, &to);
        break;
    case RAFT_REQUEST_VOTE: convert_vote(&message->request_vote, &to); break;
    case RAFT_REQUEST_VOTE_RESULT:
        convert_vote_result(c, &message->request_vote_result, &to);
        break;
    case RAFT_INSTALL_SNAPSHOT: convert_install(c, &message->install_snapshot, &to); break;
    case RAFT_TIMEOUT_NOW:
        to.type = PEER_TIMEOUT_NOW;
        to.term = message->timeout_now.term;
        to.index = message->timeout_now.last_log_index;
        to.index_term = message->timeout_now.last_log_term;
        break;
    }
    emit(c, &(struct consensus_output){.type = CONSENSUS_SEND, .message = &to});
}

static void output_role(struct consensus *c)
{
    struct consensus_output output = {.type = CONSENSUS_ROLE,
                                      .role = consensus_role(c),
                                      .term = c->raft.current_term,
                                      .leader = consensus_leader(c)};
    if (output.role == c->role && output.term == c->role_term && output.leader == c->role_leader)
        return;
    c->role = output.role;
    c->role_term = output.term;
    c->role_leader = output.leader;
    emit(c, &output);
}

static void output_apply(struct consensus *c)
{
    uint64_t commit = raft_commit_index(&c->raft);
    uint64_t index = commit < c->raft.last_stored ? commit : c->raft.last_stored;
    if (c->raft.snapshot.installing || index <= c->applied)
        return;
    c->applied = index;
    emit(c, &(struct consensus_output){.type = CONSENSUS_APPLY, .index = index});
}

static void output_update(struct consensus *c, const struct raft_update *update)
{
    if (update->flags & ((RAFT_UPDATE_CURRENT_TERM) | (RAFT_UPDATE_VOTED_FOR)))
        emit(c, &(struct consensus_output){.type = CONSENSUS_PERSIST_VOTE,
                                           .term = c->raft.current_term,
                                           .vote = c->raft.voted_for});
    if (update->flags & (RAFT_UPDATE_ENTRIES))
        output_append(c, update);
    if (update->flags & (RAFT_UPDATE_SNAPSHOT))
        output_install(c, update);
    for (unsigned i = 0; (update->flags & (RAFT_UPDATE_MESSAGES)) && !c->mute; i++) {
        if (i == update->messages.n)
            break;
        output_message(c, &update->messages.batch[i]);
    }
    output_role(c);
    output_apply(c);
}

/* ---- steps --------------------------------------------------------------------------------- */

static bool harmless(const struct raft_event *event, int error)
{
    return (event->type == RAFT_SUBMIT || event->type == RAFT_TRANSFER) &&
           (error == RAFT_NOTLEADER || error == RAFT_CANTCHANGE || error == RAFT_NOTFOUND ||
            error == RAFT_NOSPACE || error == RAFT_BADID);
}

static int step_once(struct consensus *c, struct raft_event *event, bool *appended)
{
    struct raft_update update = {0};
    event->time = c->now;
    event->capacity = UINT16_MAX; /* free space is decided elsewhere */
    int error = raft_step(&c->raft, event, &update);
    if (error != 0) {
        if (!harmless(event, error))
            fail(c, raft_strerror(error));
        return error;
    }
    *appended = update.flags & (RAFT_UPDATE_ENTRIES);
    output_update(c, &update);
    return 0;
}

/* Hands committed configurations back. As soon as they are committed, not when they are applied: a
 * later change that arrives in between would hide from the library that this one was. */
static void step_changes(struct consensus *c)
{
    bool appended;
    while (!c->failed && !c->raft.snapshot.installing && c->changes_committed < c->changes_count) {
        const struct consensus_change *change = &c->changes[c->changes_committed];
        uint64_t upto = GUARD(CHANGE_ORDER) ? raft_commit_index(&c->raft) : c->applied;
        if (change->index > upto)
            return;
        struct raft_event event = {.type = RAFT_CONFIGURATION,
                                   .configuration = {.index = change->index}};
        library_configuration(&change->members, &event.configuration.conf);
        c->changes_committed++;
        step_once(c, &event, &appended);
    }
}

int step(struct consensus *c, struct raft_event *event)
{
    bool appended = false;
    int error = step_once(c, event, &appended);
    step_changes(c);
    if (error == 0 && event->type == RAFT_RECEIVE &&
        event->receive.message->type == RAFT_APPEND_ENTRIES && appended)
        raft_free(event->receive.message->append_entries.entries[0].batch);
    return error;
}

enum consensus_result submit_entry(struct consensus *c, const struct log_entry *entry,
                                   uint64_t *index)
{
    struct raft_event event = {.type = RAFT_SUBMIT, .submit = {.n = 1}};
    *index = consensus_last(c) + 1;
    event.submit.entries = make_entries(c, entry, 1);
    int error = step(c, &event);
    free_entries(c->entries, 1);
    if (error == 0)
        return CONSENSUS_OK;
    return error == RAFT_CANTCHANGE ? CONSENSUS_BUSY : CONSENSUS_NOT_LEADER;
}

/* A leader's first entry: until one of its own term is committed it does not know what is. */
static void begin_term(struct consensus *c)
{
    if (c->raft.state != RAFT_LEADER || c->led_term == c->raft.current_term)
        return;
    c->led_term = c->raft.current_term;
    c->term_start = 0;
    c->held_count = 0;
    struct log_entry barrier = {.type = ENTRY_BARRIER, .term = c->raft.current_term};
    if (GUARD(OWN_TERM_FIRST))
        submit_entry(c, &barrier, &c->term_start);
}

/* Sends what hold_change kept back, once it is durable. */
static void release_held(struct consensus *c)
{
    if (c->held_count == 0 || c->raft.last_stored < c->held_index)
        return;
    uint64_t before = c->held_index - 1, last = consensus_last(c);
    uint64_t count = last - before;
    if (count > c->options.inflight_max)
        count = c->options.inflight_max;
    for (size_t i = 0; i < c->held_count && c->raft.state == RAFT_LEADER; i++) {
        struct peer_message message = {.type = PEER_APPEND,
                                       .from = c->options.id,
                                       .to = c->held[i],
                                       .term = c->raft.current_term,
                                       .index = before,
                                       .index_term = library_term_of(&c->raft, before),
                                       .commit = raft_commit_index(&c->raft),
                                       .entries_count = (uint32_t)count};
        emit(c, &(struct consensus_output){.type = CONSENSUS_SEND, .message = &message});
    }
    c->held_count = 0;
}

void settle(struct consensus *c)
{
    if (c->failed)
        return;
    begin_term(c);
    if (c->raft.state != RAFT_LEADER)
        c->held_count = 0;
    release_held(c);
    promotion_poll(c);
}
