/*
 * The model's locks and semaphores: a list of holders, a line of waiters, first come first served.
 */
#include "tests/sim/model_lock.h"

#include "common/base/alloc.h"
#include "common/base/steward_errors.h"

#include <stdlib.h>

struct m_lock *m_lock_of(const struct model *model, struct slice name)
{
    for (size_t i = 0; i < model->locks.count; i++) {
        struct m_lock *lock = model->locks.items[i];
        if (slice_equal(text_view(&lock->name), name))
            return lock;
    }
    return NULL;
}

uint64_t m_lock_holders(const struct model *model, const struct m_lock *lock)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->holders.count; i++)
        count += ((struct m_holder *)model->holders.items[i])->lock == lock;
    return count;
}

static struct m_holder *holder_of(const struct model *model, const struct m_lock *lock,
                                  const struct m_session *session, uint64_t owner)
{
    for (size_t i = 0; i < model->holders.count; i++) {
        struct m_holder *h = model->holders.items[i];
        if (h->lock == lock && h->session == session && h->owner == owner)
            return h;
    }
    return NULL;
}

static struct m_holder *holder_by_token(const struct model *model, const struct m_session *session,
                                        struct slice name, uint64_t token)
{
    for (size_t i = 0; i < model->holders.count; i++) {
        struct m_holder *h = model->holders.items[i];
        if (h->session == session && h->token == token &&
            slice_equal(text_view(&h->lock->name), name))
            return h;
    }
    return NULL;
}

/* Held or waited for. */
static bool lock_used(const struct model *model, const struct m_lock *lock)
{
    return m_lock_holders(model, lock) > 0 || m_wait_first_lock(model, lock, false) ||
           m_wait_first_lock(model, lock, true);
}

void m_lock_life(struct model *model, struct m_lock *lock)
{
    if (lock_used(model, lock))
        m_alarm_off(&lock->idle);
    else if (lock->idle.due_ms == NEVER)
        m_alarm_set(model, &lock->idle, model->now_ms + LIMIT_IDLE_COLLECT_MS);
}

static struct m_holder *grant(struct model *model, struct m_lock *lock, struct m_session *session,
                              const struct m_holder *as)
{
    struct m_holder *h = mem_zalloc(1, sizeof *h);
    *h = *as;
    h->lock = lock;
    h->session = session;
    h->token = model->next_token++;
    h->depth = 1;
    h->since_ms = model->now_ms;
    h->alarm.due_ms = NEVER;
    if (h->lease_ms > 0)
        m_alarm_set(model, &h->alarm, model->now_ms + h->lease_ms);
    m_alarm_off(&lock->idle);
    lock->acquired++;
    list_add(&model->holders, h);
    return h;
}

static void holder_free(struct model *model, struct m_holder *holder)
{
    list_remove(&model->holders, holder);
    free(holder);
}

void m_lock_serve(struct model *model, struct m_lock *lock)
{
    struct m_waiter *w;
    while (m_lock_holders(model, lock) < lock->permits &&
           (w = m_wait_first_lock(model, lock, false))) {
        if (w->session->detached) {
            m_wait_sleep(model, w, NULL);
            continue;
        }
        struct m_holder as = {.owner = w->owner, .lease_ms = w->lease_ms};
        struct m_holder *h = grant(model, lock, w->session, &as);
        m_say_grant(model, h, w->request);
        m_wait_free(model, w);
    }
    m_lock_life(model, lock);
}

void m_holder_end(struct model *model, struct m_holder *holder)
{
    struct m_lock *lock = holder->lock;
    holder_free(model, holder);
    m_lock_serve(model, lock);
}

void m_holder_expire(struct model *model, struct m_holder *holder)
{
    tell_lock_lost(model, holder, STW_ELEASE);
    m_holder_end(model, holder);
}

/* ---- acquire -------------------------------------------------------------------------------- */

static bool lease_good(uint64_t lease_ms)
{
    return lease_ms == 0 || (lease_ms >= LIMIT_LEASE_MIN_MS && lease_ms <= LIMIT_DURATION_MS);
}

static int acquire_check(const struct model *model, const struct m_session *session,
                         const struct m_lock *lock, const struct cmd_acquire *a)
{
    bool semaphore = a->kind == LOCK_SEMAPHORE;
    if (!m_name_good(a->name) || !lease_good(a->lease_ms) || a->kind > LOCK_SEMAPHORE)
        return STW_EINVAL;
    if (semaphore && (a->permits < 1 || a->permits > LIMIT_PERMITS || a->reentrant))
        return STW_EINVAL;
    if (m_room(model, session) == 0 || (!lock && model->locks.count >= LIMIT_LOCKS))
        return STW_ELIMIT;
    if (lock && lock->kind != a->kind)
        return STW_EKIND;
    return lock && semaphore && lock->permits != a->permits ? STW_EEXIST : 0;
}

static struct m_lock *lock_make(struct model *model, const struct cmd_acquire *a)
{
    struct m_lock *lock = mem_zalloc(1, sizeof *lock);
    *lock = (struct m_lock){.name = text_of(a->name),
                            .kind = a->kind,
                            .permits = a->kind == LOCK_SEMAPHORE ? a->permits : 1,
                            .idle = {.due_ms = NEVER}};
    list_add(&model->locks, lock);
    return lock;
}

