/*
 * `steward top`: what its files share.
 *
 *   top.c         the command; --once and --json
 *   top_table.c   views and columns; answers into rows of cells; rates, ages, order, filter
 *   top_feed.c    asks the manager, in a thread of its own
 *   top_screen.c  the terminal: drawing      top_keys.c  the terminal: keys
 *
 * A look is all that was answered at one time. The feed makes looks, whoever shows them owns them.
 */
#ifndef CLIENT_CLI_TOP_H
#define CLIENT_CLI_TOP_H

#include "client/cli/cli.h"

/* count: columns of the widest view, and cells of a row */
#define TOP_COLUMNS 12

/* count: rows looked at; more would be a load on the manager. A filter with ^ gets at others */
#define TOP_ROWS_MAX 5000

/* count: pages of rows; a page has at least the rows that fit 192 KiB */
#define TOP_PAGES_MAX 64

/* bytes: a name or a filter with its NUL */
#define TOP_NAME_BYTES 256

/* bytes: a cell as text */
#define TOP_CELL_BYTES 320

/* count: times at which a queue's next sequence was noted, to tell the age of its head */
#define TOP_MARKS 32

enum top_view_id { TOP_QUEUES, TOP_LOCKS, TOP_SESSIONS, TOP_NODES, TOP_VIEWS };

enum top_kind {
    TOP_TEXT,
    TOP_COUNT,
    TOP_RATE,  /* of a counter: thousandths a second */
    TOP_AGE,   /* milliseconds */
    TOP_OLDEST /* milliseconds: since when the head of a queue is known to be there */
};

struct top_column {
    const char *key; /* of the answer's field; TOP_OLDEST: of --json alone */
    const char *title;
    enum top_kind kind;
    int width; /* columns of the terminal; 0: what the others leave */
};

struct top_view {
    const char *name, *one; /* "queues", "queue" */
    const struct top_column *columns;
    size_t count;
    size_t sort; /* this column at first */
    bool down;   /* the largest first */
};

extern const struct top_view top_views[TOP_VIEWS];

struct top_cell {
    bool known;
    bool at_least; /* TOP_OLDEST: it may be older */
    uint64_t number;
    const char *text; /* TOP_TEXT: in the look's rows */
};

struct top_row {
    const char *name; /* of queues and locks; NULL: id tells */
    uint64_t id;
    size_t order; /* among the answers */
    struct top_cell cells[TOP_COLUMNS];
};

/* Sums over all, from STAT and its like. */
struct top_rates {
    bool known;
    uint64_t put, delivered, acked; /* thousandths a second */
    uint64_t cpu;                   /* thousandths of a processor */
};

/* What is wanted of the next look. */
struct top_wish {
    enum top_view_id view;
    char filter[TOP_NAME_BYTES]; /* "": all; "^x": names that begin with x; else: that have it */
    bool detail;                 /* of one object, too */
    char name[TOP_NAME_BYTES];
    uint64_t id;
};

struct top_look {
    struct top_wish wish; /* what it answers */
    int code;             /* STW_OK, or why there is nothing */
    char error[256];
    uint64_t at_ms; /* CLOCK_MONOTONIC */
    stw_rows *stat; /* totals, gateway, process, journal, nodes */
    struct top_rates rates;
    stw_rows *pages[TOP_PAGES_MAX];
    size_t pages_count;
    struct top_row *rows;
    size_t count;
    bool more; /* rows were left out */
    int detail_code;
    stw_rows *detail[2]; /* the object; its first items. NULL: none */
};

/* Rows of look->stat. */
enum { TOP_TOTALS, TOP_GATEWAY, TOP_PROCESS, TOP_JOURNAL, TOP_STAT_NODES };

/* Frees it, and sets the pointer to NULL. */
void top_look_free(struct top_look **pointer);

/* ---- top_table.c ----------------------------------------------------------------------------- */

/* What was seen at the last look: rates are differences. */
struct top_past;
struct top_past *top_past_new(void);
void top_past_free(struct top_past **past);

/* The rows of look->pages (nodes: of look->stat) as cells, in the order of the answers. */
void top_rows_make(struct top_look *look, struct top_past *past);
/* The order of a column; equal ones as they were answered. */
void top_rows_sort(struct top_look *look, size_t column, bool down);
/* Does the view's row pass the filter? */
bool top_row_passes(const struct top_view *view, const struct top_row *row, const char *filter);
/* A cell for people; text has TOP_CELL_BYTES. */
const char *top_cell_text(const struct top_column *column, const struct top_cell *cell, char *text);
/* A number that may be large: "950", "12.3k", "4.0M". */
const char *top_count_text(uint64_t number, char *text, size_t size);
/* Thousandths a second. */
const char *top_rate_text(uint64_t rate, char *text, size_t size);
/* A number of a row; 0: there is none. */
uint64_t top_number(const stw_rows *rows, size_t row, const char *key);
/* A text of a row; "": there is none. */
const char *top_text(const stw_rows *rows, size_t row, const char *key);

/* ---- top_feed.c ------------------------------------------------------------------------------ */

struct top_feed;

/* Asks once and waits for the answer; never NULL. */
struct top_look *top_look_take(stw_client *client, const struct top_wish *wish,
                               struct top_past *past);
/* A thread that takes a look every interval_ms. The client is borrowed. NULL: no thread. */
struct top_feed *top_feed_start(stw_client *client, const struct top_wish *wish,
                                uint64_t interval_ms);
/* Ends the thread, whatever it waits for. */
void top_feed_stop(struct top_feed **pointer);
/* Readable when there is a new look. */
int top_feed_fd(const struct top_feed *feed);
/* The newest look that was not taken yet, now the caller's; NULL: none. */
struct top_look *top_feed_next(struct top_feed *feed);
/* From now on this is wanted, beginning at once. */
void top_feed_wish(struct top_feed *feed, const struct top_wish *wish);
void top_feed_interval(struct top_feed *feed, uint64_t interval_ms);
void top_feed_pause(struct top_feed *feed, bool paused);
/* CLOCK_MONOTONIC in milliseconds. */
uint64_t top_now_ms(void);

/* ---- top_screen.c, top_keys.c ---------------------------------------------------------------- */

/* What the terminal shows. */
struct top_screen {
    const struct cli *cli;
    struct top_feed *feed;
    struct top_look *look; /* the newest; NULL: none yet */
    struct top_wish wish;
    size_t sort[TOP_VIEWS];
    bool down[TOP_VIEWS];
    size_t selected;              /* row, among those shown */
    size_t scroll;                /* first row, or first line of a detail, on the screen */
    size_t shown;                 /* rows there are to show */
    int page;                     /* lines of rows on the screen */
    char at_name[TOP_NAME_BYTES]; /* the object under the cursor: it stays there */
    uint64_t at_id;
    bool at_known;
    bool editing; /* the filter is being written */
    bool help, paused, quit;
    uint64_t interval_ms;
};

/* The live table until it is left. The exit code. */
int top_screen_run(struct cli *cli, const struct top_wish *wish, uint64_t interval_ms);
/* A key, as get_wch gave it. */
void top_key(struct top_screen *screen, bool special, unsigned key);
/* The row under the cursor; NULL: there is none. */
const struct top_row *top_selected(const struct top_screen *screen);

#endif
