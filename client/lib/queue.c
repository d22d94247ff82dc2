/* Queues as objects: declaring, altering, purging, joining. */
#include "client/lib/client.h"

void stw_queue_options_init(stw_queue_options *options)
{
    *options = (stw_queue_options){.size = sizeof *options,
                                   .lease_ms = LIMIT_LEASE_MS,
                                   .dedup_window_ms = LIMIT_DEDUP_WINDOW_MS};
}

/* ---- requests that begin with a name ---- */

/* Enters, checks the name and begins the record's values with it. */
static int begin(stw_client *client, const char *queue, struct buf *tail)
{
    *tail = (struct buf){0};
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    if (!client_good_name(queue)) {
        code = client_fail(client, STW_EINVAL, "not a valid name of a queue");
        client_leave(client);
        return code;
    }
    wire_write_str(tail, slice_str(queue));
    return 0;
}

/* Sends it, waits, and leaves. */
static int finish(stw_client *client, struct conn_request request, struct buf *tail,
                  uint64_t *number)
{
    request.tail = buf_view(tail);
    int code = request_call(client, &request, number);
    buf_fini(tail);
    client_leave(client);
    return code;
}

static int simple(stw_client *client, const char *queue, uint8_t op, uint64_t *number)
{
    struct buf tail;
    int code = begin(client, queue, &tail);
    if (code != 0) {
        return code;
    }
    struct conn_request request = {.op = op, .fields = 1, .timeout_ms = UINT64_MAX};
    return finish(client, request, &tail, number);
}

int stw_queue_delete(stw_client *client, const char *queue)
{
    return simple(client, queue, WIRE_QUEUE_DELETE, NULL);
}

int stw_queue_purge(stw_client *client, const char *queue, uint64_t *count)
{
    return simple(client, queue, WIRE_QUEUE_PURGE, count);
}

int stw_queue_pause(stw_client *client, const char *queue)
{
    return simple(client, queue, WIRE_QUEUE_PAUSE, NULL);
}

int stw_queue_resume(stw_client *client, const char *queue)
{
    return simple(client, queue, WIRE_QUEUE_RESUME, NULL);
}

int stw_queue_shutdown(stw_client *client, const char *queue, bool immediate)
{
    struct buf tail;
    int code = begin(client, queue, &tail);
    if (code != 0) {
        return code;
    }
    wire_write_bool(&tail, immediate);
    struct conn_request request = {
        .op = WIRE_QUEUE_SHUTDOWN, .fields = 2, .timeout_ms = UINT64_MAX};
    return finish(client, request, &tail, NULL);
}

int stw_queue_redrive(stw_client *client, const char *queue, const char *target, uint64_t max,
                      uint64_t *count)
{
    struct buf tail;
    int code = begin(client, queue, &tail);
    if (code != 0) {
        return code;
    }
    if (target && target[0] && !client_good_name(target)) {
        buf_fini(&tail);
        code = client_fail(client, STW_EINVAL, "the target is not a valid name of a queue");
        client_leave(client);
        return code;
    }
    wire_write_str(&tail, slice_str(target ? target : ""));
    wire_write_uint(&tail, max);
    struct conn_request request = {.op = WIRE_QUEUE_REDRIVE, .fields = 3, .timeout_ms = UINT64_MAX};
    return finish(client, request, &tail, count);
}

int stw_queue_join(stw_client *client, const char *queue, int64_t timeout_ms)
{
    struct buf tail;
    int code = begin(client, queue, &tail);
    if (code != 0) {
        return code;
    }
    uint64_t timeout = client_timeout(timeout_ms);
    wire_write_uint_or_nil(&tail, timeout);
    struct conn_request request = {.op = WIRE_QUEUE_JOIN, .fields = 2, .timeout_ms = timeout};
    return finish(client, request, &tail, NULL);
}

/* ---- options ---- */

static void write_number(struct buf *out, const stw_queue_options *options,
                         enum stw_queue_option option, const char *key, uint64_t value)
{
    if (options->given & option) {
        wire_write_str(out, slice_str(key));
        wire_write_uint(out, value);
    }
}

static bool write_options(struct buf *out, const stw_queue_options *o)
{
    static const char *const overflows[] = {"block", "reject", "drop_oldest"};
    if (o->given >= STW_QUEUE_DEDUP_WINDOW * 2 ||
        (o->given & STW_QUEUE_OVERFLOW &&
         (unsigned)o->overflow >= sizeof overflows / sizeof *overflows) ||
        (o->given & STW_QUEUE_DEAD_LETTER && !client_good_name(o->dead_letter))) {
        return false;
    }
    wire_write_map(out, (uint32_t)__builtin_popcount(o->given));
    write_number(out, o, STW_QUEUE_MAXSIZE, "maxsize", o->maxsize);
    write_number(out, o, STW_QUEUE_MAX_BYTES, "max_bytes", o->max_bytes);
    write_number(out, o, STW_QUEUE_LEASE, "lease_ms", o->lease_ms);
    write_number(out, o, STW_QUEUE_MAX_DELIVERIES, "max_deliveries", o->max_deliveries);
    write_number(out, o, STW_QUEUE_TTL, "ttl_ms", o->ttl_ms);
    write_number(out, o, STW_QUEUE_DELAY, "delay_ms", o->delay_ms);
    write_number(out, o, STW_QUEUE_DEDUP_WINDOW, "dedup_window_ms", o->dedup_window_ms);
    if (o->given & STW_QUEUE_OVERFLOW) {
        wire_write_str(out, slice_str("overflow"));
        wire_write_str(out, slice_str(overflows[o->overflow]));
    }
    if (o->given & STW_QUEUE_DEAD_LETTER) {
        wire_write_str(out, slice_str("dead_letter"));
        wire_write_str(out, slice_str(o->dead_letter));
    }
    return true;
}

static int with_options(stw_client *client, const char *queue, uint8_t op,
                        const stw_queue_options *options)
{
    struct buf tail;
    int code = begin(client, queue, &tail);
    if (code != 0) {
        return code;
    }
    stw_queue_options defaults;
    stw_queue_options_init(&defaults);
    options = options ? options : &defaults;
    if (options->size != sizeof *options || !write_options(&tail, options)) {
        buf_fini(&tail);
        code = client_fail(client, STW_EINVAL, "the options of queue '%s' are not valid", queue);
        client_leave(client);
        return code;
    }
    return finish(client, (struct conn_request){.op = op, .fields = 2, .timeout_ms = UINT64_MAX},
                  &tail, NULL);
}

int stw_queue_declare(stw_client *client, const char *queue, const stw_queue_options *options)
{
    return with_options(client, queue, WIRE_QUEUE_DECLARE, options);
}

int stw_queue_alter(stw_client *client, const char *queue, const stw_queue_options *options)
{
    return with_options(client, queue, WIRE_QUEUE_ALTER, options);
}

int stw_queue_qsize(stw_client *client, const char *queue, uint64_t *count)
{
    if (count == NULL) {
        return STW_EINVAL;
    }
    stw_rows *rows;
    stw_value ready = {0};
    int code = stw_queue_show(client, queue, &rows);
    if (code == 0 && !stw_rows_find(rows, 0, "ready", &ready)) {
        code = STW_EPROTO;
    }
    *count = code == 0 ? ready.number : 0;
    stw_rows_free(&rows);
    return code;
}
