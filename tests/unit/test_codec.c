/* The wire codec: every encoding at its edges, against msgpack-c, and every refusal. */
#include "common/wire/codec.h"

#include "common/base/limits.h"
#include "common/base/steward_errors.h"

#include <check.h>
#include <msgpack.h>
#include <stdlib.h>

static const uint64_t EDGES[] = {0,          1,           0x7f,           0x80,
                                 0xff,       0x100,       0xffff,         0x10000,
                                 0xffffffff, 0x100000000, UINT64_MAX - 1, UINT64_MAX};
#define EDGES_COUNT (sizeof EDGES / sizeof EDGES[0])

static struct wire_reader read_of(const struct buf *buf)
{
    struct wire_reader in;
    wire_reader_init(&in, buf_view(buf));
    return in;
}

START_TEST(uints_are_shortest_and_come_back)
{
    msgpack_sbuffer expected;
    msgpack_packer packer;
    msgpack_sbuffer_init(&expected);
    msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
    struct buf out = {0};
    for (size_t i = 0; i < EDGES_COUNT; i++) {
        wire_write_uint(&out, EDGES[i]);
        msgpack_pack_uint64(&packer, EDGES[i]);
    }
    ck_assert_uint_eq(out.size, expected.size);
    ck_assert_mem_eq(out.data, expected.data, out.size);
    struct wire_reader in = read_of(&out);
    for (size_t i = 0; i < EDGES_COUNT; i++) {
        ck_assert_uint_eq(wire_read_uint(&in), EDGES[i]);
    }
    ck_assert(wire_reader_done(&in));
    buf_fini(&out);
    msgpack_sbuffer_destroy(&expected);
}
END_TEST

START_TEST(longer_uint_encodings_are_read)
{
    static const uint8_t five[] = {0x05, 0xcc, 5, 0xcd, 0, 5, 0xce, 0, 0, 0,
                                   5,    0xcf, 0, 0,    0, 0, 0,    0, 0, 5};
    struct wire_reader in;
    wire_reader_init(&in, slice_of(five, sizeof five));
    for (int i = 0; i < 5; i++) {
        ck_assert_uint_eq(wire_read_uint(&in), 5);
    }
    ck_assert(wire_reader_done(&in));
}
END_TEST

/* A str or bin of each size around the changes of encoding. */
START_TEST(strings_and_bins_come_back)
{
    static const size_t sizes[] = {0, 1, 31, 32, 255, 256, 65535, 65536, 100000};
    uint8_t *bytes = malloc(100000);
    memset(bytes, 'x', 100000);
    msgpack_sbuffer expected;
    msgpack_packer packer;
    msgpack_sbuffer_init(&expected);
    msgpack_packer_init(&packer, &expected, msgpack_sbuffer_write);
    struct buf out = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct slice value = slice_of(sizes[i] ? bytes : NULL, sizes[i]);
        size_t before = out.size;
        wire_write_bin(&out, value);
        ck_assert_uint_eq(out.size - before, wire_bin_bytes(sizes[i]));
        wire_write_str(&out, value);
        msgpack_pack_bin_with_body(&packer, bytes, sizes[i]);
        msgpack_pack_str_with_body(&packer, bytes, sizes[i]);
    }
    ck_assert_uint_eq(out.size, expected.size);
    ck_assert_mem_eq(out.data, expected.data, out.size);
    struct wire_reader in = read_of(&out);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct slice bin = wire_read_bin(&in);
        struct slice str = wire_read_str(&in);
        ck_assert_uint_eq(bin.size, sizes[i]);
        ck_assert_uint_eq(str.size, sizes[i]);
        ck_assert(sizes[i] == 0 || memcmp(str.data, bytes, str.size) == 0);
    }
    ck_assert(wire_reader_done(&in));
    buf_fini(&out);
    msgpack_sbuffer_destroy(&expected);
    free(bytes);
}
END_TEST

START_TEST(containers_and_words_come_back)
{
    struct buf out = {0};
    wire_write_array(&out, 15);
    wire_write_array(&out, 16);
    wire_write_map(&out, 15);
    wire_write_map(&out, 16);
    wire_write_nil(&out);
    wire_write_bool(&out, true);
    wire_write_bool(&out, false);
    wire_write_uint_or_nil(&out, UINT64_MAX);
    wire_write_uint_or_nil(&out, 7);
    buf_add(&out, (uint8_t[64]){0}, 64); /* the bytes that the counts promise */
    struct wire_reader in = read_of(&out);
    ck_assert_uint_eq(wire_read_array(&in), 15);
    ck_assert_uint_eq(wire_read_array(&in), 16);
    ck_assert_uint_eq(wire_read_map(&in), 15);
    ck_assert_uint_eq(wire_read_map(&in), 16);
    ck_assert(wire_read_nil(&in));
    ck_assert(!wire_read_nil(&in));
    ck_assert(wire_read_bool(&in));
    ck_assert(!wire_read_bool(&in));
    ck_assert_uint_eq(wire_read_uint_or_nil(&in), UINT64_MAX);
    ck_assert_uint_eq(wire_read_uint_or_nil(&in), 7);
    ck_assert(!in.failed);
    buf_fini(&out);
}
END_TEST

