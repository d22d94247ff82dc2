/*
 * A snapshot's reader on hostile bytes. The first byte says how the rest is taken:
 *
 *     bit 0  clear: the rest is a file. set: it is a state, around which a right file is made, so
 *            that mutations reach what lies behind the checksums
 *     bit 1  the state begins behind a right magic, version and bootstrap
 *
 * Whatever it is: no overread, no more memory than limits allow, a refusal has a sentence and
 * leaves an empty core; a store that receives the file comes to the same verdict; and what is
 * accepted is written again, and that is accepted and gives the same bytes.
 */
#include "broker/journal/snapshots_format.h"
#include "common/base/panic.h"

#include <errno.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- one file in memory, for reading; and one that takes what is received ---- */

struct image {
    struct buf file;
    struct buf written;
    bool named; /* what was written has its name */
};

static int image_open(void *context, const char *path, int how)
{
    const struct image *image = context;
    if (how & LOG_OPEN_WRITE) {
        return 2;
    }
    return strstr(path, "received") || image->named ? 2 : strcmp(path, "file") == 0 ? 1 : -ENOENT;
}

static void image_close(void *context, int file)
{
    (void)context;
    (void)file;
}

static struct buf *bytes_of(void *context, int file)
{
    struct image *image = context;
    return file == 1 ? &image->file : &image->written;
}

static int64_t image_size(void *context, int file)
{
    return (int64_t)bytes_of(context, file)->size;
}

static int64_t image_read(void *context, int file, void *data, size_t size, uint64_t offset)
{
    const struct buf *bytes = bytes_of(context, file);
    if (offset >= bytes->size) {
        return 0;
    }
    size = size < bytes->size - offset ? size : (size_t)(bytes->size - offset);
    memcpy(data, bytes->data + offset, size);
    return (int64_t)size;
}

static int64_t image_write(void *context, int file, const void *data, size_t size, uint64_t offset)
{
    struct buf *bytes = bytes_of(context, file);
    if (offset + size > bytes->size) {
        size_t more = (size_t)(offset + size) - bytes->size;
        memset(buf_reserve(bytes, more), 0, more);
        bytes->size += more;
    }
    memcpy(bytes->data + offset, data, size);
    return (int64_t)size;
}

static int image_allocate(void *context, int file, uint64_t size)
{
    (void)context;
    (void)file;
    (void)size;
    return 0;
}

static int image_shrink(void *context, int file, uint64_t size)
{
    bytes_of(context, file)->size = (size_t)size;
    return 0;
}

static int image_sync(void *context, int file)
{
    (void)context;
    (void)file;
    return 0;
}

static int image_rename(void *context, const char *from, const char *to)
{
    struct image *image = context;
    (void)from;
    (void)to;
    image->named = true;
    return 0;
}

static int image_path(void *context, const char *path)
{
    (void)context;
    (void)path;
    return -ENOENT;
}

static int image_made(void *context, const char *path)
{
    (void)context;
    (void)path;
    return 0;
}

static int image_list(void *context, const char *path, log_visit *visit, void *argument)
{
    (void)context;
    (void)path;
    (void)visit;
    (void)argument;
    return 0;
}

static struct log_io io_of(struct image *image)
{
    return (struct log_io){.context = image,
                           .open = image_open,
                           .close = image_close,
                           .size = image_size,
                           .read = image_read,
                           .write = image_write,
                           .allocate = image_allocate,
                           .shrink = image_shrink,
                           .sync = image_sync,
                           .uncache = image_close,
                           .rename = image_rename,
                           .remove = image_path,
                           .make_directory = image_made,
                           .sync_directory = image_made,
                           .list = image_list};
}

/* ---- a right file around any state ---- */

static void add_padded(struct buf *out, struct slice part)
{
    buf_add(out, part.data, part.size);
    size_t more = (SNAPSHOT_ALIGN - part.size % SNAPSHOT_ALIGN) % SNAPSHOT_ALIGN;
    memset(buf_reserve(out, more + 1), 0, more + 1);
    out->size += more;
}

