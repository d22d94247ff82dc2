/*
 * Opening a durable journal: the log, who this node is, the newest snapshot, the replica.
 *
 *     DIR/node    "node 3": the id under which this directory belongs to a cluster
 *
 * Failure modes: a sentence, and nothing was changed that counts.
 */
#include "broker/journal/raft_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* bytes: what a command has beside one largest body: the other small ones, names, its encoding */
#define COMMAND_EXTRA_BYTES (2 * LIMIT_PACKET_CEILING_BYTES)

/* bytes: segments are whole multiples of this */
#define SEGMENT_STEP_BYTES ((uint64_t)1024 * 1024)

/* bytes: of paths, and of the file that says who we are */
#define PATH_BYTES 1024
#define NODE_BYTES 64

/* ---- what the replica needs ----------------------------------------------------------------- */

static uint64_t host_append(void *context, const struct log_item *item)
{
    struct raft_journal *raft = context;
    switch (item->type) {
    case LOG_ENTRY: trail_add(&raft->trail, item->index, item->payload.size); break;
    case LOG_TRUNCATE: trail_cut(&raft->trail, item->index); break;
    case LOG_RESTART: trail_init(&raft->trail, raft->trail.step); break;
    case LOG_VOTE: break;
    }
    return log_append(raft->log, item);
}

static bool host_read(void *context, uint64_t index, struct log_item *out)
{
    struct raft_journal *raft = context;
    return log_read(raft->log, index, out);
}

static void host_entry(void *context, const struct log_item *item)
{
    struct raft_journal *raft = context;
    raft->entry(raft->context, item);
}

static void host_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct raft_journal *raft = context;
    raft->applied(raft->context, now_ms, effects);
}

static void host_send(void *context, uint64_t node, struct slice bytes)
{
    struct raft_journal *raft = context;
    raft->send(raft->context, node, bytes);
}

static void no_send(void *context, uint64_t node, struct slice bytes)
{
    (void)context; /* a node alone never asks for a snapshot, and answers nobody */
    (void)node;
    (void)bytes;
}

static void host_recovered(void *context, const struct log_item *item)
{
    struct raft_journal *raft = context;
    if (item->type == LOG_ENTRY) {
        trail_add(&raft->trail, item->index, item->payload.size);
    } else if (item->type != LOG_VOTE) {
        trail_cut(&raft->trail, item->type == LOG_RESTART ? 0 : item->index);
    }
    replica_recover(raft->replica, item);
}

/* ---- who we are ----------------------------------------------------------------------------- */

static bool node_trouble(struct log_error *error, const char *path, const char *what,
                         int64_t status)
{
    error->trouble = LOG_IO_FAILED;
    snprintf(error->text, sizeof error->text, "%.700s: cannot %s: %s", path, what,
             strerror((int)-status));
    return false;
}

/* 0: there is no such file. */
static bool node_read(const struct raft_journal *raft, const char *path, uint64_t *node,
                      struct log_error *error)
{
    const struct log_io *io = raft->io;
    char text[NODE_BYTES] = {0};
    *node = 0;
    int file = io->open(io->context, path, 0);
    if (file == -ENOENT) {
        return true;
    }
    if (file < 0) {
        return node_trouble(error, path, "open", file);
    }
    int64_t size = io->size(io->context, file);
    int64_t got = size < 0 || size >= NODE_BYTES
                      ? -EINVAL
                      : io->read(io->context, file, text, (size_t)size, 0);
    io->close(io->context, file);
    if (got < 0) {
        return node_trouble(error, path, "read", got);
    }
    if (sscanf(text, "node %" SCNu64 "\n", node) != 1 || *node == 0) {
        error->trouble = LOG_CORRUPTED;
        snprintf(error->text, sizeof error->text, "%.700s: is damaged: it should say \"node ID\"",
                 path);
        return false;
    }
    return true;
}

static bool node_write(const struct raft_journal *raft, const char *path, struct log_error *error)
{
    const struct log_io *io = raft->io;
    char text[NODE_BYTES], unfinished[PATH_BYTES];
    snprintf(unfinished, sizeof unfinished, "%.900s/node.unfinished", raft->directory);
    int size = snprintf(text, sizeof text, "node %" PRIu64 "\n", raft->node);
    int file = io->open(io->context, unfinished, LOG_OPEN_WRITE | LOG_OPEN_CREATE);
    if (file < 0) {
        return node_trouble(error, unfinished, "make", file);
    }
    int64_t status = io->write(io->context, file, text, (size_t)size, 0);
    status = status == size ? io->sync(io->context, file) : status < 0 ? status : -EIO;
    io->close(io->context, file);
    status = status < 0 ? status : io->rename(io->context, unfinished, path);
    status = status < 0 ? status : io->sync_directory(io->context, raft->directory);
    return status >= 0 || node_trouble(error, path, "write", status);
}

