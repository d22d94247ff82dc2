/*
 * When snapshots are taken, and what follows: the log is trimmed, room is judged; and how one of
 * the leader's becomes this node's state.
 *
 * Happy path: enough log has been written since the last one; the core's state is frozen and
 * written beside the log; when it is durable, consensus is told and the log before it goes.
 *
 * Failure modes: no room for one: the old one stays, and it is tried again after a while; a disk
 * that fails is final, as everywhere.
 */
#include "broker/journal/raft_parts.h"

#include "common/base/panic.h"

#include <stdio.h>

/* count: segments beyond those that the log between two snapshots takes, before one is taken to be
 * rid of them */
#define SEGMENTS_SPARE 4

static void final(struct raft_journal *raft, const struct log_error *error)
{
    if (raft->error.trouble == LOG_FINE) {
        raft->error = *error;
    }
}

/* ---- room ----------------------------------------------------------------------------------- */

/* While a snapshot is written, at three times the rate of what makes room, that goes on. */
void raft_snapshots_reserve(struct raft_journal *raft)
{
    uint64_t more = raft->last_bytes / 3 / raft->segment_bytes;
    log_set_reserve(raft->log, (uint32_t)(LIMIT_LOG_RESERVE_SEGMENTS + more));
}

void raft_room(struct raft_journal *raft)
{
    struct log_room room = log_room(raft->log);
    uint64_t enough = raft->segment_bytes / 4 * (raft->tight ? 3 : 2);
    raft->tight = raft->no_room || (room.disk_full && room.bytes < enough);
    replica_set_tight(raft->replica, raft->tight);
}

/* A snapshot failed: is it for want of room, so that nothing must be added? */
static bool room_is_short(const struct raft_journal *raft)
{
    int64_t room = raft->io->room(raft->io->context, raft->directory);
    return raft->trouble.trouble == LOG_NO_ROOM && room >= 0 &&
           (uint64_t)room < raft->last_bytes + raft->last_bytes / 4;
}

/* ---- own ones ------------------------------------------------------------------------------- */

/* bytes: of log between two snapshots */
static uint64_t distance(const struct raft_journal *raft)
{
    return raft->last_bytes > raft->snapshot_bytes ? raft->last_bytes : raft->snapshot_bytes;
}

/*
 * Each start begins a segment, however little is written then. So a node that is started again and
 * again would fill the disk with segments that hold next to nothing, and never come to a snapshot.
 */
static bool scattered(const struct raft_journal *raft)
{
    return log_room(raft->log).segments > SEGMENTS_SPARE + 2 * distance(raft) / raft->segment_bytes;
}

static void written(struct raft_journal *raft, uint64_t now_ms)
{
    struct snapshot_mark mark;
    struct raft_status status = {0};
    bool found = snapshots_newest(raft->snapshots, &mark);
    STEWARD_ASSERT(found);
    raft->last_bytes = mark.bytes;
    raft->last_index = mark.at.index;
    raft->no_room = false;
    raft->trouble.trouble = LOG_FINE;
    /* Nodes that are a little behind still get entries. */
    replica_status(raft->replica, &status);
    bool keep = status.peers_count > 1 && !raft->tight && !scattered(raft);
    uint64_t from = keep ? trail_back(&raft->trail, raft->snapshot_bytes / 4) : UINT64_MAX;
    /* Who is fetching one needs what follows it: else it would have to fetch the next, for ever. */
    uint64_t held = transfer_held(raft->transfer);
    from = keep && held > 0 && held < from ? held : from;
    log_trim(raft->log, replica_snapshotted(raft->replica, now_ms, mark.at.index, from));
    raft_snapshots_reserve(raft);
}

void raft_snapshots_process(struct raft_journal *raft, uint64_t now_ms)
{
    struct log_error error = {.trouble = LOG_FINE};
    switch (snapshots_process(raft->snapshots, &error)) {
    case SNAPSHOTS_NOTHING: break;
    case SNAPSHOTS_WRITTEN: written(raft, now_ms); break;
    case SNAPSHOTS_FAILED:
        raft->trouble = error;
        raft->retry_ms = now_ms + LIMIT_SNAPSHOT_RETRY_MS;
        raft->no_room = room_is_short(raft);
        if (error.trouble == LOG_IO_FAILED) {
            final(raft, &error);
        }
        break;
    }
}

