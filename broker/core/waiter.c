/*
 * Waiters: requests that wait inside the core, each linked into the wait list of every object that
 * could end it.  Lists are FIFO; the head of a list is the next to be served.
 *
 * A waiter of a detached session is asleep: whoever meets it at the head of a line parks it there
 * and goes on.  Every link has a turn, by which it finds its old place when the session is back.
 */
#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

uint64_t waiter_cost(const struct waiter *waiter)
{
    enum { WAITER_COST = 512, LINK_COST = 48 }; /* bytes, nominal */
    return WAITER_COST + (uint64_t)waiter->links_count * LINK_COST;
}

int waiter_check(const struct core *core, const struct session *session, uint64_t count)
{
    bool room = session->waiters_count + count <= LIMIT_WAITERS_SESSION &&
                core->waiters_count + count <= LIMIT_WAITERS;
    return room ? STW_OK : STW_ELIMIT;
}

struct waiter *waiter_new(struct core *core, struct session *session, enum waiter_kind kind,
                          uint64_t request, uint32_t links)
{
    struct waiter *waiter =
        mem_zalloc(1, sizeof *waiter + (size_t)links * sizeof(struct wait_link));
    waiter->kind = (uint8_t)kind;
    waiter->session = session;
    waiter->request = request;
    waiter->since_ms = core->now_ms;
    waiter->timer.kind = TIMER_WAITER;
    waiter->links_count = links;
    waiter->timeout_ms = TIMEOUT_FOREVER;
    if (kind == WAIT_CONSUME) {
        DL_APPEND(session->consumers, waiter);
        session->consumers_count++;
    } else {
        DL_APPEND(session->waiters, waiter);
    }
    session->waiters_count++;
    core->waiters_count++;
    core->bookkeeping += waiter_cost(waiter);
    return waiter;
}

void waiter_deadline(struct core *core, struct waiter *waiter, uint64_t timeout_ms)
{
    if (timeout_ms == TIMEOUT_FOREVER) {
        return;
    }
    waiter->timeout_ms = timeout_ms < LIMIT_DURATION_MS ? timeout_ms : LIMIT_DURATION_MS;
    timer_arm(&core->timers, &waiter->timer, core->now_ms + waiter->timeout_ms);
}

/* The list of its object that the link stands in. */
static struct wait_link **list_of(const struct wait_link *link)
{
    struct queue *queue = link->object;
    struct lock *lock = link->object;
    switch (link->waiter->kind) {
    case WAIT_ACQUIRE: return link->parked ? &lock->parked : &lock->waiters;
    case WAIT_PUT: return link->parked ? &queue->parked_putters : &queue->putters;
    case WAIT_JOIN: return &queue->joiners;
    default: return link->parked ? &queue->parked : &queue->getters;
    }
}

/* Adds `one` (1, or -1 as unsigned) to the object's counts of such waiters. */
static void count_link(const struct waiter *waiter, void *object, uint64_t one)
{
    struct queue *queue = object;
    switch (waiter->kind) {
    case WAIT_ACQUIRE: ((struct lock *)object)->waiters_count += one; break;
    case WAIT_PUT: queue->putters_count += one; break;
    case WAIT_JOIN: queue->joiners_count += one; break;
    case WAIT_CONSUME:
        queue->consumers_count += one;
        queue->getters_count += waiter->parked ? 0 : one;
        break;
    default: queue->getters_count += one; break;
    }
}

void waiter_link(struct core *core, struct waiter *waiter, uint32_t link, void *object)
{
    STEWARD_ASSERT(link < waiter->links_count && !waiter->links[link].linked);
    struct wait_link *at = &waiter->links[link];
    *at = (struct wait_link){.waiter = waiter,
                             .object = object,
                             .turn = core->next_turn++,
                             .linked = true,
                             .parked = waiter->parked};
    struct wait_link **list = list_of(at);
    DL_APPEND(*list, at);
    count_link(waiter, object, 1);
}

bool waiter_link_load(struct core *core, struct waiter *waiter, uint32_t link,
                      const struct wait_link *saved)
{
    bool may_park = waiter->kind != WAIT_JOIN && waiter->session->detached;
    if (link >= waiter->links_count || waiter->links[link].linked ||
        saved->turn >= core->next_turn || (waiter->parked && !saved->parked) ||
        (saved->parked && !waiter->parked && !may_park)) {
        return false;
    }
    struct wait_link *at = &waiter->links[link];
    *at = *saved;
    at->waiter = waiter;
    at->linked = true;
    struct wait_link **list = list_of(at);
    if (!at->parked && *list && (*list)->prev->turn >= at->turn) {
        at->linked = false;
        return false;
    }
    DL_APPEND(*list, at);
    count_link(waiter, at->object, 1);
    return true;
}

void waiter_unlink(struct waiter *waiter, uint32_t link)
{
    struct wait_link *at = &waiter->links[link];
    STEWARD_ASSERT(link < waiter->links_count && at->linked);
    struct wait_link **list = list_of(at);
    DL_DELETE(*list, at);
    count_link(waiter, at->object, UINT64_MAX);
    *at = (struct wait_link){.waiter = waiter};
}

