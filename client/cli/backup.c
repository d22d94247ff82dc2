/*
 * `steward backup FILE|-`: a whole state of the manager as a file, while it runs.
 *
 * The manager writes a snapshot, which is read piece by piece and written beside FILE; it gets
 * its name when all of it is durable. A leader that changes, or a snapshot that was replaced
 * meanwhile, means: from the beginning. The file's own checksums are `stewardd restore`'s to look
 * at.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* milliseconds: how long one answer may take; the pause while the snapshot is being written */
#define ANSWER_TIMEOUT_MS 60000
#define END_TIMEOUT_MS    2000
#define PAUSE_MS          100

/* bytes: written before they are synced. One sync at the end of a large file holds up whatever else
 * writes to that disk, the manager's log maybe, for hundreds of milliseconds. */
#define SYNC_BYTES (8ULL * 1024 * 1024)

/* count: how often it begins anew when the snapshot is gone */
#define TRIES_MAX 5

/* milliseconds: between two lines of progress */
#define PROGRESS_MS 1000

struct backup {
    const char *path;  /* "-": stdout */
    char part[4096];   /* where it is written */
    int fd;            /* -1: not open */
    uint64_t index;    /* of the snapshot */
    uint64_t size;     /* bytes: all of it */
    uint64_t done;     /* bytes: written */
    uint64_t synced;   /* bytes: on disk for certain */
    uint64_t shown_ms; /* when progress was printed last */
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool to_stdout(const struct backup *backup)
{
    return strcmp(backup->path, "-") == 0;
}

static void progress(const struct cli *cli, struct backup *backup)
{
    char done[32], size[32];
    uint64_t now = now_ms();
    if (given(cli, OPTION_JSON) || now - backup->shown_ms < PROGRESS_MS) {
        return;
    }
    backup->shown_ms = now;
    fprintf(stderr, "%s of %s\n", bytes_text(backup->done, done, sizeof(done)),
            bytes_text(backup->size, size, sizeof(size)));
}

/* ---- the manager's side ---------------------------------------------------------------------- */

static bool field(const stw_rows *rows, const char *key, enum stw_value_type type, stw_value *value)
{
    size_t count = stw_rows_count(rows);
    return count > 2 && stw_rows_find(rows, count - 1, key, value) && value->type == type;
}

/* Reads "index" and "size" of a whole snapshot. STW_EAGAIN: it is not there yet; index says which
 * to ask for. */
static int begin_answer(const stw_rows *rows, struct backup *backup)
{
    stw_value index, size, busy;
    if (!field(rows, "index", STW_VALUE_NUMBER, &index)) {
        return STW_EPROTO;
    }
    backup->index = index.number;
    if (field(rows, "busy", STW_VALUE_NUMBER, &busy) && busy.number != 0) {
        return STW_EAGAIN;
    }
    if (!field(rows, "size", STW_VALUE_NUMBER, &size)) {
        return STW_EPROTO;
    }
    backup->size = size.number;
    return STW_OK;
}

static int begin(struct cli *cli, struct backup *backup)
{
    int code = STW_EAGAIN;
    char wanted[24] = "";
    while (code == STW_EAGAIN) {
        stw_rows *rows = NULL;
        code = stw_manage(cli->client, "backup.begin", wanted, ANSWER_TIMEOUT_MS, &rows);
        if (code == STW_OK) {
            code = begin_answer(rows, backup);
            stw_rows_free(&rows);
            snprintf(wanted, sizeof(wanted), "%" PRIu64, backup->index);
        }
        if (code == STW_EAGAIN) {
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        }
    }
    return code;
}

static void end(struct cli *cli, const struct backup *backup)
{
    char index[24];
    stw_rows *rows = NULL;
    snprintf(index, sizeof(index), "%" PRIu64, backup->index);
    (void)stw_manage(cli->client, "backup.end", index, END_TIMEOUT_MS, &rows);
    stw_rows_free(&rows); /* if it was not heard, the manager forgets by itself */
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool file_begin(struct backup *backup)
{
    backup->done = 0;
    backup->synced = 0;
    if (to_stdout(backup)) {
        backup->fd = STDOUT_FILENO;
        return true;
    }
    if (backup->fd >= 0) {
        close(backup->fd);
    }
    backup->fd = open(backup->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return backup->fd >= 0;
}

/* Makes the name as durable as the file. */
static bool sync_directory(const char *path)
{
    char *copy = strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    free(copy);
    errno = error;
    return good;
}

static bool file_end(struct backup *backup)
{
    if (to_stdout(backup)) {
        return true;
    }
    bool good = fsync(backup->fd) == 0;
    good = close(backup->fd) == 0 && good;
    backup->fd = -1;
    return good && rename(backup->part, backup->path) == 0 && sync_directory(backup->path);
}

static int file_failed(const struct cli *cli, const struct backup *backup, const char *what)
{
    return fail(cli, "cannot %s %s: %s", what, to_stdout(backup) ? "stdout" : backup->part,
                strerror(errno));
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The next piece. STW_EAGAIN: the snapshot is gone. *written: the file took it. */
static int piece(struct cli *cli, struct backup *backup, bool *written)
{
    char place[48];
    stw_rows *rows = NULL;
    stw_value data;
    snprintf(place, sizeof(place), "%" PRIu64 " %" PRIu64, backup->index, backup->done);
    int code = stw_manage(cli->client, "backup.read", place, ANSWER_TIMEOUT_MS, &rows);
    if (code != STW_OK) {
        return code == STW_ENOENT ? STW_EAGAIN : code;
    }
    bool good = field(rows, "data", STW_VALUE_BYTES, &data) && data.size > 0 &&
                data.size <= backup->size - backup->done;
    if (good) {
        *written = write_all(backup->fd, data.data, data.size);
        backup->done += data.size;
        if (backup->done - backup->synced >= SYNC_BYTES && !to_stdout(backup)) {
            *written = *written && fdatasync(backup->fd) == 0;
            backup->synced = backup->done;
        }
    }
    stw_rows_free(&rows);
    return good ? STW_OK : STW_EPROTO;
}

/* The whole file, once. Returns the exit code; *again: the snapshot was gone before its end. */
static int copy(struct cli *cli, struct backup *backup, bool *again)
{
    bool written = true;
    int code = begin(cli, backup);
    if (code != STW_OK) {
        return finish(cli, code);
    }
    if (!file_begin(backup)) {
        return file_failed(cli, backup, "open");
    }
    while (code == STW_OK && written && backup->done < backup->size) {
        code = piece(cli, backup, &written);
        progress(cli, backup);
    }
    if (!written) {
        return file_failed(cli, backup, "write");
    }
    *again = code == STW_EAGAIN && (!to_stdout(backup) || backup->done == 0);
    if (code == STW_EAGAIN && !*again) {
        return fail(cli, "the manager has replaced the state that was being read: begin again");
    }
    return *again ? EXIT_DONE : finish(cli, code);
}

static void report(const struct cli *cli, const struct backup *backup)
{
    char size[32];
    if (given(cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_text(line, "command", "backup");
        line_text(line, "file", backup->path);
        line_u64(line, "index", backup->index);
        line_u64(line, "bytes", backup->size);
        line_print(&line, to_stdout(backup) ? stderr : stdout);
    } else {
        fprintf(stderr, "%s up to entry %" PRIu64 "\n",
                bytes_text(backup->size, size, sizeof(size)), backup->index);
    }
}

static int run(struct cli *cli, struct backup *backup)
{
    bool again = true;
    int code = EXIT_DONE;
    for (int i = 0; i < TRIES_MAX && again && code == EXIT_DONE; i++) {
        again = false;
        code = copy(cli, backup, &again);
    }
    if (code != EXIT_DONE) {
        return code;
    }
    if (again) {
        return fail(cli, "the manager replaces its state faster than it can be read");
    }
    if (!file_end(backup)) {
        return file_failed(cli, backup, "finish");
    }
    report(cli, backup);
    return EXIT_DONE;
}

int cmd_backup(struct cli *cli)
{
    struct backup backup = {.path = cli->operands[0], .fd = -1, .shown_ms = now_ms()};
    if (to_stdout(&backup) && isatty(STDOUT_FILENO)) {
        return usage(cli, "a backup is not written to a terminal: redirect it, or name a file");
    }
    int size = snprintf(backup.part, sizeof(backup.part), "%s.part", backup.path);
    if (size >= (int)sizeof(backup.part)) {
        return usage(cli, "the file's name is too long");
    }
    int code = client_open(cli);
    if (code != EXIT_DONE) {
        return code;
    }
    code = run(cli, &backup);
    if (backup.index != 0) {
        end(cli, &backup);
    }
    if (backup.fd > STDOUT_FILENO) {
        close(backup.fd);
        unlink(backup.part);
    }
    return code;
}
