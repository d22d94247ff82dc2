/* The loop of stewardd: zloop around the manager's turns. The thread that calls it owns all. */
#ifndef BROKER_SHELL_LOOP_H
#define BROKER_SHELL_LOOP_H

#include "broker/shell/log.h"
#include "broker/shell/options.h"

/*
 * Listens, serves until a signal ends it, drains and leaves. Returns the exit code of the process:
 * 0, or 1 with a sentence on stderr. Blocks; call once, from the main thread.
 */
int loop_run(const struct options *options, struct log *log);

#endif
