/*
 * The log: one line a time on stderr, written by one write(2) so that lines of several processes do
 * not mix. For people key=value, for machines an object of JSON with the same keys; there values of
 * digits alone are numbers.
 *
 *     time=2026-01-02T03:04:05.678Z level=info component=shell event=ready endpoint=tcp://...
 *     {"time":"2026-01-02T03:04:05.678Z","level":"info",...}
 *
 * Names come from the network: values are quoted when needed, control characters and bytes that are
 * not UTF-8 are escaped. A line that repeats too often is left out, and the next one says how many
 * were (`suppressed`); errors never are. Not thread-safe: the loop thread owns the log.
 */
#ifndef BROKER_SHELL_LOG_H
#define BROKER_SHELL_LOG_H

#include "common/base/slice.h"

/* Not LOG_ERROR: <syslog.h>, which czmq.h brings along, defines LOG_INFO and others as macros. */
enum log_level { LEVEL_ERROR = 0, LEVEL_WARN, LEVEL_INFO, LEVEL_DEBUG };

enum log_format { LOG_PAIRS = 0, LOG_JSON };

/* bytes: a line is cut here; names of 255 bytes fit, escaped */
#define LOG_LINE_BYTES 4096

/* count: lines of one event within LOG_WINDOW_MS; the rest is counted only */
#define LOG_BURST 50

/* milliseconds: how long an event's burst is counted */
#define LOG_WINDOW_MS 10000

/* count: events whose rate is followed; all of ours fit, others share */
#define LOG_EVENTS 64

struct log_rate {
    char event[32];
    uint64_t window_start_ms;
    uint64_t lines;
    uint64_t suppressed;
};

struct log {
    int descriptor;
    enum log_level level;   /* may be changed at any time, as may the form */
    enum log_format format; /* LOG_PAIRS after log_init */
    uint64_t dropped;       /* lines that nobody took */
    struct log_rate rates[LOG_EVENTS];
};

/* A line under construction; lives on the stack between log_begin and log_end. */
struct log_line {
    struct log *log; /* NULL: the line is not wanted; everything else does nothing */
    size_t size;
    uint64_t told; /* dropped lines that this one speaks of */
    bool cut;      /* something did not fit: nothing more is added */
    bool open;     /* JSON: it was cut within a string */
    char text[LOG_LINE_BYTES];
};

/* Lines of `level` and graver go to the descriptor (borrowed). */
void log_init(struct log *log, int descriptor, enum log_level level);

/* Begins a line; component and event are static words. */
void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *component,
               const char *event);
void log_text(struct log_line *line, const char *key, const char *value);
void log_slice(struct log_line *line, const char *key, struct slice value);
void log_number(struct log_line *line, const char *key, uint64_t value);
/* Pairs that somebody else wrote as key=value or key="value", with \" and \\ in it, one blank
 * between them. Cleaned of control characters. */
void log_pairs(struct log_line *line, const char *pairs);
void log_end(struct log_line *line);

/* A whole line with at most one text; key NULL: none. */
void log_event(struct log *log, enum log_level level, const char *event, const char *key,
               const char *value);

const char *log_level_name(enum log_level level);
bool log_level_parse(const char *text, enum log_level *out);
const char *log_format_name(enum log_format format);
bool log_format_parse(const char *text, enum log_format *out);

#endif
