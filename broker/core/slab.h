/*
 * Records of up to LIMIT_BODY_SLAB_BYTES + header, in classes of 16 bytes, cut from aligned pages.
 * A page whose records are all free goes back to a small pool that every class draws from, and past
 * that to malloc. No header per record. Not thread-safe.
 */
#ifndef BROKER_CORE_SLAB_H
#define BROKER_CORE_SLAB_H

#include <stddef.h>
#include <stdint.h>

struct slab; /* one allocator */

struct slab *slab_new(void);
void slab_destroy(struct slab **slab);
/* size bytes, 16-byte granules; panics above the largest class. */
void *slab_alloc(struct slab *slab, size_t size);
/* size: the same as at slab_alloc. */
void slab_free(struct slab *slab, void *record, size_t size);
/* What slab_alloc(size) really costs, in bytes. */
size_t slab_cost(size_t size);

#endif
