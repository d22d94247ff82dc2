/*
 * The core under any commands that its decoder lets through. The input is u16 size and bytes of an
 * encoded command, again and again; after each the time is 100 ms later.
 *
 * A decoded command encodes and decodes to itself; the core's invariants hold; and its snapshot
 * restores to a core that gives the same snapshot.
 */
#include "broker/core/core.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define COMMANDS_MAX 100
#define CHECK_AT     8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_codec(const struct command *command)
{
    struct buf first = {0}, second = {0};
    struct command_arena arena = {0};
    struct command again;
    command_encode(&first, command);
    STEWARD_ASSERT(command_decode(buf_view(&first), &arena, &again) == 0);
    command_encode(&second, &again);
    STEWARD_ASSERT(slice_equal(buf_view(&first), buf_view(&second)));
    buf_fini(&first);
    buf_fini(&second);
    command_arena_fini(&arena);
}

static void check_snapshot(const struct core *core)
{
    struct buf first = {0}, second = {0};
    core_snapshot(core, &first);
    struct core *twin = core_restore(buf_view(&first));
    STEWARD_ASSERT(twin != NULL);
    core_check(twin);
    core_snapshot(twin, &second);
    STEWARD_ASSERT(slice_equal(buf_view(&first), buf_view(&second)));
    core_destroy(&twin);
    buf_fini(&first);
    buf_fini(&second);
}

/* Two sessions to begin with, so that commands of sessions 1 and 2 mean something. */
static void begin(struct core *core, struct effects *effects)
{
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap = (struct cmd_bootstrap){.hash_key = 1, .incarnation = 1};
    core_apply(core, 1, &command, effects);
    for (int i = 0; i < 2; i++) {
        command = (struct command){.kind = COMMAND_SESSION_OPEN};
        command.open.ttl_ms = 1000;
        core_apply(core, 1, &command, effects);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct effects effects = {0};
    struct command_arena arena = {0};
    struct core *core = core_new();
    struct reader input;
    begin(core, &effects);
    reader_init(&input, slice_of(data, size));
    for (uint64_t i = 1; i <= COMMANDS_MAX && input.at != input.end; i++) {
        struct command command;
        struct slice bytes = reader_raw(&input, reader_u16(&input));
        if (input.failed || command_decode(bytes, &arena, &command) != 0 ||
            command.kind == COMMAND_BOOTSTRAP) {
            break;
        }
        check_codec(&command);
        core_apply(core, i * 100, &command, &effects);
        if (i % CHECK_AT == 0) {
            core_check(core);
        }
    }
    core_check(core);
    check_snapshot(core);
    core_destroy(&core);
    effects_fini(&effects);
    command_arena_fini(&arena);
    return 0;
}
