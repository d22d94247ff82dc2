/* Signals as events of the loop: nothing ever runs in a signal handler. */
#ifndef BROKER_SHELL_SIGNALS_H
#define BROKER_SHELL_SIGNALS_H

/*
 * Blocks SIGTERM, SIGINT and SIGHUP for this and all later threads, ignores SIGPIPE, and returns a
 * descriptor that is readable when one of them came; -1: errno says why. Before the first thread.
 */
int signals_open(void);

/* The next signal that came, or 0. Never waits. */
int signals_next(int descriptor);

#endif
