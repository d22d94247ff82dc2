/*
 * CMD of exec, lock and sem: started with a few more variables in its environment and, for exec,
 * the item on stdin. It gets SIGTERM if we die first: then its lease or lock is gone, too.
 */
#include "client/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/alloc.h"

/* The environment with the child's variables in place of older ones of the same name. The array is
 * new, the strings are borrowed. */
static char **environment_make(const struct child *child)
{
    size_t count = 0, added = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **made = mem_zalloc(count + sizeof(child->variables) / sizeof(char *) + 1, sizeof(char *));
    for (; added < 4 && child->variables[added] != NULL; added++) {
        made[added] = child->variables[added];
    }
    size_t size = added;
    for (size_t i = 0; i < count; i++) {
        bool replaced = false;
        for (size_t j = 0; j < added; j++) {
            size_t name = (size_t)(strchr(made[j], '=') - made[j]) + 1;
            replaced = replaced || strncmp(environ[i], made[j], name) == 0;
        }
        if (!replaced) {
            made[size++] = environ[i];
        }
    }
    return made;
}

/* In the child: only calls that are safe after fork() in a process with threads. */
static _Noreturn void child_run(char **program, char **environment, const struct child *child,
                                pid_t parent)
{
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(EXIT_CHILD_FAILED); /* we died before prctl */
    }
    if (child->stdin_fd >= 0) {
        dup2(child->stdin_fd, STDIN_FILENO);
    }
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvpe(program[0], program, environment);
    int error = errno;
    if (write(child->report_fd, &error, sizeof(error)) < 0) {
        _exit(EXIT_CHILD_FAILED);
    }
    dprintf(STDERR_FILENO, "steward: %s: %s\n", program[0], strerror(error));
    _exit(error == ENOENT ? 127 : 126); /* as every shell */
}

/* The pipe closes by itself when CMD is executed; something in it means that it could not be. */
static bool child_executed(int report_fd)
{
    int error;
    ssize_t n;
    do {
        n = read(report_fd, &error, sizeof(error));
    } while (n < 0 && errno == EINTR);
    return n <= 0;
}

bool child_start(struct cli *cli, struct child *child)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) {
        fail(cli, "cannot make a pipe: %s", strerror(errno));
        return false;
    }
    child->report_fd = report[1];
    char **environment = environment_make(child);
    pid_t parent = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        child_run(cli->program, environment, child, parent);
    }
    int error = errno;
    free(environment);
    close(report[1]);
    child->unrunnable = pid > 0 && !child_executed(report[0]);
    close(report[0]);
    if (pid < 0) {
        fail(cli, "cannot fork: %s", strerror(error));
        return false;
    }
    child->pid = pid;
    return true;
}

bool child_ended(struct child *child, int *status)
{
    int raw;
    if (child->pid == 0 || waitpid(child->pid, &raw, WNOHANG) != child->pid) {
        return false;
    }
    child->pid = 0;
    *status = WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
    return true;
}

char *child_variable(const char *name, const char *value)
{
    char *text = NULL;
    if (asprintf(&text, "%s=%s", name, value) < 0) {
        abort();
    }
    return text;
}

char *child_variable_u64(const char *name, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    return child_variable(name, text);
}

void child_free(struct child *child)
{
    for (size_t i = 0; i < sizeof(child->variables) / sizeof(child->variables[0]); i++) {
        free(child->variables[i]);
        child->variables[i] = NULL;
    }
    if (child->stdin_fd >= 0) {
        close(child->stdin_fd);
        child->stdin_fd = -1;
    }
}

/* A file in memory rather than a pipe: nobody has to feed it, and CMD may read it twice. */
int child_input(const void *data, size_t size)
{
    int fd = memfd_create("steward-item", MFD_CLOEXEC);
    const char *at = data;
    while (fd >= 0 && size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0) {
            close(fd);
            return -1;
        }
        at += n;
        size -= (size_t)n;
    }
    if (fd >= 0) {
        lseek(fd, 0, SEEK_SET);
    }
    return fd;
}
