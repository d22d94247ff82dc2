/*
 * Effects: what core_apply asks the outside to do, as an ordered list.
 *
 * Valid until the next core_apply on the same core: deliveries point at the core's own bodies.
 * Only the leader's shell acts on them; a follower drops them.
 */
#ifndef BROKER_CORE_EFFECT_H
#define BROKER_CORE_EFFECT_H

#include "common/base/buf.h"

enum effect_kind {
    EFFECT_REPLY = 1,       /* answers requests first .. first+count-1 of session */
    EFFECT_DELIVER,         /* a run of messages on a channel (a get's or consumer's request id) */
    EFFECT_SESSION_OPENED,  /* for `reference`: session, incarnation; resumed or new */
    EFFECT_SESSION_REFUSED, /* for `reference`: code (ESESSION unknown, ESECRET) */
    EFFECT_SESSION_ENDED,   /* session is gone: reason in text */
    EFFECT_LOCK_LOST,       /* session lost lock text, token; code says why (ELEASE lease ran out,
                               EDELETED broken by an operator) */
    EFFECT_LEASE_LOST,      /* session lost leases of tags first .. first+count-1 (ELEASE) */
    EFFECT_CONSUMER_ENDED,  /* channel of session gets nothing more: code ESHUTDOWN, EDELETED */
    EFFECT_NOTICE           /* for the log: text; nobody to tell */
};

/* What a REPLY with code 0 carries beside the code. */
enum reply_kind {
    REPLY_PLAIN = 0, /* nothing: a receipt */
    REPLY_GOT,       /* value = number of messages; their DELIVER effects came just before */
    REPLY_GRANT,     /* acquire: value = token, value2 = depth (reentrant) */
    REPLY_NUMBER,    /* value: purge and redrive count; put_many: 1 = duplicate, else 0;
                        renew: remaining lease in ms; unlock: depth left */
    REPLY_FIELDS     /* fields: rows, see fields.h and docs/protocol.md */
};

/* One delivered message, borrowed from the core. */
struct delivered {
    struct slice body;
    uint32_t deliveries; /* 1 = the first delivery */
    bool plain;          /* first delivery, no options: may travel in a run */
    uint8_t priority;
    uint64_t sequence;   /* in its queue */
    struct slice fields; /* not plain: fields (see fields.h): header pairs "h.NAME", dead-letter
                            record, put time; empty when there are none */
};

struct effect {
    enum effect_kind kind;
    int code; /* 0 or an STW_ error */
    uint64_t session;
    uint64_t first; /* REPLY: request id. LEASE_LOST: tag. DELIVER, CONSUMER_ENDED: channel */
    uint64_t count; /* REPLY, LEASE_LOST: how many ids; DELIVER: how many messages */
    union {
        struct {
            enum reply_kind reply;
            uint64_t value;
            uint64_t value2;
            struct slice fields; /* REPLY_FIELDS */
        };
        struct {
            struct slice queue;
            uint64_t first_tag;   /* contiguous in the run */
            uint64_t first_token; /* contiguous in the run */
            uint64_t lease_ms;
            const struct delivered *messages; /* count of them */
        };
        struct {
            uint64_t reference; /* SESSION_OPENED, SESSION_REFUSED */
            uint64_t incarnation;
            uint64_t highest_request; /* resumed: highest request id ever applied */
            bool resumed;
        };
        uint64_t token; /* LOCK_LOST */
    };
    struct slice text; /* REPLY with an error: a sentence that names the object, or empty;
                          SESSION_ENDED, NOTICE, LOCK_LOST: see above */
};

struct effects_block; /* of the arena */

/* The list; owned by the caller, reused from one apply to the next. {0} is valid. */
struct effects {
    struct effect *items;
    size_t count;
    size_t capacity;
    /* Arena of DELIVER runs, texts and fields: blocks that never move. */
    struct effects_block *blocks;
    struct effects_block *current;
};

/* Forgets the effects, keeps the memory. core_apply calls it first. */
void effects_clear(struct effects *effects);
void effects_fini(struct effects *effects);
/* `size` bytes, 16-byte aligned, uninitialised, at one place until effects_clear. */
void *effects_alloc(struct effects *effects, size_t size);
/* A zeroed effect at the end of the list; the pointer is good until the next one. */
struct effect *effects_add(struct effects *effects, enum effect_kind kind);

#endif
