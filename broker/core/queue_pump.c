/*
 * Serving who waits on a queue: consumers and gets in turn, puts that wait for room, joins; and
 * telling them all when the queue is shut down or deleted. Bounded by core->work: what is left over
 * keeps the queue in core->pumps, and the next tick goes on.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

#include <utlist.h>

void queue_wake(struct core *core, struct queue *queue)
{
    if (!queue->pumping) {
        queue->pumping = true;
        DL_APPEND2(core->pumps, queue, pump_prev, pump_next);
    }
}

void queues_run(struct core *core)
{
    while (core->pumps && core->work > 0) {
        queue_pump(core, core->pumps);
    }
}

/* Ends a waiter for good, with the reason why. */
static void end_waiter(struct core *core, struct waiter *waiter, int code)
{
    if (waiter->kind == WAIT_CONSUME) {
        emit_consumer_ended(core, waiter->session->id, waiter->request, code);
    } else {
        answer_error(core, waiter->session, waiter->request, code, about(NULL, slice_of(NULL, 0)));
    }
    queue_waiter_done(core, waiter);
    work_take(core, 1);
}

/* ---- getters -------------------------------------------------------------------------------- */

/* How many more leases the session may hold. */
static uint64_t leases_room(const struct session *session)
{
    uint64_t held = session->leases.live + session->holders_count;
    return held < LIMIT_HELD_SESSION ? LIMIT_HELD_SESSION - held : 0;
}

static void serve_get(struct core *core, struct queue *queue, struct waiter *waiter)
{
    struct session *session = waiter->session;
    uint64_t first_tag, room = leases_room(session);
    if (room == 0) {
        end_waiter(core, waiter, STW_ELIMIT);
        return;
    }
    struct lease_order order = {.session = session,
                                .queue = queue,
                                .channel = waiter->request,
                                .lease_ms = waiter->lease_ms,
                                .max = waiter->max < room ? waiter->max : room,
                                .auto_ack = waiter->auto_ack};
    size_t count = lease_deliver(core, &order, &first_tag);
    answer_got(core, session, waiter->request, first_tag, count);
    queue_waiter_done(core, waiter);
    work_take(core, count);
}

/* Out of every queue's line, or back to the tail of each. */
static void consumer_move(struct core *core, struct waiter *waiter, bool parked)
{
    struct queue *queues[LIMIT_GET_QUEUES];
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        queues[i] = waiter->links[i].object;
        waiter_unlink(waiter, i);
    }
    waiter->parked = parked;
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        waiter_link(core, waiter, i, queues[i]);
    }
}

void consumer_unpark(struct core *core, struct waiter *waiter)
{
    consumer_move(core, waiter, false);
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        queue_wake(core, waiter->links[i].object);
    }
}

static void serve_consumer(struct core *core, struct queue *queue, struct waiter *waiter)
{
    uint64_t first_tag, max = leases_room(waiter->session);
    struct wait_link *link = queue->getters;
    max = max < LIMIT_DELIVER_RUN ? max : LIMIT_DELIVER_RUN;
    max = max < waiter->credit_messages ? max : waiter->credit_messages;
    struct lease_order order = {.session = waiter->session,
                                .queue = queue,
                                .consumer = waiter,
                                .channel = waiter->request,
                                .lease_ms = waiter->lease_ms,
                                .max = max};
    size_t count = max > 0 ? lease_deliver(core, &order, &first_tag) : 0;
    if (count == 0 || waiter->credit_messages == 0 || waiter->credit_bytes <= 0) {
        consumer_move(core, waiter, true);
    } else { /* behind the others */
        uint32_t at = (uint32_t)(link - waiter->links);
        waiter_unlink(waiter, at);
        waiter_link(core, waiter, at, queue);
    }
    work_take(core, count ? count : 1);
}

static void pump_getters(struct core *core, struct queue *queue)
{
    while (core->work > 0 && queue->getters && queue_deliverable(queue)) {
        struct waiter *waiter = queue->getters->waiter;
        if (waiter->session->ending && !CANARY(DEAD_WAITER)) {
            queue_waiter_done(core, waiter);
            work_take(core, 1);
        } else if (waiter_asleep(waiter)) {
            waiter_park(queue->getters);
            work_take(core, 1);
        } else if (waiter->kind == WAIT_GET) {
            serve_get(core, queue, waiter);
        } else {
            serve_consumer(core, queue, waiter);
        }
    }
}

/* ---- putters and joiners -------------------------------------------------------------------- */

static uint64_t waiting_bytes(const struct waiter *waiter)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < waiter->messages_count; i++) {
        bytes += waiter->messages[i]->size;
    }
    return bytes;
}

