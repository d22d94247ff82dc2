/*
 * Names of queues, each kept once and counted: a request or a message refers to its queue's name
 * without a copy of its own. Not thread-safe: the client's mutex guards it.
 */
#ifndef CLIENT_LIB_NAMES_H
#define CLIENT_LIB_NAMES_H

#include "common/base/slice.h"

struct name {
    struct name *next; /* in its bucket */
    uint32_t refs;
    uint32_t hash;
    size_t size;
    char text[]; /* NUL-terminated */
};

/* {0} is valid. */
struct names {
    struct name **buckets;
    size_t buckets_count; /* a power of two, or 0 */
    size_t count;
};

/* The name with this text, and one more reference to it. */
struct name *names_intern(struct names *names, struct slice text);
/* One reference less; the last one frees. NULL is allowed. */
void names_release(struct names *names, struct name *name);
/* Frees the table; all references must be gone, or are forgotten with it. */
void names_fini(struct names *names);

static inline struct slice name_slice(const struct name *name)
{
    return slice_of(name->text, name->size);
}

#endif
