/* Putting: single items in runs, many at once with options. */
#include "client/lib/client.h"

#include <limits.h>

/* The interned name of a queue, borrowed; NULL: not a valid name. Lock held. */
static struct name *put_queue(stw_client *client, const char *queue)
{
    if (client->last_name && queue && strcmp(client->last_name->text, queue) == 0) {
        return client->last_name;
    }
    if (!client_good_name(queue)) {
        client_fail(client, STW_EINVAL, "not a valid name of a queue");
        return NULL;
    }
    struct names *names = conn_names(client->conn);
    names_release(names, client->last_name);
    client->last_name = names_intern(names, slice_str(queue));
    return client->last_name;
}

static int check_size(stw_client *client, size_t size)
{
    uint64_t most = conn_body_max(client->conn);
    if (size > (most ? most : LIMIT_BODY_CEILING_BYTES)) {
        return client_fail(client, STW_ETOOBIG, "a body of %zu bytes: at most %llu are allowed",
                           size, (unsigned long long)most);
    }
    return 0;
}

/* The locked half of a put, behind wait_room or wait_usable, whose code is given. wanted->block is
 * consumed in any case. */
static int put_submit(stw_client *client, const char *queue, const struct conn_put *wanted,
                      int code, stw_future **future)
{
    struct conn_put put = *wanted;
    code = code ? code : check_size(client, put.body.size);
    put.queue = code ? NULL : put_queue(client, queue);
    if (put.queue == NULL) {
        blocks_release(&(struct blocks){0}, put.block);
        return code ? code : STW_EINVAL;
    }
    stw_future *made = future ? future_new(client) : NULL;
    bool timed = put.timeout_ms != UINT64_MAX;
    conn_put(client->conn, timed ? driver_now() : 0, made ? &made->ticket : NULL, &put);
    if (future) {
        *future = made;
    }
    driver_submitted(client);
    return 0;
}

static int put_enter(stw_client *client, struct slice body, struct conn_put *put)
{
    if (client == NULL || (body.data == NULL && body.size > 0)) {
        return STW_EINVAL;
    }
    *put = (struct conn_put){.body = body};
    if (body.size > BLOCK_SHARED_BYTES && body.size <= LIMIT_BODY_CEILING_BYTES) {
        put->block = block_new(body.size); /* copied before the lock is taken */
        memcpy(put->block->data, body.data, body.size);
        put->body.data = put->block->data;
    }
    int code = client_enter(client);
    if (code != 0) {
        blocks_release(&(struct blocks){0}, put->block);
    }
    return code;
}

