/*
 * Commands: everything that can change the core, as plain data.
 *
 * A command borrows every slice and array in it; core_apply copies what it keeps.  Names, counts
 * and sizes are checked by the core as well (a refused command is a reply effect): the gateway
 * checks earlier only to save work.  Times are milliseconds.  The encoding is the core's own and
 * versioned: it is what a log would hold, not what the wire carries.
 */
#ifndef BROKER_CORE_COMMAND_H
#define BROKER_CORE_COMMAND_H

#include "common/base/buf.h"
#include "common/base/limits.h"

/* Timeouts of requests: 0 = try, FOREVER = no deadline, else milliseconds from the first apply. */
#define TIMEOUT_FOREVER UINT64_MAX

/* "The queue's own setting" for lease_ms, delay_ms, ttl_ms. */
#define SETTING_DEFAULT UINT64_MAX

enum command_kind {
    /* the manager's own: session = 0, request = 0 */
    COMMAND_BOOTSTRAP = 1,  /* first command of a core's life: bootstrap */
    COMMAND_TICK,           /* time passes; deadlines fire and sliced work goes on */
    COMMAND_LEADER_START,   /* leases and waits get their full time again, sessions are detached */
    COMMAND_CLOCK_GAP,      /* gap_ms: full time again, after the process itself was stopped */
    COMMAND_SESSION_OPEN,   /* open: effect SESSION_OPENED */
    COMMAND_SESSION_RESUME, /* resume: effect SESSION_OPENED (resumed) or SESSION_REFUSED, then the
                               streamed deliveries after last_tag again; its waiters go on */
    COMMAND_SESSION_END,    /* session; reason in text: everything it owns is given back */
    /* a session's, without answer: request = 0 */
    COMMAND_SEEN,   /* ranges: the client has these answers; they are forgotten */
    COMMAND_HANDED, /* tag: every streamed delivery up to it was handed to the program */
    COMMAND_CREDIT, /* credit: more credit for a consumer */
    /* a session's requests: answered by REPLY effects under their request ids */
    COMMAND_PUT,        /* put: count requests of one body each (ids request .. request+count-1) */
    COMMAND_PUT_MANY,   /* put: one request, count bodies, all or none; options apply to each */
    COMMAND_GET,        /* get: up to max messages from the first of several queues that has any */
    COMMAND_CONSUME,    /* get: opens a streaming consumer; its channel is the request id */
    COMMAND_UNCONSUME,  /* target: closes the consumer; leases stay */
    COMMAND_ACK,        /* settle: count requests, the i-th settles tag first_tag + i */
    COMMAND_NACK,       /* settle, with delay_ms and reason */
    COMMAND_RELEASE,    /* settle */
    COMMAND_REJECT,     /* settle, with reason */
    COMMAND_RENEW,      /* settle, with lease_ms */
    COMMAND_CANCEL,     /* target: request id of a waiting request; it ends ECANCELED; a grant that
                          it already got is given back (leases released, lock unlocked) */
    COMMAND_ACQUIRE,    /* acquire: lock or semaphore */
    COMMAND_UNLOCK,     /* unlock */
    COMMAND_LOCK_RENEW, /* unlock fields + lease_ms */
    COMMAND_LOCK_BREAK, /* named: forced break; holders lose it, the next waiter gets a new token */
    COMMAND_LOCK_SHOW,  /* named: first row the lock, then a row per holder and waiter */
    COMMAND_LOCK_LIST,  /* page */
    COMMAND_QUEUE_DECLARE,  /* queue: create, or check equality of the given options */
    COMMAND_QUEUE_ALTER,    /* queue: change the given options */
    COMMAND_QUEUE_DELETE,   /* named: waiters end EDELETED, leases are lost */
    COMMAND_QUEUE_PURGE,    /* named: ready and delayed messages go; answers how many */
    COMMAND_QUEUE_PAUSE,    /* named: no deliveries until resumed; puts go on */
    COMMAND_QUEUE_RESUME,   /* named */
    COMMAND_QUEUE_SHUTDOWN, /* named; immediate: see Python 3.13 */
    COMMAND_QUEUE_PEEK,     /* peek: rows with bodies, nothing leased */
    COMMAND_QUEUE_REDRIVE,  /* redrive: dead letters go back; answers how many */
    COMMAND_QUEUE_SHOW,     /* named */
    COMMAND_QUEUE_LIST,     /* page */
    COMMAND_QUEUE_JOIN,     /* join: waits until nothing is unfinished */
    COMMAND_SESSION_LIST,   /* page (cursor: decimal session id) */
    COMMAND_SESSION_SHOW,   /* target: session id */
    COMMAND_SESSION_KILL,   /* target: session id: an operator ends it */
    COMMAND_STAT,           /* the manager's totals, one row */
    COMMAND_REFUSE,         /* refuse: the gateway refused these requests (size, memory, draining);
                               the new ids are answered with its code, stored like every answer; old
                               ids as always, and neither way is content compared: a request sent
                               again may be refused now and may have been applied then */
    /* the manager's own, though its session is given: request = 0 */
    COMMAND_SESSION_DETACH, /* reference: the connection that this OPEN or RESUME was for is gone;
                               until a RESUME nobody who waits for the session gets, puts or locks.
                               Ignored when the session has been resumed since */
    COMMAND_KIND_END
};

