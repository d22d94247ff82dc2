/*
 * Receiving another node's snapshot, piece by piece. See snapshots.h.
 *
 * Happy path: the header is kept in memory, the state's blocks are hashed as they are written, the
 * table that follows is compared with what was computed, and the header is written last.
 * Failure modes: what does not fit the header or the checksums is LOG_CORRUPTED and dropped; the
 * file stays and its blocks serve the next one. On close: likewise.
 */
#include "broker/journal/snapshots_parts.h"

#include "common/base/panic.h"

#include <inttypes.h>

static bool refuse(struct snapshots *snapshots, struct log_error *error, enum log_trouble trouble,
                   const char *why)
{
    log_error_set(error, trouble, "%.700s: the snapshot of index %" PRIu64 " from another node: %s",
                  snapshots->directory, snapshots->receiving.index, why);
    snapshots_receive_cancel(snapshots);
    return false;
}

static bool io_failed(struct snapshots *snapshots, const struct snapshots_trouble *trouble,
                      struct log_error *error)
{
    snapshots_failed(snapshots, trouble, SNAPSHOTS_RECEIVING, error);
    snapshots_receive_cancel(snapshots);
    return false;
}

/* The file to write to: what an unfinished transfer left, or what is not needed any more. */
static struct snapshots_trouble prepare(struct snapshots *snapshots)
{
    const struct log_io *io = snapshots->io;
    struct snapshots_trouble trouble = {.status = 0};
    char path[LOG_PATH_BYTES];
    snapshots_path(snapshots, path, SNAPSHOTS_RECEIVING);
    if (snapshots->received && io->shrink == NULL) {
        io->remove(io->context, path);
    } else if (!snapshots->received) {
        uint64_t index = snapshots_give_up(snapshots);
        if (index > 0) {
            trouble = snapshots_reuse(snapshots, index, SNAPSHOTS_RECEIVING);
        }
    }
    snapshots->received = true;
    return trouble;
}

bool snapshots_receive_begin(struct snapshots *snapshots, uint64_t index, uint64_t bytes,
                             struct log_error *error)
{
    struct receiving *receiving = &snapshots->receiving;
    char path[LOG_PATH_BYTES];
    snapshots_receive_cancel(snapshots);
    *receiving = (struct receiving){.index = index, .bytes = bytes, .out = {.io = snapshots->io}};
    if (index == 0 || !snapshot_size_possible(bytes)) {
        return refuse(snapshots, error, LOG_CORRUPTED, "it cannot have that size");
    }
    struct snapshots_trouble trouble = prepare(snapshots);
    if (trouble.status == 0) {
        snapshots_path(snapshots, path, SNAPSHOTS_RECEIVING);
        snapshots_out_open(&receiving->out, path, bytes);
        trouble = receiving->out.trouble;
    }
    if (trouble.status != 0) {
        return io_failed(snapshots, &trouble, error);
    }
    if (receiving->out.full) {
        return refuse(snapshots, error, LOG_NO_ROOM, "the disk is too full for it");
    }
    receiving->active = true;
    return true;
}

