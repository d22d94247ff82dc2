/*
 * `stewardd restore --data DIR FILE|-`: a data directory from what `steward backup` wrote.
 *
 * Happy path: the file is verified as it is read into a core; its sessions end, its numbers jump,
 * so that nothing which was handed out since the backup can match; then the directory is founded
 * in DIR/restoring and moved up, its version file last. A start refuses a directory with
 * DIR/restoring and no version file: so an unfinished restore is never taken for an empty manager.
 *
 * Failure modes: a sentence, and exit code 1; what was begun stays in DIR and may be deleted.
 */
#include "broker/shell/restore.h"

#include "broker/journal/found.h"
#include "broker/shell/system.h"
#include "common/base/alloc.h"
#include "common/base/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <popt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* bytes: one read of stdin */
#define COPY_BYTES ((size_t)1024 * 1024)

struct restore {
    const char *data; /* DIR */
    const char *file; /* "-": stdin */
    uint64_t node;
    char work[PATH_MAX];   /* DIR/restoring */
    char source[PATH_MAX]; /* what is read */
    struct core *core;
    struct snapshot_mark mark;
};

__attribute__((format(printf, 1, 2))) static bool fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stewardd: restore: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    return false;
}

static bool from_stdin(const struct restore *restore)
{
    return strcmp(restore->file, "-") == 0;
}

/* ---- the directory -------------------------------------------------------------------------- */

static bool is_empty(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;
    if (directory == NULL) {
        return fail("%s: %s", path, strerror(errno));
    }
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        bool counts = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                      strcmp(entry->d_name, "lost+found") != 0;
        count += counts;
    }
    closedir(directory);
    return count == 0 || fail("%s holds files: a backup is restored into an empty or a new "
                              "directory",
                              path);
}

static bool directory_begin(struct restore *restore)
{
    if (mkdir(restore->data, 0700) != 0 && errno != EEXIST) {
        return fail("cannot make %s: %s", restore->data, strerror(errno));
    }
    int size = snprintf(restore->work, sizeof restore->work, "%s/restoring", restore->data);
    if (size >= (int)sizeof restore->work) {
        return fail("the directory's path is too long");
    }
    if (!is_empty(restore->data)) {
        return false;
    }
    return mkdir(restore->work, 0700) == 0 ||
           fail("cannot make %s: %s", restore->work, strerror(errno));
}

static bool sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return good || fail("cannot sync %s: %s", path, strerror(errno));
}

static bool move_up(const struct restore *restore, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX];
    int a = snprintf(from, sizeof from, "%s/%s", restore->work, name);
    int b = snprintf(to, sizeof to, "%s/%s", restore->data, name);
    if (a >= (int)sizeof from || b >= (int)sizeof to) {
        return fail("the directory's path is too long");
    }
    return rename(from, to) == 0 || fail("cannot rename %s: %s", from, strerror(errno));
}

/* From the version file on it is a data directory. */
static bool directory_end(const struct restore *restore)
{
    static const char *const names[] = {"log", "snapshot", "node", "lock", "version"};
    size_t count = sizeof names / sizeof names[0];
    for (size_t i = 0; i < count; i++) {
        if (i == count - 1 && !sync_directory(restore->data)) {
            return false;
        }
        if (!move_up(restore, names[i])) {
            return false;
        }
    }
    if (rmdir(restore->work) != 0) {
        return fail("cannot remove %s: %s", restore->work, strerror(errno));
    }
    return sync_directory(restore->data);
}

/* ---- the backup ----------------------------------------------------------------------------- */

static bool copy_stdin(int to)
{
    char *bytes = mem_alloc(COPY_BYTES);
    ssize_t got = 1;
    bool good = true;
    while (good && got > 0) {
        got = read(STDIN_FILENO, bytes, COPY_BYTES);
        if (got < 0 && errno == EINTR) {
            got = 1;
            continue;
        }
        for (ssize_t at = 0; good && at < got;) {
            ssize_t wrote = write(to, bytes + at, (size_t)(got - at));
            good = wrote >= 0 || errno == EINTR;
            at += wrote > 0 ? wrote : 0;
        }
    }
    free(bytes);
    return (good && got == 0) || fail("cannot copy stdin: %s", strerror(errno));
}

