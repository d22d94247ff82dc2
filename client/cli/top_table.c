/*
 * Views, columns, and answers made into rows of cells. Counters become rates by the difference to
 * the last look. To add a column: a line in a view; its key is a name of docs/statistics.md.
 */
#include "client/cli/top.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

static const struct top_column QUEUES[] = {
    {"name", "QUEUE", TOP_TEXT, 0},        {"ready", "READY", TOP_COUNT, 7},
    {"leased", "LEASED", TOP_COUNT, 7},    {"delayed", "DELAYED", TOP_COUNT, 7},
    {"dead", "DEAD", TOP_COUNT, 6},        {"put", "PUT/S", TOP_RATE, 7},
    {"delivered", "GET/S", TOP_RATE, 7},   {"acked", "ACK/S", TOP_RATE, 7},
    {"oldest_ms", "OLDEST", TOP_OLDEST, 9}};

static const struct top_column LOCKS[] = {
    {"name", "LOCK", TOP_TEXT, 0},        {"kind", "KIND", TOP_TEXT, 9},
    {"holders", "HELD", TOP_COUNT, 5},    {"permits", "OF", TOP_COUNT, 5},
    {"holder", "HOLDER", TOP_COUNT, 7},   {"held_ms", "HELD FOR", TOP_AGE, 9},
    {"waiters", "WAITERS", TOP_COUNT, 7}, {"wait_ms", "LONGEST", TOP_AGE, 9},
    {"acquired", "GRANT/S", TOP_RATE, 7}};

static const struct top_column SESSIONS[] = {
    {"session", "SESSION", TOP_COUNT, 8},  {"host", "HOST", TOP_TEXT, 14},
    {"pid", "PID", TOP_COUNT, 8},          {"program", "PROGRAM", TOP_TEXT, 0},
    {"age_ms", "AGE", TOP_AGE, 9},         {"leases", "LEASES", TOP_COUNT, 7},
    {"locks", "LOCKS", TOP_COUNT, 6},      {"waiting", "WAITING", TOP_COUNT, 7},
    {"consumers", "STREAMS", TOP_COUNT, 7}};

static const struct top_column NODES[] = {
    {"node", "NODE", TOP_COUNT, 5},       {"role", "ROLE", TOP_TEXT, 6},
    {"leader", "LEADS", TOP_COUNT, 5},    {"alive", "ALIVE", TOP_COUNT, 5},
    {"match", "MATCH", TOP_COUNT, 9},     {"lag", "LAG", TOP_COUNT, 7},
    {"address", "ADDRESS", TOP_TEXT, 22}, {"endpoint", "ENDPOINT", TOP_TEXT, 0}};

#define COUNT(columns) (sizeof(columns) / sizeof((columns)[0]))

_Static_assert(COUNT(QUEUES) <= TOP_COLUMNS && COUNT(LOCKS) <= TOP_COLUMNS &&
                   COUNT(SESSIONS) <= TOP_COLUMNS && COUNT(NODES) <= TOP_COLUMNS,
               "a row has room for each column");

const struct top_view top_views[TOP_VIEWS] = {
    [TOP_QUEUES] = {"queues", "queue", QUEUES, COUNT(QUEUES), 1, true},
    [TOP_LOCKS] = {"locks", "lock", LOCKS, COUNT(LOCKS), 6, true},
    [TOP_SESSIONS] = {"sessions", "session", SESSIONS, COUNT(SESSIONS), 5, true},
    [TOP_NODES] = {"nodes", "node", NODES, COUNT(NODES), 0, false},
};

/* ---- the past -------------------------------------------------------------------------------- */

struct mark {
    uint64_t at_ms, next_sequence;
};

/* What is remembered of one object. */
struct seen {
    char *name; /* NULL: id tells */
    uint64_t id, at_ms, age_ms;
    uint64_t counters[TOP_COLUMNS];
    struct mark marks[TOP_MARKS];
    size_t marks_count;
};

