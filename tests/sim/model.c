/* The model: one command at a time, and deadlines in ticks. See model.h. */
#include "tests/sim/model_lock.h"
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"

#include <stdlib.h>

/* ---- alarms --------------------------------------------------------------------------------- */

enum alarm_owner {
    OWNER_NONE,
    OWNER_WAITER,
    OWNER_HOLDER,
    OWNER_GROUP,
    OWNER_MESSAGE,
    OWNER_DEDUP,
    OWNER_QUEUE,
    OWNER_LOCK
};

/* The alarm that fires next: the earliest, of equal ones the one that was set first. */
struct next {
    enum alarm_owner owner;
    void *object;
    struct alarm *alarm;
};

static void consider(struct next *next, enum alarm_owner owner, void *object, struct alarm *alarm)
{
    if (alarm->due_ms == NEVER)
        return;
    if (next->owner != OWNER_NONE &&
        (next->alarm->due_ms < alarm->due_ms ||
         (next->alarm->due_ms == alarm->due_ms && next->alarm->number < alarm->number)))
        return;
    *next = (struct next){owner, object, alarm};
}

static struct next next_alarm(const struct model *model)
{
    struct next next = {0};
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        consider(&next, OWNER_WAITER, w, &w->alarm);
    }
    for (size_t i = 0; i < model->holders.count; i++) {
        struct m_holder *h = model->holders.items[i];
        consider(&next, OWNER_HOLDER, h, &h->alarm);
    }
    for (size_t i = 0; i < model->groups.count; i++) {
        struct m_group *group = model->groups.items[i];
        consider(&next, OWNER_GROUP, group, &group->alarm);
    }
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        consider(&next, OWNER_MESSAGE, m, &m->alarm);
    }
    for (size_t i = 0; i < model->queues.count; i++) {
        struct m_queue *queue = model->queues.items[i];
        consider(&next, OWNER_DEDUP, queue, &queue->dedup);
        consider(&next, OWNER_QUEUE, queue, &queue->idle);
    }
    for (size_t i = 0; i < model->locks.count; i++) {
        struct m_lock *lock = model->locks.items[i];
        consider(&next, OWNER_LOCK, lock, &lock->idle);
    }
    return next;
}

uint64_t model_deadline(const struct model *model)
{
    struct next next = next_alarm(model);
    return next.owner == OWNER_NONE ? NEVER : next.alarm->due_ms;
}

static void fire(struct model *model, const struct next *next)
{
    m_alarm_off(next->alarm);
    model->fired++;
    switch (next->owner) {
    case OWNER_WAITER: m_wait_expire(model, next->object); break;
    case OWNER_HOLDER: m_holder_expire(model, next->object); break;
    case OWNER_GROUP: m_group_expire(model, next->object); break;
    case OWNER_MESSAGE: m_message_alarm(model, next->object); break;
    case OWNER_DEDUP: m_dedup_expire(model, next->object); break;
    case OWNER_QUEUE: m_queue_idle(model, next->object); break;
    case OWNER_LOCK: m_lock_idle(model, next->object); break;
    case OWNER_NONE: break;
    }
}

bool model_session(const struct model *model, uint64_t id, uint64_t *highest_request)
{
    const struct m_session *session = m_session_of(model, id);
    if (session)
        *highest_request = session->highest_request;
    return session != NULL;
}

uint64_t model_fired(const struct model *model)
{
    return model->fired;
}

uint64_t model_dropped(const struct model *model)
{
    return model->dropped;
}

static void tick(struct model *model)
{
    while (model_deadline(model) <= model->now_ms) {
        struct next next = next_alarm(model);
        fire(model, &next);
    }
}

/* The manager was away: everybody gets the full time again. */
static void refresh(struct model *model)
{
    for (size_t i = 0; i < model->sessions.count; i++) {
        struct m_session *session = model->sessions.items[i];
        m_waits_refresh(model, session);
        m_holders_refresh(model, session);
        m_leases_refresh(model, session);
    }
}

/* ---- commands ------------------------------------------------------------------------------- */