int stw_put(stw_client *client, const char *queue, const void *data, size_t size,
            int64_t timeout_ms)
{
    struct conn_put put;
    int code = put_enter(client, slice_of(data, size), &put);
    if (code != 0) {
        return code;
    }
    stw_future *future;
    put.timeout_ms = client_timeout(timeout_ms);
    code = put_submit(client, queue, &put, wait_usable(client), &future);
    if (code == 0) {
        code = future_finish_free(future);
    }
    client_leave(client);
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_put_async(stw_client *client, const char *queue, const void *data, size_t size,
                  int64_t timeout_ms, stw_future **future)
{
    struct conn_put put;
    int code = put_enter(client, slice_of(data, size), &put);
    if (future) {
        *future = NULL;
    }
    if (code != 0) {
        return code;
    }
    put.timeout_ms = client_timeout(timeout_ms);
    code = put_submit(client, queue, &put, wait_room(client), future);
    client_leave(client);
    return code;
}

/* ---- many ---- */

void stw_put_options_init(stw_put_options *options)
{
    *options = (stw_put_options){
        .size = sizeof *options, .timeout_ms = -1, .delay_ms = STW_DEFAULT, .ttl_ms = STW_DEFAULT};
}

static void write_setting(struct buf *out, const char *key, uint64_t value)
{
    if (value != UINT64_MAX) {
        wire_write_str(out, slice_str(key));
        wire_write_uint(out, value);
    }
}

static bool good_headers(const stw_put_options *options)
{
    size_t bytes = 0;
    if (options->headers_count > LIMIT_HEADERS ||
        (options->headers_count > 0 && options->headers == NULL)) {
        return false;
    }
    for (size_t i = 0; i < options->headers_count; i++) {
        const stw_header *header = &options->headers[i];
        if (header->name == NULL || header->value == NULL || !wire_utf8(slice_str(header->name)) ||
            !wire_utf8(slice_str(header->value))) {
            return false;
        }
        bytes += strlen(header->name) + strlen(header->value);
    }
    return bytes <= LIMIT_HEADER_BYTES;
}

/* The options map; false: not valid. */
static bool write_options(struct buf *out, const stw_put_options *options, size_t count)
{
    uint64_t delay, ttl;
    if (!client_setting(options->delay_ms, &delay) || !client_setting(options->ttl_ms, &ttl) ||
        !good_headers(options) || options->dedup_id_size > LIMIT_DEDUP_ID_BYTES ||
        (options->dedup_id_size > 0 && (count != 1 || options->dedup_id == NULL))) {
        return false;
    }
    wire_write_map(out, (uint32_t)(delay != UINT64_MAX) + (ttl != UINT64_MAX) +
                            (options->priority != 0) + (options->dedup_id_size > 0) +
                            (options->headers_count > 0));
    write_setting(out, "delay_ms", delay);
    write_setting(out, "ttl_ms", ttl);
    write_setting(out, "priority", options->priority ? options->priority : UINT64_MAX);
    if (options->dedup_id_size > 0) {
        wire_write_str(out, slice_str("dedup_id"));
        wire_write_bin(out, slice_of(options->dedup_id, options->dedup_id_size));
    }
    if (options->headers_count > 0) {
        wire_write_str(out, slice_str("headers"));
        wire_write_map(out, (uint32_t)options->headers_count);
        for (size_t i = 0; i < options->headers_count; i++) {
            wire_write_str(out, slice_str(options->headers[i].name));
            wire_write_str(out, slice_str(options->headers[i].value));
        }
    }
    return true;
}

/* The body that travels as the second frame: the largest, if it is large; else count. */
static size_t pick_large(const stw_item *items, size_t count)
{
    size_t largest = 0;
    for (size_t i = 1; i < count; i++) {
        largest = items[i].size > items[largest].size ? i : largest;
    }
    return items[largest].size >= LIMIT_BODY_FRAME_BYTES ? largest : count;
}

struct many {
    const char *queue;
    const stw_item *items;
    size_t count;
    const stw_put_options *options;
};

/* The record's values behind the id; large: which body stands apart. */
static int write_many(stw_client *client, struct buf *out, const struct many *many, size_t *large)
{
    wire_write_str(out, slice_str(many->queue));
    wire_write_uint_or_nil(out, client_timeout(many->options->timeout_ms));
    if (!write_options(out, many->options, many->count)) {
        return client_fail(client, STW_EINVAL, "the options of a put are not valid");
    }
    *large = pick_large(many->items, many->count);
    wire_write_array(out, (uint32_t)many->count);
    for (size_t i = 0; i < many->count; i++) {
        const stw_item *item = &many->items[i];
        if (item->data == NULL && item->size > 0) {
            return client_fail(client, STW_EINVAL, "item %zu has a size and no data", i);
        }
        int code = check_size(client, item->size);
        if (code != 0) {
            return code;
        }
        if (i == *large) {
            wire_write_nil(out);
        } else if (out->size + item->size + 16 > LIMIT_PACKET_CEILING_BYTES - 1024) {
            return client_fail(client, STW_ETOOBIG,
                               "%zu items are more than one packet holds: put fewer at once",
                               many->count);
        } else {
            wire_write_bin(out, slice_of(item->data, item->size));
        }
    }
    return 0;
}

static int many_submit(stw_client *client, const struct many *many, stw_future **future)
{
    if (!client_good_name(many->queue) || many->items == NULL || many->count == 0 ||
        many->count > LIMIT_BATCH || many->options->size != sizeof *many->options) {
        return client_fail(client, STW_EINVAL, "a put of many: name, items or options not valid");
    }
    struct buf tail = {0};
    size_t large = many->count;
    int code = write_many(client, &tail, many, &large);
    if (code == 0) {
        struct conn_request request = {.op = WIRE_PUT,
                                       .fields = 4,
                                       .tail = buf_view(&tail),
                                       .timeout_ms = client_timeout(many->options->timeout_ms)};
        if (large < many->count) {
            request.large = slice_of(many->items[large].data, many->items[large].size);
        }
        code = request_submit(client, &request, future);
    }
    buf_fini(&tail);
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_put_many(stw_client *client, const char *queue, const stw_item *items, size_t count,
                 const stw_put_options *options, bool *duplicate)
{
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_put_options defaults;
    stw_put_options_init(&defaults);
    stw_future *future;
    code = many_submit(client, &(struct many){queue, items, count, options ? options : &defaults},
                       &future);
    if (code == 0) {
        code = future_finish(future);
        if (duplicate) {
            *duplicate = code == 0 && future->number == 1;
        }
        future_free_locked(future);
    }
    client_leave(client);
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_put_many_async(stw_client *client, const char *queue, const stw_item *items, size_t count,
                       const stw_put_options *options, stw_future **future)
{
    int code = client_enter(client);
    if (future) {
        *future = NULL;
    }
    if (code != 0) {
        return code;
    }
    stw_put_options defaults;
    stw_put_options_init(&defaults);
    stw_future *made;
    struct many many = {queue, items, count, options ? options : &defaults};
    code = wait_room(client);
    code = code ? code : many_submit(client, &many, &made);
    if (code == 0) {
        future_give(made, future);
    }
    client_leave(client);
    return code;
}
