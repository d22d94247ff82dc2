/* Getting: a request that waits at the manager, and its messages. */
#include "client/lib/client.h"

void stw_get_options_init(stw_get_options *options)
{
    *options =
        (stw_get_options){.size = sizeof *options, .timeout_ms = -1, .lease_ms = STW_DEFAULT};
}

int get_write_queues(stw_client *client, struct buf *out, const char *const *queues, size_t count)
{
    if (queues == NULL || count == 0 || count > LIMIT_GET_QUEUES) {
        return client_fail(client, STW_EINVAL, "%zu queues: 1 to %d are possible", count,
                           LIMIT_GET_QUEUES);
    }
    wire_write_array(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        if (!client_good_name(queues[i])) {
            return client_fail(client, STW_EINVAL, "not a valid name of a queue");
        }
        wire_write_str(out, slice_str(queues[i]));
    }
    return 0;
}

struct get {
    const char *const *queues;
    size_t queues_count;
    const stw_get_options *options;
    size_t max;
};

static int get_submit(stw_client *client, const struct get *get, stw_future **future)
{
    uint64_t lease_ms, timeout_ms = client_timeout(get->options->timeout_ms);
    if (get->max == 0 || get->max > LIMIT_BATCH || get->options->size != sizeof *get->options ||
        !client_setting(get->options->lease_ms, &lease_ms)) {
        return client_fail(client, STW_EINVAL, "a get: options or count not valid");
    }
    struct buf tail = {0};
    int code = get_write_queues(client, &tail, get->queues, get->queues_count);
    if (code == 0) {
        wire_write_uint(&tail, get->max);
        wire_write_uint_or_nil(&tail, timeout_ms);
        wire_write_uint_or_nil(&tail, lease_ms);
        wire_write_bool(&tail, get->options->auto_ack);
        code = request_submit(
            client,
            &(struct conn_request){
                .op = WIRE_GET, .fields = 5, .tail = buf_view(&tail), .timeout_ms = timeout_ms},
            future);
    }
    buf_fini(&tail);
    if (code == 0) {
        (*future)->auto_ack = get->options->auto_ack;
    }
    return code;
}

static int get_messages(stw_client *client, const struct get *get, stw_message **messages,
                        size_t *count)
{
    stw_future *future;
    *count = 0;
    int code = get_submit(client, get, &future);
    if (code != 0) {
        return code;
    }
    code = future_finish(future);
    struct item item;
    while (code == 0 && *count < get->max && items_pop(&future->items, &item)) {
        messages[*count] = message_take(client, &item, get->options->auto_ack);
        messages[*count]->epoch = future->epoch;
        (*count)++;
    }
    future_free_locked(future);
    return code;
}

int stw_get(stw_client *client, const char *queue, int64_t timeout_ms, stw_message **message)
{
    if (message == NULL) {
        return STW_EINVAL;
    }
    *message = NULL;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_get_options options;
    stw_get_options_init(&options);
    options.timeout_ms = timeout_ms;
    size_t count;
    code = get_messages(client, &(struct get){&queue, 1, &options, 1}, message, &count);
    client_leave(client);
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_get_many(stw_client *client, const char *const *queues, size_t queues_count,
                 const stw_get_options *options, stw_message **messages, size_t messages_max,
                 size_t *count)
{
    if (messages == NULL || count == NULL) {
        return STW_EINVAL;
    }
    *count = 0;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_get_options defaults;
    stw_get_options_init(&defaults);
    struct get get = {queues, queues_count, options ? options : &defaults, messages_max};
    code = get_messages(client, &get, messages, count);
    client_leave(client);
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_get_async(stw_client *client, const char *const *queues, size_t queues_count,
                  const stw_get_options *options, size_t messages_max, stw_future **future)
{
    if (future == NULL) {
        return STW_EINVAL;
    }
    *future = NULL;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_get_options defaults;
    stw_get_options_init(&defaults);
    struct get get = {queues, queues_count, options ? options : &defaults, messages_max};
    code = wait_room(client);
    code = code ? code : get_submit(client, &get, future);
    client_leave(client);
    return code;
}
