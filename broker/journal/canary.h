/*
 * Deliberate bugs of the durable journal, for proving that the simulation of a cluster would find
 * real ones: as broker/core/canary.h is for the core. JOURNAL_CANARY(NAME) is 0, and the compiler
 * drops it, unless STEWARD_CANARIES is defined (tests/sim only).
 */
#ifndef BROKER_JOURNAL_CANARY_H
#define BROKER_JOURNAL_CANARY_H

/* X(NAME, "what goes wrong") */
#define JOURNAL_CANARY_TABLE(X)                                                                    \
    X(REPLY_EARLY, "a leader applies and replies before an entry is committed")                    \
    X(VOTE_EARLY, "a vote is sent before it is on disk")                                           \
    X(DURABLE_EARLY, "entries count as on disk before they are")

enum journal_canary {
    JOURNAL_CANARY_NONE = 0,
#define JOURNAL_CANARY_ENUM(name, text) JOURNAL_CANARY_##name,
    JOURNAL_CANARY_TABLE(JOURNAL_CANARY_ENUM)
#undef JOURNAL_CANARY_ENUM
        JOURNAL_CANARY_END
};

#ifdef STEWARD_CANARIES
extern int journal_canary; /* enum journal_canary; tests/sim sets it */
#define JOURNAL_CANARY(name) (journal_canary == JOURNAL_CANARY_##name)
#else
#define JOURNAL_CANARY(name) 0
#endif

#endif
