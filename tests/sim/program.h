/*
 * A program: the recorded steps of one seed, each a time and an encoded command.
 *
 * A step may be muted: its command is left out when nobody counts on its request ids, else an
 * acknowledgement of tags that never existed takes the ids in its place.  A step may be twisted:
 * after decoding, its command is made one that no decoder lets through, so that the manager's own
 * refusals are seen.
 */
#ifndef TESTS_SIM_PROGRAM_H
#define TESTS_SIM_PROGRAM_H

#include "broker/core/core.h"

struct step {
    uint64_t now_ms;
    size_t offset; /* of the encoded command in program->bytes */
    size_t size;
    bool muted;
    bool twisted;
};

struct program {
    struct step *steps;
    size_t count;
    size_t capacity;
    struct buf bytes;
};

void program_fini(struct program *program);
void program_add(struct program *program, uint64_t now_ms, const struct command *command);
struct slice program_bytes(const struct program *program, size_t step);

/* The command of a step, muted ones replaced; false: nothing to apply. Panics on bad bytes. */
bool program_command(const struct program *program, size_t step, struct command_arena *arena,
                     struct command *command);

/* Twists the last step, if there is a way. */
void program_twist(struct program *program);

/* Mutes every step that `list` ("3,7-9") does not name. */
void program_keep(struct program *program, const char *list);
/* Appends the list that program_keep reads. */
void program_kept(const struct program *program, struct buf *out);

/* Prints every step that is not muted, readable, one line each. */
void program_print(const struct program *program);

#endif
