/*
 * Simulation B: a file on a simulated disk, as reads see it and as a loss of power would leave it.
 *
 * Blocks are shared between the two, and copied when they differ, so that a file costs what was
 * written to it; a block that was never written, or only with zeros, is NULL. One thread.
 */
#ifndef TESTS_SIM_NODES_FILE_H
#define TESTS_SIM_NODES_FILE_H

#include "tests/sim/sim_random.h"

#include <stddef.h>

#define FILE_PATH_BYTES 120
#define FILE_BLOCK      4096

struct file {
    char path[FILE_PATH_BYTES]; /* empty: no name (any more) */
    uint8_t **now, **kept;      /* blocks that reads see, and that a loss of power leaves */
    uint64_t blocks;            /* of both */
    uint64_t size, kept_size;
    bool used, locked;
};

/* Longer, with zeros. */
void file_grow(struct file *file, uint64_t size);
/* Shorter; durable at once, as nobody counts on what lay behind. */
void file_cut(struct file *file, uint64_t size);
/* Returns how many bytes there were. */
size_t file_read(const struct file *file, void *data, size_t size, uint64_t offset);
/* Within its size. */
void file_write(struct file *file, const void *data, size_t size, uint64_t offset);
/* What was written from byte `offset` on is durable. */
void file_keep(struct file *file, uint64_t offset, uint64_t size);
/* Of each sector there that is not, chance decides; then it is. */
void file_tear(struct file *file, struct rng *rng, uint64_t offset, uint64_t size);
/* The power goes. */
void file_lose(struct file *file, struct rng *rng);
void file_free(struct file *file);

#endif
