/* Writing histories: one line, one write(2), so that a kill leaves whole lines. */
#include "tests/chaos/history.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <steward.h>

/* bytes: the longest line */
#define LINE_BYTES 1024

struct line {
    char text[LINE_BYTES];
    size_t size;
};

uint64_t history_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool history_open(struct history *history, const char *path, const char *worker)
{
    memset(history, 0, sizeof *history);
    history->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    history->worker = worker;
    return history->fd >= 0;
}

uint64_t history_id(struct history *history)
{
    return ++history->ids;
}

static void line_text(struct line *line, const char *name, const char *value)
{
    if (value != NULL) {
        int size = snprintf(line->text + line->size, LINE_BYTES - line->size, ",\"%s\":\"%s\"",
                            name, value);
        line->size += size > 0 ? (size_t)size : 0;
    }
}

static void line_number(struct line *line, const char *name, uint64_t value)
{
    if (value != 0) {
        int size = snprintf(line->text + line->size, LINE_BYTES - line->size, ",\"%s\":%" PRIu64,
                            name, value);
        line->size += size > 0 ? (size_t)size : 0;
    }
}

void history_write(struct history *history, const struct event *event)
{
    struct line line = {.size = 0};
    int size = snprintf(line.text, LINE_BYTES, "{\"time\":%" PRIu64, history_now());
    line.size = size > 0 ? (size_t)size : 0;
    line_text(&line, "event", event->event);
    line_text(&line, "worker", history->worker);
    line_number(&line, "session", history->session);
    line_number(&line, "id", event->id);
    line_text(&line, "op", event->op);
    line_text(&line, "queue", event->queue);
    line_text(&line, "key", event->key);
    line_number(&line, "value", event->value);
    line_number(&line, "token", event->token);
    line_number(&line, "deliveries", event->deliveries);
    line_number(&line, "batch", event->batch);
    line_text(&line, "error", event->error);
    if (line.size + 2 >= LINE_BYTES) {
        fprintf(stderr, "history: a line is too long\n");
        exit(3);
    }
    line.text[line.size++] = '}';
    line.text[line.size++] = '\n';
    if (write(history->fd, line.text, line.size) != (ssize_t)line.size) {
        fprintf(stderr, "history: %s\n", strerror(errno));
        exit(3);
    }
}

/* Codes after which nobody knows whether it happened. */
static bool code_unknown(int code)
{
    return code == STW_ESESSION || code == STW_ETIMEOUT || code == STW_EUNREACHABLE ||
           code == STW_ECANCELED || code == STW_ECLOSED || code == STW_EINTERNAL;
}

void history_outcome(struct history *history, const char *op, uint64_t id, int code)
{
    struct event event = {.op = op, .id = id};
    event.event = code == STW_OK ? "ok" : code_unknown(code) ? "unknown" : "fail";
    event.error = code == STW_OK ? NULL : stw_err_name(code);
    history_write(history, &event);
}
