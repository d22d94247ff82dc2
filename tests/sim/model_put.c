/* The model's puts. */
#include "tests/sim/model_queue.h"

#include "common/base/steward_errors.h"

/* ---- checks --------------------------------------------------------------------------------- */

static bool duration_good(uint64_t duration_ms, uint64_t special)
{
    return duration_ms <= LIMIT_DURATION_MS || duration_ms == special;
}

static int check_headers(const struct put_options *options)
{
    uint64_t bytes = 0;
    if (options->headers_count > LIMIT_HEADERS)
        return STW_ETOOBIG;
    for (size_t i = 0; i < options->headers_count; i++) {
        const struct header_pair *pair = &options->headers[i];
        bytes += pair->name.size + pair->value.size;
        if (pair->name.size < 1 || pair->name.size > 253)
            return STW_EINVAL;
        for (size_t k = 0; k < i; k++)
            if (slice_equal(options->headers[k].name, pair->name))
                return STW_EINVAL;
    }
    return bytes > LIMIT_HEADER_BYTES ? STW_ETOOBIG : 0;
}

static int check_put(const struct cmd_put *put)
{
    const struct put_options *o = put->options;
    if (put->count < 1 || put->count > LIMIT_BATCH ||
        !duration_good(put->timeout_ms, TIMEOUT_FOREVER))
        return STW_EINVAL;
    for (size_t i = 0; i < put->count; i++)
        if (put->bodies[i].size > LIMIT_BODY_CEILING_BYTES)
            return STW_ETOOBIG;
    if (o && (!duration_good(o->delay_ms, SETTING_DEFAULT) ||
              !duration_good(o->ttl_ms, SETTING_DEFAULT)))
        return STW_EINVAL;
    if (o && (o->dedup_id.size > LIMIT_DEDUP_ID_BYTES || (o->dedup_id.size > 0 && put->count != 1)))
        return STW_EINVAL;
    int code = o ? check_headers(o) : 0;
    return code == 0 && !m_name_good(put->queue) ? STW_EINVAL : code;
}

/* ---- one put -------------------------------------------------------------------------------- */

/* Bodies that get in together, or wait together. */
struct put {
    struct m_session *session;
    struct m_queue *queue;
    uint64_t request;
    const struct command *command;
    const struct slice *bodies;
    size_t count;
    bool many;
};

static struct m_message *put_message(struct model *model, const struct put *put, struct slice body)
{
    const struct put_options *o = put->command->put.options;
    uint64_t delay_ms = o ? o->delay_ms : SETTING_DEFAULT;
    uint64_t ttl_ms = o ? o->ttl_ms : SETTING_DEFAULT;
    struct m_message *m = m_message_make(model, put->queue, body);
    m->due_ms = delay_ms == SETTING_DEFAULT ? put->queue->delay_ms : delay_ms;
    ttl_ms = ttl_ms == SETTING_DEFAULT ? put->queue->ttl_ms : ttl_ms;
    m->expires_ms = ttl_ms > 0 ? ttl_ms : NEVER;
    if (o) {
        m->priority = o->priority;
        m_message_headers(m, o);
    }
    m->extended = m->due_ms > 0 || ttl_ms > 0 || m->priority > 0 || m->headers.size > 0;
    return m;
}

static struct slice dedup_id(const struct put *put)
{
    const struct put_options *o = put->command->put.options;
    return o ? o->dedup_id : slice_str("");
}

static void insert(struct model *model, const struct put *put)
{
    for (size_t i = 0; i < put->count; i++)
        m_queue_insert(model, put_message(model, put, put->bodies[i]));
    if (dedup_id(put).size > 0)
        m_dedup_remember(model, put->queue, dedup_id(put));
    if (put->many)
        m_say_number(model, put->session, put->request, 0);
    else
        m_say_plain(model, put->session, put->request);
    m_queue_wake(model, put->queue);
}

