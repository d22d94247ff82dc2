/*
 * Fetching and serving snapshots. See transfer.h.
 *
 * Happy path: begin pulls the first piece, which says how large the whole is; each piece is written
 * and the next one pulled; at the end the store verifies all of it.
 *
 * Failure modes: pieces that do not come are pulled again, from whoever leads by then; a whole that
 * turns out to be damaged is fetched again, a few times; a disk without room is tried again after a
 * while. A failed disk, or a format that this build does not know, is final.
 */
#include "broker/journal/transfer.h"

#include "broker/journal/replica.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define TRANSFER_VERSION 1

/* count: damaged copies in a row until it must be the original that is damaged */
#define ATTEMPTS_MAX 3

struct transfer {
    struct transfer_options options;
    struct log_error error;

    /* fetching */
    uint64_t node, index; /* index 0: nothing is wanted */
    uint64_t total;       /* bytes; 0: not known yet */
    uint64_t asked;       /* bytes: pulled up to here */
    uint64_t again_ms;    /* when to pull again what did not come */
    unsigned attempts;

    /* serving */
    uint64_t held;    /* index of the snapshot that is kept for somebody; 0: none */
    uint64_t free_ms; /* when it need not be kept any more */

    struct buf out;
};

struct transfer *transfer_new(const struct transfer_options *options)
{
    struct transfer *transfer = mem_zalloc(1, sizeof *transfer);
    transfer->options = *options;
    return transfer;
}

void transfer_destroy(struct transfer **transfer)
{
    if (*transfer) {
        buf_fini(&(*transfer)->out);
        free(*transfer);
        *transfer = NULL;
    }
}

const struct log_error *transfer_error(const struct transfer *transfer)
{
    return &transfer->error;
}

static void send_out(struct transfer *transfer, uint64_t node)
{
    transfer->options.send(transfer->options.context, node, buf_view(&transfer->out));
}

/* ---- fetching ------------------------------------------------------------------------------- */

static uint64_t received(const struct transfer *transfer)
{
    return transfer->total > 0 ? snapshots_received(transfer->options.snapshots) : 0;
}

static void pull(struct transfer *transfer)
{
    buf_clear(&transfer->out);
    buf_u8(&transfer->out, PEER_BYTES_PULL);
    buf_u8(&transfer->out, TRANSFER_VERSION);
    buf_u64(&transfer->out, transfer->index);
    buf_u64(&transfer->out, transfer->asked);
    send_out(transfer, transfer->node);
    transfer->asked += LIMIT_SNAPSHOT_PIECE_BYTES;
}

/* Keeps a few pulls under way; before the size is known, one. */
static void pull_more(struct transfer *transfer)
{
    uint64_t have = received(transfer);
    uint64_t window = transfer->total > 0 ? LIMIT_SNAPSHOT_PULLS : 1;
    uint64_t end = have + window * LIMIT_SNAPSHOT_PIECE_BYTES;
    end = transfer->total > 0 && transfer->total < end ? transfer->total : end;
    while (transfer->asked < end) {
        pull(transfer);
    }
}

static void pull_again(struct transfer *transfer, uint64_t now_ms)
{
    transfer->asked = received(transfer);
    transfer->again_ms = now_ms + LIMIT_SNAPSHOT_PULL_MS;
    pull_more(transfer);
}

void transfer_begin(struct transfer *transfer, uint64_t now_ms, uint64_t node, uint64_t index)
{
    STEWARD_ASSERT(index > 0);
    if (transfer->index != index) {
        transfer->total = 0;
        transfer->attempts = 0;
    }
    transfer->index = index;
    transfer->node = node;
    pull_again(transfer, now_ms);
}

void transfer_stop(struct transfer *transfer)
{
    transfer->again_ms = UINT64_MAX;
    transfer->node = 0;
}

static void finish(struct transfer *transfer)
{
    transfer->index = transfer->total = transfer->asked = 0;
    transfer->node = 0;
}

