/*
 * Which answers were seen, as ranges of request ids, until the manager has confirmed the packet
 * that told it so. Not thread-safe.
 */
#ifndef CLIENT_LIB_SEEN_H
#define CLIENT_LIB_SEEN_H

#include "common/base/buf.h"

struct seen_range {
    uint64_t first;
    uint64_t count;
    uint64_t packet; /* number of the packet that carried it; 0: not sent yet */
};

/* {0} is valid. Ranges in the order in which they were seen; the sent ones first. */
struct seen {
    struct seen_range *ranges;
    size_t head;  /* index of the first that is kept */
    size_t sent;  /* index of the first that is not sent */
    size_t count; /* end of the list */
    size_t capacity;
};

void seen_add(struct seen *seen, uint64_t first, uint64_t count);

static inline bool seen_pending(const struct seen *seen)
{
    return seen->sent < seen->count;
}

/* Appends a SEEN record of what is not sent yet to packet `number`. */
void seen_write(struct seen *seen, struct buf *out, uint64_t number);

/* The manager has received all packets up to `number`. */
void seen_confirm(struct seen *seen, uint64_t number);

/* The connection broke: what was not confirmed must be said again. */
void seen_rewind(struct seen *seen);

/* A new session: forgets everything, keeps the memory. */
void seen_clear(struct seen *seen);
void seen_fini(struct seen *seen);

#endif
