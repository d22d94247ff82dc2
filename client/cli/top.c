/*
 * `steward top`: queues, locks, sessions and nodes, live on a terminal, or once as a table.
 */
#include "client/cli/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* milliseconds: between two looks by default, and at least */
#define INTERVAL_MS     1000
#define INTERVAL_MIN_MS 100

/* false: there is no view of that name. */
static bool view_parse(const char *text, enum top_view_id *view)
{
    for (size_t i = 0; i < TOP_VIEWS; i++) {
        if (strcmp(text, top_views[i].name) == 0) {
            *view = (enum top_view_id)i;
            return true;
        }
    }
    return false;
}

/* ---- once ------------------------------------------------------------------------------------ */

static void row_json(const struct top_view *view, const struct top_row *row)
{
    char key[64];
    struct line *line = line_begin();
    for (size_t i = 0; i < view->count; i++) {
        const struct top_column *column = &view->columns[i];
        const struct top_cell *cell = &row->cells[i];
        if (!cell->known) {
            continue;
        }
        if (column->kind == TOP_RATE) {
            snprintf(key, sizeof(key), "%s_per_s", column->key);
            line_real(line, key, (double)cell->number / 1000);
        } else if (column->kind == TOP_TEXT) {
            line_text(line, column->key, cell->text);
        } else {
            line_u64(line, column->key, cell->number);
        }
        if (column->kind == TOP_OLDEST) {
            line_bool(line, "oldest_at_least", cell->at_least);
        }
    }
    line_print(&line, stdout);
}

/* Characters of UTF-8: near enough to columns for a table. */
static size_t length(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++) {
        count += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return count;
}

static size_t width_of(const struct top_look *look, size_t column)
{
    char text[TOP_CELL_BYTES];
    const struct top_view *view = &top_views[look->wish.view];
    size_t width = length(view->columns[column].title);
    for (size_t row = 0; row < look->count; row++) {
        size_t size =
            length(top_cell_text(&view->columns[column], &look->rows[row].cells[column], text));
        width = size > width ? size : width;
    }
    return width;
}

static void cell_print(const struct top_column *column, const char *text, size_t width, bool last)
{
    size_t size = length(text);
    int gap = size < width ? (int)(width - size) : 0;
    if (column->kind != TOP_TEXT) {
        printf("%*s%s", gap, "", text);
    } else {
        printf("%s%*s", text, last ? 0 : gap, "");
    }
    printf("%s", last ? "\n" : "  ");
}

static void table_print(const struct top_look *look)
{
    char text[TOP_CELL_BYTES];
    size_t widths[TOP_COLUMNS] = {0};
    const struct top_view *view = &top_views[look->wish.view];
    for (size_t i = 0; i < view->count; i++) {
        widths[i] = width_of(look, i);
        cell_print(&view->columns[i], view->columns[i].title, widths[i], i + 1 == view->count);
    }
    for (size_t row = 0; row < look->count; row++) {
        const struct top_row *shown = &look->rows[row];
        for (size_t i = 0; i < view->count && top_row_passes(view, shown, look->wish.filter); i++) {
            cell_print(&view->columns[i], top_cell_text(&view->columns[i], &shown->cells[i], text),
                       widths[i], i + 1 == view->count);
        }
    }
    if (look->more) {
        fprintf(stderr, "steward: top: only the first %zu; --filter ^NAME shows others\n",
                look->count);
    }
}

static int once_print(const struct cli *cli, struct top_look *look)
{
    const struct top_view *view = &top_views[look->wish.view];
    if (look->code != STW_OK) {
        return fail_code(cli, look->code, look->error);
    }
    top_rows_sort(look, view->sort, view->down);
    if (!given(cli, OPTION_JSON)) {
        table_print(look);
        return EXIT_DONE;
    }
    for (size_t row = 0; row < look->count; row++) {
        if (top_row_passes(view, &look->rows[row], look->wish.filter)) {
            row_json(view, &look->rows[row]);
        }
    }
    return EXIT_DONE;
}

/* Rates need two looks. */
static int run_once(struct cli *cli, const struct top_wish *wish, uint64_t interval_ms)
{
    struct top_past *past = top_past_new();
    struct top_look *look = top_look_take(cli->client, wish, past);
    if (look->code == STW_OK) {
        top_look_free(&look);
        nanosleep(&(struct timespec){.tv_sec = (time_t)(interval_ms / 1000),
                                     .tv_nsec = (long)(interval_ms % 1000) * 1000000},
                  NULL);
        look = top_look_take(cli->client, wish, past);
    }
    int code = once_print(cli, look);
    top_look_free(&look);
    top_past_free(&past);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------- */

int cmd_top(struct cli *cli)
{
    struct top_wish wish = {.view = TOP_QUEUES};
    uint64_t interval_ms = option_number(cli, OPTION_INTERVAL, INTERVAL_MS);
    bool once = given(cli, OPTION_ONCE) || given(cli, OPTION_JSON);
    const char *filter = cli->texts[OPTION_FILTER];
    if (cli->operands_count > 0 && !view_parse(cli->operands[0], &wish.view)) {
        return usage(cli, "'%s' is not one of queues, locks, sessions, nodes", cli->operands[0]);
    }
    if (interval_ms < INTERVAL_MIN_MS) {
        return usage(cli, "--interval: %d ms at least", INTERVAL_MIN_MS);
    }
    if (filter != NULL && strlen(filter) >= sizeof(wish.filter)) {
        return usage(cli, "--filter: %zu bytes at most", sizeof(wish.filter) - 1);
    }
    snprintf(wish.filter, sizeof(wish.filter), "%s", filter != NULL ? filter : "");
    if (!once && (!isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))) {
        return usage(cli, "here is no terminal; --once prints a table, --json lines of JSON");
    }
    if (!once) {
        return top_screen_run(cli, &wish, interval_ms);
    }
    int code = client_open(cli);
    return code != EXIT_DONE ? code : run_once(cli, &wish, interval_ms);
}
