/*
 * The store of snapshots on real files, written by a child process: what the child leaves behind,
 * how it dies, and that it never outlives its parent. Threads beside it: broker/journal/log.h.
 */
#include "broker/journal/log.h"
#include "broker/journal/log_dir.h"
#include "tests/unit/snapshots_rig.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- files that a test can slow down and break, in the child too ---- */

/* In memory that both processes share. */
struct control {
    _Atomic int child;    /* who writes */
    _Atomic int files;    /* descriptors that the writer has open */
    _Atomic int niceness; /* of the writer */
    _Atomic int writes;
    char name[32];
    /* told by the test */
    _Atomic int hold;    /* the second write waits while this is set */
    _Atomic int fail_at; /* the n-th write fails, 0: none */
    int error;
    bool crash; /* it does not fail, it kills */
};

static struct control *control;
static struct log_io slow;

static int count_files(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (directory && readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count - 3; /* ".", "..", and the directory itself */
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static int64_t slow_write(void *context, int file, const void *data, size_t size, uint64_t offset)
{
    int number = ++control->writes;
    if (number == 1) {
        prctl(PR_GET_NAME, control->name);
        control->files = count_files();
        control->niceness = getpriority(PRIO_PROCESS, 0);
        control->child = getpid();
    }
    for (int i = 0; i < 40000 && number == 2 && control->hold; i++) {
        pause_ms(1);
    }
    if (number == control->fail_at && control->crash) {
        abort();
    }
    return number == control->fail_at ? -control->error
                                      : log_io_files()->write(context, file, data, size, offset);
}

/* ---- a world ---- */

struct world {
    char directory[64];
    struct snapshots *store;
    struct core *core;
    struct log_error error;
};

static struct snapshots *open_store(struct world *world)
{
    struct snapshots_options options = {.directory = world->directory, .io = &slow};
    return snapshots_open(&options, &world->error);
}

static void begin(struct world *world)
{
    *world =
        (struct world){.core = rig_core(700, 'a'), .directory = "/tmp/steward-snapshots-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(world->directory));
    control =
        mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(control, MAP_FAILED);
    slow = *log_io_files();
    slow.write = slow_write;
    world->store = open_store(world);
    ck_assert_msg(world->store != NULL, "%s", world->error.text);
}

static void remove_all(const char *directory)
{
    char path[512];
    struct dirent *entry;
    DIR *list = opendir(directory);
    while (list && (entry = readdir(list)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (entry->d_name[0] != '.' && unlink(path) != 0) {
            remove_all(path);
        }
    }
    closedir(list);
    rmdir(directory);
}

static void end(struct world *world)
{
    snapshots_close(&world->store);
    core_destroy(&world->core);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* no child is left, living or dead */
    ck_assert_int_eq(errno, ECHILD);
    remove_all(world->directory);
    munmap(control, sizeof *control);
}

static enum snapshots_event wait_event(struct world *world)
{
    enum snapshots_event event = SNAPSHOTS_NOTHING;
    for (int i = 0; i < 4000 && event == SNAPSHOTS_NOTHING; i++) {
        struct pollfd pollfd = {.fd = snapshots_descriptor(world->store), .events = POLLIN};
        poll(&pollfd, 1, 10);
        event = snapshots_process(world->store, &world->error);
    }
    return event;
}

static bool begin_one(struct world *world, uint64_t index)
{
    struct snapshot_mark mark = rig_mark(index);
    control->writes = 0;
    control->child = 0;
    return snapshots_begin(world->store, &mark, world->core);
}

static enum snapshots_event take(struct world *world, uint64_t index)
{
    ck_assert(begin_one(world, index));
    return wait_event(world);
}

/* The child has begun to write, and waits. */
static pid_t wait_writing(void)
{
    for (int i = 0; i < 20000 && control->writes < 2; i++) {
        pause_ms(1);
    }
    ck_assert_int_ge(control->writes, 2);
    return control->child;
}

static int count_names(const struct world *world)
{
    char path[128];
    int count = 0;
    snprintf(path, sizeof path, "%s/snapshot", world->directory);
    DIR *directory = opendir(path);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

static ino_t number_of(const struct world *world, uint64_t index)
{
    char path[128];
    struct stat status;
    snprintf(path, sizeof path, "%s/snapshot/%016lx.snapshot", world->directory,
             (unsigned long)index);
    return stat(path, &status) == 0 ? status.st_ino : 0;
}

/* ---- taking --------------------------------------------------------------------------------- */

START_TEST(a_child_writes_it)
{
    struct world world;
    struct snapshot_mark mark;
    begin(&world);
    ck_assert(!snapshots_newest(world.store, &mark));
    ck_assert_int_eq(snapshots_descriptor(world.store), -1);
    ck_assert_int_eq(take(&world, 77), SNAPSHOTS_WRITTEN);
    ck_assert_int_ne(control->child, getpid());
    ck_assert_int_eq(snapshots_descriptor(world.store), -1);
    rig_expect(world.store, 77, world.core);
    snapshots_close(&world.store);
    world.store = open_store(&world);
    rig_expect(world.store, 77, world.core);
    ck_assert(!begin_one(&world, 77)); /* there is one as new */
    end(&world);
}
END_TEST

START_TEST(the_state_is_that_of_the_beginning)
{
    struct world world;
    begin(&world);
    struct core *before = rig_core(700, 'a');
    control->hold = 1;
    ck_assert(begin_one(&world, 5));
    wait_writing();
    struct effects effects = {0};
    struct command purge = {.kind = COMMAND_QUEUE_PURGE,
                            .session = 1,
                            .request = 701,
                            .named = {.name = slice_str("q")}};
    core_apply(world.core, 5, &purge, &effects);
    ck_assert(!rig_same(world.core, before));
    control->hold = 0;
    ck_assert_int_eq(wait_event(&world), SNAPSHOTS_WRITTEN);
    rig_expect(world.store, 5, before);
    core_destroy(&before);
    effects_fini(&effects);
    end(&world);
}
END_TEST

/* The same mark and state make the same bytes, whoever writes them. */
START_TEST(bytes_are_canonical)
{
    struct world world;
    char path[128];
    begin(&world);
    ck_assert_int_eq(take(&world, 9), SNAPSHOTS_WRITTEN);
    struct buf forked = rig_bytes(world.store, 9);
    struct snapshot_mark mark = rig_mark(9);
    snprintf(path, sizeof path, "%s/alone", world.directory);
    ck_assert(snapshot_write(NULL, path, &mark, world.core, &world.error));
    ck_assert(snapshot_verify(NULL, path, &mark, &world.error));
    ck_assert_uint_eq(mark.at.index, 9);
    uint8_t *alone = malloc(forked.size + 1);
    int file = open(path, O_RDONLY);
    ck_assert_int_eq(read(file, alone, forked.size + 1), (ssize_t)forked.size);
    close(file);
    ck_assert_mem_eq(alone, forked.data, forked.size);
    free(alone);
    struct core *loaded = core_new();
    ck_assert(snapshot_load(NULL, path, loaded, &mark, &world.error));
    ck_assert(rig_same(loaded, world.core));
    core_destroy(&loaded);
    buf_fini(&forked);
    end(&world);
}
END_TEST

START_TEST(files_by_turns)
{
    struct world world;
    ino_t numbers[8] = {0};
    uint64_t bytes;
    begin(&world);
    for (uint64_t i = 1; i < 8; i++) {
        core_destroy(&world.core);
        world.core = rig_core(i % 3 * 400 + 1, 'b'); /* longer and shorter ones */
        ck_assert_int_eq(take(&world, i), SNAPSHOTS_WRITTEN);
        rig_expect(world.store, i, world.core);
        numbers[i] = number_of(&world, i);
        ck_assert_int_eq(count_names(&world), (i < 2 ? 1 : i < 6 ? 2 : 3));
        if (i == 4) {
            snapshots_hold(world.store, 4);
            snapshots_hold_backup(world.store, 4);
        }
        ck_assert(i < 4 || snapshots_size(world.store, 4, &bytes));
    }
    ck_assert_uint_eq(numbers[1], numbers[3]);
    ck_assert_uint_eq(numbers[2], numbers[4]);
    ck_assert_uint_eq(numbers[4], number_of(&world, 4));
    snapshots_hold(world.store, 0); /* the backup's hold is another one */
    ck_assert_int_eq(take(&world, 8), SNAPSHOTS_WRITTEN);
    ck_assert(snapshots_size(world.store, 4, &bytes));
    snapshots_hold_backup(world.store, 0);
    ck_assert_int_eq(take(&world, 9), SNAPSHOTS_WRITTEN);
    ck_assert_int_eq(count_names(&world), 2);
    ck_assert(!snapshots_size(world.store, 4, &bytes));
    uint8_t byte;
    ck_assert_int_eq(snapshots_read(world.store, 4, 0, &byte, 1), -ENOENT);
    end(&world);
}
END_TEST

/* ---- the child ------------------------------------------------------------------------------ */

START_TEST(the_child_takes_little_with_it)
{
    struct world world;
    begin(&world);
    char path[128];
    snprintf(path, sizeof path, "%s/lock", world.directory);
    int lock = log_io_files()->lock(NULL, path);
    ck_assert_int_ge(lock, 0);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_ge(dup(lock), 0);
    }
    control->hold = 1;
    ck_assert(begin_one(&world, 5));
    wait_writing();
    ck_assert_str_eq(control->name, "steward-snap");
    ck_assert_int_eq(control->files, 5); /* stdin, stdout, stderr, the pipe, its file */
    ck_assert_int_ge(control->niceness, 5);
    closefrom(lock); /* the test's own are gone: the lock is free although the child lives */
    int again = log_io_files()->lock(NULL, path);
    ck_assert_int_ge(again, 0);
    control->hold = 0;
    end(&world);
}
END_TEST

START_TEST(signals_to_all_do_not_stop_it)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct world world;
    begin(&world);
    control->hold = 1;
    ck_assert(begin_one(&world, 5));
    pid_t child = wait_writing();
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        ck_assert_int_eq(kill(child, numbers[i]), 0);
    }
    control->hold = 0;
    ck_assert_int_eq(wait_event(&world), SNAPSHOTS_WRITTEN);
    end(&world);
}
END_TEST

START_TEST(a_killed_child_is_no_loss)
{
    struct world world;
    begin(&world);
    ck_assert_int_eq(take(&world, 3), SNAPSHOTS_WRITTEN);
    for (uint64_t i = 4; i < 8; i++) {
        control->hold = 1;
        ck_assert(begin_one(&world, i));
        ck_assert(!begin_one(&world, i + 1));
        ck_assert_int_eq(snapshots_process(world.store, &world.error), SNAPSHOTS_NOTHING);
        ck_assert_int_eq(kill(wait_writing(), i % 2 ? SIGKILL : SIGSEGV), 0);
        ck_assert_int_eq(wait_event(&world), SNAPSHOTS_FAILED);
        ck_assert_int_eq(world.error.trouble, LOG_NO_ROOM);
        ck_assert_ptr_nonnull(strstr(world.error.text, "signal"));
        rig_expect(world.store, 3, world.core);
    }
    control->hold = 0;
    ck_assert_int_eq(take(&world, 9), SNAPSHOTS_WRITTEN);
    rig_expect(world.store, 9, world.core);
    ck_assert_int_eq(take(&world, 10), SNAPSHOTS_WRITTEN);
    ck_assert_int_eq(count_names(&world), 2);
    end(&world);
}
END_TEST

START_TEST(its_disk_fails)
{
    static const struct {
        int error;
        enum log_trouble trouble;
    } cases[] = {{ENOSPC, LOG_NO_ROOM}, {EIO, LOG_IO_FAILED}, {EDQUOT, LOG_NO_ROOM}};
    struct world world;
    begin(&world);
    ck_assert_int_eq(take(&world, 1), SNAPSHOTS_WRITTEN);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int nth = 1; nth <= 5; nth++) { /* three blocks, the table, the header */
            control->error = cases[i].error;
            control->fail_at = nth;
            ck_assert_int_eq(take(&world, 5), SNAPSHOTS_FAILED);
            ck_assert_int_eq(world.error.trouble, cases[i].trouble);
            ck_assert_ptr_nonnull(strstr(world.error.text, strerror(cases[i].error)));
            rig_expect(world.store, 1, world.core);
        }
    }
    control->fail_at = 6;
    ck_assert_int_eq(take(&world, 5), SNAPSHOTS_WRITTEN);
    end(&world);
}
END_TEST

