/* The invariants of queues, each as an assertion. Called by core_check. */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

static void plain_check(const struct queue *queue, uint64_t *bytes)
{
    uint64_t last = 0;
    for (size_t i = 0; i < queue->plain.count; i++) {
        const struct message *message = fifo_at(&queue->plain, i);
        STEWARD_ASSERT(!message->ext && message->priority == 0 && message->deliveries == 0);
        STEWARD_ASSERT(message->queue == queue->index && message->sequence > last);
        last = message->sequence;
        *bytes += message->size;
    }
    STEWARD_ASSERT(last < queue->next_sequence);
}

static void others_check(const struct queue *queue, uint64_t *bytes)
{
    size_t count = 0;
    struct order_node *last = NULL, *node = order_first(&queue->others);
    for (; node; last = node, node = order_next(node), count++) {
        const struct message_ext *ext = ext_of_node(node);
        const struct message *message = ext->message;
        STEWARD_ASSERT(message->ext == ext && message->queue == queue->index);
        STEWARD_ASSERT(ext->state == MESSAGE_READY && ext->epoch == queue->epoch);
        STEWARD_ASSERT(!last || message_compare(last, node) < 0);
        STEWARD_ASSERT(timer_armed(&ext->timer) == (ext->expires_ms != UINT64_MAX));
        STEWARD_ASSERT(message->sequence < queue->next_sequence);
        *bytes += message->size;
    }
    STEWARD_ASSERT(count == order_count(&queue->others));
}

static void delayed_check(const struct queue *queue, uint64_t *bytes)
{
    uint64_t count = 0;
    const struct message_ext *ext;
    DL_FOREACH (queue->delayed, ext) {
        STEWARD_ASSERT(ext->message->ext == ext && ext->message->queue == queue->index);
        STEWARD_ASSERT(ext->state == MESSAGE_DELAYED && ext->epoch == queue->epoch);
        STEWARD_ASSERT(timer_armed(&ext->timer) && ext->timer.due_ms <= ext->due_ms);
        *bytes += ext->message->size;
        count++;
    }
    STEWARD_ASSERT(count == queue->delayed_count);
}

/* A list's links, and how many there are. */
static uint64_t links_check(const struct queue *queue, const struct wait_link *list, bool parked)
{
    uint64_t count = 0, turn = 0;
    const struct wait_link *link;
    DL_FOREACH (list, link) {
        STEWARD_ASSERT(link->linked && link->object == queue);
        STEWARD_ASSERT(link >= link->waiter->links &&
                       link < link->waiter->links + link->waiter->links_count);
        STEWARD_ASSERT(link->parked == parked && (parked || link->turn > turn));
        STEWARD_ASSERT(!parked || link->waiter->parked || link->waiter->session->detached);
        turn = link->turn;
        count++;
    }
    return count;
}

static void waiters_check(const struct queue *queue)
{
    uint64_t consumers = 0, getters = 0, putters = 0;
    const struct wait_link *link;
    DL_FOREACH (queue->getters, link) {
        const struct waiter *waiter = link->waiter;
        STEWARD_ASSERT(waiter->kind == WAIT_GET || waiter->kind == WAIT_CONSUME);
        STEWARD_ASSERT(!waiter->parked);
        if (waiter->kind == WAIT_CONSUME) {
            STEWARD_ASSERT(waiter->credit_messages > 0 && waiter->credit_bytes > 0);
            consumers++;
        }
    }
    DL_FOREACH (queue->parked, link) {
        const struct waiter *waiter = link->waiter;
        STEWARD_ASSERT(waiter->kind == WAIT_CONSUME ||
                       (waiter->kind == WAIT_GET && !waiter->parked));
        consumers += waiter->kind == WAIT_CONSUME;
        getters += !waiter->parked;
    }
    DL_FOREACH (queue->parked_putters, link) {
        STEWARD_ASSERT(link->waiter->kind == WAIT_PUT && link->waiter->messages_count > 0);
    }
    DL_FOREACH (queue->putters, link) {
        STEWARD_ASSERT(link->waiter->kind == WAIT_PUT && link->waiter->messages_count > 0);
    }
    STEWARD_ASSERT(consumers == queue->consumers_count);
    links_check(queue, queue->parked, true);
    getters += links_check(queue, queue->getters, false);
    STEWARD_ASSERT(getters == queue->getters_count);
    putters = links_check(queue, queue->putters, false);
    putters += links_check(queue, queue->parked_putters, true);
    STEWARD_ASSERT(putters == queue->putters_count);
    STEWARD_ASSERT(links_check(queue, queue->joiners, false) == queue->joiners_count);
}

