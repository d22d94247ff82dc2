/*
 * The durable journal on real files, with its threads: what was handed on comes back after kill -9
 * at any moment, and a directory or disk that will not do is told of in a sentence.
 */
#include "broker/journal/log.h"
#include "broker/journal/raft.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "tests/unit/log_rig.h"

#include <check.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <czmq.h>

#define SEGMENT  (1024 * 1024)
#define ROUNDS   20
#define LIFE_US  60000
#define SESSIONS 64    /* ids are small: one session a life */
#define WANTED   8     /* bytes of a body that say which message it is */
#define GAP      10000 /* numbers between two lives: more than one has in flight */

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

static uint64_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

/* ---- a client in the same process ---- */

/* What a life reports, in the order in which it happened. */
enum report_type { REPORT_PUT = 1, REPORT_ACK_TRIED, REPORT_ACKED, REPORT_LOCKED };

struct report {
    uint64_t type, number; /* of the message, or the lock's token */
};

/* A request, or a leased message: which message it is about. */
struct about {
    uint64_t type, number;
};

struct life {
    struct core *core;
    struct journal *journal;
    zpoller_t *poller;
    uint64_t session, request; /* ids: 0, or the last one */
    struct about *requests;    /* by id */
    size_t capacity;
    uint64_t tags[4096], numbers[4096]; /* delivered, not acknowledged yet */
    size_t leased;
    uint64_t next; /* message */
    struct buf reports;
    uint64_t random;
    size_t handed; /* callbacks */
};

static void report(struct life *life, uint64_t type, uint64_t number)
{
    struct report line = {type, number};
    buf_add(&life->reports, &line, sizeof line);
}

static uint64_t number_of(struct slice body)
{
    struct reader reader;
    reader_init(&reader, body);
    return reader_u64(&reader);
}

static void note_reply(struct life *life, const struct effect *effect)
{
    for (uint64_t id = effect->first; id < effect->first + effect->count; id++) {
        struct about about = life->requests[id];
        if (effect->code == 0 && about.type == REPORT_LOCKED) {
            report(life, about.type, effect->value);
        } else if (effect->code == 0 && about.type != 0) {
            report(life, about.type, about.number);
        }
    }
}

static void note_delivery(struct life *life, const struct effect *effect)
{
    for (uint64_t i = 0; i < effect->count; i++) {
        STEWARD_ASSERT(life->leased < 4096);
        life->tags[life->leased] = effect->first_tag + i;
        life->numbers[life->leased++] = number_of(effect->messages[i].body);
    }
}

static void applied(void *context, uint64_t time_ms, const struct effects *effects)
{
    struct life *life = context;
    (void)time_ms;
    life->handed++;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        switch (effect->kind) {
        case EFFECT_SESSION_OPENED: life->session = effect->session; break;
        case EFFECT_REPLY: note_reply(life, effect); break;
        case EFFECT_DELIVER: note_delivery(life, effect); break;
        default: break;
        }
    }
}

static struct journal *open_journal(struct life *life, const struct log_io *io,
                                    struct log_error *error)
{
    struct journal_raft_options options = {.directory = directory,
                                           .core = life->core = core_new(),
                                           .bootstrap = {.hash_key = 1, .incarnation = 2},
                                           .body_max = LIMIT_BODY_BYTES,
                                           .now_ms = now_ms(),
                                           .applied = applied,
                                           .context = life,
                                           .io = io,
                                           .segment_bytes = SEGMENT,
                                           .no_threads = io != NULL};
    life->journal = journal_raft_open(&options, error);
    return life->journal;
}

/* A loop's turn: waits for the journal, takes what it has, and lets it begin to write. */
static void turn(struct life *life)
{
    uint64_t now = now_ms(), due = journal_deadline(life->journal);
    zpoller_wait(life->poller, due <= now ? 0 : due - now < 100 ? (int)(due - now) : 100);
    journal_process(life->journal, now_ms());
    if (journal_deadline(life->journal) <= now_ms()) {
        journal_tick(life->journal, now_ms());
    }
    journal_flush(life->journal, now_ms());
    const char *why = journal_failure(life->journal);
    if (why) {
        fprintf(stderr, "%s\n", why);
    }
    STEWARD_ASSERT(why == NULL);
}

