/*
 * The `steward` command: what its files share.
 *
 *   main.c      runs one command            commands.c  the table of commands
 *   options.c   the table of options        help.c      what --help prints, from both tables
 *   common.c    client, errors, exit codes  wait.c      futures and signals at once
 *   output.c    JSON, tables, durations     child.c     runs CMD (child.h)
 *   pages.c     lists page by page (pages.h)
 *   top*.c      the live table (top.h)
 * and one file per command. To add a command: a file with its cmd_ function and a row in
 * commands.c; to add an option: an id below and a row in options.c.
 */
#ifndef CLIENT_CLI_CLI_H
#define CLIENT_CLI_CLI_H

#include <stdio.h>

#include "steward.h"

/* How `steward` ends. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOTHING = 3,         /* time-out; nothing there; no room */
    EXIT_CHILD_TIMEOUT = 124, /* exec, lock, sem: as timeout(1) */
    EXIT_CHILD_FAILED = 125   /* exec, lock, sem: Steward failed, not CMD */
};

enum option_id {
    OPTION_ENDPOINT,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_TIMEOUT,
    OPTION_NULL,
    OPTION_WHOLE,
    OPTION_MAX,
    OPTION_ALL,
    OPTION_PRIORITY,
    OPTION_DELAY,
    OPTION_TTL,
    OPTION_DEDUP_ID,
    OPTION_HEADER,
    OPTION_LEASE,
    OPTION_JOBS,
    OPTION_KILL_AFTER,
    OPTION_COUNT,
    OPTION_MAXSIZE,
    OPTION_MAX_BYTES,
    OPTION_OVERFLOW,
    OPTION_MAX_DELIVERIES,
    OPTION_DEAD_LETTER,
    OPTION_DEDUP_WINDOW,
    OPTION_OFFSET,
    OPTION_TO,
    OPTION_NOW,
    OPTION_PRODUCERS,
    OPTION_CONSUMERS,
    OPTION_SIZE,
    OPTION_SECONDS,
    OPTION_IN_FLIGHT,
    OPTION_BATCH,
    OPTION_PREFETCH,
    OPTION_QUEUE,
    OPTION_CONNECTIONS,
    OPTION_CLIENTS,
    OPTION_BROKER_PID,
    OPTION_ONCE,
    OPTION_INTERVAL,
    OPTION_FILTER,
    OPTIONS_END
};

#define BIT(id)   (UINT64_C(1) << (id))
#define ANY       BIT(OPTION_ENDPOINT) | BIT(OPTION_JSON) | BIT(OPTION_HELP) | BIT(OPTION_VERSION)
#define UNBOUNDED SIZE_MAX

enum option_type {
    TYPE_FLAG,
    TYPE_TEXT,
    TYPE_LIST, /* text, may be given several times */
    TYPE_NUMBER,
    TYPE_BYTES,   /* number with K, M or G */
    TYPE_DURATION /* seconds, or with ms, s, m, h or d; kept in milliseconds */
};

struct option {
    enum option_id id;
    const char *name;
    char letter; /* 0: none */
    enum option_type type;
    const char *argument; /* for people; NULL for a flag */
    uint64_t min, max;    /* numbers and durations */
    const char *help;
};

struct cli;

struct command {
    const char *group; /* "queue"; "" for commands of one word */
    const char *name;
    const char *operands; /* as the usage line shows them */
    const char *summary;
    const char *details; /* further lines of help; "" for none */
    uint64_t options;    /* BIT of each beside ANY */
    size_t operands_min, operands_max;
    bool program; /* `-- CMD [ARG...]` follows */
    int (*run)(struct cli *cli);
};

#define HEADERS_MAX 16

/* One run of the command. */
struct cli {
    const struct command *command;
    uint64_t given; /* options given */
    const char *texts[OPTIONS_END];
    uint64_t numbers[OPTIONS_END];
    stw_header headers[HEADERS_MAX]; /* of OPTION_HEADER; strings owned */
    size_t headers_count;
    const char **operands;
    size_t operands_count;
    char **program; /* CMD and its arguments, NULL-terminated; NULL: there is no `--` */
    stw_client *client;
    stw_completions *completions; /* wait.c */
    int signals_fd;               /* wait.c; -1: signals are not watched */
    int interrupted;              /* the signal that asks us to stop; 0: none */
};

