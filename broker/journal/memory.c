/*
 * The journal that keeps nothing: a command is applied when it is submitted, and its effects are
 * handed on before submit returns. A command that `applied` submits meanwhile (the gateway ends a
 * session while it reads effects) waits until the effects under way are consumed: they live in one
 * place, and applying inside would overwrite them.
 */
#include "broker/journal/class.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

struct memory {
    struct core *core; /* borrowed */
    journal_applied *applied;
    void *context;
    struct effects effects;
    bool applying;              /* effects are in use */
    struct buf waiting;         /* commands submitted meanwhile: u64 now, slice; in order */
    struct command_arena arena; /* of the waiting command being applied */
};

static void memory_apply(struct memory *memory, uint64_t now_ms, const struct command *command)
{
    memory->applying = true;
    core_apply(memory->core, now_ms, command, &memory->effects);
    memory->applied(memory->context, now_ms, &memory->effects);
    memory->applying = false;
}

static void memory_keep(struct memory *memory, uint64_t now_ms, const struct command *command)
{
    struct buf encoded = {0};
    command_encode(&encoded, command);
    buf_u64(&memory->waiting, now_ms);
    buf_slice(&memory->waiting, buf_view(&encoded));
    buf_fini(&encoded);
}

/* Applies what was kept, and what is kept while that is applied. */
static void memory_drain(struct memory *memory)
{
    while (memory->waiting.size > 0) {
        struct buf batch = memory->waiting;
        memory->waiting = (struct buf){0};
        struct reader reader;
        reader_init(&reader, buf_view(&batch));
        while (!reader_done(&reader)) {
            uint64_t now_ms = reader_u64(&reader);
            struct slice bytes = reader_slice(&reader);
            struct command command;
            STEWARD_ASSERT(!reader.failed);
            STEWARD_ASSERT(command_decode(bytes, &memory->arena, &command) == 0);
            memory_apply(memory, now_ms, &command);
        }
        buf_fini(&batch);
    }
}

static void memory_submit(void *self, uint64_t now_ms, const struct command *command)
{
    struct memory *memory = self;
    if (memory->applying) {
        memory_keep(memory, now_ms, command);
        return;
    }
    memory_apply(memory, now_ms, command);
    memory_drain(memory);
}

static void memory_flush(void *self, uint64_t now_ms)
{
    /* Nothing gathers here: submit has drained everything. */
    struct memory *memory = self;
    (void)now_ms;
    STEWARD_ASSERT(memory->waiting.size == 0);
}

static void memory_destroy(void *self)
{
    struct memory *memory = self;
    effects_fini(&memory->effects);
    buf_fini(&memory->waiting);
    command_arena_fini(&memory->arena);
    free(memory);
}

struct journal *journal_memory_new(struct core *core, journal_applied *applied, void *context)
{
    static const struct journal_class class = {
        .name = "memory",
        .submit = memory_submit,
        .flush = memory_flush,
        .destroy = memory_destroy,
    };
    struct memory *memory = mem_zalloc(1, sizeof *memory);
    memory->core = core;
    memory->applied = applied;
    memory->context = context;
    return journal_new(&class, memory);
}