START_TEST(large_containers_use_wider_counts)
{
    struct buf out = {0};
    wire_write_array(&out, 65536);
    size_t head = out.size;
    ck_assert_uint_eq(head, 5);
    memset(buf_reserve(&out, 65536), 0, 65536);
    out.size += 65536;
    struct wire_reader in = read_of(&out);
    ck_assert_uint_eq(wire_read_array(&in), 65536);
    ck_assert_int_eq(wire_scan(buf_view(&out)), 0);
    out.size--; /* one element short */
    in = read_of(&out);
    ck_assert_uint_eq(wire_read_array(&in), 0);
    ck_assert(in.failed);
    ck_assert_int_eq(wire_scan(buf_view(&out)), STW_EPROTO);
    buf_fini(&out);
}
END_TEST

/* Every cut of a good record fails in the reader or leaves it short, and fails the scan. */
START_TEST(every_truncation_is_refused)
{
    struct buf out = {0};
    wire_write_array(&out, 5);
    wire_write_uint(&out, 300);
    wire_write_str(&out, slice_str("a name that is longer than thirty-one bytes"));
    wire_write_bin(&out, slice_str("body"));
    wire_write_uint(&out, 1ULL << 40);
    wire_write_bool(&out, true);
    for (size_t size = 1; size < out.size; size++) {
        uint8_t *exact = malloc(size); /* so that a sanitizer sees a read past the end */
        memcpy(exact, out.data, size);
        ck_assert_int_eq(wire_scan(slice_of(exact, size)), STW_EPROTO);
        struct wire_reader in;
        wire_reader_init(&in, slice_of(exact, size));
        (void)wire_read_array(&in);
        (void)wire_read_uint(&in);
        (void)wire_read_str(&in);
        (void)wire_read_bin(&in);
        (void)wire_read_uint(&in);
        (void)wire_read_bool(&in);
        ck_assert(in.failed);
        free(exact);
    }
    ck_assert_int_eq(wire_scan(buf_view(&out)), 0);
    buf_fini(&out);
}
END_TEST

START_TEST(failure_is_sticky)
{
    struct wire_reader in;
    wire_reader_init(&in, slice_of("\xc0\x01\x91\x01", 4));
    ck_assert_uint_eq(wire_read_uint(&in), 0); /* a nil is not a uint */
    ck_assert(in.failed);
    ck_assert_uint_eq(wire_read_uint(&in), 0);
    ck_assert_uint_eq(wire_read_array(&in), 0);
    ck_assert_uint_eq(wire_read_str(&in).size, 0);
    ck_assert_uint_eq(wire_read_bin(&in).size, 0);
    ck_assert(!wire_read_nil(&in));
    ck_assert(!wire_reader_done(&in));
    wire_reader_init(&in, slice_of("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", 9));
    ck_assert_uint_eq(wire_read_uint_or_nil(&in), 0); /* it would mean nil */
    ck_assert(in.failed);
}
END_TEST

START_TEST(foreign_types_are_refused)
{
    static const struct {
        const char *bytes;
        size_t size;
    } bad[] = {{"\xc1", 1},                                 /* unused */
               {"\xc7\x00\x01", 3},                         /* ext 8 */
               {"\xd4\x01\x01", 3},                         /* fixext 1 */
               {"\xca\x00\x00\x00\x00", 5},                 /* float 32 */
               {"\xcb\x00\x00\x00\x00\x00\x00\x00\x00", 9}, /* float 64 */
               {"\xff", 1},                                 /* -1 */
               {"\xd0\x05", 2},                             /* int 8, although 5 */
               {"\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 9}, /* int 64 */
               {"\x91\xe0", 2}};                            /* -32 in an array */
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct slice bytes = slice_of(bad[i].bytes, bad[i].size);
        ck_assert_int_eq(wire_scan(bytes), STW_EPROTO);
        struct wire_reader in;
        wire_reader_init(&in, bytes);
        wire_skip(&in);
        ck_assert(in.failed);
        wire_reader_init(&in, bytes);
        ck_assert_uint_eq(wire_read_uint(&in), 0);
        ck_assert(in.failed);
    }
}
END_TEST

