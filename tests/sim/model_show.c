/* The model's answers to operators about sessions, locks and the manager as a whole. */
#include "tests/sim/model_lock.h"
#include "tests/sim/model_queue.h"

#include "common/base/fields.h"
#include "common/base/steward_errors.h"

#include <stdlib.h>

/* ---- pages by name -------------------------------------------------------------------------- */

static int name_order(struct slice a, struct slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter ? memcmp(a.data, b.data, shorter) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static bool on_page(const struct cmd_page *page, struct slice name)
{
    bool prefixed =
        name.size >= page->prefix.size &&
        (page->prefix.size == 0 || memcmp(name.data, page->prefix.data, page->prefix.size) == 0);
    return prefixed && (page->after.size == 0 || name_order(name, page->after) > 0);
}

static bool page_good(const struct cmd_page *page)
{
    return page->max >= 1 && page->max <= LIMIT_PAGE_ROWS && page->after.size <= LIMIT_NAME_BYTES &&
           page->prefix.size <= LIMIT_NAME_BYTES;
}

/* Objects that begin with their name. */
static int object_order(const void *a, const void *b)
{
    const struct text *x = *(void *const *)a, *y = *(void *const *)b;
    return name_order(text_view(x), text_view(y));
}

typedef void row_writer(const struct model *model, void *object, struct buf *out);

static void list_named(struct model *model, struct m_session *session,
                       const struct command *command, const struct list *all, row_writer *row)
{
    const struct cmd_page *page = &command->page;
    if (!page_good(page)) {
        m_say_error(model, session, command->request, STW_EINVAL);
        return;
    }
    struct list sorted = {0};
    for (size_t i = 0; i < all->count; i++)
        if (on_page(page, text_view(all->items[i])))
            list_add(&sorted, all->items[i]);
    if (sorted.count > 0)
        qsort(sorted.items, sorted.count, sizeof sorted.items[0], object_order);
    struct buf out = {0};
    for (size_t i = 0; i < sorted.count && i < page->max; i++)
        row(model, sorted.items[i], &out);
    m_say_fields(model, session, command->request, buf_view(&out));
    buf_fini(&out);
    list_fini(&sorted);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static uint64_t lock_waiters(const struct model *model, const struct m_lock *lock)
{
    uint64_t count = 0;
    for (size_t i = 0; i < model->waiters.count; i++)
        count += ((struct m_waiter *)model->waiters.items[i])->lock == lock;
    return count;
}

static const struct m_holder *first_holder(const struct model *model, const struct m_lock *lock)
{
    for (size_t i = 0; i < model->holders.count; i++) {
        const struct m_holder *h = model->holders.items[i];
        if (h->lock == lock)
            return h;
    }
    return NULL;
}

static void first_fields(const struct model *model, const struct m_lock *lock, struct buf *out)
{
    const struct m_holder *h = first_holder(model, lock);
    const struct m_waiter *w = m_wait_first_lock(model, lock, false);
    fields_u64(out, "holder", h ? h->session->id : 0);
    fields_u64(out, "held_ms", h ? model->now_ms - h->since_ms : 0);
    fields_u64(out, "waiter", w ? w->session->id : 0);
    fields_u64(out, "wait_ms", w ? model->now_ms - w->since_ms : 0);
}

static void lock_row(const struct model *model, void *object, struct buf *out)
{
    const struct m_lock *lock = object;
    fields_row(out);
    fields_text(out, "name", text_view(&lock->name));
    fields_text(out, "kind", slice_str(lock->kind == LOCK_MUTEX ? "lock" : "semaphore"));
    fields_u64(out, "permits", lock->permits);
    fields_u64(out, "holders", m_lock_holders(model, lock));
    fields_u64(out, "waiters", lock_waiters(model, lock));
    fields_u64(out, "acquired", lock->acquired);
    fields_u64(out, "contended", lock->contended);
    fields_u64(out, "broken", lock->broken);
    first_fields(model, lock, out);
}

static void person_fields(const struct m_session *session, struct buf *out)
{
    fields_text(out, "host", text_view(&session->host));
    fields_u64(out, "pid", session->pid);
    fields_text(out, "program", text_view(&session->program));
}

static void holder_row(const struct model *model, const struct m_holder *h, struct buf *out)
{
    fields_row(out);
    fields_text(out, "role", slice_str("holder"));
    fields_u64(out, "session", h->session->id);
    fields_u64(out, "owner", h->owner);
    fields_u64(out, "token", h->token);
    fields_u64(out, "depth", h->depth);
    fields_u64(out, "since_ms", model->now_ms - h->since_ms);
    person_fields(h->session, out);
    if (h->lease_ms > 0)
        fields_u64(out, "lease_left_ms",
                   h->alarm.due_ms > model->now_ms ? h->alarm.due_ms - model->now_ms : 0);
}

static void waiter_row(const struct model *model, const struct m_waiter *w, struct buf *out)
{
    fields_row(out);
    fields_text(out, "role", slice_str("waiter"));
    fields_u64(out, "session", w->session->id);
    fields_u64(out, "owner", w->owner);
    fields_u64(out, "since_ms", model->now_ms - w->since_ms);
    person_fields(w->session, out);
}

static int rest_order(const void *a, const void *b)
{
    const struct m_waiter *x = *(void *const *)a, *y = *(void *const *)b;
    return (x->rests[0] > y->rests[0]) - (x->rests[0] < y->rests[0]);
}

/* The line, then who is passed over. */
static void waiter_rows(const struct model *model, const struct m_lock *lock, struct buf *out)
{
    struct list asleep = {0};
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->lock == lock && w->asleep[0])
            list_add(&asleep, w);
        else if (w->lock == lock)
            waiter_row(model, w, out);
    }
    if (asleep.count > 0)
        qsort(asleep.items, asleep.count, sizeof asleep.items[0], rest_order);
    for (size_t i = 0; i < asleep.count; i++)
        waiter_row(model, asleep.items[i], out);
    list_fini(&asleep);
}

