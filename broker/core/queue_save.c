/*
 * Queues in snapshots: in order of their indexes, with their ready and delayed messages in order.
 * Leased messages are saved with their sessions, waiting ones with their waiters.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- writing -------------------------------------------------------------------------------- */

static void settings_save(const struct queue_settings *settings, struct buf *out)
{
    buf_u64(out, settings->maxsize);
    buf_u64(out, settings->max_bytes);
    buf_u64(out, settings->lease_ms);
    buf_u64(out, settings->max_deliveries);
    buf_u64(out, settings->ttl_ms);
    buf_u64(out, settings->delay_ms);
    buf_u64(out, settings->dedup_window_ms);
    buf_slice(out, name_slice(&settings->dead_letter));
    buf_u8(out, settings->overflow);
}

/* The counters lie side by side. */
#define COUNTERS (sizeof(struct queue_counters) / sizeof(uint64_t))

static void counters_save(const struct queue_counters *counters, struct buf *out)
{
    uint64_t values[COUNTERS];
    memcpy(values, counters, sizeof values);
    for (size_t i = 0; i < COUNTERS; i++) {
        buf_u64(out, values[i]);
    }
}

static void messages_save(const struct queue *queue, struct buf *out)
{
    buf_u64(out, queue->plain.count);
    for (size_t i = 0; i < queue->plain.count; i++) {
        message_save(fifo_at(&queue->plain, i), out);
    }
    buf_u64(out, order_count(&queue->others));
    struct order_node *node = order_first(&queue->others);
    for (; node; node = order_next(node)) {
        message_save(ext_of_node(node)->message, out);
    }
    const struct message_ext *ext;
    buf_u64(out, queue->delayed_count);
    DL_FOREACH (queue->delayed, ext) {
        message_save(ext->message, out);
    }
}

static void queue_save(const struct queue *queue, struct buf *out)
{
    buf_slice(out, name_slice(&queue->name));
    buf_u32(out, queue->index);
    buf_u32(out, queue->epoch);
    buf_u8(out, queue->state);
    buf_u8(out, queue->declared);
    buf_u8(out, queue->paused);
    buf_u8(out, queue->deleted);
    buf_u8(out, queue->dead_target);
    buf_u8(out, queue->drain_told);
    settings_save(&queue->settings, out);
    buf_u64(out, queue->next_sequence);
    buf_u64(out, queue->unfinished);
    buf_u64(out, queue->finishes);
    buf_u64(out, queue->created_ms);
    counters_save(&queue->counters, out);
    timer_save(&queue->idle_timer, out);
    dedup_save(queue, out);
    messages_save(queue, out);
}

void queues_save(const struct core *core, struct buf *out)
{
    uint32_t count = 0;
    buf_u32(out, core->queues_capacity);
    buf_u32(out, core->free_count);
    for (uint32_t i = 0; i < core->free_count; i++) {
        buf_u32(out, core->free_indexes[i]);
    }
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        count += core->queues[i] != NULL;
    }
    buf_u32(out, count);
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        if (core->queues[i]) {
            queue_save(core->queues[i], out);
        }
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static bool settings_load(struct queue_settings *settings, struct reader *in)
{
    settings->maxsize = reader_u64(in);
    settings->max_bytes = reader_u64(in);
    settings->lease_ms = reader_u64(in);
    settings->max_deliveries = reader_u64(in);
    settings->ttl_ms = reader_u64(in);
    settings->delay_ms = reader_u64(in);
    settings->dedup_window_ms = reader_u64(in);
    struct slice dead_letter = reader_slice(in);
    settings->overflow = reader_u8(in);
    if (in->failed || dead_letter.size > LIMIT_NAME_BYTES ||
        settings->overflow > OVERFLOW_DROP_OLDEST) {
        return false;
    }
    name_set(&settings->dead_letter, dead_letter);
    return true;
}

static void counters_load(struct queue_counters *counters, struct reader *in)
{
    uint64_t values[COUNTERS];
    for (size_t i = 0; i < COUNTERS; i++) {
        values[i] = reader_u64(in);
    }
    memcpy(counters, values, sizeof values);
}

