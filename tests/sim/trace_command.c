/* Commands as lines of text, for people. See trace.h. */
#include "tests/sim/trace.h"

#include <inttypes.h>

static void add_number(struct buf *out, const char *key, uint64_t value)
{
    if (value == UINT64_MAX)
        trace_add(out, " %s=max", key);
    else
        trace_add(out, " %s=%" PRIu64, key, value);
}

static void add_text(struct buf *out, const char *key, struct slice text)
{
    size_t shown = text.size > 40 ? 24 : text.size;
    trace_add(out, " %s='%.*s'", key, (int)shown, (const char *)text.data);
    if (shown < text.size)
        trace_add(out, "..%zu", text.size);
}

static void add_put(struct buf *out, const struct cmd_put *put)
{
    add_text(out, "queue", put->queue);
    add_number(out, "timeout", put->timeout_ms);
    if (put->options) {
        add_number(out, "delay", put->options->delay_ms);
        add_number(out, "ttl", put->options->ttl_ms);
        add_number(out, "priority", put->options->priority);
        add_text(out, "dedup", put->options->dedup_id);
        add_number(out, "headers", put->options->headers_count);
    }
    trace_add(out, " bodies[%zu]", put->count);
    for (size_t i = 0; i < put->count && i < 4; i++)
        add_text(out, "", put->bodies[i]);
}

static void add_get(struct buf *out, const struct command *c)
{
    const struct cmd_get *get = &c->get;
    for (size_t i = 0; i < get->queues_count; i++)
        add_text(out, "queue", get->queues[i]);
    add_number(out, "lease", get->lease_ms);
    if (c->kind == COMMAND_CONSUME) {
        add_number(out, "credit", get->credit_messages);
        add_number(out, "bytes", get->credit_bytes);
        return;
    }
    add_number(out, "max", get->max);
    add_number(out, "timeout", get->timeout_ms);
    if (get->auto_ack)
        trace_add(out, " auto_ack");
}

static void add_settle(struct buf *out, const struct cmd_settle *settle)
{
    add_number(out, "tag", settle->first_tag);
    add_number(out, "count", settle->count);
    add_number(out, "delay", settle->delay_ms);
    add_number(out, "lease", settle->lease_ms);
    add_text(out, "reason", settle->reason);
}

static void add_acquire(struct buf *out, const struct cmd_acquire *acquire)
{
    add_text(out, "name", acquire->name);
    add_number(out, "owner", acquire->owner);
    add_number(out, "timeout", acquire->timeout_ms);
    add_number(out, "lease", acquire->lease_ms);
    add_number(out, "permits", acquire->permits);
    trace_add(out, "%s%s", acquire->kind == LOCK_MUTEX ? " mutex" : " semaphore",
              acquire->reentrant ? " reentrant" : "");
}

static void add_options(struct buf *out, const struct cmd_queue *queue)
{
    const struct queue_options *o = &queue->options;
    add_text(out, "name", queue->name);
    if (o->given & QUEUE_MAXSIZE)
        add_number(out, "maxsize", o->maxsize);
    if (o->given & QUEUE_MAX_BYTES)
        add_number(out, "max_bytes", o->max_bytes);
    if (o->given & QUEUE_OVERFLOW)
        add_number(out, "overflow", o->overflow);
    if (o->given & QUEUE_LEASE)
        add_number(out, "lease", o->lease_ms);
    if (o->given & QUEUE_MAX_DELIVERIES)
        add_number(out, "max_deliveries", o->max_deliveries);
    if (o->given & QUEUE_TTL)
        add_number(out, "ttl", o->ttl_ms);
    if (o->given & QUEUE_DELAY)
        add_number(out, "delay", o->delay_ms);
    if (o->given & QUEUE_DEDUP_WINDOW)
        add_number(out, "dedup_window", o->dedup_window_ms);
    if (o->given & QUEUE_DEAD_LETTER)
        add_text(out, "dead_letter", o->dead_letter);
}

static void add_seen(struct buf *out, const struct cmd_seen *seen)
{
    for (size_t i = 0; i < seen->count; i++)
        trace_add(out, " %" PRIu64 "+%" PRIu64, seen->ranges[i].first, seen->ranges[i].count);
}

