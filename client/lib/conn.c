/*
 * The life of a connection: phases, timers, back-off, endpoints. See conn.h.
 *
 *     BACKOFF --retry_ms--> OPENING --connected--> HELLO --WELCOME--> READY
 *        ^                     |                     |                  |
 *        +------- conn_break: timer, BYE, gap, silence, cut ------------+
 *
 * DEAD is left by nobody. Every move to another socket counts `generation` up, by which the host
 * sees that the old one has to be closed.
 */
#include "client/lib/conn_state.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/canary.h"

#include <stdio.h>
#include <stdlib.h>

/* milliseconds: back-off after the n-th failure is random below BACKOFF_FIRST_MS << n */
#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS   2000

/* milliseconds: how long one endpoint may take to connect, when there are others to try: at first,
 * doubled in each round, and at most. One that is gone costs so much of a failover. */
#define CONNECT_FIRST_MS 100
#define CONNECT_MAX_MS   4000

/* count: redirects followed at once; then back-off as after a failure */
#define REDIRECTS_MAX 4

/* milliseconds: so long after an endpoint broke no redirect leads back to it: the node that sends
 * us there has not noticed yet */
#define BROKE_MS 500

/* milliseconds: how long the answer to HELLO may take at first, when there are others to try */
#define HELLO_FIRST_MS 1000

uint64_t conn_random(struct conn *conn, uint64_t bound)
{
    uint64_t x = conn->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    conn->random = x;
    return x % bound;
}

static void split_endpoints(struct conn *conn, const char *endpoints)
{
    const char *at = endpoints;
    while (*at) {
        size_t size = strcspn(at, ", ");
        if (size > 0) {
            conn->endpoints =
                mem_realloc(conn->endpoints, conn->endpoints_count + 1, sizeof *conn->endpoints);
            char *text = mem_alloc(size + 1);
            memcpy(text, at, size);
            text[size] = 0;
            conn->endpoints[conn->endpoints_count++] = text;
        }
        at += size + (at[size] != 0);
    }
}

