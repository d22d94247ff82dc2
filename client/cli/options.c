/*
 * The table of options, and how a command line is read.
 *
 * An option means the same wherever it is allowed and may stand anywhere, even before the command's
 * name, so one popt table reads every command line; which options a command allows is checked
 * when its name is known. `--` is ours: what follows is CMD for exec, lock and sem, and plain
 * operands for all others.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <math.h>
#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

#define YEAR_MS  (UINT64_C(366) * 24 * 3600 * 1000)
#define KEY_BASE 1000 /* popt's values: clear of letters, which popt treats specially */

const struct option option_table[] = {
    {OPTION_ENDPOINT, "endpoint", 'e', TYPE_TEXT, "EP", 0, 0,
     "the manager's endpoint, or several with commas (else $STEWARD_ENDPOINT)"},
    {OPTION_JSON, "json", 0, TYPE_FLAG, NULL, 0, 0, "print JSON, one object a line"},
    {OPTION_HELP, "help", 'h', TYPE_FLAG, NULL, 0, 0, "print this"},
    {OPTION_VERSION, "version", 0, TYPE_FLAG, NULL, 0, 0, "print the version"},
    {OPTION_TIMEOUT, "timeout", 't', TYPE_DURATION, "S", 0, YEAR_MS,
     "wait at most S seconds (0: do not wait; also 200ms, 5m, 2h, 1d); else for ever"},
    {OPTION_NULL, "null", '0', TYPE_FLAG, NULL, 0, 0, "items end with a NUL byte, not a newline"},
    {OPTION_WHOLE, "whole", 0, TYPE_FLAG, NULL, 0, 0,
     "no separators: put all of stdin as one item; print items as they are"},
    {OPTION_MAX, "max", 'n', TYPE_NUMBER, "N", 1, UINT64_C(1) << 53, "at most N items"},
    {OPTION_ALL, "all", 'a', TYPE_FLAG, NULL, 0, 0,
     "until the queues are empty (or have been for --timeout)"},
    {OPTION_PRIORITY, "priority", 'p', TYPE_NUMBER, "P", 0, 255, "0 to 255, higher goes first"},
    {OPTION_DELAY, "delay", 0, TYPE_DURATION, "S", 0, YEAR_MS, "delivered after S at the earliest"},
    {OPTION_TTL, "ttl", 0, TYPE_DURATION, "S", 0, YEAR_MS, "not delivered after S; 0: no end"},
    {OPTION_DEDUP_ID, "dedup-id", 0, TYPE_TEXT, "ID", 0, 0,
     "put the item only if this id is new within the queue's window"},
    {OPTION_HEADER, "header", 'H', TYPE_LIST, "K=V", 0, 0, "a header; may be repeated"},
    {OPTION_LEASE, "lease", 'l', TYPE_DURATION, "S", 1, YEAR_MS, "length of the lease"},
    {OPTION_JOBS, "jobs", 'j', TYPE_NUMBER, "N", 1, 4096, "run N commands at once (default 1)"},
    {OPTION_KILL_AFTER, "kill-after", 'k', TYPE_DURATION, "S", 0, YEAR_MS,
     "SIGKILL this long after SIGTERM when the lock is lost (default 5)"},
    {OPTION_COUNT, "count", 'c', TYPE_NUMBER, "N", 1, 1000000, "permits of the semaphore"},
    {OPTION_MAXSIZE, "maxsize", 0, TYPE_NUMBER, "N", 0, UINT64_MAX, "items; 0: no bound"},
    {OPTION_MAX_BYTES, "max-bytes", 0, TYPE_BYTES, "B", 0, UINT64_MAX, "bytes; 0: no bound"},
    {OPTION_OVERFLOW, "overflow", 0, TYPE_TEXT, "HOW", 0, 0,
     "when full: block, reject or drop_oldest"},
    {OPTION_MAX_DELIVERIES, "max-deliveries", 0, TYPE_NUMBER, "N", 0, UINT64_MAX,
     "after so many an item is dead; 0: never"},
    {OPTION_DEAD_LETTER, "dead-letter", 0, TYPE_TEXT, "QUEUE", 0, 0,
     "where dead items go (default: NAME.dead)"},
    {OPTION_DEDUP_WINDOW, "dedup-window", 0, TYPE_DURATION, "S", 0, YEAR_MS,
     "how long a dedup id is remembered (default 300)"},
    {OPTION_OFFSET, "offset", 0, TYPE_NUMBER, "N", 0, UINT64_MAX, "leave out the first N"},
    {OPTION_TO, "to", 0, TYPE_TEXT, "QUEUE", 0, 0, "into this queue, not where each came from"},
    {OPTION_NOW, "now", 0, TYPE_FLAG, NULL, 0, 0, "drop what is still in it"},
    {OPTION_PRODUCERS, "producers", 0, TYPE_NUMBER, "N", 1, 1024, "processes that put"},
    {OPTION_CONSUMERS, "consumers", 0, TYPE_NUMBER, "N", 1, 1024, "processes that get"},
    {OPTION_SIZE, "size", 's', TYPE_BYTES, "B", 24, 256 << 20, "bytes of an item (default 100)"},
    {OPTION_SECONDS, "seconds", 0, TYPE_DURATION, "S", 1, YEAR_MS, "how long (default 5)"},
    {OPTION_IN_FLIGHT, "in-flight", 0, TYPE_NUMBER, "N", 1, 65536,
     "puts without answer per producer (default 4096)"},
    {OPTION_BATCH, "batch", 0, TYPE_NUMBER, "N", 1, 1024,
     "items of one atomic put (default 1: each a put of its own)"},
    {OPTION_PREFETCH, "prefetch", 0, TYPE_NUMBER, "N", 1, 1000000,
     "messages ahead of each consumer (default 4096)"},
    {OPTION_QUEUE, "queue", 0, TYPE_TEXT, "NAME", 0, 0, "use this queue (default: one of its own)"},
    {OPTION_CONNECTIONS, "connections", 0, TYPE_NUMBER, "N", 1, 20000, "default 200"},
    {OPTION_CLIENTS, "clients", 0, TYPE_NUMBER, "N", 2, 256, "who compete (default 8)"},
    {OPTION_BROKER_PID, "broker-pid", 0, TYPE_NUMBER, "PID", 1, UINT64_C(1) << 31,
     "also report this process' CPU time"},
    {OPTION_ONCE, "once", 0, TYPE_FLAG, NULL, 0, 0, "look twice, print one table, and leave"},
    {OPTION_INTERVAL, "interval", 'i', TYPE_DURATION, "S", 1, YEAR_MS,
     "between two looks (default 1)"},
    {OPTION_FILTER, "filter", 'f', TYPE_TEXT, "TEXT", 0, 0,
     "only rows with TEXT in a text of theirs; ^TEXT: names that begin so"},
    {OPTIONS_END, NULL, 0, TYPE_FLAG, NULL, 0, 0, NULL},
};

