/*
 * The requests of a session that have no answer yet, by id.
 *
 * Ids are contiguous, so they live in a ring; one that waits for an hour while millions pass moves
 * to a side table (`old`), so the ring stays as small as what is really in flight. A request is
 * therefore named by its id; pointers to it are good until the next requests_add.
 * Not thread-safe.
 */
#ifndef CLIENT_LIB_REQUESTS_H
#define CLIENT_LIB_REQUESTS_H

#include "client/lib/blocks.h"
#include "client/lib/names.h"

struct ticket;
struct items;

enum request_flag {
    REQUEST_LIVE = 1,     /* no answer yet */
    REQUEST_LARGE = 2,    /* its (last) body travels as the packet's second frame */
    REQUEST_CANCELED = 4, /* a CANCEL for it was submitted */
    REQUEST_CONTROL = 8   /* the library's own renewal: nobody else hears that it failed */
};

/*
 * op and content. Three shapes (conn_pack.c writes them):
 * - WIRE_PUTS: one body (data, size) for queue `name` with timeout_ms.
 * - settling ops (ACK .. RENEW): `tag`, and the fields after `count` encoded in data.
 * - all others: the fields after the id encoded in data; with LARGE the body follows them
 *   (large_size bytes).
 */
struct request {
    struct ticket *ticket; /* who asks; NULL: nobody */
    union {
        uint64_t tag;
        size_t large_size;
        struct items *items; /* of a GET: what has arrived so far */
    };
    const uint8_t *data;
    struct block *block; /* where data lies */
    struct name *name;
    uint64_t timeout_ms;  /* as sent; UINT64_MAX: for ever */
    uint64_t deadline_ms; /* by our clock; UINT64_MAX: never */
    uint32_t size;
    uint8_t op;
    uint8_t fields; /* how many values data holds */
    uint8_t flags;
    uint8_t attempts; /* after EMEMORY and its kin */
};

struct old_request;

struct requests {
    struct request *ring;
    size_t capacity;         /* a power of two, or 0 */
    uint64_t base;           /* lowest id in the ring that may be live */
    uint64_t next;           /* the id of the next request */
    size_t live;             /* in ring and side table */
    struct old_request *old; /* uthash, by id; in ascending order of id */
    size_t old_count;
};

void requests_init(struct requests *requests);
/* Frees the tables, not what the requests hold. */
void requests_fini(struct requests *requests);

/* A new, zeroed, live request with the next id. Requests with ids below `sent` (they were sent on
 * this connection) may move to the side table. */
struct request *requests_add(struct requests *requests, uint64_t sent, uint64_t *id);

/* The live request with that id, or NULL. */
struct request *requests_find(struct requests *requests, uint64_t id);

/* Forgets it; the caller has released what it holds. */
void requests_remove(struct requests *requests, uint64_t id);

/* The lowest live id >= from; 0 if there is none. Walks ring and side table. */
uint64_t requests_after(const struct requests *requests, uint64_t from);

static inline struct request *requests_slot(const struct requests *requests, uint64_t id)
{
    return &requests->ring[id & (requests->capacity - 1)];
}

#endif
