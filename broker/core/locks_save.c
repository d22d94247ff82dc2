/*
 * Locks in the snapshot: locks by name, holders by token, each lock's waiters in their order.  And
 * their invariants.
 */
#include "broker/core/internal.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

static struct lock *lock_of(struct order_node *node)
{
    return (struct lock *)((uintptr_t)node - offsetof(struct lock, by_name));
}

/* ---- writing -------------------------------------------------------------------------------- */

static void timer_save(const struct timer *timer, struct buf *out)
{
    buf_u8(out, timer_armed(timer));
    if (timer_armed(timer)) {
        buf_u64(out, timer->due_ms);
        buf_u64(out, timer->number);
    }
}

static void waiters_save(const struct wait_link *list, struct buf *out)
{
    uint64_t count = 0;
    for (const struct wait_link *at = list; at; at = at->next) {
        count++;
    }
    buf_u64(out, count);
    for (const struct wait_link *at = list; at; at = at->next) {
        buf_u64(out, at->waiter->session->id);
        buf_u64(out, at->waiter->request);
        buf_u64(out, at->turn);
    }
}

static void lock_save(const struct lock *lock, struct buf *out)
{
    buf_slice(out, name_slice(&lock->name));
    buf_u8(out, lock->kind);
    buf_u64(out, lock->permits);
    buf_u64(out, lock->break_before);
    buf_u64(out, lock->acquired);
    buf_u64(out, lock->contended);
    buf_u64(out, lock->broken);
    buf_u64(out, lock->created_ms);
    timer_save(&lock->idle_timer, out);
    waiters_save(lock->waiters, out);
    waiters_save(lock->parked, out);
}

static void holder_save(const struct holder *holder, struct buf *out)
{
    buf_slice(out, name_slice(&holder->lock->name));
    buf_u64(out, holder->session->id);
    buf_u64(out, holder->token);
    buf_u64(out, holder->owner);
    buf_u64(out, holder->since_ms);
    buf_u64(out, holder->lease_ms);
    buf_u32(out, holder->depth);
    timer_save(&holder->timer, out);
}

void locks_save(const struct core *core, struct buf *out)
{
    buf_u64(out, order_count(&core->lock_names));
    for (struct order_node *at = order_first(&core->lock_names); at; at = order_next(at)) {
        lock_save(lock_of(at), out);
    }
    buf_u64(out, HASH_COUNT(core->holders));
    for (const struct holder *at = core->holders; at; at = at->hh.next) {
        holder_save(at, out); /* the hash lists them as they were granted: by token */
    }
    uint64_t pumping = 0;
    for (const struct lock *at = core->lock_pumps; at; at = at->pump_next) {
        pumping++;
    }
    buf_u64(out, pumping);
    for (const struct lock *at = core->lock_pumps; at; at = at->pump_next) {
        buf_slice(out, name_slice(&at->name));
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static void timer_load(struct core *core, struct timer *timer, struct reader *in)
{
    if (reader_u8(in) != 0) {
        uint64_t due_ms = reader_u64(in);
        uint64_t number = reader_u64(in);
        if (!in->failed) {
            timer_rearm(&core->timers, timer, due_ms, number);
        }
    }
}

/* The waiter of a request that waits for a lock; NULL: there is none such. */
static struct waiter *acquire_of(struct core *core, uint64_t id, uint64_t request)
{
    struct session *session = session_lookup(core, id);
    if (!session) {
        return NULL;
    }
    if (!session->ending) {
        struct answer *answer = idtable_get(&session->answers, request);
        bool waits = answer && answer->state == ANSWER_PENDING && answer->waiter;
        return waits && answer->waiter->kind == WAIT_ACQUIRE ? answer->waiter : NULL;
    }
    for (struct waiter *at = session->waiters; at; at = at->next) {
        if (at->request == request && at->kind == WAIT_ACQUIRE) {
            return at;
        }
    }
    return NULL;
}

static bool lock_waiters_load(struct core *core, struct lock *lock, struct reader *in, bool parked)
{
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = reader_u64(in);
        uint64_t request = reader_u64(in);
        struct wait_link saved = {.object = lock, .turn = reader_u64(in), .parked = parked};
        struct waiter *waiter = in->failed ? NULL : acquire_of(core, id, request);
        if (!waiter || waiter->links_count != 1 || !waiter_link_load(core, waiter, 0, &saved)) {
            return false;
        }
    }
    return !in->failed;
}

static bool lock_load(struct core *core, struct reader *in)
{
    struct slice name = reader_slice(in);
    uint8_t kind = reader_u8(in);
    uint64_t permits = reader_u64(in);
    bool right = kind == LOCK_MUTEX
                     ? permits == 1
                     : kind == LOCK_SEMAPHORE && permits >= 1 && permits <= LIMIT_PERMITS;
    if (in->failed || !right || name_check(name) != STW_OK || lock_find(core, name)) {
        return false;
    }
    struct lock *lock = lock_new(core, name);
    lock->kind = kind;
    lock->permits = permits;
    lock->break_before = reader_u64(in);
    lock->acquired = reader_u64(in);
    lock->contended = reader_u64(in);
    lock->broken = reader_u64(in);
    lock->created_ms = reader_u64(in);
    timer_load(core, &lock->idle_timer, in);
    return lock_waiters_load(core, lock, in, false) && lock_waiters_load(core, lock, in, true);
}

static bool holder_load(struct core *core, struct reader *in, uint64_t *previous)
{
    struct slice name = reader_slice(in);
    struct session *session = session_lookup(core, reader_u64(in));
    uint64_t token = reader_u64(in);
    struct lock *lock = in->failed ? NULL : lock_find(core, name);
    if (!lock || !session || token <= *previous || lock->holders_count >= lock->permits) {
        return false;
    }
    *previous = token;
    struct holder *holder = holder_new(core, lock, session, token);
    holder->owner = reader_u64(in);
    holder->since_ms = reader_u64(in);
    holder->lease_ms = reader_u64(in);
    holder->depth = reader_u32(in);
    timer_load(core, &holder->timer, in);
    return !in->failed && holder->depth >= 1;
}

bool locks_load(struct core *core, struct reader *in)
{
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        if (in->failed || !lock_load(core, in)) {
            return false;
        }
    }
    count = reader_u64(in);
    uint64_t token = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (in->failed || !holder_load(core, in, &token)) {
            return false;
        }
    }
    count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        struct slice name = reader_slice(in);
        struct lock *lock = in->failed ? NULL : lock_find(core, name);
        if (!lock || lock->pumping) {
            return false;
        }
        lock_pump_later(core, lock);
    }
    return !in->failed;
}

