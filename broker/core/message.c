/*
 * Messages: a header with the body behind it, a block of its own for a large body, and an
 * extension for what is off the short path: options, a past, a place in `others`.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/fields.h"
#include "common/base/panic.h"

#include <stdlib.h>

const char dead_rejected[] = "rejected";
const char dead_max_deliveries[] = "max_deliveries";
const char dead_expired[] = "expired";

/* A place in a queue's fifo or the like: part of what a message costs. */
#define SLOT_BYTES 8

static size_t record_size(const struct message *message)
{
    size_t body = message->flags & MESSAGE_BLOB ? sizeof(struct blob *) : message->size;
    size_t size = MESSAGE_HEADER_BYTES + body;
    return size < sizeof(struct message) ? sizeof(struct message) : size;
}

/* The pointer lies unaligned behind the header. */
static struct blob *message_blob(const struct message *message)
{
    struct blob *blob;
    memcpy(&blob, message->body, sizeof(struct blob *));
    return blob;
}

static uint64_t failure_cost(const struct failure *failure)
{
    return failure->reason ? strlen(failure->reason) + 1 : 0;
}

static uint64_t ext_cost(const struct message_ext *ext)
{
    uint64_t cost = slab_cost(sizeof *ext) + ext->headers_size;
    cost += failure_cost(&ext->first) + failure_cost(&ext->last);
    return cost + (ext->source ? (uint64_t)ext->source->size + 1 : 0);
}

uint64_t message_cost(const struct message *message)
{
    uint64_t cost = slab_cost(record_size(message)) + SLOT_BYTES;
    if (message->flags & MESSAGE_BLOB) {
        cost += sizeof(struct blob) + message->size;
    }
    return message->ext ? cost + ext_cost(message->ext) : cost;
}

struct slice message_body(const struct message *message)
{
    if (message->flags & MESSAGE_BLOB) {
        return slice_of(message_blob(message)->data, message->size);
    }
    return slice_of(message->body, message->size);
}

static void message_set_blob(struct message *message, struct slice body)
{
    struct blob *blob = mem_alloc(sizeof *blob + body.size);
    blob->references = 1;
    blob->size = (uint32_t)body.size;
    memcpy(blob->data, body.data, body.size);
    memcpy(message->body, &blob, sizeof(struct blob *));
}

struct message *message_new(struct core *core, struct queue *queue, struct slice body)
{
    STEWARD_ASSERT(body.size <= LIMIT_BODY_CEILING_BYTES);
    struct message shape = {.size = (uint32_t)body.size,
                            .flags = body.size > LIMIT_BODY_SLAB_BYTES ? MESSAGE_BLOB : 0};
    struct message *message = slab_alloc(core->slab, record_size(&shape));
    memcpy(message, &shape, MESSAGE_HEADER_BYTES);
    message->queue = queue->index;
    if (shape.flags & MESSAGE_BLOB) {
        message_set_blob(message, body);
    } else if (body.size > 0) {
        memcpy(message->body, body.data, body.size);
    }
    core->bytes += message_cost(message);
    return message;
}

struct message_ext *message_extend(struct core *core, struct message *message)
{
    STEWARD_ASSERT(!message->ext);
    struct message_ext *ext = slab_alloc(core->slab, sizeof *ext);
    *ext = (struct message_ext){.message = message, .expires_ms = UINT64_MAX};
    ext->timer.kind = TIMER_MESSAGE;
    message->ext = ext;
    core->bytes += ext_cost(ext);
    return ext;
}

static void ext_free(struct core *core, struct message_ext *ext)
{
    core->bytes -= ext_cost(ext);
    timer_disarm(&core->timers, &ext->timer);
    free(ext->headers);
    free(ext->first.reason);
    free(ext->last.reason);
    free(ext->source);
    slab_free(core->slab, ext, sizeof *ext);
}

void message_free(struct core *core, struct message *message)
{
    if (message->ext) {
        ext_free(core, message->ext);
        message->ext = NULL;
    }
    core->bytes -= message_cost(message);
    if (message->flags & MESSAGE_BLOB) {
        struct blob *blob = message_blob(message);
        STEWARD_ASSERT(blob->references > 0);
        if (--blob->references == 0) {
            free(blob);
        }
    }
    slab_free(core->slab, message, record_size(message));
}

