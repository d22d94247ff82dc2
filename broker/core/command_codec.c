/*
 * The core's own encoding of commands: what a log holds.
 *
 * version u8, kind u8, session u64, request u64, then the payload in the order of its struct in
 * command.h; slices as u32 size and bytes, booleans and enums as u8, arrays as u32 count and items.
 * Canonical: a command has one encoding, and other bytes are refused.  To add a kind: its row in
 * the table at the end; to change a payload: raise COMMAND_VERSION.
 */
#include "broker/core/command.h"
#include "common/base/error.h"

#define COMMAND_VERSION 1

/* All arrays of one command at their limits; one block, so that nothing moves while decoding. */
struct arrays {
    union {
        struct slice slices[LIMIT_BATCH]; /* bodies, queues */
        struct id_range ranges[LIMIT_BATCH];
    };
    struct header_pair headers[LIMIT_HEADERS];
    struct put_options options;
};

typedef void encode_payload(struct buf *out, const struct command *command);
typedef void decode_payload(struct reader *in, struct arrays *arrays, struct command *command);

/* ---- readers of small things ---------------------------------------------------------------- */

/* A u8 below `end`. */
static uint8_t read_below(struct reader *in, uint8_t end)
{
    uint8_t value = reader_u8(in);
    if (value >= end) {
        in->failed = true;
        return 0;
    }
    return value;
}

static bool read_bool(struct reader *in)
{
    return read_below(in, 2) == 1;
}

static size_t read_count(struct reader *in, size_t max)
{
    uint32_t count = reader_u32(in);
    if (count > max) {
        in->failed = true;
        return 0;
    }
    return count;
}

static void read_secret(struct reader *in, uint8_t *secret)
{
    struct slice raw = reader_raw(in, LIMIT_SECRET_BYTES);
    if (!in->failed) {
        memcpy(secret, raw.data, LIMIT_SECRET_BYTES);
    }
}

static size_t read_slices(struct reader *in, struct slice *slices, size_t max)
{
    size_t count = read_count(in, max);
    for (size_t i = 0; i < count && !in->failed; i++) {
        slices[i] = reader_slice(in);
    }
    return count;
}

static void write_slices(struct buf *out, const struct slice *slices, size_t count)
{
    buf_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        buf_slice(out, slices[i]);
    }
}

/* ---- the manager's own ---------------------------------------------------------------------- */

static void encode_none(struct buf *out, const struct command *command)
{
    (void)out;
    (void)command;
}

static void decode_none(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)in;
    (void)arrays;
    (void)command;
}

static void encode_bootstrap(struct buf *out, const struct command *command)
{
    buf_u64(out, command->bootstrap.hash_key);
    buf_u64(out, command->bootstrap.incarnation);
}

static void decode_bootstrap(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->bootstrap.hash_key = reader_u64(in);
    command->bootstrap.incarnation = reader_u64(in);
}

static void encode_open(struct buf *out, const struct command *command)
{
    const struct cmd_open *open = &command->open;
    buf_u64(out, open->reference);
    buf_add(out, open->secret, sizeof open->secret);
    buf_u64(out, open->ttl_ms);
    buf_u64(out, open->grace_ms);
    buf_u64(out, open->pid);
    buf_slice(out, open->host);
    buf_slice(out, open->program);
}

static void decode_open(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    struct cmd_open *open = &command->open;
    open->reference = reader_u64(in);
    read_secret(in, open->secret);
    open->ttl_ms = reader_u64(in);
    open->grace_ms = reader_u64(in);
    open->pid = reader_u64(in);
    open->host = reader_slice(in);
    open->program = reader_slice(in);
}

static void encode_resume(struct buf *out, const struct command *command)
{
    const struct cmd_resume *resume = &command->resume;
    buf_u64(out, resume->reference);
    buf_u64(out, resume->session);
    buf_add(out, resume->secret, sizeof resume->secret);
    buf_u64(out, resume->last_tag);
}

