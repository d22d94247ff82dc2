/*
 * `steward exec`: CMD for each item, several at once.
 *
 * One loop over two descriptors: signals (a child ended, or we are to stop) and finished futures
 * (an item came, or an item was settled). One get is under way whenever a job is free.
 */
#include "client/cli/child.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

struct job {
    struct child child;
    stw_message *message; /* NULL: free */
};

struct exec {
    struct cli *cli;
    struct job *jobs;
    size_t jobs_max, running, settling;
    stw_future *get;               /* under way; NULL: none */
    uint64_t left;                 /* items still to be taken */
    uint64_t done, failed, broken; /* acked, nacked, not settled */
    bool cancelled;                /* the get under way was asked to end */
    bool unrunnable;               /* CMD is not there, or no program */
    bool ended;                    /* no more items: time-out, stopped, failed */
    int stopped_by;                /* signal; 0: none */
    int code;                      /* the failure that ended the taking; STW_OK: none */
    int status;                    /* of the last CMD */
};

static bool exec_single(const struct exec *exec)
{
    return option_number(exec->cli, OPTION_MAX, 0) == 1;
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void job_variables(struct job *job)
{
    char **variables = job->child.variables;
    variables[0] = child_variable("STEWARD_QUEUE", stw_message_queue(job->message));
    variables[1] = child_variable_u64("STEWARD_TOKEN", stw_message_token(job->message));
    variables[2] = child_variable_u64("STEWARD_DELIVERIES", stw_message_deliveries(job->message));
}

static void settle_watch(struct exec *exec, stw_future *future)
{
    if (future != NULL && stw_completions_add(exec->cli->completions, future, NULL) == STW_OK) {
        exec->settling++;
    } else {
        exec->broken++;
        stw_future_free(&future);
    }
}

/* Acks, nacks or, when we were asked to stop, releases: an interrupted CMD is nobody's failure. */
static void job_settle(struct exec *exec, struct job *job, int status)
{
    stw_future *future = NULL;
    char reason[64];
    exec->status = status;
    if (status == 0) {
        exec->done++;
        stw_ack_async(&job->message, &future);
    } else if (job->child.unrunnable) {
        /* no fault of the item's, and the next one would fare no better */
        exec->unrunnable = exec->ended = true;
        stw_release_async(&job->message, &future);
    } else if (exec->stopped_by != 0) {
        stw_release_async(&job->message, &future);
    } else {
        exec->failed++;
        snprintf(reason, sizeof(reason), status > 128 ? "signal %d" : "exit status %d",
                 status > 128 ? status - 128 : status);
        stw_nack_async(&job->message, option_ms(exec->cli, OPTION_DELAY, 0), reason, &future);
    }
    settle_watch(exec, future);
    stw_flush(exec->cli->client);
}

static void job_start(struct exec *exec, stw_message *message)
{
    struct job *job = exec->jobs;
    while (job->message != NULL) {
        job++;
    }
    job->message = message;
    job->child.stdin_fd = child_input(stw_message_data(message), stw_message_size(message));
    job_variables(job);
    stw_message_auto_renew(message, true);
    bool started = job->child.stdin_fd >= 0 && child_start(exec->cli, &job->child);
    child_free(&job->child);
    if (started) {
        exec->running++;
        return;
    }
    stw_release_async(&job->message, NULL);
    exec->code = STW_EINTERNAL;
    exec->ended = true;
}

static void jobs_reap(struct exec *exec)
{
    int status;
    for (size_t i = 0; i < exec->jobs_max; i++) {
        if (child_ended(&exec->jobs[i].child, &status)) {
            exec->running--;
            job_settle(exec, &exec->jobs[i], status);
        }
    }
}

/* ---- events ---------------------------------------------------------------------------------- */

static void exec_signals(struct exec *exec)
{
    bool from_terminal;
    int number;
    while ((number = signal_next(exec->cli, &from_terminal)) != 0) {
        if (number == SIGCHLD || number == SIGWINCH) {
            continue; /* children are looked at after every wake-up */
        }
        for (size_t i = 0; i < exec->jobs_max && !from_terminal; i++) {
            if (exec->jobs[i].child.pid > 0) {
                kill(exec->jobs[i].child.pid, number);
            }
        }
        if (number != SIGUSR1 && number != SIGUSR2) {
            exec->stopped_by = number;
            exec->ended = true;
        }
    }
}

/* The get is over: an item, or a reason to take no more. */
static void exec_got(struct exec *exec, stw_future *future)
{
    int code = stw_future_poll(future);
    stw_message *message = code == STW_OK ? stw_future_message(future) : NULL;
    exec->get = NULL;
    if (message != NULL && exec->ended) {
        stw_release_async(&message, NULL);
    } else if (message != NULL) {
        exec->left--;
        job_start(exec, message);
    } else if (code != STW_OK && code != STW_ESESSION) { /* a lost session: ask again */
        exec->ended = true;
        exec->code = code;
        bool over = code == STW_ETIMEOUT || code == STW_EEMPTY || code == STW_ESHUTDOWN;
        if (exec->stopped_by == 0 && !exec->cancelled && (!over || given(exec->cli, OPTION_MAX))) {
            fail_code(exec->cli, code, stw_future_error(future));
        }
    }
    stw_future_free(&future);
}

static void exec_completions(struct exec *exec)
{
    stw_future *future;
    void *user;
    while (stw_completions_next(exec->cli->completions, 0, &future, &user) == STW_OK) {
        if (future == exec->get) {
            exec_got(exec, future);
            continue;
        }
        exec->settling--;
        if (stw_future_poll(future) != STW_OK) {
            exec->broken++;
            fail_code(exec->cli, stw_future_poll(future), stw_future_error(future));
        }
        stw_future_free(&future);
    }
}

static void exec_ask(struct exec *exec)
{
    struct cli *cli = exec->cli;
    stw_get_options options;
    stw_get_options_init(&options);
    options.timeout_ms = option_ms(cli, OPTION_TIMEOUT, -1);
    options.lease_ms = option_ms(cli, OPTION_LEASE, STW_DEFAULT);
    int code = stw_get_async(cli->client, cli->operands, 1, &options, 1, &exec->get);
    if (code == STW_OK) {
        code = stw_completions_add(cli->completions, exec->get, NULL);
    }
    stw_flush(cli->client);
    if (code != STW_OK) {
        exec->ended = true;
        exec->code = code;
        finish(cli, code);
    }
}

static void exec_loop(struct exec *exec)
{
    struct cli *cli = exec->cli;
    struct pollfd polls[] = {{.fd = cli->signals_fd, .events = POLLIN},
                             {.fd = stw_completions_fd(cli->completions), .events = POLLIN}};
    for (;;) {
        bool taking = !exec->ended && exec->left > 0;
        if (taking && exec->get == NULL && exec->running < exec->jobs_max) {
            exec_ask(exec);
        }
        if ((exec->stopped_by != 0 || exec->unrunnable) && exec->get != NULL && !exec->cancelled) {
            exec->cancelled = true;
            stw_future_cancel(exec->get);
        }
        if (!taking && exec->get == NULL && exec->running == 0 && exec->settling == 0) {
            return;
        }
        if (poll(polls, 2, -1) < 0 && errno != EINTR) {
            return;
        }
        exec_signals(exec);
        exec_completions(exec);
        jobs_reap(exec);
    }
}

/* ---- the command ----------------------------------------------------------------------------- */

static int exec_result(struct exec *exec)
{
    bool over = exec->code == STW_ETIMEOUT || exec->code == STW_EEMPTY;
    bool none = exec->done + exec->failed == 0;
    if (exec_single(exec)) {
        if ((!none || exec->unrunnable) && exec->broken == 0) {
            return exec->status;
        }
        return none && over ? EXIT_CHILD_TIMEOUT : EXIT_CHILD_FAILED;
    }
    if (given(exec->cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_text(line, "queue", exec->cli->operands[0]);
        line_u64(line, "done", exec->done);
        line_u64(line, "failed", exec->failed);
        line_u64(line, "unsettled", exec->broken);
        line_print(&line, stdout);
    }
    over = over || exec->code == STW_ESHUTDOWN;
    if (exec->unrunnable || exec->failed > 0 || exec->broken > 0 ||
        (exec->code != STW_OK && !over)) {
        return EXIT_FAILED;
    }
    return over && (none || given(exec->cli, OPTION_MAX)) ? EXIT_NOTHING : EXIT_DONE;
}

int cmd_exec(struct cli *cli)
{
    struct exec exec = {.cli = cli};
    exec.jobs_max = (size_t)option_number(cli, OPTION_JOBS, 1);
    exec.left = option_number(cli, OPTION_MAX, UINT64_MAX);
    signals_watch(cli);
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = stw_completions_new(cli->client, &cli->completions);
    if (code != STW_OK) {
        finish(cli, code);
        return EXIT_CHILD_FAILED;
    }
    exec.jobs = mem_zalloc(exec.jobs_max, sizeof(*exec.jobs));
    for (size_t i = 0; i < exec.jobs_max; i++) {
        exec.jobs[i].child.stdin_fd = -1;
    }
    exec_loop(&exec);
    free(exec.jobs);
    if (exec.stopped_by != 0 && !(exec_single(&exec) && exec.done + exec.failed > 0)) {
        cli->interrupted = exec.stopped_by;
    }
    return exec_result(&exec);
}
