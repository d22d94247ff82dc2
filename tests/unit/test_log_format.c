/* The log's bytes: every bit counts, and each rule of the judgement on a tail. */
#include "broker/journal/log_format.h"

#include <check.h>
#include <stdlib.h>

static uint8_t bytes[4 * LOG_BLOCK];

static struct log_segment_header some_header(void)
{
    return (struct log_segment_header){
        .flags = LOG_SEGMENT_ZEROED | LOG_SEGMENT_USED,
        .size_bytes = 65536,
        .log_id = 0x1122334455667788,
        .ordinal = 7,
        .incarnation = 0x99aabbccddeeff00,
        .start = {.sequence = 42, .chain = 4711, .term = 3, .vote = 2, .next_index = 1001}};
}

START_TEST(a_segment_header_comes_back)
{
    struct log_segment_header header = some_header(), back;
    unsigned version = 0;
    log_segment_encode(bytes, &header);
    ck_assert_int_eq(log_segment_decode(bytes, &back, &version), LOG_HEADER_GOOD);
    ck_assert_mem_eq(&back.start, &header.start, sizeof header.start);
    ck_assert_uint_eq(back.flags, header.flags);
    ck_assert_uint_eq(back.size_bytes, header.size_bytes);
    ck_assert_uint_eq(back.log_id, header.log_id);
    ck_assert_uint_eq(back.ordinal, header.ordinal);
    ck_assert_uint_eq(back.incarnation, header.incarnation);
    ck_assert_uint_eq(version, LOG_FORMAT_VERSION);
}
END_TEST

