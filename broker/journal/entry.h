/*
 * The payload of a command entry: commands, each with its time, one behind the other.
 *
 *     u8 version, then for each command: u64 time (ms), u32 bytes, command_encode()'s bytes
 *
 * A leader writes the newest version that all nodes know (docs/decisions/rolling-upgrades.md).
 */
#ifndef BROKER_JOURNAL_ENTRY_H
#define BROKER_JOURNAL_ENTRY_H

#include "broker/core/command.h"

/* version: the newest that this build knows. In a file of its own, so that a test can link a
 * program of the next version. */
extern const uint8_t entry_format;

/* Appends a command; the first one begins the payload, in this version. Returns how many bytes it
 * took. */
size_t entry_add(struct buf *payload, uint8_t version, uint64_t now_ms,
                 const struct command *command);

/* Moves the last `size` bytes, one command, into an empty payload. */
void entry_move_last(struct buf *from, size_t size, struct buf *to);

/* Reading: begin once, next until it is false; then entry_whole says whether that was all. */
struct entry_reader {
    struct reader reader;
    uint8_t version; /* 0: there is none */
    bool good;
};

/* Versions up to `newest` are read. */
void entry_begin(struct entry_reader *entry, struct slice payload, uint8_t newest);

/* The next command; borrows from the payload, and from the arena until its next use. */
bool entry_next(struct entry_reader *entry, struct command_arena *arena, uint64_t *now_ms,
                struct command *command);

/* All was read and made sense. */
bool entry_whole(const struct entry_reader *entry);

#endif