static void decode_resume(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    struct cmd_resume *resume = &command->resume;
    resume->reference = reader_u64(in);
    resume->session = reader_u64(in);
    read_secret(in, resume->secret);
    resume->last_tag = reader_u64(in);
}

static void encode_text(struct buf *out, const struct command *command)
{
    buf_slice(out, command->text);
}

static void decode_text(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->text = reader_slice(in);
}

/* CLOCK_GAP's gap_ms, HANDED's tag, DETACH's reference and every target: the union's one u64. */
_Static_assert(offsetof(struct command, gap_ms) == offsetof(struct command, target) &&
                   offsetof(struct command, tag) == offsetof(struct command, target) &&
                   offsetof(struct command, reference) == offsetof(struct command, target),
               "encode_number covers all four");

static void encode_number(struct buf *out, const struct command *command)
{
    buf_u64(out, command->target);
}

static void decode_number(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->target = reader_u64(in);
}

/* ---- sessions without answer ---------------------------------------------------------------- */

static void encode_seen(struct buf *out, const struct command *command)
{
    const struct cmd_seen *seen = &command->seen;
    size_t count = seen->count < LIMIT_BATCH ? seen->count : LIMIT_BATCH;
    buf_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        buf_u64(out, seen->ranges[i].first);
        buf_u64(out, seen->ranges[i].count);
    }
}

static void decode_seen(struct reader *in, struct arrays *arrays, struct command *command)
{
    size_t count = read_count(in, LIMIT_BATCH);
    for (size_t i = 0; i < count && !in->failed; i++) {
        arrays->ranges[i].first = reader_u64(in);
        arrays->ranges[i].count = reader_u64(in);
    }
    command->seen = (struct cmd_seen){.ranges = arrays->ranges, .count = count};
}

static void encode_credit(struct buf *out, const struct command *command)
{
    buf_u64(out, command->credit.channel);
    buf_u64(out, command->credit.messages);
    buf_u64(out, command->credit.bytes);
}

