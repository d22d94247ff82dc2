/* `stewardd restore`: a data directory from a backup. */
#ifndef BROKER_SHELL_RESTORE_H
#define BROKER_SHELL_RESTORE_H

/*
 * Runs the subcommand; argv[0] is "restore". Returns the exit code of the process: 0, 1 when it
 * failed, 2 when the arguments are wrong; sentences go to stderr. Blocks until all is on disk.
 */
int restore_run(int argc, const char *const *argv);

#endif
