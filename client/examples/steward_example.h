/*
 * What the examples share: names of their own, so that they can run side by side and twice, and
 * the end of a process when something fails that must not.
 */
#ifndef CLIENT_EXAMPLES_STEWARD_EXAMPLE_H
#define CLIENT_EXAMPLES_STEWARD_EXAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <steward.h>

/* A client of the manager at $STEWARD_ENDPOINT. Each process opens its own, after fork(). */
static inline stw_client *example_open(void)
{
    stw_client *client;
    int code = stw_open(&client, NULL, NULL);
    if (code != STW_OK) {
        fprintf(stderr, "no manager: %s\n", stw_strerror(code));
        exit(1);
    }
    return client;
}

/* Ends the process, with the library's sentence, unless the call was done. */
static inline void must(stw_client *client, int code)
{
    if (code != STW_OK) {
        fprintf(stderr, "%s: %s\n", stw_err_name(code), stw_last_error(client));
        exit(1);
    }
}

/* Runs work(number) in a process of its own. */
static inline void spawn(void (*work)(int), int number)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        work(number);
        exit(0);
    }
    if (pid < 0) {
        exit(1);
    }
}

/* Waits for `count` processes; true if each ended with 0. */
static inline bool all_well(int count)
{
    bool well = true;
    for (int i = 0; i < count; i++) {
        int status = 1;
        well = wait(&status) > 0 && status == 0 && well;
    }
    return well;
}

/* "letters-1234" */
static inline void own_name(char name[64], const char *base)
{
    snprintf(name, 64, "%s-%d", base, (int)getpid());
}

#endif
