/* Simulation B: a file on a simulated disk. See nodes_file.h. */
#include "tests/sim/nodes_file.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static bool is_zero(const uint8_t *data)
{
    static const uint8_t zeros[FILE_BLOCK];
    return memcmp(data, zeros, FILE_BLOCK) == 0;
}

void file_grow(struct file *file, uint64_t size)
{
    uint64_t blocks = (size + FILE_BLOCK - 1) / FILE_BLOCK;
    if (blocks > file->blocks) {
        size_t more = (size_t)(blocks - file->blocks) * sizeof *file->now;
        file->now = mem_realloc(file->now, (size_t)blocks, sizeof *file->now);
        file->kept = mem_realloc(file->kept, (size_t)blocks, sizeof *file->kept);
        memset(file->now + file->blocks, 0, more);
        memset(file->kept + file->blocks, 0, more);
        file->blocks = blocks;
    }
    file->size = size;
}

static void free_block(struct file *file, uint64_t block)
{
    if (file->kept[block] != file->now[block]) {
        free(file->kept[block]);
    }
    free(file->now[block]);
    file->now[block] = file->kept[block] = NULL;
}

void file_cut(struct file *file, uint64_t size)
{
    for (uint64_t i = (size + FILE_BLOCK - 1) / FILE_BLOCK; i < file->blocks; i++) {
        free_block(file, i);
    }
    file->size = size;
    file->kept_size = least(file->kept_size, size);
}

size_t file_read(const struct file *file, void *data, size_t size, uint64_t offset)
{
    uint8_t *out = data;
    if (offset >= file->size) {
        return 0;
    }
    size = (size_t)least(size, file->size - offset);
    for (uint64_t at = offset; at < offset + size;) {
        uint64_t within = at % FILE_BLOCK;
        uint64_t part = least(FILE_BLOCK - within, offset + size - at);
        const uint8_t *block = file->now[at / FILE_BLOCK];
        if (block) {
            memcpy(out, block + within, (size_t)part);
        } else {
            memset(out, 0, (size_t)part);
        }
        out += part;
        at += part;
    }
    return size;
}

/* A block that may be changed without changing what is kept. */
static uint8_t *writable(struct file *file, uint64_t block)
{
    uint8_t *now = file->now[block];
    if (now == NULL) {
        now = mem_zalloc(1, FILE_BLOCK);
    } else if (now == file->kept[block]) {
        now = mem_dup(now, FILE_BLOCK);
    }
    file->now[block] = now;
    return now;
}

void file_write(struct file *file, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *from = data;
    for (uint64_t at = offset; at < offset + size;) {
        uint64_t within = at % FILE_BLOCK;
        uint64_t part = least(FILE_BLOCK - within, offset + size - at);
        bool nothing = file->now[at / FILE_BLOCK] == NULL && part == FILE_BLOCK && is_zero(from);
        if (!nothing) {
            memcpy(writable(file, at / FILE_BLOCK) + within, from, (size_t)part);
        }
        from += part;
        at += part;
    }
}

void file_keep(struct file *file, uint64_t offset, uint64_t size)
{
    for (uint64_t i = offset / FILE_BLOCK; i < file->blocks && i * FILE_BLOCK < offset + size;
         i++) {
        if (file->kept[i] != file->now[i]) {
            free(file->kept[i]);
            file->kept[i] = file->now[i];
        }
    }
    file->kept_size = file->size;
}

static void tear_block(struct file *file, struct rng *rng, uint64_t block)
{
    if (file->kept[block] == file->now[block]) {
        return;
    }
    uint8_t *mixed = mem_zalloc(1, FILE_BLOCK);
    for (uint64_t at = 0; at < FILE_BLOCK; at += SECTOR) {
        const uint8_t *from = rng_chance(rng, 50) ? file->now[block] : file->kept[block];
        if (from) {
            memcpy(mixed + at, from + at, SECTOR);
        }
    }
    free(file->now[block]);
    free(file->kept[block]);
    file->now[block] = file->kept[block] = mixed;
}

void file_tear(struct file *file, struct rng *rng, uint64_t offset, uint64_t size)
{
    for (uint64_t i = offset / FILE_BLOCK; i < file->blocks && i * FILE_BLOCK < offset + size;
         i++) {
        tear_block(file, rng, i);
    }
}

void file_lose(struct file *file, struct rng *rng)
{
    file_tear(file, rng, 0, file->size);
    /* One that grew without a sync has its old size, or the new one. */
    if (file->kept_size < file->size && rng_chance(rng, 50)) {
        file_cut(file, file->kept_size);
    }
    file->kept_size = file->size;
}

void file_free(struct file *file)
{
    for (uint64_t i = 0; i < file->blocks; i++) {
        free_block(file, i);
    }
    free(file->now);
    free(file->kept);
    *file = (struct file){0};
}
