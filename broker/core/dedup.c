/*
 * Dedup ids of a queue: a put with an id that is still remembered puts nothing. Remembered for the
 * window that the queue had at that time, at most LIMIT_DEDUP_IDS of them: the oldest is forgotten
 * first. Ids are collected in order of age, so one that expires before an older one (the window was
 * shortened between them) may stay for a while: whoever looks it up sees that it expired.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

static uint64_t dedup_cost(const struct dedup *dedup)
{
    return sizeof *dedup + dedup->size;
}

static unsigned id_hash(const struct core *core, struct slice id)
{
    return (unsigned)core_hash(core, id.data, id.size);
}

static struct dedup *dedup_find(const struct core *core, const struct queue *queue, struct slice id)
{
    struct dedup *dedup;
    HASH_FIND_BYHASHVALUE(hh, queue->dedup, id.data, (unsigned)id.size, id_hash(core, id), dedup);
    return dedup;
}

struct dedup *dedup_new(struct slice id)
{
    STEWARD_ASSERT(id.size > 0 && id.size <= LIMIT_DEDUP_ID_BYTES);
    struct dedup *dedup = mem_zalloc(1, sizeof *dedup + id.size);
    dedup->size = (uint8_t)id.size;
    memcpy(dedup->id, id.data, id.size);
    return dedup;
}

bool dedup_known(const struct core *core, const struct queue *queue, struct slice id)
{
    const struct dedup *dedup = dedup_find(core, queue, id);
    return dedup && (dedup->expires_ms > core->now_ms || CANARY(DEDUP_EXPIRED));
}

static void dedup_forget(struct core *core, struct queue *queue, struct dedup *dedup)
{
    /* the analyzer loses that a list with members has a table */
    HASH_DELETE(hh, queue->dedup, dedup); /* NOLINT(clang-analyzer-core.NullDereference) */
    DL_DELETE(queue->dedup_first, dedup);
    queue->dedup_count--;
    core->bytes -= dedup_cost(dedup);
    free(dedup);
}

/* The timer stands at the oldest id; ids that never expire need none. */
static void dedup_arm(struct core *core, struct queue *queue)
{
    struct dedup *first = queue->dedup_first;
    if (!first || first->expires_ms == UINT64_MAX) {
        timer_disarm(&core->timers, &queue->dedup_timer);
    } else if (!timer_armed(&queue->dedup_timer) ||
               queue->dedup_timer.due_ms != first->expires_ms) {
        timer_arm(&core->timers, &queue->dedup_timer, first->expires_ms);
    }
}

static void dedup_add(struct core *core, struct queue *queue, struct dedup *dedup)
{
    struct slice id = slice_of(dedup->id, dedup->size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, queue->dedup, dedup->id, dedup->size, id_hash(core, id), dedup);
    DL_APPEND(queue->dedup_first, dedup);
    queue->dedup_count++;
    core->bytes += dedup_cost(dedup);
}

void dedup_remember(struct core *core, struct queue *queue, struct dedup *dedup)
{
    uint64_t window_ms = queue->settings.dedup_window_ms;
    struct dedup *expired = dedup_find(core, queue, slice_of(dedup->id, dedup->size));
    dedup->expires_ms = window_ms > 0 ? time_after(core, window_ms) : UINT64_MAX;
    if (expired) {
        STEWARD_ASSERT(expired->expires_ms <= core->now_ms);
        dedup_forget(core, queue, expired);
    } else if (queue->dedup_count >= LIMIT_DEDUP_IDS) {
        dedup_forget(core, queue, queue->dedup_first);
    }
    dedup_add(core, queue, dedup);
    dedup_arm(core, queue);
}

void queue_timer_dedup(struct core *core, struct queue *queue)
{
    while (core->work > 0 && queue->dedup_first && queue->dedup_first->expires_ms <= core->now_ms) {
        dedup_forget(core, queue, queue->dedup_first);
        work_take(core, 1);
    }
    dedup_arm(core, queue);
    queue_settle_life(core, queue);
}

void dedup_clear(struct core *core, struct queue *queue)
{
    while (queue->dedup_first) {
        dedup_forget(core, queue, queue->dedup_first);
    }
    timer_disarm(&core->timers, &queue->dedup_timer);
}

bool dedup_clear_slice(struct core *core, struct queue *queue)
{
    while (core->work > 0 && queue->dedup_first) {
        dedup_forget(core, queue, queue->dedup_first);
        work_take(core, 1);
    }
    return queue->dedup_first != NULL;
}

/* ---- snapshot and check --------------------------------------------------------------------- */

void dedup_save(const struct queue *queue, struct buf *out)
{
    const struct dedup *dedup;
    buf_u64(out, queue->dedup_count);
    DL_FOREACH (queue->dedup_first, dedup) {
        buf_u64(out, dedup->expires_ms);
        buf_slice(out, slice_of(dedup->id, dedup->size));
    }
    timer_save(&queue->dedup_timer, out);
}

bool dedup_load(struct core *core, struct queue *queue, struct reader *in)
{
    uint64_t count = reader_u64(in);
    if (count > LIMIT_DEDUP_IDS) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t expires_ms = reader_u64(in);
        struct slice id = reader_slice(in);
        if (in->failed || id.size == 0 || id.size > LIMIT_DEDUP_ID_BYTES ||
            dedup_find(core, queue, id)) {
            return false;
        }
        struct dedup *dedup = dedup_new(id);
        dedup->expires_ms = expires_ms;
        dedup_add(core, queue, dedup);
    }
    return timer_load(core, &queue->dedup_timer, TIMER_DEDUP, in);
}

void dedup_check(const struct core *core, const struct queue *queue)
{
    uint64_t count = 0;
    const struct dedup *dedup;
    DL_FOREACH (queue->dedup_first, dedup) {
        STEWARD_ASSERT(dedup_find(core, queue, slice_of(dedup->id, dedup->size)) == dedup);
        count++;
    }
    STEWARD_ASSERT(count == queue->dedup_count && count == HASH_COUNT(queue->dedup));
    STEWARD_ASSERT(count <= LIMIT_DEDUP_IDS);
    bool expires = queue->dedup_first && queue->dedup_first->expires_ms != UINT64_MAX;
    STEWARD_ASSERT(timer_armed(&queue->dedup_timer) == (expires && !queue->deleted));
}
