/*
 * The manager put together: core, journal and gateway, and one turn of their work. What a turn is
 * made of is here; when there is one is the loop's business. One owner thread.
 */
#ifndef BROKER_SHELL_MANAGER_H
#define BROKER_SHELL_MANAGER_H

#include "broker/gateway/gateway.h"
#include "broker/journal/raft.h"
#include "broker/shell/clock.h"
#include "broker/shell/cluster.h"
#include "broker/shell/log.h"
#include "broker/shell/manage.h"
#include "broker/shell/options.h"
#include "broker/shell/socket.h"

/* count: packets taken in one turn; then everybody's answers go out before more is read */
#define MANAGER_TURN_PACKETS 256

/* bytes: likewise; packets are up to 256 KiB, and a turn should not last much over 10 ms */
#define MANAGER_TURN_BYTES (4 * 1024 * 1024)

/* count: connections that closed and whose peers are still to be asked for: a fleet at once */
#define MANAGER_CLOSED 16384

/* A connection whose close the monitor reported. */
struct closed {
    int descriptor;
    unsigned tries;
    uint64_t due_ms;
};

struct manager {
    struct log *log;               /* borrowed */
    const struct options *options; /* borrowed; some change while it runs */
    uint64_t start_ms;             /* CLOCK_BOOTTIME, of manager_init */
    uint64_t turn_longest_ns;      /* since then; recovery is not a turn */
    bool draining;                 /* set by manager_drain */
    struct socket socket;          /* opened by the loop */
    struct clock clock;
    struct core *core;
    struct journal *journal;
    struct gateway *gateway;
    struct cluster *cluster;     /* NULL: this node is alone */
    struct manage manage;        /* what operators have asked for */
    uint64_t now_ms;             /* of this turn */
    uint64_t submitted, applied; /* commands, since it leads */
    bool leads;                  /* the journal takes commands, and the core may be read */
    bool tight;                  /* the disk is nearly full, and the gateway knows */
    uint64_t unread_ms;          /* since when no packets are taken; 0: they are */
    bool monitor_fired;          /* the monitor may have something to say */
    struct closed closed[MANAGER_CLOSED];
    size_t closed_count;
};

/*
 * Makes the parts around manager->socket, which has to be open. log and options are borrowed. Links
 * to other nodes if options->cluster. Opens the data directory unless options->memory; blocks while
 * it is read. false: `error` says why in sentences.
 */
bool manager_init(struct manager *manager, const struct options *options, struct log *log,
                  struct log_error *error);

/* Destroys the parts, those of a manager_init that failed too; the socket stays. Blocks until what
 * was submitted is on disk. */
void manager_fini(struct manager *manager);

/* What the journal does at a start, without any client: until manager->leads. */
void manager_recover(struct manager *manager);

/* One turn: time, what came, what is due, what goes out. true: more is waiting already. */
bool manager_turn(struct manager *manager);

/* When the next turn is due although nothing comes (ms); UINT64_MAX: never. */
uint64_t manager_deadline(const struct manager *manager);

/* Some of the options it was made with have changed: ceilings of memory, connections, outboxes. */
void manager_set_ceilings(struct manager *manager);

/* New sessions and puts are refused from now on. */
void manager_drain(struct manager *manager);

/* Open connections. */
uint64_t manager_connections(const struct manager *manager);

/* NULL; or why the journal failed, whole sentences: the process must end, and start again from what
 * is on disk. Ask after each turn. */
const char *manager_failure(const struct manager *manager);

/* true if nobody is in the middle of anything: all that was asked is answered, and no message is
 * leased and no lock is held, or nobody is connected to finish it. */
bool manager_idle(const struct manager *manager);

#endif
