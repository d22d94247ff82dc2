/* SHOW and LIST: a queue as a row of fields, and pages of rows in byte order of names. */
#include "broker/core/queue.h"

#include "common/base/fields.h"

static void counts_row(const struct queue *queue, struct buf *out)
{
    fields_u64(out, "ready", queue_ready(queue));
    fields_u64(out, "delayed", queue->delayed_count);
    fields_u64(out, "leased", queue->leased);
    fields_u64(out, "unfinished", queue->unfinished);
    fields_u64(out, "bytes", queue->ready_bytes);
    fields_u64(out, "head_sequence", queue_ready(queue) > 0 ? queue_at(queue, 0)->sequence : 0);
    fields_u64(out, "next_sequence", queue->next_sequence);
}

static void settings_row(const struct queue_settings *settings, struct buf *out)
{
    static const char *const overflows[] = {"block", "reject", "drop_oldest"};
    fields_u64(out, "maxsize", settings->maxsize);
    fields_u64(out, "max_bytes", settings->max_bytes);
    fields_text(out, "overflow", slice_str(overflows[settings->overflow]));
    fields_u64(out, "lease_ms", settings->lease_ms);
    fields_u64(out, "max_deliveries", settings->max_deliveries);
    fields_text(out, "dead_letter", name_slice(&settings->dead_letter));
    fields_u64(out, "ttl_ms", settings->ttl_ms);
    fields_u64(out, "delay_ms", settings->delay_ms);
    fields_u64(out, "dedup_window_ms", settings->dedup_window_ms);
}

static void waiting_row(const struct queue *queue, struct buf *out)
{
    fields_u64(out, "getters", queue->getters_count);
    fields_u64(out, "putters", queue->putters_count);
    fields_u64(out, "joiners", queue->joiners_count);
    fields_u64(out, "consumers", queue->consumers_count);
}

static void counters_row(const struct queue_counters *counters, struct buf *out)
{
    fields_u64(out, "put", counters->put);
    fields_u64(out, "delivered", counters->delivered);
    fields_u64(out, "acked", counters->acked);
    fields_u64(out, "nacked", counters->nacked);
    fields_u64(out, "released", counters->released);
    fields_u64(out, "rejected", counters->rejected);
    fields_u64(out, "redelivered", counters->redelivered);
    fields_u64(out, "expired", counters->expired);
    fields_u64(out, "dead", counters->dead);
    fields_u64(out, "dropped", counters->dropped);
    fields_u64(out, "duplicates", counters->duplicates);
}

static void queue_row(const struct core *core, const struct queue *queue, struct buf *out)
{
    fields_row(out);
    fields_text(out, "name", name_slice(&queue->name));
    fields_text(out, "state", slice_str(queue->state == QUEUE_OPEN ? "open" : "shutdown"));
    fields_u64(out, "paused", queue->paused);
    fields_u64(out, "declared", queue->declared);
    counts_row(queue, out);
    settings_row(&queue->settings, out);
    waiting_row(queue, out);
    counters_row(&queue->counters, out);
    fields_u64(out, "age_ms", core->now_ms - queue->created_ms);
}

void queue_apply_show(struct core *core, struct session *session, uint64_t request,
                      const struct queue *queue)
{
    struct buf row = {0};
    queue_row(core, queue, &row);
    answer_fields(core, session, request, buf_view(&row));
    buf_fini(&row);
}

/* ---- pages ---------------------------------------------------------------------------------- */

/* The first queue of the page: greater than `after`, not less than `prefix`. */
static struct order_node *page_first(const struct core *core, const struct cmd_page *page)
{
    struct queue after, prefix;
    name_set(&after.name, page->after);
    name_set(&prefix.name, page->prefix);
    if (page->after.size > 0 && core->queue_names.compare(&after.by_name, &prefix.by_name) >= 0) {
        return order_after(&core->queue_names, &after.by_name);
    }
    return order_at(&core->queue_names, order_rank(&core->queue_names, &prefix.by_name));
}

static bool begins_with(struct slice text, struct slice prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

static const char *check_page(const struct cmd_page *page)
{
    if (page->max == 0 || page->max > LIMIT_PAGE_ROWS) {
        return "a page has 1 to 1000 rows";
    }
    if (page->after.size > LIMIT_NAME_BYTES || page->prefix.size > LIMIT_NAME_BYTES) {
        return "not a valid name";
    }
    return NULL;
}

void queue_apply_list(struct core *core, struct session *session, uint64_t request,
                      const struct cmd_page *page)
{
    const char *why = check_page(page);
    if (why) {
        answer_error(core, session, request, STW_EINVAL, about(why, slice_of(NULL, 0)));
        return;
    }
    struct buf rows = {0};
    struct order_node *node = page_first(core, page);
    for (uint64_t count = 0; node && count < page->max; count++, node = order_next(node)) {
        const struct queue *queue = queue_of_name_node(node);
        size_t before = rows.size;
        if (!begins_with(name_slice(&queue->name), page->prefix)) {
            break;
        }
        queue_row(core, queue, &rows);
        if (rows.size > LIMIT_RESULT_BYTES) {
            rows.size = before;
            break;
        }
    }
    answer_fields(core, session, request, buf_view(&rows));
    buf_fini(&rows);
}
