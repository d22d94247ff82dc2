/*
 * The store of snapshots: what lies in its directory. See snapshots.h.
 *
 * Happy path: at most two files, by turns. The older one's blocks become the next one, so nothing
 * is unlinked while the log runs (an unlink of 64 MiB holds it up for 15 to 19 ms).
 * Failure modes: a damaged file is passed over at open, and nothing is done to it until there is a
 * newer whole one. On close: a child at work is killed.
 */
#include "broker/journal/snapshots_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_DIGITS 16

void snapshots_path(const struct snapshots *snapshots, char path[LOG_PATH_BYTES], const char *name)
{
    snprintf(path, LOG_PATH_BYTES, "%s/%s", snapshots->directory, name);
}

void snapshots_path_of(const struct snapshots *snapshots, char path[LOG_PATH_BYTES], uint64_t index)
{
    snprintf(path, LOG_PATH_BYTES, "%s/%016" PRIx64 ".snapshot", snapshots->directory, index);
}

bool snapshots_failed(const struct snapshots *snapshots, const struct snapshots_trouble *trouble,
                      const char *name, struct log_error *error)
{
    static const int full[] = {-ENOSPC, -EDQUOT, -EFBIG, -ENOMEM, -EAGAIN};
    log_error_set(error, LOG_IO_FAILED, "%.700s/%s: cannot %s: %s", snapshots->directory, name,
                  trouble->verb, strerror((int)-trouble->status));
    for (size_t i = 0; i < sizeof full / sizeof *full; i++) {
        if (trouble->status == full[i]) {
            error->trouble = LOG_NO_ROOM;
        }
    }
    return false;
}

/* ---- what is kept --------------------------------------------------------------------------- */

static struct kept *find(struct snapshots *snapshots, uint64_t index)
{
    for (size_t i = 0; i < snapshots->kept_count; i++) {
        if (snapshots->kept[i].mark.at.index == index) {
            return &snapshots->kept[i];
        }
    }
    return NULL;
}

static const struct kept *newest(const struct snapshots *snapshots)
{
    for (size_t i = snapshots->kept_count; i > 0; i--) {
        if (!snapshots->kept[i - 1].damaged) {
            return &snapshots->kept[i - 1];
        }
    }
    return NULL;
}

static void forget(struct snapshots *snapshots, struct kept *kept)
{
    size_t behind = (size_t)(&snapshots->kept[--snapshots->kept_count] - kept);
    memmove(kept, kept + 1, behind * sizeof *kept);
}

static void stop_reading(struct snapshots *snapshots)
{
    if (snapshots->reading >= 0) {
        snapshots->io->close(snapshots->io->context, snapshots->reading);
    }
    snapshots->reading = -1;
    snapshots->reading_index = 0;
}

void snapshots_add(struct snapshots *snapshots, const struct kept *kept)
{
    struct kept *same = find(snapshots, kept->mark.at.index);
    if (same) {
        forget(snapshots, same);
    }
    if (snapshots->reading_index == kept->mark.at.index) {
        stop_reading(snapshots);
    }
    if (snapshots->kept_count == SNAPSHOTS_KEPT) {
        forget(snapshots, snapshots->kept); /* its file stays until it is found again */
    }
    size_t at = snapshots->kept_count++;
    for (; at > 0 && snapshots->kept[at - 1].mark.at.index > kept->mark.at.index; at--) {
        snapshots->kept[at] = snapshots->kept[at - 1];
    }
    snapshots->kept[at] = *kept;
}

uint64_t snapshots_give_up(struct snapshots *snapshots)
{
    const struct kept *last = newest(snapshots);
    for (size_t i = 0; i < snapshots->kept_count && last; i++) {
        uint64_t index = snapshots->kept[i].mark.at.index;
        if (index < last->mark.at.index && index != snapshots->held &&
            index != snapshots->held_backup) {
            if (snapshots->reading_index == index) {
                stop_reading(snapshots);
            }
            forget(snapshots, &snapshots->kept[i]);
            return index;
        }
    }
    return 0;
}

bool snapshots_newest(const struct snapshots *snapshots, struct snapshot_mark *out)
{
    const struct kept *last = newest(snapshots);
    if (last) {
        *out = last->mark;
    }
    return last != NULL;
}