/* Reading wants a file: stdin is copied to DIR/stdin. */
static bool source_open(struct restore *restore)
{
    if (!from_stdin(restore)) {
        snprintf(restore->source, sizeof restore->source, "%s", restore->file);
        return true;
    }
    if (isatty(STDIN_FILENO)) {
        return fail("a backup is not read from a terminal");
    }
    int size = snprintf(restore->source, sizeof restore->source, "%s/stdin", restore->data);
    if (size >= (int)sizeof restore->source) {
        return fail("the directory's path is too long");
    }
    int spool = open(restore->source, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (spool < 0) {
        return fail("cannot make %s: %s", restore->source, strerror(errno));
    }
    bool good = copy_stdin(spool);
    close(spool);
    return good;
}

/* ---- the state ------------------------------------------------------------------------------ */

struct ids {
    uint64_t *list;
    size_t count;
};

static void note_session(void *context, uint64_t session, const struct session_info *info)
{
    struct ids *ids = context;
    (void)info;
    ids->list = mem_realloc(ids->list, ids->count + 1, sizeof *ids->list);
    ids->list[ids->count++] = session;
}

/* Nobody of then is there any more: what they held goes back, in as many slices as it takes. */
static size_t end_sessions(struct core *core, uint64_t now_ms)
{
    struct ids ids = {0};
    struct effects effects = {0};
    core_sessions(core, note_session, &ids);
    for (size_t i = 0; i < ids.count; i++) {
        struct command command = {.kind = COMMAND_SESSION_END, .session = ids.list[i]};
        command.text = slice_str("the manager was restored from a backup");
        core_apply(core, now_ms, &command, &effects);
    }
    while (core_deadline(core) <= now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        core_apply(core, now_ms, &command, &effects);
    }
    effects_fini(&effects);
    free(ids.list);
    return ids.count;
}

/* Numbers of the log jump, too, so that a node of the old cluster never takes its log for ours. */
static bool renew(struct restore *restore)
{
    uint64_t incarnation = 0;
    while (incarnation == 0) {
        system_random(&incarnation, sizeof incarnation);
    }
    if (restore->mark.at.index > LIMIT_RESTORE_JUMP * 1000 ||
        !core_jump(restore->core, LIMIT_RESTORE_JUMP, incarnation)) {
        return fail("it was restored so often that its numbers are used up");
    }
    restore->mark.at.index += LIMIT_RESTORE_JUMP;
    restore->mark.at.term++;
    restore->mark.hash ^= incarnation;
    return true;
}

static bool load(struct restore *restore)
{
    struct log_error error;
    restore->core = core_new();
    return snapshot_load(NULL, restore->source, restore->core, &restore->mark, &error) ||
           fail("%s", error.text);
}

static bool restore_all(struct restore *restore)
{
    struct log_error error;
    if (!directory_begin(restore) || !source_open(restore) || !load(restore)) {
        return false;
    }
    uint64_t entry = restore->mark.at.index;
    size_t sessions = end_sessions(restore->core, restore->mark.time_ms);
    struct found_options found = {.directory = restore->work, .node = restore->node};
    if (!renew(restore)) {
        return false;
    }
    if (from_stdin(restore)) {
        unlink(restore->source);
    }
    if (!journal_found(&found, &restore->mark, restore->core, &error)) {
        return fail("%s", error.text);
    }
    if (!directory_end(restore)) {
        return false;
    }
    fprintf(stderr,
            "stewardd: restored %s as of entry %" PRIu64 "; %zu sessions of then have ended\n",
            restore->data, entry, sessions);
    return true;
}

/* ---- the command line ----------------------------------------------------------------------- */

static int usage(const char *why)
{
    fprintf(stderr,
            "stewardd: restore: %s\nusage: stewardd restore --data DIR [--node ID] FILE|-\n", why);
    return EXIT_USAGE;
}

static int restore_with(struct restore *restore)
{
    bool good = restore_all(restore);
    core_destroy(&restore->core);
    return good ? EXIT_OK : EXIT_FAILED;
}

int restore_run(int argc, const char *const *argv)
{
    char *data = NULL;
    long long node = 1;
    struct poptOption table[] = {
        {"data", 0, POPT_ARG_STRING, &data, 0, "the directory to make: empty, or missing", "DIR"},
        {"node", 0, POPT_ARG_LONGLONG, &node, 0, "the id of this node (default 1)", "ID"},
        POPT_AUTOHELP POPT_TABLEEND};
    poptContext context =
        poptGetContext("stewardd restore", argc, (const char **)(uintptr_t)argv, table, 0);
    poptSetOtherOptionHelp(context, "--data DIR [--node ID] FILE|-");
    int key = poptGetNextOpt(context);
    const char *file = key == -1 ? poptGetArg(context) : NULL;
    int code;
    if (key < -1) {
        code = usage(poptStrerror(key));
    } else if (data == NULL || file == NULL || poptPeekArg(context) != NULL || node < 1) {
        code = usage("wants a directory and a backup");
    } else {
        struct restore restore = {.data = data, .file = file, .node = (uint64_t)node};
        code = restore_with(&restore);
    }
    poptFreeContext(context);
    free(data);
    return code;
}
