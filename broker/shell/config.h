/*
 * Where options come from: command line (popt), environment, configuration file (czmq's ZPL).
 * What czmq says of a file it prints on stdout, so that is a buffer while one is read: no other
 * thread may use stdout (ours never do). Nothing here exits the process.
 */
#ifndef BROKER_SHELL_CONFIG_H
#define BROKER_SHELL_CONFIG_H

#include "broker/shell/options.h"

/* bytes: a configuration file larger than this is refused; ours has a dozen lines */
#define CONFIG_FILE_BYTES (64 * 1024)

/*
 * Reads all sources into options (made by options_init). environment: as environ, NULL-terminated.
 * false, with a sentence, at the first thing that is wrong. With --help or --version the other
 * sources are not read.
 */
bool config_read(struct options *options, int argc, const char **argv, char *const *environment,
                 struct options_error *error);

/* The content of a configuration file; name is for the sentence. Hostile input is safe. */
bool config_parse(struct options *options, const char *name, const void *data, size_t size,
                  struct options_error *error);

/* Prints --help. */
void config_help(FILE *out);

#endif
