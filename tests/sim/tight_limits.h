/*
 * The limits of the manager, made small, so that random programs reach them and one command is many
 * slices of work. Included before everything else in the tight build of core and simulation.
 */
#ifndef TESTS_SIM_TIGHT_LIMITS_H
#define TESTS_SIM_TIGHT_LIMITS_H

#include "common/base/limits.h"

#include <stdint.h>

#undef LIMIT_BATCH
#undef LIMIT_WORK_UNITS
#undef LIMIT_DELIVER_RUN
#undef LIMIT_SESSIONS
#undef LIMIT_QUEUES
#undef LIMIT_LOCKS
#undef LIMIT_WAITERS_SESSION
#undef LIMIT_WAITERS
#undef LIMIT_HELD_SESSION
#undef LIMIT_ANSWERS_SESSION
#undef LIMIT_ANSWER_BYTES_SESSION
#undef LIMIT_RESULT_BYTES
#undef LIMIT_PAGE_ROWS
#undef LIMIT_DEDUP_IDS
#undef LIMIT_LOCK_DEPTH
#undef LIMIT_BODY_CEILING_BYTES

/* count: 16 or 4, by the seed (machine.c) */
extern uint32_t tight_work_units;

#define LIMIT_BATCH                16
#define LIMIT_WORK_UNITS           tight_work_units
#define LIMIT_DELIVER_RUN          3
#define LIMIT_SESSIONS             5
#define LIMIT_QUEUES               8
#define LIMIT_LOCKS                3
#define LIMIT_WAITERS_SESSION      8
#define LIMIT_WAITERS              22
#define LIMIT_HELD_SESSION         12
#define LIMIT_ANSWERS_SESSION      70
#define LIMIT_ANSWER_BYTES_SESSION 30000
#define LIMIT_RESULT_BYTES         8192
#define LIMIT_PAGE_ROWS            6
#define LIMIT_DEDUP_IDS            3
#define LIMIT_LOCK_DEPTH           3
#define LIMIT_BODY_CEILING_BYTES   9000

#define STEWARD_TIGHT 1

#endif
