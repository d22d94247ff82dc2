/*
 * What is received: packets, runs of messages in them, and lists of messages. A body is never
 * copied here: an item points into its packet, which lives until the last item is gone.
 * Not thread-safe: the client's mutex guards it.
 */
#ifndef CLIENT_LIB_DELIVERY_H
#define CLIENT_LIB_DELIVERY_H

#include "client/lib/names.h"

/* A received packet. Whoever received it makes it (one reference); release is called when the last
 * reference is gone. */
struct packet {
    struct slice head;
    struct slice body; /* the second frame; data NULL: there is none */
    uint32_t refs;
    void (*release)(struct packet *packet);
};

/* What the messages of one DELIVER record have in common. */
struct run {
    struct packet *packet;
    struct name *queue;
    uint32_t refs;
    uint32_t deliveries;
    uint64_t lease_ms;
    uint64_t lease_from_ms; /* by our clock: when it arrived or was last renewed */
    uint64_t sequence;
    struct slice fields; /* encoded map; empty: none */
    struct run *next;    /* in the pool */
    uint8_t priority;
};

struct item {
    struct run *run; /* NULL: the lease was lost while it lay here */
    const uint8_t *data;
    uint64_t tag;
    uint64_t token;
    size_t size;
};

/* A queue of items; {0} is valid. */
struct items {
    struct item *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t head;     /* counts on for ever; index = head & (capacity - 1) */
    size_t count;
};

/* Runs are pooled; names belong to the table. */
struct runs {
    struct run *spare;
    struct names *names;
};

/* A run with one reference; takes a reference on packet and the name's. */
struct run *runs_new(struct runs *runs, struct packet *packet, struct name *queue);
void runs_release(struct runs *runs, struct run *run);
void runs_fini(struct runs *runs);

void packet_release(struct packet *packet);

/* Appends; the item's reference on its run goes with it. */
void items_push(struct items *items, struct item item);
/* Takes the first; false when empty. */
bool items_pop(struct items *items, struct item *item);
/* Releases all items and the memory. */
void items_fini(struct items *items, struct runs *runs);

static inline struct item *items_at(const struct items *items, size_t i)
{
    return &items->ring[(items->head + i) & (items->capacity - 1)];
}

#endif
