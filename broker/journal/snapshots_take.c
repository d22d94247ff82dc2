/*
 * Taking a snapshot: by a child, or in pieces by the owner itself. See snapshots.h.
 *
 * Happy path: surplus files go, the first one's blocks become "unfinished.snapshot", which is
 * written, synced, renamed; then the directory is synced. Only then is there a new one.
 * Failure modes: the one in use stays in use. A file that was given up is gone. A child that ended
 * without a word may have finished all the same: the file that would be there is taken for damaged,
 * and makes room for the next.
 */
#include "broker/journal/snapshots_parts.h"

#include "common/base/panic.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void plan_make(struct snapshots *snapshots)
{
    struct snapshots_plan *plan = &snapshots->taking.plan;
    uint64_t index;
    *plan = (struct snapshots_plan){.unfinished = snapshots->unfinished};
    while ((index = snapshots_give_up(snapshots)) != 0) {
        plan->surplus[plan->surplus_count++] = index;
    }
    snapshots->unfinished = true;
}

/* Its blocks go back to the disk a few at a time, then its name. */
static struct snapshots_trouble discard(const struct snapshots *snapshots, const char *path)
{
    const struct log_io *io = snapshots->io;
    struct snapshots_trouble trouble = {.verb = "remove an older one for"};
    int file = io->open(io->context, path, LOG_OPEN_WRITE);
    if (file < 0) {
        trouble.status = file == -ENOENT ? 0 : file;
        return trouble;
    }
    trouble.status = snapshots_shrink(io, file, 0);
    io->close(io->context, file);
    if (trouble.status == 0) {
        trouble.status = io->remove(io->context, path);
    }
    return trouble;
}

static struct snapshots_trouble clear(const struct snapshots *snapshots)
{
    const struct snapshots_plan *plan = &snapshots->taking.plan;
    struct snapshots_trouble trouble = {.status = 0};
    char path[LOG_PATH_BYTES];
    size_t at = 0;
    if (plan->unfinished && snapshots->io->shrink == NULL) {
        snapshots_path(snapshots, path, SNAPSHOTS_WRITING);
        trouble = discard(snapshots, path);
    } else if (!plan->unfinished && plan->surplus_count > 0) {
        trouble = snapshots_reuse(snapshots, plan->surplus[at++], SNAPSHOTS_WRITING);
    }
    for (; at < plan->surplus_count && trouble.status == 0; at++) {
        snapshots_path_of(snapshots, path, plan->surplus[at]);
        trouble = discard(snapshots, path);
    }
    return trouble;
}

void snapshots_prepare(const struct snapshots *snapshots, struct snapshots_out *out,
                       uint64_t expected)
{
    char path[LOG_PATH_BYTES];
    out->trouble = clear(snapshots);
    if (out->trouble.status == 0) {
        snapshots_path(snapshots, path, SNAPSHOTS_WRITING);
        snapshots_out_open(out, path, expected);
    }
}

bool snapshots_writing(const struct snapshots *snapshots)
{
    return snapshots->taking.active;
}

int snapshots_descriptor(const struct snapshots *snapshots)
{
    return snapshots->taking.pipe;
}

/* The last child has said what it had to; it ends within moments. */
static void reap(struct taking *taking, bool wait)
{
    int status;
    pid_t pid = 0;
    do {
        pid = taking->child > 0 ? waitpid(taking->child, &status, wait ? 0 : WNOHANG) : 0;
    } while (pid < 0 && errno == EINTR);
    if (pid != 0) {
        taking->child = 0; /* gone; or somebody else has reaped it */
    }
}

bool snapshots_begin(struct snapshots *snapshots, const struct snapshot_mark *mark,
                     const struct core *core)
{
    struct taking *taking = &snapshots->taking;
    struct snapshot_mark last;
    STEWARD_ASSERT(mark->at.index > 0 && mark->at.members.count > 0);
    if (taking->active || (snapshots_newest(snapshots, &last) && last.at.index >= mark->at.index)) {
        return false;
    }
    reap(taking, true);
    *taking = (struct taking){.mark = *mark, .active = true, .pipe = -1};
    plan_make(snapshots);
    if (snapshots->no_fork) {
        taking->step = STEP_FILES;
        core_snapshot(core, &taking->state);
        taking->mark.bytes = taking->state.size;
    } else {
        snapshots_fork(snapshots, core);
    }
    return true;
}

/* ---- in pieces ------------------------------------------------------------------------------ */

static void step_files(struct snapshots *snapshots)
{
    struct taking *taking = &snapshots->taking;
    taking->out.io = snapshots->io;
    snapshots_prepare(snapshots, &taking->out, snapshot_shape(taking->state.size).file);
    taking->step = STEP_BLOCKS;
}

