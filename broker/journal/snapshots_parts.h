/*
 * What the files of the store call of each other; private to broker/journal/snapshots*.c.
 *
 *   snapshots.c          the directory: what is kept, held, read
 *   snapshots_take.c     taking one, in pieces or by a child
 *   snapshots_child.c    the child process
 *   snapshots_receive.c  receiving one
 *   snapshots_out.c  snapshots_file.c  snapshots_format.c: one file
 */
#ifndef BROKER_JOURNAL_SNAPSHOTS_PARTS_H
#define BROKER_JOURNAL_SNAPSHOTS_PARTS_H

#include "broker/journal/log_dir.h"
#include "broker/journal/snapshots_file.h"
#include "broker/journal/snapshots_out.h"

#include <sys/types.h>

#define SNAPSHOTS_WRITING   "unfinished.snapshot"
#define SNAPSHOTS_RECEIVING "receiving.snapshot"

/* count: files that are remembered. Newest, previous, held, one just received, and some that an
 * earlier run left; of more than that the oldest are left alone. */
#define SNAPSHOTS_KEPT 8

/* A file that has its name. */
struct kept {
    struct snapshot_mark mark; /* damaged: only at.index */
    bool damaged;
};

/* What happens to files before a new one is written: decided by the owner, done by the child. */
struct snapshots_plan {
    uint64_t surplus[SNAPSHOTS_KEPT]; /* indexes: these files go; the first one's blocks serve */
    size_t surplus_count;
    bool unfinished; /* there may be one whose blocks serve */
};

/* What the child tells at its end. */
struct snapshots_report {
    struct snapshots_trouble
        trouble;    /* the verb is a text of this program: the child is its fork */
    uint64_t bytes; /* of the state */
};

enum snapshots_step { STEP_NONE = 0, STEP_FILES, STEP_BLOCKS, STEP_NAME, STEP_DIRECTORY };

/* The one being taken. */
struct taking {
    struct snapshot_mark mark;
    struct snapshots_plan plan;
    bool active;
    struct snapshots_trouble begun; /* fork() or the like failed */
    /* by a child */
    pid_t child; /* 0: none, or reaped */
    int pipe;    /* -1: none */
    struct snapshots_report report;
    size_t reported; /* bytes of it */
    /* in pieces */
    enum snapshots_step step;
    struct snapshots_out out;
    struct buf state;
    size_t at; /* bytes of it written */
};

struct receiving {
    bool active;
    uint64_t index, bytes, got;
    uint8_t header[SNAPSHOT_ALIGN];
    struct snapshot_mark mark; /* once the header is there */
    struct snapshot_shape shape;
    uint64_t table_sum;
    struct snapshots_out out;
    bool differs; /* from its own checksums */
};

struct snapshots {
    const struct log_io *io;
    bool no_fork;
    char directory[LOG_DIR_BYTES];    /* DIR/snapshot */
    struct kept kept[SNAPSHOTS_KEPT]; /* ascending by index */
    size_t kept_count;
    uint64_t held, held_backup; /* indexes, 0: none */
    int reading;                /* file of the last snapshots_read, -1: none */
    uint64_t reading_index;
    bool unfinished; /* SNAPSHOTS_WRITING is there */
    bool received;   /* SNAPSHOTS_RECEIVING is there */
    struct log_error damage;
    struct taking taking;
    struct receiving receiving;
};

void snapshots_path(const struct snapshots *snapshots, char path[LOG_PATH_BYTES], const char *name);
void snapshots_path_of(const struct snapshots *snapshots, char path[LOG_PATH_BYTES],
                       uint64_t index);

/* There is a new one with its name. */
void snapshots_add(struct snapshots *snapshots, const struct kept *kept);

/* Forgets the oldest file that is neither the newest nor held, nor one that is damaged and newer;
 * 0: there is none. It still lies on disk. */
uint64_t snapshots_give_up(struct snapshots *snapshots);

/* Its blocks serve the file of that name, where the file system can shorten files; else it goes.
 * A file that is not there is no trouble. */
struct snapshots_trouble snapshots_reuse(const struct snapshots *snapshots, uint64_t index,
                                         const char *name);

/* A file that was written gets its name, and the name gets durable. */
struct snapshots_trouble snapshots_rename(const struct snapshots *snapshots, const char *from,
                                          uint64_t index);
struct snapshots_trouble snapshots_sync(const struct snapshots *snapshots);

/* Fills an error: LOG_NO_ROOM where disk or memory is full, else LOG_IO_FAILED. Returns false. */
bool snapshots_failed(const struct snapshots *snapshots, const struct snapshots_trouble *trouble,
                      const char *name, struct log_error *error);

/* ---- snapshots_take.c, also called by the child ---- */

/* Does what the plan says, and opens the file, of about so many bytes. */
void snapshots_prepare(const struct snapshots *snapshots, struct snapshots_out *out,
                       uint64_t expected);

/* Kills a child, drops what is being written. */
void snapshots_abandon(struct snapshots *snapshots);

/* ---- snapshots_child.c ---- */

/* Forks; taking->begun says why that failed. The child never returns. */
void snapshots_fork(struct snapshots *snapshots, const struct core *core);

#endif
