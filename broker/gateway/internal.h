/*
 * What the gateway's files share: one block per file, private to broker/gateway.
 *
 *     connection   a DEALER socket's life, found by its routing id
 *     link         a session's side of it: which connection serves it, when it was last heard
 *     packet       what is being built, or waits, for a connection
 *
 * A connection is freed only by connection_forget (from tick, or when its peer says HELLO anew), so
 * a pointer stays good while a packet is read or effects are written; it may turn DEAD any time.
 * Nothing is submitted while effects are read: sessions to be ended wait in `endings`.
 */
#ifndef BROKER_GATEWAY_INTERNAL_H
#define BROKER_GATEWAY_INTERNAL_H

#include "broker/core/timer.h"
#include "broker/gateway/gateway.h"
#include "common/base/limits.h"
#include "common/base/panic.h"
#include "common/base/steward_errors.h"
#include "common/wire/codec.h"
#include "common/wire/protocol.h"

#include <msgpack.h>

/* No exit: out of memory is for the supervisor to see. */
#define uthash_fatal(message) panic(message, __FILE__, __LINE__)
#include <uthash.h>

/* bytes: the longest header [number, seen]: it is written in front of the records at the end */
#define HEADER_ROOM 19

/* count: ranges gathered for one RECEIPT record */
#define RECEIPTS_MAX 32

/* milliseconds: a dead connection is remembered so long, that its late packets are ignored */
#define DEAD_MS 10000

/* milliseconds: a HELLO that the journal did not answer */
#define OPENING_MS 30000

/* milliseconds: pause between two tries to send what a full pipe refused */
#define RETRY_MS 10

/* milliseconds: a peer whose packets wait for the journal hears from us after this; clients take a
 * manager for dead after half of their time-to-live */
#define ANSWER_MS 100

/* milliseconds: a session that is about to end while somebody asks for it is looked at again */
#define RESUMING_MS 50

/* count: MANAGE requests of all sessions that wait at once; more are refused */
#define MANAGES_MAX 256

/* count: STAT requests of one session that wait at once; older ones get no second row */
#define STATS_MAX 16

struct packet {
    struct packet *next;
    struct buf head;                        /* HEADER_ROOM bytes, then records */
    size_t start;                           /* closed: where the header begins */
    struct buf body;                        /* kept: copy of the large body; empty: none */
    struct id_range receipts[RECEIPTS_MAX]; /* not yet written */
    size_t receipts_count;
};

enum connection_state {
    CONNECTION_OPENING = 1, /* its HELLO is with the journal */
    CONNECTION_OPEN,        /* serves link */
    CONNECTION_DEAD         /* its packets are ignored */
};

struct connection {
    uint64_t number; /* names it in HELLO's command; never used again */
    enum connection_state state;
    bool frames; /* two-frame packets were negotiated */
    bool owes;   /* a packet of the peer is not answered yet */
    bool dirty;  /* in gateway->dirty */
    int descriptor;
    uint64_t received;  /* number of the last packet from the peer */
    uint64_t confirmed; /* and of the last one that cannot be lost any more: our header's `seen` */
    uint64_t sent;      /* number of the last packet to it */
    bool unsettled;     /* in gateway->unsettled: */
    uint64_t mark;      /* once so many commands are applied, */
    uint64_t mark_number; /* this packet is certain */
    struct connection *unsettled_prev, *unsettled_next;
    uint64_t resumes;  /* OPENING: the session whose link counts it as `resuming`; 0: none */
    struct link *link; /* OPEN */
    uint8_t secret[LIMIT_SECRET_BYTES];
    struct packet *open; /* being built; NULL: nothing to say */
    struct packet *kept; /* refused by a full pipe, in order */
    struct packet *kept_last;
    size_t kept_bytes;
    struct timer timer; /* OPENING, DEAD */
    struct connection *dirty_prev, *dirty_next;
    struct connection *stalled_prev, *stalled_next; /* in gateway->stalled while kept */
    struct connection *near_prev, *near_next;       /* the same descriptor */
    UT_hash_handle by_peer, by_number;
    size_t peer_size;
    uint8_t peer[];
};

