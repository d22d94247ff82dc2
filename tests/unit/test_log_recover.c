/*
 * Recovery: what was appended comes back in order; whatever is cut or flipped, each rule of
 * docs/log.md: confirmed items are there, or the log refuses to open with a sentence.
 */
#include "tests/unit/log_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define SEGMENT_1 "0000000000000001.segment"
#define SEGMENT_2 "0000000000000002.segment"

/* How opening ends: the recovered lines, or NULL with the error in rig_error. */
static struct log_error rig_error;
static char recovered[65536];

static const char *reopened(struct disk *disk)
{
    struct rig rig;
    rig_open(&rig, disk);
    rig_error = rig.error;
    bool good = rig.log != NULL;
    snprintf(recovered, sizeof recovered, "%s", rig_lines(&rig));
    rig_abandon(&rig);
    return good ? recovered : NULL;
}

static void refused(struct disk *disk, enum log_trouble trouble, const char *words)
{
    const char *lines = reopened(disk);
    ck_assert_msg(lines == NULL, "opened, with: %s", lines);
    ck_assert_msg(rig_error.trouble == trouble, "%d: %s", rig_error.trouble, rig_error.text);
    ck_assert_msg(strstr(rig_error.text, words) != NULL, "%s", rig_error.text);
}

START_TEST(what_was_appended_comes_back)
{
    struct disk *disk = disk_new(1);
    struct rig rig;
    rig_open(&rig, disk);
    ck_assert_uint_eq(rig_vote(&rig, 1, 1), 1);
    ck_assert_uint_eq(rig_entry(&rig, 1, "A"), 1); /* the same record */
    ck_assert_uint_eq(log_durable(rig.log), 0);
    ck_assert(rig_write(&rig));
    ck_assert_uint_eq(log_durable(rig.log), 1);
    ck_assert_uint_eq(rig_entry(&rig, 1, "B"), 2);
    rig_entry(&rig, 1, "C");
    rig_write(&rig);
    rig_cut(&rig, 2);
    rig_entry(&rig, 2, "D");
    rig_write(&rig);
    rig_close(&rig);
    ck_assert_str_eq(reopened(disk), "vote 1 1 \nentry 1 1 A\nentry 1 2 B\nentry 1 3 C\n"
                                     "truncate 0 2 \nentry 2 3 D\n");
    disk_free(&disk);
}
END_TEST

START_TEST(the_index_is_rebuilt)
{
    struct disk *disk = disk_new(2);
    struct rig rig;
    rig_open(&rig, disk);
    for (int i = 0; i < 40; i++) {
        rig_fill(&rig, 1, 3000);
        rig_write(&rig);
    }
    rig_cut(&rig, 30);
    rig_entry(&rig, 2, "new");
    rig_vote(&rig, 7, 3);
    rig_write(&rig);
    rig_close(&rig);
    rig_open(&rig, disk);
    uint64_t term, vote;
    log_vote(rig.log, &term, &vote);
    ck_assert_uint_eq(term, 7);
    ck_assert_uint_eq(vote, 3);
    ck_assert_uint_eq(log_first_index(rig.log), 1);
    ck_assert_uint_eq(log_last_index(rig.log), 31);
    ck_assert_uint_eq(log_term(rig.log, 30), 1);
    ck_assert_uint_eq(log_term(rig.log, 31), 2);
    ck_assert_uint_eq(log_term(rig.log, 32), 0);
    for (uint64_t index = 31; index >= 1; index--) {
        struct log_item item;
        ck_assert(log_read(rig.log, index, &item));
        ck_assert_uint_eq(item.index, index);
        ck_assert_uint_eq(item.payload.size, index == 31 ? 3 : 3000);
        ck_assert_uint_eq(item.payload.data[0], index == 31 ? 'n' : 'a' + index % 26);
    }
    struct log_item item;
    ck_assert(!log_read(rig.log, 32, &item));
    ck_assert_int_eq(log_failure(rig.log)->trouble, LOG_FINE);
    rig_abandon(&rig);
    disk_free(&disk);
}
END_TEST

START_TEST(it_goes_on_in_a_new_segment)
{
    struct disk *disk = disk_new(3);
    struct rig rig;
    for (unsigned start = 0; start < 5; start++) {
        rig_open(&rig, disk);
        rig_entry(&rig, 1, "x");
        rig_write(&rig);
        ck_assert_uint_eq(log_room(rig.log).segments, start + 1);
        rig_abandon(&rig);
    }
    ck_assert_str_eq(reopened(disk), "entry 1 1 x\nentry 1 2 x\nentry 1 3 x\nentry 1 4 x\n"
                                     "entry 1 5 x\n");
    disk_free(&disk);
}
END_TEST

