/*
 * The log's files: which segment takes records, which one comes next, and the pool behind them.
 *
 * Happy path: one segment is always prepared ahead, from a file of the pool; a file that is not
 * needed any more goes back into the pool; when too few stand ready, a new one is filled with
 * zeros. The helper does one thing at a time, in this order.
 *
 * Failure modes: a disk without room for a new file is looked at again after a while; until then
 * the log lives on what stands ready. Anything else that fails ends the log.
 */
#include "broker/journal/log_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <inttypes.h>
#include <stdlib.h>

/* ---- the pool's names ---- */

static void pool_add(struct log_names *pool, uint64_t number)
{
    pool->numbers = mem_realloc(pool->numbers, pool->count + 1, sizeof *pool->numbers);
    pool->numbers[pool->count++] = number;
}

static uint64_t pool_take(struct log_names *pool)
{
    STEWARD_ASSERT(pool->count > 0);
    return pool->numbers[--pool->count];
}

uint64_t log_files_ready(const struct disk_log *log)
{
    bool preparing = log->helper.out != NULL && log->help_job.kind == LOG_JOB_PREPARE;
    return log->files.pool.count + log->files.have_next + preparing;
}

static uint64_t wanted(const struct log_files *files)
{
    uint64_t least = files->reserve + 1;
    return least > LIMIT_LOG_POOL_SEGMENTS ? least : LIMIT_LOG_POOL_SEGMENTS;
}

/* ---- segments ---- */

bool log_files_advance(struct disk_log *log)
{
    struct log_files *files = &log->files;
    if (!files->have_next) {
        return false;
    }
    /* The writer closes the file that was written until now. */
    STEWARD_ASSERT(log->write_job.write.old_file < 0);
    log->write_job.write.old_file = files->current ? files->file : -1;
    files->segments = mem_realloc(files->segments, files->count + 1, sizeof *files->segments);
    files->segments[files->count] = files->next;
    files->segments[files->count++].flags |= LOG_SEGMENT_USED;
    files->file = files->next_file;
    files->direct = files->next_direct;
    files->offset = LOG_BLOCK;
    files->current = files->beginning = true;
    files->have_next = false;
    files->next_file = -1;
    return true;
}

static uint64_t next_ordinal(const struct log_files *files)
{
    return files->count > 0 ? files->segments[files->count - 1].ordinal + 1 : 1;
}

/*
 * The oldest segment is not needed when all its entries are void or trimmed, and a later segment's
 * header, which is durable, carries the vote on.
 */
static bool oldest_is_spent(const struct log_files *files)
{
    uint64_t trim = files->trim_index > 1 ? files->trim_index : 1;
    return files->count >= 2 && (files->count > 2 || !files->beginning) &&
           files->segments[0].max_index < trim;
}

/* ---- the helper's work ---- */

static void begin_prepare(struct disk_log *log)
{
    struct log_job_prepare *prepare = &log->help_job.prepare;
    log->help_job.kind = LOG_JOB_PREPARE;
    *prepare = (struct log_job_prepare){
        .number = pool_take(&log->files.pool), .ordinal = next_ordinal(&log->files), .file = -1};
}

static void begin_recycle(struct disk_log *log)
{
    log->help_job.kind = LOG_JOB_RECYCLE;
    log->help_job.recycle = (struct log_job_recycle){.ordinal = log->files.segments[0].ordinal,
                                                     .number = log->files.pool_number++};
}

static bool fill_wanted(const struct disk_log *log)
{
    const struct log_files *files = &log->files;
    if (files->disk_full && log->now_ms < files->retry_at_ms) {
        return false;
    }
    return log->ending ? log_files_ready(log) == 0 : log_files_ready(log) < wanted(files);
}

static void begin_fill(struct disk_log *log)
{
    struct log_job_fill *fill = &log->help_job.fill;
    log->help_job.kind = LOG_JOB_FILL;
    if (fill->offset == 0) {
        *fill = (struct log_job_fill){
            .number = log->files.pool_number++, .size_bytes = log->files.segment_bytes, .file = -1};
    }
    fill->hurry = !log->files.have_next;
    log->files.retry_at_ms = log->now_ms + LIMIT_LOG_RETRY_MS;
}

