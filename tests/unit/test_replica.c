/*
 * The replica with the real core on a disk in memory: group commit, nothing handed on before it is
 * durable, and after any stop everything that was confirmed, once, in the same state.
 */
#include "tests/unit/replica_rig.h"

#include "broker/journal/entry.h"
#include "broker/journal/members.h"
#include "broker/journal/peer_message.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#define SEEDS 60
#define LIVES 5

/* A node that leads, on a disk of its own. */
static void begin(struct node *node, uint64_t seed)
{
    node_init(node, disk_new(seed), seed);
    ck_assert(node_open(node));
    ck_assert(node_lead(node));
}

static void end(struct node *node)
{
    struct disk *disk = node->disk;
    ck_assert(!node->early);
    node_fini(node);
    disk_free(&disk);
}

START_TEST(nothing_is_handed_on_before_it_is_durable)
{
    struct node node;
    begin(&node, 1);
    ck_assert_uint_eq(node.handed, 1); /* BOOTSTRAP */
    for (int i = 0; i < 10; i++) {
        node_say(&node);
    }
    ck_assert_uint_gt(replica_backlog(node.replica), 0);
    for (int i = 0; i < 3; i++) { /* the log withholds its completion */
        replica_flush(node.replica, node.now_ms);
        log_flush(node.log, node.now_ms);
        replica_durable(node.replica, node.now_ms, log_durable(node.log));
        replica_tick(node.replica, node.now_ms += 1000);
        replica_apply(node.replica, node.now_ms);
        ck_assert_uint_eq(node.handed, 1);
    }
    ck_assert(log_process(node.log, node.now_ms));
    ck_assert_uint_eq(node.handed, 1); /* nobody told the replica yet */
    replica_durable(node.replica, node.now_ms, log_durable(node.log));
    replica_apply(node.replica, node.now_ms);
    ck_assert_uint_eq(node.handed, 11);
    ck_assert_uint_eq(replica_backlog(node.replica), 0);
    end(&node);
}
END_TEST

START_TEST(what_gathers_is_one_entry)
{
    struct node node;
    begin(&node, 2);
    uint64_t last = log_last_index(node.log);
    node_say(&node);
    replica_flush(node.replica, node.now_ms);
    ck_assert_uint_eq(log_last_index(node.log), last + 1);
    struct command tick = {.kind = COMMAND_TICK};
    for (int i = 0; i < 100; i++) {
        node_submit(&node, &tick);
        replica_flush(node.replica, node.now_ms); /* one is on its way already */
    }
    ck_assert_uint_eq(log_last_index(node.log), last + 1);
    ck_assert(replica_ticking(node.replica));
    ck_assert(node_turn(&node));
    ck_assert(node_turn(&node));
    ck_assert_uint_eq(log_last_index(node.log), last + 2);
    ck_assert_uint_eq(node.answered, 101);
    ck_assert(!replica_ticking(node.replica));
    end(&node);
}
END_TEST

START_TEST(an_entry_is_not_larger_than_the_log_takes)
{
    struct node node;
    begin(&node, 3);
    static uint8_t body[150000];
    struct slice bodies = slice_of(body, sizeof body);
    struct command put = {.kind = COMMAND_PUT, .session = 1, .request = 1};
    put.put = (struct cmd_put){.queue = slice_str("q"), .bodies = &bodies, .count = 1};
    for (int i = 0; i < 5; i++, put.request++) {
        node_submit(&node, &put); /* ten times what a segment of this log takes, in all */
    }
    struct command tick = {.kind = COMMAND_TICK};
    node_submit(&node, &tick); /* goes with the last one */
    uint64_t last = log_last_index(node.log);
    while (replica_backlog(node.replica) > 0) {
        ck_assert(node_turn(&node));
    }
    ck_assert_uint_eq(log_last_index(node.log), last + 5);
    ck_assert_uint_eq(node.answered, 6);
    struct core *core = node_judge(&node);
    ck_assert(node_same(core, node.core));
    core_destroy(&core);
    end(&node);
}
END_TEST

START_TEST(the_next_entry_goes_before_the_last_is_applied)
{
    struct node node;
    begin(&node, 4);
    node_say(&node);
    replica_flush(node.replica, node.now_ms);
    log_flush(node.log, node.now_ms);
    node_say(&node);
    ck_assert(log_process(node.log, node.now_ms));
    uint64_t last = log_last_index(node.log);
    replica_durable(node.replica, node.now_ms, log_durable(node.log));
    replica_flush(node.replica, node.now_ms);
    ck_assert_uint_eq(log_last_index(node.log), last + 1);
    ck_assert_uint_eq(node.answered, 0);
    replica_apply(node.replica, node.now_ms);
    ck_assert_uint_eq(node.answered, 1);
    ck_assert(node_turn(&node));
    ck_assert_uint_eq(node.answered, 2);
    end(&node);
}
END_TEST

