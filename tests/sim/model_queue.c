/*
 * The model's queues: where messages stand. Every message is in one flat list; a queue's order is
 * found by looking for the smallest (priority, sequence).
 */
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"

#include <stdlib.h>

struct m_queue *m_queue_of(const struct model *model, struct slice name)
{
    for (size_t i = 0; i < model->queues.count; i++) {
        struct m_queue *queue = model->queues.items[i];
        if (!queue->deleted && slice_equal(text_view(&queue->name), name))
            return queue;
    }
    return NULL;
}

struct m_queue *m_queue_make(struct model *model, struct slice name)
{
    struct m_queue *queue = m_queue_of(model, name);
    if (queue)
        return queue;
    if (!m_name_good(name) || model->queues.count >= LIMIT_QUEUES)
        return NULL;
    queue = mem_zalloc(1, sizeof *queue);
    *queue = (struct m_queue){.name = text_of(name),
                              .lease_ms = LIMIT_LEASE_MS,
                              .dedup_window_ms = LIMIT_DEDUP_WINDOW_MS,
                              .next_sequence = 1,
                              .created_ms = model->now_ms,
                              .idle = {.due_ms = NEVER},
                              .dedup = {.due_ms = NEVER}};
    list_add(&model->queues, queue);
    return queue;
}

/* ---- counting ------------------------------------------------------------------------------- */

uint64_t m_queue_count(const struct model *model, const struct m_queue *queue,
                       enum m_message_state state)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->messages.count; i++) {
        const struct m_message *m = model->messages.items[i];
        count += m->queue == queue && m->state == state;
    }
    return count;
}

uint64_t m_queue_bytes(const struct model *model, const struct m_queue *queue)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->messages.count; i++) {
        const struct m_message *m = model->messages.items[i];
        if (m->queue == queue && (m->state == M_READY || m->state == M_DELAYED))
            bytes += m->body.size;
    }
    return bytes;
}

bool m_queue_fits(const struct model *model, const struct m_queue *queue, uint64_t count,
                  uint64_t bytes)
{
    return (queue->maxsize == 0 || m_queue_size(model, queue) + count <= queue->maxsize) &&
           (queue->max_bytes == 0 || m_queue_bytes(model, queue) + bytes <= queue->max_bytes);
}

void m_queue_joins_over(struct model *model, struct m_queue *queue)
{
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->kind == M_JOIN && w->queues[0] == queue)
            w->over = true;
    }
    m_queue_wake(model, queue);
}

void m_queue_finished(struct model *model, struct m_queue *queue, uint64_t count)
{
    queue->unfinished -= count;
    if (m_wait_first(model, queue, M_JOIN) && queue->unfinished == 0)
        m_queue_joins_over(model, queue);
}

/* ---- places --------------------------------------------------------------------------------- */

static uint64_t time_after(const struct model *model, uint64_t duration_ms)
{
    return duration_ms > NEVER - model->now_ms ? NEVER : model->now_ms + duration_ms;
}

void m_queue_place(struct model *model, struct m_message *m)
{
    if (m->extended && m->due_ms > model->now_ms) {
        bool expires_first = m->expires_ms < m->due_ms && !m_dead_pending(m);
        m->state = M_DELAYED;
        m->turn = model->next_turn++;
        m_alarm_set(model, &m->alarm, expires_first ? m->expires_ms : m->due_ms);
        return;
    }
    m->state = M_READY;
    m->due_ms = 0;
    m_alarm_off(&m->alarm);
    if (m->expires_ms != NEVER)
        m_alarm_set(model, &m->alarm, m->expires_ms);
}

void m_queue_adopt(struct model *model, struct m_queue *queue, struct m_message *m)
{
    (void)model;
    m->queue = queue;
    m->sequence = queue->next_sequence++;
    queue->unfinished++;
}

void m_queue_insert(struct model *model, struct m_message *m)
{
    m->due_ms = m->due_ms > 0 ? time_after(model, m->due_ms) : 0;
    m->expires_ms = time_after(model, m->expires_ms);
    m_queue_adopt(model, m->queue, m);
    m_queue_place(model, m);
    COUNT(model, m->queue, put, 1);
}

static bool before(const struct m_message *a, const struct m_message *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    return a->sequence < b->sequence;
}

struct m_message *m_queue_nth(const struct model *model, const struct m_queue *queue, uint64_t k)
{
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        if (m->queue != queue || m->state != M_READY)
            continue;
        uint64_t earlier = 0;
        for (size_t j = 0; j < model->messages.count && earlier <= k; j++) {
            const struct m_message *o = model->messages.items[j];
            earlier += o->queue == queue && o->state == M_READY && before(o, m);
        }
        if (earlier == k)
            return m;
    }
    return NULL;
}

