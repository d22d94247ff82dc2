/*
 * Requests: submission, completion, cancelling, deadlines, and what becomes of them when a
 * connection breaks or a session is lost. See conn.h.
 */
#include "client/lib/conn_state.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/canary.h"

#include <stdio.h>
#include <stdlib.h>

/* milliseconds: patience beyond a request's own deadline while there is no connection, and while
 * the manager has been silent for as long */
#define GRACE_UNCONNECTED_MS 200
#define GRACE_SILENT_MS      1000

/* milliseconds: first and longest pause after EMEMORY and its kin */
#define RETRY_FIRST_MS 10
#define RETRY_MAX_MS   1000

/* bytes: what a record costs beside its content, about */
#define RECORD_BYTES 12

size_t conn_request_bytes(const struct request *request)
{
    size_t large =
        request->flags & REQUEST_LARGE && request->op != WIRE_PUTS ? request->large_size : 0;
    return request->size + large + RECORD_BYTES;
}

/* How long after its own deadline a request may still hope for the manager's answer. */
static uint64_t grace(const struct conn *conn)
{
    if (conn->phase != CONN_READY) {
        return GRACE_UNCONNECTED_MS;
    }
    bool silent =
        conn->waiting_since_ms != NEVER && conn->now_ms - conn->waiting_since_ms >= GRACE_SILENT_MS;
    return silent ? GRACE_SILENT_MS : conn->ttl_ms;
}

/* When to look at a request again that has this deadline. */
static uint64_t next_look(const struct conn *conn, uint64_t deadline_ms)
{
    uint64_t first =
        deadline_ms + (conn->phase == CONN_READY ? GRACE_SILENT_MS : GRACE_UNCONNECTED_MS);
    return first > conn->now_ms ? first : conn->now_ms + GRACE_SILENT_MS;
}

static void set_deadline(struct conn *conn, struct request *request, uint64_t timeout_ms)
{
    request->timeout_ms = timeout_ms;
    request->deadline_ms = NEVER;
    if (timeout_ms == NEVER) {
        return;
    }
    request->deadline_ms = conn->now_ms + timeout_ms;
    uint64_t look = next_look(conn, request->deadline_ms);
    conn->expire_ms = look < conn->expire_ms ? look : conn->expire_ms;
}

static struct request *add(struct conn *conn, struct ticket *ticket, uint8_t op, uint64_t *id)
{
    STEWARD_ASSERT(!conn->leaving);
    struct request *request = requests_add(&conn->requests, conn->cursor, id);
    request->op = op;
    request->ticket = ticket;
    if (ticket) {
        ticket->id = *id;
    }
    return request;
}

/* Its content is complete: it counts. */
static void added(struct conn *conn, const struct request *request)
{
    size_t bytes = conn_request_bytes(request);
    conn->pending++;
    conn->pending_bytes += bytes;
    conn->content_bytes += bytes;
}

static void set_now(struct conn *conn, uint64_t now_ms)
{
    if (now_ms > conn->now_ms) {
        conn->now_ms = now_ms;
    }
}

void conn_put(struct conn *conn, uint64_t now_ms, struct ticket *ticket, const struct conn_put *put)
{
    set_now(conn, now_ms);
    uint64_t id;
    struct request *request = add(conn, ticket, WIRE_PUTS, &id);
    request->name = put->queue;
    put->queue->refs++;
    request->size = (uint32_t)put->body.size;
    if (put->block) {
        request->block = put->block;
        request->data = put->body.data;
    } else {
        request->data = blocks_copy(&conn->blocks, put->body, &request->block);
    }
    if (put->body.size >= LIMIT_BODY_FRAME_BYTES) {
        request->flags |= REQUEST_LARGE;
    }
    set_deadline(conn, request, put->timeout_ms);
    added(conn, request);
}

