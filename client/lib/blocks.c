/* Blocks of request content: see blocks.h. */
#include "client/lib/blocks.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* count: blocks kept for reuse: 4 MiB, what a burst of small puts has in flight */
#define BLOCKS_SPARE_MAX 64

struct block *block_new(size_t size)
{
    struct block *block = mem_alloc(sizeof *block + size);
    *block = (struct block){.refs = 1, .used = size};
    return block;
}

static struct block *block_shared(struct blocks *blocks)
{
    struct block *block = blocks->spare;
    if (block) {
        blocks->spare = block->next;
        blocks->spare_count--;
    } else {
        block = mem_alloc(sizeof *block + BLOCK_BYTES);
    }
    *block = (struct block){.refs = 1, .shared = true};
    return block;
}

const uint8_t *blocks_copy(struct blocks *blocks, struct slice bytes, struct block **out)
{
    struct block *block = blocks->current;
    if (bytes.size > BLOCK_SHARED_BYTES) {
        block = block_new(bytes.size);
        block->used = 0;
    } else if (block == NULL || BLOCK_BYTES - block->used < bytes.size) {
        blocks_release(blocks, block);
        block = blocks->current = block_shared(blocks);
        block->refs++;
    } else {
        block->refs++;
    }
    uint8_t *at = block->data + block->used;
    if (bytes.size > 0) {
        memcpy(at, bytes.data, bytes.size);
    }
    block->used += bytes.size;
    *out = block;
    return at;
}

void blocks_release(struct blocks *blocks, struct block *block)
{
    if (block == NULL) {
        return;
    }
    STEWARD_ASSERT(block->refs > 0);
    if (--block->refs > 0) {
        return;
    }
    if (block->shared && blocks->spare_count < BLOCKS_SPARE_MAX) {
        block->next = blocks->spare;
        blocks->spare = block;
        blocks->spare_count++;
    } else {
        free(block);
    }
}

void blocks_fini(struct blocks *blocks)
{
    blocks_release(blocks, blocks->current);
    while (blocks->spare) {
        struct block *block = blocks->spare;
        blocks->spare = block->next;
        free(block);
    }
    *blocks = (struct blocks){0};
}
