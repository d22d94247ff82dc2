/*
 * The durable journal: the log, the snapshots, and the replica that decides what goes into them.
 *
 * Happy path: submit gathers in the replica; flush makes an entry of it and lets the log begin to
 * write; process hears that it is durable, lets the next entry go, and while that is being written
 * applies the first one. Other nodes' messages come by receive, and leave with flush.
 *
 * Failure modes: the log failed, a snapshot, or the replica did: `failure` says so, nothing is
 * applied any more, and what is submitted goes nowhere. The owner ends the process.
 *
 * On close: entries on their way are written, and not applied; what gathered behind them is gone.
 * Nobody was told of either.
 */
#include "broker/journal/raft_parts.h"

#include "broker/journal/canary.h"
#include "common/base/panic.h"

#include <czmq.h>
#include <stdlib.h>

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the class ------------------------------------------------------------------------------ */

static const char *raft_failure(const void *self)
{
    const struct raft_journal *raft = self;
    const struct log_error *error = log_failure(raft->log);
    if (error->trouble != LOG_FINE) {
        return error->text;
    }
    return raft->error.trouble != LOG_FINE ? raft->error.text : replica_failure(raft->replica);
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
    if (raft_failure(raft) == NULL) {
        replica_flush(raft->replica, now_ms);
        log_flush(raft->log, now_ms);
    }
}

static size_t raft_descriptors(const void *self, int out[JOURNAL_DESCRIPTORS])
{
    _Static_assert(JOURNAL_DESCRIPTORS == LOG_SOCKETS + 1, "the log's sockets and a pipe");
    const struct raft_journal *raft = self;
    void *sockets[LOG_SOCKETS];
    size_t count = 0;
    log_sockets(raft->log, sockets);
    while (sockets[0] && count < LOG_SOCKETS) {
        out[count] = (int)zsock_fd(sockets[count]);
        count++;
    }
    int pipe = snapshots_descriptor(raft->snapshots);
    if (pipe >= 0) {
        out[count++] = pipe;
    }
    return count;
}

static void raft_process(void *self, uint64_t now_ms)
{
    struct raft_journal *raft = self;
    raft->now_ms = now_ms;
    if (!log_process(raft->log, now_ms) || raft_failure(raft)) {
        return;
    }
    raft_snapshots_process(raft, now_ms);
    raft_install_check(raft, now_ms);
    bool early = JOURNAL_CANARY(DURABLE_EARLY);
    replica_durable(raft->replica, now_ms,
                    early ? log_appended(raft->log) : log_durable(raft->log));
    raft_flush(raft, now_ms); /* the disk has work while we apply */
    replica_apply(raft->replica, now_ms);
    raft_flush(raft, now_ms); /* a new leader's first commands */
    raft_snapshots_consider(raft, now_ms);
}

static uint64_t raft_deadline(const void *self)
{
    const struct raft_journal *raft = self;
    if (raft_failure(raft)) {
        return UINT64_MAX;
    }
    if (raft->steps && snapshots_writing(raft->snapshots)) {
        return 0;
    }
    return least(least(log_deadline(raft->log), transfer_deadline(raft->transfer)),
                 replica_deadline(raft->replica));
}

static void raft_tick(void *self, uint64_t now_ms)
{
    struct raft_journal *raft = self;
    raft->now_ms = now_ms;
    if (raft_failure(raft)) {
        return;
    }
    if (log_deadline(raft->log) <= now_ms) {
        log_tick(raft->log, now_ms);
    }
    if (transfer_deadline(raft->transfer) <= now_ms) {
        uint64_t leader = replica_leader(raft->replica);
        transfer_tick(raft->transfer, now_ms, leader == raft->node ? 0 : leader);
    }
    if (replica_deadline(raft->replica) <= now_ms) {
        replica_tick(raft->replica, now_ms);
    }
    raft_flush(raft, now_ms);
}

static bool raft_ready(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_ready(raft->replica) && raft_failure(raft) == NULL;
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

static uint64_t raft_leader(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_leader(raft->replica);
}

static bool raft_tight(const void *self)
{
    const struct raft_journal *raft = self;
    return replica_tight(raft->replica);
}

static void raft_destroy(void *self)
{
    struct raft_journal *raft = self;
    log_close(&raft->log);
    snapshots_close(&raft->snapshots);
    transfer_destroy(&raft->transfer);
    replica_destroy(&raft->replica);
    free(raft->directory);
    free(raft);
}

const struct journal_class raft_class = {
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
    .tight = raft_tight,
};

void journal_raft_abandon(struct journal **journal)
{
    if (*journal) {
        struct raft_journal *raft = journal_self(*journal, &raft_class);
        log_abandon(&raft->log);
        journal_destroy(journal);
    }
}

/* ---- of a cluster --------------------------------------------------------------------------- */

static const char *receive(struct raft_journal *raft, uint64_t now_ms, uint64_t from,
                           struct slice bytes)
{
    if (from == 0 || from == raft->node || bytes.size == 0) {
        return "empty, or from nobody";
    }
    if (bytes.data[0] == PEER_BYTES_PULL || bytes.data[0] == PEER_BYTES_PIECE) {
        if (raft->send == NULL) {
            return "from another node, and there are none";
        }
        replica_heard(raft->replica, now_ms, from);
        return raft_transfer(raft, now_ms, from, bytes);
    }
    return replica_receive(raft->replica, now_ms, from, bytes);
}

void journal_raft_receive(struct journal *journal, uint64_t now_ms, uint64_t from,
                          struct slice bytes)
{
    struct raft_journal *raft = journal_self(journal, &raft_class);
    raft->now_ms = now_ms;
    if (raft_failure(raft)) {
        return;
    }
    const char *why = receive(raft, now_ms, from, bytes);
    if (why) {
        raft->dropped++;
        raft->dropped_why = why;
    }
}

void journal_raft_status(const struct journal *journal, struct raft_status *out)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    *out = (struct raft_status){.dropped = raft->dropped, .dropped_why = raft->dropped_why};
    replica_status(raft->replica, out);
    out->log_bytes = trail_behind(&raft->trail, out->snapshot_index);
    out->room_bytes = log_room(raft->log).bytes;
    out->tight = replica_tight(raft->replica);
    out->snapshotting = snapshots_writing(raft->snapshots);
    out->snapshot_trouble = raft->trouble.trouble != LOG_FINE ? raft->trouble.text : NULL;
    if (out->installing) {
        transfer_progress(raft->transfer, &out->install_bytes, &out->install_total);
    }
}

enum consensus_result journal_raft_change(struct journal *journal, uint64_t now_ms,
                                          enum raft_change what, uint64_t node)
{
    struct raft_journal *raft = journal_self(journal, &raft_class);
    raft->now_ms = now_ms;
    return raft_failure(raft) ? CONSENSUS_NOT_LEADER
                              : replica_change(raft->replica, now_ms, what, node);
}

struct state_mark journal_raft_mark(const struct journal *journal)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    return (struct state_mark){replica_applied(raft->replica), replica_hash(raft->replica)};
}
