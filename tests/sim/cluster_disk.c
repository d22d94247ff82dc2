/* The simulated disk: writes become durable in order, some time later; a crash loses the rest. */
#include "tests/sim/cluster.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

static void log_cut(struct stored_log *log, uint64_t index)
{
    if (log->last >= index)
        log->last = index - 1;
}

static void log_put(struct stored_log *log, uint64_t index, const struct stored *entries, size_t n)
{
    STEWARD_ASSERT(index + n < WORLD_ENTRIES);
    log_cut(log, index);
    STEWARD_ASSERT(index == log->last + 1);
    if (n > 0)
        memcpy(&log->entries[index], entries, n * sizeof(*entries));
    log->last = index + n - 1;
}

static void log_reset(struct stored_log *log, uint64_t index)
{
    log->first = index;
    log->last = index - 1;
}

static struct write *write_begin(struct cluster *w, struct node *node, enum write_kind kind,
                                 uint64_t most_ms)
{
    struct disk *disk = &node->disk;
    if (disk->writes_count == disk->writes_capacity) {
        disk->writes_capacity = disk->writes_capacity * 2 + 8;
        disk->writes = mem_realloc(disk->writes, disk->writes_capacity, sizeof(*disk->writes));
    }
    uint64_t at = w->now + rng_between(&w->rng, 1, w->calm ? 3 : most_ms);
    if (disk->writes_count > 0 && disk->writes[disk->writes_count - 1].done_at > at)
        at = disk->writes[disk->writes_count - 1].done_at;
    struct write *write = &disk->writes[disk->writes_count++];
    *write = (struct write){.kind = kind, .done_at = at};
    return write;
}

static uint64_t config_number(struct cluster *w, struct slice payload)
{
    struct members members;
    STEWARD_ASSERT(members_decode(payload, &members));
    for (size_t i = 0; i < w->configs_count; i++) {
        if (members_equal(&w->configs[i], &members))
            return i;
    }
    STEWARD_ASSERT(w->configs_count < WORLD_CONFIGS);
    w->configs[w->configs_count] = members;
    return w->configs_count++;
}

static struct stored to_stored(struct cluster *w, const struct log_entry *entry)
{
    struct stored stored = {.term = entry->term, .type = entry->type};
    if (entry->type == ENTRY_CHANGE)
        stored.value = config_number(w, entry->payload);
    else if (entry->type == ENTRY_COMMAND)
        memcpy(&stored.value, entry->payload.data, sizeof(stored.value));
    return stored;
}

void cluster_disk_append(struct cluster *w, struct node *node,
                         const struct consensus_output *output)
{
    size_t n = output->entries_count;
    struct stored *entries = mem_zalloc(n, sizeof(*entries));
    for (size_t i = 0; i < n; i++)
        entries[i] = to_stored(w, &output->entries[i]);
    if (output->index > node->log.last + 1 || output->index + n >= WORLD_ENTRIES) {
        cluster_fail(w, "node %d appends at %d behind %d", (int)node->id, (int)output->index,
                     (int)node->log.last);
        free(entries);
        return;
    }
    log_put(&node->log, output->index, entries, n);
    struct write *write = write_begin(w, node, WRITE_APPEND, rng_chance(&w->rng, 5) ? 400 : 20);
    write->index = output->index;
    write->count = n;
    write->entries = entries;
}

void cluster_disk_reset_log(struct cluster *w, struct node *node, uint64_t index)
{
    log_reset(&node->log, index);
    write_begin(w, node, WRITE_RESET, 30)->index = index;
}

void cluster_disk_install(struct cluster *w, struct node *node,
                          const struct consensus_snapshot *snapshot)
{
    write_begin(w, node, WRITE_INSTALL, 600)->snapshot = *snapshot;
    w->installs++;
}

void cluster_disk_snapshot(struct cluster *w, struct node *node)
{
    uint64_t from = node->disk.snapshot.index, first = consensus_first(node->consensus);
    from = from < first ? first : from + 1;
    if (node->applied < from || consensus_members(node->consensus)->count == 0)
        return;
    struct write *write = write_begin(w, node, WRITE_SNAPSHOT, 200);
    write->trailing = (uint32_t)rng_below(&w->rng, 6);
    consensus_describe(node->consensus, rng_between(&w->rng, from, node->applied),
                       &write->snapshot);
}

/* ---- becoming durable ---------------------------------------------------------------------- */

