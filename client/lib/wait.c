/*
 * Waiting: who polls the socket, who sleeps, and the background thread.
 *
 * A caller that has to wait polls the socket itself: what arrives for it wakes it and nobody
 * else. If another caller polls already it sleeps on a condition of its own, and is woken when its
 * subject happened, or to poll in its turn when the other leaves. When several sleep, the
 * background thread polls for all: handing the poll on would cost a switch each time.
 *
 * The background thread watches the socket while no caller does. When callers come and go it is
 * parked: it only looks, every millisecond while something is under way, every ten otherwise,
 * whether they have stopped coming. So a program of blocking calls has no switch between threads.
 */
#include "client/lib/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

/* milliseconds: how often a parked background thread looks while something is under way, or not */
#define LOOK_BUSY_MS 1
#define LOOK_IDLE_MS 10

/* count: so many sleepers, and the background thread polls for all */
#define SLEEPERS_MANY 2

/* milliseconds: longest sleep, whatever the timers say */
#define SLEEP_MAX_MS 60000

#define NEVER UINT64_MAX

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t wait_deadline(int64_t timeout_ms)
{
    uint64_t timeout = client_timeout(timeout_ms);
    return timeout == NEVER ? NEVER : driver_now() + timeout;
}

/* Polls the socket (if socket_too) and an eventfd, without the lock. */
static void poll_until(stw_client *client, int eventfd, bool socket_too, uint64_t until_ms)
{
    uint64_t now = driver_now();
    uint64_t wait_ms = until_ms > now ? earlier(until_ms - now, SLEEP_MAX_MS) : 0;
    struct pollfd fds[2] = {{.fd = eventfd, .events = POLLIN},
                            {.fd = socket_too ? client->socket_fd : -1, .events = POLLIN}};
    pthread_mutex_unlock(&client->lock);
    int fired = poll(fds, 2, (int)wait_ms);
    pthread_mutex_lock(&client->lock);
    if (fired > 0 && fds[0].revents) {
        uint64_t count;
        ssize_t got = read(eventfd, &count, sizeof count);
        (void)got;
    }
}

/* When the socket's timers, or a pending flush, want attention. */
static uint64_t attention(const stw_client *client)
{
    uint64_t due = conn_deadline(client->conn);
    return client->flush_armed ? earlier(due, client->flush_at_ms) : due;
}

