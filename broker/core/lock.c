/*
 * Locks and semaphores: a lock is a semaphore with one permit whose holder may re-enter it.
 *
 * A holder is (session, owner, token); tokens come from the core's one counter, so lists of holders
 * ascend by token.  Waiters are served first come, first served.  A reentrant acquire by the holder
 * itself is granted at once; one that had to wait is granted like any other, with a new token.
 */
#include "common/base/panic.h"
#define uthash_fatal(message) panic(message, __FILE__, __LINE__)

#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "broker/core/hash.h"
#include "common/base/alloc.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- the tables ----------------------------------------------------------------------------- */

static struct lock *lock_of_node(const struct order_node *node)
{
    return (struct lock *)((uintptr_t)node - offsetof(struct lock, by_name));
}

int lock_compare(const struct order_node *a, const struct order_node *b)
{
    return name_order(name_slice(&lock_of_node(a)->name), name_slice(&lock_of_node(b)->name));
}

struct lock *lock_find(const struct core *core, struct slice name)
{
    struct lock *lock = NULL;
    unsigned hash = (unsigned)core_hash(core, name.data, name.size);
    HASH_FIND_BYHASHVALUE(hh, core->locks, name.data, name.size, hash, lock);
    return lock;
}

struct lock *lock_new(struct core *core, struct slice name)
{
    struct lock *lock = mem_zalloc(1, sizeof *lock);
    lock->permits = 1;
    lock->created_ms = core->now_ms;
    lock->idle_timer.kind = TIMER_LOCK_IDLE;
    name_set(&lock->name, name);
    uint64_t hash = core_hash(core, name.data, name.size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, core->locks, lock->name.text, lock->name.size, (unsigned)hash,
                                lock);
    order_insert(&core->lock_names, &lock->by_name, (uint32_t)(hash >> 32));
    core->bookkeeping += LOCK_COST;
    return lock;
}

void lock_free(struct core *core, struct lock *lock)
{
    STEWARD_ASSERT(!lock->holders && !lock->waiters && !lock->parked);
    timer_disarm(&core->timers, &lock->idle_timer);
    if (lock->pumping) {
        DL_DELETE2(core->lock_pumps, lock, pump_prev, pump_next);
    }
    HASH_DELETE(hh, core->locks, lock);
    order_remove(&core->lock_names, &lock->by_name);
    core->bookkeeping -= LOCK_COST;
    free(lock);
}

static unsigned token_hash(const struct core *core, uint64_t token)
{
    return (unsigned)hash_number(core->hash_key, token);
}

struct holder *holder_find(const struct core *core, uint64_t token)
{
    struct holder *holder = NULL;
    HASH_FIND_BYHASHVALUE(hh, core->holders, &token, sizeof token, token_hash(core, token), holder);
    return holder;
}

struct holder *holder_new(struct core *core, struct lock *lock, struct session *session,
                          uint64_t token)
{
    struct holder *holder = mem_zalloc(1, sizeof *holder);
    holder->session = session;
    holder->lock = lock;
    holder->token = token;
    holder->since_ms = core->now_ms;
    holder->depth = 1;
    holder->timer.kind = TIMER_HOLDER;
    DL_APPEND(lock->holders, holder);
    lock->holders_count++;
    DL_APPEND2(session->holders, holder, session_prev, session_next);
    session->holders_count++;
    HASH_ADD_BYHASHVALUE(hh, core->holders, token, sizeof token, token_hash(core, token), holder);
    core->bookkeeping += HOLDER_COST;
    return holder;
}

void holder_free(struct core *core, struct holder *holder)
{
    struct lock *lock = holder->lock;
    struct session *session = holder->session;
    timer_disarm(&core->timers, &holder->timer);
    DL_DELETE(lock->holders, holder);
    lock->holders_count--;
    DL_DELETE2(session->holders, holder, session_prev, session_next);
    session->holders_count--;
    HASH_DELETE(hh, core->holders, holder);
    core->bookkeeping -= HOLDER_COST;
    free(holder);
}

/* ---- serving -------------------------------------------------------------------------------- */

static bool lock_idle(const struct lock *lock)
{
    return !lock->holders && !lock->waiters && !lock->parked && !lock->pumping;
}

