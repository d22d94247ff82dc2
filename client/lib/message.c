/* Messages: what was delivered, and how it is settled. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- headers ---- */

static char *text_of(struct slice value)
{
    char *text = mem_alloc(value.size + 1);
    memcpy(text, value.data, value.size);
    text[value.size] = 0;
    return text;
}

/* A value of the fields map as text: numbers in decimal. */
static char *read_text(struct wire_reader *in)
{
    uint8_t marker = in->at == in->end ? 0xc1 : *in->at;
    bool string = (marker & 0xe0) == 0xa0 || (marker >= 0xd9 && marker <= 0xdb);
    bool bytes = marker >= 0xc4 && marker <= 0xc6;
    if (string) {
        return text_of(wire_read_str(in));
    }
    if (bytes) {
        return text_of(wire_read_bin(in));
    }
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)wire_read_uint(in));
    return text_of(slice_str(number));
}

static void read_headers(stw_message *message, struct slice fields)
{
    struct wire_reader in;
    wire_reader_init(&in, fields);
    uint32_t count = wire_read_map(&in);
    message->headers = mem_zalloc(count, sizeof *message->headers);
    for (uint32_t i = 0; i < count && !in.failed; i++) {
        struct header_text *header = &message->headers[message->headers_count++];
        header->name = text_of(wire_read_str(&in));
        header->value = read_text(&in);
    }
}

static const char *find_header(const stw_message *message, const char *prefix, const char *name)
{
    size_t size = strlen(prefix);
    for (size_t i = 0; i < message->headers_count; i++) {
        const struct header_text *header = &message->headers[i];
        if (strncmp(header->name, prefix, size) == 0 && strcmp(header->name + size, name) == 0) {
            return header->value;
        }
    }
    return NULL;
}

/* ---- making and freeing ---- */

static void place_body(stw_message *message, const struct item *item)
{
    message->size = item->size;
    message->run = NULL;
    message->owned = NULL;
    if (item->size <= MESSAGE_SMALL_BYTES) {
        message->data = message->small;
    } else if (item->size < MESSAGE_COPY_BYTES) {
        message->data = message->owned = mem_alloc(item->size);
    } else {
        message->data = item->data;
        message->run = item->run;
        item->run->refs++;
        return;
    }
    if (item->size > 0) {
        memcpy((void *)(uintptr_t)message->data, item->data, item->size);
    }
}

stw_message *message_take(stw_client *client, struct item *item, bool auto_ack)
{
    struct run *run = item->run;
    stw_message *message = client->messages_spare;
    if (message) {
        client->messages_spare = message->next;
    } else {
        message = mem_alloc(sizeof *message);
    }
    message->client = client;
    client_hold(client);
    place_body(message, item);
    message->queue = run->queue;
    run->queue->refs++;
    message->tag = item->tag;
    message->token = item->token;
    message->epoch = conn_epoch(client->conn);
    message->lease_ms = run->lease_ms;
    message->deliveries = run->deliveries;
    message->priority = run->priority;
    message->auto_ack = auto_ack;
    message->lease =
        (struct lease){.tag = item->tag, .lease_ms = run->lease_ms, .from_ms = run->lease_from_ms};
    message->headers = NULL;
    message->headers_count = 0;
    if (run->fields.size > 1) {
        read_headers(message, run->fields);
    }
    runs_release(conn_runs(client->conn), run);
    return message;
}

void message_drop(stw_message *message)
{
    stw_client *client = message->client;
    conn_unwatch_lease(client->conn, &message->lease);
    names_release(conn_names(client->conn), message->queue);
    if (message->run) {
        runs_release(conn_runs(client->conn), message->run);
    }
    free(message->owned);
    for (size_t i = 0; i < message->headers_count; i++) {
        free(message->headers[i].name);
        free(message->headers[i].value);
    }
    free(message->headers);
    message->next = client->messages_spare;
    client->messages_spare = message;
    client->refs--; /* the caller holds another */
}

void message_pool_fini(stw_client *client)
{
    while (client->messages_spare) {
        stw_message *message = client->messages_spare;
        client->messages_spare = message->next;
        free(message);
    }
}

