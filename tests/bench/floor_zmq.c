/*
 * The floor under `steward bench`: the same processes and hops with libzmq alone.
 *
 *     floor_zmq MODE ENDPOINT SECONDS SIZE [PRODUCERS CONSUMERS]
 *
 * A broker process with one ROUTER socket forwards messages from producers' DEALER sockets to
 * consumers'. It keeps nothing, confirms nothing and checks nothing. Modes:
 *
 *   throughput  one message each
 *   packed      as many as fit into 64 KiB are one ZeroMQ message
 *   latency     one in flight: the consumer lets the producer go on through shared memory, as in
 *               `steward bench latency`
 *   confirmed   latency with the packets that a confirmed put and an acknowledged delivery need: a
 *               receipt for the producer, the consumer's ack and its answer
 *   pairs       one client locks and unlocks: two round trips to the broker
 *   handoffs    eight clients want one lock; the broker keeps their order
 *
 * Prints one JSON object.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "common/base/panic.h"

#define CONSUMERS_MAX 64
#define SAMPLES_MAX   4000000
#define WARM_UP       200
#define PACKED_BYTES  65536
#define RIVALS        8
#define LOCK          "L " /* two bytes: neither a body nor an ack */
#define UNLOCK        "U "

static struct shared {
    atomic_int stop, ready;
    atomic_uint turn;
    _Alignas(64) _Atomic uint64_t got[CONSUMERS_MAX];
    size_t last_holder;         /* guarded by the lock */
    _Atomic uint64_t cpu_us[3]; /* broker, producers, consumers */
    uint64_t samples_count;
    uint64_t samples[SAMPLES_MAX]; /* ns */
} * shared;

static const char *endpoint;
static bool one_by_one; /* latency, confirmed */
static bool confirmed;
static bool locks; /* pairs, handoffs */
static size_t size_bytes;
static size_t packed = 1; /* bodies in one ZeroMQ message */
static int consumers = 2;

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *dealer(void *context)
{
    int linger = 0, timeout_ms = 200;
    void *socket = zmq_socket(context, ZMQ_DEALER);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof(linger));
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    STEWARD_ASSERT(zmq_connect(socket, endpoint) == 0);
    return socket;
}

/* ---- the broker ------------------------------------------------------------------------------ */

struct router {
    void *socket;
    zmq_msg_t ids[CONSUMERS_MAX];
    int known, next;
    zmq_msg_t waiters[RIVALS]; /* a ring: who waits for the lock */
    int first, waiting;
    bool held;
};

/* Two frames, one byte of content: a receipt, or the answer to an ack. */
static void router_answer(struct router *router, zmq_msg_t *id)
{
    zmq_msg_send(id, router->socket, ZMQ_SNDMORE);
    zmq_send(router->socket, "r", 1, 0);
}

static void router_grant(struct router *router)
{
    if (router->held || router->waiting == 0) {
        return;
    }
    router_answer(router, &router->waiters[router->first]);
    router->first = (router->first + 1) % RIVALS;
    router->waiting--;
    router->held = true;
}

static void router_lock(struct router *router, zmq_msg_t *id, const char *verb)
{
    if (*verb == *LOCK) {
        zmq_msg_t *last = &router->waiters[(router->first + router->waiting++) % RIVALS];
        zmq_msg_init(last);
        zmq_msg_move(last, id);
    } else {
        router_answer(router, id);
        router->held = false;
    }
    router_grant(router);
}

/* A consumer says hello with an empty message, and acks with a byte; everything else goes to the
 * next consumer. */
static void router_forward(struct router *router, zmq_msg_t *id, zmq_msg_t *body)
{
    if (zmq_msg_size(body) == 1) {
        router_answer(router, id);
        return;
    }
    if (zmq_msg_size(body) == sizeof(LOCK) - 1) {
        router_lock(router, id, zmq_msg_data(body));
        return;
    }
    if (zmq_msg_size(body) == 0 && router->known < CONSUMERS_MAX) {
        zmq_msg_init(&router->ids[router->known]);
        zmq_msg_copy(&router->ids[router->known++], id);
        atomic_fetch_add(&shared->ready, 1);
        return;
    }
    if (router->known == 0) {
        return;
    }
    zmq_msg_t to;
    zmq_msg_init(&to);
    zmq_msg_copy(&to, &router->ids[router->next++ % router->known]);
    while (zmq_msg_send(&to, router->socket, ZMQ_SNDMORE) < 0) {
        if (errno != EAGAIN || atomic_load(&shared->stop)) {
            zmq_msg_close(&to);
            return;
        }
    }
    zmq_msg_send(body, router->socket, 0);
    if (confirmed) {
        router_answer(router, id);
    }
}

