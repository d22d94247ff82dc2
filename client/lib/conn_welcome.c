/* How a connection begins and ends on the wire: HELLO, WELCOME, BYE. See conn.h. */
#include "client/lib/conn_state.h"

#include <stdio.h>

/* count: connections in a row that the manager ends with EPROTO before the session is given up: the
 * same requests are sent each time, so this would never end by itself */
#define BROKEN_MAX 5

static void write_key(struct buf *out, const char *key)
{
    wire_write_str(out, slice_str(key));
}

static void write_text(struct buf *out, const char *key, const char *text)
{
    struct slice value = slice_str(text);
    if (value.size > LIMIT_INFO_BYTES) {
        value.size = LIMIT_INFO_BYTES;
    }
    write_key(out, key);
    wire_write_str(out, wire_utf8(value) ? value : slice_str("?"));
}

static void write_uint(struct buf *out, const char *key, uint64_t value)
{
    write_key(out, key);
    wire_write_uint(out, value);
}

void conn_write_hello(struct conn *conn, struct buf *out)
{
    uint32_t keys = 2u + (conn->program != NULL) + (conn->hostname != NULL) + (conn->pid != 0);
    wire_write_array(out, 5);
    wire_write_uint(out, WIRE_HELLO);
    wire_write_uint(out, WIRE_VERSION_MIN);
    wire_write_uint(out, WIRE_VERSION_MAX);
    wire_write_uint(out, WIRE_FEATURES);
    wire_write_map(out, keys + (conn->session ? 3 : 0));
    write_uint(out, "ttl_ms", conn->ask_ttl_ms);
    write_uint(out, "grace_ms", conn->ask_grace_ms);
    if (conn->program) {
        write_text(out, "program", conn->program);
    }
    if (conn->hostname) {
        write_text(out, "host", conn->hostname);
    }
    if (conn->pid) {
        write_uint(out, "pid", conn->pid);
    }
    if (conn->session) {
        write_uint(out, "session", conn->session);
        write_key(out, "secret");
        wire_write_bin(out, slice_of(conn->secret, sizeof conn->secret));
        write_uint(out, "last_tag", conn->last_tag);
    }
}

struct welcome {
    uint64_t session, ttl_ms, body_max;
    struct slice secret;
    bool resumed;
};

static bool is_key(struct slice key, const char *text)
{
    return slice_equal(key, slice_str(text));
}

static void read_info(struct wire_reader *in, struct welcome *welcome)
{
    uint32_t keys = wire_read_map(in);
    for (uint32_t i = 0; i < keys && !in->failed; i++) {
        struct slice key = wire_read_str(in);
        if (is_key(key, "session")) {
            welcome->session = wire_read_uint(in);
        } else if (is_key(key, "secret")) {
            welcome->secret = wire_read_bin(in);
        } else if (is_key(key, "resumed")) {
            welcome->resumed = wire_read_bool(in);
        } else if (is_key(key, "ttl_ms")) {
            welcome->ttl_ms = wire_read_uint(in);
        } else if (is_key(key, "body_max")) {
            welcome->body_max = wire_read_uint(in);
        } else {
            wire_skip(in);
        }
    }
}

bool conn_welcome(struct conn *conn, struct wire_reader *in)
{
    struct welcome welcome = {.ttl_ms = conn->ask_ttl_ms};
    uint64_t version = wire_read_uint(in);
    (void)wire_read_uint(
        in); /* features: a two-frame packet is the only one, and every manager has it */
    read_info(in, &welcome);
    if (in->failed || welcome.session == 0 || welcome.secret.size != LIMIT_SECRET_BYTES ||
        conn->phase != CONN_HELLO || version != WIRE_VERSION_MAX) {
        return false;
    }
    bool resumed = conn->session && welcome.resumed && welcome.session == conn->session;
    if (conn->session && !resumed) {
        conn_lose_session(conn);
    }
    conn->session = welcome.session;
    memcpy(conn->secret, welcome.secret.data, LIMIT_SECRET_BYTES);
    conn->ttl_ms = welcome.ttl_ms ? welcome.ttl_ms : 1;
    conn->body_max = welcome.body_max;
    conn->alive_ms = conn->last_sent_ms;
    conn->phase = CONN_READY;
    conn->attempt = 0;
    conn->refusal = 0;
    conn->seen_due_ms = seen_pending(&conn->seen) ? conn->now_ms : NEVER;
    if (resumed) {
        conn_streams_resumed(conn);
    }
    conn_streams_open(conn);
    conn->host.changed(conn->host.context);
    return true;
}

static void session_refused(struct conn *conn, const char *why)
{
    conn_break(conn, why);
    conn_lose_session(conn);
    conn->attempt = 0;
    conn->retry_ms = conn->now_ms;
}

bool conn_bye(struct conn *conn, struct wire_reader *in)
{
    int code = -(int)(wire_read_uint(in) & 0xffff);
    struct slice text = wire_read_str(in);
    if (in->failed) {
        return false;
    }
    char why[200];
    snprintf(why, sizeof why, "%.*s", (int)(text.size < 190 ? text.size : 190),
             (const char *)text.data);
    conn->refusal = code == STW_ENOQUORUM ? code : conn->refusal;
    conn->broken = code == STW_EPROTO ? conn->broken + 1 : 0;
    if (code == STW_EVERSION) {
        conn_die(conn, code, why);
    } else if (conn->session && (code == STW_ESESSION || code == STW_ESECRET)) {
        session_refused(conn, why);
    } else if (conn->session && conn->broken >= BROKEN_MAX) {
        conn->broken = 0;
        session_refused(conn, why);
    } else {
        conn_break(conn, why);
    }
    return true;
}