void stw_message_free(stw_message **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_message *message = *pointer;
    stw_client *client = message->client;
    *pointer = NULL;
    (void)client_enter_free(client);
    client_hold(client);
    message_drop(message);
    client_drop(client);
}

/* ---- reading ---- */

const void *stw_message_data(const stw_message *message)
{
    return message->data;
}

size_t stw_message_size(const stw_message *message)
{
    return message->size;
}

const char *stw_message_queue(const stw_message *message)
{
    return message->queue->text;
}

uint64_t stw_message_token(const stw_message *message)
{
    return message->token;
}

uint32_t stw_message_deliveries(const stw_message *message)
{
    return message->deliveries;
}

uint8_t stw_message_priority(const stw_message *message)
{
    return message->priority;
}

const char *stw_message_header(const stw_message *message, const char *name)
{
    const char *value = find_header(message, "h.", name);
    return value ? value : find_header(message, "", name);
}

int64_t stw_message_lease_left(const stw_message *message)
{
    if (message->auto_ack) {
        return 0;
    }
    stw_client *client = message->client;
    if (!client_enter_free(client)) {
        return -1;
    }
    bool lost = message->lease.lost || message->epoch != conn_epoch(client->conn);
    uint64_t until = message->lease.from_ms + message->lease.lease_ms;
    client_leave(client);
    return lost ? -1 : (int64_t)until - (int64_t)driver_now();
}

/* ---- settling ---- */

struct settle {
    uint8_t op;
    int64_t delay_ms;   /* NACK */
    const char *reason; /* NACK, REJECT */
};

/* The record's values behind the count. */
static uint8_t write_tail(struct buf *out, const struct settle *settle)
{
    uint8_t fields = 0;
    if (settle->op == WIRE_NACK) {
        uint64_t delay = settle->delay_ms > 0 ? (uint64_t)settle->delay_ms : 0;
        wire_write_uint(out, delay < LIMIT_DURATION_MS ? delay : LIMIT_DURATION_MS);
        fields++;
    }
    if (settle->op == WIRE_NACK || settle->op == WIRE_REJECT) {
        struct slice reason = slice_str(settle->reason ? settle->reason : "");
        reason.size = reason.size < LIMIT_REASON_BYTES ? reason.size : LIMIT_REASON_BYTES;
        while (reason.size > 0 && !wire_utf8(reason)) {
            reason.size--; /* cut inside a character */
        }
        wire_write_str(out, reason);
        fields++;
    }
    return fields;
}

static int lease_gone(stw_client *client, const stw_message *message)
{
    if (message->epoch == conn_epoch(client->conn)) {
        return 0;
    }
    return client_fail(client, STW_ELEASE, "the session of this delivery ended, and its lease");
}

/* Submits the settlement; the message is freed in any case. Lock held. */
static int settle_submit(stw_message *message, const struct settle *settle, stw_future **future)
{
    stw_client *client = message->client;
    int code = lease_gone(client, message);
    code = code ? code : wait_usable(client);
    if (code == 0) {
        struct buf tail = {0};
        struct conn_settle wanted = {.op = settle->op, .tag = message->tag};
        if (settle->op != WIRE_ACK && settle->op != WIRE_RELEASE) {
            wanted.fields = write_tail(&tail, settle);
            wanted.tail = buf_view(&tail);
        }
        struct ticket *ticket = NULL;
        if (future) {
            *future = future_new(client);
            ticket = &(*future)->ticket;
        }
        conn_settle(client->conn, ticket, &wanted);
        buf_fini(&tail);
        driver_submitted(client);
    }
    message_drop(message);
    return code;
}

/* A message that was acknowledged on delivery: a future that is done. */
static void settled_before(stw_message *message, stw_future **future)
{
    stw_client *client = message->client;
    if (future) {
        *future = future_new(client);
        atomic_store(&(*future)->state, FUTURE_DONE);
    }
    message_drop(message);
}

