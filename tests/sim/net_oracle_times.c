/* Simulation A2, the oracle: what may not end before its time. See net.h. */
#include "tests/sim/net.h"

typedef unsigned long long ull;

void oracle_full_time(struct net_world *world, const struct command *command)
{
    struct oracle *oracle = &world->oracle;
    bool leader = command->kind == COMMAND_LEADER_START;
    if (!leader && command->kind != COMMAND_CLOCK_GAP) {
        return;
    }
    oracle->led_ms = leader ? oracle->now_ms : oracle->led_ms;
    for (size_t i = 0; i < oracle->sessions_count; i++) {
        struct net_session *session = &oracle->sessions[i];
        session->touched &= !leader;
        for (size_t n = 0; session->alive && n < session->leases_count; n++) {
            struct net_lease *lease = &session->leases[n];
            lease->until_ms = oracle->now_ms + lease->lease_ms;
        }
    }
}

void oracle_opened(struct net_world *world, struct net_session *session)
{
    session->touched = true;
    const struct command *command = world->oracle.command;
    if (command->kind == COMMAND_SESSION_OPEN) {
        uint64_t ttl_ms = command->open.ttl_ms, grace_ms = command->open.grace_ms;
        ttl_ms = ttl_ms > LIMIT_SESSION_TTL_MIN_MS ? ttl_ms : LIMIT_SESSION_TTL_MIN_MS;
        session->patience_ms = ttl_ms > grace_ms ? ttl_ms : grace_ms;
    }
}

void oracle_session_end(struct net_world *world, const struct net_session *session)
{
    const struct oracle *oracle = &world->oracle;
    if (!session->touched && oracle->now_ms < oracle->led_ms + session->patience_ms) {
        net_fail(world, "session %llu ends %llu ms after a leader began, and had %llu ms to resume",
                 (ull)session->id, (ull)(oracle->now_ms - oracle->led_ms),
                 (ull)session->patience_ms);
    }
}

void oracle_ran_out(struct net_world *world, const struct net_session *session, uint64_t tag)
{
    if (tag == 0 || tag > session->leases_count || !session->leases[tag - 1].live) {
        return;
    }
    const struct net_lease *lease = &session->leases[tag - 1];
    if (world->oracle.now_ms < lease->until_ms) {
        net_fail(world, "session %llu: the lease of tag %llu ran out %llu ms too early",
                 (ull)session->id, (ull)tag, (ull)(lease->until_ms - world->oracle.now_ms));
    }
}
