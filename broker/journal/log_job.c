/*
 * The blocking work of the log.
 *
 * Happy path: as the names say.
 *
 * Failure modes: whatever fails ends the log (the owner sees job->error), but for a disk that has
 * no room for a new file. Nothing is tried again: after a failed sync the page cache may say that
 * all is well although the disk has nothing.
 */
#include "broker/journal/log_job.h"

#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* bytes: zeros written by one job; then somebody else may want the thread */
#define FILL_JOB_BYTES (4 * 1024 * 1024)

/* microseconds: after each piece of zeros; about 300 MB/s, so that records hardly notice */
#define FILL_PAUSE_US 500

/* bytes: left on the disk for names and for others when a new file is begun */
#define ROOM_MARGIN_BYTES (1024 * 1024)

void log_job_init(struct log_job *job, const struct log_dir *dir)
{
    *job = (struct log_job){.dir = dir};
    job->scratch = aligned_alloc(LOG_BLOCK, LOG_SCRATCH_BYTES);
    STEWARD_ASSERT(job->scratch != NULL); /* out of memory */
    job->write.old_file = job->write.file = job->fill.file = job->prepare.file = -1;
}

void log_job_fini(struct log_job *job)
{
    free(job->scratch);
    job->scratch = NULL;
}

/* ---- writing a record ---- */

/* Writes and makes durable. */
static bool put(struct log_job *job, const uint8_t *data, uint64_t size, uint64_t offset)
{
    const struct log_io *io = job->dir->io;
    const struct log_job_write *write = &job->write;
    char path[LOG_PATH_BYTES];
    log_dir_file(job->dir, path, write->header.ordinal, "segment");
    int64_t wrote = io->write(io->context, write->file, data, (size_t)size, offset);
    const char *what = "write";
    int status = wrote < 0 ? (int)wrote : wrote != (int64_t)size ? -EIO : 0;
    if (status == 0 && !write->direct) {
        what = "sync";
        status = io->sync(io->context, write->file);
    }
    return status == 0 ||
           log_error_set(&job->error, LOG_IO_FAILED,
                         "%.600s, byte %" PRIu64 ": cannot %s record %" PRIu64 ": %s%s. Nothing "
                         "from this record on is confirmed; start again: what is on disk decides",
                         path, offset, what, write->record.sequence, strerror(-status),
                         wrote >= 0 && wrote != (int64_t)size ? " (short write)" : "");
}

static void run_write(struct log_job *job)
{
    struct log_job_write *write = &job->write;
    if (write->old_file >= 0) {
        job->dir->io->close(job->dir->io->context, write->old_file);
        write->old_file = -1;
    }
    if (write->begin) {
        write->header.start.chain = write->chain;
        log_segment_encode(job->scratch, &write->header);
        if (!put(job, job->scratch, LOG_BLOCK, 0)) {
            return;
        }
    }
    write->record.previous = write->chain;
    log_record_finish(write->data, &write->record);
    if (put(job, write->data, log_record_extent(write->record.size), write->offset)) {
        write->chain = write->record.checksum;
    }
}

/* ---- a new file for the pool ---- */

static bool fill_failed(struct log_job *job, const char *path, const char *verb, int64_t status)
{
    struct log_job_fill *fill = &job->fill;
    const struct log_io *io = job->dir->io;
    if (fill->file >= 0) {
        io->close(io->context, fill->file);
        fill->file = -1;
    }
    fill->offset = 0;
    if (status == -ENOSPC || status == -EDQUOT || status == -EFBIG) {
        /* What it took already is somebody else's room. */
        io->remove(io->context, path);
        fill->no_room = true;
    } else {
        log_error_io(&job->error, path, verb, status);
    }
    return false;
}

static bool fill_begin(struct log_job *job, const char *path)
{
    struct log_job_fill *fill = &job->fill;
    const struct log_io *io = job->dir->io;
    int64_t room = io->room(io->context, job->dir->path);
    if (room >= 0 && (uint64_t)room < fill->size_bytes + ROOM_MARGIN_BYTES) {
        fill->no_room = true;
        return false;
    }
    int how = LOG_OPEN_WRITE | LOG_OPEN_CREATE;
    fill->file = io->open(io->context, path, how | LOG_OPEN_DIRECT);
    if (fill->file == -EINVAL) {
        fill->file = io->open(io->context, path, how);
    }
    if (fill->file < 0) {
        return fill_failed(job, path, "open", fill->file);
    }
    int status = io->allocate(io->context, fill->file, fill->size_bytes);
    return status == 0 || fill_failed(job, path, "allocate", status);
}

/* The first block says that all behind it is zero. */
static void fill_piece(const struct log_job *job)
{
    memset(job->scratch, 0, LOG_SCRATCH_BYTES);
    if (job->fill.offset == 0) {
        struct log_segment_header header = {.flags = LOG_SEGMENT_ZEROED,
                                            .size_bytes = job->fill.size_bytes,
                                            .log_id = job->dir->log_id};
        log_segment_encode(job->scratch, &header);
    }
}

static bool fill_zeros(struct log_job *job, const char *path)
{
    struct log_job_fill *fill = &job->fill;
    const struct log_io *io = job->dir->io;
    uint64_t end = fill->offset + FILL_JOB_BYTES;
    end = end < fill->size_bytes ? end : fill->size_bytes;
    while (fill->offset < end) {
        uint64_t size =
            end - fill->offset < LOG_SCRATCH_BYTES ? end - fill->offset : LOG_SCRATCH_BYTES;
        fill_piece(job);
        int64_t wrote =
            io->write(io->context, fill->file, job->scratch, (size_t)size, fill->offset);
        if (wrote != (int64_t)size) {
            /* A short write of zeros means that there was no room for the rest. */
            return fill_failed(job, path, "write", wrote < 0 ? wrote : -ENOSPC);
        }
        fill->offset += size;
        if (!fill->hurry) {
            io->pause(io->context, FILL_PAUSE_US);
        }
    }
    return true;
}

