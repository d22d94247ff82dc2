/*
 * The durable journal on real files, with its threads: what was handed on comes back after kill -9
 * at any moment, and a directory or disk that will not do is told of in a sentence.
 */
#include "broker/journal/log.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "tests/unit/journal_rig.h"
#include "tests/unit/log_rig.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS  20
#define LIFE_US 60000
#define GAP     10000 /* numbers between two lives: more than one has in flight */

static char directory[256];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

static void setup(void)
{
    /* Beside the program: /tmp may be memory, which proves less. */
    snprintf(directory, sizeof directory, "test_journal_raft.%d", (int)getpid());
}

static void teardown(void)
{
    nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void tell(struct life *life, int out)
{
    size_t size = life->reports.size;
    if (size > 0 && write(out, life->reports.data, size) != (ssize_t)size) {
        _exit(1);
    }
    buf_clear(&life->reports);
}

/* Puts, gets and acknowledges for ever, and tells of each reply. Never returns. */
static void victim(int out, uint64_t next)
{
    static struct life life = {.directory = directory};
    life.directory = directory;
    life.next = next;
    life.random = (uint64_t)getpid();
    life_begin(&life, NULL);
    life_hello(&life);
    while (true) {
        for (uint32_t i = life_random(&life, 20); i > 0; i--) {
            life_put(&life);
        }
        life_get(&life);
        size_t acked = life_random(&life, (uint32_t)life.leased + 1);
        for (size_t i = 0; i < acked; i++) {
            life_ack(&life, i);
        }
        life.leased -= acked;
        memmove(life.tags, life.tags + acked, life.leased * sizeof life.tags[0]);
        memmove(life.numbers, life.numbers + acked, life.leased * sizeof life.numbers[0]);
        tell(&life, out); /* what is tried is known before it can happen */
        life_turn(&life);
        if (core_deadline(life.core) <= life_now_ms() && !journal_ticking(life.journal)) {
            struct command tick = {.kind = COMMAND_TICK};
            journal_submit(life.journal, life_now_ms(), &tick);
        }
    }
}

/* ---- kill -9 ---- */

#define MESSAGES 1000000

/* What is known of a message, by its number. */
enum { PUT = 1, TRIED = 2, ACKED = 4, FOUND = 8 };

struct history {
    uint8_t *messages;
    uint64_t highest; /* number seen */
    uint64_t token;   /* highest */
    size_t puts, acks;
};

static void note_report(struct history *history, struct report line)
{
    if (line.type == REPORT_LOCKED) {
        ck_assert_uint_gt(line.number, history->token); /* tokens grow, over all lives */
        history->token = line.number;
        return;
    }
    STEWARD_ASSERT(line.number < MESSAGES); /* check's own assertions are slow */
    uint8_t *known = &history->messages[line.number];
    if (*known & ACKED) {
        ck_abort_msg("%llu was acknowledged and came back", (unsigned long long)line.number);
    }
    *known |= line.type == REPORT_PUT ? PUT : line.type == REPORT_ACKED ? ACKED : TRIED;
    history->highest = line.number > history->highest ? line.number : history->highest;
    history->puts += line.type == REPORT_PUT;
    history->acks += line.type == REPORT_ACKED;
}

/* Reads what the victim tells until `until_us` have passed, or it ended. false: it ended. */
static bool listen_for(struct history *history, int in, int64_t until_us)
{
    static uint8_t bytes[65536];
    static size_t have;
    int64_t end = zclock_usecs() + until_us;
    struct pollfd ready = {.fd = in, .events = POLLIN};
    while (zclock_usecs() < end) {
        if (poll(&ready, 1, 5) == 0) {
            continue;
        }
        ssize_t got = read(in, bytes + have, sizeof bytes - have);
        if (got <= 0) {
            have = 0; /* the last words may have been cut */
            return false;
        }
        have += (size_t)got;
        size_t used = 0;
        for (; have - used >= sizeof(struct report); used += sizeof(struct report)) {
            struct report line;
            memcpy(&line, bytes + used, sizeof line);
            note_report(history, line);
        }
        have -= used;
        memmove(bytes, bytes + used, have);
    }
    return true;
}

/* Runs a victim and kills it after a while. */
static void run_victim(struct history *history, int64_t life_us)
{
    int ends[2];
    char out[16], next[32];
    ck_assert_int_eq(pipe(ends), 0);
    snprintf(out, sizeof out, "%d", ends[1]);
    snprintf(next, sizeof next, "%llu", (unsigned long long)history->highest + GAP);
    pid_t child = fork();
    if (child == 0) {
        /* A process of its own: the threads of this one do not come along. */
        execl("/proc/self/exe", "victim", directory, out, next, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    struct pollfd ready = {.fd = ends[0], .events = POLLIN};
    ck_assert_int_eq(poll(&ready, 1, 20000), 1);
    ck_assert(listen_for(history, ends[0], life_us));
    kill(child, SIGKILL);
    ck_assert(!listen_for(history, ends[0], 20000000));
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

static uint64_t note_found(struct history *history, const struct effects *effects)
{
    uint64_t found = 0;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        for (uint64_t j = 0; effect->kind == EFFECT_DELIVER && j < effect->count; j++, found++) {
            uint64_t number = life_number(effect->messages[j].body);
            STEWARD_ASSERT(number < MESSAGES);
            if (history->messages[number] & FOUND) {
                ck_abort_msg("%llu is there twice", (unsigned long long)number);
            }
            history->messages[number] |= FOUND;
        }
    }
    return found;
}

/* Gets until nothing is left. */
static void take_all(struct history *history, struct core *core, struct effects *effects)
{
    struct slice queue = slice_str("q");
    struct command open = {.kind = COMMAND_SESSION_OPEN,
                           .open = {.ttl_ms = 60000, .grace_ms = 1000}};
    core_apply(core, life_now_ms(), &open, effects);
    struct command get = {.kind = COMMAND_GET, .session = effects->items[0].session};
    get.get = (struct cmd_get){
        .queues = &queue, .queues_count = 1, .max = LIMIT_BATCH, .lease_ms = 60000};
    do {
        get.request++;
        core_apply(core, life_now_ms(), &get, effects);
    } while (note_found(history, effects) > 0);
}

/* Takes all that a copy of the core holds, and compares it with what was told. */
static void look(struct history *history, const struct core *original)
{
    struct buf snapshot = {0};
    struct effects effects = {0};
    struct session_info info;
    core_snapshot(original, &snapshot);
    struct core *core = core_restore(buf_view(&snapshot));
    for (uint64_t id = 1; id < LIFE_SESSIONS; id++) {
        struct command end = {.kind = COMMAND_SESSION_END, .session = id};
        if (core_session(core, id, &info)) {
            core_apply(core, life_now_ms(), &end, &effects);
        }
    }
    struct command tick = {.kind = COMMAND_TICK};
    while (core_deadline(core) <= life_now_ms()) {
        core_apply(core, life_now_ms(), &tick, &effects);
    }
    take_all(history, core, &effects);
    for (uint64_t number = 0; number < MESSAGES; number++) {
        uint8_t *known = &history->messages[number];
        bool found = *known & FOUND;
        if (!found && (*known & PUT) && !(*known & (TRIED | ACKED))) {
            ck_abort_msg("%llu was lost", (unsigned long long)number);
        }
        if (found && (*known & ACKED)) {
            ck_abort_msg("%llu was acknowledged and came back", (unsigned long long)number);
        }
        *known = found ? PUT : *known ? ACKED : 0; /* what survived is what is so now */
        history->highest = found && number > history->highest ? number : history->highest;
    }
    core_destroy(&core);
    effects_fini(&effects);
    buf_fini(&snapshot);
}

START_TEST(kill_9_loses_nothing_confirmed)
{
    struct history history = {.messages = mem_zalloc(MESSAGES, 1)};
    size_t snapshots = 0; /* that a life began with */
    for (int round = 0; round < ROUNDS; round++) {
        run_victim(&history, 1000 + round * 7919 % LIFE_US);
        static struct life life = {.directory = directory};
        life = (struct life){.directory = directory, .next = 0};
        life_begin(&life, NULL);
        core_check(life.core);
        struct raft_status status;
        journal_raft_status(life.journal, &status);
        snapshots += status.snapshot_index > 0 && status.first > 1;
        look(&history, life.core);
        ck_assert_uint_gt(journal_time_ms(life.journal), 0);
        life_end(&life);
    }
    ck_assert_uint_gt(history.puts, ROUNDS);
    ck_assert_uint_gt(history.acks, ROUNDS);
    ck_assert_uint_gt(history.token, 0);
    ck_assert_uint_gt(snapshots, 0);
    free(history.messages);
}
END_TEST

/* ---- trouble ---- */

START_TEST(a_second_process_is_refused)
{
    struct log_error error;
    static struct life life = {.directory = directory}, other = {.directory = directory};
    life_begin(&life, NULL);
    ck_assert_str_eq(journal_name(life.journal), "raft");
    ck_assert_ptr_null(life_open(&other, NULL, false, &error));
    ck_assert_int_eq(error.trouble, LOG_LOCKED);
    core_destroy(&other.core);
    life_end(&life);
}
END_TEST

START_TEST(a_clean_end_leaves_the_same_state)
{
    static struct life life = {.directory = directory};
    struct state_mark mark;
    life_begin(&life, NULL);
    life_hello(&life);
    for (life.next = 1; life.next < 500;) {
        life_put(&life);
        if (life_random(&life, 9) == 0) {
            life_turn(&life);
        }
    }
    while (journal_backlog(life.journal) > 0) {
        life_turn(&life);
    }
    mark = journal_raft_mark(life.journal);
    uint64_t bytes = core_bytes(life.core);
    life_end(&life);
    life = (struct life){.directory = directory, .next = 0};
    life_begin(&life, NULL);
    ck_assert_uint_eq(journal_raft_mark(life.journal).index, mark.index + 2);
    ck_assert_uint_ne(journal_raft_mark(life.journal).hash, mark.hash);
    ck_assert_uint_eq(core_bytes(life.core), bytes);
    life_end(&life);
}
END_TEST

/* ---- a disk that takes its time ---- */

static atomic_bool gate_closed;
static atomic_uint gate_waiting;

static int64_t gate_write(void *context, int file, const void *data, size_t size, uint64_t offset)
{
    gate_waiting++;
    while (gate_closed) {
        usleep(200);
    }
    gate_waiting--;
    return log_io_files()->write(context, file, data, size, offset);
}

START_TEST(nothing_is_handed_on_while_the_disk_writes)
{
    static struct life life = {.directory = directory};
    struct log_io io = *log_io_files();
    io.write = gate_write;
    life_begin(&life, &io);
    life_hello(&life);
    while (journal_backlog(life.journal) > 0 ||
           journal_deadline(life.journal) <= life_now_ms() + 20) {
        life_turn(&life); /* until it is sealed, too */
    }
    gate_closed = true;
    size_t handed = life.handed;
    life.next = 1;
    for (int i = 0; i < 50; i++) {
        life_put(&life);
        life_put(&life);
        life_turn(&life);
    }
    ck_assert_uint_ge(gate_waiting, 1);
    ck_assert_uint_eq(life.handed, handed);
    ck_assert_uint_gt(journal_backlog(life.journal), 0);
    gate_closed = false;
    while (journal_backlog(life.journal) > 0) {
        life_turn(&life);
    }
    ck_assert_uint_eq(life.handed, handed + 100);
    life_end(&life);
}
END_TEST

/* Fails while it is ready, or before it is: nothing is handed on, and nothing else happens. */
static void fail_at(bool ready)
{
    struct disk *disk = disk_new(1);
    static struct life life = {.directory = directory};
    struct log_error error;
    life = (struct life){.directory = directory, .next = 1};
    ck_assert_ptr_nonnull(life_open(&life, disk_io(disk), true, &error));
    while (ready && !journal_ready(life.journal)) {
        journal_process(life.journal, 1000);
    }
    ck_assert_ptr_null(journal_failure(life.journal));
    size_t handed = life.handed;
    struct command open = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 1000}};
    disk_fail(disk, DISK_WRITE, 1, EIO);
    for (uint64_t now = 1000; now < 1003; now++) {
        if (ready || journal_failure(life.journal)) {
            journal_submit(life.journal, now, &open);
        }
        journal_flush(life.journal, now);
        journal_process(life.journal, now);
        ck_assert_ptr_nonnull(journal_failure(life.journal));
        ck_assert_ptr_nonnull(strstr(journal_failure(life.journal), strerror(EIO)));
    }
    journal_tick(life.journal, 1000000);
    ck_assert_uint_eq(life.handed, handed);
    journal_destroy(&life.journal);
    core_destroy(&life.core);
    disk_free(&disk);
}

START_TEST(a_failed_disk_ends_it)
{
    fail_at(true);
    fail_at(false);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 4) {
        snprintf(directory, sizeof directory, "%s", argv[1]);
        victim((int)strtol(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    }
    Suite *suite = suite_create("journal_raft");
    TCase *tcase = tcase_create("files");
    tcase_set_timeout(tcase, 100);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_second_process_is_refused);
    tcase_add_test(tcase, a_clean_end_leaves_the_same_state);
    tcase_add_test(tcase, nothing_is_handed_on_while_the_disk_writes);
    tcase_add_test(tcase, a_failed_disk_ends_it);
    tcase_add_test(tcase, kill_9_loses_nothing_confirmed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
