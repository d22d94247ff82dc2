/* The model's commands about whole queues. */
#include "tests/sim/model_queue.h"

#include "common/base/steward_errors.h"

/* ---- options -------------------------------------------------------------------------------- */

static bool given(const struct queue_options *o, enum queue_option option)
{
    return (o->given & option) != 0;
}

static bool too_long(const struct queue_options *o, enum queue_option option, uint64_t value)
{
    return given(o, option) && value > LIMIT_DURATION_MS;
}

/* With max_deliveries, messages may have to die: somewhere. */
static bool dead_letters_have_a_name(const struct cmd_queue *c, const struct m_queue *queue)
{
    const struct queue_options *o = &c->options;
    uint64_t max = queue ? queue->max_deliveries : 0, named = queue ? queue->dead_letter.size : 0;
    if (given(o, QUEUE_MAX_DELIVERIES))
        max = o->max_deliveries;
    if (given(o, QUEUE_DEAD_LETTER))
        named = o->dead_letter.size;
    return max == 0 || named > 0 || c->name.size + 5 <= LIMIT_NAME_BYTES;
}

static int check_options(const struct cmd_queue *c, const struct m_queue *queue)
{
    const struct queue_options *o = &c->options;
    if (o->given > QUEUE_OPTIONS_ALL ||
        (given(o, QUEUE_OVERFLOW) && o->overflow > OVERFLOW_DROP_OLDEST))
        return STW_EINVAL;
    if (given(o, QUEUE_LEASE) && o->lease_ms < LIMIT_LEASE_MIN_MS)
        return STW_EINVAL;
    if (too_long(o, QUEUE_LEASE, o->lease_ms) || too_long(o, QUEUE_TTL, o->ttl_ms) ||
        too_long(o, QUEUE_DELAY, o->delay_ms) ||
        too_long(o, QUEUE_DEDUP_WINDOW, o->dedup_window_ms))
        return STW_EINVAL;
    if (given(o, QUEUE_DEAD_LETTER) && o->dead_letter.size > 0 && !m_name_good(o->dead_letter))
        return STW_EINVAL;
    if (given(o, QUEUE_DEAD_LETTER) && slice_equal(o->dead_letter, c->name))
        return STW_EINVAL;
    return dead_letters_have_a_name(c, queue) ? 0 : STW_EINVAL;
}

static bool differs(const struct m_queue *q, const struct queue_options *o)
{
    return (given(o, QUEUE_MAXSIZE) && o->maxsize != q->maxsize) ||
           (given(o, QUEUE_MAX_BYTES) && o->max_bytes != q->max_bytes) ||
           (given(o, QUEUE_OVERFLOW) && o->overflow != q->overflow) ||
           (given(o, QUEUE_LEASE) && o->lease_ms != q->lease_ms) ||
           (given(o, QUEUE_MAX_DELIVERIES) && o->max_deliveries != q->max_deliveries) ||
           (given(o, QUEUE_TTL) && o->ttl_ms != q->ttl_ms) ||
           (given(o, QUEUE_DELAY) && o->delay_ms != q->delay_ms) ||
           (given(o, QUEUE_DEDUP_WINDOW) && o->dedup_window_ms != q->dedup_window_ms) ||
           (given(o, QUEUE_DEAD_LETTER) &&
            !slice_equal(o->dead_letter, text_view(&q->dead_letter)));
}

static void change(struct m_queue *q, const struct queue_options *o)
{
    if (given(o, QUEUE_MAXSIZE))
        q->maxsize = o->maxsize;
    if (given(o, QUEUE_MAX_BYTES))
        q->max_bytes = o->max_bytes;
    if (given(o, QUEUE_OVERFLOW))
        q->overflow = o->overflow;
    if (given(o, QUEUE_LEASE))
        q->lease_ms = o->lease_ms;
    if (given(o, QUEUE_MAX_DELIVERIES))
        q->max_deliveries = o->max_deliveries;
    if (given(o, QUEUE_TTL))
        q->ttl_ms = o->ttl_ms;
    if (given(o, QUEUE_DELAY))
        q->delay_ms = o->delay_ms;
    if (given(o, QUEUE_DEDUP_WINDOW))
        q->dedup_window_ms = o->dedup_window_ms;
    if (given(o, QUEUE_DEAD_LETTER)) {
        text_free(&q->dead_letter);
        q->dead_letter = text_of(o->dead_letter);
    }
}

