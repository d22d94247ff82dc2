/* The inside of struct conn, shared by the conn_*.c files. See conn.h. */
#ifndef CLIENT_LIB_CONN_STATE_H
#define CLIENT_LIB_CONN_STATE_H

#include "client/lib/conn.h"
#include "client/lib/requests.h"
#include "client/lib/seen.h"
#include "common/wire/codec.h"

#include <uthash.h>

#define NEVER UINT64_MAX

/* milliseconds: answers are confirmed at the latest after this */
#define SEEN_DELAY_MS 500

enum conn_phase {
    CONN_BACKOFF, /* no socket until retry_ms */
    CONN_OPENING, /* a socket is connecting */
    CONN_HELLO,   /* connected; HELLO to be sent (out_number 0) or sent */
    CONN_READY,   /* WELCOME came */
    CONN_DEAD     /* for good: `fatal` says why */
};

struct conn_consumer {
    struct conn_consumer *next, *prev; /* utlist: all_consumers */
    uint64_t channel;                  /* request id of its CONSUME; 0: to be opened */
    struct ticket *ticket;             /* who waits for the first opening */
    void *user;
    struct buf queues;
    uint64_t lease_ms;
    uint64_t prefetch, prefetch_bytes;
    int64_t credit, credit_bytes; /* what the manager may still send, as far as we know */
    struct conn_consumer *heir;   /* this is its channel of before a resume, being closed */
    struct items items;
    size_t items_bytes;
    int ended;    /* how the stream ended; 0: it goes on */
    bool opened;  /* a CONSUME was answered well */
    bool asked;   /* the channel's CONSUME has no answer yet: it takes no other credit */
    bool lost;    /* the session was lost and nobody was told yet */
    bool closing; /* UNCONSUME was sent: what still comes is given back */
    bool due;     /* credit should go out */
    UT_hash_handle hh;
};

/* A put that was refused for now (EMEMORY and its kin), until it is tried again. */
struct retry {
    struct retry *next;
    uint64_t at_ms;
    int code; /* why it was refused */
    struct request request;
};

struct conn {
    struct conn_host host;
    uint64_t now_ms; /* the latest time anybody told */

    /* who we are */
    uint64_t ask_ttl_ms, ask_grace_ms, pid;
    char *program, *hostname;
    uint64_t random;

    /* the socket */
    enum conn_phase phase;
    int fatal;
    char **endpoints;
    size_t endpoints_count, endpoint; /* endpoint: index of the one in use or next */
    /* instead, once; "": none */
    char redirect[LIMIT_LINK_ADDRESS_BYTES + 1];
    bool redirected;                          /* the current socket is a redirect's */
    char broke[LIMIT_LINK_ADDRESS_BYTES + 1]; /* the endpoint that broke last, */
    uint64_t broke_ms;                        /* and when */
    int refusal;                              /* of the last BYE since WELCOME: ENOQUORUM, else 0 */
    uint64_t generation;
    uint32_t attempt;          /* failures since the last WELCOME */
    uint32_t broken;           /* connections in a row that the manager ended with EPROTO */
    uint64_t retry_ms;         /* BACKOFF: when to open */
    uint64_t opening_until_ms; /* OPENING, HELLO: when to give this endpoint up */
    char trouble[256];

    /* the session */
    uint64_t session; /* 0: none */
    uint8_t secret[LIMIT_SECRET_BYTES];
    uint64_t epoch, lost_count;
    uint64_t ttl_ms;
    uint64_t body_max; /* 0: not known */
    uint64_t last_tag; /* highest streamed tag received */

    /* this connection */
    uint64_t out_number, in_number;
    uint64_t peer_seen; /* highest of our packets that the manager has */
    uint64_t last_sent_ms;
    uint64_t waiting_since_ms;            /* a packet was sent and nothing came since; NEVER */
    uint64_t probe_number, probe_sent_ms; /* a packet whose confirmation we time */
    uint64_t alive_ms;                    /* when the last confirmed packet was sent */
    bool keepalive_due;
    bool leaving, left;