/* One blocked put gets in, is refused for good or set aside; false: there is no room yet. */
static bool pump_putter(struct core *core, struct queue *queue, struct waiter *waiter)
{
    const struct queue_settings *settings = &queue->settings;
    uint64_t count = waiter->messages_count, bytes = waiting_bytes(waiter);
    if (waiter->session->ending) {
        queue_waiter_done(core, waiter);
        work_take(core, 1);
        return true;
    }
    if (waiter_asleep(waiter)) {
        waiter_park(queue->putters);
        work_take(core, 1);
        return true;
    }
    if ((settings->maxsize > 0 && count > settings->maxsize) ||
        (settings->max_bytes > 0 && bytes > settings->max_bytes)) {
        end_waiter(core, waiter, STW_ETOOBIG); /* the queue became too small for it */
        return true;
    }
    if (!queue_fits(queue, count, bytes)) {
        if (settings->overflow != OVERFLOW_DROP_OLDEST) {
            return false;
        }
        if (!queue_drop_oldest(core, queue, count, bytes)) {
            return false; /* no work is left: the next tick goes on */
        }
    }
    put_admit(core, queue, waiter);
    work_take(core, count);
    return true;
}

/* True if any got in: then there may be something to deliver. */
static bool pump_putters(struct core *core, struct queue *queue)
{
    bool any = false;
    while (core->work > 0 && queue->putters && queue->state == QUEUE_OPEN &&
           pump_putter(core, queue, queue->putters->waiter)) {
        any = true;
    }
    return any;
}

/* Is the first joiner's wait over? Who came later waits for a later end. */
static bool join_over(const struct queue *queue)
{
    return queue->joiners->waiter->finishes != queue->finishes ||
           (CANARY(EARLY_JOIN) && queue_size(queue) == 0);
}

static void pump_joiners(struct core *core, struct queue *queue)
{
    while (core->work > 0 && queue->joiners && join_over(queue)) {
        struct waiter *waiter = queue->joiners->waiter;
        answer_plain(core, waiter->session, waiter->request, 1);
        queue_waiter_done(core, waiter);
        work_take(core, 1);
    }
}

/* ---- ends ----------------------------------------------------------------------------------- */

static bool waits_on_drained(const struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        if (!queue_drained(waiter->links[i].object)) {
            return false;
        }
    }
    return true;
}

/* false: no work is left before the end of the list. */
static bool end_drained(struct core *core, struct wait_link *list)
{
    struct wait_link *link, *next;
    DL_FOREACH_SAFE (list, link, next) {
        if (core->work == 0) {
            return false;
        }
        if (waits_on_drained(link->waiter)) {
            end_waiter(core, link->waiter, STW_ESHUTDOWN);
        }
    }
    return true;
}

static void pump_shut(struct core *core, struct queue *queue)
{
    struct wait_link **lists[] = {&queue->putters, &queue->parked_putters};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (core->work > 0 && *lists[i]) {
            end_waiter(core, (*lists[i])->waiter, STW_ESHUTDOWN);
        }
    }
    /* Who waits on other queues, too, stays; looking at each of them again and again would be slow.
     * Of a waiter's queues the last to be drained finds it. */
    if (queue_drained(queue) && !queue->drain_told) {
        queue->drain_told = end_drained(core, queue->getters) && end_drained(core, queue->parked);
    }
}

static void pump_deleted(struct core *core, struct queue *queue)
{
    struct wait_link **lists[] = {&queue->getters, &queue->parked, &queue->putters,
                                  &queue->parked_putters, &queue->joiners};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        while (core->work > 0 && *lists[i]) {
            end_waiter(core, (*lists[i])->waiter, STW_EDELETED);
        }
    }
}

/* May there be more to do? Asked when work ran out; saying yes once too often does no harm. */
static bool work_left(const struct queue *queue)
{
    bool waited = queue->getters || queue->parked;
    if (queue->deleted) {
        return waited || queue->putters || queue->parked_putters || queue->joiners;
    }
    return queue->putters || (queue->parked_putters && queue->state == QUEUE_SHUT) ||
           (waited && queue_drained(queue) && !queue->drain_told) ||
           (queue->getters && queue_deliverable(queue)) || (queue->joiners && join_over(queue));
}

void queue_pump(struct core *core, struct queue *queue)
{
    queue_wake(core, queue);
    if (queue->deleted) {
        pump_deleted(core, queue);
    } else {
        do {
            pump_getters(core, queue);
        } while (pump_putters(core, queue));
        pump_joiners(core, queue);
        if (queue->state == QUEUE_SHUT) {
            pump_shut(core, queue);
        }
    }
    DL_DELETE2(core->pumps, queue, pump_prev, pump_next);
    queue->pumping = false;
    if (core->work == 0 && work_left(queue)) {
        queue_wake(core, queue); /* behind the others */
    } else {
        queue_settle_life(core, queue);
    }
}
