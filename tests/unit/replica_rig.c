/* A replica on a disk in memory. See replica_rig.h. */
#include "tests/unit/replica_rig.h"

#include "broker/journal/entry.h"
#include "broker/journal/peer_message.h"
#include "broker/journal/state_hash.h"
#include "common/base/alloc.h"

#include <check.h>
#include <stdlib.h>

/* ---- life ---- */

/* How many commands an entry holds. */
static size_t count_commands(struct slice payload)
{
    struct entry_reader entry;
    struct command_arena arena = {0};
    struct command command;
    uint64_t now_ms;
    size_t count = 0;
    entry_begin(&entry, payload, entry_format);
    while (entry_next(&entry, &arena, &now_ms, &command)) {
        count++;
    }
    ck_assert(entry_whole(&entry));
    command_arena_fini(&arena);
    return count;
}

static uint64_t append(void *context, const struct log_item *item)
{
    struct node *node = context;
    uint64_t sequence = log_append(node->log, item);
    if (item->type == LOG_ENTRY && item->tag == ENTRY_COMMAND) {
        size_t before = node->sent_count ? node->sent[node->sent_count - 1].commands : 0;
        node->sent = mem_realloc(node->sent, node->sent_count + 1, sizeof *node->sent);
        node->sent[node->sent_count++] =
            (struct sent){sequence, before + count_commands(item->payload)};
    }
    return sequence;
}

static bool read_entry(void *context, uint64_t index, struct log_item *out)
{
    struct node *node = context;
    return log_read(node->log, index, out);
}

static void note_session(struct node *node, const struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        if (effect->kind == EFFECT_SESSION_OPENED && effect->reference < NODE_SESSIONS) {
            node->sessions[effect->reference] = effect->session;
            node->requests[effect->reference] = 0;
        }
        for (size_t j = 0; effect->kind == EFFECT_SESSION_ENDED && j < NODE_SESSIONS; j++) {
            node->sessions[j] = node->sessions[j] == effect->session ? 0 : node->sessions[j];
        }
    }
}

static void applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct node *node = context;
    struct buf scratch = {0};
    size_t entry = 0;
    while (entry < node->sent_count && node->sent[entry].commands <= node->handed) {
        entry++;
    }
    node->early = node->early || entry == node->sent_count ||
                  node->sent[entry].sequence > log_durable(node->log);
    if (node->handed++ > 0) { /* the first one is the leader's own */
        ck_assert_uint_lt(node->answered, node->said_count);
        struct said *said = &node->said[node->answered++];
        ck_assert_uint_eq(said->now_ms, now_ms);
        said->effects = state_hash_effects(0, effects, &scratch);
        said->confirmed = true;
    }
    note_session(node, effects);
    buf_fini(&scratch);
}

static void recovered(void *context, const struct log_item *item)
{
    struct node *node = context;
    replica_recover(node->replica, item);
}

void node_init(struct node *node, struct disk *disk, uint64_t seed)
{
    *node = (struct node){.disk = disk, .now_ms = 1000, .random = seed * 2 + 1};
}

bool node_open(struct node *node)
{
    struct log_error error;
    struct replica_options replica = {
        .node = 1,
        .core = core_new(),
        .bootstrap = {.hash_key = 5, .incarnation = 6},
        .host = {.context = node, .append = append, .read = read_entry, .applied = applied}};
    struct log_options log = {.directory = "data",
                              .segment_bytes = NODE_SEGMENT,
                              .recovered = recovered,
                              .context = node,
                              .io = disk_io(node->disk),
                              .no_threads = true};
    node->core = replica.core;
    node->replica = replica_new(&replica);
    node->sent_count = node->handed = 0;
    node->log = log_open(&log, &error);
    if (node->log == NULL) {
        return false;
    }
    struct members alone = {0};
    members_set(&alone, 1, MEMBER_VOTER);
    struct replica_disk disk = {.last = log_last_index(node->log),
                                .payload_max = log_payload_max(node->log),
                                .founders = &alone};
    log_vote(node->log, &disk.term, &disk.vote);
    replica_start(node->replica, node->now_ms, &disk);
    ck_assert_ptr_null(replica_failure(node->replica));
    return true;
}

bool node_turn(struct node *node)
{
    replica_flush(node->replica, node->now_ms);
    log_flush(node->log, node->now_ms);
    if (!log_process(node->log, node->now_ms)) {
        return false;
    }
    replica_durable(node->replica, node->now_ms, log_durable(node->log));
    replica_apply(node->replica, node->now_ms);
    ck_assert_ptr_null(replica_failure(node->replica));
    return true;
}

bool node_lead(struct node *node)
{
    while (!replica_ready(node->replica)) {
        if (!node_turn(node)) {
            return false;
        }
    }
    struct session_info info;
    for (size_t i = 0; i < NODE_SESSIONS; i++) {
        if (core_session(node->core, node->sessions[i], &info)) {
            node->requests[i] = info.highest_request;
        } else {
            node->sessions[i] = 0;
        }
    }
    return true;
}

void node_stop(struct node *node)
{
    log_abandon(&node->log);
    replica_destroy(&node->replica);
    core_destroy(&node->core);
}

static void forget(struct node *node, size_t keep)
{
    while (node->said_count > keep) {
        buf_fini(&node->said[--node->said_count].bytes);
    }
    node->answered = keep;
}

void node_fini(struct node *node)
{
    node_stop(node);
    forget(node, 0);
    free(node->said);
    free(node->sent);
}

/* ---- commands ---- */

uint32_t node_random(struct node *node, uint32_t below)
{
    node->random = node->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((node->random >> 33) % below);
}

