/* Which bodies were taken: a bitmap for each consumer and producer; see harness.h. */
#include "tests/bench/compare/harness.h"

#define SEQUENCES_MAX (UINT64_C(1) << 28) /* a producer: bounds the bitmaps' address space */
#define WORDS_MAX     (SEQUENCES_MAX / 64)

static uint64_t *bitmap(const struct run *run, size_t consumer, size_t producer)
{
    return run->bitmaps + (consumer * run->job.producers + producer) * WORDS_MAX;
}

void proof_init(struct run *run)
{
    run->bitmaps = shared_alloc(run->job.producers * run->job.consumers * WORDS_MAX * 8);
}

bool proof_note(struct run *run, size_t consumer, uint32_t producer, uint64_t sequence)
{
    if (producer >= run->job.producers || sequence >= SEQUENCES_MAX) {
        return false;
    }
    uint64_t *word = bitmap(run, consumer, producer) + sequence / 64;
    uint64_t bit = UINT64_C(1) << (sequence % 64);
    bool fresh = (*word & bit) == 0;
    *word |= bit;
    return fresh;
}

static void check_producer(const struct run *run, size_t producer, struct proof *proof)
{
    uint64_t put = atomic_load(&run->slots[producer].count);
    for (uint64_t word = 0; word * 64 < put; word++) {
        uint64_t seen = 0;
        for (size_t consumer = 0; consumer < run->job.consumers; consumer++) {
            uint64_t bits = bitmap(run, consumer, producer)[word];
            proof->doubled += (uint64_t)__builtin_popcountll(seen & bits);
            seen |= bits;
        }
        uint64_t left = put - word * 64;
        uint64_t expected = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        proof->lost += (uint64_t)__builtin_popcountll(expected & ~seen);
    }
}

struct proof proof_check(const struct run *run)
{
    struct proof proof = {0};
    for (size_t i = 0; i < run->processes; i++) { /* the same consumer twice */
        proof.doubled += atomic_load(&run->slots[i].wrong);
    }
    for (size_t i = 0; i < run->job.producers; i++) {
        check_producer(run, i, &proof);
    }
    return proof;
}
