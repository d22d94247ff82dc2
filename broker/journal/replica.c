/*
 * The replica. See replica.h.
 *
 * Happy path: submit encodes a command into the newest batch; flush gives the oldest batch that is
 * not in the log yet to consensus, which asks for it to be appended; durable tells consensus, which
 * says up to where all is committed; apply decodes the batch, feeds the core and hands the effects
 * on. Entries that are not batches of ours (those the log held at the start) are read back.
 *
 * Failure modes: what the log holds does not make sense, or consensus says that its state is
 * impossible: `failure` is set, and nothing is done any more.
 */
#include "broker/journal/replica.h"

#include "broker/journal/consensus.h"
#include "broker/journal/entry.h"
#include "broker/journal/state_hash.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* milliseconds: with one voter nobody waits for these; well above a loop's turn */
#define ELECTION_MS  1000
#define HEARTBEAT_MS 250
#define INSTALL_MS   30000

/* count: entries on their way to one node */
#define INFLIGHT_ENTRIES 64

/* count: batches kept for reuse: one gathers, one is written, one is applied */
#define SPARE_BATCHES 3

/* Commands that make one entry. */
struct batch {
    struct batch *next;
    struct buf payload;
    uint64_t index; /* of the entry; 0: not in the log yet */
};

/* An entry that is not known to be durable. */
struct waiting {
    uint64_t sequence, index, term;
};

struct replica {
    struct replica_options options;
    struct consensus *consensus;
    const char *failure;

    /* what was recovered; freed by start */
    struct consensus_run *runs;
    size_t runs_count;
    struct consensus_change *changes;
    size_t changes_count;

    uint64_t last; /* entry in the log */
    struct waiting *waiting;
    size_t waiting_count, waiting_capacity;
    uint64_t commit; /* committed and durable here */
    bool leader, ready;
    uint64_t term;

    struct batch *oldest; /* own batches, not applied yet, in order */
    struct batch *newest; /* the one that gathers, unless it is in the log already */
    struct batch *unsent; /* the first that is not in the log; NULL: none */
    uint64_t on_its_way;  /* index of the last own entry that was appended */
    struct batch *spare;
    size_t spares;
    uint64_t gather_max; /* bytes of a batch, unless one command is larger */
    uint64_t payload_max;
    uint64_t backlog;
    uint64_t ticks; /* submitted and not applied */
    uint64_t submitted_ms;

    uint64_t applied, hash, applied_ms;
    bool bootstrapped;
    bool applying;
    struct effects effects;
    struct command_arena arena;
    struct buf scratch;
};

