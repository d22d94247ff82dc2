/*
 * The replica: its life, what consensus asks for, time, and what it knows. See replica.h.
 *
 * Happy path of a leader: submit encodes a command into the newest batch; flush gives the oldest
 * batch that is not in the log yet to consensus, which asks for it to be appended and sent; durable
 * and receive tell consensus, which says up to where all is committed; apply decodes the batch,
 * feeds the core and hands the effects on. Of a follower: receive, append, durable, apply what is
 * read back from the log.
 *
 * Failure modes: what the log holds does not make sense, consensus says that its state is
 * impossible, or the state differs from the leader's: `failure` is set, and nothing is done any
 * more. A snapshot that cannot be had any more: consensus starts anew, from what is on disk.
 */
#include "broker/journal/replica_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

void replica_fail(struct replica *replica, const char *text)
{
    replica->failure = replica->failure ? replica->failure : text;
}

/* ---- what consensus asks for ---------------------------------------------------------------- */

void replica_fail_large(struct replica *replica)
{
    replica_fail(replica, "the leader's log has an entry that does not fit a segment of this one: "
                          "start all nodes with the same limit for bodies");
}

static void on_append(struct replica *replica, const struct consensus_output *output)
{
    if (output->index <= replica->disk.last) {
        if (output->index <= replica->applied) {
            replica_fail(replica, "a leader contradicts what was applied here");
            return;
        }
        disk_cut(replica, output->index - 1);
    }
    for (size_t i = 0; i < output->entries_count; i++) {
        if (output->entries[i].payload.size > replica->payload_max) {
            replica_fail_large(replica);
            return;
        }
        disk_append_entry(replica, output->index + i, &output->entries[i]);
    }
    large_forget(replica);
}

static void on_role(struct replica *replica, const struct consensus_output *output)
{
    bool leads = output->role == CONSENSUS_LEADER;
    if (replica->leader && (!leads || output->term != replica->term)) {
        batches_drop(replica);
        sends_drop_feeds(replica);
    }
    replica->leader = leads;
    replica->term = output->term;
}

static void on_install(struct replica *replica, const struct consensus_output *output)
{
    const struct replica_host *host = &replica->options.host;
    if (host->install == NULL) {
        replica_fail(replica, "consensus wants a snapshot of other nodes, and there are none");
        return;
    }
    replica->installing = true;
    host->install(host->context, output->leader, output->snapshot);
}

