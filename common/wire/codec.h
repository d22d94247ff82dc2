/*
 * MessagePack as the protocol uses it: a writer, a forward reader for the hot records, and a
 * bounded scan before msgpack-c's unpacker sees the others.
 *
 * Writer and forward reader are our own because msgpack-c's unpacker costs 51 to 200 ns a record
 * and allocates by declared length; records that carry maps go through msgpack-c, after the scan.
 * The short cases of the hot functions are inline (codec_inline.h), the rest is in codec.c and
 * codec_scan.c. Pure functions of their arguments; any thread.
 */
#ifndef COMMON_WIRE_CODEC_H
#define COMMON_WIRE_CODEC_H

#include "common/base/buf.h"

/* ---- writing: appends to a buf; out of memory aborts ---- */
static inline void wire_write_array(struct buf *out, uint32_t count);
static inline void wire_write_map(struct buf *out, uint32_t count);
static inline void wire_write_uint(struct buf *out, uint64_t value); /* shortest encoding */
static inline void wire_write_nil(struct buf *out);
static inline void wire_write_bool(struct buf *out, bool value);
void wire_write_str(struct buf *out, struct slice value);
static inline void wire_write_bin(struct buf *out, struct slice value);
/* value, or nil if it is UINT64_MAX */
static inline void wire_write_uint_or_nil(struct buf *out, uint64_t value);
/* The header [number, seen]. */
void wire_write_header(struct buf *out, uint64_t number, uint64_t seen);

/* How many bytes wire_write_bin of `size` bytes takes. */
size_t wire_bin_bytes(size_t size);

/* ---- reading forward: every read checks bounds and type ---- */
struct wire_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed; /* sticky: a wrong type, a truncated value; reads then give 0 */
};

/* Borrows the input for as long as it is read. */
void wire_reader_init(struct wire_reader *in, struct slice input);
/* nothing left and nothing failed */
static inline bool wire_reader_done(const struct wire_reader *in);
/* Element count; fails if it is larger than the bytes left. */
static inline uint32_t wire_read_array(struct wire_reader *in);
uint32_t wire_read_map(struct wire_reader *in);
/* Signed encodings (0xd0 to 0xd3 and the negative fixint) fail, whatever they hold. */
static inline uint64_t wire_read_uint(struct wire_reader *in);
static inline bool wire_read_bool(struct wire_reader *in);
static inline struct slice wire_read_str(struct wire_reader *in); /* borrowed from the input */
static inline struct slice wire_read_bin(struct wire_reader *in); /* borrowed from the input */
/* UINT64_MAX for nil. A written UINT64_MAX fails. */
static inline uint64_t wire_read_uint_or_nil(struct wire_reader *in);
/* true and consumed if the next value is nil. */
static inline bool wire_read_nil(struct wire_reader *in);
/* The whole next value, undecoded, borrowed: checks depth <= LIMIT_DEPTH, counts, no ext/float. */
struct slice wire_read_value(struct wire_reader *in);
/* Skips one value with the same checks. */
void wire_skip(struct wire_reader *in);
/* Fails the reader (for callers that find a wrong value). */
static inline void wire_fail(struct wire_reader *in);

/*
 * Bounded pre-scan of a whole frame: well-formed values to the very end, depth <= LIMIT_DEPTH,
 * counts <= bytes left, objects <= LIMIT_OBJECTS, no ext, no float, no negative integers.
 * 0 or STW_EPROTO. Nothing is allocated.
 */
int wire_scan(struct slice frame);

/* true if the bytes are well-formed UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). */
bool wire_utf8(struct slice text);

#include "common/wire/codec_inline.h"

#endif