struct top_past {
    enum top_view_id view;
    struct seen *items; /* in the order of the answers: by name, or by id */
    size_t count;
    bool totals_known;
    uint64_t totals_at_ms, incarnation, pid, put, delivered, acked, cpu_ms;
};

struct top_past *top_past_new(void)
{
    return mem_zalloc(1, sizeof(struct top_past));
}

static void items_free(struct seen *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(items[i].name);
    }
    free(items);
}

void top_past_free(struct top_past **past)
{
    if (*past != NULL) {
        items_free((*past)->items, (*past)->count);
    }
    free(*past);
    *past = NULL;
}

static int compare_names(const struct seen *seen, const struct top_row *row)
{
    if (row->name != NULL && seen->name != NULL) {
        return strcmp(seen->name, row->name);
    }
    return (seen->id > row->id) - (seen->id < row->id);
}

/* ---- fields ---------------------------------------------------------------------------------- */

uint64_t top_number(const stw_rows *rows, size_t row, const char *key)
{
    stw_value value;
    bool found = stw_rows_find(rows, row, key, &value) && value.type == STW_VALUE_NUMBER;
    return found ? value.number : 0;
}

const char *top_text(const stw_rows *rows, size_t row, const char *key)
{
    stw_value value;
    bool found = stw_rows_find(rows, row, key, &value) && value.type == STW_VALUE_TEXT;
    return found ? value.data : "";
}

static uint64_t rate_of(uint64_t before, uint64_t now, uint64_t elapsed_ms)
{
    return elapsed_ms > 0 && now >= before ? (now - before) * 1000000 / elapsed_ms : 0;
}

/* ---- the age of a queue's head --------------------------------------------------------------- */

/* Notes the next sequence at this time; old marks become fewer, the first one stays. */
static void mark(struct seen *seen, uint64_t at_ms, uint64_t next_sequence)
{
    size_t count = seen->marks_count;
    if (count > 0 && seen->marks[count - 1].next_sequence == next_sequence) {
        return; /* nothing was put since */
    }
    if (count == TOP_MARKS) {
        for (size_t i = 1; i < TOP_MARKS / 2; i++) {
            seen->marks[i] = seen->marks[2 * i];
        }
        count = TOP_MARKS / 2;
    }
    seen->marks[count] = (struct mark){at_ms, next_sequence};
    seen->marks_count = count + 1;
}

/*
 * The head was put before the first mark whose next sequence is beyond it. Was that the first look
 * of all, nobody knows how long before.
 */
static struct top_cell oldest(const struct seen *seen, uint64_t head, uint64_t at_ms)
{
    for (size_t i = 0; head != 0 && i < seen->marks_count; i++) {
        if (seen->marks[i].next_sequence > head) {
            return (struct top_cell){
                .known = true, .at_least = i == 0, .number = at_ms - seen->marks[i].at_ms};
        }
    }
    return (struct top_cell){0};
}

/* ---- rows ------------------------------------------------------------------------------------ */

struct source {
    const stw_rows *rows;
    size_t row;
};

static struct top_cell cell_of(const struct source *source, const struct top_column *column)
{
    stw_value value;
    struct top_cell cell = {0};
    if (!stw_rows_find(source->rows, source->row, column->key, &value)) {
        return cell;
    }
    bool text = column->kind == TOP_TEXT;
    cell.known = text == (value.type == STW_VALUE_TEXT);
    cell.number = value.number;
    cell.text = text && cell.known ? value.data : NULL;
    return cell;
}