static char *copy_text(const char *text)
{
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

struct conn *conn_new(const struct conn_options *options, const struct conn_host *host,
                      uint64_t now_ms)
{
    struct conn *conn = mem_zalloc(1, sizeof *conn);
    split_endpoints(conn, options->endpoints);
    if (conn->endpoints_count == 0) {
        free(conn);
        return NULL;
    }
    conn->host = *host;
    conn->now_ms = now_ms;
    conn->ask_ttl_ms = options->ttl_ms;
    conn->ask_grace_ms = options->grace_ms;
    conn->ttl_ms = options->ttl_ms;
    conn->pid = options->pid;
    conn->program = copy_text(options->program);
    conn->hostname = copy_text(options->host);
    conn->random = options->seed * 2 + 1; /* never 0 */
    for (int i = 0; i < 8; i++) {
        (void)conn_random(conn, 2);
    }
    conn->epoch = 1;
    conn->retry_ms = now_ms;
    conn->waiting_since_ms = NEVER;
    conn->expire_ms = conn->seen_due_ms = conn->renew_ms = NEVER;
    conn->runs.names = &conn->names;
    conn->cursor = 1;
    requests_init(&conn->requests);
    return conn;
}

void conn_destroy(struct conn **pointer)
{
    struct conn *conn = *pointer;
    if (conn == NULL) {
        return;
    }
    conn_requests_fini(conn);
    conn_streams_fini(conn);
    runs_fini(&conn->runs);
    blocks_fini(&conn->blocks);
    names_fini(&conn->names);
    seen_fini(&conn->seen);
    for (size_t i = 0; i < conn->endpoints_count; i++) {
        free(conn->endpoints[i]);
    }
    free(conn->endpoints);
    free(conn->program);
    free(conn->hostname);
    free(conn);
    *pointer = NULL;
}

/* ---- phases ---- */

/* Is there another endpoint to try if this one does not answer? */
static bool others(const struct conn *conn)
{
    return conn->endpoints_count > 1 || conn->redirected;
}

/* How often all endpoints were tried since the last WELCOME. */
static uint64_t rounds(const struct conn *conn)
{
    return conn->attempt / conn->endpoints_count;
}

static uint64_t patience_of(const struct conn *conn, uint64_t first_ms)
{
    uint64_t round = rounds(conn);
    return first_ms << (round < 4 ? round : 4);
}

static void open_socket(struct conn *conn)
{
    conn->redirected = conn->redirect[0] != 0;
    uint64_t patience = others(conn) ? patience_of(conn, CONNECT_FIRST_MS) : CONNECT_MAX_MS;
    conn->phase = CONN_OPENING;
    conn->generation++;
    conn->opening_until_ms = conn->now_ms + patience;
    conn->out_number = conn->in_number = conn->peer_seen = conn->probe_number = 0;
    conn->waiting_since_ms = NEVER;
    conn->keepalive_due = false;
}

static uint64_t backoff(struct conn *conn)
{
    uint64_t shift = rounds(conn) < 8 ? rounds(conn) : 8;
    uint64_t bound = (uint64_t)BACKOFF_FIRST_MS << shift;
    return conn_random(conn, bound < BACKOFF_MAX_MS ? bound : BACKOFF_MAX_MS);
}

/* Backs off, to go on with another endpoint. */
static void part(struct conn *conn, const char *why)
{
    snprintf(conn->trouble, sizeof conn->trouble, "%s", why);
    if (conn->phase == CONN_READY) {
        conn->attempt = 0;
    }
    if (conn->redirected) {
        conn->redirect[0] = 0;
        conn->redirected = false; /* endpoint is the one behind that which sent us there */
    } else {
        conn->endpoint = (conn->endpoint + 1) % conn->endpoints_count;
    }
    conn->retry_ms = conn->now_ms + backoff(conn);
    conn->attempt++;
    conn->phase = CONN_BACKOFF;
    conn->generation++;
    conn_requests_rewind(conn);
    seen_rewind(&conn->seen);
    conn_streams_rewind(conn);
    conn->expire_ms = conn->now_ms; /* deadlines are nearer without a connection */
}

void conn_break(struct conn *conn, const char *why)
{
    if (conn->phase == CONN_DEAD || conn->phase == CONN_BACKOFF) {
        return;
    }
    snprintf(conn->broke, sizeof conn->broke, "%s",
             conn->redirected ? conn->redirect : conn->endpoints[conn->endpoint]);
    conn->broke_ms = conn->now_ms;
    part(conn, why);
}

void conn_die(struct conn *conn, int code, const char *why)
{
    conn_break(conn, why);
    conn->phase = CONN_DEAD;
    conn->fatal = code;
    conn->sent_max = conn->requests.next; /* nothing goes on */
    conn_retries_end(conn, code);
    conn_lose_session(conn);
}

void conn_lose_session(struct conn *conn)
{
    if (conn->session != 0) {
        conn->lost_count++;
    }
    conn->session = 0;
    conn->epoch++;
    conn->last_tag = 0;
    seen_clear(&conn->seen);
    conn->seen_due_ms = NEVER;
    conn_requests_lost(conn);
    conn_streams_lost(conn);
    conn->host.changed(conn->host.context);
}

/* ---- time ---- */

static void tick_phase(struct conn *conn)
{
    switch (conn->phase) {
    case CONN_BACKOFF:
        /* the answer to our BYE breaks the connection, too: no new session then */
        if (conn->now_ms >= conn->retry_ms && !conn->leaving) {
            open_socket(conn);
        }
        break;
    case CONN_OPENING:
    case CONN_HELLO:
        if (conn->now_ms >= conn->opening_until_ms) {
            conn_break(conn, conn->phase == CONN_OPENING ? "the endpoint does not answer"
                                                         : "the manager does not answer");
        }
        break;
    case CONN_READY:
        if (conn->waiting_since_ms != NEVER &&
            conn->now_ms - conn->waiting_since_ms >= conn->ttl_ms / 2) {
            conn_break(conn, "the manager is silent");
        } else if (conn->now_ms - conn->last_sent_ms >= conn->ttl_ms / 3 &&
                   !NET_CANARY(KEEPALIVE_FORGOTTEN)) {
            conn->keepalive_due = true;
        }
        break;
    case CONN_DEAD: break;
    }
}

static void set_now(struct conn *conn, uint64_t now_ms)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
}

