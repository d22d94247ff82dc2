/*
 * The durable journal: the log, and the replica that decides what goes into it.
 *
 * Happy path: submit gathers in the replica; flush makes an entry of it and lets the log begin to
 * write; process hears that it is durable, lets the next entry go, and while that is being written
 * applies the first one.
 *
 * Failure modes: the log failed, or the replica did: `failure` says so, nothing is applied any
 * more, and what is submitted goes nowhere. The owner ends the process.
 *
 * On close: entries on their way are written, and not applied; what gathered behind them is gone.
 * Nobody was told of either.
 */
#include "broker/journal/raft.h"

#include "broker/journal/class.h"
#include "broker/journal/replica.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <czmq.h>
#include <stdio.h>
#include <stdlib.h>

/* This node's id: of a cluster that begins as one node. */
#define NODE 1

/* bytes: what a command has beside one largest body: the other small ones, names, its encoding */
#define COMMAND_EXTRA_BYTES (2 * LIMIT_PACKET_CEILING_BYTES)

/* bytes: segments are whole multiples of this */
#define SEGMENT_STEP_BYTES ((uint64_t)1024 * 1024)

struct raft_journal {
    struct disk_log *log;
    struct replica *replica;
    struct snapshots *snapshots; /* NULL: none are taken */
    uint64_t dropped;            /* messages */
    journal_applied *applied;
    void *context;
};

/* ---- what the replica needs ----------------------------------------------------------------- */

static uint64_t host_append(void *context, const struct log_item *item)
{
    struct raft_journal *raft = context;
    return log_append(raft->log, item);
}

static bool host_read(void *context, uint64_t index, struct log_item *out)
{
    struct raft_journal *raft = context;
    return log_read(raft->log, index, out);
}

static void host_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct raft_journal *raft = context;
    raft->applied(raft->context, now_ms, effects);
}

static void host_recovered(void *context, const struct log_item *item)
{
    struct raft_journal *raft = context;
    replica_recover(raft->replica, item);
}

/* ---- the class ------------------------------------------------------------------------------ */

static const char *raft_failure(const void *self)
{
    const struct raft_journal *raft = self;
    const struct log_error *error = log_failure(raft->log);
    return error->trouble != LOG_FINE ? error->text : replica_failure(raft->replica);
}

static void raft_submit(void *self, uint64_t now_ms, const struct command *command)
{
    struct raft_journal *raft = self;
    if (raft_failure(raft) == NULL) {
        replica_submit(raft->replica, now_ms, command);
    }
}

static void raft_flush(void *self, uint64_t now_ms)
{
    struct raft_journal *raft = self;
    replica_flush(raft->replica, now_ms);
    log_flush(raft->log, now_ms);
}

static size_t raft_descriptors(const void *self, int out[JOURNAL_DESCRIPTORS])
{
    _Static_assert(JOURNAL_DESCRIPTORS >= LOG_SOCKETS, "a journal shows its log's sockets");
    const struct raft_journal *raft = self;
    void *sockets[LOG_SOCKETS];
    log_sockets(raft->log, sockets);
    for (size_t i = 0; sockets[0] && i < LOG_SOCKETS; i++) {
        out[i] = (int)zsock_fd(sockets[i]);
    }
    return sockets[0] ? LOG_SOCKETS : 0;
}

static void raft_process(void *self, uint64_t now_ms)
{
    struct raft_journal *raft = self;
    if (!log_process(raft->log, now_ms)) {
        return;
    }
    replica_durable(raft->replica, now_ms, log_durable(raft->log));
    raft_flush(raft, now_ms); /* the disk has work while we apply */
    replica_apply(raft->replica, now_ms);
    raft_flush(raft, now_ms); /* a new leader's first commands */
}

static uint64_t raft_deadline(const void *self)
{
    const struct raft_journal *raft = self;
    uint64_t log_ms = log_deadline(raft->log);
    uint64_t replica_ms = replica_deadline(raft->replica);
    return log_ms < replica_ms ? log_ms : replica_ms;
}

static void raft_tick(void *self, uint64_t now_ms)
{
    struct raft_journal *raft = self;
    if (log_deadline(raft->log) <= now_ms) {
        log_tick(raft->log, now_ms);
    }
    if (replica_deadline(raft->replica) <= now_ms) {
        replica_tick(raft->replica, now_ms);
    }
    raft_flush(raft, now_ms);
}

static bool raft_ready(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_ready(raft->replica);
}

static bool raft_ticking(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_ticking(raft->replica);
}

static uint64_t raft_backlog(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_backlog(raft->replica);
}

static uint64_t raft_time_ms(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_time_ms(raft->replica);
}

static void raft_destroy(void *self)
{
    struct raft_journal *raft = self;
    log_close(&raft->log);
    replica_destroy(&raft->replica);
    free(raft);
}

static uint64_t raft_leader(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_ready(raft->replica) ? NODE : 0;
}