void snapshots_hold(struct snapshots *snapshots, uint64_t index)
{
    snapshots->held = index;
}

void snapshots_hold_backup(struct snapshots *snapshots, uint64_t index)
{
    snapshots->held_backup = index;
}

const struct log_error *snapshots_damage(const struct snapshots *snapshots)
{
    return &snapshots->damage;
}

/* ---- files ---------------------------------------------------------------------------------- */

static struct snapshots_trouble trouble_of(int64_t status, const char *verb)
{
    bool harmless = status >= 0 || status == -ENOENT;
    return (struct snapshots_trouble){.status = harmless ? 0 : status, .verb = verb};
}

struct snapshots_trouble snapshots_reuse(const struct snapshots *snapshots, uint64_t index,
                                         const char *name)
{
    const struct log_io *io = snapshots->io;
    char old[LOG_PATH_BYTES], path[LOG_PATH_BYTES];
    snapshots_path_of(snapshots, old, index);
    if (io->shrink == NULL) {
        return trouble_of(io->remove(io->context, old), "remove an older one for");
    }
    snapshots_path(snapshots, path, name);
    return trouble_of(io->rename(io->context, old, path), "rename an older one to");
}

struct snapshots_trouble snapshots_rename(const struct snapshots *snapshots, const char *from,
                                          uint64_t index)
{
    char old[LOG_PATH_BYTES], path[LOG_PATH_BYTES];
    snapshots_path(snapshots, old, from);
    snapshots_path_of(snapshots, path, index);
    int status = snapshots->io->rename(snapshots->io->context, old, path);
    return (struct snapshots_trouble){.status = status, .verb = "rename"};
}

struct snapshots_trouble snapshots_sync(const struct snapshots *snapshots)
{
    int status = snapshots->io->sync_directory(snapshots->io->context, snapshots->directory);
    return (struct snapshots_trouble){.status = status, .verb = "sync the directory of"};
}

/* ---- open ----------------------------------------------------------------------------------- */

/* The names in the directory, ascending. */
struct found {
    uint64_t *indexes;
    size_t count;
    size_t capacity;
};

