/* PEEK: ready messages in delivery order, from an offset, with their bodies; nothing is leased. */
#include "broker/core/queue.h"

#include "common/base/fields.h"

/* Bytes of a row beside body and fields, at most. */
#define ROW_BYTES 128

static void peek_row(struct core *core, const struct message *message, struct buf *out)
{
    struct delivered seen;
    message_describe(core, message, &seen);
    fields_row(out);
    fields_u64(out, "sequence", message->sequence);
    fields_u64(out, "priority", message->priority);
    fields_u64(out, "deliveries", message->deliveries);
    struct slice body = seen.body;
    size_t most = LIMIT_RESULT_BYTES - ROW_BYTES - seen.fields.size;
    if (body.size > most) { /* alone longer than a page: its beginning, and how long it is */
        fields_u64(out, "body_size", body.size);
        body.size = most;
    }
    fields_bytes(out, "body", body);
    buf_add(out, seen.fields.data, seen.fields.size);
}

static void peek_rows(struct core *core, const struct queue *queue, const struct cmd_peek *peek,
                      struct buf *out)
{
    uint64_t ready = queue_ready(queue);
    for (uint64_t i = 0; i < peek->max && peek->offset < ready && i < ready - peek->offset; i++) {
        const struct message *message = queue_at(queue, peek->offset + i);
        size_t before = out->size;
        if (i > 0 && before + message->size > LIMIT_RESULT_BYTES) {
            break;
        }
        peek_row(core, message, out);
        if (i > 0 && out->size > LIMIT_RESULT_BYTES) {
            out->size = before;
            break;
        }
    }
}

void queue_apply_peek(struct core *core, struct session *session, uint64_t request,
                      const struct cmd_peek *peek)
{
    const struct queue *queue = queue_find(core, peek->name);
    if (!queue) {
        answer_error(core, session, request, STW_ENOENT, about(NULL, peek->name));
        return;
    }
    if (peek->max == 0 || peek->max > LIMIT_PAGE_ROWS) {
        answer_error(core, session, request, STW_EINVAL,
                     about("a page has 1 to 1000 rows", peek->name));
        return;
    }
    struct buf rows = {0};
    peek_rows(core, queue, peek, &rows);
    answer_fields(core, session, request, buf_view(&rows));
    buf_fini(&rows);
}
