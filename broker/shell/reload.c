/*
 * The configuration, read again. It is read into options of its own first, so that a file that is
 * wrong changes nothing. Only numbers change at run time: everything else is built into what the
 * manager made at its start (endpoints, the data directory, the cluster, the largest body).
 */
#include "broker/shell/reload.h"

#include "broker/shell/config.h"
#include "common/base/limits.h"

#include <stddef.h>
#include <string.h>

/* What the owner, or the log, can follow while the manager serves. */
static bool changes_at_run_time(size_t id)
{
    static const size_t THESE[] = {OPTION_ID_MEMORY_MAX, OPTION_ID_CONNECTIONS_MAX,
                                   OPTION_ID_OUTBOX_MAX, OPTION_ID_DRAIN_SECONDS,
                                   OPTION_ID_LOG_LEVEL,  OPTION_ID_LOG_FORMAT};
    for (size_t i = 0; i < sizeof THESE / sizeof THESE[0]; i++) {
        if (THESE[i] == id) {
            return true;
        }
    }
    return false;
}

/* Ceilings have to hold a body of the size that holds until a restart. */
static bool fits(const struct options *options, const struct options *fresh, size_t id)
{
    switch (id) {
    case OPTION_ID_MEMORY_MAX: return fresh->memory_max >= options->body_max;
    case OPTION_ID_OUTBOX_MAX:
        return fresh->outbox_max >= options->body_max + LIMIT_PACKET_CEILING_BYTES;
    default: return true;
    }
}

struct change {
    size_t id;
    bool now;
    const char *from, *to;
};

static void tell(struct log *log, const struct change *change)
{
    struct log_line line;
    bool now = change->now;
    log_begin(&line, log, now ? LEVEL_INFO : LEVEL_WARN, "shell",
              now ? "option_applied" : "option_needs_restart");
    log_text(&line, "option", option_at(change->id)->name);
    log_text(&line, "from", change->from);
    log_text(&line, "to", change->to);
    log_end(&line);
}

struct changes {
    uint64_t applied, waiting;
};

static void take(struct options *options, const struct options *fresh, size_t id)
{
    size_t offset = option_at(id)->offset;
    memcpy((char *)options + offset, (const char *)fresh + offset, sizeof(uint64_t));
    options->sources[id] = fresh->sources[id];
}

static struct changes compare(struct options *options, const struct options *fresh, struct log *log)
{
    static char from[OPTIONS_VALUE_BYTES], to[OPTIONS_VALUE_BYTES];
    struct changes changes = {0};
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        options_value(options, id, from);
        options_value(fresh, id, to);
        if (strcmp(from, to) == 0) {
            continue;
        }
        bool now = changes_at_run_time(id) && fits(options, fresh, id);
        tell(log, &(struct change){id, now, from, to});
        if (now) {
            take(options, fresh, id);
            changes.applied++;
        } else {
            changes.waiting++;
        }
    }
    return changes;
}

static void tell_end(struct log *log, const struct options *options, struct changes changes)
{
    struct log_line line;
    log_begin(&line, log, LEVEL_INFO, "shell", "reloaded");
    log_text(&line, "file", options->config ? options->config : "none");
    log_number(&line, "applied", changes.applied);
    log_number(&line, "need_restart", changes.waiting);
    log_end(&line);
}

bool reload_run(const struct reload *reload, struct log *log)
{
    struct options *options = reload->options;
    struct options fresh;
    struct options_error error;
    struct changes changes = {0};
    options_init(&fresh);
    if (config_read(&fresh, reload->argc, reload->argv, reload->environment, &error)) {
        /* a level that is more silent must not hide what is said of the others */
        options->log_level = (uint64_t)log->level;
        log->level = log->level < LEVEL_INFO ? LEVEL_INFO : log->level;
        changes = compare(options, &fresh, log);
        tell_end(log, options, changes);
        log->level = (enum log_level)options->log_level;
        log->format = (enum log_format)options->log_format;
    } else {
        log_event(log, LEVEL_ERROR, "reload_failed", "text", error.text);
    }
    options_fini(&fresh);
    return changes.applied > 0;
}
