/* The log: building a line, cleaning what is foreign, keeping the rate down. */
#include "broker/shell/log.h"

#include "common/base/panic.h"
#include "common/wire/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};

static const char *const FORMATS[] = {"text", "json"};

/* bytes: kept free at a line's end for the mark of a cut line and the newline */
#define LOG_TAIL_BYTES 16

const char *log_level_name(enum log_level level)
{
    STEWARD_ASSERT((size_t)level < sizeof LEVELS / sizeof LEVELS[0]);
    return LEVELS[level];
}

bool log_level_parse(const char *text, enum log_level *out)
{
    for (size_t i = 0; i < sizeof LEVELS / sizeof LEVELS[0]; i++) {
        if (strcmp(text, LEVELS[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_format_name(enum log_format format)
{
    STEWARD_ASSERT((size_t)format < sizeof FORMATS / sizeof FORMATS[0]);
    return FORMATS[format];
}

bool log_format_parse(const char *text, enum log_format *out)
{
    bool json = strcmp(text, FORMATS[LOG_JSON]) == 0;
    *out = json ? LOG_JSON : LOG_PAIRS;
    return json || strcmp(text, FORMATS[LOG_PAIRS]) == 0;
}

void log_init(struct log *log, int descriptor, enum log_level level)
{
    *log = (struct log){.descriptor = descriptor, .level = level};
}

/* ---- bytes into the line -------------------------------------------------------------------- */

static void put(struct log_line *line, const char *bytes, size_t size)
{
    if (line->cut || size > sizeof line->text - LOG_TAIL_BYTES - line->size) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

static void put_text(struct log_line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* How many bytes from `at` on are one printable character; 0: the byte has to be escaped. */
static size_t printable(const uint8_t *at, size_t left)
{
    if (*at < 0x80) {
        return *at >= 0x20 && *at != 0x7f ? 1 : 0;
    }
    size_t size = *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    if (size > left || !wire_utf8(slice_of(at, size))) {
        return 0;
    }
    /* U+0080 to U+009F: a terminal takes them for commands */
    return at[0] == 0xc2 && at[1] < 0xa0 ? 0 : size;
}

/* In JSON the mark of a byte that is no UTF-8 has its backslash escaped once more. */
static void put_escaped(struct log_line *line, uint8_t byte)
{
    bool json = line->log->format == LOG_JSON;
    char text[8];
    switch (byte) {
    case '\n': put_text(line, "\\n"); break;
    case '\r': put_text(line, "\\r"); break;
    case '\t': put_text(line, "\\t"); break;
    default:
        snprintf(text, sizeof text,
                 !json         ? "\\x%02x"
                 : byte < 0x80 ? "\\u%04x"
                               : "\\\\x%02x",
                 byte);
        put_text(line, text);
    }
}

static void put_clean(struct log_line *line, struct slice value, bool quoted)
{
    for (size_t i = 0; i < value.size;) {
        size_t size = printable(value.data + i, value.size - i);
        char text[8];
        if (size == 0) {
            put_escaped(line, value.data[i++]);
            continue;
        }
        bool mark = quoted && (value.data[i] == '"' || value.data[i] == '\\');
        text[0] = '\\';
        memcpy(text + 1, value.data + i, size);
        put(line, mark ? text : text + 1, mark ? size + 1 : size); /* whole, or not at all */
        i += size;
    }
}

static bool needs_quotes(struct slice value)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '=' || byte == '\\') {
            return true;
        }
    }
    return value.size == 0;
}

/* ---- a pair --------------------------------------------------------------------------------- */

/* bytes: a key with what stands around it; ours are short words */
#define KEY_BYTES 64

static void pair_text(struct log_line *line, struct slice key, struct slice value)
{
    char head[KEY_BYTES];
    bool quoted = needs_quotes(value);
    snprintf(head, sizeof head, "%s%.*s=%s", line->size > 0 ? " " : "", (int)key.size,
             (const char *)key.data, quoted ? "\"" : "");
    put_text(line, head);
    put_clean(line, value, quoted);
    put_text(line, quoted ? "\"" : "");
}

/* Digits that are a number of 64 bits, as JSON writes it. */
static bool is_number(struct slice value)
{
    bool leading = value.size > 1 && value.data[0] == '0';
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return false;
        }
    }
    return value.size > 0 && value.size < 20 && !leading;
}

static void pair_json(struct log_line *line, struct slice key, struct slice value, bool number)
{
    char head[KEY_BYTES + 32];
    snprintf(head, sizeof head, "%c\"%.*s\":%.*s", line->size > 0 ? ',' : '{',
             (int)(key.size < KEY_BYTES ? key.size : KEY_BYTES), (const char *)key.data,
             number ? (int)value.size : 1, number ? (const char *)value.data : "\"");
    put_text(line, head);
    if (line->cut || number) {
        return;
    }
    put_clean(line, value, true);
    line->open = line->cut;
    put_text(line, "\"");
    line->open = line->cut;
}

static void pair(struct log_line *line, struct slice key, struct slice value, bool number)
{
    if (line->log->format == LOG_JSON) {
        pair_json(line, key, value, number);
    } else {
        pair_text(line, key, value);
    }
}

/* ---- rate ----------------------------------------------------------------------------------- */

static struct log_rate *rate_of(struct log *log, const char *event)
{
    for (size_t i = 0; i < LOG_EVENTS - 1; i++) {
        struct log_rate *rate = &log->rates[i];
        if (rate->event[0] == '\0') {
            snprintf(rate->event, sizeof rate->event, "%s", event);
        }
        if (strncmp(rate->event, event, sizeof rate->event - 1) == 0) {
            return rate;
        }
    }
    return &log->rates[LOG_EVENTS - 1];
}

/* false: the event has had its lines. `suppressed` gets how many were left out before this one. */
static bool rate_allows(struct log *log, const char *event, uint64_t now_ms, uint64_t *suppressed)
{
    struct log_rate *rate = rate_of(log, event);
    if (now_ms < rate->window_start_ms || now_ms - rate->window_start_ms >= LOG_WINDOW_MS) {
        rate->window_start_ms = now_ms;
        rate->lines = 0;
    }
    if (rate->lines >= LOG_BURST) {
        rate->suppressed++;
        return false;
    }
    rate->lines++;
    *suppressed = rate->suppressed;
    rate->suppressed = 0;
    return true;
}

/* ---- a line --------------------------------------------------------------------------------- */

static void put_time(struct log_line *line, const struct timespec *now)
{
    char text[64];
    struct tm utc;
    gmtime_r(&now->tv_sec, &utc);
    size_t size = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + size, sizeof text - size, ".%03ldZ", now->tv_nsec / 1000000);
    log_text(line, "time", text);
}

void log_begin(struct log_line *line, struct log *log, enum log_level level, const char *component,
               const char *event)
{
    line->log = NULL;
    line->size = 0;
    line->cut = false;
    line->open = false;
    if (level > log->level) {
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    uint64_t suppressed = 0;
    if (level != LEVEL_ERROR && !rate_allows(log, event, now_ms, &suppressed)) {
        return;
    }
    line->log = log;
    put_time(line, &now);
    log_text(line, "level", LEVELS[level]);
    log_text(line, "component", component);
    log_text(line, "event", event);
    if (suppressed > 0) {
        log_number(line, "suppressed", suppressed);
    }
    line->told = log->dropped;
    if (line->told > 0) {
        log_number(line, "dropped", line->told);
    }
}

void log_slice(struct log_line *line, const char *key, struct slice value)
{
    if (line->log) {
        pair(line, slice_str(key), value, false);
    }
}

void log_text(struct log_line *line, const char *key, const char *value)
{
    log_slice(line, key, slice_str(value));
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    if (line->log) {
        pair(line, slice_str(key), slice_str(text), true);
    }
}

/* Takes the next pair off `text`; a quoted value is unescaped into `scratch`. A word without `=` is
 * a detail. false: none. */
static bool next_pair(const char **text, struct slice *key, struct slice *value, char *scratch)
{
    const char *at = *text + strspn(*text, " ");
    size_t size = strcspn(at, "= ");
    *key = *value = slice_of(at, size);
    at += size;
    if (*at == '=' && at[1] == '"') {
        size_t done = 0;
        for (at += 2; *at != '\0' && *at != '"'; at++) {
            at += *at == '\\' && at[1] != '\0';
            scratch[done++] = *at;
        }
        at += *at == '"';
        *value = slice_of(scratch, done);
    } else if (*at == '=') {
        *value = slice_of(at + 1, strcspn(at + 1, " "));
        at += 1 + value->size;
    } else {
        *key = slice_str("detail");
    }
    *text = at;
    return size > 0;
}

void log_pairs(struct log_line *line, const char *pairs)
{
    char scratch[LOG_LINE_BYTES];
    struct slice key, value;
    if (line->log == NULL || pairs == NULL || strlen(pairs) >= sizeof scratch) {
        return;
    }
    while (next_pair(&pairs, &key, &value, scratch)) {
        bool quoted = value.data == (const uint8_t *)scratch;
        pair(line, key, value, !quoted && is_number(value));
    }
}

/*
 * Would a write return at once? A reader that stopped must not stop the manager. Asked instead of
 * O_NONBLOCK, which others who share the descriptor would get, too. A pipe that says yes has room
 * for PIPE_BUF bytes, and a line is no longer.
 */
static bool takes_more(int descriptor)
{
    struct pollfd ready = {.fd = descriptor, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) != 0;
}

/* false: the line, or the end of it, is lost. */
static bool write_line(const struct log_line *line)
{
    _Static_assert(LOG_LINE_BYTES <= PIPE_BUF, "a line is written whole, or not at all");
    size_t done = 0;
    while (done < line->size && takes_more(line->log->descriptor)) {
        ssize_t rc = write(line->log->descriptor, line->text + done, line->size - done);
        if (rc < 0 && errno != EINTR) {
            break; /* nobody to tell: the log itself is gone */
        }
        done += rc > 0 ? (size_t)rc : 0;
    }
    return done == line->size;
}

void log_end(struct log_line *line)
{
    if (line->log == NULL) {
        return;
    }
    const char *tail = line->cut ? "...\n" : "\n";
    if (line->log->format == LOG_JSON) {
        tail = line->open ? "\",\"cut\":true}\n" : line->cut ? ",\"cut\":true}\n" : "}\n";
    }
    memcpy(line->text + line->size, tail, strlen(tail)); /* LOG_TAIL_BYTES are free */
    line->size += strlen(tail);
    if (write_line(line)) {
        line->log->dropped -= line->told;
    } else {
        line->log->dropped++;
    }
    line->log = NULL;
}

void log_event(struct log *log, enum log_level level, const char *event, const char *key,
               const char *value)
{
    struct log_line line;
    log_begin(&line, log, level, "shell", event);
    if (key) {
        log_text(&line, key, value);
    }
    log_end(&line);
}
