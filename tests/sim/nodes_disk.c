/*
 * Simulation B: a node's disk. See nodes_disk.h, and nodes_file.h for what a file holds.
 */
#include "tests/sim/nodes_disk.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "tests/sim/nodes_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX   1024
#define HANDLES_MAX 64
#define CHANGES_MAX 64

struct handle {
    bool open, synced, lock;
    unsigned file;
};

/* A name that was given or taken away and is not durable yet. */
struct change {
    unsigned file;
    char old[FILE_PATH_BYTES];
};

struct nodes_disk {
    struct log_io io;
    struct rng rng;
    struct file files[FILES_MAX];
    struct handle handles[HANDLES_MAX];
    struct change changes[CHANGES_MAX];
    unsigned changes_count;
    char directories[4][FILE_PATH_BYTES];
    uint64_t now_ms, latency_ms, due_ms;
    bool working;
    uint64_t calls, fail_in;
    bool fail_power, dead, failed, lie;
    uint64_t limit, used;
};

/* ---- names ----------------------------------------------------------------------------------- */

static int find(const struct nodes_disk *disk, const char *path)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].used && strcmp(disk->files[i].path, path) == 0) {
            return i;
        }
    }
    return -ENOENT;
}

static void set_path(char out[FILE_PATH_BYTES], const char *path)
{
    STEWARD_ASSERT(strlen(path) < FILE_PATH_BYTES);
    snprintf(out, FILE_PATH_BYTES, "%s", path);
}

static int create(struct nodes_disk *disk, const char *path)
{
    int file = 0;
    while (disk->files[file].used) {
        file++;
        STEWARD_ASSERT(file < FILES_MAX);
    }
    disk->files[file].used = true;
    set_path(disk->files[file].path, path);
    return file;
}

static void note_change(struct nodes_disk *disk, int file)
{
    STEWARD_ASSERT(disk->changes_count < CHANGES_MAX);
    struct change *change = &disk->changes[disk->changes_count++];
    change->file = (unsigned)file;
    memcpy(change->old, disk->files[file].path, FILE_PATH_BYTES);
}

static bool open_somewhere(const struct nodes_disk *disk, unsigned file)
{
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (disk->handles[i].open && disk->handles[i].file == file) {
            return true;
        }
    }
    return false;
}