START_TEST(time_does_not_go_back)
{
    struct node node;
    begin(&node, 5);
    struct command tick = {.kind = COMMAND_TICK};
    node.now_ms = 5000;
    node_submit(&node, &tick);
    ck_assert(node_turn(&node));
    node_stop(&node);
    node.now_ms = 2000; /* the wall clock was set back */
    ck_assert(node_open(&node));
    ck_assert(node_lead(&node));
    ck_assert_uint_eq(replica_time_ms(node.replica), 5000);
    replica_submit(node.replica, 2001, &tick);
    node.said = realloc(node.said, 2 * sizeof *node.said);
    node.said[node.said_count++] = (struct said){.now_ms = 5000};
    command_encode(&node.said[1].bytes, &tick);
    ck_assert(node_turn(&node)); /* the rig compares the times */
    ck_assert_uint_eq(node.answered, 2);
    end(&node);
}
END_TEST

START_TEST(the_hash_says_whether_replicas_are_equal)
{
    struct node node;
    begin(&node, 6);
    uint64_t before = replica_hash(node.replica);
    for (int i = 0; i < 200; i++) {
        node_say(&node);
        ck_assert(i % 7 || node_turn(&node));
    }
    while (replica_backlog(node.replica) > 0) {
        ck_assert(node_turn(&node));
    }
    uint64_t hash = replica_hash(node.replica);
    uint64_t index = replica_applied(node.replica);
    ck_assert_uint_ne(hash, before);
    size_t answered = node.answered;
    node_stop(&node);
    ck_assert(node_open(&node));
    log_flush(node.log, node.now_ms);
    ck_assert(log_process(node.log, node.now_ms));
    replica_durable(node.replica, node.now_ms, log_durable(node.log));
    replica_apply(node.replica, node.now_ms);
    ck_assert_uint_eq(replica_applied(node.replica), index + 1); /* the barrier */
    ck_assert_uint_eq(replica_hash(node.replica), hash);
    ck_assert_uint_eq(node.answered, answered); /* nothing is handed on again */
    ck_assert_uint_eq(node.handed, 0);
    ck_assert(!replica_ready(node.replica));
    ck_assert(node_turn(&node)); /* LEADER_START */
    ck_assert(replica_ready(node.replica));
    ck_assert_uint_ne(replica_hash(node.replica), hash);
    end(&node);
}
END_TEST

/* ---- stops ---- */

/* Says and writes until a stop, or until the disk fails. */
static void live(struct node *node)
{
    if (!node_open(node) || !node_lead(node)) {
        return;
    }
    for (uint32_t turns = node_random(node, 30); turns > 0; turns--) {
        for (uint32_t i = node_random(node, 12); i > 0; i--) {
            node_say(node);
        }
        if (node_random(node, 4) == 0) {
            replica_flush(node->replica, node->now_ms); /* on its way, and never written */
            log_flush(node->log, node->now_ms);
        } else if (!node_turn(node)) {
            return;
        }
        core_check(node->core);
    }
}

/* After the stop: what is there is right, and goes on to be the same as a memory journal's. */
static void judge(struct node *node)
{
    ck_assert(node_open(node));
    ck_assert(node_lead(node));
    struct core *core = node_judge(node);
    ck_assert(node_same(core, node->core));
    core_destroy(&core);
    node_stop(node);
}

START_TEST(after_any_stop_all_that_was_confirmed_is_there_once)
{
    struct disk *disk = disk_new((uint64_t)_i);
    struct node node;
    size_t most = 0;
    node_init(&node, disk, (uint64_t)_i);
    for (int life = 0; life < LIVES; life++) {
        unsigned nth = node_random(&node, 3) ? 1 + node_random(&node, 20) : 0;
        disk_tear(disk, node_random(&node, 2));
        disk_fail(disk, DISK_WRITE, nth, EIO);
        live(&node);
        ck_assert(!node.early);
        node_stop(&node);
        disk_fail(disk, DISK_WRITE, 0, 0);
        disk_crash(disk);
        judge(&node);
        disk_crash(disk);
        most = node.said_count > most ? node.said_count : most;
        ck_assert_uint_eq(most, node.said_count); /* what once survived stays */
    }
    node_fini(&node);
    disk_free(&disk);
}
END_TEST