struct link {
    uint64_t session;
    struct connection *connection; /* NULL: broken, its time runs */
    uint64_t ttl_ms, grace_ms;
    uint64_t away_ms;   /* how long it may be without connection this time */
    uint64_t resuming;  /* count: HELLOs with the journal that resume it */
    uint64_t heard_ms;  /* last packet */
    uint64_t told_ms;   /* last time it was told that we live, while nothing was read */
    uint64_t gone_ms;   /* when the connection broke */
    struct timer timer; /* always armed; may fire early: heard_ms moves without it */
    const char *ending; /* reason; the session's end is wanted, or under way */
    bool submitted;     /* under way */
    struct link *ending_prev, *ending_next; /* in gateway->endings until submitted */
    uint64_t reference;                     /* of its latest OPEN or RESUME, as the core knows it */
    uint64_t gone; /* the reference to detach, while in gateway->detaches; else 0 */
    struct link *detach_prev, *detach_next;
    uint64_t stats[STATS_MAX]; /* ids of the latest STATs without answer: it gets a second row */
    size_t stats_count;
    UT_hash_handle hh;
};

enum { TIMER_OF_LINK = 1, TIMER_OF_CONNECTION = 2 };

/* Arrays that decoding fills again and again. */
struct scratch {
    struct slice bodies[LIMIT_BATCH];
    struct id_range ranges[LIMIT_BATCH];
    struct slice queues[LIMIT_GET_QUEUES];
    struct header_pair headers[LIMIT_HEADERS];
    msgpack_zone zone; /* of the map being read */
    struct buf fields; /* of the answer to STAT; a sentence made printable */
};

struct gateway {
    const struct core *core;
    struct gateway_options options;
    struct gateway_host host;
    uint64_t now_ms;
    uint64_t hash_seed;
    bool draining, tight;
    bool leads;
    uint64_t settled;             /* commands applied since we lead */
    struct connection *unsettled; /* packets of theirs are not certain, in the order of marks */
    uint64_t answer_ms;           /* when to tell those that we are alive */
    uint64_t unread_ms;           /* when to tell all others, while nothing is read */
    uint64_t next_number;
    struct connection *by_peer, *by_number;
    struct connection **by_descriptor; /* lists */
    size_t descriptors;
    struct connection *dirty, *stalled;
    uint64_t retry_ms; /* when to try the stalled again */
    struct link *links, *last_link;
    struct link *endings;
    struct manage_call *manages; /* MANAGE without answer */
    size_t manages_count;
    struct link *detaches; /* links whose session the core shall know to be detached */
    struct timers timers;
    struct packet *pool;
    size_t pool_count;
    struct gateway_counters counters;
    uint64_t log_second;                /* the second that log_lines counts */
    uint64_t log_lines, log_suppressed; /* see report.c */
    struct scratch scratch;
    char server[LIMIT_INFO_BYTES + 1];
};

/* Far above the ceiling: puts cannot be what grows, so whatever makes something new is refused. */
static inline bool gateway_overfull(const struct gateway *gateway)
{
    uint64_t most = gateway->options.memory_max;
    return core_bytes(gateway->core) > most + most / 4;
}

/* A packet while it is read. */
struct incoming {
    struct gateway *gateway;
    struct connection *connection;
    uint64_t session;
    uint64_t number, seen; /* the header */
    struct wire_reader in;
    struct slice body; /* the second frame */
    bool body_waits;   /* there is one, and no nil has stood for it yet */
    const char *wrong; /* sentence for BYE when `in` failed; NULL: a general one */
};

/* Time never goes back, whatever the host says. */
static inline void gateway_now(struct gateway *gateway, uint64_t now_ms)
{
    gateway->now_ms = now_ms > gateway->now_ms ? now_ms : gateway->now_ms;
}

/* ---- report.c ------------------------------------------------------------------------------- */
/* A line about a peer's doing: at most a few a second in all, the rest is counted. */
void report_limited(struct gateway *gateway, char level, const char *event, const char *detail);

