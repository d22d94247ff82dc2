/*
 * What the core's files call of each other: one block per file, private to broker/core.
 * Every function here works within core_apply: core->effects is set, core->now_ms is the time.
 */
#ifndef BROKER_CORE_INTERNAL_H
#define BROKER_CORE_INTERNAL_H

#include "broker/core/state.h"
#include "common/base/error.h"

/* The keyed hash of the core (XXH3 with the bootstrap key): tables, payloads, treap weights. */
uint64_t core_hash(const struct core *core, const void *data, size_t size);

/* ---- core.c --------------------------------------------------------------------------------- */
/* In place: as new; and everything given back, so that it is only good for core_init. */
void core_init(struct core *core);
void core_fini(struct core *core);

/* ---- emit.c: appending effects -------------------------------------------------------------- */
void emit_lock_lost(struct core *core, uint64_t session, struct slice name, uint64_t token,
                    int code);
void emit_lease_lost(struct core *core, uint64_t session, uint64_t tag);
void emit_consumer_ended(struct core *core, uint64_t session, uint64_t channel, int code);
/* A copy of the bytes in the effects' arena: stays where it is while the effects live. */
struct slice emit_bytes(struct core *core, struct slice bytes);
/* Text is copied into the effects' arena; printf is not allowed in the core: pass pieces. */
void emit_notice(struct core *core, const char *what, struct slice object);
void emit_session_ended(struct core *core, uint64_t session, struct slice reason);
/* A run of deliveries: tags and tokens go up by one from message to message. */
struct delivery_run {
    uint64_t session;
    uint64_t channel;
    const struct queue *queue;
    uint64_t first_tag;
    uint64_t first_token;
    uint64_t lease_ms;
    size_t count;
};
/* Starts a DELIVER effect for a run; fill the returned array of `count` at once. */
struct delivered *emit_deliver(struct core *core, const struct delivery_run *run);

/* ---- answers.c: replies, stored until seen -------------------------------------------------- */
/*
 * Registers the command's ids before it is applied. Repeats of old ids are answered from the store
 * here. Returns how many ids at the end of the command are new (0: nothing to apply); the caller
 * trims put.bodies and settle tags by the difference. Sends EPROTO without storing for a gap.
 */
uint64_t answers_begin(struct core *core, struct session *session, const struct command *command);
void answer_plain(struct core *core, struct session *session, uint64_t first, uint64_t count);
/* What an error's sentence says. */
struct about {
    const char *why;     /* NULL: error_text(code) */
    struct slice object; /* what it names; empty: nothing */
};
static inline struct about about(const char *why, struct slice object)
{
    return (struct about){.why = why, .object = object};
}
void answer_error(struct core *core, struct session *session, uint64_t request, int code,
                  struct about sentence);
void answer_number(struct core *core, struct session *session, uint64_t request, uint64_t value);
void answer_grant(struct core *core, struct session *session, uint64_t request,
                  const struct holder *holder);
void answer_got(struct core *core, struct session *session, uint64_t request, uint64_t first_tag,
                uint64_t count);
void answer_fields(struct core *core, struct session *session, uint64_t request,
                   struct slice fields);
/* The request waits: the answer comes through the waiter. */
void answer_wait(struct core *core, struct session *session, uint64_t request,
                 struct waiter *waiter);
/* CANCEL of the request `target`. */
void answer_cancel(struct core *core, struct session *session, uint64_t request, uint64_t target);
void answers_seen(struct core *core, struct session *session, const struct cmd_seen *seen);
/* Frees answers of an ending session, some per unit of core->work; false when none is left. */
bool answers_return_slice(struct core *core, struct session *session);
void answers_fini(struct core *core, struct session *session);
void answers_save(const struct session *session, struct buf *out);
bool answers_load(struct core *core, struct session *session, struct reader *in);
void answers_check(const struct session *session);
/* An answer with content; owned by whoever stores it. */
struct stored *stored_new(enum reply_kind kind, int code, struct slice data);
static inline uint64_t stored_cost(const struct stored *stored)
{
    enum { STORED_COST = 40 }; /* bytes, nominal: the same on every machine */
    return STORED_COST + (uint64_t)stored->size;
}
/* The same code, without a sentence, for `count` requests. */
void answer_codes(struct core *core, struct session *session, uint64_t first, uint64_t count,
                  int code);
/* ESESSION for a command of a session that does not exist. */
void answer_unknown_session(struct core *core, const struct command *command);
/* What a session's answers cost: part of core->bookkeeping. */
uint64_t answers_cost(const struct session *session);

