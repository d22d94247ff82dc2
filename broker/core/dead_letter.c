/*
 * Dead letters: messages that were rejected, failed too often or expired move to the dead-letter
 * queue with a record of where, why and how often. A dead-letter queue that cannot take a message
 * (full, shut down) loses none: the message stays in its own queue, delayed, and is tried again.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

static const char suffix[] = ".dead";
#define SUFFIX_BYTES (sizeof suffix - 1)

bool dead_letter_nameable(struct slice name)
{
    return name.size + SUFFIX_BYTES <= LIMIT_NAME_BYTES;
}

static void target_name(const struct queue *queue, struct name *target)
{
    if (queue->settings.dead_letter.size > 0) {
        *target = queue->settings.dead_letter;
        return;
    }
    STEWARD_ASSERT(dead_letter_nameable(name_slice(&queue->name)));
    *target = queue->name;
    memcpy(target->text + target->size, suffix, SUFFIX_BYTES);
    target->size = (uint8_t)(target->size + SUFFIX_BYTES);
}

/* The queue that takes it, with room made; NULL: it cannot now. */
static struct queue *target_open(struct core *core, const struct queue *queue,
                                 const struct message *message)
{
    struct name name;
    int code = STW_OK;
    target_name(queue, &name);
    struct queue *target = queue_get_or_create(core, name_slice(&name), &code);
    if (!target || target == queue) {
        return NULL;
    }
    queue_wake(core, target);
    const struct queue_settings *settings = &target->settings;
    bool ever = settings->max_bytes == 0 || message->size <= settings->max_bytes;
    if (target->state == QUEUE_SHUT || !ever) {
        return NULL;
    }
    if (!queue_fits(target, 1, message->size) && settings->overflow == OVERFLOW_DROP_OLDEST) {
        (void)queue_drop_oldest(core, target, 1, message->size); /* else the retry goes on */
    }
    return queue_fits(target, 1, message->size) ? target : NULL;
}

bool dead_letter(struct core *core, struct queue *queue, struct message *message,
                 const char *reason)
{
    if (queue->dead_target) {
        return false;
    }
    struct message_ext *ext = message->ext ? message->ext : message_extend(core, message);
    struct queue *target = target_open(core, queue, message);
    ext->dead_reason = reason;
    if (!target) {
        ext->due_ms = core->now_ms + LIMIT_DEAD_LETTER_RETRY_MS;
        queue_place(core, queue, message);
        emit_notice(core, "the dead-letter queue takes no message of", name_slice(&queue->name));
        return true;
    }
    QUEUE_COUNT(core, queue, dead, 1);
    message_set_dead(core, message, &queue->name);
    queue_finished(core, queue, 1);
    ext->due_ms = 0;
    ext->expires_ms = UINT64_MAX;
    target->dead_target = true;
    queue_adopt(core, target, message);
    queue_place(core, target, message);
    return true;
}
