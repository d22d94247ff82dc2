/*
 * The data directory: its lock, its version file, and the names in DIR/log.
 *
 *     DIR/lock                        held (flock) while a process uses the directory
 *     DIR/version                     format of the directory, and the log's id
 *     DIR/log/0000000000000007.segment   records; numbered without gaps, oldest first
 *     DIR/log/0000000000000002.pool      a file that waits to become a segment
 *     DIR/log/unfinished                 a file whose blocks are being written
 */
#ifndef BROKER_JOURNAL_LOG_DIR_H
#define BROKER_JOURNAL_LOG_DIR_H

#include "broker/journal/log_format.h"

/* bytes: a data directory's path; names of ours that follow it are shorter than 64 */
#define LOG_DIR_BYTES  4000
#define LOG_PATH_BYTES (LOG_DIR_BYTES + 64)

struct log_dir {
    const struct log_io *io; /* borrowed */
    char path[LOG_DIR_BYTES];
    int lock;        /* handle, -1: none */
    uint64_t log_id; /* from the version file; 0: there is none yet */
};

struct log_names {
    uint64_t *numbers; /* ascending */
    size_t count;
};

struct log_listing {
    struct log_names segments;
    struct log_names pool;
    bool unfinished;
};

/* Path of DIR/log/NUMBER.segment and so on; name: "segment", "pool". */
void log_dir_file(const struct log_dir *dir, char path[LOG_PATH_BYTES], uint64_t number,
                  const char *name);

/* Path of a file in DIR itself, or with "log/..." below. */
void log_dir_path(const struct log_dir *dir, char path[LOG_PATH_BYTES], const char *name);

/* Makes the directory when missing, locks it, reads its version. */
bool log_dir_open(struct log_dir *dir, const struct log_options *options, struct log_error *error);

/* Reads the version only; changes nothing. */
bool log_dir_look(struct log_dir *dir, const struct log_options *options, struct log_error *error);

/* What DIR/log holds. */
bool log_dir_list(const struct log_dir *dir, struct log_listing *out, struct log_error *error);
void log_listing_fini(struct log_listing *listing);

/* Writes the version file: from now on the directory counts. */
bool log_dir_commit(struct log_dir *dir, struct log_error *error);

/* Releases the lock. */
void log_dir_close(struct log_dir *dir);

/* Fills an error and returns false. */
__attribute__((format(printf, 3, 4))) bool
log_error_set(struct log_error *error, enum log_trouble trouble, const char *format, ...);

/* "PATH: cannot VERB: strerror". */
bool log_error_io(struct log_error *error, const char *path, const char *verb, int64_t status);

#endif
