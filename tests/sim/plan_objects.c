/* Random commands about sessions, locks and whole queues. See plan.h. */
#include "tests/sim/model_state.h"
#include "tests/sim/plan_verbs.h"

#include "common/base/steward_errors.h"

/* ---- sessions ------------------------------------------------------------------------------- */

static void pick_secret(struct plan *plan, uint8_t *secret)
{
    for (size_t i = 0; i < LIMIT_SECRET_BYTES; i++)
        secret[i] = (uint8_t)rng_next(&plan->rng);
}

bool verb_open(struct plan *plan, struct command *command)
{
    if (plan->model->sessions.count >= PLAN_SESSIONS ||
        (plan->model->sessions.count > 1 && rng_chance(&plan->rng, 60)))
        return false;
    command->kind = COMMAND_SESSION_OPEN;
    struct cmd_open *open = &command->open;
    *open = (struct cmd_open){.reference = ++plan->references,
                              .ttl_ms = rng_below(&plan->rng, 20000),
                              .grace_ms = rng_below(&plan->rng, 5000),
                              .pid = rng_below(&plan->rng, 5),
                              .host = slice_str("host"),
                              .program = slice_str(rng_below(&plan->rng, 2) ? "program" : "")};
    if (rng_chance(&plan->rng, plan->strange_percent))
        open->host = pick_text(plan, LIMIT_INFO_BYTES + rng_below(&plan->rng, 3));
    if (rng_chance(&plan->rng, plan->strange_percent))
        open->program = pick_text(plan, LIMIT_INFO_BYTES + rng_below(&plan->rng, 2));
    if (rng_chance(&plan->rng, 10))
        open->ttl_ms = open->grace_ms = SETTING_DEFAULT;
    if (rng_chance(&plan->rng, 5))
        open->ttl_ms = open->grace_ms = LIMIT_SESSION_TTL_MAX_MS + 1;
    pick_secret(plan, open->secret);
    return true;
}

bool verb_session_resume(struct plan *plan, struct command *command)
{
    const struct m_session *session = pick_session(plan);
    if (!session)
        return false;
    command->kind = COMMAND_SESSION_RESUME;
    struct cmd_resume *resume = &command->resume;
    resume->reference = ++plan->references;
    resume->session = rng_chance(&plan->rng, 5) ? rng_below(&plan->rng, 9) : session->id;
    memcpy(resume->secret, session->secret, sizeof resume->secret);
    if (rng_chance(&plan->rng, 5))
        resume->secret[3] ^= 4;
    resume->last_tag = rng_below(&plan->rng, session->next_tag + 1);
    if (rng_chance(&plan->rng, 5))
        resume->last_tag = UINT64_MAX;
    return true;
}

/* The connection is gone: mostly the one that the session has. */
bool verb_session_detach(struct plan *plan, struct command *command)
{
    const struct m_session *session = pick_session(plan);
    if (!session || (session->detached && rng_chance(&plan->rng, 80)))
        return false;
    command->kind = COMMAND_SESSION_DETACH;
    command->session = rng_chance(&plan->rng, 3) ? 1000 : session->id;
    command->reference = session->reference;
    if (rng_chance(&plan->rng, 10))
        command->reference = rng_below(&plan->rng, plan->references + 1);
    return true;
}

bool verb_session_end(struct plan *plan, struct command *command)
{
    const struct m_session *session = pick_session(plan);
    if (!session || rng_chance(&plan->rng, 50))
        return false;
    command->kind = COMMAND_SESSION_END;
    command->session = rng_chance(&plan->rng, 3) ? 1000 : session->id;
    command->text = slice_str("gone");
    return true;
}

bool verb_session_list(struct plan *plan, struct command *command)
{
    command->page.max = rng_between(&plan->rng, 1, 5);
    command->page.after = slice_str(rng_chance(&plan->rng, 50) ? "" : "2");
    if (rng_chance(&plan->rng, plan->strange_percent * 3))
        command->page.after = slice_str(rng_below(&plan->rng, 2) ? "x" : "99999999999999999999");
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->page.after = slice_str("999999999999999999999");
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->page.max = rng_below(&plan->rng, 2) ? 0 : LIMIT_PAGE_ROWS + 1;
    return verb_begin(plan, command, COMMAND_SESSION_LIST);
}

bool verb_session_show(struct plan *plan, struct command *command)
{
    command->target = rng_below(&plan->rng, plan->model->next_session + 1);
    return verb_begin(plan, command, COMMAND_SESSION_SHOW);
}