START_TEST(closing_ends_it)
{
    struct world world;
    begin(&world);
    ck_assert_int_eq(take(&world, 1), SNAPSHOTS_WRITTEN);
    control->hold = 1;
    ck_assert(begin_one(&world, 2));
    pid_t child = wait_writing();
    snapshots_close(&world.store);
    ck_assert_int_eq(kill(child, 0), -1);
    control->hold = 0;
    ck_assert_int_eq(count_names(&world), 2);
    world.store = open_store(&world);
    ck_assert_int_eq(count_names(&world), 1); /* what was unfinished is gone */
    rig_expect(world.store, 1, world.core);
    end(&world);
}
END_TEST

/* Another manager may open the directory at once: no child of the dead one may still write. */
START_TEST(it_dies_with_its_parent)
{
    struct world world;
    begin(&world);
    control->hold = 1;
    pid_t parent = fork();
    if (parent == 0) {
        begin_one(&world, 2);
        pause_ms(20000);
        _exit(0);
    }
    pid_t child = wait_writing();
    ck_assert_int_ne(child, parent);
    ck_assert_int_eq(kill(child, 0), 0);
    ck_assert_int_eq(kill(parent, SIGKILL), 0);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    char path[64], state = 'R';
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    for (int i = 0; i < 1000 && state != 'Z'; i++) { /* gone, or waiting for init to notice */
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            state = 'Z';
        } else {
            ck_assert_int_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
            fclose(file);
        }
        pause_ms(1);
    }
    ck_assert_int_eq(state, 'Z');
    ck_assert_int_eq(control->writes, 2);
    end(&world);
}
END_TEST