/* Files without a name that nothing brings back. */
static void sweep(struct nodes_disk *disk)
{
    for (unsigned i = 0; i < FILES_MAX; i++) {
        struct file *file = &disk->files[i];
        if (disk->changes_count == 0 && file->used && !file->path[0] && !open_somewhere(disk, i)) {
            disk->used -= file->size;
            file_free(file);
        }
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* 0, or the error of this change. */
static int change(struct nodes_disk *disk)
{
    disk->calls++;
    if (disk->dead) {
        return -EIO;
    }
    if (disk->fail_in == 0 || --disk->fail_in > 0) {
        return 0;
    }
    disk->failed = true;
    disk->dead = disk->fail_power;
    return -EIO;
}

/* ---- the functions --------------------------------------------------------------------------- */

static struct file *file_of(struct nodes_disk *disk, int handle)
{
    STEWARD_ASSERT(handle >= 0 && handle < HANDLES_MAX && disk->handles[handle].open);
    return &disk->files[disk->handles[handle].file];
}

static int take_handle(struct nodes_disk *disk, int file, int how)
{
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (!disk->handles[i].open) {
            disk->handles[i] = (struct handle){
                .open = true, .synced = how & LOG_OPEN_SYNCED, .file = (unsigned)file};
            return i;
        }
    }
    return -EMFILE;
}

static int disk_open(void *context, const char *path, int how)
{
    struct nodes_disk *disk = context;
    int file = find(disk, path);
    if (file < 0 && how & LOG_OPEN_CREATE) {
        int status = change(disk);
        file = status ? status : create(disk, path);
    }
    return file < 0 ? file : take_handle(disk, file, how);
}

static void disk_close(void *context, int handle)
{
    struct nodes_disk *disk = context;
    struct file *file = file_of(disk, handle);
    file->locked = file->locked && !disk->handles[handle].lock;
    disk->handles[handle].open = false;
    sweep(disk);
}

static int64_t disk_size(void *context, int handle)
{
    return (int64_t)file_of(context, handle)->size;
}

static int64_t disk_read(void *context, int handle, void *data, size_t size, uint64_t offset)
{
    return (int64_t)file_read(file_of(context, handle), data, size, offset);
}

/* Room for so much more; takes it. */
static bool grow(struct nodes_disk *disk, struct file *file, uint64_t size)
{
    if (size <= file->size) {
        return true;
    }
    uint64_t more = size - file->size;
    if (disk->limit != UINT64_MAX &&
        (disk->used > disk->limit || more > disk->limit - disk->used)) {
        return false;
    }
    disk->used += more;
    file_grow(file, size);
    return true;
}

static int64_t disk_write(void *context, int handle, const void *data, size_t size, uint64_t offset)
{
    struct nodes_disk *disk = context;
    struct file *file = file_of(disk, handle);
    bool was_dead = disk->dead;
    int status = change(disk);
    if (was_dead || size == 0) {
        return status;
    }
    if (!grow(disk, file, offset + size)) {
        return -ENOSPC;
    }
    file_write(file, data, size, offset);
    if (status != 0) {
        file_tear(file, &disk->rng, offset, size);
    } else if (disk->handles[handle].synced && !disk->lie) {
        file_keep(file, offset, size);
    }
    return status ? status : (int64_t)size;
}

static int disk_allocate(void *context, int handle, uint64_t size)
{
    struct nodes_disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = change(disk);
    return status ? status : grow(disk, file, size) ? 0 : -ENOSPC;
}

static int disk_shrink(void *context, int handle, uint64_t size)
{
    struct nodes_disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = change(disk);
    if (status == 0 && size < file->size) {
        disk->used -= file->size - size;
        file_cut(file, size);
    }
    return status;
}

static int disk_sync(void *context, int handle)
{
    struct nodes_disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = change(disk);
    if (status == 0 && !disk->lie) {
        file_keep(file, 0, file->size);
    }
    return status;
}

static void disk_uncache(void *context, int handle)
{
    file_of(context, handle);
}

static int disk_rename(void *context, const char *from, const char *to)
{
    struct nodes_disk *disk = context;
    int status = change(disk), file = find(disk, from), old = find(disk, to);
    if (status != 0 || file < 0) {
        return status ? status : file;
    }
    if (old >= 0) {
        note_change(disk, old);
        disk->files[old].path[0] = '\0';
    }
    note_change(disk, file);
    set_path(disk->files[file].path, to);
    return 0;
}

static int disk_remove(void *context, const char *path)
{
    struct nodes_disk *disk = context;
    int status = change(disk), file = find(disk, path);
    if (status == 0 && file >= 0) {
        note_change(disk, file);
        disk->files[file].path[0] = '\0';
    }
    return status ? status : file < 0 ? file : 0;
}

/* Durable at once: a directory's own name is nothing that could be lost in between. */
static int disk_make_directory(void *context, const char *path)
{
    struct nodes_disk *disk = context;
    for (int i = 0; i < 4; i++) {
        if (strcmp(disk->directories[i], path) == 0) {
            return -EEXIST;
        }
        if (!disk->directories[i][0]) {
            set_path(disk->directories[i], path);
            return 0;
        }
    }
    return -ENOSPC;
}

static int disk_sync_directory(void *context, const char *path)
{
    struct nodes_disk *disk = context;
    (void)path;
    int status = change(disk);
    if (status == 0 && !disk->lie) {
        disk->changes_count = 0;
        sweep(disk);
    }
    return status;
}

static void visit_in(const char *path, const char *directory, log_visit *visit, void *argument)
{
    size_t size = strlen(directory);
    bool inside = strncmp(path, directory, size) == 0 && path[size] == '/';
    if (inside && !strchr(path + size + 1, '/')) {
        visit(argument, path + size + 1);
    }
}

static int disk_list(void *context, const char *path, log_visit *visit, void *argument)
{
    const struct nodes_disk *disk = context;
    for (int i = 0; i < 4; i++) {
        visit_in(disk->directories[i], path, visit, argument);
    }
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].used && disk->files[i].path[0]) {
            visit_in(disk->files[i].path, path, visit, argument);
        }
    }
    return 0;
}

static int64_t disk_room(void *context, const char *path)
{
    const struct nodes_disk *disk = context;
    (void)path;
    if (disk->limit == UINT64_MAX) {
        return INT64_MAX;
    }
    return disk->limit > disk->used ? (int64_t)(disk->limit - disk->used) : 0;
}

