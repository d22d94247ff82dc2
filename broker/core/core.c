/*
 * The core's life and the way of one command: from its kind to the file that applies it, then the
 * work that earlier commands left over.
 *
 * A new command kind: a case in apply_request or apply_own.  Everything here is bounded by
 * core->work, but for LEADER_START and CLOCK_GAP, which give every session, lease and waiter its
 * full time again at once: they are rare, and a slice of them would be unfair to the rest.
 */
#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "broker/core/hash.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

/* Units of work that a tick keeps for sliced work, however many deadlines are due. */
#define WORK_RESERVE (LIMIT_WORK_UNITS / 4)

uint64_t core_hash(const struct core *core, const void *data, size_t size)
{
    return hash_bytes(core->hash_key, data, size);
}

/* ---- life ----------------------------------------------------------------------------------- */

void core_init(struct core *core)
{
    *core = (struct core){0};
    core->next_session = 1;
    core->next_token = 1;
    core->next_turn = 1;
    order_init(&core->lock_names, lock_compare);
    queues_init(core);
}

struct core *core_new(void)
{
    struct core *core = mem_alloc(sizeof *core);
    core_init(core);
    return core;
}

static void session_destroy(struct core *core, struct session *session)
{
    while (session->waiters) {
        waiter_free(core, session->waiters);
    }
    while (session->consumers) {
        waiter_free(core, session->consumers);
    }
    while (session->holders) {
        holder_free(core, session->holders);
    }
    leases_fini(core, session);
    session_free(core, session);
}

void core_fini(struct core *core)
{
    while (core->sessions) {
        session_destroy(core, core->sessions);
    }
    while (core->locks) {
        lock_free(core, core->locks);
    }
    queues_fini(core);
    timers_fini(&core->timers);
    buf_fini(&core->scratch);
}

void core_destroy(struct core **core)
{
    struct core *old = *core;
    *core = NULL;
    if (old) {
        core_fini(old);
        free(old);
    }
}

/* ---- sliced work ---------------------------------------------------------------------------- */

static bool work_left(const struct core *core)
{
    return core->endings || core->lock_pumps || core->pumps || core->trash || core->redrives;
}

/* Goes on with what earlier commands left, as far as this apply's units of work reach. */
static void work_on(struct core *core)
{
    while (core->work > 0 && session_end_slice(core)) {
        core->work -= core->work > 0; /* a slice costs at least one */
    }
    lock_slice(core);
    while (core->work > 0 && core->pumps) {
        core->work--;
        queue_pump(core, core->pumps);
    }
    while (core->work > 0 && redrive_slice(core)) {
        core->work -= core->work > 0;
    }
    while (core->work > 0 && trash_slice(core)) {
        core->work -= core->work > 0;
    }
}

/* ---- time ----------------------------------------------------------------------------------- */

#define OWNER(timer, type, member) ((type *)((uintptr_t)(timer)-offsetof(type, member)))

static void timer_fire(struct core *core, struct timer *timer)
{
    switch ((enum timer_kind)timer->kind) {
    case TIMER_MESSAGE: message_timer(core, OWNER(timer, struct message_ext, timer)); break;
    case TIMER_LEASES: {
        struct id_chunk *chunk = OWNER(timer, struct id_chunk, timer);
        lease_timer(core, chunk->owner, chunk);
        break;
    }
    case TIMER_WAITER: waiter_timeout(core, OWNER(timer, struct waiter, timer)); break;
    case TIMER_HOLDER: lock_timer_holder(core, OWNER(timer, struct holder, timer)); break;
    case TIMER_DEDUP: queue_timer_dedup(core, OWNER(timer, struct queue, dedup_timer)); break;
    case TIMER_QUEUE_IDLE: queue_timer_idle(core, OWNER(timer, struct queue, idle_timer)); break;
    case TIMER_LOCK_IDLE: lock_timer_idle(core, OWNER(timer, struct lock, idle_timer)); break;
    }
}