static void put_wait(struct model *model, const struct put *put)
{
    if (!m_may_wait(model, put->session)) {
        m_say_error(model, put->session, put->request, STW_ELIMIT);
        return;
    }
    struct command alone = *put->command;
    alone.request = put->request;
    struct m_waiter *w =
        m_wait_new(model, put->session, &alone, M_PUT, put->command->put.timeout_ms);
    for (size_t i = 0; i < put->count; i++)
        list_add(&w->messages, put_message(model, put, put->bodies[i]));
    w->many = put->many;
    w->dedup_id = text_of(dedup_id(put));
    m_wait_queue(model, w, put->queue);
    if (put->session->detached)
        m_queue_wake(model, put->queue);
}

/* Whoever waits for messages is served first: that makes room. */
static bool fits_now(struct model *model, const struct put *put, uint64_t bytes)
{
    struct m_queue *queue = put->queue;
    if (!m_wait_first(model, queue, M_PUT) && m_queue_fits(model, queue, put->count, bytes))
        return true;
    if (m_wait_first(model, queue, M_GET) && !queue->paused && m_queue_nth(model, queue, 0))
        m_queue_serve(model, queue);
    return !m_wait_first(model, queue, M_PUT) && m_queue_fits(model, queue, put->count, bytes);
}

static void put_one(struct model *model, const struct put *put)
{
    struct m_queue *queue = put->queue;
    struct slice id = dedup_id(put);
    uint64_t bytes = 0;
    for (size_t i = 0; i < put->count; i++)
        bytes += put->bodies[i].size;
    if (queue->shut) {
        m_say_error(model, put->session, put->request, STW_ESHUTDOWN);
    } else if (id.size > 0 && m_dedup_known(model, queue, id)) {
        COUNT(model, queue, duplicates, 1);
        m_say_number(model, put->session, put->request, 1);
    } else if ((queue->max_bytes > 0 && bytes > queue->max_bytes) ||
               (queue->maxsize > 0 && put->count > queue->maxsize)) {
        m_say_error(model, put->session, put->request, STW_ETOOBIG);
    } else if (fits_now(model, put, bytes)) {
        insert(model, put);
    } else if (queue->overflow == OVERFLOW_DROP_OLDEST && !m_wait_first(model, queue, M_PUT)) {
        m_queue_drop_oldest(model, queue, put->count, bytes);
        insert(model, put);
    } else if (queue->overflow != OVERFLOW_BLOCK || put->command->put.timeout_ms == 0) {
        m_say_error(model, put->session, put->request, STW_EFULL);
    } else {
        put_wait(model, put);
    }
}

void m_put_command(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_put *c = &command->put;
    int code = check_put(c);
    bool many = command->kind == COMMAND_PUT_MANY;
    size_t requests = many ? 1 : c->count;
    if (code == 0 && !m_queue_make(model, c->queue))
        code = STW_ELIMIT;
    if (code != 0) {
        for (size_t i = 0; i < requests; i++)
            m_say_error(model, session, command->request + i, code);
        return;
    }
    struct put put = {.session = session,
                      .queue = m_queue_make(model, c->queue),
                      .command = command,
                      .many = many};
    m_queue_wake(model, put.queue);
    put.count = many ? c->count : 1;
    for (size_t i = 0; i < requests; i++) {
        put.request = command->request + i;
        put.bodies = c->bodies + i;
        put_one(model, &put);
    }
}

/* ---- a put that waited ---------------------------------------------------------------------- */

static void put_answer(struct model *model, struct m_waiter *w, uint64_t duplicate)
{
    if (w->many)
        m_say_number(model, w->session, w->request, duplicate);
    else
        m_say_plain(model, w->session, w->request);
}

void m_put_admit(struct model *model, struct m_queue *queue, struct m_waiter *w)
{
    bool known = w->dedup_id.size > 0 && m_dedup_known(model, queue, text_view(&w->dedup_id));
    if (known) {
        COUNT(model, queue, duplicates, 1);
    } else {
        for (size_t i = 0; i < w->messages.count; i++)
            m_queue_insert(model, w->messages.items[i]);
        w->messages.count = 0;
        if (w->dedup_id.size > 0)
            m_dedup_remember(model, queue, text_view(&w->dedup_id));
    }
    put_answer(model, w, known);
    m_wait_free(model, w);
    m_queue_life(model, queue);
}
