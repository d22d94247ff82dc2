/* Random commands of sessions about queues and messages, and the table of all verbs. See plan.h. */
#include "tests/sim/model_state.h"
#include "tests/sim/plan.h"
#include "tests/sim/plan_verbs.h"
#include "tests/sim/trace.h"

/* Begins a command of some session; NULL when none is open. */
const struct m_session *verb_begin(struct plan *plan, struct command *command,
                                   enum command_kind kind)
{
    const struct m_session *session = pick_session(plan);
    command->kind = kind;
    command->session = session ? session->id : 0;
    if (session && rng_chance(&plan->rng, plan->strange_percent / 2))
        command->session = 1000 + rng_below(&plan->rng, 3);
    return session;
}

static bool verb_put(struct plan *plan, struct command *command)
{
    if (!verb_begin(plan, command, COMMAND_PUT))
        return false;
    size_t count = rng_chance(&plan->rng, 60) ? 1 : rng_between(&plan->rng, 2, 7);
    for (size_t i = 0; i < count; i++)
        plan->slices[i] = pick_body(plan);
    command->put = (struct cmd_put){.queue = pick_queue(plan),
                                    .bodies = plan->slices,
                                    .count = count,
                                    .timeout_ms = pick_timeout(plan)};
    return true;
}

static size_t pick_headers(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 100);
    if (kind < 70)
        return 0;
    size_t count = rng_between(&plan->rng, 1, 3), size = 8;
    if (kind > 97 && plan->strange_percent)
        size = LIMIT_HEADER_BYTES;
    if (kind > 95)
        count = LIMIT_HEADERS;
    for (size_t i = 0; i < count; i++) {
        size_t name = rng_chance(&plan->rng, 10) ? rng_between(&plan->rng, 1, 9) : i + 1;
        if ((kind == 93 || kind == 94) && i == 0 && plan->strange_percent)
            name = kind == 93 ? 254 : 0;
        plan->headers[i].name = pick_text(plan, name);
        plan->headers[i].value = pick_text(plan, rng_below(&plan->rng, size + 1));
    }
    return count;
}

static struct slice pick_dedup(struct plan *plan)
{
    if (!rng_chance(&plan->rng, plan->dedup_percent))
        return slice_str("");
    if (rng_chance(&plan->rng, plan->strange_percent))
        return pick_text(plan, LIMIT_DEDUP_ID_BYTES + rng_below(&plan->rng, 2));
    size_t start = plan->text.size;
    trace_add(&plan->text, "d%u",
              (unsigned)rng_below(&plan->rng, plan->dedup_percent > 50 ? 2 : 5));
    return slice_of(plan->text.data + start, plan->text.size - start);
}

static bool verb_put_many(struct plan *plan, struct command *command)
{
    if (!verb_put(plan, command))
        return false;
    command->kind = COMMAND_PUT_MANY;
    if (rng_chance(&plan->rng, 20))
        return true;
    struct put_options *o = &plan->options;
    *o = (struct put_options){.delay_ms = SETTING_DEFAULT, .ttl_ms = SETTING_DEFAULT};
    if (rng_chance(&plan->rng, 30))
        o->delay_ms = pick_duration(plan);
    if (rng_chance(&plan->rng, 30))
        o->ttl_ms = pick_duration(plan);
    if (rng_chance(&plan->rng, 50))
        o->priority = (uint8_t)(rng_chance(&plan->rng, 50) ? rng_below(&plan->rng, 3)
                                                           : rng_below(&plan->rng, 256));
    o->dedup_id = pick_dedup(plan);
    if (o->dedup_id.size > 0 && !rng_chance(&plan->rng, 10))
        command->put.count = 1;
    o->headers = plan->headers;
    o->headers_count = pick_headers(plan);
    command->put.options = o;
    return true;
}

