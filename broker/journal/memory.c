/*
 * The journal that keeps nothing: a command is applied when it is submitted, and its effects are
 * handed on before submit returns.
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
    bool applying; /* `applied` is reading the effects: another apply would overwrite them */
};

static void memory_submit(void *self, uint64_t now_ms, const struct command *command)
{
    struct memory *memory = self;
    STEWARD_ASSERT(!memory->applying);
    memory->applying = true;
    core_apply(memory->core, now_ms, command, &memory->effects);
    memory->applied(memory->context, now_ms, &memory->effects);
    memory->applying = false;
}

static void memory_flush(void *self, uint64_t now_ms)
{
    /* Nothing gathers here: submit applied everything at once. */
    (void)self;
    (void)now_ms;
}

static void memory_destroy(void *self)
{
    struct memory *memory = self;
    effects_fini(&memory->effects);
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
