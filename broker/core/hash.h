/* XXH3, inlined into its users, under seeds that come from the core's bootstrap key. */
#ifndef BROKER_CORE_HASH_H
#define BROKER_CORE_HASH_H

#include "common/base/slice.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t hash_bytes(uint64_t seed, const void *data, size_t size)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

/* One more number into a hash: the finaliser of SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t hash_number(uint64_t seed, uint64_t number)
{
    uint64_t z = seed + (number + 1) * 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

#endif
