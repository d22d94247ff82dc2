/*
 * One client's session with the manager, as a pure state machine: no sockets, no clock, no threads,
 * no system calls. libsteward's driver runs it on a real socket, the simulator on a simulated one.
 *
 * The life of a host (driver.c is the real one):
 *
 *     conn_tick (conn, now)                  whenever conn_deadline has come, or more often
 *     conn_socket (conn, &generation)        which endpoint a socket should be connected to;
 *                                            another
 *                                            generation: close the socket, open a new one
 *     conn_connected, conn_disconnected      what became of that socket
 *     conn_receive (conn, now, packet)       for each packet that arrived
 *     while (conn_next_packet (...)) send    now if conn_urgent, else when the host wants to flush
 *
 * What goes in: submissions of requests (conn_put, conn_settle, conn_request), each with a ticket.
 * What comes out: host.done once for each ticket, unless conn_forget took it back first, and
 * messages of consumers, by conn_consumer_next.
 *
 * What it guarantees: requests are answered once; after a broken connection it connects again
 * (back-off with jitter, endpoints in turn, redirects followed), resumes and sends all unanswered
 * requests again, ids ascending, content the same. When the session is lost, everything that was
 * sent ends STW_ESESSION; what never left goes on in the new session, and consumers are opened
 * again.
 *
 * Times are milliseconds of any clock that does not go backwards. Not thread-safe: one mutex around
 * it. Out of memory aborts.
 */
#ifndef CLIENT_LIB_CONN_H
#define CLIENT_LIB_CONN_H

#include "client/lib/blocks.h"
#include "client/lib/delivery.h"
#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/base/steward_errors.h"
#include "common/wire/protocol.h"

struct conn;
struct conn_consumer;

/* Who waits for a request's outcome: embedded in the host's future. Zeroed before the submission.
 * id is the request's id while it is under way, else 0. */
struct ticket {
    uint64_t id;
    void *retry; /* conn's: it was refused for now and will be tried again */
};

/* How a request ended; borrowed during host.done. */
struct outcome {
    int code;            /* 0 or STW_E... */
    uint8_t op;          /* the request's */
    uint64_t number;     /* NUMBER's value, GRANT's token, GOT's count */
    uint64_t depth;      /* of a GRANT */
    struct items *items; /* of a get: take them (leave {0}), or they are dropped */
    struct slice rows;   /* the encoded array of maps of ROWS */
    struct slice text;   /* the sentence of a failure; may be empty */
};

/* What conn tells its host. The functions must not call back into conn, but may ask
 * what it is like. */
struct conn_host {
    void *context;
    void (*done)(void *context, struct ticket *ticket, const struct outcome *outcome);
    /* Messages, an end or a loss of session wait at the consumer with this `user`. */
    void (*arrived)(void *context, void *user);
    /* The session is open, or the connection failed for good: see conn_state. */
    void (*changed)(void *context);
};

struct conn_options {
    const char *endpoints; /* comma-separated */
    uint64_t ttl_ms;       /* asked for; WELCOME says what was granted */
    uint64_t grace_ms;
    const char *program; /* for people; NULL: none */
    const char *host;    /* for people; NULL: none */
    uint64_t pid;        /* 0: none */
    uint64_t seed;       /* of the back-off's jitter */
};

/* NULL if endpoints has no endpoint. */
struct conn *conn_new(const struct conn_options *options, const struct conn_host *host,
                      uint64_t now_ms);
/* Frees; tickets still out are forgotten, host is not called. */
void conn_destroy(struct conn **conn);

/* ---- time and the socket ---- */

/* Timers: back-off, keepalive, silence, deadlines, renewals. Receive what is there before it, else
 * a program that was itself stopped takes its own pause for the manager's silence. */
void conn_tick(struct conn *conn, uint64_t now_ms);
/* When conn_tick is due; UINT64_MAX: never. */
uint64_t conn_deadline(const struct conn *conn);

/* The endpoint a socket should be connected to, or NULL for no socket now. */
const char *conn_socket(const struct conn *conn, uint64_t *generation);
/* The socket of the current generation is connected. */
void conn_connected(struct conn *conn, uint64_t now_ms);
/* It is not any more, or a packet could not be sent on it. */
void conn_disconnected(struct conn *conn, uint64_t now_ms);

/* One packet from the socket of the current generation. References are taken as needed. */
void conn_receive(struct conn *conn, uint64_t now_ms, struct packet *packet);
/* The next packet to send, or false. head is cleared first; body.data NULL: one frame. Body bytes
 * are borrowed until the next call on conn. */
bool conn_next_packet(struct conn *conn, uint64_t now_ms, struct buf *head, struct slice *body);

/* Something that should not wait for a flush: HELLO, credit, a keepalive that is due. */
bool conn_urgent(const struct conn *conn);
/* Requests submitted and not sent yet, and their bytes (estimate); 0 while not connected. */
size_t conn_pending(const struct conn *conn);
size_t conn_pending_bytes(const struct conn *conn);
/* Requests without an answer, and the bytes of their content. */
size_t conn_outstanding(const struct conn *conn);
size_t conn_outstanding_bytes(const struct conn *conn);

