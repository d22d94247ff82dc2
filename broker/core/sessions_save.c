/*
 * Sessions in the snapshot: settings, answers, leases, waiters; then the order of every queue's
 * wait lists.  And their invariants.
 */
#include "broker/core/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

/* The waiters of a snapshot by number, while it is read. */
struct roster {
    struct waiter **waiters;
    size_t count;
    size_t capacity;
};

/* ---- writing -------------------------------------------------------------------------------- */

static void waiters_save(struct waiter *first, struct buf *out, uint32_t *ordinal)
{
    uint64_t count = 0;
    for (const struct waiter *at = first; at; at = at->next) {
        count++;
    }
    buf_u64(out, count);
    for (struct waiter *at = first; at; at = at->next) {
        at->ordinal = (*ordinal)++;
        waiter_save(at, out);
    }
}

static void session_save(const struct session *session, struct buf *out, uint32_t *ordinal)
{
    buf_u64(out, session->id);
    buf_slice(out, slice_str(session->host));
    buf_slice(out, slice_str(session->program));
    buf_add(out, session->secret, sizeof session->secret);
    buf_u64(out, session->ttl_ms);
    buf_u64(out, session->grace_ms);
    buf_u64(out, session->pid);
    buf_u64(out, session->opened_ms);
    buf_u64(out, session->highest_request);
    buf_u64(out, session->next_tag);
    buf_u64(out, session->handed_tag);
    buf_u64(out, session->reference);
    buf_u8(out, session->detached);
    buf_u8(out, session->ending);
    answers_save(session, out);
    leases_save(session, out);
    waiters_save(session->waiters, out, ordinal);
    waiters_save(session->consumers, out, ordinal);
}

static void wait_list_save(const struct wait_link *list, struct buf *out)
{
    uint64_t count = 0;
    for (const struct wait_link *at = list; at; at = at->next) {
        count++;
    }
    buf_u64(out, count);
    for (const struct wait_link *at = list; at; at = at->next) {
        buf_u32(out, at->waiter->ordinal);
        buf_u32(out, (uint32_t)(at - at->waiter->links));
        buf_u64(out, at->turn);
    }
}

static bool queue_awaited(const struct queue *queue)
{
    return queue && (queue->getters || queue->parked || queue->putters || queue->parked_putters ||
                     queue->joiners);
}

static void wait_lists_save(const struct core *core, struct buf *out)
{
    uint32_t awaited = 0;
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        awaited += queue_awaited(core->queues[i]);
    }
    buf_u32(out, awaited);
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        const struct queue *queue = core->queues[i];
        if (queue_awaited(queue)) {
            buf_u32(out, i);
            wait_list_save(queue->getters, out);
            wait_list_save(queue->parked, out);
            wait_list_save(queue->putters, out);
            wait_list_save(queue->parked_putters, out);
            wait_list_save(queue->joiners, out);
        }
    }
}

static void orders_save(const struct core *core, struct buf *out)
{
    uint64_t count = 0;
    for (const struct session *at = core->endings; at; at = at->end_next) {
        count++;
    }
    buf_u64(out, count);
    for (const struct session *at = core->endings; at; at = at->end_next) {
        buf_u64(out, at->id);
    }
    count = 0;
    for (const struct waiter *at = core->redrives; at; at = at->redrive_next) {
        count++;
    }
    buf_u64(out, count);
    for (const struct waiter *at = core->redrives; at; at = at->redrive_next) {
        buf_u32(out, at->ordinal);
    }
}

void sessions_save(const struct core *core, struct buf *out)
{
    uint32_t ordinal = 0;
    buf_u64(out, HASH_COUNT(core->sessions));
    for (const struct session *at = core->sessions; at; at = at->hh.next) {
        session_save(at, out, &ordinal);
    }
    wait_lists_save(core, out);
    orders_save(core, out);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void roster_add(struct roster *roster, struct waiter *waiter)
{
    if (roster->count == roster->capacity) {
        roster->capacity = roster->capacity ? roster->capacity * 2 : 64;
        roster->waiters = mem_realloc(roster->waiters, roster->capacity, sizeof(struct waiter *));
    }
    roster->waiters[roster->count++] = waiter;
}

/* The waiters of one list; they come to the end of the session's list of their kind. */
static bool waiters_load(struct core *core, struct session *session, struct reader *in)
{
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        if (in->failed || !waiter_load(core, session, in)) {
            return false;
        }
    }
    return !in->failed;
}