static void broker_main(void *context, int number)
{
    struct router router = {.socket = zmq_socket(context, ZMQ_ROUTER)};
    int on = 1, timeout_ms = 200;
    (void)number;
    zmq_setsockopt(router.socket, ZMQ_ROUTER_MANDATORY, &on, sizeof(on));
    zmq_setsockopt(router.socket, ZMQ_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    zmq_setsockopt(router.socket, ZMQ_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    STEWARD_ASSERT(zmq_bind(router.socket, endpoint) == 0);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        zmq_msg_t id, body;
        zmq_msg_init(&id);
        zmq_msg_init(&body);
        if (zmq_msg_recv(&id, router.socket, 0) >= 0 &&
            zmq_msg_recv(&body, router.socket, 0) >= 0) {
            router_forward(&router, &id, &body);
        }
        zmq_msg_close(&id);
        zmq_msg_close(&body);
    }
}

/* ---- clients --------------------------------------------------------------------------------- */

static void turn_wait(unsigned old)
{
    struct timespec most = {.tv_nsec = 200000000};
    while (atomic_load(&shared->turn) == old && !atomic_load(&shared->stop)) {
        syscall(SYS_futex, &shared->turn, FUTEX_WAIT, old, &most, NULL, 0);
    }
}

static void producer_main(void *context, int number)
{
    void *socket = dealer(context);
    char *body = calloc(packed, size_bytes);
    STEWARD_ASSERT(body != NULL);
    (void)number;
    while (atomic_load(&shared->ready) < consumers && !atomic_load(&shared->stop)) {
        usleep(1000);
    }
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        unsigned turn = atomic_load(&shared->turn);
        uint64_t now = one_by_one ? clock_ns() : 0;
        for (size_t i = 0; i < packed; i++) {
            memcpy(body + i * size_bytes, &now, sizeof(now));
        }
        if (zmq_send(socket, body, packed * size_bytes, 0) >= 0 && one_by_one) {
            char receipt;
            if (confirmed) {
                zmq_recv(socket, &receipt, 1, 0);
            }
            turn_wait(turn);
        }
    }
    free(body);
}

static void sample_keep(void *socket, const void *body, uint64_t now)
{
    uint64_t sent;
    char answer;
    memcpy(&sent, body, sizeof(sent));
    if (confirmed && zmq_send(socket, "a", 1, 0) == 1) {
        zmq_recv(socket, &answer, 1, 0);
    }
    unsigned turn = atomic_load(&shared->turn);
    if (turn >= WARM_UP && shared->samples_count < SAMPLES_MAX) {
        shared->samples[shared->samples_count++] = now - sent;
    }
    atomic_store(&shared->turn, turn + 1);
    syscall(SYS_futex, &shared->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void consumer_main(void *context, int number)
{
    void *socket = dealer(context);
    zmq_send(socket, "", 0, 0);
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, socket, 0) >= (int)sizeof(uint64_t)) {
            atomic_fetch_add_explicit(&shared->got[number], packed, memory_order_relaxed);
            if (one_by_one) {
                sample_keep(socket, zmq_msg_data(&message), clock_ns());
            }
        }
        zmq_msg_close(&message);
    }
}

/* Sends and waits for the answer, but not for ever: a rival may have stopped while holding. */
static bool ask(void *socket, const char *verb)
{
    char answer;
    zmq_send(socket, verb, strlen(verb), 0);
    while (zmq_recv(socket, &answer, 1, 0) < 0) {
        if (atomic_load(&shared->stop)) {
            return false;
        }
    }
    return true;
}

static void rival_main(void *context, int number)
{
    void *socket = dealer(context);
    bool alone = consumers == 1;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed) && ask(socket, LOCK)) {
        bool counts = alone || shared->last_holder != (size_t)number + 1;
        shared->last_holder = (size_t)number + 1;
        atomic_fetch_add_explicit(&shared->got[number], counts, memory_order_relaxed);
        if (!ask(socket, UNLOCK)) {
            return;
        }
    }
}

