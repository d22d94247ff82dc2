/*
 * Queues by name and by index: made on first use, collected when idle, freed when nothing refers to
 * them any more.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

static int name_compare(const struct order_node *a, const struct order_node *b)
{
    const struct queue *x = queue_of_name_node((struct order_node *)(uintptr_t)a);
    const struct queue *y = queue_of_name_node((struct order_node *)(uintptr_t)b);
    size_t size = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = memcmp(x->name.text, y->name.text, size);
    return order != 0 ? order : (int)x->name.size - (int)y->name.size;
}

void queues_init(struct core *core)
{
    core->slab = slab_new();
    order_init(&core->queue_names, name_compare);
}

struct queue *queue_find(const struct core *core, struct slice name)
{
    struct queue *queue;
    unsigned hash = (unsigned)core_hash(core, name.data, name.size);
    HASH_FIND_BYHASHVALUE(hh, core->queues_hash, name.data, (unsigned)name.size, hash, queue);
    return queue;
}

/* ---- making --------------------------------------------------------------------------------- */

bool queues_room(const struct core *core, uint64_t more)
{
    return core->queues_capacity - core->free_count + more <= LIMIT_QUEUES;
}

static void indexes_grow(struct core *core)
{
    uint32_t old = core->queues_capacity, capacity = old ? old * 2 : 16;
    core->queues = mem_realloc(core->queues, capacity, sizeof(struct queue *));
    core->free_indexes = mem_realloc(core->free_indexes, capacity, sizeof(uint32_t));
    memset(core->queues + old, 0, (capacity - old) * sizeof(struct queue *));
    core->queues_capacity = capacity;
    for (uint32_t i = capacity; i > old; i--) { /* the smallest on top */
        core->free_indexes[core->free_count++] = i - 1;
    }
}

void queue_name_insert(struct core *core, struct queue *queue)
{
    unsigned hash = (unsigned)core_hash(core, queue->name.text, queue->name.size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, core->queues_hash, queue->name.text, queue->name.size, hash,
                                queue);
    order_insert(&core->queue_names, &queue->by_name, hash);
}

struct queue *queue_new(struct core *core, struct slice name, uint32_t index)
{
    STEWARD_ASSERT(index < core->queues_capacity && !core->queues[index]);
    struct queue *queue = mem_zalloc(1, sizeof *queue);
    queue->index = index;
    queue->next_sequence = 1;
    queue->created_ms = core->now_ms;
    queue->settings.lease_ms = LIMIT_LEASE_MS;
    queue->settings.dedup_window_ms = LIMIT_DEDUP_WINDOW_MS;
    queue->dedup_timer.kind = TIMER_DEDUP;
    queue->idle_timer.kind = TIMER_QUEUE_IDLE;
    order_init(&queue->others, message_compare);
    name_set(&queue->name, name);
    core->queues[index] = queue;
    core->bytes += sizeof *queue;
    return queue;
}

struct queue *queue_get_or_create(struct core *core, struct slice name, int *code)
{
    struct queue *queue = queue_find(core, name);
    if (queue) {
        return queue;
    }
    if (name_check(name) != STW_OK) {
        *code = STW_EINVAL;
        return NULL;
    }
    if (!queues_room(core, 1)) {
        *code = STW_ELIMIT;
        return NULL;
    }
    if (core->free_count == 0) {
        indexes_grow(core);
    }
    queue = queue_new(core, name, core->free_indexes[--core->free_count]);
    queue_name_insert(core, queue);
    return queue;
}

/* ---- ending --------------------------------------------------------------------------------- */

void queue_unname(struct core *core, struct queue *queue)
{
    STEWARD_ASSERT(!queue->deleted);
    HASH_DELETE(hh, core->queues_hash, queue);
    order_remove(&core->queue_names, &queue->by_name);
    queue->deleted = true;
    queue->epoch++;
    timer_disarm(&core->timers, &queue->idle_timer);
    timer_disarm(&core->timers, &queue->dedup_timer);
}

static bool queue_waited(const struct queue *queue)
{
    return queue->getters || queue->parked || queue->putters || queue->parked_putters ||
           queue->joiners;
}

static void queue_free(struct core *core, struct queue *queue)
{
    STEWARD_ASSERT(queue->deleted && queue_size(queue) == 0 && queue->unfinished == 0);
    STEWARD_ASSERT(!queue->pumping && queue->dedup_count == 0);
    core->queues[queue->index] = NULL;
    core->free_indexes[core->free_count++] = queue->index;
    core->bytes -= sizeof *queue;
    fifo_fini(&queue->plain);
    free(queue);
}

static bool queue_idle(const struct queue *queue)
{
    return !queue->declared && !queue->paused && queue->state == QUEUE_OPEN &&
           queue_size(queue) == 0 && queue->leased == 0 && queue->dedup_count == 0 &&
           queue->trash_count == 0 && !queue_waited(queue);
}

void queue_settle_life(struct core *core, struct queue *queue)
{
    if (queue->pumping) {
        return; /* the pump ends with this */
    }
    if (queue->deleted) {
        if (queue->leased == 0 && queue->trash_count == 0 && !queue_waited(queue)) {
            queue_free(core, queue);
        }
        return;
    }
    if (!queue_idle(queue)) {
        timer_disarm(&core->timers, &queue->idle_timer);
    } else if (!timer_armed(&queue->idle_timer)) {
        timer_arm(&core->timers, &queue->idle_timer, core->now_ms + LIMIT_IDLE_COLLECT_MS);
    }
}

/* In use again, perhaps, since the timer was armed: then it stays. */
void queue_timer_idle(struct core *core, struct queue *queue)
{
    if (queue_idle(queue) && !queue->pumping) {
        queue_unname(core, queue);
        queue_free(core, queue);
    }
}

void queue_waiter_done(struct core *core, struct waiter *waiter)
{
    struct queue *queues[LIMIT_GET_QUEUES];
    uint32_t count = waiter->links_count;
    for (uint32_t i = 0; i < count; i++) {
        queues[i] = waiter->links[i].object;
    }
    waiter_free(core, waiter);
    for (uint32_t i = 0; i < count; i++) {
        if (queues[i]) {
            queue_settle_life(core, queues[i]);
        }
    }
}

void queues_fini(struct core *core)
{
    core->pumps = NULL;
    trash_fini(core);
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        struct queue *queue = core->queues[i];
        struct message *message;
        if (!queue) {
            continue;
        }
        while ((message = queue_pop(core, queue))) {
            message_free(core, message);
        }
        while (queue->delayed) {
            message = queue->delayed->message;
            queue_unplace(core, queue, message);
            message_free(core, message);
        }
        queue->pumping = false;
        queue->unfinished = 0;
        dedup_clear(core, queue); /* a broken snapshot may give a deleted one ids, */
        timer_disarm(&core->timers, &queue->idle_timer); /* or let it be idle */
        if (!queue->deleted) {
            queue_unname(core, queue);
        }
        queue_free(core, queue);
    }
    free(core->queues);
    free(core->free_indexes);
    slab_destroy(&core->slab);
}
