/* Effects as lines, comparison of traces. Commands are in trace_command.c. See trace.h. */
#include "tests/sim/trace.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void trace_add(struct buf *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *at = (char *)buf_reserve(out, 512);
    int size = vsnprintf(at, 512, format, args);
    va_end(args);
    if (size > 511)
        size = 511;
    out->size += (size_t)size;
}

/* Bodies and values: short ones as they are, long ones by size, head and a sum. */
static void add_bytes(struct buf *out, struct slice bytes)
{
    uint64_t sum = 14695981039346656037ULL; /* FNV-1a */
    for (size_t i = 0; i < bytes.size; i++)
        sum = (sum ^ bytes.data[i]) * 1099511628211ULL;
    size_t shown = bytes.size > 24 ? 16 : bytes.size;
    buf_u8(out, '\'');
    for (size_t i = 0; i < shown; i++)
        buf_u8(out, bytes.data[i] >= ' ' && bytes.data[i] < 127 ? bytes.data[i] : '?');
    buf_u8(out, '\'');
    if (shown < bytes.size)
        trace_add(out, "..%zu/%016" PRIx64, bytes.size, sum);
}

static void add_fields(struct buf *out, struct slice fields)
{
    struct reader reader;
    struct field field;
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        if (field.type == FIELD_ROW) {
            trace_add(out, " |");
            continue;
        }
        if (slice_equal(field.key, slice_str("bytes")))
            continue; /* what the manager's memory costs is its own affair */
        trace_add(out, " %.*s=", (int)field.key.size, (const char *)field.key.data);
        if (field.type == FIELD_U64)
            trace_add(out, "%" PRIu64, field.number);
        else
            add_bytes(out, field.bytes);
    }
    if (reader.failed)
        trace_add(out, " MALFORMED");
}

static void reply_lines(struct buf *out, const struct effect *e)
{
    static const char *const kinds[] = {"plain", "got", "grant", "number", "fields"};
    for (uint64_t i = 0; i < e->count; i++) {
        trace_add(out, "s%" PRIu64 " #%" PRIu64 " reply ", e->session, e->first + i);
        if (e->code != 0) {
            trace_add(out, "%s\n", error_name(e->code));
            continue;
        }
        trace_add(out, "%s", kinds[e->reply]);
        if (e->reply == REPLY_GOT || e->reply == REPLY_NUMBER)
            trace_add(out, " %" PRIu64, e->value);
        if (e->reply == REPLY_GRANT)
            trace_add(out, " token %" PRIu64 " depth %" PRIu64, e->value, e->value2);
#ifndef STEWARD_TIGHT /* pages are cut short there, and counters depend on slices */
        if (e->reply == REPLY_FIELDS)
            add_fields(out, e->fields);
#endif
        buf_u8(out, '\n');
    }
}

static void deliver_lines(struct buf *out, const struct effect *e)
{
    for (uint64_t i = 0; i < e->count; i++) {
        const struct delivered *m = &e->messages[i];
        trace_add(out, "s%" PRIu64 " #%" PRIu64 " deliver tag %" PRIu64 " token %" PRIu64,
                  e->session, e->first, e->first_tag + i, e->first_token + i);
        trace_add(out, " lease %" PRIu64 " from %.*s seq %" PRIu64 " count %u prio %u%s ",
                  e->lease_ms, (int)e->queue.size, (const char *)e->queue.data, m->sequence,
                  m->deliveries, m->priority, m->plain ? " plain" : "");
        add_bytes(out, m->body);
        add_fields(out, m->fields);
        buf_u8(out, '\n');
    }
}