static void life_begin(struct life *life)
{
    struct log_error error;
    void *sockets[JOURNAL_SOCKETS];
    if (open_journal(life, NULL, &error) == NULL) {
        fprintf(stderr, "%s\n", error.text);
    }
    STEWARD_ASSERT(life->journal != NULL);
    STEWARD_ASSERT(journal_sockets(life->journal, sockets) == 2);
    life->poller = zpoller_new(sockets[0], sockets[1], NULL);
    while (!journal_ready(life->journal)) {
        turn(life);
    }
    STEWARD_ASSERT(life->handed == 1); /* its own first command: the rest was told before */
}

static void life_end(struct life *life)
{
    zpoller_destroy(&life->poller);
    journal_destroy(&life->journal);
    core_destroy(&life->core);
    buf_fini(&life->reports);
    free(life->requests);
}

/* ---- what it says ---- */

static void submit(struct life *life, struct command *command, uint64_t type, uint64_t number)
{
    command->session = life->session;
    command->request = ++life->request;
    if (life->request >= life->capacity) {
        life->capacity = life->capacity ? life->capacity * 2 : 1024;
        life->requests = mem_realloc(life->requests, life->capacity, sizeof *life->requests);
    }
    life->requests[life->request] = (struct about){type, number};
    journal_submit(life->journal, now_ms(), command);
}

static uint32_t life_random(struct life *life, uint32_t below)
{
    life->random = life->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((life->random >> 33) % below);
}

static void say_put(struct life *life)
{
    uint8_t body[400] = {0};
    for (unsigned i = 0; i < WANTED; i++) {
        body[i] = (uint8_t)(life->next >> (8 * i));
    }
    struct slice bodies = slice_of(body, WANTED + life_random(life, 390));
    struct command put = {.kind = COMMAND_PUT};
    put.put = (struct cmd_put){.queue = slice_str("q"), .bodies = &bodies, .count = 1};
    submit(life, &put, REPORT_PUT, life->next++);
}

static void say_get(struct life *life)
{
    struct slice queue = slice_str("q");
    struct command get = {.kind = COMMAND_GET};
    get.get = (struct cmd_get){
        .queues = &queue, .queues_count = 1, .max = 1 + life_random(life, 20), .lease_ms = 60000};
    submit(life, &get, 0, 0);
}

static void say_ack(struct life *life, size_t which)
{
    struct command ack = {.kind = COMMAND_ACK};
    ack.settle = (struct cmd_settle){.first_tag = life->tags[which], .count = 1};
    report(life, REPORT_ACK_TRIED, life->numbers[which]);
    submit(life, &ack, REPORT_ACKED, life->numbers[which]);
}