static bool fill_end(struct log_job *job, const char *path)
{
    char to[LOG_PATH_BYTES], directory[LOG_PATH_BYTES];
    struct log_job_fill *fill = &job->fill;
    const struct log_io *io = job->dir->io;
    int status = io->sync(io->context, fill->file);
    if (status != 0) {
        return fill_failed(job, path, "sync", status);
    }
    io->uncache(io->context, fill->file);
    io->close(io->context, fill->file);
    fill->file = -1;
    log_dir_file(job->dir, to, fill->number, "pool");
    log_dir_path(job->dir, directory, "log");
    status = io->rename(io->context, path, to);
    status = status ? status : io->sync_directory(io->context, directory);
    fill->done = status == 0;
    return fill->done || log_error_io(&job->error, to, "name the new file", status);
}

static void run_fill(struct log_job *job)
{
    char path[LOG_PATH_BYTES];
    struct log_job_fill *fill = &job->fill;
    fill->no_room = fill->done = false;
    log_dir_path(job->dir, path, "log/unfinished");
    if (fill->offset == 0 && !fill_begin(job, path)) {
        return;
    }
    if (fill_zeros(job, path) && fill->offset == fill->size_bytes) {
        fill_end(job, path);
    }
}

/* ---- the next segment ---- */

/* Writes the header through a fresh handle; -EINVAL: the file system cannot do it this way. */
static int64_t prepare_header(struct log_job *job, const char *path, bool direct)
{
    struct log_job_prepare *prepare = &job->prepare;
    const struct log_io *io = job->dir->io;
    int how = direct ? LOG_OPEN_DIRECT | LOG_OPEN_SYNCED : 0;
    unsigned version;
    prepare->direct = direct;
    prepare->file = io->open(io->context, path, LOG_OPEN_WRITE | how);
    if (prepare->file < 0) {
        return prepare->file;
    }
    int64_t size = io->size(io->context, prepare->file);
    int64_t done = io->read(io->context, prepare->file, job->scratch, LOG_BLOCK, 0);
    if (size < 0 || done != LOG_BLOCK) {
        return size < 0 ? size : done < 0 ? done : -EIO;
    }
    struct log_segment_header old = {0};
    bool fresh = log_segment_decode(job->scratch, &old, &version) == LOG_HEADER_GOOD &&
                 old.flags == LOG_SEGMENT_ZEROED;
    prepare->header = (struct log_segment_header){.flags = fresh ? LOG_SEGMENT_ZEROED : 0,
                                                  .size_bytes = (uint64_t)size,
                                                  .log_id = job->dir->log_id,
                                                  .ordinal = prepare->ordinal,
                                                  .incarnation = io->random(io->context)};
    log_segment_encode(job->scratch, &prepare->header);
    done = io->write(io->context, prepare->file, job->scratch, LOG_BLOCK, 0);
    if (done != LOG_BLOCK) {
        return done < 0 ? done : -EIO;
    }
    return direct ? 0 : io->sync(io->context, prepare->file);
}

static void run_prepare(struct log_job *job)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES], directory[LOG_PATH_BYTES];
    struct log_job_prepare *prepare = &job->prepare;
    const struct log_io *io = job->dir->io;
    log_dir_path(job->dir, directory, "log");
    log_dir_file(job->dir, to, prepare->ordinal, "segment");
    log_dir_file(job->dir, from, prepare->number, "pool");
    const char *path = prepare->adopt ? to : from;
    int64_t status = prepare_header(job, path, true);
    if (status == -EINVAL) {
        if (prepare->file >= 0) {
            io->close(io->context, prepare->file);
        }
        status = prepare_header(job, path, false);
    }
    if (status == 0 && !prepare->adopt) {
        status = io->rename(io->context, from, to);
        status = status ? status : io->sync_directory(io->context, directory);
    }
    if (status != 0) {
        if (prepare->file >= 0) {
            io->close(io->context, prepare->file);
            prepare->file = -1;
        }
        log_error_io(&job->error, path, "make the next segment", status);
    }
}

/* ---- a segment that is not needed any more ---- */

static void run_recycle(struct log_job *job)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES], directory[LOG_PATH_BYTES];
    const struct log_io *io = job->dir->io;
    log_dir_path(job->dir, directory, "log");
    log_dir_file(job->dir, from, job->recycle.ordinal, "segment");
    log_dir_file(job->dir, to, job->recycle.number, "pool");
    int status = io->rename(io->context, from, to);
    /* One by one: a later rename that a crash keeps without this one would leave a gap. */
    status = status ? status : io->sync_directory(io->context, directory);
    if (status != 0) {
        log_error_io(&job->error, from, "put the segment into the pool", status);
    }
}

void log_job_run(struct log_job *job)
{
    job->error.trouble = LOG_FINE;
    switch (job->kind) {
    case LOG_JOB_WRITE: run_write(job); break;
    case LOG_JOB_FILL: run_fill(job); break;
    case LOG_JOB_PREPARE: run_prepare(job); break;
    case LOG_JOB_RECYCLE: run_recycle(job); break;
    }
}
