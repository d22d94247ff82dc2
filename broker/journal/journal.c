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

void journal_submit(struct journal *journal, uint64_t now_ms, const struct command *command)
{
    journal->class->submit(journal->self, now_ms, command);
}

void journal_flush(struct journal *journal, uint64_t now_ms)
{
    journal->class->flush(journal->self, now_ms);
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
