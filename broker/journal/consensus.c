/* Consensus: its life, and every event but messages. See consensus.h. */
#include "broker/journal/consensus_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#ifdef STEWARD_CANARIES
int consensus_guard_off;
#endif

const char *consensus_result_text(enum consensus_result result)
{
    switch (result) {
    case CONSENSUS_OK: return "done";
    case CONSENSUS_NOT_LEADER: return "this node does not lead, or is handing over";
    case CONSENSUS_BUSY: return "another change is under way";
    case CONSENSUS_BAD_NODE: return "no such node, or it has that role";
    case CONSENSUS_IS_LEADER: return "the leader itself: transfer leadership first";
    case CONSENSUS_NO_TARGET: return "no other node votes";
    case CONSENSUS_FULL: return "the cluster has as many nodes as it can";
    }
    return "unknown result";
}

static void no_close(struct raft *r)
{
    (void)r;
}

static void advance(struct consensus *c, uint64_t now)
{
    c->now = now > c->now ? now : c->now;
}

struct consensus *consensus_new(const struct consensus_options *options)
{
    STEWARD_ASSERT(options->id > 0 && options->id < NUMBER_END && options->emit);
    STEWARD_ASSERT(options->heartbeat_ms > 0 && options->election_ms > options->heartbeat_ms);
    STEWARD_ASSERT(options->inflight_max > 0 && options->install_ms > 0);
    struct consensus *c = mem_zalloc(1, sizeof(*c));
    c->options = *options;
    c->role = CONSENSUS_FOLLOWER;
    STEWARD_ASSERT(raft_init(&c->raft, NULL, NULL, options->id, "self") == 0);
    c->raft.tracer = NULL; /* it formats every step's text */
    raft_seed(&c->raft, options->seed);
    raft_set_election_timeout(&c->raft, options->election_ms);
    raft_set_heartbeat_timeout(&c->raft, options->heartbeat_ms);
    raft_set_install_snapshot_timeout(&c->raft, options->install_ms);
    raft_set_max_inflight_entries(&c->raft, options->inflight_max);
    raft_set_pre_vote(&c->raft, true);
    return c;
}

void consensus_destroy(struct consensus **consensus)
{
    struct consensus *c = *consensus;
    if (!c)
        return;
    raft_close(&c->raft, no_close);
    free(c->changes);
    free(c->entries);
    free(c);
    *consensus = NULL;
}

/* ---- start --------------------------------------------------------------------------------- */

static uint64_t disk_last(const struct consensus_disk *disk)
{
    return disk->runs_count > 0 ? disk->runs[disk->runs_count - 1].last : disk->first - 1;
}

static uint64_t disk_term_of(const struct consensus_disk *disk, uint64_t index)
{
    for (size_t i = 0; i < disk->runs_count && index >= disk->first; i++) {
        if (index <= disk->runs[i].last)
            return disk->runs[i].term;
    }
    return 0;
}

static const char *check_runs(const struct consensus_disk *disk)
{
    uint64_t last = disk->first - 1, term = 1;
    for (size_t i = 0; i < disk->runs_count; i++) {
        if (disk->runs[i].last <= last || disk->runs[i].term < term)
            return "the log's terms are out of order";
        last = disk->runs[i].last;
        term = disk->runs[i].term;
    }
    return disk->runs_count > 0 && term > disk->term ? "the log is of a later term than the vote"
                                                     : NULL;
}

static const char *check_changes(const struct consensus_disk *disk)
{
    uint64_t last = 0;
    for (size_t i = 0; i < disk->changes_count; i++) {
        const struct consensus_change *change = &disk->changes[i];
        if (change->index <= last || change->index < disk->first || change->index > disk_last(disk))
            return "the log's configurations are out of order";
        if (members_voters(&change->members) == 0)
            return "a configuration in the log has no voter";
        last = change->index;
    }
    if (disk->snapshot.index == 0 && disk->runs_count > 0 &&
        (disk->changes_count == 0 || disk->changes[0].index != 1))
        return "the log does not begin with a configuration";
    return NULL;
}

static const char *check_disk(const struct consensus_disk *disk)
{
    const struct consensus_snapshot *snapshot = &disk->snapshot;
    if (disk->first > snapshot->index + 1 || (disk->first == 0 && disk->runs_count > 0))
        return "entries are missing between the snapshot and the log";
    if (snapshot->index == 0 && disk->runs_count > 0 && disk->first != 1)
        return "the log's beginning is missing";
    if (snapshot->index > 0 &&
        (snapshot->term == 0 || snapshot->term > disk->term || snapshot->members_index == 0 ||
         snapshot->members_index > snapshot->index || members_voters(&snapshot->members) == 0))
        return "the snapshot's description is impossible";
    if (disk->term == 0 && (disk->vote != 0 || snapshot->index > 0 || disk->runs_count > 0))
        return "there is a log but no term";
    const char *why = check_runs(disk);
    return why ? why : check_changes(disk);
}

