/*
 * The core's state: every structure, in one place, private to broker/core.
 *
 * Who owns what: the core owns sessions, queues, locks. A queue owns its ready and delayed
 * messages. A session owns its waiters, consumers, leases (each owns its leased message) and
 * holders. Links the other way are borrowed and removed first.
 */
#ifndef BROKER_CORE_STATE_H
#define BROKER_CORE_STATE_H

#include "broker/core/core.h"
#include "broker/core/idtable.h"
#include "broker/core/order.h"
#include "broker/core/slab.h"
#include "broker/core/timer.h"

#include <uthash.h>

struct waiter;

/* A name as hash key and list key: owned copy. */
struct name {
    uint8_t size;
    uint8_t text[LIMIT_NAME_BYTES];
};

/* ---- messages ------------------------------------------------------------------------------- */

enum message_flags {
    MESSAGE_BLOB = 1u << 0, /* body[] holds a struct blob * instead of the bytes */
};

/* A body above LIMIT_BODY_SLAB_BYTES. */
struct blob {
    uint32_t references;
    uint32_t size;
    uint8_t data[];
};

/* 28 bytes and the body behind it: 128 bytes for a body of 100. */
struct message {
    uint64_t sequence;       /* in its queue; keeps its place when it comes back */
    struct message_ext *ext; /* NULL on the short path */
    uint32_t queue;          /* index in core->queues */
    uint32_t size;           /* bytes of the body */
    uint16_t deliveries;     /* counted deliveries so far (saturates) */
    uint8_t priority;
    uint8_t flags;
    uint8_t body[];
};
#define MESSAGE_HEADER_BYTES offsetof(struct message, body)

enum message_state {
    MESSAGE_READY = 1, /* in queue->others (has ext) */
    MESSAGE_DELAYED,
    MESSAGE_LEASED,
    MESSAGE_WAITING /* in a blocked put */
};

/* One failure's trace. */
struct failure {
    uint64_t at_ms;
    char *reason; /* owned, NUL-terminated, may be NULL */
};

/* What only messages off the short path have: options, a past, or a place in `others`. */
struct message_ext {
    struct message *message;
    struct order_node node;          /* in queue->others while READY */
    struct timer timer;              /* earlier of due and expires, while READY or DELAYED */
    struct message_ext *prev, *next; /* queue->delayed while DELAYED */
    uint64_t due_ms;                 /* DELAYED */
    uint64_t expires_ms;             /* UINT64_MAX: never */
    uint32_t epoch;                  /* of its queue when it got its place: see queue_purge */
    uint8_t state;                   /* enum message_state */
    uint8_t headers_count;
    uint32_t headers_size;      /* bytes */
    uint8_t *headers;           /* u8 name size, name, u16 value size, value; owned */
    struct failure first, last; /* kept for the dead-letter record */
    struct name *source;        /* dead-lettered from this queue; owned, NULL: not dead */
    const char *dead_reason;    /* "rejected", "max_deliveries", "expired"; static. While source is
                                 NULL: its full dead-letter queue refused it, DELAYED until retry */
    uint16_t dead_deliveries;   /* delivery count in the queue it died in */
};

/* Plain ready messages in order of arrival: a deque of chunks, see fifo.c. */
#define FIFO_CHUNK 64
struct fifo {
    struct message ***chunks; /* ring of chunk pointers */
    size_t chunks_capacity;   /* power of two, 0 at first */
    size_t chunks_head;       /* index of the first chunk in the ring */
    size_t head;              /* position of the first message within the first chunk */
    size_t count;             /* messages */
};

/* Content a purge or delete cut off: freed in slices. */
struct trash {
    struct trash *prev, *next;
    struct fifo plain;
    struct order others;
    struct message_ext *delayed;
    struct queue *queue;
};

/* ---- queues --------------------------------------------------------------------------------- */

struct dedup {
    uint64_t expires_ms;
    struct dedup *prev, *next; /* by age */
    UT_hash_handle hh;
    uint8_t size;
    uint8_t id[];
};

struct queue_settings {
    uint64_t maxsize, max_bytes, lease_ms, max_deliveries, ttl_ms, delay_ms, dedup_window_ms;
    struct name dead_letter; /* size 0: NAME.dead */
    uint8_t overflow;
};

struct queue_counters { /* since creation */
    uint64_t put, delivered, acked, nacked, released, redelivered, expired, dead, dropped, rejected,
        duplicates;
};

struct wait_link {
    struct wait_link *prev, *next;
    struct waiter *waiter;
    void *object;  /* struct queue or struct lock */
    uint64_t turn; /* its place: every line ascends by it */
    bool linked;
    bool parked; /* set aside: out of the line, in the object's list of parked ones */
};

