/*
 * Simulation B: a node's disk, in memory, behind the functions that the log and the store of
 * snapshots ask for (struct log_io).
 *
 * A write is durable when it returns if the file was opened LOG_OPEN_SYNCED, else after a sync;
 * names after sync_directory. A loss of power forgets the rest: of each sector, and of the last
 * changes of names, chance decides what had reached the disk already. One thread; no clock.
 */
#ifndef TESTS_SIM_NODES_DISK_H
#define TESTS_SIM_NODES_DISK_H

#include "broker/journal/log_io.h"
#include "tests/sim/sim_random.h"

struct nodes_disk;

enum disk_end {
    DISK_KILLED,   /* the process ended; the system wrote everything later */
    DISK_POWER_OFF /* so did the machine */
};

struct nodes_disk *nodes_disk_new(uint64_t seed);
void nodes_disk_free(struct nodes_disk **disk);
const struct log_io *nodes_disk_io(struct nodes_disk *disk);

/* The disk's time, and how long a job of the log takes at most (ms). */
void nodes_disk_time(struct nodes_disk *disk, uint64_t now_ms, uint64_t latency_ms);
/* When the job at work is done; UINT64_MAX: none is at work. */
uint64_t nodes_disk_due(const struct nodes_disk *disk);
/* Counts everything that changes the disk. */
uint64_t nodes_disk_calls(const struct nodes_disk *disk);

/* The n-th change from now on fails, torn: with EIO, or as the power goes in the midst of it:
 * then nothing works any more until the end. */
void nodes_disk_fail(struct nodes_disk *disk, uint64_t nth, bool power);
/* It has come to that. */
bool nodes_disk_dead(const struct nodes_disk *disk);
bool nodes_disk_failed(const struct nodes_disk *disk);
/* No room for more than so many bytes beyond what is there; UINT64_MAX: any. */
void nodes_disk_limit(struct nodes_disk *disk, uint64_t bytes);
/* Syncs do nothing: a deliberate bug. */
void nodes_disk_lie(struct nodes_disk *disk);

/* All handles and locks are gone, and maybe what was not durable. */
void nodes_disk_end(struct nodes_disk *disk, enum disk_end how);

#endif