/* What follows from the messages themselves. */
static void sums_load(struct queue *queue)
{
    const struct message_ext *ext;
    for (size_t i = 0; i < queue->plain.count; i++) {
        queue->ready_bytes += fifo_at(&queue->plain, i)->size;
    }
    struct order_node *node = order_first(&queue->others);
    for (; node; node = order_next(node)) {
        queue->ready_bytes += ext_of_node(node)->message->size;
    }
    DL_FOREACH (queue->delayed, ext) {
        queue->ready_bytes += ext->message->size;
        queue->delayed_count++;
    }
}

static bool flags_load(struct queue *queue, struct reader *in)
{
    queue->epoch = reader_u32(in);
    queue->state = reader_u8(in);
    queue->declared = reader_u8(in) != 0;
    queue->paused = reader_u8(in) != 0;
    queue->deleted = reader_u8(in) != 0;
    queue->dead_target = reader_u8(in) != 0;
    queue->drain_told = reader_u8(in) != 0;
    return !in->failed && queue->state <= QUEUE_SHUT;
}

static bool queue_load(struct core *core, struct reader *in)
{
    struct slice name = reader_slice(in);
    uint32_t index = reader_u32(in);
    if (in->failed || name.size == 0 || name.size > LIMIT_NAME_BYTES ||
        index >= core->queues_capacity || core->queues[index]) {
        return false;
    }
    struct queue *queue = queue_new(core, name, index);
    queue->deleted = true; /* until it stands in the name tables */
    struct queue flags = {0};
    if (!flags_load(&flags, in) || (!flags.deleted && queue_find(core, name))) {
        return false;
    }
    if (!flags.deleted) {
        queue_name_insert(core, queue);
    }
    queue->epoch = flags.epoch;
    queue->state = flags.state;
    queue->declared = flags.declared;
    queue->paused = flags.paused;
    queue->deleted = flags.deleted;
    queue->dead_target = flags.dead_target;
    if (!settings_load(&queue->settings, in)) {
        return false;
    }
    queue->next_sequence = reader_u64(in);
    queue->unfinished = reader_u64(in);
    queue->finishes = reader_u64(in);
    queue->created_ms = reader_u64(in);
    counters_load(&queue->counters, in);
    if (!timer_load(core, &queue->idle_timer, TIMER_QUEUE_IDLE, in) ||
        !dedup_load(core, queue, in)) {
        return false;
    }
    struct message_lists to = {&queue->plain, &queue->others, &queue->delayed};
    bool good = messages_load(core, in, queue, &to);
    sums_load(queue);
    queue->drain_told = flags.drain_told;
    return good && (!queue->drain_told || queue_drained(queue));
}

/* The stack of free indexes: each of them once. */
static bool indexes_load(struct core *core, struct reader *in)
{
    uint32_t capacity = reader_u32(in);
    uint32_t count = reader_u32(in);
    if (in->failed || count > capacity || capacity > 2 * LIMIT_QUEUES) {
        return false;
    }
    core->queues = mem_zalloc(capacity, sizeof(struct queue *));
    core->free_indexes = mem_zalloc(capacity, sizeof(uint32_t));
    core->queues_capacity = capacity;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = reader_u32(in);
        if (in->failed || index >= capacity) {
            return false;
        }
        core->free_indexes[core->free_count++] = index;
    }
    return true;
}

/* Every index is either free, once, or some queue's. */
static bool indexes_complete(const struct core *core)
{
    uint8_t *seen = mem_zalloc(core->queues_capacity, 1);
    bool good = true;
    for (uint32_t i = 0; i < core->free_count; i++) {
        uint32_t index = core->free_indexes[i];
        good = good && !seen[index] && !core->queues[index];
        seen[index] = 1;
    }
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        good = good && (seen[i] || core->queues[i]);
    }
    free(seen);
    return good;
}

bool queues_load(struct core *core, struct reader *in)
{
    if (!indexes_load(core, in)) {
        return false;
    }
    uint32_t count = reader_u32(in);
    for (uint32_t i = 0; i < count; i++) {
        if (in->failed || !queue_load(core, in)) {
            return false;
        }
    }
    return !in->failed && indexes_complete(core);
}