static void condition_init(pthread_cond_t *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void sleep_until(struct waiter *waiter, uint64_t deadline_ms)
{
    stw_client *client = waiter->client;
    waiter->woken = false;
    condition_init(&waiter->cond);
    DL_APPEND(client->waiters, waiter);
    client->waiters_count++;
    struct timespec at = {.tv_sec = (time_t)(deadline_ms / 1000),
                          .tv_nsec = (long)(deadline_ms % 1000) * 1000000};
    int rc = 0;
    while (!waiter->woken && rc != ETIMEDOUT) {
        rc = deadline_ms == NEVER ? pthread_cond_wait(&waiter->cond, &client->lock)
                                  : pthread_cond_timedwait(&waiter->cond, &client->lock, &at);
    }
    DL_DELETE(client->waiters, waiter);
    client->waiters_count--;
    pthread_cond_destroy(&waiter->cond);
}

/* Whether this caller should sleep although nobody else polls. */
static bool background_polls(stw_client *client)
{
    if (client->waiters_count < SLEEPERS_MANY) {
        return false;
    }
    if (!client->background_watches) {
        driver_kick(client->wake_background);
    }
    return true;
}

static void poll_self(struct waiter *waiter, uint64_t deadline_ms)
{
    stw_client *client = waiter->client;
    client->poller = waiter;
    client->polls++;
    waiter->polling = true;
    poll_until(client, client->wake_poller, true, earlier(deadline_ms, attention(client)));
    waiter->polling = false;
    client->poller = NULL;
}

static void wake(struct waiter *waiter)
{
    if (waiter->polling) {
        driver_kick(waiter->client->wake_poller);
    } else if (!waiter->woken) {
        waiter->woken = true;
        pthread_cond_signal(&waiter->cond);
    }
}

/* The caller that polled goes: somebody has to look after the socket. */
static void hand_on(stw_client *client)
{
    if (client->poller) {
        return;
    }
    if (client->waiters_count > SLEEPERS_MANY) {
        (void)background_polls(client);
        return;
    }
    if (client->waiters) {
        wake(client->waiters);
        return;
    }
    uint64_t look = driver_now() + (conn_outstanding(client->conn) ? LOOK_BUSY_MS : LOOK_IDLE_MS);
    if (client->background_wake_ms > look) {
        client->background_wake_ms = look;
        driver_kick(client->wake_background);
    }
}

/* One round of waiting. */
static void wait_round(struct waiter *waiter, uint64_t deadline_ms)
{
    stw_client *client = waiter->client;
    if (client->poller || background_polls(client)) {
        sleep_until(waiter, deadline_ms);
    } else {
        poll_self(waiter, deadline_ms);
    }
}

int wait_until(struct waiter *waiter, uint64_t deadline_ms)
{
    stw_client *client = waiter->client;
    unsigned interrupts = atomic_load(&client->interrupts);
    int code = 0;
    bool waited = false;
    driver_step(client, true);
    while (!waiter->ready(waiter)) {
        if (atomic_load(&client->interrupts) != interrupts) {
            code = STW_ECANCELED;
            break;
        }
        if (deadline_ms != NEVER && driver_now() >= deadline_ms) {
            code = STW_EAGAIN;
            break;
        }
        waited = true;
        wait_round(waiter, deadline_ms);
        driver_step(client, true);
    }
    if (waited) {
        hand_on(client);
    }
    return code;
}

void wait_wake(stw_client *client, const void *subject)
{
    if (client->poller && client->poller->subject == subject) {
        wake(client->poller);
    }
    for (struct waiter *waiter = client->waiters; waiter; waiter = waiter->next) {
        if (waiter->subject == subject) {
            wake(waiter);
        }
    }
}

void wait_wake_all(stw_client *client)
{
    if (client->poller) {
        wake(client->poller);
    }
    for (struct waiter *waiter = client->waiters; waiter; waiter = waiter->next) {
        wake(waiter);
    }
}

/* ---- room in flight ---- */

static bool has_room(const struct waiter *waiter)
{
    const struct conn *conn = waiter->client->conn;
    size_t most = waiter->client->in_flight_max;
    return conn_state(conn) != 0 || (conn_outstanding(conn) < most - most / 4 &&
                                     conn_outstanding_bytes(conn) < IN_FLIGHT_BYTES * 3 / 4);
}

void wait_check_room(stw_client *client)
{
    if (client->room_watchers && has_room(&(struct waiter){.client = client})) {
        wait_wake(client, &client->room_watchers);
    }
}

int wait_usable(stw_client *client)
{
    int code = conn_state(client->conn);
    return code ? client_fail(client, code, "%s", conn_trouble(client->conn)) : 0;
}

int wait_room(stw_client *client)
{
    const struct conn *conn = client->conn;
    if (conn_state(conn) != 0) {
        return wait_usable(client);
    }
    if (conn_outstanding(conn) < client->in_flight_max &&
        conn_outstanding_bytes(conn) < IN_FLIGHT_BYTES) {
        return 0;
    }
    struct waiter waiter = {.ready = has_room, .client = client, .subject = &client->room_watchers};
    client->room_watchers++;
    int code = wait_until(&waiter, NEVER);
    client->room_watchers--;
    return code ? client_fail(client, code, "interrupted while waiting for room") : 0;
}

/* ---- the background thread ---- */

/* How long the background thread sleeps, and whether it watches the socket meanwhile. */
static uint64_t background_plan(stw_client *client, uint64_t *last_polls, bool *watch)
{
    uint64_t now = driver_now(), due = attention(client);
    bool came = client->polls != *last_polls;
    *last_polls = client->polls;
    *watch = client->poller == NULL && (client->waiters_count > 0 || !came);
    client->background_watches = *watch;
    if (*watch || (client->poller && !came)) {
        return due;
    }
    bool busy = client->poller == NULL && conn_outstanding(client->conn) > 0;
    return earlier(due, now + (busy ? LOOK_BUSY_MS : LOOK_IDLE_MS));
}

void *background_main(void *argument)
{
    stw_client *client = argument;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL); /* signals are the program's */
    uint64_t last_polls = 0;
    unsigned interrupts = 0;
    pthread_mutex_lock(&client->lock);
    while (!client->stop) {
        driver_step(client, client->flush_armed && driver_now() >= client->flush_at_ms);
        unsigned seen = atomic_load(&client->interrupts);
        if (seen != interrupts) {
            interrupts = seen;
            wait_wake_all(client);
        }
        bool watch;
        uint64_t until = background_plan(client, &last_polls, &watch);
        client->background_wake_ms = until;
        poll_until(client, client->wake_background, watch, until);
        client->background_wake_ms = 0; /* awake */
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}