static bool verb_get(struct plan *plan, struct command *command)
{
    if (!verb_begin(plan, command, COMMAND_GET))
        return false;
    size_t queues = rng_chance(&plan->rng, 70) ? 1 : rng_between(&plan->rng, 2, 4);
    for (size_t i = 0; i < queues; i++)
        plan->slices[i] = pick_queue(plan);
    command->get = (struct cmd_get){.queues = plan->slices, .queues_count = queues};
    command->get.max = rng_chance(&plan->rng, 60) ? 1 : rng_between(&plan->rng, 1, 12);
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->get.max = rng_below(&plan->rng, 2) ? 0 : LIMIT_BATCH + 1;
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->get.queues_count = 0;
    command->get.timeout_ms = pick_timeout(plan);
    command->get.lease_ms = pick_lease(plan);
    command->get.auto_ack = rng_chance(&plan->rng, 25);
    return true;
}

static bool verb_consume(struct plan *plan, struct command *command)
{
    if (!verb_get(plan, command))
        return false;
    command->kind = COMMAND_CONSUME;
    command->get.max = 0;
    command->get.timeout_ms = 0;
    command->get.auto_ack = false;
    command->get.credit_messages = rng_below(&plan->rng, 9);
    command->get.credit_bytes = rng_below(&plan->rng, 4) ? 100000 : rng_below(&plan->rng, 500);
    return true;
}

/* A request id of the session that waits (kind) or any recent one. */
static uint64_t pick_target(struct plan *plan, const struct m_session *session, enum m_wait kind,
                            bool any)
{
    const struct list *waiters = &plan->model->waiters;
    size_t start = waiters->count ? rng_below(&plan->rng, waiters->count) : 0;
    for (size_t i = 0; i < waiters->count && !rng_chance(&plan->rng, 10); i++) {
        const struct m_waiter *w = waiters->items[(start + i) % waiters->count];
        if (w->session == session && (any || w->kind == kind))
            return w->request;
    }
    uint64_t back = rng_below(&plan->rng, 12);
    return session->highest_request > back ? session->highest_request - back : back;
}

static bool verb_unconsume(struct plan *plan, struct command *command)
{
    const struct m_session *session = verb_begin(plan, command, COMMAND_UNCONSUME);
    if (session)
        command->target = pick_target(plan, session, M_CONSUME, false);
    return session != NULL;
}

static bool verb_cancel(struct plan *plan, struct command *command)
{
    const struct m_session *session = verb_begin(plan, command, COMMAND_CANCEL);
    if (session)
        command->target = pick_target(plan, session, M_GET, rng_chance(&plan->rng, 60));
    return session != NULL;
}

static bool verb_credit(struct plan *plan, struct command *command)
{
    const struct m_session *session = verb_begin(plan, command, COMMAND_CREDIT);
    if (!session)
        return false;
    command->credit.channel = pick_target(plan, session, M_CONSUME, false);
    command->credit.messages = rng_below(&plan->rng, 6);
    command->credit.bytes = rng_below(&plan->rng, 2000);
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->credit.bytes = command->credit.messages = UINT64_MAX - 5;
    return true;
}

static bool settle(struct plan *plan, struct command *command, enum command_kind kind)
{
    const struct m_session *session = verb_begin(plan, command, kind);
    if (!session)
        return false;
    command->settle.first_tag = pick_tag(plan, session);
    command->settle.count = rng_chance(&plan->rng, 75) ? 1 : rng_between(&plan->rng, 2, 6);
    if (rng_chance(&plan->rng, plan->strange_percent))
        command->settle.count = rng_below(&plan->rng, 2) ? 0 : LIMIT_BATCH + 1;
    return command->settle.first_tag != 0 || rng_chance(&plan->rng, 5);
}

static bool verb_ack(struct plan *plan, struct command *command)
{
    return settle(plan, command, COMMAND_ACK);
}