enum queue_state { QUEUE_OPEN = 0, QUEUE_SHUT = 1 };

struct queue {
    uint32_t index;
    uint32_t epoch; /* rises with every purge */
    uint8_t state;  /* enum queue_state */
    bool declared;  /* never collected when idle */
    bool paused;
    bool deleted;     /* out of the name tables; lives until nothing refers to it */
    bool pumping;     /* in core->pumps */
    bool drain_told;  /* since it is drained, all waiters were looked at once */
    bool dead_target; /* was ever used as a dead-letter queue */
    struct queue *pump_prev, *pump_next;
    struct queue_settings settings;
    uint64_t next_sequence;
    struct fifo plain;   /* priority 0, no ext, never delivered */
    struct order others; /* ready, with ext: by (priority desc, sequence) */
    struct message_ext *delayed;
    uint64_t delayed_count;
    uint64_t ready_bytes;      /* bodies of ready and delayed */
    uint64_t leased;           /* messages under lease */
    uint64_t unfinished;       /* put and not yet ended */
    uint64_t finishes;         /* times that all joins were over: unfinished came to 0 */
    uint64_t trash_count;      /* struct trash that still names it */
    struct wait_link *getters; /* GET and CONSUME waiters, FIFO */
    struct wait_link *parked;  /* CONSUME without credit, and GET and CONSUME of detached sessions
                                  that were met at the head: in order of parking */
    struct wait_link *putters; /* PUT waiters, FIFO */
    struct wait_link *parked_putters; /* of detached sessions, met at the head */
    struct wait_link *joiners;
    uint64_t getters_count, putters_count, joiners_count, consumers_count;
    struct dedup *dedup;       /* hash */
    struct dedup *dedup_first; /* by age */
    uint64_t dedup_count;
    struct timer dedup_timer;
    struct timer idle_timer;
    struct queue_counters counters;
    uint64_t created_ms;
    struct order_node by_name; /* in core->queue_names */
    UT_hash_handle hh;         /* by name */
    struct name name;
};

/* ---- waiting -------------------------------------------------------------------------------- */

enum waiter_kind { WAIT_GET = 1, WAIT_CONSUME, WAIT_PUT, WAIT_ACQUIRE, WAIT_JOIN, WAIT_REDRIVE };

struct waiter {
    uint8_t kind;
    bool auto_ack;  /* GET */
    bool reentrant; /* ACQUIRE */
    bool parked;    /* CONSUME: without credit, all its links are parked */
    uint32_t max;   /* GET: messages; REDRIVE: messages at the head that stay */
    struct session *session;
    uint64_t request; /* CONSUME: its channel */
    uint64_t since_ms;
    struct timer timer;         /* not armed: no deadline */
    uint64_t timeout_ms;        /* as asked: full time again after LEADER_START and CLOCK_GAP */
    struct waiter *prev, *next; /* session->waiters (CONSUME: session->consumers) */
    struct waiter *redrive_prev, *redrive_next; /* REDRIVE: core->redrives, when in it */
    bool redriving;                             /* REDRIVE: in core->redrives */
    uint32_t ordinal;                           /* scratch of core_snapshot */
    uint64_t lease_ms;         /* GET, CONSUME (SETTING_DEFAULT); ACQUIRE (0: none) */
    uint64_t credit_messages;  /* CONSUME */
    int64_t credit_bytes;      /* CONSUME: the last message may overdraw it */
    struct message **messages; /* PUT: owned */
    bool many;                 /* PUT: a PUT_MANY, answered with a number */
    uint32_t messages_count;   /* PUT */
    uint64_t owner;            /* ACQUIRE */
    uint64_t finishes;         /* JOIN: its queue's when it came; over once that has changed */
    uint64_t target_count;     /* REDRIVE: still to move */
    uint64_t moved;            /* REDRIVE */
    struct name target;        /* REDRIVE: size 0: each to its source; PUT: dedup id is in ext */
    struct dedup *dedup;       /* PUT: reserved id, owned, NULL: none */
    uint32_t links_count;
    struct wait_link links[]; /* one per object */
};

/* ---- leases --------------------------------------------------------------------------------- */

/* A delivery: record of session->leases under its tag. */
struct lease {
    struct message *message; /* owned while leased */
    uint64_t token;
    uint64_t deadline_ms;
    uint64_t channel;  /* request id of the get or consumer */
    uint32_t lease_ms; /* saturated; what RENEW by default gives */
    bool streamed;     /* by a consumer: counts only once handed to the program */
    bool auto_ack;     /* ends as acked when its get's answer is seen */
};

/* ---- sessions ------------------------------------------------------------------------------- */

