/* Allocation that aborts instead of failing. */
#include "common/base/alloc.h"

#include "common/base/panic.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    STEWARD_ASSERT(p != NULL); /* out of memory */
    return p;
}

void *mem_zalloc(size_t count, size_t size)
{
    /* calloc itself refuses a product that overflows; zero sizes must still give a pointer. */
    void *p = calloc(count ? count : 1, size ? size : 1);
    STEWARD_ASSERT(p != NULL); /* out of memory */
    return p;
}

void *mem_realloc(void *p, size_t count, size_t size)
{
    STEWARD_ASSERT(size == 0 || count <= SIZE_MAX / size);
    size_t total = count * size;
    void *q = realloc(p, total ? total : 1);
    STEWARD_ASSERT(q != NULL); /* out of memory */
    return q;
}

void *mem_dup(const void *data, size_t size)
{
    void *copy = mem_alloc(size);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    return copy;
}
