/* The client: opening, closing, and what every call has in common. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define OPEN_TIMEOUT_MS  5000
#define CLOSE_TIMEOUT_MS 1000

/* What stands in the page that a fork wipes. */
#define ALIVE_MARK 0x57415244u

#define ENDPOINT_VARIABLE "STEWARD_ENDPOINT"

/* ---- entry ---- */

bool client_forked(const stw_client *client)
{
    return *client->alive != ALIVE_MARK;
}

bool client_enter_free(stw_client *client)
{
    if (client_forked(client)) {
        return false;
    }
    pthread_mutex_lock(&client->lock);
    return true;
}

int client_enter(stw_client *client)
{
    if (client == NULL) {
        return STW_EINVAL;
    }
    if (!client_enter_free(client)) {
        return STW_EFORK;
    }
    if (client->closed) {
        pthread_mutex_unlock(&client->lock);
        return STW_ECLOSED;
    }
    return 0;
}

void client_leave(stw_client *client)
{
    driver_leaving(client);
    pthread_mutex_unlock(&client->lock);
}

void client_hold(stw_client *client)
{
    client->refs++;
}

static void client_free(stw_client *client)
{
    conn_destroy(&client->conn);
    message_pool_fini(client);
    while (client->futures_spare) {
        stw_future *future = client->futures_spare;
        client->futures_spare = future->next;
        free(future);
    }
    driver_free(client);
    errors_free(client->errors);
    munmap((void *)(uintptr_t)client->alive, (size_t)sysconf(_SC_PAGESIZE));
    pthread_mutex_destroy(&client->lock);
    free(client);
}

void client_drop(stw_client *client)
{
    bool last = --client->refs == 0;
    if (!client_forked(client)) {
        driver_leaving(client);
        pthread_mutex_unlock(&client->lock);
    }
    if (last) {
        client_free(client);
    }
}

