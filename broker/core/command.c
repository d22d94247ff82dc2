/* What a command is called and how many request ids it takes. */
#include "broker/core/command.h"

static const char *const names[COMMAND_KIND_END] = {
    [COMMAND_BOOTSTRAP] = "BOOTSTRAP",
    [COMMAND_TICK] = "TICK",
    [COMMAND_LEADER_START] = "LEADER_START",
    [COMMAND_CLOCK_GAP] = "CLOCK_GAP",
    [COMMAND_SESSION_OPEN] = "SESSION_OPEN",
    [COMMAND_SESSION_RESUME] = "SESSION_RESUME",
    [COMMAND_SESSION_END] = "SESSION_END",
    [COMMAND_SEEN] = "SEEN",
    [COMMAND_HANDED] = "HANDED",
    [COMMAND_CREDIT] = "CREDIT",
    [COMMAND_PUT] = "PUT",
    [COMMAND_PUT_MANY] = "PUT_MANY",
    [COMMAND_GET] = "GET",
    [COMMAND_CONSUME] = "CONSUME",
    [COMMAND_UNCONSUME] = "UNCONSUME",
    [COMMAND_ACK] = "ACK",
    [COMMAND_NACK] = "NACK",
    [COMMAND_RELEASE] = "RELEASE",
    [COMMAND_REJECT] = "REJECT",
    [COMMAND_RENEW] = "RENEW",
    [COMMAND_CANCEL] = "CANCEL",
    [COMMAND_ACQUIRE] = "ACQUIRE",
    [COMMAND_UNLOCK] = "UNLOCK",
    [COMMAND_LOCK_RENEW] = "LOCK_RENEW",
    [COMMAND_LOCK_BREAK] = "LOCK_BREAK",
    [COMMAND_LOCK_SHOW] = "LOCK_SHOW",
    [COMMAND_LOCK_LIST] = "LOCK_LIST",
    [COMMAND_QUEUE_DECLARE] = "QUEUE_DECLARE",
    [COMMAND_QUEUE_ALTER] = "QUEUE_ALTER",
    [COMMAND_QUEUE_DELETE] = "QUEUE_DELETE",
    [COMMAND_QUEUE_PURGE] = "QUEUE_PURGE",
    [COMMAND_QUEUE_PAUSE] = "QUEUE_PAUSE",
    [COMMAND_QUEUE_RESUME] = "QUEUE_RESUME",
    [COMMAND_QUEUE_SHUTDOWN] = "QUEUE_SHUTDOWN",
    [COMMAND_QUEUE_PEEK] = "QUEUE_PEEK",
    [COMMAND_QUEUE_REDRIVE] = "QUEUE_REDRIVE",
    [COMMAND_QUEUE_SHOW] = "QUEUE_SHOW",
    [COMMAND_QUEUE_LIST] = "QUEUE_LIST",
    [COMMAND_QUEUE_JOIN] = "QUEUE_JOIN",
    [COMMAND_SESSION_LIST] = "SESSION_LIST",
    [COMMAND_SESSION_SHOW] = "SESSION_SHOW",
    [COMMAND_SESSION_KILL] = "SESSION_KILL",
    [COMMAND_STAT] = "STAT",
    [COMMAND_REFUSE] = "REFUSE",
    [COMMAND_SESSION_DETACH] = "SESSION_DETACH",
};

uint64_t command_requests(const struct command *command)
{
    switch (command->kind) {
    case COMMAND_BOOTSTRAP:
    case COMMAND_TICK:
    case COMMAND_LEADER_START:
    case COMMAND_CLOCK_GAP:
    case COMMAND_SESSION_OPEN:
    case COMMAND_SESSION_RESUME:
    case COMMAND_SESSION_END:
    case COMMAND_SESSION_DETACH:
    case COMMAND_SEEN:
    case COMMAND_HANDED:
    case COMMAND_CREDIT: return 0;
    case COMMAND_PUT: return command->put.count;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: return command->settle.count;
    case COMMAND_REFUSE: return command->refuse.count;
    default: return 1;
    }
}

const char *command_name(enum command_kind kind)
{
    const char *name = (unsigned)kind < COMMAND_KIND_END ? names[kind] : NULL;
    return name ? name : "?";
}

void command_arena_fini(struct command_arena *arena)
{
    buf_fini(&arena->arrays);
}
