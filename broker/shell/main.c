/* stewardd: reads its options and serves, or runs a subcommand. Exit codes: 0 ok, 1 failed, 2
 * usage. */
#include "broker/shell/config.h"
#include "broker/shell/loop.h"
#include "broker/shell/system.h"
#include "broker/shell/tools.h"

#include <czmq.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int run(const struct reload *configured)
{
    const struct options *options = configured->options;
    if (options->help) {
        config_help(stdout);
        tools_help(stdout);
        return EXIT_OK;
    }
    if (options->version) {
        printf("stewardd %s\n", STW_VERSION);
        return EXIT_OK;
    }
    if (options->check_config) {
        options_print(options, stdout);
        return EXIT_OK;
    }
    const char *problem = system_problem();
    if (problem) {
        fprintf(stderr, "stewardd: %s\n", problem);
        return EXIT_FAILED;
    }
    struct log log;
    log_init(&log, STDERR_FILENO, (enum log_level)options->log_level);
    log.format = (enum log_format)options->log_format;
    return loop_run(configured, &log);
}

int main(int argc, char **argv)
{
    int code = EXIT_USAGE;
    if (tools_run(argc, (const char *const *)argv, &code)) {
        return code;
    }
    struct options options;
    struct options_error error;
    options_init(&options);
    bool read = config_read(&options, argc, (const char **)argv, environ, &error);
    if (read) {
        code = run(&(struct reload){&options, argc, (const char **)argv, environ});
    } else {
        fprintf(stderr, "stewardd: %s\n", error.text);
    }
    options_fini(&options);
    return code;
}