/* ---- connection.c --------------------------------------------------------------------------- */
struct connection *connection_find(struct gateway *gateway, struct slice peer);
struct connection *connection_numbered(struct gateway *gateway, uint64_t number);
/* OPENING, under a new number; the peer must not be known. */
struct connection *connection_new(struct gateway *gateway, struct slice peer, int descriptor);
void connection_on(struct gateway *gateway, struct connection *connection, int descriptor);
static inline bool connection_live(const struct connection *connection)
{
    return connection->state != CONNECTION_DEAD;
}
/* DEAD: what it had to say is dropped, its session's grace time begins. */
void connection_kill(struct gateway *gateway, struct connection *connection);
/* BYE behind what is waiting to be sent, then kill. text NULL: the code's own. */
void connection_bye(struct gateway *gateway, struct connection *connection, int code,
                    const char *text);
void connection_forget(struct gateway *gateway, struct connection *connection);
void connection_timer(struct gateway *gateway, struct connection *connection);

/* ---- outbox.c ------------------------------------------------------------------------------- */
/*
 * Where to write a record of about `size` bytes; gathered receipts come first. Closes the packet
 * before it when it would grow beyond its size. NULL: the connection died.
 */
struct buf *outbox_record(struct gateway *gateway, struct connection *connection, size_t size);
/* How many bytes of records still fit into the packet that is open. */
size_t outbox_left(const struct connection *connection);
/* "These requests are done": gathered into ranges. */
void outbox_receipt(struct gateway *gateway, struct connection *connection, uint64_t first,
                    uint64_t count);
/* Something is to be sent at the next flush, if only an empty packet. */
void outbox_touch(struct gateway *gateway, struct connection *connection);
/* Closes and sends the open packet, an empty one if there is none. body: large one, or empty. */
void outbox_send(struct gateway *gateway, struct connection *connection, struct slice body);
/* As flush does for one connection: kept packets first. */
void outbox_flush(struct gateway *gateway, struct connection *connection);
void outbox_drop(struct gateway *gateway, struct connection *connection);
void outbox_fini(struct gateway *gateway);

/* ---- lead.c --------------------------------------------------------------------------------- */
/* A packet is about to be read. */
void settle_begin(struct gateway *gateway, struct connection *connection);
/* A packet was read, and its commands submitted: it is confirmed when they are applied. */
void settle_received(struct gateway *gateway, struct connection *connection);
/* The connection waits for nothing any more. */
void settle_forget(struct gateway *gateway, struct connection *connection);
/* Touches who waits for the journal for long. */
void settle_tick(struct gateway *gateway);
uint64_t settle_deadline(const struct gateway *gateway);

/* ---- link.c --------------------------------------------------------------------------------- */
struct link *link_find(struct gateway *gateway, uint64_t session);
struct link *link_new(struct gateway *gateway, uint64_t session, const struct session_info *info);
/* The connection serves the session from now on; the one that did is dead. */
void link_bind(struct gateway *gateway, struct link *link, struct connection *connection);
/* It has no connection, and ends if nobody resumes it within that time. */
void link_away(struct gateway *gateway, struct link *link, uint64_t away_ms);
/* Its owner asks for it on another connection: the old one's packets count no more. */
void link_replaced(struct gateway *gateway, struct link *link);
/* A HELLO that resumes it is with the journal: meanwhile it does not end. */
void link_resuming(struct link *link, struct connection *connection);
/* That HELLO was answered, or its connection died. */
void link_resuming_over(struct gateway *gateway, struct connection *connection);
/* Its connection broke: grace. */
void link_unbind(struct gateway *gateway, struct link *link);
/* The core shall know that the session has no connection: it serves nobody who waits for it until
 * it is resumed. A RESUME that is under way wins: it has another reference. Submitted by
 * link_submit. */
