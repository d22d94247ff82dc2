/*
 * A manager in a thread of the test: the real gateway and core behind a ROUTER socket, and hands to
 * make its life hard. For tests of the client library.
 */
#ifndef TESTS_UNIT_MANAGER_THREAD_H
#define TESTS_UNIT_MANAGER_THREAD_H

#include <stdbool.h>

struct manager_thread;

/* Starts it on a free port. */
struct manager_thread *manager_thread_new(void);
void manager_thread_free(struct manager_thread *manager);
const char *manager_thread_endpoint(const struct manager_thread *manager);

/* It does not read, and time stands still for it. */
void manager_thread_pause(struct manager_thread *manager, bool paused);
/* Its socket is closed, and bound again later: connections break, what was on its way is lost. */
void manager_thread_cut(struct manager_thread *manager);
/* As if killed and started again, with nothing kept. */
void manager_thread_restart(struct manager_thread *manager);

#endif
