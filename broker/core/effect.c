/*
 * The list of effects and its arena: blocks that never move while effects live, so that slices and
 * arrays handed out stay valid however many follow.
 */
#include "broker/core/effect.h"

#include "common/base/alloc.h"

#include <stdlib.h>

#define BLOCK_BYTES ((size_t)64 * 1024)
#define BLOCK_ALIGN ((size_t)16)
#define FIRST_ITEMS 16

struct effects_block {
    struct effects_block *next;
    size_t size; /* bytes of data */
    size_t used;
    _Alignas(16) uint8_t data[];
};

/* Blocks of the usual size are kept for the next apply, larger ones go back. */
void effects_clear(struct effects *effects)
{
    struct effects_block **at = &effects->blocks;
    while (*at) {
        struct effects_block *block = *at;
        if (block->size > BLOCK_BYTES) {
            *at = block->next;
            free(block);
            continue;
        }
        block->used = 0;
        at = &block->next;
    }
    effects->current = effects->blocks;
    effects->count = 0;
}

void effects_fini(struct effects *effects)
{
    while (effects->blocks) {
        struct effects_block *block = effects->blocks;
        effects->blocks = block->next;
        free(block);
    }
    free(effects->items);
    *effects = (struct effects){0};
}

/* Puts a new block of at least size bytes behind the current one and makes it current. */
static struct effects_block *block_add(struct effects *effects, size_t size)
{
    size_t bytes = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct effects_block *block = mem_alloc(sizeof *block + bytes);
    block->size = bytes;
    block->used = 0;
    struct effects_block **at = effects->current ? &effects->current->next : &effects->blocks;
    block->next = *at;
    *at = block;
    effects->current = block;
    return block;
}

void *effects_alloc(struct effects *effects, size_t size)
{
    size_t rounded = (size + BLOCK_ALIGN - 1) & ~(BLOCK_ALIGN - 1);
    struct effects_block *block = effects->current;
    while (block && block->size - block->used < rounded && block->next && block->next->used == 0) {
        block = effects->current = block->next;
    }
    if (!block || block->size - block->used < rounded) {
        block = block_add(effects, rounded);
    }
    void *at = block->data + block->used;
    block->used += rounded;
    return at;
}

struct effect *effects_add(struct effects *effects, enum effect_kind kind)
{
    if (effects->count == effects->capacity) {
        effects->capacity = effects->capacity ? effects->capacity * 2 : FIRST_ITEMS;
        effects->items = mem_realloc(effects->items, effects->capacity, sizeof(struct effect));
    }
    struct effect *effect = &effects->items[effects->count++];
    *effect = (struct effect){.kind = kind};
    return effect;
}