void waiter_free(struct core *core, struct waiter *waiter)
{
    struct session *session = waiter->session;
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        if (waiter->links[i].linked) {
            waiter_unlink(waiter, i);
        }
    }
    if (waiter->redriving) {
        DL_DELETE2(core->redrives, waiter, redrive_prev, redrive_next);
    }
    timer_disarm(&core->timers, &waiter->timer);
    if (waiter->kind == WAIT_CONSUME) {
        DL_DELETE(session->consumers, waiter);
        session->consumers_count--;
    } else {
        DL_DELETE(session->waiters, waiter);
    }
    session->waiters_count--;
    core->waiters_count--;
    core->bookkeeping -= waiter_cost(waiter);
    for (uint32_t i = 0; i < waiter->messages_count; i++) {
        message_free(core, waiter->messages[i]);
    }
    free(waiter->messages);
    free(waiter->dedup);
    free(waiter);
}

static void queue_left(struct core *core, struct queue *queue, uint8_t kind)
{
    if (kind == WAIT_PUT && !queue->pumping) {
        /* A smaller put behind it may fit now. */
        queue->pumping = true;
        DL_APPEND2(core->pumps, queue, pump_prev, pump_next);
    }
    queue_settle_life(core, queue);
}

void waiter_leave(struct core *core, struct waiter *waiter)
{
    void *objects[LIMIT_GET_QUEUES];
    uint32_t count = 0;
    uint8_t kind = waiter->kind;
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        bool known = !waiter->links[i].linked;
        for (uint32_t k = 0; k < count && !known; k++) {
            known = objects[k] == waiter->links[i].object;
        }
        if (!known) {
            STEWARD_ASSERT(count < LIMIT_GET_QUEUES);
            objects[count++] = waiter->links[i].object;
        }
    }
    waiter_free(core, waiter);
    for (uint32_t i = 0; i < count; i++) {
        if (kind == WAIT_ACQUIRE) {
            lock_waiter_left(core, objects[i]);
        } else {
            queue_left(core, objects[i], kind);
        }
    }
}

void waiter_timeout(struct core *core, struct waiter *waiter)
{
    answer_codes(core, waiter->session, waiter->request, 1, STW_ETIMEOUT);
    waiter_leave(core, waiter);
}

/* ---- detached sessions ---------------------------------------------------------------------- */

bool waiter_asleep(const struct waiter *waiter)
{
    return waiter->session->detached && !CANARY(DETACHED_SERVED);
}

void waiter_park(struct wait_link *link)
{
    STEWARD_ASSERT(link->linked && !link->parked && link->waiter->kind != WAIT_JOIN);
    struct wait_link **line = list_of(link);
    DL_DELETE(*line, link);
    link->parked = true;
    struct wait_link **parked = list_of(link);
    DL_APPEND(*parked, link);
}

/* Back to its place: nearly always at the head, where it was met. */
static void unpark(struct wait_link *link)
{
    struct wait_link **parked = list_of(link);
    DL_DELETE(*parked, link);
    link->parked = false;
    struct wait_link **line = list_of(link);
    struct wait_link *next = *line;
    while (next && next->turn < link->turn) {
        next = next->next;
    }
    DL_PREPEND_ELEM(*line, next, link);
}

void waiters_detach(struct core *core, struct session *session)
{
    for (struct waiter *at = session->waiters; at; at = at->next) {
        if (at->kind == WAIT_PUT && at->links[0].linked) {
            queue_wake(core, at->links[0].object);
        }
    }
}

static void attach(struct core *core, struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->links_count; i++) {
        struct wait_link *link = &waiter->links[i];
        if (!link->linked || !link->parked || waiter->parked) {
            continue;
        }
        unpark(link);
        if (waiter->kind == WAIT_ACQUIRE) {
            lock_pump_later(core, link->object);
        } else {
            queue_wake(core, link->object);
        }
    }
}

/* From the last to the first: each finds its place before the one that came after it. */
static void attach_list(struct core *core, struct waiter *first)
{
    struct waiter *at = first ? first->prev : NULL;
    while (at) {
        attach(core, at);
        at = at == first ? NULL : at->prev;
    }
}

void waiters_attach(struct core *core, struct session *session)
{
    attach_list(core, session->waiters);
    attach_list(core, session->consumers);
}

void waiters_refresh(struct core *core, struct session *session)
{
    for (struct waiter *waiter = session->waiters; waiter; waiter = waiter->next) {
        if (timer_armed(&waiter->timer)) {
            timer_arm(&core->timers, &waiter->timer, core->now_ms + waiter->timeout_ms);
        }
    }
}

/* ---- snapshot ------------------------------------------------------------------------------- */

