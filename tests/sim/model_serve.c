/* The model's serving: gets and consumers in turn, puts that wait for room, joins, and the end. */
#include "tests/sim/model_queue.h"

#include "common/base/steward_errors.h"

/* Ends a waiter; the other queues it waited on may be idle now. */
static void end_waiter(struct model *model, struct m_waiter *waiter, int code)
{
    struct m_waiter copy = *waiter;
    m_wait_fail(model, waiter, code);
    for (size_t i = 0; i < copy.queues_count; i++)
        m_queue_life(model, copy.queues[i]);
}

static void waiter_done(struct model *model, struct m_waiter *waiter)
{
    struct m_waiter copy = *waiter;
    m_wait_free(model, waiter);
    for (size_t i = 0; i < copy.queues_count; i++)
        m_queue_life(model, copy.queues[i]);
}

/* ---- gets and consumers --------------------------------------------------------------------- */

static void serve_get(struct model *model, struct m_queue *queue, struct m_waiter *w)
{
    uint64_t first_tag = w->session->next_tag, room = m_room(model, w->session);
    if (room == 0) {
        end_waiter(model, w, STW_ELIMIT);
        return;
    }
    uint64_t count = m_lease_deliver(model, w, queue, w->max < room ? w->max : room);
    m_say_got(model, w->session, w->request, first_tag, count);
    waiter_done(model, w);
}

void m_consumer_move(struct model *model, struct m_waiter *w, bool parked)
{
    w->parked = parked;
    for (size_t k = 0; k < w->queues_count; k++) {
        w->turns[k] = model->next_turn++;
        w->asleep[k] = false;
    }
}

/* To the end of this queue's line; others keep its place. */
static void consumer_behind(struct model *model, struct m_queue *queue, struct m_waiter *w)
{
    size_t first = w->queues_count;
    for (size_t k = 0; k < w->queues_count; k++)
        if (w->queues[k] == queue && (first == w->queues_count || w->turns[k] < w->turns[first]))
            first = k;
    w->turns[first] = model->next_turn++;
}

static void serve_consumer(struct model *model, struct m_queue *queue, struct m_waiter *w)
{
    uint64_t max = LIMIT_DELIVER_RUN < w->credit_messages ? LIMIT_DELIVER_RUN : w->credit_messages;
    uint64_t room = m_room(model, w->session);
    max = max < room ? max : room;
    uint64_t count = max > 0 ? m_lease_deliver(model, w, queue, max) : 0;
    if (count == 0 || w->credit_messages == 0 || w->credit_bytes <= 0)
        m_consumer_move(model, w, true);
    else
        consumer_behind(model, queue, w);
}

static void serve_getters(struct model *model, struct m_queue *queue)
{
    struct m_waiter *w;
    while (!queue->paused && m_queue_count(model, queue, M_READY) > 0 &&
           (w = m_wait_first(model, queue, M_GET))) {
        if (w->session->detached)
            m_wait_sleep(model, w, queue);
        else if (w->kind == M_GET)
            serve_get(model, queue, w);
        else
            serve_consumer(model, queue, w);
    }
}

/* ---- puts and joins ------------------------------------------------------------------------- */

static uint64_t waiting_bytes(const struct m_waiter *w)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < w->messages.count; i++)
        bytes += ((struct m_message *)w->messages.items[i])->body.size;
    return bytes;
}

static bool serve_putter(struct model *model, struct m_queue *queue, struct m_waiter *w)
{
    uint64_t count = w->messages.count, bytes = waiting_bytes(w);
    if (w->session->detached) {
        m_wait_sleep(model, w, queue);
        return true;
    }
    if ((queue->maxsize > 0 && count > queue->maxsize) ||
        (queue->max_bytes > 0 && bytes > queue->max_bytes)) {
        end_waiter(model, w, STW_ETOOBIG);
        return true;
    }
    if (!m_queue_fits(model, queue, count, bytes)) {
        if (queue->overflow != OVERFLOW_DROP_OLDEST)
            return false;
        m_queue_drop_oldest(model, queue, count, bytes);
    }
    m_put_admit(model, queue, w);
    return true;
}

static bool serve_putters(struct model *model, struct m_queue *queue)
{
    bool any = false;
    struct m_waiter *w;
    while (!queue->shut && (w = m_wait_first(model, queue, M_PUT)) && serve_putter(model, queue, w))
        any = true;
    return any;
}

static void serve_joiners(struct model *model, struct m_queue *queue)
{
    struct m_waiter *w;
    while ((w = m_wait_first(model, queue, M_JOIN)) && w->over) {
        m_say_plain(model, w->session, w->request);
        waiter_done(model, w);
    }
}

/* ---- ends ----------------------------------------------------------------------------------- */

static bool drained(const struct model *model, const struct m_queue *queue)
{
    return queue->shut && m_queue_size(model, queue) == 0;
}

/* Every queue that it waits on is shut down and empty. */
static bool waits_in_vain(const struct model *model, const struct m_waiter *w)
{
    for (size_t k = 0; k < w->queues_count; k++)
        if (!drained(model, w->queues[k]))
            return false;
    return true;
}

/* The first in line, behind `after`, that waits in vain. */
static struct m_waiter *first_in_vain(const struct model *model, const struct m_queue *queue,
                                      bool parked)
{
    struct m_waiter *first = NULL;
    uint64_t turn = NEVER;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        bool getter = w->kind == M_GET || w->kind == M_CONSUME;
        if (!getter || !waits_in_vain(model, w))
            continue;
        for (size_t k = 0; k < w->queues_count; k++) {
            uint64_t place = w->asleep[k] ? w->rests[k] : w->turns[k];
            if (w->queues[k] == queue && (w->parked || w->asleep[k]) == parked && place < turn) {
                first = w;
                turn = place;
            }
        }
    }
    return first;
}

static void serve_shut(struct model *model, struct m_queue *queue)
{
    struct m_waiter *w;
    while ((w = m_wait_first(model, queue, M_PUT)) ||
           (w = m_wait_first_parked(model, queue, M_PUT)))
        end_waiter(model, w, STW_ESHUTDOWN);
    if (!drained(model, queue))
        return;
    while ((w = first_in_vain(model, queue, false)))
        end_waiter(model, w, STW_ESHUTDOWN);
    while ((w = first_in_vain(model, queue, true)))
        end_waiter(model, w, STW_ESHUTDOWN);
}

static void serve_deleted(struct model *model, struct m_queue *queue)
{
    struct m_waiter *w;
    while (
        (w = m_wait_first(model, queue, M_GET)) || (w = m_wait_first_parked(model, queue, M_GET)) ||
        (w = m_wait_first(model, queue, M_PUT)) || (w = m_wait_first_parked(model, queue, M_PUT)) ||
        (w = m_wait_first(model, queue, M_JOIN)))
        end_waiter(model, w, STW_EDELETED);
}

static void serve(struct model *model, struct m_queue *queue)
{
    if (queue->deleted) {
        serve_deleted(model, queue);
        return;
    }
    do
        serve_getters(model, queue);
    while (serve_putters(model, queue));
    serve_joiners(model, queue);
    if (queue->shut)
        serve_shut(model, queue);
}

void m_queue_serve(struct model *model, struct m_queue *queue)
{
    m_queue_wake(model, queue);
    serve(model, queue);
    list_remove(&model->pumps, queue);
    m_queue_life(model, queue);
}

void m_queues_serve(struct model *model)
{
    while (model->pumps.count > 0)
        m_queue_serve(model, model->pumps.items[0]);
}