/* ---- waiter.c ------------------------------------------------------------------------------- */
/*
 * The session's limits may end it inside answer_* or emit_*: then session->ending is set, nothing
 * is freed before the slice, and effects for it are dropped. A pump that meets a waiter whose
 * session is ending frees it (waiter_free) and goes on to the next.
 */
/* Makes a waiter, without deadline, in the session's list. links: room for that many objects. */
struct waiter *waiter_new(struct core *core, struct session *session, enum waiter_kind kind,
                          uint64_t request, uint32_t links);
/* Gives a new waiter its deadline; TIMEOUT_FOREVER: none. */
void waiter_deadline(struct core *core, struct waiter *waiter, uint64_t timeout_ms);
/* What it adds to core->bookkeeping. */
uint64_t waiter_cost(const struct waiter *waiter);
/* LEADER_START, CLOCK_GAP: every deadline is its full time away again. */
void waiters_refresh(struct core *core, struct session *session);
void waiter_save(const struct waiter *waiter, struct buf *out);
bool waiter_load(struct core *core, struct session *session, struct reader *in);
/* May one more wait? STW_OK or STW_ELIMIT. */
int waiter_check(const struct core *core, const struct session *session, uint64_t count);
/* Appends link number `link` to the object's list, with a new turn, and counts it there by the
 * waiter's kind (getters_count, consumers_count for CONSUME alone, putters_count, joiners_count;
 * lock: waiters_count). A CONSUME counts in both getters_count and consumers_count; a parked one
 * (waiter->parked, set before its links are made) is in queue->parked and counts in
 * consumers_count alone. */
void waiter_link(struct core *core, struct waiter *waiter, uint32_t link, void *object);
/* The same for a snapshot's link, which has its turn. False: it cannot be there. */
bool waiter_link_load(struct core *core, struct waiter *waiter, uint32_t link,
                      const struct wait_link *saved);
/* Is this one to be passed over, because its session is detached? */
bool waiter_asleep(const struct waiter *waiter);
/* Sets the link aside, out of the line; the counts stay. Whoever meets a waiter that is asleep at
 * the head of a line parks it so: detaching costs nothing for a line that nobody serves. */
void waiter_park(struct wait_link *link);
/* The session is detached: putters behind its own may have room now. */
void waiters_detach(struct core *core, struct session *session);
/* The session is attached again: its parked links go back to their places, and who may have to be
 * served now is marked. */
void waiters_attach(struct core *core, struct session *session);
/* Takes one link out again and counts down; the link's object is NULL afterwards. */
void waiter_unlink(struct waiter *waiter, uint32_t link);
/* Unlinks from every object and from the session, disarms, frees what it owns, frees it.
 * Does not answer: the caller answers before (the waiter's request id is still valid then).
 * Touches the life of no object and pumps nothing: a caller in the queue files does that. */
void waiter_free(struct core *core, struct waiter *waiter);
/* As waiter_free, for a waiter that gave up (deadline, cancel, end of its session): then puts
 * queues whose putter left into core->pumps and calls queue_settle_life or lock_waiter_left. */
void waiter_leave(struct core *core, struct waiter *waiter);
/* Deadline passed: answers ETIMEOUT (EEMPTY never: that is for try) and leaves. */
void waiter_timeout(struct core *core, struct waiter *waiter);

/* ---- message.c, fifo.c ---------------------------------------------------------------------- */
struct message *message_new(struct core *core, struct queue *queue, struct slice body);
struct message_ext *message_extend(struct core *core, struct message *message);
void message_free(struct core *core, struct message *message);
struct slice message_body(const struct message *message);
uint64_t message_cost(const struct message *message);
/* The delivery's or peek's description; fields go to the effects' arena. */
void message_describe(struct core *core, const struct message *message, struct delivered *out);
void fifo_push(struct fifo *fifo, struct message *message);
struct message *fifo_pop(struct fifo *fifo); /* NULL when empty */
struct message *fifo_at(const struct fifo *fifo, size_t k);
void fifo_fini(struct fifo *fifo);

/* ---- queue*.c: apply one command each ------------------------------------------------------- */
/* core_new: slab, order of names. core_destroy: queues, trash, slab (after the sessions). */
void queues_init(struct core *core);
void queues_fini(struct core *core);
struct queue *queue_find(const struct core *core, struct slice name); /* NULL: none */
/* Finds or makes. NULL with *code set (EINVAL for a bad name, ELIMIT). */
struct queue *queue_get_or_create(struct core *core, struct slice name, int *code);
void queue_apply_put(struct core *core, struct session *session, uint64_t request,
                     const struct cmd_put *put, bool many);
