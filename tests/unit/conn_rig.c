/* The recording host of conn_rig.h. */
#include "tests/unit/conn_rig.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/wire/codec.h"
#include "tests/unit/notation.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static void rig_done(void *context, struct ticket *ticket, const struct outcome *outcome)
{
    struct conn_rig *rig = context;
    struct rig_ticket *mine = (struct rig_ticket *)ticket;
    ck_assert(mine >= rig->tickets && mine < rig->tickets + RIG_TICKETS_MAX);
    ck_assert(!mine->done);
    mine->done = true;
    mine->code = outcome->code;
    mine->number = outcome->number;
    mine->messages = outcome->items ? outcome->items->count : 0;
    snprintf(mine->text, sizeof mine->text, "%.*s", (int)outcome->text.size,
             outcome->text.size ? (const char *)outcome->text.data : "");
}

static void rig_arrived(void *context, void *user)
{
    struct conn_rig *rig = context;
    ck_assert_ptr_eq(user, rig);
    rig->arrived++;
}

static void rig_changed(void *context)
{
    ((struct conn_rig *)context)->changed++;
}

struct conn_rig *conn_rig_new(const char *endpoints)
{
    struct conn_rig *rig = mem_zalloc(1, sizeof *rig);
    rig->now_ms = 1000;
    rig->conn = conn_new(
        &(struct conn_options){.endpoints = endpoints, .ttl_ms = 9000, .grace_ms = 2000, .seed = 1},
        &(struct conn_host){
            .context = rig, .done = rig_done, .arrived = rig_arrived, .changed = rig_changed},
        rig->now_ms);
    return rig;
}

void conn_rig_free(struct conn_rig *rig)
{
    conn_destroy(&rig->conn);
    buf_fini(&rig->head);
    buf_fini(&rig->text);
    free(rig);
}

void conn_rig_wait(struct conn_rig *rig, uint64_t ms)
{
    uint64_t end = rig->now_ms + ms;
    for (uint64_t due; (due = conn_deadline(rig->conn)) <= end;) {
        rig->now_ms = due > rig->now_ms ? due : rig->now_ms + 1;
        conn_tick(rig->conn, rig->now_ms);
    }
    rig->now_ms = end;
    conn_tick(rig->conn, end);
}

void conn_rig_connect(struct conn_rig *rig)
{
    uint64_t generation;
    for (int i = 0; i < 10000; i++) {
        conn_rig_wait(rig, 1);
        if (conn_socket(rig->conn, &generation) && generation != rig->generation) {
            rig->generation = generation;
            rig->in_number = rig->out_number = 0;
            conn_connected(rig->conn, rig->now_ms);
            return;
        }
    }
    ck_abort_msg("no socket is wanted");
}

void conn_rig_welcome(struct conn_rig *rig, uint64_t session, bool resumed)
{
    char text[256];
    conn_rig_connect(rig);
    ck_assert_ptr_nonnull(strstr(conn_rig_take(rig), "[1, 0] [1, 1, 1, 1, {"));
    snprintf(text, sizeof text,
             "[128, 1, 1, {\"session\": %llu, \"secret\": h'%032d', \"resumed\": %s, "
             "\"ttl_ms\": 9000, \"body_max\": 1048576}]",
             (unsigned long long)session, 7, resumed ? "true" : "false");
    conn_rig_receive(rig, text);
    ck_assert(conn_ready(rig->conn));
}

const char *conn_rig_take(struct conn_rig *rig)
{
    struct slice body;
    buf_clear(&rig->text);
    while (conn_next_packet(rig->conn, rig->now_ms, &rig->head, &body)) {
        rig->out_number++;
        if (rig->text.size > 0) {
            buf_add(&rig->text, " | ", 3);
        }
        ck_assert(notation_print(buf_view(&rig->head), &rig->text));
        rig->text.size = strlen((const char *)rig->text.data);
        if (body.data) {
            char size[32];
            buf_add(&rig->text, size, (size_t)snprintf(size, sizeof size, " + %zu", body.size));
        }
    }
    buf_u8(&rig->text, 0);
    return (const char *)rig->text.data;
}

static void packet_freed(struct packet *packet)
{
    free(packet);
}

void conn_rig_receive_raw(struct conn_rig *rig, const char *head, const char *body)
{
    struct buf bytes = {0};
    ck_assert_msg(notation_encode(head, &bytes), "not well-formed: %s", head);
    size_t body_size = body ? strlen(body) : 0;
    struct packet *packet = mem_alloc(sizeof *packet + bytes.size + body_size);
    uint8_t *at = (uint8_t *)(packet + 1);
    *packet = (struct packet){.head = slice_of(at, bytes.size), .refs = 1, .release = packet_freed};
    memcpy(at, bytes.data, bytes.size);
    if (body) {
        memcpy(at + bytes.size, body, body_size);
        packet->body = slice_of(at + bytes.size, body_size);
    }
    buf_fini(&bytes);
    conn_receive(rig->conn, rig->now_ms, packet);
    packet_release(packet);
}

void conn_rig_receive(struct conn_rig *rig, const char *records)
{
    char *text = mem_alloc(strlen(records) + 64);
    snprintf(text, strlen(records) + 64, "[%llu, %llu] %s", (unsigned long long)++rig->in_number,
             (unsigned long long)rig->out_number, records);
    conn_rig_receive_raw(rig, text, NULL);
    free(text);
}

static struct ticket *ticket_of(struct conn_rig *rig, size_t ticket)
{
    return ticket < RIG_TICKETS_MAX ? &rig->tickets[ticket].ticket : NULL;
}

void conn_rig_put(struct conn_rig *rig, size_t ticket, const char *queue, const char *body,
                  uint64_t timeout_ms)
{
    struct names *names = conn_names(rig->conn);
    struct name *name = names_intern(names, slice_str(queue));
    conn_put(rig->conn, rig->now_ms, ticket_of(rig, ticket),
             &(struct conn_put){.queue = name, .body = slice_str(body), .timeout_ms = timeout_ms});
    names_release(names, name);
}

void conn_rig_request(struct conn_rig *rig, size_t ticket, uint8_t op, const char *values,
                      uint64_t timeout_ms)
{
    struct buf tail = {0};
    ck_assert(notation_encode(values, &tail));
    uint8_t fields = 0;
    struct wire_reader in;
    for (wire_reader_init(&in, buf_view(&tail)); in.at != in.end; fields++) {
        wire_skip(&in);
    }
    conn_request(
        rig->conn, rig->now_ms, ticket_of(rig, ticket),
        &(struct conn_request){
            .op = op, .fields = fields, .tail = buf_view(&tail), .timeout_ms = timeout_ms});
    buf_fini(&tail);
}

void conn_rig_ack(struct conn_rig *rig, size_t ticket, uint64_t tag)
{
    conn_settle(rig->conn, ticket_of(rig, ticket),
                &(struct conn_settle){.op = WIRE_ACK, .tag = tag});
}
