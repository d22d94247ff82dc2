/*
 * Effects into records: sections 6 and 7 of docs/protocol.md. What is for a session without a
 * connection is dropped: answers come again when the request is sent again, streamed deliveries
 * when the session is resumed.
 */
#include "broker/gateway/internal.h"

#include "common/base/error.h"
#include "common/base/panic.h"

#include <inttypes.h>
#include <stdio.h>

/* bytes: what a record takes beside its strings and bodies, at most */
#define RECORD_BYTES 96

static uint64_t wire_code(int code)
{
    return (uint64_t)-code;
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool is_control(uint8_t byte)
{
    return byte < 0x20 || byte == 0x7f;
}

/*
 * A sentence may quote a name that was refused because of what is in it: such bytes become '?', so
 * that it is a str and does no harm on a terminal. Good until the next call.
 */
static struct slice printable(struct gateway *gateway, struct slice text)
{
    bool utf8 = wire_utf8(text);
    bool clean = utf8;
    for (size_t i = 0; i < text.size && clean; i++) {
        clean = !is_control(text.data[i]);
    }
    if (clean) {
        return text;
    }
    struct buf *copy = &gateway->scratch.fields;
    buf_clear(copy);
    buf_add(copy, text.data, text.size);
    for (size_t i = 0; i < copy->size; i++) {
        if (is_control(copy->data[i]) || (!utf8 && copy->data[i] >= 0x80)) {
            copy->data[i] = '?';
        }
    }
    return buf_view(copy);
}

static void encode_failed(struct gateway *gateway, struct connection *connection,
                          const struct effect *effect)
{
    struct slice text = printable(gateway, effect->text);
    if (text.size == 0) {
        text = slice_str(error_text(effect->code));
    }
    struct buf *out = outbox_record(gateway, connection, RECORD_BYTES + text.size);
    if (out == NULL) {
        return;
    }
    wire_write_array(out, 6);
    wire_write_uint(out, WIRE_FAILED);
    wire_write_uint(out, effect->first);
    wire_write_uint(out, effect->count);
    wire_write_uint(out, wire_code(effect->code));
    wire_write_str(out, slice_str(error_name(effect->code)));
    wire_write_str(out, text);
}

/* [op, id, value], or [op, id, value, value2]: one record for each id of the effect. */
static void encode_values(struct gateway *gateway, struct connection *connection,
                          const struct effect *effect, enum wire_op op)
{
    for (uint64_t i = 0; i < effect->count; i++) {
        struct buf *out = outbox_record(gateway, connection, RECORD_BYTES);
        if (out == NULL) {
            return;
        }
        wire_write_array(out, op == WIRE_GRANT ? 4 : 3);
        wire_write_uint(out, op);
        wire_write_uint(out, effect->first + i);
        wire_write_uint(out, effect->value);
        if (op == WIRE_GRANT) {
            wire_write_uint(out, effect->value2);
        }
    }
}

static void encode_fields(struct gateway *gateway, struct connection *connection,
                          const struct effect *effect, bool stat)
{
    struct slice fields = effect->fields;
    if (stat) {
        struct buf *both = &gateway->scratch.fields;
        buf_clear(both);
        buf_add(both, fields.data, fields.size);
        encode_counters(gateway, both);
        fields = buf_view(both);
    }
    struct buf *out = outbox_record(gateway, connection, RECORD_BYTES + fields.size);
    if (out == NULL) {
        return;
    }
    wire_write_array(out, 3);
    wire_write_uint(out, WIRE_ROWS);
    wire_write_uint(out, effect->first);
    encode_rows(out, fields);
}

static void encode_reply(struct gateway *gateway, struct link *link, const struct effect *effect)
{
    struct connection *connection = link->connection;
    bool stat = link->stats_count > 0 && link_stat_take(link, effect->first);
    if (gateway->manages && manage_answered(gateway, effect)) {
        return;
    }
    if (effect->code) {
        encode_failed(gateway, connection, effect);
        return;
    }
    switch (effect->reply) {
    case REPLY_PLAIN: outbox_receipt(gateway, connection, effect->first, effect->count); break;
    case REPLY_GOT: encode_values(gateway, connection, effect, WIRE_GOT); break;
    case REPLY_GRANT: encode_values(gateway, connection, effect, WIRE_GRANT); break;
    case REPLY_NUMBER: encode_values(gateway, connection, effect, WIRE_NUMBER); break;
    case REPLY_FIELDS: encode_fields(gateway, connection, effect, stat); break;
    }
}

/* ---- deliveries ----------------------------------------------------------------------------- */

static bool in_own_frame(const struct connection *connection, const struct delivered *message)
{
    return connection->frames && message->body.size >= LIMIT_BODY_FRAME_BYTES;
}

/* [op, channel, queue, tag, token, lease_ms ...]: how both records begin. */
static void begin_delivery(struct buf *out, const struct effect *effect, size_t index,
                           enum wire_op op)
{
    wire_write_array(out, op == WIRE_DELIVER ? 7 : 11);
    wire_write_uint(out, op);
    wire_write_uint(out, effect->first);
    wire_write_str(out, effect->queue);
    wire_write_uint(out, effect->first_tag + index);
    wire_write_uint(out, effect->first_token + index);
    wire_write_uint(out, effect->lease_ms);
}

/* The body of the last record: in place, or nil and the packet goes out with it. */
static void end_delivery(struct gateway *gateway, struct connection *connection, struct buf *out,
                         const struct delivered *message)
{
    if (in_own_frame(connection, message)) {
        wire_write_nil(out);
        outbox_send(gateway, connection, message->body);
    } else {
        wire_write_bin(out, message->body);
    }
}

static void deliver_one(struct gateway *gateway, struct connection *connection,
                        const struct effect *effect, size_t index)
{
    const struct delivered *message = &effect->messages[index];
    size_t size = RECORD_BYTES + effect->queue.size + message->fields.size;
    if (!in_own_frame(connection, message)) {
        size += message->body.size;
    }
    struct buf *out = outbox_record(gateway, connection, size);
    if (out == NULL) {
        return;
    }
    begin_delivery(out, effect, index, WIRE_DELIVER_ONE);
    wire_write_uint(out, message->deliveries);
    wire_write_uint(out, message->priority);
    wire_write_uint(out, message->sequence);
    encode_map(out, message->fields);
    end_delivery(gateway, connection, out, message);
}

/* How many messages from the first on are plain and fit into `left` bytes: one at least. */
static size_t run_length(const struct connection *connection, const struct delivered *messages,
                         size_t count, size_t left)
{
    size_t most = count < LIMIT_BATCH ? count : LIMIT_BATCH;
    size_t bytes = wire_bin_bytes(messages[0].body.size);
    size_t n = 1;
    while (n < most && messages[n].plain && !in_own_frame(connection, &messages[n])) {
        bytes += wire_bin_bytes(messages[n].body.size);
        if (bytes > left) {
            break;
        }
        n++;
    }
    return n;
}

/* A run from `index` on. Returns how many it held; 0: the connection died. */
static size_t deliver_run(struct gateway *gateway, struct connection *connection,
                          const struct effect *effect, size_t index)
{
    const struct delivered *messages = effect->messages + index;
    bool own_frame = in_own_frame(connection, messages);
    size_t head = RECORD_BYTES + effect->queue.size;
    size_t first = own_frame ? 1 : messages->body.size;
    struct buf *out = outbox_record(gateway, connection, head + first);
    if (out == NULL) {
        return 0;
    }
    size_t left = outbox_left(connection);
    size_t n = 1;
    if (!own_frame && left > head) {
        n = run_length(connection, messages, (size_t)effect->count - index, left - head);
    }
    begin_delivery(out, effect, index, WIRE_DELIVER);
    wire_write_array(out, (uint32_t)n);
    for (size_t i = 0; i + 1 < n; i++) {
        wire_write_bin(out, messages[i].body);
    }
    end_delivery(gateway, connection, out, &messages[n - 1]);
    return n;
}

static void encode_deliver(struct gateway *gateway, struct connection *connection,
                           const struct effect *effect)
{
    size_t index = 0;
    while (index < effect->count && connection_live(connection)) {
        if (!effect->messages[index].plain) {
            deliver_one(gateway, connection, effect, index);
            index++;
            continue;
        }
        size_t n = deliver_run(gateway, connection, effect, index);
        if (n == 0) {
            return;
        }
        index += n;
    }
}

/* ---- news ----------------------------------------------------------------------------------- */

static void encode_news(struct gateway *gateway, struct connection *connection,
                        const struct effect *effect)
{
    struct buf *out = outbox_record(gateway, connection, RECORD_BYTES + effect->text.size);
    if (out == NULL) {
        return;
    }
    if (effect->kind == EFFECT_LEASE_LOST) {
        wire_write_array(out, 4);
        wire_write_uint(out, WIRE_LEASE_LOST);
        wire_write_uint(out, effect->first);
        wire_write_uint(out, effect->count);
    } else if (effect->kind == EFFECT_LOCK_LOST) {
        wire_write_array(out, 4);
        wire_write_uint(out, WIRE_LOCK_LOST);
        wire_write_str(out, effect->text);
        wire_write_uint(out, effect->token);
    } else {
        wire_write_array(out, 3);
        wire_write_uint(out, WIRE_CONSUMER_ENDED);
        wire_write_uint(out, effect->first);
    }
    wire_write_uint(out, wire_code(effect->code));
}

/* The reason is text of ours, or an operator's doing: the client is told, the shell logs it. */
static void session_ended(struct gateway *gateway, const struct effect *effect)
{
    struct link *link = link_find(gateway, effect->session);
    char reason[LIMIT_REASON_BYTES + 1];
    (void)snprintf(reason, sizeof reason, "the session ended: %.*s",
                   (int)(effect->text.size < 200 ? effect->text.size : 200),
                   effect->text.size > 0 ? (const char *)effect->text.data : "");
    if (link) {
        link_ended(gateway, link, reason);
    }
}

void encode_effect(struct gateway *gateway, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_SESSION_OPENED: hello_opened(gateway, effect); return;
    case EFFECT_SESSION_REFUSED: hello_refused(gateway, effect); return;
    case EFFECT_SESSION_ENDED: session_ended(gateway, effect); return;
    case EFFECT_NOTICE: return; /* for the shell's log */
    default: break;
    }
    struct link *link = link_find(gateway, effect->session);
    if (link == NULL || link->connection == NULL) {
        return;
    }
    switch (effect->kind) {
    case EFFECT_REPLY: encode_reply(gateway, link, effect); break;
    case EFFECT_DELIVER: encode_deliver(gateway, link->connection, effect); break;
    default: encode_news(gateway, link->connection, effect); break;
    }
}
