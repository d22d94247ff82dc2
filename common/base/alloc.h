/*
 * Allocation that cannot fail: out of memory aborts (in the core one replica that refuses alone
 * would diverge; limits decide refusals, not malloc). Any thread.
 */
#ifndef COMMON_BASE_ALLOC_H
#define COMMON_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* size bytes, uninitialised. size 0 returns a valid pointer. Free with free(). */
void *mem_alloc(size_t size);

/* count * size bytes of zeros; an overflowing product aborts. */
void *mem_zalloc(size_t count, size_t size);

/* As realloc(); an overflowing product aborts. */
void *mem_realloc(void *p, size_t count, size_t size);

/* A heap copy of size bytes. */
void *mem_dup(const void *data, size_t size);

#define MEM_REGION_BYTES ((size_t)2 * 1024 * 1024)

/*
 * Zeroed memory of MEM_REGION_BYTES, at an address that is a multiple of it. `huge`: in one huge
 * page where the kernel has them; a fork() then copies one entry of it instead of 512, but all of
 * it is taken at the first touch. Free with mem_region_free.
 */
void *mem_region(bool huge);
void mem_region_free(void *region);

#endif