/* The entries for the library: terms, and the changes' contents. */
static struct log_entry *disk_entries(const struct consensus_disk *disk, struct buf *payloads)
{
    size_t count = (size_t)(disk_last(disk) + 1 - disk->first), at = 0;
    struct log_entry *entries = mem_zalloc(count + 1, sizeof(*entries));
    for (size_t i = 0; i < disk->runs_count; i++) {
        for (; disk->first + at <= disk->runs[i].last; at++)
            entries[at] = (struct log_entry){.term = disk->runs[i].term, .type = ENTRY_COMMAND};
    }
    for (size_t i = 0; i < disk->changes_count; i++) {
        size_t from = payloads->size;
        members_encode(&disk->changes[i].members, payloads);
        struct log_entry *entry = &entries[disk->changes[i].index - disk->first];
        entry->type = ENTRY_CHANGE;
        entry->payload.size = payloads->size - from;
    }
    size_t from = 0; /* the buffer does not move any more */
    for (size_t i = 0; i < disk->changes_count; i++) {
        struct log_entry *entry = &entries[disk->changes[i].index - disk->first];
        entry->payload.data = payloads->data + from;
        from += entry->payload.size;
    }
    return entries;
}

static void step_start(struct consensus *c, const struct consensus_disk *disk, size_t count,
                       uint64_t term)
{
    struct raft_snapshot_metadata metadata = {.index = disk->snapshot.index,
                                              .term = disk->snapshot.term,
                                              .configuration_index = disk->snapshot.members_index};
    struct buf payloads = {0};
    struct log_entry *entries = disk_entries(disk, &payloads);
    struct raft_event event = {
        .type = RAFT_START,
        .start = {.term = term,
                  .voted_for = term > disk->term ? c->options.id : disk->vote,
                  .start_index = disk->first,
                  .n_entries = (unsigned)count}};
    if (disk->snapshot.index > 0) {
        library_configuration(&disk->snapshot.members, &metadata.configuration);
        event.start.metadata = &metadata;
    }
    event.start.entries = count > 0 ? make_entries(c, entries, count) : NULL;
    if (step(c, &event) == 0)
        free_entries(c->entries, count);
    free(entries);
    buf_fini(&payloads);
}

const char *consensus_start(struct consensus *c, uint64_t now, const struct consensus_disk *disk)
{
    STEWARD_ASSERT(!c->started);
    struct consensus_disk own = *disk; /* what of it counts */
    bool fresh = own.first == 0 && own.runs_count == 0;
    if (fresh)
        own.first = own.snapshot.index + 1;
    const char *why = check_disk(&own);
    if (why)
        return why;
    uint64_t last = disk_last(&own), covered = own.snapshot.index;
    uint64_t at_snapshot = disk_term_of(&own, covered);
    if (covered > 0 &&
        (fresh || last < covered || (at_snapshot > 0 && at_snapshot != own.snapshot.term))) {
        own.first = covered + 1; /* an install that ended between snapshot and log */
        own.runs_count = own.changes_count = 0;
        last = covered;
        struct consensus_output reset = {.type = CONSENSUS_LOG_RESET, .index = own.first};
        c->options.emit(c->options.context, &reset);
    }
    advance(c, now);
    c->started = true;
    c->ticked = c->now;
    c->snapshot = own.snapshot;
    c->applied = own.snapshot.index;
    changes_reset(c, &c->snapshot);
    for (size_t i = 0; i < own.changes_count; i++) {
        if (own.changes[i].index > c->snapshot.members_index)
            changes_append(c, own.changes[i].index, &own.changes[i].members);
    }
    uint64_t term = own.term;
    if (GUARD(NEW_TERM) && term > 0 && members_sole_voter(consensus_members(c), c->options.id)) {
        struct consensus_output vote = {
            .type = CONSENSUS_PERSIST_VOTE, .term = ++term, .vote = c->options.id};
        c->options.emit(c->options.context, &vote);
    }
    step_start(c, &own, (size_t)(last + 1 - own.first), term);
    settle(c);
    return NULL;
}

/* ---- time ---------------------------------------------------------------------------------- */

uint64_t consensus_deadline(const struct consensus *c)
{
    uint64_t due = raft_timeout(&c->raft);
    uint64_t floor = c->ticked + TIMER_FLOOR_MS;
    return GUARD(TIMER_FLOOR) && due < floor ? floor : due;
}

void consensus_tick(struct consensus *c, uint64_t now)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    advance(c, now);
    if (c->failed || !c->started || c->now < raft_timeout(&c->raft))
        return;
    c->ticked = c->now;
    bool sole = members_sole_voter(consensus_members(c), c->options.id);
    if (GUARD(NEW_TERM) && library_new_term(&c->raft, c->now, sole)) {
        struct consensus_output vote = {
            .type = CONSENSUS_PERSIST_VOTE, .term = c->raft.current_term, .vote = c->options.id};
        c->options.emit(c->options.context, &vote);
    }
    if (GUARD(CANDIDATE_PRE_VOTE) && c->raft.state == RAFT_CANDIDATE) {
        c->raft.candidate_state.disrupt_leader = false;
        c->raft.candidate_state.in_pre_vote = c->raft.pre_vote;
    }
    step(c, &event);
    settle(c);
}