/* ---- beside the log's threads, which have malloc in their hands when it forks ---- */

static void *allocate(void *argument)
{
    const atomic_bool *stop = argument;
    while (!*stop) {
        free(malloc(100000));
        free(malloc(10));
    }
    return NULL;
}

START_TEST(threads_do_not_hold_it_up)
{
    struct world world;
    pthread_t threads[2];
    atomic_bool stop = false;
    char directory[128];
    begin(&world);
    snprintf(directory, sizeof directory, "%s/data", world.directory);
    struct log_options options = {.directory = directory, .segment_bytes = 1 << 20};
    struct disk_log *log = log_open(&options, &world.error);
    ck_assert_msg(log != NULL, "%s", world.error.text);
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, allocate, &stop);
    }
    char payload[10000] = {0};
    for (uint64_t i = 1; i < 20; i++) {
        struct log_item item = {
            .type = LOG_ENTRY, .term = 1, .index = i, .payload = slice_of(payload, sizeof payload)};
        log_append(log, &item);
        log_flush(log, i);
        ck_assert_int_eq(take(&world, i), SNAPSHOTS_WRITTEN);
        ck_assert(log_process(log, i));
    }
    stop = true;
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    log_close(&log);
    end(&world);
}
END_TEST

/* ---- from one to another -------------------------------------------------------------------- */