static enum transfer_event fail(struct transfer *transfer, const struct log_error *error)
{
    transfer->error = *error;
    finish(transfer);
    return TRANSFER_FAILED;
}

/* What came is dropped: from the beginning, later when there was no room. */
static enum transfer_event anew(struct transfer *transfer, uint64_t now_ms,
                                const struct log_error *error)
{
    transfer->attempts += error->trouble == LOG_CORRUPTED;
    if ((error->trouble != LOG_CORRUPTED && error->trouble != LOG_NO_ROOM) ||
        transfer->attempts == ATTEMPTS_MAX) {
        return fail(transfer, error);
    }
    transfer->total = 0;
    if (error->trouble == LOG_NO_ROOM) {
        transfer->again_ms = now_ms + LIMIT_SNAPSHOT_RETRY_MS;
    } else {
        pull_again(transfer, now_ms);
    }
    return TRANSFER_NOTHING;
}

/* All pieces are there. */
static enum transfer_event end(struct transfer *transfer, uint64_t now_ms)
{
    struct log_error error;
    if (snapshots_receive_end(transfer->options.snapshots, &error)) {
        finish(transfer);
        return TRANSFER_DONE;
    }
    return anew(transfer, now_ms, &error);
}

/* The first piece says how large the whole is. false: not now; *event says what comes of it. */
static bool begin_whole(struct transfer *transfer, uint64_t now_ms, uint64_t total,
                        enum transfer_event *event)
{
    struct log_error error;
    if (transfer->total == total) {
        return true;
    }
    if (snapshots_receive_begin(transfer->options.snapshots, transfer->index, total, &error)) {
        transfer->total = total;
        return true;
    }
    *event = error.trouble == LOG_IO_FAILED ? fail(transfer, &error) : TRANSFER_NOTHING;
    transfer->again_ms = now_ms + LIMIT_SNAPSHOT_RETRY_MS;
    return false;
}

struct piece {
    uint64_t index, total, offset;
    struct slice bytes;
};

static enum transfer_event take_piece(struct transfer *transfer, uint64_t now_ms,
                                      const struct piece *piece)
{
    struct snapshots *snapshots = transfer->options.snapshots;
    enum transfer_event event = TRANSFER_NOTHING;
    struct log_error error;
    if (piece->total == 0) {
        finish(transfer);
        return TRANSFER_GONE;
    }
    if (!begin_whole(transfer, now_ms, piece->total, &event)) {
        return event;
    }
    uint64_t before = snapshots_received(snapshots);
    if (!snapshots_receive(snapshots, piece->offset, piece->bytes, &error)) {
        return anew(transfer, now_ms, &error);
    }
    if (snapshots_received(snapshots) == transfer->total) {
        return end(transfer, now_ms);
    }
    if (snapshots_received(snapshots) > before) {
        transfer->again_ms = now_ms + LIMIT_SNAPSHOT_PULL_MS;
    }
    pull_more(transfer);
    return TRANSFER_NOTHING;
}

static enum transfer_event receive_piece(struct transfer *transfer, uint64_t now_ms, uint64_t from,
                                         struct reader *reader, const char **why)
{
    struct piece piece = {.index = reader_u64(reader)};
    piece.total = reader_u64(reader);
    piece.offset = reader_u64(reader);
    piece.bytes = reader_raw(reader, (size_t)(reader->end - reader->at));
    if (!reader_done(reader) || piece.bytes.size > LIMIT_SNAPSHOT_PIECE_BYTES ||
        piece.offset > piece.total || piece.bytes.size > piece.total - piece.offset ||
        (piece.total > 0) != (piece.bytes.size > 0)) {
        *why = "a piece of a snapshot that makes no sense";
    } else if (transfer->index == 0 || piece.index != transfer->index || from != transfer->node) {
        *why = "a piece of a snapshot that nobody wants";
    } else {
        return take_piece(transfer, now_ms, &piece);
    }
    return TRANSFER_NOTHING;
}

/* ---- serving -------------------------------------------------------------------------------- */

