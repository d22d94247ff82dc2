/*
 * The store of snapshots on a disk that fails, tears, fills up and forgets: whatever happens, the
 * old snapshot or the new one is there, whole, and what is not whole is found.
 */
#include "tests/unit/log_rig.h"
#include "tests/unit/snapshots_rig.h"

#include <errno.h>

#define OLD_MESSAGES 300 /* two blocks */
#define NEW_MESSAGES 700 /* three */

struct world {
    struct disk *disk;
    struct snapshots *store;
    struct core *old, *new;
    struct log_error error;
};

static struct snapshots *open_store(struct world *world)
{
    struct snapshots_options options = {
        .directory = "/data", .io = disk_io(world->disk), .no_fork = true};
    return snapshots_open(&options, &world->error);
}

static enum snapshots_event take(struct world *world, uint64_t index, const struct core *core)
{
    struct snapshot_mark mark = rig_mark(index);
    enum snapshots_event event = SNAPSHOTS_NOTHING;
    ck_assert(snapshots_begin(world->store, &mark, core));
    ck_assert(!snapshots_begin(world->store, &mark, core));
    for (int i = 0; i < 100 && event == SNAPSHOTS_NOTHING; i++) {
        ck_assert(snapshots_writing(world->store));
        event = snapshots_process(world->store, &world->error);
    }
    ck_assert(!snapshots_writing(world->store));
    return event;
}

/* One snapshot, of index 10, is there. */
static void begin(struct world *world, uint64_t seed)
{
    *world = (struct world){.disk = disk_new(seed),
                            .old = rig_core(OLD_MESSAGES, 'o'),
                            .new = rig_core(NEW_MESSAGES, 'n')};
    world->store = open_store(world);
    ck_assert_ptr_nonnull(world->store);
    ck_assert_int_eq(take(world, 10, world->old), SNAPSHOTS_WRITTEN);
}

static void end(struct world *world)
{
    snapshots_close(&world->store);
    core_destroy(&world->old);
    core_destroy(&world->new);
    disk_free(&world->disk);
}

/* What a start after a crash finds: the last one taken before it, or 20, whole. */
static uint64_t after_crash(struct world *world)
{
    struct snapshot_mark mark;
    snapshots_close(&world->store);
    disk_crash(world->disk);
    world->store = open_store(world);
    ck_assert_msg(world->store != NULL, "%s", world->error.text);
    ck_assert(snapshots_newest(world->store, &mark));
    rig_expect(world->store, mark.at.index, mark.at.index < 20 ? world->old : world->new);
    ck_assert_int_eq(snapshots_damage(world->store)->trouble, LOG_FINE);
    return mark.at.index;
}

/* ---- damage --------------------------------------------------------------------------------- */

static const char *const file_10 = "000000000000000a.snapshot";

static void expect_found(struct world *world, const char *what, uint64_t at)
{
    struct log_error error;
    struct snapshot_mark mark;
    struct core *core = rig_core(1, 'x');
    bool good = snapshot_verify(disk_io(world->disk), file_10, &mark, &error);
    ck_assert_msg(!good, "%s at %lu was not found", what, (unsigned long)at);
    ck_assert_int_eq(error.trouble, LOG_CORRUPTED);
    ck_assert_ptr_nonnull(strstr(error.text, file_10));
    if (at % 16 == 0) {
        ck_assert(!snapshot_load(disk_io(world->disk), file_10, core, NULL, &error));
        ck_assert_uint_eq(core_bytes(core), 0);
    }
    core_destroy(&core);
}

START_TEST(every_flipped_byte_is_found)
{
    struct world world;
    uint64_t size;
    begin(&world, 1);
    uint8_t *bytes = disk_file(world.disk, file_10, &size);
    ck_assert_uint_gt(size, 2 * SNAPSHOT_BLOCK / 2);
    for (uint64_t at = 0; at < size;) {
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        expect_found(&world, "a flipped bit", at);
        bytes[at] ^= (uint8_t)(1u << (at % 8));
        bool edge = at < 128 || (at >= SNAPSHOT_ALIGN - 8 && at < SNAPSHOT_ALIGN + 32) ||
                    at >= size - SNAPSHOT_ALIGN;
        at += edge ? 1 : 509;
    }
    ck_assert(snapshot_verify(disk_io(world.disk), file_10, NULL, &world.error));
    end(&world);
}
END_TEST

