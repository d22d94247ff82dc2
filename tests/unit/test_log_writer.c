/*
 * The log on real files, with its threads: group commit, recycling while it runs, reading back, the
 * lock; and kill -9 of a process that appends and says what is confirmed: none of that may be lost.
 */
#include "broker/journal/log.h"

#include "common/base/alloc.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <check.h>
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <czmq.h>

#define SEGMENT (1024 * 1024)
#define ROUNDS  20

static char directory[256];

static void setup(void)
{
    /* Beside the program: /tmp may be memory, which proves less. */
    snprintf(directory, sizeof directory, "test_log_writer.%d", (int)getpid());
}

static void remove_files(const char *path)
{
    char name[600];
    DIR *list = opendir(path);
    struct dirent *entry;
    while (list && (entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            if (unlink(name) != 0) {
                remove_files(name);
            }
        }
    }
    if (list) {
        closedir(list);
    }
    rmdir(path);
}

static void teardown(void)
{
    remove_files(directory);
}

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* Counts what is recovered and checks that it is what was written. Used by the victim, too. */
struct found {
    uint64_t entries;
    uint64_t term;
};

static void check_item(void *context, const struct log_item *item)
{
    struct found *found = context;
    if (item->type == LOG_VOTE) {
        found->term = item->term;
        return;
    }
    STEWARD_ASSERT(item->type == LOG_ENTRY);
    for (size_t at = 0; at < item->payload.size; at += 101) {
        STEWARD_ASSERT(item->payload.data[at] == (uint8_t)(item->index + at));
    }
    found->entries++;
}

static struct disk_log *open_log(struct found *found)
{
    struct log_error error;
    struct log_options options = {.directory = directory,
                                  .segment_bytes = SEGMENT,
                                  .recovered = check_item,
                                  .context = found};
    struct disk_log *log = log_open(&options, &error);
    if (log == NULL) {
        fprintf(stderr, "%s\n", error.text);
    }
    STEWARD_ASSERT(log != NULL);
    return log;
}

static uint64_t append(struct disk_log *log, size_t size)
{
    uint64_t index = log_last_index(log) + 1;
    uint8_t *bytes = mem_alloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(index + i);
    }
    struct log_item item = {
        .type = LOG_ENTRY, .tag = 3, .term = 1, .index = index, .payload = slice_of(bytes, size)};
    uint64_t sequence = log_append(log, &item);
    free(bytes);
    return sequence;
}

/* Runs the log as a loop would, until `sequence` is durable. */
static void wait_durable(struct disk_log *log, uint64_t sequence)
{
    void *sockets[LOG_SOCKETS];
    log_sockets(log, sockets);
    zpoller_t *poller = zpoller_new(sockets[0], sockets[1], NULL);
    log_flush(log, now_ms());
    while (log_durable(log) < sequence) {
        zpoller_wait(poller, 20000);
        STEWARD_ASSERT(!zpoller_expired(poller)); /* nothing happened for so long */
        bool fine = log_process(log, now_ms());
        STEWARD_ASSERT(fine);
    }
    zpoller_destroy(&poller);
}

/* A loop that polls descriptors waits for nothing but the disk: no wake-up is lost. */
START_TEST(descriptors_tell_of_each_record)
{
    struct found found = {0, 0};
    struct disk_log *log = open_log(&found);
    void *sockets[LOG_SOCKETS];
    struct pollfd polled[LOG_SOCKETS];
    log_sockets(log, sockets);
    for (size_t i = 0; i < LOG_SOCKETS; i++) {
        polled[i] = (struct pollfd){.fd = (int)zsock_fd(sockets[i]), .events = POLLIN};
    }
    for (size_t i = 0; i < 300; i++) {
        uint64_t sequence = append(log, 100);
        while (log_process(log, now_ms()) && log_durable(log) < sequence) {
            log_flush(log, now_ms());
            bool told = log_deadline(log) <= now_ms() || poll(polled, LOG_SOCKETS, 20000) > 0;
            ck_assert(told);
        }
    }
    log_close(&log);
}
END_TEST

