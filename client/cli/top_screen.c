/*
 * The terminal of `steward top`, by ncurses: four lines about the whole, a table or a detail, a
 * line of help. Drawn anew from the newest look whenever one comes or a key was pressed; ncurses
 * sends the difference.
 */
#include "client/cli/top.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <wchar.h>

#define _XOPEN_SOURCE_EXTENDED 1
#include <curses.h>

/* lines of the screen */
enum { LINE_TITLE, LINE_SUMS, LINE_RATES, LINE_VIEWS, LINE_HEAD, LINE_ROWS };

/* columns: the name's at least, and at most */
#define NAME_WIDTH     12
#define NAME_WIDTH_MAX 60

/* milliseconds: the screen is drawn at least this often: times on it go on */
#define DRAW_MS 500

/* milliseconds: without a look beyond its interval, top says that the manager is silent */
#define SILENT_MS 2000

/* milliseconds: after an ESC this long for the rest of a key's sequence */
#define ESCAPE_MS 25

/* bytes: a line of text before it is cut to the screen */
#define LINE_BYTES 1024

/* ---- text on the screen ---------------------------------------------------------------------- */

/*
 * Draws text at a place, at most `width` columns wide, right-aligned if asked for. What could move
 * the cursor or change the terminal becomes a dot. Gives back how wide it was.
 */
static int put(int y, int x, int width, const char *text, bool right)
{
    wchar_t wide[LINE_BYTES];
    size_t count = 0, left = strlen(text);
    int used = 0;
    mbstate_t state = {0};
    while (left > 0 && count < LINE_BYTES - 1) {
        wchar_t c;
        size_t size = mbrtowc(&c, text, left, &state);
        if (size == (size_t)-1 || size == (size_t)-2 || size == 0) {
            memset(&state, 0, sizeof(state));
            c = L'.';
            size = 1;
        }
        int columns = wcwidth(c);
        c = columns < 1 ? L'.' : c;
        columns = columns < 1 ? 1 : columns;
        if (used + columns > width) {
            break;
        }
        wide[count++] = c;
        used += columns;
        text += size;
        left -= size;
    }
    wide[count] = L'\0';
    mvaddwstr(y, right ? x + width - used : x, wide);
    return used;
}

