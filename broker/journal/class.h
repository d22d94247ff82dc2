/* How a kind of journal makes itself a journal: private to broker/journal. */
#ifndef BROKER_JOURNAL_CLASS_H
#define BROKER_JOURNAL_CLASS_H

#include "broker/journal/journal.h"

/* Takes `self`, which class->destroy frees; borrows `class` (static). */
struct journal *journal_new(const struct journal_class *class, void *self);

/* Its own state; asserts that it is of this class. */
void *journal_self(const struct journal *journal, const struct journal_class *class);

#endif