static void found_name(void *argument, const char *name)
{
    struct found *found = argument;
    uint64_t index;
    int end = 0;
    if (sscanf(name, "%16" SCNx64 ".snapshot%n", &index, &end) != 1 ||
        end != NAME_DIGITS + (int)sizeof ".snapshot" - 1 || name[end] != '\0' || index == 0) {
        return; /* nothing of ours */
    }
    if (found->count == found->capacity) {
        found->capacity = found->capacity ? found->capacity * 2 : SNAPSHOTS_KEPT;
        found->indexes = mem_realloc(found->indexes, found->capacity, sizeof *found->indexes);
    }
    found->indexes[found->count++] = index;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* One file: all of it is verified while none newer was found good, else its header only. */
static bool look_at(struct snapshots *snapshots, uint64_t index, struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    struct snapshot_file file;
    struct kept kept = {.mark = {.at = {.index = index}}, .damaged = true};
    bool first = newest(snapshots) == NULL;
    snapshots_path_of(snapshots, path, index);
    if (snapshot_file_open(&file, snapshots->io, path, error)) {
        if (file.mark.at.index != index) {
            log_error_set(error, LOG_CORRUPTED, "%.700s: its header says index %" PRIu64, path,
                          file.mark.at.index);
        } else if (!first || snapshot_file_verify(&file)) {
            kept = (struct kept){.mark = file.mark};
        }
        snapshot_file_close(&file);
    }
    if (kept.damaged && error->trouble != LOG_CORRUPTED) {
        return false;
    }
    if (kept.damaged && first && snapshots->damage.trouble == LOG_FINE) {
        snapshots->damage = *error;
    }
    snapshots_add(snapshots, &kept);
    return true;
}

/* From the newest on: with more files than are remembered the oldest are not looked at. */
static bool look_at_all(struct snapshots *snapshots, struct found *found, struct log_error *error)
{
    if (found->count > 0) {
        qsort(found->indexes, found->count, sizeof *found->indexes, ascending);
    }
    size_t most = found->count < SNAPSHOTS_KEPT ? found->count : SNAPSHOTS_KEPT;
    for (size_t i = 0; i < most; i++) {
        *error = (struct log_error){.trouble = LOG_FINE};
        if (!look_at(snapshots, found->indexes[found->count - 1 - i], error)) {
            return false;
        }
    }
    *error = (struct log_error){.trouble = LOG_FINE};
    return true;
}

static bool remove_unfinished(struct snapshots *snapshots, struct log_error *error)
{
    static const char *const names[] = {SNAPSHOTS_WRITING, SNAPSHOTS_RECEIVING};
    char path[LOG_PATH_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snapshots_path(snapshots, path, names[i]);
        int status = snapshots->io->remove(snapshots->io->context, path);
        if (status < 0 && status != -ENOENT) {
            return log_error_io(error, path, "remove", status);
        }
    }
    return true;
}

static bool make_directory(const struct snapshots *snapshots, const char *parent,
                           struct log_error *error)
{
    const struct log_io *io = snapshots->io;
    int status = io->make_directory(io->context, snapshots->directory);
    if (status == -EEXIST) {
        return true;
    }
    if (status == 0) {
        status = io->sync_directory(io->context, parent);
    }
    return status == 0 || log_error_io(error, snapshots->directory, "make the directory", status);
}

static bool scan(struct snapshots *snapshots, struct log_error *error)
{
    struct found found = {0};
    const struct log_io *io = snapshots->io;
    int status = io->list(io->context, snapshots->directory, found_name, &found);
    bool good = status < 0
                    ? log_error_io(error, snapshots->directory, "list the directory", status)
                    : look_at_all(snapshots, &found, error) && remove_unfinished(snapshots, error);
    free(found.indexes);
    return good;
}

struct snapshots *snapshots_open(const struct snapshots_options *options, struct log_error *error)
{
    struct snapshots *snapshots = mem_zalloc(1, sizeof *snapshots);
    *error = (struct log_error){.trouble = LOG_FINE};
    snapshots->io = options->io ? options->io : log_io_files();
    snapshots->no_fork = options->no_fork;
    snapshots->reading = -1;
    snapshots->taking.pipe = -1;
    int size = snprintf(snapshots->directory, sizeof snapshots->directory, "%s/snapshot",
                        options->directory);
    bool good = size > 0 && (size_t)size < sizeof snapshots->directory;
    if (!good) {
        log_error_set(error, LOG_NOT_OURS, "the path of the data directory is too long");
    }
    if (!good || !make_directory(snapshots, options->directory, error) || !scan(snapshots, error)) {
        snapshots_close(&snapshots);
    }
    return snapshots;
}

void snapshots_close(struct snapshots **snapshots)
{
    struct snapshots *old = *snapshots;
    *snapshots = NULL;
    if (!old) {
        return;
    }
    snapshots_abandon(old);
    snapshots_receive_cancel(old);
    stop_reading(old);
    free(old);
}

/* ---- reading -------------------------------------------------------------------------------- */

bool snapshots_load(struct snapshots *snapshots, struct core *core, struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    const struct kept *last = newest(snapshots);
    if (!last) {
        core_load(core, slice_of(NULL, 0)); /* empty */
        return log_error_set(error, LOG_CORRUPTED, "%.700s: there is no snapshot",
                             snapshots->directory);
    }
    snapshots_path_of(snapshots, path, last->mark.at.index);
    return snapshot_load(snapshots->io, path, core, NULL, error);
}

bool snapshots_size(struct snapshots *snapshots, uint64_t index, uint64_t *bytes)
{
    const struct kept *kept = find(snapshots, index);
    if (!kept || kept->damaged) {
        return false;
    }
    *bytes = snapshot_shape(kept->mark.bytes).file;
    return true;
}

int64_t snapshots_read(struct snapshots *snapshots, uint64_t index, uint64_t offset, void *out,
                       size_t size)
{
    const struct log_io *io = snapshots->io;
    uint64_t bytes;
    if (!snapshots_size(snapshots, index, &bytes)) {
        return -ENOENT;
    }
    if (snapshots->reading_index != index) {
        char path[LOG_PATH_BYTES];
        stop_reading(snapshots);
        snapshots_path_of(snapshots, path, index);
        int file = io->open(io->context, path, 0);
        if (file < 0) {
            return file;
        }
        snapshots->reading = file;
        snapshots->reading_index = index;
    }
    return io->read(io->context, snapshots->reading, out, size, offset);
}