void log_help(struct disk_log *log)
{
    struct log_files *files = &log->files;
    if (log->helper.out != NULL || log->failure.trouble != LOG_FINE) {
        return;
    }
    /* While the log ends, only what it still has to write is worth a file. */
    bool needed = !log->ending || (log->flight != NULL && log->writer.out == NULL);
    /* Not before the last one is begun on disk: recovery expects one that is not, at most. */
    bool next = !files->have_next && !files->beginning;
    if (next && files->pool.count > 0 && needed) {
        begin_prepare(log);
    } else if (oldest_is_spent(files) && !log->ending) {
        begin_recycle(log);
    } else if (needed && fill_wanted(log)) {
        begin_fill(log);
    } else {
        return;
    }
    log_worker_submit(&log->helper, &log->help_job);
}

static struct log_segment describe(const struct log_segment_header *header)
{
    return (struct log_segment){.ordinal = header->ordinal,
                                .incarnation = header->incarnation,
                                .size_bytes = header->size_bytes,
                                .flags = header->flags};
}

static void prepared(struct log_files *files, const struct log_job_prepare *prepare)
{
    files->have_next = true;
    files->next = describe(&prepare->header);
    files->next_file = prepare->file;
    files->next_direct = prepare->direct;
}

static void recycled(struct disk_log *log, const struct log_job_recycle *recycle)
{
    struct log_files *files = &log->files;
    /* Of another size, from other settings: it stays where it is until the next start. */
    if (files->segments[0].size_bytes == files->segment_bytes) {
        pool_add(&files->pool, recycle->number);
    }
    files->count--;
    memmove(files->segments, files->segments + 1, files->count * sizeof *files->segments);
    /* There may be room now: this file, or what its owner deleted meanwhile. */
    files->retry_at_ms = log->now_ms;
}

bool log_helped(struct disk_log *log, const struct log_job *job)
{
    struct log_files *files = &log->files;
    if (job->error.trouble != LOG_FINE) {
        return log_fail(log, &job->error);
    }
    switch (job->kind) {
    case LOG_JOB_PREPARE:
        prepared(files, &job->prepare);
        log->help_job.prepare.file = -1;
        break;
    case LOG_JOB_RECYCLE: recycled(log, &job->recycle); break;
    case LOG_JOB_FILL:
        files->disk_full = job->fill.no_room;
        if (job->fill.no_room) {
            files->retry_at_ms = log->now_ms + LIMIT_LOG_RETRY_MS;
        } else if (job->fill.done) {
            log->help_job.fill.offset = 0;
            pool_add(&files->pool, job->fill.number);
        }
        break;
    case LOG_JOB_WRITE: STEWARD_ASSERT(job->kind != LOG_JOB_WRITE); /* never the helper's */
    }
    return true;
}

/* ---- room ---- */

void log_files_tick(struct disk_log *log)
{
    struct log_files *files = &log->files;
    if (files->disk_full && files->retry_at_ms <= log->now_ms) {
        files->disk_full = log_files_ready(log) < wanted(files);
        log_help(log);
        /* Also when the helper is at something else now. */
        files->retry_at_ms = log->now_ms + LIMIT_LOG_RETRY_MS;
    }
}

void log_trim(struct disk_log *log, uint64_t index)
{
    STEWARD_ASSERT(index <= log->state.next_index);
    if (index > log->files.trim_index) {
        log->files.trim_index = index;
        log_index_trim(&log->index, index);
        log_help(log);
    }
}

void log_set_reserve(struct disk_log *log, uint32_t segments)
{
    log->files.reserve = segments;
    log_help(log);
}

/* A record that does not fit leaves the end of a segment empty: that much is not counted. */
static uint64_t usable(uint64_t segment_bytes)
{
    uint64_t lost = segment_bytes / 8;
    lost = lost < LIMIT_LOG_RECORD_BYTES ? lost : LIMIT_LOG_RECORD_BYTES;
    return segment_bytes - LOG_BLOCK - lost;
}

static uint64_t gathered(const struct disk_log *log)
{
    uint64_t bytes = 0;
    for (const struct log_batch *batch = log->flight; batch; batch = batch->next) {
        bytes += log_record_extent(batch->used - LOG_RECORD_HEADER);
    }
    return bytes;
}

struct log_room log_room(const struct disk_log *log)
{
    const struct log_files *files = &log->files;
    uint64_t ready = log_files_ready(log);
    uint64_t have = ready * usable(files->segment_bytes);
    if (files->current) {
        have += files->segments[files->count - 1].size_bytes - files->offset;
    }
    uint64_t keep = files->reserve * usable(files->segment_bytes) + gathered(log);
    return (struct log_room){.bytes = have > keep ? have - keep : 0,
                             .disk_full = files->disk_full,
                             .segments = (uint32_t)files->count,
                             .pool = (uint32_t)ready};
}