static void on_output(void *context, const struct consensus_output *output)
{
    struct replica *replica = context;
    if (replica->failure) {
        return;
    }
    switch (output->type) {
    case CONSENSUS_PERSIST_VOTE: disk_append_vote(replica, output->term, output->vote); break;
    case CONSENSUS_APPEND: on_append(replica, output); break;
    case CONSENSUS_LOG_RESET: disk_reset(replica, output->index); break;
    case CONSENSUS_INSTALL: on_install(replica, output); break;
    case CONSENSUS_SEND: sends_message(replica, output->message); break;
    case CONSENSUS_ROLE: on_role(replica, output); break;
    case CONSENSUS_APPLY: replica->commit = output->index; break;
    case CONSENSUS_PROMOTION_FAILED: replica->promotion_failed = output->node; break;
    case CONSENSUS_FATAL: replica_fail(replica, output->text); break;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

static void begin_consensus(struct replica *replica)
{
    const struct replica_options *options = &replica->options;
    struct consensus_options consensus = {.id = options->node,
                                          .seed = options->seed,
                                          .election_ms = options->election_ms,
                                          .heartbeat_ms = options->heartbeat_ms,
                                          .install_ms = LIMIT_INSTALL_MS,
                                          .inflight_max = LIMIT_INFLIGHT_ENTRIES,
                                          .emit = on_output,
                                          .context = replica};
    replica->consensus = consensus_new(&consensus);
}

struct replica *replica_new(const struct replica_options *options)
{
    STEWARD_ASSERT(options->core && options->bootstrap.incarnation != 0);
    STEWARD_ASSERT(options->host.append && options->host.read && options->host.applied);
    struct replica *replica = mem_zalloc(1, sizeof *replica);
    replica->options = *options;
    struct replica_options *own = &replica->options;
    own->election_ms = own->election_ms ? own->election_ms : LIMIT_ELECTION_MS;
    own->heartbeat_ms = own->heartbeat_ms ? own->heartbeat_ms : LIMIT_HEARTBEAT_MS;
    own->part_bytes = own->part_bytes ? own->part_bytes : LIMIT_PART_BYTES;
    own->seed = own->seed ? own->seed : (uint32_t)own->node;
    own->format = own->format ? own->format : entry_format;
    replica->held_end = &replica->held;
    replica->disk.first = 1;
    begin_consensus(replica);
    return replica;
}

void replica_destroy(struct replica **replica)
{
    struct replica *gone = *replica;
    if (gone == NULL) {
        return;
    }
    consensus_destroy(&gone->consensus);
    batches_free(gone->oldest);
    batches_free(gone->spare);
    sends_fini(gone);
    disk_fini(&gone->disk);
    free(gone->waiting);
    effects_fini(&gone->effects);
    command_arena_fini(&gone->arena);
    buf_fini(&gone->scratch);
    free(gone);
    *replica = NULL;
}

static void start_consensus(struct replica *replica, uint64_t now_ms)
{
    const struct disk_view *disk = &replica->disk;
    struct consensus_disk given = {.term = disk->term,
                                   .vote = disk->vote,
                                   .snapshot = disk->snapshot,
                                   .first = disk->last > 0 ? disk->first : 0,
                                   .runs = disk->runs,
                                   .runs_count = disk->runs_count,
                                   .changes = disk->changes,
                                   .changes_count = disk->changes_count};
    const char *why = consensus_start(replica->consensus, now_ms, &given);
    if (why) {
        replica_fail(replica, why);
    }
}

void replica_restart(struct replica *replica, uint64_t now_ms)
{
    replica->restarting = true;
    if (replica->waiting_count > 0 || replica->failure) {
        return; /* consensus believes what it starts with to be durable */
    }
    replica->restarting = replica->installing = false;
    batches_drop(replica);
    sends_drop_feeds(replica);
    replica->leader = false;
    replica->options.seed = replica->options.seed * 1103515245 + 12345;
    consensus_destroy(&replica->consensus);
    begin_consensus(replica);
    replica->commit = replica->disk.snapshot.index;
    start_consensus(replica, now_ms);
}

/* Term 1, and entry 1 that says who the nodes are. */
static void found(struct replica *replica, const struct members *members)
{
    struct buf payload = {0};
    members_encode(members, &payload);
    struct log_entry entry = {.type = ENTRY_CHANGE, .term = 1, .payload = buf_view(&payload)};
    disk_append_vote(replica, 1, 0);
    disk_append_entry(replica, 1, &entry);
    replica->waiting_count = 0; /* consensus starts with it; what follows comes behind it on disk */
    buf_fini(&payload);
}

static void load_mark(struct replica *replica, const struct snapshot_mark *mark)
{
    replica->disk.snapshot = mark->at;
    replica->commit = max_u64(replica->commit, mark->at.index);
    replica->applied = mark->at.index;
    replica->hash = mark->hash;
    replica->applied_ms = max_u64(replica->applied_ms, mark->time_ms);
    replica->bootstrapped = true;
    marks_reset(replica);
}

void replica_start(struct replica *replica, uint64_t now_ms, const struct replica_disk *disk)
{
    struct disk_view *view = &replica->disk;
    replica->now_ms = now_ms;
    replica->payload_max = disk->payload_max;
    replica->gather_max = min_u64(disk->payload_max, LIMIT_ENTRY_BYTES);
    view->term = disk->term;
    view->vote = disk->vote;
    if (view->runs_count == 0 && disk->last > 0) {
        view->last = disk->last; /* the log is empty, and does not begin with 1 */
        view->first = disk->last + 1;
    }
    if (disk->snapshot) {
        load_mark(replica, disk->snapshot);
    }
    if (replica->failure) {
        return;
    }
    if (view->last != disk->last) {
        replica_fail(replica, "the log and what was recovered from it do not agree");
        return;
    }
    bool empty = disk->term == 0 && view->last == 0 && view->snapshot.index == 0;
    if (empty && disk->founders) {
        found(replica, disk->founders);
    }
    replica->replay_to = view->last;
    start_consensus(replica, now_ms);
}

/* ---- events --------------------------------------------------------------------------------- */

static void advance(struct replica *replica, uint64_t now_ms)
{
    STEWARD_ASSERT(!replica->applying);
    replica->now_ms = max_u64(now_ms, replica->now_ms);
}

void replica_durable(struct replica *replica, uint64_t now_ms, uint64_t sequence)
{
    size_t done = 0;
    advance(replica, now_ms);
    replica->durable = sequence;
    if (replica->failure) {
        return;
    }
    sends_release(replica);
    while (done < replica->waiting_count && replica->waiting[done].sequence <= sequence) {
        done++;
    }
    if (done > 0) {
        struct waiting newest = replica->waiting[done - 1];
        replica->waiting_count -= done;
        memmove(replica->waiting, replica->waiting + done,
                replica->waiting_count * sizeof *replica->waiting);
        consensus_persisted(replica->consensus, now_ms, newest.index, newest.term);
    }
    if (replica->restarting) {
        replica_restart(replica, now_ms);
    }
}

bool replica_is_blank(const struct replica *replica)
{
    return replica->disk.last == 0 && replica->disk.snapshot.index == 0;
}

static const char *receive_consensus(struct replica *replica, uint64_t from, struct slice bytes)
{
    struct peer_message message;
    if (!peer_decode(bytes, &message)) {
        return "malformed, or of a version that this build does not know";
    }
    const char *why = "of another sender than it says";
    if (replica_is_blank(replica) && !marks_known(replica, from)->cleared) {
        why = "from a node that did not say yet whether we vote"; /* then our disk was lost */
    } else if (message.from == from) {
        why = consensus_receive(replica->consensus, replica->now_ms, &message);
    }
    peer_fini(&message);
    return why;
}

const char *replica_receive(struct replica *replica, uint64_t now_ms, uint64_t from,
                            struct slice bytes)
{
    advance(replica, now_ms);
    if (replica->failure) {
        return "stopped";
    }
    replica_heard(replica, now_ms, from);
    if (bytes.size > 0 && bytes.data[0] == PEER_BYTES_CONSENSUS) {
        return receive_consensus(replica, from, slice_of(bytes.data + 1, bytes.size - 1));
    }
    if (bytes.size > 0 && bytes.data[0] == PEER_BYTES_MARK) {
        return marks_receive(replica, from, slice_of(bytes.data + 1, bytes.size - 1));
    }
    if (bytes.size > 0 && bytes.data[0] == PEER_BYTES_PART) {
        return large_receive_part(replica, from, slice_of(bytes.data + 1, bytes.size - 1));
    }
    if (bytes.size > 0 && bytes.data[0] == PEER_BYTES_SEEN) {
        return large_receive_seen(replica, from, slice_of(bytes.data + 1, bytes.size - 1));
    }
    return "of an unknown kind";
}

void replica_heard(struct replica *replica, uint64_t now_ms, uint64_t from)
{
    advance(replica, now_ms);
    marks_known(replica, from)->heard_ms = replica->now_ms;
}

void replica_tick(struct replica *replica, uint64_t now_ms)
{
    advance(replica, now_ms);
    if (replica->failure) {
        return;
    }
    if (consensus_deadline(replica->consensus) <= now_ms) {
        consensus_tick(replica->consensus, now_ms);
    }
    marks_tick(replica);
}

uint64_t replica_deadline(const struct replica *replica)
{
    if (replica->failure) {
        return UINT64_MAX;
    }
    bool more = replica->applied < replica->commit && !replica->installing;
    if (more || sends_pending(replica)) {
        return 0;
    }
    return min_u64(consensus_deadline(replica->consensus), marks_deadline(replica));
}

void replica_set_tight(struct replica *replica, bool tight)
{
    if (replica->tight != tight) {
        replica->tight = tight;
        replica->mark_at_ms = 0; /* the leader should know at once */
    }
}

bool replica_tight(const struct replica *replica)
{
    return marks_tight(replica);
}

enum consensus_result replica_change(struct replica *replica, uint64_t now_ms,
                                     enum raft_change what, uint64_t node)
{
    advance(replica, now_ms);
    if (replica->failure) {
        return CONSENSUS_NOT_LEADER;
    }
    switch (what) {
    case RAFT_CHANGE_ADD:
        replica->mark_at_ms = 0; /* it waits for what we say of it */
        if (replica->options.host.send == NULL) {
            return CONSENSUS_BAD_NODE; /* there is no way to any other */
        }
        return consensus_add(replica->consensus, now_ms, node);
    case RAFT_CHANGE_PROMOTE:
        replica->promotion_failed = 0;
        return consensus_promote(replica->consensus, now_ms, node);
    case RAFT_CHANGE_REMOVE: return consensus_remove(replica->consensus, now_ms, node);
    case RAFT_CHANGE_TRANSFER: return consensus_transfer(replica->consensus, now_ms, node);
    }
    return CONSENSUS_BAD_NODE;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

bool replica_describe(const struct replica *replica, struct snapshot_mark *out)
{
    if (replica->failure || replica->installing || replica->restarting || replica->applying ||
        replica->applied > replica->commit || !replica->bootstrapped ||
        replica->applied <= replica->disk.snapshot.index) {
        return false;
    }
    *out = (struct snapshot_mark){.hash = replica->hash, .time_ms = replica->applied_ms};
    consensus_describe(replica->consensus, replica->applied, &out->at);
    return true;
}

uint64_t replica_snapshotted(struct replica *replica, uint64_t now_ms, uint64_t index,
                             uint64_t keep_from)
{
    struct consensus_snapshot at;
    advance(replica, now_ms);
    bool late = index > replica->commit; /* consensus began anew meanwhile */
    if (replica->failure || replica->installing || late || index <= replica->disk.snapshot.index) {
        return replica->disk.first;
    }
    consensus_describe(replica->consensus, index, &at);
    uint64_t trailing = keep_from <= index ? index - keep_from + 1 : 0;
    if (consensus_snapshotted(replica->consensus, now_ms, index,
                              (uint32_t)min_u64(trailing, UINT32_MAX))) {
        replica->disk.snapshot = at;
        disk_trim(&replica->disk, consensus_first(replica->consensus));
    }
    return replica->disk.first;
}

void replica_installed(struct replica *replica, uint64_t now_ms, const struct snapshot_mark *mark)
{
    advance(replica, now_ms);
    STEWARD_ASSERT(replica->installing && !replica->restarting);
    replica->installing = false;
    load_mark(replica, mark);
    consensus_installed(replica->consensus, now_ms);
}

void replica_install_failed(struct replica *replica, uint64_t now_ms)
{
    advance(replica, now_ms);
    if (replica->installing && !replica->failure) {
        replica_restart(replica, now_ms);
    }
}

bool replica_installing(const struct replica *replica)
{
    return replica->installing && !replica->restarting;
}

/* ---- what it knows -------------------------------------------------------------------------- */

const char *replica_failure(const struct replica *replica)
{
    return replica->failure;
}

bool replica_ready(const struct replica *replica)
{
    return replica->ready && replica->leader && replica->failure == NULL;
}

uint64_t replica_leader(const struct replica *replica)
{
    return replica->failure ? 0 : consensus_leader(replica->consensus);
}

uint64_t replica_applied(const struct replica *replica)
{
    return replica->applied;
}

uint64_t replica_hash(const struct replica *replica)
{
    return replica->hash;
}

uint64_t replica_time_ms(const struct replica *replica)
{
    return replica->applied_ms;
}

bool replica_replaying(const struct replica *replica)
{
    return replica->applied < replica->commit && replica->applied < replica->replay_to;
}

static struct raft_peer describe_peer(const struct replica *replica, const struct member *member)
{
    struct raft_peer peer = {.id = member->id, .voter = member->role == MEMBER_VOTER};
    const struct known *known = marks_find(replica, member->id);
    if (member->id == replica->options.node) {
        peer.alive = true;
        peer.match = replica->disk.last;
        peer.hash_index = replica->applied;
        peer.hash = replica->hash;
        return peer;
    }
    consensus_match(replica->consensus, member->id, &peer.match);
    if (known) {
        peer.alive = marks_alive(replica, known);
        peer.hash_index = known->index;
        peer.hash = known->hash;
    }
    return peer;
}

void replica_status(const struct replica *replica, struct raft_status *out)
{
    const struct consensus *consensus = replica->consensus;
    const struct members *members = consensus_members(consensus);
    out->node = replica->options.node;
    out->role = consensus_role(consensus);
    out->leader = consensus_leader(consensus);
    out->term = consensus_term(consensus);
    out->applied = out->hash_index = replica->applied;
    out->hash = replica->hash;
    out->commit = consensus_commit(consensus);
    out->first = replica->disk.first;
    out->last = replica->disk.last;
    out->snapshot_index = replica->disk.snapshot.index;
    out->replaying = replica_replaying(replica);
    out->installing = replica_installing(replica);
    out->format = marks_format(replica);
    out->promotion_failed = replica->promotion_failed;
    out->peers_count = members->count;
    for (uint32_t i = 0; i < members->count; i++) {
        out->peers[i] = describe_peer(replica, &members->list[i]);
    }
}
