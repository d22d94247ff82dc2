/*
 * What an operator may ask of the manager as a process (MANAGE in docs/protocol.md): its journal,
 * its cluster, backups of what it keeps. One owner thread: the loop's.
 */
#ifndef BROKER_SHELL_MANAGE_H
#define BROKER_SHELL_MANAGE_H

#include "broker/journal/journal.h"
#include "broker/shell/log.h"
#include "broker/shell/options.h"

/* Backups of one manager: at most one at a time is read. {0} is none. */
struct manage {
    uint64_t held;    /* index of the snapshot that is being read; 0: none */
    uint64_t used_ms; /* when it was read last */
};

/* What a request is about. */
struct manage_view {
    struct journal *journal;
    uint64_t now_ms;
    struct log *log;               /* whose level may be set */
    const struct options *options; /* as they hold now */
    uint64_t uptime_ms;            /* since the process was ready to work */
    uint64_t turn_longest_us;      /* longest turn of the loop since then */
    bool draining;                 /* it is leaving */
    /* What is known of a node: how others reach it, and how clients do; NULL: nothing. Both are
     * borrowed until the next call; empty: not known. true: it is heard of at present; the journal
     * itself hears nothing of a spare. */
    bool (*where)(void *context, uint64_t node, struct slice *address, struct slice *endpoint);
    void *context; /* of `where` */
};

/* Acts, and appends the rows of the answer. For gateway_host.manage. Blocks while a piece of a
 * backup is read from disk, 128 KiB at most. */
void manage_act(struct manage *manage, const struct manage_view *view, struct slice action,
                struct slice argument, struct buf *rows);

/* A backup that nobody reads any more is let go. Call it every second or so. */
void manage_tick(struct manage *manage, const struct manage_view *view);

#endif
