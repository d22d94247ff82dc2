/*
 * Redrive: dead letters go back to the queue they came from, or to a named one, in slices. It ends
 * when as many have gone as were asked for (or were there at its start), or early when the next
 * message's target is full or shut down; the answer is how many moved.
 *
 * A waiter of kind REDRIVE: owner = index of the queue, target_count = how many more to look at,
 * max = messages at the head that stay because they are no dead letters.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

#include <utlist.h>

static void redrive_end(struct core *core, struct waiter *waiter, int code)
{
    struct slice nothing = slice_of(NULL, 0);
    if (code == STW_OK) {
        answer_number(core, waiter->session, waiter->request, waiter->moved);
    } else {
        answer_error(core, waiter->session, waiter->request, code, about(NULL, nothing));
    }
    waiter_free(core, waiter);
}

void redrive_queue_deleted(struct core *core, struct queue *queue)
{
    struct waiter *waiter, *next;
    DL_FOREACH_SAFE2(core->redrives, waiter, next, redrive_next)
    {
        if (waiter->owner == queue->index) {
            redrive_end(core, waiter, STW_EDELETED);
        }
    }
}

/* Where this message goes; NULL: it stays where it is. */
static struct queue *redrive_target(struct core *core, const struct waiter *waiter,
                                    const struct message *message)
{
    int code = STW_OK;
    if (waiter->target.size > 0) {
        return queue_get_or_create(core, name_slice(&waiter->target), &code);
    }
    return queue_get_or_create(core, name_slice(message->ext->source), &code);
}

static void redrive_move(struct core *core, struct queue *from, struct message *message,
                         struct queue *to)
{
    if (message->ext) {
        queue_unplace(core, from, message);
    } else { /* plain messages are moved only from the head */
        STEWARD_ASSERT(queue_pop(core, from) == message);
    }
    message_clear_dead(core, message);
    queue_finished(core, from, 1);
    queue_adopt(core, to, message);
    queue_place(core, to, message);
    queue_wake(core, to);
}

/* Looks at one message; false: the redrive is over. */
static bool redrive_step(struct core *core, struct queue *queue, struct waiter *waiter)
{
    if (waiter->target_count == 0 || waiter->max >= queue_ready(queue)) {
        return false;
    }
    waiter->target_count--;
    struct message *message = queue_at(queue, waiter->max);
    bool dead = message->ext && message->ext->source;
    if (waiter->target.size == 0 && !dead) {
        waiter->max++;
        return true;
    }
    struct queue *target = redrive_target(core, waiter, message);
    if (!target || target == queue || target->state == QUEUE_SHUT ||
        !queue_fits(target, 1, message->size)) {
        return false;
    }
    redrive_move(core, queue, message, target);
    waiter->moved++;
    return true;
}

bool redrive_slice(struct core *core)
{
    struct waiter *waiter = core->redrives;
    if (!waiter) {
        return false;
    }
    struct queue *queue =
        waiter->owner < core->queues_capacity ? core->queues[waiter->owner] : NULL;
    if (!queue || queue->deleted) {
        redrive_end(core, waiter, STW_EDELETED);
        return true;
    }
    queue_wake(core, queue); /* there is room, perhaps; it is empty, perhaps */
    while (core->work > 0) {
        if (!redrive_step(core, queue, waiter)) {
            redrive_end(core, waiter, STW_OK);
            break;
        }
        work_take(core, 1);
    }
    return true;
}

void queue_apply_redrive(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_redrive *redrive)
{
    struct queue *queue = queue_find(core, redrive->name);
    struct refusal refusal = {0};
    if (redrive->target.size > 0 && name_check(redrive->target) != STW_OK) {
        refusal = (struct refusal){STW_EINVAL, "the target is not a valid name"};
    } else if (slice_equal(redrive->target, redrive->name)) {
        refusal = (struct refusal){STW_EINVAL, "the target is the queue itself"};
    } else if (!queue) {
        refusal = (struct refusal){STW_ENOENT, NULL};
    } else if (waiter_check(core, session, 1) != STW_OK) {
        refusal = (struct refusal){STW_ELIMIT, "too many requests are waiting"};
    }
    if (refusal.code != STW_OK) {
        answer_error(core, session, request, refusal.code, about(refusal.why, redrive->name));
        return;
    }
    uint64_t ready = queue_ready(queue);
    struct waiter *waiter = waiter_new(core, session, WAIT_REDRIVE, request, 0);
    waiter->owner = queue->index;
    waiter->target_count = redrive->max > 0 && redrive->max < ready ? redrive->max : ready;
    name_set(&waiter->target, redrive->target);
    waiter->redriving = true;
    DL_APPEND2(core->redrives, waiter, redrive_prev, redrive_next);
    answer_wait(core, session, request, waiter);
    if (core->redrives == waiter) {
        redrive_slice(core);
    }
}
