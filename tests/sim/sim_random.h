/* The simulations' random numbers: splitmix64 (Steele et al. 2014), one stream per seed. */
#ifndef TESTS_SIM_SIM_RANDOM_H
#define TESTS_SIM_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* 0 .. bound - 1; the bias is far below what a test could notice. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    return rng_next(rng) % bound;
}

/* first .. last, both included. */
static inline uint64_t rng_between(struct rng *rng, uint64_t first, uint64_t last)
{
    return first + rng_below(rng, last - first + 1);
}

/* true in `percent` of 100 cases. */
static inline bool rng_chance(struct rng *rng, uint64_t percent)
{
    return rng_below(rng, 100) < percent;
}

#endif