static int disk_lock(void *context, const char *path)
{
    struct nodes_disk *disk = context;
    int file = find(disk, path);
    file = file < 0 ? create(disk, path) : file;
    if (disk->files[file].locked) {
        return -EWOULDBLOCK;
    }
    disk->files[file].locked = true;
    int handle = take_handle(disk, file, 0);
    disk->handles[handle].lock = true;
    return handle;
}

static uint64_t disk_random(void *context)
{
    struct nodes_disk *disk = context;
    return rng_next(&disk->rng);
}

static void disk_pause(void *context, unsigned microseconds)
{
    (void)context;
    (void)microseconds; /* time passes between calls only */
}

/* A job begins when the log first asks for it. */
static bool disk_busy(void *context)
{
    struct nodes_disk *disk = context;
    if (disk->latency_ms == 0) {
        return false;
    }
    if (!disk->working) {
        disk->working = true;
        disk->due_ms = disk->now_ms + rng_between(&disk->rng, 0, disk->latency_ms);
    }
    disk->working = disk->due_ms > disk->now_ms;
    return disk->working;
}

static const struct log_io functions = {
    .open = disk_open,
    .close = disk_close,
    .size = disk_size,
    .read = disk_read,
    .write = disk_write,
    .allocate = disk_allocate,
    .shrink = disk_shrink,
    .sync = disk_sync,
    .uncache = disk_uncache,
    .rename = disk_rename,
    .remove = disk_remove,
    .make_directory = disk_make_directory,
    .sync_directory = disk_sync_directory,
    .list = disk_list,
    .room = disk_room,
    .lock = disk_lock,
    .random = disk_random,
    .pause = disk_pause,
    .busy = disk_busy,
};

/* ---- its life -------------------------------------------------------------------------------- */

struct nodes_disk *nodes_disk_new(uint64_t seed)
{
    struct nodes_disk *disk = mem_zalloc(1, sizeof *disk);
    disk->io = functions;
    disk->io.context = disk;
    disk->rng.state = seed;
    disk->limit = UINT64_MAX;
    return disk;
}

void nodes_disk_free(struct nodes_disk **disk)
{
    if (*disk) {
        for (int i = 0; i < FILES_MAX; i++) {
            file_free(&(*disk)->files[i]);
        }
        free(*disk);
    }
    *disk = NULL;
}

const struct log_io *nodes_disk_io(struct nodes_disk *disk)
{
    return &disk->io;
}

void nodes_disk_time(struct nodes_disk *disk, uint64_t now_ms, uint64_t latency_ms)
{
    disk->now_ms = now_ms;
    disk->latency_ms = latency_ms;
}

uint64_t nodes_disk_due(const struct nodes_disk *disk)
{
    return disk->working ? disk->due_ms : UINT64_MAX;
}

uint64_t nodes_disk_calls(const struct nodes_disk *disk)
{
    return disk->calls;
}

void nodes_disk_fail(struct nodes_disk *disk, uint64_t nth, bool power)
{
    disk->fail_in = nth;
    disk->fail_power = power;
}

bool nodes_disk_dead(const struct nodes_disk *disk)
{
    return disk->dead;
}

bool nodes_disk_failed(const struct nodes_disk *disk)
{
    return disk->failed;
}

void nodes_disk_limit(struct nodes_disk *disk, uint64_t bytes)
{
    disk->limit = bytes == UINT64_MAX ? bytes : disk->used + bytes;
}

void nodes_disk_lie(struct nodes_disk *disk)
{
    disk->lie = true;
}

/* Names change in order, as in a file system's journal: the last ones are undone. */
static void forget_names(struct nodes_disk *disk)
{
    uint64_t kept = rng_below(&disk->rng, disk->changes_count + 1);
    while (disk->changes_count > kept) {
        struct change *last = &disk->changes[--disk->changes_count];
        memcpy(disk->files[last->file].path, last->old, FILE_PATH_BYTES);
    }
}

void nodes_disk_end(struct nodes_disk *disk, enum disk_end how)
{
    if (how == DISK_POWER_OFF) {
        forget_names(disk);
    }
    disk->changes_count = 0;
    memset(disk->handles, 0, sizeof disk->handles);
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &disk->files[i];
        file->locked = false;
        if (file->used && how == DISK_POWER_OFF) {
            disk->used -= file->size;
            file_lose(file, &disk->rng);
            disk->used += file->size;
        } else if (file->used) {
            file_keep(file, 0, file->size);
        }
    }
    sweep(disk);
    disk->dead = disk->failed = disk->working = false;
    disk->fail_in = 0;
}
