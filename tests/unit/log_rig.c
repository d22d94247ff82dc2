/* A disk in memory. See log_rig.h. */
#include "tests/unit/log_rig.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX   128
#define HANDLES_MAX 64
#define CHANGES_MAX 64
#define NAME_BYTES  64

struct file {
    char name[NAME_BYTES];
    uint8_t *now, *durable; /* what reads see, and what a crash leaves */
    uint64_t size, durable_size;
    bool locked;
};

struct handle {
    bool open;
    bool synced;
    bool lock;
    unsigned file; /* identity, names may change meanwhile */
};

/* A rename or removal that is not durable yet. */
struct change {
    unsigned file;
    char old[NAME_BYTES];
};

struct disk {
    struct log_io io;
    uint64_t random;
    struct file files[FILES_MAX]; /* empty name: not there */
    struct handle handles[HANDLES_MAX];
    struct change changes[CHANGES_MAX];
    unsigned changes_count;
    unsigned calls[DISK_CALLS];
    unsigned fail_at[DISK_CALLS];
    int fail_error[DISK_CALLS];
    bool tear, shorten, no_direct, lie;
    uint64_t limit;
};

static uint64_t next_number(struct disk *disk)
{
    uint64_t z = (disk->random += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static int failing(struct disk *disk, enum disk_call call)
{
    disk->calls[call]++;
    return disk->fail_at[call] != 0 && --disk->fail_at[call] == 0 ? -disk->fail_error[call] : 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int find(const struct disk *disk, const char *path)
{
    const char *name = base_name(path);
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].name[0] != '\0' && strcmp(disk->files[i].name, name) == 0) {
            return i;
        }
    }
    return -ENOENT;
}

static void set_name(struct file *file, const char *path)
{
    snprintf(file->name, sizeof file->name, "%s", base_name(path));
}

static int create(struct disk *disk, const char *path)
{
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &disk->files[i];
        bool pending = false;
        for (unsigned c = 0; c < disk->changes_count; c++) {
            pending = pending || disk->changes[c].file == (unsigned)i;
        }
        if (file->name[0] == '\0' && !pending) {
            free(file->now);
            free(file->durable);
            *file = (struct file){.size = 0};
            set_name(file, path);
            return i;
        }
    }
    ck_abort_msg("too many files");
    return -ENOSPC;
}

static int take_handle(struct disk *disk, int file, int how)
{
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (!disk->handles[i].open) {
            disk->handles[i] = (struct handle){
                .open = true, .synced = how & LOG_OPEN_SYNCED, .file = (unsigned)file};
            return i;
        }
    }
    ck_abort_msg("too many handles");
    return -EMFILE;
}

static int disk_open(void *context, const char *path, int how)
{
    struct disk *disk = context;
    int status = failing(disk, DISK_OPEN);
    if (status != 0) {
        return status;
    }
    if (disk->no_direct && how & LOG_OPEN_DIRECT) {
        return -EINVAL;
    }
    int file = find(disk, path);
    if (file < 0 && how & LOG_OPEN_CREATE) {
        file = create(disk, path);
    }
    return file < 0 ? file : take_handle(disk, file, how);
}

static struct file *file_of(struct disk *disk, int handle)
{
    ck_assert(handle >= 0 && handle < HANDLES_MAX && disk->handles[handle].open);
    return &disk->files[disk->handles[handle].file];
}

static void disk_close(void *context, int handle)
{
    struct disk *disk = context;
    struct file *file = file_of(disk, handle);
    file->locked = file->locked && !disk->handles[handle].lock;
    disk->handles[handle].open = false;
}

static int64_t disk_size(void *context, int handle)
{
    return (int64_t)file_of(context, handle)->size;
}

static int64_t disk_read(void *context, int handle, void *data, size_t size, uint64_t offset)
{
    struct file *file = file_of(context, handle);
    int status = failing(context, DISK_READ);
    if (status != 0 || offset >= file->size) {
        return status;
    }
    size = size < file->size - offset ? size : (size_t)(file->size - offset);
    memcpy(data, file->now + offset, size);
    return (int64_t)size;
}

static uint64_t used(const struct disk *disk)
{
    uint64_t bytes = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        bytes += disk->files[i].name[0] ? disk->files[i].size : 0;
    }
    return bytes;
}

static void grow(uint8_t **data, uint64_t *size, uint64_t wanted)
{
    if (wanted > *size) {
        *data = mem_realloc(*data, 1, (size_t)wanted);
        memset(*data + *size, 0, (size_t)(wanted - *size));
        *size = wanted;
    }
}

