/*
 * Client, errors and exit codes. Every message of a failure goes through here: one line on
 * stderr, for people or as JSON.
 */
#include "client/cli/cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *command_words(const struct cli *cli, char *text, size_t size)
{
    const struct command *command = cli->command;
    if (command == NULL) {
        return "";
    }
    snprintf(text, size, "%s%s%s", command->group, command->group[0] != '\0' ? " " : "",
             command->name);
    return text;
}

/* "steward: put: message (NAME)", or {"error":"NAME","message":"..."} */
static void message_print(const struct cli *cli, const char *name, const char *message)
{
    char words[64];
    const char *command = command_words(cli, words, sizeof(words));
    fflush(stdout);
    if (given(cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_text(line, "error", name);
        line_text(line, "command", command);
        line_text(line, "message", message);
        line_print(&line, stderr);
        return;
    }
    fprintf(stderr, "steward: %s%s%s", command, command[0] != '\0' ? ": " : "", message);
    if (strncmp(name, "STW_", 4) == 0) {
        fprintf(stderr, " (%s)", name);
    }
    fprintf(stderr, "\n");
}

int fail(const struct cli *cli, const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    message_print(cli, "FAILED", text);
    return EXIT_FAILED;
}

int usage(const struct cli *cli, const char *format, ...)
{
    char text[1024], words[64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    message_print(cli, "USAGE", text);
    if (!given(cli, OPTION_JSON)) {
        const char *command = command_words(cli, words, sizeof(words));
        fprintf(stderr, "Try: steward %s%s--help\n", command, command[0] != '\0' ? " " : "");
    }
    return EXIT_USAGE;
}

int exit_code(int code)
{
    switch (code) {
    case STW_OK: return EXIT_DONE;
    case STW_ETIMEOUT:
    case STW_EEMPTY:
    case STW_EFULL:
    case STW_EBUSY: return EXIT_NOTHING;
    default: return EXIT_FAILED;
    }
}

int fail_code(const struct cli *cli, int code, const char *detail)
{
    message_print(cli, stw_err_name(code), detail[0] != '\0' ? detail : stw_strerror(code));
    return exit_code(code);
}

int finish(const struct cli *cli, int code)
{
    return code == STW_OK ? EXIT_DONE : fail_code(cli, code, stw_last_error(cli->client));
}

int acted(const struct cli *cli, int code)
{
    char words[64];
    if (code == STW_OK && given(cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_text(line, "command", command_words(cli, words, sizeof(words)));
        if (cli->operands_count > 0) {
            line_text(line, cli->command->group, cli->operands[0]);
        }
        line_print(&line, stdout);
    }
    return finish(cli, code);
}

/* What a failure of Steward ends with: 125 where any other number might be CMD's own. */
static int failed_code(const struct cli *cli)
{
    bool many = (cli->command->options & BIT(OPTION_JOBS)) != 0;
    bool one = option_number(cli, OPTION_MAX, 0) == 1;
    return cli->command->program && (!many || one) ? EXIT_CHILD_FAILED : EXIT_FAILED;
}

int client_open(struct cli *cli)
{
    const char *endpoint = cli->texts[OPTION_ENDPOINT];
    char detail[512];
    int code = stw_open(&cli->client, endpoint, NULL);
    if (code == STW_OK) {
        return EXIT_DONE;
    }
    if (endpoint == NULL) {
        endpoint = getenv("STEWARD_ENDPOINT");
    }
    snprintf(detail, sizeof(detail), "%s: %s", endpoint != NULL ? endpoint : STW_DEFAULT_ENDPOINT,
             stw_strerror(code));
    fail_code(cli, code, detail);
    return failed_code(cli);
}

void client_close(struct cli *cli)
{
    if (cli->completions != NULL) {
        stw_completions_free(&cli->completions);
    }
    stw_close(&cli->client);
}
