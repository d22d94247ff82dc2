/*
 * The data directory.
 *
 * The version file is written last at the first start: a directory without it holds nothing that
 * was ever confirmed, unless somebody removed it; a used segment beside a missing version file, or
 * a version file without any segment, is therefore refused.
 */
#include "broker/journal/log_dir.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* bytes: the version file is shorter */
#define VERSION_BYTES 256

bool log_error_set(struct log_error *error, enum log_trouble trouble, const char *format, ...)
{
    va_list arguments;
    error->trouble = trouble;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

bool log_error_io(struct log_error *error, const char *path, const char *verb, int64_t status)
{
    enum log_trouble trouble = status == -ENOSPC ? LOG_NO_ROOM : LOG_IO_FAILED;
    return log_error_set(error, trouble, "%.700s: cannot %s: %s", path, verb,
                         strerror((int)-status));
}

void log_dir_file(const struct log_dir *dir, char path[LOG_PATH_BYTES], uint64_t number,
                  const char *name)
{
    snprintf(path, LOG_PATH_BYTES, "%s/log/%016" PRIx64 ".%s", dir->path, number, name);
}

void log_dir_path(const struct log_dir *dir, char path[LOG_PATH_BYTES], const char *name)
{
    snprintf(path, LOG_PATH_BYTES, "%s/%s", dir->path, name);
}

/* ---- version and lock ---- */

static bool parse_version(struct log_dir *dir, const char *text, struct log_error *error)
{
    unsigned long version;
    int end = 0;
    if (sscanf(text, "steward-data %lu\n", &version) != 1) {
        return log_error_set(error, LOG_NOT_OURS,
                             "%.700s/version is not a version file of Steward: name another "
                             "directory, or restore a backup into an empty one",
                             dir->path);
    }
    if (version != LOG_FORMAT_VERSION) {
        return log_error_set(error, LOG_NEWER,
                             "%.700s has format %lu, this build knows format %d: use the build "
                             "that wrote it, or a newer one",
                             dir->path, version, LOG_FORMAT_VERSION);
    }
    if (sscanf(text, "steward-data %*u\nlog %16" SCNx64 "\n%n", &dir->log_id, &end) != 1 ||
        end == 0 || text[end] != '\0' || dir->log_id == 0) {
        return log_error_set(error, LOG_CORRUPTED,
                             "%.700s/version is damaged: restore a backup into an empty directory",
                             dir->path);
    }
    return true;
}

/* Leaves log_id 0 when there is no version file. */
static bool read_version(struct log_dir *dir, struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    char text[VERSION_BYTES + 1];
    log_dir_path(dir, path, "version");
    int file = dir->io->open(dir->io->context, path, 0);
    if (file == -ENOENT) {
        return true;
    }
    if (file < 0) {
        return log_error_io(error, path, "open", file);
    }
    int64_t size = dir->io->read(dir->io->context, file, text, VERSION_BYTES, 0);
    dir->io->close(dir->io->context, file);
    if (size < 0) {
        return log_error_io(error, path, "read", size);
    }
    text[size] = '\0';
    return parse_version(dir, text, error);
}

static void note_foreign(void *argument, const char *name)
{
    static const char *const ours[] = {"lock", "log", "version.new", "lost+found"};
    bool *foreign = argument;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(name, ours[i]) == 0) {
            return;
        }
    }
    *foreign = true;
}

/* Without a version file only what a first start leaves behind may be here. */
static bool check_foreign(const struct log_dir *dir, struct log_error *error)
{
    bool foreign = false;
    int status = dir->io->list(dir->io->context, dir->path, note_foreign, &foreign);
    if (status < 0) {
        return log_error_io(error, dir->path, "list the directory", status);
    }
    if (foreign) {
        return log_error_set(error, LOG_NOT_OURS,
                             "%.700s holds files, but no version file of Steward: name an empty "
                             "or a new directory",
                             dir->path);
    }
    return true;
}

static bool set_path(struct log_dir *dir, const struct log_options *options,
                     struct log_error *error)
{
    size_t size = strlen(options->directory);
    *dir = (struct log_dir){.io = options->io ? options->io : log_io_files(), .lock = -1};
    if (size == 0 || size >= sizeof dir->path) {
        return log_error_set(error, LOG_IO_FAILED, "the data directory's path is %s",
                             size == 0 ? "empty" : "too long");
    }
    memcpy(dir->path, options->directory, size + 1);
    while (size > 1 && dir->path[size - 1] == '/') {
        dir->path[--size] = '\0';
    }
    return true;
}

/* Makes a directory, and its name in its parent durable. */
static bool make(const struct log_dir *dir, const char *path, struct log_error *error)
{
    char parent[LOG_PATH_BYTES];
    int status = dir->io->make_directory(dir->io->context, path);
    if (status == -EEXIST) {
        return true;
    }
    if (status < 0) {
        return log_error_io(error, path, "make the directory", status);
    }
    snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        snprintf(parent, sizeof parent, ".");
    } else {
        slash[slash == parent] = '\0';
    }
    status = dir->io->sync_directory(dir->io->context, parent);
    return status == 0 || log_error_io(error, parent, "sync the directory", status);
}

