/*
 * PUT and PUT_MANY. A put is checked on the bodies' sizes first; messages are made only when they
 * get in or must wait for room. A run of plain bodies for an unbounded queue takes the short path.
 */
#include "broker/core/queue.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <utlist.h>

/* One put under way: bodies that get in together, or wait together. */
struct put {
    struct core *core;
    struct session *session;
    struct queue *queue;
    uint64_t request;
    const struct cmd_put *command;
    const struct slice *bodies;
    size_t count;
    bool many;
    bool extended;      /* its messages are off the short path */
    uint64_t delay_ms;  /* the queue's settings applied */
    uint64_t expire_ms; /* UINT64_MAX: never */
};

/* ---- checks --------------------------------------------------------------------------------- */

static struct refusal check_headers(const struct put_options *options)
{
    uint64_t bytes = 0;
    if (options->headers_count > LIMIT_HEADERS) {
        return (struct refusal){STW_ETOOBIG, "more headers than the limit"};
    }
    for (size_t i = 0; i < options->headers_count; i++) {
        const struct header_pair *pair = &options->headers[i];
        /* "h." stands before the name in fields, whose keys have one byte of length */
        if (pair->name.size == 0 || pair->name.size + 2 > UINT8_MAX) {
            return (struct refusal){STW_EINVAL, "a header's name has 1 to 253 bytes"};
        }
        bytes += pair->name.size + pair->value.size;
        for (size_t k = 0; k < i; k++) {
            if (slice_equal(options->headers[k].name, pair->name)) {
                return (struct refusal){STW_EINVAL, "a header is given twice"};
            }
        }
    }
    if (bytes > LIMIT_HEADER_BYTES) {
        return (struct refusal){STW_ETOOBIG, "the headers are larger than the limit"};
    }
    return (struct refusal){0};
}

static struct refusal check_options(const struct put_options *options, size_t count)
{
    if (!duration_good(options->delay_ms, SETTING_DEFAULT)) {
        return (struct refusal){STW_EINVAL, "the delay is longer than the limit"};
    }
    if (!duration_good(options->ttl_ms, SETTING_DEFAULT)) {
        return (struct refusal){STW_EINVAL, "the time-to-live is longer than the limit"};
    }
    if (options->dedup_id.size > LIMIT_DEDUP_ID_BYTES) {
        return (struct refusal){STW_EINVAL, "the dedup id is longer than the limit"};
    }
    if (options->dedup_id.size > 0 && count != 1) {
        return (struct refusal){STW_EINVAL, "a put with a dedup id carries one message"};
    }
    return check_headers(options);
}

static struct refusal check_put(const struct cmd_put *put)
{
    if (put->count == 0 || put->count > LIMIT_BATCH) {
        return (struct refusal){STW_EINVAL, "a put carries 1 to 1024 messages"};
    }
    if (!duration_good(put->timeout_ms, TIMEOUT_FOREVER)) {
        return (struct refusal){STW_EINVAL, "the time-out is longer than the limit"};
    }
    for (size_t i = 0; i < put->count; i++) {
        if (put->bodies[i].size > LIMIT_BODY_CEILING_BYTES) {
            return (struct refusal){STW_ETOOBIG, "a body is larger than the limit"};
        }
    }
    return put->options ? check_options(put->options, put->count) : (struct refusal){0};
}

/* ---- messages ------------------------------------------------------------------------------- */

static struct slice put_dedup_id(const struct put *put)
{
    return put->command->options ? put->command->options->dedup_id : slice_of(NULL, 0);
}

/* Delay and time-to-live stay durations until the message is inserted. */
static struct message *put_message(const struct put *put, struct slice body)
{
    struct message *message = message_new(put->core, put->queue, body);
    if (!put->extended) {
        return message;
    }
    const struct put_options *options = put->command->options;
    struct message_ext *ext = message_extend(put->core, message);
    ext->state = MESSAGE_WAITING;
    ext->due_ms = put->delay_ms;
    ext->expires_ms = put->expire_ms;
    if (options) {
        message->priority = options->priority;
        if (options->headers_count > 0) {
            message_headers(put->core, message, options);
        }
    }
    return message;
}

