/*
 * What the log asks of a file system, as a struct of functions: log_files.c has the real one; tests
 * and simulations have their own, which fail, tear and forget as told.
 *
 * Functions return 0 or a count, or -errno. `context` is the first argument of each. Called from
 * the owner's thread and from two more, but never two at a time for one file.
 */
#ifndef BROKER_JOURNAL_LOG_IO_H
#define BROKER_JOURNAL_LOG_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_OPEN_WRITE = 1,  /* else read only */
    LOG_OPEN_CREATE = 2, /* made when missing, mode 0600; what it holds is kept */
    LOG_OPEN_DIRECT = 4, /* past the page cache; -EINVAL where the file system cannot */
    LOG_OPEN_SYNCED = 8, /* a write that returns is durable */
};

/* Called with each name in a directory, in any order. */
typedef void log_visit(void *argument, const char *name);

struct log_io {
    void *context;
    int (*open)(void *context, const char *path, int how);
    void (*close)(void *context, int file);
    int64_t (*size)(void *context, int file);
    int64_t (*read)(void *context, int file, void *data, size_t size, uint64_t offset);
    int64_t (*write)(void *context, int file, const void *data, size_t size, uint64_t offset);
    /* Makes the file this long and gives it its blocks: -ENOSPC here, not later. */
    int (*allocate)(void *context, int file, uint64_t size);
    /* Makes the file this long by giving back what lies behind; NULL: it cannot be done. */
    int (*shrink)(void *context, int file, uint64_t size);
    int (*sync)(void *context, int file);
    /* Forgets cached pages, so that what is read next comes from the disk. */
    void (*uncache)(void *context, int file);
    int (*rename)(void *context, const char *from, const char *to);
    int (*remove)(void *context, const char *path);
    int (*make_directory)(void *context, const char *path); /* mode 0700; -EEXIST */
    int (*sync_directory)(void *context, const char *path);
    int (*list)(void *context, const char *path, log_visit *visit, void *argument);
    /* Bytes that a new file may take. */
    int64_t (*room)(void *context, const char *path);
    /* A handle that holds the lock until it is closed; -EWOULDBLOCK when another has it. */
    int (*lock)(void *context, const char *path);
    uint64_t (*random)(void *context);
    /* Without threads: what was begun is not done yet, ask again later. NULL: it always is. */
    bool (*busy)(void *context);
    void (*pause)(void *context, unsigned microseconds);
};

/* Real files. Static. */
const struct log_io *log_io_files(void);

#endif
