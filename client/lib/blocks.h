/*
 * Memory for the content of requests: bytes are copied in once, one after the other, and a block is
 * recycled when the last request in it was answered. Large content has a block of its own.
 * Not thread-safe: the client's mutex guards it (block_new touches nothing shared).
 */
#ifndef CLIENT_LIB_BLOCKS_H
#define CLIENT_LIB_BLOCKS_H

#include "common/base/slice.h"

/* bytes: usable size of a shared block */
#define BLOCK_BYTES (64 * 1024 - 64)

/* bytes: larger content gets a block of its own, copied before the mutex is taken */
#define BLOCK_SHARED_BYTES (8 * 1024)

struct block {
    struct block *next; /* in the free list */
    uint32_t refs;
    bool shared; /* of BLOCK_BYTES, recycled */
    size_t used;
    uint8_t data[];
};

/* {0} is valid. */
struct blocks {
    struct block *current; /* being filled; one reference is ours */
    struct block *spare;
    size_t spare_count;
};

/* A block of its own, of size bytes, uninitialised; one reference, the caller's. */
struct block *block_new(size_t size);

/* Copies the bytes in and takes a reference on the block they lie in. */
const uint8_t *blocks_copy(struct blocks *blocks, struct slice bytes, struct block **block);

/* One reference less. NULL is allowed. */
void blocks_release(struct blocks *blocks, struct block *block);

/* Frees what is current and spare; blocks still referenced stay the holders'. */
void blocks_fini(struct blocks *blocks);

#endif
