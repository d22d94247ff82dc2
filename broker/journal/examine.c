/*
 * Looking at a data directory. The readers are those of a start, so what they refuse a start
 * refuses; and what is refused here is told with the sentence of a start.
 */
#include "broker/journal/examine.h"

#include "broker/journal/entry.h"
#include "broker/journal/log_recover.h"
#include "broker/journal/peer_message.h"
#include "broker/journal/snapshots_file.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* bytes: of DIR/node */
#define NODE_BYTES 64

struct looking {
    struct examination *out;
    struct log_dir dir;
    struct command_arena arena;
    uint64_t unknown; /* the first entry that does not make sense; 0: none */
};

/* ---- who uses it, whose it is --------------------------------------------------------------- */

/* The lock is asked for and given back at once. */
static bool in_use(const struct log_dir *dir)
{
    char path[LOG_PATH_BYTES];
    log_dir_path(dir, path, "lock");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return false;
    }
    bool free = flock(file, LOCK_SH | LOCK_NB) == 0;
    close(file);
    return !free;
}

static uint64_t node_of(const struct log_dir *dir)
{
    char path[LOG_PATH_BYTES], text[NODE_BYTES + 1] = "";
    uint64_t node = 0;
    log_dir_path(dir, path, "node");
    int file = dir->io->open(dir->io->context, path, 0);
    if (file >= 0) {
        (void)dir->io->read(dir->io->context, file, text, NODE_BYTES, 0);
        dir->io->close(dir->io->context, file);
    }
    return sscanf(text, "node %" SCNu64 "\n", &node) == 1 ? node : 0;
}

/* ---- the log -------------------------------------------------------------------------------- */

static bool look_at_headers(struct looking *looking, const struct log_names *segments)
{
    struct examination *out = looking->out;
    for (size_t i = 0; i < segments->count; i++) {
        struct log_segment_header header;
        if (!log_segment_read(&looking->dir, segments->numbers[i], &header, &out->trouble)) {
            return false;
        }
        if (!(header.flags & LOG_SEGMENT_USED)) {
            continue; /* prepared */
        }
        out->first_ordinal = out->segments == 0 ? header.ordinal : out->first_ordinal;
        out->last_ordinal = header.ordinal;
        out->segments++;
        out->segment_bytes += header.size_bytes;
        out->term = header.start.term;
        out->vote = header.start.vote;
        out->last = header.start.next_index - 1;
    }
    return segments->count > 0 ||
           log_error_set(&out->trouble, LOG_CORRUPTED,
                         "%.700s/log holds no segment: the log is gone", looking->dir.path);
}

static void note_item(void *context, const struct log_item *item)
{
    struct looking *looking = context;
    struct entry_reader entry;
    struct command command;
    if (item->type != LOG_ENTRY) {
        return;
    }
    looking->out->entries++;
    if (item->tag != ENTRY_COMMAND) {
        return;
    }
    entry_begin(&entry, item->payload, entry_format);
    while (entry_next(&entry, &looking->arena, &looking->out->last_ms, &command)) {
        looking->out->commands++;
    }
    if (!entry_whole(&entry) && looking->unknown == 0) {
        looking->unknown = item->index;
    }
}

static bool read_log(struct looking *looking, const struct log_names *segments)
{
    struct examination *out = looking->out;
    struct log_index index;
    log_index_init(&index);
    struct log_recovery recovery = {.dir = &looking->dir,
                                    .recovered = note_item,
                                    .context = looking,
                                    .index = &index,
                                    .error = &out->trouble};
    bool good = log_recover(&recovery, segments);
    out->verified = good;
    out->term = recovery.state.term;
    out->vote = recovery.state.vote;
    out->last = recovery.state.next_index - 1;
    out->first = recovery.state.next_index - index.entries.count;
    free(recovery.segments);
    log_index_fini(&index);
    command_arena_fini(&looking->arena);
    if (good && looking->unknown != 0) {
        return log_error_set(&out->trouble, LOG_NEWER,
                             "%.700s: entry %" PRIu64 " holds what this build does not know: use "
                             "the build that wrote it, or a newer one",
                             looking->dir.path, looking->unknown);
    }
    return good;
}

