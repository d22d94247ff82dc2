/* `stewardd inspect`: what a data directory or a backup holds, and whether it is whole. */
#ifndef BROKER_SHELL_INSPECT_H
#define BROKER_SHELL_INSPECT_H

/*
 * Runs the subcommand; argv[0] is "inspect". Changes nothing. Returns the exit code of the process:
 * 0, 1 when something is damaged or cannot be read, 2 when the arguments are wrong. Blocks.
 */
int inspect_run(int argc, const char *const *argv);

#endif
