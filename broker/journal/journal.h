/*
 * The journal: every command passes through it on its way to the core. It decides when a command is
 * applied: at once (memory), or once it is durable (a log; then one record holds everything that
 * was submitted since the last record was begun: group commit).
 *
 * After each apply the journal calls `applied` with the effects; until then nothing is promised to
 * anybody. One owner thread.
 */
#ifndef BROKER_JOURNAL_JOURNAL_H
#define BROKER_JOURNAL_JOURNAL_H

#include "broker/core/core.h"

struct journal;

/* Reads the effects before it returns, and submits nothing meanwhile. */
typedef void journal_applied(void *context, uint64_t now_ms, const struct effects *effects);

/* What a kind of journal provides; `self` is its own state. */
struct journal_class {
    const char *name; /* "memory" */
    /* Borrowed until return; applied before return or later. Never fails. */
    void (*submit)(void *self, uint64_t now_ms, const struct command *command);
    /* End of a loop turn: begin to write what has gathered. */
    void (*flush)(void *self, uint64_t now_ms);
    void (*destroy)(void *self);
};

/* A journal that applies at once and keeps nothing. Borrows the core. */
struct journal *journal_memory_new(struct core *core, journal_applied *applied, void *context);

void journal_submit(struct journal *journal, uint64_t now_ms, const struct command *command);
void journal_flush(struct journal *journal, uint64_t now_ms);
/* "memory": for stat and the log. */
const char *journal_name(const struct journal *journal);
void journal_destroy(struct journal **journal);

#endif