enum answer_state { ANSWER_PENDING = 1, ANSWER_DONE, ANSWER_STORED };

/* Record of session->answers under its request id; removed when the client has seen it. */
struct answer {
    uint32_t hash; /* of the payload: the same id with another payload is an error */
    uint8_t state;
    bool refused; /* by the gateway: it never saw a payload, so none is compared */
    int16_t code; /* DONE */
    union {
        struct waiter *waiter; /* PENDING */
        struct stored *stored; /* STORED: owned */
    };
};

/* An answer with content. */
struct stored {
    uint8_t reply; /* enum reply_kind */
    int16_t code;
    uint64_t value, value2;
    uint64_t first_tag; /* REPLY_GOT: value tags from here */
    uint32_t size; /* bytes of data: fields, an error's sentence, or the lock's name of a grant */
    uint8_t data[];
};

struct session {
    uint64_t id;
    uint8_t secret[LIMIT_SECRET_BYTES];
    uint64_t ttl_ms, grace_ms, pid, opened_ms;
    char *host, *program; /* owned */
    uint64_t highest_request;
    uint64_t next_tag;
    uint64_t handed_tag; /* streamed deliveries up to it were handed to the program */
    struct idtable answers;
    uint64_t answer_bytes; /* of stored answers */
    struct idtable leases;
    struct waiter *waiters;   /* DL */
    struct waiter *consumers; /* DL */
    uint64_t waiters_count;   /* of both lists */
    uint64_t consumers_count;
    struct holder *holders; /* DL */
    uint64_t holders_count;
    bool ending;        /* in core->endings; owns nothing new any more */
    bool detached;      /* its connection is gone: who waits for it is not served */
    uint64_t reference; /* of its latest OPEN or RESUME */
    struct session *end_prev, *end_next;
    UT_hash_handle hh; /* by id */
};

/* ---- locks and semaphores ------------------------------------------------------------------- */

struct holder {
    struct session *session;
    struct lock *lock;
    uint64_t owner, token, since_ms;
    uint64_t lease_ms; /* 0: none */
    uint32_t depth;
    struct timer timer;
    struct holder *prev, *next;                 /* lock->holders */
    struct holder *session_prev, *session_next; /* session->holders */
    UT_hash_handle hh;                          /* core->holders, by token */
};

struct lock {
    uint8_t kind; /* enum lock_kind */
    uint64_t permits;
    struct holder *holders;
    uint64_t holders_count;
    struct wait_link *waiters; /* FIFO */
    struct wait_link *parked;  /* of detached sessions, met at the head: in order of parking */
    uint64_t waiters_count;    /* of both lists */
    uint64_t break_before;     /* holders with smaller tokens were broken; they go in slices */
    bool pumping;              /* in core->lock_pumps */
    struct lock *pump_prev, *pump_next;
    uint64_t acquired, contended, broken; /* counters */
    uint64_t created_ms;
    struct timer idle_timer;
    struct order_node by_name;
    UT_hash_handle hh;
    struct name name;
};

/* Sums over all queues, kept up to date by the queue files: the STAT row. */
struct totals {
    uint64_t ready, delayed, leased, unfinished;
    struct queue_counters counters;
};

/* ---- the core ------------------------------------------------------------------------------- */

struct core {
    bool bootstrapped;
    uint64_t hash_key, incarnation;
    uint64_t now_ms;
    uint64_t next_session;
    uint64_t next_token; /* of locks and deliveries alike */
    uint64_t next_turn;  /* in lines of waiters */
    struct timers timers;
    struct slab *slab;
    uint64_t bytes;       /* of messages and queues; core_bytes adds both */
    uint64_t bookkeeping; /* of sessions, answers, leases, waiters, locks, holders */
    struct totals totals;
    struct session *sessions;
    struct queue *queues_hash; /* by name */
    struct order queue_names;
    struct queue **queues; /* by index; NULL: free */
    uint32_t queues_capacity;
    uint32_t *free_indexes; /* stack */
    uint32_t free_count;
    struct lock *locks;
    struct order lock_names;
    struct holder *holders;  /* hash by token */
    struct lock *lock_pumps; /* locks with waiters to serve or holders to break */
    uint64_t waiters_count;
    struct queue *pumps;     /* queues with work left */
    struct session *endings; /* sessions whose things are still being given back */
    struct trash *trash;
    struct waiter *redrives; /* redrives under way, by redrive_prev and redrive_next */
    uint32_t work;           /* units left in this apply */
    struct effects *effects; /* of the apply under way */
    uint64_t commands;       /* applied */
    struct buf scratch;      /* of answers_begin: encodings to be hashed */
};

#endif
