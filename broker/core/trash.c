/*
 * Trash: what a purge, a delete or an immediate shutdown cut off, to be freed in slices. The cut is
 * O(1): the queue's containers move whole, and its epoch rises, so that a timer of a message in the
 * trash is known for what it is.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <utlist.h>

/* Empty, behind the others. */
static struct trash *trash_new(struct core *core, struct queue *queue)
{
    struct trash *trash = mem_zalloc(1, sizeof *trash);
    order_init(&trash->others, message_compare);
    trash->queue = queue;
    DL_APPEND(core->trash, trash);
    queue->trash_count++;
    return trash;
}

void queue_cut_ids(struct core *core, struct queue *queue)
{
    if (queue->dedup_first) {
        (void)trash_new(core, queue);
    }
}

uint64_t queue_cut(struct core *core, struct queue *queue)
{
    uint64_t ready = queue_ready(queue), count = queue_size(queue);
    if (count == 0) {
        return 0;
    }
    struct trash *trash = trash_new(core, queue);
    trash->plain = queue->plain;
    trash->others = queue->others;
    trash->delayed = queue->delayed;
    queue->plain = (struct fifo){0};
    order_init(&queue->others, message_compare);
    queue->delayed = NULL;
    core->totals.ready -= ready;
    core->totals.delayed -= queue->delayed_count;
    queue->delayed_count = 0;
    queue->ready_bytes = 0;
    queue->epoch++;
    queue_finished(core, queue, count);
    return count;
}

/* The next message of it; NULL: it is empty. */
static struct message *trash_take(struct trash *trash)
{
    struct message *message = fifo_pop(&trash->plain);
    if (message) {
        return message;
    }
    if (trash->others.root) {
        struct order_node *node = order_first(&trash->others);
        order_remove(&trash->others, node);
        return ext_of_node(node)->message;
    }
    if (trash->delayed) {
        struct message_ext *ext = trash->delayed;
        DL_DELETE(trash->delayed, ext);
        return ext->message;
    }
    return NULL;
}

static void trash_free(struct core *core, struct trash *trash)
{
    fifo_fini(&trash->plain);
    trash->queue->trash_count--;
    DL_DELETE(core->trash, trash);
    free(trash);
}

/* Its messages are gone; the ids of a deleted queue go, too, before the trash is no more. */
static void trash_done(struct core *core, struct trash *trash)
{
    struct queue *queue = trash->queue;
    if (queue->deleted && dedup_clear_slice(core, queue)) {
        return;
    }
    trash_free(core, trash);
    queue_settle_life(core, queue);
}

bool trash_slice(struct core *core)
{
    struct trash *trash = core->trash;
    if (!trash) {
        return false;
    }
    while (core->work > 0) {
        struct message *message = trash_take(trash);
        if (!message) {
            trash_done(core, trash);
            break;
        }
        message_free(core, message);
        work_take(core, 1);
    }
    return true;
}

void trash_fini(struct core *core)
{
    while (core->trash) {
        struct trash *trash = core->trash;
        struct message *message;
        while ((message = trash_take(trash))) {
            message_free(core, message);
        }
        trash_free(core, trash);
    }
}

/* ---- snapshot ------------------------------------------------------------------------------- */

static void trash_save_one(const struct trash *trash, struct buf *out)
{
    const struct message_ext *ext;
    uint64_t delayed = 0;
    buf_u32(out, trash->queue->index);
    buf_u64(out, trash->plain.count);
    for (size_t i = 0; i < trash->plain.count; i++) {
        message_save(fifo_at(&trash->plain, i), out);
    }
    buf_u64(out, order_count(&trash->others));
    struct order_node *node = order_first(&trash->others);
    for (; node; node = order_next(node)) {
        message_save(ext_of_node(node)->message, out);
    }
    DL_COUNT(trash->delayed, ext, delayed);
    buf_u64(out, delayed);
    DL_FOREACH (trash->delayed, ext) {
        message_save(ext->message, out);
    }
}

void trash_save(const struct core *core, struct buf *out)
{
    const struct trash *trash;
    uint64_t count = 0;
    DL_COUNT(core->trash, trash, count);
    buf_u64(out, count);
    DL_FOREACH (core->trash, trash) {
        trash_save_one(trash, out);
    }
}

/* Fits the list that it came in; in the trash timers may have fired already. */
static bool message_fits(const struct message *message, const struct queue *queue,
                         const struct message_lists *to, uint8_t list)
{
    static const enum message_state states[] = {MESSAGE_READY, MESSAGE_READY, MESSAGE_DELAYED};
    if (message->queue != queue->index || !message->ext != (list == 0)) {
        return false;
    }
    bool live = to->plain == &queue->plain;
    if (message->ext && (message->ext->epoch == queue->epoch) != live) {
        return false;
    }
    if (live && !message_in_state(message, states[list])) {
        return false;
    }
    if (list == 0) {
        size_t count = to->plain->count;
        uint64_t last = count > 0 ? fifo_at(to->plain, count - 1)->sequence : 0;
        return message->sequence > last && message->sequence < queue->next_sequence;
    }
    return true;
}

/* False: it is out of order. */
static bool message_take(struct core *core, struct message *message, const struct message_lists *to,
                         uint8_t list)
{
    if (list == 0) {
        fifo_push(to->plain, message);
    } else if (list == 2) {
        DL_APPEND(*to->delayed, message->ext);
    } else {
        struct order_node *node = &message->ext->node;
        if (order_count(to->others) > 0) {
            struct order_node *last = order_at(to->others, order_count(to->others) - 1);
            if (message_compare(last, node) >= 0) {
                return false;
            }
        }
        order_insert(to->others, node, message_weight(core, message));
    }
    return true;
}

bool messages_load(struct core *core, struct reader *in, struct queue *queue,
                   const struct message_lists *to)
{
    for (uint8_t list = 0; list < 3; list++) {
        uint64_t count = reader_u64(in);
        for (uint64_t i = 0; i < count; i++) {
            struct message *message = message_load(core, in);
            if (!message) {
                return false;
            }
            if (!message_fits(message, queue, to, list) || !message_take(core, message, to, list)) {
                message_free(core, message);
                return false;
            }
        }
    }
    return !in->failed;
}

/* Ids of a deleted queue are the trash's to forget. */
static bool ids_in_trash(const struct core *core)
{
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        const struct queue *queue = core->queues[i];
        if (queue && queue->deleted && queue->dedup_count > 0 && queue->trash_count == 0) {
            return false;
        }
    }
    return true;
}

bool trash_load(struct core *core, struct reader *in)
{
    uint64_t count = reader_u64(in);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t index = reader_u32(in);
        if (in->failed || index >= core->queues_capacity || !core->queues[index]) {
            return false;
        }
        struct trash *trash = trash_new(core, core->queues[index]);
        struct message_lists to = {&trash->plain, &trash->others, &trash->delayed};
        if (!messages_load(core, in, trash->queue, &to)) {
            return false;
        }
    }
    return !in->failed && ids_in_trash(core);
}