static void put_answer(const struct put *put)
{
    if (put->many) {
        answer_number(put->core, put->session, put->request, 0);
    } else {
        answer_plain(put->core, put->session, put->request, 1);
    }
}

static void put_refuse(const struct put *put, int code, const char *why)
{
    answer_error(put->core, put->session, put->request, code,
                 about(why, name_slice(&put->queue->name)));
}

static void put_insert(const struct put *put)
{
    for (size_t i = 0; i < put->count; i++) {
        queue_insert(put->core, put->queue, put_message(put, put->bodies[i]));
    }
    struct slice id = put_dedup_id(put);
    if (id.size > 0 && !CANARY(DEDUP_FORGOTTEN)) {
        dedup_remember(put->core, put->queue, dedup_new(id));
    }
    put_answer(put);
    queue_wake(put->core, put->queue);
}

static void put_wait(const struct put *put, uint64_t timeout_ms)
{
    struct core *core = put->core;
    if (waiter_check(core, put->session, 1) != STW_OK) {
        put_refuse(put, STW_ELIMIT, "too many requests are waiting");
        return;
    }
    struct waiter *waiter = waiter_new(core, put->session, WAIT_PUT, put->request, 1);
    waiter_deadline(core, waiter, timeout_ms);
    waiter->messages = mem_alloc(put->count * sizeof(struct message *));
    waiter->messages_count = (uint32_t)put->count;
    for (size_t i = 0; i < put->count; i++) {
        waiter->messages[i] = put_message(put, put->bodies[i]);
    }
    struct slice id = put_dedup_id(put);
    if (id.size > 0) {
        waiter->dedup = dedup_new(id);
    }
    waiter->many = put->many;
    waiter_link(core, waiter, 0, put->queue);
    if (waiter_asleep(waiter)) { /* nobody shall wait behind it */
        queue_wake(core, put->queue);
    }
    answer_wait(core, put->session, put->request, waiter);
}

/* ---- one put -------------------------------------------------------------------------------- */

/* Is there room now? Whoever waits for messages is served first: that makes room. */
static bool put_fits(const struct put *put, uint64_t bytes)
{
    struct queue *queue = put->queue;
    if (!queue->putters && queue_fits(queue, put->count, bytes)) {
        return true;
    }
    if (queue->getters && queue_deliverable(queue)) {
        queue_pump(put->core, queue);
    }
    return !queue->putters && queue_fits(queue, put->count, bytes);
}

static void put_one(const struct put *put)
{
    struct queue *queue = put->queue;
    const struct queue_settings *settings = &queue->settings;
    struct slice id = put_dedup_id(put);
    uint64_t bytes = 0;
    for (size_t i = 0; i < put->count; i++) {
        bytes += put->bodies[i].size;
    }
    if (queue->state == QUEUE_SHUT) {
        put_refuse(put, STW_ESHUTDOWN, NULL);
    } else if (id.size > 0 && dedup_known(put->core, queue, id)) {
        QUEUE_COUNT(put->core, queue, duplicates, 1);
        answer_number(put->core, put->session, put->request, 1);
    } else if (settings->max_bytes > 0 && bytes > settings->max_bytes) {
        put_refuse(put, STW_ETOOBIG, "larger than the queue's max_bytes");
    } else if (settings->maxsize > 0 && put->count > settings->maxsize) {
        put_refuse(put, STW_ETOOBIG, "more messages than the queue's maxsize");
    } else if (put_fits(put, bytes)) {
        put_insert(put);
    } else if (settings->overflow == OVERFLOW_DROP_OLDEST) {
        if (!queue->putters && queue_drop_oldest(put->core, queue, put->count, bytes)) {
            put_insert(put);
        } else {
            put_wait(put, TIMEOUT_FOREVER); /* its room is being made, in slices */
            queue_wake(put->core, queue);
        }
    } else if (settings->overflow != OVERFLOW_BLOCK || put->command->timeout_ms == 0) {
        put_refuse(put, STW_EFULL, NULL);
    } else {
        put_wait(put, put->command->timeout_ms);
    }
}

