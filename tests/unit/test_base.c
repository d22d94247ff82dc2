/* Errors, allocation, buffers and fields. */
#include "common/base/alloc.h"
#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/base/fields.h"
#include "common/base/panic.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>

START_TEST(error_names)
{
    ck_assert_str_eq(error_name(0), "OK");
    ck_assert_str_eq(error_name(STW_ETIMEOUT), "ETIMEOUT");
    ck_assert_str_eq(error_name(-STW_ETIMEOUT), "ETIMEOUT");
    ck_assert_str_eq(error_text(STW_EFULL), "the queue is full");
    ck_assert_str_eq(error_name(-ERROR_NUMBER_MAX - 1), "EUNKNOWN");
    ck_assert_str_eq(error_name(INT32_MIN), "EUNKNOWN");
    for (int i = 0; i <= ERROR_NUMBER_MAX; i++) {
        ck_assert_ptr_nonnull(error_name(-i));
        ck_assert_uint_gt(strlen(error_text(-i)), 0);
    }
}
END_TEST

START_TEST(panic_aborts)
{
    STEWARD_ASSERT(1 + 1 == 3);
}
END_TEST

START_TEST(overflowing_product_aborts)
{
    mem_realloc(NULL, SIZE_MAX / 2, 4);
}
END_TEST

START_TEST(allocation)
{
    char *text = mem_dup("abc", 4);
    ck_assert_str_eq(text, "abc");
    text = mem_realloc(text, 1000, 2);
    ck_assert_str_eq(text, "abc");
    free(text);
    uint64_t *zeros = mem_zalloc(3, sizeof *zeros);
    ck_assert_uint_eq(zeros[0] | zeros[1] | zeros[2], 0);
    free(zeros);
    void *nothing = mem_alloc(0);
    ck_assert_ptr_nonnull(nothing);
    free(nothing);
}
END_TEST

START_TEST(buffer_round_trip)
{
    struct buf buf;
    buf_init(&buf);
    buf_u8(&buf, 0xAB);
    buf_u16(&buf, 0x1234);
    buf_u32(&buf, 0xDEADBEEF);
    buf_u64(&buf, 0x0123456789ABCDEFULL);
    buf_slice(&buf, slice_str("hello"));
    buf_add(&buf, NULL, 0);
    static const uint8_t begin[] = {0xAB, 0x34, 0x12, 0xEF, 0xBE, 0xAD, 0xDE};
    ck_assert_mem_eq(buf.data, begin, sizeof begin);
    struct reader reader;
    reader_init(&reader, buf_view(&buf));
    ck_assert_uint_eq(reader_u8(&reader), 0xAB);
    ck_assert_uint_eq(reader_u16(&reader), 0x1234);
    ck_assert_uint_eq(reader_u32(&reader), 0xDEADBEEF);
    ck_assert_uint_eq(reader_u64(&reader), 0x0123456789ABCDEFULL);
    ck_assert(!reader_done(&reader));
    ck_assert(slice_equal(reader_slice(&reader), slice_str("hello")));
    ck_assert(reader_done(&reader));
    ck_assert_uint_eq(reader_u8(&reader), 0);
    ck_assert(reader.failed && !reader_done(&reader));
    buf_clear(&buf);
    ck_assert_uint_eq(buf.size, 0);
    buf_fini(&buf);
}
END_TEST

START_TEST(reader_refuses_short_input)
{
    static const uint8_t lying[] = {0xFF, 0xFF, 0xFF, 0xFF, 'x'};
    struct reader reader;
    reader_init(&reader, slice_of(lying, sizeof lying));
    ck_assert_uint_eq(reader_slice(&reader).size, 0);
    ck_assert(reader.failed);
    reader_init(&reader, slice_of(NULL, 0));
    ck_assert(reader_done(&reader));
    ck_assert_uint_eq(reader_u64(&reader), 0);
    ck_assert(reader.failed);
}
END_TEST

START_TEST(fields_round_trip)
{
    struct buf buf = {0};
    fields_row(&buf);
    fields_u64(&buf, "size_bytes", 77);
    fields_text(&buf, "name", slice_str("q"));
    fields_bytes(&buf, "body", slice_of("\0\1", 2));
    struct reader reader;
    struct field field;
    reader_init(&reader, buf_view(&buf));
    ck_assert(fields_next(&reader, &field) && field.type == FIELD_ROW);
    ck_assert(fields_next(&reader, &field) && field.number == 77);
    ck_assert(slice_equal(field.key, slice_str("size_bytes")));
    ck_assert(fields_next(&reader, &field) && field.type == FIELD_TEXT);
    ck_assert(fields_next(&reader, &field) && slice_equal(field.bytes, slice_of("\0\1", 2)));
    ck_assert(!fields_next(&reader, &field) && !reader.failed);
    for (size_t cut = 2; cut < buf.size; cut++) {
        reader_init(&reader, slice_of(buf.data, cut));
        while (fields_next(&reader, &field)) {
            ck_assert_uint_le(field.key.size, 10);
        }
    }
    buf.data[0] = 'Z';
    reader_init(&reader, buf_view(&buf));
    ck_assert(!fields_next(&reader, &field) && reader.failed);
    buf_fini(&buf);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base");
    TCase *cases = tcase_create("base");
    tcase_add_test(cases, error_names);
    tcase_add_test_raise_signal(cases, panic_aborts, SIGABRT);
    tcase_add_test_raise_signal(cases, overflowing_product_aborts, SIGABRT);
    tcase_add_test(cases, allocation);
    tcase_add_test(cases, buffer_round_trip);
    tcase_add_test(cases, reader_refuses_short_input);
    tcase_add_test(cases, fields_round_trip);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
