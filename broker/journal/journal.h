/*
 * The journal: every command passes through it on its way to the core. It decides when a command is
 * applied: at once (memory), or once it is durable (a log; then one record holds everything that
 * was submitted since the last record was begun: group commit).
 *
 * After each apply the journal calls `applied` with the effects; until then nothing is promised to
 * anybody. A durable journal does nothing by itself: its owner polls its descriptors and calls
 * process in every turn, reads its deadline and calls tick, and after each turn asks whether it
 * failed; then the process has to end. One owner thread; never blocks.
 */
#ifndef BROKER_JOURNAL_JOURNAL_H
#define BROKER_JOURNAL_JOURNAL_H

#include "broker/core/core.h"

struct journal;

/* Reads the effects before it returns, and submits nothing meanwhile. */
typedef void journal_applied(void *context, uint64_t now_ms, const struct effects *effects);

/* count: descriptors of a journal, at most: two threads of the log, a process that writes a
 * snapshot */
#define JOURNAL_DESCRIPTORS 3

/* What a kind of journal provides; `self` is its own state. */
struct journal_class {
    const char *name; /* "memory", "raft" */
    /* Borrowed until return; applied before return or later. Never fails. */
    void (*submit)(void *self, uint64_t now_ms, const struct command *command);
    /* End of a loop turn: begin to write what has gathered. */
    void (*flush)(void *self, uint64_t now_ms);
    void (*destroy)(void *self);

    /* See the functions below. NULL: applied at once, so nothing is ever due or waiting. */
    size_t (*descriptors)(const void *self, int out[JOURNAL_DESCRIPTORS]);
    void (*process)(void *self, uint64_t now_ms);
    uint64_t (*deadline)(const void *self);
    void (*tick)(void *self, uint64_t now_ms);
    bool (*ready)(const void *self);
    bool (*ticking)(const void *self);
    uint64_t (*backlog)(const void *self);
    uint64_t (*time_ms)(const void *self);
    const char *(*failure)(const void *self);
    uint64_t (*leader)(const void *self);
    bool (*tight)(const void *self);
};

/* A journal that applies at once and keeps nothing. Borrows the core. */
struct journal *journal_memory_new(struct core *core, journal_applied *applied, void *context);

/* Only while the journal is ready, or has failed (then nothing comes of it). */
void journal_submit(struct journal *journal, uint64_t now_ms, const struct command *command);
void journal_flush(struct journal *journal, uint64_t now_ms);

/* Descriptors to poll for reading; returns how many there are: they come and go, so ask before each
 * poll. They are edge-triggered (ZeroMQ's): call journal_process in every turn, whatever woke the
 * owner, and last before it polls again. */
size_t journal_descriptors(const struct journal *journal, int out[JOURNAL_DESCRIPTORS]);

/* Takes what the journal's threads have to say: `applied` is called for what became durable. */
void journal_process(struct journal *journal, uint64_t now_ms);

/* When journal_tick is due (ms); UINT64_MAX: never. Read it again after every call. */
uint64_t journal_deadline(const struct journal *journal);
void journal_tick(struct journal *journal, uint64_t now_ms);

/* This node leads, everything that was kept is applied to the core, and commands are taken; else
 * the core is not to be read. In a cluster it ends when leadership is lost: what was submitted and
 * not applied is forgotten, without a word: perhaps it happens, perhaps not. Ask after every
 * call. */
bool journal_ready(const struct journal *journal);

/* The node that leads, as far as this one knows; 0: unknown, or there are no nodes (memory). */
uint64_t journal_leader(const struct journal *journal);

/* The disk is nearly full: what only adds is to be refused, what makes room goes on. */
bool journal_tight(const struct journal *journal);

/* A COMMAND_TICK is submitted and not applied yet: core_deadline() does not count until it is. */
bool journal_ticking(const struct journal *journal);

/* Bytes of commands submitted and not applied: read less from clients when it is large. */
uint64_t journal_backlog(const struct journal *journal);

/* Time of the last command applied, 0 for none: once ready, the owner's clock goes on from there if
 * it is less. */
uint64_t journal_time_ms(const struct journal *journal);

/* NULL; or why the journal failed, whole sentences: the process must end. */
const char *journal_failure(const struct journal *journal);

/* "memory": for stat and the log. */
const char *journal_name(const struct journal *journal);
void journal_destroy(struct journal **journal);

#endif