static void decode_credit(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->credit.channel = reader_u64(in);
    command->credit.messages = reader_u64(in);
    command->credit.bytes = reader_u64(in);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void encode_options(struct buf *out, const struct put_options *options)
{
    buf_u64(out, options->delay_ms);
    buf_u64(out, options->ttl_ms);
    buf_u8(out, options->priority);
    buf_slice(out, options->dedup_id);
    buf_u32(out, (uint32_t)options->headers_count);
    for (size_t i = 0; i < options->headers_count; i++) {
        buf_slice(out, options->headers[i].name);
        buf_slice(out, options->headers[i].value);
    }
}

static void decode_options(struct reader *in, struct arrays *arrays)
{
    struct put_options *options = &arrays->options;
    options->delay_ms = reader_u64(in);
    options->ttl_ms = reader_u64(in);
    options->priority = reader_u8(in);
    options->dedup_id = reader_slice(in);
    options->headers = arrays->headers;
    options->headers_count = read_count(in, LIMIT_HEADERS);
    for (size_t i = 0; i < options->headers_count && !in->failed; i++) {
        arrays->headers[i].name = reader_slice(in);
        arrays->headers[i].value = reader_slice(in);
    }
}

static void encode_put(struct buf *out, const struct command *command)
{
    const struct cmd_put *put = &command->put;
    buf_slice(out, put->queue);
    buf_u64(out, put->timeout_ms);
    write_slices(out, put->bodies, put->count);
}

static void decode_put(struct reader *in, struct arrays *arrays, struct command *command)
{
    struct cmd_put *put = &command->put;
    put->queue = reader_slice(in);
    put->timeout_ms = reader_u64(in);
    put->bodies = arrays->slices;
    put->count = read_slices(in, arrays->slices, LIMIT_BATCH);
}

static void encode_put_many(struct buf *out, const struct command *command)
{
    encode_put(out, command);
    buf_u8(out, command->put.options != NULL);
    if (command->put.options) {
        encode_options(out, command->put.options);
    }
}

static void decode_put_many(struct reader *in, struct arrays *arrays, struct command *command)
{
    decode_put(in, arrays, command);
    if (read_bool(in)) {
        decode_options(in, arrays);
        command->put.options = &arrays->options;
    }
}

static void encode_get(struct buf *out, const struct command *command)
{
    const struct cmd_get *get = &command->get;
    write_slices(out, get->queues, get->queues_count);
    buf_u64(out, get->max);
    buf_u64(out, get->timeout_ms);
    buf_u64(out, get->lease_ms);
    buf_u64(out, get->credit_messages);
    buf_u64(out, get->credit_bytes);
    buf_u8(out, get->auto_ack);
}

static void decode_get(struct reader *in, struct arrays *arrays, struct command *command)
{
    struct cmd_get *get = &command->get;
    get->queues = arrays->slices;
    get->queues_count = read_slices(in, arrays->slices, LIMIT_GET_QUEUES);
    get->max = reader_u64(in);
    get->timeout_ms = reader_u64(in);
    get->lease_ms = reader_u64(in);
    get->credit_messages = reader_u64(in);
    get->credit_bytes = reader_u64(in);
    get->auto_ack = read_bool(in);
}

static void encode_settle(struct buf *out, const struct command *command)
{
    const struct cmd_settle *settle = &command->settle;
    buf_u64(out, settle->first_tag);
    buf_u64(out, settle->count);
    buf_u64(out, settle->delay_ms);
    buf_u64(out, settle->lease_ms);
    buf_slice(out, settle->reason);
}

static void decode_settle(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    struct cmd_settle *settle = &command->settle;
    settle->first_tag = reader_u64(in);
    settle->count = reader_u64(in);
    settle->delay_ms = reader_u64(in);
    settle->lease_ms = reader_u64(in);
    settle->reason = reader_slice(in);
}

/* ---- locks ---------------------------------------------------------------------------------- */

static void encode_acquire(struct buf *out, const struct command *command)
{
    const struct cmd_acquire *acquire = &command->acquire;
    buf_slice(out, acquire->name);
    buf_u8(out, (uint8_t)acquire->kind);
    buf_u64(out, acquire->owner);
    buf_u64(out, acquire->timeout_ms);
    buf_u64(out, acquire->lease_ms);
    buf_u64(out, acquire->permits);
    buf_u8(out, acquire->reentrant);
}

static void decode_acquire(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    struct cmd_acquire *acquire = &command->acquire;
    acquire->name = reader_slice(in);
    acquire->kind = (enum lock_kind)read_below(in, LOCK_SEMAPHORE + 1);
    acquire->owner = reader_u64(in);
    acquire->timeout_ms = reader_u64(in);
    acquire->lease_ms = reader_u64(in);
    acquire->permits = reader_u64(in);
    acquire->reentrant = read_bool(in);
}

static void encode_unlock(struct buf *out, const struct command *command)
{
    buf_slice(out, command->unlock.name);
    buf_u64(out, command->unlock.owner);
    buf_u64(out, command->unlock.token);
    buf_u64(out, command->unlock.lease_ms);
}

static void decode_unlock(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->unlock.name = reader_slice(in);
    command->unlock.owner = reader_u64(in);
    command->unlock.token = reader_u64(in);
    command->unlock.lease_ms = reader_u64(in);
}

/* ---- administration ------------------------------------------------------------------------- */

static void encode_named(struct buf *out, const struct command *command)
{
    buf_slice(out, command->named.name);
    buf_u8(out, command->named.immediate);
}

static void decode_named(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->named.name = reader_slice(in);
    command->named.immediate = read_bool(in);
}

static void encode_queue(struct buf *out, const struct command *command)
{
    const struct queue_options *options = &command->queue.options;
    buf_slice(out, command->queue.name);
    buf_u32(out, options->given);
    buf_u8(out, (uint8_t)options->overflow);
    buf_u64(out, options->maxsize);
    buf_u64(out, options->max_bytes);
    buf_u64(out, options->lease_ms);
    buf_u64(out, options->max_deliveries);
    buf_u64(out, options->ttl_ms);
    buf_u64(out, options->delay_ms);
    buf_u64(out, options->dedup_window_ms);
    buf_slice(out, options->dead_letter);
}

static void decode_queue(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    struct queue_options *options = &command->queue.options;
    command->queue.name = reader_slice(in);
    options->given = reader_u32(in);
    in->failed |= (options->given & ~(uint32_t)QUEUE_OPTIONS_ALL) != 0;
    options->overflow = (enum overflow)read_below(in, OVERFLOW_DROP_OLDEST + 1);
    options->maxsize = reader_u64(in);
    options->max_bytes = reader_u64(in);
    options->lease_ms = reader_u64(in);
    options->max_deliveries = reader_u64(in);
    options->ttl_ms = reader_u64(in);
    options->delay_ms = reader_u64(in);
    options->dedup_window_ms = reader_u64(in);
    options->dead_letter = reader_slice(in);
}

static void encode_page(struct buf *out, const struct command *command)
{
    buf_slice(out, command->page.after);
    buf_slice(out, command->page.prefix);
    buf_u64(out, command->page.max);
}

static void decode_page(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->page.after = reader_slice(in);
    command->page.prefix = reader_slice(in);
    command->page.max = reader_u64(in);
}

static void encode_peek(struct buf *out, const struct command *command)
{
    buf_slice(out, command->peek.name);
    buf_u64(out, command->peek.offset);
    buf_u64(out, command->peek.max);
}

static void decode_peek(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->peek.name = reader_slice(in);
    command->peek.offset = reader_u64(in);
    command->peek.max = reader_u64(in);
}

static void encode_redrive(struct buf *out, const struct command *command)
{
    buf_slice(out, command->redrive.name);
    buf_slice(out, command->redrive.target);
    buf_u64(out, command->redrive.max);
}

static void decode_redrive(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->redrive.name = reader_slice(in);
    command->redrive.target = reader_slice(in);
    command->redrive.max = reader_u64(in);
}

static void encode_join(struct buf *out, const struct command *command)
{
    buf_slice(out, command->join.name);
    buf_u64(out, command->join.timeout_ms);
}

static void decode_join(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->join.name = reader_slice(in);
    command->join.timeout_ms = reader_u64(in);
}

static void encode_refuse(struct buf *out, const struct command *command)
{
    buf_u64(out, command->refuse.count);
    buf_u8(out, (uint8_t)-command->refuse.code);
    buf_slice(out, command->refuse.object);
}

static void decode_refuse(struct reader *in, struct arrays *arrays, struct command *command)
{
    (void)arrays;
    command->refuse.count = reader_u64(in);
    command->refuse.code = -(int)read_below(in, ERROR_NUMBER_MAX + 1);
    in->failed |= command->refuse.code == STW_OK;
    command->refuse.object = reader_slice(in);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const struct {
    encode_payload *encode;
    decode_payload *decode;
} codecs[COMMAND_KIND_END] = {
    [COMMAND_BOOTSTRAP] = {encode_bootstrap, decode_bootstrap},
    [COMMAND_TICK] = {encode_none, decode_none},
    [COMMAND_LEADER_START] = {encode_none, decode_none},
    [COMMAND_CLOCK_GAP] = {encode_number, decode_number},
    [COMMAND_SESSION_OPEN] = {encode_open, decode_open},
    [COMMAND_SESSION_RESUME] = {encode_resume, decode_resume},
    [COMMAND_SESSION_END] = {encode_text, decode_text},
    [COMMAND_SEEN] = {encode_seen, decode_seen},
    [COMMAND_HANDED] = {encode_number, decode_number},
    [COMMAND_CREDIT] = {encode_credit, decode_credit},
    [COMMAND_PUT] = {encode_put, decode_put},
    [COMMAND_PUT_MANY] = {encode_put_many, decode_put_many},
    [COMMAND_GET] = {encode_get, decode_get},
    [COMMAND_CONSUME] = {encode_get, decode_get},
    [COMMAND_UNCONSUME] = {encode_number, decode_number},
    [COMMAND_ACK] = {encode_settle, decode_settle},
    [COMMAND_NACK] = {encode_settle, decode_settle},
    [COMMAND_RELEASE] = {encode_settle, decode_settle},
    [COMMAND_REJECT] = {encode_settle, decode_settle},
    [COMMAND_RENEW] = {encode_settle, decode_settle},
    [COMMAND_CANCEL] = {encode_number, decode_number},
    [COMMAND_ACQUIRE] = {encode_acquire, decode_acquire},
    [COMMAND_UNLOCK] = {encode_unlock, decode_unlock},
    [COMMAND_LOCK_RENEW] = {encode_unlock, decode_unlock},
    [COMMAND_LOCK_BREAK] = {encode_named, decode_named},
    [COMMAND_LOCK_SHOW] = {encode_named, decode_named},
    [COMMAND_LOCK_LIST] = {encode_page, decode_page},
    [COMMAND_QUEUE_DECLARE] = {encode_queue, decode_queue},
    [COMMAND_QUEUE_ALTER] = {encode_queue, decode_queue},
    [COMMAND_QUEUE_DELETE] = {encode_named, decode_named},
    [COMMAND_QUEUE_PURGE] = {encode_named, decode_named},
    [COMMAND_QUEUE_PAUSE] = {encode_named, decode_named},
    [COMMAND_QUEUE_RESUME] = {encode_named, decode_named},
    [COMMAND_QUEUE_SHUTDOWN] = {encode_named, decode_named},
    [COMMAND_QUEUE_PEEK] = {encode_peek, decode_peek},
    [COMMAND_QUEUE_REDRIVE] = {encode_redrive, decode_redrive},
    [COMMAND_QUEUE_SHOW] = {encode_named, decode_named},
    [COMMAND_QUEUE_LIST] = {encode_page, decode_page},
    [COMMAND_QUEUE_JOIN] = {encode_join, decode_join},
    [COMMAND_SESSION_LIST] = {encode_page, decode_page},
    [COMMAND_SESSION_SHOW] = {encode_number, decode_number},
    [COMMAND_SESSION_KILL] = {encode_number, decode_number},
    [COMMAND_STAT] = {encode_none, decode_none},
    [COMMAND_REFUSE] = {encode_refuse, decode_refuse},
    [COMMAND_SESSION_DETACH] = {encode_number, decode_number},
};

static bool kind_known(uint8_t kind)
{
    return kind < COMMAND_KIND_END && codecs[kind].encode;
}

void command_encode(struct buf *out, const struct command *command)
{
    buf_u8(out, COMMAND_VERSION);
    buf_u8(out, (uint8_t)command->kind);
    buf_u64(out, command->session);
    buf_u64(out, command->request);
    if (kind_known((uint8_t)command->kind)) {
        codecs[command->kind].encode(out, command);
    }
}

int command_decode(struct slice input, struct command_arena *arena, struct command *command)
{
    buf_clear(&arena->arrays);
    struct arrays *arrays = (struct arrays *)(void *)buf_reserve(&arena->arrays, sizeof *arrays);
    struct reader in;
    reader_init(&in, input);
    uint8_t version = reader_u8(&in);
    uint8_t kind = reader_u8(&in);
    if (!in.failed && version != COMMAND_VERSION) {
        return STW_EVERSION;
    }
    if (in.failed || !kind_known(kind)) {
        return STW_EPROTO;
    }
    memset(command, 0, sizeof *command);
    command->kind = (enum command_kind)kind;
    command->session = reader_u64(&in);
    command->request = reader_u64(&in);
    codecs[kind].decode(&in, arrays, command);
    return reader_done(&in) ? STW_OK : STW_EPROTO;
}
