/*
 * A running hash over what a replica applied and what came of it: two replicas that applied the
 * same entries have the same hash, or one of them is wrong. Pure; any thread.
 */
#ifndef BROKER_JOURNAL_STATE_HASH_H
#define BROKER_JOURNAL_STATE_HASH_H

#include "broker/core/effect.h"

/* The hash after an entry's commands, as they stand in the log. Begins with 0. */
uint64_t state_hash_entry(uint64_t hash, struct slice payload);

/*
 * The hash after the effects of one command. Of bodies only the size counts: their bytes stood in
 * the entry that put them. `scratch` is overwritten.
 */
uint64_t state_hash_effects(uint64_t hash, const struct effects *effects, struct buf *scratch);

#endif