void link_detach(struct gateway *gateway, struct link *link);
/* The session is to end; reason static. Submitted by link_submit. */
void link_end(struct gateway *gateway, struct link *link, const char *reason);
/* Submits what link_detach and link_end noted. Must not be called while effects are read. */
void link_submit(struct gateway *gateway);
void link_timer(struct gateway *gateway, struct link *link);
void link_free(struct gateway *gateway, struct link *link);
/* The session is no more: its connection gets BYE with the reason. */
void link_ended(struct gateway *gateway, struct link *link, const char *reason);
/* A STAT was asked; and: was this id one? (then it is forgotten) */
void link_stat_add(struct link *link, uint64_t request);
bool link_stat_take(struct link *link, uint64_t request);

/* ---- hello.c -------------------------------------------------------------------------------- */
/* The first packet of a connection; `packet` stands after the header. */
void hello_receive(struct incoming *packet, struct slice peer, int descriptor);
/* BYE to somebody without a connection: seen is the number of their packet. */
void hello_bye(struct gateway *gateway, struct slice peer, uint64_t seen, int code,
               const char *text);
void hello_opened(struct gateway *gateway, const struct effect *effect);
void hello_refused(struct gateway *gateway, const struct effect *effect);
/* [130, code, text]; code negative as in steward_errors.h, text NULL: the code's own. */
void hello_write_bye(struct buf *out, int code, const char *text);

/* ---- decode.c ------------------------------------------------------------------------------- */
/* Every record to the end of the head. false: the packet broke the protocol, see packet->wrong. */
bool decode_records(struct incoming *packet);
/* Fails the packet with a sentence. */
void decode_wrong(struct incoming *packet, const char *sentence);
/* Reads `count` consecutive ids from the first; fails if there are no such numbers. */
uint64_t decode_ids(struct incoming *packet, uint64_t first, uint64_t count);
/* A str that must be UTF-8 (names are checked by the core, which answers). */
struct slice decode_text(struct incoming *packet);
void decode_submit(struct incoming *packet, struct command *command);
/* The requests are answered with a code. object: what the answer names, may be empty. */
void decode_refuse(struct incoming *packet, const struct id_range *ids, int code,
                   struct slice object);

/* ---- decode_messages.c, decode_objects.c ---------------------------------------------------- */
/* One record of n elements whose op was read. false: not an op of theirs. */
bool decode_message_record(struct incoming *packet, uint64_t op, uint32_t n);
bool decode_object_record(struct incoming *packet, uint64_t op, uint32_t n);

/* ---- manage.c ------------------------------------------------------------------------------- */
/* Record MANAGE of n elements whose op was read. */
void manage_decode(struct incoming *packet, uint32_t n);
/* The core's answer to a MANAGE? Then it is kept until manage_flush, unless it is a refusal. */
bool manage_answered(struct gateway *gateway, const struct effect *effect);
/* Asks the host for the rows of what was answered, and writes the answers. Must not be called while
 * effects are read. */
void manage_flush(struct gateway *gateway);
/* The session's requests are answered to nobody. */
void manage_forget(struct gateway *gateway, uint64_t session);

/* ---- decode_maps.c -------------------------------------------------------------------------- */
struct hello_info {
    uint64_t ttl_ms, grace_ms, pid;
    struct slice host, program;
    bool resume; /* session and secret are given */
    uint64_t session, last_tag;
    struct slice secret;
};
/* All three: slices borrow from the packet; the packet fails if the value is no map. */
/* false: a key has a wrong value. */
bool decode_hello_info(struct incoming *packet, struct hello_info *info);
/* 0, or an error for the request and in `object` the key it is about. */
int decode_put_options(struct incoming *packet, struct put_options *options, struct slice *object);
int decode_queue_options(struct incoming *packet, struct queue_options *options,
                         struct slice *object);

/* ---- encode.c, encode_fields.c -------------------------------------------------------------- */
void encode_effect(struct gateway *gateway, const struct effect *effect);
/* Rows as an array of maps; one row's fields as a map. */
void encode_rows(struct buf *out, struct slice fields);
void encode_map(struct buf *out, struct slice fields);
/* A row of the gateway's counters. */
void encode_counters(struct gateway *gateway, struct buf *fields);

#endif
