/* Options: every type, every source, who wins, and every refusal's sentence. Endpoints, too. */
#include "broker/shell/config.h"
#include "broker/shell/endpoint.h"
#include "broker/shell/log.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

static struct options options;
static struct options_error error;

static void setup(void)
{
    options_init(&options);
    error.text[0] = '\0';
}

static void teardown(void)
{
    options_fini(&options);
}

#define COMMAND(...) command((const char *[]){"stewardd", __VA_ARGS__, NULL}, (char *const[]){NULL})

static bool command(const char **argv, char *const *environment)
{
    int argc = 0;
    while (argv[argc]) {
        argc++;
    }
    return config_read(&options, argc, argv, environment, &error);
}

static void says(const char *part)
{
    ck_assert_msg(strstr(error.text, part) != NULL, "\"%s\" not in \"%s\"", part, error.text);
}

/* Path of a new file with that content. */
static const char *file_of(const char *content)
{
    static char path[64];
    strncpy(path, "/tmp/test_options.XXXXXX", sizeof path);
    int file = mkstemp(path);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, content, strlen(content)), (ssize_t)strlen(content));
    close(file);
    return path;
}

START_TEST(defaults_are_the_documented_ones)
{
    ck_assert_uint_eq(options.listen.count, 1);
    ck_assert_str_eq(options.listen.items[0], "tcp://127.0.0.1:5757");
    ck_assert_uint_eq(options.body_max, 1024 * 1024);
    ck_assert_uint_eq(options.memory_max, 8ULL << 30);
    ck_assert_uint_eq(options.drain_seconds, 5);
    ck_assert_uint_eq(options.log_level, LEVEL_INFO);
    ck_assert(!options.memory && !options.insecure && options.config == NULL);
    ck_assert_str_eq(options.data, "./steward.data");
    ck_assert(options_check(&options, &error));
}
END_TEST

START_TEST(command_line_sets_every_type)
{
    ck_assert(COMMAND("--memory", "--body-max", "64k", "--connections-max=7", "--log-level=debug",
                      "--listen", "ipc:///tmp/x", "--listen=tcp://[::1]:*"));
    ck_assert(options.memory);
    ck_assert_uint_eq(options.body_max, 65536);
    ck_assert_uint_eq(options.connections_max, 7);
    ck_assert_uint_eq(options.log_level, LEVEL_DEBUG);
    ck_assert_uint_eq(options.listen.count, 2);
    ck_assert_str_eq(options.listen.items[0], "ipc:///tmp/x");
    ck_assert_str_eq(options.listen.items[1], "tcp://[::1]:*");
    ck_assert_int_eq(options.sources[OPTION_ID_LISTEN], SOURCE_COMMAND_LINE);
    ck_assert_int_eq(options.sources[OPTION_ID_OUTBOX_MAX], SOURCE_DEFAULT);
}
END_TEST

START_TEST(stronger_sources_win)
{
    const char *path = file_of("body-max = 1K\nmemory-max = \"1G\"\noutbox-max = 100M\n"
                               "listen = tcp://127.0.0.1:1\nlisten = tcp://127.0.0.1:2\n");
    const char *argv[] = {"stewardd", "--outbox-max", "300M", "--config", path, NULL};
    char *const environment[] = {"STEWARD_MEMORY_MAX=2G", "STEWARD_OUTBOX_MAX=200M",
                                 "STEWARD_LISTEN=tcp://127.0.0.1:3,ipc:///tmp/y",
                                 "STEWARD_DRAIN_SECONDS=", NULL};
    bool done = command(argv, environment);
    unlink(path);
    ck_assert_msg(done, "%s", error.text);
    ck_assert_uint_eq(options.body_max, 1024);
    ck_assert_uint_eq(options.memory_max, 2ULL << 30);
    ck_assert_uint_eq(options.outbox_max, 300 << 20);
    ck_assert_uint_eq(options.drain_seconds, 5);
    ck_assert_uint_eq(options.listen.count, 2);
    ck_assert_str_eq(options.listen.items[1], "ipc:///tmp/y");
    ck_assert_int_eq(options.sources[OPTION_ID_BODY_MAX], SOURCE_FILE);
    ck_assert_int_eq(options.sources[OPTION_ID_MEMORY_MAX], SOURCE_ENVIRONMENT);
    ck_assert_int_eq(options.sources[OPTION_ID_OUTBOX_MAX], SOURCE_COMMAND_LINE);
}
END_TEST

START_TEST(weaker_sources_leave_a_value_alone)
{
    ck_assert(options_set(&options, OPTION_ID_BODY_MAX, "2K", SOURCE_COMMAND_LINE, &error));
    ck_assert(options_set(&options, OPTION_ID_BODY_MAX, "1K", SOURCE_FILE, &error));
    ck_assert_uint_eq(options.body_max, 2048);
    ck_assert_int_eq(options.sources[OPTION_ID_BODY_MAX], SOURCE_COMMAND_LINE);
    ck_assert(options_set(&options, OPTION_ID_LISTEN, "ipc:///tmp/x", SOURCE_ENVIRONMENT, &error));
    ck_assert(options_set(&options, OPTION_ID_LISTEN, "ipc:///tmp/y", SOURCE_FILE, &error));
    ck_assert_uint_eq(options.listen.count, 1);
    ck_assert_str_eq(options.listen.items[0], "ipc:///tmp/x");
}
END_TEST