void conn_settle(struct conn *conn, struct ticket *ticket, const struct conn_settle *settle)
{
    uint64_t id;
    struct request *request = add(conn, ticket, settle->op, &id);
    request->tag = settle->tag;
    request->fields = settle->fields;
    request->timeout_ms = request->deadline_ms = NEVER;
    if (settle->tail.size > 0) {
        request->size = (uint32_t)settle->tail.size;
        request->data = blocks_copy(&conn->blocks, settle->tail, &request->block);
    }
    added(conn, request);
}

void conn_renew(struct conn *conn, uint64_t tag)
{
    uint8_t nil = 0xc0; /* lease_ms: as at the delivery */
    conn_settle(conn, NULL,
                &(struct conn_settle){
                    .op = WIRE_RENEW, .fields = 1, .tag = tag, .tail = slice_of(&nil, 1)});
    requests_slot(&conn->requests, conn->requests.next - 1)->flags |= REQUEST_CONTROL;
}

void conn_request(struct conn *conn, uint64_t now_ms, struct ticket *ticket,
                  const struct conn_request *wanted)
{
    set_now(conn, now_ms);
    uint64_t id;
    struct request *request = add(conn, ticket, wanted->op, &id);
    request->fields = wanted->fields;
    request->size = (uint32_t)wanted->tail.size;
    if (wanted->large.data) {
        request->block = block_new(wanted->tail.size + wanted->large.size);
        memcpy(request->block->data, wanted->tail.data, wanted->tail.size);
        memcpy(request->block->data + wanted->tail.size, wanted->large.data, wanted->large.size);
        request->data = request->block->data;
        request->large_size = wanted->large.size;
        request->flags |= REQUEST_LARGE;
    } else {
        request->data = blocks_copy(&conn->blocks, wanted->tail, &request->block);
    }
    set_deadline(conn, request, wanted->timeout_ms);
    added(conn, request);
}

/* ---- the end of a request ---- */

static void release(struct conn *conn, struct request *request)
{
    blocks_release(&conn->blocks, request->block);
    names_release(&conn->names, request->name);
    request->block = NULL;
    request->name = NULL;
    if (request->op == WIRE_GET) {
        conn_items_drop(conn, request);
    }
}

static void tell(struct conn *conn, struct ticket *ticket, const struct outcome *outcome)
{
    ticket->id = 0;
    ticket->retry = NULL;
    conn->host.done(conn->host.context, ticket, outcome);
}

/* It does not count any more. */
static void removed(struct conn *conn, uint64_t id, const struct request *request)
{
    size_t bytes = conn_request_bytes(request);
    conn->content_bytes -= bytes;
    if (id >= conn->cursor) {
        conn->pending--;
        conn->pending_bytes -= bytes;
    }
    requests_remove(&conn->requests, id);
}

void conn_complete(struct conn *conn, uint64_t id, struct outcome *outcome)
{
    struct request request = *requests_find(&conn->requests, id);
    removed(conn, id, &request);
    outcome->op = request.op;
    if (request.op == WIRE_GET) {
        outcome->items = request.items;
    } else if (request.op == WIRE_CONSUME) {
        conn_consume_answered(conn, id, outcome->code);
    } else if (request.op == WIRE_UNCONSUME) {
        conn_unconsume_answered(conn, request.tag);
    } else if (request.flags & REQUEST_CONTROL && outcome->code == STW_ELEASE) {
        conn_leases_lost(conn, request.tag, 1);
    }
    if (request.ticket) {
        tell(conn, request.ticket, outcome);
    }
    release(conn, &request);
}

/* ---- tried again: EMEMORY, EDISK, EDRAINING ---- */

/* Another node of a cluster takes what one that shuts down does not; alone, that is the end. */
static bool passes(const struct conn *conn, int code)
{
    return code == STW_EMEMORY || code == STW_EDISK ||
           (code == STW_EDRAINING && conn->endpoints_count > 1);
}

