/*
 * RabbitMQ through librabbitmq: publisher confirms, a prefetch, one acknowledgement for a batch.
 * In memory: a classic queue and transient messages; durable: a quorum queue, persistent messages.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "tests/bench/compare/harness.h"

#define CHANNEL    1
#define PREFETCH   60000 /* AMQP's field has 16 bits */
#define NAME_BYTES 112

struct link {
    amqp_connection_state_t state;
    char queue[NAME_BYTES];
    bool durable;
    bool polls;      /* puts as well: consumed messages would arrive among the confirmations */
    uint64_t low;    /* publications up to here are confirmed */
    uint64_t wanted; /* confirm() has asked for */
    bool *done;      /* a ring by tag: confirmed, but one before is not */
    size_t ring;
};

static void check(const struct link *link, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(link->state);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die("rabbitmq: %s failed", what);
    }
}

static struct link *link_new(const struct job *job, const char *queue)
{
    struct link *link = zalloc(1, sizeof *link);
    char host[64];
    int port = address_split(job->address, host);
    snprintf(link->queue, sizeof link->queue, "%s", queue);
    link->durable = job->durable;
    link->ring = 2 * (job->in_flight + job->batch);
    link->done = zalloc(link->ring, sizeof *link->done);
    link->state = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(link->state);
    if (socket == NULL || amqp_socket_open(socket, host, port) != AMQP_STATUS_OK) {
        die("cannot connect to rabbitmq at %s", job->address);
    }
    amqp_rpc_reply_t reply = amqp_login(link->state, "/", 0, AMQP_DEFAULT_FRAME_SIZE, 0,
                                        AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die("rabbitmq: no login");
    }
    amqp_channel_open(link->state, CHANNEL);
    check(link, "channel");
    return link;
}

static void link_close(void *context)
{
    struct link *link = context;
    amqp_connection_close(link->state, AMQP_REPLY_SUCCESS);
    amqp_destroy_connection(link->state);
    free(link->done);
    free(link);
}

static void prepare(const struct job *job, const char *queue)
{
    struct link *link = link_new(job, queue);
    amqp_table_entry_t entry = {
        .key = amqp_cstring_bytes("x-queue-type"),
        .value = {.kind = AMQP_FIELD_KIND_UTF8,
                  .value.bytes = amqp_cstring_bytes(job->durable ? "quorum" : "classic")}};
    amqp_table_t arguments = {.num_entries = 1, .entries = &entry};
    amqp_queue_declare(link->state, CHANNEL, amqp_cstring_bytes(queue), 0, job->durable, 0, 0,
                       arguments);
    check(link, "queue");
    link_close(link);
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    struct link *link = link_new(job, queue);
    if ((roles & ROLE_PUT) != 0) {
        amqp_confirm_select(link->state, CHANNEL);
        check(link, "confirm.select");
    }
    link->polls = (roles & ROLE_PUT) != 0;
    if ((roles & ROLE_TAKE) != 0 && !link->polls) {
        size_t prefetch = job->in_flight * 2 < PREFETCH ? job->in_flight * 2 : PREFETCH;
        amqp_basic_qos(link->state, CHANNEL, 0, (uint16_t)prefetch, 0);
        check(link, "qos");
        amqp_basic_consume(link->state, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0,
                           0, amqp_empty_table);
        check(link, "consume");
    }
    return link;
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = link->durable ? 2 : 1};
    for (size_t i = 0; i < count; i++) {
        amqp_bytes_t body = {.len = size, .bytes = (void *)(uintptr_t)(bodies + i * size)};
        int code = amqp_basic_publish(link->state, CHANNEL, amqp_empty_bytes,
                                      amqp_cstring_bytes(link->queue), 0, 0, &properties, body);
        if (code != AMQP_STATUS_OK) {
            die("rabbitmq: publish: %s", amqp_error_string2(code));
        }
    }
}

/* All publications up to `tag`, or only this one; single ones may come out of order. */
static void confirmed(struct link *link, uint64_t tag, bool multiple)
{
    link->done[tag % link->ring] = true;
    while (multiple && link->low < tag) {
        link->done[++link->low % link->ring] = false;
    }
    while (link->done[(link->low + 1) % link->ring]) {
        link->done[++link->low % link->ring] = false;
    }
}

static void confirm(void *context, size_t count)
{
    struct link *link = context;
    amqp_frame_t frame;
    link->wanted += count;
    while (link->low < link->wanted) {
        amqp_maybe_release_buffers_on_channel(link->state, CHANNEL);
        int code = amqp_simple_wait_frame(link->state, &frame);
        if (code != AMQP_STATUS_OK || frame.frame_type != AMQP_FRAME_METHOD ||
            frame.payload.method.id != AMQP_BASIC_ACK_METHOD) {
            die("rabbitmq: no confirmation");
        }
        const amqp_basic_ack_t *ack = frame.payload.method.decoded;
        confirmed(link, ack->delivery_tag, ack->multiple);
    }
}

/* basic.get of one message. */
static size_t poll_one(struct link *link, note_body *note, void *noted)
{
    amqp_message_t message;
    amqp_maybe_release_buffers_on_channel(link->state, CHANNEL);
    amqp_rpc_reply_t reply =
        amqp_basic_get(link->state, CHANNEL, amqp_cstring_bytes(link->queue), 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die("rabbitmq: get failed");
    }
    if (reply.reply.id != AMQP_BASIC_GET_OK_METHOD) {
        return 0;
    }
    uint64_t tag = ((amqp_basic_get_ok_t *)reply.reply.decoded)->delivery_tag;
    reply = amqp_read_message(link->state, CHANNEL, &message, 0);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die("rabbitmq: a message was cut short");
    }
    note(noted, message.body.bytes, message.body.len);
    amqp_destroy_message(&message);
    if (amqp_basic_ack(link->state, CHANNEL, tag, 0) != AMQP_STATUS_OK) {
        die("rabbitmq: ack failed");
    }
    return 1;
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    if (link->polls) {
        return poll_one(link, note, noted);
    }
    uint64_t tag = 0;
    size_t count = 0;
    while (count < most) {
        amqp_envelope_t envelope;
        struct timeval wait = {.tv_usec = count == 0 ? 100000 : 0};
        amqp_maybe_release_buffers_on_channel(link->state, CHANNEL);
        amqp_rpc_reply_t reply = amqp_consume_message(link->state, &envelope, &wait, 0);
        if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION &&
            reply.library_error == AMQP_STATUS_TIMEOUT) {
            break;
        }
        if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
            die("rabbitmq: consume failed");
        }
        note(noted, envelope.message.body.bytes, envelope.message.body.len);
        tag = envelope.delivery_tag;
        amqp_destroy_envelope(&envelope);
        count++;
    }
    if (count > 0 && amqp_basic_ack(link->state, CHANNEL, tag, 1) != AMQP_STATUS_OK) {
        die("rabbitmq: ack failed");
    }
    return count;
}

/* An acknowledgement has no answer; one to a later request says that it was received. */
static void settle(void *context)
{
    struct link *link = context;
    amqp_queue_declare(link->state, CHANNEL, amqp_cstring_bytes(link->queue), 1, 0, 0, 0,
                       amqp_empty_table);
    check(link, "acknowledgements");
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "rabbitmq",
                                     .prepare = prepare,
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