/* Fills in the row, and what is remembered of it; before: NULL if it was not there. */
static void row_make(const struct top_look *look, const struct source *source, struct top_row *row,
                     const struct seen *before, struct seen *now)
{
    const struct top_view *view = &top_views[look->wish.view];
    now->at_ms = look->at_ms;
    now->age_ms = top_number(source->rows, source->row, "age_ms");
    if (before != NULL) {
        memcpy(now->marks, before->marks, sizeof(now->marks));
        now->marks_count = before->marks_count;
    }
    for (size_t i = 0; i < view->count; i++) {
        struct top_cell *cell = &row->cells[i];
        *cell = cell_of(source, &view->columns[i]);
        if (view->columns[i].kind == TOP_RATE) {
            now->counters[i] = cell->number;
            cell->known = cell->known && before != NULL && before->counters[i] <= cell->number;
            cell->number = cell->known ? rate_of(before->counters[i], cell->number,
                                                 look->at_ms - before->at_ms)
                                       : 0;
        } else if (view->columns[i].kind == TOP_OLDEST) {
            mark(now, look->at_ms, top_number(source->rows, source->row, "next_sequence"));
            *cell =
                oldest(now, top_number(source->rows, source->row, "head_sequence"), look->at_ms);
        }
    }
}

/* Another object under an old name, or a manager with another memory. */
static bool is_other(const struct seen *before, const struct source *source)
{
    stw_value age;
    return stw_rows_find(source->rows, source->row, "age_ms", &age) && age.number < before->age_ms;
}

static void row_add(struct top_look *look, const struct source *source, struct top_past *past,
                    struct seen *items, size_t *at)
{
    enum top_view_id view = look->wish.view;
    size_t order = look->count++;
    struct top_row *row = &look->rows[order];
    struct seen *now = &items[order];
    bool named = view == TOP_QUEUES || view == TOP_LOCKS;
    row->order = order;
    row->name = named ? top_text(source->rows, source->row, "name") : NULL;
    row->id =
        named ? 0 : top_number(source->rows, source->row, view == TOP_NODES ? "node" : "session");
    now->name = named ? strdup(row->name) : NULL;
    now->id = row->id;
    while (*at < past->count && compare_names(&past->items[*at], row) < 0) {
        (*at)++;
    }
    bool found = *at < past->count && compare_names(&past->items[*at], row) == 0 &&
                 !is_other(&past->items[*at], source);
    row_make(look, source, row, found ? &past->items[*at] : NULL, now);
}

static void totals(struct top_look *look, struct top_past *past)
{
    const stw_rows *stat = look->stat;
    struct top_past now = {.totals_known = true,
                           .totals_at_ms = look->at_ms,
                           .incarnation = top_number(stat, TOP_TOTALS, "incarnation"),
                           .pid = top_number(stat, TOP_PROCESS, "pid"),
                           .put = top_number(stat, TOP_TOTALS, "put"),
                           .delivered = top_number(stat, TOP_TOTALS, "delivered"),
                           .acked = top_number(stat, TOP_TOTALS, "acked"),
                           .cpu_ms = top_number(stat, TOP_PROCESS, "cpu_ms")};
    uint64_t elapsed_ms = now.totals_at_ms - past->totals_at_ms;
    if (past->totals_known && past->incarnation == now.incarnation && elapsed_ms > 0) {
        look->rates = (struct top_rates){
            .known = true,
            .put = rate_of(past->put, now.put, elapsed_ms),
            .delivered = rate_of(past->delivered, now.delivered, elapsed_ms),
            .acked = rate_of(past->acked, now.acked, elapsed_ms),
            .cpu = now.pid == past->pid ? rate_of(past->cpu_ms, now.cpu_ms, elapsed_ms) / 1000 : 0};
    }
    now.view = past->view;
    now.items = past->items;
    now.count = past->count;
    *past = now;
}

void top_rows_make(struct top_look *look, struct top_past *past)
{
    size_t most = 0, at = 0;
    bool nodes = look->wish.view == TOP_NODES;
    totals(look, past);
    if (past->view != look->wish.view) {
        items_free(past->items, past->count);
        past->items = NULL;
        past->count = 0;
        past->view = look->wish.view;
    }
    for (size_t i = 0; i < look->pages_count; i++) {
        most += stw_rows_count(look->pages[i]);
    }
    most = nodes ? stw_rows_count(look->stat) : most;
    look->rows = mem_zalloc(most + 1, sizeof(*look->rows));
    struct seen *items = mem_zalloc(most + 1, sizeof(*items));
    for (size_t row = TOP_STAT_NODES; nodes && row < most; row++) {
        row_add(look, &(struct source){look->stat, row}, past, items, &at);
    }
    for (size_t i = 0; i < look->pages_count; i++) {
        for (size_t row = 0; row < stw_rows_count(look->pages[i]); row++) {
            row_add(look, &(struct source){look->pages[i], row}, past, items, &at);
        }
    }
    items_free(past->items, past->count);
    past->items = items;
    past->count = look->count;
}