void queue_apply_get(struct core *core, struct session *session, uint64_t request,
                     const struct cmd_get *get);
void queue_apply_consume(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_get *get);
void queue_apply_unconsume(struct core *core, struct session *session, uint64_t request,
                           uint64_t channel);
void queue_apply_credit(struct core *core, struct session *session,
                        const struct cmd_credit *credit);
void queue_apply_declare(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_queue *declare);
void queue_apply_alter(struct core *core, struct session *session, uint64_t request,
                       const struct cmd_queue *alter);
/* DELETE PURGE PAUSE RESUME SHUTDOWN SHOW PEEK REDRIVE LIST JOIN */
void queue_apply_admin(struct core *core, struct session *session, const struct command *command);
/* Serves waiters of the queue within core->work; leaves it in core->pumps if work is left. */
void queue_pump(struct core *core, struct queue *queue);
/* Puts the queue into core->pumps: somebody may have to be served. */
void queue_wake(struct core *core, struct queue *queue);
/* Pumps what is in core->pumps, within core->work. Each queue command ends with it. */
void queues_run(struct core *core);
/* Removes a queue that nothing refers to any more, or arms its idle timer. */
void queue_settle_life(struct core *core, struct queue *queue);
void queue_timer_idle(struct core *core, struct queue *queue);
void queue_timer_dedup(struct core *core, struct queue *queue);
void message_timer(struct core *core, struct message_ext *ext);
/* One slice of cut-off content; false when there is none left. */
bool trash_slice(struct core *core);
/* One slice of a redrive under way; false when there is none. */
bool redrive_slice(struct core *core);

/* ---- lease.c -------------------------------------------------------------------------------- */
/*
 * Timers: the tick disarms a timer before it calls its *_timer function. The owner of a chunk of
 * leases (chunk->owner) is its session: set it when the chunk's timer is armed.
 */
/* core_destroy, and a broken snapshot: frees leases and messages, disarms, effects nothing. */
void leases_fini(struct core *core, struct session *session);
/* ACK NACK RELEASE REJECT RENEW */
void lease_apply_settle(struct core *core, struct session *session, const struct command *command);
/* Who gets messages, and how many. */
struct lease_order {
    struct session *session;
    struct queue *queue;
    struct waiter *consumer; /* NULL: a get */
    uint64_t channel;
    uint64_t lease_ms; /* SETTING_DEFAULT: the queue's */
    size_t max;        /* 1 .. LIMIT_BATCH */
    bool auto_ack;
};
/* Takes up to max messages off the queue and leases them: one DELIVER effect.
 * Returns how many; *first_tag gets the first tag. */
size_t lease_deliver(struct core *core, const struct lease_order *order, uint64_t *first_tag);
void lease_timer(struct core *core, struct session *session, struct id_chunk *chunk);
/* Gives up to core->work leases of an ending session back; false when none is left. */
bool lease_return_slice(struct core *core, struct session *session);
/* The answer of a get was seen: acknowledges those of its tags that are auto_ack. */
void lease_seen(struct core *core, struct session *session, uint64_t first_tag, uint64_t count);
/* A get's answer again: DELIVER effects for the tags that are still leased; false if any is not. */
bool lease_redeliver(struct core *core, struct session *session, uint64_t channel,
                     uint64_t first_tag, uint64_t count);
/* Streamed deliveries after last_tag again (a resumed session). */
void lease_resume(struct core *core, struct session *session, uint64_t last_tag);
/* A cancelled get: gives its tags back, uncounted. */
void lease_cancel(struct core *core, struct session *session, uint64_t first_tag, uint64_t count);
/* LEADER_START, CLOCK_GAP: every lease gets at least its full time from now. */
void lease_refresh_all(struct core *core, struct session *session);

/* ---- lock.c, lock_admin.c, locks_save.c ----------------------------------------------------- */
/* ACQUIRE UNLOCK LOCK_RENEW LOCK_BREAK LOCK_SHOW LOCK_LIST */
void lock_apply(struct core *core, struct session *session, const struct command *command);
int lock_compare(const struct order_node *a, const struct order_node *b);
struct lock *lock_find(const struct core *core, struct slice name);
struct lock *lock_new(struct core *core, struct slice name);
void lock_free(struct core *core, struct lock *lock);
struct holder *holder_find(const struct core *core, uint64_t token);
/* A new holder record with that token, at the ends of the lists of its lock and session. */
struct holder *holder_new(struct core *core, struct lock *lock, struct session *session,
                          uint64_t token);
