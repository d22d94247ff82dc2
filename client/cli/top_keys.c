/* The keys of `steward top`. The help that they show stands in top_screen.c. */
#include "client/cli/top.h"

#include <string.h>

#define _XOPEN_SOURCE_EXTENDED 1
#include <curses.h>

/* milliseconds: + and - step between these */
static const uint64_t INTERVALS_MS[] = {200, 500, 1000, 2000, 5000, 10000, 30000, 60000};
#define INTERVALS (sizeof(INTERVALS_MS) / sizeof(INTERVALS_MS[0]))

enum { KEY_ESCAPE = 27, KEY_DELETE = 127, KEY_CTRL_H = 8, KEY_CTRL_U = 21 };

/* ---- what keys do ---------------------------------------------------------------------------- */

static void wish(struct top_screen *screen)
{
    top_feed_wish(screen->feed, &screen->wish);
}

static void view_set(struct top_screen *screen, enum top_view_id view)
{
    screen->wish.view = view;
    screen->wish.detail = false;
    screen->selected = screen->scroll = 0;
    screen->at_known = false;
    wish(screen);
}

static void view_turn(struct top_screen *screen, size_t by)
{
    view_set(screen, (enum top_view_id)(((size_t)screen->wish.view + by) % TOP_VIEWS));
}

static void detail_open(struct top_screen *screen)
{
    const struct top_row *row = top_selected(screen);
    if (row == NULL || screen->wish.detail) {
        return;
    }
    screen->wish.detail = true;
    screen->wish.id = row->id;
    snprintf(screen->wish.name, sizeof(screen->wish.name), "%s", row->name ? row->name : "");
    screen->scroll = 0;
    wish(screen);
}

/* Back by one: from a detail to the table, from a filtered table to the whole one. */
static void back(struct top_screen *screen)
{
    if (screen->wish.detail) {
        screen->wish.detail = false;
        screen->scroll = 0;
        wish(screen);
    } else if (screen->wish.filter[0] != '\0') {
        screen->wish.filter[0] = '\0';
        wish(screen);
    }
}

static void sort_turn(struct top_screen *screen, size_t by)
{
    size_t *sort = &screen->sort[screen->wish.view];
    const struct top_view *view = &top_views[screen->wish.view];
    *sort = (*sort + by) % view->count;
    screen->down[screen->wish.view] = view->columns[*sort].kind != TOP_TEXT;
}

static void interval_step(struct top_screen *screen, bool longer)
{
    uint64_t now_ms = screen->interval_ms, best_ms = now_ms;
    for (size_t i = 0; i < INTERVALS; i++) {
        uint64_t step_ms = INTERVALS_MS[longer ? INTERVALS - 1 - i : i];
        best_ms = (longer ? step_ms > now_ms : step_ms < now_ms) ? step_ms : best_ms;
    }
    screen->interval_ms = best_ms;
    top_feed_interval(screen->feed, best_ms);
}

/* The cursor in a table, the lines of a detail. */
static void move_by(struct top_screen *screen, long by)
{
    size_t *place = screen->wish.detail ? &screen->scroll : &screen->selected;
    size_t page = screen->wish.detail ? (size_t)screen->page : 1;
    size_t last = screen->shown > page ? screen->shown - page : 0;
    long to = (long)*place + by;
    *place = to < 0 ? 0 : (size_t)to > last ? last : (size_t)to;
    const struct top_row *row = screen->wish.detail ? NULL : top_selected(screen);
    if (row != NULL) {
        screen->at_known = true;
        screen->at_id = row->id;
        snprintf(screen->at_name, sizeof(screen->at_name), "%s", row->name ? row->name : "");
    }
}

/* ---- the filter ------------------------------------------------------------------------------ */

/* Takes the last character off, not only its last byte. */
static void rub_out(char *text)
{
    size_t size = strlen(text);
    while (size > 0 && ((unsigned char)text[size - 1] & 0xc0) == 0x80) {
        size--;
    }
    text[size > 0 ? size - 1 : 0] = '\0';
}

