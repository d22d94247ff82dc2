/*
 * What goes out: the next packet, packed from the control records that are due and from the
 * requests behind the cursor. The first sending and the one after a resume are the same code: a
 * resume only sets the cursor back. Neighbours that differ in nothing but body or tag share a
 * record (a run).
 */
#include "client/lib/conn_state.h"

/* bytes: head of a PUTS record with the longest name, about; others without content are smaller */
#define RECORD_HEAD_BYTES 320

/* How many requests from `id` on make one run with it. They stand in the ring, one by one. */
static size_t run_length(const struct conn *conn, uint64_t id, size_t room,
                         bool (*same)(const struct request *, const struct request *, size_t))
{
    const struct requests *requests = &conn->requests;
    if (id < requests->base) {
        return 1;
    }
    const struct request *first = requests_slot(requests, id);
    size_t count = 1, bytes = wire_bin_bytes(first->size);
    while (count < LIMIT_BATCH && id + count < requests->next) {
        const struct request *request = requests_slot(requests, id + count);
        if (!(request->flags & REQUEST_LIVE) || !same(first, request, count)) {
            break;
        }
        bytes += request->size + 5;
        if (bytes > room) {
            break;
        }
        count++;
    }
    return count;
}

static bool same_put(const struct request *first, const struct request *request, size_t count)
{
    (void)count;
    return request->op == WIRE_PUTS && request->name == first->name &&
           request->timeout_ms == first->timeout_ms && !(request->flags & REQUEST_LARGE);
}

static bool same_settle(const struct request *first, const struct request *request, size_t count)
{
    return request->op == first->op && request->tag == first->tag + count &&
           request->size == first->size &&
           (request->size == 0 || memcmp(request->data, first->data, request->size) == 0);
}

static size_t write_puts(struct conn *conn, uint64_t id, struct buf *out, struct slice *body)
{
    const struct request *first = requests_find(&conn->requests, id);
    bool large = (first->flags & REQUEST_LARGE) != 0;
    size_t room = out->size < LIMIT_PACKET_BYTES ? LIMIT_PACKET_BYTES - out->size : 0;
    size_t count = large ? 1 : run_length(conn, id, room, same_put);
    wire_write_array(out, 5);
    wire_write_uint(out, WIRE_PUTS);
    wire_write_uint(out, id);
    wire_write_str(out, name_slice(first->name));
    wire_write_uint_or_nil(out, first->timeout_ms);
    wire_write_array(out, (uint32_t)count);
    if (large) {
        wire_write_nil(out);
        *body = slice_of(first->data, first->size);
        return 1;
    }
    wire_write_bin(out, slice_of(first->data, first->size));
    for (size_t i = 1; i < count; i++) {
        const struct request *request = requests_slot(&conn->requests, id + i);
        wire_write_bin(out, slice_of(request->data, request->size));
    }
    return count;
}

static size_t write_settle(struct conn *conn, uint64_t id, struct buf *out)
{
    const struct request *first = requests_find(&conn->requests, id);
    size_t count = run_length(conn, id, SIZE_MAX, same_settle);
    wire_write_array(out, 4u + first->fields);
    wire_write_uint(out, first->op);
    wire_write_uint(out, id);
    wire_write_uint(out, first->tag);
    wire_write_uint(out, count);
    buf_add(out, first->data, first->size);
    return count;
}

static size_t write_other(struct conn *conn, uint64_t id, struct buf *out, struct slice *body)
{
    const struct request *request = requests_find(&conn->requests, id);
    wire_write_array(out, 2u + request->fields);
    wire_write_uint(out, request->op);
    wire_write_uint(out, id);
    buf_add(out, request->data, request->size);
    if (request->flags & REQUEST_LARGE) {
        *body = slice_of(request->data + request->size, request->large_size);
    }
    return 1;
}

static size_t write_record(struct conn *conn, uint64_t id, struct buf *out, struct slice *body)
{
    uint8_t op = requests_find(&conn->requests, id)->op;
    if (op == WIRE_PUTS) {
        return write_puts(conn, id, out, body);
    }
    if (op >= WIRE_ACK && op <= WIRE_RENEW) {
        return write_settle(conn, id, out);
    }
    return write_other(conn, id, out, body);
}

/* The requests from..to-1 were sent: they are not pending any more. */
static void mark_sent(struct conn *conn, uint64_t from, size_t count)
{
    for (uint64_t id = from; id < from + count; id++) {
        conn->pending_bytes -= conn_request_bytes(requests_find(&conn->requests, id));
    }
    conn->pending -= count;
    conn->cursor = from + count;
    if (conn->sent_max < conn->cursor - 1) {
        conn->sent_max = conn->cursor - 1;
    }
}

static void write_requests(struct conn *conn, struct buf *out, struct slice *body)
{
    size_t begin = out->size;
    while (conn->pending > 0 && body->data == NULL) {
        uint64_t id = requests_after(&conn->requests, conn->cursor);
        const struct request *request = requests_find(&conn->requests, id);
        size_t size =
            request->flags & REQUEST_LARGE && request->op == WIRE_PUTS ? 0 : request->size;
        if (out->size > begin && out->size + size + RECORD_HEAD_BYTES > LIMIT_PACKET_BYTES) {
            return;
        }
        mark_sent(conn, id, write_record(conn, id, out, body));
    }
    if (conn->pending == 0) {
        conn->cursor = conn->requests.next;
    }
}

static void sent(struct conn *conn)
{
    conn->last_sent_ms = conn->now_ms;
    conn->keepalive_due = false;
    if (conn->waiting_since_ms == NEVER) {
        conn->waiting_since_ms = conn->now_ms;
    }
    if (conn->probe_number == 0) {
        conn->probe_number = conn->out_number;
        conn->probe_sent_ms = conn->now_ms;
    }
}

static void write_hello_packet(struct conn *conn, struct buf *head)
{
    conn->out_number = 1;
    wire_write_header(head, 1, 0);
    conn_write_hello(conn, head);
    sent(conn);
}

/* Answers are confirmed behind all requests, so that a CANCEL goes before the confirmation of what
 * it gives back. */
static void write_end(struct conn *conn, struct buf *head)
{
    if (conn->pending > 0) {
        return;
    }
    while (seen_pending(&conn->seen) && head->size < LIMIT_PACKET_BYTES) {
        seen_write(&conn->seen, head, conn->out_number);
    }
    if (seen_pending(&conn->seen)) {
        return;
    }
    conn->seen_due_ms = NEVER;
    if (conn->leaving && !conn->left) {
        wire_write_array(head, 1);
        wire_write_uint(head, WIRE_LEAVE);
        conn->left = true;
    }
}

bool conn_next_packet(struct conn *conn, uint64_t now_ms, struct buf *head, struct slice *body)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
    buf_clear(head);
    *body = slice_of(NULL, 0);
    if (conn->phase == CONN_HELLO && conn->out_number == 0) {
        write_hello_packet(conn, head);
        return true;
    }
    if (conn->phase != CONN_READY || !(conn->pending > 0 || conn_urgent(conn))) {
        return false;
    }
    conn->out_number++;
    wire_write_header(head, conn->out_number, conn->in_number);
    conn_stream_write(conn, head);
    write_requests(conn, head, body);
    write_end(conn, head);
    sent(conn);
    return true;
}
