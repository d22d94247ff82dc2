/*
 * Own commands gather in batches, each of which becomes one entry; committed entries are applied,
 * own ones from their batch, others from the log.
 */
#include "broker/journal/replica_parts.h"

#include "broker/journal/state_hash.h"
#include "broker/journal/canary.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdio.h>
#include <stdlib.h>

/* count: batches kept for reuse: one gathers, one is written, one is applied */
#define SPARE_BATCHES 3

/* ---- commands gather ------------------------------------------------------------------------ */

void batches_free(struct batch *batch)
{
    while (batch) {
        struct batch *next = batch->next;
        buf_fini(&batch->payload);
        free(batch);
        batch = next;
    }
}

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

/* The oldest batch is not needed any more. */
static void batch_remove(struct replica *replica)
{
    struct batch *batch = replica->oldest;
    replica->unsent = replica->unsent == batch ? batch->next : replica->unsent;
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

void batches_drop(struct replica *replica)
{
    while (replica->oldest) {
        batch_remove(replica);
    }
    replica->ready = false;
    replica->ticks = 0;
    replica->on_its_way = 0;
    STEWARD_ASSERT(replica->backlog == 0 && replica->unsent == NULL);
}

static void gather(struct replica *replica, uint64_t now_ms, const struct command *command)
{
    struct batch *batch = replica->unsent ? replica->newest : batch_add(replica);
    size_t before = batch->payload.size;
    replica->submitted_ms = max_u64(now_ms, max_u64(replica->submitted_ms, replica->applied_ms));
    size_t size = entry_add(&batch->payload, marks_format(replica), replica->submitted_ms, command);
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

static void submit_batch(struct replica *replica, uint64_t now_ms)
{
    struct batch *batch = replica->unsent;
    if (batch == NULL || replica->on_its_way > replica->commit) {
        return;
    }
    uint64_t index = 0;
    if (consensus_submit(replica->consensus, now_ms, buf_view(&batch->payload), &index) !=
        CONSENSUS_OK) {
        return; /* leadership is being handed over: it waits, or is dropped with the rest */
    }
    STEWARD_ASSERT(replica->unsent == batch);
    batch->index = index;
    replica->on_its_way = index;
    replica->unsent = batch->next;
}

void replica_flush(struct replica *replica, uint64_t now_ms)
{
    STEWARD_ASSERT(!replica->applying);
    if (replica->failure == NULL) {
        submit_batch(replica, now_ms);
        sends_flush(replica);
    }
}

bool replica_ticking(const struct replica *replica)
{
    return replica->ticks > 0;
}

uint64_t replica_backlog(const struct replica *replica)
{
    return replica->backlog;
}

/* ---- entries are applied -------------------------------------------------------------------- */

/* The first entry of a term of our own is applied, and so is everything before it. */
static void lead(struct replica *replica, uint64_t now_ms)
{
    struct command command = {.kind = COMMAND_LEADER_START};
    if (!replica->bootstrapped) {
        command.kind = COMMAND_BOOTSTRAP;
        command.bootstrap = replica->options.bootstrap;
    }
    replica->greeted = replica->term;
    gather(replica, now_ms, &command);
}

static void fail_version(struct replica *replica, uint8_t version)
{
    snprintf(replica->failure_text, sizeof replica->failure_text,
             "the log holds an entry of version %u, and this build knows versions up to %u: start "
             "the newer build",
             version, replica->options.format);
    replica_fail(replica, replica->failure_text);
}

static void apply_command(struct replica *replica, uint64_t now_ms, const struct command *command,
                          bool own)
{
    const struct replica_host *host = &replica->options.host;
    core_apply(replica->options.core, now_ms, command, &replica->effects);
    replica->hash = state_hash_effects(replica->hash, &replica->effects, &replica->scratch);
    replica->applied_ms = max_u64(now_ms, replica->applied_ms);
    if (own) {
        replica->ticks -= command->kind == COMMAND_TICK;
        host->applied(host->context, now_ms, &replica->effects);
    }
}

/* own: its effects are handed on. Returns how many commands it held. */
static size_t apply_commands(struct replica *replica, struct slice payload, bool own)
{
    struct entry_reader entry;
    struct command command;
    uint64_t now_ms = 0;
    size_t count = 0;
    replica->hash = state_hash_entry(replica->hash, payload);
    entry_begin(&entry, payload, replica->options.format);
    if (entry.version > replica->options.format) {
        fail_version(replica, entry.version);
        return 0;
    }
    while (entry_next(&entry, &replica->arena, &now_ms, &command)) {
        if (!replica->bootstrapped && command.kind != COMMAND_BOOTSTRAP) {
            entry.good = false;
            break;
        }
        replica->bootstrapped = true;
        apply_command(replica, now_ms, &command, own);
        count++;
    }
    if (!entry_whole(&entry)) {
        replica_fail(replica, "the log holds commands that make no sense");
    }
    return count;
}

static void show(struct replica *replica, const struct log_item *item)
{
    if (replica->options.host.entry) {
        replica->options.host.entry(replica->options.host.context, item);
    }
}

/* Reading, hashing and copying it take time however few commands it holds. */
static size_t work_of(struct slice payload)
{
    return payload.size / 1024;
}

static size_t apply_own(struct replica *replica)
{
    struct log_item item = {.type = LOG_ENTRY,
                            .tag = ENTRY_COMMAND,
                            .term = replica->term,
                            .index = replica->oldest->index,
                            .payload = buf_view(&replica->oldest->payload)};
    show(replica, &item);
    size_t count = work_of(item.payload) + apply_commands(replica, item.payload, true);
    batch_remove(replica);
    replica->ready = true;
    return count;
}

/* An entry of another leader or an earlier time, or that says who the nodes are and who leads. */
static size_t apply_read(struct replica *replica, uint64_t index, uint64_t now_ms)
{
    const struct replica_host *host = &replica->options.host;
    struct log_item item;
    if (!host->read(host->context, index, &item)) {
        replica_fail(replica, "the log cannot be read back");
        return 1;
    }
    show(replica, &item);
    if (item.tag == ENTRY_COMMAND) {
        return work_of(item.payload) + apply_commands(replica, item.payload, false);
    }
    if (item.tag == ENTRY_BARRIER && replica->leader && item.term == replica->term &&
        replica->greeted != replica->term) {
        lead(replica, now_ms);
    }
    return 1;
}

static uint64_t apply_to(const struct replica *replica)
{
    bool early = JOURNAL_CANARY(REPLY_EARLY) && replica->leader;
    return early ? replica->disk.last : replica->commit;
}

void replica_apply(struct replica *replica, uint64_t now_ms)
{
    size_t work = 0;
    STEWARD_ASSERT(!replica->applying);
    replica->applying = true;
    while (replica->failure == NULL && !replica->installing &&
           replica->applied < apply_to(replica) && work < LIMIT_APPLY_COMMANDS) {
        uint64_t index = replica->applied + 1;
        if (replica->oldest && replica->oldest->index == index) {
            work += apply_own(replica);
        } else {
            work += apply_read(replica, index, now_ms);
        }
        replica->applied = index;
        marks_note(replica);
    }
    replica->applying = false;
}