bool conn_retry(struct conn *conn, uint64_t id, int code)
{
    struct request *request = requests_find(&conn->requests, id);
    if (!passes(conn, code) || (request->op != WIRE_PUTS && request->op != WIRE_PUT) ||
        request->timeout_ms == 0 || request->flags & REQUEST_CANCELED ||
        conn->now_ms >= request->deadline_ms) {
        return false;
    }
    uint32_t shift = request->attempts < 7 ? request->attempts : 7;
    uint64_t pause = (uint64_t)RETRY_FIRST_MS << shift;
    pause = pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS;
    struct retry *retry = mem_zalloc(1, sizeof *retry);
    retry->request = *request;
    retry->code = code;
    retry->request.attempts = (uint8_t)(shift + 1);
    retry->at_ms = conn->now_ms + pause / 2 + conn_random(conn, pause / 2 + 1);
    if (retry->at_ms > request->deadline_ms) {
        retry->at_ms = request->deadline_ms; /* a last try, and not a later end */
    }
    conn->retries_bytes += conn_request_bytes(request); /* its content is still here */
    if (request->ticket) {
        request->ticket->id = 0;
        request->ticket->retry = retry;
    }
    removed(conn, id, request);
    struct retry **last = &conn->retries;
    while (*last) {
        last = &(*last)->next;
    }
    *last = retry;
    conn->retries_count++;
    return true;
}

static void resubmit(struct conn *conn, const struct request *old)
{
    uint64_t id;
    struct request *request = add(conn, old->ticket, old->op, &id);
    uint8_t live = request->flags;
    *request = *old;
    request->flags = (uint8_t)(live | (old->flags & REQUEST_LARGE));
    if (request->ticket) {
        request->ticket->retry = NULL;
    }
    if (request->op == WIRE_PUTS && request->deadline_ms != NEVER) {
        request->timeout_ms =
            request->deadline_ms > conn->now_ms ? request->deadline_ms - conn->now_ms : 0;
    }
    added(conn, request);
}

void conn_retries_submit(struct conn *conn)
{
    struct retry **at = &conn->retries;
    while (*at) {
        struct retry *retry = *at;
        if (conn->now_ms < retry->at_ms || conn->leaving) {
            at = &retry->next;
            continue;
        }
        *at = retry->next;
        conn->retries_count--;
        conn->retries_bytes -= conn_request_bytes(&retry->request);
        resubmit(conn, &retry->request);
        free(retry);
    }
}

/* Takes it out of the list and ends it. */
static void retry_end(struct conn *conn, struct retry *retry, int code)
{
    struct retry **at = &conn->retries;
    while (*at != retry) {
        at = &(*at)->next;
    }
    *at = retry->next;
    conn->retries_count--;
    conn->retries_bytes -= conn_request_bytes(&retry->request);
    if (retry->request.ticket) {
        tell(conn, retry->request.ticket, &(struct outcome){.code = code, .op = retry->request.op});
    }
    release(conn, &retry->request);
    free(retry);
}

void conn_retries_end(struct conn *conn, int code)
{
    while (conn->retries) {
        retry_end(conn, conn->retries, code);
    }
}

/* ---- cancelling ---- */

/* A request that never left the library does not have to: a CANCEL of nothing takes its id. */
static void make_void(struct conn *conn, uint64_t id)
{
    if (NET_CANARY(CANCELED_SENT)) {
        return;
    }
    struct request *request = requests_find(&conn->requests, id);
    size_t before = conn_request_bytes(request);
    release(conn, request);
    uint8_t nothing = 0;
    request->op = WIRE_CANCEL;
    request->fields = 1;
    request->flags = REQUEST_LIVE | REQUEST_CANCELED;
    request->data = blocks_copy(&conn->blocks, slice_of(&nothing, 1), &request->block);
    request->size = 1;
    request->deadline_ms = NEVER;
    size_t after = conn_request_bytes(request);
    conn->content_bytes -= before - after;
    if (id >= conn->cursor) {
        conn->pending_bytes -= before - after;
    }
}

