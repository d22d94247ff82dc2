/*
 * A disk that fails: each write, sync, rename and so on in turn, torn and short writes, a disk that
 * fills up, crashes. Whatever was reported as durable comes back; the log stops at once, and says
 * why. The control: on a disk that only says that it syncs, the same test finds what is lost.
 */
#include "tests/unit/log_rig.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What was confirmed: so many entries, and the vote. */
struct confirmed {
    uint64_t index;
    uint64_t term;
};

static uint64_t random_state;

static uint64_t chance(uint64_t bound)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % bound;
}

/*
 * Entries with their index as payload, some large, votes, truncations of what is not confirmed yet,
 * trims, idle times; until `steps` are done or the log fails. Notes what was confirmed.
 */
static void work(struct rig *rig, unsigned steps, struct confirmed *confirmed)
{
    uint64_t term = confirmed->term + 1;
    for (unsigned i = 0; i < steps && rig->log; i++) {
        rig_vote(rig, ++term, 1);
        uint64_t before = log_last_index(rig->log);
        for (uint64_t entries = chance(4) + 1; entries > 0; entries--) {
            rig_fill(rig, term, (size_t)(chance(6) == 0 ? 9000 : chance(300)));
        }
        if (chance(8) == 0) {
            rig_cut(rig, before);
        }
        if (!rig_write(rig)) {
            return;
        }
        if (log_room(rig->log).disk_full) { /* a new file could not be filled: later */
            rig->now_ms += LIMIT_LOG_RETRY_MS;
            log_tick(rig->log, rig->now_ms);
            log_process(rig->log, rig->now_ms);
        }
        ck_assert_uint_eq(log_durable(rig->log), log_appended(rig->log));
        *confirmed = (struct confirmed){log_last_index(rig->log), term};
        if (chance(4) == 0) {
            rig_seal(rig);
        }
        if (chance(6) == 0 && log_last_index(rig->log) > 20) {
            log_trim(rig->log, log_last_index(rig->log) - 20);
        }
    }
}

/* Is everything there that was confirmed? */
static bool holds(struct rig *rig, const struct confirmed *confirmed)
{
    uint64_t term, vote;
    log_vote(rig->log, &term, &vote);
    bool good = term >= confirmed->term && log_last_index(rig->log) >= confirmed->index;
    for (uint64_t i = log_first_index(rig->log); good && i <= log_last_index(rig->log); i++) {
        struct log_item item;
        good = log_read(rig->log, i, &item);
        for (size_t at = 0; good && at < item.payload.size; at += 97) {
            good = item.payload.data[at] == 'a' + (i + at) % 26;
        }
    }
    return good;
}

/* One run: work until the n-th call of a kind fails, crash, recover, go on. false: none did. */
static bool fail_nth(enum disk_call call, unsigned nth, int error, int how)
{
    struct disk *disk = disk_new(nth * 31u + (unsigned)call);
    struct confirmed confirmed = {0, 0};
    struct rig rig;
    random_state = nth;
    if (how & 1) {
        disk_refuse_direct(disk);
    }
    disk_tear(disk, how & 2);
    disk_shorten(disk, how & 4);
    disk_fail(disk, call, nth, error);
    rig_open(&rig, disk);
    work(&rig, 60, &confirmed);
    bool failed = disk_failed(disk, call);
    if (rig.log && log_failure(rig.log)->trouble != LOG_FINE) {
        ck_assert(strlen(log_failure(rig.log)->text) > 20);
        uint64_t durable = log_durable(rig.log);
        rig_vote(&rig, 1000, 1);
        ck_assert(!rig_write(&rig)); /* and stays so */
        ck_assert_uint_eq(log_durable(rig.log), durable);
    }
    rig_abandon(&rig);
    disk_crash(disk);
    rig_open(&rig, disk);
    ck_assert_msg(rig.log != NULL, "call %d, %u: %s", (int)call, nth, rig.error.text);
    ck_assert_msg(holds(&rig, &confirmed), "call %d, %u: something is lost", (int)call, nth);
    work(&rig, 5, &confirmed);
    ck_assert_int_eq(log_failure(rig.log)->trouble, LOG_FINE);
    rig_close(&rig);
    rig_open(&rig, disk);
    ck_assert(rig.log != NULL && holds(&rig, &confirmed));
    rig_abandon(&rig);
    disk_free(&disk);
    return failed;
}