static void roster_add_list(struct roster *roster, struct waiter *first)
{
    for (struct waiter *at = first; at; at = at->next) {
        roster_add(roster, at);
    }
}

/* Every request that waits has a waiter; else an answer would never come. */
static bool pending_complete(struct session *session)
{
    uint64_t id = 0;
    for (; idtable_next(&session->answers, id, &id); id++) {
        const struct answer *answer = idtable_get(&session->answers, id);
        if (answer->state == ANSWER_PENDING && !answer->waiter && !session->ending) {
            return false;
        }
    }
    return true;
}

static bool session_load(struct core *core, struct reader *in, struct roster *roster)
{
    uint64_t id = reader_u64(in);
    struct slice host = reader_slice(in);
    struct slice program = reader_slice(in);
    struct slice secret = reader_raw(in, LIMIT_SECRET_BYTES);
    if (in->failed || id == 0 || host.size > LIMIT_INFO_BYTES || program.size > LIMIT_INFO_BYTES ||
        session_lookup(core, id)) {
        return false;
    }
    struct session *session = session_new(core, id, host, program);
    memcpy(session->secret, secret.data, secret.size);
    session->ttl_ms = reader_u64(in);
    session->grace_ms = reader_u64(in);
    session->pid = reader_u64(in);
    session->opened_ms = reader_u64(in);
    session->highest_request = reader_u64(in);
    session->next_tag = reader_u64(in);
    session->handed_tag = reader_u64(in);
    session->reference = reader_u64(in);
    session->detached = reader_u8(in) != 0;
    session->ending = reader_u8(in) != 0;
    if (session->ending) {
        DL_APPEND2(core->endings, session, end_prev, end_next); /* sorted by orders_load */
    }
    if (!answers_load(core, session, in) || !leases_load(core, session, in) ||
        !waiters_load(core, session, in) || !waiters_load(core, session, in)) {
        return false;
    }
    roster_add_list(roster, session->waiters);
    roster_add_list(roster, session->consumers);
    return pending_complete(session);
}

static bool kind_in_list(const struct waiter *waiter, const struct queue *queue,
                         struct wait_link *const *list)
{
    switch (waiter->kind) {
    case WAIT_ACQUIRE: return false;
    case WAIT_PUT: return list == &queue->putters || list == &queue->parked_putters;
    case WAIT_JOIN: return list == &queue->joiners;
    default: return list == &queue->getters || list == &queue->parked;
    }
}

static bool wait_list_load(struct core *core, const struct roster *roster, struct reader *in,
                           struct queue *queue, struct wait_link **list)
{
    bool parked = list == &queue->parked || list == &queue->parked_putters;
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t ordinal = reader_u32(in);
        uint32_t link = reader_u32(in);
        struct wait_link saved = {.object = queue, .turn = reader_u64(in), .parked = parked};
        if (in->failed || ordinal >= roster->count) {
            return false;
        }
        struct waiter *waiter = roster->waiters[ordinal];
        if (!kind_in_list(waiter, queue, list) || !waiter_link_load(core, waiter, link, &saved)) {
            return false;
        }
    }
    return !in->failed;
}

static bool wait_lists_load(struct core *core, const struct roster *roster, struct reader *in)
{
    uint32_t awaited = reader_u32(in);
    for (uint32_t i = 0; i < awaited; i++) {
        uint32_t index = reader_u32(in);
        if (in->failed || index >= core->queues_capacity || !core->queues[index]) {
            return false;
        }
        struct queue *queue = core->queues[index];
        if (!wait_list_load(core, roster, in, queue, &queue->getters) ||
            !wait_list_load(core, roster, in, queue, &queue->parked) ||
            !wait_list_load(core, roster, in, queue, &queue->putters) ||
            !wait_list_load(core, roster, in, queue, &queue->parked_putters) ||
            !wait_list_load(core, roster, in, queue, &queue->joiners)) {
            return false;
        }
    }
    return !in->failed;
}

