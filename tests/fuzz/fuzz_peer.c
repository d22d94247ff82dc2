/*
 * A node of a cluster under whatever a peer sends. The input is a byte that says how the node
 * begins, then again and again: u8 action, u8 argument; actions from 200 on deliver a message: u16
 * size and its bytes. Lower ones let time pass, finish writes, submit, ask for changes.
 *
 * A decoded message encodes to the same bytes; consensus takes or drops it; nothing crashes, and
 * every output is of a node that could have made it.
 */
#include "broker/journal/consensus.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define ACTIONS_MAX 400
#define SELF        1

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the node has asked for and not yet been told of. */
struct world {
    struct consensus *consensus;
    uint64_t now, written, written_term, applied, last;
    bool installing;
    struct consensus_snapshot install;
};

static void check_append(struct world *world, const struct consensus_output *output)
{
    STEWARD_ASSERT(output->entries_count > 0 && output->index > world->applied);
    STEWARD_ASSERT(output->index <= world->last + 1);
    world->last = world->written = output->index + output->entries_count - 1;
    world->written_term = output->entries[output->entries_count - 1].term;
}

static void on_output(void *context, const struct consensus_output *output)
{
    struct world *world = context;
    switch (output->type) {
    case CONSENSUS_APPEND: check_append(world, output); break;
    case CONSENSUS_LOG_RESET: world->last = output->index - 1; break;
    case CONSENSUS_INSTALL:
        STEWARD_ASSERT(!world->installing && output->snapshot->index > world->applied);
        world->installing = true;
        world->install = *output->snapshot;
        break;
    case CONSENSUS_APPLY:
        STEWARD_ASSERT(!world->installing && output->index > world->applied);
        STEWARD_ASSERT(output->index <= world->last);
        world->applied = output->index;
        break;
    case CONSENSUS_SEND:
        STEWARD_ASSERT(output->message->from == SELF && output->message->to != SELF);
        break;
    default: break;
    }
}

static void begin(struct world *world, uint8_t how)
{
    struct consensus_options options = {.id = SELF,
                                        .seed = how,
                                        .election_ms = 300,
                                        .heartbeat_ms = 50,
                                        .install_ms = 1000,
                                        .inflight_max = 8,
                                        .emit = on_output,
                                        .context = world};
    struct consensus_change change = {.index = 1};
    struct consensus_run run = {.last = how % 16 + 1, .term = how % 3 + 1};
    struct consensus_disk disk = {.term = 3,
                                  .first = 1,
                                  .runs = &run,
                                  .runs_count = 1,
                                  .changes = &change,
                                  .changes_count = 1};
    for (uint64_t id = 1; id <= how % 4u; id++)
        members_set(&change.members, id, id == 3 ? MEMBER_SPARE : MEMBER_VOTER);
    if (how & 0x40) {
        disk.snapshot = (struct consensus_snapshot){
            .index = run.last, .term = run.term, .members_index = 1, .members = change.members};
        disk.first = run.last + 1;
        disk.runs_count = disk.changes_count = 0;
        world->applied = run.last;
    }
    if (how % 4 == 0)
        disk = (struct consensus_disk){0}; /* a new node */
    world->applied = disk.snapshot.index;
    world->last = disk.term > 0 ? run.last : 0;
    world->now = 1000;
    world->consensus = consensus_new(&options);
    STEWARD_ASSERT(consensus_start(world->consensus, world->now, &disk) == NULL);
}

static void finish_writes(struct world *world)
{
    if (world->written > 0)
        consensus_persisted(world->consensus, world->now, world->written, world->written_term);
    if (world->installing) {
        world->installing = false;
        world->applied = world->install.index;
        consensus_installed(world->consensus, world->now);
    }
}

static void act(struct world *world, uint8_t action, uint8_t argument)
{
    struct consensus *c = world->consensus;
    uint64_t index;
    switch (action % 8) {
    case 0: world->now += argument * 4u; break;
    case 1:
        world->now = consensus_deadline(c) > world->now ? consensus_deadline(c) : world->now;
        break;
    case 2:
    case 3: finish_writes(world); return;
    case 4: consensus_submit(c, world->now, slice_of(&argument, 1), &index); return;
    case 5: consensus_transfer(c, world->now, argument % 5u); return;
    case 6:
        if (argument & 0x40)
            consensus_add(c, world->now, argument % 5u);
        else if (argument & 0x20)
            consensus_remove(c, world->now, argument % 5u);
        else
            consensus_promote(c, world->now, argument % 5u);
        return;
    default:
        if (world->applied >= consensus_first(c) && !world->installing)
            consensus_snapshotted(c, world->now, world->applied, argument % 4u);
        return;
    }
    consensus_tick(c, world->now);
}

static void deliver(struct world *world, struct slice bytes)
{
    struct peer_message message;
    struct buf again = {0};
    if (!peer_decode(bytes, &message))
        return;
    peer_encode(&message, &again);
    STEWARD_ASSERT(slice_equal(bytes, buf_view(&again)));
    buf_fini(&again);
    consensus_receive(world->consensus, world->now, &message);
    peer_fini(&message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {0};
    struct reader in;
    reader_init(&in, slice_of(data, size));
    begin(&world, reader_u8(&in));
    for (int i = 0; i < ACTIONS_MAX && !in.failed && in.at != in.end; i++) {
        uint8_t action = reader_u8(&in);
        if (action < 200) {
            act(&world, action, reader_u8(&in));
            continue;
        }
        struct slice bytes = reader_raw(&in, reader_u16(&in));
        if (!in.failed)
            deliver(&world, bytes);
    }
    consensus_destroy(&world.consensus);
    return 0;
}