void conn_tick(struct conn *conn, uint64_t now_ms)
{
    set_now(conn, now_ms);
    tick_phase(conn);
    if (conn->retries) {
        conn_retries_submit(conn);
    }
    if (conn->now_ms >= conn->expire_ms) {
        conn_expire(conn);
    }
    if (conn->now_ms >= conn->seen_due_ms && conn->phase == CONN_READY) {
        conn->keepalive_due = true; /* carries them */
    }
    if (conn->now_ms >= conn->renew_ms && conn->phase == CONN_READY) {
        conn_streams_renew(conn);
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t conn_deadline(const struct conn *conn)
{
    uint64_t due = conn->expire_ms;
    for (const struct retry *retry = conn->retries; retry; retry = retry->next) {
        due = earlier(due, retry->at_ms);
    }
    switch (conn->phase) {
    case CONN_BACKOFF: return conn->leaving ? due : earlier(due, conn->retry_ms);
    case CONN_OPENING:
    case CONN_HELLO: return earlier(due, conn->opening_until_ms);
    case CONN_READY: break;
    case CONN_DEAD: return due;
    }
    if (conn->waiting_since_ms != NEVER) {
        due = earlier(due, conn->waiting_since_ms + conn->ttl_ms / 2);
    }
    if (!conn->keepalive_due) {
        due = earlier(due, conn->last_sent_ms + conn->ttl_ms / 3);
        due = earlier(due, conn->seen_due_ms);
    }
    return earlier(due, conn->renew_ms);
}

/* ---- the socket ---- */

const char *conn_socket(const struct conn *conn, uint64_t *generation)
{
    *generation = conn->generation;
    if (conn->phase == CONN_BACKOFF || conn->phase == CONN_DEAD) {
        return NULL;
    }
    return conn->redirected ? conn->redirect : conn->endpoints[conn->endpoint];
}

void conn_connected(struct conn *conn, uint64_t now_ms)
{
    set_now(conn, now_ms);
    if (conn->phase != CONN_OPENING) {
        return;
    }
    conn->phase = CONN_HELLO;
    uint64_t most = conn->ask_ttl_ms / 2 + BACKOFF_MAX_MS;
    uint64_t patience = others(conn) ? patience_of(conn, HELLO_FIRST_MS) : most;
    conn->opening_until_ms = conn->now_ms + (patience < most ? patience : most);
}

void conn_disconnected(struct conn *conn, uint64_t now_ms)
{
    set_now(conn, now_ms);
    if (conn->phase == CONN_HELLO || conn->phase == CONN_READY) {
        conn_break(conn, "the connection was closed");
    }
}

bool conn_redirect(struct conn *conn, struct wire_reader *in)
{
    struct slice endpoint = wire_read_str(in);
    if (in->failed || endpoint.size == 0 || endpoint.size >= sizeof conn->redirect) {
        return false;
    }
    uint32_t attempt = conn->attempt;
    bool broke =
        slice_equal(endpoint, slice_str(conn->broke)) && conn->now_ms - conn->broke_ms < BROKE_MS;
    part(conn, "another node leads"); /* who says so is well, and may lead in a moment */
    if (broke) {
        return true; /* until another one leads, or it is back */
    }
    memcpy(conn->redirect, endpoint.data, endpoint.size);
    conn->redirect[endpoint.size] = 0;
    if (attempt < REDIRECTS_MAX) {
        conn->retry_ms = conn->now_ms;
    }
    return true;
}

bool conn_urgent(const struct conn *conn)
{
    if (conn->phase == CONN_HELLO) {
        return conn->out_number == 0;
    }
    return conn->phase == CONN_READY &&
           (conn->keepalive_due || conn->credit_due || (conn->leaving && !conn->left));
}

void conn_leave(struct conn *conn)
{
    conn->leaving = true;
    conn->left = conn->phase != CONN_READY;
}

bool conn_left(const struct conn *conn)
{
    return conn->left || (conn->leaving && conn->phase != CONN_READY);
}

/* ---- what it is like ---- */

int conn_state(const struct conn *conn)
{
    return conn->fatal;
}

bool conn_ready(const struct conn *conn)
{
    return conn->phase == CONN_READY;
}

uint64_t conn_session(const struct conn *conn)
{
    return conn->session;
}

uint64_t conn_epoch(const struct conn *conn)
{
    return conn->epoch;
}

uint64_t conn_sessions_lost(const struct conn *conn)
{
    return conn->lost_count;
}

uint64_t conn_body_max(const struct conn *conn)
{
    return conn->body_max;
}

uint64_t conn_alive_until(const struct conn *conn)
{
    return conn->session ? conn->alive_ms + conn->ttl_ms : 0;
}

int conn_refusal(const struct conn *conn)
{
    return conn->refusal;
}

const char *conn_trouble(const struct conn *conn)
{
    return conn->trouble;
}

struct names *conn_names(struct conn *conn)
{
    return &conn->names;
}

struct runs *conn_runs(struct conn *conn)
{
    return &conn->runs;
}
