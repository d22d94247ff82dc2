/*
 * The model's state: flat lists of everything, searched from the front. Private to the model and
 * to the generator, which looks here for names, tags and tokens worth trying.
 */
#ifndef TESTS_SIM_MODEL_STATE_H
#define TESTS_SIM_MODEL_STATE_H

#include "tests/sim/model.h"

#define NEVER UINT64_MAX

/* Pointers in a growing array; removal keeps the order. */
struct list {
    void **items;
    size_t count;
    size_t capacity;
};
void list_add(struct list *list, void *item);
void list_remove(struct list *list, void *item);
void list_fini(struct list *list);

/* An owned copy of bytes. */
struct text {
    uint8_t *data;
    size_t size;
};
struct text text_of(struct slice bytes);
void text_free(struct text *text);
static inline struct slice text_view(const struct text *text)
{
    return slice_of(text->data, text->size);
}

/* A deadline and when it was set: ties fire in the order of setting. */
struct alarm {
    uint64_t due_ms; /* NEVER: off */
    uint64_t number;
};

struct m_counters {
    uint64_t put, delivered, acked, nacked, released, redelivered, expired, dead, dropped, rejected,
        duplicates;
};

struct m_queue {
    struct text name;
    bool declared, paused, shut, deleted, dead_target;
    uint64_t maxsize, max_bytes, lease_ms, max_deliveries, ttl_ms, delay_ms, dedup_window_ms;
    enum overflow overflow;
    struct text dead_letter;
    uint64_t next_sequence;
    uint64_t unfinished;
    uint64_t created_ms;
    struct alarm idle;
    struct alarm dedup;
    struct m_counters counters;
};

enum m_message_state { M_READY, M_DELAYED, M_LEASED, M_WAITING };

struct m_message {
    enum m_message_state state;
    struct m_queue *queue;
    struct text body;
    uint64_t sequence;
    uint64_t deliveries;
    uint8_t priority;
    bool extended;       /* off the short path: options or a past */
    uint64_t due_ms;     /* DELAYED; a put that waits: the delay */
    uint64_t expires_ms; /* NEVER: lives on; a put that waits: the time-to-live */
    uint64_t turn;       /* DELAYED: order in which they were set aside */
    struct alarm alarm;
    struct text headers; /* as fields "h.NAME" */
    bool failed;
    uint64_t first_failed_ms, last_failed_ms;
    struct text first_reason, last_reason;
    struct text source; /* dead-lettered from; empty: not dead */
    const char *dead_reason;
    uint64_t dead_deliveries;
    /* LEASED */
    struct m_session *session;
    uint64_t tag, token, channel, lease_ms, deadline_ms;
    bool streamed, auto_ack;
};

struct m_dedup {
    struct m_queue *queue;
    struct text id;
    uint64_t expires_ms; /* NEVER: reserved by a put that waits */
};

enum m_wait { M_GET, M_CONSUME, M_PUT, M_ACQUIRE, M_JOIN, M_REDRIVE };

struct m_waiter {
    enum m_wait kind;
    struct m_session *session;
    uint64_t request;
    uint64_t since_ms;
    uint64_t timeout_ms;
    struct alarm alarm;
    struct m_queue *queues[LIMIT_GET_QUEUES];
    uint64_t turns[LIMIT_GET_QUEUES]; /* place in each queue's line: smallest first */
    size_t queues_count;
    struct m_lock *lock;
    uint64_t turn; /* place in the lock's line */
    uint64_t max, lease_ms, credit_messages;
    int64_t credit_bytes;
    bool auto_ack, parked;            /* parked: a consumer without credit, in no line */
    bool asleep[LIMIT_GET_QUEUES];    /* passed over in that queue's line (or the lock's: [0]), */
    uint64_t rests[LIMIT_GET_QUEUES]; /* its session being detached; place among such */
    uint64_t owner;
    struct list messages; /* PUT: in order */
    struct text dedup_id; /* PUT */
    bool many;            /* PUT: a PUT_MANY */
    bool over;            /* JOIN: was there when all was done */
    uint64_t left, moved; /* REDRIVE */
};

struct m_lock {
    struct text name;
    enum lock_kind kind;
    uint64_t permits;
    uint64_t acquired, contended, broken;
    struct alarm idle;
};

struct m_holder {
    struct m_lock *lock;
    struct m_session *session;
    uint64_t owner, token, depth, since_ms, lease_ms;
    struct alarm alarm;
};

/* An answer that the client has not confirmed. */
struct m_answer {
    uint64_t request;
    struct text payload; /* the request, encoded alone */
    bool pending;
    bool refused; /* by the gateway: its payload is unknown */
    int code;
    enum reply_kind reply;
    uint64_t value, value2;
    struct text fields;
    uint64_t first_tag; /* GOT */
    struct text object; /* GRANT: the lock */
};

/* Leases are looked at in groups of 256 tags: a group fires at the earliest deadline it had. */
struct m_group {
    struct m_session *session;
    uint64_t number; /* tag / 256 */
    struct alarm alarm;
};

struct m_session {
    uint64_t id;
    uint8_t secret[LIMIT_SECRET_BYTES];
    uint64_t ttl_ms, grace_ms, pid, opened_ms;
    struct text host, program;
    uint64_t highest_request, next_tag, handed_tag;
    bool detached;
    uint64_t reference; /* of the latest OPEN or RESUME */
    struct list answers;
};

struct model {
    uint64_t now_ms;
    uint64_t incarnation;
    uint64_t next_session, next_token, next_alarm, next_turn;
    struct list sessions, queues, messages, dedups, waiters, locks, holders, groups;
    struct m_counters totals; /* over all queues there ever were */
    struct list pumps;        /* queues where somebody may have to be served, in order */
    uint64_t commands;
    uint64_t fired;    /* alarms, by the command under way */
    uint64_t dropped;  /* messages, for room, ever */
    struct buf *lines; /* of the command under way */
};

#endif