static bool orders_load(struct core *core, const struct roster *roster, struct reader *in)
{
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        struct session *session = session_lookup(core, reader_u64(in));
        if (in->failed || !session || !session->ending) {
            return false;
        }
        DL_DELETE2(core->endings, session, end_prev, end_next);
        DL_APPEND2(core->endings, session, end_prev, end_next);
    }
    count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t ordinal = reader_u32(in);
        if (in->failed || ordinal >= roster->count) {
            return false;
        }
        struct waiter *waiter = roster->waiters[ordinal];
        if (waiter->kind != WAIT_REDRIVE || waiter->redriving) {
            return false;
        }
        waiter->redriving = true;
        DL_APPEND2(core->redrives, waiter, redrive_prev, redrive_next);
    }
    return !in->failed;
}

bool sessions_load(struct core *core, struct reader *in)
{
    struct roster roster = {0};
    uint64_t count = reader_u64(in);
    bool good = !in->failed && count <= LIMIT_SESSIONS;
    for (uint64_t i = 0; i < count && good; i++) {
        good = session_load(core, in, &roster);
    }
    good = good && wait_lists_load(core, &roster, in) && orders_load(core, &roster, in);
    free(roster.waiters);
    return good;
}

/* ---- check ---------------------------------------------------------------------------------- */

static uint64_t waiters_check(const struct core *core, const struct session *session,
                              const struct waiter *first)
{
    uint64_t count = 0;
    for (const struct waiter *at = first; at; at = at->next) {
        STEWARD_ASSERT(at->session == session);
        STEWARD_ASSERT(at->kind >= WAIT_GET && at->kind <= WAIT_REDRIVE);
        STEWARD_ASSERT((at->kind == WAIT_CONSUME) == (first == session->consumers));
        STEWARD_ASSERT(timer_armed(&at->timer) == (at->timeout_ms != TIMEOUT_FOREVER));
        STEWARD_ASSERT(at->request <= session->highest_request);
        STEWARD_ASSERT(at->since_ms <= core->now_ms);
        for (uint32_t i = 0; i < at->links_count; i++) {
            STEWARD_ASSERT(!at->links[i].linked ||
                           (at->links[i].waiter == at && at->links[i].object));
        }
        count++;
    }
    return count;
}

static uint64_t waiters_bookkeeping(const struct waiter *first)
{
    uint64_t bytes = 0;
    for (const struct waiter *at = first; at; at = at->next) {
        bytes += waiter_cost(at);
    }
    return bytes;
}

static void session_check(const struct core *core, const struct session *session)
{
    STEWARD_ASSERT(session->id > 0 && session->id < core->next_session);
    STEWARD_ASSERT(session->next_tag > session->handed_tag);
    uint64_t waiters = waiters_check(core, session, session->waiters);
    uint64_t consumers = waiters_check(core, session, session->consumers);
    STEWARD_ASSERT(waiters + consumers == session->waiters_count);
    STEWARD_ASSERT(consumers == session->consumers_count);
    STEWARD_ASSERT(session->ending || session->waiters_count <= LIMIT_WAITERS_SESSION);
    uint64_t holders = 0;
    uint64_t token = 0;
    for (const struct holder *at = session->holders; at; at = at->session_next) {
        STEWARD_ASSERT(at->session == session && at->token > token);
        token = at->token;
        holders++;
    }
    STEWARD_ASSERT(holders == session->holders_count);
    answers_check(session);
    leases_check(core, session);
}

void sessions_check(const struct core *core)
{
    uint64_t waiters = 0;
    uint64_t ending = 0;
    uint64_t previous = 0;
    uint64_t bytes = HASH_COUNT(core->locks) * (uint64_t)LOCK_COST +
                     HASH_COUNT(core->holders) * (uint64_t)HOLDER_COST;
    for (const struct session *at = core->sessions; at; at = at->hh.next) {
        STEWARD_ASSERT(at->id > previous);
        previous = at->id;
        session_check(core, at);
        waiters += at->waiters_count;
        ending += at->ending;
        bytes += session_cost(at) + answers_cost(at) + idtable_cost(&at->leases) +
                 waiters_bookkeeping(at->waiters) + waiters_bookkeeping(at->consumers);
    }
    STEWARD_ASSERT(waiters == core->waiters_count);
    STEWARD_ASSERT(bytes == core->bookkeeping);
    for (const struct session *at = core->endings; at; at = at->end_next) {
        STEWARD_ASSERT(at->ending);
        ending--;
    }
    STEWARD_ASSERT(ending == 0);
}
