/*
 * Reading a snapshot's file. See snapshots_file.h.
 *
 * Failure modes: a file that is not what was written is LOG_CORRUPTED, with the place; what the
 * disk refuses is LOG_IO_FAILED. Nothing is changed.
 */
#include "broker/journal/snapshots_file.h"

#include "broker/journal/log_dir.h"
#include "broker/journal/snapshots_out.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static bool damaged(struct snapshot_file *file, uint64_t from, uint64_t to)
{
    return log_error_set(file->error, LOG_CORRUPTED,
                         "%.700s: bytes %" PRIu64 " to %" PRIu64 " are not what was written",
                         file->path, from, to - 1);
}

/* All of it, or false. */
static bool read_at(struct snapshot_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = file->io->read(file->io->context, file->file, out, size, offset);
    if (got < 0) {
        return log_error_io(file->error, file->path, "read", got);
    }
    return got == (int64_t)size || damaged(file, offset + (uint64_t)got, offset + size);
}

static bool read_header(struct snapshot_file *file, uint64_t *table_sum)
{
    uint8_t header[SNAPSHOT_ALIGN];
    bool newer;
    int64_t size = file->io->size(file->io->context, file->file);
    if (size < 0) {
        return log_error_io(file->error, file->path, "read the size of", size);
    }
    if (size < SNAPSHOT_ALIGN) {
        return log_error_set(file->error, LOG_CORRUPTED, "%.700s: too short for a snapshot",
                             file->path);
    }
    if (!read_at(file, header, sizeof header, 0)) {
        return false;
    }
    const char *wrong = snapshot_header_decode(header, &file->mark, table_sum, &newer);
    if (wrong) {
        return log_error_set(file->error, newer ? LOG_NEWER : LOG_CORRUPTED, "%.700s: %s",
                             file->path, wrong);
    }
    file->shape = snapshot_shape(file->mark.bytes);
    if ((uint64_t)size != file->shape.file) {
        return log_error_set(file->error, LOG_CORRUPTED,
                             "%.700s has %" PRIi64 " bytes, its header says %" PRIu64, file->path,
                             size, file->shape.file);
    }
    return true;
}

static bool read_table(struct snapshot_file *file, uint64_t table_sum)
{
    uint64_t at = SNAPSHOT_ALIGN + file->shape.state;
    file->table = mem_alloc((size_t)file->shape.table);
    if (!read_at(file, file->table, (size_t)file->shape.table, at)) {
        return false;
    }
    return snapshot_table_sum(file->table, file->shape.table, file->mark.bytes) == table_sum ||
           damaged(file, at, file->shape.file);
}

bool snapshot_file_open(struct snapshot_file *file, const struct log_io *io, const char *path,
                        struct log_error *error)
{
    uint64_t table_sum;
    *file = (struct snapshot_file){.io = io, .path = path, .error = error};
    file->file = io->open(io->context, path, 0);
    if (file->file < 0) {
        return log_error_io(error, path, "open", file->file);
    }
    if (!read_header(file, &table_sum) || !read_table(file, table_sum)) {
        snapshot_file_close(file);
        return false;
    }
    return true;
}

void snapshot_file_close(struct snapshot_file *file)
{
    file->io->close(file->io->context, file->file);
    file->file = -1;
    free(file->table);
    file->table = NULL;
}

bool snapshot_file_block(struct snapshot_file *file, uint64_t number, uint8_t *block)
{
    size_t size = snapshot_block_size(&file->shape, number);
    uint64_t at = SNAPSHOT_ALIGN + number * SNAPSHOT_BLOCK;
    struct reader sums;
    reader_init(&sums, slice_of(file->table + number * 8, 8));
    return read_at(file, block, size, at) &&
           (snapshot_block_sum(block, size) == reader_u64(&sums) || damaged(file, at, at + size));
}

/* A state may be of a later version although the file around it is not. */
static bool state_known(struct snapshot_file *file, const uint8_t *block)
{
    struct reader in;
    reader_init(&in, slice_of(block, SNAPSHOT_ALIGN));
    if (reader_u32(&in) == CORE_SNAPSHOT_MAGIC && reader_u16(&in) == CORE_SNAPSHOT_VERSION) {
        return true;
    }
    return log_error_set(file->error, LOG_NEWER,
                         "%.700s: its state has a format that this build does not know: use the "
                         "build that wrote it, or a newer one",
                         file->path);
}