static void lock_settle(struct core *core, struct lock *lock)
{
    if (lock_idle(lock) && !timer_armed(&lock->idle_timer)) {
        timer_arm(&core->timers, &lock->idle_timer, core->now_ms + LIMIT_IDLE_COLLECT_MS);
    }
}

static uint64_t next_token(struct core *core, const struct lock *lock)
{
    if (CANARY(TOKEN_REUSED) && core->next_token > 1 && lock->acquired > 0 &&
        !holder_find(core, core->next_token - 1)) {
        return core->next_token - 1;
    }
    return core->next_token++;
}

static struct holder *lock_grant(struct core *core, struct lock *lock, struct session *session,
                                 uint64_t owner, uint64_t lease_ms)
{
    struct holder *holder = holder_new(core, lock, session, next_token(core, lock));
    holder->owner = owner;
    holder->lease_ms = lease_ms;
    if (lease_ms > 0) {
        timer_arm(&core->timers, &holder->timer, core->now_ms + lease_ms);
    }
    lock->acquired++;
    timer_disarm(&core->timers, &lock->idle_timer);
    return holder;
}

void lock_pump_later(struct core *core, struct lock *lock)
{
    if (!lock->pumping) {
        lock->pumping = true;
        DL_APPEND2(core->lock_pumps, lock, pump_prev, pump_next);
    }
}

/* Takes one step: breaks a holder, serves a waiter or sets it aside. False: nothing to do. */
static bool lock_step(struct core *core, struct lock *lock)
{
    struct holder *first = lock->holders;
    if (first && first->token < lock->break_before) {
        emit_lock_lost(core, first->session->id, name_slice(&lock->name), first->token,
                       STW_EDELETED);
        lock->broken++;
        holder_free(core, first);
        return true;
    }
    if (!lock->waiters || lock->holders_count >= lock->permits) {
        return false;
    }
    struct wait_link *link = CANARY(LOCK_LIFO) ? lock->waiters->prev : lock->waiters;
    struct waiter *waiter = link->waiter;
    struct session *session = waiter->session;
    if (!session->ending && waiter_asleep(waiter)) {
        waiter_park(link);
        return true;
    }
    if (!session->ending) {
        struct holder *holder = lock_grant(core, lock, session, waiter->owner, waiter->lease_ms);
        answer_grant(core, session, waiter->request, holder);
    }
    waiter_free(core, waiter);
    return true;
}

/* All steps there are, as far as the units of work reach. */
static void lock_serve(struct core *core, struct lock *lock)
{
    while (core->work > 0 && lock_step(core, lock)) {
        core->work--;
    }
    if (core->work == 0) {
        lock_pump_later(core, lock);
    }
    lock_settle(core, lock);
}

void lock_slice(struct core *core)
{
    while (core->work > 0 && core->lock_pumps) {
        struct lock *lock = core->lock_pumps;
        core->work--;
        if (!lock_step(core, lock)) {
            lock->pumping = false;
            DL_DELETE2(core->lock_pumps, lock, pump_prev, pump_next);
            lock_settle(core, lock);
        }
    }
}

/* A permit is free again. */
static void lock_release(struct core *core, struct holder *holder)
{
    struct lock *lock = holder->lock;
    holder_free(core, holder);
    lock_serve(core, lock);
}

/* ---- acquire -------------------------------------------------------------------------------- */

static void refuse(struct core *core, struct session *session, uint64_t request, int code,
                   const char *why)
{
    answer_error(core, session, request, code, about(why, slice_of(NULL, 0)));
}

static bool lease_valid(uint64_t lease_ms)
{
    return lease_ms == 0 || (lease_ms >= LIMIT_LEASE_MIN_MS && lease_ms <= LIMIT_DURATION_MS);
}

/* The arguments alone. NULL: they are right; else what is not. */
static const char *acquire_invalid(const struct cmd_acquire *acquire)
{
    if (name_check(acquire->name) != STW_OK) {
        return "the lock's name is not valid";
    }
    if (acquire->kind != LOCK_MUTEX && acquire->kind != LOCK_SEMAPHORE) {
        return "a lock is a mutex or a semaphore";
    }
    if (acquire->kind == LOCK_SEMAPHORE &&
        (acquire->permits == 0 || acquire->permits > LIMIT_PERMITS)) {
        return "the number of permits is not valid";
    }
    if (acquire->kind == LOCK_SEMAPHORE && acquire->reentrant) {
        return "a semaphore is not reentrant";
    }
    return lease_valid(acquire->lease_ms) ? NULL : "the lease is too short or too long";
}

