/*
 * Real files for the log.
 *
 * Failure modes: every call gives -errno to its caller, which decides; nothing is tried again but
 * what a signal interrupted before it began. A short write is returned as such: the caller fails.
 */
#include "broker/journal/log_io.h"

#include "common/base/panic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static int files_open(void *context, const char *path, int how)
{
    (void)context;
    int flags = (how & LOG_OPEN_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW;
    flags |= how & LOG_OPEN_CREATE ? O_CREAT : 0;
    flags |= how & LOG_OPEN_DIRECT ? O_DIRECT : 0;
    flags |= how & LOG_OPEN_SYNCED ? O_DSYNC : 0;
    int file = open(path, flags, 0600);
    return file < 0 ? -errno : file;
}

static void files_close(void *context, int file)
{
    (void)context;
    close(file);
}

static int64_t files_size(void *context, int file)
{
    (void)context;
    struct stat status;
    return fstat(file, &status) == 0 ? status.st_size : -errno;
}

static int64_t files_read(void *context, int file, void *data, size_t size, uint64_t offset)
{
    (void)context;
    size_t got = 0;
    while (got < size) {
        ssize_t n = pread(file, (char *)data + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0) {
            break;
        }
        got += n > 0 ? (size_t)n : 0;
    }
    return (int64_t)got;
}

static int64_t files_write(void *context, int file, const void *data, size_t size, uint64_t offset)
{
    (void)context;
    ssize_t n;
    do {
        n = pwrite(file, data, size, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static int files_allocate(void *context, int file, uint64_t size)
{
    (void)context;
    if (fallocate(file, 0, 0, (off_t)size) == 0) {
        return 0;
    }
    /* Not every file system can: the zeros that are written next take the blocks then. */
    return errno == EOPNOTSUPP ? 0 : -errno;
}

static int files_shrink(void *context, int file, uint64_t size)
{
    (void)context;
    return ftruncate(file, (off_t)size) == 0 ? 0 : -errno;
}

static int files_sync(void *context, int file)
{
    (void)context;
    return fdatasync(file) == 0 ? 0 : -errno;
}

static void files_uncache(void *context, int file)
{
    (void)context;
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
}

static int files_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int files_remove(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? 0 : -errno;
}

static int files_make_directory(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0700) == 0 ? 0 : -errno;
}

static int files_sync_directory(void *context, const char *path)
{
    (void)context;
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) {
        return -errno;
    }
    int status = fsync(directory) == 0 ? 0 : -errno;
    close(directory);
    return status;
}

static int files_list(void *context, const char *path, log_visit *visit, void *argument)
{
    (void)context;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return -errno;
    }
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            visit(argument, entry->d_name);
        }
        errno = 0;
    }
    int status = -errno;
    closedir(directory);
    return status;
}

static int64_t files_room(void *context, const char *path)
{
    (void)context;
    struct statvfs status;
    if (statvfs(path, &status) != 0) {
        return -errno;
    }
    uint64_t bytes = (uint64_t)status.f_bavail * status.f_frsize;
    return bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

static int files_lock(void *context, const char *path)
{
    (void)context;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        return -errno;
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        int status = -errno;
        close(file);
        return status;
    }
    return file;
}

static uint64_t files_random(void *context)
{
    (void)context;
    uint64_t value = 0;
    ssize_t got = getrandom(&value, sizeof value, 0);
    STEWARD_ASSERT(got == (ssize_t)sizeof value); /* always whole up to 256 bytes */
    return value;
}

static void files_pause(void *context, unsigned microseconds)
{
    (void)context;
    struct timespec time = {.tv_sec = microseconds / 1000000,
                            .tv_nsec = (long)(microseconds % 1000000) * 1000};
    nanosleep(&time, NULL);
}

const struct log_io *log_io_files(void)
{
    static const struct log_io files = {
        .open = files_open,
        .close = files_close,
        .size = files_size,
        .read = files_read,
        .write = files_write,
        .allocate = files_allocate,
        .shrink = files_shrink,
        .sync = files_sync,
        .uncache = files_uncache,
        .rename = files_rename,
        .remove = files_remove,
        .make_directory = files_make_directory,
        .sync_directory = files_sync_directory,
        .list = files_list,
        .room = files_room,
        .lock = files_lock,
        .random = files_random,
        .pause = files_pause,
    };
    return &files;
}