/* The common way of all. wait: for the answer; future: where it goes else (may be NULL). */
static int settle(stw_message **pointer, const struct settle *settle, bool wait,
                  stw_future **future)
{
    if (future) {
        *future = NULL;
    }
    if (pointer == NULL || *pointer == NULL) {
        return STW_EINVAL;
    }
    stw_client *client = (*pointer)->client;
    int code = client_enter(client);
    if (code != 0) {
        stw_message_free(pointer);
        return code;
    }
    stw_message *message = *pointer;
    *pointer = NULL;
    if (message->auto_ack) {
        settled_before(message, future);
    } else {
        stw_future *made = NULL;
        code = settle_submit(message, settle, wait ? &made : future);
        if (made) {
            code = future_finish_free(made);
        }
    }
    client_leave(client);
    return code;
}

int stw_ack(stw_message **message)
{
    return settle(message, &(struct settle){.op = WIRE_ACK}, true, NULL);
}

int stw_task_done(stw_message **message)
{
    return stw_ack(message);
}

int stw_nack(stw_message **message, int64_t delay_ms, const char *reason)
{
    return settle(message, &(struct settle){WIRE_NACK, delay_ms, reason}, true, NULL);
}

int stw_release(stw_message **message)
{
    return settle(message, &(struct settle){.op = WIRE_RELEASE}, true, NULL);
}

int stw_reject(stw_message **message, const char *reason)
{
    return settle(message, &(struct settle){.op = WIRE_REJECT, .reason = reason}, true, NULL);
}

int stw_ack_async(stw_message **message, stw_future **future)
{
    return settle(message, &(struct settle){.op = WIRE_ACK}, false, future);
}

int stw_nack_async(stw_message **message, int64_t delay_ms, const char *reason, stw_future **future)
{
    return settle(message, &(struct settle){WIRE_NACK, delay_ms, reason}, false, future);
}

int stw_release_async(stw_message **message, stw_future **future)
{
    return settle(message, &(struct settle){.op = WIRE_RELEASE}, false, future);
}

int stw_reject_async(stw_message **message, const char *reason, stw_future **future)
{
    return settle(message, &(struct settle){.op = WIRE_REJECT, .reason = reason}, false, future);
}

/* ---- renewing ---- */

static int renew(stw_message *message, uint64_t lease_ms)
{
    stw_client *client = message->client;
    int code = lease_gone(client, message);
    code = code ? code : wait_usable(client);
    if (code != 0) {
        return code;
    }
    uint8_t bytes[WIRE_HEAD_MAX + 1];
    struct buf tail = {.data = bytes, .capacity = sizeof bytes};
    wire_write_uint_or_nil(&tail, lease_ms);
    stw_future *future = future_new(client);
    uint64_t now = driver_now();
    conn_settle(client->conn, &future->ticket,
                &(struct conn_settle){
                    .op = WIRE_RENEW, .fields = 1, .tag = message->tag, .tail = buf_view(&tail)});
    code = future_finish(future);
    if (code == 0) {
        message->lease.from_ms = now;
        message->lease.lease_ms = future->number;
    } else if (code == STW_ELEASE) {
        message->lease.lost = true;
    }
    future_free_locked(future);
    return code;
}

int stw_renew(stw_message *message, int64_t lease_ms)
{
    uint64_t setting;
    if (message == NULL || !client_setting(lease_ms, &setting)) {
        return STW_EINVAL;
    }
    int code = client_enter(message->client);
    if (code != 0) {
        return code;
    }
    if (!message->auto_ack) {
        code = renew(message, setting);
    }
    client_leave(message->client);
    return code;
}

int stw_message_auto_renew(stw_message *message, bool on)
{
    int code = message ? client_enter(message->client) : STW_EINVAL;
    if (code != 0) {
        return code;
    }
    stw_client *client = message->client;
    if (on && (message->lease.lost || message->epoch != conn_epoch(client->conn))) {
        code = client_fail(client, STW_ELEASE, "the lease is lost");
    } else if (on && !message->lease.watched && !message->auto_ack) {
        conn_watch_lease(client->conn, &message->lease);
        if (client->background_wake_ms > conn_deadline(client->conn)) {
            driver_kick(client->wake_background); /* its timer is nearer now */
        }
    } else if (!on) {
        conn_unwatch_lease(client->conn, &message->lease);
    }
    client_leave(client);
    return code;
}
