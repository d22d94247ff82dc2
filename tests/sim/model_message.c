/* The model's messages: making, describing, failing, dying. */
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"
#include "common/base/fields.h"
#include "tests/sim/trace.h"

#include <stdlib.h>

struct m_message *m_message_make(struct model *model, struct m_queue *queue, struct slice body)
{
    struct m_message *m = mem_zalloc(1, sizeof *m);
    m->queue = queue;
    m->body = text_of(body);
    m->due_ms = m->expires_ms = m->alarm.due_ms = NEVER;
    m->state = M_WAITING;
    list_add(&model->messages, m);
    return m;
}

void m_message_drop(struct model *model, struct m_message *m)
{
    list_remove(&model->messages, m);
    text_free(&m->body);
    text_free(&m->headers);
    text_free(&m->first_reason);
    text_free(&m->last_reason);
    text_free(&m->source);
    free(m);
}

void m_message_headers(struct m_message *m, const struct put_options *options)
{
    struct buf fields = {0};
    for (size_t i = 0; i < options->headers_count; i++) {
        struct buf key = {0};
        const struct header_pair *pair = &options->headers[i];
        trace_add(&key, "h.%.*s", (int)pair->name.size, (const char *)pair->name.data);
        buf_u8(&key, 0);
        fields_text(&fields, (const char *)key.data, pair->value);
        buf_fini(&key);
    }
    m->headers = text_of(buf_view(&fields));
    buf_fini(&fields);
}

void m_message_failed(const struct model *model, struct m_message *m, struct slice reason)
{
    m->extended = true;
    if (!m->failed) {
        m->failed = true;
        m->first_failed_ms = model->now_ms;
        m->first_reason = text_of(reason);
    }
    m->last_failed_ms = model->now_ms;
    text_free(&m->last_reason);
    m->last_reason = text_of(reason);
}

void m_message_set_dead(struct m_message *m, const struct m_queue *source)
{
    m->source = text_of(text_view(&source->name));
    m->dead_deliveries = m->deliveries;
    m->deliveries = 0;
}

void m_message_clear_dead(struct m_message *m)
{
    text_free(&m->source);
    text_free(&m->first_reason);
    text_free(&m->last_reason);
    m->failed = false;
    m->dead_reason = NULL;
    m->dead_deliveries = 0;
    m->deliveries = 0;
}

static void describe_past(const struct model *model, const struct m_message *m, struct buf *out)
{
    if (m->source.size > 0) {
        fields_text(out, "dead.queue", text_view(&m->source));
        fields_text(out, "dead.reason", slice_str(m->dead_reason));
        fields_u64(out, "dead.deliveries", m->dead_deliveries);
    }
    if (m->failed) {
        fields_u64(out, "first_failure_ms", model->now_ms - m->first_failed_ms);
        fields_text(out, "first_failure", text_view(&m->first_reason));
        fields_u64(out, "last_failure_ms", model->now_ms - m->last_failed_ms);
        fields_text(out, "last_failure", text_view(&m->last_reason));
    }
}

void m_message_fields(const struct model *model, const struct m_message *m, struct buf *fields)
{
    buf_add(fields, m->headers.data, m->headers.size);
    describe_past(model, m, fields);
}

void tell_delivery(struct model *model, const struct m_message *m, uint64_t deliveries)
{
    struct buf fields = {0};
    m_message_fields(model, m, &fields);
    struct delivered delivered = {.body = text_view(&m->body),
                                  .deliveries = (uint32_t)deliveries,
                                  .plain = !m->extended,
                                  .priority = m->priority,
                                  .sequence = m->sequence,
                                  .fields = buf_view(&fields)};
    struct effect effect = {.kind = EFFECT_DELIVER,
                            .session = m->session->id,
                            .first = m->channel,
                            .count = 1,
                            .queue = text_view(&m->queue->name),
                            .first_tag = m->tag,
                            .first_token = m->token,
                            .lease_ms = m->lease_ms,
                            .messages = &delivered};
    tell(model, &effect);
    buf_fini(&fields);
}
