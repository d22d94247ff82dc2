/*
 * Recovery.
 *
 * Happy path: for each segment, oldest first: its header continues what came before; its records
 * follow one another by sequence and chain; the first one that is not valid lies where the next
 * segment says that this one ended, or is the end of the log.
 *
 * Failure modes: whatever was confirmed and is not there any more ends in a sentence, and nothing
 * is changed. Only what no later write confirmed, and what a write that was cut short explains, is
 * cut.
 *
 * Reading goes past the page cache where it can: a record whose sync failed may read valid from the
 * cache although it never reached the disk.
 */
#include "broker/journal/log_recover.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* bytes: one read; larger ones gain nothing */
#define WINDOW_BYTES (1024 * 1024)

#define ADVICE                                                                                     \
    "Nothing was changed. Restore a backup into an empty directory; a node of a cluster: let it "  \
    "join again, empty, under a new id"

/* A stretch of one file in memory. */
struct window {
    const struct log_dir *dir;
    struct log_error *error;
    char path[LOG_PATH_BYTES];
    int file;
    uint64_t size; /* of the file */
    uint8_t *data;
    uint64_t capacity;
    uint64_t start; /* where the stretch begins */
    uint64_t filled;
};

struct reading {
    struct log_recovery *recovery;
    struct window window;
    struct log_segment *segment; /* in recovery->segments */
    uint64_t offset;             /* of the record that is read */
};

/* ---- the window ---- */

static bool window_open(struct window *window, const struct log_dir *dir, uint64_t ordinal,
                        struct log_error *error)
{
    const struct log_io *io = dir->io;
    *window = (struct window){.dir = dir, .error = error};
    log_dir_file(dir, window->path, ordinal, "segment");
    window->file = io->open(io->context, window->path, LOG_OPEN_DIRECT);
    if (window->file == -EINVAL) {
        window->file = io->open(io->context, window->path, 0);
    }
    if (window->file < 0) {
        return log_error_io(error, window->path, "open", window->file);
    }
    io->uncache(io->context, window->file);
    int64_t size = io->size(io->context, window->file);
    if (size < 0) {
        io->close(io->context, window->file);
        return log_error_io(error, window->path, "look at", size);
    }
    window->size = (uint64_t)size;
    return true;
}

static void window_close(struct window *window)
{
    window->dir->io->close(window->dir->io->context, window->file);
    free(window->data);
}

static void window_grow(struct window *window, uint64_t size)
{
    if (size > window->capacity) {
        free(window->data);
        window->data = aligned_alloc(LOG_BLOCK, (size_t)size);
        STEWARD_ASSERT(window->data != NULL); /* out of memory */
        window->capacity = size;
    }
}

/* size bytes at offset, both whole blocks and within the file; NULL: error is set. */
static const uint8_t *window_at(struct window *window, uint64_t offset, uint64_t size)
{
    STEWARD_ASSERT(offset % LOG_BLOCK == 0 && size % LOG_BLOCK == 0);
    STEWARD_ASSERT(offset <= window->size && size <= window->size - offset);
    if (offset >= window->start && offset + size <= window->start + window->filled) {
        return window->data + (offset - window->start);
    }
    uint64_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
    wanted = wanted < window->size - offset ? wanted : window->size - offset;
    window_grow(window, wanted);
    const struct log_io *io = window->dir->io;
    int64_t got = io->read(io->context, window->file, window->data, (size_t)wanted, offset);
    window->filled = 0;
    if (got != (int64_t)wanted) {
        log_error_io(window->error, window->path, "read", got < 0 ? got : -EIO);
        return NULL;
    }
    window->start = offset;
    window->filled = wanted;
    return window->data;
}

/* ---- sentences ---- */

static bool corrupted(const struct window *window, uint64_t offset, const char *what)
{
    return log_error_set(window->error, LOG_CORRUPTED, "%.600s, byte %" PRIu64 ": %s. " ADVICE,
                         window->path, offset, what);
}

static bool gap(const struct reading *reading, uint64_t offset, uint64_t later)
{
    char what[160];
    snprintf(what, sizeof what,
             "record %" PRIu64 " is missing or damaged, although a later one (%" PRIu64
             ") says that it was durable",
             reading->recovery->state.sequence, later);
    return corrupted(&reading->window, offset, what);
}

/* ---- a segment's header ---- */

