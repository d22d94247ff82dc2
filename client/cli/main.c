/*
 * `steward`: queues and locks of a manager from the command line. See docs/steward.md.
 *
 * Finds the command, checks options and operands against its row in commands.c, opens the
 * client, runs it, and ends with its exit code.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/alloc.h"

/* Behind `--` stand operands for commands that run no CMD. */
static void operands_append(struct cli *cli)
{
    size_t more = 0;
    while (cli->program != NULL && cli->program[more] != NULL) {
        more++;
    }
    cli->operands = mem_realloc(cli->operands, cli->operands_count + more + 1, sizeof(char *));
    for (size_t i = 0; i < more; i++) {
        cli->operands[cli->operands_count++] = strdup(cli->program[i]);
    }
    cli->program = NULL;
}

/* Takes the command's words off the operands. */
static void operands_shift(struct cli *cli, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((char *)cli->operands[i]);
    }
    cli->operands_count -= count;
    memmove(cli->operands, cli->operands + count, cli->operands_count * sizeof(char *));
}

/* `lock NAME -- CMD` runs CMD under a lock; `lock list`, `lock show`, `lock break` are the words of
 * the group when no `--` follows. So a lock named "list" can still be taken. */
static bool command_choose(struct cli *cli)
{
    const char **words = cli->operands;
    size_t count = cli->operands_count, used = 0;
    if (count > 1 && strcmp(words[0], "lock") == 0 && cli->program != NULL) {
        count = 1;
    }
    cli->command = command_find(words, count, &used);
    if (cli->command == NULL) {
        const char *second = cli->operands_count > 1 ? words[1] : "";
        if (given(cli, OPTION_HELP) || second[0] == '\0') {
            return false;
        }
        usage(cli, "there is no command '%s %s'", words[0], second);
        return false;
    }
    operands_shift(cli, used);
    return true;
}

static int command_check(struct cli *cli)
{
    const struct command *command = cli->command;
    if (!options_allowed(cli)) {
        return EXIT_USAGE;
    }
    if (!command->program) {
        operands_append(cli);
    } else if (cli->program == NULL || cli->program[0] == NULL) {
        return usage(cli, "wants %s", command->operands);
    }
    if (cli->operands_count < command->operands_min ||
        cli->operands_count > command->operands_max) {
        return usage(cli, "wants %s",
                     command->operands[0] != '\0' ? command->operands : "no operands");
    }
    return EXIT_DONE;
}

/* Nothing, half a command, or an unknown one. */
static int command_missing(struct cli *cli)
{
    const char *word = cli->operands_count > 0 ? cli->operands[0] : NULL;
    if (given(cli, OPTION_HELP) || word == NULL) {
        FILE *out = given(cli, OPTION_HELP) ? stdout : stderr;
        if (word == NULL || !help_group(out, word)) {
            help_print(out, NULL);
        }
        return given(cli, OPTION_HELP) ? EXIT_DONE : EXIT_USAGE;
    }
    if (cli->operands_count == 1 && help_group(stderr, word)) {
        return EXIT_USAGE;
    }
    return cli->operands_count > 1 && help_group(NULL, word)
               ? EXIT_USAGE
               : usage(cli, "there is no command '%s'", word);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (!options_read(cli, argc, argv)) {
        return EXIT_USAGE;
    }
    if (given(cli, OPTION_VERSION)) {
        printf("steward %s\n", STW_VERSION);
        return EXIT_DONE;
    }
    if (cli->operands_count == 0 || !command_choose(cli)) {
        return command_missing(cli);
    }
    if (given(cli, OPTION_HELP)) {
        help_print(stdout, cli->command);
        return EXIT_DONE;
    }
    int code = command_check(cli);
    return code != EXIT_DONE ? code : cli->command->run(cli);
}

/* A descriptor 0, 1 or 2 that is closed would be given to a socket, and stdin or stdout would be
 * that. In its place stands one that cannot be read or written: the command then says so. */
static void standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) {
            _exit(EXIT_FAILED);
        }
    }
}

/* Everything printed must have arrived: a full disk is a failure. A closed pipe says enough. */
static int output_finish(const struct cli *cli, int code)
{
    bool earlier = ferror(stdout) != 0; /* its errno is gone */
    bool good = fflush(stdout) == 0 && !earlier;
    int error = errno;
    if (good || cli->interrupted != 0) {
        return code;
    }
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    bool closed_pipe = poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
    if (!closed_pipe) {
        fail(cli, "cannot write: %s",
             earlier ? "not all of the output was taken" : strerror(error));
    }
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
    static struct cli cli = {.signals_fd = -1};
    standard_descriptors();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error to handle: leases are to be given back */
    int code = run(&cli, argc, argv);
    client_close(&cli);
    code = output_finish(&cli, code);
    interrupted_exit(&cli);
    options_free(&cli);
    return code;
}