static void lock_show(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_lock *lock = m_lock_of(model, command->named.name);
    if (!lock) {
        int code = m_name_good(command->named.name) ? STW_ENOENT : STW_EINVAL;
        m_say_error(model, session, command->request, code);
        return;
    }
    struct buf out = {0};
    lock_row(model, lock, &out);
    for (size_t i = 0; i < model->holders.count; i++) {
        const struct m_holder *h = model->holders.items[i];
        if (h->lock == lock)
            holder_row(model, h, &out);
    }
    waiter_rows(model, lock, &out);
    m_say_fields(model, session, command->request, buf_view(&out));
    buf_fini(&out);
}

/* ---- sessions ------------------------------------------------------------------------------- */

static void session_row(const struct model *model, const struct m_session *s, struct buf *out)
{
    uint64_t waiting = 0, consumers = 0, leases = 0, locks = 0;
    for (size_t i = 0; i < model->waiters.count; i++) {
        const struct m_waiter *w = model->waiters.items[i];
        consumers += w->session == s && w->kind == M_CONSUME;
        waiting += w->session == s && w->kind != M_CONSUME;
    }
    for (size_t i = 0; i < model->messages.count; i++) {
        const struct m_message *m = model->messages.items[i];
        leases += m->state == M_LEASED && m->session == s;
    }
    for (size_t i = 0; i < model->holders.count; i++)
        locks += ((struct m_holder *)model->holders.items[i])->session == s;
    fields_row(out);
    fields_u64(out, "session", s->id);
    fields_text(out, "host", text_view(&s->host));
    fields_text(out, "program", text_view(&s->program));
    fields_u64(out, "pid", s->pid);
    fields_u64(out, "age_ms", model->now_ms - s->opened_ms);
    fields_u64(out, "waiting", waiting);
    fields_u64(out, "consumers", consumers);
    fields_u64(out, "leases", leases);
    fields_u64(out, "locks", locks);
    fields_u64(out, "answers", s->answers.count);
    fields_u64(out, "ttl_ms", s->ttl_ms);
    fields_u64(out, "grace_ms", s->grace_ms);
}

