/*
 * Leases: messages that are out with a session, by delivery tag. Here: delivering, settling, and
 * sending again what is still leased. How a lease ends otherwise is in lease_return.c.
 *
 * Tags are contiguous per session and tokens contiguous per run, so a run is one effect and its
 * leases lie side by side in a chunk of the session's table. Each chunk of 256 tags has one timer,
 * armed no later than the earliest deadline in it.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

/* ---- delivering ----------------------------------------------------------------------------- */

/* A run under way. */
struct run {
    struct message *messages[LIMIT_BATCH];
    size_t count;
    uint64_t redelivered;
    uint64_t lease_ms;
    uint64_t deadline_ms;
};

/* Takes messages off the queue, as far as max and the consumer's credit in bytes reach; a get has
 * as much credit as a consumer by default, so that no answer is larger than an outbox. */
static void run_take(struct core *core, const struct lease_order *order, struct run *run)
{
    int64_t credit = order->consumer ? order->consumer->credit_bytes : LIMIT_CREDIT_BYTES;
    uint64_t max = queue_ready(order->queue);
    max = order->max < max ? order->max : max;
    while (run->count < max && credit > 0) {
        struct message *message = queue_pop(core, order->queue);
        run->messages[run->count++] = message;
        run->redelivered += message->deliveries > 0;
        credit -= (int64_t)message->size;
    }
    if (order->consumer) {
        order->consumer->credit_bytes = credit;
        order->consumer->credit_messages -= run->count;
    }
}

static void lease_fill(struct lease *lease, const struct lease_order *order, const struct run *run,
                       uint64_t token)
{
    lease->token = token;
    lease->deadline_ms = run->deadline_ms;
    lease->channel = order->channel;
    lease->lease_ms = run->lease_ms < UINT32_MAX ? (uint32_t)run->lease_ms : UINT32_MAX;
    lease->streamed = order->consumer != NULL;
    lease->auto_ack = order->auto_ack;
}

static void describe(struct core *core, struct message *message, struct delivered *out)
{
    if (message->ext) {
        message->ext->state = MESSAGE_LEASED;
        message_describe(core, message, out);
        return;
    }
    out->body = message_body(message);
    out->deliveries = 1;
    out->plain = true;
    out->sequence = message->sequence;
}

