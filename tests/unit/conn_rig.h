/*
 * A client connection (client/lib/conn.h) with a host that records, against a scripted manager:
 * packets are written and compared in the notation of notation.h.
 */
#ifndef TESTS_UNIT_CONN_RIG_H
#define TESTS_UNIT_CONN_RIG_H

#include "client/lib/conn.h"

#define RIG_TICKETS_MAX 64

struct rig_ticket {
    struct ticket ticket; /* first */
    bool done;
    int code;
    uint64_t number;
    size_t messages; /* of a get */
    char text[64];
};

struct conn_rig {
    struct conn *conn;
    uint64_t now_ms;
    uint64_t generation; /* of the socket that is open */
    uint64_t out_number; /* packets taken from it */
    uint64_t in_number;  /* of the manager's last packet on it */
    struct buf head, text;
    size_t arrived, changed;
    struct rig_ticket tickets[RIG_TICKETS_MAX];
};

struct conn_rig *conn_rig_new(const char *endpoints);
void conn_rig_free(struct conn_rig *rig);

/* Time passes, with all timers on the way. */
void conn_rig_wait(struct conn_rig *rig, uint64_t ms);
/* Waits for the next socket (at most 10 s) and says that it is connected. */
void conn_rig_connect(struct conn_rig *rig);
/* Opens a socket, takes HELLO, answers it with session 7 (resumed or new). */
void conn_rig_welcome(struct conn_rig *rig, uint64_t session, bool resumed);

/* All packets that go out now, separated by " | "; a large body as " + SIZE". Good until the next
 * call. */
const char *conn_rig_take(struct conn_rig *rig);
/* A packet of the manager: the records; the header is added, with all seen. */
void conn_rig_receive(struct conn_rig *rig, const char *records);
/* The whole packet, header and all; body may be NULL. */
void conn_rig_receive_raw(struct conn_rig *rig, const char *head, const char *body);

/* Submits the put of a text. */
void conn_rig_put(struct conn_rig *rig, size_t ticket, const char *queue, const char *body,
                  uint64_t timeout_ms);
/* Submits a request whose values after the id are in notation. */
void conn_rig_request(struct conn_rig *rig, size_t ticket, uint8_t op, const char *values,
                      uint64_t timeout_ms);
void conn_rig_ack(struct conn_rig *rig, size_t ticket, uint64_t tag);

#endif
