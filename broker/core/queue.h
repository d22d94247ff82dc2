/*
 * What the files of queues, messages and leases call of each other; the rest of the core calls them
 * through internal.h.
 *
 *   queue.c         names, life and death of queues
 *   queue_place.c   where a message stands in its queue; counts and bytes
 *   queue_pump.c    serving who waits
 *   queue_put.c  queue_get.c  queue_admin.c  queue_options.c  queue_show.c  queue_peek.c: commands
 *   dead_letter.c  redrive.c  dedup.c  trash.c
 *   lease.c  lease_return.c: deliveries and their ends
 *   *_save.c        snapshots        queue_check.c  lease_check: invariants
 */
#ifndef BROKER_CORE_QUEUE_H
#define BROKER_CORE_QUEUE_H

#include "common/base/panic.h"
#define uthash_fatal(message) panic(message, __FILE__, __LINE__)

#include "broker/core/canary.h"
#include "broker/core/internal.h"

#include "common/base/steward_errors.h"

/* Counts in the queue and in the totals. */
#define QUEUE_COUNT(core, queue, what, n)                                                          \
    ((queue)->counters.what += (n), (core)->totals.counters.what += (n))

static inline uint64_t queue_ready(const struct queue *queue)
{
    return queue->plain.count + (queue->others.root ? queue->others.root->count : 0);
}

/* What maxsize bounds. */
static inline uint64_t queue_size(const struct queue *queue)
{
    return queue_ready(queue) + queue->delayed_count;
}

static inline bool queue_deliverable(const struct queue *queue)
{
    return (!queue->paused || CANARY(PAUSE_IGNORED)) && !queue->deleted && queue_ready(queue) > 0;
}

/* Shut down, and nothing will come any more. */
static inline bool queue_drained(const struct queue *queue)
{
    return queue->state == QUEUE_SHUT && queue_size(queue) == 0;
}

static inline struct queue *message_queue(const struct core *core, const struct message *message)
{
    return core->queues[message->queue];
}

static inline struct message_ext *ext_of_node(struct order_node *node)
{
    return (struct message_ext *)(void *)((char *)node - offsetof(struct message_ext, node));
}

static inline struct queue *queue_of_name_node(struct order_node *node)
{
    return (struct queue *)(void *)((char *)node - offsetof(struct queue, by_name));
}

/* Units of work done; an apply may overdraw what it has left. */
static inline void work_take(struct core *core, uint64_t units)
{
    core->work = units < core->work ? core->work - (uint32_t)units : 0;
}

/* When a duration from now ends; for ever stays for ever. */
static inline uint64_t time_after(const struct core *core, uint64_t duration_ms)
{
    return duration_ms > UINT64_MAX - core->now_ms ? UINT64_MAX : core->now_ms + duration_ms;
}

/* A duration that a request may name: up to a year, or `special` (FOREVER, DEFAULT). */
static inline bool duration_good(uint64_t duration_ms, uint64_t special)
{
    return duration_ms <= LIMIT_DURATION_MS || duration_ms == special;
}

/* A refusal: what goes wrong, and the sentence for it (NULL: the code's own). */
struct refusal {
    int code;
    const char *why;
};

/* ---- message.c, message_save.c -------------------------------------------------------------- */
extern const char dead_rejected[], dead_max_deliveries[], dead_expired[];
/* The message has an extension without headers. */
void message_headers(struct core *core, struct message *message, const struct put_options *options);
/* Records a failure: the first and the last are kept. */
void message_failed(struct core *core, struct message *message, struct slice reason);
/* Into a dead-letter queue and out again. */
void message_set_dead(struct core *core, struct message *message, const struct name *source);
void message_clear_dead(struct core *core, struct message *message);
void timer_save(const struct timer *timer, struct buf *out);
bool timer_load(struct core *core, struct timer *timer, enum timer_kind kind, struct reader *in);

/* ---- queue.c -------------------------------------------------------------------------------- */
/* Takes it out of the name tables; it lives until nothing refers to it. */
void queue_unname(struct core *core, struct queue *queue);
struct queue *queue_new(struct core *core, struct slice name, uint32_t index);
void queue_name_insert(struct core *core, struct queue *queue);
/* Room for one more queue. */
bool queues_room(const struct core *core, uint64_t more);
/* Frees a waiter and lets the queues it waited on go idle. */
void queue_waiter_done(struct core *core, struct waiter *waiter);

/* ---- queue_place.c -------------------------------------------------------------------------- */
order_compare message_compare;
uint32_t message_weight(const struct core *core, const struct message *message);
/* A new message at its place: sequence, unfinished, ready or delayed. Its ext's due_ms and
 * expires_ms are durations until now (a blocked put's clock starts when it gets in). */