START_TEST(a_start_that_writes_nothing_takes_nothing)
{
    struct disk *disk = disk_new(4);
    struct rig rig;
    uint64_t size;
    for (int start = 0; start < 5; start++) {
        rig_open(&rig, disk);
        rig_close(&rig);
    }
    ck_assert_ptr_nonnull(disk_file(disk, SEGMENT_1, &size));
    ck_assert_ptr_null(disk_file(disk, SEGMENT_2, &size));
    disk_free(&disk);
}
END_TEST

/* Entries until two segments are in use; each its own record; ends sealed. */
static struct disk *two_segments(void)
{
    struct disk *disk = disk_new(5);
    struct rig rig;
    rig_open(&rig, disk);
    rig_vote(&rig, 1, 1);
    for (int i = 0; log_room(rig.log).segments < 2; i++) {
        rig_fill(&rig, 1, (size_t)i % 3 * 4000 + 10);
        rig_write(&rig);
    }
    rig_vote(&rig, 2, 1);
    rig_write(&rig);
    rig_cut(&rig, 3);
    rig_entry(&rig, 2, "last");
    rig_write(&rig);
    rig_close(&rig);
    return disk;
}

/*
 * Every sector of both segments flipped, one bit or byte at a time: everything comes back, but for
 * bits that no record owns; else a sentence. Never less without a sentence.
 */
static void flip_everywhere(const char *name, uint64_t step)
{
    struct disk *disk = two_segments();
    uint64_t size;
    char whole[sizeof recovered];
    unsigned stopped = 0;
    disk_file(disk, name, &size);
    struct disk *copy = disk_copy(disk);
    snprintf(whole, sizeof whole, "%s", reopened(copy));
    disk_free(&copy);
    for (uint64_t at = 0; at < size; at += step) {
        copy = disk_copy(disk);
        disk_file(copy, name, NULL)[at] ^= (uint8_t)(1 + at % 255);
        const char *lines = reopened(copy);
        if (lines == NULL) {
            stopped++;
            ck_assert_msg(rig_error.trouble == LOG_CORRUPTED, "%s", rig_error.text);
            ck_assert_ptr_nonnull(strstr(rig_error.text, name));
        } else {
            ck_assert_msg(strcmp(lines, whole) == 0, "byte %llu of %s: %s", (unsigned long long)at,
                          name, lines);
        }
        disk_free(&copy);
    }
    ck_assert_uint_gt(stopped, 0);
    disk_free(&disk);
}

START_TEST(flips_in_the_first_segment)
{
    flip_everywhere(SEGMENT_1, 61);
}
END_TEST

START_TEST(flips_in_the_last_segment)
{
    flip_everywhere(SEGMENT_2, 61);
}
END_TEST