START_TEST(sent_and_received)
{
    struct world from, to;
    begin(&to);
    struct control *of_to = control;
    begin(&from);
    ck_assert_int_eq(take(&from, 50), SNAPSHOTS_WRITTEN);
    struct buf bytes = rig_bytes(from.store, 50);
    static const size_t pieces[] = {777, 4096, 100000, 1 << 20};
    for (uint64_t i = 0; i < 4; i++) {
        ck_assert_msg(rig_receive(to.store, 50, buf_view(&bytes), pieces[i], &to.error), "%s",
                      to.error.text);
        rig_expect(to.store, 50, from.core);
        ck_assert_int_eq(count_names(&to), 1);
    }
    struct buf again = rig_bytes(to.store, 50);
    ck_assert(slice_equal(buf_view(&again), buf_view(&bytes)));
    ck_assert_int_eq(take(&to, 60), SNAPSHOTS_WRITTEN); /* and goes on with its own */
    rig_expect(to.store, 60, to.core);
    buf_fini(&again);
    buf_fini(&bytes);
    snapshots_close(&to.store); /* each store reaps its own child */
    end(&from);
    control = of_to;
    end(&to);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {a_child_writes_it,
                                  the_state_is_that_of_the_beginning,
                                  bytes_are_canonical,
                                  files_by_turns,
                                  the_child_takes_little_with_it,
                                  signals_to_all_do_not_stop_it,
                                  a_killed_child_is_no_loss,
                                  its_disk_fails,
                                  closing_ends_it,
                                  it_dies_with_its_parent,
                                  threads_do_not_hold_it_up,
                                  sent_and_received};
    Suite *suite = suite_create("snapshots");
    TCase *cases = tcase_create("snapshots");
    tcase_set_timeout(cases, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
