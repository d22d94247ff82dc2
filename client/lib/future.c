/* Futures: the outcomes of requests. Pooled; conn knows them by the ticket at their beginning. */
#include "client/lib/client.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <stdlib.h>

/* The future is made by the request that follows: its state is what other threads may read. */
stw_future *future_new(stw_client *client)
{
    stw_future *future = client->futures_spare;
    if (future) {
        client->futures_spare = future->next;
    } else {
        future = mem_alloc(sizeof *future);
    }
    *future = (stw_future){.client = client, .epoch = conn_epoch(client->conn)};
    client_hold(client);
    return future;
}

static void keep_outcome(stw_future *future, const struct outcome *outcome)
{
    future->code = outcome->code;
    future->op = outcome->op;
    future->number = outcome->number;
    future->depth = outcome->depth;
    if (outcome->code == 0 && outcome->items) {
        future->items = *outcome->items;
        *outcome->items = (struct items){0};
    }
    if (outcome->rows.size > 0) {
        buf_add(&future->rows, outcome->rows.data, outcome->rows.size);
    }
    if (outcome->text.size > 0) {
        future->text = mem_alloc(outcome->text.size + 1);
        memcpy(future->text, outcome->text.data, outcome->text.size);
        future->text[outcome->text.size] = 0;
    }
}

void future_done(void *context, struct ticket *ticket, const struct outcome *outcome)
{
    stw_client *client = context;
    stw_future *future = (stw_future *)ticket;
    keep_outcome(future, outcome);
    future->epoch = conn_epoch(client->conn);
    if (future->lock && outcome->code == 0) {
        lock_granted(future);
    }
    atomic_store_explicit(&future->state, FUTURE_DONE, memory_order_release);
    if (future->watchers) {
        wait_wake(client, future);
    }
    if (client->any_watchers) {
        wait_wake(client, &client->any_watchers);
    }
    if (future->completions) {
        completions_done(future);
    }
}

static bool is_done(const stw_future *future)
{
    return atomic_load_explicit(&((stw_future *)(uintptr_t)future)->state, memory_order_acquire) ==
           FUTURE_DONE;
}

/* ---- waiting ---- */

static bool future_ready(const struct waiter *waiter)
{
    return is_done(waiter->subject);
}

static int future_wait(stw_future *future, uint64_t deadline_ms)
{
    struct waiter waiter = {.ready = future_ready, .client = future->client, .subject = future};
    future->watchers++;
    int code = wait_until(&waiter, deadline_ms);
    future->watchers--;
    return code ? code : future->code;
}

int future_finish(stw_future *future)
{
    stw_client *client = future->client;
    int code = future_wait(future, UINT64_MAX);
    if (!is_done(future)) {
        conn_cancel(client->conn, &future->ticket);
        driver_step(client, true);
        return client_fail(client, code, "interrupted");
    }
    if (code != 0) {
        client_fail(client, code, "%s", future->text ? future->text : error_text(code));
    }
    return code;
}

int future_finish_free(stw_future *future)
{
    int code = future_finish(future);
    future_free_locked(future);
    return code;
}

void future_give(stw_future *future, stw_future **out)
{
    if (out) {
        *out = future;
    } else {
        future_free_locked(future);
    }
}

/* ---- the public half ---- */

/* Entry for functions on futures: 0, STW_EINVAL, STW_EFORK, STW_ECLOSED. */
static int enter(const stw_future *future)
{
    return future ? client_enter(future->client) : STW_EINVAL;
}

int stw_future_wait(stw_future *future, int64_t timeout_ms)
{
    if (future && is_done(future) && !client_forked(future->client)) {
        return future->code;
    }
    int code = enter(future);
    if (code != 0) {
        return code;
    }
    code = future_wait(future, wait_deadline(timeout_ms));
    client_leave(future->client);
    return code;
}

int stw_future_poll(stw_future *future)
{
    if (future == NULL) {
        return STW_EINVAL;
    }
    if (client_forked(future->client)) {
        return STW_EFORK;
    }
    return is_done(future) ? future->code : STW_EAGAIN;
}

/* waiter.subject is the client's any_watchers; the futures are found beside it. */
struct any_waiter {
    struct waiter waiter; /* first */
    stw_future *const *futures;
};

static int first_done(stw_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (futures[i] && is_done(futures[i])) {
            return (int)i;
        }
    }
    return STW_EAGAIN;
}

static bool any_ready(const struct waiter *waiter)
{
    return first_done(((const struct any_waiter *)waiter)->futures, waiter->count) >= 0;
}