static int scan_nested(size_t depth)
{
    uint8_t bytes[LIMIT_DEPTH + 4];
    memset(bytes, 0x91, sizeof bytes);
    bytes[depth] = 0x01;
    struct wire_reader in;
    wire_reader_init(&in, slice_of(bytes, depth + 1));
    wire_skip(&in);
    int code = wire_scan(slice_of(bytes, depth + 1));
    ck_assert_int_eq(wire_reader_done(&in), code == 0);
    return code;
}

START_TEST(depth_is_bounded)
{
    ck_assert_int_eq(scan_nested(1), 0);
    ck_assert_int_eq(scan_nested(LIMIT_DEPTH), 0);
    ck_assert_int_eq(scan_nested(LIMIT_DEPTH + 1), STW_EPROTO);
    /* An empty container counts as a level too. */
    uint8_t bytes[LIMIT_DEPTH + 1];
    memset(bytes, 0x91, sizeof bytes);
    bytes[LIMIT_DEPTH] = 0x90;
    ck_assert_int_eq(wire_scan(slice_of(bytes, sizeof bytes)), STW_EPROTO);
}
END_TEST

/* 155 bytes that make a trusting decoder reserve gigabytes. */
START_TEST(counts_beyond_the_frame_are_refused)
{
    uint8_t bomb[155];
    for (size_t i = 0; i < sizeof bomb; i++) {
        bomb[i] = i % 5 == 0 ? 0xdd : 0xff;
    }
    ck_assert_int_eq(wire_scan(slice_of(bomb, sizeof bomb)), STW_EPROTO);
    ck_assert_int_eq(wire_scan(slice_of("\xdf\xff\xff\xff\xff\x01", 6)), STW_EPROTO);
    ck_assert_int_eq(wire_scan(slice_of("\xc6\xff\xff\xff\xff\x01", 6)), STW_EPROTO);
    ck_assert_int_eq(wire_scan(slice_of("\x82\x01\x01\x01", 4)), STW_EPROTO);
}
END_TEST

START_TEST(objects_are_bounded)
{
    size_t size = LIMIT_OBJECTS + 1;
    uint8_t *bytes = calloc(1, size);
    ck_assert_int_eq(wire_scan(slice_of(bytes, size - 1)), 0);
    ck_assert_int_eq(wire_scan(slice_of(bytes, size)), STW_EPROTO);
    free(bytes);
}
END_TEST

START_TEST(values_are_borrowed_whole)
{
    struct buf out = {0};
    wire_write_map(&out, 1);
    wire_write_str(&out, slice_str("key"));
    wire_write_array(&out, 2);
    wire_write_uint(&out, 1);
    wire_write_nil(&out);
    size_t value_size = out.size;
    wire_write_uint(&out, 9);
    struct wire_reader in = read_of(&out);
    struct slice value = wire_read_value(&in);
    ck_assert_uint_eq(value.size, value_size);
    ck_assert_uint_eq(wire_read_uint(&in), 9);
    ck_assert(wire_reader_done(&in));
    ck_assert_int_eq(wire_scan(slice_of(NULL, 0)), 0);
    buf_fini(&out);
}
END_TEST

START_TEST(utf8_is_checked)
{
    static const char *good[] = {"",
                                 "plain",
                                 "\xc3\xa4",
                                 "\xe2\x82\xac",
                                 "\xf0\x9f\x90\x8c",
                                 "\xed\x9f\xbf",
                                 "\xee\x80\x80",
                                 "\xf4\x8f\xbf\xbf"};
    static const char *bad[] = {"\x80",
                                "\xc0\x80",
                                "\xc1\xbf",
                                "\xc3",
                                "\xe0\x80\x80",
                                "\xed\xa0\x80",
                                "\xf0\x80\x80\x80",
                                "\xf4\x90\x80\x80",
                                "\xf5\x80\x80\x80",
                                "a\xff",
                                "\xe2\x82"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(wire_utf8(slice_str(good[i])), "good %zu", i);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert_msg(!wire_utf8(slice_str(bad[i])), "bad %zu", i);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("codec");
    TCase *tcase = tcase_create("codec");
    tcase_add_test(tcase, uints_are_shortest_and_come_back);
    tcase_add_test(tcase, longer_uint_encodings_are_read);
    tcase_add_test(tcase, strings_and_bins_come_back);
    tcase_add_test(tcase, containers_and_words_come_back);
    tcase_add_test(tcase, large_containers_use_wider_counts);
    tcase_add_test(tcase, every_truncation_is_refused);
    tcase_add_test(tcase, failure_is_sticky);
    tcase_add_test(tcase, foreign_types_are_refused);
    tcase_add_test(tcase, depth_is_bounded);
    tcase_add_test(tcase, counts_beyond_the_frame_are_refused);
    tcase_add_test(tcase, objects_are_bounded);
    tcase_add_test(tcase, values_are_borrowed_whole);
    tcase_add_test(tcase, utf8_is_checked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