uint64_t cluster_disk_due(const struct node *node)
{
    if (!node->consensus || node->disk.writes_count == 0)
        return UINT64_MAX;
    uint64_t at = node->disk.writes[0].done_at;
    return at > node->frozen_until ? at : node->frozen_until;
}

static void make_durable(struct disk *disk, const struct write *write, size_t count)
{
    switch (write->kind) {
    case WRITE_APPEND: log_put(&disk->log, write->index, write->entries, count); break;
    case WRITE_RESET: log_reset(&disk->log, write->index); break;
    case WRITE_INSTALL:
    case WRITE_SNAPSHOT:
        if (write->snapshot.index > disk->snapshot.index)
            disk->snapshot = write->snapshot;
        break;
    }
}

static void tell(struct cluster *w, struct node *node, const struct write *write)
{
    struct consensus *c = node->consensus;
    uint64_t last = write->index + write->count - 1;
    if (write->kind == WRITE_APPEND) {
        consensus_persisted(c, w->now, last, write->entries[write->count - 1].term);
    } else if (write->kind == WRITE_INSTALL) {
        if (write->snapshot.index > w->committed_last ||
            w->committed[write->snapshot.index].term != write->snapshot.term)
            cluster_fail(w, "a snapshot of what was never committed");
        node->applied = write->snapshot.index;
        consensus_installed(c, w->now);
    } else if (write->kind == WRITE_SNAPSHOT &&
               consensus_snapshotted(c, w->now, write->snapshot.index, write->trailing)) {
        uint64_t first = consensus_first(c);
        if (node->log.first < first)
            node->log.first = first;
        if (node->disk.log.first < first && node->disk.log.last + 1 >= first)
            node->disk.log.first = first;
    }
}

void cluster_disk_finish(struct cluster *w, struct node *node)
{
    struct disk *disk = &node->disk;
    struct write write = disk->writes[0];
    memmove(disk->writes, disk->writes + 1, --disk->writes_count * sizeof(write));
    make_durable(disk, &write, write.count);
    tell(w, node, &write);
    free(write.entries);
    cluster_after(w, node);
}

/* Some of the writes under way got there, the next one perhaps in part. */
void cluster_disk_crash(struct cluster *w, struct node *node)
{
    struct disk *disk = &node->disk;
    size_t survive = rng_below(&w->rng, disk->writes_count + 1);
    for (size_t i = 0; i < disk->writes_count; i++) {
        struct write *write = &disk->writes[i];
        if (i < survive)
            make_durable(disk, write, write->count);
        else if (i == survive && write->kind == WRITE_APPEND && rng_chance(&w->rng, 50))
            make_durable(disk, write, rng_below(&w->rng, write->count));
        free(write->entries);
    }
    disk->writes_count = 0;
}

/* ---- start --------------------------------------------------------------------------------- */

void cluster_disk_found(struct cluster *w, struct node *node, const struct members *members)
{
    struct buf payload = {0};
    members_encode(members, &payload);
    struct stored first = {
        .term = 1, .type = ENTRY_CHANGE, .value = config_number(w, buf_view(&payload))};
    buf_fini(&payload);
    node->disk.term = 1;
    log_put(&node->disk.log, 1, &first, 1);
}

void cluster_disk_start(struct cluster *w, struct node *node)
{
    struct disk *disk = &node->disk;
    struct stored_log *log = &disk->log;
    size_t count = (size_t)(log->last + 1 - log->first), changes_count = 0;
    struct consensus_run *runs = mem_zalloc(count + 1, sizeof(*runs));
    struct consensus_change *changes = mem_zalloc(count + 1, sizeof(*changes));
    for (uint64_t i = log->first; i <= log->last; i++) {
        const struct stored *entry = &log->entries[i];
        runs[i - log->first] = (struct consensus_run){.last = i, .term = entry->term};
        if (entry->type == ENTRY_CHANGE)
            changes[changes_count++] =
                (struct consensus_change){.index = i, .members = w->configs[entry->value]};
    }
    struct consensus_disk given = {.term = disk->term,
                                   .vote = disk->vote,
                                   .snapshot = disk->snapshot,
                                   .first = log->first,
                                   .runs = runs,
                                   .runs_count = count,
                                   .changes = changes,
                                   .changes_count = changes_count};
    node->log = *log;
    node->applied = disk->snapshot.index;
    node->commit_seen = 0;
    const char *why = consensus_start(node->consensus, w->now, &given);
    if (why)
        cluster_fail(w, "node %d does not start: %s", (int)node->id, why);
    free(runs);
    free(changes);
}