/* A directory belongs to one node for good: under another id it would vote twice. */
static bool check_node(const struct raft_journal *raft, struct log_error *error)
{
    char path[PATH_BYTES];
    uint64_t node;
    snprintf(path, sizeof path, "%.900s/node", raft->directory);
    if (!node_read(raft, path, &node, error)) {
        return false;
    }
    if (node == 0) {
        return node_write(raft, path, error);
    }
    if (node != raft->node) {
        error->trouble = LOG_NOT_OURS;
        snprintf(error->text, sizeof error->text,
                 "%.700s belongs to node %" PRIu64 ", and this is node %" PRIu64
                 ": start it as that one, or with another directory",
                 raft->directory, node, raft->node);
        return false;
    }
    return true;
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

static struct raft_journal *allocate(const struct journal_raft_options *options)
{
    struct raft_journal *raft = mem_zalloc(1, sizeof *raft);
    raft->core = options->core;
    raft->io = options->io ? options->io : log_io_files();
    raft->directory = mem_dup(options->directory, strlen(options->directory) + 1);
    raft->node = options->node ? options->node : 1;
    raft->now_ms = options->now_ms;
    raft->applied = options->applied;
    raft->entry = options->entry;
    raft->send = options->send;
    raft->context = options->context;
    raft->steps = options->no_threads;
    raft->segment_bytes = segment_bytes(options);
    raft->snapshot_bytes =
        options->snapshot_bytes ? options->snapshot_bytes : LIMIT_SNAPSHOT_LOG_BYTES;
    trail_init(&raft->trail, raft->snapshot_bytes / 64 + 1);
    struct replica_options replica = {.node = raft->node,
                                      .core = options->core,
                                      .bootstrap = options->bootstrap,
                                      .election_ms = options->election_ms,
                                      .heartbeat_ms = options->heartbeat_ms,
                                      .seed = options->seed,
                                      .format = options->format,
                                      .part_bytes = options->part_bytes,
                                      .host = {.context = raft,
                                               .append = host_append,
                                               .read = host_read,
                                               .applied = host_applied,
                                               .entry = options->entry ? host_entry : NULL,
                                               .send = options->send ? host_send : NULL,
                                               .install = options->send ? raft_install : NULL}};
    raft->replica = replica_new(&replica);
    return raft;
}

static bool open_log(struct raft_journal *raft, const struct journal_raft_options *options,
                     struct log_error *error)
{
    struct log_options log = {.directory = options->directory,
                              .segment_bytes = raft->segment_bytes,
                              .recovered = host_recovered,
                              .context = raft,
                              .io = options->io,
                              .no_threads = options->no_threads};
    raft->log = log_open(&log, error);
    return raft->log && check_node(raft, error);
}

static bool open_snapshots(struct raft_journal *raft, const struct journal_raft_options *options,
                           struct log_error *error)
{
    struct snapshots_options snapshots = {
        .directory = options->directory, .io = options->io, .no_fork = options->no_threads};
    raft->snapshots = snapshots_open(&snapshots, error);
    if (raft->snapshots == NULL) {
        return false;
    }
    struct transfer_options transfer = {
        .snapshots = raft->snapshots, .send = options->send ? host_send : no_send, .context = raft};
    raft->transfer = transfer_new(&transfer);
    return true;
}

/* An empty directory is founded: by the list that was given, or as a node on its own. */
static void start_replica(struct raft_journal *raft, const struct journal_raft_options *options,
                          const struct snapshot_mark *mark)
{
    struct members alone = {0};
    members_set(&alone, raft->node, MEMBER_VOTER);
    const struct members *founders = options->founders ? options->founders : &alone;
    struct replica_disk disk = {.last = log_last_index(raft->log),
                                .payload_max = log_payload_max(raft->log),
                                .snapshot = mark,
                                .founders = options->join ? NULL : founders};
    log_vote(raft->log, &disk.term, &disk.vote);
    replica_start(raft->replica, options->now_ms, &disk);
}

static bool start(struct raft_journal *raft, const struct journal_raft_options *options,
                  struct log_error *error)
{
    struct snapshot_mark mark;
    bool found = snapshots_newest(raft->snapshots, &mark);
    if (found) {
        if (!snapshots_load(raft->snapshots, raft->core, error)) {
            return false;
        }
        raft->last_bytes = mark.bytes;
        raft->last_index = mark.at.index;
    }
    start_replica(raft, options, found ? &mark : NULL);
    const char *why = replica_failure(raft->replica);
    if (why) {
        const struct log_error *damage = snapshots_damage(raft->snapshots);
        error->trouble = LOG_CORRUPTED;
        snprintf(error->text, sizeof error->text,
                 "%.300s: %.300s%s%.300s. Restore a backup into an empty directory; a node of a "
                 "cluster: let it join again, empty, under a new id",
                 options->directory, why, damage->trouble ? ": " : "",
                 damage->trouble ? damage->text : "");
        return false;
    }
    raft_snapshots_reserve(raft);
    log_flush(raft->log, options->now_ms);
    return true;
}

struct journal *journal_raft_open(const struct journal_raft_options *options,
                                  struct log_error *error)
{
    STEWARD_ASSERT(!options->founders || members_find(options->founders, options->node));
    struct raft_journal *raft = allocate(options);
    *error = (struct log_error){.trouble = LOG_FINE};
    if (open_log(raft, options, error) && open_snapshots(raft, options, error) &&
        start(raft, options, error)) {
        return journal_new(&raft_class, raft);
    }
    log_abandon(&raft->log);
    raft_class.destroy(raft);
    return NULL;
}
