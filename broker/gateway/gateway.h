/*
 * The gateway: between packets and the core. Sessions' connections, packet numbers, resume, limits,
 * packing. Pure: bytes and time in, commands and bytes out, through the functions of its host.
 *
 * The way in: gateway_receive decodes a packet record by record and submits commands; nothing is
 * copied that the command can borrow. The way out: gateway_effects appends replies and deliveries
 * to the outbox of each session's connection; gateway_flush sends one packet (or a few, at the size
 * cap) for each connection that has something to say: once per loop turn.
 * Not thread-safe: the loop thread owns it.
 */
#ifndef BROKER_GATEWAY_GATEWAY_H
#define BROKER_GATEWAY_GATEWAY_H

#include "broker/core/core.h"

struct gateway;

enum send_result {
    SEND_DONE = 0,
    SEND_LATER, /* the peer's pipe is full: the gateway keeps the packet and tries again */
    SEND_GONE   /* no such peer any more (EHOSTUNREACH) */
};

/* What the gateway asks of its host (the shell, or a simulator). All calls return at once. */
struct gateway_host {
    void *context;
    /* To the journal. The command is borrowed: copied or applied before return. Its effects come
     * by gateway_effects, at once (memory) or later (a log). */
    void (*submit)(void *context, const struct command *command);
    /* One packet to a peer: head, and a large body unless body.data is NULL. Bytes are borrowed
     * until return. */
    enum send_result (*send)(void *context, struct slice peer, struct slice head,
                             struct slice body);
    /* How many commands were submitted since gateway_lead, by anybody: see gateway_settled. NULL:
     * each one is applied before submit returns. */
    uint64_t (*submitted)(void *context);
    /* Where clients reach the leader, while this node follows; empty: nobody knows. Borrowed until
     * the next call of anything. NULL: as if empty. */
    struct slice (*leader_endpoint)(void *context);
    /* size bytes from the system's random source (sessions' secrets). */
    void (*random)(void *context, void *out, size_t size);
    /* One line for the log: level 'e', 'w', 'i', 'd'; event a static word; detail "key=value". */
    void (*log)(void *context, char level, const char *event, const char *detail);
    /* An operator's request (MANAGE in docs/protocol.md): acts, and appends the rows (fields.h) of
     * the answer, 192 KiB at most. Called in gateway_flush; words are borrowed. May come twice for
     * one request. NULL: no action is known, no rows are added. */
    void (*manage)(void *context, struct slice action, struct slice argument, struct buf *rows);
};

struct gateway_options {
    uint64_t body_max;        /* bytes: largest body accepted */
    uint64_t memory_max;      /* bytes: puts are refused (EMEMORY) while core_bytes is above */
    uint64_t outbox_max;      /* bytes kept for one connection that does not read */
    uint64_t connections_max; /* HELLOs beyond it are refused with ELIMIT */
    const char *server;       /* text for WELCOME, e.g. "stewardd 0.1.0" */
};

/* Fills in limits.h's defaults. */
void gateway_options_default(struct gateway_options *options);

/*
 * The core is read only (core_session, core_sessions, core_bytes); commands go through host.submit.
 * A new gateway follows: it submits nothing and reads no core until gateway_lead.
 */
struct gateway *gateway_new(const struct core *core, const struct gateway_options *options,
                            const struct gateway_host *host);
void gateway_destroy(struct gateway **gateway);

/* One packet as it was received. Borrowed. */
struct gateway_packet {
    struct slice peer;          /* routing id */
    const struct slice *frames; /* more than two are refused */
    size_t count;
    int descriptor; /* the socket's file descriptor it came on (ZMQ_SRCFD), -1 if unknown */
};

void gateway_receive(struct gateway *gateway, uint64_t now_ms, const struct gateway_packet *packet);

/* The effects of a command that was applied. Consumed before return. */
void gateway_effects(struct gateway *gateway, uint64_t now_ms, const struct effects *effects);

/* A TCP or IPC connection was closed: pings the connections known by that descriptor; those that
 * are gone (SEND_GONE) start their session's grace time. */
void gateway_closed(struct gateway *gateway, uint64_t now_ms, int descriptor);

/* Sends what the turn produced. Call once per loop turn, after the journal's flush. */
void gateway_flush(struct gateway *gateway, uint64_t now_ms);

/* Silence, grace times, kept packets. Call when gateway_deadline has come, or more often. */
void gateway_tick(struct gateway *gateway, uint64_t now_ms);

/* When gateway_tick is due (ms); UINT64_MAX: never. */
uint64_t gateway_deadline(const struct gateway *gateway);

/* The manager itself was stopped for gap_ms: silence meanwhile is nobody's fault. */
void gateway_gap(struct gateway *gateway, uint64_t now_ms, uint64_t gap_ms);

/* No packets are taken since since_ms: peers are told in time that the manager lives. Call every
 * 100 ms or so while it lasts; a flush sends what it says. */
void gateway_unread(struct gateway *gateway, uint64_t now_ms, uint64_t since_ms);

/*
 * The journal takes commands from now on, and all that was kept is applied. Sessions that the core
 * knows end only when nobody resumes them within their time-to-live, or their grace if longer.
 */
void gateway_lead(struct gateway *gateway, uint64_t now_ms);

/* It takes none any more: BYE to all connections; what was submitted and not applied is unknown.
 * Until gateway_lead each HELLO is answered by the leader's endpoint. */
void gateway_follow(struct gateway *gateway, uint64_t now_ms);

/* So many of the commands that were submitted since gateway_lead are applied, and their effects
 * were handed in. Call before gateway_flush. */
void gateway_settled(struct gateway *gateway, uint64_t applied);

/* The disk is nearly full: puts and declares are refused with EDISK until it is not. */
void gateway_set_tight(struct gateway *gateway, bool tight);

/* Other ceilings from now on: memory_max, outbox_max and connections_max of `options`, the rest
 * stays. Nobody loses a connection by it. */
void gateway_set_ceilings(struct gateway *gateway, const struct gateway_options *options);

/* From now on: HELLO and puts are refused with EDRAINING. */
void gateway_drain(struct gateway *gateway);

/* BYE to every connection (the last act before exit). text NULL: the code's own. */
void gateway_goodbye(struct gateway *gateway, int code, const char *text);

/* Counters since start, for stat and the log. */
struct gateway_counters {
    uint64_t packets_in, packets_out, bytes_in, bytes_out, records_in, bad_packets, refused_hellos,
        resumed, unroutable, kept, overflowed, connections;
};
void gateway_counters(const struct gateway *gateway, struct gateway_counters *out);

#endif
