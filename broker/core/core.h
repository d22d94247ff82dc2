/*
 * The manager itself: a pure, deterministic state machine. Owns queues, locks and sessions.
 *
 * Never blocks, never fails, never reads a clock, never logs; links libc only. The same commands at
 * the same times give the same effects, the same state and the same snapshot bytes, on any machine.
 * Not thread-safe: one owner thread.  Every operation is `check` (may refuse, changes nothing) and
 * then `commit` (cannot fail).
 */
#ifndef BROKER_CORE_CORE_H
#define BROKER_CORE_CORE_H

#include "broker/core/command.h"
#include "broker/core/effect.h"

struct core;

/* An empty core. The first command applied must be COMMAND_BOOTSTRAP. */
struct core *core_new(void);
void core_destroy(struct core **core);

/*
 * Applies one command at time now_ms (never less than the last one; a smaller one counts as equal).
 * Effects are cleared first. Deadlines fire only in COMMAND_TICK. Does at most about
 * LIMIT_WORK_UNITS units of work; what is left is due at once (core_deadline).
 * The session must exist for session commands: unknown ones are dropped with no effect but a
 * REPLY of ESESSION when the command has a request id.
 */
void core_apply(struct core *core, uint64_t now_ms, const struct command *command,
                struct effects *effects);

/* When the next COMMAND_TICK is due (ms, may be in the past); UINT64_MAX: nothing waits. */
uint64_t core_deadline(const struct core *core);

/* Bytes of queued content and bookkeeping, a deterministic sum: for the memory ceiling. */
uint64_t core_bytes(const struct core *core);

/* Leased messages and held locks, together: what clients have begun. 0: nobody loses by a stop. */
uint64_t core_held(const struct core *core);

/* A session as the gateway must know it; false when there is none. Slices borrow from the core. */
struct session_info {
    uint64_t ttl_ms;
    uint64_t grace_ms;
    uint64_t highest_request;
};
bool core_session(const struct core *core, uint64_t session, struct session_info *info);

/* Calls visit for each session, in the order of their ids; it must not apply anything. */
typedef void core_visit_session(void *context, uint64_t session, const struct session_info *info);
void core_sessions(const struct core *core, core_visit_session *visit, void *context);

/* Walks every invariant; panics at the first that does not hold. O(everything): for tests. */
void core_check(const struct core *core);

/* A snapshot begins with this magic (u32, "STWC") and version (u16), little-endian. */
#define CORE_SNAPSHOT_MAGIC   0x43575453u
#define CORE_SNAPSHOT_VERSION 1

/* Appends the whole state in canonical, versioned bytes, front to back: `out` may spill (buf.h), so
 * a state of any size passes through a small buffer. Between applies only. */
void core_snapshot(const struct core *core, struct buf *out);

/* Makes the core what the snapshot says, in place of all it was. Takes any bytes. false: malformed
 * or unknown; the core is then as new. */
bool core_load(struct core *core, struct slice snapshot);

/* As core_load, from a reader, which may refill (buf.h); all of it must be the snapshot. */
bool core_load_from(struct core *core, struct reader *in);

/*
 * For a core that was loaded from a backup and has had its bootstrap: clients may have gone further
 * since. The numbers of sessions, of tokens, of places in lines and of each queue's messages go on
 * `by` further, so that nothing handed out before can match, and the manager is a new incarnation.
 * Ends no session and no lease: commands do that. false: a number would not fit; nothing is done.
 */
bool core_jump(struct core *core, uint64_t by, uint64_t incarnation);

/* A core from snapshot bytes: same future as the original. NULL for malformed or unknown bytes. */
struct core *core_restore(struct slice snapshot);

#endif
