/*
 * Writing a snapshot's file. See snapshots_out.h.
 *
 * Failure modes: the first failure is kept, nothing is tried again, nothing more is written. A
 * short write is one. On a file system without O_DIRECT what was written is synced every few MiB:
 * one sync of a GB at the end holds up the log beside it for a tenth of a second.
 */
#include "broker/journal/snapshots_out.h"

#include "common/base/panic.h"

#include <errno.h>
#include <stdlib.h>

/* bytes: written between two syncs where writes go through the page cache */
#define SYNC_BYTES (8ULL * 1024 * 1024)

/* bytes: given back at once; 64 MiB at once hold up the log for 15 to 19 ms */
#define SHRINK_BYTES (4ULL * 1024 * 1024)
#define SHRINK_PAUSE 2000 /* microseconds: between two of them */

/* bytes: of the core's state on its way into blocks */
#define WINDOW_BYTES ((size_t)64 * 1024)

static void fail(struct snapshots_out *out, int64_t status, const char *verb)
{
    if (out->trouble.status == 0) {
        out->trouble = (struct snapshots_trouble){.status = status, .verb = verb};
    }
}

static bool failed(const struct snapshots_out *out)
{
    return out->trouble.status != 0;
}

void snapshots_out_open(struct snapshots_out *out, const char *path, uint64_t expected)
{
    const struct log_io *io = out->io;
    int how = LOG_OPEN_WRITE | LOG_OPEN_CREATE;
    out->block = aligned_alloc(SNAPSHOT_ALIGN, SNAPSHOT_BLOCK);
    STEWARD_ASSERT(out->block != NULL);
    out->offset = SNAPSHOT_ALIGN; /* the header comes last */
    out->file = io->open(io->context, path, how | LOG_OPEN_DIRECT);
    out->direct = out->file >= 0;
    if (out->file == -EINVAL) {
        out->file = io->open(io->context, path, how);
    }
    if (out->file < 0) {
        fail(out, out->file, "open");
        out->file = -1;
        return;
    }
    int status = expected > 0 ? io->allocate(io->context, out->file, expected) : 0;
    out->full = status == -ENOSPC;
    if (status < 0 && !out->full) {
        fail(out, status, "allocate");
    }
}

static void sync_now(struct snapshots_out *out)
{
    int status = out->io->sync(out->io->context, out->file);
    if (status < 0) {
        fail(out, status, "sync");
    }
    out->unsynced = 0;
}

static void write_at(struct snapshots_out *out, const void *data, size_t size, uint64_t offset)
{
    if (failed(out)) {
        return;
    }
    int64_t written = out->io->write(out->io->context, out->file, data, size, offset);
    if (written != (int64_t)size) {
        /* A disk that takes only a part is full, or near it. */
        fail(out, written < 0 ? written : -ENOSPC, "write");
        return;
    }
    out->unsynced += size;
    if (!out->direct && out->unsynced >= SYNC_BYTES) {
        sync_now(out);
    }
}

size_t snapshots_out_fill(struct snapshots_out *out, const void *data, size_t size)
{
    size_t room = SNAPSHOT_BLOCK - out->used;
    size_t taken = size < room ? size : room;
    if (taken > 0) {
        memcpy(out->block + out->used, data, taken);
        out->used += taken;
    }
    return taken;
}

static void pad(struct snapshots_out *out)
{
    size_t end = (out->used + SNAPSHOT_ALIGN - 1) / SNAPSHOT_ALIGN * SNAPSHOT_ALIGN;
    memset(out->block + out->used, 0, end - out->used);
    out->used = end;
}

void snapshots_out_plain(struct snapshots_out *out)
{
    pad(out);
    write_at(out, out->block, out->used, out->offset);
    out->offset += out->used;
    out->used = 0;
    if (out->pace && !failed(out)) {
        out->pace(out->context, out->offset);
    }
}

void snapshots_out_state(struct snapshots_out *out)
{
    pad(out);
    buf_u64(&out->sums, snapshot_block_sum(out->block, out->used));
    snapshots_out_plain(out);
}

int snapshots_shrink(const struct log_io *io, int file, uint64_t size)
{
    int64_t now = io->size(io->context, file);
    if (now < 0 || io->shrink == NULL) {
        return now < 0 ? (int)now : 0;
    }
    for (uint64_t at = (uint64_t)now; at > size;) {
        at = at - size > SHRINK_BYTES ? at - SHRINK_BYTES : size;
        int status = io->shrink(io->context, file, at);
        if (status < 0) {
            return status;
        }
        if (at > size) {
            io->pause(io->context, SHRINK_PAUSE);
        }
    }
    return 0;
}

void snapshots_out_end(struct snapshots_out *out, const uint8_t header[SNAPSHOT_ALIGN])
{
    STEWARD_ASSERT(out->used == 0);
    memcpy(out->block, header, SNAPSHOT_ALIGN);
    write_at(out, out->block, SNAPSHOT_ALIGN, 0);
    if (!failed(out)) {
        int status = snapshots_shrink(out->io, out->file, out->offset);
        if (status < 0) {
            fail(out, status, "shorten");
        }
    }
    if (!failed(out)) {
        sync_now(out);
    }
    if (out->file >= 0) {
        out->io->close(out->io->context, out->file);
        out->file = -1;
    }
}

void snapshots_out_add(struct snapshots_out *out, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0 && !failed(out)) {
        size_t taken = snapshots_out_fill(out, at, size);
        at += taken;
        size -= taken;
        if (out->used == SNAPSHOT_BLOCK) {
            snapshots_out_state(out);
        }
    }
}

void snapshots_out_finish(struct snapshots_out *out, const struct snapshot_mark *mark,
                          uint64_t bytes)
{
    struct snapshot_mark whole = *mark;
    struct snapshot_shape shape = snapshot_shape(bytes);
    uint8_t header[SNAPSHOT_ALIGN];
    if (failed(out)) {
        return;
    }
    whole.bytes = bytes;
    if (out->used > 0) {
        snapshots_out_state(out);
    }
    size_t table = (size_t)shape.table;
    STEWARD_ASSERT(out->sums.size == shape.blocks * 8);
    memset(buf_reserve(&out->sums, table - out->sums.size), 0, table - out->sums.size);
    out->sums.size = table;
    for (size_t at = 0; at < table;) {
        at += snapshots_out_fill(out, out->sums.data + at, table - at);
        snapshots_out_plain(out);
    }
    STEWARD_ASSERT(failed(out) || out->offset == shape.file);
    snapshot_header_encode(&whole, snapshot_table_sum(out->sums.data, table, bytes), header);
    snapshots_out_end(out, header);
}

void snapshots_out_fini(struct snapshots_out *out)
{
    if (out->file >= 0 && out->block != NULL) {
        out->io->close(out->io->context, out->file);
    }
    out->file = -1;
    free(out->block);
    out->block = NULL;
    buf_fini(&out->sums);
}

/* ---- the core ---- */

struct pouring {
    struct snapshots_out *out;
    uint64_t bytes;
};

static void pour(void *context, struct buf *buf)
{
    struct pouring *pouring = context;
    pouring->bytes += buf->size;
    snapshots_out_add(pouring->out, buf->data, buf->size);
    buf_clear(buf);
}

uint64_t snapshots_out_core(struct snapshots_out *out, const struct core *core)
{
    struct pouring pouring = {.out = out};
    struct buf window = {.spill = pour, .spill_bytes = WINDOW_BYTES, .spill_context = &pouring};
    core_snapshot(core, &window);
    pour(&pouring, &window);
    buf_fini(&window);
    return pouring.bytes;
}
