/* What all kinds of journal have in common: a class and the state its functions work on. */
#include "broker/journal/class.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

struct journal {
    const struct journal_class *class;
    void *self; /* the class's own state */
};

struct journal *journal_new(const struct journal_class *class, void *self)
{
    STEWARD_ASSERT(class->name && class->submit && class->flush && class->destroy);
    struct journal *journal = mem_alloc(sizeof *journal);
    *journal = (struct journal){.class = class, .self = self};
    return journal;
}

void *journal_self(const struct journal *journal, const struct journal_class *class)
{
    STEWARD_ASSERT(journal->class == class);
    return journal->self;
}

void journal_submit(struct journal *journal, uint64_t now_ms, const struct command *command)
{
    journal->class->submit(journal->self, now_ms, command);
}

void journal_flush(struct journal *journal, uint64_t now_ms)
{
    journal->class->flush(journal->self, now_ms);
}

size_t journal_descriptors(const struct journal *journal, int out[JOURNAL_DESCRIPTORS])
{
    return journal->class->descriptors ? journal->class->descriptors(journal->self, out) : 0;
}

void journal_process(struct journal *journal, uint64_t now_ms)
{
    if (journal->class->process) {
        journal->class->process(journal->self, now_ms);
    }
}

uint64_t journal_deadline(const struct journal *journal)
{
    return journal->class->deadline ? journal->class->deadline(journal->self) : UINT64_MAX;
}

void journal_tick(struct journal *journal, uint64_t now_ms)
{
    if (journal->class->tick) {
        journal->class->tick(journal->self, now_ms);
    }
}

bool journal_ready(const struct journal *journal)
{
    return !journal->class->ready || journal->class->ready(journal->self);
}

bool journal_ticking(const struct journal *journal)
{
    return journal->class->ticking && journal->class->ticking(journal->self);
}

uint64_t journal_backlog(const struct journal *journal)
{
    return journal->class->backlog ? journal->class->backlog(journal->self) : 0;
}

uint64_t journal_time_ms(const struct journal *journal)
{
    return journal->class->time_ms ? journal->class->time_ms(journal->self) : 0;
}

const char *journal_failure(const struct journal *journal)
{
    return journal->class->failure ? journal->class->failure(journal->self) : NULL;
}

uint64_t journal_leader(const struct journal *journal)
{
    return journal->class->leader ? journal->class->leader(journal->self) : 0;
}

bool journal_tight(const struct journal *journal)
{
    return journal->class->tight && journal->class->tight(journal->self);
}

const char *journal_name(const struct journal *journal)
{
    return journal->class->name;
}

void journal_destroy(struct journal **journal)
{
    if (*journal == NULL) {
        return;
    }
    (*journal)->class->destroy((*journal)->self);
    free(*journal);
    *journal = NULL;
}