static void add_session(struct buf *out, const struct command *c)
{
    if (c->kind == COMMAND_SESSION_OPEN) {
        add_number(out, "reference", c->open.reference);
        add_number(out, "ttl", c->open.ttl_ms);
        add_number(out, "grace", c->open.grace_ms);
        return;
    }
    add_number(out, "reference", c->resume.reference);
    add_number(out, "session", c->resume.session);
    add_number(out, "last_tag", c->resume.last_tag);
}

static void add_rest(struct buf *out, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_LOCK_LIST:
    case COMMAND_QUEUE_LIST:
    case COMMAND_SESSION_LIST:
        add_text(out, "after", c->page.after);
        add_text(out, "prefix", c->page.prefix);
        add_number(out, "max", c->page.max);
        break;
    case COMMAND_QUEUE_PEEK:
        add_text(out, "name", c->peek.name);
        add_number(out, "offset", c->peek.offset);
        add_number(out, "max", c->peek.max);
        break;
    case COMMAND_QUEUE_REDRIVE:
        add_text(out, "name", c->redrive.name);
        add_text(out, "target", c->redrive.target);
        add_number(out, "max", c->redrive.max);
        break;
    case COMMAND_QUEUE_JOIN:
        add_text(out, "name", c->join.name);
        add_number(out, "timeout", c->join.timeout_ms);
        break;
    case COMMAND_STAT: break;
    case COMMAND_REFUSE:
        add_number(out, "count", c->refuse.count);
        add_number(out, "code", (uint64_t)-c->refuse.code);
        break;
    default:
        add_text(out, "name", c->named.name);
        trace_add(out, "%s", c->named.immediate ? " immediate" : "");
        break;
    }
}

void trace_command(struct buf *out, const struct command *c)
{
    if (c->session != 0)
        trace_add(out, "s%" PRIu64 " ", c->session);
    if (c->request != 0)
        trace_add(out, "#%" PRIu64 " ", c->request);
    trace_add(out, "%s", command_name(c->kind));
    switch (c->kind) {
    case COMMAND_BOOTSTRAP: add_number(out, "incarnation", c->bootstrap.incarnation); break;
    case COMMAND_TICK:
    case COMMAND_LEADER_START: break;
    case COMMAND_CLOCK_GAP: add_number(out, "gap", c->gap_ms); break;
    case COMMAND_SESSION_OPEN:
    case COMMAND_SESSION_RESUME: add_session(out, c); break;
    case COMMAND_SESSION_DETACH: add_number(out, "reference", c->reference); break;
    case COMMAND_SESSION_END: add_text(out, "reason", c->text); break;
    case COMMAND_SEEN: add_seen(out, &c->seen); break;
    case COMMAND_HANDED: add_number(out, "tag", c->tag); break;
    case COMMAND_CREDIT:
        add_number(out, "channel", c->credit.channel);
        add_number(out, "messages", c->credit.messages);
        add_number(out, "bytes", c->credit.bytes);
        break;
    case COMMAND_PUT:
    case COMMAND_PUT_MANY: add_put(out, &c->put); break;
    case COMMAND_GET:
    case COMMAND_CONSUME: add_get(out, c); break;
    case COMMAND_UNCONSUME:
    case COMMAND_CANCEL:
    case COMMAND_SESSION_SHOW:
    case COMMAND_SESSION_KILL: add_number(out, "target", c->target); break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: add_settle(out, &c->settle); break;
    case COMMAND_ACQUIRE: add_acquire(out, &c->acquire); break;
    case COMMAND_UNLOCK:
    case COMMAND_LOCK_RENEW:
        add_text(out, "name", c->unlock.name);
        add_number(out, "owner", c->unlock.owner);
        add_number(out, "token", c->unlock.token);
        add_number(out, "lease", c->unlock.lease_ms);
        break;
    case COMMAND_QUEUE_DECLARE:
    case COMMAND_QUEUE_ALTER: add_options(out, &c->queue); break;
    default: add_rest(out, c); break;
    }
}
