/* Locks and semaphores: handles on grants. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <unistd.h>

enum { KIND_LOCK = 0, KIND_SEMAPHORE = 1 };

void stw_lock_options_init(stw_lock_options *options)
{
    *options = (stw_lock_options){.size = sizeof *options, .timeout_ms = -1};
}

static void free_lock(stw_lock *lock)
{
    stw_client *client = lock->client;
    conn_unwatch_lock(client->conn, &lock->held);
    free(lock->name);
    free(lock);
    client->refs--; /* the caller holds another */
}

void lock_granted(stw_future *future)
{
    stw_lock *lock = future->lock;
    struct conn *conn = lock->client->conn;
    lock->epoch = conn_epoch(conn);
    lock->from_ms = driver_now();
    lock->held = (struct held){.token = future->number};
    conn_watch_lock(conn, &lock->held);
}

/* ---- acquiring ---- */

struct acquire {
    const char *name;
    const stw_lock_options *options;
    uint64_t kind;
};

static int acquire_submit(stw_client *client, const struct acquire *acquire, stw_future **future)
{
    const stw_lock_options *options = acquire->options;
    uint64_t permits = acquire->kind == KIND_LOCK ? 1 : options->permits;
    if (!client_good_name(acquire->name) || options->size != sizeof *options || permits == 0 ||
        permits > LIMIT_PERMITS || options->lease_ms > LIMIT_DURATION_MS) {
        return client_fail(client, STW_EINVAL, "an acquire: name or options not valid");
    }
    uint64_t owner = options->owner ? options->owner : (uint64_t)gettid();
    uint64_t timeout_ms = client_timeout(options->timeout_ms);
    struct buf tail = {0};
    wire_write_str(&tail, slice_str(acquire->name));
    wire_write_uint(&tail, acquire->kind);
    wire_write_uint(&tail, permits);
    wire_write_uint(&tail, owner);
    wire_write_uint_or_nil(&tail, timeout_ms);
    wire_write_uint(&tail, options->lease_ms);
    wire_write_bool(&tail, options->reentrant);
    int code = request_submit(
        client,
        &(struct conn_request){
            .op = WIRE_ACQUIRE, .fields = 7, .tail = buf_view(&tail), .timeout_ms = timeout_ms},
        future);
    buf_fini(&tail);
    if (code == 0) {
        stw_lock *lock = mem_zalloc(1, sizeof *lock);
        *lock = (stw_lock){.client = client,
                           .name = mem_dup(acquire->name, strlen(acquire->name) + 1),
                           .owner = owner,
                           .lease_ms = options->lease_ms};
        client_hold(client);
        (*future)->lock = lock;
        if (stw_future_poll(*future) == 0) {
            lock_granted(*future); /* the submission filled a packet, and the answer is here */
        }
    }
    return code;
}

/* Enters, and submits with the given options or the default ones. 0: the lock is taken. */
static int acquire_begin(stw_client *client, const struct acquire *wanted, bool async,
                         stw_future **future)
{
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    struct acquire acquire = *wanted;
    stw_lock_options defaults;
    stw_lock_options_init(&defaults);
    acquire.options = acquire.options ? acquire.options : &defaults;
    code = async ? wait_room(client) : 0;
    code = code ? code : acquire_submit(client, &acquire, future);
    if (code != 0) {
        client_leave(client);
    }
    return code;
}

static int acquire_async(stw_client *client, const struct acquire *wanted, stw_future **future)
{
    if (future == NULL) {
        return STW_EINVAL;
    }
    *future = NULL;
    int code = acquire_begin(client, wanted, true, future);
    if (code == 0) {
        client_leave(client);
    }
    return code;
}

static int acquire(stw_client *client, const struct acquire *wanted, stw_lock **lock)
{
    if (lock == NULL) {
        return STW_EINVAL;
    }
    *lock = NULL;
    stw_future *future;
    int code = acquire_begin(client, wanted, false, &future);
    if (code != 0) {
        return code;
    }
    code = future_finish(future);
    if (code == 0) {
        *lock = future->lock;
        future->lock = NULL;
    }
    future_free_locked(future);
    client_leave(client);
    return code;
}

int stw_lock_acquire(stw_client *client, const char *name, const stw_lock_options *options,
                     stw_lock **lock)
{
    return acquire(client, &(struct acquire){name, options, KIND_LOCK}, lock);
}

int stw_semaphore_acquire(stw_client *client, const char *name, const stw_lock_options *options,
                          stw_lock **permit)
{
    return acquire(client, &(struct acquire){name, options, KIND_SEMAPHORE}, permit);
}

int stw_lock_acquire_async(stw_client *client, const char *name, const stw_lock_options *options,
                           stw_future **future)
{
    return acquire_async(client, &(struct acquire){name, options, KIND_LOCK}, future);
}

int stw_semaphore_acquire_async(stw_client *client, const char *name,
                                const stw_lock_options *options, stw_future **future)
{
    return acquire_async(client, &(struct acquire){name, options, KIND_SEMAPHORE}, future);
}

