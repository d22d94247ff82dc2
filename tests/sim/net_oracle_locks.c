/* Simulation A2, the oracle: locks, semaphores, tokens. See net.h. */
#include "tests/sim/net.h"

int oracle_lock(struct slice name)
{
    for (int i = 0; i < NET_LOCKS; i++) {
        if (slice_equal(name, slice_str(lock_text(i)))) {
            return i;
        }
    }
    return -1;
}

void oracle_token(struct net_world *world, uint64_t token)
{
    if (token <= world->oracle.token) {
        net_fail(world, "token %llu was given out after token %llu", (unsigned long long)token,
                 (unsigned long long)world->oracle.token);
    }
    world->oracle.token = token;
}

void oracle_granted(struct net_world *world, uint64_t session, int lock, uint64_t token)
{
    struct oracle *oracle = &world->oracle;
    size_t held = 0;
    for (size_t i = 0; i < oracle->holders_count; i++) {
        held += oracle->holders[i].lock == lock;
    }
    if (held >= (lock == NET_SEMAPHORE ? NET_PERMITS : 1)) {
        net_fail(world, "'%s' was granted to session %llu while %zu hold it", lock_text(lock),
                 (unsigned long long)session, held);
    }
    oracle_token(world, token);
    oracle->holders[oracle->holders_count++] =
        (struct net_holder){.lock = lock, .session = session, .token = token};
    world->counts.grants++;
}

void oracle_released(struct net_world *world, uint64_t session, uint64_t token)
{
    struct oracle *oracle = &world->oracle;
    size_t kept = 0;
    for (size_t i = 0; i < oracle->holders_count; i++) {
        struct net_holder holder = oracle->holders[i];
        if (holder.session != session || (token != 0 && holder.token != token)) {
            oracle->holders[kept++] = holder;
        }
    }
    oracle->holders_count = kept;
}
