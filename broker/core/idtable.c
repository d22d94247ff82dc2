/*
 * Records under growing ids, in chunks of 256 found by hash; the chunk used last is remembered, so
 * that a run of neighbouring ids costs one lookup.
 *
 * Ids are counters of this core or ids checked to be contiguous by it: nobody outside can choose
 * chunk numbers that collide at will, so the hash is a plain mix and needs no key.
 */
#include "common/base/panic.h"
#define uthash_fatal(message) panic(message, __FILE__, __LINE__)

#include "broker/core/idtable.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define BITS 32

/* The 64-bit finaliser of MurmurHash3 (Appleby, public domain), folded. */
static unsigned number_hash(uint64_t number)
{
    number ^= number >> 33;
    number *= 0xff51afd7ed558ccdULL;
    number ^= number >> 33;
    return (unsigned)(number ^ (number >> 32));
}

static bool bit_get(const struct id_chunk *chunk, uint32_t slot)
{
    return (chunk->used[slot / BITS] >> (slot % BITS)) & 1u;
}

static void *record_at(const struct idtable *table, struct id_chunk *chunk, uint32_t slot)
{
    return chunk->records + (size_t)slot * table->record_size;
}

static struct id_chunk *chunk_of(const struct order_node *node)
{
    return node ? (struct id_chunk *)((uintptr_t)node - offsetof(struct id_chunk, node)) : NULL;
}

static int chunk_compare(const struct order_node *a, const struct order_node *b)
{
    uint64_t x = chunk_of(a)->number, y = chunk_of(b)->number;
    return (x > y) - (x < y);
}

static uint64_t chunk_cost(const struct idtable *table)
{
    enum { CHUNK_COST = 256 }; /* bytes, nominal: beside its records */
    return CHUNK_COST + (uint64_t)IDTABLE_CHUNK * table->record_size;
}

void idtable_init(struct idtable *table, uint32_t record_size, uint64_t *bytes)
{
    *table = (struct idtable){.record_size = record_size, .bytes = bytes};
    order_init(&table->order, chunk_compare);
}

uint64_t idtable_cost(const struct idtable *table)
{
    return order_count(&table->order) * chunk_cost(table);
}

struct id_chunk *idtable_first_chunk(const struct idtable *table)
{
    return order_count(&table->order) > 0 ? chunk_of(order_first(&table->order)) : NULL;
}

struct id_chunk *idtable_next_chunk(const struct id_chunk *chunk)
{
    return chunk_of(order_next(&chunk->node));
}

static void chunk_drop(struct idtable *table, struct id_chunk *chunk)
{
    STEWARD_ASSERT(!timer_armed(&chunk->timer));
    HASH_DELETE(hh, table->hash, chunk);
    order_remove(&table->order, &chunk->node);
    *table->bytes -= chunk_cost(table);
    if (table->cached == chunk) {
        table->cached = NULL;
    }
    free(chunk);
}

void idtable_fini(struct idtable *table)
{
    struct id_chunk *chunk;
    while ((chunk = idtable_first_chunk(table)) != NULL) {
        table->live -= chunk->live;
        chunk_drop(table, chunk);
    }
    STEWARD_ASSERT(table->live == 0);
}

static struct id_chunk *chunk_find(struct idtable *table, uint64_t number)
{
    struct id_chunk *chunk = table->cached;
    if (chunk && chunk->number == number) {
        return chunk;
    }
    HASH_FIND_BYHASHVALUE(hh, table->hash, &number, sizeof number, number_hash(number), chunk);
    if (chunk) {
        table->cached = chunk;
    }
    return chunk;
}

static struct id_chunk *chunk_make(struct idtable *table, uint64_t number)
{
    struct id_chunk *chunk = chunk_find(table, number);
    if (chunk) {
        return chunk;
    }
    /* Records are zeroed when they are added. */
    chunk = mem_alloc(sizeof *chunk + (size_t)IDTABLE_CHUNK * table->record_size);
    memset(chunk, 0, sizeof *chunk);
    chunk->number = number;
    HASH_ADD_BYHASHVALUE(hh, table->hash, number, sizeof number, number_hash(number), chunk);
    order_insert(&table->order, &chunk->node, number_hash(number));
    *table->bytes += chunk_cost(table);
    table->cached = chunk;
    return chunk;
}

void *idtable_get(struct idtable *table, uint64_t id)
{
    struct id_chunk *chunk = chunk_find(table, id / IDTABLE_CHUNK);
    uint32_t slot = (uint32_t)(id % IDTABLE_CHUNK);
    return chunk && bit_get(chunk, slot) ? record_at(table, chunk, slot) : NULL;
}