static bool read_header(struct window *window, uint64_t ordinal, struct log_segment_header *out)
{
    unsigned version = 0;
    if (window->size < LOG_BLOCK || window->size % LOG_BLOCK != 0) {
        return corrupted(window, window->size, "the file has not its fixed size");
    }
    const uint8_t *block = window_at(window, 0, LOG_BLOCK);
    if (block == NULL) {
        return false;
    }
    switch (log_segment_decode(block, out, &version)) {
    case LOG_HEADER_GOOD: break;
    case LOG_HEADER_BAD: return corrupted(window, 0, "the segment's header is damaged");
    case LOG_HEADER_VERSION:
        return log_error_set(window->error, LOG_NEWER,
                             "%.600s has format %u, this build knows format %d: use the build "
                             "that wrote it, or a newer one",
                             window->path, version, LOG_FORMAT_VERSION);
    }
    if (out->size_bytes != window->size) {
        return corrupted(window, window->size, "the file has not its fixed size");
    }
    if (window->dir->log_id != 0 && out->log_id != window->dir->log_id) {
        return corrupted(window, 0, "the file belongs to another log");
    }
    return out->ordinal == ordinal ||
           corrupted(window, 0, "the file's name is not that of its header: it was renamed");
}

bool log_segment_read(const struct log_dir *dir, uint64_t ordinal, struct log_segment_header *out,
                      struct log_error *error)
{
    struct window window;
    if (!window_open(&window, dir, ordinal, error)) {
        return false;
    }
    bool good = read_header(&window, ordinal, out);
    window_close(&window);
    return good;
}

/* ---- the first record that is not valid ---- */

/* What lies behind the first record that is not valid. */
struct behind {
    struct log_record later; /* confirms that record; sequence 0: there is none */
    bool written;            /* something is not zero */
};

static bool look_behind(struct reading *reading, struct behind *behind)
{
    struct window *window = &reading->window;
    uint64_t sequence = reading->recovery->state.sequence;
    *behind = (struct behind){.later.sequence = 0};
    for (uint64_t at = reading->offset; at < window->size; at += LOG_BLOCK) {
        struct log_record found;
        const uint8_t *block = window_at(window, at, LOG_BLOCK);
        if (block == NULL) {
            return false;
        }
        behind->written = behind->written || !log_all_zero(block, LOG_BLOCK);
        if (log_record_decode(block, reading->segment->incarnation, &found) &&
            found.sequence > sequence && found.confirmed >= sequence) {
            behind->later = found;
            return true;
        }
    }
    return true;
}

static bool judge(struct reading *reading, struct log_tail *tail)
{
    struct log_recovery *recovery = reading->recovery;
    struct behind behind;
    if (!look_behind(reading, &behind)) {
        return false;
    }
    tail->zeroed = reading->segment->flags & LOG_SEGMENT_ZEROED;
    tail->confirmed_by_later = behind.later.sequence != 0;
    switch (log_judge(tail)) {
    case LOG_TORN:
        /* In a recycled file remains of its earlier use look the same as a torn header. */
        recovery->torn = tail->zeroed ? behind.written : tail->header_good;
        recovery->torn_ordinal = reading->segment->ordinal;
        recovery->torn_offset = reading->offset;
        return true;
    case LOG_CORRUPT:
        if (tail->confirmed_by_later) {
            return gap(reading, reading->offset, behind.later.sequence);
        }
        return corrupted(&reading->window, reading->offset,
                         "a whole record of another place stands here");
    case LOG_DAMAGED:
        return corrupted(&reading->window, reading->offset,
                         "the last record is damaged in a way that a write cut short does not "
                         "explain");
    }
    return false;
}

/* Looks at the end of the last segment: nothing, a torn record, or what must not be. */
static bool judge_end(struct reading *reading)
{
    struct window *window = &reading->window;
    struct log_record record;
    struct log_tail tail = {0};
    if (reading->offset == window->size) {
        return true;
    }
    const uint8_t *data = window_at(window, reading->offset, LOG_BLOCK);
    if (data == NULL) {
        return false;
    }
    tail.header_sector_zero = log_all_zero(data, LOG_SECTOR);
    const struct log_state *state = &reading->recovery->state;
    if (log_record_decode(data, reading->segment->incarnation, &record)) {
        uint64_t extent = log_record_extent(record.size);
        tail.header_good = true;
        tail.misplaced = record.sequence != state->sequence || record.previous != state->chain ||
                         record.confirmed >= record.sequence ||
                         extent > window->size - reading->offset;
        if (!tail.misplaced) {
            data = window_at(window, reading->offset, extent);
            if (data == NULL) {
                return false;
            }
            tail.zero_recorded = record.zero_sectors;
            tail.zero_found = log_zero_sectors(data, extent);
        }
    }
    return judge(reading, &tail);
}

