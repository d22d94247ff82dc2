/*
 * Founding a data directory: the log first, which says that all up to the state's index lies in a
 * snapshot, and is refused until that is there; then the snapshot.
 */
#include "broker/journal/found.h"

#include "broker/journal/log_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

static bool found_log(const struct found_options *options, const struct snapshot_mark *mark,
                      struct log_error *error)
{
    struct log_options log_options = {.directory = options->directory,
                                      .io = options->io,
                                      .segment_bytes = options->segment_bytes,
                                      .no_threads = true};
    struct disk_log *log = log_open(&log_options, error);
    if (log == NULL) {
        return false;
    }
    bool fresh = log_last_index(log) == 0;
    (void)log_append(log, &(struct log_item){.type = LOG_VOTE, .term = mark->at.term});
    uint64_t last =
        log_append(log, &(struct log_item){.type = LOG_RESTART, .index = mark->at.index});
    log_flush(log, 0);
    bool good = fresh;
    while (good && log_durable(log) < last) {
        good = log_process(log, 0);
    }
    if (!fresh) {
        log_error_set(error, LOG_NOT_OURS, "%.700s holds a log already", options->directory);
    } else if (!good) {
        *error = *log_failure(log);
    }
    good ? log_close(&log) : log_abandon(&log);
    return good;
}

/* The whole file, durable; its name only when its directory was synced. */
static bool write_file(const struct log_io *io, const char *path, struct slice bytes,
                       struct log_error *error)
{
    int file = io->open(io->context, path, LOG_OPEN_WRITE | LOG_OPEN_CREATE);
    if (file < 0) {
        return log_error_io(error, path, "make", file);
    }
    int64_t status = io->write(io->context, file, bytes.data, bytes.size, 0);
    status = status == (int64_t)bytes.size ? io->sync(io->context, file)
             : status < 0                  ? status
                                           : -EIO;
    io->close(io->context, file);
    return status >= 0 || log_error_io(error, path, "write", status);
}

static bool found_node(const struct found_options *options, const struct log_io *io,
                       struct log_error *error)
{
    char path[LOG_PATH_BYTES], text[32];
    snprintf(path, sizeof path, "%.4000s/node", options->directory);
    snprintf(text, sizeof text, "node %" PRIu64 "\n", options->node);
    return write_file(io, path, slice_str(text), error);
}

static bool found_snapshot(const struct found_options *options, const struct log_io *io,
                           const struct snapshot_mark *mark, const struct core *core,
                           struct log_error *error)
{
    char directory[LOG_PATH_BYTES], path[LOG_PATH_BYTES];
    struct snapshot_mark alone = *mark;
    alone.at.members_index = mark->at.index;
    alone.at.members = (struct members){0};
    members_set(&alone.at.members, options->node, MEMBER_VOTER);
    snprintf(directory, sizeof directory, "%.4000s/snapshot", options->directory);
    snprintf(path, sizeof path, "%.4000s/snapshot/%016" PRIx64 ".snapshot", options->directory,
             mark->at.index);
    int status = io->make_directory(io->context, directory);
    if (status < 0 && status != -EEXIST) {
        return log_error_io(error, directory, "make the directory", status);
    }
    if (!snapshot_write(io, path, &alone, core, error)) {
        return false;
    }
    status = io->sync_directory(io->context, directory);
    status = status ? status : io->sync_directory(io->context, options->directory);
    return status == 0 || log_error_io(error, directory, "sync the directory", status);
}

bool journal_found(const struct found_options *options, const struct snapshot_mark *mark,
                   const struct core *core, struct log_error *error)
{
    const struct log_io *io = options->io ? options->io : log_io_files();
    error->trouble = LOG_FINE;
    return found_log(options, mark, error) && found_node(options, io, error) &&
           found_snapshot(options, io, mark, core, error);
}
