/* The manager of manager_thread.h: one thread, one socket, one mutex for the orders it gets. */
#include "tests/unit/manager_thread.h"

#include "broker/gateway/gateway.h"
#include "broker/journal/journal.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

struct manager_thread {
    pthread_t thread;
    pthread_mutex_t lock;
    void *context, *socket;
    char endpoint[64];
    struct core *core;
    struct journal *journal;
    struct gateway *gateway;
    uint64_t random, incarnation;
    uint64_t paused_ms; /* in all */
    bool stop, paused, cut, restart;
};

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t now_ms(const struct manager_thread *manager)
{
    return clock_ms() - manager->paused_ms;
}

static void host_submit(void *context, const struct command *command)
{
    struct manager_thread *manager = context;
    journal_submit(manager->journal, now_ms(manager), command);
}

static void host_applied(void *context, uint64_t now, const struct effects *effects)
{
    gateway_effects(((struct manager_thread *)context)->gateway, now, effects);
}

static enum send_result host_send(void *context, struct slice peer, struct slice head,
                                  struct slice body)
{
    void *socket = ((struct manager_thread *)context)->socket;
    if (zmq_send(socket, peer.data, peer.size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        return zmq_errno() == EHOSTUNREACH ? SEND_GONE : SEND_LATER;
    }
    zmq_send(socket, head.data, head.size, ZMQ_DONTWAIT | (body.data ? ZMQ_SNDMORE : 0));
    if (body.data) {
        zmq_send(socket, body.data, body.size, ZMQ_DONTWAIT);
    }
    return SEND_DONE;
}

static void host_random(void *context, void *out, size_t size)
{
    memset(out, 0, size);
    memcpy(out, &(uint64_t){++((struct manager_thread *)context)->random}, sizeof(uint64_t));
}

static void host_log(void *context, char level, const char *event, const char *detail)
{
    (void)context;
    (void)level;
    (void)event;
    (void)detail;
}

static void make_core(struct manager_thread *manager)
{
    struct gateway_options options;
    gateway_options_default(&options);
    manager->core = core_new();
    manager->journal = journal_memory_new(manager->core, host_applied, manager);
    struct gateway_host host = {.context = manager,
                                .submit = host_submit,
                                .send = host_send,
                                .random = host_random,
                                .log = host_log};
    manager->gateway = gateway_new(manager->core, &options, &host);
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap =
        (struct cmd_bootstrap){.hash_key = 7, .incarnation = ++manager->incarnation};
    host_submit(manager, &command);
    gateway_lead(manager->gateway, now_ms(manager));
}

static void drop_core(struct manager_thread *manager)
{
    gateway_destroy(&manager->gateway);
    journal_destroy(&manager->journal);
    core_destroy(&manager->core);
}

static void open_socket(struct manager_thread *manager)
{
    int mandatory = 1, linger = 0;
    manager->socket = zmq_socket(manager->context, ZMQ_ROUTER);
    zmq_setsockopt(manager->socket, ZMQ_ROUTER_MANDATORY, &mandatory, sizeof mandatory);
    zmq_setsockopt(manager->socket, ZMQ_LINGER, &linger, sizeof linger);
    const char *where = manager->endpoint[0] ? manager->endpoint : "tcp://127.0.0.1:*";
    for (int i = 0; zmq_bind(manager->socket, where) != 0; i++) {
        STEWARD_ASSERT(i < 500); /* the old one is still being closed */
        usleep(10000);
    }
    size_t size = sizeof manager->endpoint;
    zmq_getsockopt(manager->socket, ZMQ_LAST_ENDPOINT, manager->endpoint, &size);
}

static bool receive(struct manager_thread *manager)
{
    zmq_msg_t parts[3];
    struct slice frames[3];
    size_t count = 0;
    bool more = true;
    while (more && count < 3) {
        zmq_msg_init(&parts[count]);
        if (zmq_msg_recv(&parts[count], manager->socket, ZMQ_DONTWAIT) < 0) {
            return false;
        }
        frames[count] = slice_of(zmq_msg_data(&parts[count]), zmq_msg_size(&parts[count]));
        more = zmq_msg_more(&parts[count]);
        count++;
    }
    struct gateway_packet packet = {
        .peer = frames[0], .frames = frames + 1, .count = count - 1, .descriptor = -1};
    gateway_receive(manager->gateway, now_ms(manager), &packet);
    for (size_t i = 0; i < count; i++) {
        zmq_msg_close(&parts[i]);
    }
    return true;
}

static void turn(struct manager_thread *manager)
{
    while (receive(manager)) {
    }
    uint64_t now = now_ms(manager);
    gateway_tick(manager->gateway, now);
    if (core_deadline(manager->core) <= now) {
        struct command command = {.kind = COMMAND_TICK};
        host_submit(manager, &command);
    }
    gateway_flush(manager->gateway, now);
}

static void obey(struct manager_thread *manager)
{
    if (manager->cut || manager->restart) {
        zmq_close(manager->socket);
        if (manager->restart) {
            drop_core(manager);
            make_core(manager);
        }
        open_socket(manager);
        manager->cut = manager->restart = false;
    }
}

static void *manager_main(void *argument)
{
    struct manager_thread *manager = argument;
    pthread_mutex_lock(&manager->lock);
    while (!manager->stop) {
        obey(manager);
        if (manager->paused) {
            uint64_t from = clock_ms();
            pthread_mutex_unlock(&manager->lock);
            usleep(2000);
            pthread_mutex_lock(&manager->lock);
            manager->paused_ms += clock_ms() - from;
            continue;
        }
        turn(manager);
        zmq_pollitem_t item = {.socket = manager->socket, .events = ZMQ_POLLIN};
        pthread_mutex_unlock(&manager->lock);
        zmq_poll(&item, 1, 2);
        pthread_mutex_lock(&manager->lock);
    }
    zmq_close(manager->socket);
    pthread_mutex_unlock(&manager->lock);
    return NULL;
}

struct manager_thread *manager_thread_new(void)
{
    struct manager_thread *manager = mem_zalloc(1, sizeof *manager);
    pthread_mutex_init(&manager->lock, NULL);
    manager->context = zmq_ctx_new();
    make_core(manager);
    open_socket(manager);
    ck_assert_int_eq(pthread_create(&manager->thread, NULL, manager_main, manager), 0);
    return manager;
}

void manager_thread_free(struct manager_thread *manager)
{
    pthread_mutex_lock(&manager->lock);
    manager->stop = true;
    pthread_mutex_unlock(&manager->lock);
    pthread_join(manager->thread, NULL);
    zmq_ctx_term(manager->context);
    drop_core(manager);
    pthread_mutex_destroy(&manager->lock);
    free(manager);
}

const char *manager_thread_endpoint(const struct manager_thread *manager)
{
    return manager->endpoint;
}

static void order(struct manager_thread *manager, bool *what, bool value)
{
    pthread_mutex_lock(&manager->lock);
    *what = value;
    pthread_mutex_unlock(&manager->lock);
}

void manager_thread_pause(struct manager_thread *manager, bool paused)
{
    order(manager, &manager->paused, paused);
}

void manager_thread_cut(struct manager_thread *manager)
{
    order(manager, &manager->cut, true);
}

void manager_thread_restart(struct manager_thread *manager)
{
    order(manager, &manager->restart, true);
}
