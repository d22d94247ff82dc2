/* Subcommands of stewardd: what it does instead of serving. */
#ifndef BROKER_SHELL_TOOLS_H
#define BROKER_SHELL_TOOLS_H

#include <stdbool.h>
#include <stdio.h>

/* Runs the subcommand that argv[1] names, if it names one, and gives the exit code of the process
 * (0; 1: it failed; 2: it is used wrongly). false: none, so it is a manager that is wanted. */
bool tools_run(int argc, const char *const *argv, int *code);

/* Prints the subcommands for --help: manual page and completion find them there. */
void tools_help(FILE *out);

#endif