START_TEST(one_stop_at_each_write)
{
    for (unsigned nth = 1; nth < 25; nth++) {
        struct disk *disk = disk_new(nth);
        struct node node;
        node_init(&node, disk, 77); /* the same commands each time */
        disk_tear(disk, true);
        disk_fail(disk, DISK_WRITE, nth, EIO);
        live(&node);
        node_stop(&node);
        disk_fail(disk, DISK_WRITE, 0, 0);
        disk_crash(disk);
        judge(&node);
        node_fini(&node);
        disk_free(&disk);
    }
}
END_TEST

/* ---- logs that are not ours ---- */

static uint64_t no_append(void *context, const struct log_item *item)
{
    (void)context;
    (void)item;
    return 1;
}

static bool read_item(void *context, uint64_t index, struct log_item *out)
{
    struct log_item *items = context;
    *out = items[index - 1];
    return true;
}

static void no_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    (void)context;
    (void)now_ms;
    (void)effects;
}

/* What a replica says to these items, followed by a barrier; "" when it takes them. */
static const char *verdict(const struct log_item *given, size_t count)
{
    struct log_item items[3] = {{.type = LOG_ENTRY}};
    memcpy(items, given, count * sizeof *given);
    items[count].tag = ENTRY_BARRIER;
    items[count].term = 2;
    struct core *core = core_new();
    struct replica_options options = {
        .node = 1,
        .core = core,
        .bootstrap = {.hash_key = 5, .incarnation = 6},
        .host = {.context = items, .append = no_append, .read = read_item, .applied = no_applied}};
    struct replica *replica = replica_new(&options);
    struct replica_disk disk = {.term = 1, .payload_max = 65536};
    disk.last = items[count - 1].index;
    for (size_t i = 0; i < count; i++) {
        replica_recover(replica, &items[i]);
    }
    replica_start(replica, 1000, &disk);
    replica_durable(replica, 1000, 1);
    replica_apply(replica, 1000);
    const char *why = replica_failure(replica); /* a literal */
    ck_assert(why || replica_applied(replica) == count + 1);
    replica_destroy(&replica);
    core_destroy(&core);
    return why ? why : "";
}

#define assert_refused(items, count, words)                                                        \
    ck_assert_ptr_nonnull(strstr(verdict(items, count), words))

START_TEST(a_log_that_makes_no_sense_is_refused)
{
    struct members members = {0};
    struct buf alone = {0}, commands = {0};
    struct command tick = {.kind = COMMAND_TICK};
    members_set(&members, 1, MEMBER_VOTER);
    members_encode(&members, &alone);
    struct log_item items[2] = {{.type = LOG_ENTRY, .tag = ENTRY_CHANGE, .term = 1, .index = 1},
                                {.type = LOG_ENTRY, .tag = ENTRY_COMMAND, .term = 1, .index = 2}};
    items[0].payload = buf_view(&alone);
    ck_assert_str_eq(verdict(items, 1), "");
    assert_refused(items, 2, "commands that make no sense"); /* nothing, not even a version */
    entry_add(&commands, entry_format, 5, &tick);
    items[1].payload = buf_view(&commands);
    assert_refused(items, 2, "commands that make no sense"); /* no BOOTSTRAP first */
    buf_clear(&commands);
    tick = (struct command){.kind = COMMAND_BOOTSTRAP, .bootstrap = {1, 2}};
    entry_add(&commands, entry_format, 5, &tick);
    items[1].payload = buf_view(&commands);
    ck_assert_str_eq(verdict(items, 2), "");
    items[1].payload.size--;
    assert_refused(items, 2, "commands that make no sense");
    items[1].payload.size++;
    items[1].index = 3;
    assert_refused(items, 2, "do not follow each other");
    items[0].index = 2;
    assert_refused(items, 2, "entries are missing");
    items[0].index = 1;
    items[0].payload.size--;
    assert_refused(items, 1, "a list of nodes that makes no sense");
    buf_fini(&alone);
    buf_fini(&commands);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("replica");
    TCase *tcase = tcase_create("replica");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, nothing_is_handed_on_before_it_is_durable);
    tcase_add_test(tcase, what_gathers_is_one_entry);
    tcase_add_test(tcase, an_entry_is_not_larger_than_the_log_takes);
    tcase_add_test(tcase, the_next_entry_goes_before_the_last_is_applied);
    tcase_add_test(tcase, time_does_not_go_back);
    tcase_add_test(tcase, the_hash_says_whether_replicas_are_equal);
    tcase_add_loop_test(tcase, after_any_stop_all_that_was_confirmed_is_there_once, 1, SEEDS + 1);
    tcase_add_test(tcase, one_stop_at_each_write);
    tcase_add_test(tcase, a_log_that_makes_no_sense_is_refused);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
