/* The model's leases: who has which message, until when, and how it comes back. */
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"
#include "common/base/steward_errors.h"

#include <stdlib.h>

#define GROUP_TAGS 256

static struct m_message *lease_of(const struct model *model, const struct m_session *session,
                                  uint64_t tag)
{
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        if (m->state == M_LEASED && m->session == session && m->tag == tag)
            return m;
    }
    return NULL;
}

/* ---- groups --------------------------------------------------------------------------------- */

static struct m_group *group_of(const struct model *model, const struct m_session *session,
                                uint64_t tag)
{
    for (size_t i = 0; i < model->groups.count; i++) {
        struct m_group *group = model->groups.items[i];
        if (group->session == session && group->number == tag / GROUP_TAGS)
            return group;
    }
    return NULL;
}

static void group_arm(struct model *model, struct m_session *session, uint64_t tag,
                      uint64_t deadline_ms)
{
    struct m_group *group = group_of(model, session, tag);
    if (!group) {
        group = mem_zalloc(1, sizeof *group);
        *group = (struct m_group){session, tag / GROUP_TAGS, {.due_ms = NEVER}};
        list_add(&model->groups, group);
    }
    if (group->alarm.due_ms > deadline_ms)
        m_alarm_set(model, &group->alarm, deadline_ms);
}

/* A group goes with its last lease. */
static void group_settle(struct model *model, struct m_session *session, uint64_t tag)
{
    struct m_group *group = group_of(model, session, tag);
    for (size_t i = 0; i < model->messages.count; i++) {
        const struct m_message *m = model->messages.items[i];
        if (m->state == M_LEASED && m->session == session && m->tag / GROUP_TAGS == group->number)
            return;
    }
    list_remove(&model->groups, group);
    free(group);
}

/* ---- out ------------------------------------------------------------------------------------ */

uint64_t m_lease_deliver(struct model *model, struct m_waiter *w, struct m_queue *queue,
                         uint64_t max)
{
    uint64_t count = 0, lease_ms = w->lease_ms;
    struct m_message *m;
    if (lease_ms == SETTING_DEFAULT)
        lease_ms = queue->lease_ms;
    while (count < max && (w->kind != M_CONSUME || w->credit_bytes > 0) &&
           (m = m_queue_nth(model, queue, 0))) {
        m_alarm_off(&m->alarm);
        m->state = M_LEASED;
        m->session = w->session;
        m->tag = w->session->next_tag++;
        m->token = model->next_token++;
        m->channel = w->request;
        m->lease_ms = lease_ms;
        m->deadline_ms = model->now_ms + lease_ms;
        m->streamed = w->kind == M_CONSUME;
        m->auto_ack = w->auto_ack;
        tell_delivery(model, m, m->deliveries + 1);
        m->lease_ms = lease_ms < UINT32_MAX ? lease_ms : UINT32_MAX;
        group_arm(model, w->session, m->tag, m->deadline_ms);
        COUNT(model, queue, delivered, 1);
        COUNT(model, queue, redelivered, m->deliveries > 0);
        w->credit_messages -= m->streamed;
        w->credit_bytes -= m->streamed ? (int64_t)m->body.size : 0;
        count++;
    }
    return count;
}

/* ---- back ----------------------------------------------------------------------------------- */

static void lease_take(struct model *model, struct m_message *m)
{
    m->state = M_WAITING;
    group_settle(model, m->session, m->tag);
}

/* Done: gone for good. */
static void lease_finish(struct model *model, struct m_message *m)
{
    struct m_queue *queue = m->queue;
    m_message_drop(model, m);
    if (!queue->deleted)
        m_queue_finished(model, queue, 1);
    if (m_queue_count(model, queue, M_LEASED) == 0)
        m_queue_life(model, queue);
}

static void give_back(struct model *model, struct m_message *m, bool counted, uint64_t delay_ms)
{
    struct m_queue *queue = m->queue;
    if (queue->deleted) {
        lease_finish(model, m);
        return;
    }
    m->extended = true;
    m->deliveries += counted;
    m->due_ms = delay_ms > 0 ? model->now_ms + delay_ms : 0;
    m_queue_wake(model, queue);
    if (counted && queue->max_deliveries > 0 && m->deliveries >= queue->max_deliveries &&
        m_dead_letter(model, m, "max_deliveries"))
        return;
    if (m->expires_ms <= model->now_ms)
        m_queue_expire(model, m);
    else
        m_queue_place(model, m);
}

/* What was handed to the program counts; what lay in a prefetch buffer does not. */
static bool was_handed(const struct m_message *m)
{
    return !m->streamed || m->tag <= m->session->handed_tag;
}

void m_lease_return(struct model *model, struct m_message *m)
{
    bool counted = was_handed(m);
    lease_take(model, m);
    give_back(model, m, counted, 0);
}

void m_group_expire(struct model *model, struct m_group *group)
{
    struct m_session *session = group->session;
    uint64_t first = group->number * GROUP_TAGS, next_ms = NEVER;
    for (uint64_t tag = first; tag < first + GROUP_TAGS; tag++) {
        struct m_message *m = lease_of(model, session, tag);
        if (!m)
            continue;
        if (m->deadline_ms > model->now_ms) {
            next_ms = m->deadline_ms < next_ms ? m->deadline_ms : next_ms;
            continue;
        }
        bool counted = was_handed(m);
        tell_lease_lost(model, m);
        lease_take(model, m);
        give_back(model, m, counted, 0);
    }
    if (next_ms != NEVER)
        group_arm(model, session, first, next_ms);
}

