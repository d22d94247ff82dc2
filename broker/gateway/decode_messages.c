/*
 * Records about messages: puts, gets, consumers, and what settles deliveries. PUTS, GET and ACK are
 * the hot ones: read in one pass, nothing copied, nothing allocated.
 */
#include "broker/gateway/internal.h"

/* A bin, or the packet's second frame where nil stands for it. */
static inline struct slice read_body(struct incoming *packet)
{
    if (!wire_read_nil(&packet->in)) {
        return wire_read_bin(&packet->in);
    }
    if (!packet->body_waits) {
        decode_wrong(packet, "a nil body without a second frame of its own");
        return slice_of(NULL, 0);
    }
    packet->body_waits = false;
    return packet->body;
}

/* The array of bodies at the end of PUTS and PUT. large: some body is beyond the limit. */
static size_t read_bodies(struct incoming *packet, bool *large)
{
    struct gateway *gateway = packet->gateway;
    uint32_t count = wire_read_array(&packet->in);
    *large = false;
    if (count == 0 || count > LIMIT_BATCH) {
        decode_wrong(packet, "a put has 1 to 1024 bodies");
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        gateway->scratch.bodies[i] = read_body(packet);
        *large |= gateway->scratch.bodies[i].size > gateway->options.body_max;
    }
    return count;
}

/* Why puts are refused just now; 0: they are not. */
static int puts_refused(const struct gateway *gateway)
{
    if (gateway->draining) {
        return STW_EDRAINING;
    }
    if (gateway->tight) {
        return STW_EDISK;
    }
    return core_bytes(gateway->core) > gateway->options.memory_max ? STW_EMEMORY : 0;
}

static bool is_large(const struct gateway *gateway, struct slice body)
{
    return body.size > gateway->options.body_max;
}

/* Submits a PUTS in stretches: bodies beyond the limit are refused, the others go on. */
static void submit_stretches(struct incoming *packet, struct command *command, size_t count)
{
    const struct gateway *gateway = packet->gateway;
    const struct slice *bodies = gateway->scratch.bodies;
    uint64_t first = command->request;
    for (size_t from = 0, to; from < count; from = to) {
        bool large = is_large(gateway, bodies[from]);
        for (to = from + 1; to < count && is_large(gateway, bodies[to]) == large;) {
            to++;
        }
        struct id_range ids = {first + from, to - from};
        if (large) {
            decode_refuse(packet, &ids, STW_ETOOBIG, command->put.queue);
            continue;
        }
        command->request = ids.first;
        command->put.bodies = bodies + from;
        command->put.count = ids.count;
        decode_submit(packet, command);
    }
}

static void decode_puts(struct incoming *packet, uint32_t n)
{
    struct gateway *gateway = packet->gateway;
    struct wire_reader *in = &packet->in;
    struct command command;
    command.kind = COMMAND_PUT;
    uint64_t first = wire_read_uint(in);
    command.put.queue = wire_read_str(in);
    command.put.timeout_ms = wire_read_uint_or_nil(in);
    command.put.options = NULL;
    bool large;
    size_t count = read_bodies(packet, &large);
    command.request = decode_ids(packet, first, count);
    if (n != 5 || in->failed) {
        decode_wrong(packet, "PUTS is [16, first, queue, timeout, [body...]]");
        return;
    }
    int refused = puts_refused(gateway);
    if (refused) {
        struct id_range ids = {first, count};
        decode_refuse(packet, &ids, refused, slice_of(NULL, 0));
        return;
    }
    if (large) {
        submit_stretches(packet, &command, count);
        return;
    }
    command.put.bodies = gateway->scratch.bodies;
    command.put.count = count;
    decode_submit(packet, &command);
}

static void decode_put(struct incoming *packet, uint32_t n)
{
    struct gateway *gateway = packet->gateway;
    struct wire_reader *in = &packet->in;
    struct put_options options;
    struct slice object = slice_of(NULL, 0);
    struct command command = {.kind = COMMAND_PUT_MANY};
    command.request = decode_ids(packet, wire_read_uint(in), 1);
    command.put.queue = wire_read_str(in);
    command.put.timeout_ms = wire_read_uint_or_nil(in);
    int refused = decode_put_options(packet, &options, &object);
    bool large;
    command.put.count = read_bodies(packet, &large);
    if (n != 6 || in->failed) {
        decode_wrong(packet, "PUT is [17, id, queue, timeout, options, [body...]]");
        return;
    }
    if (!refused && large) {
        refused = STW_ETOOBIG;
        object = command.put.queue;
    }
    if (!refused) {
        refused = puts_refused(gateway);
    }
    if (refused) {
        struct id_range ids = {command.request, 1};
        decode_refuse(packet, &ids, refused, object);
        return;
    }
    command.put.options = &options;
    command.put.bodies = gateway->scratch.bodies;
    decode_submit(packet, &command);
}

