/* The model's queues and messages, for its other files. */
#ifndef TESTS_SIM_MODEL_QUEUE_H
#define TESTS_SIM_MODEL_QUEUE_H

#include "tests/sim/model_parts.h"

/* Counts in the queue and in the totals. */
#define COUNT(model, queue, what, n) ((queue)->counters.what += (n), (model)->totals.what += (n))

/* ---- model_message.c ------------------------------------------------------------------------ */
struct m_message *m_message_make(struct model *model, struct m_queue *queue, struct slice body);
/* Forgets it, wherever it is. */
void m_message_drop(struct model *model, struct m_message *message);
void m_message_headers(struct m_message *message, const struct put_options *options);
void m_message_failed(const struct model *model, struct m_message *message, struct slice reason);
void m_message_set_dead(struct m_message *message, const struct m_queue *source);
void m_message_clear_dead(struct m_message *message);
/* Headers and past, as a delivery or a peek shows them. */
void m_message_fields(const struct model *model, const struct m_message *message,
                      struct buf *fields);
void tell_delivery(struct model *model, const struct m_message *message, uint64_t deliveries);

/* ---- model_queue.c -------------------------------------------------------------------------- */
struct m_queue *m_queue_of(const struct model *model, struct slice name); /* NULL: none */
/* Finds or makes; NULL: the name is not good. */
struct m_queue *m_queue_make(struct model *model, struct slice name);
uint64_t m_queue_count(const struct model *model, const struct m_queue *queue,
                       enum m_message_state state);
uint64_t m_queue_bytes(const struct model *model, const struct m_queue *queue);
static inline uint64_t m_queue_size(const struct model *model, const struct m_queue *queue)
{
    return m_queue_count(model, queue, M_READY) + m_queue_count(model, queue, M_DELAYED);
}
bool m_queue_fits(const struct model *model, const struct m_queue *queue, uint64_t count,
                  uint64_t bytes);
/* Its unfinished work has one less; who joins may go on. */
void m_queue_finished(struct model *model, struct m_queue *queue, uint64_t count);
/* Who joins now is told at the next serving. */
void m_queue_joins_over(struct model *model, struct m_queue *queue);
/* To its place, ready or delayed. */
void m_queue_place(struct model *model, struct m_message *message);
/* The next sequence number of a queue, and its unfinished work one more. */
void m_queue_adopt(struct model *model, struct m_queue *queue, struct m_message *message);
/* A new message: its times begin now. */
void m_queue_insert(struct model *model, struct m_message *message);
/* The k-th in delivery order; NULL: there are fewer. */
struct m_message *m_queue_nth(const struct model *model, const struct m_queue *queue, uint64_t k);
void m_queue_drop_oldest(struct model *model, struct m_queue *queue, uint64_t count,
                         uint64_t bytes);
void m_queue_expire(struct model *model, struct m_message *message);
void m_queue_wake(struct model *model, struct m_queue *queue);
/* Idle, in use, or deleted and forgotten by all. */
void m_queue_life(struct model *model, struct m_queue *queue);
/* Drops what is ready and delayed; returns how many. */
uint64_t m_queue_cut(struct model *model, struct m_queue *queue);

/* ---- model_serve.c -------------------------------------------------------------------------- */
/* Serves everybody who waits on the queue, as far as possible. */
void m_queue_serve(struct model *model, struct m_queue *queue);
/* Out of the lines, for want of credit, or to the end of each. */
void m_consumer_move(struct model *model, struct m_waiter *consumer, bool parked);

/* ---- model_dead.c --------------------------------------------------------------------------- */
/* False: the queue keeps no dead letters, nothing was done. */
bool m_dead_letter(struct model *model, struct m_message *message, const char *reason);
bool m_dead_pending(const struct m_message *message);
void m_redrive(struct model *model, struct m_session *session, const struct command *command);
bool m_dedup_known(const struct model *model, const struct m_queue *queue, struct slice id);
void m_dedup_remember(struct model *model, struct m_queue *queue, struct slice id);
void m_dedup_clear(struct model *model, struct m_queue *queue);

/* ---- model_put.c ---------------------------------------------------------------------------- */
void m_put_admit(struct model *model, struct m_queue *queue, struct m_waiter *waiter);

/* ---- model_lease.c -------------------------------------------------------------------------- */
/* Takes up to max messages off the queue for a get or a consumer; returns how many. */
uint64_t m_lease_deliver(struct model *model, struct m_waiter *waiter, struct m_queue *queue,
                         uint64_t max);

/* ---- model_queue_show.c --------------------------------------------------------------------- */
void m_queue_row(const struct model *model, void *queue, struct buf *out);
void m_queue_show(struct model *model, struct m_session *session, const struct command *command);
void m_queue_peek(struct model *model, struct m_session *session, const struct command *command);

#endif
