/*
 * The process that writes a snapshot: a fork, whose memory is the core as it was at that instant.
 *
 * The parent has threads (the log's, ZeroMQ's), of which only the one that forked lives on in the
 * child. So the child touches nothing of theirs: no ZeroMQ, no exit handlers, no stdio. It calls
 * the kernel and malloc, which glibc leaves usable in a child.
 *
 * Happy path: leaves behind what it inherited, writes, reports through a pipe, _exit.
 * Failure modes: whatever fails is reported; a child that cannot even do that dies, and the parent
 * sees the pipe end. When the parent dies, so does the child, at once: it must not write into a
 * directory that another manager may have opened by then.
 */
#include "broker/journal/snapshots_parts.h"

#include "common/base/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* It yields to the loop: the processor and the disk are the loop's and the log's first. */
#define NICENESS        5
#define IOPRIO_PROCESS  1
#define IOPRIO_LOWEST   ((2 << 13) | 7) /* best effort, the lowest of it */
#define OOM_SCORE       "700"           /* of 1000: the kernel takes the child before the parent */
#define PIPE_DESCRIPTOR 3

/* ---- leaving the parent behind -------------------------------------------------------------- */

/* With the parent goes the child. The parent may be gone before this is asked for. */
static void die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(1);
    }
}

/* Signals that a terminal or a supervisor sends to all are the parent's to answer. */
static void reset_signals(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE};
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int number = 1; number < NSIG; number++) {
        sigaction(number, &action, NULL); /* fails for those that cannot be changed */
    }
    action.sa_handler = SIG_IGN;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) {
        sigaction(ignored[i], &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* All but stderr and the pipe: the directory's lock, sockets, the log. Returns the pipe. */
static int leave_files(int report)
{
    int null = open("/dev/null", O_RDWR);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    if (report != PIPE_DESCRIPTOR) {
        dup2(report, PIPE_DESCRIPTOR);
    }
    if (syscall(SYS_close_range, PIPE_DESCRIPTOR + 1, ~0U, 0) != 0) {
        long most = sysconf(_SC_OPEN_MAX);
        for (long file = PIPE_DESCRIPTOR + 1; file < most; file++) {
            close((int)file);
        }
    }
    return PIPE_DESCRIPTOR;
}

/* Each of these is a courtesy: where it is refused, the child goes on without. */
static void yield_to_parent(void)
{
    prctl(PR_SET_NAME, "steward-snap");
    setpriority(PRIO_PROCESS, 0, NICENESS);
    syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, IOPRIO_LOWEST);
    int file = open("/proc/self/oom_score_adj", O_WRONLY);
    if (file >= 0) {
        ssize_t ignored = write(file, OOM_SCORE, sizeof OOM_SCORE - 1);
        (void)ignored;
        close(file);
    }
}

/* ---- the work ------------------------------------------------------------------------------- */

struct pace {
    const struct log_io *io;
    struct timespec begun;
};

/* Waits until so many bytes were due. */
static void keep_pace(void *context, uint64_t bytes)
{
    const struct pace *pace = context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t passed = (int64_t)(now.tv_sec - pace->begun.tv_sec) * 1000000 +
                     (now.tv_nsec - pace->begun.tv_nsec) / 1000;
    int64_t due = (int64_t)(bytes / (LIMIT_SNAPSHOT_RATE_BYTES / 1000000));
    if (due > passed) {
        pace->io->pause(pace->io->context, (unsigned)(due - passed));
    }
}

static void write_all(struct snapshots *snapshots, const struct core *core,
                      struct snapshots_report *report)
{
    struct taking *taking = &snapshots->taking;
    struct pace pace = {.io = snapshots->io};
    struct snapshots_out *out = &taking->out;
    clock_gettime(CLOCK_MONOTONIC, &pace.begun);
    out->io = snapshots->io;
    out->pace = keep_pace;
    out->context = &pace;
    snapshots_prepare(snapshots, out, core_bytes(core));
    report->bytes = snapshots_out_core(out, core);
    snapshots_out_finish(out, &taking->mark, report->bytes);
    report->trouble = out->trouble;
    if (report->trouble.status == 0) {
        report->trouble = snapshots_rename(snapshots, SNAPSHOTS_WRITING, taking->mark.at.index);
    }
    if (report->trouble.status == 0) {
        report->trouble = snapshots_sync(snapshots);
    }
}

static _Noreturn void child_main(struct snapshots *snapshots, const struct core *core, int report)
{
    struct snapshots_report told = {.bytes = 0};
    reset_signals();
    report = leave_files(report);
    yield_to_parent();
    write_all(snapshots, core, &told);
    ssize_t written = write(report, &told, sizeof told); /* less than PIPE_BUF: whole or not */
    _exit(written == (ssize_t)sizeof told ? 0 : 1);
}

/* ---- the parent ----------------------------------------------------------------------------- */

void snapshots_fork(struct snapshots *snapshots, const struct core *core)
{
    struct taking *taking = &snapshots->taking;
    int ends[2];
    sigset_t all, before;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        taking->begun = (struct snapshots_trouble){.status = -errno, .verb = "make a pipe for"};
        return;
    }
    pid_t parent = getpid();
    sigfillset(&all); /* no handler of the parent's may run in the child */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t child = fork();
    int status = -errno;
    if (child == 0) {
        die_with(parent);
        child_main(snapshots, core, ends[1]);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        taking->begun = (struct snapshots_trouble){.status = status, .verb = "fork for"};
        return;
    }
    taking->child = child;
    taking->pipe = ends[0];
}
