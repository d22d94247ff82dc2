/* The model's locks, for its other files. */
#ifndef TESTS_SIM_MODEL_LOCK_H
#define TESTS_SIM_MODEL_LOCK_H

#include "tests/sim/model_parts.h"

struct m_lock *m_lock_of(const struct model *model, struct slice name);
uint64_t m_lock_holders(const struct model *model, const struct m_lock *lock);
/* ACQUIRE UNLOCK LOCK_RENEW LOCK_BREAK */
void m_lock_command(struct model *model, struct m_session *session, const struct command *command);
/* Grants what is free to who waits. */
void m_lock_serve(struct model *model, struct m_lock *lock);
/* Idle from now on, or in use again. */
void m_lock_life(struct model *model, struct m_lock *lock);
/* Takes the lock away without a word, passes it on. */
void m_holder_end(struct model *model, struct m_holder *holder);
/* Its lease ran out. */
void m_holder_expire(struct model *model, struct m_holder *holder);
/* An acquire was cancelled after its grant. */
void m_lock_cancel(struct model *model, struct m_session *session, struct slice name,
                   uint64_t token);
/* Collects it if it is still idle. */
void m_lock_idle(struct model *model, struct m_lock *lock);
void m_holders_refresh(struct model *model, const struct m_session *session);
void m_locks_free(struct model *model);

#endif