/* Some sectors of what was written, by chance, or all. */
static void settle(struct disk *disk, struct file *file, uint64_t offset, uint64_t size, bool all)
{
    grow(&file->durable, &file->durable_size, file->size);
    for (uint64_t at = offset / LOG_SECTOR * LOG_SECTOR; at < offset + size; at += LOG_SECTOR) {
        uint64_t end = at + LOG_SECTOR < file->size ? at + LOG_SECTOR : file->size;
        if (all || next_number(disk) % 2) {
            memcpy(file->durable + at, file->now + at, (size_t)(end - at));
        }
    }
}

static int64_t disk_write(void *context, int handle, const void *data, size_t size, uint64_t offset)
{
    struct disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = failing(disk, DISK_WRITE);
    if (offset + size > file->size && used(disk) + (offset + size - file->size) > disk->limit) {
        return -ENOSPC;
    }
    if (status != 0 && !disk->tear && !disk->shorten) {
        return status;
    }
    grow(&file->now, &file->size, offset + size);
    memcpy(file->now + offset, data, size);
    if (status != 0) {
        settle(disk, file, offset, size, false);
        return disk->shorten ? (int64_t)(size / 2) : status;
    }
    if (disk->handles[handle].synced && !disk->lie) {
        settle(disk, file, offset, size, true);
    }
    return (int64_t)size;
}

static int disk_allocate(void *context, int handle, uint64_t size)
{
    struct disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = failing(disk, DISK_ALLOCATE);
    if (status == 0 && size > file->size && used(disk) + size - file->size > disk->limit) {
        return -ENOSPC;
    }
    if (status == 0) {
        grow(&file->now, &file->size, size);
    }
    return status;
}

static int disk_shrink(void *context, int handle, uint64_t size)
{
    struct disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = failing(disk, DISK_SHRINK);
    if (status == 0 && size < file->size) {
        file->size = size; /* a crash may bring the rest back */
    }
    return status;
}

static int disk_sync(void *context, int handle)
{
    struct disk *disk = context;
    struct file *file = file_of(disk, handle);
    int status = failing(disk, DISK_SYNC);
    if (status == 0 && !disk->lie) {
        settle(disk, file, 0, file->size, true);
    }
    return status;
}

static void disk_uncache(void *context, int handle)
{
    file_of(context, handle);
}

static void note_change(struct disk *disk, int file)
{
    ck_assert_uint_lt(disk->changes_count, CHANGES_MAX);
    struct change *change = &disk->changes[disk->changes_count++];
    change->file = (unsigned)file;
    memcpy(change->old, disk->files[file].name, NAME_BYTES);
}

static int disk_rename(void *context, const char *from, const char *to)
{
    struct disk *disk = context;
    int status = failing(disk, DISK_RENAME);
    int file = find(disk, from), old = find(disk, to);
    if (status != 0 || file < 0) {
        return status ? status : file;
    }
    if (old >= 0) {
        note_change(disk, old);
        disk->files[old].name[0] = '\0';
    }
    note_change(disk, file);
    set_name(&disk->files[file], to);
    return 0;
}

static int disk_unlink(void *context, const char *path)
{
    struct disk *disk = context;
    int file = find(disk, path);
    if (file >= 0) {
        note_change(disk, file);
        disk->files[file].name[0] = '\0';
    }
    return file < 0 ? file : 0;
}

static int disk_make_directory(void *context, const char *path)
{
    (void)context;
    (void)path; /* one flat directory holds everything */
    return -EEXIST;
}

static int disk_sync_directory(void *context, const char *path)
{
    struct disk *disk = context;
    (void)path;
    int status = failing(disk, DISK_SYNC_DIRECTORY);
    if (status == 0) {
        disk->changes_count = 0;
    }
    return status;
}

/* One flat directory holds everything; which name lies where is known by how it ends. */
static const char *place_of(const char *name)
{
    bool in_log =
        strstr(name, ".segment") || strstr(name, ".pool") || strcmp(name, "unfinished") == 0;
    return in_log ? "log" : strstr(name, ".snapshot") ? "snapshot" : "";
}

static int disk_list(void *context, const char *path, log_visit *visit, void *argument)
{
    struct disk *disk = context;
    const char *base = base_name(path);
    const char *place = strcmp(base, "log") == 0 || strcmp(base, "snapshot") == 0 ? base : "";
    for (int i = 0; i < FILES_MAX; i++) {
        const char *name = disk->files[i].name;
        if (name[0] != '\0' && strcmp(place_of(name), place) == 0) {
            visit(argument, name);
        }
    }
    return 0;
}

