/*
 * Where a message stands in its queue, and the counts that go with it.
 *
 * Ready messages stand in two places. `plain` is the short path: priority 0, no options, never
 * delivered, in order of arrival. Everything else ready is in `others`, by (priority, sequence).
 * The next to deliver is the smaller of both heads, so a returned message regains its place.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

#include <utlist.h>

int message_compare(const struct order_node *a, const struct order_node *b)
{
    const struct message *x = ext_of_node((struct order_node *)(uintptr_t)a)->message;
    const struct message *y = ext_of_node((struct order_node *)(uintptr_t)b)->message;
    if (x->priority != y->priority) {
        return x->priority > y->priority ? -1 : 1;
    }
    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

uint32_t message_weight(const struct core *core, const struct message *message)
{
    return (uint32_t)core_hash(core, &message->sequence, sizeof message->sequence);
}

/* ---- in ------------------------------------------------------------------------------------- */

/* A message that its full dead-letter queue refused waits for the next try and nothing else. */
static bool dead_pending(const struct message_ext *ext)
{
    return ext->dead_reason && !ext->source;
}

static void place_delayed(struct core *core, struct queue *queue, struct message_ext *ext)
{
    uint64_t due_ms = ext->due_ms;
    if (ext->expires_ms < due_ms && !dead_pending(ext)) {
        due_ms = ext->expires_ms;
    }
    ext->state = MESSAGE_DELAYED;
    DL_APPEND(queue->delayed, ext);
    queue->delayed_count++;
    core->totals.delayed++;
    timer_arm(&core->timers, &ext->timer, due_ms);
}

static void place_ready(struct core *core, struct queue *queue, struct message_ext *ext)
{
    ext->state = MESSAGE_READY;
    ext->due_ms = 0;
    order_insert(&queue->others, &ext->node, message_weight(core, ext->message));
    core->totals.ready++;
    if (ext->expires_ms != UINT64_MAX) {
        timer_arm(&core->timers, &ext->timer, ext->expires_ms);
    }
}

void queue_place(struct core *core, struct queue *queue, struct message *message)
{
    struct message_ext *ext = message->ext;
    queue->ready_bytes += message->size;
    queue->drain_told = false;
    if (!ext) {
        STEWARD_ASSERT(message->priority == 0 && message->deliveries == 0);
        fifo_push(&queue->plain, message);
        core->totals.ready++;
        return;
    }
    ext->epoch = queue->epoch;
    if (ext->due_ms > core->now_ms) {
        place_delayed(core, queue, ext);
    } else {
        place_ready(core, queue, ext);
    }
}

void queue_adopt(struct core *core, struct queue *queue, struct message *message)
{
    message->queue = queue->index;
    message->sequence = queue->next_sequence++;
    queue->unfinished++;
    core->totals.unfinished++;
}

void queue_insert(struct core *core, struct queue *queue, struct message *message)
{
    struct message_ext *ext = message->ext;
    if (ext) {
        ext->due_ms = ext->due_ms > 0 ? time_after(core, ext->due_ms) : 0;
        ext->expires_ms = time_after(core, ext->expires_ms);
    }
    queue_adopt(core, queue, message);
    queue_place(core, queue, message);
    QUEUE_COUNT(core, queue, put, 1);
}

/* ---- out ------------------------------------------------------------------------------------ */

void queue_unplace(struct core *core, struct queue *queue, struct message *message)
{
    struct message_ext *ext = message->ext;
    timer_disarm(&core->timers, &ext->timer);
    queue->ready_bytes -= message->size;
    if (ext->state == MESSAGE_READY) {
        order_remove(&queue->others, &ext->node);
        core->totals.ready--;
    } else {
        STEWARD_ASSERT(ext->state == MESSAGE_DELAYED);
        DL_DELETE(queue->delayed, ext);
        queue->delayed_count--;
        core->totals.delayed--;
    }
}

/* The head of `others`, if it goes before the head of `plain`. */
static struct message *others_head(const struct queue *queue)
{
    if (!queue->others.root) {
        return NULL;
    }
    struct message *other = ext_of_node(order_first(&queue->others))->message;
    if (other->priority == 0 && queue->plain.count > 0 &&
        fifo_at(&queue->plain, 0)->sequence < other->sequence) {
        return NULL;
    }
    return other;
}

