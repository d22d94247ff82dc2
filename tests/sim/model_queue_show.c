/* The model's answers about queues: rows of counts and settings, and peeks. */
#include "tests/sim/model_queue.h"

#include "common/base/fields.h"
#include "common/base/steward_errors.h"

static void settings_fields(const struct m_queue *q, struct buf *out)
{
    static const char *const overflows[] = {"block", "reject", "drop_oldest"};
    fields_u64(out, "maxsize", q->maxsize);
    fields_u64(out, "max_bytes", q->max_bytes);
    fields_text(out, "overflow", slice_str(overflows[q->overflow]));
    fields_u64(out, "lease_ms", q->lease_ms);
    fields_u64(out, "max_deliveries", q->max_deliveries);
    fields_text(out, "dead_letter", text_view(&q->dead_letter));
    fields_u64(out, "ttl_ms", q->ttl_ms);
    fields_u64(out, "delay_ms", q->delay_ms);
    fields_u64(out, "dedup_window_ms", q->dedup_window_ms);
}

static uint64_t waiting(const struct model *model, const struct m_queue *queue, enum m_wait kind)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->waiters.count; i++) {
        const struct m_waiter *w = model->waiters.items[i];
        for (size_t k = 0; k < w->queues_count; k++) {
            bool in_line = w->kind == kind || (kind == M_GET && w->kind == M_CONSUME && !w->parked);
            count += w->queues[k] == queue && in_line;
        }
    }
    return count;
}

static void counters_fields(const struct m_counters *c, struct buf *out)
{
    fields_u64(out, "put", c->put);
    fields_u64(out, "delivered", c->delivered);
    fields_u64(out, "acked", c->acked);
    fields_u64(out, "nacked", c->nacked);
    fields_u64(out, "released", c->released);
    fields_u64(out, "rejected", c->rejected);
    fields_u64(out, "redelivered", c->redelivered);
    fields_u64(out, "expired", c->expired);
    fields_u64(out, "dead", c->dead);
    fields_u64(out, "dropped", c->dropped);
    fields_u64(out, "duplicates", c->duplicates);
}

void m_queue_row(const struct model *model, void *object, struct buf *out)
{
    const struct m_queue *q = object;
    const struct m_message *head = m_queue_nth(model, q, 0);
    fields_row(out);
    fields_text(out, "name", text_view(&q->name));
    fields_text(out, "state", slice_str(q->shut ? "shutdown" : "open"));
    fields_u64(out, "paused", q->paused);
    fields_u64(out, "declared", q->declared);
    fields_u64(out, "ready", m_queue_count(model, q, M_READY));
    fields_u64(out, "delayed", m_queue_count(model, q, M_DELAYED));
    fields_u64(out, "leased", m_queue_count(model, q, M_LEASED));
    fields_u64(out, "unfinished", q->unfinished);
    fields_u64(out, "bytes", m_queue_bytes(model, q));
    fields_u64(out, "head_sequence", head ? head->sequence : 0);
    fields_u64(out, "next_sequence", q->next_sequence);
    settings_fields(q, out);
    fields_u64(out, "getters", waiting(model, q, M_GET));
    fields_u64(out, "putters", waiting(model, q, M_PUT));
    fields_u64(out, "joiners", waiting(model, q, M_JOIN));
    fields_u64(out, "consumers", waiting(model, q, M_CONSUME));
    counters_fields(&q->counters, out);
    fields_u64(out, "age_ms", model->now_ms - q->created_ms);
}

void m_queue_show(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_queue *queue = m_queue_of(model, command->named.name);
    if (!queue) {
        m_say_error(model, session, command->request, STW_ENOENT);
        return;
    }
    struct buf row = {0};
    m_queue_row(model, queue, &row);
    m_say_fields(model, session, command->request, buf_view(&row));
    buf_fini(&row);
}

static void peek_row(const struct model *model, const struct m_message *m, struct buf *out)
{
    fields_row(out);
    fields_u64(out, "sequence", m->sequence);
    fields_u64(out, "priority", m->priority);
    fields_u64(out, "deliveries", m->deliveries);
    fields_bytes(out, "body", text_view(&m->body));
    m_message_fields(model, m, out);
}

/* The generator's pages are smaller than a page's limit in bytes. */
void m_queue_peek(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_peek *peek = &command->peek;
    const struct m_queue *queue = m_queue_of(model, peek->name);
    if (!queue || peek->max < 1 || peek->max > LIMIT_PAGE_ROWS) {
        m_say_error(model, session, command->request, queue ? STW_EINVAL : STW_ENOENT);
        return;
    }
    struct buf rows = {0};
    const struct m_message *m;
    for (uint64_t i = 0; i < peek->max && (m = m_queue_nth(model, queue, peek->offset + i)); i++)
        peek_row(model, m, &rows);
    m_say_fields(model, session, command->request, buf_view(&rows));
    buf_fini(&rows);
}
