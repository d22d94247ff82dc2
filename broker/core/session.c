/*
 * Sessions: opened with an id and a secret, resumed with both, ended by command, by an operator or
 * by a limit.
 *
 * An ended session is gone for its client at once, but what it owns goes back in slices: waiters,
 * then locks, then leases, then its stored answers.  Until then it stays in the hash, marked.
 */
#include "common/base/panic.h"
#define uthash_fatal(message) panic(message, __FILE__, __LINE__)

#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "broker/core/hash.h"
#include "common/base/alloc.h"

#include <stdlib.h>
#include <utlist.h>

/* ---- finding -------------------------------------------------------------------------------- */

static unsigned id_hash(const struct core *core, uint64_t id)
{
    return (unsigned)hash_number(core->hash_key, id);
}

struct session *session_lookup(const struct core *core, uint64_t id)
{
    struct session *session = NULL;
    HASH_FIND_BYHASHVALUE(hh, core->sessions, &id, sizeof id, id_hash(core, id), session);
    return session;
}

struct session *session_find(const struct core *core, uint64_t id)
{
    struct session *session = session_lookup(core, id);
    return session && !session->ending ? session : NULL;
}

/* ---- life ----------------------------------------------------------------------------------- */

uint64_t session_cost(const struct session *session)
{
    enum { SESSION_COST = 1024 }; /* bytes, nominal */
    return SESSION_COST + strlen(session->host) + strlen(session->program);
}

struct session *session_new(struct core *core, uint64_t id, struct slice host, struct slice program)
{
    struct session *session = mem_zalloc(1, sizeof *session);
    session->id = id;
    session->opened_ms = core->now_ms;
    session->next_tag = 1;
    session->host = text_copy(host);
    session->program = text_copy(program);
    idtable_init(&session->answers, sizeof(struct answer), &core->bookkeeping);
    idtable_init(&session->leases, sizeof(struct lease), &core->bookkeeping);
    HASH_ADD_BYHASHVALUE(hh, core->sessions, id, sizeof session->id, id_hash(core, id), session);
    core->bookkeeping += session_cost(session);
    return session;
}

void session_free(struct core *core, struct session *session)
{
    STEWARD_ASSERT(!session->waiters && !session->consumers && !session->holders);
    STEWARD_ASSERT(session->leases.live == 0);
    answers_fini(core, session);
    idtable_fini(&session->leases);
    if (session->ending) {
        DL_DELETE2(core->endings, session, end_prev, end_next);
    }
    core->bookkeeping -= session_cost(session);
    HASH_DELETE(hh, core->sessions, session);
    free(session->host);
    free(session->program);
    free(session);
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    if (value < low) {
        return low;
    }
    return value > high ? high : value;
}

static void refuse(struct core *core, uint64_t reference, int code)
{
    struct effect *effect = effects_add(core->effects, EFFECT_SESSION_REFUSED);
    effect->reference = reference;
    effect->code = code;
}

static void opened(struct core *core, uint64_t reference, const struct session *session,
                   bool resumed)
{
    struct effect *effect = effects_add(core->effects, EFFECT_SESSION_OPENED);
    effect->session = session->id;
    effect->reference = reference;
    effect->incarnation = core->incarnation;
    effect->highest_request = session->highest_request;
    effect->resumed = resumed;
}

void session_apply_open(struct core *core, const struct cmd_open *open)
{
    if (HASH_COUNT(core->sessions) >= LIMIT_SESSIONS) {
        refuse(core, open->reference, STW_ELIMIT);
        return;
    }
    if (open->host.size > LIMIT_INFO_BYTES || open->program.size > LIMIT_INFO_BYTES) {
        refuse(core, open->reference, STW_EINVAL);
        return;
    }
    struct session *session = session_new(core, core->next_session++, open->host, open->program);
    memcpy(session->secret, open->secret, sizeof session->secret);
    uint64_t ttl_ms = open->ttl_ms == SETTING_DEFAULT ? LIMIT_SESSION_TTL_MS : open->ttl_ms;
    uint64_t grace_ms = open->grace_ms == SETTING_DEFAULT ? LIMIT_SESSION_GRACE_MS : open->grace_ms;
    session->ttl_ms = clamp(ttl_ms, LIMIT_SESSION_TTL_MIN_MS, LIMIT_SESSION_TTL_MAX_MS);
    session->grace_ms = clamp(grace_ms, 0, LIMIT_SESSION_TTL_MAX_MS);
    session->pid = open->pid;
    session->reference = open->reference;
    opened(core, open->reference, session, false);
}

/* In the same time wherever they differ. */
static bool secret_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < LIMIT_SECRET_BYTES; i++) {
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
}

void session_apply_resume(struct core *core, const struct cmd_resume *resume)
{
    struct session *session = session_find(core, resume->session);
    if (!session) {
        refuse(core, resume->reference, STW_ESESSION);
        return;
    }
    if (!secret_equal(session->secret, resume->secret)) {
        refuse(core, resume->reference, STW_ESECRET);
        return;
    }
    session->reference = resume->reference;
    opened(core, resume->reference, session, true);
    lease_resume(core, session, resume->last_tag);
    if (session->detached) {
        session->detached = false;
        waiters_attach(core, session);
    }
}

void session_detach(struct core *core, struct session *session)
{
    if (!session->detached && !session->ending) {
        session->detached = true;
        waiters_detach(core, session);
    }
}

void session_apply_detach(struct core *core, uint64_t id, uint64_t reference)
{
    struct session *session = session_find(core, id);
    if (session && session->reference == reference) {
        session_detach(core, session);
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

void session_end(struct core *core, struct session *session, struct slice reason)
{
    if (session->ending) {
        return;
    }
    session->ending = true;
    DL_APPEND2(core->endings, session, end_prev, end_next);
    emit_session_ended(core, session->id, reason);
}

/* Gives some of its things back; false when nothing is left but the session itself. */
static bool give_back(struct core *core, struct session *session)
{
    if (CANARY(DEAD_WAITER)) { /* the leases go back while its waiters still stand in line */
        lease_return_slice(core, session);
        queues_run(core);
    }
    while (core->work > 0 && (session->waiters || session->consumers)) {
        core->work--;
        waiter_leave(core, session->waiters ? session->waiters : session->consumers);
    }
    while (core->work > 0 && session->holders) {
        core->work--;
        lock_return_one(core, session);
    }
    if (session->waiters || session->consumers || session->holders) {
        return true;
    }
    if (core->work == 0) {
        return true;
    }
    if (lease_return_slice(core, session)) {
        return true;
    }
    return answers_return_slice(core, session);
}

bool session_end_slice(struct core *core)
{
    struct session *session = core->endings;
    if (!session) {
        return false;
    }
    if (!give_back(core, session)) {
        session_free(core, session);
    }
    return true;
}
