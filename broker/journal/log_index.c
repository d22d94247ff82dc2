/* Where each entry is. See log_index.h. */
#include "broker/journal/log_index.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <string.h>

static void *ring_slot(const struct log_ring *ring, uint64_t number)
{
    size_t at = (ring->head + (size_t)(number - ring->first)) & (ring->capacity - 1);
    return ring->data + at * ring->element;
}

static void *ring_find(const struct log_ring *ring, uint64_t number)
{
    bool there = number >= ring->first && number - ring->first < ring->count;
    return there ? ring_slot(ring, number) : NULL;
}

static void ring_grow(struct log_ring *ring)
{
    size_t capacity = ring->capacity ? ring->capacity * 2 : 64;
    uint8_t *data = mem_zalloc(capacity, ring->element);
    for (size_t i = 0; i < ring->count; i++) {
        memcpy(data + i * ring->element, ring_slot(ring, ring->first + i), ring->element);
    }
    free(ring->data);
    ring->data = data;
    ring->capacity = capacity;
    ring->head = 0;
}

static void ring_push(struct log_ring *ring, uint64_t number, const void *element)
{
    if (ring->count == 0) {
        ring->first = number;
    }
    STEWARD_ASSERT(number == ring->first + ring->count);
    if (ring->count == ring->capacity) {
        ring_grow(ring);
    }
    ring->count++;
    memcpy(ring_slot(ring, number), element, ring->element);
}

/* Keeps what is numbered below `end`. */
static void ring_cut(struct log_ring *ring, uint64_t end)
{
    if (end <= ring->first) {
        ring->count = 0;
        ring->first = end;
    } else if (end - ring->first < ring->count) {
        ring->count = (size_t)(end - ring->first);
    }
}

/* Forgets what is numbered below `begin`. */
static void ring_trim(struct log_ring *ring, uint64_t begin)
{
    if (begin <= ring->first) {
        return;
    }
    size_t gone = begin - ring->first < ring->count ? (size_t)(begin - ring->first) : ring->count;
    ring->head = ring->capacity ? (ring->head + gone) & (ring->capacity - 1) : 0;
    ring->count -= gone;
    ring->first += gone;
}

void log_index_init(struct log_index *index)
{
    *index = (struct log_index){.entries = {.element = sizeof(struct log_place), .first = 1},
                                .records = {.element = sizeof(struct log_spot), .first = 1}};
}

void log_index_fini(struct log_index *index)
{
    free(index->entries.data);
    free(index->records.data);
    log_index_init(index);
}

void log_index_add(struct log_index *index, uint64_t number, const struct log_place *place)
{
    ring_push(&index->entries, number, place);
}

void log_index_cut(struct log_index *index, uint64_t number)
{
    ring_cut(&index->entries, number + 1);
}

void log_index_trim(struct log_index *index, uint64_t number)
{
    ring_trim(&index->entries, number);
    const struct log_place *oldest = log_index_find(index, index->entries.first);
    uint64_t end = index->records.first + index->records.count;
    ring_trim(&index->records, oldest && oldest->sequence < end ? oldest->sequence : end);
}

void log_index_record(struct log_index *index, uint64_t sequence, struct log_spot spot)
{
    ring_push(&index->records, sequence, &spot);
}

const struct log_place *log_index_find(const struct log_index *index, uint64_t number)
{
    return ring_find(&index->entries, number);
}

const struct log_spot *log_index_spot(const struct log_index *index, uint64_t sequence)
{
    return ring_find(&index->records, sequence);
}