void m_leases_cancel(struct model *model, struct m_session *session, uint64_t first_tag,
                     uint64_t count)
{
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++) {
        struct m_message *m = lease_of(model, session, tag);
        if (!m)
            continue;
        lease_take(model, m);
        give_back(model, m, false, 0);
    }
}

void m_leases_seen(struct model *model, struct m_session *session, uint64_t first_tag,
                   uint64_t count)
{
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++) {
        struct m_message *m = lease_of(model, session, tag);
        if (!m || !m->auto_ack)
            continue;
        if (!m->queue->deleted)
            COUNT(model, m->queue, acked, 1);
        lease_take(model, m);
        lease_finish(model, m);
    }
}

/* ---- settling ------------------------------------------------------------------------------- */

static int settle_check(const struct command *command)
{
    const struct cmd_settle *s = &command->settle;
    bool reasons = command->kind == COMMAND_NACK || command->kind == COMMAND_REJECT;
    if (command->kind == COMMAND_RENEW && s->lease_ms != SETTING_DEFAULT &&
        (s->lease_ms < LIMIT_LEASE_MIN_MS || s->lease_ms > LIMIT_DURATION_MS))
        return STW_EINVAL;
    if (command->kind == COMMAND_NACK && s->delay_ms > LIMIT_DURATION_MS)
        return STW_EINVAL;
    return reasons && s->reason.size > LIMIT_REASON_BYTES ? STW_EINVAL : 0;
}

static void renew(struct model *model, struct m_message *m, const struct command *command,
                  uint64_t request)
{
    uint64_t lease_ms = command->settle.lease_ms;
    if (lease_ms == SETTING_DEFAULT)
        lease_ms = m->lease_ms;
    m->deadline_ms = model->now_ms + lease_ms;
    group_arm(model, m->session, m->tag, m->deadline_ms);
    m_say_number(model, m->session, request, lease_ms);
}

/* A dead letter cannot die again, nor one whose dead-letter queue would have too long a name. */
static bool can_reject(const struct m_queue *queue)
{
    return !queue->dead_target &&
           (queue->dead_letter.size > 0 || queue->name.size + 5 <= LIMIT_NAME_BYTES);
}

static void reject(struct model *model, struct m_message *m, struct slice reason)
{
    struct m_queue *queue = m->queue;
    if (reason.size > 0)
        m_message_failed(model, m, reason);
    COUNT(model, queue, rejected, 1);
    m_dead_letter(model, m, "rejected");
    m_queue_wake(model, queue);
}

static void settle_held(struct model *model, struct m_message *m, const struct command *command)
{
    struct m_queue *queue = m->queue;
    lease_take(model, m);
    switch (command->kind) {
    case COMMAND_ACK:
        COUNT(model, queue, acked, 1);
        lease_finish(model, m);
        break;
    case COMMAND_NACK:
        COUNT(model, queue, nacked, 1);
        m_message_failed(model, m, command->settle.reason);
        give_back(model, m, true, command->settle.delay_ms);
        break;
    case COMMAND_RELEASE:
        COUNT(model, queue, released, 1);
        give_back(model, m, false, 0);
        break;
    default: reject(model, m, command->settle.reason); break;
    }
}

static void settle(struct model *model, struct m_session *session, const struct command *command,
                   uint64_t i)
{
    uint64_t request = command->request + i;
    struct m_message *m = lease_of(model, session, command->settle.first_tag + i);
    if (!m) {
        m_say_error(model, session, request, STW_ELEASE);
    } else if (m->queue->deleted) {
        lease_take(model, m);
        lease_finish(model, m);
        m_say_error(model, session, request, STW_ELEASE);
    } else if (command->kind == COMMAND_RENEW) {
        renew(model, m, command, request);
    } else if (command->kind == COMMAND_REJECT && !can_reject(m->queue)) {
        m_say_error(model, session, request, STW_EINVAL);
    } else {
        settle_held(model, m, command);
        m_say_plain(model, session, request);
    }
}

void m_lease_command(struct model *model, struct m_session *session, const struct command *command)
{
    int code = settle_check(command);
    for (uint64_t i = 0; i < command->settle.count; i++) {
        if (code != 0)
            m_say_error(model, session, command->request + i, code);
        else
            settle(model, session, command, i);
    }
}

/* ---- again ---------------------------------------------------------------------------------- */

bool m_leases_again(struct model *model, struct m_session *session, uint64_t first_tag,
                    uint64_t count)
{
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++)
        if (!lease_of(model, session, tag))
            return false;
    for (uint64_t tag = first_tag; tag < first_tag + count; tag++) {
        const struct m_message *m = lease_of(model, session, tag);
        tell_delivery(model, m, m->deliveries + 1);
    }
    return true;
}

void m_leases_resume(struct model *model, struct m_session *session, uint64_t last_tag)
{
    for (uint64_t tag = 1; tag < session->next_tag; tag++) {
        const struct m_message *m = lease_of(model, session, tag);
        if (m && m->streamed && tag > last_tag)
            tell_delivery(model, m, m->deliveries + 1);
    }
}

void m_leases_handed(struct m_session *session, uint64_t tag)
{
    uint64_t given = session->next_tag - 1;
    uint64_t handed = tag < given ? tag : given;
    if (handed > session->handed_tag)
        session->handed_tag = handed;
}

/* The group finds out when it fires. */
void m_leases_refresh(struct model *model, struct m_session *session)
{
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        if (m->state == M_LEASED && m->session == session &&
            m->deadline_ms < model->now_ms + m->lease_ms)
            m->deadline_ms = model->now_ms + m->lease_ms;
    }
}