struct cmd_bootstrap {
    uint64_t hash_key;    /* from the system's random source: keys the hash tables */
    uint64_t incarnation; /* nonzero; names this manager's life */
};

struct cmd_open {
    uint64_t reference; /* echoed in the effect: whose HELLO it was */
    uint8_t secret[LIMIT_SECRET_BYTES];
    uint64_t ttl_ms;
    uint64_t grace_ms;
    uint64_t pid;
    struct slice host;    /* text for people, may be empty */
    struct slice program; /* text for people, may be empty */
};

struct cmd_resume {
    uint64_t reference;
    uint64_t session;
    uint8_t secret[LIMIT_SECRET_BYTES];
    uint64_t last_tag; /* highest tag of a streamed delivery that the client received */
};

struct id_range {
    uint64_t first;
    uint64_t count; /* >= 1 */
};

struct cmd_seen {
    const struct id_range *ranges;
    size_t count; /* up to LIMIT_BATCH; what is more is ignored */
};

struct cmd_credit {
    uint64_t channel;
    uint64_t messages; /* added */
    uint64_t bytes;    /* added */
};

struct header_pair {
    struct slice name;
    struct slice value;
};

struct put_options {
    uint64_t delay_ms;     /* SETTING_DEFAULT: the queue's */
    uint64_t ttl_ms;       /* SETTING_DEFAULT: the queue's; 0: lives for ever */
    uint8_t priority;      /* higher first */
    struct slice dedup_id; /* empty: none */
    const struct header_pair *headers;
    size_t headers_count;
};

struct cmd_put {
    struct slice queue;
    const struct slice *bodies;
    size_t count;                      /* 1 .. LIMIT_BATCH */
    uint64_t timeout_ms;               /* for room in a bounded queue with overflow `block` */
    const struct put_options *options; /* NULL: none; always NULL for COMMAND_PUT */
};

struct cmd_get {
    const struct slice *queues;
    size_t queues_count;      /* 1 .. LIMIT_GET_QUEUES */
    uint64_t max;             /* GET: 1 .. LIMIT_BATCH messages */
    uint64_t timeout_ms;      /* GET */
    uint64_t lease_ms;        /* SETTING_DEFAULT: the queue's */
    uint64_t credit_messages; /* CONSUME */
    uint64_t credit_bytes;    /* CONSUME */
    bool auto_ack;            /* GET: acknowledged when the client confirms having seen the reply */
};

struct cmd_settle {
    uint64_t first_tag;
    uint64_t count;      /* 1 .. LIMIT_BATCH */
    uint64_t delay_ms;   /* NACK: 0 = at once */
    uint64_t lease_ms;   /* RENEW: from now on; SETTING_DEFAULT: as at the delivery */
    struct slice reason; /* NACK, REJECT */
};

enum lock_kind { LOCK_MUTEX = 0, LOCK_SEMAPHORE = 1 };

struct cmd_acquire {
    struct slice name;
    enum lock_kind kind;
    uint64_t owner; /* which thread or handle of the session holds it */
    uint64_t timeout_ms;
    uint64_t lease_ms; /* 0: only the session's life bounds it */
    uint64_t permits;  /* semaphore: the declared count (the same in every acquire); mutex: 1 */
    bool reentrant;    /* mutex: the same (session, owner) gets it again, same token, depth + 1 */
};

struct cmd_unlock {
    struct slice name;
    uint64_t owner;
    uint64_t token;
    uint64_t lease_ms; /* LOCK_RENEW */
};

struct cmd_named {
    struct slice name;
    bool immediate; /* QUEUE_SHUTDOWN */
};

