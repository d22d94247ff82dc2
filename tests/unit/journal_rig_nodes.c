/* A few durable journals and a network between them. See journal_rig_nodes.h. */
#include "tests/unit/journal_rig_nodes.h"

#include "common/base/alloc.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

/* ---- the network ---- */

static void on_send(void *context, uint64_t to, struct slice bytes)
{
    struct trio_node *node = context;
    struct trio *trio = node->trio;
    if (trio->count == trio->capacity) {
        trio->capacity = trio->capacity ? trio->capacity * 2 : 64;
        trio->packets = mem_realloc(trio->packets, trio->capacity, sizeof *trio->packets);
    }
    struct trio_packet *packet = &trio->packets[trio->count++];
    *packet = (struct trio_packet){.from = node->id, .to = to};
    buf_add(&packet->bytes, bytes.data, bytes.size);
    trio->sent++;
    trio->largest = bytes.size > trio->largest ? bytes.size : trio->largest;
    trio->sent_bytes += bytes.size;
    trio->kinds[bytes.data[0]]++;
    trio->nodes[to].bytes += bytes.size;
}

static void deliver(struct trio *trio)
{
    struct trio_packet *packets = trio->packets;
    size_t count = trio->count;
    trio->packets = NULL;
    trio->count = trio->capacity = 0;
    for (size_t i = 0; i < count; i++) {
        struct trio_packet *packet = &packets[i];
        struct trio_node *to = packet->to < TRIO_NODES ? &trio->nodes[packet->to] : NULL;
        bool lost = trio->loss && trio->loss(trio, packet);
        if (to && to->journal && !lost && !trio->cut[packet->from][packet->to]) {
            journal_raft_receive(to->journal, trio->now_ms, packet->from, buf_view(&packet->bytes));
        }
        buf_fini(&packet->bytes);
    }
    free(packets);
}

void trio_isolate(struct trio *trio, uint64_t id, bool isolated)
{
    for (size_t i = 0; i < TRIO_NODES; i++) {
        trio->cut[i][id] = trio->cut[id][i] = isolated;
    }
}

/* ---- nodes ---- */

static void on_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct trio_node *node = context;
    struct trio *trio = node->trio;
    (void)now_ms;
    node->handed++;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        if (effect->kind == EFFECT_SESSION_OPENED) {
            trio->session = effect->session;
        } else if (effect->kind == EFFECT_REPLY && effect->session == trio->session) {
            *(effect->code == 0 ? &trio->replies : &trio->refused) += effect->count;
        }
    }
}

static struct trio *current;

/* The disk's functions get the disk: these find the node that has it. */
static struct trio_node *node_of(void *disk)
{
    size_t i = 0;
    while (i < TRIO_NODES - 1 && current->nodes[i].disk != disk) {
        i++;
    }
    return &current->nodes[i];
}

static bool disk_is_busy(void *context)
{
    return node_of(context)->busy;
}

static int disk_open(void *context, const char *path, int how)
{
    if (node_of(context)->no_room && (how & LOG_OPEN_CREATE) && strstr(path, "/snapshot/")) {
        return -ENOSPC;
    }
    int file = disk_io(context)->open(context, path, how);
    if (file >= 0 && (how & LOG_OPEN_CREATE) && strstr(path, "/snapshot/")) {
        node_of(context)->snapshot = file;
    }
    return file;
}

static int64_t disk_write(void *context, int file, const void *data, size_t size, uint64_t offset)
{
    const struct trio_node *node = node_of(context);
    return node->full && node->snapshot == file
               ? -ENOSPC
               : disk_io(context)->write(context, file, data, size, offset);
}

bool trio_open(struct trio *trio, uint64_t id, bool join)
{
    struct trio_node *node = &trio->nodes[id];
    current = trio;
    node->trio = trio;
    node->id = id;
    node->disk = node->disk ? node->disk : disk_new(id);
    node->io = *disk_io(node->disk);
    node->io.busy = disk_is_busy;
    node->io.open = disk_open;
    node->io.write = disk_write;
    node->snapshot = 0;
    node->core = core_new();
    node->handed = 0;
    node->lives++;
    struct journal_raft_options options = {.directory = "data",
                                           .core = node->core,
                                           .bootstrap = {.hash_key = 1, .incarnation = 2},
                                           .body_max = 1000,
                                           .now_ms = trio->now_ms,
                                           .applied = on_applied,
                                           .context = node,
                                           .node = id,
                                           .founders = join ? NULL : &trio->founders,
                                           .join = join,
                                           .send = on_send,
                                           .seed = (uint32_t)(id * 77 + node->lives),
                                           .snapshot_bytes = trio->snapshot_bytes,
                                           .io = &node->io,
                                           .segment_bytes = TRIO_SEGMENT,
                                           .part_bytes = trio->part_bytes,
                                           .no_threads = true,
                                           .format = node->format};
    node->journal = journal_raft_open(&options, &node->error);
    if (node->journal == NULL) {
        core_destroy(&node->core);
    }
    return node->journal != NULL;
}

