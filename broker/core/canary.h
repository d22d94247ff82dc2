/*
 * Deliberate bugs, for proving that the simulation would find real ones.
 *
 * `CANARY(NAME)` stands in the core where a wrong line would do harm. It is 0, and the compiler
 * drops it, unless the core is compiled with STEWARD_CANARIES (tests/sim only); then it is true
 * while core_canary names that bug. To add one: a line in the table, a CANARY at its place.
 */
#ifndef BROKER_CORE_CANARY_H
#define BROKER_CORE_CANARY_H

/* X(NAME, "what goes wrong") */
#define CANARY_TABLE(X)                                                                            \
    X(STALE_ACK, "an ack of a lost lease is accepted")                                             \
    X(DEAD_WAITER, "a waiter of an ended session is still served")                                 \
    X(TOKEN_REUSED, "a lock is granted with its last token again")                                 \
    X(DEDUP_FORGOTTEN, "a dedup id is not remembered")                                             \
    X(ANSWER_NOT_STORED, "an answer is sent but not kept for a resend")                            \
    X(RESEND_APPLIED, "a resent request is applied again")                                         \
    X(PLACE_LOST, "a returned message goes to the end of its queue")                               \
    X(EXPIRY_UNCOUNTED, "a lease that runs out does not count as a delivery")                      \
    X(LEASE_KEPT, "a lease is not given back at its session's end")                                \
    X(CANCELED_PUT, "a cancelled put is inserted all the same")                                    \
    X(LOCK_LIFO, "the last waiter of a lock is served first")                                      \
    X(MAXSIZE_PLUS_ONE, "a bounded queue takes one message too many")                              \
    X(EARLY_JOIN, "join ends while a message is still leased")                                     \
    X(CANCEL_KEEPS_LOCK, "a cancelled acquire keeps the lock it was granted")                      \
    X(PAUSE_IGNORED, "a paused queue delivers")                                                    \
    X(TTL_IGNORED, "a message outlives its time-to-live")                                          \
    X(DETACHED_SERVED, "who waits for a detached session is still served")                         \
    X(DEDUP_EXPIRED, "a dedup id counts after its window")                                         \
    X(ANSWERS_UNSAVED, "what answers carry is not in the snapshot")                                \
    X(TOKENS_RESET, "tokens begin again after a snapshot was loaded")                              \
    X(LEADER_IMPATIENT, "a new leader gives nobody the full time again")

enum canary {
    CANARY_NONE = 0,
#define CANARY_ENUM(name, text) CANARY_##name,
    CANARY_TABLE(CANARY_ENUM)
#undef CANARY_ENUM
        CANARY_END
};

#ifdef STEWARD_CANARIES
extern int core_canary; /* enum canary; tests/sim sets it */
#define CANARY(name) (core_canary == CANARY_##name)
#else
#define CANARY(name) 0
#endif

#endif
