/* Messages in snapshots: body, place, options and past, with the timer as it was armed. */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#define DEAD_REASONS 4
static const char *const dead_reasons[DEAD_REASONS] = {NULL, dead_rejected, dead_max_deliveries,
                                                       dead_expired};

static uint8_t reason_number(const char *reason)
{
    for (uint8_t i = 0; i < DEAD_REASONS; i++) {
        if (reason == dead_reasons[i]) {
            return i;
        }
    }
    panic("a reason of the table", __FILE__, __LINE__);
}

static void failure_save(const struct failure *failure, struct buf *out)
{
    buf_u8(out, failure->reason ? 1 : 0);
    if (failure->reason) {
        buf_u64(out, failure->at_ms);
        buf_slice(out, slice_str(failure->reason));
    }
}

void timer_save(const struct timer *timer, struct buf *out)
{
    buf_u8(out, timer_armed(timer) ? 1 : 0);
    if (timer_armed(timer)) {
        buf_u64(out, timer->due_ms);
        buf_u64(out, timer->number);
    }
}

static void ext_save(const struct message_ext *ext, struct buf *out)
{
    buf_u8(out, ext->state);
    buf_u64(out, ext->due_ms);
    buf_u64(out, ext->expires_ms);
    buf_u32(out, ext->epoch);
    buf_u8(out, ext->headers_count);
    buf_slice(out, slice_of(ext->headers, ext->headers_size));
    failure_save(&ext->first, out);
    failure_save(&ext->last, out);
    buf_u8(out, ext->source ? 1 : 0);
    if (ext->source) {
        buf_slice(out, name_slice(ext->source));
    }
    buf_u8(out, reason_number(ext->dead_reason));
    buf_u16(out, ext->dead_deliveries);
    timer_save(&ext->timer, out);
}

void message_save(const struct message *message, struct buf *out)
{
    buf_u64(out, message->sequence);
    buf_u32(out, message->queue);
    buf_u16(out, message->deliveries);
    buf_u8(out, message->priority);
    buf_slice(out, message_body(message));
    buf_u8(out, message->ext ? 1 : 0);
    if (message->ext) {
        ext_save(message->ext, out);
    }
}

/* ---- load ----------------------------------------------------------------------------------- */

/* Text from a snapshot may not hold a NUL: it would come out shorter than it went in. */
static bool text_good(struct slice text, size_t max)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\0') {
            return false;
        }
    }
    return text.size <= max;
}

static bool failure_load(struct failure *failure, struct reader *in)
{
    if (reader_u8(in) == 0) {
        return !in->failed;
    }
    failure->at_ms = reader_u64(in);
    struct slice reason = reader_slice(in);
    if (in->failed || !text_good(reason, LIMIT_REASON_BYTES)) {
        return false;
    }
    failure->reason = mem_alloc(reason.size + 1);
    if (reason.size > 0) {
        memcpy(failure->reason, reason.data, reason.size);
    }
    failure->reason[reason.size] = '\0';
    return true;
}

bool timer_load(struct core *core, struct timer *timer, enum timer_kind kind, struct reader *in)
{
    timer->kind = (uint8_t)kind;
    if (reader_u8(in) != 0) {
        uint64_t due_ms = reader_u64(in);
        uint64_t number = reader_u64(in);
        if (in->failed) {
            return false;
        }
        timer_rearm(&core->timers, timer, due_ms, number);
    }
    return !in->failed;
}

static bool headers_load(struct message_ext *ext, struct reader *in)
{
    ext->headers_count = reader_u8(in);
    struct slice headers = reader_slice(in);
    struct reader pairs;
    reader_init(&pairs, headers);
    for (uint32_t i = 0; i < ext->headers_count; i++) {
        struct slice name = reader_raw(&pairs, reader_u8(&pairs));
        reader_raw(&pairs, reader_u16(&pairs));
        if (name.size + 2 > UINT8_MAX) {
            return false;
        }
    }
    if (in->failed || !reader_done(&pairs)) {
        return false;
    }
    if (headers.size > 0) {
        ext->headers = mem_dup(headers.data, headers.size);
        ext->headers_size = (uint32_t)headers.size;
    }
    return true;
}

static bool dead_load(struct message_ext *ext, struct reader *in)
{
    if (reader_u8(in) != 0) {
        struct slice source = reader_slice(in);
        if (in->failed || source.size == 0 || source.size > LIMIT_NAME_BYTES) {
            return false;
        }
        ext->source = mem_alloc(offsetof(struct name, text) + source.size);
        ext->source->size = (uint8_t)source.size;
        memcpy(ext->source->text, source.data, source.size);
    }
    uint8_t reason = reader_u8(in);
    if (in->failed || reason >= DEAD_REASONS || (ext->source && reason == 0)) {
        return false;
    }
    ext->dead_reason = dead_reasons[reason];
    ext->dead_deliveries = reader_u16(in);
    return !in->failed;
}

static bool ext_load(struct core *core, struct message_ext *ext, struct reader *in)
{
    ext->state = reader_u8(in);
    ext->due_ms = reader_u64(in);
    ext->expires_ms = reader_u64(in);
    ext->epoch = reader_u32(in);
    return ext->state <= MESSAGE_WAITING && headers_load(ext, in) &&
           failure_load(&ext->first, in) && failure_load(&ext->last, in) &&
           !ext->first.reason == !ext->last.reason && dead_load(ext, in) &&
           timer_load(core, &ext->timer, TIMER_MESSAGE, in);
}

struct message *message_load(struct core *core, struct reader *in)
{
    uint64_t sequence = reader_u64(in);
    uint32_t index = reader_u32(in);
    uint16_t deliveries = reader_u16(in);
    uint8_t priority = reader_u8(in);
    struct slice body = reader_slice(in);
    uint8_t extended = reader_u8(in);
    if (in->failed || index >= core->queues_capacity || !core->queues[index] ||
        body.size > LIMIT_BODY_CEILING_BYTES) {
        return NULL;
    }
    struct message *message = message_new(core, core->queues[index], body);
    message->sequence = sequence;
    message->deliveries = deliveries;
    message->priority = priority;
    if (extended) {
        struct message_ext *ext = message_extend(core, message);
        uint64_t before = message_cost(message);
        bool good = ext_load(core, ext, in);
        core->bytes += message_cost(message) - before;
        if (!good) {
            message_free(core, message);
            return NULL;
        }
    }
    return message;
}

/* A timer stands where a place needs one, and nowhere else. */
bool message_in_state(const struct message *message, enum message_state state)
{
    const struct message_ext *ext = message->ext;
    if (!ext) {
        return message->priority == 0 && message->deliveries == 0;
    }
    bool armed = timer_armed(&ext->timer);
    if (ext->state != state) {
        return false;
    }
    switch (state) {
    case MESSAGE_READY: return armed == (ext->expires_ms != UINT64_MAX);
    case MESSAGE_DELAYED: return armed && ext->timer.due_ms <= ext->due_ms;
    default: return !armed;
    }
}
