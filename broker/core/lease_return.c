/*
 * The ends of leases: acked, given back, run out. A message that comes back regains its place; what
 * counted as a delivery once too often becomes a dead letter, what outlived its time expires.
 */
#include "broker/core/queue.h"

#include "common/base/panic.h"

void lease_arm(struct core *core, struct session *session, uint64_t tag, uint64_t deadline_ms)
{
    struct id_chunk *chunk = idtable_chunk(&session->leases, tag);
    STEWARD_ASSERT(chunk);
    if (!timer_armed(&chunk->timer) || chunk->timer.due_ms > deadline_ms) {
        chunk->owner = session;
        chunk->timer.kind = TIMER_LEASES;
        timer_arm(&core->timers, &chunk->timer, deadline_ms);
    }
}

struct message *lease_take(struct core *core, struct session *session, uint64_t tag,
                           const struct lease *lease)
{
    struct message *message = lease->message;
    struct queue *queue = message_queue(core, message);
    struct id_chunk *chunk = idtable_chunk(&session->leases, tag);
    if (chunk->live == 1) {
        timer_disarm(&core->timers, &chunk->timer);
    }
    idtable_remove(&session->leases, tag);
    STEWARD_ASSERT(queue->leased > 0);
    queue->leased--;
    core->totals.leased--;
    return message;
}

void lease_finish(struct core *core, struct message *message)
{
    struct queue *queue = message_queue(core, message);
    message_free(core, message);
    if (!queue->deleted) {
        queue_finished(core, queue, 1);
    }
    if (queue->leased == 0) {
        queue_settle_life(core, queue);
    }
}

static void count_delivery(struct message *message)
{
    if (message->deliveries < UINT16_MAX) {
        message->deliveries++;
    }
}

void lease_give_back(struct core *core, struct message *message, const struct lease_return *how)
{
    struct queue *queue = message_queue(core, message);
    if (queue->deleted) {
        lease_finish(core, message);
        return;
    }
    struct message_ext *ext = message->ext ? message->ext : message_extend(core, message);
    if (how->counted) {
        count_delivery(message);
    }
    if (how->failed) {
        message_failed(core, message, how->failure);
    }
    ext->due_ms = how->delay_ms > 0 ? time_after(core, how->delay_ms) : 0;
    if (CANARY(PLACE_LOST)) {
        message->sequence = queue->next_sequence++;
    }
    queue_wake(core, queue);
    uint64_t max = queue->settings.max_deliveries;
    if (how->counted && max > 0 && message->deliveries >= max &&
        dead_letter(core, queue, message, dead_max_deliveries)) {
        return;
    }
    if (ext->expires_ms <= core->now_ms && !CANARY(TTL_IGNORED)) {
        queue_expire(core, queue, message);
    } else {
        queue_place(core, queue, message);
    }
}

/* What was handed to the program counts as a delivery; what lay in a prefetch buffer does not. */
static bool was_handed(const struct session *session, const struct lease *lease, uint64_t tag)
{
    return !lease->streamed || tag <= session->handed_tag;
}

/* ---- running out ---------------------------------------------------------------------------- */

static void lease_expire(struct core *core, struct session *session, uint64_t tag,
                         const struct lease *lease)
{
    struct lease_return how = {.counted = was_handed(session, lease, tag)};
    if (CANARY(EXPIRY_UNCOUNTED)) {
        how.counted = false;
    }
    struct message *message = lease_take(core, session, tag, lease);
    emit_lease_lost(core, session->id, tag);
    lease_give_back(core, message, &how);
    work_take(core, 1);
}

static bool slot_used(const struct id_chunk *chunk, uint32_t slot)
{
    return (chunk->used[slot / 32] >> (slot % 32)) & 1u;
}

void lease_timer(struct core *core, struct session *session, struct id_chunk *chunk)
{
    uint64_t first = chunk->number * IDTABLE_CHUNK, next_ms = UINT64_MAX;
    uint32_t left = chunk->live; /* the chunk goes with its last lease */
    for (uint32_t slot = 0; slot < IDTABLE_CHUNK && left > 0; slot++) {
        if (!slot_used(chunk, slot)) {
            continue;
        }
        const struct lease *lease = (const struct lease *)(void *)chunk->records + slot;
        left--;
        if (lease->deadline_ms > core->now_ms) {
            next_ms = lease->deadline_ms < next_ms ? lease->deadline_ms : next_ms;
        } else {
            lease_expire(core, session, first + slot, lease);
        }
    }
    if (next_ms != UINT64_MAX) {
        chunk->owner = session;
        timer_arm(&core->timers, &chunk->timer, next_ms);
    }
}

/* ---- given back ----------------------------------------------------------------------------- */

bool lease_return_slice(struct core *core, struct session *session)
{
    uint64_t tag = 0;
    while (core->work > 0 && !CANARY(LEASE_KEPT) && idtable_next(&session->leases, tag, &tag)) {
        const struct lease *lease = idtable_get(&session->leases, tag);
        struct lease_return how = {.counted = was_handed(session, lease, tag)};
        lease_give_back(core, lease_take(core, session, tag, lease), &how);
        work_take(core, 1);
    }
    if (CANARY(LEASE_KEPT)) {
        leases_fini(core, session);
    }
    return session->leases.live > 0;
}

void lease_cancel(struct core *core, struct session *session, uint64_t first_tag, uint64_t count)
{
    struct lease_return how = {0};
    for (uint64_t i = 0; i < count; i++) {
        const struct lease *lease = idtable_get(&session->leases, first_tag + i);
        if (lease) {
            lease_give_back(core, lease_take(core, session, first_tag + i, lease), &how);
        }
    }
}