START_TEST(what_is_durable_comes_back)
{
    struct found found = {0, 0};
    struct stat status;
    struct disk_log *log = open_log(&found);
    ck_assert_int_eq(stat(directory, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0700);
    struct log_item vote = {.type = LOG_VOTE, .term = 7, .index = 1};
    log_append(log, &vote);
    for (size_t i = 0; i < 300; i++) {
        append(log, i * 37 % 5000);
    }
    append(log, log_payload_max(log)); /* a segment of its own */
    wait_durable(log, append(log, 0));
    log_close(&log);
    ck_assert_ptr_null(log);
    log = open_log(&found);
    ck_assert_uint_eq(found.entries, 302);
    ck_assert_uint_eq(found.term, 7);
    for (uint64_t index = 1; index <= 302; index += 7) {
        struct log_item item;
        ck_assert(log_read(log, index, &item));
        ck_assert_uint_eq(item.tag, 3);
        check_item(&found, &item);
    }
    log_close(&log);
}
END_TEST

START_TEST(what_gathers_is_one_record)
{
    struct found found = {0, 0};
    struct disk_log *log = open_log(&found);
    uint64_t first = append(log, 100);
    log_flush(log, now_ms());
    uint64_t second = append(log, 100); /* the first is in flight */
    ck_assert_uint_eq(second, first + 1);
    for (int i = 0; i < 1000; i++) {
        ck_assert_uint_eq(append(log, 100), second);
    }
    wait_durable(log, second);
    ck_assert_uint_eq(log_durable(log), second);
    log_close(&log);
}
END_TEST

START_TEST(it_recycles_while_it_runs)
{
    struct found found = {0, 0};
    struct disk_log *log = open_log(&found);
    for (int i = 0; i < 300; i++) {
        for (int j = 0; j < 10; j++) {
            append(log, 9000);
        }
        wait_durable(log, log_appended(log));
        log_trim(log, log_last_index(log));
    }
    struct log_room room = log_room(log);
    ck_assert_uint_le(room.segments + room.pool, 8);
    ck_assert(!room.disk_full);
    log_close(&log);
    log = open_log(&found);
    ck_assert_uint_eq(log_last_index(log), 3000);
    ck_assert_uint_lt(found.entries, 1000);
    log_close(&log);
}
END_TEST

START_TEST(an_idle_log_is_sealed)
{
    struct found found = {0, 0};
    struct disk_log *log = open_log(&found);
    ck_assert_uint_eq(log_deadline(log), UINT64_MAX);
    uint64_t sequence = append(log, 10);
    wait_durable(log, sequence);
    uint64_t due = log_deadline(log);
    ck_assert_uint_le(due, now_ms() + LIMIT_LOG_SEAL_MS);
    log_tick(log, due);
    ck_assert_uint_eq(log_appended(log), sequence + 1);
    wait_durable(log, sequence + 1);
    ck_assert_uint_eq(log_deadline(log), UINT64_MAX); /* once is enough */
    log_close(&log);
}
END_TEST

START_TEST(a_second_process_is_refused)
{
    struct found found = {0, 0};
    struct log_error error;
    struct log_options options = {.directory = directory, .segment_bytes = SEGMENT};
    struct disk_log *log = open_log(&found);
    ck_assert_ptr_null(log_open(&options, &error));
    ck_assert_int_eq(error.trouble, LOG_LOCKED);
    ck_assert_ptr_nonnull(strstr(error.text, "is in use by another process"));
    log_close(&log);
}
END_TEST

START_TEST(a_foreign_directory_is_refused)
{
    char path[300];
    struct log_error error;
    struct log_options options = {.directory = directory, .segment_bytes = SEGMENT};
    ck_assert_int_eq(mkdir(directory, 0755), 0);
    snprintf(path, sizeof path, "%s/thesis.txt", directory);
    fclose(fopen(path, "w"));
    ck_assert_ptr_null(log_open(&options, &error));
    ck_assert_int_eq(error.trouble, LOG_NOT_OURS);
    snprintf(path, sizeof path, "%s/log", directory);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* ---- kill -9 ---- */

/* Appends for ever, and writes into `out` the last index that is confirmed. Never returns. */
static void victim(int out)
{
    struct found found = {0, 0};
    struct disk_log *log = open_log(&found);
    uint64_t state = (uint64_t)getpid();
    while (true) {
        uint64_t sequence = 0;
        for (unsigned i = 0; i < 1 + (state >> 40) % 20; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            sequence = append(log, (size_t)(state >> 33) % ((state >> 50) % 30 ? 400 : 60000));
        }
        uint64_t index = log_last_index(log);
        wait_durable(log, sequence);
        if (write(out, &index, sizeof index) != sizeof index) {
            _exit(1);
        }
        if (index > 500) {
            log_trim(log, index - 500);
        }
    }
}

/* Kills a victim after a while; the last index that it confirmed. */
static uint64_t run_victim(uint64_t confirmed, unsigned life_us)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    char out[16];
    snprintf(out, sizeof out, "%d", ends[1]);
    pid_t child = fork();
    if (child == 0) {
        /* A process of its own: the threads of this one do not come along. */
        execl("/proc/self/exe", "victim", directory, out, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 20000), 1);
    ck_assert(ready.revents & POLLIN); /* it lived long enough to confirm something */
    usleep(life_us);
    kill(child, SIGKILL);
    uint64_t index;
    while (read(ends[0], &index, sizeof index) == sizeof index) {
        ck_assert_uint_gt(index, confirmed);
        confirmed = index;
    }
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    return confirmed;
}

START_TEST(kill_9_loses_nothing_confirmed)
{
    uint64_t confirmed = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        confirmed = run_victim(confirmed, 1000 + round * 7919 % 60000);
        struct found found = {0, 0};
        struct disk_log *log = open_log(&found);
        ck_assert_msg(log_last_index(log) >= confirmed, "round %u: %llu of %llu", round,
                      (unsigned long long)log_last_index(log), (unsigned long long)confirmed);
        confirmed = log_last_index(log); /* what survived is the log now */
        log_abandon(&log);
    }
    ck_assert_uint_gt(confirmed, ROUNDS);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3) {
        snprintf(directory, sizeof directory, "%s", argv[1]);
        victim((int)strtol(argv[2], NULL, 10));
    }
    Suite *suite = suite_create("log_writer");
    TCase *tcase = tcase_create("files");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, descriptors_tell_of_each_record);
    tcase_add_test(tcase, what_is_durable_comes_back);
    tcase_add_test(tcase, what_gathers_is_one_record);
    tcase_add_test(tcase, it_recycles_while_it_runs);
    tcase_add_test(tcase, an_idle_log_is_sealed);
    tcase_add_test(tcase, a_second_process_is_refused);
    tcase_add_test(tcase, a_foreign_directory_is_refused);
    tcase_add_test(tcase, kill_9_loses_nothing_confirmed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
