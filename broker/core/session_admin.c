/* What operators ask about sessions and the manager: list, show, kill, stat. */
#include "broker/core/internal.h"

#include "common/base/fields.h"

static void session_row(const struct core *core, const struct session *session, struct buf *out)
{
    fields_row(out);
    fields_u64(out, "session", session->id);
    fields_text(out, "host", slice_str(session->host));
    fields_text(out, "program", slice_str(session->program));
    fields_u64(out, "pid", session->pid);
    fields_u64(out, "age_ms", core->now_ms - session->opened_ms);
    fields_u64(out, "waiting", session->waiters_count - session->consumers_count);
    fields_u64(out, "consumers", session->consumers_count);
    fields_u64(out, "leases", session->leases.live);
    fields_u64(out, "locks", session->holders_count);
    fields_u64(out, "answers", session->answers.live);
    fields_u64(out, "ttl_ms", session->ttl_ms);
    fields_u64(out, "grace_ms", session->grace_ms);
}

/* A decimal id without sign or leading zeros; an empty text is 0. */
static bool parse_id(struct slice text, uint64_t *id)
{
    *id = 0;
    if (text.size > 20) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || *id > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *id = *id * 10 + digit;
    }
    return true;
}

/* The hash lists sessions in the order of their ids. */
static struct session *session_after(const struct core *core, uint64_t id)
{
    struct session *known = session_lookup(core, id);
    if (known) {
        return known->hh.next;
    }
    struct session *session = core->sessions;
    while (session && session->id <= id) {
        session = session->hh.next;
    }
    return session;
}

static void session_list(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_page *page)
{
    enum { ROW_ROOM = 1024 }; /* bytes: more than any row takes */
    uint64_t after;
    if (page->max == 0 || page->max > LIMIT_PAGE_ROWS || !parse_id(page->after, &after)) {
        answer_error(core, session, request, STW_EINVAL,
                     about("the page is not valid", slice_of(NULL, 0)));
        return;
    }
    struct buf out = {0};
    uint64_t rows = 0;
    for (struct session *at = session_after(core, after); at && rows < page->max;
         at = at->hh.next) {
        if (at->ending) {
            continue;
        }
        if (out.size + ROW_ROOM > LIMIT_RESULT_BYTES) {
            break;
        }
        session_row(core, at, &out);
        rows++;
    }
    answer_fields(core, session, request, buf_view(&out));
    buf_fini(&out);
}

static void session_show(struct core *core, struct session *session, uint64_t request,
                         uint64_t target)
{
    const struct session *shown = session_find(core, target);
    if (!shown) {
        answer_error(core, session, request, STW_ENOENT,
                     about("there is no such session", slice_of(NULL, 0)));
        return;
    }
    struct buf out = {0};
    session_row(core, shown, &out);
    answer_fields(core, session, request, buf_view(&out));
    buf_fini(&out);
}

static void session_kill(struct core *core, struct session *session, uint64_t request,
                         uint64_t target)
{
    struct session *killed = session_find(core, target);
    if (!killed) {
        answer_error(core, session, request, STW_ENOENT,
                     about("there is no such session", slice_of(NULL, 0)));
        return;
    }
    answer_plain(core, session, request, 1);
    uint8_t digits[DECIMAL_BYTES];
    emit_notice(core, "an operator ended session", slice_decimal(target, digits));
    session_end(core, killed, slice_str("ended by an operator"));
}

static void counters_row(const struct queue_counters *counters, struct buf *out)
{
    fields_u64(out, "put", counters->put);
    fields_u64(out, "delivered", counters->delivered);
    fields_u64(out, "acked", counters->acked);
    fields_u64(out, "nacked", counters->nacked);
    fields_u64(out, "released", counters->released);
    fields_u64(out, "redelivered", counters->redelivered);
    fields_u64(out, "expired", counters->expired);
    fields_u64(out, "dead", counters->dead);
    fields_u64(out, "dropped", counters->dropped);
    fields_u64(out, "rejected", counters->rejected);
    fields_u64(out, "duplicates", counters->duplicates);
}

static void stat(struct core *core, struct session *session, uint64_t request)
{
    struct buf out = {0};
    fields_row(&out);
    fields_u64(&out, "incarnation", core->incarnation);
    fields_u64(&out, "sessions", HASH_COUNT(core->sessions));
    fields_u64(&out, "queues", order_count(&core->queue_names));
    fields_u64(&out, "locks", order_count(&core->lock_names));
    fields_u64(&out, "waiters", core->waiters_count);
    fields_u64(&out, "bytes", core_bytes(core));
    fields_u64(&out, "commands", core->commands);
    fields_u64(&out, "ready", core->totals.ready);
    fields_u64(&out, "leased", core->totals.leased);
    fields_u64(&out, "delayed", core->totals.delayed);
    fields_u64(&out, "unfinished", core->totals.unfinished);
    counters_row(&core->totals.counters, &out);
    answer_fields(core, session, request, buf_view(&out));
    buf_fini(&out);
}

void session_apply_admin(struct core *core, struct session *session, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_SESSION_LIST: session_list(core, session, command->request, &command->page); break;
    case COMMAND_SESSION_SHOW:
        session_show(core, session, command->request, command->target);
        break;
    case COMMAND_SESSION_KILL:
        session_kill(core, session, command->request, command->target);
        break;
    default: stat(core, session, command->request); break;
    }
}