__attribute__((format(printf, 2, 3))) static void put_line(int y, const char *format, ...)
{
    char text[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    put(y, 0, COLS, text, false);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* "" or why what is shown is not of now. */
static const char *trouble(const struct top_screen *screen, char *text, size_t size)
{
    char age[64];
    uint64_t now_ms = top_now_ms();
    const struct top_look *look = screen->look;
    text[0] = '\0';
    if (screen->paused) {
        snprintf(text, size, "PAUSED");
    } else if (look != NULL && look->code != STW_OK) {
        snprintf(text, size, "%s", look->error[0] != '\0' ? look->error : stw_strerror(look->code));
    } else if (look == NULL || now_ms - look->at_ms > screen->interval_ms + SILENT_MS) {
        snprintf(text, size, "NO ANSWER%s%s", look ? " for " : "",
                 look ? duration_text(now_ms - look->at_ms, age, sizeof(age)) : " yet");
    }
    return text;
}

static void draw_title(const struct top_screen *screen)
{
    char text[512], uptime[64], node[96] = "";
    const stw_rows *stat = screen->look ? screen->look->stat : NULL;
    if (strcmp(top_text(stat, TOP_JOURNAL, "journal"), "raft") == 0) {
        snprintf(node, sizeof(node), "  node %" PRIu64 " leads, term %" PRIu64,
                 top_number(stat, TOP_JOURNAL, "leader"), top_number(stat, TOP_JOURNAL, "term"));
    } else if (stat != NULL) {
        snprintf(node, sizeof(node), "  in memory");
    }
    put_line(LINE_TITLE, "steward top  %s  up %s%s%s", top_text(stat, TOP_PROCESS, "version"),
             duration_text(top_number(stat, TOP_PROCESS, "uptime_ms"), uptime, sizeof(uptime)),
             node, top_number(stat, TOP_PROCESS, "draining") ? "  DRAINING" : "");
    trouble(screen, text, sizeof(text));
    if (text[0] != '\0') {
        int width = (int)strlen(text) + 2;
        attron(A_REVERSE | A_BOLD);
        put(LINE_TITLE, COLS > width ? COLS - width : 0, COLS, "  ", false);
        put(LINE_TITLE, COLS > width ? COLS - width + 1 : 0, COLS - 1, text, false);
        attroff(A_REVERSE | A_BOLD);
    }
}

static void draw_sums(const stw_rows *stat)
{
    char bytes[64], most[64], rss[64];
    put_line(LINE_SUMS,
             "memory %s of %s  process %s  sessions %" PRIu64 "  queues %" PRIu64 "  locks %" PRIu64
             "  waiting %" PRIu64 "%s",
             bytes_text(top_number(stat, TOP_TOTALS, "bytes"), bytes, sizeof(bytes)),
             bytes_text(top_number(stat, TOP_PROCESS, "memory_max_bytes"), most, sizeof(most)),
             bytes_text(top_number(stat, TOP_PROCESS, "rss_bytes"), rss, sizeof(rss)),
             top_number(stat, TOP_TOTALS, "sessions"), top_number(stat, TOP_TOTALS, "queues"),
             top_number(stat, TOP_TOTALS, "locks"), top_number(stat, TOP_TOTALS, "waiters"),
             top_number(stat, TOP_JOURNAL, "tight") ? "  DISK NEARLY FULL" : "");
}

static void draw_rates(const struct top_look *look)
{
    static const char *const KEYS[] = {"ready", "leased", "delayed", "dead"};
    const uint64_t rates[] = {look->rates.put, look->rates.delivered, look->rates.acked};
    char texts[7][32];
    for (size_t i = 0; i < 3; i++) {
        if (look->rates.known) {
            top_rate_text(rates[i], texts[i], sizeof(texts[i]));
        } else {
            snprintf(texts[i], sizeof(texts[i]), "-");
        }
    }
    for (size_t i = 0; i < 4; i++) {
        top_count_text(top_number(look->stat, TOP_TOTALS, KEYS[i]), texts[i + 3], sizeof(texts[0]));
    }
    put_line(
        LINE_RATES,
        "put %s/s  get %s/s  ack %s/s  ready %s  leased %s  delayed %s  dead %s  cpu %" PRIu64 "%%",
        texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], texts[6], look->rates.cpu / 10);
}

static void draw_views(const struct top_screen *screen)
{
    int x = 0;
    const struct top_look *look = screen->look;
    for (size_t i = 0; i < TOP_VIEWS && x < COLS; i++) {
        char text[64];
        snprintf(text, sizeof(text), " %zu %s ", i + 1, top_views[i].name);
        attrset(i == (size_t)screen->wish.view ? A_BOLD | A_REVERSE : A_NORMAL);
        x += put(LINE_VIEWS, x, COLS - x, text, false) + 1;
        attrset(A_NORMAL);
    }
    if (x < COLS && (screen->wish.filter[0] != '\0' || (look != NULL && look->more))) {
        char text[LINE_BYTES];
        bool filtered = screen->wish.filter[0] != '\0';
        snprintf(text, sizeof(text), " %s%s%s", filtered ? "filter: " : "", screen->wish.filter,
                 look != NULL && look->more ? "  (only the first ones; /^NAME for others)" : "");
        put(LINE_VIEWS, x, COLS - x, text, false);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

/* The shown row of that number. */
static const struct top_row *row_at(const struct top_screen *screen, size_t number)
{
    const struct top_look *look = screen->look;
    for (size_t i = 0; look != NULL && i < look->count; i++) {
        if (top_row_passes(&top_views[look->wish.view], &look->rows[i], screen->wish.filter) &&
            number-- == 0) {
            return &look->rows[i];
        }
    }
    return NULL;
}

const struct top_row *top_selected(const struct top_screen *screen)
{
    return screen->wish.detail ? NULL : row_at(screen, screen->selected);
}

static bool is_at(const struct top_screen *screen, const struct top_row *row)
{
    return screen->at_known && row->id == screen->at_id &&
           strcmp(row->name ? row->name : "", screen->at_name) == 0;
}

/* Sorts; counts what is shown; the cursor stays with its object. */
static void arrange(struct top_screen *screen)
{
    struct top_look *look = screen->look;
    enum top_view_id view = look->wish.view;
    top_rows_sort(look, screen->sort[view], screen->down[view]);
    screen->shown = 0;
    for (size_t i = 0; i < look->count; i++) {
        if (top_row_passes(&top_views[view], &look->rows[i], screen->wish.filter)) {
            screen->selected = is_at(screen, &look->rows[i]) ? screen->shown : screen->selected;
            screen->shown++;
        }
    }
    if (screen->selected >= screen->shown) {
        screen->selected = screen->shown > 0 ? screen->shown - 1 : 0;
    }
    size_t page = screen->page > 0 ? (size_t)screen->page : 1;
    if (screen->selected < screen->scroll) {
        screen->scroll = screen->selected;
    } else if (screen->selected >= screen->scroll + page) {
        screen->scroll = screen->selected - page + 1;
    }
}

static int name_width(const struct top_view *view)
{
    int width = COLS;
    for (size_t i = 0; i < view->count; i++) {
        width -= view->columns[i].width + (i > 0);
    }
    return width < NAME_WIDTH ? NAME_WIDTH : width > NAME_WIDTH_MAX ? NAME_WIDTH_MAX : width;
}

/* row NULL: the titles. */
static void draw_row(const struct top_screen *screen, int y, const struct top_row *row)
{
    char text[TOP_CELL_BYTES];
    const struct top_view *view = &top_views[screen->wish.view];
    int x = 0, wide = name_width(view);
    for (size_t i = 0; i < view->count && x < COLS; i++) {
        const struct top_column *column = &view->columns[i];
        int width = column->width > 0 ? column->width : wide;
        const char *shown =
            row == NULL ? column->title : top_cell_text(column, &row->cells[i], text);
        bool sorted = row == NULL && screen->sort[screen->wish.view] == i;
        if (sorted) {
            attron(A_UNDERLINE);
        }
        put(y, x, width < COLS - x ? width : COLS - x, shown, column->kind != TOP_TEXT);
        if (sorted) {
            attroff(A_UNDERLINE);
        }
        x += width + 1;
    }
}

static void draw_bar(int y, attr_t attributes)
{
    attrset((int)attributes);
    mvhline(y, 0, ' ' | attributes, COLS);
}

static void draw_table(struct top_screen *screen)
{
    draw_bar(LINE_HEAD, A_BOLD);
    draw_row(screen, LINE_HEAD, NULL);
    attrset(A_NORMAL);
    for (int i = 0; i < screen->page; i++) {
        size_t number = screen->scroll + (size_t)i;
        const struct top_row *row = row_at(screen, number);
        if (row == NULL) {
            break;
        }
        if (number == screen->selected) {
            draw_bar(LINE_ROWS + i, A_REVERSE);
        }
        draw_row(screen, LINE_ROWS + i, row);
        attrset(A_NORMAL);
    }
    if (screen->shown == 0) {
        put_line(LINE_ROWS, "(no %s%s)", top_views[screen->wish.view].name,
                 screen->wish.filter[0] != '\0' ? " that pass the filter" : "");
    }
}

/* ---- one object ------------------------------------------------------------------------------ */

/* Lines beyond the page, and before what is scrolled to, are only counted. */
static void draw_detail_line(struct top_screen *screen, const char *text)
{
    size_t number = screen->shown++;
    if (number >= screen->scroll && number < screen->scroll + (size_t)screen->page) {
        put(LINE_ROWS + (int)(number - screen->scroll), 0, COLS, text, false);
    }
}

/* A field a line. */
static void draw_fields(struct top_screen *screen, const stw_rows *rows, size_t row)
{
    char text[LINE_BYTES], inner[TOP_CELL_BYTES];
    stw_value value;
    for (size_t i = 0; stw_rows_value(rows, row, i, &value); i++) {
        snprintf(text, sizeof(text), "  %-18s %s", value.key,
                 value_text(&value, inner, sizeof(inner)));
        draw_detail_line(screen, text);
    }
}

/* A row a line: holders, waiters, items. */
static void draw_compact(struct top_screen *screen, const stw_rows *rows, size_t row)
{
    char text[LINE_BYTES] = " ", inner[TOP_CELL_BYTES];
    stw_value value;
    for (size_t i = 0; stw_rows_value(rows, row, i, &value); i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " %s=%s", value.key,
                 value_text(&value, inner, sizeof(inner)));
    }
    draw_detail_line(screen, text);
}

static void draw_rates_of(struct top_screen *screen)
{
    char text[LINE_BYTES], inner[TOP_CELL_BYTES];
    const struct top_view *view = &top_views[screen->wish.view];
    const struct top_look *look = screen->look;
    for (size_t i = 0; i < look->count; i++) {
        const struct top_row *row = &look->rows[i];
        if (row->id != screen->wish.id ||
            strcmp(row->name ? row->name : "", screen->wish.name) != 0) {
            continue;
        }
        for (size_t k = 0; k < view->count; k++) {
            if (view->columns[k].kind == TOP_RATE || view->columns[k].kind == TOP_OLDEST) {
                snprintf(text, sizeof(text), "  %-18s %s", view->columns[k].title,
                         top_cell_text(&view->columns[k], &row->cells[k], inner));
                draw_detail_line(screen, text);
            }
        }
    }
}

static void draw_node(struct top_screen *screen)
{
    const stw_rows *stat = screen->look->stat;
    for (size_t row = TOP_STAT_NODES; row < stw_rows_count(stat); row++) {
        if (top_number(stat, row, "node") == screen->wish.id) {
            draw_fields(screen, stat, row);
        }
    }
    draw_detail_line(screen, "");
    draw_detail_line(screen, "The node that answers:");
    draw_fields(screen, stat, TOP_JOURNAL);
}

static void draw_detail(struct top_screen *screen)
{
    const struct top_look *look = screen->look;
    char id[24];
    snprintf(id, sizeof(id), "%" PRIu64, screen->wish.id);
    draw_bar(LINE_HEAD, A_BOLD);
    put_line(LINE_HEAD, "%s %s", top_views[screen->wish.view].one,
             screen->wish.name[0] != '\0' ? screen->wish.name : id);
    attrset(A_NORMAL);
    screen->shown = 0;
    if (look->detail_code != STW_OK) {
        screen->scroll = 0;
        draw_detail_line(screen, stw_strerror(look->detail_code));
        return;
    }
    if (screen->wish.view == TOP_NODES) {
        draw_node(screen);
        return;
    }
    draw_rates_of(screen);
    draw_fields(screen, look->detail[0], 0);
    for (size_t i = 0; i < 2; i++) {
        size_t first = i == 0 ? 1 : 0;
        if (stw_rows_count(look->detail[i]) > first) {
            draw_detail_line(screen, "");
            draw_detail_line(screen, i == 0 ? "Holders and waiters:" : "Next items:");
        }
        for (size_t row = first; row < stw_rows_count(look->detail[i]); row++) {
            draw_compact(screen, look->detail[i], row);
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void draw_help(void)
{
    static const char *const LINES_OF_HELP[] = {
        "1 2 3 4, Tab      queues, locks, sessions, nodes",
        "Up Down PgUp PgDn Home End, j k",
        "Enter, Right      look at the object under the cursor",
        "Esc, Left         back; then: no filter",
        "s > <             sort by the next, the previous column (it is underlined)",
        "r                 the other way round",
        "/                 filter: rows that have this in a text; ^x: names that begin with x",
        "p                 pause, and go on",
        "+ -               look less, more often",
        "q                 leave",
        "",
        "OLDEST is how long the next item of a queue is known to be there; > : it may be older.",
        "Each number is explained in docs/statistics.md.",
    };
    for (size_t i = 0; i < sizeof(LINES_OF_HELP) / sizeof(LINES_OF_HELP[0]); i++) {
        put(LINE_ROWS + (int)i, 2, COLS - 2, LINES_OF_HELP[i], false);
    }
}

static void draw_foot(const struct top_screen *screen)
{
    draw_bar(LINES - 1, A_REVERSE);
    if (screen->editing) {
        put_line(LINES - 1, "filter: %s_", screen->wish.filter);
    } else {
        char every[64];
        put_line(LINES - 1,
                 "q leave  ? help  Enter look  / filter  s sort  r reverse  p pause  "
                 "every %s",
                 duration_text(screen->interval_ms, every, sizeof(every)));
    }
    attrset(A_NORMAL);
}

/* Is it the object under the title? Until the next look comes, it is the one before. */
static bool is_wished(const struct top_screen *screen, const struct top_wish *seen)
{
    const struct top_wish *wish = &screen->wish;
    return seen->detail && seen->id == wish->id && strcmp(seen->name, wish->name) == 0;
}

static void draw(struct top_screen *screen)
{
    const struct top_look *look = screen->look;
    erase();
    screen->page = LINES - LINE_ROWS - 1 > 0 ? LINES - LINE_ROWS - 1 : 0;
    draw_title(screen);
    if (look != NULL && look->stat != NULL) {
        draw_sums(look->stat);
        draw_rates(look);
    }
    draw_views(screen);
    bool fits = look != NULL && look->stat != NULL && look->wish.view == screen->wish.view;
    if (screen->help) {
        draw_help();
    } else if (fits && screen->wish.detail && is_wished(screen, &look->wish)) {
        draw_detail(screen);
    } else if (fits && !screen->wish.detail) {
        arrange(screen);
        draw_table(screen);
    }
    draw_foot(screen);
    refresh();
}

/* A look that failed says why, but what was there before stays on the screen. */
static void look_take(struct top_screen *screen)
{
    struct top_look *look = top_feed_next(screen->feed);
    if (look == NULL) {
        return;
    }
    if (look->code != STW_OK && screen->look != NULL && screen->look->stat != NULL) {
        screen->look->code = look->code;
        memcpy(screen->look->error, look->error, sizeof(look->error));
        top_look_free(&look);
        return;
    }
    top_look_free(&screen->look);
    screen->look = look;
}

static void keys_take(struct top_screen *screen)
{
    wint_t key;
    int kind;
    while ((kind = get_wch(&key)) != ERR) {
        top_key(screen, kind == KEY_CODE_YES, (unsigned)key);
    }
}

static void serve(struct cli *cli, struct top_screen *screen)
{
    bool from_terminal, gone = false;
    while (!screen->quit && cli->interrupted == 0 && !gone) {
        struct pollfd polls[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                 {.fd = top_feed_fd(screen->feed), .events = POLLIN},
                                 {.fd = cli->signals_fd, .events = POLLIN}};
        draw(screen);
        (void)poll(polls, 3, DRAW_MS); /* EINTR: the size has changed, the keys say so */
        if (polls[2].revents != 0) {
            cli->interrupted = signal_next(cli, &from_terminal);
        }
        gone = (polls[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
        look_take(screen);
        keys_take(screen);
    }
}

/* ---- begin and end --------------------------------------------------------------------------- */

/* Names are UTF-8, whatever the environment says of itself. */
static void locale_set(void)
{
    if (setlocale(LC_CTYPE, "") == NULL || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    }
}

static SCREEN *terminal_begin(void)
{
    locale_set();
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (terminal != NULL) {
        set_escdelay(ESCAPE_MS);
        cbreak();
        noecho();
        nonl();
        keypad(stdscr, TRUE);
        nodelay(stdscr, TRUE);
        (void)curs_set(0);
    }
    return terminal;
}

static int terminal_run(struct cli *cli, struct top_screen *screen, const sigset_t *before)
{
    SCREEN *terminal = terminal_begin();
    if (terminal == NULL) {
        const char *name = getenv("TERM");
        return fail(cli, "the terminal '%s' is not known; --once prints a table",
                    name != NULL ? name : "");
    }
    screen->feed = top_feed_start(cli->client, &screen->wish, screen->interval_ms);
    pthread_sigmask(SIG_SETMASK, before, NULL);
    bool fed = screen->feed != NULL;
    if (fed) {
        serve(cli, screen);
        top_feed_stop(&screen->feed);
        top_look_free(&screen->look);
    }
    endwin();
    delscreen(terminal);
    return fed ? EXIT_DONE : fail(cli, "there is no room for another thread");
}

/* SIGQUIT, too: a terminal that dies with it is left without echo. */
static void quit_watch(struct cli *cli)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    (void)signalfd(cli->signals_fd, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Only this thread gets signals: it is the one that ncurses expects them in. */
int top_screen_run(struct cli *cli, const struct top_wish *wish, uint64_t interval_ms)
{
    struct top_screen screen = {.cli = cli, .wish = *wish, .interval_ms = interval_ms};
    sigset_t all, before;
    for (size_t i = 0; i < TOP_VIEWS; i++) {
        screen.sort[i] = top_views[i].sort;
        screen.down[i] = top_views[i].down;
    }
    signals_watch(cli);
    quit_watch(cli);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int code = client_open(cli);
    if (code == EXIT_DONE) {
        code = terminal_run(cli, &screen, &before);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}
