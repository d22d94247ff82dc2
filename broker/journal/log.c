/*
 * The log: batches of items on their way to disk.
 *
 * Happy path: log_append puts an item into the newest batch; log_flush lends the oldest batch that
 * is not durable to the writer, which makes it one record; log_process takes it back, and lends
 * the next one, with whatever has gathered in it meanwhile.
 *
 * Failure modes: a job that failed ends everything: log->failure is set, nothing is lent any more,
 * and log_durable stays where it is.
 *
 * On close: what has gathered is written, and sealed.
 */
#include "broker/journal/log_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* count: buffers kept for reuse: one that is filled while the other is written */
#define SPARE_BATCHES 2

bool log_fail(struct disk_log *log, const struct log_error *error)
{
    if (log->failure.trouble == LOG_FINE) {
        log->failure = *error;
    }
    return false;
}

const struct log_error *log_failure(const struct disk_log *log)
{
    return &log->failure;
}

/* ---- batches ---- */

/* Bytes of a record that gathers items: whole blocks, and it fits a segment. */
static uint64_t batch_bytes(const struct disk_log *log)
{
    uint64_t most = log->files.segment_bytes - LOG_BLOCK;
    return most < LIMIT_LOG_RECORD_BYTES ? most : LIMIT_LOG_RECORD_BYTES;
}

uint64_t log_payload_max(const struct disk_log *log)
{
    return log->files.segment_bytes - LOG_BLOCK - LOG_RECORD_HEADER - LOG_ITEM_HEADER;
}

static void batch_free(struct log_batch *batch)
{
    free(batch->data);
    free(batch);
}

/* An empty batch at the end, with room for `size` bytes of items. */
static struct log_batch *batch_begin(struct disk_log *log, uint64_t size)
{
    uint64_t bytes = log_record_extent(size);
    bytes = bytes > batch_bytes(log) ? bytes : batch_bytes(log);
    struct log_batch *batch = log->spare;
    if (batch != NULL && batch->capacity >= bytes) {
        log->spare = batch->next;
        log->spares--;
    } else {
        batch = mem_zalloc(1, sizeof *batch);
        batch->data = aligned_alloc(LOG_BLOCK, (size_t)bytes);
        STEWARD_ASSERT(batch->data != NULL); /* out of memory */
        batch->capacity = bytes;
    }
    batch->next = NULL;
    batch->used = LOG_RECORD_HEADER;
    batch->cut = UINT64_MAX;
    batch->max_index = 0;
    batch->seal = false;
    batch->before = log->state;
    log->state.sequence++;
    *(log->newest ? &log->newest->next : &log->oldest) = batch;
    log->newest = batch;
    log->flight = log->flight ? log->flight : batch;
    return batch;
}

/* Forgets the oldest durable batches beyond what is kept. */
static void batches_forget(struct disk_log *log, uint64_t keep_bytes)
{
    while (log->oldest != log->flight && log->recent_bytes > keep_bytes) {
        struct log_batch *batch = log->oldest;
        log->oldest = batch->next;
        log->newest = log->oldest ? log->newest : NULL;
        log->recent_bytes -= batch->capacity;
        if (log->spares < SPARE_BATCHES && batch->capacity == batch_bytes(log)) {
            batch->next = log->spare;
            log->spare = batch;
            log->spares++;
        } else {
            batch_free(batch);
        }
    }
}

/* The batch that gathers items, if it takes `size` bytes more. */
static struct log_batch *batch_for(struct disk_log *log, uint64_t size)
{
    struct log_batch *batch = log->newest;
    bool gathers = log->flight != NULL && !batch->seal &&
                   !(log->writer.out != NULL && batch == log->flight) &&
                   batch->used + size <= batch_bytes(log);
    return gathers ? batch : batch_begin(log, size);
}