static void submit_cancel(struct conn *conn, uint64_t target)
{
    struct request *request = requests_find(&conn->requests, target);
    if (request->flags & REQUEST_CANCELED) {
        return;
    }
    request->flags |= REQUEST_CANCELED;
    if (conn->leaving) {
        return;
    }
    uint8_t bytes[9];
    struct buf tail = {.data = bytes, .capacity = sizeof bytes + 1};
    wire_write_uint(&tail, target);
    conn_request(conn, conn->now_ms, NULL,
                 &(struct conn_request){
                     .op = WIRE_CANCEL, .fields = 1, .tail = buf_view(&tail), .timeout_ms = NEVER});
}

/* Whether the manager can have heard of it. */
static bool was_sent(const struct conn *conn, uint64_t id)
{
    return id <= conn->sent_max;
}

/* The ticket gets the code now; the request itself is cancelled. */
static void abandon(struct conn *conn, uint64_t id, int code, const char *why)
{
    struct request *request = requests_find(&conn->requests, id);
    struct ticket *ticket = request->ticket;
    uint8_t op = request->op;
    request->ticket = NULL;
    if (was_sent(conn, id)) {
        submit_cancel(conn, id);
    } else {
        make_void(conn, id);
    }
    tell(conn, ticket, &(struct outcome){.code = code, .op = op, .text = slice_str(why)});
}

void conn_cancel(struct conn *conn, struct ticket *ticket)
{
    if (ticket->retry) {
        retry_end(conn, ticket->retry, STW_ECANCELED);
    } else if (ticket->id && !was_sent(conn, ticket->id)) {
        abandon(conn, ticket->id, STW_ECANCELED, "");
    } else if (ticket->id) {
        submit_cancel(conn, ticket->id);
    }
}

void conn_forget(struct conn *conn, struct ticket *ticket)
{
    if (ticket->retry) {
        ((struct retry *)ticket->retry)->request.ticket = NULL;
        ticket->retry = NULL;
    }
    struct request *request = ticket->id ? requests_find(&conn->requests, ticket->id) : NULL;
    if (request == NULL) {
        return;
    }
    request->ticket = NULL;
    uint8_t op = request->op;
    if (op == WIRE_GET || op == WIRE_ACQUIRE || op == WIRE_QUEUE_JOIN) {
        if (was_sent(conn, ticket->id)) {
            submit_cancel(conn, ticket->id);
        } else {
            make_void(conn, ticket->id);
        }
    }
    ticket->id = 0;
}

/* ---- deadlines ---- */

static uint64_t expire_retries(struct conn *conn, uint64_t next)
{
    struct retry *retry = conn->retries;
    while (retry) {
        struct retry *after = retry->next;
        uint64_t due = retry->request.deadline_ms;
        if (due <= conn->now_ms) {
            retry_end(conn, retry, retry->code);
        } else if (due < next) {
            next = due;
        }
        retry = after;
    }
    return next;
}

/* Its time is over. Unknown, unless it never left: then a minority of a cluster says so. */
static void give_up(struct conn *conn, uint64_t id)
{
    char why[sizeof conn->trouble + 64];
    int code = STW_ETIMEOUT;
    if (conn->phase == CONN_READY) {
        snprintf(why, sizeof why, "the manager did not answer in time");
    } else {
        snprintf(why, sizeof why, "the manager could not be reached in time%s%s",
                 conn->trouble[0] ? ": " : "", conn->trouble);
        code = conn->refusal && !was_sent(conn, id) ? conn->refusal : code;
    }
    abandon(conn, id, code, why);
}

void conn_expire(struct conn *conn)
{
    uint64_t next = expire_retries(conn, NEVER), end = conn->requests.next;
    uint64_t id = requests_after(&conn->requests, 1);
    for (; id != 0 && id < end; id = requests_after(&conn->requests, id + 1)) {
        struct request *request = requests_find(&conn->requests, id);
        if (request->ticket == NULL || request->deadline_ms == NEVER) {
            continue;
        }
        if (request->deadline_ms + grace(conn) <= conn->now_ms) {
            give_up(conn, id);
        } else if (next_look(conn, request->deadline_ms) < next) {
            next = next_look(conn, request->deadline_ms);
        }
    }
    /* A walk over very many is not repeated for each millisecond. */
    uint64_t soonest = conn->now_ms + 1 + conn->requests.live / 8192;
    conn->expire_ms = next < soonest ? soonest : next;
}