static void session_line(struct buf *out, const struct effect *e)
{
    if (e->kind == EFFECT_SESSION_OPENED)
        trace_add(out,
                  "s%" PRIu64 " opened for %" PRIu64 " life %" PRIu64 " highest %" PRIu64 "%s\n",
                  e->session, e->reference, e->incarnation, e->highest_request,
                  e->resumed ? " resumed" : "");
    else if (e->kind == EFFECT_SESSION_REFUSED)
        trace_add(out, "s0 refused for %" PRIu64 " %s\n", e->reference, error_name(e->code));
    else
        trace_add(out, "s%" PRIu64 " ended\n", e->session);
}

void trace_effect(struct buf *out, const struct effect *e)
{
    switch (e->kind) {
    case EFFECT_REPLY: reply_lines(out, e); break;
    case EFFECT_DELIVER: deliver_lines(out, e); break;
    case EFFECT_SESSION_OPENED:
    case EFFECT_SESSION_REFUSED:
    case EFFECT_SESSION_ENDED: session_line(out, e); break;
    case EFFECT_LOCK_LOST:
        trace_add(out, "s%" PRIu64 " lost lock %.*s token %" PRIu64 " %s\n", e->session,
                  (int)e->text.size, (const char *)e->text.data, e->token, error_name(e->code));
        break;
    case EFFECT_LEASE_LOST:
        for (uint64_t i = 0; i < e->count; i++)
            trace_add(out, "s%" PRIu64 " lost lease %" PRIu64 "\n", e->session, e->first + i);
        break;
    case EFFECT_CONSUMER_ENDED:
        trace_add(out, "s%" PRIu64 " #%" PRIu64 " consumer ended %s\n", e->session, e->first,
                  error_name(e->code));
        break;
    case EFFECT_NOTICE: break; /* for the log: nobody is told */
    default: trace_add(out, "s0 unknown effect %d\n", (int)e->kind); break;
    }
}

void trace_effects(struct buf *out, const struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++)
        trace_effect(out, &effects->items[i]);
}

/* ---- order and difference ------------------------------------------------------------------- */

struct line {
    uint64_t session;
    size_t place;
    struct slice text; /* without '\n' */
};

static int line_compare(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    if (x->session != y->session)
        return x->session < y->session ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static struct line *lines_of(const struct buf *trace, size_t *count)
{
    struct line *lines = mem_zalloc(trace->size + 1, sizeof *lines);
    size_t n = 0, start = 0;
    for (size_t i = 0; i < trace->size; i++) {
        if (trace->data[i] != '\n')
            continue;
        const char *text = (const char *)trace->data + start;
        lines[n] = (struct line){.session = strtoull(text + 1, NULL, 10), .place = n};
        lines[n++].text = slice_of(text, i - start);
        start = i + 1;
    }
    *count = n;
    return lines;
}

void trace_sort(struct buf *trace)
{
    size_t count;
    if (trace->size == 0)
        return;
    struct line *lines = lines_of(trace, &count);
    qsort(lines, count, sizeof *lines, line_compare);
    struct buf sorted = {0};
    for (size_t i = 0; i < count; i++) {
        buf_add(&sorted, lines[i].text.data, lines[i].text.size);
        buf_u8(&sorted, '\n');
    }
    buf_clear(trace);
    buf_add(trace, sorted.data, sorted.size);
    buf_fini(&sorted);
    free(lines);
}

static void print_line(char mark, const struct line *line)
{
    printf("    %c %.*s\n", mark, (int)line->text.size, (const char *)line->text.data);
}

void trace_difference(const struct buf *expected, const struct buf *got)
{
    size_t expected_count, got_count;
    struct line *a = lines_of(expected, &expected_count);
    struct line *b = lines_of(got, &got_count);
    size_t most = expected_count > got_count ? expected_count : got_count;
    for (size_t i = 0; i < most; i++) {
        bool both = i < expected_count && i < got_count;
        if (both && slice_equal(a[i].text, b[i].text)) {
            print_line(' ', &a[i]);
            continue;
        }
        if (i < expected_count)
            print_line('-', &a[i]);
        if (i < got_count)
            print_line('+', &b[i]);
    }
    free(a);
    free(b);
}
