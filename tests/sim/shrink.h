/*
 * Running programs where a crash does no harm, and making failing ones small.
 */
#ifndef TESTS_SIM_SHRINK_H
#define TESTS_SIM_SHRINK_H

#include "tests/sim/machine.h"

/* What a child reports while it runs: it lies in memory shared with the parent. */
struct report {
    size_t step;       /* under way */
    uint64_t commands; /* applied so far */
};

/* Generates the program of a seed and lives through it at once: exit status 0, or 1 if different.
 * `program` receives the steps. */
int live_through(struct program *program, uint64_t seed, size_t steps, struct report *report,
                 bool quiet);

/* Generates only: the model alone. */
void program_generate(struct program *program, uint64_t seed, size_t steps);

/* Runs a recorded program: 0 same, 1 different; panics end the process. */
int program_run(const struct program *program, uint64_t seed, bool verbose, bool quiet);

/* Waits for a child: true if it ended well. Prints how it died unless quiet. */
bool child_wait(int pid, bool quiet);

/* Mutes what a failing program does not need to fail; bounded in time. */
void program_shrink(struct program *program, uint64_t seed);

#endif
