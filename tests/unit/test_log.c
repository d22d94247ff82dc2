/* The log: form of a line, cleaning of foreign bytes, levels, the rate of repeated lines. */
#include "broker/shell/log.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct log log_under_test;
static int ends[2];
static char got[64 * 1024];

static void setup(void)
{
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK), 0);
    log_init(&log_under_test, ends[1], LEVEL_INFO);
}

static void teardown(void)
{
    close(ends[0]);
    close(ends[1]);
}

/* Everything that was logged since the last call. */
static const char *logged(void)
{
    ssize_t size = read(ends[0], got, sizeof got - 1);
    got[size > 0 ? size : 0] = '\0';
    return got;
}

static const char *value_of(struct slice value)
{
    struct log_line line;
    log_begin(&line, &log_under_test, LEVEL_INFO, "shell", "test");
    log_slice(&line, "k", value);
    log_end(&line);
    const char *at = strstr(logged(), " k=");
    ck_assert_ptr_nonnull(at);
    return at + 3;
}

START_TEST(a_line_has_time_level_component_event)
{
    log_event(&log_under_test, LEVEL_WARN, "ready", "endpoint", "tcp://127.0.0.1:5757");
    const char *line = logged();
    ck_assert_msg(strncmp(line, "time=20", 7) == 0, "%s", line);
    ck_assert_int_eq(line[15], 'T');
    ck_assert_int_eq(line[28], 'Z');
    ck_assert_str_eq(line + 29, " level=warn component=shell event=ready "
                                "endpoint=tcp://127.0.0.1:5757\n");
}
END_TEST

static const struct {
    const char *value;
    const char *written;
} VALUES[] = {
    {"plain", "plain\n"},
    {"", "\"\"\n"},
    {"two words", "\"two words\"\n"},
    {"a=b", "\"a=b\"\n"},
    {"a\"b\\c", "\"a\\\"b\\\\c\"\n"},
    {"a\nlevel=error", "\"a\\nlevel=error\"\n"},
    {"\x1b[2J\r\t\x7f", "\"\\x1b[2J\\r\\t\\x7f\"\n"},
    {"черга", "\"черга\"\n"},
    {"\xc2\x9b"
     "31m",
     "\"\\xc2\\x9b31m\"\n"},
    {"\xff\xc0\x80", "\"\\xff\\xc0\\x80\"\n"},
    {"x\xe2\x82", "\"x\\xe2\\x82\"\n"},
};

START_TEST(values_are_quoted_and_cleaned)
{
    ck_assert_str_eq(value_of(slice_str(VALUES[_i].value)), VALUES[_i].written);
}
END_TEST

START_TEST(a_nul_is_escaped)
{
    ck_assert_str_eq(value_of(slice_of("a\0b", 3)), "\"a\\x00b\"\n");
}
END_TEST

START_TEST(pairs_are_kept_but_cleaned)
{
    struct log_line line;
    log_begin(&line, &log_under_test, LEVEL_INFO, "gateway", "bad_packet");
    log_pairs(&line, "code=16 text=\"x\ny\"");
    log_end(&line);
    ck_assert_ptr_nonnull(strstr(logged(), "event=bad_packet code=16 text=\"x\\ny\"\n"));
}
END_TEST

START_TEST(a_long_line_is_cut_and_says_so)
{
    char *value = calloc(1, 2 * LOG_LINE_BYTES);
    memset(value, '\n', 2 * LOG_LINE_BYTES - 1);
    struct log_line line;
    log_begin(&line, &log_under_test, LEVEL_INFO, "shell", "long");
    log_text(&line, "a", value);
    log_text(&line, "b", "after");
    log_end(&line);
    const char *written = logged();
    size_t size = strlen(written);
    ck_assert_uint_le(size, LOG_LINE_BYTES);
    ck_assert_str_eq(written + size - 6, "\\n...\n");
    free(value);
}
END_TEST

static const struct {
    const char *value;
    const char *written;
} JSON_VALUES[] = {
    {"plain", "\"plain\"}\n"},
    {"", "\"\"}\n"},
    {"12", "\"12\"}\n"},
    {"a\"b\\c", "\"a\\\"b\\\\c\"}\n"},
    {"a\nlevel\t\x1b\x7f", "\"a\\nlevel\\t\\u001b\\u007f\"}\n"},
    {"черга", "\"черга\"}\n"},
    {"\xff", "\"\\\\xff\"}\n"},
};

START_TEST(json_values_are_escaped)
{
    log_under_test.format = LOG_JSON;
    log_event(&log_under_test, LEVEL_INFO, "test", "k", JSON_VALUES[_i].value);
    const char *at = strstr(logged(), ",\"k\":");
    ck_assert_ptr_nonnull(at);
    ck_assert_str_eq(at + 5, JSON_VALUES[_i].written);
}
END_TEST

START_TEST(a_json_line_has_the_same_keys)
{
    struct log_line line;
    log_under_test.format = LOG_JSON;
    log_begin(&line, &log_under_test, LEVEL_INFO, "gateway", "bad_packet");
    log_number(&line, "session", 7);
    log_pairs(&line, "code=16 wrong=\"x \\\"y\\\" 1\" packet=0x1 ELIMIT none=\"12\"");
    log_end(&line);
    const char *written = logged();
    ck_assert_msg(strncmp(written, "{\"time\":\"20", 11) == 0, "%s", written);
    ck_assert_str_eq(strstr(written, ",\"level\""),
                     ",\"level\":\"info\",\"component\":\"gateway\",\"event\":\"bad_packet\","
                     "\"session\":7,\"code\":16,\"wrong\":\"x \\\"y\\\" 1\",\"packet\":\"0x1\","
                     "\"detail\":\"ELIMIT\",\"none\":\"12\"}\n");
}
END_TEST