void lease_seen(struct core *core, struct session *session, uint64_t first_tag, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        const struct lease *lease = idtable_get(&session->leases, first_tag + i);
        if (lease && lease->auto_ack) {
            struct queue *queue = message_queue(core, lease->message);
            if (!queue->deleted) {
                QUEUE_COUNT(core, queue, acked, 1);
            }
            lease_finish(core, lease_take(core, session, first_tag + i, lease));
        }
    }
}

void lease_refresh_all(struct core *core, struct session *session)
{
    for (uint64_t tag = 0; idtable_next(&session->leases, tag, &tag); tag++) {
        struct lease *lease = idtable_get(&session->leases, tag);
        uint64_t full_ms = time_after(core, lease->lease_ms);
        if (lease->deadline_ms < full_ms) {
            lease->deadline_ms = full_ms; /* the chunk's timer finds out when it fires */
        }
    }
}

void leases_fini(struct core *core, struct session *session)
{
    for (uint64_t tag = 0; idtable_next(&session->leases, tag, &tag); tag++) {
        const struct lease *lease = idtable_get(&session->leases, tag);
        struct message *message = lease_take(core, session, tag, lease);
        message_queue(core, message)->unfinished = 0; /* the core goes down as a whole */
        message_free(core, message);
    }
}

/* ---- snapshot ------------------------------------------------------------------------------- */

static void lease_save(uint64_t tag, const struct lease *lease, struct buf *out)
{
    buf_u64(out, tag);
    buf_u64(out, lease->token);
    buf_u64(out, lease->deadline_ms);
    buf_u64(out, lease->channel);
    buf_u32(out, lease->lease_ms);
    buf_u8(out, lease->streamed);
    buf_u8(out, lease->auto_ack);
    message_save(lease->message, out);
}

void leases_save(const struct session *session, struct buf *out)
{
    uint64_t chunks = 0;
    const struct id_chunk *chunk;
    for (chunk = idtable_first_chunk(&session->leases); chunk; chunk = idtable_next_chunk(chunk)) {
        chunks++;
    }
    buf_u64(out, chunks);
    for (chunk = idtable_first_chunk(&session->leases); chunk; chunk = idtable_next_chunk(chunk)) {
        buf_u32(out, chunk->live);
        for (uint32_t slot = 0; slot < IDTABLE_CHUNK; slot++) {
            if (slot_used(chunk, slot)) {
                const struct lease *leases = (const struct lease *)(const void *)chunk->records;
                lease_save(chunk->number * IDTABLE_CHUNK + slot, &leases[slot], out);
            }
        }
        timer_save(&chunk->timer, out);
    }
}

/* One lease; all of a chunk's belong together. *chunk is NULL before the first. */
static bool lease_load(struct core *core, struct session *session, struct reader *in,
                       struct id_chunk **chunk)
{
    struct lease read = {0};
    uint64_t tag = reader_u64(in);
    read.token = reader_u64(in);
    read.deadline_ms = reader_u64(in);
    read.channel = reader_u64(in);
    read.lease_ms = reader_u32(in);
    read.streamed = reader_u8(in) != 0;
    read.auto_ack = reader_u8(in) != 0;
    if (in->failed || tag == 0 || tag >= session->next_tag ||
        (*chunk && (*chunk)->number != tag / IDTABLE_CHUNK) || idtable_get(&session->leases, tag)) {
        return false;
    }
    read.message = message_load(core, in);
    if (!read.message) {
        return false;
    }
    if (read.message->ext && !message_in_state(read.message, MESSAGE_LEASED)) {
        message_free(core, read.message);
        return false;
    }
    struct lease *lease = idtable_add(&session->leases, tag, chunk);
    *lease = read;
    message_queue(core, read.message)->leased++;
    return true;
}

static bool chunk_load(struct core *core, struct session *session, struct reader *in)
{
    struct id_chunk *chunk = NULL;
    uint32_t live = reader_u32(in);
    if (live == 0 || live > IDTABLE_CHUNK) {
        return false;
    }
    for (uint32_t i = 0; i < live; i++) {
        if (!lease_load(core, session, in, &chunk)) {
            return false;
        }
    }
    if (timer_armed(&chunk->timer)) {
        return false; /* the chunk came twice */
    }
    chunk->owner = session;
    return timer_load(core, &chunk->timer, TIMER_LEASES, in) && timer_armed(&chunk->timer);
}

bool leases_load(struct core *core, struct session *session, struct reader *in)
{
    uint64_t chunks = reader_u64(in);
    for (uint64_t i = 0; i < chunks; i++) {
        if (in->failed || !chunk_load(core, session, in)) {
            return false;
        }
    }
    return !in->failed;
}

/* ---- check ---------------------------------------------------------------------------------- */

void leases_check(const struct core *core, const struct session *session)
{
    const struct id_chunk *chunk;
    for (chunk = idtable_first_chunk(&session->leases); chunk; chunk = idtable_next_chunk(chunk)) {
        STEWARD_ASSERT(timer_armed(&chunk->timer) && chunk->owner == session);
        STEWARD_ASSERT(chunk->timer.kind == TIMER_LEASES);
        for (uint32_t slot = 0; slot < IDTABLE_CHUNK; slot++) {
            if (!slot_used(chunk, slot)) {
                continue;
            }
            const struct lease *lease = (const struct lease *)(const void *)chunk->records + slot;
            STEWARD_ASSERT(chunk->number * IDTABLE_CHUNK + slot < session->next_tag);
            STEWARD_ASSERT(lease->token < core->next_token);
            STEWARD_ASSERT(chunk->timer.due_ms <= lease->deadline_ms);
            STEWARD_ASSERT(message_queue(core, lease->message));
            STEWARD_ASSERT(!lease->message->ext || lease->message->ext->state == MESSAGE_LEASED);
        }
    }
}
