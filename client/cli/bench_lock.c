/*
 * `steward bench lock`: lock and unlock by one client alone; then hand-offs between several that
 * compete, and how fair they are by Jain's index: (sum x)^2 / (n * sum x^2), 1 when all got the
 * same (Jain, Chiu, Hawe 1984). Holders check each other: never two, and tokens that grow.
 */
#include "client/cli/bench.h"

#include <string.h>

static void alone_main(struct bench *bench, size_t index)
{
    stw_client *client = NULL;
    bool good = bench_open(bench, index, &client) && bench_ready(bench, index);
    while (good && !atomic_load(&bench->shared->stop)) {
        stw_lock *lock = NULL;
        uint64_t from = clock_ns();
        int code = stw_lock_acquire(client, bench->queue, NULL, &lock);
        code = code == STW_OK ? stw_lock_release(&lock) : code;
        if (code != STW_OK) {
            good = bench_error(bench, index, code, stw_last_error(client));
        } else {
            histogram_add(&bench->slots[index].histogram, clock_ns() - from);
            bench->slots[index].count++;
        }
    }
    stw_close(&client);
}

/* What only the holder may do. */
static void critical(struct bench *bench, size_t index, uint64_t token)
{
    struct bench_shared *shared = bench->shared;
    struct bench_slot *slot = &bench->slots[index];
    if (atomic_exchange(&shared->inside, 1) != 0 || token <= shared->last_token) {
        slot->wrong++;
    }
    shared->last_token = token;
    slot->count += shared->last_holder != index + 1;
    shared->last_holder = index + 1;
    atomic_store(&shared->inside, 0);
}

static void rival_main(struct bench *bench, size_t index)
{
    stw_client *client = NULL;
    bool good = bench_open(bench, index, &client) && bench_ready(bench, index);
    while (good && !atomic_load(&bench->shared->stop)) {
        stw_lock *lock = NULL;
        int code = stw_lock_acquire(client, bench->queue, NULL, &lock);
        if (code == STW_OK) {
            critical(bench, index, stw_lock_token(lock));
            code = stw_lock_release(&lock);
        }
        if (code != STW_OK) {
            good = bench_error(bench, index, code, stw_last_error(client));
        }
    }
    stw_close(&client);
}

static double jain(const struct bench *bench)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < bench->slots_count; i++) {
        double count = (double)bench->slots[i].count;
        sum += count;
        squares += count * count;
    }
    return squares > 0 ? sum * sum / ((double)bench->slots_count * squares) : 0;
}

/* Forks, runs for half the time, leaves the result in bench. */
static int measure(struct bench *bench, struct cli *cli, size_t count,
                   void (*body)(struct bench *, size_t))
{
    bench_init(bench, cli, count);
    for (size_t i = 0; i < count; i++) {
        bench_fork(bench, i, body);
    }
    int code = bench_start(bench);
    if (code == EXIT_DONE) {
        bench_sleep(bench, bench->seconds_ms / 2, count);
        atomic_store(&bench->shared->stop, 1);
        bench_wait(bench, 0, count);
        code = bench_failed(bench);
    }
    return code;
}

int cmd_bench_lock(struct cli *cli)
{
    struct bench bench;
    uint64_t wrong = 0;
    struct line *line = line_begin();
    int code = measure(&bench, cli, 1, alone_main);
    double seconds = (double)bench.seconds_ms / 2000;
    line_real(line, "pairs_per_s", (double)bench_sum(&bench, 0, 1) / seconds);
    line_real(line, "p50_us", histogram_us(&bench.slots[0].histogram, 0.50));
    line_real(line, "p99_us", histogram_us(&bench.slots[0].histogram, 0.99));
    bench_free(&bench);
    if (code == EXIT_DONE) {
        code = measure(&bench, cli, (size_t)option_number(cli, OPTION_CLIENTS, 8), rival_main);
        for (size_t i = 0; i < bench.slots_count; i++) {
            wrong += bench.slots[i].wrong;
        }
        line_u64(line, "clients", bench.slots_count);
        line_real(line, "handoffs_per_s",
                  (double)bench_sum(&bench, 0, bench.slots_count) / seconds);
        line_real(line, "jain", jain(&bench));
        line_u64(line, "violations", wrong);
        line_real(line, "client_cpu_s", bench_cpu_s(&bench, 0, bench.slots_count));
        bench_broker(&bench, line);
        bench_free(&bench);
    }
    if (code == EXIT_DONE) {
        line_show(cli, &line);
    } else {
        line_discard(&line);
    }
    return code == EXIT_DONE && wrong > 0 ? EXIT_FAILED : code;
}