static void fail_each(enum disk_call call, int how, unsigned least)
{
    unsigned nth = 1;
    while (fail_nth(call, nth, EIO, how)) {
        nth += 1 + nth / 60;
    }
    ck_assert_uint_gt(nth, least); /* or the test did not reach what it is about */
}

START_TEST(each_write_fails)
{
    fail_each(DISK_WRITE, 0, 60);
}
END_TEST

START_TEST(each_write_is_torn)
{
    fail_each(DISK_WRITE, 2, 60);
}
END_TEST

START_TEST(each_write_is_short)
{
    fail_each(DISK_WRITE, 4, 60);
}
END_TEST

START_TEST(each_write_is_torn_without_direct)
{
    fail_each(DISK_WRITE, 3, 60);
}
END_TEST

START_TEST(each_sync_fails)
{
    fail_each(DISK_SYNC, 0, 3);
    fail_each(DISK_SYNC, 1, 60);
}
END_TEST

START_TEST(each_rename_fails)
{
    fail_each(DISK_RENAME, 0, 5);
    fail_each(DISK_SYNC_DIRECTORY, 0, 5);
}
END_TEST

START_TEST(each_open_and_read_fails)
{
    fail_each(DISK_OPEN, 0, 5);
    fail_each(DISK_READ, 0, 3);
}
END_TEST

/* The sentence says what, where, and what to do. */
START_TEST(a_failure_says_what_and_where)
{
    struct disk *disk = disk_new(1);
    struct rig rig;
    rig_open(&rig, disk);
    rig_entry(&rig, 1, "x");
    rig_write(&rig);
    disk_fail(disk, DISK_WRITE, 1, EIO);
    rig_entry(&rig, 1, "y");
    ck_assert(!rig_write(&rig));
    ck_assert_int_eq(log_failure(rig.log)->trouble, LOG_IO_FAILED);
    ck_assert_str_eq(log_failure(rig.log)->text,
                     "data/log/0000000000000001.segment, byte 8192: cannot write record 2: "
                     "Input/output error. Nothing from this record on is confirmed; start again: "
                     "what is on disk decides");
    ck_assert_uint_eq(log_durable(rig.log), 1);
    ck_assert_uint_eq(log_deadline(rig.log), UINT64_MAX);
    rig_abandon(&rig);
    disk_free(&disk);
}
END_TEST

/* Crashes at any time, with records gathered, in flight, durable; again and again. */
static bool crash_often(uint64_t seed, bool lie)
{
    struct disk *disk = disk_new(seed);
    struct confirmed confirmed = {0, 0};
    struct rig rig;
    bool good = true;
    random_state = seed;
    if (seed % 3 == 0) {
        disk_refuse_direct(disk);
    }
    for (unsigned crash = 0; good && crash < 12; crash++) {
        disk_lie(disk, lie);
        disk_tear(disk, chance(2));
        disk_fail(disk, DISK_WRITE, (unsigned)chance(40) + 1, EIO);
        rig_open(&rig, disk);
        good = rig.log ? holds(&rig, &confirmed) : rig.error.trouble == LOG_IO_FAILED;
        if (good && rig.log) {
            work(&rig, 20, &confirmed);
        }
        rig_abandon(&rig);
        disk_crash(disk);
    }
    rig_open(&rig, disk);
    good = good && rig.log && holds(&rig, &confirmed);
    if (!good && !lie && !rig.log) {
        fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed, rig.error.text);
    }
    rig_abandon(&rig);
    disk_free(&disk);
    return good;
}

START_TEST(crashes_lose_nothing)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        ck_assert_msg(crash_often(seed, false), "seed %llu", (unsigned long long)seed);
    }
}
END_TEST

START_TEST(without_syncs_crashes_lose)
{
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        lost += !crash_often(seed, true);
    }
    ck_assert_uint_ge(lost, 18);
}
END_TEST

/* ---- a full disk ---- */

