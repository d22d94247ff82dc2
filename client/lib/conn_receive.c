/* What comes in: packets, and the records in them. See conn.h. */
#include "client/lib/conn_state.h"

#include "common/base/error.h"
#include "common/wire/canary.h"

#include <stdio.h>

/* Requests first .. first+count-1 are ours to be answered? */
static bool good_range(const struct conn *conn, uint64_t first, uint64_t count)
{
    return first > 0 && first < conn->requests.next && count <= conn->requests.next - first;
}

static bool end_range(struct conn *conn, uint64_t first, uint64_t count,
                      const struct outcome *outcome)
{
    if (!good_range(conn, first, count)) {
        return false;
    }
    conn->broken = 0;
    for (uint64_t id = first; id < first + count; id++) {
        if (requests_find(&conn->requests, id) == NULL) {
            continue; /* answered before: a repetition after a resume */
        }
        if (outcome->code != 0 && conn_retry(conn, id, outcome->code)) {
            continue;
        }
        struct outcome mine = *outcome;
        conn_complete(conn, id, &mine);
    }
    seen_add(&conn->seen, first, count);
    if (conn->seen_due_ms == NEVER) {
        conn->seen_due_ms = conn->now_ms + SEEN_DELAY_MS;
    }
    return true;
}

static bool receipt(struct conn *conn, struct wire_reader *in, uint32_t values)
{
    for (uint32_t i = 2; i < values; i += 2) {
        uint64_t first = wire_read_uint(in);
        uint64_t count = wire_read_uint(in);
        if (in->failed || !end_range(conn, first, count, &(struct outcome){0})) {
            return false;
        }
    }
    return values % 2 == 1;
}

static bool failed(struct conn *conn, struct wire_reader *in)
{
    uint64_t first = wire_read_uint(in);
    uint64_t count = wire_read_uint(in);
    uint64_t number = wire_read_uint(in);
    (void)wire_read_str(in);
    struct slice text = wire_read_str(in);
    int code = number > 0 && number <= ERROR_NUMBER_MAX ? -(int)number : STW_EINTERNAL;
    return !in->failed &&
           end_range(conn, first, count, &(struct outcome){.code = code, .text = text});
}

static bool number(struct conn *conn, struct wire_reader *in)
{
    uint64_t id = wire_read_uint(in);
    uint64_t value = wire_read_uint(in);
    return !in->failed && end_range(conn, id, 1, &(struct outcome){.number = value});
}

static bool grant(struct conn *conn, struct wire_reader *in)
{
    uint64_t id = wire_read_uint(in);
    uint64_t token = wire_read_uint(in);
    uint64_t depth = wire_read_uint(in);
    return !in->failed &&
           end_range(conn, id, 1, &(struct outcome){.number = token, .depth = depth});
}

static bool got(struct conn *conn, struct wire_reader *in)
{
    uint64_t id = wire_read_uint(in);
    uint64_t count = wire_read_uint(in);
    if (in->failed) {
        return false;
    }
    const struct request *request = requests_find(&conn->requests, id);
    if (request && request->op == WIRE_GET) {
        size_t have = request->items ? request->items->count : 0;
        if (have != count) {
            return false;
        }
    }
    return end_range(conn, id, 1, &(struct outcome){.number = count});
}

static bool rows(struct conn *conn, struct wire_reader *in)
{
    uint64_t id = wire_read_uint(in);
    struct slice value = wire_read_value(in);
    return !in->failed && end_range(conn, id, 1, &(struct outcome){.rows = value});
}

static bool lease_lost(struct conn *conn, struct wire_reader *in)
{
    uint64_t first = wire_read_uint(in);
    uint64_t count = wire_read_uint(in);
    (void)wire_read_uint(in);
    if (!in->failed) {
        conn_leases_lost(conn, first, count);
    }
    return !in->failed;
}

static bool lock_lost(struct conn *conn, struct wire_reader *in)
{
    (void)wire_read_str(in);
    uint64_t token = wire_read_uint(in);
    (void)wire_read_uint(in);
    if (!in->failed) {
        conn_lock_lost(conn, token);
    }
    return !in->failed;
}

static bool consumer_ended(struct conn *conn, struct wire_reader *in)
{
    uint64_t channel = wire_read_uint(in);
    uint64_t code = wire_read_uint(in);
    if (!in->failed) {
        conn_consumer_ended(conn, channel, code <= ERROR_NUMBER_MAX ? -(int)code : STW_EINTERNAL);
    }
    return !in->failed;
}

/* One record; in stands behind the op. false: it is not what the protocol says. */
static bool record(struct conn *conn, struct wire_reader *in, uint32_t values,
                   struct packet *packet)
{
    uint64_t op = wire_read_uint(in);
    if (conn->phase == CONN_HELLO && op > WIRE_BYE) {
        return false; /* nothing comes before WELCOME */
    }
    switch (op) {
    case WIRE_WELCOME: return values == 4 && conn_welcome(conn, in);
    case WIRE_REDIRECT: return values == 2 && conn_redirect(conn, in);
    case WIRE_BYE: return values == 3 && conn_bye(conn, in);
    case WIRE_RECEIPT: return receipt(conn, in, values);
    case WIRE_FAILED: return values == 6 && failed(conn, in);
    case WIRE_NUMBER: return values == 3 && number(conn, in);
    case WIRE_GRANT: return values == 4 && grant(conn, in);
    case WIRE_GOT: return values == 3 && got(conn, in);
    case WIRE_ROWS: return values == 3 && rows(conn, in);
    case WIRE_DELIVER: return values == 7 && conn_deliver_run(conn, in, packet);
    case WIRE_DELIVER_ONE: return values == 11 && conn_deliver_one(conn, in, packet);
    case WIRE_LEASE_LOST: return values == 4 && lease_lost(conn, in);
    case WIRE_LOCK_LOST: return values == 4 && lock_lost(conn, in);
    case WIRE_CONSUMER_ENDED: return values == 3 && consumer_ended(conn, in);
    default: return false;
    }
}

/* The header; false: the connection is broken. */
static bool header(struct conn *conn, struct wire_reader *in)
{
    uint32_t values = wire_read_array(in);
    uint64_t in_number = wire_read_uint(in);
    uint64_t seen = wire_read_uint(in);
    bool next =
        in_number == conn->in_number + 1 || (NET_CANARY(CLIENT_GAP) && in_number > conn->in_number);
    if (in->failed || values != 2 || !next || seen > conn->out_number || seen < conn->peer_seen) {
        return false;
    }
    conn->in_number = in_number;
    conn->peer_seen = seen;
    conn->waiting_since_ms = seen < conn->out_number ? conn->now_ms : NEVER;
    if (conn->probe_number && seen >= conn->probe_number) {
        conn->alive_ms = conn->probe_sent_ms;
        conn->probe_number = 0;
    }
    seen_confirm(&conn->seen, seen);
    return true;
}

void conn_receive(struct conn *conn, uint64_t now_ms, struct packet *packet)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
    if (conn->phase != CONN_HELLO && conn->phase != CONN_READY) {
        return;
    }
    struct wire_reader in;
    wire_reader_init(&in, packet->head);
    if (!header(conn, &in)) {
        conn_break(conn, "packets were lost");
        return;
    }
    uint64_t generation = conn->generation;
    while (in.at != in.end) {
        uint32_t values = wire_read_array(&in);
        if (in.failed || values == 0 || !record(conn, &in, values, packet)) {
            conn_break(conn, "the manager broke the protocol");
            return;
        }
        if (conn->generation != generation) {
            return; /* the record ended this connection */
        }
    }
}