static void holder_arm(struct model *model, struct m_holder *h)
{
    m_alarm_off(&h->alarm);
    if (h->lease_ms > 0)
        m_alarm_set(model, &h->alarm, model->now_ms + h->lease_ms);
}

static void acquire_wait(struct model *model, struct m_session *session, struct m_lock *lock,
                         const struct command *command)
{
    const struct cmd_acquire *a = &command->acquire;
    if (a->timeout_ms == 0 || !m_may_wait(model, session)) {
        m_say_error(model, session, command->request, a->timeout_ms == 0 ? STW_EBUSY : STW_ELIMIT);
        return;
    }
    struct m_waiter *w = m_wait_new(model, session, command, M_ACQUIRE, a->timeout_ms);
    w->lock = lock;
    w->turn = model->next_turn++;
    w->owner = a->owner;
    w->lease_ms = a->lease_ms;
    lock->contended++;
}

static void acquire(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_acquire *a = &command->acquire;
    struct m_lock *lock = m_lock_of(model, a->name);
    int code = acquire_check(model, session, lock, a);
    if (code != 0) {
        m_say_error(model, session, command->request, code);
        return;
    }
    if (!lock)
        lock = lock_make(model, a);
    struct m_holder *mine = holder_of(model, lock, session, a->owner);
    if (mine && a->reentrant && mine->depth >= LIMIT_LOCK_DEPTH) {
        m_say_error(model, session, command->request, STW_ELIMIT);
    } else if (mine && a->reentrant) {
        mine->depth++;
        holder_arm(model, mine);
        m_say_grant(model, mine, command->request);
    } else if (m_lock_holders(model, lock) < lock->permits &&
               !m_wait_first_lock(model, lock, false)) {
        struct m_holder as = {.owner = a->owner, .lease_ms = a->lease_ms};
        m_say_grant(model, grant(model, lock, session, &as), command->request);
    } else {
        acquire_wait(model, session, lock, command);
    }
    m_lock_life(model, lock);
}

/* ---- unlock, renew, break ------------------------------------------------------------------- */

static void unlock(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_unlock *u = &command->unlock;
    struct m_holder *h = holder_by_token(model, session, u->name, u->token);
    if (!h || h->owner != u->owner) {
        m_say_error(model, session, command->request, STW_ENOTHOLDER);
        return;
    }
    m_say_number(model, session, command->request, --h->depth);
    if (h->depth == 0)
        m_holder_end(model, h);
}

static void renew(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_unlock *u = &command->unlock;
    struct m_holder *h = holder_by_token(model, session, u->name, u->token);
    uint64_t lease_ms = u->lease_ms == SETTING_DEFAULT ? 0 : u->lease_ms;
    if (!lease_good(lease_ms)) {
        m_say_error(model, session, command->request, STW_EINVAL);
        return;
    }
    if (!h || h->owner != u->owner) {
        m_say_error(model, session, command->request, STW_ENOTHOLDER);
        return;
    }
    if (lease_ms > 0)
        h->lease_ms = lease_ms;
    holder_arm(model, h);
    m_say_number(model, session, command->request, h->lease_ms);
}

static void lock_break(struct model *model, struct m_session *session,
                       const struct command *command)
{
    struct m_lock *lock = m_lock_of(model, command->named.name);
    if (!lock) {
        int code = m_name_good(command->named.name) ? STW_ENOENT : STW_EINVAL;
        m_say_error(model, session, command->request, code);
        return;
    }
    m_say_plain(model, session, command->request);
    for (size_t i = 0; i < model->holders.count;) {
        struct m_holder *h = model->holders.items[i];
        if (h->lock != lock) {
            i++;
            continue;
        }
        tell_lock_lost(model, h, STW_EDELETED);
        holder_free(model, h);
        lock->broken++;
    }
    m_lock_serve(model, lock);
}

void m_lock_cancel(struct model *model, struct m_session *session, struct slice name,
                   uint64_t token)
{
    struct m_holder *h = holder_by_token(model, session, name, token);
    if (h && --h->depth == 0)
        m_holder_end(model, h);
}

void m_lock_command(struct model *model, struct m_session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_ACQUIRE: acquire(model, session, command); break;
    case COMMAND_UNLOCK: unlock(model, session, command); break;
    case COMMAND_LOCK_RENEW: renew(model, session, command); break;
    default: lock_break(model, session, command); break;
    }
}

void m_lock_idle(struct model *model, struct m_lock *lock)
{
    if (lock_used(model, lock))
        return;
    list_remove(&model->locks, lock);
    text_free(&lock->name);
    free(lock);
}

void m_holders_refresh(struct model *model, const struct m_session *session)
{
    for (size_t i = 0; i < model->holders.count; i++) {
        struct m_holder *h = model->holders.items[i];
        if (h->session == session)
            holder_arm(model, h);
    }
}

void m_locks_free(struct model *model)
{
    while (model->locks.count > 0)
        m_lock_idle(model, model->locks.items[0]);
}