static struct slice pick_reason(struct plan *plan)
{
    if (rng_chance(&plan->rng, 50))
        return slice_str("");
    if (rng_chance(&plan->rng, plan->strange_percent))
        return pick_text(plan, LIMIT_REASON_BYTES + rng_below(&plan->rng, 2));
    return slice_str("because");
}

static bool verb_nack(struct plan *plan, struct command *command)
{
    if (!settle(plan, command, COMMAND_NACK))
        return false;
    command->settle.delay_ms = rng_chance(&plan->rng, 50) ? 0 : pick_duration(plan);
    command->settle.reason = pick_reason(plan);
    return true;
}

static bool verb_release(struct plan *plan, struct command *command)
{
    return settle(plan, command, COMMAND_RELEASE);
}

static bool verb_reject(struct plan *plan, struct command *command)
{
    if (!settle(plan, command, COMMAND_REJECT))
        return false;
    command->settle.reason = pick_reason(plan);
    return true;
}

static bool verb_renew(struct plan *plan, struct command *command)
{
    if (!settle(plan, command, COMMAND_RENEW))
        return false;
    command->settle.lease_ms = pick_lease(plan);
    return true;
}

static bool verb_handed(struct plan *plan, struct command *command)
{
    const struct m_session *session = verb_begin(plan, command, COMMAND_HANDED);
    if (session)
        command->tag = rng_below(&plan->rng, session->next_tag + 2);
    return session != NULL;
}

/* Confirms most answers, in few ranges, now and then some that nobody asked for. */
static bool verb_seen(struct plan *plan, struct command *command)
{
    const struct m_session *session = verb_begin(plan, command, COMMAND_SEEN);
    if (!session)
        return false;
    uint64_t id = session->highest_request, floor = id > 60 ? id - 60 : 0;
    size_t count = 0;
    if (rng_chance(&plan->rng, 30) && floor > 0)
        plan->ranges[count++] = (struct id_range){1, floor};
    while (id > floor && count < 8) {
        uint64_t size = rng_between(&plan->rng, 1, 12), skip = rng_below(&plan->rng, 3);
        uint64_t first = id > size ? id - size + 1 : 1;
        plan->ranges[count++] = (struct id_range){first, id - first + 1};
        id = first > skip + 1 ? first - 1 - skip : 0;
    }
    if (rng_chance(&plan->rng, 3) || count == 0)
        plan->ranges[count++] = (struct id_range){session->highest_request, 50};
    if (rng_chance(&plan->rng, 3))
        plan->ranges[count++] = (struct id_range){session->highest_request + 1, 5};
    if (rng_chance(&plan->rng, 3))
        plan->ranges[count++] = (struct id_range){1, 0};
    command->seen = (struct cmd_seen){.ranges = plan->ranges, .count = count};
    return true;
}

/* The first ALWAYS are in every program, others by the seed's weights. */
#define ALWAYS 5
plan_verb *const plan_verbs[PLAN_VERBS] = {
    verb_put, verb_get, verb_ack, verb_open, verb_seen,
    /* swarm */
    verb_put_many, verb_consume, verb_unconsume, verb_cancel, verb_credit, verb_nack, verb_release,
    verb_reject, verb_renew, verb_handed, verb_acquire, verb_acquire, verb_unlock, verb_unlock,
    verb_lock_renew, verb_lock_break, verb_lock_show, verb_lock_list, verb_declare, verb_alter,
    verb_delete, verb_purge, verb_pause, verb_resume, verb_resume, verb_shutdown, verb_peek,
    verb_redrive, verb_show, verb_list, verb_join, verb_session_list, verb_session_show,
    verb_session_kill, verb_stat, verb_session_resume, verb_session_detach, verb_session_end,
    verb_refuse};

bool plan_verb_always(size_t verb)
{
    return verb < ALWAYS;
}

size_t plan_verbs_count(void)
{
    size_t count = 0;
    while (count < PLAN_VERBS && plan_verbs[count])
        count++;
    return count;
}