START_TEST(a_full_disk_is_seen_before_it_hurts)
{
    struct disk *disk = disk_new(1);
    struct rig rig;
    disk_limit(disk, 5 * RIG_SEGMENT);
    rig_open(&rig, disk);
    rig_write(&rig); /* the pool is filled behind the start */
    unsigned puts = 0, acks = 0;
    while (log_room(rig.log).bytes > 0) { /* puts, until they are refused */
        rig_fill(&rig, 1, 3000);
        ck_assert(rig_write(&rig));
        ck_assert_uint_lt(++puts, 1000);
    }
    ck_assert(log_room(rig.log).disk_full);
    ck_assert_uint_ge(puts, 20);
    while (log_room(rig.log).pool > 0) { /* what makes room still has the reserve */
        rig_fill(&rig, 1, 3000);
        ck_assert(rig_write(&rig));
        ck_assert_uint_eq(log_durable(rig.log), log_appended(rig.log));
        acks++;
    }
    ck_assert_uint_ge(acks, 15);
    ck_assert_uint_ne(log_deadline(rig.log), UINT64_MAX);
    /* A snapshot lets it trim: the files come back, without a new one. */
    log_trim(rig.log, log_last_index(rig.log));
    ck_assert(rig_write(&rig));
    ck_assert_uint_gt(log_room(rig.log).bytes, 0);
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

START_TEST(room_that_comes_back_is_found)
{
    struct disk *disk = disk_new(2);
    struct rig rig;
    disk_limit(disk, 4 * RIG_SEGMENT + 2000);
    rig_open(&rig, disk);
    rig_write(&rig);
    while (log_room(rig.log).bytes > 0) {
        rig_fill(&rig, 1, 3000);
        ck_assert(rig_write(&rig));
    }
    disk_limit(disk, 100 * RIG_SEGMENT);
    ck_assert(rig_write(&rig));
    rig.now_ms += LIMIT_LOG_RETRY_MS;
    ck_assert_uint_le(log_deadline(rig.log), rig.now_ms);
    log_tick(rig.log, rig.now_ms);
    ck_assert_uint_gt(log_deadline(rig.log), rig.now_ms);
    ck_assert(log_process(rig.log, rig.now_ms));
    ck_assert(!log_room(rig.log).disk_full);
    ck_assert_uint_gt(log_room(rig.log).bytes, 0);
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

/* With no file left a record waits, unconfirmed; it is written when there is one. */
START_TEST(without_any_file_records_wait)
{
    struct disk *disk = disk_new(3);
    struct rig rig;
    disk_limit(disk, 3 * RIG_SEGMENT + 2000);
    rig_open(&rig, disk);
    for (int i = 0; i < 100; i++) {
        rig_fill(&rig, 1, 3000);
        ck_assert(rig_write(&rig));
    }
    ck_assert_uint_lt(log_durable(rig.log), log_appended(rig.log));
    ck_assert_uint_eq(log_room(rig.log).bytes, 0);
    struct log_item item; /* readable from memory meanwhile */
    ck_assert(log_read(rig.log, 100, &item));
    disk_limit(disk, 100 * RIG_SEGMENT);
    rig.now_ms += LIMIT_LOG_RETRY_MS;
    log_tick(rig.log, rig.now_ms);
    ck_assert(log_process(rig.log, rig.now_ms));
    ck_assert_uint_eq(log_durable(rig.log), log_appended(rig.log));
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

START_TEST(too_little_room_at_start_is_a_sentence)
{
    struct disk *disk = disk_new(4);
    struct rig rig;
    disk_limit(disk, RIG_SEGMENT / 2);
    rig_open(&rig, disk);
    ck_assert_ptr_null(rig.log);
    ck_assert_int_eq(rig.error.trouble, LOG_NO_ROOM);
    ck_assert_str_eq(rig.error.text, "data: the disk has no room for a segment of 65536 bytes: "
                                     "make room, or choose smaller segments");
    disk_limit(disk, 100 * RIG_SEGMENT);
    rig_fini(&rig);
    rig_open(&rig, disk); /* what the first try left is no obstacle */
    ck_assert_ptr_nonnull(rig.log);
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_faults");
    TCase *tcase = tcase_create("faults");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, each_write_fails);
    tcase_add_test(tcase, each_write_is_torn);
    tcase_add_test(tcase, each_write_is_short);
    tcase_add_test(tcase, each_write_is_torn_without_direct);
    tcase_add_test(tcase, each_sync_fails);
    tcase_add_test(tcase, each_rename_fails);
    tcase_add_test(tcase, each_open_and_read_fails);
    tcase_add_test(tcase, a_failure_says_what_and_where);
    tcase_add_test(tcase, crashes_lose_nothing);
    tcase_add_test(tcase, without_syncs_crashes_lose);
    tcase_add_test(tcase, a_full_disk_is_seen_before_it_hurts);
    tcase_add_test(tcase, room_that_comes_back_is_found);
    tcase_add_test(tcase, without_any_file_records_wait);
    tcase_add_test(tcase, too_little_room_at_start_is_a_sentence);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