static void wrap(struct buf *file, struct slice state)
{
    struct snapshot_mark mark = {.at = {.index = 7, .term = 1, .members_index = 1},
                                 .bytes = state.size};
    struct snapshot_shape shape = snapshot_shape(state.size);
    struct buf sums = {0}, table = {0};
    uint8_t header[SNAPSHOT_ALIGN] = {0};
    members_set(&mark.at.members, 1, MEMBER_VOTER);
    buf_add(file, header, sizeof header);
    add_padded(file, state);
    for (uint64_t i = 0; i < shape.blocks; i++) {
        const uint8_t *block = file->data + SNAPSHOT_ALIGN + i * SNAPSHOT_BLOCK;
        buf_u64(&sums, snapshot_block_sum(block, snapshot_block_size(&shape, i)));
    }
    add_padded(&table, buf_view(&sums));
    buf_add(file, table.data, table.size);
    snapshot_header_encode(&mark, snapshot_table_sum(table.data, table.size, state.size), header);
    memcpy(file->data, header, sizeof header);
    STEWARD_ASSERT(file->size == shape.file);
    buf_fini(&sums);
    buf_fini(&table);
}

static void make_file(struct image *image, uint8_t how, struct slice rest)
{
    struct buf state = {0};
    if (how & 2) {
        buf_u32(&state, CORE_SNAPSHOT_MAGIC);
        buf_u16(&state, CORE_SNAPSHOT_VERSION);
        buf_u8(&state, 1);
    }
    buf_add(&state, rest.data, rest.size);
    if (how & 1 && state.size > 0) {
        wrap(&image->file, buf_view(&state));
    } else {
        buf_add(&image->file, state.data, state.size);
    }
    buf_fini(&state);
}

/* ---- what must hold ---- */

/* What was accepted is written and read as the same. */
static void check_canonical(const struct core *core)
{
    struct buf first = {0}, second = {0};
    struct core *twin = core_new();
    core_snapshot(core, &first);
    if (core_load(twin, buf_view(&first))) {
        core_snapshot(twin, &second);
        STEWARD_ASSERT(slice_equal(buf_view(&first), buf_view(&second)));
    } else {
        panic("what was written is read", __FILE__, __LINE__);
    }
    core_destroy(&twin);
    buf_fini(&first);
    buf_fini(&second);
}

static void check_received(struct image *image, const struct log_io *io, bool good)
{
    struct log_error error;
    struct snapshots_options options = {.directory = "received", .io = io, .no_fork = true};
    struct snapshots *snapshots = snapshots_open(&options, &error);
    STEWARD_ASSERT(snapshots != NULL);
    size_t size = image->file.size;
    bool taken = snapshots_receive_begin(snapshots, 7, size, &error);
    for (size_t at = 0; taken && at < size;) {
        size_t piece = size - at < 5000 ? size - at : 5000;
        taken = snapshots_receive(snapshots, at, slice_of(image->file.data + at, piece), &error);
        at += piece;
    }
    taken = taken && snapshots_receive_end(snapshots, &error);
    STEWARD_ASSERT(taken || (strlen(error.text) > 20 && error.trouble != LOG_FINE));
    STEWARD_ASSERT(taken || !good);
    if (taken) {
        STEWARD_ASSERT(slice_equal(buf_view(&image->written), buf_view(&image->file)));
    }
    snapshots_close(&snapshots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image = {.named = false};
    struct log_io io = io_of(&image);
    struct log_error error = {.trouble = LOG_FINE};
    struct snapshot_mark mark = {.bytes = 0};
    struct core *core = core_new();
    if (size > 0) {
        make_file(&image, data[0], slice_of(data + 1, size - 1));
    }
    bool whole = snapshot_verify(&io, "file", &mark, &error);
    STEWARD_ASSERT(whole == (error.trouble == LOG_FINE));
    STEWARD_ASSERT(whole || strlen(error.text) > 20);
    error = (struct log_error){.trouble = LOG_FINE};
    bool loaded = snapshot_load(&io, "file", core, NULL, &error);
    STEWARD_ASSERT(loaded == (error.trouble == LOG_FINE) && (whole || !loaded));
    if (loaded) {
        check_canonical(core);
    } else {
        STEWARD_ASSERT(core_bytes(core) == 0 && core_held(core) == 0);
    }
    check_received(&image, &io, whole && mark.at.index == 7);
    core_destroy(&core);
    buf_fini(&image.file);
    buf_fini(&image.written);
    return 0;
}