static void apply_tick(struct core *core)
{
    struct timer *timer;
    while (core->work > 0 && (timer = timers_first(&core->timers)) != NULL &&
           timer->due_ms <= core->now_ms) {
        core->work--;
        timer_disarm(&core->timers, timer);
        timer_fire(core, timer);
    }
    if (core->work < WORK_RESERVE) {
        core->work = WORK_RESERVE;
    }
}

uint64_t core_deadline(const struct core *core)
{
    if (work_left(core)) {
        return core->now_ms;
    }
    const struct timer *timer = timers_first(&core->timers);
    return timer ? timer->due_ms : UINT64_MAX;
}

/* The manager was away: nobody else shall pay for it. */
static void apply_full_time(struct core *core)
{
    for (struct session *at = core->sessions; at; at = at->hh.next) {
        if (!at->ending) {
            waiters_refresh(core, at);
            lock_refresh_all(core, at);
            lease_refresh_all(core, at);
        }
    }
}

/* Another life of the manager, or another manager: nobody is connected to it yet. */
static void apply_leader_start(struct core *core)
{
    if (!CANARY(LEADER_IMPATIENT)) {
        apply_full_time(core);
    }
    for (struct session *at = core->sessions; at; at = at->hh.next) {
        session_detach(core, at);
    }
}

/* ---- commands ------------------------------------------------------------------------------- */

static void apply_bootstrap(struct core *core, const struct cmd_bootstrap *bootstrap)
{
    if (core->bootstrapped) {
        return;
    }
    core->bootstrapped = true;
    core->hash_key = bootstrap->hash_key;
    core->incarnation = bootstrap->incarnation;
}

static void apply_session_end(struct core *core, const struct command *command)
{
    struct session *session = session_find(core, command->session);
    if (session) {
        session_end(core, session, command->text);
    }
}

/* Commands of the manager itself; false: it is a session's. */
static bool apply_own(struct core *core, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_BOOTSTRAP: apply_bootstrap(core, &command->bootstrap); return true;
    case COMMAND_TICK: apply_tick(core); return true;
    case COMMAND_LEADER_START: apply_leader_start(core); return true;
    case COMMAND_CLOCK_GAP: apply_full_time(core); return true;
    case COMMAND_SESSION_OPEN: session_apply_open(core, &command->open); return true;
    case COMMAND_SESSION_RESUME: session_apply_resume(core, &command->resume); return true;
    case COMMAND_SESSION_END: apply_session_end(core, command); return true;
    case COMMAND_SESSION_DETACH:
        session_apply_detach(core, command->session, command->reference);
        return true;
    default: return false;
    }
}

static void apply_handed(struct session *session, uint64_t tag)
{
    uint64_t given = session->next_tag - 1;
    uint64_t handed = tag < given ? tag : given;
    if (handed > session->handed_tag) {
        session->handed_tag = handed;
    }
}

static void apply_refuse(struct core *core, struct session *session, const struct command *command)
{
    const struct cmd_refuse *refuse = &command->refuse;
    STEWARD_ASSERT(refuse->code < 0 && refuse->code >= -ERROR_NUMBER_MAX);
    for (uint64_t i = 0; i < refuse->count; i++) {
        answer_error(core, session, command->request + i, refuse->code,
                     about(NULL, refuse->object));
    }
}

/* A new request, whose ids are registered. */
static void apply_request(struct core *core, struct session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_PUT:
    case COMMAND_PUT_MANY:
        queue_apply_put(core, session, command->request, &command->put,
                        command->kind == COMMAND_PUT_MANY);
        break;
    case COMMAND_GET: queue_apply_get(core, session, command->request, &command->get); break;
    case COMMAND_CONSUME:
        queue_apply_consume(core, session, command->request, &command->get);
        break;
    case COMMAND_UNCONSUME:
        queue_apply_unconsume(core, session, command->request, command->target);
        break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: lease_apply_settle(core, session, command); break;
    case COMMAND_CANCEL: answer_cancel(core, session, command->request, command->target); break;
    case COMMAND_ACQUIRE:
    case COMMAND_UNLOCK:
    case COMMAND_LOCK_RENEW:
    case COMMAND_LOCK_BREAK:
    case COMMAND_LOCK_SHOW:
    case COMMAND_LOCK_LIST: lock_apply(core, session, command); break;
    case COMMAND_QUEUE_DECLARE:
        queue_apply_declare(core, session, command->request, &command->queue);
        break;
    case COMMAND_QUEUE_ALTER:
        queue_apply_alter(core, session, command->request, &command->queue);
        break;
    case COMMAND_SESSION_LIST:
    case COMMAND_SESSION_SHOW:
    case COMMAND_SESSION_KILL:
    case COMMAND_STAT: session_apply_admin(core, session, command); break;
    case COMMAND_REFUSE: apply_refuse(core, session, command); break;
    default: queue_apply_admin(core, session, command); break;
    }
}

