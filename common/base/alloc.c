/* Allocation that aborts instead of failing. */
#include "common/base/alloc.h"

#include "common/base/panic.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ALLOC_BY_MALLOC 1 /* a leak checker does not look for pointers in mapped memory */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ALLOC_BY_MALLOC 1
#endif
#endif

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

#ifdef ALLOC_BY_MALLOC

void *mem_region(bool huge)
{
    void *region = aligned_alloc(MEM_REGION_BYTES, MEM_REGION_BYTES);
    STEWARD_ASSERT(region != NULL); /* out of memory */
    (void)huge;
    return memset(region, 0, MEM_REGION_BYTES);
}

void mem_region_free(void *region)
{
    free(region);
}

#else

/* Maps twice as much and gives back what is not aligned: the upper end stays, so that the next one,
 * which the kernel puts below, lies beside it and joins it. */
void *mem_region(bool huge)
{
    size_t twice = 2 * MEM_REGION_BYTES;
    uint8_t *map = mmap(NULL, twice, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    STEWARD_ASSERT(map != MAP_FAILED); /* out of memory */
    size_t above = ((uintptr_t)map + twice) % MEM_REGION_BYTES;
    uint8_t *region = map + twice - above - MEM_REGION_BYTES;
    if (region > map) {
        munmap(map, (size_t)(region - map));
    }
    if (above > 0) {
        munmap(region + MEM_REGION_BYTES, above);
    }
    if (huge) {
        madvise(region, MEM_REGION_BYTES, MADV_HUGEPAGE); /* a wish: small pages serve as well */
    }
    return region;
}

void mem_region_free(void *region)
{
    int status = munmap(region, MEM_REGION_BYTES);
    STEWARD_ASSERT(status == 0);
}

#endif
