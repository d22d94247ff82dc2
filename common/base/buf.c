/*
 * The growable buffer and its bounds-checked reader.
 *
 * Integers are written byte by byte, so the encoding is the same on every machine; compilers make
 * single stores of it where the machine is little-endian.
 */
#include "common/base/buf.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define BUF_FIRST_BYTES 64

void buf_init(struct buf *buf)
{
    *buf = (struct buf){0};
}

void buf_fini(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
}

/* Room for `more` bytes behind what is there, or behind nothing if that had to go. */
static void buf_grow(struct buf *buf, size_t more)
{
    if (buf->spill && buf->size > 0 && buf->size + more > buf->spill_bytes) {
        buf->spill(buf->spill_context, buf);
        STEWARD_ASSERT(buf->size == 0);
    }
    size_t need = buf->size + more;
    if (need <= buf->capacity && buf->data != NULL) {
        return;
    }
    size_t capacity = buf->capacity ? buf->capacity : BUF_FIRST_BYTES;
    while (capacity < need) {
        STEWARD_ASSERT(capacity <= SIZE_MAX / 2);
        capacity *= 2;
    }
    buf->data = mem_realloc(buf->data, capacity, 1);
    buf->capacity = capacity;
}

uint8_t *buf_reserve(struct buf *buf, size_t more)
{
    STEWARD_ASSERT(more <= SIZE_MAX - buf->size);
    if (buf->size + more > buf->capacity || buf->data == NULL) {
        buf_grow(buf, more);
    }
    return buf->data + buf->size;
}

void buf_add(struct buf *buf, const void *data, size_t size)
{
    if (size == 0) {
        return;
    }
    memcpy(buf_reserve(buf, size), data, size);
    buf->size += size;
}

/* `size` low bytes of value, least significant first. */
static inline void buf_integer(struct buf *buf, uint64_t value, size_t size)
{
    uint8_t *at = buf_reserve(buf, size);
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
    buf->size += size;
}

void buf_u8(struct buf *buf, uint8_t value)
{
    buf_integer(buf, value, 1);
}

void buf_u16(struct buf *buf, uint16_t value)
{
    buf_integer(buf, value, 2);
}

void buf_u32(struct buf *buf, uint32_t value)
{
    buf_integer(buf, value, 4);
}

void buf_u64(struct buf *buf, uint64_t value)
{
    buf_integer(buf, value, 8);
}

void buf_slice(struct buf *buf, struct slice value)
{
    STEWARD_ASSERT(value.size <= UINT32_MAX);
    buf_u32(buf, (uint32_t)value.size);
    buf_add(buf, value.data, value.size);
}

void reader_init(struct reader *reader, struct slice input)
{
    static const uint8_t nothing[1];
    const uint8_t *at = input.data ? input.data : nothing;
    *reader = (struct reader){.at = at, .end = at + input.size};
}

/* Whether `size` bytes are there, or can be had. */
static bool reader_has(struct reader *reader, size_t size)
{
    if (size <= (size_t)(reader->end - reader->at)) {
        return true;
    }
    return reader->refill && reader->refill(reader->refill_context, reader, size);
}

struct slice reader_raw(struct reader *reader, size_t size)
{
    if (reader->failed || !reader_has(reader, size)) {
        reader->failed = true;
        return slice_of(reader->at, 0);
    }
    struct slice raw = slice_of(reader->at, size);
    reader->at += size;
    return raw;
}

static inline uint64_t reader_integer(struct reader *reader, size_t size)
{
    struct slice raw = reader_raw(reader, size);
    uint64_t value = 0;
    for (size_t i = 0; i < raw.size; i++) {
        value |= (uint64_t)raw.data[i] << (8 * i);
    }
    return value;
}

uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)reader_integer(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)reader_integer(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
    return (uint32_t)reader_integer(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
    return reader_integer(reader, 8);
}

struct slice reader_slice(struct reader *reader)
{
    uint32_t size = reader_u32(reader);
    return reader_raw(reader, size);
}

bool reader_done(const struct reader *reader)
{
    return !reader->failed && reader->at == reader->end;
}

bool reader_more(struct reader *reader)
{
    return !reader->failed && reader_has(reader, 1);
}