static void declare(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_queue *c = &command->queue;
    struct m_queue *queue = m_queue_of(model, c->name);
    int code = check_options(c, queue);
    if (code == 0 && queue) {
        code = differs(queue, &c->options) ? STW_EEXIST : 0;
    } else if (code == 0) {
        queue = m_queue_make(model, c->name);
        code = m_name_good(c->name) ? STW_ELIMIT : STW_EINVAL;
        code = queue ? 0 : code;
        if (queue)
            change(queue, &c->options);
    }
    if (code != 0) {
        m_say_error(model, session, command->request, code);
        return;
    }
    queue->declared = true;
    m_queue_life(model, queue);
    m_say_plain(model, session, command->request);
}

static void alter(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_queue *queue = m_queue_of(model, command->queue.name);
    int code = queue ? check_options(&command->queue, queue) : STW_ENOENT;
    if (code != 0) {
        m_say_error(model, session, command->request, code);
        return;
    }
    change(queue, &command->queue.options);
    m_say_plain(model, session, command->request);
    m_queue_wake(model, queue);
}

/* ---- the rest ------------------------------------------------------------------------------- */

/* What is leased ends here, too: its settling will be refused. */
static void delete (struct model *model, struct m_queue *queue)
{
    m_queue_cut(model, queue);
    queue->unfinished = 0;
    queue->deleted = true;
    m_alarm_off(&queue->idle);
    m_dedup_clear(model, queue);
    m_queue_wake(model, queue);
}

static void shut(struct model *model, struct m_queue *queue, bool immediate)
{
    queue->shut = true;
    m_queue_wake(model, queue);
    if (immediate) {
        m_queue_cut(model, queue);
        m_queue_joins_over(model, queue);
    }
}

static void join(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_join *c = &command->join;
    struct m_queue *queue = m_queue_of(model, c->name);
    if (!queue)
        m_say_error(model, session, command->request, STW_ENOENT);
    else if (c->timeout_ms != TIMEOUT_FOREVER && c->timeout_ms > LIMIT_DURATION_MS)
        m_say_error(model, session, command->request, STW_EINVAL);
    else if (queue->unfinished == 0)
        m_say_plain(model, session, command->request);
    else if (c->timeout_ms == 0)
        m_say_error(model, session, command->request, STW_ETIMEOUT);
    else if (!m_may_wait(model, session))
        m_say_error(model, session, command->request, STW_ELIMIT);
    else
        m_wait_queue(model, m_wait_new(model, session, command, M_JOIN, c->timeout_ms), queue);
}

static void named(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_queue *queue = m_queue_of(model, command->named.name);
    if (!queue) {
        m_say_error(model, session, command->request, STW_ENOENT);
        return;
    }
    switch (command->kind) {
    case COMMAND_QUEUE_DELETE: delete (model, queue); break;
    case COMMAND_QUEUE_PURGE:
        m_queue_wake(model, queue);
        m_say_number(model, session, command->request, m_queue_cut(model, queue));
        return;
    case COMMAND_QUEUE_SHUTDOWN: shut(model, queue, command->named.immediate); break;
    default:
        queue->paused = command->kind == COMMAND_QUEUE_PAUSE;
        m_queue_wake(model, queue);
        break;
    }
    m_say_plain(model, session, command->request);
}

void m_queue_command(struct model *model, struct m_session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_QUEUE_DECLARE: declare(model, session, command); break;
    case COMMAND_QUEUE_ALTER: alter(model, session, command); break;
    case COMMAND_QUEUE_REDRIVE: m_redrive(model, session, command); break;
    case COMMAND_QUEUE_JOIN: join(model, session, command); break;
    default: named(model, session, command); break;
    }
}