static void step_block(struct taking *taking)
{
    size_t left = taking->state.size - taking->at;
    size_t size = left < SNAPSHOT_BLOCK ? left : SNAPSHOT_BLOCK;
    snapshots_out_add(&taking->out, taking->state.data + taking->at, size);
    taking->at += size;
    if (taking->at == taking->state.size) {
        snapshots_out_finish(&taking->out, &taking->mark, taking->state.size);
        taking->step = STEP_NAME;
    }
}

/* true when it is over, one way or the other. */
static bool step(struct snapshots *snapshots)
{
    struct taking *taking = &snapshots->taking;
    struct snapshots_trouble *trouble = &taking->out.trouble;
    switch (taking->step) {
    case STEP_FILES: step_files(snapshots); break;
    case STEP_BLOCKS: step_block(taking); break;
    case STEP_NAME:
        *trouble = snapshots_rename(snapshots, SNAPSHOTS_WRITING, taking->mark.at.index);
        taking->step = STEP_DIRECTORY;
        break;
    case STEP_DIRECTORY:
        *trouble = snapshots_sync(snapshots);
        taking->step = STEP_NONE;
        break;
    case STEP_NONE: break;
    }
    return trouble->status != 0 || taking->step == STEP_NONE;
}

/* ---- by a child ----------------------------------------------------------------------------- */

/* Takes what the pipe has. true: the child is done, or dead. */
static bool listen_to(struct taking *taking)
{
    uint8_t *report = (uint8_t *)&taking->report;
    ssize_t got;
    do {
        size_t left = sizeof taking->report - taking->reported;
        got = read(taking->pipe, report + taking->reported, left);
        taking->reported += got > 0 ? (size_t)got : 0;
    } while ((got > 0 && taking->reported < sizeof taking->report) || (got < 0 && errno == EINTR));
    return got >= 0 || errno != EAGAIN;
}

static bool told_all(const struct taking *taking)
{
    return taking->reported == sizeof taking->report;
}

/* How a child ended that said nothing: for the sentence. */
static void died(struct snapshots *snapshots, struct log_error *error)
{
    struct taking *taking = &snapshots->taking;
    int status = 0;
    pid_t pid;
    do {
        pid = waitpid(taking->child, &status, 0);
    } while (pid < 0 && errno == EINTR);
    taking->child = 0;
    bool killed = pid > 0 && WIFSIGNALED(status);
    log_error_set(error, LOG_NO_ROOM,
                  "%.700s: the process that wrote a snapshot ended before it was done (%s %d); the "
                  "older one stays in use",
                  snapshots->directory, killed ? "signal" : "exit status",
                  killed              ? WTERMSIG(status)
                  : WIFEXITED(status) ? WEXITSTATUS(status)
                                      : 0);
    struct kept unknown = {.mark = {.at = {.index = taking->mark.at.index}}, .damaged = true};
    snapshots_add(snapshots, &unknown);
}

/* ---- both ----------------------------------------------------------------------------------- */

static void taking_end(struct taking *taking)
{
    if (taking->pipe >= 0) {
        close(taking->pipe);
        taking->pipe = -1;
    }
    snapshots_out_fini(&taking->out);
    buf_fini(&taking->state);
    taking->active = false;
}

static enum snapshots_event ended(struct snapshots *snapshots, struct log_error *error,
                                  const struct snapshots_trouble *trouble)
{
    struct taking *taking = &snapshots->taking;
    if (trouble->status != 0) {
        snapshots_failed(snapshots, trouble, SNAPSHOTS_WRITING, error);
        taking_end(taking);
        return SNAPSHOTS_FAILED;
    }
    struct kept kept = {.mark = taking->mark};
    snapshots->unfinished = false;
    snapshots_add(snapshots, &kept);
    taking_end(taking);
    return SNAPSHOTS_WRITTEN;
}

static enum snapshots_event process_child(struct snapshots *snapshots, struct log_error *error)
{
    struct taking *taking = &snapshots->taking;
    if (!listen_to(taking)) {
        return SNAPSHOTS_NOTHING;
    }
    if (!told_all(taking)) {
        died(snapshots, error);
        taking_end(taking);
        return SNAPSHOTS_FAILED;
    }
    taking->mark.bytes = taking->report.bytes;
    return ended(snapshots, error, &taking->report.trouble);
}

enum snapshots_event snapshots_process(struct snapshots *snapshots, struct log_error *error)
{
    struct taking *taking = &snapshots->taking;
    *error = (struct log_error){.trouble = LOG_FINE};
    if (!taking->active) {
        reap(taking, false);
        return SNAPSHOTS_NOTHING;
    }
    if (taking->begun.status != 0) {
        return ended(snapshots, error, &taking->begun);
    }
    if (!snapshots->no_fork) {
        return process_child(snapshots, error);
    }
    return step(snapshots) ? ended(snapshots, error, &taking->out.trouble) : SNAPSHOTS_NOTHING;
}

void snapshots_abandon(struct snapshots *snapshots)
{
    struct taking *taking = &snapshots->taking;
    if (taking->child > 0) {
        kill(taking->child, SIGKILL);
        reap(taking, true);
    }
    taking_end(taking);
}