static const struct journal_class raft_class = {
    .name = "raft",
    .submit = raft_submit,
    .flush = raft_flush,
    .destroy = raft_destroy,
    .descriptors = raft_descriptors,
    .process = raft_process,
    .deadline = raft_deadline,
    .tick = raft_tick,
    .ready = raft_ready,
    .ticking = raft_ticking,
    .backlog = raft_backlog,
    .time_ms = raft_time_ms,
    .failure = raft_failure,
    .leader = raft_leader,
};

struct state_mark journal_raft_mark(const struct journal *journal)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    return (struct state_mark){replica_applied(raft->replica), replica_hash(raft->replica)};
}

void journal_raft_receive(struct journal *journal, uint64_t now_ms, uint64_t from,
                          struct slice bytes)
{
    struct raft_journal *raft = journal_self(journal, &raft_class);
    (void)now_ms;
    (void)from;
    (void)bytes;
    raft->dropped++; /* of a cluster of one there is no other node */
}

void journal_raft_status(const struct journal *journal, struct raft_status *out)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    *out = (struct raft_status){.node = NODE,
                                .role = CONSENSUS_LEADER,
                                .leader = raft_leader(raft),
                                .applied = replica_applied(raft->replica),
                                .commit = log_last_index(raft->log),
                                .first = log_first_index(raft->log),
                                .last = log_last_index(raft->log),
                                .hash_index = replica_applied(raft->replica),
                                .hash = replica_hash(raft->replica),
                                .room_bytes = log_room(raft->log).bytes,
                                .replaying = !replica_ready(raft->replica),
                                .format = 1,
                                .dropped = raft->dropped,
                                .peers_count = 1};
    log_vote(raft->log, &out->term, &(uint64_t){0});
    out->peers[0] =
        (struct raft_peer){.id = NODE, .voter = true, .alive = true, .match = out->last};
}

enum consensus_result journal_raft_change(struct journal *journal, uint64_t now_ms,
                                          enum raft_change what, uint64_t node)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    (void)now_ms;
    (void)node;
    if (!replica_ready(raft->replica)) {
        return CONSENSUS_NOT_LEADER;
    }
    return what == RAFT_CHANGE_TRANSFER ? CONSENSUS_NO_TARGET : CONSENSUS_BAD_NODE;
}

struct snapshots *journal_raft_snapshots(struct journal *journal)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    return raft->snapshots;
}

bool journal_raft_snapshot_now(struct journal *journal, uint64_t now_ms)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    (void)now_ms;
    return raft->snapshots != NULL;
}

void journal_raft_abandon(struct journal **journal)
{
    if (*journal) {
        struct raft_journal *raft = journal_self(*journal, &raft_class);
        log_abandon(&raft->log);
        journal_destroy(journal);
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

/* A record does not span segments, and the largest command has to fit one. */
static uint64_t segment_bytes(const struct journal_raft_options *options)
{
    STEWARD_ASSERT(options->body_max <= LIMIT_BODY_CEILING_BYTES);
    uint64_t bytes = options->body_max + COMMAND_EXTRA_BYTES;
    bytes = (bytes + SEGMENT_STEP_BYTES - 1) / SEGMENT_STEP_BYTES * SEGMENT_STEP_BYTES;
    bytes = bytes > LIMIT_LOG_SEGMENT_BYTES ? bytes : LIMIT_LOG_SEGMENT_BYTES;
    return options->segment_bytes ? options->segment_bytes : bytes;
}

static struct replica *open_replica(struct raft_journal *raft,
                                    const struct journal_raft_options *options)
{
    struct replica_options replica = {
        .node = NODE,
        .core = options->core,
        .bootstrap = options->bootstrap,
        .host = {
            .context = raft, .append = host_append, .read = host_read, .applied = host_applied}};
    return replica_new(&replica);
}

static bool start(struct raft_journal *raft, const struct journal_raft_options *options,
                  struct log_error *error)
{
    struct replica_disk disk = {.payload_max = log_payload_max(raft->log)};
    log_vote(raft->log, &disk.term, &disk.vote);
    replica_start(raft->replica, options->now_ms, &disk);
    const char *why = replica_failure(raft->replica);
    if (why) {
        error->trouble = LOG_CORRUPTED;
        snprintf(error->text, sizeof error->text,
                 "%.600s: %s. Restore a backup into an empty directory.", options->directory, why);
        return false;
    }
    log_flush(raft->log, options->now_ms);
    return true;
}

struct journal *journal_raft_open(const struct journal_raft_options *options,
                                  struct log_error *error)
{
    struct raft_journal *raft = mem_zalloc(1, sizeof *raft);
    struct log_options log = {.directory = options->directory,
                              .segment_bytes = segment_bytes(options),
                              .recovered = host_recovered,
                              .context = raft,
                              .io = options->io,
                              .no_threads = options->no_threads};
    *error = (struct log_error){.trouble = LOG_FINE};
    raft->applied = options->applied;
    raft->context = options->context;
    raft->replica = open_replica(raft, options);
    raft->log = log_open(&log, error);
    if (raft->log && start(raft, options, error)) {
        return journal_new(&raft_class, raft);
    }
    log_abandon(&raft->log);
    replica_destroy(&raft->replica);
    free(raft);
    return NULL;
}