START_TEST(the_file_may_be_named_by_the_environment)
{
    char variable[128];
    const char *path = file_of("drain-seconds = 9\n");
    snprintf(variable, sizeof variable, "STEWARD_CONFIG=%s", path);
    const char *argv[] = {"stewardd", NULL};
    char *const environment[] = {variable, NULL};
    bool done = command(argv, environment);
    unlink(path);
    ck_assert_msg(done, "%s", error.text);
    ck_assert_uint_eq(options.drain_seconds, 9);
}
END_TEST

START_TEST(help_and_version_need_nothing_else_right)
{
    const char *argv[] = {"stewardd", "--help", "--config", "/does/not/exist", NULL};
    char *const environment[] = {"STEWARD_BODY_MAX=x", NULL};
    ck_assert_msg(command(argv, environment), "%s", error.text);
    ck_assert(options.help);
}
END_TEST

static const struct {
    const char *argument;
    const char *sentence;
} REFUSED[] = {
    {"--body-max=x", "body-max: \"x\" is not a size"},
    {"--body-max=", "is not a size"},
    {"--body-max=0", "out of range: 1 to"},
    {"--body-max=-1", "is not a size"},
    {"--body-max= 1", "is not a size"},
    {"--body-max=1T", "is not a size"},
    {"--body-max=1KB", "is not a size"},
    {"--body-max=257M", "out of range"},
    {"--body-max=99999999999999999999", "is not a size"},
    {"--memory-max=18446744073709551615G", "is not a size"},
    {"--connections-max=1K", "is not a whole number"},
    {"--connections-max=65537", "out of range"},
    {"--log-level=loud", "\"loud\" is not one of error, warn, info or debug"},
    {"--listen=udp://127.0.0.1:1", "begins with tcp:// or ipc://"},
    {"--listen=tcp://127.0.0.1", "tcp://ADDRESS:PORT"},
    {"--listen=tcp://127.0.0.1:0", "a port is"},
    {"--listen=tcp://127.0.0.1:65536", "a port is"},
    {"--listen=tcp://0.0.0.0:5757", "reaches beyond this host"},
    {"--listen=tcp://*:5757", "reaches beyond this host"},
    {"--listen=ipc:///tmp/\"x", "control character or a double quote"},
    {"--listen=", "1 to 1024 bytes"},
    {"--outbox-max=1M", "outbox-max must be at least"},
    {"--config=/does/not/exist", "/does/not/exist: No such file"},
    {"--nonsense", "--nonsense: unknown option"},
    {"--body-max", "--body-max: missing argument"},
    {"stray", "\"stray\": stewardd takes options only"},
};

START_TEST(bad_command_lines_are_refused_with_a_sentence)
{
    ck_assert(!COMMAND(REFUSED[_i].argument));
    says(REFUSED[_i].sentence);
}
END_TEST

static const struct {
    const char *content;
    const char *sentence;
} REFUSED_FILES[] = {
    {"bodymax = 1\n", "\"bodymax\" is not an option of this file"},
    {"config = x\n", "\"config\" is not an option of this file"},
    {"body-max\n    x = 1\n", "say body-max = VALUE"},
    {"memory = maybe\n", "neither yes nor no"},
    {"memory = 1\n   body-max = 1\n", "line (2) indent 4 spaces"},
    {"body-max = \"1\n", "line (1) missing"},
};

START_TEST(bad_files_are_refused_with_a_sentence)
{
    const char *content = REFUSED_FILES[_i].content;
    ck_assert(!config_parse(&options, "x.conf", content, strlen(content), &error));
    says("x.conf: ");
    says(REFUSED_FILES[_i].sentence);
}
END_TEST

START_TEST(files_are_bounded)
{
    char *large = calloc(1, CONFIG_FILE_BYTES + 1);
    ck_assert(!config_parse(&options, "x", large, CONFIG_FILE_BYTES + 1, &error));
    says("more than");
    ck_assert(!config_parse(&options, "x", large, 1, &error));
    says("line 1 has a NUL byte");
    memset(large, ' ', 2000);
    ck_assert(!config_parse(&options, "x", large, 2000, &error));
    says("line 1 is too long");
    free(large);
    ck_assert(config_parse(&options, "x", "", 0, &error));
}
END_TEST

START_TEST(insecure_allows_what_reaches_beyond)
{
    ck_assert(COMMAND("--insecure", "--listen", "tcp://0.0.0.0:5757"));
}
END_TEST