/* ---- records ---- */

void log_segments_cut(struct log_segment *segments, size_t count, uint64_t index)
{
    for (size_t i = 0; i < count; i++) {
        if (segments[i].max_index > index) {
            segments[i].max_index = index;
        }
    }
}

/* An item has followed: what it means for the index and for what each segment holds. */
static void note_item(struct log_recovery *recovery, const struct log_item *item,
                      const struct log_place *place)
{
    struct log_segment *segment = &recovery->segments[recovery->count - 1];
    switch (item->type) {
    case LOG_ENTRY:
        segment->max_index = item->index;
        if (recovery->index) {
            log_index_add(recovery->index, item->index, place);
        }
        break;
    case LOG_TRUNCATE:
    case LOG_RESTART: {
        uint64_t keep = item->type == LOG_RESTART ? 0 : item->index;
        log_segments_cut(recovery->segments, recovery->count, keep);
        if (recovery->index) {
            log_index_cut(recovery->index, keep);
        }
        break;
    }
    case LOG_VOTE: break;
    }
    if (recovery->recovered) {
        recovery->recovered(recovery->context, item);
    }
}

static bool read_items(struct reading *reading, const uint8_t *data,
                       const struct log_record *record)
{
    struct log_recovery *recovery = reading->recovery;
    struct reader reader;
    struct log_item item;
    reader_init(&reader, slice_of(data + LOG_RECORD_HEADER, record->size));
    while (true) {
        size_t at = (size_t)(reader.at - data);
        if (!log_item_next(&reader, &item)) {
            break;
        }
        if (!log_state_follow(&recovery->state, &item)) {
            return corrupted(&reading->window, reading->offset + at,
                             "an item contradicts those before it");
        }
        struct log_place place = {.term = item.term,
                                  .sequence = record->sequence,
                                  .offset = (uint32_t)at,
                                  .size = (uint32_t)item.payload.size};
        note_item(recovery, &item, &place);
    }
    return !reader.failed || corrupted(&reading->window, reading->offset,
                                       "the record holds an item of an unknown kind");
}

/* The record at reading->offset when it is valid, in *data; else *data is NULL. */
static bool find_record(struct reading *reading, struct log_record *record, const uint8_t **data)
{
    struct window *window = &reading->window;
    const struct log_state *state = &reading->recovery->state;
    *data = NULL;
    if (reading->offset == window->size) {
        return true;
    }
    const uint8_t *block = window_at(window, reading->offset, LOG_BLOCK);
    if (block == NULL) {
        return false;
    }
    if (!log_record_decode(block, reading->segment->incarnation, record) ||
        record->sequence != state->sequence || record->previous != state->chain ||
        record->confirmed >= record->sequence ||
        log_record_extent(record->size) > window->size - reading->offset) {
        return true;
    }
    const uint8_t *whole = window_at(window, reading->offset, log_record_extent(record->size));
    if (whole != NULL && log_record_intact(whole, record)) {
        *data = whole;
    }
    return whole != NULL;
}

static bool read_records(struct reading *reading)
{
    struct log_recovery *recovery = reading->recovery;
    struct log_record record;
    const uint8_t *data;
    while (find_record(reading, &record, &data)) {
        if (data == NULL) {
            return true;
        }
        bool seal = record.kind == LOG_RECORD_SEAL && record.size == 0;
        if (!seal && (record.kind != LOG_RECORD_ITEMS || record.size == 0)) {
            return corrupted(&reading->window, reading->offset, "a record of an unknown kind");
        }
        if (!read_items(reading, data, &record)) {
            return false;
        }
        if (recovery->index) {
            struct log_spot spot = {reading->segment->ordinal, reading->offset};
            log_index_record(recovery->index, record.sequence, spot);
        }
        reading->segment->last_sequence = record.sequence;
        recovery->state.sequence = record.sequence + 1;
        recovery->state.chain = record.checksum;
        reading->offset += log_record_extent(record.size);
    }
    return false;
}

/* ---- segments ---- */

static bool same_state(const struct log_state *a, const struct log_state *b)
{
    return a->sequence == b->sequence && a->chain == b->chain && a->term == b->term &&
           a->vote == b->vote && a->next_index == b->next_index;
}

