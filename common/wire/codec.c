/* The longer cases of the codec's writer and forward reader: see codec.h. */
#include "common/wire/codec.h"

#include "common/base/panic.h"

/* A marker and `bytes` bytes of value, big-endian as MessagePack has it. */
static void write_head(struct buf *out, uint8_t marker, uint64_t value, size_t bytes)
{
    uint8_t *at = buf_reserve(out, WIRE_HEAD_MAX);
    *at++ = marker;
    for (size_t i = bytes; i > 0; i--) {
        *at++ = (uint8_t)(value >> (8 * (i - 1)));
    }
    out->size += bytes + 1;
}

void wire_write_array_long(struct buf *out, uint32_t count)
{
    if (count <= UINT16_MAX) {
        write_head(out, 0xdc, count, 2);
    } else {
        write_head(out, 0xdd, count, 4);
    }
}

void wire_write_map_long(struct buf *out, uint32_t count)
{
    if (count <= UINT16_MAX) {
        write_head(out, 0xde, count, 2);
    } else {
        write_head(out, 0xdf, count, 4);
    }
}

void wire_write_uint_long(struct buf *out, uint64_t value)
{
    if (value <= UINT8_MAX) {
        write_head(out, 0xcc, value, 1);
    } else if (value <= UINT16_MAX) {
        write_head(out, 0xcd, value, 2);
    } else if (value <= UINT32_MAX) {
        write_head(out, 0xce, value, 4);
    } else {
        write_head(out, 0xcf, value, 8);
    }
}

/* The head of a str or bin whose 8-bit form is `marker`; the 16- and 32-bit forms follow it. */
static void write_size(struct buf *out, uint8_t marker, size_t size)
{
    STEWARD_ASSERT(size <= UINT32_MAX);
    if (size <= UINT8_MAX) {
        write_head(out, marker, size, 1);
    } else if (size <= UINT16_MAX) {
        write_head(out, (uint8_t)(marker + 1), size, 2);
    } else {
        write_head(out, (uint8_t)(marker + 2), size, 4);
    }
}

void wire_write_str(struct buf *out, struct slice value)
{
    if (value.size < 32) {
        wire_write_byte(out, (uint8_t)(0xa0 | value.size));
    } else {
        write_size(out, 0xd9, value.size);
    }
    buf_add(out, value.data, value.size);
}

void wire_write_bin_long(struct buf *out, struct slice value)
{
    write_size(out, 0xc4, value.size);
    buf_add(out, value.data, value.size);
}

void wire_write_header(struct buf *out, uint64_t number, uint64_t seen)
{
    wire_write_array(out, 2);
    wire_write_uint(out, number);
    wire_write_uint(out, seen);
}

size_t wire_bin_bytes(size_t size)
{
    if (size <= UINT8_MAX) {
        return size + 2;
    }
    return size + (size <= UINT16_MAX ? 3 : 5);
}

void wire_reader_init(struct wire_reader *in, struct slice input)
{
    static const uint8_t nothing[1];
    const uint8_t *at = input.data ? input.data : nothing;
    *in = (struct wire_reader){.at = at, .end = at + input.size};
}

/* The number of `bytes` bytes after the marker; consumes both. Fails if they are not there. */
static uint64_t read_number(struct wire_reader *in, size_t bytes)
{
    if ((size_t)(in->end - in->at) < bytes + 1) {
        wire_fail(in);
        return 0;
    }
    uint64_t value = 0;
    for (size_t i = 1; i <= bytes; i++) {
        value = value << 8 | in->at[i];
    }
    in->at += bytes + 1;
    return value;
}

/* The marker of the next value; 0xc1, which MessagePack never uses, if there is none. */
static uint8_t peek_marker(const struct wire_reader *in)
{
    return in->at == in->end ? 0xc1 : *in->at;
}

/* A container's count; each element (pair) takes at least `least` bytes, so more cannot be. */
static uint32_t checked_count(struct wire_reader *in, uint64_t count, uint64_t least)
{
    if (count * least > (uint64_t)(in->end - in->at)) {
        wire_fail(in);
        return 0;
    }
    return (uint32_t)count;
}

uint32_t wire_read_array_long(struct wire_reader *in)
{
    switch (peek_marker(in)) {
    case 0xdc: return checked_count(in, read_number(in, 2), 1);
    case 0xdd: return checked_count(in, read_number(in, 4), 1);
    default: wire_fail(in); return 0;
    }
}

uint32_t wire_read_map(struct wire_reader *in)
{
    uint8_t marker = peek_marker(in);
    if ((marker & 0xf0) == 0x80) {
        in->at++;
        return checked_count(in, marker & 0x0f, 2);
    }
    switch (marker) {
    case 0xde: return checked_count(in, read_number(in, 2), 2);
    case 0xdf: return checked_count(in, read_number(in, 4), 2);
    default: wire_fail(in); return 0;
    }
}

uint64_t wire_read_uint_long(struct wire_reader *in)
{
    switch (peek_marker(in)) {
    case 0xcc: return read_number(in, 1);
    case 0xcd: return read_number(in, 2);
    case 0xce: return read_number(in, 4);
    case 0xcf: return read_number(in, 8);
    default: wire_fail(in); return 0;
    }
}

/* A str or bin of which the 8-bit form is `marker`. */
static struct slice read_bytes(struct wire_reader *in, uint8_t marker)
{
    uint8_t form = (uint8_t)(peek_marker(in) - marker);
    if (form > 2) {
        wire_fail(in);
        return slice_of(in->end, 0);
    }
    uint64_t size = read_number(in, (size_t)1 << form);
    if (size > (uint64_t)(in->end - in->at)) {
        wire_fail(in);
        return slice_of(in->end, 0);
    }
    return wire_take(in, (size_t)size);
}

struct slice wire_read_str_long(struct wire_reader *in)
{
    return read_bytes(in, 0xd9);
}

struct slice wire_read_bin_long(struct wire_reader *in)
{
    return read_bytes(in, 0xc4);
}