/* The sessions of earlier lives give back what they hold; then one of its own, and a lock. */
static void say_hello(struct life *life)
{
    struct session_info info;
    struct command open = {.kind = COMMAND_SESSION_OPEN,
                           .open = {.ttl_ms = 60000, .grace_ms = 1000}};
    for (uint64_t id = 1; id < SESSIONS; id++) {
        struct command end = {.kind = COMMAND_SESSION_END, .session = id};
        if (core_session(life->core, id, &info)) {
            journal_submit(life->journal, now_ms(), &end);
        }
    }
    journal_submit(life->journal, now_ms(), &open);
    while (life->session == 0) {
        turn(life);
    }
    struct command acquire = {.kind = COMMAND_ACQUIRE};
    acquire.acquire = (struct cmd_acquire){
        .name = slice_str("lock"), .owner = 1, .timeout_ms = TIMEOUT_FOREVER, .permits = 1};
    submit(life, &acquire, REPORT_LOCKED, 0);
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
    static struct life life;
    life.next = next;
    life.random = (uint64_t)getpid();
    life_begin(&life);
    say_hello(&life);
    while (true) {
        for (uint32_t i = life_random(&life, 20); i > 0; i--) {
            say_put(&life);
        }
        say_get(&life);
        size_t acked = life_random(&life, (uint32_t)life.leased + 1);
        for (size_t i = 0; i < acked; i++) {
            say_ack(&life, i);
        }
        life.leased -= acked;
        memmove(life.tags, life.tags + acked, life.leased * sizeof life.tags[0]);
        memmove(life.numbers, life.numbers + acked, life.leased * sizeof life.numbers[0]);
        tell(&life, out); /* what is tried is known before it can happen */
        turn(&life);
        if (core_deadline(life.core) <= now_ms() && !journal_ticking(life.journal)) {
            struct command tick = {.kind = COMMAND_TICK};
            journal_submit(life.journal, now_ms(), &tick);
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
            uint64_t number = number_of(effect->messages[j].body);
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
    core_apply(core, now_ms(), &open, effects);
    struct command get = {.kind = COMMAND_GET, .session = effects->items[0].session};
    get.get = (struct cmd_get){
        .queues = &queue, .queues_count = 1, .max = LIMIT_BATCH, .lease_ms = 60000};
    do {
        get.request++;
        core_apply(core, now_ms(), &get, effects);
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
    for (uint64_t id = 1; id < SESSIONS; id++) {
        struct command end = {.kind = COMMAND_SESSION_END, .session = id};
        if (core_session(core, id, &info)) {
            core_apply(core, now_ms(), &end, &effects);
        }
    }
    struct command tick = {.kind = COMMAND_TICK};
    while (core_deadline(core) <= now_ms()) {
        core_apply(core, now_ms(), &tick, &effects);
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
    for (int round = 0; round < ROUNDS; round++) {
        run_victim(&history, 1000 + round * 7919 % LIFE_US);
        static struct life life;
        life = (struct life){.next = 0};
        life_begin(&life);
        core_check(life.core);
        look(&history, life.core);
        ck_assert_uint_gt(journal_time_ms(life.journal), 0);
        life_end(&life);
    }
    ck_assert_uint_gt(history.puts, ROUNDS);
    ck_assert_uint_gt(history.acks, ROUNDS);
    ck_assert_uint_gt(history.token, 0);
    free(history.messages);
}
END_TEST

/* ---- trouble ---- */

START_TEST(a_second_process_is_refused)
{
    struct log_error error;
    static struct life life, other;
    life_begin(&life);
    ck_assert_str_eq(journal_name(life.journal), "raft");
    ck_assert_ptr_null(open_journal(&other, NULL, &error));
    ck_assert_int_eq(error.trouble, LOG_LOCKED);
    core_destroy(&other.core);
    life_end(&life);
}
END_TEST

START_TEST(a_clean_end_leaves_the_same_state)
{
    static struct life life;
    struct state_mark mark;
    life_begin(&life);
    say_hello(&life);
    for (life.next = 1; life.next < 500;) {
        say_put(&life);
        if (life_random(&life, 9) == 0) {
            turn(&life);
        }
    }
    while (journal_backlog(life.journal) > 0) {
        turn(&life);
    }
    mark = journal_raft_mark(life.journal);
    uint64_t bytes = core_bytes(life.core);
    life_end(&life);
    life = (struct life){.next = 0};
    life_begin(&life);
    ck_assert_uint_eq(journal_raft_mark(life.journal).index, mark.index + 2);
    ck_assert_uint_ne(journal_raft_mark(life.journal).hash, mark.hash);
    ck_assert_uint_eq(core_bytes(life.core), bytes);
    life_end(&life);
}
END_TEST

START_TEST(a_failed_disk_ends_it)
{
    struct disk *disk = disk_new(1);
    static struct life life;
    struct log_error error;
    ck_assert_ptr_nonnull(open_journal(&life, disk_io(disk), &error));
    while (!journal_ready(life.journal)) {
        journal_process(life.journal, 1000);
    }
    ck_assert_ptr_null(journal_failure(life.journal));
    size_t handed = life.handed;
    disk_fail(disk, DISK_WRITE, 1, EIO);
    struct command open = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 1000}};
    journal_submit(life.journal, 1000, &open);
    journal_flush(life.journal, 1000);
    journal_process(life.journal, 1000);
    ck_assert_ptr_nonnull(journal_failure(life.journal));
    ck_assert_ptr_nonnull(strstr(journal_failure(life.journal), strerror(EIO)));
    journal_submit(life.journal, 1001, &open);
    journal_flush(life.journal, 1001);
    journal_process(life.journal, 1001);
    journal_tick(life.journal, 1000000);
    ck_assert_uint_eq(life.handed, handed);
    journal_destroy(&life.journal);
    core_destroy(&life.core);
    disk_free(&disk);
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
    tcase_add_test(tcase, a_failed_disk_ends_it);
    tcase_add_test(tcase, kill_9_loses_nothing_confirmed);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
