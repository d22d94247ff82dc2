/* The envelope between nodes: every cut, every flipped byte, every limit. */
#include "broker/shell/links_envelope.h"

#include <check.h>
#include <stdlib.h>

static struct buf buf;

static void setup(void)
{
    buf_init(&buf);
}

static void teardown(void)
{
    buf_fini(&buf);
}

static struct envelope sample(void)
{
    struct envelope envelope = {.from = 1,
                                .to = 2,
                                .run = 77,
                                .address = slice_str("tcp://127.0.0.1:1"),
                                .endpoint = slice_str("tcp://h:2"),
                                .neighbours_count = 2};
    envelope.neighbours[0] =
        (struct envelope_neighbour){.node = 3, .address = slice_str("tcp://127.0.0.1:3")};
    envelope.neighbours[1] = (struct envelope_neighbour){.node = 4, .address = slice_str("")};
    return envelope;
}

/* A heap copy of exactly the size, so that a sanitizer sees any read beyond it. */
static const char *read_copy(struct envelope *out, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    const char *problem = envelope_read(out, slice_of(copy, size));
    struct slice message;
    size_t bytes = 0;
    while (problem == NULL && envelope_next(&out->messages, &message)) {
        bytes += message.size;
    }
    ck_assert_uint_le(bytes, size);
    free(copy);
    return problem;
}

START_TEST(what_is_written_is_read)
{
    struct envelope envelope = sample();
    struct envelope out;
    struct slice message;
    envelope_begin(&buf, &envelope);
    envelope_add(&buf, slice_str("one"));
    envelope_add(&buf, slice_str("2"));
    ck_assert_ptr_null(envelope_read(&out, buf_view(&buf)));
    ck_assert_uint_eq(out.from, 1);
    ck_assert_uint_eq(out.to, 2);
    ck_assert_uint_eq(out.run, 77);
    ck_assert(slice_equal(out.address, envelope.address));
    ck_assert(slice_equal(out.endpoint, envelope.endpoint));
    ck_assert_uint_eq(out.neighbours_count, 2);
    ck_assert_uint_eq(out.neighbours[0].node, 3);
    ck_assert(slice_equal(out.neighbours[0].address, envelope.neighbours[0].address));
    ck_assert_uint_eq(out.neighbours[1].address.size, 0);
    ck_assert(envelope_next(&out.messages, &message));
    ck_assert(slice_equal(message, slice_str("one")));
    ck_assert(envelope_next(&out.messages, &message));
    ck_assert(slice_equal(message, slice_str("2")));
    ck_assert(!envelope_next(&out.messages, &message));
}
END_TEST

START_TEST(every_cut_is_refused)
{
    struct envelope envelope = sample();
    struct envelope out;
    envelope_begin(&buf, &envelope);
    size_t head = buf.size;
    envelope_add(&buf, slice_str("message"));
    for (size_t size = 0; size < buf.size; size++) {
        const char *problem = read_copy(&out, buf.data, size);
        ck_assert_msg((problem == NULL) == (size == head), "cut at %zu", size);
    }
}
END_TEST

START_TEST(a_flipped_byte_reads_nothing_beyond)
{
    struct envelope envelope = sample();
    struct envelope out;
    envelope_begin(&buf, &envelope);
    envelope_add(&buf, slice_str("message"));
    envelope_add(&buf, slice_str("another"));
    for (size_t at = 0; at < buf.size; at++) {
        uint8_t kept = buf.data[at];
        for (unsigned value = 0; value < 256; value++) {
            buf.data[at] = (uint8_t)value;
            (void)read_copy(&out, buf.data, buf.size);
        }
        buf.data[at] = kept;
    }
    ck_assert_ptr_null(read_copy(&out, buf.data, buf.size));
}
END_TEST

/* Writes a head with one thing changed, and says what envelope_read says. */
static const char *verdict(const struct envelope *envelope)
{
    struct envelope out;
    buf_clear(&buf);
    envelope_begin(&buf, envelope);
    return read_copy(&out, buf.data, buf.size);
}

START_TEST(each_field_has_its_rule)
{
    char text[LIMIT_LINK_ADDRESS_BYTES + 2];
    memset(text, 'x', sizeof text);
    struct envelope envelope = sample();
    envelope.from = 0;
    ck_assert_str_eq(verdict(&envelope), "bad_node");
    envelope = sample();
    envelope.to = 0;
    ck_assert_str_eq(verdict(&envelope), "bad_node");
    envelope = sample();
    envelope.address = slice_of(text, LIMIT_LINK_ADDRESS_BYTES);
    ck_assert_ptr_null(verdict(&envelope));
    envelope.address = slice_of(text, LIMIT_LINK_ADDRESS_BYTES + 1);
    ck_assert_str_eq(verdict(&envelope), "bad_address");
    envelope = sample();
    envelope.endpoint = slice_str("tcp://a b:1");
    ck_assert_str_eq(verdict(&envelope), "bad_address");
    envelope.endpoint = slice_str("tcp://a:1\n");
    ck_assert_str_eq(verdict(&envelope), "bad_address");
    envelope = sample();
    envelope.neighbours[1].node = 0;
    ck_assert_str_eq(verdict(&envelope), "bad_neighbours");
    envelope = sample();
    ck_assert_ptr_null(verdict(&envelope));
    buf.data[4] = ENVELOPE_VERSION + 1;
    ck_assert_str_eq(read_copy(&envelope, buf.data, buf.size), "unknown_version");
    buf.data[0] ^= 1;
    ck_assert_str_eq(read_copy(&envelope, buf.data, buf.size), "not_an_envelope");
}
END_TEST

START_TEST(messages_have_to_be_whole)
{
    struct envelope envelope = sample();
    ck_assert_ptr_null(verdict(&envelope));
    size_t head = buf.size;
    buf_u32(&buf, 0);
    ck_assert_str_eq(read_copy(&envelope, buf.data, buf.size), "bad_messages");
    buf.size = head;
    buf_u32(&buf, UINT32_MAX);
    ck_assert_str_eq(read_copy(&envelope, buf.data, buf.size), "bad_messages");
    buf.size = head;
    envelope_add(&buf, slice_str("good"));
    buf_u8(&buf, 0);
    ck_assert_str_eq(read_copy(&envelope, buf.data, buf.size), "bad_messages");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("links_envelope");
    TCase *tcase = tcase_create("links_envelope");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, every_cut_is_refused);
    tcase_add_test(tcase, a_flipped_byte_reads_nothing_beyond);
    tcase_add_test(tcase, each_field_has_its_rule);
    tcase_add_test(tcase, messages_have_to_be_whole);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