bool client_good_name(const char *name)
{
    size_t size = name ? strlen(name) : 0;
    if (size == 0 || size > LIMIT_NAME_BYTES || !wire_utf8(slice_str(name))) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

uint64_t client_timeout(int64_t timeout_ms)
{
    if (timeout_ms < 0) {
        return UINT64_MAX;
    }
    return (uint64_t)timeout_ms < LIMIT_DURATION_MS ? (uint64_t)timeout_ms : LIMIT_DURATION_MS;
}

bool client_setting(int64_t value, uint64_t *out)
{
    *out = value == STW_DEFAULT ? UINT64_MAX : (uint64_t)value;
    return value == STW_DEFAULT || (value >= 0 && *out <= LIMIT_DURATION_MS);
}

/* ---- opening ---- */

void stw_open_options_init(stw_open_options *options)
{
    *options = (stw_open_options){.size = sizeof *options,
                                  .timeout_ms = OPEN_TIMEOUT_MS,
                                  .session_ttl_ms = LIMIT_SESSION_TTL_MS,
                                  .session_grace_ms = LIMIT_SESSION_GRACE_MS,
                                  .in_flight_max = LIMIT_IN_FLIGHT,
                                  .flush_ms = LIMIT_FLUSH_MS};
}

static void arrived(void *context, void *user)
{
    stw_consumer *consumer = user;
    if (consumer->watchers) {
        wait_wake(context, consumer);
    }
}

static void changed(void *context)
{
    driver_changed(context);
}

/* A list of endpoints that could be connected to, as far as one can see. */
static bool good_endpoints(const char *endpoints)
{
    size_t count = 0;
    for (const char *at = endpoints; *at;) {
        size_t size = strcspn(at, ", ");
        const char *scheme = memmem(at, size, "://", 3);
        if (size > 0 && (scheme == NULL || scheme == at || scheme + 3 == at + size || size > 255)) {
            return false;
        }
        count += size > 0;
        at += size + (at[size] != 0);
    }
    return count > 0;
}

static struct conn *make_conn(stw_client *client, const char *endpoints,
                              const stw_open_options *options)
{
    char host[256] = "";
    uint64_t seed = (uint64_t)getpid() ^ driver_now() << 20;
    ssize_t got = getrandom(&seed, sizeof seed, GRND_NONBLOCK);
    (void)got; /* jitter only: the clock will do as well */
    gethostname(host, sizeof host - 1);
    return conn_new(
        &(struct conn_options){.endpoints = endpoints,
                               .ttl_ms = options->session_ttl_ms,
                               .grace_ms = options->session_grace_ms,
                               .program = options->program ? options->program
                                                           : program_invocation_short_name,
                               .host = host,
                               .pid = (uint64_t)getpid(),
                               .seed = seed},
        &(struct conn_host){
            .context = client, .done = future_done, .arrived = arrived, .changed = changed},
        driver_now());
}

static stw_client *client_new(const stw_open_options *options)
{
    stw_client *client = mem_zalloc(1, sizeof *client);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *alive = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (alive == MAP_FAILED || madvise(alive, page, MADV_WIPEONFORK) != 0) {
        if (alive != MAP_FAILED) {
            munmap(alive, page);
        }
        free(client);
        return NULL;
    }
    client->alive = alive;
    *client->alive = ALIVE_MARK;
    pthread_mutex_init(&client->lock, NULL);
    client->refs = 1;
    client->errors = errors_new();
    client->in_flight_max = options->in_flight_max ? options->in_flight_max : 1;
    client->flush_ms = options->flush_ms;
    return client;
}

static bool is_open(const struct waiter *waiter)
{
    const struct conn *conn = waiter->client->conn;
    return conn_ready(conn) || conn_state(conn) != 0;
}

static int wait_open(stw_client *client, int64_t timeout_ms)
{
    if (timeout_ms == 0) {
        return 0;
    }
    pthread_mutex_lock(&client->lock);
    struct waiter waiter = {.ready = is_open, .client = client, .subject = client->conn};
    int code = wait_until(&waiter, wait_deadline(timeout_ms));
    if (code == 0) {
        code = conn_state(client->conn);
    } else if (code == STW_EAGAIN) {
        int refusal = conn_refusal(client->conn);
        code = refusal ? refusal : STW_EUNREACHABLE;
    }
    pthread_mutex_unlock(&client->lock);
    return code;
}

int stw_open(stw_client **out, const char *endpoints, const stw_open_options *options)
{
    if (out == NULL) {
        return STW_EINVAL;
    }
    *out = NULL;
    stw_open_options defaults;
    if (options == NULL) {
        stw_open_options_init(&defaults);
        options = &defaults;
    }
    if (endpoints == NULL) {
        endpoints = getenv(ENDPOINT_VARIABLE);
    }
    if (endpoints == NULL || endpoints[0] == 0) {
        endpoints = STW_DEFAULT_ENDPOINT;
    }
    if (options->size != sizeof *options || !good_endpoints(endpoints)) {
        return STW_EINVAL;
    }
    stw_client *client = client_new(options);
    if (client == NULL) {
        return STW_ENOMEM;
    }
    client->conn = make_conn(client, endpoints, options);
    int code = driver_start(client);
    if (code == 0) {
        code = wait_open(client, options->timeout_ms);
    }
    if (code != 0) {
        driver_stop(client, 0);
        client_free(client);
        return code;
    }
    *out = client;
    return 0;
}

/* ---- closing ---- */

static bool is_drained(const struct waiter *waiter)
{
    const struct conn *conn = waiter->client->conn;
    return conn_state(conn) != 0 || conn_outstanding(conn) == 0 ||
           (conn_ready(conn) && conn_pending(conn) == 0);
}

static void say_goodbye(stw_client *client)
{
    struct waiter waiter = {.ready = is_drained, .client = client, .subject = client};
    (void)wait_until(&waiter, driver_now() + CLOSE_TIMEOUT_MS);
    conn_leave(client->conn);
    driver_step(client, true);
}

void stw_close(stw_client **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_client *client = *pointer;
    *pointer = NULL;
    if (!client_forked(client)) {
        pthread_mutex_lock(&client->lock);
        say_goodbye(client);
        bool connected = client->connected;
        client->closed = true;
        wait_wake_all(client);
        pthread_mutex_unlock(&client->lock);
        driver_stop(client, connected ? CLOSE_TIMEOUT_MS : 0);
        pthread_mutex_lock(&client->lock);
    }
    client_drop(client);
}

/* ---- small calls ---- */

int stw_flush(stw_client *client)
{
    int code = client_enter(client);
    if (code == 0) {
        driver_step(client, true);
        client_leave(client);
    }
    return code;
}

uint64_t stw_client_session(const stw_client *client)
{
    return client ? atomic_load(&client->session) : 0;
}

uint64_t stw_client_sessions_lost(const stw_client *client)
{
    return client ? atomic_load(&client->sessions_lost) : 0;
}

void stw_client_interrupt(stw_client *client)
{
    int saved = errno;
    atomic_fetch_add(&client->interrupts, 1);
    driver_kick(client->wake_poller);
    driver_kick(client->wake_background);
    errno = saved;
}