static void refuse_permits(struct core *core, struct session *session, uint64_t request,
                           const struct lock *lock, uint64_t permits)
{
    uint8_t digits[DECIMAL_BYTES];
    struct buf why = {0};
    static const char declared[] = "the semaphore has another number of permits: ";
    buf_add(&why, declared, sizeof declared - 1);
    struct slice number = slice_decimal(lock->permits, digits);
    buf_add(&why, number.data, number.size);
    buf_add(&why, ", not ", 6);
    number = slice_decimal(permits, digits);
    buf_add(&why, number.data, number.size);
    buf_u8(&why, 0);
    answer_error(core, session, request, STW_EEXIST,
                 about((const char *)why.data, name_slice(&lock->name)));
    buf_fini(&why);
}

/* Against the lock as it is. False: refused and answered. */
static bool acquire_fits(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_acquire *acquire, const struct lock *lock)
{
    if (lock->kind != (uint8_t)acquire->kind) {
        answer_error(core, session, request, STW_EKIND,
                     about(lock->kind == LOCK_MUTEX ? "the name belongs to a mutex"
                                                    : "the name belongs to a semaphore",
                           acquire->name));
        return false;
    }
    if (lock->kind == LOCK_SEMAPHORE && lock->permits != acquire->permits) {
        refuse_permits(core, session, request, lock, acquire->permits);
        return false;
    }
    return true;
}

static struct lock *lock_get_or_create(struct core *core, struct session *session, uint64_t request,
                                       const struct cmd_acquire *acquire)
{
    struct lock *lock = lock_find(core, acquire->name);
    if (lock) {
        return acquire_fits(core, session, request, acquire, lock) ? lock : NULL;
    }
    if (HASH_COUNT(core->locks) >= LIMIT_LOCKS) {
        refuse(core, session, request, STW_ELIMIT, "there are too many locks");
        return NULL;
    }
    lock = lock_new(core, acquire->name);
    lock->kind = (uint8_t)acquire->kind;
    lock->permits = lock->kind == LOCK_MUTEX ? 1 : acquire->permits;
    return lock;
}

/* The holder itself comes again. False: it is not the holder, or did not ask for that. */
static bool reenter(struct core *core, struct session *session, uint64_t request,
                    const struct cmd_acquire *acquire, struct lock *lock)
{
    struct holder *holder = lock->holders;
    if (!acquire->reentrant || !holder || holder->session != session ||
        holder->owner != acquire->owner || holder->token < lock->break_before) {
        return false;
    }
    if (holder->depth >= LIMIT_LOCK_DEPTH) {
        refuse(core, session, request, STW_ELIMIT, "the lock is re-entered too deeply");
        return true;
    }
    holder->depth++;
    if (holder->lease_ms > 0) {
        timer_arm(&core->timers, &holder->timer, core->now_ms + holder->lease_ms);
    }
    answer_grant(core, session, request, holder);
    return true;
}

static void acquire_wait(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_acquire *acquire, struct lock *lock)
{
    if (acquire->timeout_ms == 0) {
        answer_error(core, session, request, STW_EBUSY, about(NULL, name_slice(&lock->name)));
        return;
    }
    if (waiter_check(core, session, 1) != STW_OK) {
        refuse(core, session, request, STW_ELIMIT, "too many requests are waiting");
        return;
    }
    lock->contended++;
    struct waiter *waiter = waiter_new(core, session, WAIT_ACQUIRE, request, 1);
    waiter_deadline(core, waiter, acquire->timeout_ms);
    waiter->owner = acquire->owner;
    waiter->reentrant = acquire->reentrant;
    waiter->lease_ms = acquire->lease_ms;
    waiter_link(core, waiter, 0, lock);
    answer_wait(core, session, request, waiter);
}

static void lock_acquire(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_acquire *acquire)
{
    const char *invalid = acquire_invalid(acquire);
    if (invalid) {
        refuse(core, session, request, STW_EINVAL, invalid);
        return;
    }
    if (session->holders_count + session->leases.live >= LIMIT_HELD_SESSION) {
        refuse(core, session, request, STW_ELIMIT, "the session holds too many leases and locks");
        return;
    }
    struct lock *lock = lock_get_or_create(core, session, request, acquire);
    if (!lock || reenter(core, session, request, acquire, lock)) {
        return;
    }
    if (!lock->waiters && lock->holders_count < lock->permits) {
        struct holder *holder = lock_grant(core, lock, session, acquire->owner, acquire->lease_ms);
        answer_grant(core, session, request, holder);
    } else {
        acquire_wait(core, session, request, acquire, lock);
    }
}