bool snapshot_file_verify(struct snapshot_file *file)
{
    file->io->uncache(file->io->context, file->file); /* what is on the disk counts */
    uint8_t *block = mem_alloc(SNAPSHOT_BLOCK);
    bool good = true;
    for (uint64_t i = 0; good && i < file->shape.blocks; i++) {
        good = snapshot_file_block(file, i, block) && (i > 0 || state_known(file, block));
    }
    free(block);
    return good;
}

/* ---- into a core ---- */

/* Two windows by turns: what was borrowed from one is good until the call after the next. */
struct refilling {
    struct snapshot_file *file;
    uint64_t next; /* block */
    uint8_t *windows[2];
    size_t capacities[2];
    unsigned newest;
    bool failed;
};

/* bytes: of a block's content, without its padding */
static size_t content(const struct snapshot_file *file, uint64_t number)
{
    uint64_t left = file->mark.bytes - number * SNAPSHOT_BLOCK;
    return left < SNAPSHOT_BLOCK ? (size_t)left : SNAPSHOT_BLOCK;
}

/* The window that is not the newest, with room for that much. */
static uint8_t *other_window(struct refilling *from, size_t size)
{
    unsigned other = !from->newest;
    if (from->capacities[other] < size) {
        free(from->windows[other]);
        from->windows[other] = mem_alloc(size);
        from->capacities[other] = size;
    }
    from->newest = other;
    return from->windows[other];
}

static bool refill(void *context, struct reader *reader, size_t need)
{
    struct refilling *from = context;
    size_t left = (size_t)(reader->end - reader->at);
    uint64_t rest = from->file->shape.blocks - from->next;
    size_t blocks = (need - left + SNAPSHOT_BLOCK - 1) / SNAPSHOT_BLOCK;
    if (from->failed || blocks > rest) {
        return false;
    }
    uint8_t *window = other_window(from, left + blocks * SNAPSHOT_BLOCK);
    memcpy(window, reader->at, left);
    size_t end = left;
    for (size_t i = 0; i < blocks; i++, from->next++) {
        if (!snapshot_file_block(from->file, from->next, window + end)) {
            from->failed = true;
            return false;
        }
        end += content(from->file, from->next);
    }
    reader->at = window;
    reader->end = window + end;
    return need <= end;
}

bool snapshot_file_load(struct snapshot_file *file, struct core *core)
{
    struct refilling from = {.file = file};
    struct reader reader;
    reader_init(&reader, slice_of(NULL, 0));
    reader.refill = refill;
    reader.refill_context = &from;
    bool good = core_load_from(core, &reader);
    if (!good && !from.failed) {
        log_error_set(file->error, LOG_CORRUPTED, "%.700s: its state makes no sense", file->path);
    }
    free(from.windows[0]);
    free(from.windows[1]);
    return good;
}

/* ---- one file, without a store ---- */

bool snapshot_verify(const struct log_io *io, const char *path, struct snapshot_mark *mark,
                     struct log_error *error)
{
    struct snapshot_file file;
    if (!snapshot_file_open(&file, io ? io : log_io_files(), path, error)) {
        return false;
    }
    bool good = snapshot_file_verify(&file);
    if (good && mark) {
        *mark = file.mark;
    }
    snapshot_file_close(&file);
    return good;
}

/* The first block once more: of a state that is not known, core_load only says that it failed. */
static bool first_known(struct snapshot_file *file)
{
    uint8_t *block = mem_alloc(SNAPSHOT_BLOCK);
    bool known = snapshot_file_block(file, 0, block) && state_known(file, block);
    free(block);
    return known;
}

bool snapshot_load(const struct log_io *io, const char *path, struct core *core,
                   struct snapshot_mark *mark, struct log_error *error)
{
    struct snapshot_file file;
    bool good = false;
    if (snapshot_file_open(&file, io ? io : log_io_files(), path, error)) {
        good = first_known(&file) && snapshot_file_load(&file, core);
        if (good && mark) {
            *mark = file.mark;
        }
        snapshot_file_close(&file);
    }
    if (!good) {
        core_load(core, slice_of(NULL, 0)); /* empty, however far it came */
    }
    return good;
}

bool snapshot_write(const struct log_io *io, const char *path, const struct snapshot_mark *mark,
                    const struct core *core, struct log_error *error)
{
    struct snapshots_out out = {.io = io ? io : log_io_files()};
    snapshots_out_open(&out, path, core_bytes(core));
    uint64_t bytes = snapshots_out_core(&out, core);
    snapshots_out_finish(&out, mark, bytes);
    struct snapshots_trouble trouble = out.trouble;
    snapshots_out_fini(&out);
    return trouble.status == 0 || log_error_io(error, path, trouble.verb, trouble.status);
}
