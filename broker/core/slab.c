/*
 * Records in classes of 16 bytes, cut from 64 KiB pages; pages are cut from regions of 2 MiB. But
 * for the first ones these are huge pages where the kernel has them: a snapshot forks, and the time
 * of that goes with the number of pages.
 *
 * A page is aligned to its size, so the page of a record is found by masking its address. A page
 * whose records are all free goes back to its region, and any class may take it next. A region
 * whose pages are all free goes back to the system, but some are kept, so that a queue that fills
 * and drains does not map, and touch, fresh pages each time.
 *
 * To change the classes edit CLASS_BYTES; to change the page edit PAGE_BYTES (a power of two).
 */
#include "broker/core/slab.h"

#include "common/base/alloc.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <stdbool.h>
#include <stdlib.h>
#include <utlist.h>

#if defined(__SANITIZE_ADDRESS__)
#define SLAB_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLAB_POISON 1
#endif
#endif
#ifdef SLAB_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define CLASS_BYTES   16
#define PAGE_BYTES    (64 * 1024)
#define REGION_PAGES  ((uint32_t)(REGION_BYTES / PAGE_BYTES) - 1) /* in place of one: its struct */
#define IDLE_REGIONS  8                                           /* kept: 16 MiB */
#define SMALL_REGIONS 16 /* in small pages: up to 32 MiB a manager takes what it needs */
#define REGION_BYTES  MEM_REGION_BYTES
#define CLASSES       ((LIMIT_BODY_SLAB_BYTES + 64) / CLASS_BYTES + 1)

struct record {
    struct record *next;
};

struct page {
    struct page *prev, *next; /* of its class while it has room, of its region while free */
    struct region *region;
    struct record *free; /* records given back */
    uint32_t used;       /* records in use */
    uint32_t cut;        /* records ever cut: the rest of the page was never touched */
    uint32_t capacity;   /* records */
    uint32_t size;       /* bytes of a record */
    _Alignas(CLASS_BYTES) uint8_t records[];
};

struct region {
    struct region *prev, *next; /* slab->regions while it has free pages */
    struct page *free;          /* pages given back */
    uint8_t *first;             /* its first page */
    uint32_t cut;               /* pages ever used */
    uint32_t used;              /* pages in use */
};

struct slab {
    struct page *open[CLASSES]; /* pages with room */
    struct region *regions;     /* with free pages */
    uint32_t idle_regions;      /* of those: without a page in use */
    uint32_t regions_count;     /* of all */
};

struct slab *slab_new(void)
{
    return mem_zalloc(1, sizeof(struct slab));
}

void slab_destroy(struct slab **slab)
{
    if (!*slab) {
        return;
    }
    struct region *region, *next;
    DL_FOREACH_SAFE ((*slab)->regions, region, next) {
        STEWARD_ASSERT(region->used == 0); /* every record was given back */
        ASAN_UNPOISON_MEMORY_REGION(region, REGION_BYTES);
        mem_region_free(region);
    }
    free(*slab);
    *slab = NULL;
}

static struct region *region_new(struct slab *slab)
{
    struct region *region = mem_region(slab->regions_count++ >= SMALL_REGIONS);
    *region = (struct region){.first = (uint8_t *)region + PAGE_BYTES};
    DL_PREPEND(slab->regions, region);
    slab->idle_regions++;
    return region;
}

static struct page *page_new(struct slab *slab, size_t class)
{
    struct region *region = slab->regions ? slab->regions : region_new(slab);
    struct page *page = region->free;
    if (page) {
        DL_DELETE(region->free, page);
    } else {
        page = (struct page *)(void *)(region->first + (size_t)region->cut++ * PAGE_BYTES);
    }
    if (region->used++ == 0) {
        slab->idle_regions--;
    }
    if (region->used == REGION_PAGES) {
        DL_DELETE(slab->regions, region);
    }
    uint32_t size = (uint32_t)(class * CLASS_BYTES);
    uint32_t capacity = (uint32_t)((PAGE_BYTES - offsetof(struct page, records)) / size);
    ASAN_UNPOISON_MEMORY_REGION(page, sizeof *page);
    *page = (struct page){.region = region, .size = size, .capacity = capacity};
    ASAN_POISON_MEMORY_REGION(page->records, PAGE_BYTES - sizeof *page);
    DL_PREPEND(slab->open[class], page);
    return page;
}

static void page_return(struct slab *slab, struct page *page)
{
    struct region *region = page->region;
    if (region->used == REGION_PAGES) {
        DL_PREPEND(slab->regions, region);
    }
    DL_PREPEND(region->free, page);
    if (--region->used > 0) {
        return;
    }
    if (slab->idle_regions >= IDLE_REGIONS) {
        DL_DELETE(slab->regions, region);
        ASAN_UNPOISON_MEMORY_REGION(region, REGION_BYTES);
        mem_region_free(region);
        slab->regions_count--;
    } else {
        slab->idle_regions++;
    }
}

static size_t class_of(size_t size)
{
    size_t class = size ? (size + CLASS_BYTES - 1) / CLASS_BYTES : 1;
    STEWARD_ASSERT(class < CLASSES);
    return class;
}

size_t slab_cost(size_t size)
{
    return class_of(size) * CLASS_BYTES;
}

void *slab_alloc(struct slab *slab, size_t size)
{
    size_t class = class_of(size);
    struct page *page = slab->open[class];
    if (!page) {
        page = page_new(slab, class);
    }
    struct record *record = page->free;
    if (record) {
        ASAN_UNPOISON_MEMORY_REGION(record, sizeof *record);
        page->free = record->next;
        ASAN_POISON_MEMORY_REGION(record, sizeof *record);
        ASAN_UNPOISON_MEMORY_REGION(record, size);
    } else {
        record = (struct record *)(void *)(page->records + (size_t)page->cut++ * page->size);
        ASAN_UNPOISON_MEMORY_REGION(record, size);
    }
    if (++page->used == page->capacity) {
        DL_DELETE(slab->open[class], page);
    }
    return record;
}

void slab_free(struct slab *slab, void *record, size_t size)
{
    size_t class = class_of(size);
    struct page *page = (struct page *)((uintptr_t)record & ~(uintptr_t)(PAGE_BYTES - 1));
    STEWARD_ASSERT(page->size == class * CLASS_BYTES && page->used > 0);
    struct record *freed = record;
    ASAN_UNPOISON_MEMORY_REGION(freed, sizeof *freed); /* it may have been smaller */
    freed->next = page->free;
    page->free = freed;
    ASAN_POISON_MEMORY_REGION(record, page->size);
    if (page->used-- == page->capacity) {
        DL_PREPEND(slab->open[class], page);
    }
    if (page->used == 0) {
        DL_DELETE(slab->open[class], page);
        page_return(slab, page);
    }
}