static void fail(struct replica *replica, const char *text)
{
    replica->failure = replica->failure ? replica->failure : text;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- what consensus asks for ---------------------------------------------------------------- */

static void append_entry(struct replica *replica, uint64_t index, const struct log_entry *entry)
{
    /* One voter: nobody ever cuts what it appended. */
    STEWARD_ASSERT(index == replica->last + 1);
    struct log_item item = {.type = LOG_ENTRY,
                            .tag = entry->type,
                            .term = entry->term,
                            .index = index,
                            .payload = entry->payload};
    if (replica->waiting_count == replica->waiting_capacity) {
        replica->waiting_capacity = replica->waiting_capacity ? replica->waiting_capacity * 2 : 8;
        replica->waiting =
            mem_realloc(replica->waiting, replica->waiting_capacity, sizeof *replica->waiting);
    }
    const struct replica_host *host = &replica->options.host;
    uint64_t sequence = host->append(host->context, &item);
    replica->waiting[replica->waiting_count++] = (struct waiting){sequence, index, entry->term};
    replica->last = index;
}

static void append_vote(struct replica *replica, uint64_t term, uint64_t vote)
{
    struct log_item item = {.type = LOG_VOTE, .term = term, .index = vote};
    replica->options.host.append(replica->options.host.context, &item);
}

static void on_output(void *context, const struct consensus_output *output)
{
    struct replica *replica = context;
    switch (output->type) {
    case CONSENSUS_PERSIST_VOTE:
        /* The log keeps the order, so what follows is not durable before this is. */
        append_vote(replica, output->term, output->vote);
        break;
    case CONSENSUS_APPEND:
        for (size_t i = 0; i < output->entries_count; i++) {
            append_entry(replica, output->index + i, &output->entries[i]);
        }
        break;
    case CONSENSUS_ROLE:
        replica->leader = output->role == CONSENSUS_LEADER;
        replica->term = output->term;
        break;
    case CONSENSUS_APPLY: replica->commit = output->index; break;
    case CONSENSUS_FATAL: fail(replica, output->text); break;
    case CONSENSUS_LOG_RESET:
    case CONSENSUS_INSTALL:
    case CONSENSUS_SEND:
    case CONSENSUS_PROMOTION_FAILED:
        fail(replica, "consensus wants something of other nodes, and there are none");
        break;
    }
}

/* ---- life ----------------------------------------------------------------------------------- */

struct replica *replica_new(const struct replica_options *options)
{
    STEWARD_ASSERT(options->core && options->bootstrap.incarnation != 0);
    STEWARD_ASSERT(options->host.append && options->host.read && options->host.applied);
    struct replica *replica = mem_zalloc(1, sizeof *replica);
    replica->options = *options;
    struct consensus_options consensus = {.id = options->node,
                                          .seed = (uint32_t)options->node,
                                          .election_ms = ELECTION_MS,
                                          .heartbeat_ms = HEARTBEAT_MS,
                                          .install_ms = INSTALL_MS,
                                          .inflight_max = INFLIGHT_ENTRIES,
                                          .emit = on_output,
                                          .context = replica};
    replica->consensus = consensus_new(&consensus);
    return replica;
}

static void batches_free(struct batch *batch)
{
    while (batch) {
        struct batch *next = batch->next;
        buf_fini(&batch->payload);
        free(batch);
        batch = next;
    }
}

void replica_destroy(struct replica **replica)
{
    struct replica *gone = *replica;
    if (gone == NULL) {
        return;
    }
    consensus_destroy(&gone->consensus);
    batches_free(gone->oldest);
    batches_free(gone->spare);
    free(gone->waiting);
    free(gone->runs);
    free(gone->changes);
    effects_fini(&gone->effects);
    command_arena_fini(&gone->arena);
    buf_fini(&gone->scratch);
    free(gone);
    *replica = NULL;
}

static void recover_change(struct replica *replica, const struct log_item *item)
{
    size_t count = replica->changes_count;
    replica->changes = mem_realloc(replica->changes, count + 1, sizeof *replica->changes);
    replica->changes[count].index = item->index;
    if (!members_decode(item->payload, &replica->changes[count].members)) {
        fail(replica, "the log holds a list of nodes that makes no sense");
        return;
    }
    replica->changes_count++;
}

void replica_recover(struct replica *replica, const struct log_item *item)
{
    if (item->type == LOG_VOTE) {
        return;
    }
    if (item->type != LOG_ENTRY || item->index != replica->last + 1) {
        fail(replica, "the log begins late, or was cut: no log of a node on its own");
        return;
    }
    size_t count = replica->runs_count;
    if (count == 0 || replica->runs[count - 1].term != item->term) {
        replica->runs = mem_realloc(replica->runs, count + 1, sizeof *replica->runs);
        replica->runs[replica->runs_count++].term = item->term;
    }
    replica->runs[replica->runs_count - 1].last = item->index;
    replica->last = item->index;
    if (item->tag == ENTRY_CHANGE) {
        recover_change(replica, item);
    }
}

/* A cluster of this node alone: term 1, and entry 1 that says so. */
static void found(struct replica *replica)
{
    struct members members = {0};
    struct buf payload = {0};
    bool set = members_set(&members, replica->options.node, MEMBER_VOTER);
    STEWARD_ASSERT(set);
    members_encode(&members, &payload);
    struct log_item item = {.type = LOG_ENTRY,
                            .tag = ENTRY_CHANGE,
                            .term = 1,
                            .index = 1,
                            .payload = buf_view(&payload)};
    append_vote(replica, 1, 0);
    replica->options.host.append(replica->options.host.context, &item);
    replica_recover(replica, &item);
    buf_fini(&payload);
}

void replica_start(struct replica *replica, uint64_t now_ms, const struct replica_disk *given)
{
    struct consensus_disk disk = {.term = given->term, .vote = given->vote, .first = 1};
    replica->payload_max = given->payload_max;
    replica->gather_max =
        LIMIT_ENTRY_BYTES < given->payload_max ? LIMIT_ENTRY_BYTES : given->payload_max;
    if (replica->last == 0 && disk.term == 0 && replica->failure == NULL) {
        /* What follows is appended behind it, so nothing is durable before it is. */
        found(replica);
        disk.term = 1;
    }
    disk.runs = replica->runs;
    disk.runs_count = replica->runs_count;
    disk.changes = replica->changes;
    disk.changes_count = replica->changes_count;
    if (replica->failure == NULL) {
        const char *why = consensus_start(replica->consensus, now_ms, &disk);
        if (why) {
            fail(replica, why);
        } else if (!members_sole_voter(consensus_members(replica->consensus),
                                       replica->options.node)) {
            fail(replica, "the log belongs to another node, or to one of several");
        }
    }
    free(replica->runs);
    free(replica->changes);
    replica->runs = NULL;
    replica->changes = NULL;
}

/* ---- commands gather ------------------------------------------------------------------------ */

static struct batch *batch_add(struct replica *replica)
{
    struct batch *batch = replica->spare;
    if (batch) {
        replica->spare = batch->next;
        replica->spares--;
    } else {
        batch = mem_zalloc(1, sizeof *batch);
    }
    buf_clear(&batch->payload);
    batch->index = 0;
    batch->next = NULL;
    *(replica->newest ? &replica->newest->next : &replica->oldest) = batch;
    replica->newest = batch;
    replica->unsent = replica->unsent ? replica->unsent : batch;
    return batch;
}

/* The oldest batch is applied. */
static void batch_remove(struct replica *replica)
{
    struct batch *batch = replica->oldest;
    replica->oldest = batch->next;
    replica->newest = replica->oldest ? replica->newest : NULL;
    replica->backlog -= batch->payload.size;
    batch->next = NULL;
    if (replica->spares == SPARE_BATCHES || batch->payload.capacity > 2 * LIMIT_ENTRY_BYTES) {
        batches_free(batch);
        return;
    }
    batch->next = replica->spare;
    replica->spare = batch;
    replica->spares++;
}

static void gather(struct replica *replica, uint64_t now_ms, const struct command *command)
{
    struct batch *batch = replica->unsent ? replica->newest : batch_add(replica);
    size_t before = batch->payload.size;
    replica->submitted_ms = max_u64(now_ms, max_u64(replica->submitted_ms, replica->applied_ms));
    size_t size = entry_add(&batch->payload, replica->submitted_ms, command);
    replica->backlog += size;
    if (before > 0 && batch->payload.size > replica->gather_max) {
        struct batch *next = batch_add(replica);
        entry_move_last(&batch->payload, size, &next->payload);
        replica->backlog += next->payload.size - size;
        batch = next;
    }
    STEWARD_ASSERT(batch->payload.size <= replica->payload_max);
}

void replica_submit(struct replica *replica, uint64_t now_ms, const struct command *command)
{
    STEWARD_ASSERT(!replica->applying);
    if (replica->failure) {
        return;
    }
    STEWARD_ASSERT(replica->ready);
    replica->ticks += command->kind == COMMAND_TICK;
    gather(replica, now_ms, command);
}

void replica_flush(struct replica *replica, uint64_t now_ms)
{
    STEWARD_ASSERT(!replica->applying);
    struct batch *batch = replica->unsent;
    if (replica->failure || batch == NULL || replica->on_its_way > replica->commit) {
        return;
    }
    enum consensus_result result =
        consensus_submit(replica->consensus, now_ms, buf_view(&batch->payload), &batch->index);
    if (result != CONSENSUS_OK) {
        fail(replica, consensus_result_text(result));
        return;
    }
    replica->on_its_way = batch->index;
    replica->unsent = batch->next;
}

/* ---- the log goes on ------------------------------------------------------------------------ */

void replica_durable(struct replica *replica, uint64_t now_ms, uint64_t sequence)
{
    size_t done = 0;
    STEWARD_ASSERT(!replica->applying);
    while (done < replica->waiting_count && replica->waiting[done].sequence <= sequence) {
        done++;
    }
    if (done == 0 || replica->failure) {
        return;
    }
    struct waiting newest = replica->waiting[done - 1];
    replica->waiting_count -= done;
    memmove(replica->waiting, replica->waiting + done,
            replica->waiting_count * sizeof *replica->waiting);
    consensus_persisted(replica->consensus, now_ms, newest.index, newest.term);
}

/* The first entry of a term of our own is applied, and so is everything before it. */
static void lead(struct replica *replica, uint64_t now_ms)
{
    struct command command = {.kind = COMMAND_LEADER_START};
    if (!replica->bootstrapped) {
        command.kind = COMMAND_BOOTSTRAP;
        command.bootstrap = replica->options.bootstrap;
    }
    gather(replica, now_ms, &command);
}

/* own: its effects are handed on. */
static void apply_commands(struct replica *replica, struct slice payload, bool own)
{
    const struct replica_host *host = &replica->options.host;
    struct entry_reader entry;
    struct command command;
    uint64_t now_ms = 0;
    replica->hash = state_hash_entry(replica->hash, payload);
    entry_begin(&entry, payload);
    while (entry_next(&entry, &replica->arena, &now_ms, &command)) {
        if (!replica->bootstrapped && command.kind != COMMAND_BOOTSTRAP) {
            entry.good = false;
            break;
        }
        replica->bootstrapped = true;
        core_apply(replica->options.core, now_ms, &command, &replica->effects);
        replica->hash = state_hash_effects(replica->hash, &replica->effects, &replica->scratch);
        replica->applied_ms = max_u64(now_ms, replica->applied_ms);
        if (own) {
            replica->ticks -= command.kind == COMMAND_TICK;
            host->applied(host->context, now_ms, &replica->effects);
        }
    }
    if (!entry_whole(&entry)) {
        fail(replica, "the log holds commands that make no sense");
    }
}

static void apply_own(struct replica *replica)
{
    apply_commands(replica, buf_view(&replica->oldest->payload), true);
    batch_remove(replica);
    replica->ready = true;
}

/* An entry that was in the log before, or that says who the nodes are and who leads. */
static void apply_read(struct replica *replica, uint64_t index, uint64_t now_ms)
{
    const struct replica_host *host = &replica->options.host;
    struct log_item item;
    if (!host->read(host->context, index, &item)) {
        fail(replica, "the log cannot be read back");
    } else if (item.tag == ENTRY_COMMAND) {
        apply_commands(replica, item.payload, false);
    } else if (item.tag == ENTRY_BARRIER && replica->leader && item.term == replica->term) {
        lead(replica, now_ms);
    }
}

void replica_apply(struct replica *replica, uint64_t now_ms)
{
    STEWARD_ASSERT(!replica->applying);
    replica->applying = true;
    while (replica->failure == NULL && replica->applied < replica->commit) {
        uint64_t index = replica->applied + 1;
        if (replica->oldest && replica->oldest->index == index) {
            apply_own(replica);
        } else {
            apply_read(replica, index, now_ms);
        }
        replica->applied = index;
    }
    replica->applying = false;
}

/* ---- time, and what it knows ---------------------------------------------------------------- */

uint64_t replica_deadline(const struct replica *replica)
{
    return replica->failure ? UINT64_MAX : consensus_deadline(replica->consensus);
}

void replica_tick(struct replica *replica, uint64_t now_ms)
{
    STEWARD_ASSERT(!replica->applying);
    if (replica->failure == NULL) {
        consensus_tick(replica->consensus, now_ms);
    }
}

const char *replica_failure(const struct replica *replica)
{
    return replica->failure;
}

bool replica_ready(const struct replica *replica)
{
    return replica->ready && replica->leader && replica->failure == NULL;
}

bool replica_ticking(const struct replica *replica)
{
    return replica->ticks > 0;
}

uint64_t replica_backlog(const struct replica *replica)
{
    return replica->backlog;
}

uint64_t replica_applied(const struct replica *replica)
{
    return replica->applied;
}

uint64_t replica_hash(const struct replica *replica)
{
    return replica->hash;
}

uint64_t replica_time_ms(const struct replica *replica)
{
    return replica->applied_ms;
}