static void note_item(struct disk_log *log, struct log_batch *batch, const struct log_item *item,
                      uint64_t size)
{
    if (item->type == LOG_ENTRY) {
        struct log_place place = {.term = item->term,
                                  .sequence = batch->before.sequence,
                                  .offset = (uint32_t)(batch->used - size),
                                  .size = (uint32_t)item->payload.size};
        batch->max_index = item->index;
        log_index_add(&log->index, item->index, &place);
    } else if (item->type != LOG_VOTE) {
        uint64_t keep = item->type == LOG_RESTART ? 0 : item->index;
        batch->cut = batch->cut < keep ? batch->cut : keep;
        batch->max_index = batch->max_index < keep ? batch->max_index : keep;
        log_index_cut(&log->index, keep);
    }
}

uint64_t log_append(struct disk_log *log, const struct log_item *item)
{
    uint64_t size = log_item_extent(item);
    STEWARD_ASSERT(item->payload.size <= log_payload_max(log));
    STEWARD_ASSERT(item->type == LOG_ENTRY || item->payload.size == 0);
    struct log_batch *batch = batch_for(log, size);
    uint64_t next = log->state.sequence;
    bool follows = log_state_follow(&log->state, item);
    STEWARD_ASSERT(follows);
    log_item_encode(batch->data + batch->used, item);
    batch->used += size;
    log->seal_at_ms = UINT64_MAX;
    note_item(log, batch, item, size);
    return next - 1;
}

/* ---- one record in flight ---- */

static void lend(struct disk_log *log)
{
    struct log_files *files = &log->files;
    struct log_batch *batch = log->flight;
    struct log_job *job = &log->write_job;
    struct log_segment *segment = &files->segments[files->count - 1];
    job->kind = LOG_JOB_WRITE;
    job->write.file = files->file;
    job->write.direct = files->direct;
    job->write.begin = files->beginning;
    job->write.header = (struct log_segment_header){.flags = segment->flags,
                                                    .size_bytes = segment->size_bytes,
                                                    .log_id = log->dir.log_id,
                                                    .ordinal = segment->ordinal,
                                                    .incarnation = segment->incarnation,
                                                    .start = batch->before};
    job->write.offset = files->offset;
    job->write.data = batch->data;
    job->write.record =
        (struct log_record){.kind = batch->seal ? LOG_RECORD_SEAL : LOG_RECORD_ITEMS,
                            .size = (uint32_t)(batch->used - LOG_RECORD_HEADER),
                            .sequence = batch->before.sequence,
                            .incarnation = segment->incarnation,
                            .confirmed = log->durable};
    struct log_spot spot = {segment->ordinal, files->offset};
    log_index_record(&log->index, batch->before.sequence, spot);
    files->offset += log_record_extent(job->write.record.size);
    log_worker_submit(&log->writer, job);
}

/* Begins the next record, unless one is in flight or nothing has gathered. */
static void pump(struct disk_log *log)
{
    struct log_files *files = &log->files;
    if (log->flight == NULL || log->writer.out != NULL || log->failure.trouble != LOG_FINE) {
        return;
    }
    uint64_t extent = log_record_extent(log->flight->used - LOG_RECORD_HEADER);
    bool fits =
        files->current && extent <= files->segments[files->count - 1].size_bytes - files->offset;
    if (fits || log_files_advance(log)) {
        lend(log);
    }
    log_help(log);
}

static bool written(struct disk_log *log, const struct log_job *job)
{
    struct log_files *files = &log->files;
    struct log_batch *batch = log->flight;
    if (job->error.trouble != LOG_FINE) {
        return log_fail(log, &job->error);
    }
    struct log_segment *segment = &files->segments[files->count - 1];
    log->durable = batch->before.sequence;
    files->beginning = false;
    segment->last_sequence = log->durable;
    if (batch->cut != UINT64_MAX) {
        log_segments_cut(files->segments, files->count, batch->cut);
    }
    segment->max_index =
        batch->max_index > segment->max_index ? batch->max_index : segment->max_index;
    log->flight = batch->next;
    log->recent_bytes += batch->capacity;
    if (log->flight == NULL && !batch->seal) {
        log->seal_at_ms = log->now_ms + LIMIT_LOG_SEAL_MS;
    }
    batches_forget(log, LIMIT_LOG_RECENT_BYTES); /* this one too, when it is larger */
    return true;
}

