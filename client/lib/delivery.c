/* Received packets, runs and items: see delivery.h. */
#include "client/lib/delivery.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

struct run *runs_new(struct runs *runs, struct packet *packet, struct name *queue)
{
    struct run *run = runs->spare;
    if (run) {
        runs->spare = run->next;
    } else {
        run = mem_alloc(sizeof *run);
    }
    *run = (struct run){.packet = packet, .queue = queue, .refs = 1, .deliveries = 1};
    packet->refs++;
    return run;
}

void runs_release(struct runs *runs, struct run *run)
{
    STEWARD_ASSERT(run->refs > 0);
    if (--run->refs > 0) {
        return;
    }
    packet_release(run->packet);
    names_release(runs->names, run->queue);
    run->next = runs->spare;
    runs->spare = run;
}

void runs_fini(struct runs *runs)
{
    while (runs->spare) {
        struct run *run = runs->spare;
        runs->spare = run->next;
        free(run);
    }
}

void packet_release(struct packet *packet)
{
    STEWARD_ASSERT(packet->refs > 0);
    if (--packet->refs == 0) {
        packet->release(packet);
    }
}

static void items_grow(struct items *items)
{
    size_t capacity = items->capacity ? items->capacity * 2 : 16;
    struct item *ring = mem_alloc(capacity * sizeof *ring);
    for (size_t i = 0; i < items->count; i++) {
        ring[i] = *items_at(items, i);
    }
    free(items->ring);
    items->ring = ring;
    items->capacity = capacity;
    items->head = 0;
}

void items_push(struct items *items, struct item item)
{
    if (items->count == items->capacity) {
        items_grow(items);
    }
    *items_at(items, items->count) = item;
    items->count++;
}

bool items_pop(struct items *items, struct item *item)
{
    if (items->count == 0) {
        return false;
    }
    *item = *items_at(items, 0);
    items->head++;
    items->count--;
    return true;
}

void items_fini(struct items *items, struct runs *runs)
{
    struct item item;
    while (items_pop(items, &item)) {
        if (item.run) {
            runs_release(runs, item.run);
        }
    }
    free(items->ring);
    *items = (struct items){0};
}