void node_submit(struct node *node, const struct command *command)
{
    node->said = mem_realloc(node->said, node->said_count + 1, sizeof *node->said);
    struct said *said = &node->said[node->said_count++];
    *said = (struct said){.now_ms = node->now_ms};
    command_encode(&said->bytes, command);
    replica_submit(node->replica, node->now_ms, command);
}

static struct slice name_of(struct node *node)
{
    static const char *const names[] = {"a", "b", "c"};
    return slice_str(names[node_random(node, 3)]);
}

static void say_put(struct node *node, struct command *command)
{
    static uint8_t body[100000];
    uint32_t size = node_random(node, 20) ? node_random(node, 300) : node_random(node, 100000);
    memset(body, (int)command->request, size);
    struct slice bodies = slice_of(body, size);
    command->kind = COMMAND_PUT;
    command->put =
        (struct cmd_put){.queue = name_of(node), .bodies = &bodies, .count = 1, .timeout_ms = 100};
    node_submit(node, command);
}

static void say_get(struct node *node, struct command *command)
{
    struct slice queue = name_of(node);
    command->kind = COMMAND_GET;
    command->get = (struct cmd_get){.queues = &queue,
                                    .queues_count = 1,
                                    .max = 1 + node_random(node, 4),
                                    .timeout_ms = node_random(node, 2) * 500,
                                    .lease_ms = 200 + node_random(node, 500)};
    node_submit(node, command);
}

static void say_other(struct node *node, struct command *command)
{
    uint32_t what = node_random(node, 3);
    if (what == 0) {
        command->kind = COMMAND_ACK;
        command->settle = (struct cmd_settle){.first_tag = 1 + node_random(node, 40), .count = 1};
    } else if (what == 1) {
        command->kind = COMMAND_ACQUIRE;
        command->acquire = (struct cmd_acquire){
            .name = name_of(node), .owner = 1, .timeout_ms = 300, .lease_ms = 400, .permits = 1};
    } else {
        command->kind = COMMAND_UNLOCK;
        command->unlock = (struct cmd_unlock){
            .name = name_of(node), .owner = 1, .token = 1 + node_random(node, 20)};
    }
    node_submit(node, command);
}

static void say_open(struct node *node)
{
    struct command command = {
        .kind = COMMAND_SESSION_OPEN,
        .open = {.reference = node->opening++ % NODE_SESSIONS, .ttl_ms = 10000, .grace_ms = 2000}};
    node_submit(node, &command);
}

void node_say(struct node *node)
{
    size_t i = node_random(node, NODE_SESSIONS);
    uint32_t what = node_random(node, 10);
    node->now_ms += node_random(node, 30);
    if (node->sessions[i] == 0) {
        say_open(node);
        return;
    }
    if (what == 0) {
        struct command tick = {.kind = COMMAND_TICK};
        node_submit(node, &tick);
        return;
    }
    struct command command = {.session = node->sessions[i], .request = ++node->requests[i]};
    if (what < 5) {
        say_put(node, &command);
    } else if (what < 8) {
        say_get(node, &command);
    } else {
        say_other(node, &command);
    }
}

/* ---- judgement ---- */

struct judge {
    struct node *node;
    struct journal *journal;
    size_t said; /* next one */
    size_t commands;
    uint64_t effects; /* hash of the last command's */
    uint64_t hash;    /* running */
};

static void judge_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct judge *judge = context;
    struct buf scratch = {0};
    (void)now_ms;
    judge->effects = state_hash_effects(0, effects, &scratch);
    judge->hash = state_hash_effects(judge->hash, effects, &scratch);
    buf_fini(&scratch);
}

static void judge_command(struct judge *judge, uint64_t now_ms, const struct command *command)
{
    struct node *node = judge->node;
    journal_submit(judge->journal, now_ms, command);
    ck_assert((command->kind == COMMAND_BOOTSTRAP) == (judge->commands++ == 0));
    if (command->kind == COMMAND_BOOTSTRAP || command->kind == COMMAND_LEADER_START) {
        return;
    }
    ck_assert_uint_lt(judge->said, node->said_count);
    struct said *said = &node->said[judge->said++];
    struct buf bytes = {0};
    command_encode(&bytes, command);
    ck_assert(slice_equal(buf_view(&bytes), buf_view(&said->bytes)));
    ck_assert_uint_eq(now_ms, said->now_ms);
    ck_assert(!said->confirmed || said->effects == judge->effects);
    buf_fini(&bytes);
}

struct core *node_judge(struct node *node)
{
    struct core *core = core_new();
    struct judge judge = {.node = node};
    struct command_arena arena = {0};
    struct log_item item;
    judge.journal = journal_memory_new(core, judge_applied, &judge);
    for (uint64_t index = 1; log_read(node->log, index, &item); index++) {
        struct entry_reader entry;
        struct command command;
        uint64_t now_ms;
        if (item.tag == ENTRY_COMMAND) {
            judge.hash = state_hash_entry(judge.hash, item.payload);
        }
        entry_begin(&entry, item.payload, entry_format);
        while (item.tag == ENTRY_COMMAND && entry_next(&entry, &arena, &now_ms, &command)) {
            judge_command(&judge, now_ms, &command);
        }
    }
    journal_destroy(&judge.journal);
    command_arena_fini(&arena);
    for (size_t i = judge.said; i < node->said_count; i++) {
        ck_assert(!node->said[i].confirmed); /* else something confirmed is lost */
    }
    ck_assert_uint_eq(replica_hash(node->replica), judge.hash);
    forget(node, judge.said);
    return core;
}

bool node_same(const struct core *one, const struct core *other)
{
    struct buf first = {0}, second = {0};
    core_snapshot(one, &first);
    core_snapshot(other, &second);
    bool same = slice_equal(buf_view(&first), buf_view(&second));
    buf_fini(&first);
    buf_fini(&second);
    return same;
}
