/* What operators do with locks: break, show, list. */
#include "broker/core/internal.h"

#include "common/base/fields.h"

enum { ROW_ROOM = 2048 }; /* bytes: more than any row takes */

static void lock_break(struct core *core, struct session *session, uint64_t request,
                       struct lock *lock)
{
    answer_plain(core, session, request, 1);
    emit_notice(core, "an operator broke lock", name_slice(&lock->name));
    /* From here on no holder up to now holds it; their records go in slices. */
    lock->break_before = core->next_token;
    lock_pump_later(core, lock);
}

/* The holder of longest standing that was not broken. */
static const struct holder *first_holder(const struct lock *lock)
{
    const struct holder *at = lock->holders;
    while (at && at->token < lock->break_before) {
        at = at->next;
    }
    return at;
}

/* Who holds it, and who is next: the first of each, 0 for nobody. */
static void first_fields(const struct core *core, const struct lock *lock, struct buf *out)
{
    const struct holder *holder = first_holder(lock);
    const struct waiter *waiter = lock->waiters ? lock->waiters->waiter : NULL;
    fields_u64(out, "holder", holder ? holder->session->id : 0);
    fields_u64(out, "held_ms", holder ? core->now_ms - holder->since_ms : 0);
    fields_u64(out, "waiter", waiter ? waiter->session->id : 0);
    fields_u64(out, "wait_ms", waiter ? core->now_ms - waiter->since_ms : 0);
}

static void lock_row(const struct core *core, const struct lock *lock, struct buf *out)
{
    fields_row(out);
    fields_text(out, "name", name_slice(&lock->name));
    fields_text(out, "kind", slice_str(lock->kind == LOCK_MUTEX ? "lock" : "semaphore"));
    fields_u64(out, "permits", lock->permits);
    fields_u64(out, "holders", lock->holders_count);
    fields_u64(out, "waiters", lock->waiters_count);
    fields_u64(out, "acquired", lock->acquired);
    fields_u64(out, "contended", lock->contended);
    fields_u64(out, "broken", lock->broken);
    first_fields(core, lock, out);
}

static void person_fields(const struct session *session, struct buf *out)
{
    fields_text(out, "host", slice_str(session->host));
    fields_u64(out, "pid", session->pid);
    fields_text(out, "program", slice_str(session->program));
}

static void holder_row(const struct core *core, const struct holder *holder, struct buf *out)
{
    fields_row(out);
    fields_text(out, "role", slice_str("holder"));
    fields_u64(out, "session", holder->session->id);
    fields_u64(out, "owner", holder->owner);
    fields_u64(out, "token", holder->token);
    fields_u64(out, "depth", holder->depth);
    fields_u64(out, "since_ms", core->now_ms - holder->since_ms);
    person_fields(holder->session, out);
    if (holder->lease_ms > 0) {
        uint64_t due_ms = holder->timer.due_ms;
        fields_u64(out, "lease_left_ms", due_ms > core->now_ms ? due_ms - core->now_ms : 0);
    }
}

static void waiter_row(const struct core *core, const struct waiter *waiter, struct buf *out)
{
    fields_row(out);
    fields_text(out, "role", slice_str("waiter"));
    fields_u64(out, "session", waiter->session->id);
    fields_u64(out, "owner", waiter->owner);
    fields_u64(out, "since_ms", core->now_ms - waiter->since_ms);
    person_fields(waiter->session, out);
}

static void waiter_rows(const struct core *core, const struct wait_link *list, struct buf *out)
{
    for (const struct wait_link *at = list; at && out->size + ROW_ROOM <= LIMIT_RESULT_BYTES;
         at = at->next) {
        waiter_row(core, at->waiter, out);
    }
}

/* As many rows as a result may have; the first row's counts tell whether that was all. */
static void lock_show(struct core *core, struct session *session, uint64_t request,
                      const struct lock *lock)
{
    struct buf out = {0};
    lock_row(core, lock, &out);
    for (const struct holder *at = lock->holders; at && out.size + ROW_ROOM <= LIMIT_RESULT_BYTES;
         at = at->next) {
        if (at->token >= lock->break_before) {
            holder_row(core, at, &out);
        }
    }
    waiter_rows(core, lock->waiters, &out);
    waiter_rows(core, lock->parked, &out);
    answer_fields(core, session, request, buf_view(&out));
    buf_fini(&out);
}

/* The first lock of the page: behind `after`, and not before the prefix. */
static struct order_node *page_first(const struct core *core, const struct cmd_page *page)
{
    struct lock probe;
    if (name_order(page->after, page->prefix) >= 0 && page->after.size > 0) {
        name_set(&probe.name, page->after);
        return order_after(&core->lock_names, &probe.by_name);
    }
    name_set(&probe.name, page->prefix);
    return order_at(&core->lock_names, order_rank(&core->lock_names, &probe.by_name));
}

static void lock_list(struct core *core, struct session *session, uint64_t request,
                      const struct cmd_page *page)
{
    if (page->max == 0 || page->max > LIMIT_PAGE_ROWS || page->after.size > LIMIT_NAME_BYTES ||
        page->prefix.size > LIMIT_NAME_BYTES) {
        answer_error(core, session, request, STW_EINVAL,
                     about("the page is not valid", slice_of(NULL, 0)));
        return;
    }
    struct buf out = {0};
    uint64_t rows = 0;
    for (struct order_node *at = page_first(core, page); at && rows < page->max;
         at = order_next(at), rows++) {
        const struct lock *lock =
            (const struct lock *)((uintptr_t)at - offsetof(struct lock, by_name));
        if (!name_has_prefix(name_slice(&lock->name), page->prefix) ||
            out.size + ROW_ROOM > LIMIT_RESULT_BYTES) {
            break;
        }
        lock_row(core, lock, &out);
    }
    answer_fields(core, session, request, buf_view(&out));
    buf_fini(&out);
}

void lock_apply_admin(struct core *core, struct session *session, const struct command *command)
{
    if (command->kind == COMMAND_LOCK_LIST) {
        lock_list(core, session, command->request, &command->page);
        return;
    }
    struct slice name = command->named.name;
    if (name_check(name) != STW_OK) {
        answer_error(core, session, command->request, STW_EINVAL,
                     about("the lock's name is not valid", slice_of(NULL, 0)));
        return;
    }
    struct lock *lock = lock_find(core, name);
    if (!lock) {
        answer_error(core, session, command->request, STW_ENOENT,
                     about("there is no such lock", name));
    } else if (command->kind == COMMAND_LOCK_BREAK) {
        lock_break(core, session, command->request, lock);
    } else {
        lock_show(core, session, command->request, lock);
    }
}