static const struct option *option_find(enum option_id id)
{
    const struct option *option = option_table;
    while (option->name != NULL && option->id != id) {
        option++;
    }
    return option;
}

/* ---- values ---------------------------------------------------------------------------------- */

bool duration_parse(const char *text, uint64_t *ms)
{
    static const struct {
        const char *suffix;
        double factor;
    } units[] = {{"", 1e3}, {"s", 1e3}, {"ms", 1}, {"m", 6e4}, {"h", 3.6e6}, {"d", 8.64e7}};
    char *end;
    double value = strtod(text, &end);
    if (end == text || strpbrk(text, "xX") != NULL || !(value >= 0) || isinf(value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            double exact = value * units[i].factor;
            if (exact > 9e18) {
                return false;
            }
            *ms = (uint64_t)exact;
            *ms += exact > (double)*ms; /* never rounded to 0, which would mean "do not wait" */
            return true;
        }
    }
    return false;
}

static bool number_parse(const char *text, bool suffixes, uint64_t *number)
{
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    uint64_t factor = 1;
    if (suffixes && *end != '\0') {
        const char *at = strchr("KMG", *end);
        if (at == NULL) {
            return false;
        }
        factor = UINT64_C(1) << (10 * (at - "KMG" + 1));
        end++;
    }
    *number = value * factor;
    return *end == '\0' && value <= UINT64_MAX / factor;
}

/* Splits NAME=VALUE into cli->headers. */
static bool header_add(struct cli *cli, const char *text)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL || equals == text || cli->headers_count == HEADERS_MAX) {
        usage(cli, "--header %s: wants NAME=VALUE, at most %d times", text, HEADERS_MAX);
        return false;
    }
    stw_header *header = &cli->headers[cli->headers_count++];
    header->name = strndup(text, (size_t)(equals - text));
    header->value = strdup(equals + 1);
    return true;
}