START_TEST(every_cut_is_found)
{
    struct world world;
    uint64_t size;
    begin(&world, 1);
    disk_file(world.disk, file_10, &size);
    struct disk *whole = world.disk;
    for (uint64_t at = 0; at <= size + SNAPSHOT_ALIGN; at += SNAPSHOT_ALIGN / 2) {
        if (at != size) {
            world.disk = disk_copy(whole);
            disk_resize(world.disk, file_10, at);
            expect_found(&world, "a cut", at);
            disk_free(&world.disk);
        }
    }
    world.disk = whole;
    end(&world);
}
END_TEST

/* A damaged newest one: passed over, told of, and left alone. */
START_TEST(an_older_one_is_used)
{
    struct world world;
    uint64_t size;
    begin(&world, 1);
    ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_WRITTEN);
    disk_file(world.disk, "0000000000000014.snapshot", &size)[5000] ^= 1;
    snapshots_close(&world.store);
    world.store = open_store(&world);
    ck_assert_ptr_nonnull(world.store);
    rig_expect(world.store, 10, world.old);
    ck_assert_int_eq(snapshots_damage(world.store)->trouble, LOG_CORRUPTED);
    ck_assert_ptr_nonnull(strstr(snapshots_damage(world.store)->text, "0000000000000014"));
    ck_assert(!snapshots_size(world.store, 20, &size));
    ck_assert_ptr_nonnull(disk_file(world.disk, "0000000000000014.snapshot", &size));
    ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_WRITTEN); /* takes its place */
    rig_expect(world.store, 20, world.new);
    snapshots_close(&world.store);
    world.store = open_store(&world);
    rig_expect(world.store, 20, world.new);
    ck_assert_int_eq(snapshots_damage(world.store)->trouble, LOG_FINE);
    end(&world);
}
END_TEST

/* Whatever is read across the end of a block stays what it was until it is taken in. */
START_TEST(blocks_end_anywhere)
{
    struct world world;
    begin(&world, 1);
    for (size_t first = 0; first < 50; first++) {
        struct core *core = rig_core_of(first, 7000, 20, 'z');
        ck_assert_int_eq(take(&world, 20 + first, core), SNAPSHOTS_WRITTEN);
        rig_expect(world.store, 20 + first, core);
        core_destroy(&core);
    }
    end(&world);
}
END_TEST

START_TEST(a_newer_format_is_refused)
{
    struct world world;
    uint64_t size;
    uint8_t header[SNAPSHOT_ALIGN];
    begin(&world, 1);
    uint8_t *bytes = disk_file(world.disk, file_10, &size);
    memcpy(header, bytes, sizeof header);
    header[8]++; /* the version; a file of that version has a right checksum, too */
    struct buf sum = {0};
    buf_u64(&sum, snapshot_block_sum(header, SNAPSHOT_ALIGN - 8));
    memcpy(header + SNAPSHOT_ALIGN - 8, sum.data, 8);
    memcpy(bytes, header, sizeof header);
    buf_fini(&sum);
    snapshots_close(&world.store);
    ck_assert_ptr_null(open_store(&world));
    ck_assert_int_eq(world.error.trouble, LOG_NEWER);
    ck_assert_ptr_nonnull(strstr(world.error.text, "newer"));
    end(&world);
}
END_TEST

/* ---- failing calls -------------------------------------------------------------------------- */

static const enum disk_call kinds[] = {DISK_OPEN, DISK_ALLOCATE, DISK_WRITE,         DISK_SHRINK,
                                       DISK_SYNC, DISK_RENAME,   DISK_SYNC_DIRECTORY};
#define KINDS (sizeof kinds / sizeof *kinds)

