/*
 * chaos_nosync.so: preloaded into stewardd for control runs only. Files are opened without O_SYNC
 * and O_DIRECT and no sync is carried out, as on a disk that lies. A test of power loss that still
 * loses nothing then proves nothing.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>
#include <unistd.h>

typedef int open_function(const char *path, int flags, ...);
typedef int openat_function(int directory, const char *path, int flags, ...);

/* O_SYNC holds O_DSYNC. */
static int flags_without_sync(int flags)
{
    return flags & ~(O_SYNC | O_DSYNC | O_DIRECT);
}

/* The C library's own function of that name, through the one cast that POSIX asks for. */
static open_function *real_open(const char *name)
{
    open_function *found;
    *(void **)(&found) = dlsym(RTLD_NEXT, name);
    return found;
}

static openat_function *real_openat(const char *name)
{
    openat_function *found;
    *(void **)(&found) = dlsym(RTLD_NEXT, name);
    return found;
}

#define MODE_OF(flags, mode)                                                                       \
    do {                                                                                           \
        if (((flags) & (O_CREAT | __O_TMPFILE)) != 0) {                                            \
            va_list arguments;                                                                     \
            va_start(arguments, flags);                                                            \
            (mode) = va_arg(arguments, mode_t);                                                    \
            va_end(arguments);                                                                     \
        }                                                                                          \
    } while (0)

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return real_open("open")(path, flags_without_sync(flags), mode);
}

int open64(const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return real_open("open64")(path, flags_without_sync(flags), mode);
}

int openat(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return real_openat("openat")(directory, path, flags_without_sync(flags), mode);
}

int openat64(int directory, const char *path, int flags, ...)
{
    mode_t mode = 0;
    MODE_OF(flags, mode);
    return real_openat("openat64")(directory, path, flags_without_sync(flags), mode);
}

int fsync(int file)
{
    (void)file;
    return 0;
}

int fdatasync(int file)
{
    (void)file;
    return 0;
}

int syncfs(int file)
{
    (void)file;
    return 0;
}

int sync_file_range(int file, off_t offset, off_t size, unsigned flags)
{
    (void)file;
    (void)offset;
    (void)size;
    (void)flags;
    return 0;
}
