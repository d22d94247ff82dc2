/*
 * The test bench: core and model side by side, step by step.
 *
 * Each command goes through its encoding, is applied to both, and the effects are compared; every
 * invariant of the core is walked; now and then the core is written to a snapshot and restored, and
 * both live on together until the restored one takes over.
 */
#ifndef TESTS_SIM_MACHINE_H
#define TESTS_SIM_MACHINE_H

#include "tests/sim/model.h"
#include "tests/sim/program.h"
#include "tests/sim/sim_random.h"

/* In the tight build (tight_limits.h) every step ends with ticks until nothing is due. */
#ifdef STEWARD_TIGHT
#define MACHINE_LOOSE true
#else
#define MACHINE_LOOSE false
#endif

struct machine {
    struct core *core;
    struct core *twin; /* restored from a snapshot of core; NULL: none */
    struct model *model;
    struct effects effects, twin_effects;
    struct buf expected, got;     /* traces of one step */
    struct buf bytes, twin_bytes; /* scratch */
    struct command_arena arena;
    struct rng rng;          /* for damage and snapshots, apart from the program's */
    uint64_t snapshot_every; /* steps */
    size_t twin_until;       /* step at which the twin takes over */
    uint64_t dropped;        /* messages, before this step (model_dropped) */
    bool sliced;             /* this step's work was cut into slices */
    bool cut;                /* some step was cut in a way that may show later */
    bool parted;       /* slices were cut otherwise than in the model: the core goes on alone */
    size_t part_at;    /* at this step they part in any case; 0: never */
    bool verbose;      /* print every step */
    bool quiet;        /* print nothing, not even a difference */
    uint64_t commands; /* applied, ticks included */
};

void machine_init(struct machine *machine, uint64_t seed);
void machine_fini(struct machine *machine);

/* Applies one step to all; false: a difference, already printed. */
bool machine_step(struct machine *machine, const struct program *program, size_t step);

/* After the last step: a last snapshot round trip, and everything is taken down. */
bool machine_finish(struct machine *machine);

#endif