static void keep(struct transfer *transfer, uint64_t now_ms, uint64_t index)
{
    if (transfer->held == 0 || transfer->held == index) {
        snapshots_hold(transfer->options.snapshots, index);
        transfer->held = index;
        transfer->free_ms = now_ms + LIMIT_SNAPSHOT_HOLD_MS;
    }
}

/* Adds the bytes from `offset` on. false: there are none. */
static bool add_bytes(struct transfer *transfer, uint64_t index, uint64_t offset, uint64_t total)
{
    uint64_t size = total - offset;
    size = size < LIMIT_SNAPSHOT_PIECE_BYTES ? size : LIMIT_SNAPSHOT_PIECE_BYTES;
    uint8_t *bytes = buf_reserve(&transfer->out, (size_t)size);
    int64_t got = snapshots_read(transfer->options.snapshots, index, offset, bytes, (size_t)size);
    if (got <= 0) {
        return false;
    }
    transfer->out.size += (size_t)got;
    return true;
}

static void serve(struct transfer *transfer, uint64_t now_ms, uint64_t node, struct reader *reader,
                  const char **why)
{
    uint64_t index = reader_u64(reader), offset = reader_u64(reader), total = 0;
    if (!reader_done(reader) || index == 0) {
        *why = "a request for a snapshot that makes no sense";
        return;
    }
    bool there = snapshots_size(transfer->options.snapshots, index, &total);
    if (there && offset >= total) {
        *why = "a request for what lies behind a snapshot";
        return;
    }
    buf_clear(&transfer->out);
    buf_u8(&transfer->out, PEER_BYTES_PIECE);
    buf_u8(&transfer->out, TRANSFER_VERSION);
    buf_u64(&transfer->out, index);
    buf_u64(&transfer->out, there ? total : 0);
    buf_u64(&transfer->out, there ? offset : 0);
    if (there) {
        keep(transfer, now_ms, index);
        if (!add_bytes(transfer, index, offset, total)) {
            *why = "a snapshot that cannot be read";
            return; /* asked again, and looked at again */
        }
    }
    send_out(transfer, node);
}

/* ---- both ----------------------------------------------------------------------------------- */

enum transfer_event transfer_receive(struct transfer *transfer, uint64_t now_ms, uint64_t from,
                                     struct slice bytes, const char **why)
{
    struct reader reader;
    reader_init(&reader, bytes);
    uint8_t kind = reader_u8(&reader);
    *why = NULL;
    if (reader_u8(&reader) != TRANSFER_VERSION || transfer->error.trouble != LOG_FINE) {
        *why = "about a snapshot, in a version that this build does not know";
    } else if (kind == PEER_BYTES_PIECE) {
        return receive_piece(transfer, now_ms, from, &reader, why);
    } else {
        STEWARD_ASSERT(kind == PEER_BYTES_PULL);
        serve(transfer, now_ms, from, &reader, why);
    }
    return TRANSFER_NOTHING;
}

static bool fetching(const struct transfer *transfer)
{
    return transfer->index > 0 && transfer->node > 0;
}

uint64_t transfer_deadline(const struct transfer *transfer)
{
    uint64_t again = fetching(transfer) ? transfer->again_ms : UINT64_MAX;
    uint64_t release = transfer->held ? transfer->free_ms : UINT64_MAX;
    return again < release ? again : release;
}

void transfer_tick(struct transfer *transfer, uint64_t now_ms, uint64_t leader)
{
    if (transfer->held && transfer->free_ms <= now_ms) {
        snapshots_hold(transfer->options.snapshots, 0);
        transfer->held = 0;
    }
    if (fetching(transfer) && transfer->again_ms <= now_ms) {
        transfer->node = leader ? leader : transfer->node;
        pull_again(transfer, now_ms);
    }
}

uint64_t transfer_held(const struct transfer *transfer)
{
    return transfer->held;
}

void transfer_progress(const struct transfer *transfer, uint64_t *have, uint64_t *total)
{
    *have = received(transfer);
    *total = transfer->total;
}