/* Is it a directory of ours, or one to begin in? */
static bool check(struct log_dir *dir, struct log_error *error)
{
    return read_version(dir, error) && (dir->log_id != 0 || check_foreign(dir, error));
}

bool log_dir_open(struct log_dir *dir, const struct log_options *options, struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    if (!set_path(dir, options, error) || !make(dir, dir->path, error) || !check(dir, error)) {
        return false; /* without even a lock file in somebody else's directory */
    }
    log_dir_path(dir, path, "lock");
    dir->lock = dir->io->lock(dir->io->context, path);
    if (dir->lock == -EWOULDBLOCK) {
        return log_error_set(error, LOG_LOCKED,
                             "%.700s is in use by another process: stop it, or name another "
                             "directory",
                             dir->path);
    }
    if (dir->lock < 0) {
        return log_error_io(error, path, "lock", dir->lock);
    }
    log_dir_path(dir, path, "log");
    bool good = check(dir, error) && make(dir, path, error);
    if (!good) {
        log_dir_close(dir);
    }
    return good;
}

bool log_dir_look(struct log_dir *dir, const struct log_options *options, struct log_error *error)
{
    if (!set_path(dir, options, error) || !read_version(dir, error)) {
        return false;
    }
    if (dir->log_id == 0) {
        return log_error_set(error, LOG_NOT_OURS, "%.700s has no version file of Steward",
                             dir->path);
    }
    return true;
}

static int write_version(const struct log_dir *dir, const char *path)
{
    char text[VERSION_BYTES];
    const struct log_io *io = dir->io;
    int size = snprintf(text, sizeof text, "steward-data %d\nlog %016" PRIx64 "\n",
                        LOG_FORMAT_VERSION, dir->log_id);
    int file = io->open(io->context, path, LOG_OPEN_WRITE | LOG_OPEN_CREATE);
    if (file < 0) {
        return file;
    }
    int64_t wrote = io->write(io->context, file, text, (size_t)size, 0);
    int status = wrote < 0 ? (int)wrote : wrote < size ? -EIO : io->sync(io->context, file);
    io->close(io->context, file);
    return status;
}

bool log_dir_commit(struct log_dir *dir, struct log_error *error)
{
    char from[LOG_PATH_BYTES], to[LOG_PATH_BYTES];
    const struct log_io *io = dir->io;
    log_dir_path(dir, from, "version.new");
    log_dir_path(dir, to, "version");
    int status = write_version(dir, from);
    status = status ? status : io->rename(io->context, from, to);
    status = status ? status : io->sync_directory(io->context, dir->path);
    return status == 0 || log_error_io(error, to, "write", status);
}

void log_dir_close(struct log_dir *dir)
{
    if (dir->lock >= 0) {
        dir->io->close(dir->io->context, dir->lock);
    }
    dir->lock = -1;
}

/* ---- names ---- */

static void names_add(struct log_names *names, uint64_t number)
{
    names->numbers = mem_realloc(names->numbers, names->count + 1, sizeof *names->numbers);
    names->numbers[names->count++] = number;
}

/* "0123456789abcdef.SUFFIX": lower case, nothing before or behind. */
static bool parse_name(const char *name, const char *suffix, uint64_t *number)
{
    char again[64];
    if (strlen(name) > 32 || sscanf(name, "%16" SCNx64, number) != 1) {
        return false;
    }
    snprintf(again, sizeof again, "%016" PRIx64 ".%s", *number, suffix);
    return strcmp(again, name) == 0;
}

/* Names that are not ours are nobody's concern. */
static void note_name(void *argument, const char *name)
{
    struct log_listing *listing = argument;
    uint64_t number;
    if (parse_name(name, "segment", &number)) {
        names_add(&listing->segments, number);
    } else if (parse_name(name, "pool", &number)) {
        names_add(&listing->pool, number);
    } else if (strcmp(name, "unfinished") == 0) {
        listing->unfinished = true;
    }
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static void names_sort(struct log_names *names)
{
    if (names->count > 0) {
        qsort(names->numbers, names->count, sizeof *names->numbers, compare_numbers);
    }
}

bool log_dir_list(const struct log_dir *dir, struct log_listing *out, struct log_error *error)
{
    char path[LOG_PATH_BYTES];
    *out = (struct log_listing){0};
    log_dir_path(dir, path, "log");
    int status = dir->io->list(dir->io->context, path, note_name, out);
    if (status < 0) {
        log_listing_fini(out);
        return log_error_io(error, path, "list the directory", status);
    }
    names_sort(&out->segments);
    names_sort(&out->pool);
    return true;
}

void log_listing_fini(struct log_listing *listing)
{
    free(listing->segments.numbers);
    free(listing->pool.numbers);
    *listing = (struct log_listing){0};
}