/* ---- order and filter ------------------------------------------------------------------------ */

struct sorting {
    size_t column;
    bool down;
};

static int compare_cells(const struct top_cell *a, const struct top_cell *b)
{
    if (a->known != b->known) {
        return a->known ? 1 : -1;
    }
    if (a->text != NULL && b->text != NULL) {
        return strcmp(a->text, b->text);
    }
    return (a->number > b->number) - (a->number < b->number);
}

static int compare_rows(const void *x, const void *y, void *context)
{
    const struct top_row *a = x, *b = y;
    const struct sorting *sorting = context;
    int order = compare_cells(&a->cells[sorting->column], &b->cells[sorting->column]);
    order = sorting->down ? -order : order;
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

void top_rows_sort(struct top_look *look, size_t column, bool down)
{
    struct sorting sorting = {column, down};
    qsort_r(look->rows, look->count, sizeof(*look->rows), compare_rows, &sorting);
}

bool top_row_passes(const struct top_view *view, const struct top_row *row, const char *filter)
{
    char number[24];
    if (filter[0] == '\0') {
        return true;
    }
    snprintf(number, sizeof(number), "%" PRIu64, row->id);
    const char *name = row->name != NULL ? row->name : number;
    if (filter[0] == '^') {
        return strncmp(name, filter + 1, strlen(filter + 1)) == 0;
    }
    bool found = strstr(name, filter) != NULL;
    for (size_t i = 0; i < view->count && !found; i++) {
        found = row->cells[i].text != NULL && strstr(row->cells[i].text, filter) != NULL;
    }
    return found;
}

/* ---- text ------------------------------------------------------------------------------------ */

const char *top_count_text(uint64_t number, char *text, size_t size)
{
    static const char LETTERS[] = "kMGTPE";
    double value = (double)number;
    size_t letter = 0;
    if (number < 100000) {
        snprintf(text, size, "%" PRIu64, number);
        return text;
    }
    value /= 1000;
    while (value >= 999.95) {
        value /= 1000;
        letter++;
    }
    snprintf(text, size, "%.*f%c", value < 99.95 ? 1 : 0, value, LETTERS[letter]);
    return text;
}

const char *top_rate_text(uint64_t rate, char *text, size_t size)
{
    if (rate > 0 && rate < 99950) {
        snprintf(text, size, "%.1f", (double)rate / 1000);
        return text;
    }
    return top_count_text((rate + 500) / 1000, text, size);
}

const char *top_cell_text(const struct top_column *column, const struct top_cell *cell, char *text)
{
    char inner[64];
    if (!cell->known) {
        return "-";
    }
    switch (column->kind) {
    case TOP_TEXT:
        snprintf(text, TOP_CELL_BYTES, "%s", cell->text);
        for (char *at = text; *at != '\0'; at++) { /* hosts and programs are what clients say */
            *at = (unsigned char)*at < 0x20 || *at == 0x7f ? '.' : *at;
        }
        return text;
    case TOP_COUNT: return top_count_text(cell->number, text, TOP_CELL_BYTES);
    case TOP_RATE: return top_rate_text(cell->number, text, TOP_CELL_BYTES);
    case TOP_AGE: return duration_text(cell->number, text, TOP_CELL_BYTES);
    case TOP_OLDEST:
        snprintf(text, TOP_CELL_BYTES, "%s%s", cell->at_least ? ">" : "",
                 duration_text(cell->number, inner, sizeof(inner)));
        return text;
    }
    return "-";
}