/* ---- check ---------------------------------------------------------------------------------- */

/* How many links there are. */
static uint64_t waiters_check(const struct lock *lock, const struct wait_link *list, bool parked)
{
    uint64_t count = 0, turn = 0;
    for (const struct wait_link *at = list; at; at = at->next) {
        STEWARD_ASSERT(at->linked && at->object == lock && at->waiter->kind == WAIT_ACQUIRE);
        STEWARD_ASSERT(at->parked == parked && (parked || at->turn > turn));
        STEWARD_ASSERT(!parked || at->waiter->session->detached);
        turn = at->turn;
        count++;
    }
    return count;
}

static uint64_t lock_check(const struct core *core, const struct lock *lock)
{
    STEWARD_ASSERT(lock_find(core, name_slice(&lock->name)) == lock);
    STEWARD_ASSERT(lock->permits >= 1 && lock->permits <= LIMIT_PERMITS);
    STEWARD_ASSERT(lock->kind == LOCK_SEMAPHORE || lock->permits == 1);
    uint64_t holders = 0;
    uint64_t token = 0;
    for (const struct holder *at = lock->holders; at; at = at->next) {
        STEWARD_ASSERT(at->lock == lock && at->token > token && at->token < core->next_token);
        STEWARD_ASSERT(at->depth >= 1 && (at->depth == 1 || lock->kind == LOCK_MUTEX));
        STEWARD_ASSERT(timer_armed(&at->timer) == (at->lease_ms > 0));
        STEWARD_ASSERT(holder_find(core, at->token) == at);
        token = at->token;
        holders++;
    }
    STEWARD_ASSERT(holders == lock->holders_count && holders <= lock->permits);
    uint64_t waiters = waiters_check(lock, lock->waiters, false);
    uint64_t parked = waiters_check(lock, lock->parked, true);
    STEWARD_ASSERT(waiters + parked == lock->waiters_count);
    /* Nobody waits for a permit that is free, unless the pump still has to come by. */
    STEWARD_ASSERT(waiters == 0 || holders == lock->permits || lock->pumping);
    bool idle = holders == 0 && waiters + parked == 0 && !lock->pumping;
    STEWARD_ASSERT(!idle || timer_armed(&lock->idle_timer));
    return holders;
}

void locks_check(const struct core *core)
{
    order_check(&core->lock_names);
    STEWARD_ASSERT(order_count(&core->lock_names) == HASH_COUNT(core->locks));
    uint64_t holders = 0;
    for (const struct lock *at = core->locks; at; at = at->hh.next) {
        holders += lock_check(core, at);
    }
    STEWARD_ASSERT(holders == HASH_COUNT(core->holders));
    for (const struct lock *at = core->lock_pumps; at; at = at->pump_next) {
        STEWARD_ASSERT(at->pumping);
    }
}