/* Leave: the next packet ends the session; nothing may be submitted any more. */
void conn_leave(struct conn *conn);
/* The last packet was given out. */
bool conn_left(const struct conn *conn);

/* ---- what it is like ---- */

/* 0 while it works or tries to; STW_EVERSION if it never will. */
int conn_state(const struct conn *conn);
/* WELCOME came on this connection. */
bool conn_ready(const struct conn *conn);
/* 0 before the first. */
uint64_t conn_session(const struct conn *conn);
/* Counts sessions from 1: whoever holds something of an older one has lost it. */
uint64_t conn_epoch(const struct conn *conn);
uint64_t conn_sessions_lost(const struct conn *conn);
/* bytes: the largest body the manager takes; 0: not known yet. */
uint64_t conn_body_max(const struct conn *conn);
/* Until when the session surely lives, if the manager's clock runs: ttl after the last packet
 * that the manager confirmed was sent. */
uint64_t conn_alive_until(const struct conn *conn);
/* STW_ENOQUORUM: no node that answered since the last WELCOME knew of a leader. Else 0. */
int conn_refusal(const struct conn *conn);
/* The sentence of the last connection failure; "" if none. */
const char *conn_trouble(const struct conn *conn);

/* Names, and runs of messages, live in conn. */
struct names *conn_names(struct conn *conn);
struct runs *conn_runs(struct conn *conn);

/* ---- requests ---- */

struct conn_put {
    struct name *queue;  /* borrowed */
    struct slice body;   /* copied, unless it lies in block */
    struct block *block; /* body's own (block_new; consumed), or NULL */
    uint64_t timeout_ms; /* UINT64_MAX: for ever */
};

/* One body into a queue. */
void conn_put(struct conn *conn, uint64_t now_ms, struct ticket *ticket,
              const struct conn_put *put);

struct conn_settle {
    uint8_t op; /* WIRE_ACK .. WIRE_RENEW */
    uint8_t fields;
    uint64_t tag;
    struct slice tail; /* the `fields` values after count, encoded; copied */
};

/* Settles one tag of the current session. */
void conn_settle(struct conn *conn, struct ticket *ticket, const struct conn_settle *settle);

struct conn_request {
    uint8_t op;
    uint8_t fields;
    struct slice tail;   /* the `fields` values after the id, encoded; copied */
    struct slice large;  /* a body for the second frame (nil stands in tail); data NULL: none */
    uint64_t timeout_ms; /* that the manager was told; UINT64_MAX: none */
};

/* Any other request. */
void conn_request(struct conn *conn, uint64_t now_ms, struct ticket *ticket,
                  const struct conn_request *request);

/* Asks the manager to end the request. Its outcome comes as usual. */
void conn_cancel(struct conn *conn, struct ticket *ticket);
/* The ticket goes away. A get, acquire or other wait is cancelled; what it got is given back. */
void conn_forget(struct conn *conn, struct ticket *ticket);

/* ---- consumers ---- */

struct conn_consume {
    struct slice queues; /* encoded array of names; copied */
    uint64_t messages;   /* prefetch */
    uint64_t bytes;
    uint64_t lease_ms; /* UINT64_MAX: the queue's */
    void *user;        /* for host.arrived */
};

/* ticket: outcome of the first opening; if it is not 0, close the consumer. */
struct conn_consumer *conn_consume(struct conn *conn, uint64_t now_ms, struct ticket *ticket,
                                   const struct conn_consume *consume);
/* Hands the next message over (the item's reference on its run with it). */
bool conn_consumer_next(struct conn *conn, uint64_t now_ms, struct conn_consumer *consumer,
                        struct item *item);
/* Why there is no message: 0 (none yet), STW_ESESSION (once after a loss), or how it ended. */
int conn_consumer_state(struct conn_consumer *consumer);
/* Gives back what is in the buffer, and what still comes, and closes. */
void conn_consumer_close(struct conn *conn, struct conn_consumer **consumer);

/* ---- what is held ---- */

/* A lease that the library renews every third of it. Embedded by its owner. */
struct lease {
    struct lease *next, *prev; /* utlist */
    uint64_t tag;
    uint64_t lease_ms;
    uint64_t from_ms; /* last renewed */
    bool watched;
    bool lost;
};

void conn_watch_lease(struct conn *conn, struct lease *lease);
void conn_unwatch_lease(struct conn *conn, struct lease *lease);

/* A lock that is held: told when it is lost. Embedded by its owner. */
struct held {
    struct held *next, *prev; /* utlist */
    uint64_t token;
    bool watched;
    bool lost;
};

void conn_watch_lock(struct conn *conn, struct held *held);
void conn_unwatch_lock(struct conn *conn, struct held *held);

#endif
