/*
 * The loop: whatever wakes it (a packet, the monitor, a signal, a timer), it takes a turn and arms
 * the timer for the next thing that is due. The wake-up is what costs, so a turn does all there is.
 *
 * It polls the sockets' descriptors, not the sockets: zmq_poll would ask each of them before and
 * after, with a system call or three each time. A turn ends with the one question that is needed.
 */
#include "broker/shell/loop.h"

#include "broker/shell/endpoint.h"
#include "broker/shell/manager.h"
#include "broker/shell/notify.h"
#include "broker/shell/recovery.h"
#include "broker/shell/signals.h"
#include "broker/shell/system.h"
#include "common/base/alloc.h"
#include "common/base/limits.h"
#include "common/base/steward_errors.h"

#include <czmq.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/*
 * milliseconds: the loop turns at least this often, so that a longer gap between two turns can only
 * mean that the process did not run. Well below LIMIT_CLOCK_GAP_MS.
 */
#define LOOP_PULSE_MS 250

/* milliseconds: how long leaving waits for the last packets to be taken */
#define LOOP_LINGER_MS 1000

/*
 * milliseconds: between the goodbyes and the end of the connections. A peer's libzmq throws away
 * what its program has not read yet when a connection ends (ZMQ_IMMEDIATE), so it gets time to.
 */
#define LOOP_PARTING_MS 100

struct loop {
    zloop_t *zloop;
    struct manager manager;
    struct log *log;
    struct notify notify;
    const struct options *options;
    const struct reload *configured;  /* how options are read again */
    size_t listening;                 /* this many of options->listen are bound */
    int signals;                      /* descriptor */
    int timer;                        /* zloop's id; -1: none */
    uint64_t timer_at_ms;             /* when it fires */
    int journal[JOURNAL_DESCRIPTORS]; /* of the journal's descriptors, those that are polled */
    size_t journal_count;
    int leaving;               /* the signal that asked us to; 0: none */
    uint64_t hand_over_end_ms; /* 0: leadership is not being given away */
    bool draining;
    uint64_t drain_end_ms;
    bool left;   /* the loop ends: somebody said so, not czmq */
    bool failed; /* because the journal failed */
};

static int on_timer(zloop_t *zloop, int timer, void *context);
static int on_socket(zloop_t *zloop, zmq_pollitem_t *item, void *context);

/* Arms the timer if something is due before the next pulse and before what is armed already. */
static void arm(struct loop *loop, uint64_t due_ms)
{
    uint64_t now_ms = loop->manager.now_ms;
    if (due_ms >= now_ms + LOOP_PULSE_MS || (loop->timer >= 0 && loop->timer_at_ms <= due_ms)) {
        return;
    }
    if (loop->timer >= 0) {
        zloop_timer_end(loop->zloop, loop->timer);
    }
    size_t delay_ms = due_ms > now_ms ? (size_t)(due_ms - now_ms) : 0;
    loop->timer = zloop_timer(loop->zloop, delay_ms, 1, on_timer, loop);
    loop->timer_at_ms = due_ms;
}

static int leave(struct loop *loop)
{
    loop->left = true;
    return -1;
}

static void drain(struct loop *loop)
{
    struct log_line line;
    log_begin(&line, loop->log, LEVEL_INFO, "shell", "drain");
    log_text(&line, "signal", loop->leaving == SIGTERM ? "SIGTERM" : "SIGINT");
    log_number(&line, "connections", manager_connections(&loop->manager));
    log_number(&line, "drain_seconds", loop->options->drain_seconds);
    log_end(&line);
    manager_drain(&loop->manager);
    loop->hand_over_end_ms = 0;
    loop->draining = true;
    loop->drain_end_ms = loop->manager.now_ms + loop->options->drain_seconds * 1000;
}

/* Leadership is given away: by now, or not in time. */
static bool handed_over(const struct loop *loop)
{
    const struct manager *manager = &loop->manager;
    bool other = !manager->leads && journal_leader(manager->journal) != 0;
    return loop->hand_over_end_ms != 0 && (other || manager->now_ms >= loop->hand_over_end_ms);
}

