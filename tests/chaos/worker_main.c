/*
 * chaos_worker ROLE NAME HISTORY ENDPOINTS SEED [RATE [SECONDS]]
 *
 * Drives one client of the real library and writes what it asks and what it is told to HISTORY.
 * ROLE: put, put-large, put-ordered, get, get-ordered, stream, lock, declare, drain, sleeper.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/chaos/worker.h"

/* milliseconds: how long a worker waits for a manager at its start */
#define OPEN_MS 30000

/* milliseconds: a put that got no answer for so long is unknown */
#define PUT_MS 120000

volatile sig_atomic_t worker_stopping;

const char *const load_queues[LOAD_QUEUES] = {"load.0", "load.1", "load.2", "load.3"};

static const struct {
    const char *name;
    int (*run)(struct worker *worker);
} ROLES[] = {
    {"put", role_put},
    {"put-large", role_put_large},
    {"put-ordered", role_put_ordered},
    {"get", role_get},
    {"get-ordered", role_get_ordered},
    {"stream", role_stream},
    {"lock", role_lock},
    {"drain", role_drain},
    {"declare", role_declare},
    {"sleeper", role_sleeper},
};

uint64_t worker_random(struct worker *worker, uint64_t below)
{
    uint64_t x = worker->random; /* xorshift64*, Vigna 2016 */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    worker->random = x;
    return ((x * 0x2545f4914f6cdd1d) >> 16) % below;
}

void worker_sleep_us(uint64_t microseconds)
{
    struct timespec time = {.tv_sec = (time_t)(microseconds / 1000000),
                            .tv_nsec = (long)(microseconds % 1000000 * 1000)};
    nanosleep(&time, NULL);
}

uint64_t worker_checksum(const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t sum = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3;
    }
    sum &= 0x1fffffffffffff; /* fits the numbers of every reader of JSON */
    return sum != 0 ? sum : 1;
}

/* Mostly small, some beyond a slab, a few in a frame of their own. */
static size_t worker_body_size(struct worker *worker)
{
    uint64_t kind = worker->large ? 0 : worker_random(worker, 1000);
    if (kind < 3) {
        return 64 * 1024 + (size_t)worker_random(worker, 32 * 1024);
    }
    if (kind < 50) {
        return 4096 + (size_t)worker_random(worker, 8192);
    }
    return HISTORY_KEY_BYTES + (size_t)worker_random(worker, 400);
}

size_t worker_body(struct worker *worker, char key[HISTORY_KEY_BYTES], char body[BODY_BYTES_MAX])
{
    size_t size = worker_body_size(worker);
    snprintf(key, HISTORY_KEY_BYTES, "%.32s-%" PRIu64, worker->history.worker, ++worker->keys);
    memset(body, 0, HISTORY_KEY_BYTES);
    memcpy(body, key, strlen(key));
    for (size_t i = HISTORY_KEY_BYTES; i < size; i++) {
        body[i] = (char)(worker->keys * 31 + i * 7);
    }
    return size;
}

void worker_key(const stw_message *message, char key[HISTORY_KEY_BYTES])
{
    const char *data = stw_message_data(message);
    size_t size = stw_message_size(message), length = 0;
    while (length < size && length < HISTORY_KEY_BYTES - 1 && data[length] > ' ' &&
           data[length] < 127 && data[length] != '"' && data[length] != '\\') {
        key[length] = data[length];
        length++;
    }
    key[length] = 0;
}

void worker_delivered(struct worker *worker, uint64_t get, const stw_message *message)
{
    char key[HISTORY_KEY_BYTES];
    worker_key(message, key);
    struct event event = {.event = "deliver", .op = "get", .id = get, .key = key};
    event.queue = stw_message_queue(message);
    event.value = worker_checksum(stw_message_data(message), stw_message_size(message));
    event.token = stw_message_token(message);
    event.deliveries = stw_message_deliveries(message);
    history_write(&worker->history, &event);
}

stw_client *volatile worker_waiting;

static void on_stop(int number)
{
    int kept = errno;
    (void)number;
    worker_stopping = 1;
    if (worker_waiting != NULL) {
        stw_client_interrupt(worker_waiting);
    }
    errno = kept;
}

static bool worker_open(struct worker *worker)
{
    stw_open_options options;
    stw_open_options_init(&options);
    options.timeout_ms = OPEN_MS;
    options.program = worker->history.worker;
    int code = stw_open(&worker->client, worker->endpoints, &options);
    if (code != STW_OK) {
        fprintf(stderr, "chaos_worker: %s\n", stw_strerror(code));
        return false;
    }
    worker->history.session = stw_client_session(worker->client);
    return true;
}

static int worker_run(struct worker *worker, const char *role)
{
    for (size_t i = 0; i < sizeof ROLES / sizeof ROLES[0]; i++) {
        if (strcmp(ROLES[i].name, role) == 0) {
            if (!worker_open(worker)) {
                return 1;
            }
            int status = ROLES[i].run(worker);
            history_write(&worker->history, &(struct event){.event = "note", .op = "end"});
            stw_close(&worker->client);
            return status;
        }
    }
    fprintf(stderr, "chaos_worker: no role %s\n", role);
    return 2;
}

int main(int argc, char **argv)
{
    struct worker worker = {.rate = 500, .seconds = 60, .put_ms = PUT_MS};
    if (argc < 6) {
        fprintf(stderr, "chaos_worker ROLE NAME HISTORY ENDPOINTS SEED [RATE [SECONDS]]\n");
        return 2;
    }
    if (!history_open(&worker.history, argv[3], argv[2])) {
        fprintf(stderr, "chaos_worker: %s: %s\n", argv[3], strerror(errno));
        return 1;
    }
    worker.endpoints = argv[4];
    worker.random = strtoull(argv[5], NULL, 10) * 0x9e3779b97f4a7c15 + 0x1234567;
    worker.rate = argc > 6 ? strtoull(argv[6], NULL, 10) : worker.rate;
    worker.seconds = argc > 7 ? strtoull(argv[7], NULL, 10) : worker.seconds;
    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    return worker_run(&worker, argv[1]);
}