void log_flush(struct disk_log *log, uint64_t now_ms)
{
    log->now_ms = now_ms;
    pump(log);
}

bool log_process(struct disk_log *log, uint64_t now_ms)
{
    log->now_ms = now_ms;
    bool progress = true;
    while (progress && log->failure.trouble == LOG_FINE) {
        struct log_job *wrote = log_worker_collect(&log->writer, false);
        if (wrote != NULL && written(log, wrote)) {
            pump(log);
            log_help(log);
        }
        struct log_job *helped = log_worker_collect(&log->helper, false);
        if (helped != NULL && log_helped(log, helped)) {
            pump(log);
            log_help(log);
        }
        progress = wrote != NULL || helped != NULL;
    }
    return log->failure.trouble == LOG_FINE;
}

uint64_t log_durable(const struct disk_log *log)
{
    return log->durable;
}

uint64_t log_appended(const struct disk_log *log)
{
    return log->state.sequence - 1;
}

void log_sockets(struct disk_log *log, void *sockets[LOG_SOCKETS])
{
    sockets[0] = log_worker_socket(&log->writer);
    sockets[1] = log_worker_socket(&log->helper);
}

/* ---- time ---- */

uint64_t log_deadline(const struct disk_log *log)
{
    if (log->failure.trouble != LOG_FINE) {
        return UINT64_MAX;
    }
    if (log->writer.early || log->helper.early) {
        return 0; /* for log_process, which the descriptors will not ask for */
    }
    uint64_t retry = log->files.disk_full ? log->files.retry_at_ms : UINT64_MAX;
    return log->seal_at_ms < retry ? log->seal_at_ms : retry;
}

void log_tick(struct disk_log *log, uint64_t now_ms)
{
    log->now_ms = now_ms;
    if (log->failure.trouble != LOG_FINE) {
        return;
    }
    if (log->seal_at_ms <= now_ms) {
        log->seal_at_ms = UINT64_MAX;
        batch_begin(log, 0)->seal = true;
        pump(log);
    }
    log_files_tick(log);
}

/* ---- the end ---- */

/* Blocks until nothing is in flight, and nothing has gathered that can still be written. */
static void settle(struct disk_log *log)
{
    while (log->failure.trouble == LOG_FINE && (log->writer.out || log->helper.out)) {
        struct log_worker *busy = log->writer.out ? &log->writer : &log->helper;
        struct log_job *job = log_worker_collect(busy, true);
        if (busy == &log->writer ? written(log, job) : log_helped(log, job)) {
            pump(log);
            log_help(log);
        }
    }
}

static void destroy(struct disk_log **log)
{
    struct disk_log *gone = *log;
    log_worker_stop(&gone->writer);
    log_worker_stop(&gone->helper);
    while (gone->oldest != NULL) {
        struct log_batch *batch = gone->oldest;
        gone->oldest = batch->next;
        batch_free(batch);
    }
    while (gone->spare != NULL) {
        struct log_batch *batch = gone->spare;
        gone->spare = batch->next;
        batch_free(batch);
    }
    log_reader_fini(gone);
    log_files_stop(gone);
    log_index_fini(&gone->index);
    log_dir_close(&gone->dir);
    free(gone);
    *log = NULL;
}

void log_close(struct disk_log **log)
{
    if (*log == NULL) {
        return;
    }
    (*log)->ending = true;
    pump(*log);
    settle(*log);
    /* A seal that is waited for is a record that nothing confirms yet. */
    if ((*log)->seal_at_ms != UINT64_MAX && (*log)->flight == NULL) {
        log_tick(*log, UINT64_MAX - 1);
        settle(*log);
    }
    destroy(log);
}

void log_abandon(struct disk_log **log)
{
    if (*log != NULL) {
        destroy(log);
    }
}