/* A journal's descriptors come and go: a process that writes a snapshot has one. */
static bool watch_journal(struct loop *loop)
{
    int descriptors[JOURNAL_DESCRIPTORS];
    size_t count = journal_descriptors(loop->manager.journal, descriptors);
    if (count == loop->journal_count &&
        memcmp(descriptors, loop->journal, count * sizeof(int)) == 0) {
        return true;
    }
    for (size_t i = 0; i < loop->journal_count; i++) {
        zmq_pollitem_t item = {.fd = loop->journal[i], .events = ZMQ_POLLIN};
        zloop_poller_end(loop->zloop, &item);
    }
    loop->journal_count = count;
    bool done = true;
    for (size_t i = 0; i < count; i++) {
        zmq_pollitem_t item = {.fd = descriptors[i], .events = ZMQ_POLLIN};
        loop->journal[i] = descriptors[i];
        done = done && zloop_poller(loop->zloop, &item, on_socket, loop) == 0;
    }
    return done;
}

static int turn(struct loop *loop)
{
    bool more = manager_turn(&loop->manager);
    if (manager_failure(&loop->manager)) {
        loop->failed = true;
        return leave(loop);
    }
    if (handed_over(loop)) {
        drain(loop);
    }
    if (loop->draining &&
        (manager_idle(&loop->manager) || loop->manager.now_ms >= loop->drain_end_ms)) {
        return leave(loop);
    }
    arm(loop, more ? loop->manager.now_ms : manager_deadline(&loop->manager));
    (void)watch_journal(loop); /* what is not polled is looked at by the pulse */
    return 0;
}

static int on_socket(zloop_t *zloop, zmq_pollitem_t *item, void *context)
{
    (void)zloop;
    (void)item;
    return turn(context);
}

static int on_monitor(zloop_t *zloop, zmq_pollitem_t *item, void *context)
{
    (void)zloop;
    (void)item;
    struct loop *loop = context;
    loop->manager.monitor_fired = true;
    return turn(loop);
}

static int on_timer(zloop_t *zloop, int timer, void *context)
{
    (void)zloop;
    struct loop *loop = context;
    if (timer == loop->timer) {
        loop->timer = -1;
    }
    return turn(loop);
}

static int on_pulse(zloop_t *zloop, int timer, void *context)
{
    (void)zloop;
    (void)timer;
    struct loop *loop = context;
    if (system_descriptors_exhausted()) {
        log_event(loop->log, LEVEL_WARN, "descriptors_exhausted", NULL, NULL);
    }
    notify_alive(&loop->notify, loop->manager.now_ms);
    return turn(loop);
}

/* ---- signals -------------------------------------------------------------------------------- */

/* A leader of a cluster finds another one first: that costs clients less than its absence. */
static void begin_leaving(struct loop *loop, int signal_number)
{
    struct manager *manager = &loop->manager;
    loop->leaving = signal_number;
    notify_stopping("draining");
    if (manager->cluster && cluster_hand_over(manager->cluster, manager->now_ms)) {
        loop->hand_over_end_ms = manager->now_ms + LIMIT_TRANSFER_MS;
        log_event(loop->log, LEVEL_INFO, "handing_over", NULL, NULL);
    } else {
        drain(loop);
    }
}

static void read_again(struct loop *loop)
{
    if (reload_run(loop->configured, loop->log)) {
        manager_set_ceilings(&loop->manager);
    }
}

static int on_signal(zloop_t *zloop, zmq_pollitem_t *item, void *context)
{
    (void)zloop;
    (void)item;
    struct loop *loop = context;
    int number = 0;
    while ((number = signals_next(loop->signals)) != 0) {
        if (number == SIGHUP) {
            read_again(loop);
        } else if (loop->leaving != 0) {
            log_event(loop->log, LEVEL_WARN, "drain_cut_short", NULL, NULL);
            return leave(loop);
        } else {
            begin_leaving(loop, number);
        }
    }
    return turn(loop);
}