/* Which options of a declare or alter are given. */
enum queue_option {
    QUEUE_MAXSIZE = 1u << 0,
    QUEUE_MAX_BYTES = 1u << 1,
    QUEUE_OVERFLOW = 1u << 2,
    QUEUE_LEASE = 1u << 3,
    QUEUE_MAX_DELIVERIES = 1u << 4,
    QUEUE_DEAD_LETTER = 1u << 5,
    QUEUE_TTL = 1u << 6,
    QUEUE_DELAY = 1u << 7,
    QUEUE_DEDUP_WINDOW = 1u << 8,
    QUEUE_OPTIONS_ALL = (1u << 9) - 1
};

enum overflow { OVERFLOW_BLOCK = 0, OVERFLOW_REJECT = 1, OVERFLOW_DROP_OLDEST = 2 };

struct queue_options {
    uint32_t given; /* set of enum queue_option */
    enum overflow overflow;
    uint64_t maxsize;   /* messages, ready and delayed; 0: unbounded */
    uint64_t max_bytes; /* bytes of bodies, ready and delayed; 0: unbounded */
    uint64_t lease_ms;
    uint64_t max_deliveries; /* 0: unlimited */
    uint64_t ttl_ms;         /* 0: for ever */
    uint64_t delay_ms;
    uint64_t dedup_window_ms;
    struct slice dead_letter; /* empty: NAME.dead */
};

struct cmd_queue {
    struct slice name;
    struct queue_options options;
};

struct cmd_page {
    struct slice after;  /* names greater than this, in byte order; empty: from the first */
    struct slice prefix; /* only names that begin so; empty: all */
    uint64_t max;        /* rows, 1 .. LIMIT_PAGE_ROWS */
};

struct cmd_peek {
    struct slice name;
    uint64_t offset; /* messages from the head, in delivery order */
    uint64_t max;    /* rows, 1 .. LIMIT_PAGE_ROWS; fewer when LIMIT_RESULT_BYTES is reached */
};

struct cmd_redrive {
    struct slice name;   /* the dead-letter queue */
    struct slice target; /* empty: each message to the queue it came from */
    uint64_t max;        /* 0: all that are there now */
};

struct cmd_join {
    struct slice name;
    uint64_t timeout_ms;
};

struct cmd_refuse {
    uint64_t count;      /* 1 .. LIMIT_BATCH ids */
    int code;            /* an STW_ error */
    struct slice object; /* what the sentence of the answer names; may be empty */
};

struct command {
    enum command_kind kind;
    uint64_t session; /* 0: the manager's own */
    uint64_t request; /* first (usually only) request id; 0: none */
    union {
        struct cmd_bootstrap bootstrap;
        uint64_t gap_ms; /* CLOCK_GAP */
        struct cmd_open open;
        struct cmd_resume resume;
        struct slice text; /* SESSION_END: reason for people */
        struct cmd_seen seen;
        uint64_t tag;       /* HANDED */
        uint64_t reference; /* SESSION_DETACH */
        struct cmd_credit credit;
        struct cmd_put put;
        struct cmd_get get;
        uint64_t target; /* UNCONSUME, CANCEL, SESSION_SHOW, SESSION_KILL */
        struct cmd_settle settle;
        struct cmd_acquire acquire;
        struct cmd_unlock unlock;
        struct cmd_named named;
        struct cmd_queue queue;
        struct cmd_page page;
        struct cmd_peek peek;
        struct cmd_redrive redrive;
        struct cmd_join join;
        struct cmd_refuse refuse;
    };
};

/* How many request ids the command takes: put.count, settle.count, refuse.count, else 1 (0 without
 * answer). */
uint64_t command_requests(const struct command *command);

/* "PUT", "ACQUIRE", ...: static string for logs and tests; "?" for others. */
const char *command_name(enum command_kind kind);

/* Appends the command in the core's own encoding (version byte first). */
void command_encode(struct buf *out, const struct command *command);

/*
 * Memory that a decoded command's arrays live in; reused from one decode to the next.
 * {0} is valid; free with command_arena_fini.
 */
struct command_arena {
    struct buf arrays;
};
void command_arena_fini(struct command_arena *arena);

/*
 * Decodes one command; slices borrow from `input`, arrays from `arena` until its next use.
 * 0, or STW_EPROTO for malformed bytes, STW_EVERSION for another version. Hostile input is safe.
 */
int command_decode(struct slice input, struct command_arena *arena, struct command *command);

#endif