/* ---- disk ---------------------------------------------------------------------------------- */

void consensus_persisted(struct consensus *c, uint64_t now, uint64_t index, uint64_t term)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES,
                               .persisted_entries = {.index = index}};
    advance(c, now);
    if (c->failed || c->raft.snapshot.installing || index <= c->raft.last_stored ||
        library_term_of(&c->raft, index) != term)
        return;
    step(c, &event);
    if (!c->failed)
        offer_poll(c);
    settle(c);
}

void consensus_installed(struct consensus *c, uint64_t now)
{
    advance(c, now);
    if (c->failed)
        return;
    STEWARD_ASSERT(c->raft.snapshot.installing);
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT, .persisted_snapshot.last = true};
    struct raft_snapshot_metadata *metadata = &event.persisted_snapshot.metadata;
    metadata->index = c->install.index;
    metadata->term = c->install.term;
    metadata->configuration_index = c->install.members_index;
    library_configuration(&c->install.members, &metadata->configuration);
    c->snapshot = c->install;
    c->applied = c->install.index;
    changes_reset(c, &c->snapshot);
    struct consensus_output reset = {.type = CONSENSUS_LOG_RESET, .index = c->install.index + 1};
    c->options.emit(c->options.context, &reset);
    step(c, &event);
    settle(c);
}

bool consensus_snapshotted(struct consensus *c, uint64_t now, uint64_t index, uint32_t trailing)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT, .snapshot.trailing = trailing};
    struct consensus_snapshot snapshot;
    advance(c, now);
    if (c->failed || c->raft.snapshot.installing || index <= c->snapshot.index)
        return false;
    consensus_describe(c, index, &snapshot);
    event.snapshot.metadata.index = index;
    event.snapshot.metadata.term = snapshot.term;
    event.snapshot.metadata.configuration_index = snapshot.members_index;
    library_configuration(&snapshot.members, &event.snapshot.metadata.configuration);
    c->snapshot = snapshot;
    while (c->changes_count > 1 && c->changes[1].index <= index && c->changes_committed > 1) {
        memmove(&c->changes[0], &c->changes[1], --c->changes_count * sizeof(c->changes[0]));
        c->changes_committed--;
    }
    step(c, &event);
    settle(c);
    return true;
}

/* ---- requests ------------------------------------------------------------------------------ */

enum consensus_result consensus_submit(struct consensus *c, uint64_t now, struct slice payload,
                                       uint64_t *index)
{
    advance(c, now);
    if (c->failed || c->raft.state != RAFT_LEADER)
        return CONSENSUS_NOT_LEADER;
    struct log_entry entry = {
        .term = c->raft.current_term, .type = ENTRY_COMMAND, .payload = payload};
    enum consensus_result result = submit_entry(c, &entry, index);
    settle(c);
    return result;
}

enum consensus_result consensus_transfer(struct consensus *c, uint64_t now, uint64_t node)
{
    struct raft_event event = {.type = RAFT_TRANSFER, .transfer.server_id = node};
    advance(c, now);
    if (c->failed || c->raft.state != RAFT_LEADER)
        return CONSENSUS_NOT_LEADER;
    if (raft_transferee(&c->raft) != 0 || c->promoting != 0)
        return CONSENSUS_BUSY;
    int error = step(c, &event);
    settle(c);
    if (error == RAFT_NOTFOUND)
        return CONSENSUS_NO_TARGET;
    if (error == RAFT_BADID)
        return CONSENSUS_BAD_NODE;
    return error == 0 ? CONSENSUS_OK : CONSENSUS_NOT_LEADER;
}

/* ---- what it knows ------------------------------------------------------------------------- */

enum consensus_role consensus_role(const struct consensus *c)
{
    switch (c->raft.state) {
    case RAFT_LEADER: return CONSENSUS_LEADER;
    case RAFT_CANDIDATE: return CONSENSUS_CANDIDATE;
    default: return CONSENSUS_FOLLOWER;
    }
}

uint64_t consensus_term(const struct consensus *c)
{
    return c->raft.current_term;
}

uint64_t consensus_leader(const struct consensus *c)
{
    if (c->raft.state == RAFT_LEADER)
        return c->options.id;
    return c->raft.state == RAFT_FOLLOWER ? c->raft.follower_state.current_leader.id : 0;
}

uint64_t consensus_commit(const struct consensus *c)
{
    return raft_commit_index(&c->raft);
}

uint64_t consensus_first(const struct consensus *c)
{
    return c->raft.trail.offset + 1;
}

uint64_t consensus_last(const struct consensus *c)
{
    /* The library asks for a struct that it does not change. */
    return raft_last_index((struct raft *)&c->raft);
}

const struct members *consensus_members(const struct consensus *c)
{
    static const struct members none;
    const struct consensus_change *newest = changes_newest(c);
    return newest ? &newest->members : &none;
}

bool consensus_match(const struct consensus *c, uint64_t node, uint64_t *index)
{
    raft_index match = 0;
    if (raft_match_index(&c->raft, node, &match) != 0)
        return false;
    *index = match;
    return true;
}
