/* What the model's files call of each other. Private to the model. */
#ifndef TESTS_SIM_MODEL_PARTS_H
#define TESTS_SIM_MODEL_PARTS_H

#include "tests/sim/model_state.h"

/* ---- model_base.c: lists, texts, alarms, effects -------------------------------------------- */
void m_alarm_set(struct model *model, struct alarm *alarm, uint64_t due_ms);
static inline void m_alarm_off(struct alarm *alarm)
{
    alarm->due_ms = NEVER;
}
bool m_name_good(struct slice name);
/* May the session have one more request that waits? */
bool m_may_wait(const struct model *model, const struct m_session *session);
/* How many more leases and locks the session may have. */
uint64_t m_room(const struct model *model, const struct m_session *session);
void tell(struct model *model, const struct effect *effect);
void tell_lock_lost(struct model *model, const struct m_holder *holder, int code);
void tell_lease_lost(struct model *model, const struct m_message *message);
void tell_consumer_ended(struct model *model, const struct m_waiter *waiter, int code);

/* ---- model_answer.c: request ids and their answers ------------------------------------------ */
/* Registers the ids; returns how many at the end of the command are new. */
uint64_t m_answers_open(struct model *model, struct m_session *session,
                        const struct command *command);
/* A session that does not exist: every request is answered so. */
void m_answers_unknown(struct model *model, const struct command *command);
void m_say_plain(struct model *model, struct m_session *session, uint64_t request);
void m_say_error(struct model *model, struct m_session *session, uint64_t request, int code);
void m_say_number(struct model *model, struct m_session *session, uint64_t request, uint64_t value);
void m_say_grant(struct model *model, const struct m_holder *holder, uint64_t request);
void m_say_got(struct model *model, struct m_session *session, uint64_t request, uint64_t first_tag,
               uint64_t count);
void m_say_fields(struct model *model, struct m_session *session, uint64_t request,
                  struct slice fields);
struct m_answer *m_answer_of(const struct m_session *session, uint64_t request);
void m_answer_free(struct m_session *session, struct m_answer *answer);
void model_seen(struct model *model, struct m_session *session, const struct cmd_seen *seen);
void model_cancel(struct model *model, struct m_session *session, const struct command *command);

/* ---- model_session.c ------------------------------------------------------------------------ */
struct m_session *m_session_of(const struct model *model, uint64_t id);
void model_open(struct model *model, const struct cmd_open *open);
void model_resume(struct model *model, const struct cmd_resume *resume);
void model_detach(struct model *model, struct m_session *session, uint64_t reference);
void model_detach_all(struct model *model);
void model_end(struct model *model, struct m_session *session);
void model_kill(struct model *model, struct m_session *session, const struct command *command);

/* ---- model_wait.c --------------------------------------------------------------------------- */
struct m_waiter *m_wait_new(struct model *model, struct m_session *session,
                            const struct command *command, enum m_wait kind, uint64_t timeout_ms);
void m_wait_queue(struct model *model, struct m_waiter *waiter, struct m_queue *queue);
void m_wait_free(struct model *model, struct m_waiter *waiter);
struct m_waiter *m_wait_of(const struct model *model, const struct m_session *session,
                           uint64_t request);
/* First in the queue's line of a kind; GET and CONSUME share a line (kind M_GET). */
struct m_waiter *m_wait_first(const struct model *model, const struct m_queue *queue,
                              enum m_wait kind);
/* First of those that the line does without: no credit, or asleep. */
struct m_waiter *m_wait_first_parked(const struct model *model, const struct m_queue *queue,
                                     enum m_wait kind);
/* First in the lock's line, or of those that are asleep. */
struct m_waiter *m_wait_first_lock(const struct model *model, const struct m_lock *lock,
                                   bool asleep);
/* Met at the head of the line while its session is detached: passed over from now on. */
void m_wait_sleep(struct model *model, struct m_waiter *waiter, const struct m_queue *queue);
/* The session is back: to their places; whoever may have to be served is. */
void m_waits_wake(struct model *model, const struct m_session *session);
void m_wait_fail(struct model *model, struct m_waiter *waiter, int code);
/* It gave up: gone, and whoever it kept waiting is served. */
void m_wait_leave(struct model *model, struct m_waiter *waiter);
void m_wait_expire(struct model *model, struct m_waiter *waiter);
void m_waits_refresh(struct model *model, const struct m_session *session);

/* ---- model_lease.c -------------------------------------------------------------------------- */
/* Those of the tags that are still leased: delivered again, if that is all of them. */
bool m_leases_again(struct model *model, struct m_session *session, uint64_t first_tag,
                    uint64_t count);
/* The get was cancelled: back, uncounted. */
void m_leases_cancel(struct model *model, struct m_session *session, uint64_t first_tag,
                     uint64_t count);
/* The get's answer was seen: ends those that acknowledge themselves. */
void m_leases_seen(struct model *model, struct m_session *session, uint64_t first_tag,
                   uint64_t count);
/* A resumed session: streamed deliveries after last_tag again. */
void m_leases_resume(struct model *model, struct m_session *session, uint64_t last_tag);
void m_leases_refresh(struct model *model, struct m_session *session);
void m_leases_handed(struct m_session *session, uint64_t tag);
void m_lease_command(struct model *model, struct m_session *session, const struct command *command);
void m_group_expire(struct model *model, struct m_group *group);
/* An ending session's lease goes back. */
void m_lease_return(struct model *model, struct m_message *message);

/* ---- model_queue.c, model_serve.c, model_put.c, model_admin.c, model_show.c ----------------- */
void m_message_alarm(struct model *model, struct m_message *message);
void m_dedup_expire(struct model *model, struct m_queue *queue);
/* Collects it if it is still idle. */
void m_queue_idle(struct model *model, struct m_queue *queue);
void m_queues_free(struct model *model);
/* Serves everybody on the queues that were woken. */
void m_queues_serve(struct model *model);
void m_put_command(struct model *model, struct m_session *session, const struct command *command);
void m_get_command(struct model *model, struct m_session *session, const struct command *command);
void m_unconsume(struct model *model, struct m_session *session, const struct command *command);
void m_credit(struct model *model, struct m_session *session, const struct cmd_credit *credit);
/* DECLARE ALTER DELETE PURGE PAUSE RESUME SHUTDOWN REDRIVE JOIN */
void m_queue_command(struct model *model, struct m_session *session, const struct command *command);
/* What only reads. */
void m_show_command(struct model *model, struct m_session *session, const struct command *command);

#endif