/* Plain bodies, no bounds, nobody before them. */
static void put_run(const struct put *put)
{
    struct core *core = put->core;
    struct queue *queue = put->queue;
    size_t count = put->count;
    uint64_t sequence = queue->next_sequence, bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct message *message = message_new(core, queue, put->bodies[i]);
        message->sequence = sequence + i;
        bytes += message->size;
        fifo_push(&queue->plain, message);
    }
    queue->next_sequence += count;
    queue->ready_bytes += bytes;
    queue->unfinished += count;
    core->totals.unfinished += count;
    core->totals.ready += count;
    QUEUE_COUNT(core, queue, put, count);
    answer_plain(core, put->session, put->request, count);
    queue_wake(core, queue);
}

static void put_resolve(struct put *put)
{
    const struct put_options *options = put->command->options;
    const struct queue_settings *settings = &put->queue->settings;
    uint64_t delay_ms = options ? options->delay_ms : SETTING_DEFAULT;
    uint64_t ttl_ms = options ? options->ttl_ms : SETTING_DEFAULT;
    put->delay_ms = delay_ms == SETTING_DEFAULT ? settings->delay_ms : delay_ms;
    ttl_ms = ttl_ms == SETTING_DEFAULT ? settings->ttl_ms : ttl_ms;
    put->expire_ms = ttl_ms > 0 ? ttl_ms : UINT64_MAX;
    put->extended = put->delay_ms > 0 || ttl_ms > 0 ||
                    (options && (options->priority > 0 || options->headers_count > 0));
}

static void put_each(struct put *put)
{
    const struct queue_settings *settings = &put->queue->settings;
    if (put->queue->state == QUEUE_OPEN && !put->extended && !put->queue->putters &&
        settings->maxsize == 0 && settings->max_bytes == 0) {
        put_run(put);
        return;
    }
    size_t count = put->count;
    const struct slice *bodies = put->bodies;
    uint64_t first = put->request;
    put->count = 1;
    for (size_t i = 0; i < count && !put->session->ending; i++) {
        put->request = first + i;
        put->bodies = bodies + i;
        put_one(put);
    }
}

void queue_apply_put(struct core *core, struct session *session, uint64_t request,
                     const struct cmd_put *command, bool many)
{
    struct refusal refusal = check_put(command);
    struct put put = {.core = core,
                      .session = session,
                      .request = request,
                      .command = command,
                      .bodies = command->bodies,
                      .count = command->count,
                      .many = many};
    if (refusal.code == STW_OK) {
        put.queue = queue_get_or_create(core, command->queue, &refusal.code);
    }
    if (!put.queue) {
        for (size_t i = 0; i < (many ? 1 : command->count); i++) {
            answer_error(core, session, request + i, refusal.code,
                         about(refusal.why, command->queue));
        }
        return;
    }
    put_resolve(&put);
    queue_wake(core, put.queue);
    if (many) {
        put_one(&put);
    } else {
        put_each(&put);
    }
    queues_run(core);
}

/* ---- a blocked put -------------------------------------------------------------------------- */

static struct slice dedup_id(const struct dedup *dedup)
{
    return slice_of(dedup->id, dedup->size);
}

void put_admit(struct core *core, struct queue *queue, struct waiter *waiter)
{
    bool known = waiter->dedup && dedup_known(core, queue, dedup_id(waiter->dedup));
    if (known) { /* another put of the same id got in before this one */
        QUEUE_COUNT(core, queue, duplicates, 1);
        answer_number(core, waiter->session, waiter->request, 1);
        queue_waiter_done(core, waiter);
        return;
    }
    for (uint32_t i = 0; i < waiter->messages_count; i++) {
        queue_insert(core, queue, waiter->messages[i]);
    }
    waiter->messages_count = 0;
    if (waiter->dedup) {
        dedup_remember(core, queue, waiter->dedup);
        waiter->dedup = NULL;
    }
    if (waiter->many) {
        answer_number(core, waiter->session, waiter->request, 0);
    } else {
        answer_plain(core, waiter->session, waiter->request, 1);
    }
    queue_waiter_done(core, waiter);
}