struct message *queue_pop(struct core *core, struct queue *queue)
{
    struct message *message = others_head(queue);
    if (message) {
        queue_unplace(core, queue, message);
        return message;
    }
    message = fifo_pop(&queue->plain);
    if (message) {
        queue->ready_bytes -= message->size;
        core->totals.ready--;
    }
    return message;
}

/* They are told in slices; what is put meanwhile is nothing to who was there before. */
void queue_end_joins(struct core *core, struct queue *queue)
{
    queue->finishes++;
    queue_wake(core, queue);
}

void queue_finished(struct core *core, struct queue *queue, uint64_t count)
{
    STEWARD_ASSERT(queue->unfinished >= count);
    queue->unfinished -= count;
    core->totals.unfinished -= count;
    if (queue->joiners && queue->unfinished == 0) {
        queue_end_joins(core, queue);
    }
    if (queue->joiners && CANARY(EARLY_JOIN)) {
        queue_wake(core, queue);
    }
}

/* ---- order ---------------------------------------------------------------------------------- */

/* How many of `others` go before a plain message of this sequence. */
static size_t others_before(const struct queue *queue, uint64_t sequence)
{
    struct message probe = {.sequence = sequence};
    struct message_ext ext = {.message = &probe};
    return order_rank(&queue->others, &ext.node);
}

struct message *queue_at(const struct queue *queue, uint64_t k)
{
    STEWARD_ASSERT(k < queue_ready(queue));
    /* How many plain messages stand at or before place k: binary search over their places. */
    size_t low = 0, high = queue->plain.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct message *plain = fifo_at(&queue->plain, middle);
        uint64_t place = middle + others_before(queue, plain->sequence);
        if (place == k) {
            return plain;
        }
        if (place < k) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return ext_of_node(order_at(&queue->others, k - low))->message;
}

/* ---- bounds and ends ------------------------------------------------------------------------ */

bool queue_fits(const struct queue *queue, uint64_t count, uint64_t bytes)
{
    const struct queue_settings *settings = &queue->settings;
    uint64_t maxsize = settings->maxsize;
    if (CANARY(MAXSIZE_PLUS_ONE) && maxsize > 0) {
        maxsize++;
    }
    return (maxsize == 0 || queue_size(queue) + count <= maxsize) &&
           (settings->max_bytes == 0 || queue->ready_bytes + bytes <= settings->max_bytes);
}

bool queue_drop_oldest(struct core *core, struct queue *queue, uint64_t count, uint64_t bytes)
{
    uint64_t most = count + core->work;
    while (!queue_fits(queue, count, bytes) && queue_size(queue) > 0) {
        if (most-- == 0) {
            return false;
        }
        work_take(core, 1);
        struct message *message = queue_pop(core, queue);
        if (!message) {
            message = queue->delayed->message;
            queue_unplace(core, queue, message);
        }
        QUEUE_COUNT(core, queue, dropped, 1);
        queue_finished(core, queue, 1);
        message_free(core, message);
    }
    return queue_fits(queue, count, bytes);
}

void queue_expire(struct core *core, struct queue *queue, struct message *message)
{
    QUEUE_COUNT(core, queue, expired, 1);
    if (queue->settings.dead_letter.size > 0 && dead_letter(core, queue, message, dead_expired)) {
        return;
    }
    queue_finished(core, queue, 1);
    message_free(core, message);
}

void message_timer(struct core *core, struct message_ext *ext)
{
    struct message *message = ext->message;
    struct queue *queue = message_queue(core, message);
    work_take(core, 1);
    if (ext->epoch != queue->epoch) {
        return; /* in the trash */
    }
    queue_unplace(core, queue, message);
    queue_wake(core, queue);
    if (dead_pending(ext)) {
        if (dead_letter(core, queue, message, ext->dead_reason)) {
            return;
        }
        ext->dead_reason = NULL; /* dead letters of a dead-letter queue stay where they are */
    }
    if (ext->expires_ms <= core->now_ms && !CANARY(TTL_IGNORED)) {
        queue_expire(core, queue, message);
    } else {
        if (CANARY(TTL_IGNORED)) {
            ext->expires_ms = UINT64_MAX;
        }
        queue_place(core, queue, message);
    }
}
