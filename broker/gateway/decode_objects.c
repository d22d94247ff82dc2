/* Records about queues as objects, locks and semaphores, sessions and the manager itself. */
#include "broker/gateway/internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Reads the request id that every record here has after its op. */
static struct command begin(struct incoming *packet, enum command_kind kind)
{
    struct command command = {.kind = kind};
    command.request = decode_ids(packet, wire_read_uint(&packet->in), 1);
    return command;
}

/* Submits if the record had the number of fields that was read, and all were good. */
static void finish(struct incoming *packet, struct command *command, bool right_size)
{
    if (!right_size || packet->in.failed) {
        decode_wrong(packet, "a record with a wrong number of fields or a wrong type");
        return;
    }
    decode_submit(packet, command);
}

static void refuse(struct incoming *packet, const struct command *command, int code,
                   struct slice object)
{
    struct id_range ids = {command->request, 1};
    decode_refuse(packet, &ids, code, object);
}

/* [op, id, name], and for QUEUE_SHUTDOWN also immediate. */
static void decode_named(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct command command = begin(packet, kind);
    bool shutdown = kind == COMMAND_QUEUE_SHUTDOWN;
    command.named.name = wire_read_str(&packet->in);
    command.named.immediate = shutdown && wire_read_bool(&packet->in);
    finish(packet, &command, n == (shutdown ? 4 : 3));
}

/* [op, id, after, prefix, max]. */
static void decode_page(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct command command = begin(packet, kind);
    command.page.after = wire_read_str(&packet->in);
    command.page.prefix = wire_read_str(&packet->in);
    command.page.max = wire_read_uint(&packet->in);
    finish(packet, &command, n == 5);
}

static void decode_acquire(struct incoming *packet, uint32_t n)
{
    struct wire_reader *in = &packet->in;
    struct command command = begin(packet, COMMAND_ACQUIRE);
    command.acquire.name = wire_read_str(in);
    uint64_t kind = wire_read_uint(in);
    command.acquire.permits = wire_read_uint(in);
    command.acquire.owner = wire_read_uint(in);
    command.acquire.timeout_ms = wire_read_uint_or_nil(in);
    command.acquire.lease_ms = wire_read_uint(in);
    command.acquire.reentrant = wire_read_bool(in);
    if (!in->failed && n == 9 && kind > LOCK_SEMAPHORE) {
        refuse(packet, &command, STW_EINVAL, slice_str("kind"));
        return;
    }
    command.acquire.kind = kind == LOCK_MUTEX ? LOCK_MUTEX : LOCK_SEMAPHORE;
    finish(packet, &command, n == 9);
}

/* UNLOCK, and LOCK_RENEW with a lease. */
static void decode_unlock(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct wire_reader *in = &packet->in;
    struct command command = begin(packet, kind);
    command.unlock.name = wire_read_str(in);
    command.unlock.owner = wire_read_uint(in);
    command.unlock.token = wire_read_uint(in);
    if (kind == COMMAND_LOCK_RENEW) {
        command.unlock.lease_ms = wire_read_uint(in);
    }
    finish(packet, &command, n == (kind == COMMAND_LOCK_RENEW ? 6 : 5));
}

/* QUEUE_DECLARE and QUEUE_ALTER: [op, id, name, options]. */
static void decode_queue(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct command command = begin(packet, kind);
    struct slice object = slice_of(NULL, 0);
    command.queue.name = wire_read_str(&packet->in);
    int code = decode_queue_options(packet, &command.queue.options, &object);
    if (code && !packet->in.failed && n == 4) {
        refuse(packet, &command, code, object);
        return;
    }
    finish(packet, &command, n == 4);
}

static void decode_peek(struct incoming *packet, uint32_t n)
{
    struct command command = begin(packet, COMMAND_QUEUE_PEEK);
    command.peek.name = wire_read_str(&packet->in);
    command.peek.offset = wire_read_uint(&packet->in);
    command.peek.max = wire_read_uint(&packet->in);
    finish(packet, &command, n == 5);
}

static void decode_redrive(struct incoming *packet, uint32_t n)
{
    struct command command = begin(packet, COMMAND_QUEUE_REDRIVE);
    command.redrive.name = wire_read_str(&packet->in);
    command.redrive.target = wire_read_str(&packet->in);
    command.redrive.max = wire_read_uint(&packet->in);
    finish(packet, &command, n == 5);
}

