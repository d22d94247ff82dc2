/*
 * The hot half of codec.h, inline: one bounds check and one branch for the common encodings.
 * Included by codec.h only. The *_long functions are the rest of the cases, in codec.c.
 */
#ifndef COMMON_WIRE_CODEC_INLINE_H
#define COMMON_WIRE_CODEC_INLINE_H

/* Bytes of the longest head of a value: a marker and a 64-bit number. */
#define WIRE_HEAD_MAX 9

void wire_write_array_long(struct buf *out, uint32_t count);
void wire_write_map_long(struct buf *out, uint32_t count);
void wire_write_uint_long(struct buf *out, uint64_t value);
void wire_write_bin_long(struct buf *out, struct slice value);
uint32_t wire_read_array_long(struct wire_reader *in);
uint64_t wire_read_uint_long(struct wire_reader *in);
struct slice wire_read_str_long(struct wire_reader *in);
struct slice wire_read_bin_long(struct wire_reader *in);

/* buf_reserve without the call when there is room. */
static inline uint8_t *wire_room(struct buf *out, size_t more)
{
    if (out->capacity - out->size > more) {
        return out->data + out->size;
    }
    return buf_reserve(out, more);
}

static inline void wire_write_byte(struct buf *out, uint8_t value)
{
    *wire_room(out, 1) = value;
    out->size++;
}

static inline void wire_write_array(struct buf *out, uint32_t count)
{
    if (count < 16) {
        wire_write_byte(out, (uint8_t)(0x90 | count));
    } else {
        wire_write_array_long(out, count);
    }
}

static inline void wire_write_map(struct buf *out, uint32_t count)
{
    if (count < 16) {
        wire_write_byte(out, (uint8_t)(0x80 | count));
    } else {
        wire_write_map_long(out, count);
    }
}

static inline void wire_write_uint(struct buf *out, uint64_t value)
{
    if (value < 0x80) {
        wire_write_byte(out, (uint8_t)value);
    } else {
        wire_write_uint_long(out, value);
    }
}

static inline void wire_write_nil(struct buf *out)
{
    wire_write_byte(out, 0xc0);
}

static inline void wire_write_bool(struct buf *out, bool value)
{
    wire_write_byte(out, value ? 0xc3 : 0xc2);
}

static inline void wire_write_bin(struct buf *out, struct slice value)
{
    if (value.size - 1 >= 0xff) { /* also 0: its data may be NULL */
        wire_write_bin_long(out, value);
        return;
    }
    uint8_t *at = wire_room(out, value.size + 2);
    at[0] = 0xc4;
    at[1] = (uint8_t)value.size;
    memcpy(at + 2, value.data, value.size);
    out->size += value.size + 2;
}

static inline void wire_write_uint_or_nil(struct buf *out, uint64_t value)
{
    if (value == UINT64_MAX) {
        wire_write_nil(out);
    } else {
        wire_write_uint(out, value);
    }
}

static inline bool wire_reader_done(const struct wire_reader *in)
{
    return in->at == in->end && !in->failed;
}

static inline void wire_fail(struct wire_reader *in)
{
    in->failed = true;
    in->at = in->end; /* so every later read finds nothing left and fails too */
}

static inline uint32_t wire_read_array(struct wire_reader *in)
{
    if (in->at == in->end || (*in->at & 0xf0) != 0x90) {
        return wire_read_array_long(in);
    }
    uint32_t count = *in->at & 0x0f;
    in->at++;
    if (count > (size_t)(in->end - in->at)) {
        wire_fail(in);
        return 0;
    }
    return count;
}

static inline uint64_t wire_read_uint(struct wire_reader *in)
{
    if (in->at != in->end && *in->at < 0x80) {
        return *in->at++;
    }
    return wire_read_uint_long(in);
}

static inline bool wire_read_nil(struct wire_reader *in)
{
    if (in->at != in->end && *in->at == 0xc0) {
        in->at++;
        return true;
    }
    return false;
}

static inline uint64_t wire_read_uint_or_nil(struct wire_reader *in)
{
    if (wire_read_nil(in)) {
        return UINT64_MAX;
    }
    uint64_t value = wire_read_uint(in);
    if (value == UINT64_MAX) {
        wire_fail(in);
        return 0;
    }
    return value;
}

static inline bool wire_read_bool(struct wire_reader *in)
{
    if (in->at == in->end || (*in->at & 0xfe) != 0xc2) {
        wire_fail(in);
        return false;
    }
    return *in->at++ == 0xc3;
}

/* size bytes that are known to be there. */
static inline struct slice wire_take(struct wire_reader *in, size_t size)
{
    struct slice taken = slice_of(in->at, size);
    in->at += size;
    return taken;
}

static inline struct slice wire_read_str(struct wire_reader *in)
{
    size_t left = (size_t)(in->end - in->at);
    if (left == 0 || (*in->at & 0xe0) != 0xa0) {
        return wire_read_str_long(in);
    }
    size_t size = *in->at & 0x1f;
    if (size > left - 1) {
        wire_fail(in);
        return slice_of(in->end, 0);
    }
    in->at++;
    return wire_take(in, size);
}

static inline struct slice wire_read_bin(struct wire_reader *in)
{
    size_t left = (size_t)(in->end - in->at);
    if (left < 2 || in->at[0] != 0xc4 || in->at[1] > left - 2) {
        return wire_read_bin_long(in);
    }
    size_t size = in->at[1];
    in->at += 2;
    return wire_take(in, size);
}

#endif
