/*
 * The whole state as canonical bytes, and back.
 *
 * "STWC", version, the core's numbers, then the parts in the order of internal.h.  Two cores that
 * applied the same commands write the same bytes; a restored core has the same future.
 */
#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "common/base/panic.h"

#include <utlist.h>

static void totals_save(const struct totals *totals, struct buf *out)
{
    const struct queue_counters *c = &totals->counters;
    const uint64_t numbers[] = {totals->ready, totals->delayed, totals->leased, totals->unfinished,
                                c->put,        c->delivered,    c->acked,       c->nacked,
                                c->released,   c->redelivered,  c->expired,     c->dead,
                                c->dropped,    c->rejected,     c->duplicates};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buf_u64(out, numbers[i]);
    }
}

static void totals_load(struct totals *totals, struct reader *in)
{
    struct queue_counters *c = &totals->counters;
    uint64_t *const numbers[] = {
        &totals->ready, &totals->delayed, &totals->leased, &totals->unfinished, &c->put,
        &c->delivered,  &c->acked,        &c->nacked,      &c->released,        &c->redelivered,
        &c->expired,    &c->dead,         &c->dropped,     &c->rejected,        &c->duplicates};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        *numbers[i] = reader_u64(in);
    }
}

static void pumps_save(const struct core *core, struct buf *out)
{
    uint32_t count = 0;
    for (const struct queue *at = core->pumps; at; at = at->pump_next) {
        count++;
    }
    buf_u32(out, count);
    for (const struct queue *at = core->pumps; at; at = at->pump_next) {
        buf_u32(out, at->index);
    }
}

static bool pumps_load(struct core *core, struct reader *in)
{
    uint32_t count = reader_u32(in);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = reader_u32(in);
        if (in->failed || index >= core->queues_capacity || !core->queues[index] ||
            core->queues[index]->pumping) {
            return false;
        }
        struct queue *queue = core->queues[index];
        queue->pumping = true;
        DL_APPEND2(core->pumps, queue, pump_prev, pump_next);
    }
    return !in->failed;
}

void core_snapshot(const struct core *core, struct buf *out)
{
    STEWARD_ASSERT(core->effects == NULL); /* between applies */
    buf_u32(out, CORE_SNAPSHOT_MAGIC);
    buf_u16(out, CORE_SNAPSHOT_VERSION);
    buf_u8(out, core->bootstrapped);
    buf_u64(out, core->hash_key);
    buf_u64(out, core->incarnation);
    buf_u64(out, core->now_ms);
    buf_u64(out, core->next_session);
    buf_u64(out, core->next_token);
    buf_u64(out, core->next_turn);
    buf_u64(out, core->commands);
    buf_u64(out, core->timers.next_number);
    buf_u64(out, core->bytes);
    totals_save(&core->totals, out);
    queues_save(core, out);
    trash_save(core, out);
    sessions_save(core, out);
    locks_save(core, out);
    pumps_save(core, out);
}

/* What the parts change while they load, and the snapshot knows better. */
struct numbers {
    uint64_t timer_number;
    uint64_t bytes;
    struct totals totals;
};

static bool numbers_load(struct core *core, struct reader *in, struct numbers *numbers)
{
    uint32_t magic = reader_u32(in);
    uint16_t version = reader_u16(in);
    if (in->failed || magic != CORE_SNAPSHOT_MAGIC || version != CORE_SNAPSHOT_VERSION) {
        return false;
    }
    core->bootstrapped = reader_u8(in) != 0;
    core->hash_key = reader_u64(in);
    core->incarnation = reader_u64(in);
    core->now_ms = reader_u64(in);
    core->next_session = reader_u64(in);
    core->next_token = reader_u64(in);
    core->next_token = CANARY(TOKENS_RESET) ? 1 : core->next_token;
    core->next_turn = reader_u64(in);
    core->commands = reader_u64(in);
    numbers->timer_number = reader_u64(in);
    numbers->bytes = reader_u64(in);
    totals_load(&numbers->totals, in);
    return !in->failed;
}

static bool parts_load(struct core *core, struct reader *in)
{
    struct numbers numbers;
    bool good = numbers_load(core, in, &numbers) && queues_load(core, in) && trash_load(core, in) &&
                sessions_load(core, in) && locks_load(core, in) && pumps_load(core, in);
    if (!good || reader_more(in) || in->failed) {
        return false;
    }
    core->timers.next_number = numbers.timer_number;
    core->bytes = numbers.bytes;
    core->totals = numbers.totals;
    return true;
}

static void core_renew(struct core *core)
{
    core_fini(core);
    core_init(core);
}

bool core_load_from(struct core *core, struct reader *in)
{
    STEWARD_ASSERT(core->effects == NULL); /* between applies */
    core_renew(core);
    if (!parts_load(core, in)) {
        core_renew(core);
        return false;
    }
    return true;
}

bool core_load(struct core *core, struct slice snapshot)
{
    struct reader in;
    reader_init(&in, snapshot);
    return core_load_from(core, &in);
}

struct core *core_restore(struct slice snapshot)
{
    struct core *core = core_new();
    if (!core_load(core, snapshot)) {
        core_destroy(&core);
    }
    return core;
}

/* ---- a restored backup ---------------------------------------------------------------------- */

/* Numbers that are handed out end here: nothing adds up to more by itself. */
#define NUMBERS_END (1ULL << 62)

static bool jump_possible(const struct core *core, uint64_t by)
{
    uint64_t largest = core->next_session;
    largest = core->next_token > largest ? core->next_token : largest;
    largest = core->next_turn > largest ? core->next_turn : largest;
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        if (core->queues[i] && core->queues[i]->next_sequence > largest) {
            largest = core->queues[i]->next_sequence;
        }
    }
    return by < NUMBERS_END && largest < NUMBERS_END - by;
}

bool core_jump(struct core *core, uint64_t by, uint64_t incarnation)
{
    STEWARD_ASSERT(core->effects == NULL && core->bootstrapped); /* between applies */
    if (!jump_possible(core, by)) {
        return false;
    }
    core->next_session += by;
    core->next_token += by;
    core->next_turn += by;
    core->incarnation = incarnation;
    for (uint32_t i = 0; i < core->queues_capacity; i++) {
        if (core->queues[i]) {
            core->queues[i]->next_sequence += by;
        }
    }
    return true;
}