static void type(char *text, size_t room, unsigned key)
{
    unsigned char bytes[4];
    size_t size = key < 0x80 ? 1 : key < 0x800 ? 2 : key < 0x10000 ? 3 : 4;
    size_t used = strlen(text);
    static const unsigned char FIRST[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = size; i-- > 1; key >>= 6) {
        bytes[i] = (unsigned char)(0x80 | (key & 0x3f));
    }
    bytes[0] = (unsigned char)(FIRST[size] | key);
    if (used + size < room) {
        memcpy(text + used, bytes, size);
        text[used + size] = '\0';
    }
}

static void edit(struct top_screen *screen, bool special, unsigned key)
{
    char *text = screen->wish.filter;
    bool end = special ? key == KEY_ENTER : key == '\n' || key == '\r' || key == KEY_ESCAPE;
    if (end) {
        screen->editing = false;
        text[!special && key == KEY_ESCAPE ? 0 : strlen(text)] = '\0';
    } else if (special ? key == KEY_BACKSPACE : key == KEY_DELETE || key == KEY_CTRL_H) {
        rub_out(text);
    } else if (!special && key == KEY_CTRL_U) {
        text[0] = '\0';
    } else if (!special && key >= 0x20 && !(key >= 0x80 && key < 0xa0)) {
        type(text, sizeof(screen->wish.filter), key);
    }
    screen->selected = screen->scroll = 0;
    screen->at_known = false;
    wish(screen);
}

/* ---- which key ------------------------------------------------------------------------------- */

static void special_key(struct top_screen *screen, unsigned key)
{
    switch (key) {
    case KEY_UP: move_by(screen, -1); break;
    case KEY_DOWN: move_by(screen, 1); break;
    case KEY_PPAGE: move_by(screen, -(long)screen->page); break;
    case KEY_NPAGE: move_by(screen, screen->page); break;
    case KEY_HOME: move_by(screen, -(long)TOP_ROWS_MAX * 2); break;
    case KEY_END: move_by(screen, (long)TOP_ROWS_MAX * 2); break;
    case KEY_ENTER:
    case KEY_RIGHT: detail_open(screen); break;
    case KEY_LEFT:
    case KEY_BACKSPACE: back(screen); break;
    case KEY_BTAB: view_turn(screen, TOP_VIEWS - 1); break;
    default: break; /* KEY_RESIZE: the next drawing knows */
    }
}

static void plain_key(struct top_screen *screen, unsigned key)
{
    switch (key) {
    case 'q': screen->quit = true; break;
    case '1':
    case '2':
    case '3':
    case '4': view_set(screen, (enum top_view_id)(key - '1')); break;
    case '\t': view_turn(screen, 1); break;
    case 's':
    case '>': sort_turn(screen, 1); break;
    case '<': sort_turn(screen, top_views[screen->wish.view].count - 1); break;
    case 'r': screen->down[screen->wish.view] = !screen->down[screen->wish.view]; break;
    case '/': screen->editing = !screen->wish.detail; break;
    case '\n':
    case '\r': detail_open(screen); break;
    case KEY_ESCAPE:
    case KEY_DELETE:
    case KEY_CTRL_H: back(screen); break;
    case 'j': move_by(screen, 1); break;
    case 'k': move_by(screen, -1); break;
    case 'p':
        screen->paused = !screen->paused;
        top_feed_pause(screen->feed, screen->paused);
        break;
    case '+': interval_step(screen, true); break;
    case '-': interval_step(screen, false); break;
    case 'h':
    case '?': screen->help = true; break;
    default: break;
    }
}

void top_key(struct top_screen *screen, bool special, unsigned key)
{
    if (special && key == KEY_RESIZE) {
        return;
    }
    if (screen->help) {
        screen->help = false; /* any key ends it */
    } else if (screen->editing) {
        edit(screen, special, key);
    } else if (special) {
        special_key(screen, key);
    } else {
        plain_key(screen, key);
    }
}