static void dedup_save(const struct dedup *dedup, struct buf *out)
{
    buf_u8(out, dedup != NULL);
    if (dedup) {
        buf_u64(out, dedup->expires_ms);
        buf_u8(out, dedup->size);
        buf_add(out, dedup->id, dedup->size);
    }
}

static bool dedup_load(struct waiter *waiter, struct reader *in)
{
    if (reader_u8(in) == 0) {
        return !in->failed;
    }
    uint64_t expires_ms = reader_u64(in);
    uint8_t size = reader_u8(in);
    struct slice id = reader_raw(in, size);
    if (in->failed) {
        return false;
    }
    waiter->dedup = mem_zalloc(1, sizeof *waiter->dedup + id.size);
    waiter->dedup->expires_ms = expires_ms;
    waiter->dedup->size = size;
    memcpy(waiter->dedup->id, id.data, id.size);
    return true;
}

/* All but its place in wait lists, which the objects keep (in order). */
void waiter_save(const struct waiter *waiter, struct buf *out)
{
    buf_u8(out, waiter->kind);
    buf_u64(out, waiter->request);
    buf_u64(out, waiter->timeout_ms);
    buf_u32(out, waiter->links_count);
    buf_u8(out, waiter->auto_ack);
    buf_u8(out, waiter->reentrant);
    buf_u8(out, waiter->parked);
    buf_u8(out, waiter->many);
    buf_u32(out, waiter->max);
    buf_u64(out, waiter->since_ms);
    buf_u8(out, timer_armed(&waiter->timer));
    buf_u64(out, waiter->timer.due_ms);
    buf_u64(out, waiter->timer.number);
    buf_u64(out, waiter->lease_ms);
    buf_u64(out, waiter->credit_messages);
    buf_u64(out, (uint64_t)waiter->credit_bytes);
    buf_u64(out, waiter->owner);
    buf_u64(out, waiter->finishes);
    buf_u64(out, waiter->target_count);
    buf_u64(out, waiter->moved);
    buf_slice(out, name_slice(&waiter->target));
    dedup_save(waiter->dedup, out);
    buf_u32(out, waiter->messages_count);
    for (uint32_t i = 0; i < waiter->messages_count; i++) {
        message_save(waiter->messages[i], out);
    }
}

static bool messages_load(struct core *core, struct waiter *waiter, struct reader *in)
{
    uint32_t count = reader_u32(in);
    if (in->failed || count > LIMIT_BATCH) {
        return false;
    }
    if (count > 0) {
        waiter->messages = mem_zalloc(count, sizeof *waiter->messages);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = message_load(core, in);
        if (!message) {
            return false;
        }
        waiter->messages[waiter->messages_count++] = message;
        if (!message_in_state(message, MESSAGE_WAITING)) {
            return false;
        }
    }
    return true;
}

/* The numbers that waiter_new does not set. */
static void numbers_load(struct core *core, struct waiter *waiter, struct reader *in)
{
    waiter->auto_ack = reader_u8(in) != 0;
    waiter->reentrant = reader_u8(in) != 0;
    waiter->parked = reader_u8(in) != 0;
    waiter->many = reader_u8(in) != 0;
    waiter->max = reader_u32(in);
    waiter->since_ms = reader_u64(in);
    bool armed = reader_u8(in) != 0;
    uint64_t due_ms = reader_u64(in);
    uint64_t number = reader_u64(in);
    waiter->timer.due_ms = due_ms;
    waiter->timer.number = number;
    if (armed) {
        timer_rearm(&core->timers, &waiter->timer, due_ms, number);
    }
    waiter->lease_ms = reader_u64(in);
    waiter->credit_messages = reader_u64(in);
    waiter->credit_bytes = (int64_t)reader_u64(in);
    waiter->owner = reader_u64(in);
    waiter->finishes = reader_u64(in);
    waiter->target_count = reader_u64(in);
    waiter->moved = reader_u64(in);
}

bool waiter_load(struct core *core, struct session *session, struct reader *in)
{
    uint8_t kind = reader_u8(in);
    uint64_t request = reader_u64(in);
    uint64_t timeout_ms = reader_u64(in);
    uint32_t links = reader_u32(in);
    if (in->failed || kind < WAIT_GET || kind > WAIT_REDRIVE || links > LIMIT_GET_QUEUES) {
        return false;
    }
    struct waiter *waiter = waiter_new(core, session, (enum waiter_kind)kind, request, links);
    waiter->timeout_ms = timeout_ms;
    numbers_load(core, waiter, in);
    struct slice target = reader_slice(in);
    if (in->failed || target.size > LIMIT_NAME_BYTES) {
        return false;
    }
    name_set(&waiter->target, target);
    if (!dedup_load(waiter, in) || !messages_load(core, waiter, in)) {
        return false;
    }
    if (kind == WAIT_CONSUME || session->ending) {
        return true;
    }
    struct answer *answer = idtable_get(&session->answers, request);
    if (!answer || answer->state != ANSWER_PENDING) {
        return false;
    }
    answer->waiter = waiter;
    return true;
}