void trio_init(struct trio *trio, size_t nodes)
{
    *trio = (struct trio){.now_ms = 1000, .snapshot_bytes = TRIO_SNAPSHOT};
    trio_found(trio, nodes);
}

void trio_found(struct trio *trio, size_t nodes)
{
    for (uint64_t id = 1; id <= nodes; id++) {
        members_set(&trio->founders, id, MEMBER_VOTER);
    }
    for (uint64_t id = 1; id <= nodes; id++) {
        ck_assert(trio_open(trio, id, false));
    }
}

void trio_crash(struct trio *trio, uint64_t id, bool lose)
{
    struct trio_node *node = &trio->nodes[id];
    journal_raft_abandon(&node->journal);
    core_destroy(&node->core);
    if (lose) {
        disk_crash(node->disk);
    }
}

void trio_close(struct trio *trio, uint64_t id)
{
    struct trio_node *node = &trio->nodes[id];
    journal_destroy(&node->journal);
    core_destroy(&node->core);
}

void trio_fini(struct trio *trio)
{
    for (uint64_t id = 0; id < TRIO_NODES; id++) {
        journal_raft_abandon(&trio->nodes[id].journal);
        core_destroy(&trio->nodes[id].core);
        if (trio->nodes[id].disk) {
            disk_free(&trio->nodes[id].disk);
        }
    }
    for (size_t i = 0; i < trio->count; i++) {
        buf_fini(&trio->packets[i].bytes);
    }
    free(trio->packets);
}

/* ---- time ---- */

static void turn(struct trio *trio, struct trio_node *node)
{
    struct command tick = {.kind = COMMAND_TICK};
    journal_process(node->journal, trio->now_ms);
    if (journal_ready(node->journal) && core_deadline(node->core) <= trio->now_ms &&
        !journal_ticking(node->journal)) {
        journal_submit(node->journal, trio->now_ms, &tick);
    }
    if (journal_deadline(node->journal) <= trio->now_ms) {
        journal_tick(node->journal, trio->now_ms);
    }
    journal_flush(node->journal, trio->now_ms);
}

void trio_step(struct trio *trio)
{
    trio->now_ms += TRIO_STEP_MS;
    deliver(trio);
    for (uint64_t id = 1; id < TRIO_NODES; id++) {
        struct trio_node *node = &trio->nodes[id];
        if (node->journal && journal_failure(node->journal) == NULL) {
            turn(trio, node);
        }
    }
}

void trio_run(struct trio *trio, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        trio_step(trio);
    }
}

struct trio_node *trio_leader(struct trio *trio)
{
    for (uint64_t id = 1; id < TRIO_NODES; id++) {
        struct trio_node *node = &trio->nodes[id];
        if (node->journal && journal_ready(node->journal)) {
            return node;
        }
    }
    return NULL;
}

struct trio_node *trio_elect(struct trio *trio)
{
    for (unsigned i = 0; i < TRIO_PATIENCE && trio_leader(trio) == NULL; i++) {
        trio_step(trio);
    }
    ck_assert_ptr_nonnull(trio_leader(trio));
    return trio_leader(trio);
}

/* ---- the client ---- */

static void hello(struct trio *trio, struct trio_node *node)
{
    struct command open = {.kind = COMMAND_SESSION_OPEN,
                           .open = {.ttl_ms = 3600000, .grace_ms = 3600000}};
    journal_submit(node->journal, trio->now_ms, &open);
    for (unsigned i = 0; i < TRIO_PATIENCE && trio->session == 0; i++) {
        trio_step(trio);
    }
    ck_assert_uint_gt(trio->session, 0);
}

