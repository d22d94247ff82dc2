/* The envelope between nodes: written without copies of messages but one, read with every check. */
#include "broker/shell/links_envelope.h"

#include "common/base/panic.h"

/* ---- writing -------------------------------------------------------------------------------- */

void envelope_begin(struct buf *buf, const struct envelope *envelope)
{
    STEWARD_ASSERT(envelope->neighbours_count <= LIMIT_NODES);
    buf_u32(buf, ENVELOPE_MAGIC);
    buf_u8(buf, ENVELOPE_VERSION);
    buf_u64(buf, envelope->from);
    buf_u64(buf, envelope->to);
    buf_u64(buf, envelope->run);
    buf_slice(buf, envelope->address);
    buf_slice(buf, envelope->endpoint);
    buf_u8(buf, (uint8_t)envelope->neighbours_count);
    for (size_t i = 0; i < envelope->neighbours_count; i++) {
        buf_u64(buf, envelope->neighbours[i].node);
        buf_slice(buf, envelope->neighbours[i].address);
    }
}

void envelope_add(struct buf *buf, struct slice message)
{
    STEWARD_ASSERT(message.size > 0 && message.size <= UINT32_MAX);
    buf_slice(buf, message);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Text that may go into a log line and to libzmq: printable, without spaces. */
static bool read_text(struct reader *reader, struct slice *out)
{
    *out = reader_slice(reader);
    if (reader->failed || out->size > LIMIT_LINK_ADDRESS_BYTES) {
        return false;
    }
    for (size_t i = 0; i < out->size; i++) {
        if (out->data[i] <= ' ' || out->data[i] > '~') {
            return false;
        }
    }
    return true;
}

static bool read_neighbours(struct reader *reader, struct envelope *out)
{
    out->neighbours_count = reader_u8(reader);
    if (reader->failed || out->neighbours_count > LIMIT_NODES) {
        return false;
    }
    for (size_t i = 0; i < out->neighbours_count; i++) {
        out->neighbours[i].node = reader_u64(reader);
        if (!read_text(reader, &out->neighbours[i].address) || out->neighbours[i].node == 0) {
            return false;
        }
    }
    return true;
}

static bool messages_whole(struct slice messages)
{
    struct reader reader;
    reader_init(&reader, messages);
    while (reader.at < reader.end && !reader.failed) {
        struct slice message = reader_slice(&reader);
        if (message.size == 0) {
            return false;
        }
    }
    return reader_done(&reader);
}

const char *envelope_read(struct envelope *out, struct slice bytes)
{
    struct reader reader;
    reader_init(&reader, bytes);
    uint32_t magic = reader_u32(&reader);
    uint8_t version = reader_u8(&reader);
    if (reader.failed || magic != ENVELOPE_MAGIC) {
        return "not_an_envelope";
    }
    if (version != ENVELOPE_VERSION) {
        return "unknown_version";
    }
    out->from = reader_u64(&reader);
    out->to = reader_u64(&reader);
    out->run = reader_u64(&reader);
    if (reader.failed || out->from == 0 || out->to == 0) {
        return "bad_node";
    }
    if (!read_text(&reader, &out->address) || !read_text(&reader, &out->endpoint)) {
        return "bad_address";
    }
    if (!read_neighbours(&reader, out)) {
        return "bad_neighbours";
    }
    out->messages = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return messages_whole(out->messages) ? NULL : "bad_messages";
}

bool envelope_next(struct slice *messages, struct slice *message)
{
    if (messages->size == 0) {
        return false;
    }
    struct reader reader;
    reader_init(&reader, *messages);
    *message = reader_slice(&reader);
    STEWARD_ASSERT(!reader.failed && message->size > 0);
    *messages = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}
