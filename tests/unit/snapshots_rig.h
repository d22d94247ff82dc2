/*
 * Cores of any size, marks that go with them, and what a store of snapshots should hold.
 * Header only; a test program includes it once.
 */
#ifndef TESTS_UNIT_SNAPSHOTS_RIG_H
#define TESTS_UNIT_SNAPSHOTS_RIG_H

#include "broker/journal/snapshots_format.h"
#include "common/base/panic.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED_RIG __attribute__((unused))

/* A core with one message of `first` bytes, then that many of `size` bytes (at most 1,000). */
UNUSED_RIG static struct core *rig_core_of(size_t first, uint64_t messages, size_t size,
                                           char letter)
{
    struct core *core = core_new();
    struct effects effects = {0};
    struct command command = {.kind = COMMAND_BOOTSTRAP, .bootstrap = {.hash_key = 7}};
    uint8_t body[1000];
    memset(body, letter, sizeof body);
    core_apply(core, 1, &command, &effects);
    command = (struct command){.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 10000}};
    core_apply(core, 2, &command, &effects);
    for (uint64_t i = 0; i <= messages; i++) {
        struct slice one = slice_of(body, i == 0 ? first : size);
        command = (struct command){.kind = COMMAND_PUT, .session = 1, .request = i + 1};
        command.put = (struct cmd_put){.queue = slice_str("q"), .bodies = &one, .count = 1};
        core_apply(core, 3, &command, &effects);
    }
    effects_fini(&effects);
    return core;
}

/* A core with that many messages of 1,000 bytes and the letter in them. */
UNUSED_RIG static struct core *rig_core(uint64_t messages, char letter)
{
    return rig_core_of(1000, messages - 1, 1000, letter);
}

UNUSED_RIG static struct snapshot_mark rig_mark(uint64_t index)
{
    struct snapshot_mark mark = {
        .at = {.index = index, .term = 3, .members_index = 1}, .hash = ~index, .time_ms = 17};
    members_set(&mark.at.members, 1, MEMBER_VOTER);
    members_set(&mark.at.members, 5, MEMBER_SPARE);
    return mark;
}

UNUSED_RIG static bool rig_same(const struct core *one, const struct core *other)
{
    struct buf first = {0}, second = {0};
    core_snapshot(one, &first);
    core_snapshot(other, &second);
    bool same = slice_equal(buf_view(&first), buf_view(&second));
    buf_fini(&first);
    buf_fini(&second);
    return same;
}

/* The newest is that one, says so, and loads as this core. */
UNUSED_RIG static void rig_expect(struct snapshots *snapshots, uint64_t index,
                                  const struct core *core)
{
    struct snapshot_mark mark, wanted = rig_mark(index);
    struct log_error error = {.trouble = LOG_FINE};
    struct core *loaded = rig_core(3, 'x');
    ck_assert(snapshots_newest(snapshots, &mark));
    ck_assert_uint_eq(mark.at.index, index);
    ck_assert_uint_eq(mark.at.term, wanted.at.term);
    ck_assert_uint_eq(mark.at.members_index, wanted.at.members_index);
    ck_assert(members_equal(&mark.at.members, &wanted.at.members));
    ck_assert_uint_eq(mark.hash, wanted.hash);
    ck_assert_uint_eq(mark.time_ms, wanted.time_ms);
    ck_assert_uint_gt(mark.bytes, 0);
    ck_assert_msg(snapshots_load(snapshots, loaded, &error), "%s", error.text);
    ck_assert(rig_same(loaded, core));
    core_check(loaded);
    core_destroy(&loaded);
}

/* All bytes of a kept file. */
UNUSED_RIG static struct buf rig_bytes(struct snapshots *snapshots, uint64_t index)
{
    struct buf bytes = {0};
    uint64_t size;
    ck_assert(snapshots_size(snapshots, index, &size));
    buf_reserve(&bytes, (size_t)size + 1);
    ck_assert_int_eq(snapshots_read(snapshots, index, 0, bytes.data, (size_t)size + 1),
                     (int64_t)size);
    bytes.size = (size_t)size;
    return bytes;
}

/* Receives these bytes in pieces of that many. */
UNUSED_RIG static bool rig_receive(struct snapshots *snapshots, uint64_t index, struct slice bytes,
                                   size_t piece, struct log_error *error)
{
    if (!snapshots_receive_begin(snapshots, index, bytes.size, error)) {
        return false;
    }
    for (size_t at = 0; at < bytes.size; at += piece) {
        size_t size = bytes.size - at < piece ? bytes.size - at : piece;
        ck_assert_uint_eq(snapshots_received(snapshots), at);
        if (!snapshots_receive(snapshots, at, slice_of(bytes.data + at, size), error)) {
            return false;
        }
    }
    return snapshots_receive_end(snapshots, error);
}

#endif
