/* The model's gets and consumers. */
#include "tests/sim/model_queue.h"

#include "common/base/steward_errors.h"

static int check_names(const struct model *model, const struct cmd_get *get)
{
    uint64_t missing = 0;
    if (get->queues_count < 1 || get->queues_count > LIMIT_GET_QUEUES)
        return STW_EINVAL;
    for (size_t i = 0; i < get->queues_count; i++) {
        if (!m_name_good(get->queues[i]))
            return STW_EINVAL;
        for (size_t k = 0; k < i; k++)
            if (slice_equal(get->queues[i], get->queues[k]))
                return STW_EINVAL;
        missing += !m_queue_of(model, get->queues[i]);
    }
    if (model->queues.count + missing > LIMIT_QUEUES)
        return STW_ELIMIT;
    if (get->lease_ms != SETTING_DEFAULT &&
        (get->lease_ms < LIMIT_LEASE_MIN_MS || get->lease_ms > LIMIT_DURATION_MS))
        return STW_EINVAL;
    return 0;
}

static int check_get(const struct model *model, const struct cmd_get *get)
{
    if (get->max < 1 || get->max > LIMIT_BATCH)
        return STW_EINVAL;
    if (get->timeout_ms != TIMEOUT_FOREVER && get->timeout_ms > LIMIT_DURATION_MS)
        return STW_EINVAL;
    return check_names(model, get);
}

/* A waiter for the command, in the line of each of its queues. */
static struct m_waiter *get_waiter(struct model *model, struct m_session *session,
                                   const struct command *command)
{
    const struct cmd_get *get = &command->get;
    bool consume = command->kind == COMMAND_CONSUME;
    struct m_waiter *w = m_wait_new(model, session, command, consume ? M_CONSUME : M_GET,
                                    consume ? TIMEOUT_FOREVER : get->timeout_ms);
    w->max = get->max;
    w->lease_ms = get->lease_ms;
    w->auto_ack = get->auto_ack;
    for (size_t i = 0; i < get->queues_count; i++)
        m_wait_queue(model, w, m_queue_make(model, get->queues[i]));
    return w;
}

/* The first queue that has something, if nobody waits there already. */
static struct m_queue *first_ready(const struct model *model, const struct cmd_get *get)
{
    for (size_t i = 0; i < get->queues_count; i++) {
        struct m_queue *queue = m_queue_of(model, get->queues[i]);
        bool first = !m_wait_first(model, queue, M_GET) || get->timeout_ms == 0;
        if (!queue->paused && first && m_queue_nth(model, queue, 0))
            return queue;
    }
    return NULL;
}

static bool all_drained(const struct model *model, const struct cmd_get *get)
{
    for (size_t i = 0; i < get->queues_count; i++) {
        const struct m_queue *queue = m_queue_of(model, get->queues[i]);
        if (!queue->shut || m_queue_size(model, queue) > 0)
            return false;
    }
    return true;
}

static void get_now(struct model *model, struct m_session *session, const struct command *command,
                    struct m_queue *queue)
{
    struct m_waiter *w = get_waiter(model, session, command);
    uint64_t first_tag = session->next_tag;
    uint64_t count = m_lease_deliver(model, w, queue, w->max);
    m_wait_free(model, w);
    m_say_got(model, session, command->request, first_tag, count);
}

static void credit_add(struct m_waiter *w, uint64_t messages, uint64_t bytes)
{
    int64_t most = INT64_MAX / 2;
    int64_t more = bytes < (uint64_t)most ? (int64_t)bytes : most;
    w->credit_messages =
        messages > UINT64_MAX - w->credit_messages ? UINT64_MAX : w->credit_messages + messages;
    w->credit_bytes = w->credit_bytes + more < most ? w->credit_bytes + more : most;
}

static bool has_credit(const struct m_waiter *w)
{
    return w->credit_messages > 0 && w->credit_bytes > 0;
}

void m_get_command(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_get *get = &command->get;
    bool consume = command->kind == COMMAND_CONSUME;
    int code = consume ? check_names(model, get) : check_get(model, get);
    if (code == 0 && consume && !m_may_wait(model, session))
        code = STW_ELIMIT;
    if (code != 0) {
        m_say_error(model, session, command->request, code);
        return;
    }
    for (size_t i = 0; i < get->queues_count; i++)
        m_queue_wake(model, m_queue_make(model, get->queues[i]));
    struct m_queue *ready = consume ? NULL : first_ready(model, get);
    if (ready && m_room(model, session) < get->max) {
        m_say_error(model, session, command->request, STW_ELIMIT);
    } else if (ready) {
        get_now(model, session, command, ready);
    } else if (all_drained(model, get)) {
        m_say_error(model, session, command->request, STW_ESHUTDOWN);
    } else if (consume) {
        struct m_waiter *w = get_waiter(model, session, command);
        credit_add(w, get->credit_messages, get->credit_bytes);
        w->parked = !has_credit(w);
        m_say_plain(model, session, command->request);
    } else if (get->timeout_ms == 0) {
        m_say_error(model, session, command->request, STW_EEMPTY);
    } else if (!m_may_wait(model, session)) {
        m_say_error(model, session, command->request, STW_ELIMIT);
    } else {
        get_waiter(model, session, command);
    }
}

void m_unconsume(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_waiter *w = m_wait_of(model, session, command->target);
    if (!w || w->kind != M_CONSUME) {
        m_say_error(model, session, command->request, STW_ENOENT);
        return;
    }
    m_wait_leave(model, w);
    m_say_plain(model, session, command->request);
}

void m_credit(struct model *model, struct m_session *session, const struct cmd_credit *credit)
{
    struct m_waiter *w = m_wait_of(model, session, credit->channel);
    if (!w || w->kind != M_CONSUME)
        return;
    credit_add(w, credit->messages, credit->bytes);
    if (!w->parked || !has_credit(w))
        return;
    m_consumer_move(model, w, false);
    for (size_t i = 0; i < w->queues_count; i++)
        m_queue_wake(model, w->queues[i]);
}
