/* A program that exec, lock and sem run: child.c. */
#ifndef CLIENT_CLI_CHILD_H
#define CLIENT_CLI_CHILD_H

#include "client/cli/cli.h"

struct child {
    int pid;            /* 0: none */
    int stdin_fd;       /* -1: ours */
    int report_fd;      /* while it is started: where it says that CMD cannot be run */
    bool unrunnable;    /* it will end with 126 or 127: CMD was never run */
    char *variables[4]; /* "NAME=value" added to the environment; NULL: none. Owned */
};

/* Starts cli->program; it is sent SIGTERM if we die. false: a message was printed. */
bool child_start(struct cli *cli, struct child *child);
/* The child's status as a shell would say it if it has ended: 128 + n for signal n. */
bool child_ended(struct child *child, int *status);
/* A variable of the environment. */
char *child_variable(const char *name, const char *value);
char *child_variable_u64(const char *name, uint64_t value);
void child_free(struct child *child);
/* A descriptor from which the bytes can be read. -1: failed. */
int child_input(const void *data, size_t size);

#endif
