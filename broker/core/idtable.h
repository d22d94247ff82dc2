/*
 * Fixed-size records under growing 64-bit ids: chunks of 256 ids, only chunks in use exist.
 * Get and remove are O(1); a chunk is freed with its last record, so one old id pins 256 records,
 * not everything that came after it. Chunks are visited in ascending order, and the next one after
 * a gap is found in O(log n). What the chunks cost, holes and all, is counted for the owner.
 */
#ifndef BROKER_CORE_IDTABLE_H
#define BROKER_CORE_IDTABLE_H

#include "broker/core/order.h"
#include "broker/core/timer.h"

#include <uthash.h>

#define IDTABLE_CHUNK 256

struct id_chunk {
    uint64_t number;                   /* id / IDTABLE_CHUNK */
    uint32_t live;                     /* records in use */
    uint32_t used[IDTABLE_CHUNK / 32]; /* bitmap */
    struct timer timer;                /* free for the owner's use (leases) */
    void *owner;                       /* likewise */
    struct order_node node;            /* ascending */
    UT_hash_handle hh;
    _Alignas(16) unsigned char records[]; /* IDTABLE_CHUNK * record_size */
};

struct idtable {
    struct id_chunk *hash;
    struct order order; /* of chunks, by number */
    struct id_chunk *cached;
    uint32_t record_size; /* bytes */
    uint64_t live;
    uint64_t *bytes; /* borrowed: the chunks' cost is part of it */
};

/* Adds what its chunks cost to *bytes, and takes it away again. */
void idtable_init(struct idtable *table, uint32_t record_size, uint64_t *bytes);
/* What it has added to *bytes: nominal, the same on every machine. */
uint64_t idtable_cost(const struct idtable *table);
/* The chunks, in ascending order; NULL: no more. */
struct id_chunk *idtable_first_chunk(const struct idtable *table);
struct id_chunk *idtable_next_chunk(const struct id_chunk *chunk);
void idtable_fini(struct idtable *table); /* timers must be disarmed */
/* The record of id, NULL if absent. */
void *idtable_get(struct idtable *table, uint64_t id);
/* A zeroed record for id, which must be absent; *chunk (may be NULL) gets its chunk. */
void *idtable_add(struct idtable *table, uint64_t id, struct id_chunk **chunk);
/*
 * Runs, for the hot path: as many zeroed records for first, first + 1, ... as fit in one chunk, at
 * most count; they lie one behind the other. *added says how many. All must be absent.
 */
void *idtable_add_run(struct idtable *table, uint64_t first, uint64_t count, uint64_t *added);
/* From a present id on: how many ids in a row are present in its chunk, at most max; *records gets
 * the first one's record, the others follow. */
uint64_t idtable_run(struct idtable *table, uint64_t first, uint64_t max, void **records);
/* Removes a run within one chunk, as idtable_run found it. */
void idtable_remove_run(struct idtable *table, uint64_t first, uint64_t count);
/* Its chunk; NULL if the id's chunk does not exist. */
struct id_chunk *idtable_chunk(struct idtable *table, uint64_t id);
/* The id must be present. The chunk's timer must be disarmed by the caller when live is 1. */
void idtable_remove(struct idtable *table, uint64_t id);
/* Smallest id >= from that is present; false if none. */
bool idtable_next(struct idtable *table, uint64_t from, uint64_t *id);
/* Walks all chunks; panics when counts or order are wrong. */
void idtable_check(const struct idtable *table);

#endif