uint64_t snapshots_received(const struct snapshots *snapshots)
{
    return snapshots->receiving.active ? snapshots->receiving.got : 0;
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* NULL; or what is wrong with the header. */
static const char *take_header(struct receiving *receiving, bool *newer)
{
    const char *wrong =
        snapshot_header_decode(receiving->header, &receiving->mark, &receiving->table_sum, newer);
    if (wrong) {
        return wrong;
    }
    receiving->shape = snapshot_shape(receiving->mark.bytes);
    bool right =
        receiving->mark.at.index == receiving->index && receiving->shape.file == receiving->bytes;
    return right ? NULL : "its header tells of another one";
}

/* The bytes of the table that came are compared with those that were computed. */
static void compare_table(struct receiving *receiving, const uint8_t *data, size_t size)
{
    const struct buf *sums = &receiving->out.sums;
    uint64_t at = receiving->got - SNAPSHOT_ALIGN - receiving->shape.state;
    for (size_t i = 0; i < size; i++, at++) {
        uint8_t expected = at < sums->size ? sums->data[at] : 0;
        receiving->differs = receiving->differs || data[i] != expected;
    }
}

/* Of the state or the table, whichever is due; returns how many bytes it took. */
static size_t take_body(struct receiving *receiving, const uint8_t *data, size_t size)
{
    struct snapshots_out *out = &receiving->out;
    uint64_t state_end = SNAPSHOT_ALIGN + receiving->shape.state;
    bool state = receiving->got < state_end;
    uint64_t end = state ? state_end : receiving->shape.file;
    uint64_t left = end - receiving->got;
    size_t taken = snapshots_out_fill(out, data, size < left ? size : (size_t)left);
    if (!state) {
        compare_table(receiving, data, taken);
    }
    if (out->used == SNAPSHOT_BLOCK || taken == left) {
        if (state) {
            snapshots_out_state(out);
        } else {
            snapshots_out_plain(out);
        }
    }
    return taken;
}

static size_t take_bytes(struct receiving *receiving, const uint8_t *data, size_t size)
{
    if (receiving->got >= SNAPSHOT_ALIGN) {
        return take_body(receiving, data, size);
    }
    size_t left = (size_t)(SNAPSHOT_ALIGN - receiving->got);
    size_t taken = size < left ? size : left;
    memcpy(receiving->header + receiving->got, data, taken);
    return taken;
}

bool snapshots_receive(struct snapshots *snapshots, uint64_t offset, struct slice piece,
                       struct log_error *error)
{
    struct receiving *receiving = &snapshots->receiving;
    if (!receiving->active || offset != receiving->got) {
        return true;
    }
    if (piece.size > receiving->bytes - receiving->got) {
        return refuse(snapshots, error, LOG_CORRUPTED, "more came than was announced");
    }
    for (size_t at = 0; at < piece.size;) {
        size_t taken = take_bytes(receiving, piece.data + at, piece.size - at);
        at += taken;
        receiving->got += taken;
        if (receiving->got == SNAPSHOT_ALIGN) {
            bool newer = false;
            const char *wrong = take_header(receiving, &newer);
            if (wrong) {
                return refuse(snapshots, error, newer ? LOG_NEWER : LOG_CORRUPTED, wrong);
            }
        }
        if (receiving->out.trouble.status != 0) {
            struct snapshots_trouble trouble = receiving->out.trouble;
            return io_failed(snapshots, &trouble, error);
        }
    }
    return true;
}

static bool all_right(const struct receiving *receiving)
{
    if (receiving->got < receiving->bytes || receiving->differs) {
        return false;
    }
    /* The table is what was computed, so its sum over what was computed must be the header's. */
    uint64_t table = receiving->shape.table;
    struct buf padded = {0};
    buf_add(&padded, receiving->out.sums.data, receiving->out.sums.size);
    memset(buf_reserve(&padded, (size_t)table - padded.size), 0, (size_t)table - padded.size);
    uint64_t sum = snapshot_table_sum(padded.data, table, receiving->mark.bytes);
    buf_fini(&padded);
    return sum == receiving->table_sum;
}

bool snapshots_receive_end(struct snapshots *snapshots, struct log_error *error)
{
    struct receiving *receiving = &snapshots->receiving;
    if (!receiving->active) {
        return log_error_set(error, LOG_CORRUPTED, "%.700s: no snapshot is being received",
                             snapshots->directory);
    }
    if (!all_right(receiving)) {
        return refuse(snapshots, error, LOG_CORRUPTED, "it did not arrive whole");
    }
    snapshots_out_end(&receiving->out, receiving->header);
    struct snapshots_trouble trouble = receiving->out.trouble;
    if (trouble.status == 0) {
        trouble = snapshots_rename(snapshots, SNAPSHOTS_RECEIVING, receiving->index);
    }
    if (trouble.status == 0) {
        trouble = snapshots_sync(snapshots);
    }
    if (trouble.status != 0) {
        return io_failed(snapshots, &trouble, error);
    }
    struct kept kept = {.mark = receiving->mark};
    snapshots->received = false;
    snapshots_add(snapshots, &kept);
    snapshots_receive_cancel(snapshots);
    return true;
}

void snapshots_receive_cancel(struct snapshots *snapshots)
{
    struct receiving *receiving = &snapshots->receiving;
    snapshots_out_fini(&receiving->out);
    receiving->active = false;
    receiving->got = 0;
}