    /* requests */
    struct names names;
    struct blocks blocks;
    struct requests requests;
    uint64_t cursor;               /* next id to send on this connection */
    uint64_t sent_max;             /* ids up to it were sent on some connection of this session */
    size_t pending, pending_bytes; /* at or above cursor */
    size_t content_bytes;          /* of all unanswered requests */
    uint64_t expire_ms;            /* the earliest deadline, or before */
    struct retry *retries;
    size_t retries_count, retries_bytes;
    struct seen seen;
    uint64_t seen_due_ms;

    /* streams */
    struct runs runs;
    struct conn_consumer *all_consumers;
    struct conn_consumer *consumers; /* those with a channel, by it */
    uint64_t handed_sent;
    bool credit_due;
    uint64_t renew_ms; /* when leases have to be looked at, or before */
    struct lease *leases;
    struct held *locks;
};

/* When a lease has to be renewed: at a third of it. */
static inline uint64_t lease_due(uint64_t from_ms, uint64_t lease_ms)
{
    return lease_ms == 0 || lease_ms == NEVER ? NEVER : from_ms + lease_ms / 3;
}

/* ---- conn.c ---- */
/* The connection is of no use any more: back off, then open the next endpoint. */
void conn_break(struct conn *conn, const char *why);
/* The session is gone. */
void conn_lose_session(struct conn *conn);
/* It will never work: everything ends with the code. */
void conn_die(struct conn *conn, int code, const char *why);
/* A number below bound (> 0). */
uint64_t conn_random(struct conn *conn, uint64_t bound);

/* ---- conn_requests.c ---- */
/* Ends request `id` with the outcome: releases what it holds and tells its ticket. */
void conn_complete(struct conn *conn, uint64_t id, struct outcome *outcome);
/* A put that was refused with this code: tried again later? Then its id is free and true. */
bool conn_retry(struct conn *conn, uint64_t id, int code);
void conn_retries_submit(struct conn *conn);
/* Ends all that would be tried again. */
void conn_retries_end(struct conn *conn, int code);
void conn_expire(struct conn *conn);
/* Ends all that was sent; what was not goes on in the next session. */
void conn_requests_lost(struct conn *conn);
void conn_requests_fini(struct conn *conn);
/* All that is unanswered is to be sent (again). */
void conn_requests_rewind(struct conn *conn);
/* The bytes a request counts for in pending and content. */
size_t conn_request_bytes(const struct request *request);
/* A RENEW of our own. */
void conn_renew(struct conn *conn, uint64_t tag);

/* ---- conn_pack.c: conn_next_packet ---- */

/* ---- conn_welcome.c ---- */
/* The HELLO packet. */
void conn_write_hello(struct conn *conn, struct buf *out);
/* Record 128, read behind the op; false: malformed. */
bool conn_welcome(struct conn *conn, struct wire_reader *in);
bool conn_redirect(struct conn *conn, struct wire_reader *in);
bool conn_bye(struct conn *conn, struct wire_reader *in);

/* ---- conn_receive.c: conn_receive ---- */

/* ---- conn_stream.c ---- */
/* What a get holds of its answer is dropped. */
void conn_items_drop(struct conn *conn, struct request *request);
/* Records 137 and 138, read behind the op; false: malformed. */
bool conn_deliver_run(struct conn *conn, struct wire_reader *in, struct packet *packet);
bool conn_deliver_one(struct conn *conn, struct wire_reader *in, struct packet *packet);
void conn_leases_lost(struct conn *conn, uint64_t first, uint64_t count);
void conn_lock_lost(struct conn *conn, uint64_t token);
void conn_consumer_ended(struct conn *conn, uint64_t channel, int code);
/* The answer to a CONSUME or UNCONSUME. */
void conn_consume_answered(struct conn *conn, uint64_t id, int code);
void conn_unconsume_answered(struct conn *conn, uint64_t channel);
/* HANDED and CREDIT records that are due. */
void conn_stream_write(struct conn *conn, struct buf *out);
void conn_streams_rewind(struct conn *conn);
/* The session was resumed: each consumer goes on with a new channel and new credit. */
void conn_streams_resumed(struct conn *conn);
void conn_streams_lost(struct conn *conn);
/* Opens those that have no channel. */
void conn_streams_open(struct conn *conn);
void conn_streams_renew(struct conn *conn);
void conn_streams_fini(struct conn *conn);

#endif