static void run_lease(struct core *core, const struct lease_order *order, const struct run *run)
{
    struct session *session = order->session;
    struct delivered *out =
        emit_deliver(core, &(struct delivery_run){.session = session->id,
                                                  .channel = order->channel,
                                                  .queue = order->queue,
                                                  .first_tag = session->next_tag,
                                                  .first_token = core->next_token,
                                                  .lease_ms = run->lease_ms,
                                                  .count = run->count});
    for (size_t done = 0; done < run->count;) {
        uint64_t added, tag = session->next_tag + done;
        struct lease *leases = idtable_add_run(&session->leases, tag, run->count - done, &added);
        for (size_t i = 0; i < added; i++, done++) {
            /* run_take filled the first `count`, which the analyzer does not follow */
            /* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
            leases[i].message = run->messages[done];
            lease_fill(&leases[i], order, run, core->next_token + done);
            describe(core, run->messages[done], &out[done]);
        }
        lease_arm(core, session, tag, run->deadline_ms);
    }
    session->next_tag += run->count;
    core->next_token += run->count;
}

size_t lease_deliver(struct core *core, const struct lease_order *order, uint64_t *first_tag)
{
    struct queue *queue = order->queue;
    struct run run;
    STEWARD_ASSERT(order->max >= 1 && order->max <= LIMIT_BATCH && !order->session->ending);
    run.count = 0;
    run.redelivered = 0;
    run.lease_ms = order->lease_ms;
    if (run.lease_ms == SETTING_DEFAULT) {
        run.lease_ms = queue->settings.lease_ms;
    }
    run.deadline_ms = time_after(core, run.lease_ms);
    run_take(core, order, &run);
    *first_tag = order->session->next_tag;
    if (run.count == 0) {
        return 0;
    }
    run_lease(core, order, &run);
    queue->leased += run.count;
    core->totals.leased += run.count;
    QUEUE_COUNT(core, queue, delivered, run.count);
    QUEUE_COUNT(core, queue, redelivered, run.redelivered);
    return run.count;
}

/* ---- settling ------------------------------------------------------------------------------- */

/* A settle under way; successes are answered in runs. */
struct settle {
    struct core *core;
    struct session *session;
    const struct command *command;
    uint64_t first_done; /* request id of the run of successes */
    uint64_t done;       /* its length */
};

static struct refusal settle_check(const struct command *command)
{
    const struct cmd_settle *settle = &command->settle;
    STEWARD_ASSERT(settle->count <= LIMIT_BATCH); /* answers_begin refuses more */
    if (command->kind == COMMAND_RENEW && (!duration_good(settle->lease_ms, SETTING_DEFAULT) ||
                                           settle->lease_ms < LIMIT_LEASE_MIN_MS)) {
        return (struct refusal){STW_EINVAL, "the lease is shorter or longer than the limits"};
    }
    if (command->kind == COMMAND_NACK && settle->delay_ms > LIMIT_DURATION_MS) {
        return (struct refusal){STW_EINVAL, "the delay is longer than the limit"};
    }
    if ((command->kind == COMMAND_NACK || command->kind == COMMAND_REJECT) &&
        settle->reason.size > LIMIT_REASON_BYTES) {
        return (struct refusal){STW_EINVAL, "the reason is longer than the limit"};
    }
    return (struct refusal){0};
}

static void settle_flush(struct settle *settle)
{
    if (settle->done > 0) {
        answer_plain(settle->core, settle->session, settle->first_done, settle->done);
        settle->done = 0;
    }
}

static void settle_success(struct settle *settle, uint64_t request)
{
    if (settle->done++ == 0) {
        settle->first_done = request;
    }
}

static void settle_refuse(struct settle *settle, uint64_t request, int code, const char *why)
{
    settle_flush(settle);
    answer_error(settle->core, settle->session, request, code, about(why, slice_of(NULL, 0)));
}

static void renew(struct settle *settle, uint64_t request, uint64_t tag, struct lease *lease)
{
    struct core *core = settle->core;
    uint64_t lease_ms = settle->command->settle.lease_ms;
    if (lease_ms == SETTING_DEFAULT) {
        lease_ms = lease->lease_ms;
    }
    lease->deadline_ms = time_after(core, lease_ms);
    lease_arm(core, settle->session, tag, lease->deadline_ms);
    settle_flush(settle);
    answer_number(core, settle->session, request, lease_ms);
}

static void reject(struct settle *settle, struct queue *queue, struct message *message)
{
    struct core *core = settle->core;
    struct slice reason = settle->command->settle.reason;
    if (reason.size > 0) {
        message_failed(core, message, reason);
    }
    QUEUE_COUNT(core, queue, rejected, 1);
    STEWARD_ASSERT(dead_letter(core, queue, message, dead_rejected));
    queue_wake(core, queue);
}

/* Why a message of this queue cannot be rejected; NULL: it can. */
static const char *unrejectable(const struct queue *queue)
{
    if (queue->dead_target) {
        return "already a dead letter: ack or redrive it";
    }
    if (queue->settings.dead_letter.size == 0 && !dead_letter_nameable(name_slice(&queue->name))) {
        return "the queue's name is too long for a dead-letter queue of that name";
    }
    return NULL;
}

/* The lease is held and its queue is there: ends it as the command says. */
static void settle_lease(struct settle *settle, uint64_t request, uint64_t tag, struct lease *lease)
{
    struct core *core = settle->core;
    const struct command *command = settle->command;
    struct queue *queue = message_queue(core, lease->message);
    if (command->kind == COMMAND_REJECT && unrejectable(queue)) {
        settle_refuse(settle, request, STW_EINVAL, unrejectable(queue));
        return;
    }
    struct message *message = lease_take(core, settle->session, tag, lease);
    struct lease_return how = {0};
    switch (command->kind) {
    case COMMAND_ACK:
        QUEUE_COUNT(core, queue, acked, 1);
        lease_finish(core, message);
        break;
    case COMMAND_NACK:
        QUEUE_COUNT(core, queue, nacked, 1);
        how.counted = how.failed = true;
        how.failure = command->settle.reason;
        how.delay_ms = command->settle.delay_ms;
        lease_give_back(core, message, &how);
        break;
    case COMMAND_RELEASE:
        QUEUE_COUNT(core, queue, released, 1);
        lease_give_back(core, message, &how);
        break;
    default: reject(settle, queue, message); break;
    }
    settle_success(settle, request);
}

static void settle_tag(struct settle *settle, uint64_t request, uint64_t tag)
{
    struct core *core = settle->core;
    struct lease *lease = idtable_get(&settle->session->leases, tag);
    if (!lease && CANARY(STALE_ACK) && tag < settle->session->next_tag) {
        settle_success(settle, request);
    } else if (!lease || tag < settle->command->settle.first_tag) {
        settle_refuse(settle, request, STW_ELEASE, NULL);
    } else if (message_queue(core, lease->message)->deleted) {
        lease_finish(core, lease_take(core, settle->session, tag, lease));
        settle_refuse(settle, request, STW_ELEASE, "the queue was deleted");
    } else if (settle->command->kind == COMMAND_RENEW) {
        renew(settle, request, tag, lease);
    } else {
        settle_lease(settle, request, tag, lease);
    }
}

void lease_apply_settle(struct core *core, struct session *session, const struct command *command)
{
    struct settle settle = {.core = core, .session = session, .command = command};
    struct refusal refusal = settle_check(command);
    for (uint64_t i = 0; i < command->settle.count && !session->ending; i++) {
        uint64_t request = command->request + i;
        if (refusal.code != STW_OK) {
            settle_refuse(&settle, request, refusal.code, refusal.why);
        } else {
            settle_tag(&settle, request, command->settle.first_tag + i);
        }
    }
    settle_flush(&settle);
    queues_run(core);
}

/* ---- sending again -------------------------------------------------------------------------- */

/* Does the next tag belong to the same run? */
static bool lease_follows(const struct lease *lease, const struct lease *next)
{
    return next->channel == lease->channel && next->token == lease->token + 1 &&
           next->message->queue == lease->message->queue && next->lease_ms == lease->lease_ms;
}

/* One DELIVER effect for the run that begins at tag, at most max; returns its length. */
static uint64_t emit_again(struct core *core, struct session *session, uint64_t tag, uint64_t max)
{
    const struct lease *first = idtable_get(&session->leases, tag), *last = first;
    uint64_t count = 1;
    for (; count < max && count < LIMIT_BATCH; count++) {
        const struct lease *next = idtable_get(&session->leases, tag + count);
        if (!next || !lease_follows(last, next)) {
            break;
        }
        last = next;
    }
    struct delivered *out =
        emit_deliver(core, &(struct delivery_run){.session = session->id,
                                                  .channel = first->channel,
                                                  .queue = message_queue(core, first->message),
                                                  .first_tag = tag,
                                                  .first_token = first->token,
                                                  .lease_ms = first->lease_ms,
                                                  .count = count});
    for (uint64_t i = 0; i < count; i++) {
        const struct lease *lease = idtable_get(&session->leases, tag + i);
        message_describe(core, lease->message, &out[i]);
    }
    return count;
}

bool lease_redeliver(struct core *core, struct session *session, uint64_t channel,
                     uint64_t first_tag, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct lease *lease = idtable_get(&session->leases, first_tag + i);
        if (!lease || lease->channel != channel) {
            return false;
        }
    }
    for (uint64_t i = 0; i < count;) {
        i += emit_again(core, session, first_tag + i, count - i);
    }
    return true;
}

void lease_resume(struct core *core, struct session *session, uint64_t last_tag)
{
    uint64_t tag = last_tag == UINT64_MAX ? last_tag : last_tag + 1;
    while (idtable_next(&session->leases, tag, &tag)) {
        const struct lease *lease = idtable_get(&session->leases, tag);
        tag += lease->streamed ? emit_again(core, session, tag, LIMIT_BATCH) : 1;
    }
}
