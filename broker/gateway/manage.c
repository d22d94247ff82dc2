/*
 * MANAGE: what an operator asks of the manager as a process: its place in a cluster, its journal,
 * backups. Section 5 of docs/protocol.md.
 *
 * The request goes through the journal as a STAT, so that nobody but a real leader answers. When
 * the core's answer comes, its rows wait until the turn's end; only then is the host asked for the
 * action's rows, because an action may need the journal, which is at work while effects are read.
 * A request that is sent again after a resume acts again: actions are such that this does no harm.
 */
#include "broker/gateway/internal.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <utlist.h>

/* bytes: what ROWS takes beside the rows */
#define RECORD_BYTES 32

struct manage_call {
    struct manage_call *prev, *next; /* in gateway->manages */
    uint64_t session, request;
    bool answered;   /* by the core: rows are its own */
    struct buf rows; /* fields.h */
    struct slice action, argument;
    uint8_t words[]; /* both */
};

static struct manage_call *find(const struct gateway *gateway, uint64_t session, uint64_t request)
{
    struct manage_call *call;
    DL_FOREACH (gateway->manages, call) {
        if (call->session == session && call->request == request) {
            return call;
        }
    }
    return NULL;
}

static void forget(struct gateway *gateway, struct manage_call *call)
{
    DL_DELETE(gateway->manages, call);
    gateway->manages_count--;
    buf_fini(&call->rows);
    free(call);
}

/* Copies both words. A request that came before, on a broken connection, is the same call. */
static void note(struct gateway *gateway, uint64_t session, uint64_t request,
                 const struct slice words[2])
{
    struct manage_call *call = find(gateway, session, request);
    if (call) {
        return;
    }
    call = mem_zalloc(1, sizeof *call + words[0].size + words[1].size);
    call->session = session;
    call->request = request;
    uint8_t *at = call->words;
    for (size_t i = 0; i < 2; i++) {
        struct slice *word = i == 0 ? &call->action : &call->argument;
        *word = slice_of(at, words[i].size);
        if (words[i].size > 0) {
            memcpy(at, words[i].data, words[i].size);
        }
        at += words[i].size;
    }
    DL_APPEND(gateway->manages, call);
    gateway->manages_count++;
}

void manage_decode(struct incoming *packet, uint32_t n)
{
    struct gateway *gateway = packet->gateway;
    struct command command = {.kind = COMMAND_STAT};
    struct slice words[2];
    command.request = decode_ids(packet, wire_read_uint(&packet->in), 1);
    words[0] = decode_text(packet);
    words[1] = decode_text(packet);
    if (n != 4 || packet->in.failed) {
        decode_wrong(packet, "MANAGE is [80, id, action, argument]");
        return;
    }
    struct id_range ids = {command.request, 1};
    if (words[0].size > LIMIT_NAME_BYTES || words[1].size > LIMIT_NAME_BYTES) {
        decode_refuse(packet, &ids, STW_EINVAL, slice_str("action"));
    } else if (gateway->manages_count >= MANAGES_MAX) {
        decode_refuse(packet, &ids, STW_ELIMIT, slice_str("requests to the manager at once"));
    } else {
        note(gateway, packet->session, command.request, words);
        decode_submit(packet, &command);
    }
}

bool manage_answered(struct gateway *gateway, const struct effect *effect)
{
    struct manage_call *call = find(gateway, effect->session, effect->first);
    if (call == NULL) {
        return false;
    }
    if (effect->code != 0) {
        forget(gateway, call);
        return false;
    }
    buf_clear(&call->rows);
    buf_add(&call->rows, effect->fields.data, effect->fields.size);
    call->answered = true;
    return true;
}

static void answer(struct gateway *gateway, struct connection *connection, struct manage_call *call)
{
    encode_counters(gateway, &call->rows);
    if (gateway->host.manage) {
        gateway->host.manage(gateway->host.context, call->action, call->argument, &call->rows);
    }
    struct buf *out = outbox_record(gateway, connection, RECORD_BYTES + call->rows.size);
    if (out == NULL) {
        return;
    }
    wire_write_array(out, 3);
    wire_write_uint(out, WIRE_ROWS);
    wire_write_uint(out, call->request);
    encode_rows(out, buf_view(&call->rows));
}

void manage_flush(struct gateway *gateway)
{
    struct manage_call *call, *next;
    DL_FOREACH_SAFE (gateway->manages, call, next) {
        if (!call->answered) {
            continue;
        }
        struct link *link = link_find(gateway, call->session);
        if (link && link->connection) {
            answer(gateway, link->connection, call);
        } /* else it is asked again after a resume */
        forget(gateway, call);
    }
}

void manage_forget(struct gateway *gateway, uint64_t session)
{
    struct manage_call *call, *next;
    DL_FOREACH_SAFE (gateway->manages, call, next) {
        if (call->session == session) {
            forget(gateway, call);
        }
    }
}