void holder_free(struct core *core, struct holder *holder);
/* Marks the lock: lock_slice serves it. */
void lock_pump_later(struct core *core, struct lock *lock);
/* One slice of locks that have waiters to serve or holders to break. */
void lock_slice(struct core *core);
/* LOCK_BREAK LOCK_SHOW LOCK_LIST */
void lock_apply_admin(struct core *core, struct session *session, const struct command *command);
#define LOCK_COST   512 /* bytes, nominal: part of core->bookkeeping */
#define HOLDER_COST 192 /* likewise */
void lock_timer_holder(struct core *core, struct holder *holder);
void lock_timer_idle(struct core *core, struct lock *lock);
/* A waiter left the lock's list (time-out, cancel): passes on what is free. */
void lock_waiter_left(struct core *core, struct lock *lock);
/* Gives one held lock of an ending session on; false when none is left. */
bool lock_return_one(struct core *core, struct session *session);
/* A cancelled acquire that had been granted: released if (session, token) still holds it. */
void lock_cancel(struct core *core, struct session *session, struct slice name, uint64_t token);
void lock_refresh_all(struct core *core, struct session *session);

/* ---- session.c ------------------------------------------------------------------------------ */
/* NULL: none, or it is ending. */
struct session *session_find(const struct core *core, uint64_t id);
/* Ending ones too. */
struct session *session_lookup(const struct core *core, uint64_t id);
/* With empty settings, in the hash. */
struct session *session_new(struct core *core, uint64_t id, struct slice host,
                            struct slice program);
void session_free(struct core *core, struct session *session);
uint64_t session_cost(const struct session *session);
void session_apply_open(struct core *core, const struct cmd_open *open);
void session_apply_resume(struct core *core, const struct cmd_resume *resume);
/* Its connection is gone; ignored when it has a newer one. */
void session_apply_detach(struct core *core, uint64_t id, uint64_t reference);
/* Nobody who waits for it is served until it is resumed. */
void session_detach(struct core *core, struct session *session);
/* Marks it ending: gone for its client at once, its things go back in slices. */
void session_end(struct core *core, struct session *session, struct slice reason);
/* One slice of the sessions that are ending; false when there is none. */
bool session_end_slice(struct core *core);
/* SESSION_LIST SESSION_SHOW SESSION_KILL STAT */
void session_apply_admin(struct core *core, struct session *session, const struct command *command);

/* ---- name.c --------------------------------------------------------------------------------- */
/* STW_OK or STW_EINVAL: UTF-8, 1..255 bytes, no control characters, no '$' in front. */
int name_check(struct slice name);
void name_set(struct name *name, struct slice text);
/* A heap string for people: control characters, and what is not UTF-8, become '?'. */
char *text_copy(struct slice text);
#define DECIMAL_BYTES 20 /* bytes: the longest u64 in decimal */
/* The number in decimal, in the caller's DECIMAL_BYTES of memory. */
struct slice slice_decimal(uint64_t number, uint8_t *digits);
/* Byte order: <0, 0, >0. */
int name_order(struct slice a, struct slice b);
bool name_has_prefix(struct slice name, struct slice prefix);
static inline struct slice name_slice(const struct name *name)
{
    return slice_of(name->text, name->size);
}

/* ---- snapshot: each file writes and reads its own kind -------------------------------------- */
void queues_save(const struct core *core, struct buf *out);
bool queues_load(struct core *core, struct reader *in);
void sessions_save(const struct core *core, struct buf *out); /* with waiters, leases, answers */
bool sessions_load(struct core *core, struct reader *in);
void locks_save(const struct core *core, struct buf *out);
bool locks_load(struct core *core, struct reader *in);
void message_save(const struct message *message, struct buf *out);
struct message *message_load(struct core *core, struct reader *in); /* NULL: malformed */
/* Does what was loaded fit this state (a plain message fits each)? */
bool message_in_state(const struct message *message, enum message_state state);
void trash_save(const struct core *core, struct buf *out);
bool trash_load(struct core *core, struct reader *in);
void leases_save(const struct session *session, struct buf *out); /* called by sessions_save */
bool leases_load(struct core *core, struct session *session, struct reader *in);
/*
 * Order: queues (with indexes, free stack), trash, sessions (with leases, waiters and the order of
 * each queue's wait lists), locks, then core.c writes the orders of pumps, endings, redrives.
 * What is borrowed by a later part (wait lists and their counts, pumping) is left to that part.
 * Timers keep their numbers (timer_rearm). After a failed load core_destroy must be safe.
 */

/* ---- check ---------------------------------------------------------------------------------- */
void queues_check(const struct core *core);
void sessions_check(const struct core *core);
void locks_check(const struct core *core);
void leases_check(const struct core *core, const struct session *session); /* by sessions_check */

#endif