static void manager_command(struct model *model, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_BOOTSTRAP:
        if (model->incarnation == 0)
            model->incarnation = command->bootstrap.incarnation;
        break;
    case COMMAND_TICK: tick(model); break;
    case COMMAND_LEADER_START:
        refresh(model);
        model_detach_all(model);
        break;
    case COMMAND_CLOCK_GAP: refresh(model); break;
    case COMMAND_SESSION_OPEN: model_open(model, &command->open); break;
    default: model_resume(model, &command->resume); break;
    }
}

static void request_command(struct model *model, struct m_session *session,
                            const struct command *command)
{
    switch (command->kind) {
    case COMMAND_PUT:
    case COMMAND_PUT_MANY: m_put_command(model, session, command); break;
    case COMMAND_GET:
    case COMMAND_CONSUME: m_get_command(model, session, command); break;
    case COMMAND_UNCONSUME: m_unconsume(model, session, command); break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: m_lease_command(model, session, command); break;
    case COMMAND_CANCEL: model_cancel(model, session, command); break;
    case COMMAND_ACQUIRE:
    case COMMAND_UNLOCK:
    case COMMAND_LOCK_RENEW:
    case COMMAND_LOCK_BREAK: m_lock_command(model, session, command); break;
    case COMMAND_LOCK_SHOW:
    case COMMAND_LOCK_LIST:
    case COMMAND_QUEUE_SHOW:
    case COMMAND_QUEUE_LIST:
    case COMMAND_QUEUE_PEEK:
    case COMMAND_SESSION_LIST:
    case COMMAND_SESSION_SHOW:
    case COMMAND_STAT: m_show_command(model, session, command); break;
    case COMMAND_REFUSE:
        for (uint64_t i = 0; i < command->refuse.count; i++)
            m_say_error(model, session, command->request + i, command->refuse.code);
        break;
    case COMMAND_SESSION_KILL: model_kill(model, session, command); break;
    default: m_queue_command(model, session, command); break;
    }
}

/* Only the ids that are new count: the end of the command. */
static void without_old(struct command *command, uint64_t fresh)
{
    uint64_t old = command_requests(command) - fresh;
    command->request += old;
    if (command->kind == COMMAND_PUT) {
        command->put.bodies += old;
        command->put.count -= old;
    } else if (command->kind >= COMMAND_ACK && command->kind <= COMMAND_RENEW) {
        command->settle.first_tag += old;
        command->settle.count -= old;
    } else if (command->kind == COMMAND_REFUSE) {
        command->refuse.count -= old;
    }
}

static void session_command(struct model *model, const struct command *given)
{
    struct command command = *given;
    struct m_session *session = m_session_of(model, command.session);
    if (!session) {
        m_answers_unknown(model, &command);
        return;
    }
    switch (command.kind) {
    case COMMAND_SESSION_END: model_end(model, session); return;
    case COMMAND_SESSION_DETACH: model_detach(model, session, command.reference); return;
    case COMMAND_SEEN: model_seen(model, session, &command.seen); return;
    case COMMAND_HANDED: m_leases_handed(session, command.tag); return;
    case COMMAND_CREDIT: m_credit(model, session, &command.credit); return;
    default: break;
    }
    uint64_t fresh = m_answers_open(model, session, &command);
    if (fresh == 0)
        return;
    without_old(&command, fresh);
    request_command(model, session, &command);
}

void model_apply(struct model *model, uint64_t now_ms, const struct command *command,
                 struct buf *lines)
{
    if (now_ms > model->now_ms)
        model->now_ms = now_ms;
    model->lines = lines;
    model->commands++;
    model->fired = 0;
    if (command->kind <= COMMAND_SESSION_RESUME)
        manager_command(model, command);
    else
        session_command(model, command);
    m_queues_serve(model);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct model *model_new(void)
{
    struct model *model = mem_zalloc(1, sizeof *model);
    model->next_session = model->next_token = model->next_alarm = model->next_turn = 1;
    return model;
}

void model_destroy(struct model **model)
{
    struct model *m = *model;
    struct buf lines = {0};
    m->lines = &lines;
    while (m->sessions.count > 0)
        model_end(m, m->sessions.items[0]);
    m_queues_free(m);
    m_locks_free(m);
    struct list *lists[] = {&m->sessions, &m->queues,  &m->messages, &m->dedups, &m->waiters,
                            &m->locks,    &m->holders, &m->groups,   &m->pumps};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_fini(lists[i]);
    buf_fini(&lines);
    free(m);
    *model = NULL;
}