static void decode_join(struct incoming *packet, uint32_t n)
{
    struct command command = begin(packet, COMMAND_QUEUE_JOIN);
    command.join.name = wire_read_str(&packet->in);
    command.join.timeout_ms = wire_read_uint_or_nil(&packet->in);
    finish(packet, &command, n == 4);
}

/* [64, id, after, max]: the core's cursor is the number as text. */
static void decode_session_list(struct incoming *packet, uint32_t n)
{
    char cursor[24] = "";
    struct command command = begin(packet, COMMAND_SESSION_LIST);
    uint64_t after = wire_read_uint(&packet->in);
    if (after > 0) {
        (void)snprintf(cursor, sizeof cursor, "%" PRIu64, after);
    }
    command.page.after = slice_str(cursor);
    command.page.max = wire_read_uint(&packet->in);
    finish(packet, &command, n == 4);
}

static void decode_session(struct incoming *packet, uint32_t n, enum command_kind kind)
{
    struct command command = begin(packet, kind);
    command.target = wire_read_uint(&packet->in);
    finish(packet, &command, n == 3);
}

/* The answer gets a row of the gateway's own: remember which it is. */
static void decode_stat(struct incoming *packet, uint32_t n)
{
    struct command command = begin(packet, COMMAND_STAT);
    if (n == 2 && !packet->in.failed) {
        link_stat_add(packet->connection->link, command.request);
    }
    finish(packet, &command, n == 2);
}

static bool decode_lock_record(struct incoming *packet, uint64_t op, uint32_t n)
{
    switch (op) {
    case WIRE_ACQUIRE: decode_acquire(packet, n); return true;
    case WIRE_UNLOCK: decode_unlock(packet, n, COMMAND_UNLOCK); return true;
    case WIRE_LOCK_RENEW: decode_unlock(packet, n, COMMAND_LOCK_RENEW); return true;
    case WIRE_LOCK_BREAK: decode_named(packet, n, COMMAND_LOCK_BREAK); return true;
    case WIRE_LOCK_SHOW: decode_named(packet, n, COMMAND_LOCK_SHOW); return true;
    case WIRE_LOCK_LIST: decode_page(packet, n, COMMAND_LOCK_LIST); return true;
    default: return false;
    }
}

bool decode_object_record(struct incoming *packet, uint64_t op, uint32_t n)
{
    switch (op) {
    case WIRE_QUEUE_DECLARE: decode_queue(packet, n, COMMAND_QUEUE_DECLARE); return true;
    case WIRE_QUEUE_ALTER: decode_queue(packet, n, COMMAND_QUEUE_ALTER); return true;
    case WIRE_QUEUE_DELETE: decode_named(packet, n, COMMAND_QUEUE_DELETE); return true;
    case WIRE_QUEUE_PURGE: decode_named(packet, n, COMMAND_QUEUE_PURGE); return true;
    case WIRE_QUEUE_PAUSE: decode_named(packet, n, COMMAND_QUEUE_PAUSE); return true;
    case WIRE_QUEUE_RESUME: decode_named(packet, n, COMMAND_QUEUE_RESUME); return true;
    case WIRE_QUEUE_SHUTDOWN: decode_named(packet, n, COMMAND_QUEUE_SHUTDOWN); return true;
    case WIRE_QUEUE_PEEK: decode_peek(packet, n); return true;
    case WIRE_QUEUE_REDRIVE: decode_redrive(packet, n); return true;
    case WIRE_QUEUE_SHOW: decode_named(packet, n, COMMAND_QUEUE_SHOW); return true;
    case WIRE_QUEUE_LIST: decode_page(packet, n, COMMAND_QUEUE_LIST); return true;
    case WIRE_QUEUE_JOIN: decode_join(packet, n); return true;
    case WIRE_SESSION_LIST: decode_session_list(packet, n); return true;
    case WIRE_SESSION_SHOW: decode_session(packet, n, COMMAND_SESSION_SHOW); return true;
    case WIRE_SESSION_KILL: decode_session(packet, n, COMMAND_SESSION_KILL); return true;
    case WIRE_STAT: decode_stat(packet, n); return true;
    case WIRE_MANAGE: manage_decode(packet, n); return true;
    default: return decode_lock_record(packet, op, n);
    }
}