/* Does a segment begin where the one before it ended? `before`: its reading, NULL: none. */
static bool check_start(struct reading *reading, const struct log_segment_header *header,
                        const struct reading *before)
{
    struct log_recovery *recovery = reading->recovery;
    if (before == NULL) {
        recovery->state = header->start;
        return (header->start.sequence > 0 && header->start.next_index > 0) ||
               corrupted(&reading->window, 0, "the segment's header is not possible");
    }
    if (header->start.sequence > recovery->state.sequence) {
        return gap(before, before->offset, header->start.sequence);
    }
    return same_state(&header->start, &recovery->state) ||
           corrupted(&reading->window, 0, "the segment does not continue the one before it");
}

/* The oldest segment's header stands for all votes before it. */
static void hand_on_vote(const struct log_recovery *recovery)
{
    if (recovery->recovered && recovery->state.term > 0) {
        struct log_item vote = {
            .type = LOG_VOTE, .term = recovery->state.term, .index = recovery->state.vote};
        recovery->recovered(recovery->context, &vote);
    }
}

static struct log_segment describe(const struct log_segment_header *header)
{
    return (struct log_segment){.ordinal = header->ordinal,
                                .incarnation = header->incarnation,
                                .size_bytes = header->size_bytes,
                                .flags = header->flags};
}

/* A segment that was never begun must hold nothing of its own. */
static bool read_prepared(struct reading *reading, const struct log_segment_header *header)
{
    struct log_recovery *recovery = reading->recovery;
    struct window *window = &reading->window;
    recovery->prepared = true;
    recovery->next = describe(header);
    for (uint64_t at = LOG_BLOCK; at < window->size; at += LOG_BLOCK) {
        struct log_record found;
        const uint8_t *block = window_at(window, at, LOG_BLOCK);
        if (block == NULL) {
            return false;
        }
        if (log_record_decode(block, header->incarnation, &found)) {
            return corrupted(window, at,
                             "there are records here, but the segment's header says "
                             "that it was never begun");
        }
    }
    return true;
}

static bool read_used(struct reading *reading, const struct log_segment_header *header,
                      const struct reading *before)
{
    struct log_recovery *recovery = reading->recovery;
    if (!check_start(reading, header, before)) {
        return false;
    }
    if (before == NULL) {
        hand_on_vote(recovery);
    }
    recovery->segments =
        mem_realloc(recovery->segments, recovery->count + 1, sizeof *recovery->segments);
    reading->segment = &recovery->segments[recovery->count++];
    *reading->segment = describe(header);
    reading->offset = LOG_BLOCK;
    return read_records(reading);
}

/*
 * Reads one segment. The one before stays open meanwhile: where this one begins decides what the
 * end of that one means. `last` takes its place.
 */
static bool read_segment(struct log_recovery *recovery, uint64_t ordinal, struct reading *last,
                         bool *any)
{
    struct reading reading = {.recovery = recovery};
    struct log_segment_header header;
    if (!window_open(&reading.window, recovery->dir, ordinal, recovery->error)) {
        return false;
    }
    bool good = read_header(&reading.window, ordinal, &header);
    if (good && recovery->prepared) {
        good = corrupted(&reading.window, 0, "the segment before this one was never begun");
    }
    if (good && !(header.flags & LOG_SEGMENT_USED)) {
        good = read_prepared(&reading, &header);
        window_close(&reading.window);
        return good;
    }
    good = good && read_used(&reading, &header, *any ? last : NULL);
    if (!good) {
        window_close(&reading.window);
        return false;
    }
    if (*any) {
        window_close(&last->window);
    }
    *last = reading;
    *any = true;
    return true;
}

static bool check_numbers(const struct log_recovery *recovery, const struct log_names *names)
{
    for (size_t i = 1; i < names->count; i++) {
        if (names->numbers[i] != names->numbers[i - 1] + 1) {
            char path[LOG_PATH_BYTES];
            log_dir_file(recovery->dir, path, names->numbers[i - 1] + 1, "segment");
            return log_error_set(recovery->error, LOG_CORRUPTED, "%.600s is missing. " ADVICE,
                                 path);
        }
    }
    return true;
}

bool log_recover(struct log_recovery *recovery, const struct log_names *names)
{
    struct reading last;
    bool any = false;
    recovery->state = (struct log_state){.sequence = 1, .next_index = 1};
    bool good = check_numbers(recovery, names);
    for (size_t i = 0; good && i < names->count; i++) {
        good = read_segment(recovery, names->numbers[i], &last, &any);
    }
    if (any) {
        /* The array may have moved since. */
        last.segment = &recovery->segments[recovery->count - 1];
        good = good && judge_end(&last);
        window_close(&last.window);
    }
    return good;
}
