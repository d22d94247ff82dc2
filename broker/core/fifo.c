/*
 * Plain ready messages in order of arrival: a deque of chunks of 64 pointers, appended at the tail
 * and popped at the head only, with the k-th in O(1). A queued message costs 8 bytes here and its
 * share of a chunk's overhead; an empty queue costs nothing.
 */
#include "broker/core/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

static size_t chunks_used(const struct fifo *fifo)
{
    return (fifo->head + fifo->count + FIFO_CHUNK - 1) / FIFO_CHUNK;
}

static struct message ***chunk_slot(const struct fifo *fifo, size_t chunk)
{
    return &fifo->chunks[(fifo->chunks_head + chunk) & (fifo->chunks_capacity - 1)];
}

/* Twice the ring; its chunks lie in order from 0 on. */
static void ring_grow(struct fifo *fifo)
{
    size_t capacity = fifo->chunks_capacity ? fifo->chunks_capacity * 2 : 4;
    struct message ***chunks = mem_zalloc(capacity, sizeof *chunks);
    for (size_t i = 0; i < fifo->chunks_capacity; i++) {
        chunks[i] = *chunk_slot(fifo, i);
    }
    free(fifo->chunks);
    fifo->chunks = chunks;
    fifo->chunks_capacity = capacity;
    fifo->chunks_head = 0;
}

void fifo_push(struct fifo *fifo, struct message *message)
{
    size_t at = fifo->head + fifo->count;
    if (at % FIFO_CHUNK == 0) {
        if (at / FIFO_CHUNK == fifo->chunks_capacity) {
            ring_grow(fifo);
        }
        *chunk_slot(fifo, at / FIFO_CHUNK) = mem_alloc(FIFO_CHUNK * sizeof(struct message *));
    }
    (*chunk_slot(fifo, at / FIFO_CHUNK))[at % FIFO_CHUNK] = message;
    fifo->count++;
}

struct message *fifo_pop(struct fifo *fifo)
{
    if (fifo->count == 0) {
        return NULL;
    }
    struct message ***chunk = chunk_slot(fifo, 0);
    struct message *message = (*chunk)[fifo->head++];
    fifo->count--;
    if (fifo->head == FIFO_CHUNK || fifo->count == 0) {
        free(*chunk);
        *chunk = NULL;
        fifo->head = 0;
        fifo->chunks_head = (fifo->chunks_head + 1) & (fifo->chunks_capacity - 1);
    }
    if (fifo->count == 0) {
        fifo_fini(fifo); /* a queue that once was deep keeps no ring */
    }
    return message;
}

struct message *fifo_at(const struct fifo *fifo, size_t k)
{
    STEWARD_ASSERT(k < fifo->count);
    size_t at = fifo->head + k;
    return (*chunk_slot(fifo, at / FIFO_CHUNK))[at % FIFO_CHUNK];
}

void fifo_fini(struct fifo *fifo)
{
    for (size_t i = 0; i < chunks_used(fifo); i++) {
        free(*chunk_slot(fifo, i));
    }
    free(fifo->chunks);
    *fifo = (struct fifo){0};
}