/* A call fails while 20 is taken, with 5 and 10 there: 5's blocks are used again. */
static bool fail_once(enum disk_call kind, unsigned nth, int error, bool tear)
{
    struct world world;
    struct snapshot_mark mark;
    begin(&world, nth * 8 + kind);
    struct core *long_one = rig_core(2 * NEW_MESSAGES, 'l');
    ck_assert_int_eq(take(&world, 15, long_one), SNAPSHOTS_WRITTEN);
    ck_assert_int_eq(take(&world, 16, world.old), SNAPSHOTS_WRITTEN);
    disk_tear(world.disk, tear);
    disk_fail(world.disk, kind, nth, error);
    enum snapshots_event event = take(&world, 20, world.new);
    bool failed = disk_failed(world.disk, kind);
    disk_fail(world.disk, kind, 0, 0);
    bool shrugged = kind == DISK_ALLOCATE && error == ENOSPC; /* it may still be enough */
    ck_assert_int_eq(event, failed && !shrugged ? SNAPSHOTS_FAILED : SNAPSHOTS_WRITTEN);
    ck_assert_int_eq(world.error.trouble, event == SNAPSHOTS_WRITTEN ? LOG_FINE
                                          : error == ENOSPC          ? LOG_NO_ROOM
                                                                     : LOG_IO_FAILED);
    ck_assert(snapshots_newest(world.store, &mark));
    ck_assert_uint_eq(mark.at.index, event == SNAPSHOTS_WRITTEN ? 20 : 16);
    if (event == SNAPSHOTS_FAILED && error == ENOSPC) { /* later there is room */
        disk_tear(world.disk, false);
        ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_WRITTEN);
        ck_assert_uint_eq(after_crash(&world), 20);
    }
    core_destroy(&long_one);
    end(&world);
    return failed;
}

START_TEST(the_nth_call_fails)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        unsigned nth = 1;
        while (fail_once(kinds[kind], nth, ENOSPC, nth % 2)) {
            ck_assert(fail_once(kinds[kind], nth, EIO, nth % 2));
            nth++;
        }
        ck_assert_uint_gt(nth, 1); /* each kind is used */
    }
}
END_TEST

/* What cannot be read is no damage: it is the disk's failure. */
START_TEST(reading_fails)
{
    struct world world;
    unsigned opens = 0, loads = 0;
    begin(&world, 1);
    for (unsigned nth = 1; nth < 20; nth++) {
        struct core *core = rig_core(2, 'x');
        disk_fail(world.disk, DISK_READ, nth, EIO);
        if (!snapshots_load(world.store, core, &world.error)) {
            ck_assert_int_eq(world.error.trouble, LOG_IO_FAILED);
            ck_assert_uint_eq(core_bytes(core), 0);
            loads++;
        }
        core_destroy(&core);
        snapshots_close(&world.store);
        disk_fail(world.disk, DISK_READ, nth, EIO);
        world.store = open_store(&world);
        if (!world.store) {
            ck_assert_int_eq(world.error.trouble, LOG_IO_FAILED);
            disk_fail(world.disk, DISK_READ, 0, 0);
            world.store = open_store(&world);
            opens++;
        }
        disk_fail(world.disk, DISK_READ, 0, 0);
        rig_expect(world.store, 10, world.old);
    }
    ck_assert_uint_ge(opens, 4); /* header, table, two blocks */
    ck_assert_uint_ge(loads, 5); /* and the first block once more */
    end(&world);
}
END_TEST

START_TEST(a_full_disk_keeps_the_old_one)
{
    struct world world;
    uint64_t size;
    begin(&world, 1);
    disk_file(world.disk, file_10, &size);
    for (uint64_t room = 0; room < 3 * SNAPSHOT_BLOCK; room += SNAPSHOT_BLOCK) {
        disk_limit(world.disk, size + room);
        ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_FAILED);
        ck_assert_int_eq(world.error.trouble, LOG_NO_ROOM);
        rig_expect(world.store, 10, world.old);
    }
    disk_limit(world.disk, UINT64_MAX);
    ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_WRITTEN);
    ck_assert_uint_eq(after_crash(&world), 20);
    end(&world);
}
END_TEST

/* ---- crashes -------------------------------------------------------------------------------- */