static struct m_message *first_delayed(const struct model *model, const struct m_queue *queue)
{
    struct m_message *first = NULL;
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        if (m->queue == queue && m->state == M_DELAYED && (!first || m->turn < first->turn))
            first = m;
    }
    return first;
}

/* ---- ends ----------------------------------------------------------------------------------- */

void m_queue_drop_oldest(struct model *model, struct m_queue *queue, uint64_t count, uint64_t bytes)
{
    while (!m_queue_fits(model, queue, count, bytes) && m_queue_size(model, queue) > 0) {
        struct m_message *m = m_queue_nth(model, queue, 0);
        m_message_drop(model, m ? m : first_delayed(model, queue));
        COUNT(model, queue, dropped, 1);
        model->dropped++;
        m_queue_finished(model, queue, 1);
    }
}

void m_queue_expire(struct model *model, struct m_message *m)
{
    struct m_queue *queue = m->queue;
    COUNT(model, queue, expired, 1);
    if (queue->dead_letter.size > 0 && m_dead_letter(model, m, "expired"))
        return;
    m_queue_finished(model, queue, 1);
    m_message_drop(model, m);
}

void m_message_alarm(struct model *model, struct m_message *m)
{
    m_queue_wake(model, m->queue);
    m->state = M_WAITING;
    if (m_dead_pending(m)) {
        if (m_dead_letter(model, m, m->dead_reason))
            return;
        m->dead_reason = NULL;
    }
    if (m->expires_ms <= model->now_ms)
        m_queue_expire(model, m);
    else
        m_queue_place(model, m);
}

uint64_t m_queue_cut(struct model *model, struct m_queue *queue)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->messages.count;) {
        struct m_message *m = model->messages.items[i];
        if (m->queue != queue || (m->state != M_READY && m->state != M_DELAYED)) {
            i++;
            continue;
        }
        m_message_drop(model, m);
        count++;
    }
    m_queue_finished(model, queue, count);
    return count;
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool woken(const struct model *model, const struct m_queue *queue)
{
    for (size_t i = 0; i < model->pumps.count; i++)
        if (model->pumps.items[i] == queue)
            return true;
    return false;
}

void m_queue_wake(struct model *model, struct m_queue *queue)
{
    if (!woken(model, queue))
        list_add(&model->pumps, queue);
}

static bool waited_on(const struct model *model, const struct m_queue *queue)
{
    for (size_t i = 0; i < model->waiters.count; i++) {
        const struct m_waiter *w = model->waiters.items[i];
        for (size_t k = 0; k < w->queues_count; k++)
            if (w->queues[k] == queue)
                return true;
    }
    return false;
}

static bool dedup_any(const struct model *model, const struct m_queue *queue)
{
    for (size_t i = 0; i < model->dedups.count; i++)
        if (((struct m_dedup *)model->dedups.items[i])->queue == queue)
            return true;
    return false;
}

static bool is_idle(const struct model *model, const struct m_queue *queue)
{
    return !queue->declared && !queue->paused && !queue->shut && m_queue_size(model, queue) == 0 &&
           m_queue_count(model, queue, M_LEASED) == 0 && !dedup_any(model, queue) &&
           !waited_on(model, queue);
}

static void queue_forget(struct model *model, struct m_queue *queue)
{
    list_remove(&model->queues, queue);
    text_free(&queue->name);
    text_free(&queue->dead_letter);
    free(queue);
}

void m_queue_life(struct model *model, struct m_queue *queue)
{
    if (woken(model, queue))
        return; /* serving ends with this */
    if (queue->deleted) {
        if (m_queue_count(model, queue, M_LEASED) == 0 && !waited_on(model, queue))
            queue_forget(model, queue);
        return;
    }
    if (!is_idle(model, queue))
        m_alarm_off(&queue->idle);
    else if (queue->idle.due_ms == NEVER)
        m_alarm_set(model, &queue->idle, model->now_ms + LIMIT_IDLE_COLLECT_MS);
}

void m_queue_idle(struct model *model, struct m_queue *queue)
{
    if (is_idle(model, queue) && !woken(model, queue))
        queue_forget(model, queue);
}

void m_queues_free(struct model *model)
{
    while (model->messages.count > 0)
        m_message_drop(model, model->messages.items[0]);
    for (size_t i = 0; i < model->queues.count; i++)
        m_dedup_clear(model, model->queues.items[i]);
    while (model->queues.count > 0)
        queue_forget(model, model->queues.items[0]);
}