/* ---- start and end -------------------------------------------------------------------------- */

static bool listen_all(struct loop *loop)
{
    const struct option_list *list = &loop->options->listen;
    for (size_t i = 0; i < list->count; i++) {
        char actual[SOCKET_ENDPOINT_BYTES];
        int code = socket_listen(&loop->manager.socket, list->items[i], actual);
        if (code != 0) {
            fprintf(stderr, "stewardd: cannot listen on %s: %s%s\n", list->items[i],
                    zmq_strerror(code),
                    code == EADDRINUSE ? " (is another manager running there?)" : "");
            return false;
        }
        loop->listening++;
        log_event(loop->log, LEVEL_INFO, "listening", "endpoint", actual);
        if (loop->manager.cluster) {
            cluster_listening(loop->manager.cluster, actual);
        }
    }
    return true;
}

/* Who leads has to be found by the clients of all. */
static bool can_be_found(struct loop *loop)
{
    struct cluster *cluster = loop->manager.cluster;
    if (cluster && cluster_advertised(cluster)[0] == '\0') {
        fprintf(stderr, "stewardd: advertise: say where clients of other nodes reach this one: "
                        "--advertise tcp://HOST:PORT\n");
        return false;
    }
    return true;
}

/* While it still listens: once it does not, another manager may have made the path its own. */
static void unlink_all(const struct loop *loop)
{
    for (size_t i = 0; i < loop->listening; i++) {
        const char *path = endpoint_path(loop->options->listen.items[i]);
        if (path) {
            unlink(path);
        }
    }
}

static int on_nodes(zloop_t *zloop, zmq_pollitem_t *item, void *context)
{
    (void)zloop;
    (void)item;
    struct loop *loop = context;
    cluster_attend(loop->manager.cluster);
    return turn(loop);
}

static bool watch_nodes(struct loop *loop)
{
    int descriptors[LINKS_DESCRIPTORS];
    if (loop->manager.cluster == NULL) {
        return true;
    }
    cluster_descriptors(loop->manager.cluster, descriptors);
    for (size_t i = 0; i < LINKS_DESCRIPTORS; i++) {
        zmq_pollitem_t item = {.fd = descriptors[i], .events = ZMQ_POLLIN};
        zloop_fn *handler = i == 0 ? on_socket : on_nodes;
        if (descriptors[i] >= 0 && zloop_poller(loop->zloop, &item, handler, loop) != 0) {
            return false;
        }
    }
    return true;
}

static bool watch(struct loop *loop)
{
    struct socket *socket = &loop->manager.socket;
    zmq_pollitem_t router = {.fd = socket_router_fd(socket), .events = ZMQ_POLLIN};
    zmq_pollitem_t monitor = {.fd = socket_monitor_fd(socket), .events = ZMQ_POLLIN};
    zmq_pollitem_t signals = {.fd = loop->signals, .events = ZMQ_POLLIN};
    loop->zloop = zloop_new();
    if (loop->zloop == NULL) {
        return false;
    }
    zloop_set_nonstop(loop->zloop, true);
    return zloop_poller(loop->zloop, &router, on_socket, loop) == 0 &&
           zloop_poller(loop->zloop, &monitor, on_monitor, loop) == 0 &&
           zloop_poller(loop->zloop, &signals, on_signal, loop) == 0 &&
           zloop_timer(loop->zloop, LOOP_PULSE_MS, 0, on_pulse, loop) >= 0 && watch_journal(loop) &&
           watch_nodes(loop);
}

static void log_start(struct loop *loop)
{
    if (loop->options->memory) {
        log_event(loop->log, LEVEL_WARN, "in_memory", "text",
                  "everything is kept in memory only and is gone when this process ends");
    }
    struct log_line line;
    log_begin(&line, loop->log, LEVEL_INFO, "shell", "ready");
    log_text(&line, "version", STW_VERSION);
    log_text(&line, "journal", journal_name(loop->manager.journal));
    if (!loop->options->memory) {
        log_text(&line, "directory", loop->options->data);
    }
    log_number(&line, "pid", (uint64_t)getpid());
    log_end(&line);
    notify_ready("serving");
}