static bool look_at_log(struct looking *looking, bool verify)
{
    struct log_listing listing;
    if (!log_dir_list(&looking->dir, &listing, &looking->out->trouble)) {
        return false;
    }
    looking->out->pool = listing.pool.count;
    bool good = look_at_headers(looking, &listing.segments) &&
                (!verify || read_log(looking, &listing.segments));
    log_listing_fini(&listing);
    return good;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void note_snapshot(void *argument, const char *name)
{
    struct examination *out = argument;
    char again[64];
    uint64_t index;
    if (sscanf(name, "%16" SCNx64, &index) != 1 || out->snapshots_count == EXAMINED_SNAPSHOTS) {
        return;
    }
    snprintf(again, sizeof again, "%016" PRIx64 ".snapshot", index);
    if (strcmp(again, name) == 0) {
        out->snapshots[out->snapshots_count++] = (struct examined_snapshot){.index = index};
    }
}

static int by_index(const void *a, const void *b)
{
    const struct examined_snapshot *left = a, *right = b;
    return (left->index > right->index) - (left->index < right->index);
}

static bool look_at_snapshot(const struct log_dir *dir, struct examined_snapshot *snapshot,
                             bool verify)
{
    char name[64], path[LOG_PATH_BYTES];
    struct snapshot_file file;
    snprintf(name, sizeof name, "snapshot/%016" PRIx64 ".snapshot", snapshot->index);
    log_dir_path(dir, path, name);
    if (verify) {
        return snapshot_verify(dir->io, path, &snapshot->mark, &snapshot->trouble);
    }
    if (!snapshot_file_open(&file, dir->io, path, &snapshot->trouble)) {
        return false;
    }
    snapshot->mark = file.mark;
    snapshot_file_close(&file);
    return true;
}

static bool look_at_snapshots(struct looking *looking, bool verify)
{
    char path[LOG_PATH_BYTES];
    struct examination *out = looking->out;
    bool good = true;
    log_dir_path(&looking->dir, path, "snapshot");
    (void)looking->dir.io->list(looking->dir.io->context, path, note_snapshot, out);
    qsort(out->snapshots, out->snapshots_count, sizeof out->snapshots[0], by_index);
    for (size_t i = 0; i < out->snapshots_count; i++) {
        good = look_at_snapshot(&looking->dir, &out->snapshots[i], verify) && good;
    }
    return good;
}

/* ---- both ----------------------------------------------------------------------------------- */

/* The log has to begin at the newest whole snapshot's end, or before. */
static bool fits(struct looking *looking)
{
    struct examination *out = looking->out;
    uint64_t reached = 0;
    for (size_t i = 0; i < out->snapshots_count; i++) {
        const struct examined_snapshot *snapshot = &out->snapshots[i];
        if (snapshot->trouble.trouble == LOG_FINE) {
            reached = snapshot->index;
        }
    }
    return out->first <= reached + 1 ||
           log_error_set(&out->trouble, LOG_CORRUPTED,
                         "%.700s: the log begins with entry %" PRIu64
                         ", and what came before it is in no snapshot that is whole",
                         looking->dir.path, out->first);
}

bool journal_examine(const char *directory, bool verify, struct examination *out)
{
    struct looking looking = {.out = out};
    struct log_options options = {.directory = directory};
    *out = (struct examination){0};
    if (!log_dir_look(&looking.dir, &options, &out->trouble)) {
        return false;
    }
    out->log_id = looking.dir.log_id;
    out->node = node_of(&looking.dir);
    out->locked = in_use(&looking.dir);
    bool log = look_at_log(&looking, verify);
    bool snapshots = look_at_snapshots(&looking, verify);
    return log && (!verify || fits(&looking)) && snapshots;
}
