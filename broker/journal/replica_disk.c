/*
 * What the log holds, as the replica knows it: terms in runs, lists of nodes, first and last index.
 * It is recovered from the log's items, kept up with what is appended, and given to consensus when
 * that starts, or starts anew.
 */
#include "broker/journal/replica_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* ---- the view ------------------------------------------------------------------------------- */

static void view_add(struct disk_view *disk, uint64_t index, uint64_t term)
{
    size_t count = disk->runs_count;
    disk->first = count == 0 ? index : disk->first;
    if (count == 0 || disk->runs[count - 1].term != term) {
        disk->runs = mem_realloc(disk->runs, count + 1, sizeof *disk->runs);
        disk->runs[disk->runs_count++].term = term;
    }
    disk->runs[disk->runs_count - 1].last = index;
    disk->last = index;
}

static bool view_change(struct disk_view *disk, uint64_t index, struct slice payload)
{
    size_t count = disk->changes_count;
    disk->changes = mem_realloc(disk->changes, count + 1, sizeof *disk->changes);
    disk->changes[count].index = index;
    disk->changes_count++;
    return members_decode(payload, &disk->changes[count].members);
}

/* Only entries up to `last` stay. */
static void view_cut(struct disk_view *disk, uint64_t last)
{
    while (disk->changes_count > 0 && disk->changes[disk->changes_count - 1].index > last) {
        disk->changes_count--;
    }
    if (disk->runs_count == 0 || last < disk->first) {
        disk->runs_count = 0;
        disk->first = last + 1;
    }
    while (disk->runs_count > 1 && disk->runs[disk->runs_count - 2].last >= last) {
        disk->runs_count--;
    }
    if (disk->runs_count > 0) {
        disk->runs[disk->runs_count - 1].last = last;
    }
    disk->last = last;
}

static void view_reset(struct disk_view *disk, uint64_t last)
{
    disk->runs_count = disk->changes_count = 0;
    disk->first = last + 1;
    disk->last = last;
}

void disk_trim(struct disk_view *disk, uint64_t first)
{
    size_t runs = 0, changes = 0;
    if (first <= disk->first) {
        return;
    }
    while (runs < disk->runs_count && disk->runs[runs].last < first) {
        runs++;
    }
    while (changes < disk->changes_count && disk->changes[changes].index < first) {
        changes++;
    }
    disk->first = first;
    disk->runs_count -= runs;
    disk->changes_count -= changes;
    if (runs > 0) {
        memmove(disk->runs, disk->runs + runs, disk->runs_count * sizeof *disk->runs);
    }
    if (changes > 0) {
        memmove(disk->changes, disk->changes + changes,
                disk->changes_count * sizeof *disk->changes);
    }
}

uint64_t disk_term_at(const struct disk_view *disk, uint64_t index)
{
    size_t i = disk->runs_count;
    if (index == disk->snapshot.index) {
        return disk->snapshot.term;
    }
    if (index < disk->first || index > disk->last || i == 0) {
        return 0;
    }
    while (i > 1 && disk->runs[i - 2].last >= index) {
        i--;
    }
    return disk->runs[i - 1].term;
}

void disk_fini(struct disk_view *disk)
{
    free(disk->runs);
    free(disk->changes);
    *disk = (struct disk_view){.first = 1};
}

/* ---- recovery ------------------------------------------------------------------------------- */

static void recover_entry(struct replica *replica, const struct log_item *item)
{
    struct disk_view *disk = &replica->disk;
    if (disk->runs_count > 0 && item->index != disk->last + 1) {
        replica_fail(replica, "the log's entries do not follow each other");
        return;
    }
    view_add(disk, item->index, item->term);
    if (item->tag == ENTRY_CHANGE && !view_change(disk, item->index, item->payload)) {
        replica_fail(replica, "the log holds a list of nodes that makes no sense");
    }
}

void replica_recover(struct replica *replica, const struct log_item *item)
{
    switch (item->type) {
    case LOG_ENTRY: recover_entry(replica, item); break;
    case LOG_TRUNCATE: view_cut(&replica->disk, item->index); break;
    case LOG_RESTART: view_reset(&replica->disk, item->index); break;
    case LOG_VOTE: break; /* the log itself knows the last one */
    }
}

/* ---- appending ------------------------------------------------------------------------------ */

static uint64_t append(struct replica *replica, const struct log_item *item)
{
    const struct replica_host *host = &replica->options.host;
    return host->append(host->context, item);
}

void disk_append_entry(struct replica *replica, uint64_t index, const struct log_entry *entry)
{
    struct disk_view *disk = &replica->disk;
    struct log_item item = {.type = LOG_ENTRY,
                            .tag = entry->type,
                            .term = entry->term,
                            .index = index,
                            .payload = entry->payload};
    STEWARD_ASSERT(index == disk->last + 1);
    if (replica->waiting_count == replica->waiting_capacity) {
        replica->waiting_capacity = replica->waiting_capacity ? replica->waiting_capacity * 2 : 8;
        replica->waiting =
            mem_realloc(replica->waiting, replica->waiting_capacity, sizeof *replica->waiting);
    }
    uint64_t sequence = append(replica, &item);
    replica->waiting[replica->waiting_count++] = (struct waiting){sequence, index, entry->term};
    view_add(disk, index, entry->term);
    if (entry->type == ENTRY_CHANGE) {
        bool good = view_change(disk, index, entry->payload);
        STEWARD_ASSERT(good); /* consensus looked at it */
    }
}

void disk_append_vote(struct replica *replica, uint64_t term, uint64_t vote)
{
    struct log_item item = {.type = LOG_VOTE, .term = term, .index = vote};
    replica->disk.term = term;
    replica->disk.vote = vote;
    replica->vote_sequence = append(replica, &item);
}

void disk_cut(struct replica *replica, uint64_t last)
{
    struct log_item item = {.type = LOG_TRUNCATE, .index = last};
    STEWARD_ASSERT(last >= replica->applied);
    append(replica, &item);
    while (replica->waiting_count > 0 &&
           replica->waiting[replica->waiting_count - 1].index > last) {
        replica->waiting_count--;
    }
    view_cut(&replica->disk, last);
}

void disk_reset(struct replica *replica, uint64_t next)
{
    struct log_item item = {.type = LOG_RESTART, .index = next - 1};
    append(replica, &item);
    replica->waiting_count = 0;
    view_reset(&replica->disk, next - 1);
}
