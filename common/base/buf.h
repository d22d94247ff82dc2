/*
 * A growable byte buffer. Grows by doubling; out of memory aborts. Not thread-safe.
 * Integers are little-endian here (the core's own encoding); the wire has its own codec.
 */
#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include "common/base/slice.h"

struct buf;

/* Takes away all that a buffer holds, and clears it; it must not add to it. */
typedef void buf_spill(void *context, struct buf *buf);

struct buf {
    uint8_t *data;
    size_t size;     /* bytes used */
    size_t capacity; /* bytes allocated */
    /* NULL: the buffer grows. Else it is the window of a stream: when it would grow beyond
     * spill_bytes it is emptied. What it holds at the end is left to its owner. */
    buf_spill *spill;
    size_t spill_bytes;
    void *spill_context;
};

/* An empty buffer; allocates nothing. {0} is valid too. */
void buf_init(struct buf *buf);

/* Frees the bytes; the buffer is empty and usable again. */
void buf_fini(struct buf *buf);

/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *buf);

/* Makes room for `more` bytes and returns where to write them; add to buf->size afterwards. */
uint8_t *buf_reserve(struct buf *buf, size_t more);

/* size bytes, as they are. */
void buf_add(struct buf *buf, const void *data, size_t size);
void buf_u8(struct buf *buf, uint8_t value);
void buf_u16(struct buf *buf, uint16_t value);
void buf_u32(struct buf *buf, uint32_t value);
void buf_u64(struct buf *buf, uint64_t value);

/* u32 size, then the bytes. */
void buf_slice(struct buf *buf, struct slice value);

/* What the buffer holds, borrowed until it grows. */
static inline struct slice buf_view(const struct buf *buf)
{
    return slice_of(buf->data, buf->size);
}

struct reader;

/*
 * More input: sets at and end so that what was left comes first and at least `need` bytes are
 * there. What was borrowed before must stay valid until the call after this one, at least. false:
 * there is no more.
 */
typedef bool reader_refill(void *context, struct reader *reader, size_t need);

/* Bounds-checked forward reader over a slice: any read past the end sets `failed` and gives 0. */
struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
    reader_refill *refill; /* NULL: the slice is all there is */
    void *refill_context;
};

/* Starts at the first byte; the input is borrowed. */
void reader_init(struct reader *reader, struct slice input);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);

/* Borrowed from the input; empty when failed. */
struct slice reader_slice(struct reader *reader);

/* `size` raw bytes, borrowed; empty when failed. */
struct slice reader_raw(struct reader *reader, size_t size);

/* true when nothing failed and nothing is left of what is there (see reader_more for a refill). */
bool reader_done(const struct reader *reader);

/* true when there is a byte more, here or from refill. */
bool reader_more(struct reader *reader);

#endif