static bool begin(struct raft_journal *raft)
{
    struct snapshot_mark mark;
    if (raft->error.trouble != LOG_FINE || snapshots_writing(raft->snapshots) ||
        !replica_describe(raft->replica, &mark)) {
        return false;
    }
    return snapshots_begin(raft->snapshots, &mark, raft->core);
}

void raft_snapshots_consider(struct raft_journal *raft, uint64_t now_ms)
{
    raft_room(raft);
    if (now_ms < raft->retry_ms || snapshots_writing(raft->snapshots)) {
        return;
    }
    uint64_t enough = distance(raft);
    if (raft->tight && enough > raft->segment_bytes / 2) {
        enough = raft->segment_bytes / 2; /* what was trimmed is room again */
    }
    enough = scattered(raft) ? 1 : enough;
    if (trail_behind(&raft->trail, raft->last_index) >= enough &&
        !replica_replaying(raft->replica)) {
        begin(raft);
    }
}

bool journal_raft_snapshot_now(struct journal *journal, uint64_t now_ms)
{
    (void)now_ms; /* nothing of a snapshot depends on when it is taken */
    return begin(journal_self(journal, &raft_class));
}

struct snapshots *journal_raft_snapshots(struct journal *journal)
{
    const struct raft_journal *raft = journal_self(journal, &raft_class);
    return raft->snapshots;
}

/* ---- the leader's --------------------------------------------------------------------------- */

void raft_install(void *self, uint64_t leader, const struct consensus_snapshot *snapshot)
{
    struct raft_journal *raft = self;
    raft->wanted = *snapshot;
    transfer_begin(raft->transfer, raft->now_ms, leader, snapshot->index);
}

/*
 * Who installs does not vote (the library sees to that), so the others could lack one vote for
 * ever: without a leader the old log counts again. What has come stays, for the next offer.
 */
void raft_install_check(struct raft_journal *raft, uint64_t now_ms)
{
    if (replica_installing(raft->replica) && replica_leader(raft->replica) == 0) {
        transfer_stop(raft->transfer);
        replica_install_failed(raft->replica, now_ms);
    }
}

static bool is_wanted(const struct raft_journal *raft, const struct snapshot_mark *mark)
{
    const struct consensus_snapshot *at = &mark->at, *wanted = &raft->wanted;
    return at->index == wanted->index && at->term == wanted->term &&
           at->members_index == wanted->members_index &&
           members_equal(&at->members, &wanted->members);
}

static void installed(struct raft_journal *raft, uint64_t now_ms)
{
    struct snapshot_mark mark;
    struct log_error error = {.trouble = LOG_CORRUPTED};
    if (!replica_installing(raft->replica)) {
        return; /* given up meanwhile: it is an older snapshot of this node's, and does no harm */
    }
    if (!snapshots_newest(raft->snapshots, &mark) || !is_wanted(raft, &mark)) {
        snprintf(error.text, sizeof error.text,
                 "the snapshot that the leader sent is not the one that it announced");
        final(raft, &error);
        return;
    }
    if (!snapshots_load(raft->snapshots, raft->core, &error)) {
        final(raft, &error);
        return;
    }
    raft->last_bytes = mark.bytes;
    raft->last_index = mark.at.index;
    replica_installed(raft->replica, now_ms, &mark);
    raft_snapshots_reserve(raft);
}

const char *raft_transfer(struct raft_journal *raft, uint64_t now_ms, uint64_t from,
                          struct slice bytes)
{
    const char *why = NULL;
    switch (transfer_receive(raft->transfer, now_ms, from, bytes, &why)) {
    case TRANSFER_NOTHING: break;
    case TRANSFER_DONE: installed(raft, now_ms); break;
    case TRANSFER_GONE: replica_install_failed(raft->replica, now_ms); break;
    case TRANSFER_FAILED: final(raft, transfer_error(raft->transfer)); break;
    }
    return why;
}