/* ---- unlock, renew -------------------------------------------------------------------------- */

/* The holder that the command names; NULL: refused and answered. */
static struct holder *named_holder(struct core *core, struct session *session, uint64_t request,
                                   const struct cmd_unlock *unlock)
{
    struct holder *holder = holder_find(core, unlock->token);
    const char *why = NULL;
    if (!holder || !slice_equal(name_slice(&holder->lock->name), unlock->name) ||
        holder->token < holder->lock->break_before) {
        why = "this grant is lost, released or never was";
    } else if (holder->session != session) {
        why = "another session holds this lock";
    } else if (holder->owner != unlock->owner) {
        why = "another owner of this session holds this lock";
    }
    if (why) {
        struct slice object = name_check(unlock->name) == STW_OK ? unlock->name : slice_of(NULL, 0);
        answer_error(core, session, request, STW_ENOTHOLDER, about(why, object));
        return NULL;
    }
    return holder;
}

static void lock_unlock(struct core *core, struct session *session, uint64_t request,
                        const struct cmd_unlock *unlock)
{
    struct holder *holder = named_holder(core, session, request, unlock);
    if (!holder) {
        return;
    }
    holder->depth--;
    answer_number(core, session, request, holder->depth);
    if (holder->depth == 0) {
        lock_release(core, holder);
    }
}

/* lease_ms: from now on; 0, SETTING_DEFAULT: the one it has. Answers what is left; 0: no lease. */
static void lock_renew(struct core *core, struct session *session, uint64_t request,
                       const struct cmd_unlock *renew)
{
    uint64_t lease_ms = renew->lease_ms == SETTING_DEFAULT ? 0 : renew->lease_ms;
    if (!lease_valid(lease_ms)) {
        refuse(core, session, request, STW_EINVAL, "the lease is too short or too long");
        return;
    }
    struct holder *holder = named_holder(core, session, request, renew);
    if (!holder) {
        return;
    }
    if (lease_ms > 0) {
        holder->lease_ms = lease_ms;
    }
    if (holder->lease_ms > 0) {
        timer_arm(&core->timers, &holder->timer, core->now_ms + holder->lease_ms);
    }
    answer_number(core, session, request, holder->lease_ms);
}

void lock_apply(struct core *core, struct session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_ACQUIRE: lock_acquire(core, session, command->request, &command->acquire); break;
    case COMMAND_UNLOCK: lock_unlock(core, session, command->request, &command->unlock); break;
    case COMMAND_LOCK_RENEW: lock_renew(core, session, command->request, &command->unlock); break;
    default: lock_apply_admin(core, session, command); break;
    }
}

/* ---- what happens to locks from elsewhere --------------------------------------------------- */

void lock_timer_holder(struct core *core, struct holder *holder)
{
    emit_lock_lost(core, holder->session->id, name_slice(&holder->lock->name), holder->token,
                   STW_ELEASE);
    lock_release(core, holder);
}

void lock_timer_idle(struct core *core, struct lock *lock)
{
    if (lock_idle(lock)) {
        lock_free(core, lock);
    }
}

void lock_waiter_left(struct core *core, struct lock *lock)
{
    lock_settle(core, lock); /* permits are alike: one waiter less frees none */
}

bool lock_return_one(struct core *core, struct session *session)
{
    if (!session->holders) {
        return false;
    }
    lock_release(core, session->holders);
    return true;
}

void lock_cancel(struct core *core, struct session *session, struct slice name, uint64_t token)
{
    struct holder *holder = holder_find(core, token);
    if (!holder || holder->session != session ||
        !slice_equal(name_slice(&holder->lock->name), name)) {
        return;
    }
    holder->depth--;
    if (holder->depth == 0) {
        lock_release(core, holder);
    }
}

void lock_refresh_all(struct core *core, struct session *session)
{
    for (struct holder *at = session->holders; at; at = at->session_next) {
        if (at->lease_ms > 0) {
            timer_arm(&core->timers, &at->timer, core->now_ms + at->lease_ms);
        }
    }
}
