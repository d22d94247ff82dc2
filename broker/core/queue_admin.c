/* DELETE PURGE PAUSE RESUME SHUTDOWN JOIN, and the way to SHOW LIST PEEK REDRIVE. */
#include "broker/core/queue.h"

#include "common/base/panic.h"

#include <utlist.h>

static void apply_delete(struct core *core, struct queue *queue)
{
    queue_cut(core, queue);
    /* what is leased ends here, too: its settling will be refused */
    core->totals.unfinished -= queue->unfinished;
    queue->unfinished = 0;
    queue_cut_ids(core, queue);
    queue_unname(core, queue);
    redrive_queue_deleted(core, queue);
    queue_wake(core, queue);
}

static uint64_t apply_purge(struct core *core, struct queue *queue)
{
    queue_wake(core, queue);
    return queue_cut(core, queue);
}

/* Immediate: nothing more will be got, so nobody shall wait for it to be done. */
static void apply_shutdown(struct core *core, struct queue *queue, bool immediate)
{
    queue->state = QUEUE_SHUT;
    queue_wake(core, queue);
    if (immediate) {
        queue_cut(core, queue);
        queue_end_joins(core, queue);
    }
}

static void apply_join(struct core *core, struct session *session, uint64_t request,
                       const struct cmd_join *join)
{
    struct queue *queue = queue_find(core, join->name);
    struct refusal refusal = {0};
    if (!queue) {
        refusal.code = STW_ENOENT;
    } else if (!duration_good(join->timeout_ms, TIMEOUT_FOREVER)) {
        refusal = (struct refusal){STW_EINVAL, "the time-out is longer than the limit"};
    } else if (queue->unfinished == 0) {
        answer_plain(core, session, request, 1);
        return;
    } else if (join->timeout_ms == 0) {
        refusal.code = STW_ETIMEOUT;
    } else if (waiter_check(core, session, 1) != STW_OK) {
        refusal = (struct refusal){STW_ELIMIT, "too many requests are waiting"};
    }
    if (refusal.code != STW_OK) {
        answer_error(core, session, request, refusal.code, about(refusal.why, join->name));
        return;
    }
    struct waiter *waiter = waiter_new(core, session, WAIT_JOIN, request, 1);
    waiter_deadline(core, waiter, join->timeout_ms);
    waiter->finishes = queue->finishes;
    waiter_link(core, waiter, 0, queue);
    answer_wait(core, session, request, waiter);
}

/* Commands that name a queue and change it or show it. */
static void apply_named(struct core *core, struct session *session, const struct command *command)
{
    struct slice name = command->named.name;
    struct queue *queue = queue_find(core, name);
    if (!queue) {
        answer_error(core, session, command->request, STW_ENOENT, about(NULL, name));
        return;
    }
    switch (command->kind) {
    case COMMAND_QUEUE_DELETE: apply_delete(core, queue); break;
    case COMMAND_QUEUE_PURGE:
        answer_number(core, session, command->request, apply_purge(core, queue));
        return;
    case COMMAND_QUEUE_PAUSE:
    case COMMAND_QUEUE_RESUME:
        queue->paused = command->kind == COMMAND_QUEUE_PAUSE;
        queue_wake(core, queue);
        break;
    case COMMAND_QUEUE_SHUTDOWN: apply_shutdown(core, queue, command->named.immediate); break;
    default: queue_apply_show(core, session, command->request, queue); return;
    }
    answer_plain(core, session, command->request, 1);
}

void queue_apply_admin(struct core *core, struct session *session, const struct command *command)
{
    uint64_t request = command->request;
    switch (command->kind) {
    case COMMAND_QUEUE_JOIN: apply_join(core, session, request, &command->join); break;
    case COMMAND_QUEUE_PEEK: queue_apply_peek(core, session, request, &command->peek); break;
    case COMMAND_QUEUE_LIST: queue_apply_list(core, session, request, &command->page); break;
    case COMMAND_QUEUE_REDRIVE:
        queue_apply_redrive(core, session, request, &command->redrive);
        break;
    default: apply_named(core, session, command); break;
    }
    queues_run(core);
}
