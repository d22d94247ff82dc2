/* `stewardd keygen FILE`: makes a cluster's key. */
#ifndef BROKER_SHELL_KEYGEN_H
#define BROKER_SHELL_KEYGEN_H

/*
 * Runs the subcommand; argv[0] is "keygen". Returns the exit code of the process: 0, 1 when the key
 * could not be made, 2 when the arguments are wrong; sentences go to stderr.
 */
int keygen_run(int argc, const char *const *argv);

#endif
