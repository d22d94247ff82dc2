/* The model's dead letters, redrives and dedup ids. */
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"
#include "common/base/steward_errors.h"

#include <stdlib.h>

/* ---- dead letters --------------------------------------------------------------------------- */

/* Refused by its full dead-letter queue: waits for the next try and nothing else. */
bool m_dead_pending(const struct m_message *m)
{
    return m->dead_reason && m->source.size == 0;
}

static struct m_queue *dead_target(struct model *model, const struct m_queue *queue)
{
    struct buf name = {0};
    if (queue->dead_letter.size > 0) {
        buf_add(&name, queue->dead_letter.data, queue->dead_letter.size);
    } else {
        buf_add(&name, queue->name.data, queue->name.size);
        buf_add(&name, ".dead", 5);
    }
    struct m_queue *target = m_queue_make(model, buf_view(&name));
    buf_fini(&name);
    return target;
}

static bool takes(struct model *model, struct m_queue *target, const struct m_message *m)
{
    if (target->shut || (target->max_bytes > 0 && m->body.size > target->max_bytes))
        return false;
    if (target->overflow == OVERFLOW_DROP_OLDEST)
        m_queue_drop_oldest(model, target, 1, m->body.size);
    return m_queue_fits(model, target, 1, m->body.size);
}

bool m_dead_letter(struct model *model, struct m_message *m, const char *reason)
{
    struct m_queue *queue = m->queue;
    if (queue->dead_target)
        return false;
    struct m_queue *target = dead_target(model, queue);
    m->extended = true;
    m->dead_reason = reason;
    if (target && target != queue)
        m_queue_wake(model, target);
    if (!target || target == queue || !takes(model, target, m)) {
        m->due_ms = model->now_ms + LIMIT_DEAD_LETTER_RETRY_MS;
        m_queue_place(model, m);
        return true;
    }
    COUNT(model, queue, dead, 1);
    m_message_set_dead(m, queue);
    m_queue_finished(model, queue, 1);
    m->due_ms = 0;
    m->expires_ms = NEVER;
    target->dead_target = true;
    m_queue_adopt(model, target, m);
    m_queue_place(model, m);
    return true;
}

/* ---- redrive -------------------------------------------------------------------------------- */

static int redrive_check(const struct m_queue *queue, const struct cmd_redrive *redrive)
{
    if (redrive->target.size > 0 && !m_name_good(redrive->target))
        return STW_EINVAL;
    if (slice_equal(redrive->target, redrive->name))
        return STW_EINVAL;
    return queue ? 0 : STW_ENOENT;
}

static bool redrive_one(struct model *model, struct m_message *m, struct slice to)
{
    struct m_queue *target = m_queue_make(model, to);
    if (!target || target == m->queue || target->shut ||
        !m_queue_fits(model, target, 1, m->body.size))
        return false;
    m_message_clear_dead(m);
    m_queue_finished(model, m->queue, 1);
    m_queue_adopt(model, target, m);
    m_queue_place(model, m);
    m_queue_wake(model, target);
    return true;
}

void m_redrive(struct model *model, struct m_session *session, const struct command *command)
{
    const struct cmd_redrive *c = &command->redrive;
    struct m_queue *queue = m_queue_of(model, c->name);
    int code = redrive_check(queue, c);
    if (code == 0 && !m_may_wait(model, session))
        code = STW_ELIMIT;
    if (code != 0) {
        m_say_error(model, session, command->request, code);
        return;
    }
    uint64_t left = m_queue_count(model, queue, M_READY), stay = 0, moved = 0;
    left = c->max > 0 && c->max < left ? c->max : left;
    m_queue_wake(model, queue);
    for (; left > 0 && stay < m_queue_count(model, queue, M_READY); left--) {
        struct m_message *m = m_queue_nth(model, queue, stay);
        if (c->target.size == 0 && m->source.size == 0) {
            stay++;
            continue;
        }
        struct text to = text_of(c->target.size > 0 ? c->target : text_view(&m->source));
        bool done = redrive_one(model, m, text_view(&to));
        text_free(&to);
        if (!done)
            break;
        moved++;
    }
    m_say_number(model, session, command->request, moved);
}

/* ---- dedup ids, oldest first ---------------------------------------------------------------- */

static struct m_dedup *oldest(const struct model *model, const struct m_queue *queue)
{
    for (size_t i = 0; i < model->dedups.count; i++) {
        struct m_dedup *d = model->dedups.items[i];
        if (d->queue == queue)
            return d;
    }
    return NULL;
}

static void forget(struct model *model, struct m_dedup *d)
{
    list_remove(&model->dedups, d);
    text_free(&d->id);
    free(d);
}

static void dedup_arm(struct model *model, struct m_queue *queue)
{
    const struct m_dedup *d = oldest(model, queue);
    if (!d || d->expires_ms == NEVER)
        m_alarm_off(&queue->dedup);
    else if (queue->dedup.due_ms != d->expires_ms)
        m_alarm_set(model, &queue->dedup, d->expires_ms);
}

static struct m_dedup *dedup_of(const struct model *model, const struct m_queue *queue,
                                struct slice id)
{
    for (size_t i = 0; i < model->dedups.count; i++) {
        struct m_dedup *d = model->dedups.items[i];
        if (d->queue == queue && slice_equal(text_view(&d->id), id))
            return d;
    }
    return NULL;
}

bool m_dedup_known(const struct model *model, const struct m_queue *queue, struct slice id)
{
    const struct m_dedup *d = dedup_of(model, queue, id);
    return d && d->expires_ms > model->now_ms;
}

/* A window of 0 never ends. */
void m_dedup_remember(struct model *model, struct m_queue *queue, struct slice id)
{
    struct m_dedup *d = mem_zalloc(1, sizeof *d), *expired = dedup_of(model, queue, id);
    uint64_t window_ms = queue->dedup_window_ms;
    uint64_t known = 0;
    if (expired)
        forget(model, expired);
    for (size_t i = 0; i < model->dedups.count; i++)
        known += ((struct m_dedup *)model->dedups.items[i])->queue == queue;
    if (known >= LIMIT_DEDUP_IDS)
        forget(model, oldest(model, queue));
    d->queue = queue;
    d->id = text_of(id);
    d->expires_ms = window_ms > 0 ? model->now_ms + window_ms : NEVER;
    list_add(&model->dedups, d);
    dedup_arm(model, queue);
}

/* In order of age: an id behind one with a longer window is collected with that one. */
void m_dedup_expire(struct model *model, struct m_queue *queue)
{
    struct m_dedup *d;
    while ((d = oldest(model, queue)) && d->expires_ms <= model->now_ms)
        forget(model, d);
    dedup_arm(model, queue);
    m_queue_life(model, queue);
}

void m_dedup_clear(struct model *model, struct m_queue *queue)
{
    struct m_dedup *d;
    while ((d = oldest(model, queue)))
        forget(model, d);
    m_alarm_off(&queue->dedup);
}