/* The queues of GET and CONSUME; more than are allowed are read and left out: count says. */
static size_t read_queues(struct incoming *packet)
{
    struct slice *queues = packet->gateway->scratch.queues;
    uint32_t count = wire_read_array(&packet->in);
    for (uint32_t i = 0; i < count && !packet->in.failed; i++) {
        struct slice name = wire_read_str(&packet->in);
        if (i < LIMIT_GET_QUEUES) {
            queues[i] = name;
        }
    }
    return count;
}

/* Submits a GET or CONSUME whose record was read. */
static void submit_get(struct incoming *packet, struct command *command)
{
    if (command->get.queues_count == 0 || command->get.queues_count > LIMIT_GET_QUEUES) {
        struct id_range ids = {command->request, 1};
        decode_refuse(packet, &ids, STW_EINVAL, slice_str("1 to 64 queues"));
        return;
    }
    command->get.queues = packet->gateway->scratch.queues;
    decode_submit(packet, command);
}

static void decode_get(struct incoming *packet, uint32_t n)
{
    struct wire_reader *in = &packet->in;
    struct command command = {.kind = COMMAND_GET};
    command.request = decode_ids(packet, wire_read_uint(in), 1);
    command.get.queues_count = read_queues(packet);
    command.get.max = wire_read_uint(in);
    command.get.timeout_ms = wire_read_uint_or_nil(in);
    command.get.lease_ms = wire_read_uint_or_nil(in);
    command.get.auto_ack = wire_read_bool(in);
    if (n != 7 || in->failed) {
        decode_wrong(packet, "GET is [18, id, [queue...], max, timeout, lease_ms|nil, auto_ack]");
        return;
    }
    submit_get(packet, &command);
}

static void decode_consume(struct incoming *packet, uint32_t n)
{
    struct wire_reader *in = &packet->in;
    struct command command = {.kind = COMMAND_CONSUME};
    command.request = decode_ids(packet, wire_read_uint(in), 1);
    command.get.queues_count = read_queues(packet);
    command.get.credit_messages = wire_read_uint(in);
    command.get.credit_bytes = wire_read_uint(in);
    command.get.lease_ms = wire_read_uint_or_nil(in);
    if (n != 6 || in->failed) {
        decode_wrong(packet, "CONSUME is [19, id, [queue...], messages, bytes, lease_ms|nil]");
        return;
    }
    submit_get(packet, &command);
}

/* UNCONSUME and CANCEL: [op, id, target]. */
static void decode_target(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct command command = {.kind = kind};
    command.request = decode_ids(packet, wire_read_uint(&packet->in), 1);
    command.target = wire_read_uint(&packet->in);
    if (n != 3 || packet->in.failed) {
        decode_wrong(packet, "UNCONSUME and CANCEL are [op, id, target]");
        return;
    }
    decode_submit(packet, &command);
}

/* [op, first, first_tag, count, ...]: of n elements `particulars` belong to the kind. */
static void decode_settle(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct wire_reader *in = &packet->in;
    struct command command = {.kind = kind};
    uint64_t first = wire_read_uint(in);
    uint64_t tag = wire_read_uint(in);
    uint64_t count = wire_read_uint(in);
    uint32_t expected = 4;
    if (kind == COMMAND_NACK) {
        command.settle.delay_ms = wire_read_uint(in);
        expected++;
    }
    if (kind == COMMAND_NACK || kind == COMMAND_REJECT) {
        command.settle.reason = decode_text(packet);
        expected++;
    }
    if (kind == COMMAND_RENEW) {
        command.settle.lease_ms = wire_read_uint_or_nil(in);
        expected++;
    }
    command.request = decode_ids(packet, first, count);
    command.settle.first_tag = decode_ids(packet, tag, count);
    command.settle.count = count;
    if (n != expected || count > LIMIT_BATCH || in->failed) {
        decode_wrong(packet, "[op, first, first_tag, count, ...], of 1 to 1024 tags");
        return;
    }
    decode_submit(packet, &command);
}

bool decode_message_record(struct incoming *packet, uint64_t op, uint32_t n)
{
    switch (op) {
    case WIRE_PUTS: decode_puts(packet, n); return true;
    case WIRE_PUT: decode_put(packet, n); return true;
    case WIRE_GET: decode_get(packet, n); return true;
    case WIRE_CONSUME: decode_consume(packet, n); return true;
    case WIRE_UNCONSUME: decode_target(packet, n, COMMAND_UNCONSUME); return true;
    case WIRE_ACK: decode_settle(packet, n, COMMAND_ACK); return true;
    case WIRE_NACK: decode_settle(packet, n, COMMAND_NACK); return true;
    case WIRE_RELEASE: decode_settle(packet, n, COMMAND_RELEASE); return true;
    case WIRE_REJECT: decode_settle(packet, n, COMMAND_REJECT); return true;
    case WIRE_RENEW: decode_settle(packet, n, COMMAND_RENEW); return true;
    case WIRE_CANCEL: decode_target(packet, n, COMMAND_CANCEL); return true;
    default: return false;
    }
}