START_TEST(too_many_endpoints_are_refused)
{
    for (int i = 0; i < OPTIONS_LISTEN_MAX; i++) {
        ck_assert(options_set(&options, OPTION_ID_LISTEN, "ipc:///tmp/x", SOURCE_FILE, &error));
    }
    ck_assert(!options_set(&options, OPTION_ID_LISTEN, "ipc:///tmp/x", SOURCE_FILE, &error));
    says("at most 16");
}
END_TEST

/* What --check-config prints is a configuration file that gives the same configuration. */
START_TEST(printed_options_come_back)
{
    ck_assert(COMMAND("--memory", "--body-max=5K", "--log-level=warn", "--listen=ipc:///tmp/#1",
                      "--listen=tcp://127.1.2.3:99", "--drain-seconds=0"));
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    options_print(&options, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "# command line"));
    struct options again;
    options_init(&again);
    ck_assert_msg(config_parse(&again, "printed", text, size, &error), "%s", error.text);
    ck_assert(again.memory);
    ck_assert_msg(options_check(&again, &error), "%s", error.text);
    ck_assert_uint_eq(again.body_max, 5120);
    ck_assert_uint_eq(again.log_level, LEVEL_WARN);
    ck_assert_uint_eq(again.drain_seconds, 0);
    ck_assert_uint_eq(again.listen.count, 2);
    ck_assert_str_eq(again.listen.items[0], "ipc:///tmp/#1");
    options_fini(&again);
    free(text);
}
END_TEST

static const struct {
    const char *endpoint;
    bool local;
} REACH[] = {
    {"tcp://127.0.0.1:5757", true},
    {"tcp://127.255.0.1:*", true},
    {"tcp://[::1]:5757", true},
    {"tcp://[::ffff:127.0.0.1]:1", true},
    {"ipc:///tmp/x", true},
    {"ipc://@name", true},
    {"tcp://0.0.0.0:5757", false},
    {"tcp://[::]:5757", false},
    {"tcp://[::ffff:10.0.0.1]:1", false},
    {"tcp://10.0.0.1:5757", false},
    {"tcp://*:5757", false},
    {"tcp://eth0:5757", false},
    {"tcp://127.example.org:1", false},
    {"tcp://localhost:1", false},
    {"udp://127.0.0.1:1", false},
    {"tcp://127.0.0.1", false},
};

START_TEST(only_this_host_is_local)
{
    ck_assert_msg(endpoint_is_local(REACH[_i].endpoint) == REACH[_i].local, "%s",
                  REACH[_i].endpoint);
}
END_TEST

START_TEST(only_ipc_in_the_file_system_has_a_path)
{
    ck_assert_str_eq(endpoint_path("ipc:///run/x"), "/run/x");
    ck_assert_ptr_null(endpoint_path("ipc://@x"));
    ck_assert_ptr_null(endpoint_path("ipc://*"));
    ck_assert_ptr_null(endpoint_path("tcp://127.0.0.1:1"));
}
END_TEST

START_TEST(ipv4_is_told_from_the_rest)
{
    ck_assert(endpoint_is_ipv4("tcp://127.0.0.1:*"));
    ck_assert(!endpoint_is_ipv4("tcp://[::1]:1"));
    ck_assert(!endpoint_is_ipv4("tcp://*:1"));
    ck_assert(!endpoint_is_ipv4("ipc:///127.0.0.1:1"));
}
END_TEST

START_TEST(every_option_is_complete)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        const struct option *option = option_at(id);
        ck_assert_ptr_nonnull(option->help);
        ck_assert_uint_eq(option_find(option->name), id);
        ck_assert(option->type == OPTION_FLAG || option->unit != NULL);
        ck_assert(!option->in_file || option->environment != NULL);
    }
    ck_assert_uint_eq(option_find("nothing"), OPTION_COUNT);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("options");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, defaults_are_the_documented_ones);
    tcase_add_test(tcase, command_line_sets_every_type);
    tcase_add_test(tcase, stronger_sources_win);
    tcase_add_test(tcase, weaker_sources_leave_a_value_alone);
    tcase_add_test(tcase, the_file_may_be_named_by_the_environment);
    tcase_add_test(tcase, help_and_version_need_nothing_else_right);
    tcase_add_loop_test(tcase, bad_command_lines_are_refused_with_a_sentence, 0, COUNT(REFUSED));
    tcase_add_loop_test(tcase, bad_files_are_refused_with_a_sentence, 0, COUNT(REFUSED_FILES));
    tcase_add_test(tcase, files_are_bounded);
    tcase_add_test(tcase, insecure_allows_what_reaches_beyond);
    tcase_add_test(tcase, too_many_endpoints_are_refused);
    tcase_add_test(tcase, printed_options_come_back);
    tcase_add_loop_test(tcase, only_this_host_is_local, 0, COUNT(REACH));
    tcase_add_test(tcase, only_ipc_in_the_file_system_has_a_path);
    tcase_add_test(tcase, ipv4_is_told_from_the_rest);
    tcase_add_test(tcase, every_option_is_complete);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