bool verb_session_kill(struct plan *plan, struct command *command)
{
    const struct m_session *session = pick_session(plan);
    command->target = session && rng_chance(&plan->rng, 90) ? session->id : 77;
    return rng_chance(&plan->rng, 20) && verb_begin(plan, command, COMMAND_SESSION_KILL);
}

bool verb_refuse(struct plan *plan, struct command *command)
{
    command->refuse.count = rng_between(&plan->rng, 1, 3);
    command->refuse.code = rng_chance(&plan->rng, 50) ? STW_EMEMORY : STW_EDRAINING;
    command->refuse.object = slice_str(rng_chance(&plan->rng, 50) ? "" : "object");
    return rng_chance(&plan->rng, 30) && verb_begin(plan, command, COMMAND_REFUSE);
}

bool verb_stat(struct plan *plan, struct command *command)
{
    return verb_begin(plan, command, COMMAND_STAT);
}

/* ---- locks ---------------------------------------------------------------------------------- */

bool verb_acquire(struct plan *plan, struct command *command)
{
    struct cmd_acquire *acquire = &command->acquire;
    acquire->name = pick_lock(plan);
    acquire->owner = rng_below(&plan->rng, 3);
    acquire->timeout_ms = pick_timeout(plan);
    acquire->lease_ms = rng_chance(&plan->rng, 60) ? 0 : pick_lease(plan);
    acquire->reentrant = rng_chance(&plan->rng, 40);
    /* The name's last digit decides the kind, so that kinds seldom clash. */
    uint8_t last = acquire->name.size ? acquire->name.data[acquire->name.size - 1] : 0;
    acquire->kind = (last % 2 == 1) != rng_chance(&plan->rng, 3) ? LOCK_SEMAPHORE : LOCK_MUTEX;
    acquire->permits = acquire->kind != LOCK_SEMAPHORE ? 1 : plan->locks > 2 ? 6 : 2;
    if (rng_chance(&plan->rng, plan->strange_percent))
        acquire->permits = rng_below(&plan->rng, 4) ? rng_below(&plan->rng, 4) : LIMIT_PERMITS + 1;
    return verb_begin(plan, command, COMMAND_ACQUIRE);
}

bool verb_unlock(struct plan *plan, struct command *command)
{
    const struct list *holders = &plan->model->holders;
    struct cmd_unlock *unlock = &command->unlock;
    if (holders->count == 0 || rng_chance(&plan->rng, 4)) {
        unlock->name = pick_lock(plan);
        unlock->token = rng_below(&plan->rng, plan->model->next_token + 2);
        return verb_begin(plan, command, COMMAND_UNLOCK);
    }
    const struct m_holder *h = holders->items[rng_below(&plan->rng, holders->count)];
    unlock->name = text_view(&h->lock->name);
    unlock->owner = rng_chance(&plan->rng, 4) ? h->owner + 1 : h->owner;
    unlock->token = rng_chance(&plan->rng, 4) ? h->token - 1 : h->token;
    command->kind = COMMAND_UNLOCK;
    command->session = h->session->id;
    return rng_chance(&plan->rng, 95) || verb_begin(plan, command, COMMAND_UNLOCK);
}

bool verb_lock_renew(struct plan *plan, struct command *command)
{
    if (!verb_unlock(plan, command))
        return false;
    command->kind = COMMAND_LOCK_RENEW;
    command->unlock.lease_ms = rng_chance(&plan->rng, 20) ? 0 : pick_lease(plan);
    return true;
}

bool verb_lock_break(struct plan *plan, struct command *command)
{
    command->named.name = pick_lock(plan);
    return rng_chance(&plan->rng, 30) && verb_begin(plan, command, COMMAND_LOCK_BREAK);
}

bool verb_lock_show(struct plan *plan, struct command *command)
{
    command->named.name = pick_lock(plan);
    return verb_begin(plan, command, COMMAND_LOCK_SHOW);
}

static void pick_page(struct plan *plan, struct cmd_page *page, struct slice name)
{
    page->max = rng_between(&plan->rng, 1, 4);
    if (rng_chance(&plan->rng, 50))
        page->after = name;
    if (rng_chance(&plan->rng, 30))
        page->prefix = slice_of(name.data, rng_below(&plan->rng, name.size + 1));
    if (rng_chance(&plan->rng, plan->strange_percent))
        page->after = pick_text(plan, LIMIT_NAME_BYTES + rng_below(&plan->rng, 2));
    if (rng_chance(&plan->rng, plan->strange_percent * 2))
        page->prefix = pick_text(plan, LIMIT_NAME_BYTES + rng_below(&plan->rng, 2));
    if (rng_chance(&plan->rng, plan->strange_percent * 2))
        page->max = rng_below(&plan->rng, 2) ? 0 : LIMIT_PAGE_ROWS + 1;
}