void *idtable_add(struct idtable *table, uint64_t id, struct id_chunk **chunk)
{
    uint64_t added;
    void *record = idtable_add_run(table, id, 1, &added);
    if (chunk) {
        *chunk = table->cached;
    }
    return record;
}

void *idtable_add_run(struct idtable *table, uint64_t first, uint64_t count, uint64_t *added)
{
    STEWARD_ASSERT(count > 0);
    struct id_chunk *chunk = chunk_make(table, first / IDTABLE_CHUNK);
    uint32_t slot = (uint32_t)(first % IDTABLE_CHUNK);
    uint32_t run = IDTABLE_CHUNK - slot < count ? IDTABLE_CHUNK - slot : (uint32_t)count;
    for (uint32_t i = slot; i < slot + run; i++) {
        STEWARD_ASSERT(!bit_get(chunk, i));
        chunk->used[i / BITS] |= 1u << (i % BITS);
    }
    chunk->live += run;
    table->live += run;
    *added = run;
    void *records = record_at(table, chunk, slot);
    memset(records, 0, (size_t)run * table->record_size);
    return records;
}

struct id_chunk *idtable_chunk(struct idtable *table, uint64_t id)
{
    return chunk_find(table, id / IDTABLE_CHUNK);
}

uint64_t idtable_run(struct idtable *table, uint64_t first, uint64_t max, void **records)
{
    struct id_chunk *chunk = chunk_find(table, first / IDTABLE_CHUNK);
    uint32_t slot = (uint32_t)(first % IDTABLE_CHUNK);
    STEWARD_ASSERT(chunk && bit_get(chunk, slot));
    uint32_t end = IDTABLE_CHUNK - slot < max ? IDTABLE_CHUNK : slot + (uint32_t)max;
    uint32_t at = slot + 1;
    while (at < end && bit_get(chunk, at)) {
        at++;
    }
    *records = record_at(table, chunk, slot);
    return at - slot;
}

void idtable_remove_run(struct idtable *table, uint64_t first, uint64_t count)
{
    struct id_chunk *chunk = chunk_find(table, first / IDTABLE_CHUNK);
    uint32_t slot = (uint32_t)(first % IDTABLE_CHUNK);
    STEWARD_ASSERT(chunk && count <= IDTABLE_CHUNK - slot);
    for (uint32_t i = slot; i < slot + (uint32_t)count; i++) {
        STEWARD_ASSERT(bit_get(chunk, i));
        chunk->used[i / BITS] &= ~(1u << (i % BITS));
    }
    chunk->live -= (uint32_t)count;
    table->live -= count;
    if (chunk->live == 0) {
        chunk_drop(table, chunk);
    }
}

void idtable_remove(struct idtable *table, uint64_t id)
{
    idtable_remove_run(table, id, 1);
}

/* First used slot of the chunk from `slot` on; IDTABLE_CHUNK if none. */
static uint32_t slot_next(const struct id_chunk *chunk, uint32_t slot)
{
    while (slot < IDTABLE_CHUNK) {
        uint32_t word = chunk->used[slot / BITS] >> (slot % BITS);
        if (word) {
            return slot + (uint32_t)__builtin_ctz(word);
        }
        slot = (slot / BITS + 1) * BITS;
    }
    return IDTABLE_CHUNK;
}

/* The first chunk whose number is at least `number`. */
static struct id_chunk *chunk_from(struct idtable *table, uint64_t number)
{
    struct id_chunk *chunk = chunk_find(table, number);
    if (chunk) {
        return chunk;
    }
    struct id_chunk probe = {.number = number};
    return chunk_of(order_after(&table->order, &probe.node));
}

bool idtable_next(struct idtable *table, uint64_t from, uint64_t *id)
{
    struct id_chunk *chunk = chunk_from(table, from / IDTABLE_CHUNK);
    while (chunk) {
        bool inside = chunk->number == from / IDTABLE_CHUNK;
        uint32_t slot = slot_next(chunk, inside ? (uint32_t)(from % IDTABLE_CHUNK) : 0);
        if (slot < IDTABLE_CHUNK) {
            table->cached = chunk;
            *id = chunk->number * IDTABLE_CHUNK + slot;
            return true;
        }
        chunk = idtable_next_chunk(chunk);
    }
    return false;
}

void idtable_check(const struct idtable *table)
{
    uint64_t live = 0;
    const struct id_chunk *chunk = idtable_first_chunk(table);
    order_check(&table->order);
    for (; chunk; chunk = idtable_next_chunk(chunk)) {
        uint32_t bits = 0;
        for (uint32_t i = 0; i < IDTABLE_CHUNK / BITS; i++) {
            bits += (uint32_t)__builtin_popcount(chunk->used[i]);
        }
        STEWARD_ASSERT(bits == chunk->live && bits > 0);
        live += bits;
    }
    STEWARD_ASSERT(live == table->live);
}