/* ---- the parent ------------------------------------------------------------------------------ */

static void spawn(void (*body)(void *, int), int number, int side)
{
    pid_t pid = fork();
    STEWARD_ASSERT(pid >= 0);
    if (pid != 0) {
        return;
    }
    struct rusage usage;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body(zmq_ctx_new(), number);
    getrusage(RUSAGE_SELF, &usage);
    atomic_fetch_add(&shared->cpu_us[side],
                     (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                         (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec));
    _exit(0); /* without closing: nothing here is worth waiting for */
}

static uint64_t got_sum(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < consumers; i++) {
        sum += atomic_load(&shared->got[i]);
    }
    return sum;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_us(double fraction)
{
    uint64_t count = shared->samples_count;
    size_t at = (size_t)(fraction * (double)count);
    return count == 0 ? 0 : (double)shared->samples[at < count ? at : count - 1] / 1000;
}

/* Jain's index: 1 when all got the same. */
static double fairness(void)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < consumers; i++) {
        double count = (double)atomic_load(&shared->got[i]);
        sum += count;
        squares += count * count;
    }
    return squares > 0 ? sum * sum / (consumers * squares) : 0;
}

static void report(double rate)
{
    qsort(shared->samples, shared->samples_count, sizeof(uint64_t), compare);
    printf("{\"%s\":%.0f,\"messages\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"jain\":%.3f,\"broker_cpu_s\":%.3f,\"producer_cpu_s\":%.3f,"
           "\"consumer_cpu_s\":%.3f}\n",
           locks ? "operations_per_s" : "messages_per_s", rate, (unsigned long long)got_sum(),
           quantile_us(0.5), quantile_us(0.99), quantile_us(0.999), fairness(),
           (double)shared->cpu_us[0] / 1e6, (double)shared->cpu_us[1] / 1e6,
           (double)shared->cpu_us[2] / 1e6);
}

/* From the mode's name, and how many producers and consumers (rivals for the lock) it has. */
static bool mode_set(const char *mode, int *producers)
{
    confirmed = strcmp(mode, "confirmed") == 0;
    one_by_one = confirmed || strcmp(mode, "latency") == 0;
    locks = strcmp(mode, "pairs") == 0 || strcmp(mode, "handoffs") == 0;
    if (strcmp(mode, "packed") == 0) {
        packed = size_bytes < PACKED_BYTES ? PACKED_BYTES / size_bytes : 1;
    }
    if (one_by_one || locks) {
        *producers = locks ? 0 : 1;
        consumers = strcmp(mode, "handoffs") == 0 ? RIVALS : 1;
    }
    return one_by_one || locks || packed > 1 || strcmp(mode, "throughput") == 0;
}

int main(int argc, char **argv)
{
    int producers = argc > 6 ? (int)strtol(argv[5], NULL, 10) : 2;
    consumers = argc > 6 ? (int)strtol(argv[6], NULL, 10) : 2;
    size_bytes = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
    if (size_bytes < 8 || !mode_set(argv[1], &producers)) {
        fprintf(stderr, "usage: floor_zmq throughput|packed|latency|confirmed|pairs|handoffs"
                        " ENDPOINT SECONDS SIZE [PRODUCERS CONSUMERS]\n");
        return 2;
    }
    endpoint = argv[2];
    double seconds = strtod(argv[3], NULL);
    STEWARD_ASSERT(producers >= 0 && consumers > 0 && consumers <= CONSUMERS_MAX);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    STEWARD_ASSERT(shared != MAP_FAILED);
    spawn(broker_main, 0, 0);
    for (int i = 0; i < consumers; i++) {
        spawn(locks ? rival_main : consumer_main, i, 2);
    }
    for (int i = 0; i < producers; i++) {
        spawn(producer_main, i, 1);
    }
    while (got_sum() == 0) {
        usleep(1000);
    }
    uint64_t from = clock_ns(), before = got_sum();
    usleep((useconds_t)(seconds * 1e6));
    double rate = (double)(got_sum() - before) / ((double)(clock_ns() - from) / 1e9);
    atomic_store(&shared->stop, 1);
    while (wait(NULL) > 0) {
    }
    report(rate);
    return 0;
}