void queue_insert(struct core *core, struct queue *queue, struct message *message);
/* A message that belongs to the queue, back to its place. Plain when new is set and it may be. */
void queue_place(struct core *core, struct queue *queue, struct message *message);
/* Next sequence, unfinished up: for messages that come from another queue or a put. */
void queue_adopt(struct core *core, struct queue *queue, struct message *message);
/* The message has left the queue for good: unfinished down, joiners woken. */
void queue_finished(struct core *core, struct queue *queue, uint64_t count);
/* Who joins now is told that it is over. */
void queue_end_joins(struct core *core, struct queue *queue);
/* The next in delivery order, out of its place; NULL: none. */
struct message *queue_pop(struct core *core, struct queue *queue);
/* Takes a message with ext, READY or DELAYED, out of its place. */
void queue_unplace(struct core *core, struct queue *queue, struct message *message);
/* The k-th ready message in delivery order; k < queue_ready(). */
struct message *queue_at(const struct queue *queue, uint64_t k);
/* Drops from the head until count messages of bytes fit: `count` of them, and as many more as there
 * are units of work left. False: they do not fit yet. */
bool queue_drop_oldest(struct core *core, struct queue *queue, uint64_t count, uint64_t bytes);
bool queue_fits(const struct queue *queue, uint64_t count, uint64_t bytes);
/* The message's time has come while it was out of its place or in it: dead letter or dropped. */
void queue_expire(struct core *core, struct queue *queue, struct message *message);

/* ---- queue_pump.c --------------------------------------------------------------------------- */
/* A consumer has credit again: back into the lines of its queues. */
void consumer_unpark(struct core *core, struct waiter *waiter);

/* ---- queue_put.c ---------------------------------------------------------------------------- */
/* Inserts a blocked put's messages, remembers its dedup id, answers, frees it. */
void put_admit(struct core *core, struct queue *queue, struct waiter *waiter);

/* ---- queue_admin.c, queue_options.c, queue_show.c, queue_peek.c, redrive.c ------------------- */
void queue_apply_show(struct core *core, struct session *session, uint64_t request,
                      const struct queue *queue);
void queue_apply_list(struct core *core, struct session *session, uint64_t request,
                      const struct cmd_page *page);
void queue_apply_peek(struct core *core, struct session *session, uint64_t request,
                      const struct cmd_peek *peek);
void queue_apply_redrive(struct core *core, struct session *session, uint64_t request,
                         const struct cmd_redrive *redrive);
/* The queue was deleted: its redrives end. */
void redrive_queue_deleted(struct core *core, struct queue *queue);

/* ---- dead_letter.c -------------------------------------------------------------------------- */
/* Moves a message that has left its place to the dead-letter queue; a full one refuses: then it
 * stays, delayed. False if the queue keeps no dead letters: then nothing was done. */
bool dead_letter(struct core *core, struct queue *queue, struct message *message,
                 const char *reason);
/* The name has room for ".dead". */
bool dead_letter_nameable(struct slice name);

/* ---- dedup.c -------------------------------------------------------------------------------- */
/* Owned by the caller until it is remembered; free() it else. */
struct dedup *dedup_new(struct slice id);
bool dedup_known(const struct core *core, const struct queue *queue, struct slice id);
/* Takes the id; it must not be known. */
void dedup_remember(struct core *core, struct queue *queue, struct dedup *dedup);
void dedup_clear(struct core *core, struct queue *queue);
/* Forgets some ids of a deleted queue, one per unit of work; false when none is left. */
bool dedup_clear_slice(struct core *core, struct queue *queue);
void dedup_save(const struct queue *queue, struct buf *out);
bool dedup_load(struct core *core, struct queue *queue, struct reader *in);
void dedup_check(const struct core *core, const struct queue *queue);

/* ---- trash.c -------------------------------------------------------------------------------- */
/* Cuts off all ready and delayed messages in O(1); they are finished. Returns how many. */
uint64_t queue_cut(struct core *core, struct queue *queue);
/* The queue is being deleted: its dedup ids go with the trash. */
void queue_cut_ids(struct core *core, struct queue *queue);
void trash_fini(struct core *core);
/* Where messages of a snapshot go: three lists, each with its count before it. */
struct message_lists {
    struct fifo *plain;
    struct order *others;
    struct message_ext **delayed;
};
bool messages_load(struct core *core, struct reader *in, struct queue *queue,
                   const struct message_lists *to);

/* ---- lease_return.c ------------------------------------------------------------------------- */
/* Why a lease ends without an ack, and what follows. */
struct lease_return {
    bool counted;         /* as a delivery */
    struct slice failure; /* recorded when failed */
    bool failed;
    uint64_t delay_ms;
};
/* Takes the lease of tag out of the table; its message is the caller's. */
struct message *lease_take(struct core *core, struct session *session, uint64_t tag,
                           const struct lease *lease);
/* Acked: freed. */
void lease_finish(struct core *core, struct message *message);
/* Back to its place, or dead, or expired. */
void lease_give_back(struct core *core, struct message *message, const struct lease_return *how);
/* Arms the chunk's timer so that it fires no later than the deadline. */
void lease_arm(struct core *core, struct session *session, uint64_t tag, uint64_t deadline_ms);

#endif
