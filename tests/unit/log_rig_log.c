/* A log on the disk in memory. See log_rig.h. */
#include "tests/unit/log_rig.h"

#include <check.h>
#include <stdio.h>

static void note(void *context, const struct log_item *item)
{
    static const char *const names[] = {"", "entry", "truncate", "restart", "vote"};
    struct rig *rig = context;
    char line[128];
    int shown = item->payload.size < 16 ? (int)item->payload.size : 16;
    int size = snprintf(line, sizeof line, "%s %llu %llu %.*s\n", names[item->type],
                        (unsigned long long)item->term, (unsigned long long)item->index, shown,
                        item->payload.size ? (const char *)item->payload.data : "");
    buf_add(&rig->lines, line, (size_t)size);
}

void rig_open_segments(struct rig *rig, struct disk *disk, uint64_t segment_bytes)
{
    struct log_options options = {.directory = "data",
                                  .segment_bytes = segment_bytes,
                                  .recovered = note,
                                  .context = rig,
                                  .io = disk_io(disk),
                                  .no_threads = true};
    *rig = (struct rig){.disk = disk, .now_ms = 1000};
    rig->log = log_open(&options, &rig->error);
    ck_assert((rig->log != NULL) == (rig->error.trouble == LOG_FINE));
}

void rig_open(struct rig *rig, struct disk *disk)
{
    rig_open_segments(rig, disk, RIG_SEGMENT);
}

void rig_abandon(struct rig *rig)
{
    log_abandon(&rig->log);
    rig_fini(rig);
}

void rig_close(struct rig *rig)
{
    log_close(&rig->log);
    rig_fini(rig);
}

void rig_fini(struct rig *rig)
{
    buf_fini(&rig->lines);
}

uint64_t rig_entry(struct rig *rig, uint64_t term, const char *payload)
{
    struct log_item item = {.type = LOG_ENTRY,
                            .tag = 1,
                            .term = term,
                            .index = log_last_index(rig->log) + 1,
                            .payload = slice_str(payload)};
    return log_append(rig->log, &item);
}

uint64_t rig_fill(struct rig *rig, uint64_t term, size_t size)
{
    struct buf bytes = {0};
    uint64_t index = log_last_index(rig->log) + 1;
    for (size_t i = 0; i < size; i++) {
        buf_u8(&bytes, (uint8_t)('a' + (index + i) % 26));
    }
    struct log_item item = {
        .type = LOG_ENTRY, .tag = 2, .term = term, .index = index, .payload = buf_view(&bytes)};
    uint64_t sequence = log_append(rig->log, &item);
    buf_fini(&bytes);
    return sequence;
}

uint64_t rig_vote(struct rig *rig, uint64_t term, uint64_t vote)
{
    struct log_item item = {.type = LOG_VOTE, .term = term, .index = vote};
    return log_append(rig->log, &item);
}

uint64_t rig_cut(struct rig *rig, uint64_t index)
{
    struct log_item item = {.type = LOG_TRUNCATE, .index = index};
    return log_append(rig->log, &item);
}

bool rig_write(struct rig *rig)
{
    log_flush(rig->log, rig->now_ms);
    return log_process(rig->log, rig->now_ms);
}

void rig_seal(struct rig *rig)
{
    rig->now_ms += LIMIT_LOG_SEAL_MS;
    log_tick(rig->log, rig->now_ms);
    log_process(rig->log, rig->now_ms);
}

const char *rig_lines(struct rig *rig)
{
    buf_u8(&rig->lines, 0);
    rig->lines.size--;
    return (const char *)rig->lines.data;
}
