/* The loop of stewardd: zloop around the manager's turns. The thread that calls it owns all. */
#ifndef BROKER_SHELL_LOOP_H
#define BROKER_SHELL_LOOP_H

#include "broker/shell/log.h"
#include "broker/shell/reload.h"

/*
 * Listens, serves until a signal ends it, drains and leaves. What SIGHUP changes is changed in
 * *configured->options. Returns the exit code of the process:
 * 0, or 1 with a sentence on stderr. Blocks; call once, from the main thread.
 */
int loop_run(const struct reload *configured, struct log *log);

#endif