void trio_put_one(struct trio *trio, struct trio_node *node)
{
    uint8_t body[TRIO_BODY];
    struct slice bodies = slice_of(body, sizeof body);
    struct session_info info;
    ck_assert(core_session(node->core, trio->session, &info));
    if (trio->term != trio_status(trio, node->id).term) {
        trio->term = trio_status(trio, node->id).term;
        trio->request = info.highest_request; /* what was on its way is not asked for again */
    }
    memset(body, (int)trio->request, sizeof body);
    struct command put = {
        .kind = COMMAND_PUT, .session = trio->session, .request = ++trio->request};
    put.put = (struct cmd_put){.queue = slice_str("q"), .bodies = &bodies, .count = 1};
    journal_submit(node->journal, trio->now_ms, &put);
}

void trio_put(struct trio *trio, size_t count)
{
    struct trio_node *node = trio_elect(trio);
    if (trio->session == 0) {
        hello(trio, node);
    }
    ck_assert_ptr_eq(trio_leader(trio), node);
    struct session_info info;
    ck_assert(core_session(node->core, trio->session, &info));
    trio->request = info.highest_request;
    size_t wanted = trio->replies + count;
    for (size_t i = 0; i < count; i++) {
        trio_put_one(trio, node);
        if (i % 5 == 4) {
            trio_step(trio);
        }
    }
    for (unsigned i = 0; i < TRIO_PATIENCE && trio->replies < wanted; i++) {
        trio_step(trio);
    }
    ck_assert_uint_ge(trio->replies, wanted);
    ck_assert_uint_eq(trio->refused, 0);
}

void trio_put_large(struct trio *trio, size_t count)
{
    trio_put(trio, 1);
    for (size_t i = 0; i < count; i++) {
        size_t wanted = trio->replies + 150;
        for (int k = 0; k < 150; k++) {
            trio_put_one(trio, trio_leader(trio));
        }
        for (unsigned k = 0; k < TRIO_PATIENCE && trio->replies < wanted; k++) {
            trio_step(trio);
        }
        ck_assert_uint_ge(trio->replies, wanted);
    }
}

/* ---- judgement ---- */

struct raft_status trio_status(struct trio *trio, uint64_t id)
{
    struct raft_status status;
    journal_raft_status(trio->nodes[id].journal, &status);
    return status;
}

/* Everybody who is up has applied as much as the leader. */
static bool settled(struct trio *trio)
{
    struct trio_node *leader = trio_leader(trio);
    if (leader == NULL || journal_backlog(leader->journal) > 0) {
        return false;
    }
    uint64_t applied = journal_raft_mark(leader->journal).index;
    for (uint64_t id = 1; id < TRIO_NODES; id++) {
        if (trio->nodes[id].journal &&
            journal_raft_mark(trio->nodes[id].journal).index != applied) {
            return false;
        }
    }
    return applied == trio_status(trio, leader->id).last;
}

void trio_settle_but(struct trio *trio, uint64_t id)
{
    struct journal *behind = trio->nodes[id].journal;
    for (unsigned i = 0; i < TRIO_PATIENCE; i++) {
        trio->nodes[id].journal = NULL;
        bool done = settled(trio);
        trio->nodes[id].journal = behind;
        if (done) {
            return;
        }
        trio_step(trio);
    }
    ck_abort_msg("a node stays behind");
}

void trio_settle(struct trio *trio)
{
    for (unsigned i = 0; i < TRIO_PATIENCE && !settled(trio); i++) {
        trio_step(trio);
    }
    ck_assert(settled(trio));
    struct trio_node *leader = trio_leader(trio);
    struct buf expected = {0}, found = {0};
    core_snapshot(leader->core, &expected);
    for (uint64_t id = 1; id < TRIO_NODES; id++) {
        struct trio_node *node = &trio->nodes[id];
        if (node->journal == NULL) {
            continue;
        }
        ck_assert_ptr_null(journal_failure(node->journal));
        ck_assert_uint_eq(journal_raft_mark(node->journal).hash,
                          journal_raft_mark(leader->journal).hash);
        core_check(node->core);
        buf_clear(&found);
        core_snapshot(node->core, &found);
        ck_assert(slice_equal(buf_view(&expected), buf_view(&found)));
    }
    buf_fini(&expected);
    buf_fini(&found);
}

size_t trio_messages(struct trio *trio, uint64_t id)
{
    /* Bodies are all alike in size, and little else is in these states. */
    return core_bytes(trio->nodes[id].core) / TRIO_BODY;
}
