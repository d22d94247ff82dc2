/*
 * Random programs: one seed decides everything, also which kinds of commands are frequent.
 *
 * Swarm testing (Groce et al. 2012): each seed switches many kinds off and draws weights for the
 * others, so that programs differ more than one fixed mix ever would. The plan looks at the model
 * to find names, tags and tokens that matter; it never looks at the core.
 */
#ifndef TESTS_SIM_PLAN_H
#define TESTS_SIM_PLAN_H

#include "tests/sim/model.h"
#include "tests/sim/program.h"
#include "tests/sim/sim_random.h"

#define PLAN_SESSIONS 6
#define PLAN_VERBS    48

struct plan {
    struct rng rng;
    const struct model *model;
    struct program *program;
    uint64_t now_ms;
    uint32_t weights[PLAN_VERBS];
    uint32_t total;
    uint64_t queues, locks; /* names in use: few, so that they collide */
    uint64_t span_ms;       /* usual size of time-outs and steps of time */
    uint64_t bodies;        /* serial number of the next body */
    uint64_t references;
    uint64_t resend_percent, strange_percent, dedup_percent, large_percent;
    /* memory of the command under construction */
    struct slice slices[LIMIT_BATCH];
    struct header_pair headers[LIMIT_HEADERS];
    struct put_options options;
    struct id_range ranges[16];
    struct buf text;
    struct command_arena arena;
};

void plan_init(struct plan *plan, uint64_t seed, const struct model *model,
               struct program *program);
void plan_fini(struct plan *plan);

/* Appends the next step to the program. */
void plan_step(struct plan *plan);

/* ---- plan_verbs.c: one command each; false: nothing sensible to do now ---------------------- */
typedef bool plan_verb(struct plan *plan, struct command *command);
extern plan_verb *const plan_verbs[PLAN_VERBS];
/* Verbs that every seed has, and how many of the table are in use. */
bool plan_verb_always(size_t verb);
size_t plan_verbs_count(void);

/* ---- plan_pick.c: names, numbers, sessions -------------------------------------------------- */
struct slice pick_queue(struct plan *plan);
struct slice pick_lock(struct plan *plan);
struct slice pick_body(struct plan *plan);
struct slice pick_text(struct plan *plan, size_t size);
uint64_t pick_timeout(struct plan *plan);
uint64_t pick_duration(struct plan *plan);
/* A lease time or "the queue's own". */
uint64_t pick_lease(struct plan *plan);
/* An open session; NULL: none. */
const struct m_session *pick_session(struct plan *plan);
/* A tag of the session, mostly a live one; 0: none. */
uint64_t pick_tag(struct plan *plan, const struct m_session *session);

#endif