/* What clients were not told is not promised; more must not be said. */
static int end_failed(struct loop *loop)
{
    log_event(loop->log, LEVEL_ERROR, "journal_failed", "text", manager_failure(&loop->manager));
    return 1;
}

static void part(struct loop *loop)
{
    bool anybody = manager_connections(&loop->manager) > 0;
    gateway_goodbye(loop->manager.gateway, STW_EDRAINING, "the manager is shutting down");
    if (anybody) {
        zclock_sleep(LOOP_PARTING_MS);
    }
    struct gateway_counters counters;
    gateway_counters(loop->manager.gateway, &counters);
    struct log_line line;
    log_begin(&line, loop->log, LEVEL_INFO, "shell", "stopped");
    log_number(&line, "packets_in", counters.packets_in);
    log_number(&line, "packets_out", counters.packets_out);
    log_number(&line, "bad_packets", counters.bad_packets);
    log_number(&line, "skipped_frames", loop->manager.socket.skipped);
    log_end(&line);
}

/* Serves until left. zloop also returns when poll was interrupted: then it just goes on. Returns
 * the exit code. */
static int serve(struct loop *loop)
{
    turn(loop);
    while (!loop->left) {
        zloop_start(loop->zloop);
    }
    if (loop->failed) {
        return end_failed(loop);
    }
    part(loop);
    return 0;
}

/*
 * What was kept comes back first: until then nobody could be answered. Not so in a cluster: what is
 * committed only a leader knows, and until there is one, clients are told just that. Returns the
 * exit code.
 */
static int recover_and_serve(struct loop *loop)
{
    bool alone = loop->manager.cluster == NULL;
    bool hang_up = false;
    switch (alone ? recovery_run(&loop->manager, loop->signals, &hang_up) : RECOVERY_DONE) {
    case RECOVERY_FAILED: return end_failed(loop);
    case RECOVERY_STOPPED: log_event(loop->log, LEVEL_INFO, "stopped", NULL, NULL); return 0;
    case RECOVERY_DONE: break;
    }
    if (hang_up) {
        read_again(loop);
    }
    if (!watch(loop) || !listen_all(loop) || !can_be_found(loop)) {
        return 1;
    }
    log_start(loop);
    return serve(loop);
}

static int start(struct loop *loop)
{
    const char *problem = socket_open(&loop->manager.socket, loop->options->body_max);
    if (problem) {
        fprintf(stderr, "stewardd: %s: %s\n", problem, zmq_strerror(zmq_errno()));
        return 1;
    }
    int code = 1;
    struct log_error error;
    if (manager_init(&loop->manager, loop->options, loop->log, &error)) {
        code = recover_and_serve(loop);
    } else {
        fprintf(stderr, "stewardd: %s\n", error.text);
    }
    unlink_all(loop);
    zloop_destroy(&loop->zloop);
    manager_fini(&loop->manager);
    return code;
}

int loop_run(const struct reload *configured, struct log *log)
{
    struct loop *loop = mem_zalloc(1, sizeof *loop);
    loop->log = log;
    loop->configured = configured;
    loop->options = configured->options;
    loop->timer = -1;
    loop->signals = signals_open();
    if (loop->signals < 0) {
        fprintf(stderr, "stewardd: cannot receive signals: %s\n", strerror(errno));
        free(loop);
        return 1;
    }
    notify_init(&loop->notify);
    zsys_handler_set(NULL); /* czmq's own handlers would end the loop behind our back */
    system_prepare(log, loop->options->connections_max);
    int code = start(loop);
    socket_close(&loop->manager.socket, LOOP_LINGER_MS);
    close(loop->signals);
    free(loop);
    return code;
}