/* ---- broken connections, lost sessions ---- */

void conn_requests_rewind(struct conn *conn)
{
    uint64_t id = requests_after(&conn->requests, 1);
    if (NET_CANARY(NOT_RESENT)) {
        return;
    }
    conn->cursor = id ? id : conn->requests.next;
    conn->pending = conn->requests.live;
    conn->pending_bytes = conn->content_bytes;
    for (; id != 0; id = requests_after(&conn->requests, id + 1)) {
        struct request *request = requests_find(&conn->requests, id);
        if (request->op == WIRE_GET && !NET_CANARY(ITEMS_KEPT)) {
            conn_items_drop(conn, request);
        }
    }
}

/* What names nothing of the lost session may go on in the next one, if it never left. */
static bool goes_on(const struct conn *conn, uint64_t id, const struct request *request)
{
    if ((was_sent(conn, id) && !NET_CANARY(SENT_GOES_ON)) || conn->leaving) {
        return false;
    }
    if (request->ticket == NULL) {
        return request->op == WIRE_PUTS || request->op == WIRE_PUT;
    }
    return !(request->op >= WIRE_CONSUME && request->op <= WIRE_CANCEL) &&
           request->op != WIRE_UNLOCK && request->op != WIRE_LOCK_RENEW;
}

static void end_lost(struct conn *conn, struct request *request)
{
    bool settles = request->op >= WIRE_ACK && request->op <= WIRE_RENEW;
    int code = conn->fatal ? conn->fatal : settles ? STW_ELEASE : STW_ESESSION;
    if (request->ticket) {
        tell(conn, request->ticket,
             &(struct outcome){.code = code, .op = request->op, .text = slice_str(conn->trouble)});
    }
    release(conn, request);
}

void conn_requests_lost(struct conn *conn)
{
    struct requests old = conn->requests;
    struct buf kept = {0};
    requests_init(&conn->requests);
    for (uint64_t id = requests_after(&old, 1); id != 0; id = requests_after(&old, id + 1)) {
        struct request request = *requests_find(&old, id);
        if (goes_on(conn, id, &request)) {
            buf_add(&kept, &request, sizeof request);
        } else {
            end_lost(conn, &request);
        }
    }
    requests_fini(&old);
    conn->cursor = 1;
    conn->sent_max = 0;
    conn->pending = conn->pending_bytes = conn->content_bytes = 0;
    for (size_t at = 0; at < kept.size; at += sizeof(struct request)) {
        struct request request;
        memcpy(&request, kept.data + at, sizeof request);
        uint64_t id;
        struct request *slot = add(conn, request.ticket, request.op, &id);
        *slot = request;
        added(conn, slot);
    }
    buf_fini(&kept);
}

void conn_requests_fini(struct conn *conn)
{
    for (uint64_t id = requests_after(&conn->requests, 1); id != 0;
         id = requests_after(&conn->requests, id + 1)) {
        release(conn, requests_find(&conn->requests, id));
    }
    requests_fini(&conn->requests);
    while (conn->retries) {
        struct retry *retry = conn->retries;
        conn->retries = retry->next;
        release(conn, &retry->request);
        free(retry);
    }
}

size_t conn_pending(const struct conn *conn)
{
    return conn->phase == CONN_READY ? conn->pending : 0;
}

size_t conn_pending_bytes(const struct conn *conn)
{
    return conn->phase == CONN_READY ? conn->pending_bytes : 0;
}

size_t conn_outstanding(const struct conn *conn)
{
    return conn->requests.live + conn->retries_count;
}

size_t conn_outstanding_bytes(const struct conn *conn)
{
    return conn->content_bytes + conn->retries_bytes;
}