START_TEST(a_segment_header_with_any_flipped_bit_is_bad)
{
    struct log_segment_header header = some_header(), back;
    unsigned version;
    log_segment_encode(bytes, &header);
    for (int bit = 0; bit < 88 * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ck_assert_int_eq(log_segment_decode(bytes, &back, &version), LOG_HEADER_BAD);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

/* The first bytes as docs/log.md has them: a change here is a new format version. */
START_TEST(the_bytes_are_those_of_the_page)
{
    static const uint8_t begin[] = {'S',  'T',  'W',  'S',  1,    0,    3, 0,    0,
                                    0,    1,    0,    0,    0,    0,    0, 0x88, 0x77,
                                    0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 7, 0};
    static const uint8_t checksum[] = {0xe6, 0xec, 0x7a, 0x7b, 0x5a, 0x95, 0x5d, 0x37};
    struct log_segment_header header = some_header();
    log_segment_encode(bytes, &header);
    ck_assert_mem_eq(bytes, begin, sizeof begin);
    ck_assert_mem_eq(bytes + 80, checksum, sizeof checksum);
    ck_assert(log_all_zero(bytes + 88, LOG_BLOCK - 88));

    static const uint8_t item[] = {1, 9, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0,   0,
                                   0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'h', 'i'};
    struct log_item entry = {
        .type = LOG_ENTRY, .tag = 9, .term = 3, .index = 4, .payload = slice_str("hi")};
    log_item_encode(bytes, &entry);
    ck_assert_mem_eq(bytes, item, sizeof item);
}
END_TEST

static struct log_record make_record(uint32_t size)
{
    struct log_record record = {.kind = LOG_RECORD_ITEMS,
                                .size = size,
                                .sequence = 17,
                                .incarnation = 5,
                                .previous = 99,
                                .confirmed = 16};
    for (uint32_t i = 0; i < size; i++) {
        bytes[LOG_RECORD_HEADER + i] = (uint8_t)(i * 7 + 1);
    }
    log_record_finish(bytes, &record);
    return record;
}

START_TEST(a_record_comes_back)
{
    struct log_record record = make_record(5000), back;
    ck_assert_uint_eq(log_record_extent(5000), 2 * LOG_BLOCK);
    ck_assert(log_record_decode(bytes, 5, &back));
    ck_assert_uint_eq(back.size, 5000);
    ck_assert_uint_eq(back.sequence, 17);
    ck_assert_uint_eq(back.previous, 99);
    ck_assert_uint_eq(back.confirmed, 16);
    ck_assert_uint_eq(back.checksum, record.checksum);
    ck_assert_uint_eq(back.zero_sectors, (2 * LOG_BLOCK - 5064) / LOG_SECTOR);
    ck_assert(log_record_intact(bytes, &back));
    ck_assert(log_all_zero(bytes + 5064, 2 * LOG_BLOCK - 5064));
    ck_assert(!log_record_decode(bytes, 6, &back)); /* of another use of the file */
}
END_TEST

START_TEST(a_record_with_any_flipped_bit_is_not_valid)
{
    struct log_record back;
    make_record(300);
    for (unsigned bit = 0; bit < (LOG_RECORD_HEADER + 300) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        bool valid = log_record_decode(bytes, 5, &back) && log_record_intact(bytes, &back);
        ck_assert_msg(!valid, "bit %u", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
END_TEST

/* The same items under another sequence or in another use of the file are another record. */
START_TEST(items_belong_to_their_record)
{
    struct log_record record = make_record(100);
    record.sequence = 18;
    ck_assert(!log_record_intact(bytes, &record));
    record.sequence = 17;
    record.incarnation = 6;
    ck_assert(!log_record_intact(bytes, &record));
}
END_TEST

static bool parses(const uint8_t *data, size_t size)
{
    struct reader reader;
    struct log_item item;
    reader_init(&reader, slice_of(data, size));
    while (log_item_next(&reader, &item)) {
    }
    return !reader.failed;
}

START_TEST(items_are_read_with_bounds)
{
    struct log_item entry = {.type = LOG_ENTRY, .term = 1, .index = 1, .payload = slice_str("abc")};
    struct log_item vote = {.type = LOG_VOTE, .term = 2, .index = 1};
    log_item_encode(bytes, &entry);
    log_item_encode(bytes + 27, &vote);
    ck_assert(parses(bytes, 51));
    for (size_t size = 1; size < 51; size++) {
        ck_assert(parses(bytes, size) == (size == 27));
    }
    bytes[27] = 9; /* no such type */
    ck_assert(!parses(bytes, 51));
    bytes[27] = LOG_VOTE;
    bytes[29] = 1; /* reserved */
    ck_assert(!parses(bytes, 51));
}
END_TEST

static bool follow(struct log_state *state, enum log_type type, uint64_t term, uint64_t index)
{
    struct log_item item = {.type = type, .term = term, .index = index};
    return log_state_follow(state, &item);
}

START_TEST(items_follow_one_another)
{
    struct log_state state = {.sequence = 1, .next_index = 1};
    ck_assert(follow(&state, LOG_VOTE, 4, 1));
    ck_assert(!follow(&state, LOG_VOTE, 3, 1)); /* terms do not fall */
    ck_assert(follow(&state, LOG_ENTRY, 4, 1));
    ck_assert(!follow(&state, LOG_ENTRY, 4, 1)); /* twice */
    ck_assert(!follow(&state, LOG_ENTRY, 4, 3)); /* a gap */
    ck_assert(follow(&state, LOG_ENTRY, 4, 2));
    ck_assert(!follow(&state, LOG_TRUNCATE, 0, 3)); /* behind the end */
    ck_assert(follow(&state, LOG_TRUNCATE, 0, 1));
    ck_assert(follow(&state, LOG_ENTRY, 5, 2));
    ck_assert(follow(&state, LOG_RESTART, 5, 100));
    ck_assert(follow(&state, LOG_ENTRY, 5, 101));
    ck_assert(!follow(&state, LOG_RESTART, 5, UINT64_MAX));
    ck_assert_uint_eq(state.next_index, 102);
    ck_assert_uint_eq(state.term, 4);
}
END_TEST

START_TEST(zero_sectors_are_counted_behind_the_first)
{
    memset(bytes, 0, sizeof bytes);
    ck_assert_uint_eq(log_zero_sectors(bytes, LOG_BLOCK), 7);
    bytes[LOG_SECTOR] = 1;
    bytes[LOG_BLOCK - 1] = 1;
    ck_assert_uint_eq(log_zero_sectors(bytes, LOG_BLOCK), 5);
    ck_assert_uint_eq(log_zero_sectors(bytes, 2 * LOG_BLOCK), 13);
    bytes[0] = 1;
    ck_assert_uint_eq(log_zero_sectors(bytes, LOG_BLOCK), 5);
    ck_assert(!log_all_zero(bytes, LOG_SECTOR));
}
END_TEST

START_TEST(the_rules_in_their_order)
{
    struct log_tail tail = {.zeroed = true, .header_sector_zero = true};
    ck_assert_int_eq(log_judge(&tail), LOG_TORN); /* nothing there, or the header is missing */
    tail.confirmed_by_later = true;
    ck_assert_int_eq(log_judge(&tail), LOG_CORRUPT);
    tail = (struct log_tail){.zeroed = true};
    ck_assert_int_eq(log_judge(&tail), LOG_DAMAGED); /* something else than a header or zeros */
    tail.zeroed = false;
    ck_assert_int_eq(log_judge(&tail), LOG_TORN); /* remains of the earlier use */
    tail = (struct log_tail){.zeroed = true, .header_good = true, .zero_recorded = 3};
    tail.zero_found = 3;
    ck_assert_int_eq(log_judge(&tail), LOG_DAMAGED); /* all sectors came, and yet it is wrong */
    tail.zero_found = 4;
    ck_assert_int_eq(log_judge(&tail), LOG_TORN);
    tail.zeroed = false;
    tail.zero_found = 3;
    ck_assert_int_eq(log_judge(&tail), LOG_TORN);
    tail.misplaced = true;
    ck_assert_int_eq(log_judge(&tail), LOG_CORRUPT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_format");
    TCase *tcase = tcase_create("bytes");
    tcase_add_test(tcase, a_segment_header_comes_back);
    tcase_add_test(tcase, a_segment_header_with_any_flipped_bit_is_bad);
    tcase_add_test(tcase, the_bytes_are_those_of_the_page);
    tcase_add_test(tcase, a_record_comes_back);
    tcase_add_test(tcase, a_record_with_any_flipped_bit_is_not_valid);
    tcase_add_test(tcase, items_belong_to_their_record);
    tcase_add_test(tcase, items_are_read_with_bounds);
    tcase_add_test(tcase, items_follow_one_another);
    tcase_add_test(tcase, zero_sectors_are_counted_behind_the_first);
    tcase_add_test(tcase, the_rules_in_their_order);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
