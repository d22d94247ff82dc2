/* The verbs that plan_verbs.c's table names and plan_objects.c defines. See plan.h. */
#ifndef TESTS_SIM_PLAN_VERBS_H
#define TESTS_SIM_PLAN_VERBS_H

#include "tests/sim/plan.h"

const struct m_session *verb_begin(struct plan *plan, struct command *command,
                                   enum command_kind kind);

plan_verb verb_open, verb_session_resume, verb_session_detach, verb_session_end;
plan_verb verb_acquire, verb_unlock, verb_lock_renew, verb_lock_break, verb_lock_show,
    verb_lock_list;
plan_verb verb_declare, verb_alter, verb_delete, verb_purge, verb_pause, verb_resume, verb_shutdown,
    verb_peek, verb_redrive, verb_show, verb_list, verb_join;
plan_verb verb_session_list, verb_session_show, verb_session_kill, verb_stat, verb_refuse;

#endif
