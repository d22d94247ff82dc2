/*
 * The guards around libraft, each of which can be switched off to prove that its absence is found.
 *
 * `GUARD(NAME)` is 1 and costs nothing, unless compiled with STEWARD_CANARIES (tests only); then it
 * is false while consensus_guard_off names that guard. docs/decisions/libraft.md says why each is
 * there. To add one: a line in the table, a GUARD at its place, a test that fails without it.
 */
#ifndef BROKER_JOURNAL_CONSENSUS_GUARD_H
#define BROKER_JOURNAL_CONSENSUS_GUARD_H

/* X(NAME, "what the library does without it") */
#define GUARD_TABLE(X)                                                                             \
    X(NEW_TERM, "a single voter leads without a new term")                                         \
    X(STALE_ANSWER, "the answer to a message of an old term looks like a success")                 \
    X(TRIMMED_PREFIX, "late entries from before the snapshot damage the log")                      \
    X(CHANGE_FIRST, "a change that is not the first of its message gets a wrong index")            \
    X(LATE_REJECTION, "a late rejection stalls a follower for ever")                               \
    X(PRE_VOTE_TERM, "a refused pre-vote hides a newer term")                                      \
    X(VOTE_UNLISTED, "servers outside their own configuration refuse votes")                       \
    X(CHANGE_DURABLE, "a change is sent before the leader has it on disk")                         \
    X(CANDIDATE_PRE_VOTE, "a candidate skips pre-vote and disrupts at each timeout")               \
    X(VOTE_RESULT_STATE, "a late vote result is read as a candidate's")                            \
    X(TIMER_FLOOR, "a demoted server's timer stays in the past")                                   \
    X(CATCH_UP, "catching up what is up to date, unknown or not ours to catch up")                 \
    X(INSTALL_ONCE, "a second snapshot during an install leaks")                                   \
    X(OWN_TERM_FIRST, "a change before an entry of the own term is committed")                     \
    X(CHANGE_ORDER, "a second change hides that the first was committed")                          \
    X(TIMEOUT_NOW_HELD, "leadership offered while entries are written is not taken")

enum guard {
    GUARD_NONE = 0,
#define GUARD_ENUM(name, text) GUARD_##name,
    GUARD_TABLE(GUARD_ENUM)
#undef GUARD_ENUM
        GUARD_END
};

#ifdef STEWARD_CANARIES
extern int consensus_guard_off; /* enum guard; tests set it */
#define GUARD(name) (consensus_guard_off != GUARD_##name)
#else
#define GUARD(name) 1
#endif

#endif
