/*
 * Records into commands: the loop over a packet, what is shared by the other decode files, and the
 * records that carry no request id. Section 5 of docs/protocol.md.
 */
#include "broker/gateway/internal.h"

#include "common/base/panic.h"

void decode_wrong(struct incoming *packet, const char *sentence)
{
    if (!packet->in.failed && packet->wrong == NULL) {
        packet->wrong = sentence;
    }
    wire_fail(&packet->in);
}

uint64_t decode_ids(struct incoming *packet, uint64_t first, uint64_t count)
{
    if (first == 0 || count == 0 || first > UINT64_MAX - count) {
        decode_wrong(packet, "a range of ids or tags that cannot be");
        return 0;
    }
    return first;
}

struct slice decode_text(struct incoming *packet)
{
    struct slice text = wire_read_str(&packet->in);
    if (!wire_utf8(text)) {
        decode_wrong(packet, "a str that is not UTF-8");
    }
    return text;
}

/*
 * Does it leave something behind that puts' own ceiling does not see: a waiter, a queue, a lock, a
 * large answer? What takes away, and what an operator needs to find out why, does not.
 */
static bool makes_more(const struct command *command)
{
    switch (command->kind) {
    case COMMAND_GET: return command->get.timeout_ms > 0;
    case COMMAND_CONSUME:
    case COMMAND_ACQUIRE:
    case COMMAND_QUEUE_DECLARE:
    case COMMAND_QUEUE_JOIN:
    case COMMAND_QUEUE_PEEK:
    case COMMAND_QUEUE_LIST:
    case COMMAND_LOCK_LIST: return true;
    default: return false;
    }
}

/* Why it is refused just now; 0: it is not. */
static int refused_now(const struct gateway *gateway, const struct command *command)
{
    if (gateway->tight && command->kind == COMMAND_QUEUE_DECLARE) {
        return STW_EDISK;
    }
    return makes_more(command) && gateway_overfull(gateway) ? STW_EMEMORY : 0;
}

void decode_submit(struct incoming *packet, struct command *command)
{
    struct gateway *gateway = packet->gateway;
    int refused = refused_now(gateway, command);
    if (refused) {
        struct id_range ids = {command->request, 1};
        decode_refuse(packet, &ids, refused, slice_of(NULL, 0));
        return;
    }
    command->session = packet->session;
    gateway->host.submit(gateway->host.context, command);
}

void decode_refuse(struct incoming *packet, const struct id_range *ids, int code,
                   struct slice object)
{
    struct command command = {.kind = COMMAND_REFUSE, .request = ids->first};
    if (object.size > LIMIT_NAME_BYTES || !wire_utf8(object)) {
        object = slice_of(NULL, 0); /* it becomes part of a sentence */
    }
    command.refuse = (struct cmd_refuse){.count = ids->count, .code = code, .object = object};
    decode_submit(packet, &command);
}

static void decode_seen(struct incoming *packet, uint32_t n)
{
    struct id_range *ranges = packet->gateway->scratch.ranges;
    size_t count = (n - 1) / 2;
    if (n % 2 == 0 || count == 0 || count > LIMIT_BATCH) {
        decode_wrong(packet, "SEEN has 1 to 1024 pairs");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t first = wire_read_uint(&packet->in);
        uint64_t ids = wire_read_uint(&packet->in);
        ranges[i] = (struct id_range){decode_ids(packet, first, ids), ids};
    }
    if (packet->in.failed) {
        return;
    }
    struct command command = {.kind = COMMAND_SEEN};
    command.seen = (struct cmd_seen){.ranges = ranges, .count = count};
    decode_submit(packet, &command);
}

static void decode_handed(struct incoming *packet, uint32_t n)
{
    struct command command = {.kind = COMMAND_HANDED};
    command.tag = wire_read_uint(&packet->in);
    if (n != 2 || packet->in.failed) {
        decode_wrong(packet, "HANDED is [4, tag]");
        return;
    }
    decode_submit(packet, &command);
}

static void decode_credit(struct incoming *packet, uint32_t n)
{
    struct command command = {.kind = COMMAND_CREDIT};
    command.credit.channel = wire_read_uint(&packet->in);
    command.credit.messages = wire_read_uint(&packet->in);
    command.credit.bytes = wire_read_uint(&packet->in);
    if (n != 4 || packet->in.failed) {
        decode_wrong(packet, "CREDIT is [5, channel, messages, bytes]");
        return;
    }
    decode_submit(packet, &command);
}

/* The session's end is submitted once the packet is read; nothing behind the record counts. */
static void decode_leave(struct incoming *packet, uint32_t n)
{
    struct link *link = packet->connection->link;
    if (n != 1) {
        decode_wrong(packet, "BYE is [2]");
        return;
    }
    packet->in.at = packet->in.end;
    packet->body_waits = false;
    link_end(packet->gateway, link, "the client left");
}

/* false: not one of the records without id. */
static bool decode_control_record(struct incoming *packet, uint64_t op, uint32_t n)
{
    switch (op) {
    case WIRE_SEEN: decode_seen(packet, n); return true;
    case WIRE_HANDED: decode_handed(packet, n); return true;
    case WIRE_CREDIT: decode_credit(packet, n); return true;
    case WIRE_LEAVE: decode_leave(packet, n); return true;
    case WIRE_HELLO: decode_wrong(packet, "HELLO came again"); return true;
    default: return false;
    }
}

bool decode_records(struct incoming *packet)
{
    struct wire_reader *in = &packet->in;
    while (in->at != in->end) {
        if (!connection_live(packet->connection)) {
            return true; /* the session ended by an earlier record */
        }
        uint32_t n = wire_read_array(in);
        uint64_t op = wire_read_uint(in);
        if (in->failed) {
            break;
        }
        if (!decode_message_record(packet, op, n) && !decode_control_record(packet, op, n) &&
            !decode_object_record(packet, op, n)) {
            decode_wrong(packet, "unknown op");
        }
        packet->gateway->counters.records_in++;
    }
    return !in->failed;
}