/* Each byte of headers and of the records of term and vote. */
START_TEST(flips_in_each_byte_of_a_vote)
{
    struct disk *disk = disk_new(6);
    struct rig rig;
    rig_open(&rig, disk);
    rig_vote(&rig, 5, 3);
    rig_write(&rig);
    rig_close(&rig);
    for (unsigned at = 0; at < LOG_RECORD_HEADER + LOG_ITEM_HEADER; at++) {
        struct disk *copy = disk_copy(disk);
        disk_file(copy, SEGMENT_1, NULL)[LOG_BLOCK + at] ^= 4;
        refused(copy, LOG_CORRUPTED, SEGMENT_1 ", byte 4096: record 1 is missing or damaged");
        disk_free(&copy);
    }
    for (unsigned at = 0; at < 88; at++) {
        struct disk *copy = disk_copy(disk);
        disk_file(copy, SEGMENT_1, NULL)[at] ^= 4;
        refused(copy, LOG_CORRUPTED, "the segment's header is damaged");
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* Rule 1. */
START_TEST(a_file_of_another_size_is_refused)
{
    static const uint64_t sizes[] = {0,
                                     1,
                                     100,
                                     4095,
                                     4096,
                                     8192,
                                     RIG_SEGMENT - 1,
                                     RIG_SEGMENT - 4096,
                                     RIG_SEGMENT + 1,
                                     RIG_SEGMENT + 4096};
    struct disk *disk = two_segments();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct disk *copy = disk_copy(disk);
        disk_resize(copy, i % 2 ? SEGMENT_1 : SEGMENT_2, sizes[i]);
        refused(copy, LOG_CORRUPTED, "the file has not its fixed size");
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* Zeros from any block on, to the end of the file: what a lost write of everything leaves. */
START_TEST(cut_at_every_block)
{
    struct disk *disk = two_segments();
    uint64_t size;
    disk_file(disk, SEGMENT_1, &size);
    for (uint64_t at = LOG_BLOCK; at < size; at += LOG_BLOCK) {
        struct disk *copy = disk_copy(disk);
        uint8_t *data = disk_file(copy, SEGMENT_1, NULL);
        bool zero = log_all_zero(data + at, size - at);
        memset(data + at, 0, (size_t)(size - at));
        if (!zero) {
            refused(copy, LOG_CORRUPTED, "is missing or damaged, although a later one");
        }
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* The last record, not sealed, in a file that was zeroed: `size` bytes in one entry. */
static struct disk *unsealed(size_t size, uint64_t *at)
{
    struct disk *disk = disk_new(7);
    struct rig rig;
    rig_open(&rig, disk);
    rig_entry(&rig, 1, "first");
    rig_write(&rig);
    *at = 2 * LOG_BLOCK;
    rig_fill(&rig, 1, size);
    rig_write(&rig);
    rig_abandon(&rig);
    return disk;
}

/* Rule 4: what a write that was cut short leaves over zeros. */
START_TEST(a_torn_record_is_cut)
{
    uint64_t at;
    struct disk *disk = unsealed(10000, &at);
    uint64_t extent = log_record_extent(10000 + LOG_ITEM_HEADER);
    for (unsigned pattern = 0; pattern < 200; pattern++) {
        struct disk *copy = disk_copy(disk);
        uint8_t *data = disk_file(copy, SEGMENT_1, NULL) + at;
        for (uint64_t sector = 0; sector < extent / LOG_SECTOR; sector++) {
            bool lost = pattern < 20 ? sector >= pattern : (pattern * 2654435761u >> sector) & 1;
            if (lost || sector == pattern % 19) {
                memset(data + sector * LOG_SECTOR, 0, LOG_SECTOR);
            }
        }
        const char *lines = reopened(copy);
        ck_assert_msg(lines != NULL, "pattern %u: %s", pattern, rig_error.text);
        ck_assert_str_eq(lines, "entry 1 1 first\n");
        /* And the log goes on behind it, and stays so. */
        struct rig rig;
        rig_open(&rig, copy);
        ck_assert_uint_eq(rig_entry(&rig, 2, "again"), 2);
        rig_write(&rig);
        rig_close(&rig);
        ck_assert_str_eq(reopened(copy), "entry 1 1 first\nentry 2 2 again\n");
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* Rule 3: the last record is not sealed, but no write that was cut short leaves this. */
START_TEST(damage_to_the_last_record_is_no_tear)
{
    uint64_t at;
    struct disk *disk = unsealed(3000, &at);
    for (uint64_t byte = 0; byte < LOG_RECORD_HEADER + LOG_ITEM_HEADER + 3000; byte++) {
        struct disk *copy = disk_copy(disk);
        disk_file(copy, SEGMENT_1, NULL)[at + byte] ^= 16;
        refused(copy, LOG_CORRUPTED,
                "byte 8192: the last record is damaged in a way that a write cut short does not");
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* A record from elsewhere in the same use of the file. */
START_TEST(a_record_in_another_place_is_refused)
{
    struct disk *disk = two_segments();
    uint8_t *data = disk_file(disk, SEGMENT_2, NULL);
    uint64_t at = LOG_BLOCK;
    while (!log_all_zero(data + at, LOG_BLOCK)) {
        at += LOG_BLOCK;
    }
    memcpy(data + at, data + LOG_BLOCK, LOG_BLOCK);
    refused(disk, LOG_CORRUPTED, "a whole record of another place stands here");
    disk_free(&disk);
}
END_TEST

START_TEST(missing_files_are_missed)
{
    struct disk *disk = two_segments();
    struct disk *copy = disk_copy(disk);
    disk_remove(copy, SEGMENT_2);
    /* The prepared one stands behind the gap. */
    refused(copy, LOG_CORRUPTED, SEGMENT_2 " is missing");
    disk_free(&copy);
    copy = disk_copy(disk);
    for (int i = 1; i < 6; i++) {
        char name[64];
        snprintf(name, sizeof name, "%016d.segment", i);
        if (disk_file(copy, name, NULL)) {
            disk_remove(copy, name);
        }
    }
    refused(copy, LOG_CORRUPTED, "the log is gone");
    disk_free(&copy);
    copy = disk_copy(disk);
    disk_remove(copy, "version");
    refused(copy, LOG_CORRUPTED, "version is missing, but there is a log");
    disk_free(&copy);
    disk_free(&disk);
}
END_TEST

START_TEST(files_of_another_log_or_version_are_refused)
{
    struct disk *disk = two_segments(), *other = disk_new(77);
    struct rig rig;
    rig_open(&rig, other);
    rig_entry(&rig, 1, "x");
    rig_write(&rig);
    rig_close(&rig);
    memcpy(disk_file(disk, SEGMENT_1, NULL), disk_file(other, SEGMENT_1, NULL), RIG_SEGMENT);
    refused(disk, LOG_CORRUPTED, "belongs to another log");
    memcpy(disk_file(disk, "version", NULL), "steward-data 2", 14);
    refused(disk, LOG_NEWER, "has format 2, this build knows format 1");
    memcpy(disk_file(disk, "version", NULL), "something else", 14);
    refused(disk, LOG_NOT_OURS, "is not a version file of Steward");
    disk_free(&disk);
    disk_free(&other);
}
END_TEST

/* Headers that are whole, but of another history. */
START_TEST(segments_continue_one_another)
{
    struct disk *disk = two_segments();
    for (int field = 0; field < 5; field++) {
        struct disk *copy = disk_copy(disk);
        struct log_segment_header header;
        unsigned version;
        uint8_t *block = disk_file(copy, SEGMENT_2, NULL);
        ck_assert_int_eq(log_segment_decode(block, &header, &version), LOG_HEADER_GOOD);
        header.start.term += field == 0;
        header.start.vote += field == 1;
        header.start.next_index += field == 2;
        header.start.chain += field == 3;
        header.start.sequence -= field == 4;
        log_segment_encode(block, &header);
        refused(copy, LOG_CORRUPTED, "the segment does not continue the one before it");
        disk_free(&copy);
    }
    disk_free(&disk);
}
END_TEST

/* A record that only the page cache has is on disk before anybody builds on it. */
START_TEST(what_is_recovered_is_durable)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct disk *disk = disk_new(seed);
        struct rig rig;
        disk_refuse_direct(disk);
        rig_open(&rig, disk);
        rig_entry(&rig, 1, "first");
        rig_write(&rig);
        disk_fail(disk, DISK_SYNC, 1, 5);
        rig_fill(&rig, 1, 9000);
        ck_assert(!rig_write(&rig));
        rig_abandon(&rig); /* the process ends, the machine does not */
        rig_open(&rig, disk);
        ck_assert_uint_eq(log_last_index(rig.log), 2);
        rig_entry(&rig, 1, "third");
        ck_assert(rig_write(&rig));
        rig_abandon(&rig);
        disk_crash(disk);
        rig_open(&rig, disk);
        ck_assert_msg(rig.log != NULL, "%s", rig.error.text);
        ck_assert_uint_eq(log_last_index(rig.log), 3);
        rig_abandon(&rig);
        disk_free(&disk);
    }
}
END_TEST

START_TEST(a_directory_is_used_once)
{
    struct disk *disk = disk_new(8);
    struct rig rig, second;
    rig_open(&rig, disk);
    rig_open(&second, disk);
    ck_assert_ptr_null(second.log);
    ck_assert_int_eq(second.error.trouble, LOG_LOCKED);
    rig_fini(&second);
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

/* A record that is torn over what a recycled file held before. */
START_TEST(recycled_files_are_read_as_fresh_ones)
{
    struct disk *disk = disk_new(9);
    struct rig rig;
    char expected[512];
    rig_open(&rig, disk);
    for (int i = 0; i < 200; i++) { /* through all files of the pool, more than once */
        rig_fill(&rig, 1, 5000);
        ck_assert(rig_write(&rig));
        log_trim(rig.log, log_last_index(rig.log));
    }
    struct log_room room = log_room(rig.log);
    ck_assert_uint_le(room.segments, 3);
    ck_assert_uint_le(room.segments + room.pool, 6);
    rig_seal(&rig);
    rig_fill(&rig, 1, 9000);
    disk_fail(disk, DISK_WRITE, 1, 5);
    disk_tear(disk, true);
    ck_assert(!rig_write(&rig));
    rig_abandon(&rig);
    disk_crash(disk);
    const char *lines = reopened(disk);
    ck_assert_msg(lines != NULL, "%s", rig_error.text);
    snprintf(expected, sizeof expected, "entry 1 200 ");
    ck_assert_ptr_nonnull(strstr(lines, expected));
    ck_assert_ptr_null(strstr(lines, "entry 1 201 "));
    disk_free(&disk);
}
END_TEST

/* Term and vote outlive the segment that they were written in. */
START_TEST(the_vote_is_carried_on)
{
    struct disk *disk = disk_new(10);
    struct rig rig;
    rig_open(&rig, disk);
    rig_vote(&rig, 9, 2);
    for (int i = 0; i < 100; i++) {
        rig_fill(&rig, 9, 5000);
        ck_assert(rig_write(&rig));
        log_trim(rig.log, log_last_index(rig.log));
    }
    rig_close(&rig);
    ck_assert_int_eq(strncmp(reopened(disk), "vote 9 2 \n", 10), 0);
    disk_free(&disk);
}
END_TEST

START_TEST(a_restart_voids_everything)
{
    struct disk *disk = disk_new(11);
    struct rig rig;
    rig_open(&rig, disk);
    for (int i = 0; i < 30; i++) {
        rig_fill(&rig, 1, 5000);
        rig_write(&rig);
    }
    struct log_item restart = {.type = LOG_RESTART, .term = 3, .index = 1000};
    log_append(rig.log, &restart);
    rig_entry(&rig, 3, "x");
    ck_assert(rig_write(&rig));
    ck_assert_uint_eq(log_first_index(rig.log), 1001);
    ck_assert_uint_eq(log_last_index(rig.log), 1001);
    ck_assert_uint_le(log_room(rig.log).segments, 2); /* what it voids is recycled */
    rig_close(&rig);
    rig_open(&rig, disk);
    ck_assert_uint_eq(log_first_index(rig.log), 1001);
    ck_assert_uint_eq(log_last_index(rig.log), 1001);
    rig_abandon(&rig);
    disk_free(&disk);
}
END_TEST

START_TEST(segments_may_change_their_size)
{
    static const uint64_t sizes[] = {RIG_SEGMENT, 4 * RIG_SEGMENT, 2 * RIG_SEGMENT, RIG_SEGMENT};
    struct disk *disk = disk_new(12);
    struct rig rig;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rig_open_segments(&rig, disk, sizes[i]);
        ck_assert_msg(rig.log != NULL, "%s", rig.error.text);
        ck_assert_uint_eq(log_last_index(rig.log), 2 * i);
        rig_fill(&rig, 1, log_payload_max(rig.log));
        rig_fill(&rig, 1, 100);
        ck_assert(rig_write(&rig));
        rig_close(&rig);
    }
    disk_free(&disk);
}
END_TEST

START_TEST(verify_changes_nothing)
{
    struct disk *disk = two_segments();
    struct log_error error;
    struct log_options options = {.directory = "data", .io = disk_io(disk)};
    unsigned writes = disk_count(disk, DISK_WRITE), renames = disk_count(disk, DISK_RENAME);
    ck_assert(log_verify(&options, &error));
    disk_file(disk, SEGMENT_1, NULL)[LOG_BLOCK + 70] ^= 1;
    ck_assert(!log_verify(&options, &error));
    ck_assert_int_eq(error.trouble, LOG_CORRUPTED);
    ck_assert_ptr_nonnull(strstr(error.text, "Restore a backup into an empty directory"));
    ck_assert_uint_eq(disk_count(disk, DISK_WRITE), writes);
    ck_assert_uint_eq(disk_count(disk, DISK_RENAME), renames);
    disk_free(&disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_recover");
    TCase *tcase = tcase_create("recover");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_was_appended_comes_back);
    tcase_add_test(tcase, the_index_is_rebuilt);
    tcase_add_test(tcase, it_goes_on_in_a_new_segment);
    tcase_add_test(tcase, a_start_that_writes_nothing_takes_nothing);
    tcase_add_test(tcase, flips_in_the_first_segment);
    tcase_add_test(tcase, flips_in_the_last_segment);
    tcase_add_test(tcase, flips_in_each_byte_of_a_vote);
    tcase_add_test(tcase, a_file_of_another_size_is_refused);
    tcase_add_test(tcase, cut_at_every_block);
    tcase_add_test(tcase, a_torn_record_is_cut);
    tcase_add_test(tcase, damage_to_the_last_record_is_no_tear);
    tcase_add_test(tcase, a_record_in_another_place_is_refused);
    tcase_add_test(tcase, missing_files_are_missed);
    tcase_add_test(tcase, files_of_another_log_or_version_are_refused);
    tcase_add_test(tcase, segments_continue_one_another);
    tcase_add_test(tcase, what_is_recovered_is_durable);
    tcase_add_test(tcase, a_directory_is_used_once);
    tcase_add_test(tcase, recycled_files_are_read_as_fresh_ones);
    tcase_add_test(tcase, the_vote_is_carried_on);
    tcase_add_test(tcase, a_restart_voids_everything);
    tcase_add_test(tcase, segments_may_change_their_size);
    tcase_add_test(tcase, verify_changes_nothing);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