/* Keeps the value of an option; takes `text` (NULL for a flag). */
static bool option_take(struct cli *cli, const struct option *option, char *text)
{
    uint64_t number = 0;
    bool good = true;
    cli->given |= BIT(option->id);
    switch (option->type) {
    case TYPE_FLAG: return true;
    case TYPE_TEXT:
        free((char *)cli->texts[option->id]);
        cli->texts[option->id] = text;
        return true;
    case TYPE_LIST:
        good = header_add(cli, text);
        free(text);
        return good;
    case TYPE_NUMBER: good = number_parse(text, false, &number); break;
    case TYPE_BYTES: good = number_parse(text, true, &number); break;
    case TYPE_DURATION: good = duration_parse(text, &number); break;
    }
    good = good && number >= option->min && number <= option->max;
    if (!good) {
        usage(cli, "--%s %s: not a valid value", option->name, text);
    }
    cli->numbers[option->id] = number;
    free(text);
    return good;
}

uint64_t option_number(const struct cli *cli, enum option_id id, uint64_t otherwise)
{
    return given(cli, id) ? cli->numbers[id] : otherwise;
}

int64_t option_ms(const struct cli *cli, enum option_id id, int64_t otherwise)
{
    return given(cli, id) ? (int64_t)cli->numbers[id] : otherwise;
}

/* ---- the command line ------------------------------------------------------------------------ */

static void popt_table(struct poptOption *table)
{
    size_t count = 0;
    for (const struct option *option = option_table; option->name != NULL; option++) {
        table[count++] = (struct poptOption){
            .longName = option->name,
            .shortName = option->letter,
            .argInfo = option->type == TYPE_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING,
            .val = KEY_BASE + (int)option->id,
        };
    }
    table[count] = (struct poptOption){0};
}

static bool options_parse(struct cli *cli, poptContext context)
{
    int key;
    while ((key = poptGetNextOpt(context)) >= 0) {
        const struct option *option = option_find((enum option_id)(key - KEY_BASE));
        if (!option_take(cli, option, poptGetOptArg(context))) {
            return false;
        }
    }
    if (key < -1) {
        usage(cli, "%s: %s", poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(key));
        return false;
    }
    return true;
}

/* Copies what popt left over, then what stood behind `--` if no CMD is wanted: see main.c. */
static void operands_copy(struct cli *cli, poptContext context)
{
    const char **left = poptGetArgs(context);
    size_t count = 0;
    while (left != NULL && left[count] != NULL) {
        count++;
    }
    cli->operands = mem_zalloc(count + 1, sizeof(char *));
    for (size_t i = 0; i < count; i++) {
        cli->operands[i] = strdup(left[i]);
    }
    cli->operands_count = count;
}

bool options_read(struct cli *cli, int argc, char **argv)
{
    struct poptOption table[OPTIONS_END + 1];
    int before = 1;
    while (before < argc && strcmp(argv[before], "--") != 0) {
        before++;
    }
    if (before < argc) {
        cli->program = argv + before + 1;
    }
    popt_table(table);
    poptContext context = poptGetContext("steward", before, (const char **)argv, table, 0);
    bool good = options_parse(cli, context);
    if (good) {
        operands_copy(cli, context);
    }
    poptFreeContext(context);
    return good;
}

void options_free(struct cli *cli)
{
    for (size_t i = 0; i < OPTIONS_END; i++) {
        free((char *)cli->texts[i]);
    }
    for (size_t i = 0; i < cli->headers_count; i++) {
        free((char *)cli->headers[i].name);
        free((char *)cli->headers[i].value);
    }
    for (size_t i = 0; i < cli->operands_count; i++) {
        free((char *)cli->operands[i]);
    }
    free(cli->operands);
}

bool options_allowed(const struct cli *cli)
{
    uint64_t wrong = cli->given & ~(cli->command->options | ANY);
    for (const struct option *option = option_table; option->name != NULL; option++) {
        if ((wrong & BIT(option->id)) != 0) {
            usage(cli, "--%s is no option of this command", option->name);
            return false;
        }
    }
    return true;
}
