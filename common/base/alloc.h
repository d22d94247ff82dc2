/*
 * Allocation that cannot fail: out of memory aborts (in the core one replica that refuses alone
 * would diverge; limits decide refusals, not malloc). Any thread.
 */
#ifndef COMMON_BASE_ALLOC_H
#define COMMON_BASE_ALLOC_H

#include <stddef.h>

/* size bytes, uninitialised. size 0 returns a valid pointer. Free with free(). */
void *mem_alloc(size_t size);

/* count * size bytes of zeros; an overflowing product aborts. */
void *mem_zalloc(size_t count, size_t size);

/* As realloc(); an overflowing product aborts. */
void *mem_realloc(void *p, size_t count, size_t size);

/* A heap copy of size bytes. */
void *mem_dup(const void *data, size_t size);

#endif
