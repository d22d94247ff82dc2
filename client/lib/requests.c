/* The table of unanswered requests: a ring, and a side table for the few that wait long. */
#include "client/lib/requests.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <uthash.h>

#define REQUESTS_FIRST 256

struct old_request {
    uint64_t id;
    struct request request;
    UT_hash_handle hh;
};

void requests_init(struct requests *requests)
{
    *requests = (struct requests){.base = 1, .next = 1};
}

void requests_fini(struct requests *requests)
{
    struct old_request *old, *next;
    HASH_ITER (hh, requests->old, old, next) {
        HASH_DEL(requests->old, old);
        free(old);
    }
    free(requests->ring);
    *requests = (struct requests){.base = 1, .next = 1};
}

static void skip_answered(struct requests *requests)
{
    while (requests->base < requests->next &&
           !(requests_slot(requests, requests->base)->flags & REQUEST_LIVE)) {
        requests->base++;
    }
}

static void requests_grow(struct requests *requests)
{
    size_t capacity = requests->capacity ? requests->capacity * 2 : REQUESTS_FIRST;
    struct request *ring = mem_zalloc(capacity, sizeof *ring);
    for (uint64_t id = requests->base; id < requests->next; id++) {
        ring[id & (capacity - 1)] = *requests_slot(requests, id);
    }
    free(requests->ring);
    requests->ring = ring;
    requests->capacity = capacity;
}

/* Moves the ring's first request to the side table. Ids only grow, so uthash's order is theirs. */
static void move_aside(struct requests *requests)
{
    struct request *slot = requests_slot(requests, requests->base);
    struct old_request *old = mem_zalloc(1, sizeof *old);
    old->id = requests->base;
    old->request = *slot;
    HASH_ADD(hh, requests->old, id, sizeof old->id, old);
    requests->old_count++;
    slot->flags = 0;
    requests->base++;
    skip_answered(requests);
}

/* The ring is full: most of it answered? Then the stragglers step aside, else it grows. */
static void make_room(struct requests *requests, uint64_t sent)
{
    size_t in_ring = requests->live - requests->old_count;
    while (in_ring * 4 < requests->capacity && requests->base < sent &&
           requests->base + requests->capacity / 2 < requests->next) {
        move_aside(requests);
        in_ring--;
    }
    if (requests->next - requests->base >= requests->capacity) {
        requests_grow(requests);
    }
}

struct request *requests_add(struct requests *requests, uint64_t sent, uint64_t *id)
{
    if (requests->next - requests->base >= requests->capacity) {
        make_room(requests, sent);
    }
    *id = requests->next++;
    struct request *slot = requests_slot(requests, *id);
    *slot = (struct request){.flags = REQUEST_LIVE};
    requests->live++;
    return slot;
}

static struct old_request *find_old(const struct requests *requests, uint64_t id)
{
    struct old_request *old;
    HASH_FIND(hh, requests->old, &id, sizeof id, old);
    return old;
}

struct request *requests_find(struct requests *requests, uint64_t id)
{
    if (id >= requests->next) {
        return NULL;
    }
    if (id >= requests->base) {
        struct request *slot = requests_slot(requests, id);
        return slot->flags & REQUEST_LIVE ? slot : NULL;
    }
    struct old_request *old = requests->old ? find_old(requests, id) : NULL;
    return old ? &old->request : NULL;
}

void requests_remove(struct requests *requests, uint64_t id)
{
    STEWARD_ASSERT(requests->live > 0);
    requests->live--;
    if (id >= requests->base) {
        requests_slot(requests, id)->flags = 0;
        if (id == requests->base) {
            skip_answered(requests);
        }
        return;
    }
    struct old_request *old = find_old(requests, id);
    STEWARD_ASSERT(old != NULL);
    HASH_DEL(requests->old, old);
    requests->old_count--;
    free(old);
}

uint64_t requests_after(const struct requests *requests, uint64_t from)
{
    if (from < requests->base) {
        /* usually the one before was just visited: then no walk from the start */
        struct old_request *before = requests->old ? find_old(requests, from - 1) : NULL;
        struct old_request *old = before ? before->hh.next : requests->old;
        while (old && old->id < from) {
            old = old->hh.next;
        }
        if (old) {
            return old->id;
        }
        from = requests->base;
    }
    for (uint64_t id = from; id < requests->next; id++) {
        if (requests_slot(requests, id)->flags & REQUEST_LIVE) {
            return id;
        }
    }
    return 0;
}