/* The command without its first `old` ids, which were answered before. */
static struct command trimmed(const struct command *command, uint64_t old)
{
    struct command rest = *command;
    rest.request += old;
    switch (command->kind) {
    case COMMAND_PUT:
        rest.put.options = NULL;
        rest.put.bodies += old;
        rest.put.count -= (size_t)old;
        break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW:
        rest.settle.first_tag += old;
        rest.settle.count -= old;
        break;
    case COMMAND_REFUSE: rest.refuse.count -= old; break;
    default: break;
    }
    return rest;
}

static void apply_session(struct core *core, const struct command *command)
{
    struct session *session = session_find(core, command->session);
    if (!session) {
        answer_unknown_session(core, command);
        return;
    }
    switch (command->kind) {
    case COMMAND_SEEN: answers_seen(core, session, &command->seen); return;
    case COMMAND_HANDED: apply_handed(session, command->tag); return;
    case COMMAND_CREDIT: queue_apply_credit(core, session, &command->credit); return;
    default: break;
    }
    uint64_t fresh = answers_begin(core, session, command);
    if (fresh > 0) {
        struct command rest = trimmed(command, command_requests(command) - fresh);
        apply_request(core, session, &rest);
    }
}

static bool kind_valid(enum command_kind kind)
{
    return (unsigned)kind >= COMMAND_BOOTSTRAP && (unsigned)kind < COMMAND_KIND_END;
}

void core_apply(struct core *core, uint64_t now_ms, const struct command *command,
                struct effects *effects)
{
    STEWARD_ASSERT(core->bootstrapped || command->kind == COMMAND_BOOTSTRAP);
    STEWARD_ASSERT(kind_valid(command->kind));
    effects_clear(effects);
    core->effects = effects;
    if (now_ms > core->now_ms) {
        core->now_ms = now_ms;
    }
    core->work = LIMIT_WORK_UNITS;
    core->commands++;
    if (!apply_own(core, command)) {
        apply_session(core, command);
    }
    if (work_left(core)) {
        work_on(core);
    }
    core->effects = NULL;
}

/* ---- questions ------------------------------------------------------------------------------ */

uint64_t core_bytes(const struct core *core)
{
    return core->bytes + core->bookkeeping;
}

uint64_t core_held(const struct core *core)
{
    return core->totals.leased + HASH_COUNT(core->holders);
}

static struct session_info info_of(const struct session *session)
{
    return (struct session_info){.ttl_ms = session->ttl_ms,
                                 .grace_ms = session->grace_ms,
                                 .highest_request = session->highest_request};
}

bool core_session(const struct core *core, uint64_t session, struct session_info *info)
{
    const struct session *found = session_find(core, session);
    if (!found) {
        return false;
    }
    *info = info_of(found);
    return true;
}

void core_sessions(const struct core *core, core_visit_session *visit, void *context)
{
    for (const struct session *at = core->sessions; at; at = at->hh.next) {
        if (!at->ending) {
            struct session_info info = info_of(at);
            visit(context, at->id, &info);
        }
    }
}

void core_check(const struct core *core)
{
    STEWARD_ASSERT(core->effects == NULL);
    timers_check(&core->timers);
    queues_check(core);
    sessions_check(core);
    locks_check(core);
    for (const struct queue *at = core->pumps; at; at = at->pump_next) {
        STEWARD_ASSERT(at->pumping);
    }
}