bool verb_lock_list(struct plan *plan, struct command *command)
{
    pick_page(plan, &command->page, pick_lock(plan));
    return verb_begin(plan, command, COMMAND_LOCK_LIST);
}

/* ---- queues --------------------------------------------------------------------------------- */

static void pick_options(struct plan *plan, struct queue_options *o)
{
    struct rng *rng = &plan->rng;
    o->given = (uint32_t)(rng_next(rng) & rng_next(rng) & QUEUE_OPTIONS_ALL);
    o->overflow = (enum overflow)rng_below(rng, 3);
    o->maxsize = rng_chance(rng, 25) ? 0 : rng_between(rng, 1, 6);
    o->max_bytes = rng_chance(rng, 60) ? 0 : rng_between(rng, 1, 600);
    o->lease_ms = pick_lease(plan);
    if (o->lease_ms == SETTING_DEFAULT)
        o->lease_ms = LIMIT_LEASE_MS;
    o->max_deliveries = rng_below(rng, 4);
    o->ttl_ms = rng_chance(rng, 50) ? 0 : pick_duration(plan);
    o->delay_ms = rng_chance(rng, 50) ? 0 : pick_duration(plan);
    o->dedup_window_ms = pick_duration(plan);
    o->dead_letter = rng_chance(rng, 30) ? slice_str("") : pick_queue(plan);
}

bool verb_declare(struct plan *plan, struct command *command)
{
    command->queue.name = pick_queue(plan);
    pick_options(plan, &command->queue.options);
    return verb_begin(plan, command, COMMAND_QUEUE_DECLARE);
}

bool verb_alter(struct plan *plan, struct command *command)
{
    command->queue.name = pick_queue(plan);
    pick_options(plan, &command->queue.options);
    return verb_begin(plan, command, COMMAND_QUEUE_ALTER);
}

static bool named(struct plan *plan, struct command *command, enum command_kind kind,
                  uint64_t percent)
{
    command->named.name = pick_queue(plan);
    return rng_chance(&plan->rng, percent) && verb_begin(plan, command, kind);
}

bool verb_delete(struct plan *plan, struct command *command)
{
    return named(plan, command, COMMAND_QUEUE_DELETE, 30);
}

bool verb_purge(struct plan *plan, struct command *command)
{
    return named(plan, command, COMMAND_QUEUE_PURGE, 50);
}

bool verb_pause(struct plan *plan, struct command *command)
{
    return named(plan, command, COMMAND_QUEUE_PAUSE, 70);
}

bool verb_resume(struct plan *plan, struct command *command)
{
    return named(plan, command, COMMAND_QUEUE_RESUME, 100);
}

bool verb_shutdown(struct plan *plan, struct command *command)
{
    command->named.immediate = rng_chance(&plan->rng, 40);
    return named(plan, command, COMMAND_QUEUE_SHUTDOWN, 15);
}

bool verb_show(struct plan *plan, struct command *command)
{
    return named(plan, command, COMMAND_QUEUE_SHOW, 100);
}

bool verb_peek(struct plan *plan, struct command *command)
{
    command->peek.name = pick_queue(plan);
    command->peek.offset = rng_below(&plan->rng, 5);
    command->peek.max = rng_between(&plan->rng, 1, 8);
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->peek.max = rng_below(&plan->rng, 2) ? 0 : LIMIT_PAGE_ROWS + 1;
    return verb_begin(plan, command, COMMAND_QUEUE_PEEK);
}

bool verb_redrive(struct plan *plan, struct command *command)
{
    command->redrive.name = pick_queue(plan);
    /* Mostly from a queue that holds dead letters. */
    for (size_t i = 0; i < plan->model->messages.count; i++) {
        const struct m_message *m = plan->model->messages.items[i];
        if (m->source.size > 0 && m->state == M_READY && rng_chance(&plan->rng, 50))
            command->redrive.name = text_view(&m->queue->name);
    }
    if (rng_chance(&plan->rng, 40))
        command->redrive.target = pick_queue(plan);
    command->redrive.max = rng_below(&plan->rng, 4);
    return verb_begin(plan, command, COMMAND_QUEUE_REDRIVE);
}

bool verb_list(struct plan *plan, struct command *command)
{
    pick_page(plan, &command->page, pick_queue(plan));
    return verb_begin(plan, command, COMMAND_QUEUE_LIST);
}

bool verb_join(struct plan *plan, struct command *command)
{
    command->join.name = pick_queue(plan);
    command->join.timeout_ms = pick_timeout(plan);
    return verb_begin(plan, command, COMMAND_QUEUE_JOIN);
}
