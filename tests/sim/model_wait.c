/* The model's waiters: one list in order of arrival, and a turn in the line of each object. */
#include "tests/sim/model_lock.h"
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

static bool is_kind(const struct m_waiter *waiter, enum m_wait kind)
{
    return waiter->kind == kind || (kind == M_GET && waiter->kind == M_CONSUME);
}

static struct m_waiter *first_of(const struct model *model, const struct m_queue *queue,
                                 enum m_wait kind, bool parked)
{
    struct m_waiter *first = NULL;
    uint64_t turn = NEVER;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        for (size_t k = 0; is_kind(w, kind) && k < w->queues_count; k++) {
            uint64_t place = w->asleep[k] ? w->rests[k] : w->turns[k];
            if (w->queues[k] == queue && (w->parked || w->asleep[k]) == parked && place < turn) {
                first = w;
                turn = place;
            }
        }
    }
    return first;
}

struct m_waiter *m_wait_first(const struct model *model, const struct m_queue *queue,
                              enum m_wait kind)
{
    return first_of(model, queue, kind, false);
}

struct m_waiter *m_wait_first_parked(const struct model *model, const struct m_queue *queue,
                                     enum m_wait kind)
{
    return first_of(model, queue, kind, true);
}

struct m_waiter *m_wait_first_lock(const struct model *model, const struct m_lock *lock,
                                   bool asleep)
{
    struct m_waiter *first = NULL;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->kind != M_ACQUIRE || w->lock != lock || w->asleep[0] != asleep)
            continue;
        if (!first || (asleep ? w->rests[0] < first->rests[0] : w->turn < first->turn))
            first = w;
    }
    return first;
}

void m_wait_sleep(struct model *model, struct m_waiter *waiter, const struct m_queue *queue)
{
    size_t k = 0;
    while (k < waiter->queues_count && waiter->queues[k] != queue)
        k++;
    k = queue ? k : 0;
    waiter->asleep[k] = true;
    waiter->rests[k] = model->next_turn++;
}

static bool listed(const struct list *list, const void *item)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == item)
            return true;
    return false;
}

static void wake(struct model *model, struct m_waiter *waiter, struct list *locks)
{
    if (waiter->kind == M_ACQUIRE && waiter->asleep[0]) {
        waiter->asleep[0] = false;
        if (!listed(locks, waiter->lock))
            list_add(locks, waiter->lock);
    }
    for (size_t k = 0; k < waiter->queues_count; k++) {
        if (waiter->asleep[k])
            m_queue_wake(model, waiter->queues[k]);
        waiter->asleep[k] = false;
    }
}

/* From the last to the first, consumers behind the others. */
void m_waits_wake(struct model *model, const struct m_session *session)
{
    struct list locks = {0};
    for (int consumers = 0; consumers < 2; consumers++) {
        for (size_t i = model->waiters.count; i > 0; i--) {
            struct m_waiter *w = model->waiters.items[i - 1];
            if (w->session == session && (w->kind == M_CONSUME) == consumers)
                wake(model, w, &locks);
        }
    }
    for (size_t i = 0; i < locks.count; i++)
        m_lock_serve(model, locks.items[i]);
    list_fini(&locks);
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
    struct m_lock *lock = waiter->lock;
    m_wait_free(model, waiter);
    if (lock)
        m_lock_life(model, lock);
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
