/*
 * Simulation A2: gateway, core and client connections over a simulated network. See net.h.
 *
 *     sim_network [--seeds N] [--from SEED] [--jobs N]    run N seeds; some twice, to compare
 *     sim_network --seed S                                replay one, showing everything
 *     sim_network --canaries [...]                        find each deliberate bug
 *
 * Exit status: 0 nothing found (with --canaries: all found), 1 otherwise, 2 usage.
 * docs/simulation.md says how to read a failure. Here: the one manager, with a memory journal.
 */
#include "tests/sim/net_campaign.h"

#include "broker/core/canary.h"
#include "common/base/alloc.h"
#include "common/wire/canary.h"

#include <stdlib.h>

/* milliseconds: the manager's loop turns at least so often, as the real one does */
#define TURN_MS 500

struct single {
    struct net_manager manager; /* first */
    uint64_t stopped_ms;        /* until then */
    uint64_t turns;
};

static void applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct net_manager *manager = context;
    if (manager->gateway) {
        oracle_effects(manager->world, effects);
        gateway_effects(manager->gateway, now_ms, effects);
    }
}

static void submit(void *context, const struct command *command)
{
    struct net_manager *manager = context;
    manager->world->oracle.now_ms = manager->now_ms;
    oracle_command(manager->world, command);
    manager->world->counts.resumed += command->kind == COMMAND_SESSION_RESUME;
    journal_submit(manager->journal, manager->now_ms, command);
}

static void single_open(struct net_world *world)
{
    struct single *single = mem_zalloc(1, sizeof *single);
    struct net_manager *manager = &single->manager;
    *manager = (struct net_manager){
        .world = world, .node = 1, .now_ms = world->now_ms, .turned_ms = world->now_ms};
    world->managed = single;
    memcpy(world->endpoints, "sim://1", sizeof "sim://1");
    manager->core = core_new();
    manager->journal = journal_memory_new(manager->core, applied, manager);
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap.hash_key = rng_next(&world->rng);
    command.bootstrap.incarnation = rng_next(&world->rng) | 1;
    journal_submit(manager->journal, manager->now_ms, &command);
    for (uint64_t step = 0; manager_setup(step, 1, &command); step++) {
        journal_submit(manager->journal, manager->now_ms, &command);
    }
    manager->gateway = manager_gateway(manager, (struct gateway_host){.submit = submit});
    gateway_lead(manager->gateway, manager->now_ms);
}

static void single_close(struct net_world *world)
{
    struct single *single = world->managed;
    struct buf snapshot = {0};
    core_snapshot(single->manager.core, &snapshot);
    world->hash = net_hash(world->hash, snapshot.data, snapshot.size);
    buf_fini(&snapshot);
    gateway_destroy(&single->manager.gateway);
    journal_destroy(&single->manager.journal);
    core_destroy(&single->manager.core);
    free(single);
}

static void turn_gap(struct net_manager *manager)
{
    uint64_t gap_ms = manager_gap(manager);
    if (gap_ms > 0) {
        struct command command = {.kind = COMMAND_CLOCK_GAP, .gap_ms = gap_ms};
        submit(manager, &command);
        gateway_gap(manager->gateway, manager->now_ms, gap_ms);
    }
}

static void single_step(struct net_world *world)
{
    struct single *single = world->managed;
    struct net_manager *manager = &single->manager;
    manager->now_ms = world->now_ms;
    turn_gap(manager);
    manager_receive(manager);
    if (core_deadline(manager->core) <= manager->now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        submit(manager, &command);
    }
    if (gateway_deadline(manager->gateway) <= manager->now_ms) {
        gateway_tick(manager->gateway, manager->now_ms);
    }
    journal_flush(manager->journal, manager->now_ms);
    gateway_flush(manager->gateway, manager->now_ms);
    if (++single->turns % 64 == 0) {
        core_check(manager->core);
    }
}

static uint64_t single_next(const struct net_world *world)
{
    const struct single *single = world->managed;
    const struct net_manager *manager = &single->manager;
    if (single->stopped_ms > world->now_ms) {
        return single->stopped_ms;
    }
    uint64_t next = net_less(core_deadline(manager->core), gateway_deadline(manager->gateway));
    next = net_less(next, manager_arrival(manager));
    return net_less(next, manager->turned_ms + TURN_MS);
}

static void single_stop(struct net_world *world, uint64_t for_ms)
{
    struct single *single = world->managed;
    single->stopped_ms = world->now_ms + for_ms;
}

static void single_heal(struct net_world *world)
{
    struct single *single = world->managed;
    single->stopped_ms = 0;
}

static void single_check(struct net_world *world)
{
    const struct single *single = world->managed;
    core_check(single->manager.core);
}

/* It takes connections even while it is stopped: the kernel does. */
static bool single_up(const struct net_world *world, int node)
{
    (void)world;
    return node == 1;
}

static const struct net_managers managers = {.program = "sim_network",
                                             .open = single_open,
                                             .close = single_close,
                                             .step = single_step,
                                             .next = single_next,
                                             .stop = single_stop,
                                             .heal = single_heal,
                                             .check = single_check,
                                             .up = single_up};

#ifdef STEWARD_CANARIES
int core_canary, net_canary;

#define NET_BUG(name, text)  {text, &net_canary, NET_CANARY_##name},
#define CORE_BUG(name, text) {text, &core_canary, CANARY_##name},

/* Of the core's only those that show from outside, too. */
static bool shows(const struct net_bug *bug)
{
    static const int outside[] = {
        CANARY_STALE_ACK,    CANARY_DEAD_WAITER,       CANARY_TOKEN_REUSED, CANARY_RESEND_APPLIED,
        CANARY_CANCELED_PUT, CANARY_ANSWER_NOT_STORED, CANARY_LEASE_KEPT};
    bool nodes = bug->value == NET_CANARY_LEAD_SHORT || bug->value == NET_CANARY_SEEN_EARLY;
    bool found = bug->place == &net_canary && !nodes; /* these need several of them */
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        found |= bug->place == &core_canary && bug->value == outside[i];
    }
    return found;
}

static size_t collect(struct net_bug *out)
{
    static const struct net_bug all[] = {NET_CANARY_TABLE(NET_BUG) CANARY_TABLE(CORE_BUG)};
    size_t count = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (shows(&all[i])) {
            out[count++] = all[i];
        }
    }
    return count;
}
#endif

int main(int argc, char **argv)
{
    struct net_program program = {.title = "simulation A2", .managers = &managers};
#ifdef STEWARD_CANARIES
    static struct net_bug bugs[CANARY_END + (int)NET_CANARY_END];
    program.bugs = bugs;
    program.bugs_count = program.bugs_hunted = collect(bugs);
#endif
    return net_main(&program, argc, argv);
}
