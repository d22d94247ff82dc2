/* The bytes of a snapshot file. See snapshots_format.h. */
#include "broker/journal/snapshots_format.h"

#include "common/base/panic.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint8_t magic[8] = {'S', 'T', 'W', 'S', 'N', 'A', 'P', '\n'};

/* bytes: of the header, where its own checksum lies */
#define SUM_AT (SNAPSHOT_ALIGN - 8)

static uint64_t padded(uint64_t bytes)
{
    return (bytes + SNAPSHOT_ALIGN - 1) / SNAPSHOT_ALIGN * SNAPSHOT_ALIGN;
}

struct snapshot_shape snapshot_shape(uint64_t bytes)
{
    STEWARD_ASSERT(bytes > 0 && bytes <= LIMIT_SNAPSHOT_STATE_BYTES);
    struct snapshot_shape shape = {.state = padded(bytes)};
    shape.blocks = (bytes + SNAPSHOT_BLOCK - 1) / SNAPSHOT_BLOCK;
    shape.table = padded(shape.blocks * 8);
    shape.file = SNAPSHOT_ALIGN + shape.state + shape.table;
    return shape;
}

bool snapshot_size_possible(uint64_t file_bytes)
{
    return file_bytes % SNAPSHOT_ALIGN == 0 && file_bytes >= 3 * SNAPSHOT_ALIGN &&
           file_bytes <= snapshot_shape(LIMIT_SNAPSHOT_STATE_BYTES).file;
}

size_t snapshot_block_size(const struct snapshot_shape *shape, uint64_t number)
{
    STEWARD_ASSERT(number < shape->blocks);
    uint64_t left = shape->state - number * SNAPSHOT_BLOCK;
    return left < SNAPSHOT_BLOCK ? (size_t)left : SNAPSHOT_BLOCK;
}

uint64_t snapshot_block_sum(const void *block, size_t size)
{
    return XXH3_64bits(block, size);
}

uint64_t snapshot_table_sum(const void *table, uint64_t size, uint64_t bytes)
{
    return XXH3_64bits_withSeed(table, (size_t)size, bytes);
}

/* A buffer over the header's memory, which never grows. */
static void finish(struct buf *out)
{
    STEWARD_ASSERT(out->size <= SUM_AT);
    memset(out->data + out->size, 0, SUM_AT - out->size);
    out->size = SUM_AT;
    buf_u64(out, XXH3_64bits(out->data, SUM_AT));
}

void snapshot_header_encode(const struct snapshot_mark *mark, uint64_t table_sum,
                            uint8_t header[SNAPSHOT_ALIGN])
{
    struct buf out = {0};
    struct buf members = {0};
    buf_reserve(&out, SNAPSHOT_ALIGN);
    buf_add(&out, magic, sizeof magic);
    buf_u32(&out, SNAPSHOT_FORMAT_VERSION);
    buf_u32(&out, SNAPSHOT_BLOCK);
    buf_u64(&out, mark->at.index);
    buf_u64(&out, mark->at.term);
    buf_u64(&out, mark->at.members_index);
    buf_u64(&out, mark->hash);
    buf_u64(&out, mark->time_ms);
    buf_u64(&out, mark->bytes);
    buf_u64(&out, table_sum);
    members_encode(&mark->at.members, &members);
    buf_slice(&out, buf_view(&members));
    finish(&out);
    memcpy(header, out.data, SNAPSHOT_ALIGN);
    buf_fini(&members);
    buf_fini(&out);
}

static bool mark_decode(struct reader *in, struct snapshot_mark *mark, uint64_t *table_sum)
{
    uint32_t block = reader_u32(in);
    mark->at.index = reader_u64(in);
    mark->at.term = reader_u64(in);
    mark->at.members_index = reader_u64(in);
    mark->hash = reader_u64(in);
    mark->time_ms = reader_u64(in);
    mark->bytes = reader_u64(in);
    *table_sum = reader_u64(in);
    struct slice members = reader_slice(in);
    return !in->failed && block == SNAPSHOT_BLOCK && mark->at.index > 0 && mark->at.term > 0 &&
           mark->at.members_index > 0 && mark->at.members_index <= mark->at.index &&
           mark->bytes > 0 && mark->bytes <= LIMIT_SNAPSHOT_STATE_BYTES &&
           members_decode(members, &mark->at.members);
}

const char *snapshot_header_decode(const uint8_t header[SNAPSHOT_ALIGN], struct snapshot_mark *mark,
                                   uint64_t *table_sum, bool *newer)
{
    struct reader in;
    *newer = false;
    *mark = (struct snapshot_mark){0};
    reader_init(&in, slice_of(header + SUM_AT, 8));
    uint64_t sum = reader_u64(&in);
    reader_init(&in, slice_of(header, SUM_AT));
    if (memcmp(reader_raw(&in, sizeof magic).data, magic, sizeof magic) != 0) {
        return "it does not begin as a snapshot does";
    }
    if (sum != XXH3_64bits(header, SUM_AT)) {
        return "its header is damaged";
    }
    *newer = reader_u32(&in) != SNAPSHOT_FORMAT_VERSION;
    if (*newer) {
        return "it has a format that this build does not know: use the build that wrote it, or a "
               "newer one";
    }
    return mark_decode(&in, mark, table_sum) ? NULL : "its header makes no sense";
}
