/* The model's waiters: one list in order of arrival, and a turn in the line of each object. */
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"
#include "common/base/steward_errors.h"

#include <stdlib.h>

struct m_waiter *m_wait_new(struct model *model, struct m_session *session,
                            const struct command *command, enum m_wait kind, uint64_t timeout_ms)
{
    struct m_waiter *w = mem_zalloc(1, sizeof *w);
    w->kind = kind;
    w->session = session;
    w->request = command->request;
    w->since_ms = model->now_ms;
    if (timeout_ms != TIMEOUT_FOREVER && timeout_ms > LIMIT_DURATION_MS)
        timeout_ms = LIMIT_DURATION_MS;
    w->timeout_ms = timeout_ms;
    w->alarm.due_ms = NEVER;
    if (timeout_ms != TIMEOUT_FOREVER)
        m_alarm_set(model, &w->alarm, model->now_ms + timeout_ms);
    list_add(&model->waiters, w);
    return w;
}

void m_wait_queue(struct model *model, struct m_waiter *waiter, struct m_queue *queue)
{
    waiter->queues[waiter->queues_count] = queue;
    waiter->turns[waiter->queues_count++] = model->next_turn++;
}

void m_wait_free(struct model *model, struct m_waiter *waiter)
{
    list_remove(&model->waiters, waiter);
    for (size_t i = 0; i < waiter->messages.count; i++)
        m_message_drop(model, waiter->messages.items[i]);
    list_fini(&waiter->messages);
    text_free(&waiter->dedup_id);
    free(waiter);
}

struct m_waiter *m_wait_of(const struct model *model, const struct m_session *session,
                           uint64_t request)
{
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->session == session && w->request == request)
            return w;
    }
    return NULL;
}

static bool in_line(const struct m_waiter *waiter, enum m_wait kind)
{
    return !waiter->parked &&
           (waiter->kind == kind || (kind == M_GET && waiter->kind == M_CONSUME));
}

static bool in_parked_line(const struct m_waiter *waiter, enum m_wait kind)
{
    (void)kind;
    return waiter->parked;
}

static struct m_waiter *first_of(const struct model *model, const struct m_queue *queue,
                                 enum m_wait kind,
                                 bool (*matches)(const struct m_waiter *, enum m_wait))
{
    struct m_waiter *first = NULL;
    uint64_t turn = NEVER;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        for (size_t k = 0; matches(w, kind) && k < w->queues_count; k++) {
            if (w->queues[k] == queue && w->turns[k] < turn) {
                first = w;
                turn = w->turns[k];
            }
        }
    }
    return first;
}

struct m_waiter *m_wait_first(const struct model *model, const struct m_queue *queue,
                              enum m_wait kind)
{
    return first_of(model, queue, kind, in_line);
}

struct m_waiter *m_wait_first_parked(const struct model *model, const struct m_queue *queue)
{
    return first_of(model, queue, M_CONSUME, in_parked_line);
}

struct m_waiter *m_wait_first_lock(const struct model *model, const struct m_lock *lock)
{
    struct m_waiter *first = NULL;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->kind == M_ACQUIRE && w->lock == lock && (!first || w->turn < first->turn))
            first = w;
    }
    return first;
}

/* A consumer has no request that waits: it is told otherwise. */
void m_wait_fail(struct model *model, struct m_waiter *waiter, int code)
{
    if (waiter->kind == M_CONSUME)
        tell_consumer_ended(model, waiter, code);
    else
        m_say_error(model, waiter->session, waiter->request, code);
    m_wait_free(model, waiter);
}

void m_wait_leave(struct model *model, struct m_waiter *waiter)
{
    struct m_queue *queues[LIMIT_GET_QUEUES];
    size_t count = waiter->queues_count;
    memcpy(queues, waiter->queues, sizeof queues);
    bool put = waiter->kind == M_PUT;
    m_wait_free(model, waiter);
    for (size_t i = 0; i < count; i++) {
        if (put)
            m_queue_wake(model, queues[i]); /* a smaller put behind it may fit now */
        m_queue_life(model, queues[i]);
    }
}

void m_wait_expire(struct model *model, struct m_waiter *waiter)
{
    m_say_error(model, waiter->session, waiter->request, STW_ETIMEOUT);
    m_wait_leave(model, waiter);
}

void m_waits_refresh(struct model *model, const struct m_session *session)
{
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->session == session && w->alarm.due_ms != NEVER)
            m_alarm_set(model, &w->alarm, model->now_ms + w->timeout_ms);
    }
}
