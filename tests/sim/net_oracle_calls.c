/* Simulation A2, the oracle: what programs are told, and what is true at the end. See net.h. */
#include "tests/sim/net.h"

typedef unsigned long long ull;

/* Nothing was done, for sure? Time-outs may be the library's own: then nobody knows. */
static bool refused(int code)
{
    return code != 0 && code != STW_ESESSION && code != STW_ETIMEOUT;
}

static void put_outcome(struct net_world *world, uint64_t id, int code)
{
    struct net_item *item = &world->oracle.items[id - 1];
    if (code == 0 && item->confirmed != 1) {
        net_fail(world, "the put of item %llu was confirmed, and the manager does not have it",
                 (ull)id);
    }
    if (refused(code) && item->confirmed) {
        net_fail(world, "the put of item %llu was refused (%d), and the manager has it", (ull)id,
                 code);
    }
    item->outcome = code == 0 ? ITEM_DONE : refused(code) ? ITEM_REFUSED : ITEM_UNKNOWN;
}

void oracle_outcome(struct net_world *world, const struct call *call, int code)
{
    struct net_counts *counts = &world->counts;
    counts->done += code == 0;
    counts->refused += refused(code);
    counts->unknown += code != 0 && !refused(code);
    for (uint64_t i = 0; i < call->items; i++) {
        put_outcome(world, call->item + i, code);
    }
    if (code == STW_EREUSED || code == STW_EPROTO || code == STW_EINVAL || code == STW_EINTERNAL) {
        net_fail(world, "a call of client %d ended with %d: op %u", call->client->slot, code,
                 call->op);
    }
    if (call->op == WIRE_CONSUME && code != 0 && code != STW_ESESSION) {
        net_fail(world, "a consumer was refused: %d", code);
    }
    if (call->lock >= 0 && code == 0 && call->number > world->oracle.token) {
        net_fail(world, "a grant with token %llu, which was never given out", (ull)call->number);
    }
}

uint64_t oracle_handed(struct net_world *world, uint64_t id, const struct item *item)
{
    struct net_session *session = oracle_session(world, id);
    if (session == NULL || item->tag == 0 || item->tag > session->leases_count) {
        net_fail(world, "a program got tag %llu of session %llu, which was never delivered",
                 (ull)item->tag, (ull)id);
    }
    struct net_lease *lease = &session->leases[item->tag - 1];
    if (lease->handed) {
        net_fail(world, "a program got item %llu twice in one lease: session %llu, tag %llu",
                 (ull)lease->item, (ull)id, (ull)item->tag);
    }
    lease->handed = true;
    struct buf body = {0};
    oracle_body(world, lease->item, &body);
    bool same = slice_equal(buf_view(&body), slice_of(item->data, item->size));
    buf_fini(&body);
    if (!same || lease->token != item->token) {
        net_fail(world, "session %llu: tag %llu reached the program as something else", (ull)id,
                 (ull)item->tag);
    }
    return lease->item;
}

uint64_t oracle_left(const struct net_world *world, uint32_t queues)
{
    uint64_t left = 0;
    for (size_t i = 0; i < world->oracle.items_count; i++) {
        const struct net_item *item = &world->oracle.items[i];
        /* what is tried too often goes to the dead-letter queue */
        bool here = (queues >> item->queue & 1) && item->queue != NET_QUEUES - 1;
        left += here && item->confirmed && !item->acked && !item->strayed;
    }
    return left;
}

uint64_t oracle_unseen(const struct net_world *world, uint64_t id)
{
    uint64_t unseen = 0;
    for (size_t i = world->oracle.sessions_count; i-- > 0;) {
        const struct net_session *session = &world->oracle.sessions[i];
        bool its = session->id == id && session->alive;
        for (size_t n = 0; its && n < session->requests_count; n++) {
            unseen += session->requests[n].answered && !session->requests[n].seen;
        }
    }
    return unseen;
}

void oracle_end(struct net_world *world)
{
    for (size_t i = 0; i < world->oracle.items_count; i++) {
        const struct net_item *item = &world->oracle.items[i];
        if (item->confirmed && !item->acked) {
            net_fail(world, "item %zu is lost: confirmed, delivered %llu times, never acked", i + 1,
                     (ull)item->delivered);
        }
    }
    if (world->oracle.holders_count > 0) {
        net_fail(world, "%zu grants are left at the end", world->oracle.holders_count);
    }
}