/* Crashes after so many steps; which one was found. */
static uint64_t crash_after(struct world *world, int steps)
{
    struct snapshot_mark mark = rig_mark(20);
    enum snapshots_event event = SNAPSHOTS_NOTHING;
    ck_assert(snapshots_begin(world->store, &mark, world->new));
    for (int i = 0; i < steps; i++) {
        event = snapshots_process(world->store, &world->error);
        ck_assert_int_ne(event, SNAPSHOTS_FAILED);
    }
    uint64_t found = after_crash(world);
    ck_assert(event != SNAPSHOTS_WRITTEN || found == 20);
    if (found < 20) {
        ck_assert_int_eq(take(world, 20, world->new), SNAPSHOTS_WRITTEN);
        ck_assert_uint_eq(after_crash(world), 20);
    }
    return found;
}

START_TEST(a_crash_leaves_one_of_both)
{
    unsigned olds = 0, news = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        for (int steps = 0; steps < 9; steps++) {
            struct world world;
            begin(&world, seed * 100 + (uint64_t)steps);
            if (seed % 2) {
                disk_refuse_direct(world.disk);
            }
            if (seed % 3) { /* blocks of 10 are used again */
                ck_assert_int_eq(take(&world, 11, world.old), SNAPSHOTS_WRITTEN);
            }
            uint64_t found = crash_after(&world, steps);
            olds += found < 20;
            news += found == 20;
            end(&world);
        }
    }
    ck_assert_uint_gt(olds, 20);
    ck_assert_uint_gt(news, 20);
}
END_TEST

/* The control: on a disk that only pretends to sync the same must go wrong, and be found. */
START_TEST(a_lying_disk_is_found_out)
{
    unsigned found = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct world world;
        struct snapshot_mark mark;
        begin(&world, seed);
        disk_lie(world.disk, true);
        ck_assert_int_eq(take(&world, 20, world.new), SNAPSHOTS_WRITTEN);
        snapshots_close(&world.store);
        disk_crash(world.disk);
        world.store = open_store(&world);
        ck_assert_ptr_nonnull(world.store);
        found += !snapshots_newest(world.store, &mark) || mark.at.index == 10;
        end(&world);
    }
    ck_assert_uint_gt(found, 10);
}
END_TEST

/* ---- receiving ------------------------------------------------------------------------------ */

/* Receives 20 while a call fails. */
static bool fail_receiving(enum disk_call kind, unsigned nth, int error, struct slice bytes)
{
    struct world world;
    struct snapshot_mark mark;
    begin(&world, nth);
    ck_assert_int_eq(take(&world, 12, world.old), SNAPSHOTS_WRITTEN);
    disk_fail(world.disk, kind, nth, error);
    bool good = rig_receive(world.store, 20, bytes, 100000, &world.error);
    bool failed = disk_failed(world.disk, kind);
    disk_fail(world.disk, kind, 0, 0);
    ck_assert(good == !failed);
    ck_assert(good || world.error.trouble == (error == ENOSPC ? LOG_NO_ROOM : LOG_IO_FAILED));
    ck_assert(snapshots_newest(world.store, &mark));
    ck_assert_uint_eq(mark.at.index, good ? 20 : 12);
    ck_assert_uint_eq(snapshots_received(world.store), 0);
    if (!good && error == ENOSPC) {
        ck_assert_msg(rig_receive(world.store, 20, bytes, 4096, &world.error), "%s",
                      world.error.text);
    }
    if (good || error == ENOSPC) {
        rig_expect(world.store, 20, world.new);
        ck_assert_uint_eq(after_crash(&world), 20);
    }
    end(&world);
    return failed;
}

START_TEST(receiving_while_calls_fail)
{
    struct world source;
    begin(&source, 1);
    ck_assert_int_eq(take(&source, 20, source.new), SNAPSHOTS_WRITTEN);
    struct buf bytes = rig_bytes(source.store, 20);
    for (size_t kind = 0; kind < KINDS; kind++) {
        unsigned nth = 1;
        while (fail_receiving(kinds[kind], nth, ENOSPC, buf_view(&bytes))) {
            ck_assert(fail_receiving(kinds[kind], nth, EIO, buf_view(&bytes)));
            nth++;
        }
        ck_assert(nth > 1 || kinds[kind] == DISK_SHRINK);
    }
    buf_fini(&bytes);
    end(&source);
}
END_TEST

