/*
 * Opening a log: lock, version, recovery, and the first segment to go on in.
 *
 * Happy path: what the files hold is handed to the owner; then the log goes on in a new segment,
 * whose header fixes where the old one ends: confirmed blocks are never written again.
 *
 * Failure modes: a sentence, and nothing on disk is changed. A first start that did not come to its
 * end left no version file: it is begun again.
 */
#include "broker/journal/log_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

static bool check_options(const struct log_options *options, struct log_error *error)
{
    uint64_t bytes = options->segment_bytes;
    bool good = bytes == 0 || (bytes >= LIMIT_LOG_SEGMENT_MIN_BYTES &&
                               bytes <= LIMIT_LOG_SEGMENT_MAX_BYTES && bytes % LOG_BLOCK == 0);
    return good ||
           log_error_set(error, LOG_IO_FAILED,
                         "a segment of the log has %llu to %llu bytes, in blocks of %d",
                         LIMIT_LOG_SEGMENT_MIN_BYTES, LIMIT_LOG_SEGMENT_MAX_BYTES, LOG_BLOCK);
}

/*
 * A directory without a version file: only segments that were never begun may be here, and they
 * go. Everything else was a log once.
 */
static bool clean_first_start(const struct log_dir *dir, struct log_listing *listing,
                              struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    for (size_t i = 0; i < listing->segments.count; i++) {
        struct log_segment_header header;
        struct log_error ignored;
        uint64_t ordinal = listing->segments.numbers[i];
        log_dir_file(dir, path, ordinal, "segment");
        if (listing->segments.count > 1 || !log_segment_read(dir, ordinal, &header, &ignored) ||
            header.flags & LOG_SEGMENT_USED) {
            return log_error_set(error, LOG_CORRUPTED,
                                 "%.700s/version is missing, but there is a log: restore a backup "
                                 "into an empty directory",
                                 dir->path);
        }
        int status = dir->io->remove(dir->io->context, path);
        if (status != 0) {
            return log_error_io(error, path, "remove", status);
        }
    }
    listing->segments.count = 0;
    return true;
}

/*
 * What the last process wrote without having confirmed it may be in the page cache only: before it
 * is believed, it has to be on disk.
 */
static bool sync_newest(const struct log_dir *dir, const struct log_names *names,
                        struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    const struct log_io *io = dir->io;
    for (size_t i = names->count > 2 ? names->count - 2 : 0; i < names->count; i++) {
        log_dir_file(dir, path, names->numbers[i], "segment");
        int file = io->open(io->context, path, LOG_OPEN_WRITE);
        if (file < 0) {
            return log_error_io(error, path, "open", file);
        }
        int status = io->sync(io->context, file);
        io->close(io->context, file);
        if (status != 0) {
            return log_error_io(error, path, "sync", status);
        }
    }
    return true;
}

static bool check_segments(const struct log_dir *dir, const struct log_listing *listing,
                           struct log_error *error)
{
    return listing->segments.count > 0 ||
           log_error_set(error, LOG_CORRUPTED,
                         "%.700s/log holds no segment: the log is gone. Restore a backup into an "
                         "empty directory; a node of a cluster: let it join again, empty, under a "
                         "new id",
                         dir->path);
}

/* The segments' content; the index and the files' state are the log's from now on. */
static bool recover(struct disk_log *log, const struct log_options *options,
                    const struct log_listing *listing, struct log_error *error)
{
    struct log_recovery recovery = {.dir = &log->dir,
                                    .recovered = options->recovered,
                                    .context = options->context,
                                    .index = &log->index,
                                    .error = error};
    bool good = log_recover(&recovery, &listing->segments);
    log->files.segments = recovery.segments;
    log->files.count = recovery.count;
    log->files.have_next = recovery.prepared;
    log->files.next = recovery.next;
    log->state = recovery.state;
    log->durable = recovery.state.sequence - 1;
    log->write_job.write.chain = recovery.state.chain;
    return good;
}

static bool open_files(struct disk_log *log, const struct log_options *options,
                       struct log_listing *listing, struct log_error *error)
{
    struct log_dir *dir = &log->dir;
    bool fresh = dir->log_id == 0;
    bool good =
        fresh ? clean_first_start(dir, listing, error)
              : check_segments(dir, listing, error) && sync_newest(dir, &listing->segments, error);
    if (fresh) {
        dir->log_id = dir->io->random(dir->io->context) | 1; /* 0 means: none */
    }
    return good && recover(log, options, listing, error) && log_files_start(log, listing, error) &&
           (!fresh || log_dir_commit(dir, error));
}

static struct disk_log *allocate(const struct log_options *options)
{
    struct disk_log *log = mem_zalloc(1, sizeof *log);
    struct log_files *files = &log->files;
    files->segment_bytes =
        options->segment_bytes ? options->segment_bytes : LIMIT_LOG_SEGMENT_BYTES;
    files->reserve =
        options->reserve_segments ? options->reserve_segments : LIMIT_LOG_RESERVE_SEGMENTS;
    files->file = files->next_file = log->reader.file = -1;
    log->seal_at_ms = UINT64_MAX;
    log_index_init(&log->index);
    return log;
}

struct disk_log *log_open(const struct log_options *options, struct log_error *error)
{
    struct log_listing listing = {0};
    error->trouble = LOG_FINE;
    if (!check_options(options, error)) {
        return NULL;
    }
    struct disk_log *log = allocate(options);
    if (!log_dir_open(&log->dir, options, error)) {
        log_index_fini(&log->index);
        free(log);
        return NULL;
    }
    log_job_init(&log->write_job, &log->dir);
    log_job_init(&log->help_job, &log->dir);
    bool good =
        log_dir_list(&log->dir, &listing, error) && open_files(log, options, &listing, error);
    log_listing_fini(&listing);
    if (!good) {
        /* Recovery only knew the prepared segment's name. */
        log->files.have_next = log->files.have_next && log->files.next_file >= 0;
        log_abandon(&log);
        return NULL;
    }
    log_worker_start(&log->writer, !options->no_threads);
    log_worker_start(&log->helper, !options->no_threads);
    log_help(log);
    return log;
}

bool log_verify(const struct log_options *options, struct log_error *error)
{
    struct log_dir dir;
    struct log_listing listing;
    error->trouble = LOG_FINE;
    if (!log_dir_look(&dir, options, error) || !log_dir_list(&dir, &listing, error)) {
        return false;
    }
    struct log_recovery recovery = {
        .dir = &dir, .recovered = options->recovered, .context = options->context, .error = error};
    bool good = check_segments(&dir, &listing, error) && log_recover(&recovery, &listing.segments);
    free(recovery.segments);
    log_listing_fini(&listing);
    return good;
}