/* ---- releasing ---- */

static void write_hold(struct buf *out, const stw_lock *lock)
{
    wire_write_str(out, slice_str(lock->name));
    wire_write_uint(out, lock->owner);
    wire_write_uint(out, lock->held.token);
}

static int check_held(const stw_lock *lock)
{
    stw_client *client = lock->client;
    if (lock->epoch == conn_epoch(client->conn)) {
        return 0;
    }
    return client_fail(client, STW_ENOTHOLDER, "lock '%s' was lost with its session", lock->name);
}

/* UNLOCK or LOCK_RENEW, without waiting. */
static int hold_submit(const stw_lock *lock, uint8_t op, uint64_t lease_ms, stw_future **future)
{
    int code = check_held(lock);
    if (code != 0) {
        return code;
    }
    struct buf tail = {0};
    write_hold(&tail, lock);
    if (op == WIRE_LOCK_RENEW) {
        wire_write_uint(&tail, lease_ms);
    }
    code = request_submit(lock->client,
                          &(struct conn_request){.op = op,
                                                 .fields = op == WIRE_UNLOCK ? 3 : 4,
                                                 .tail = buf_view(&tail),
                                                 .timeout_ms = UINT64_MAX},
                          future);
    buf_fini(&tail);
    return code;
}

void lock_give_back(stw_lock *lock)
{
    stw_client *client = lock->client;
    stw_future *future;
    bool held = lock->held.token != 0 && !client->closed && lock->epoch == conn_epoch(client->conn);
    if (held && hold_submit(lock, WIRE_UNLOCK, 0, &future) == 0) {
        future_free_locked(future);
    }
    free_lock(lock);
}

static int release(stw_lock **pointer, bool wait, stw_future **future)
{
    if (future) {
        *future = NULL;
    }
    if (pointer == NULL || *pointer == NULL) {
        return STW_EINVAL;
    }
    stw_lock *lock = *pointer;
    stw_client *client = lock->client;
    int code = client_enter(client);
    if (code != 0) {
        stw_lock_free(pointer);
        return code;
    }
    *pointer = NULL;
    stw_future *made;
    code = hold_submit(lock, WIRE_UNLOCK, 0, &made);
    free_lock(lock);
    if (code == 0 && wait) {
        code = future_finish_free(made);
    } else if (code == 0) {
        future_give(made, future);
    }
    client_leave(client);
    return code;
}

int stw_lock_release(stw_lock **lock)
{
    return release(lock, true, NULL);
}

int stw_lock_release_async(stw_lock **lock, stw_future **future)
{
    return release(lock, false, future);
}

int stw_lock_renew(stw_lock *lock, uint64_t lease_ms)
{
    int code = lock ? client_enter(lock->client) : STW_EINVAL;
    if (code != 0) {
        return code;
    }
    uint64_t now = driver_now();
    stw_future *future;
    code = hold_submit(lock, WIRE_LOCK_RENEW, lease_ms, &future);
    if (code == 0) {
        code = future_finish_free(future);
    }
    if (code == 0) {
        lock->lease_ms = lease_ms;
        lock->from_ms = now;
    }
    client_leave(lock->client);
    return code;
}

int stw_lock_break(stw_client *client, const char *name)
{
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    struct buf tail = {0};
    if (client_good_name(name)) {
        wire_write_str(&tail, slice_str(name));
        code = request_call(client,
                            &(struct conn_request){.op = WIRE_LOCK_BREAK,
                                                   .fields = 1,
                                                   .tail = buf_view(&tail),
                                                   .timeout_ms = UINT64_MAX},
                            NULL);
    } else {
        code = client_fail(client, STW_EINVAL, "not a valid name of a lock");
    }
    buf_fini(&tail);
    client_leave(client);
    return code;
}

/* ---- looking ---- */

uint64_t stw_lock_token(const stw_lock *lock)
{
    return lock->held.token;
}

const char *stw_lock_name(const stw_lock *lock)
{
    return lock->name;
}

/* A session counts as lost when its time-to-live has passed since the last packet that the manager
 * is known to have, and so does a lease: the holder must stop before another one begins. */
bool stw_lock_held(const stw_lock *lock)
{
    if (lock == NULL || client_enter(lock->client) != 0) {
        return false;
    }
    struct conn *conn = lock->client->conn;
    uint64_t now = driver_now();
    bool held = !lock->held.lost && lock->epoch == conn_epoch(conn) &&
                now < conn_alive_until(conn) &&
                (lock->lease_ms == 0 || now < lock->from_ms + lock->lease_ms);
    client_leave(lock->client);
    return held;
}

void stw_lock_free(stw_lock **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_lock *lock = *pointer;
    stw_client *client = lock->client;
    *pointer = NULL;
    (void)client_enter_free(client);
    client_hold(client);
    free_lock(lock);
    client_drop(client);
}
