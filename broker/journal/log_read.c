/*
 * Reading entries back: from the batches that are still in memory, else from their file. One file
 * stays open and one record in memory, so that entries that are read in order cost one read a
 * record.
 *
 * Failure modes: a record that was durable and does not read back whole ends the log.
 */
#include "broker/journal/log_parts.h"

#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

uint64_t log_last_index(const struct disk_log *log)
{
    return log->state.next_index - 1;
}

uint64_t log_first_index(const struct disk_log *log)
{
    return log->state.next_index - log->index.entries.count;
}

uint64_t log_term(const struct disk_log *log, uint64_t index)
{
    const struct log_place *place = log_index_find(&log->index, index);
    return place ? place->term : 0;
}

void log_vote(const struct disk_log *log, uint64_t *term, uint64_t *vote)
{
    *term = log->state.term;
    *vote = log->state.vote;
}

static const struct log_batch *find_batch(const struct disk_log *log, uint64_t sequence)
{
    const struct log_batch *batch = log->oldest;
    while (batch != NULL && batch->before.sequence != sequence) {
        batch = batch->next;
    }
    return batch;
}

static const struct log_segment *find_segment(const struct disk_log *log, uint64_t ordinal)
{
    for (size_t i = 0; i < log->files.count; i++) {
        if (log->files.segments[i].ordinal == ordinal) {
            return &log->files.segments[i];
        }
    }
    return NULL;
}

static int64_t reader_open(struct disk_log *log, uint64_t ordinal)
{
    struct log_reader *reader = &log->reader;
    const struct log_io *io = log->dir.io;
    char path[LOG_PATH_BYTES];
    if (reader->file >= 0 && reader->ordinal == ordinal) {
        return 0;
    }
    if (reader->file >= 0) {
        io->close(io->context, reader->file);
    }
    log_dir_file(&log->dir, path, ordinal, "segment");
    reader->file = io->open(io->context, path, 0);
    reader->ordinal = ordinal;
    return reader->file < 0 ? reader->file : 0;
}

static int64_t reader_fetch(struct disk_log *log, uint64_t size, uint64_t offset)
{
    struct log_reader *reader = &log->reader;
    const struct log_io *io = log->dir.io;
    if (reader->capacity < size) {
        free(reader->data);
        reader->data = aligned_alloc(LOG_BLOCK, (size_t)size);
        STEWARD_ASSERT(reader->data != NULL); /* out of memory */
        reader->capacity = size;
    }
    int64_t got = io->read(io->context, reader->file, reader->data, (size_t)size, offset);
    return got < 0 ? got : got != (int64_t)size ? -EIO : 0;
}

/* The whole record, checked, in reader->data. 0, or -errno. */
static int64_t reader_record(struct disk_log *log, uint64_t sequence, struct log_spot spot)
{
    struct log_reader *reader = &log->reader;
    const struct log_segment *segment = find_segment(log, spot.ordinal);
    struct log_record record;
    STEWARD_ASSERT(segment != NULL);
    reader->sequence = 0;
    int64_t status = reader_open(log, spot.ordinal);
    status = status ? status : reader_fetch(log, LOG_BLOCK, spot.offset);
    if (status != 0) {
        return status;
    }
    if (!log_record_decode(reader->data, segment->incarnation, &record) ||
        record.sequence != sequence) {
        return -EBADMSG;
    }
    uint64_t extent = log_record_extent(record.size);
    status = extent > LOG_BLOCK ? reader_fetch(log, extent, spot.offset) : 0;
    if (status == 0 && !log_record_intact(reader->data, &record)) {
        return -EBADMSG;
    }
    reader->sequence = status == 0 ? sequence : 0;
    return status;
}

static bool reader_load(struct disk_log *log, uint64_t sequence)
{
    const struct log_spot *spot = log_index_spot(&log->index, sequence);
    STEWARD_ASSERT(spot != NULL);
    if (log->reader.sequence == sequence) {
        return true;
    }
    int64_t status = reader_record(log, sequence, *spot);
    if (status != 0) {
        struct log_error error;
        char path[LOG_PATH_BYTES];
        log_dir_file(&log->dir, path, spot->ordinal, "segment");
        log_error_set(&error, status == -EBADMSG ? LOG_CORRUPTED : LOG_IO_FAILED,
                      "%.600s, byte %" PRIu64 ": record %" PRIu64 " does not read back: %s", path,
                      spot->offset, sequence, strerror((int)-status));
        return log_fail(log, &error);
    }
    return true;
}

bool log_read(struct disk_log *log, uint64_t index, struct log_item *out)
{
    const struct log_place *place = log_index_find(&log->index, index);
    struct reader reader;
    if (place == NULL) {
        return false;
    }
    const struct log_batch *batch = find_batch(log, place->sequence);
    if (batch == NULL && !reader_load(log, place->sequence)) {
        return false;
    }
    const uint8_t *data = (batch ? batch->data : log->reader.data) + place->offset;
    reader_init(&reader, slice_of(data, LOG_ITEM_HEADER + (size_t)place->size));
    bool whole = log_item_next(&reader, out);
    STEWARD_ASSERT(whole && out->index == index && out->term == place->term);
    return true;
}

void log_reader_fini(struct disk_log *log)
{
    if (log->reader.file >= 0) {
        log->dir.io->close(log->dir.io->context, log->reader.file);
    }
    free(log->reader.data);
}