/* ---- commands.c, help.c ---------------------------------------------------------------------- */

/* All commands; the last has no name. */
extern const struct command command_table[];
/* The command of these words; *used: how many of them name it. NULL: none. */
const struct command *command_find(const char **words, size_t count, size_t *used);
int cmd_help(struct cli *cli);
/* Help of a command; NULL: of everything. */
void help_print(FILE *out, const struct command *command);
/* Help of a group ("queue"); false if there is none of that name. */
bool help_group(FILE *out, const char *group);

/* ---- options.c ------------------------------------------------------------------------------- */

extern const struct option option_table[];
/* Reads argv into cli: options, operands, program. false: a message was printed (usage). */
bool options_read(struct cli *cli, int argc, char **argv);
void options_free(struct cli *cli);
/* After the command is known: are all given options its own? */
bool options_allowed(const struct cli *cli);
/* "1.5", "200ms", "3m" to milliseconds. */
bool duration_parse(const char *text, uint64_t *ms);

static inline bool given(const struct cli *cli, enum option_id id)
{
    return (cli->given & BIT(id)) != 0;
}

/* The option's number, or `otherwise` if it was not given. */
uint64_t option_number(const struct cli *cli, enum option_id id, uint64_t otherwise);
/* --timeout in milliseconds as the library wants it: not given: `otherwise`. */
int64_t option_ms(const struct cli *cli, enum option_id id, int64_t otherwise);

/* ---- common.c -------------------------------------------------------------------------------- */

