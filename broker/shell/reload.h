/*
 * The configuration, read again while the manager serves (SIGHUP). One owner thread: the loop's.
 */
#ifndef BROKER_SHELL_RELOAD_H
#define BROKER_SHELL_RELOAD_H

#include "broker/shell/log.h"
#include "broker/shell/options.h"

/* Where the options of this process came from, and what they have become. All borrowed. */
struct reload {
    struct options *options; /* what holds */
    int argc;                /* of main, as config_read takes them */
    const char **argv;
    char *const *environment;
};

/*
 * Reads command line, environment and file again. What can change at run time is changed in
 * *options, level and format in *log too; the log says of each option that differs whether it
 * holds now or needs a restart. Something wrong anywhere: a sentence in the log, and nothing
 * changes. The log's level is afterwards the configured one, whatever it was set to meanwhile.
 * true: what holds has changed, and the owner applies it. Blocks while the file is read.
 */
bool reload_run(const struct reload *reload, struct log *log);

#endif