static int64_t disk_room(void *context, const char *path)
{
    struct disk *disk = context;
    (void)path;
    /* More than there is: so that the tests reach what happens when the room was a mistake. */
    return disk->limit > used(disk) ? INT64_MAX : 0;
}

static int disk_lock(void *context, const char *path)
{
    struct disk *disk = context;
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
    return next_number(context);
}

static void disk_pause(void *context, unsigned microseconds)
{
    (void)context;
    (void)microseconds; /* time does not pass here */
}

static const struct log_io disk_functions = {
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
    .remove = disk_unlink,
    .make_directory = disk_make_directory,
    .sync_directory = disk_sync_directory,
    .list = disk_list,
    .room = disk_room,
    .lock = disk_lock,
    .random = disk_random,
    .pause = disk_pause,
};

struct disk *disk_new(uint64_t seed)
{
    struct disk *disk = mem_zalloc(1, sizeof *disk);
    disk->io = disk_functions;
    disk->io.context = disk;
    disk->random = seed;
    disk->limit = UINT64_MAX;
    return disk;
}

void disk_free(struct disk **disk)
{
    for (int i = 0; i < FILES_MAX; i++) {
        free((*disk)->files[i].now);
        free((*disk)->files[i].durable);
    }
    free(*disk);
    *disk = NULL;
}

struct disk *disk_copy(const struct disk *disk)
{
    struct disk *copy = mem_dup(disk, sizeof *disk);
    copy->io.context = copy;
    memset(copy->handles, 0, sizeof copy->handles);
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &copy->files[i];
        file->now = file->now ? mem_dup(file->now, (size_t)file->size) : NULL;
        file->durable = file->durable ? mem_dup(file->durable, (size_t)file->durable_size) : NULL;
        file->locked = false;
    }
    return copy;
}

const struct log_io *disk_io(struct disk *disk)
{
    return &disk->io;
}

void disk_fail(struct disk *disk, enum disk_call call, unsigned nth, int error)
{
    disk->fail_at[call] = nth;
    disk->fail_error[call] = error;
}

bool disk_failed(const struct disk *disk, enum disk_call call)
{
    return disk->fail_at[call] == 0;
}

void disk_tear(struct disk *disk, bool tear)
{
    disk->tear = tear;
}

void disk_shorten(struct disk *disk, bool shorten)
{
    disk->shorten = shorten;
}

void disk_limit(struct disk *disk, uint64_t bytes)
{
    disk->limit = bytes;
}

void disk_refuse_direct(struct disk *disk)
{
    disk->no_direct = true;
}

void disk_lie(struct disk *disk, bool lie)
{
    disk->lie = lie;
}

unsigned disk_count(const struct disk *disk, enum disk_call call)
{
    return disk->calls[call];
}

void disk_crash(struct disk *disk)
{
    /* Names change in order, as in a journal: the last ones are undone. */
    unsigned kept =
        disk->changes_count ? (unsigned)(next_number(disk) % (disk->changes_count + 1)) : 0;
    while (disk->changes_count > kept) {
        struct change *change = &disk->changes[--disk->changes_count];
        memcpy(disk->files[change->file].name, change->old, NAME_BYTES);
    }
    disk->changes_count = 0;
    for (int i = 0; i < FILES_MAX; i++) {
        struct file *file = &disk->files[i];
        file->locked = false;
        for (uint64_t at = 0; file->now && at < file->size; at += LOG_SECTOR) {
            settle(disk, file, at, 1, false);
        }
        if (file->durable) {
            memcpy(file->now, file->durable, (size_t)file->size);
        }
    }
    memset(disk->handles, 0, sizeof disk->handles);
    memset(disk->fail_at, 0, sizeof disk->fail_at);
    disk->tear = disk->shorten = false;
}

uint8_t *disk_file(struct disk *disk, const char *name, uint64_t *size)
{
    int file = find(disk, name);
    if (file < 0) {
        return NULL;
    }
    if (size != NULL) {
        *size = disk->files[file].size;
    }
    return disk->files[file].now;
}

void disk_resize(struct disk *disk, const char *name, uint64_t size)
{
    int file = find(disk, name);
    ck_assert_int_ge(file, 0);
    grow(&disk->files[file].now, &disk->files[file].size, size);
    disk->files[file].size = size;
}

void disk_remove(struct disk *disk, const char *name)
{
    int file = find(disk, name);
    ck_assert_int_ge(file, 0);
    disk->files[file].name[0] = '\0';
}
