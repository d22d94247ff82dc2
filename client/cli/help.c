/*
 * What --help prints, all of it from the tables of commands and options. `help --json` prints the
 * tables themselves, one command a line: for manual pages and completion.
 */
#include "client/cli/cli.h"

#include <string.h>

#define WORDS_WIDTH  18
#define OPTION_WIDTH 24

static void command_line(FILE *out, const struct command *command)
{
    char words[64];
    snprintf(words, sizeof(words), "%s%s%s", command->group, command->group[0] != '\0' ? " " : "",
             command->name);
    fprintf(out, "  %-*s  %s\n", WORDS_WIDTH, words, command->summary);
}

static void option_line(FILE *out, const struct option *option)
{
    char left[64], letter[8] = "    ";
    if (option->letter != 0) {
        snprintf(letter, sizeof(letter), "-%c, ", option->letter);
    }
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, option->name,
             option->argument != NULL ? " " : "", option->argument != NULL ? option->argument : "");
    fprintf(out, "  %-*s  %s\n", OPTION_WIDTH, left, option->help);
}

static void options_print(FILE *out, uint64_t set)
{
    for (const struct option *option = option_table; option->name != NULL; option++) {
        if ((set & BIT(option->id)) != 0) {
            option_line(out, option);
        }
    }
}

static void command_print(FILE *out, const struct command *command)
{
    bool grouped = command->group[0] != '\0';
    fprintf(out, "Usage: steward %s%s%s [OPTION...]%s%s\n\n", command->group, grouped ? " " : "",
            command->name, command->operands[0] != '\0' ? " " : "", command->operands);
    fprintf(out, "%s\n", command->summary);
    fprintf(out, "%s", command->details);
    if (command->options != 0) {
        fprintf(out, "\nOptions:\n");
        options_print(out, command->options);
    }
    fprintf(out, "\nFor every command:\n");
    options_print(out, ANY);
}

static void overview_print(FILE *out)
{
    fprintf(out, "Usage: steward COMMAND [OPTION...] [OPERAND...]\n\n"
                 "Queues and locks of a manager (stewardd).\n\nCommands:\n");
    for (const struct command *command = command_table; command->name != NULL; command++) {
        command_line(out, command);
    }
    fprintf(out, "\nFor every command:\n");
    options_print(out, ANY);
    fprintf(out,
            "\nOptions may stand before or after operands; `--` ends them.\n"
            "`steward COMMAND --help` says more.\n\n"
            "Exit status: 0 done, 1 failed, 2 wrong use, 3 time-out, empty or full. exec -n 1,\n"
            "lock and sem end with CMD's own status, 125 if Steward failed, 124: time-out.\n");
}

void help_print(FILE *out, const struct command *command)
{
    if (command == NULL) {
        overview_print(out);
    } else {
        command_print(out, command);
    }
}

bool help_group(FILE *out, const char *group)
{
    bool found = false;
    for (const struct command *command = command_table; command->name != NULL; command++) {
        if (strcmp(command->group, group) != 0 || group[0] == '\0') {
            continue;
        }
        if (out != NULL && !found) {
            fprintf(out, "Usage: steward %s COMMAND [OPTION...] [OPERAND...]\n\nCommands:\n",
                    group);
        }
        found = true;
        if (out != NULL) {
            command_line(out, command);
        }
    }
    return found;
}

static void command_json(const struct command *command)
{
    struct line *line = line_begin();
    line_text(line, "group", command->group);
    line_text(line, "name", command->name);
    line_text(line, "operands", command->operands);
    line_text(line, "summary", command->summary);
    line_text(line, "details", command->details);
    for (const struct option *option = option_table; option->name != NULL; option++) {
        if (((command->options | ANY) & BIT(option->id)) == 0) {
            continue;
        }
        struct line *inner = line_begin();
        char letter[2] = {option->letter, '\0'};
        line_text(inner, "name", option->name);
        line_text(inner, "letter", letter);
        line_text(inner, "argument", option->argument != NULL ? option->argument : "");
        line_text(inner, "help", option->help);
        line_append(line, "options", &inner);
    }
    line_print(&line, stdout);
}

int cmd_help(struct cli *cli)
{
    size_t used;
    if (given(cli, OPTION_JSON)) {
        for (const struct command *command = command_table; command->name != NULL; command++) {
            command_json(command);
        }
        return EXIT_DONE;
    }
    if (cli->operands_count == 0) {
        help_print(stdout, NULL);
        return EXIT_DONE;
    }
    const struct command *command = command_find(cli->operands, cli->operands_count, &used);
    if (command == NULL && cli->operands_count == 1 && help_group(stdout, cli->operands[0])) {
        return EXIT_DONE;
    }
    if (command == NULL) {
        bool two = cli->operands_count > 1;
        return usage(cli, "there is no command '%s%s%s'", cli->operands[0], two ? " " : "",
                     two ? cli->operands[1] : "");
    }
    help_print(stdout, command);
    return EXIT_DONE;
}