static void session_show(struct model *model, struct m_session *session,
                         const struct command *command)
{
    const struct m_session *shown = m_session_of(model, command->target);
    if (!shown) {
        m_say_error(model, session, command->request, STW_ENOENT);
        return;
    }
    struct buf out = {0};
    session_row(model, shown, &out);
    m_say_fields(model, session, command->request, buf_view(&out));
    buf_fini(&out);
}

/* The generator asks behind nothing, 2, or what is no number of a session. */
static void session_list(struct model *model, struct m_session *session,
                         const struct command *command)
{
    const struct cmd_page *page = &command->page;
    bool from_two = slice_equal(page->after, slice_str("2"));
    if (page->max < 1 || page->max > LIMIT_PAGE_ROWS || (page->after.size > 0 && !from_two)) {
        m_say_error(model, session, command->request, STW_EINVAL);
        return;
    }
    struct buf out = {0};
    uint64_t rows = 0;
    for (size_t i = 0; i < model->sessions.count && rows < page->max; i++) {
        const struct m_session *s = model->sessions.items[i];
        if (from_two && s->id <= 2)
            continue;
        session_row(model, s, &out);
        rows++;
    }
    m_say_fields(model, session, command->request, buf_view(&out));
    buf_fini(&out);
}

/* ---- the manager ---------------------------------------------------------------------------- */

static void totals_fields(const struct m_counters *c, struct buf *out)
{
    fields_u64(out, "put", c->put);
    fields_u64(out, "delivered", c->delivered);
    fields_u64(out, "acked", c->acked);
    fields_u64(out, "nacked", c->nacked);
    fields_u64(out, "released", c->released);
    fields_u64(out, "redelivered", c->redelivered);
    fields_u64(out, "expired", c->expired);
    fields_u64(out, "dead", c->dead);
    fields_u64(out, "dropped", c->dropped);
    fields_u64(out, "rejected", c->rejected);
    fields_u64(out, "duplicates", c->duplicates);
}

static void stat(struct model *model, struct m_session *session, const struct command *command)
{
    struct buf out = {0};
    uint64_t states[4] = {0}, unfinished = 0, named = 0;
    for (size_t i = 0; i < model->messages.count; i++)
        states[((struct m_message *)model->messages.items[i])->state]++;
    for (size_t i = 0; i < model->queues.count; i++) {
        unfinished += ((struct m_queue *)model->queues.items[i])->unfinished;
        named += !((struct m_queue *)model->queues.items[i])->deleted;
    }
    fields_row(&out);
    fields_u64(&out, "incarnation", model->incarnation);
    fields_u64(&out, "sessions", model->sessions.count);
    fields_u64(&out, "queues", named);
    fields_u64(&out, "locks", model->locks.count);
    fields_u64(&out, "waiters", model->waiters.count);
    fields_u64(&out, "commands", model->commands);
    fields_u64(&out, "ready", states[M_READY]);
    fields_u64(&out, "leased", states[M_LEASED]);
    fields_u64(&out, "delayed", states[M_DELAYED]);
    fields_u64(&out, "unfinished", unfinished);
    totals_fields(&model->totals, &out);
    m_say_fields(model, session, command->request, buf_view(&out));
    buf_fini(&out);
}

void m_show_command(struct model *model, struct m_session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_LOCK_SHOW: lock_show(model, session, command); break;
    case COMMAND_LOCK_LIST: list_named(model, session, command, &model->locks, lock_row); break;
    case COMMAND_QUEUE_LIST: {
        struct list named = {0};
        for (size_t i = 0; i < model->queues.count; i++)
            if (!((struct m_queue *)model->queues.items[i])->deleted)
                list_add(&named, model->queues.items[i]);
        list_named(model, session, command, &named, m_queue_row);
        list_fini(&named);
        break;
    }
    case COMMAND_QUEUE_SHOW: m_queue_show(model, session, command); break;
    case COMMAND_QUEUE_PEEK: m_queue_peek(model, session, command); break;
    case COMMAND_SESSION_LIST: session_list(model, session, command); break;
    case COMMAND_SESSION_SHOW: session_show(model, session, command); break;
    default: stat(model, session, command); break;
    }
}