/* ---- start and stop ---- */

static bool remove_file(const struct disk_log *log, const char *path, struct log_error *error)
{
    int status = log->dir.io->remove(log->dir.io->context, path);
    return status == 0 || log_error_io(error, path, "remove", status);
}

static int64_t pool_size(const struct disk_log *log, const char *path)
{
    const struct log_io *io = log->dir.io;
    int file = io->open(io->context, path, 0);
    if (file < 0) {
        return file;
    }
    int64_t size = io->size(io->context, file);
    io->close(io->context, file);
    return size;
}

/* Removing stalls a running log for milliseconds; at a start nobody waits. */
static bool clean_pool(struct disk_log *log, const struct log_listing *listing,
                       struct log_error *error)
{
    struct log_files *files = &log->files;
    char path[LOG_PATH_BYTES];
    log_dir_path(&log->dir, path, "log/unfinished");
    if (listing->unfinished && !remove_file(log, path, error)) {
        return false;
    }
    for (size_t i = 0; i < listing->pool.count; i++) {
        uint64_t number = listing->pool.numbers[i];
        log_dir_file(&log->dir, path, number, "pool");
        int64_t size = pool_size(log, path);
        if (size < 0) {
            return log_error_io(error, path, "look at", size);
        }
        bool spare = files->pool.count >= wanted(files) + LIMIT_LOG_SPARE_SEGMENTS;
        if (spare || (uint64_t)size != files->segment_bytes) {
            if (!remove_file(log, path, error)) {
                return false;
            }
            continue;
        }
        pool_add(&files->pool, number);
        files->pool_number = number + 1;
    }
    return true;
}

static bool fill_now(struct disk_log *log, struct log_error *error)
{
    do {
        begin_fill(log);
        log_job_run(&log->help_job);
        if (log->help_job.fill.no_room) {
            return log_error_set(error, LOG_NO_ROOM,
                                 "%.700s: the disk has no room for a segment of %" PRIu64
                                 " bytes: make room, or choose smaller segments",
                                 log->dir.path, log->files.segment_bytes);
        }
        if (log->help_job.error.trouble != LOG_FINE) {
            *error = log->help_job.error;
            return false;
        }
    } while (!log->help_job.fill.done);
    return log_helped(log, &log->help_job);
}

/* A prepared segment of another size, from other settings, was never begun: it can go. */
static bool drop_odd_next(struct disk_log *log, struct log_error *error)
{
    struct log_files *files = &log->files;
    char path[LOG_PATH_BYTES];
    if (!files->have_next || files->next.size_bytes == files->segment_bytes) {
        return true;
    }
    files->have_next = false;
    log_dir_file(&log->dir, path, files->next.ordinal, "segment");
    return remove_file(log, path, error);
}

bool log_files_start(struct disk_log *log, const struct log_listing *listing,
                     struct log_error *error)
{
    struct log_files *files = &log->files;
    struct log_job *job = &log->help_job;
    files->pool_number = 1;
    if (!clean_pool(log, listing, error) || !drop_odd_next(log, error)) {
        return false;
    }
    if (files->have_next) {
        job->prepare =
            (struct log_job_prepare){.adopt = true, .ordinal = files->next.ordinal, .file = -1};
        files->have_next = false;
    } else {
        if (files->pool.count == 0 && !fill_now(log, error)) {
            return false;
        }
        begin_prepare(log);
    }
    job->kind = LOG_JOB_PREPARE;
    log_job_run(job);
    if (job->error.trouble != LOG_FINE) {
        *error = job->error;
        return false;
    }
    return log_helped(log, job);
}

static void close_file(const struct disk_log *log, int file)
{
    if (file >= 0) {
        log->dir.io->close(log->dir.io->context, file);
    }
}

void log_files_stop(struct disk_log *log)
{
    struct log_files *files = &log->files;
    close_file(log, files->current ? files->file : -1);
    close_file(log, files->have_next ? files->next_file : -1);
    close_file(log, log->write_job.write.old_file);
    close_file(log, log->help_job.fill.file);
    close_file(log, log->help_job.prepare.file);
    free(files->segments);
    free(files->pool.numbers);
    log_job_fini(&log->write_job);
    log_job_fini(&log->help_job);
}