/* Wherever it is cut, it stays an object: it ends like one, and each quote has its other half. */
START_TEST(a_long_json_line_is_cut_and_stays_json)
{
    static char value[2 * LOG_LINE_BYTES];
    size_t size = (size_t)(LOG_LINE_BYTES - 200 + _i);
    log_under_test.format = LOG_JSON;
    memset(value, 'x', size);
    value[size] = '\0';
    struct log_line line;
    log_begin(&line, &log_under_test, LEVEL_INFO, "shell", "long");
    log_text(&line, "a", value);
    log_number(&line, "b", 1234567890);
    log_text(&line, "c", "quite \"long\"");
    log_end(&line);
    const char *written = logged();
    size_t quotes = 0;
    for (const char *at = written; *at; at++) {
        quotes += *at == '"' && at[-1] != '\\';
    }
    ck_assert_uint_eq(quotes % 2, 0);
    ck_assert_uint_le(strlen(written), LOG_LINE_BYTES);
    bool cut = strstr(written, ",\"cut\":true}\n") != NULL;
    ck_assert(cut || strstr(written, ",\"c\":\"quite \\\"long\\\"\"}\n") != NULL);
}
END_TEST

START_TEST(formats_have_names)
{
    enum log_format format = LOG_PAIRS;
    ck_assert(log_format_parse("json", &format));
    ck_assert_int_eq(format, LOG_JSON);
    ck_assert(!log_format_parse("xml", &format));
    ck_assert_str_eq(log_format_name(LOG_PAIRS), "text");
}
END_TEST

START_TEST(lower_levels_are_left_out)
{
    log_event(&log_under_test, LEVEL_DEBUG, "detail", NULL, NULL);
    ck_assert_str_eq(logged(), "");
    log_under_test.level = LEVEL_ERROR;
    log_event(&log_under_test, LEVEL_INFO, "ready", NULL, NULL);
    ck_assert_str_eq(logged(), "");
    log_event(&log_under_test, LEVEL_ERROR, "failed", NULL, NULL);
    ck_assert_str_ne(logged(), "");
}
END_TEST

static size_t lines(const char *text)
{
    size_t count = 0;
    for (; *text; text++) {
        count += *text == '\n' ? 1 : 0;
    }
    return count;
}

START_TEST(repeated_lines_are_held_back_and_counted)
{
    for (int i = 0; i < LOG_BURST + 7; i++) {
        log_event(&log_under_test, LEVEL_WARN, "bad_packet", NULL, NULL);
    }
    ck_assert_uint_eq(lines(logged()), LOG_BURST);
    log_event(&log_under_test, LEVEL_WARN, "other", NULL, NULL);
    ck_assert_uint_eq(lines(logged()), 1);
    log_under_test.rates[0].window_start_ms -= LOG_WINDOW_MS;
    log_event(&log_under_test, LEVEL_WARN, "bad_packet", NULL, NULL);
    ck_assert_ptr_nonnull(strstr(logged(), "event=bad_packet suppressed=7\n"));
}
END_TEST

START_TEST(errors_are_never_held_back)
{
    for (int i = 0; i < LOG_BURST + 7; i++) {
        log_event(&log_under_test, LEVEL_ERROR, "failed", NULL, NULL);
    }
    ck_assert_uint_eq(lines(logged()), LOG_BURST + 7);
}
END_TEST

START_TEST(more_events_than_are_followed_share_a_rate)
{
    for (int i = 0; i < 4 * LOG_EVENTS; i++) {
        char event[32];
        snprintf(event, sizeof event, "event%d", i);
        log_event(&log_under_test, LEVEL_INFO, event, NULL, NULL);
    }
    ck_assert_uint_eq(lines(logged()), LOG_EVENTS - 1 + LOG_BURST);
}
END_TEST

START_TEST(levels_have_names)
{
    enum log_level level = LEVEL_ERROR;
    ck_assert(log_level_parse("debug", &level));
    ck_assert_int_eq(level, LEVEL_DEBUG);
    ck_assert(!log_level_parse("Debug", &level));
    ck_assert_str_eq(log_level_name(LEVEL_WARN), "warn");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log");
    TCase *tcase = tcase_create("log");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_line_has_time_level_component_event);
    tcase_add_loop_test(tcase, values_are_quoted_and_cleaned, 0,
                        (int)(sizeof VALUES / sizeof VALUES[0]));
    tcase_add_test(tcase, a_nul_is_escaped);
    tcase_add_test(tcase, pairs_are_kept_but_cleaned);
    tcase_add_test(tcase, a_long_line_is_cut_and_says_so);
    tcase_add_loop_test(tcase, json_values_are_escaped, 0,
                        (int)(sizeof JSON_VALUES / sizeof JSON_VALUES[0]));
    tcase_add_test(tcase, a_json_line_has_the_same_keys);
    tcase_add_loop_test(tcase, a_long_json_line_is_cut_and_stays_json, 0, 250);
    tcase_add_test(tcase, formats_have_names);
    tcase_add_test(tcase, lower_levels_are_left_out);
    tcase_add_test(tcase, repeated_lines_are_held_back_and_counted);
    tcase_add_test(tcase, errors_are_never_held_back);
    tcase_add_test(tcase, more_events_than_are_followed_share_a_rate);
    tcase_add_test(tcase, levels_have_names);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
