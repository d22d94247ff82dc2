/* What the process asks of its host once, at start: randomness, descriptors, memory, versions. */
#ifndef BROKER_SHELL_SYSTEM_H
#define BROKER_SHELL_SYSTEM_H

#include "broker/shell/log.h"

/* size bytes from the kernel's random source; waits for it at boot, never fails. */
void system_random(void *out, size_t size);

/* A sentence (static) when a library on this host must not be used, or NULL. */
const char *system_problem(void);

/* Seeds rand(), raises the descriptor limit, tunes malloc. Before the first socket and thread. */
void system_prepare(struct log *log, uint64_t connections_max);

/* true: the process can open no further descriptor now. */
bool system_descriptors_exhausted(void);

/* What the process has used so far: milliseconds of processors, bytes of memory at present. */
struct system_usage {
    uint64_t cpu_ms, rss_bytes;
};
void system_usage(struct system_usage *out);

#endif