static stw_future *first_of(stw_future *const *futures, size_t count)
{
    for (size_t i = 0; futures && i < count; i++) {
        if (futures[i]) {
            return futures[i];
        }
    }
    return NULL;
}

int stw_future_wait_any(stw_future *const *futures, size_t count, int64_t timeout_ms)
{
    stw_future *first = first_of(futures, count);
    int code = count > INT32_MAX ? STW_EINVAL : enter(first);
    if (code != 0) {
        return code;
    }
    stw_client *client = first->client;
    struct any_waiter any = {.waiter = {.ready = any_ready,
                                        .client = client,
                                        .subject = &client->any_watchers,
                                        .count = count},
                             .futures = futures};
    code = first_done(futures, count);
    if (code < 0) {
        client->any_watchers++;
        code = wait_until(&any.waiter, wait_deadline(timeout_ms));
        client->any_watchers--;
        code = code == 0 ? first_done(futures, count) : code;
    }
    client_leave(client);
    return code;
}

int stw_future_wait_all(stw_future *const *futures, size_t count, int64_t timeout_ms)
{
    uint64_t deadline = wait_deadline(timeout_ms);
    int code = 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        if (futures[i] == NULL || (is_done(futures[i]) && !client_forked(futures[i]->client))) {
            continue;
        }
        code = enter(futures[i]);
        if (code != 0) {
            return code;
        }
        (void)future_wait(futures[i], deadline);
        if (!is_done(futures[i])) {
            code = deadline != UINT64_MAX && driver_now() >= deadline ? STW_EAGAIN : STW_ECANCELED;
        }
        client_leave(futures[i]->client);
    }
    return code;
}

int stw_future_cancel(stw_future *future)
{
    int code = enter(future);
    if (code != 0) {
        return code;
    }
    conn_cancel(future->client->conn, &future->ticket);
    driver_submitted(future->client);
    client_leave(future->client);
    return 0;
}

stw_message *stw_future_message(stw_future *future)
{
    struct item item;
    stw_message *message = NULL;
    if (future == NULL || !client_enter_free(future->client)) {
        return NULL;
    }
    if (is_done(future) && items_pop(&future->items, &item)) {
        message = message_take(future->client, &item, future->auto_ack);
        message->epoch = future->epoch;
    }
    client_leave(future->client);
    return message;
}

stw_lock *stw_future_lock(stw_future *future)
{
    if (future == NULL || !client_enter_free(future->client)) {
        return NULL;
    }
    stw_lock *lock = NULL;
    if (is_done(future) && future->code == 0 && future->lock) {
        lock = future->lock;
        future->lock = NULL;
    }
    client_leave(future->client);
    return lock;
}

uint64_t stw_future_value(const stw_future *future)
{
    return future && is_done(future) ? future->number : 0;
}

const char *stw_future_error(const stw_future *future)
{
    if (future == NULL || !is_done(future) || future->code == 0) {
        return "";
    }
    return future->text ? future->text : error_text(future->code);
}

/* ---- freeing ---- */

/* Messages that nobody took go back to their queue, uncounted. */
static void give_back(stw_future *future)
{
    stw_client *client = future->client;
    struct item item;
    bool live = !client->closed && future->epoch == conn_epoch(client->conn) && !future->auto_ack;
    while (items_pop(&future->items, &item)) {
        if (live) {
            conn_settle(client->conn, NULL,
                        &(struct conn_settle){.op = WIRE_RELEASE, .tag = item.tag});
            driver_submitted(client);
        }
        runs_release(conn_runs(client->conn), item.run);
    }
    free(future->items.ring);
}

void future_free_locked(stw_future *future)
{
    stw_client *client = future->client;
    if (future->completions) {
        completions_forget(future);
    }
    if (!is_done(future) && !client->closed) {
        conn_forget(client->conn, &future->ticket);
        driver_submitted(client);
    }
    if (future->items.ring) {
        give_back(future);
    }
    if (future->lock) {
        lock_give_back(future->lock);
    }
    buf_fini(&future->rows);
    free(future->text);
    future->next = client->futures_spare;
    client->futures_spare = future;
    client->refs--; /* never the last: the client is entered, so somebody holds it */
}

void stw_future_free(stw_future **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_future *future = *pointer;
    stw_client *client = future->client;
    *pointer = NULL;
    bool forked = !client_enter_free(client);
    client_hold(client);
    bool closed = client->closed;
    client->closed = closed || forked; /* in a child only memory is freed */
    future_free_locked(future);
    client->closed = closed;
    client_drop(client);
}