/* Opens cli->client; prints why not. EXIT_DONE or the exit code. */
int client_open(struct cli *cli);
/* Frees completions and client. */
void client_close(struct cli *cli);
/* Prints "steward: COMMAND: ..." on stderr (or a JSON object), and gives back EXIT_FAILED. */
int fail(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for wrong use: EXIT_USAGE. */
int usage(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints a library's error with its sentence (detail may be ""), and gives back its exit code. */
int fail_code(const struct cli *cli, int code, const char *detail);
/* As fail_code, with the client's last sentence; nothing is printed for STW_OK. */
int finish(const struct cli *cli, int code);
/* As finish, for `queue delete NAME` and its kin, which give nothing back: with --json an object
 * that names the command and its operand says that it is done. */
int acted(const struct cli *cli, int code);
/* The exit code of a library's error. */
int exit_code(int code);

/* ---- wait.c ---------------------------------------------------------------------------------- */

/* Blocks SIGINT, SIGTERM, SIGHUP, SIGCHLD and the user signals: from now on wait.c reads them.
 * Call before client_open. */
void signals_watch(struct cli *cli);
/* Waits for the future's outcome; STW_ECANCELED when cli->interrupted is set by a signal meanwhile
 * (the future goes on). For futures that are in no completions. */
int future_wait(struct cli *cli, stw_future *future);
/* Waits until fd is ready for `events` of poll(2), at most timeout_ms (-1: for ever). true: ready;
 * false: time is over, or cli->interrupted. */
bool fd_wait(struct cli *cli, int fd, short events, int timeout_ms);
/* Reads pending signals; SIGCHLD and what is for a child (see child.c) are left to the caller
 * as return value; 0: nothing. from_terminal: the whole foreground group has got it. */
int signal_next(struct cli *cli, bool *from_terminal);
/* If interrupted: dies of the same signal as if it had not been caught. Call last. */
void interrupted_exit(const struct cli *cli);

/* ---- output.c -------------------------------------------------------------------------------- */

/* A JSON object of one line: begun, filled, printed. Order of keys is kept. */
struct line;
struct line *line_begin(void);
void line_text(struct line *line, const char *key, const char *value);
/* UTF-8 as "key"; other bytes as "key_base64". */
void line_data(struct line *line, const char *key, const void *data, size_t size);
void line_u64(struct line *line, const char *key, uint64_t value);
void line_real(struct line *line, const char *key, double value);
void line_bool(struct line *line, const char *key, bool value);
/* The field of a row, by its type. */
void line_value(struct line *line, const stw_value *value);
/* Makes an empty array under key when there is none. */
void line_array(struct line *line, const char *key);
/* Adds an object to the array under key (made when it is not there); frees `inner`. */
void line_append(struct line *line, const char *key, struct line **inner);
/* Sets key to the object `inner`, which is consumed. */
void line_object(struct line *line, const char *key, struct line **inner);
/* The line as malloc'ed text without newline; frees. */
char *line_end(struct line **line);
void line_discard(struct line **line);
/* Prints the line; false: output failed. Frees. */
bool line_print(struct line **line, FILE *out);
/* As line_print with --json; else a key and its value a line, for people. */
bool line_show(const struct cli *cli, struct line **line);

struct column {
    const char *key;   /* of the row's field */
    const char *title; /* key ends in _ms: shown as a duration, _bytes or bytes: as a size */
    int width;         /* at least; grows with what is shown; negative: to the right */
};

/* Prints a page: JSON lines, or a table (its head before the first page). false: output failed. */
bool rows_table(const struct cli *cli, const stw_rows *rows, struct column *columns, bool head);
/* Prints the rows from `first` on as a table with its head, for people. */
bool rows_rest(const stw_rows *rows, size_t first, struct column *columns);
/* Adds a row's fields to the line. */
void line_row(struct line *line, const stw_rows *rows, size_t row);
/* Prints one row: a JSON line, or a field a line. */
bool row_fields(const struct cli *cli, const stw_rows *rows, size_t row);
/* A field for people: control characters become dots, so that nothing moves the cursor. */
const char *value_text(const stw_value *value, char *text, size_t size);
/* "1.5 s", "3 h 12 m" */
const char *duration_text(uint64_t ms, char *text, size_t size);
const char *bytes_text(uint64_t bytes, char *text, size_t size);

/* Bytes on their way to stdout: says afterwards how far they got. */
struct output {
    char *data;
    size_t size, capacity;
    size_t written; /* since output_clear */
};
void output_add(struct output *output, const void *data, size_t size);
/* Writes all; false: interrupted or an error (errno; EPIPE for a closed pipe). */
bool output_flush(struct cli *cli, struct output *output);
void output_clear(struct output *output);

/* ---- the commands ---------------------------------------------------------------------------- */

int cmd_put(struct cli *cli);
int cmd_get(struct cli *cli);
int cmd_exec(struct cli *cli);
int cmd_lock(struct cli *cli);
int cmd_sem(struct cli *cli);
int cmd_lock_list(struct cli *cli);
int cmd_lock_show(struct cli *cli);
int cmd_lock_break(struct cli *cli);
int cmd_queue_list(struct cli *cli);
int cmd_queue_show(struct cli *cli);
int cmd_queue_create(struct cli *cli);
int cmd_queue_alter(struct cli *cli);
int cmd_queue_delete(struct cli *cli);
int cmd_queue_purge(struct cli *cli);
int cmd_queue_pause(struct cli *cli);
int cmd_queue_resume(struct cli *cli);
int cmd_queue_peek(struct cli *cli);
int cmd_queue_redrive(struct cli *cli);
int cmd_queue_shutdown(struct cli *cli);
int cmd_queue_join(struct cli *cli);
int cmd_session_list(struct cli *cli);
int cmd_session_show(struct cli *cli);
int cmd_session_end(struct cli *cli);
int cmd_stat(struct cli *cli);
int cmd_log_level(struct cli *cli);
int cmd_top(struct cli *cli);
int cmd_cluster_status(struct cli *cli);
int cmd_cluster_add(struct cli *cli);
int cmd_cluster_remove(struct cli *cli);
int cmd_cluster_transfer(struct cli *cli);
int cmd_backup(struct cli *cli);
int cmd_bench_throughput(struct cli *cli);
int cmd_bench_latency(struct cli *cli);
int cmd_bench_lock(struct cli *cli);
int cmd_bench_connections(struct cli *cli);

#endif