void message_headers(struct core *core, struct message *message, const struct put_options *options)
{
    struct buf buf = {0};
    for (size_t i = 0; i < options->headers_count; i++) {
        const struct header_pair *pair = &options->headers[i];
        buf_u8(&buf, (uint8_t)pair->name.size);
        buf_add(&buf, pair->name.data, pair->name.size);
        buf_u16(&buf, (uint16_t)pair->value.size);
        buf_add(&buf, pair->value.data, pair->value.size);
    }
    struct message_ext *ext = message->ext;
    ext->headers = mem_dup(buf.data, buf.size);
    ext->headers_size = (uint32_t)buf.size;
    ext->headers_count = (uint8_t)options->headers_count;
    core->bytes += buf.size;
    buf_fini(&buf);
}

static void failure_set(struct core *core, struct failure *failure, uint64_t at_ms,
                        struct slice reason)
{
    core->bytes -= failure_cost(failure);
    free(failure->reason);
    failure->at_ms = at_ms;
    failure->reason = mem_alloc(reason.size + 1);
    if (reason.size > 0) {
        memcpy(failure->reason, reason.data, reason.size);
    }
    failure->reason[reason.size] = '\0';
    core->bytes += failure_cost(failure);
}

void message_failed(struct core *core, struct message *message, struct slice reason)
{
    struct message_ext *ext = message->ext ? message->ext : message_extend(core, message);
    if (!ext->first.reason) {
        failure_set(core, &ext->first, core->now_ms, reason);
    }
    failure_set(core, &ext->last, core->now_ms, reason);
}

void message_set_dead(struct core *core, struct message *message, const struct name *source)
{
    struct message_ext *ext = message->ext;
    STEWARD_ASSERT(ext && !ext->source && ext->dead_reason);
    ext->source = mem_alloc(offsetof(struct name, text) + source->size);
    ext->source->size = source->size;
    memcpy(ext->source->text, source->text, source->size);
    core->bytes += (uint64_t)source->size + 1;
    ext->dead_deliveries = message->deliveries;
    message->deliveries = 0;
}

void message_clear_dead(struct core *core, struct message *message)
{
    struct message_ext *ext = message->ext;
    if (!ext) {
        message->deliveries = 0;
        return;
    }
    core->bytes -= ext_cost(ext);
    free(ext->source);
    free(ext->first.reason);
    free(ext->last.reason);
    ext->source = NULL;
    ext->dead_reason = NULL;
    ext->dead_deliveries = 0;
    ext->first = (struct failure){0};
    ext->last = (struct failure){0};
    core->bytes += ext_cost(ext);
    message->deliveries = 0;
}

/* ---- description ---------------------------------------------------------------------------- */

static void describe_headers(const struct message_ext *ext, struct buf *out)
{
    struct reader in;
    reader_init(&in, slice_of(ext->headers, ext->headers_size));
    for (uint32_t i = 0; i < ext->headers_count; i++) {
        char key[2 + UINT8_MAX + 1] = "h.";
        struct slice name = reader_raw(&in, reader_u8(&in));
        struct slice value = reader_raw(&in, reader_u16(&in));
        STEWARD_ASSERT(!in.failed && name.size + 2 <= UINT8_MAX);
        memcpy(key + 2, name.data, name.size);
        key[2 + name.size] = '\0';
        fields_text(out, key, value);
    }
}

static void describe_past(const struct core *core, const struct message_ext *ext, struct buf *out)
{
    if (ext->source) {
        fields_text(out, "dead.queue", name_slice(ext->source));
        fields_text(out, "dead.reason", slice_str(ext->dead_reason));
        fields_u64(out, "dead.deliveries", ext->dead_deliveries);
    }
    if (ext->first.reason) {
        fields_u64(out, "first_failure_ms", core->now_ms - ext->first.at_ms);
        fields_text(out, "first_failure", slice_str(ext->first.reason));
        fields_u64(out, "last_failure_ms", core->now_ms - ext->last.at_ms);
        fields_text(out, "last_failure", slice_str(ext->last.reason));
    }
}

void message_describe(struct core *core, const struct message *message, struct delivered *out)
{
    *out = (struct delivered){.body = message_body(message),
                              .deliveries = message->deliveries + 1u,
                              .plain = !message->ext,
                              .priority = message->priority,
                              .sequence = message->sequence};
    if (message->ext) {
        struct buf fields = {0};
        describe_headers(message->ext, &fields);
        describe_past(core, message->ext, &fields);
        out->fields = emit_bytes(core, buf_view(&fields));
        buf_fini(&fields);
    }
}
