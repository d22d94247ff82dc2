/*
 * `steward lock` and `steward sem`: CMD while a lock or a permit is held.
 */
#include "client/cli/child.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 50 /* how often the lock is looked at while CMD runs */

struct guard {
    struct cli *cli;
    stw_lock *lock;
    struct child child;
    bool lost;
    int64_t kill_at_ms; /* SIGKILL then; 0: not asked to end yet; -1: sent */
    int64_t kill_after_ms;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static int guard_ask(struct guard *guard, uint64_t permits, stw_future **future)
{
    struct cli *cli = guard->cli;
    stw_lock_options options;
    stw_lock_options_init(&options);
    options.timeout_ms = option_ms(cli, OPTION_TIMEOUT, -1);
    options.lease_ms = option_number(cli, OPTION_LEASE, 0);
    options.permits = permits;
    return permits > 0
               ? stw_semaphore_acquire_async(cli->client, cli->operands[0], &options, future)
               : stw_lock_acquire_async(cli->client, cli->operands[0], &options, future);
}

/* Waits for the grant; EXIT_DONE, or how to end. */
static int guard_take(struct guard *guard, uint64_t permits)
{
    struct cli *cli = guard->cli;
    stw_future *future = NULL;
    int code = guard_ask(guard, permits, &future);
    if (code == STW_OK) {
        code = future_wait(cli, future);
    }
    if (code == STW_OK) {
        guard->lock = stw_future_lock(future);
    } else if (cli->interrupted == 0) {
        fail_code(cli, code, future != NULL ? stw_future_error(future) : "");
    } else {
        stw_future_cancel(future);
    }
    stw_future_free(&future);
    if (code == STW_OK) {
        return EXIT_DONE;
    }
    return code == STW_ETIMEOUT || code == STW_EBUSY ? EXIT_CHILD_TIMEOUT : EXIT_CHILD_FAILED;
}

/* ---- holding --------------------------------------------------------------------------------- */

static void guard_signals(struct guard *guard)
{
    bool from_terminal = false;
    int number;
    while ((number = signal_next(guard->cli, &from_terminal)) != 0) {
        /* what the terminal sends has reached CMD already */
        if (number != SIGCHLD && !from_terminal && guard->child.pid > 0) {
            kill(guard->child.pid, number);
        }
    }
}

/* The lock is gone, and somebody else may have it: CMD must end. */
static void guard_watch(struct guard *guard)
{
    if (!guard->lost && !stw_lock_held(guard->lock)) {
        guard->lost = true;
        guard->kill_at_ms = now_ms() + guard->kill_after_ms;
        fail(guard->cli, "'%s' was lost: ending %s", guard->cli->operands[0],
             guard->cli->program[0]);
        kill(guard->child.pid, SIGTERM);
    }
    if (guard->kill_at_ms > 0 && now_ms() >= guard->kill_at_ms) {
        guard->kill_at_ms = -1;
        kill(guard->child.pid, SIGKILL);
    }
}

/* Until CMD has ended; its status. */
static int guard_run(struct guard *guard)
{
    struct pollfd poll_signals = {.fd = guard->cli->signals_fd, .events = POLLIN};
    int status = 0;
    while (!child_ended(&guard->child, &status)) {
        poll(&poll_signals, 1, LOOK_MS);
        guard_signals(guard);
        /* before guard_watch: never a signal to a process that is not ours any more */
        if (child_ended(&guard->child, &status)) {
            break;
        }
        guard_watch(guard);
    }
    return status;
}

static int guard_child(struct guard *guard)
{
    struct cli *cli = guard->cli;
    char **variables = guard->child.variables;
    variables[0] = child_variable("STEWARD_LOCK", cli->operands[0]);
    variables[1] = child_variable_u64("STEWARD_TOKEN", stw_lock_token(guard->lock));
    if (!child_start(cli, &guard->child)) {
        stw_lock_release(&guard->lock);
        return EXIT_CHILD_FAILED;
    }
    int status = guard_run(guard);
    if (guard->lost) {
        stw_lock_free(&guard->lock);
        return EXIT_CHILD_FAILED;
    }
    int code = stw_lock_release(&guard->lock);
    if (code != STW_OK) { /* it was lost, and we did not hear of it in time */
        finish(cli, code);
        return EXIT_CHILD_FAILED;
    }
    return status;
}

static int guard_main(struct cli *cli, uint64_t permits)
{
    struct guard guard = {.cli = cli, .child = {.stdin_fd = -1}};
    guard.kill_after_ms = option_ms(cli, OPTION_KILL_AFTER, 5000);
    signals_watch(cli);
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = guard_take(&guard, permits);
    if (code == EXIT_DONE) {
        code = guard_child(&guard);
    }
    child_free(&guard.child);
    return code;
}

int cmd_lock(struct cli *cli)
{
    return guard_main(cli, 0);
}

int cmd_sem(struct cli *cli)
{
    if (!given(cli, OPTION_COUNT)) {
        return usage(cli, "wants --count N, the number of permits");
    }
    return guard_main(cli, option_number(cli, OPTION_COUNT, 1));
}
