/* Consumers: the stream itself is conn's (conn_stream.c); here is who waits for it. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <stdlib.h>

void stw_consume_options_init(stw_consume_options *options)
{
    *options = (stw_consume_options){.size = sizeof *options,
                                     .prefetch = LIMIT_CREDIT_MESSAGES,
                                     .prefetch_bytes = LIMIT_CREDIT_BYTES,
                                     .lease_ms = STW_DEFAULT};
}

static void consumer_free(stw_consumer *consumer)
{
    stw_client *client = consumer->client;
    if (consumer->stream && !client->closed) {
        conn_consumer_close(client->conn, &consumer->stream);
        driver_submitted(client);
    }
    free(consumer);
    client->refs--; /* the caller holds another */
}

static int consume(stw_client *client, struct slice queues, const stw_consume_options *options,
                   stw_consumer **out)
{
    struct conn_consume wanted = {
        .queues = queues, .messages = options->prefetch, .bytes = options->prefetch_bytes};
    if (options->size != sizeof *options || options->prefetch == 0 ||
        options->prefetch_bytes == 0 || options->prefetch > INT32_MAX ||
        options->prefetch_bytes > INT64_MAX / 4 ||
        !client_setting(options->lease_ms, &wanted.lease_ms)) {
        return client_fail(client, STW_EINVAL, "the options of a consumer are not valid");
    }
    int code = wait_usable(client);
    if (code != 0) {
        return code;
    }
    stw_consumer *consumer = mem_zalloc(1, sizeof *consumer);
    consumer->client = client;
    client_hold(client);
    wanted.user = consumer;
    stw_future *future = future_new(client);
    consumer->stream = conn_consume(client->conn, driver_now(), &future->ticket, &wanted);
    code = future_finish(future);
    if (code != 0) {
        consumer_free(consumer);
        consumer = NULL;
    }
    future_free_locked(future);
    *out = consumer;
    return code;
}

int stw_consume(stw_client *client, const char *const *queues, size_t queues_count,
                const stw_consume_options *options, stw_consumer **consumer)
{
    if (consumer == NULL) {
        return STW_EINVAL;
    }
    *consumer = NULL;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_consume_options defaults;
    stw_consume_options_init(&defaults);
    struct buf names = {0};
    code = get_write_queues(client, &names, queues, queues_count);
    if (code == 0) {
        code = consume(client, buf_view(&names), options ? options : &defaults, consumer);
    }
    buf_fini(&names);
    client_leave(client);
    return code;
}

struct next_waiter {
    struct waiter waiter; /* first */
    struct item *item;
    int *state;
};

/* Takes the next message, or finds out why there is none: both only once. */
static bool next_ready(const struct waiter *waiter)
{
    const struct next_waiter *next = (const struct next_waiter *)waiter;
    struct stw_consumer *consumer = (stw_consumer *)(uintptr_t)waiter->subject;
    struct conn *conn = waiter->client->conn;
    if (conn_consumer_next(conn, 0, consumer->stream, next->item)) {
        *next->state = 1;
        return true;
    }
    *next->state = conn_consumer_state(consumer->stream);
    return *next->state != 0;
}

static int next_item(stw_consumer *consumer, int64_t timeout_ms, struct item *item)
{
    stw_client *client = consumer->client;
    int state = 0;
    struct next_waiter next = {
        .waiter = {.ready = next_ready, .client = client, .subject = consumer},
        .item = item,
        .state = &state};
    if (next_ready(&next.waiter)) {
        if (conn_urgent(client->conn)) {
            driver_step(client, true); /* credit: half of the buffer is used */
        }
        return state > 0 ? 0 : client_fail(client, state, "%s", stw_strerror(state));
    }
    uint64_t deadline = wait_deadline(timeout_ms);
    consumer->watchers++;
    int code = wait_until(&next.waiter, deadline);
    consumer->watchers--;
    if (code == STW_EAGAIN) {
        code = timeout_ms == 0 ? STW_EEMPTY : STW_ETIMEOUT;
    } else if (code == 0 && state < 0) {
        code = state;
    }
    return code ? client_fail(client, code, "%s", stw_strerror(code)) : 0;
}

int stw_consumer_next(stw_consumer *consumer, int64_t timeout_ms, stw_message **message)
{
    if (message == NULL) {
        return STW_EINVAL;
    }
    *message = NULL;
    int code = consumer ? client_enter(consumer->client) : STW_EINVAL;
    if (code != 0) {
        return code;
    }
    struct item item;
    code = next_item(consumer, timeout_ms, &item);
    if (code == 0) {
        *message = message_take(consumer->client, &item, false);
    }
    client_leave(consumer->client);
    return code;
}

void stw_consumer_close(stw_consumer **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_consumer *consumer = *pointer;
    stw_client *client = consumer->client;
    *pointer = NULL;
    bool forked = !client_enter_free(client);
    bool closed = client->closed;
    client->closed = closed || forked;
    client_hold(client);
    consumer_free(consumer);
    if (!client->closed) {
        driver_step(client, true);
    }
    client->closed = closed;
    client_drop(client);
}
