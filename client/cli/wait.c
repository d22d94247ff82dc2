/*
 * Waiting for the manager and for signals at the same time.
 *
 * The signals that end a command are blocked and read from a signalfd, so that none is lost
 * between a check and a wait: what is leased is given back before the command dies of its signal.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

void signals_watch(struct cli *cli)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    static const int passed[] = {SIGCHLD, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++) {
        sigaddset(&set, ending[i]);
    }
    for (size_t i = 0; cli->command->program && i < sizeof(passed) / sizeof(passed[0]); i++) {
        sigaddset(&set, passed[i]);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    cli->signals_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int signal_next(struct cli *cli, bool *from_terminal)
{
    struct signalfd_siginfo info;
    if (read(cli->signals_fd, &info, sizeof(info)) != sizeof(info)) {
        return 0;
    }
    *from_terminal = info.ssi_code == SI_KERNEL;
    return (int)info.ssi_signo;
}

/* Reads all signals; one that ends a command is kept in cli->interrupted. */
static void signals_read(struct cli *cli)
{
    bool from_terminal;
    int number;
    while ((number = signal_next(cli, &from_terminal)) != 0) {
        if (number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT) {
            cli->interrupted = number;
        }
    }
}

bool fd_wait(struct cli *cli, int fd, short events, int timeout_ms)
{
    struct pollfd polls[] = {{.fd = fd, .events = events},
                             {.fd = cli->signals_fd, .events = POLLIN}};
    while (cli->interrupted == 0) {
        int count = poll(polls, 2, timeout_ms);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        if (polls[1].revents != 0) {
            signals_read(cli);
        } else if (count == 0) {
            return false;
        } else if (count > 0 && polls[0].revents != 0) {
            return true;
        }
    }
    return false;
}

int future_wait(struct cli *cli, stw_future *future)
{
    int code =
        cli->completions != NULL ? STW_OK : stw_completions_new(cli->client, &cli->completions);
    if (code == STW_OK) {
        code = stw_completions_add(cli->completions, future, NULL);
    }
    if (code != STW_OK) {
        return code;
    }
    stw_flush(cli->client);
    stw_future *done = NULL;
    void *user;
    while (done != future) {
        if (!fd_wait(cli, stw_completions_fd(cli->completions), POLLIN, -1)) {
            return STW_ECANCELED;
        }
        stw_completions_next(cli->completions, 0, &done, &user);
    }
    return stw_future_poll(future);
}

void interrupted_exit(const struct cli *cli)
{
    sigset_t set;
    if (cli->interrupted == 0) {
        return;
    }
    signal(cli->interrupted, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, cli->interrupted);
    raise(cli->interrupted);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}