START_TEST(a_piece_that_was_changed_is_refused)
{
    struct world source, world;
    struct snapshot_mark mark;
    begin(&source, 1);
    begin(&world, 2);
    ck_assert_int_eq(take(&source, 20, source.new), SNAPSHOTS_WRITTEN);
    struct buf bytes = rig_bytes(source.store, 20);
    size_t table = bytes.size - SNAPSHOT_ALIGN;
    for (size_t at = 0; at < bytes.size; at += at < 200 || at >= table ? 3 : 12289) {
        at = at > 200 && at < table && at + 12289 > table ? table : at;
        bytes.data[at] ^= 4;
        ck_assert(!rig_receive(world.store, 20, buf_view(&bytes), 65536, &world.error));
        ck_assert_int_eq(world.error.trouble, LOG_CORRUPTED);
        bytes.data[at] ^= 4;
    }
    ck_assert(!rig_receive(world.store, 21, buf_view(&bytes), 65536, &world.error));
    ck_assert(!snapshots_receive_begin(world.store, 20, bytes.size - 1, &world.error));
    ck_assert(!snapshots_receive_begin(world.store, 20, UINT64_MAX / 2 * 4096, &world.error));
    ck_assert(!snapshots_receive_begin(world.store, 0, bytes.size, &world.error));
    ck_assert(snapshots_newest(world.store, &mark) && mark.at.index == 10);
    ck_assert(rig_receive(world.store, 20, buf_view(&bytes), 1000, &world.error));
    rig_expect(world.store, 20, source.new);
    buf_fini(&bytes);
    end(&world);
    end(&source);
}
END_TEST

START_TEST(pieces_come_in_order)
{
    struct world source, world;
    begin(&source, 1);
    begin(&world, 2);
    ck_assert_int_eq(take(&source, 20, source.new), SNAPSHOTS_WRITTEN);
    struct buf bytes = rig_bytes(source.store, 20);
    struct slice first = slice_of(bytes.data, 5000);
    struct log_error *error = &world.error;
    ck_assert(snapshots_receive(world.store, 0, first, error)); /* nothing was begun: passed over */
    ck_assert(!snapshots_receive_end(world.store, error));
    ck_assert(snapshots_receive_begin(world.store, 20, bytes.size, error));
    ck_assert(snapshots_receive(world.store, 5000, first, error));
    ck_assert_uint_eq(snapshots_received(world.store), 0);
    ck_assert(snapshots_receive(world.store, 0, first, error));
    ck_assert(snapshots_receive(world.store, 0, first, error)); /* twice */
    ck_assert_uint_eq(snapshots_received(world.store), 5000);
    ck_assert(!snapshots_receive_end(world.store, error)); /* not whole */
    ck_assert(snapshots_receive_begin(world.store, 20, bytes.size, error));
    ck_assert(snapshots_receive(world.store, 0, first, error));
    buf_u8(&bytes, 0);
    struct slice rest = slice_of(bytes.data + 5000, bytes.size - 5000);
    ck_assert(!snapshots_receive(world.store, 5000, rest, error)); /* a byte too many */
    ck_assert_int_eq(error->trouble, LOG_CORRUPTED);
    snapshots_receive_cancel(world.store);
    rig_expect(world.store, 10, world.old);
    buf_fini(&bytes);
    end(&world);
    end(&source);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {every_flipped_byte_is_found,
                                  every_cut_is_found,
                                  an_older_one_is_used,
                                  blocks_end_anywhere,
                                  a_newer_format_is_refused,
                                  the_nth_call_fails,
                                  reading_fails,
                                  a_full_disk_keeps_the_old_one,
                                  a_crash_leaves_one_of_both,
                                  a_lying_disk_is_found_out,
                                  receiving_while_calls_fail,
                                  a_piece_that_was_changed_is_refused,
                                  pieces_come_in_order};
    Suite *suite = suite_create("snapshots_faults");
    TCase *cases = tcase_create("snapshots_faults");
    tcase_set_timeout(cases, 60);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        tcase_add_test(cases, tests[i]);
    }
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
