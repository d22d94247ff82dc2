/*
 * The payload of a command entry: commands, each with its time, one behind the other.
 *
 *     u8 version (1), then for each command: u64 time (ms), u32 bytes, command_encode()'s bytes
 */
#ifndef BROKER_JOURNAL_ENTRY_H
#define BROKER_JOURNAL_ENTRY_H

#include "broker/core/command.h"

/* Appends a command; the first one begins the payload. Returns how many bytes it took. */
size_t entry_add(struct buf *payload, uint64_t now_ms, const struct command *command);

/* Moves the last `size` bytes, one command, into an empty payload. */
void entry_move_last(struct buf *from, size_t size, struct buf *to);

/* Reading: begin once, next until it is false; then entry_whole says whether that was all. */
struct entry_reader {
    struct reader reader;
    bool good;
};

void entry_begin(struct entry_reader *entry, struct slice payload);

/* The next command; borrows from the payload, and from the arena until its next use. */
bool entry_next(struct entry_reader *entry, struct command_arena *arena, uint64_t *now_ms,
                struct command *command);

/* All was read and made sense. */
bool entry_whole(const struct entry_reader *entry);

#endif