/* Nobody waits for what is there, unless the queue is to be pumped. */
static void served_check(const struct queue *queue)
{
    STEWARD_ASSERT(!queue->drain_told || queue_drained(queue));
    if (queue->pumping) {
        return;
    }
    STEWARD_ASSERT(!queue->getters || !queue_deliverable(queue));
    STEWARD_ASSERT(!queue->joiners || queue->unfinished > 0);
    STEWARD_ASSERT(!queue->joiners || queue->joiners->waiter->finishes == queue->finishes);
    STEWARD_ASSERT(!queue->putters || queue->state == QUEUE_OPEN);
    STEWARD_ASSERT(!queue->parked_putters || queue->state == QUEUE_OPEN);
    STEWARD_ASSERT(!queue->putters || !waiter_asleep(queue->putters->waiter));
    STEWARD_ASSERT(!queue->putters || queue->settings.overflow != OVERFLOW_DROP_OLDEST);
    if (queue->putters && queue->settings.overflow == OVERFLOW_BLOCK) {
        const struct waiter *waiter = queue->putters->waiter;
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < waiter->messages_count; i++) {
            bytes += waiter->messages[i]->size;
        }
        STEWARD_ASSERT(!queue_fits(queue, waiter->messages_count, bytes));
    }
    if (queue->deleted) {
        STEWARD_ASSERT(!queue->getters && !queue->parked && !queue->putters && !queue->joiners);
        STEWARD_ASSERT(!queue->parked_putters);
        STEWARD_ASSERT(queue->leased > 0 || queue->trash_count > 0);
    }
}

static void life_check(const struct core *core, const struct queue *queue)
{
    STEWARD_ASSERT(queue->unfinished == (queue->deleted ? 0 : queue_size(queue) + queue->leased));
    STEWARD_ASSERT(!queue->deleted || queue_size(queue) == 0);
    STEWARD_ASSERT((queue_find(core, name_slice(&queue->name)) == queue) != queue->deleted);
    bool busy = queue_size(queue) > 0 || queue->leased > 0 || queue->getters || queue->parked ||
                queue->putters || queue->parked_putters || queue->joiners || queue->declared ||
                queue->paused || queue->trash_count > 0 || queue->state == QUEUE_SHUT ||
                queue->dedup_count > 0;
    if (!queue->pumping && !queue->deleted) {
        STEWARD_ASSERT(timer_armed(&queue->idle_timer) == !busy);
    }
}

/* Leases by queue, counted over the sessions. */
static void leased_check(const struct core *core, uint64_t *leased)
{
    for (const struct session *session = core->sessions; session; session = session->hh.next) {
        const struct id_chunk *chunk = idtable_first_chunk(&session->leases);
        for (; chunk; chunk = idtable_next_chunk(chunk)) {
            const struct lease *leases = (const struct lease *)(const void *)chunk->records;
            for (uint32_t slot = 0; slot < IDTABLE_CHUNK; slot++) {
                if ((chunk->used[slot / 32] >> (slot % 32)) & 1u) {
                    leased[leases[slot].message->queue]++;
                }
            }
        }
    }
}

static void queue_check(const struct core *core, const struct queue *queue, struct totals *totals)
{
    uint64_t bytes = 0;
    plain_check(queue, &bytes);
    others_check(queue, &bytes);
    delayed_check(queue, &bytes);
    STEWARD_ASSERT(bytes == queue->ready_bytes);
    waiters_check(queue);
    served_check(queue);
    life_check(core, queue);
    dedup_check(core, queue);
    totals->ready += queue_ready(queue);
    totals->delayed += queue->delayed_count;
    totals->leased += queue->leased;
    totals->unfinished += queue->unfinished;
}

static void names_check(const struct core *core)
{
    size_t count = 0;
    struct order_node *last = NULL, *node = order_first(&core->queue_names);
    for (; node; last = node, node = order_next(node), count++) {
        STEWARD_ASSERT(!last || core->queue_names.compare(last, node) < 0);
    }
    STEWARD_ASSERT(count == order_count(&core->queue_names));
    STEWARD_ASSERT(count == HASH_COUNT(core->queues_hash));
}

static void trash_check(const struct core *core)
{
    const struct trash *trash;
    uint64_t *counts = mem_zalloc(core->queues_capacity, sizeof(uint64_t));
    DL_FOREACH (core->trash, trash) {
        STEWARD_ASSERT(core->queues[trash->queue->index] == trash->queue);
        counts[trash->queue->index]++;
    }
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        STEWARD_ASSERT(counts[i] == (core->queues[i] ? core->queues[i]->trash_count : 0));
    }
    free(counts);
}

void queues_check(const struct core *core)
{
    struct totals totals = {0};
    uint64_t *leased = mem_zalloc(core->queues_capacity, sizeof(uint64_t));
    uint32_t count = 0;
    leased_check(core, leased);
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        const struct queue *queue = core->queues[i];
        if (queue) {
            STEWARD_ASSERT(queue->index == i && queue->leased == leased[i]);
            queue_check(core, queue, &totals);
            count++;
        }
    }
    free(leased);
    STEWARD_ASSERT(count + core->free_count == core->queues_capacity);
    STEWARD_ASSERT(totals.ready == core->totals.ready && totals.delayed == core->totals.delayed);
    STEWARD_ASSERT(totals.leased == core->totals.leased);
    STEWARD_ASSERT(totals.unfinished == core->totals.unfinished);
    names_check(core);
    trash_check(core);
}
