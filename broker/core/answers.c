/*
 * Answers: one record per request id, kept until the client confirms having seen it, so that a
 * request sent again is answered again and never applied again.
 *
 * An id's payload hash does not depend on how ids were grouped into runs: a put hashes kind, queue,
 * timeout and its own body, a settle kind, parameters and its own tag.  Ids are contiguous, so of a
 * run only the tail can be new.
 */
#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "broker/core/hash.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* ---- the hash of a payload ------------------------------------------------------------------ */

static uint32_t fold(uint64_t hash)
{
    return (uint32_t)(hash ^ (hash >> 32));
}

/* Of the command without what each id of a run has of its own. */
static uint64_t hash_command(struct core *core, const struct command *command)
{
    struct command common = *command;
    switch (command->kind) {
    case COMMAND_PUT: {
        uint64_t seed =
            hash_number(hash_number(core->hash_key, command->kind), command->put.timeout_ms);
        return hash_bytes(seed, command->put.queue.data, command->put.queue.size);
    }
    case COMMAND_PUT_MANY: common.put.count = 0; break;
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW:
        common.request = 0;
        common.settle.first_tag = common.settle.count = 0;
        break;
    default: break;
    }
    buf_clear(&core->scratch);
    command_encode(&core->scratch, &common);
    uint64_t hash = hash_bytes(core->hash_key, core->scratch.data, core->scratch.size);
    for (size_t i = 0; command->kind == COMMAND_PUT_MANY && i < command->put.count; i++) {
        hash = hash_bytes(hash, command->put.bodies[i].data, command->put.bodies[i].size);
    }
    return hash;
}

/* Of the i-th id of the command, given hash_command's result. */
static inline uint32_t hash_id(const struct command *command, uint64_t common, uint64_t i)
{
    switch (command->kind) {
    case COMMAND_PUT:
        return fold(hash_bytes(common, command->put.bodies[i].data, command->put.bodies[i].size));
    case COMMAND_ACK:
    case COMMAND_NACK:
    case COMMAND_RELEASE:
    case COMMAND_REJECT:
    case COMMAND_RENEW: return fold(hash_number(common, command->settle.first_tag + i));
    default: return fold(common);
    }
}

/* ---- effects -------------------------------------------------------------------------------- */

static struct effect *reply(struct core *core, uint64_t session, uint64_t first, int code)
{
    struct effect *effect = effects_add(core->effects, EFFECT_REPLY);
    effect->session = session;
    effect->first = first;
    effect->count = 1;
    effect->code = code;
    return effect;
}

/* A run of answers without content; grows the last effect when it continues it. */
static void reply_run(struct core *core, const struct session *session, uint64_t first,
                      uint64_t count, int code)
{
    if (session->ending) {
        return;
    }
    struct effects *effects = core->effects;
    struct effect *last = effects->count > 0 ? &effects->items[effects->count - 1] : NULL;
    if (last && last->kind == EFFECT_REPLY && last->session == session->id && last->code == code &&
        last->reply == REPLY_PLAIN && last->text.size == 0 && last->first + last->count == first) {
        last->count += count;
        return;
    }
    reply(core, session->id, first, code)->count = count;
}

static void reply_stored(struct core *core, const struct session *session, uint64_t request,
                         const struct stored *stored)
{
    if (session->ending) {
        return;
    }
    struct slice data = emit_bytes(core, slice_of(stored->data, stored->size));
    struct effect *effect = reply(core, session->id, request, stored->code);
    effect->reply = (enum reply_kind)stored->reply;
    effect->value = stored->value;
    effect->value2 = stored->value2;
    if (stored->code != STW_OK) {
        effect->text = data;
    } else if (stored->reply == REPLY_FIELDS) {
        effect->fields = data;
    }
}

void answer_unknown_session(struct core *core, const struct command *command)
{
    uint64_t count = command_requests(command);
    if (count > 0 && command->request > 0) {
        reply(core, command->session, command->request, STW_ESESSION)->count = count;
    }
}

/* ---- records -------------------------------------------------------------------------------- */

static void stored_drop(struct core *core, struct session *session, struct answer *answer)
{
    if (answer->state != ANSWER_STORED) {
        return;
    }
    session->answer_bytes -= stored_cost(answer->stored);
    core->bookkeeping -= stored_cost(answer->stored);
    free(answer->stored);
    answer->stored = NULL;
}

static void answer_remove(struct core *core, struct session *session, uint64_t request,
                          struct answer *answer)
{
    stored_drop(core, session, answer);
    idtable_remove(&session->answers, request);
}

_Static_assert(sizeof(struct answer) == 16, "one record per request id: it must stay small");

static struct answer *answer_pending(struct session *session, uint64_t request)
{
    struct answer *answer = idtable_get(&session->answers, request);
    STEWARD_ASSERT(answer && answer->state == ANSWER_PENDING);
    return answer;
}

static void answer_done(struct answer *answer, int code)
{
    answer->state = ANSWER_DONE;
    answer->code = (int16_t)code;
    answer->stored = NULL;
}

struct stored *stored_new(enum reply_kind kind, int code, struct slice data)
{
    struct stored *stored = mem_zalloc(1, sizeof *stored + data.size);
    stored->reply = (uint8_t)kind;
    stored->code = (int16_t)code;
    stored->size = (uint32_t)data.size;
    if (data.size > 0) {
        memcpy(stored->data, data.data, data.size);
    }
    return stored;
}

/* Keeps and sends it; ends a session that lets too much pile up. Takes `stored`. */
static void answer_store(struct core *core, struct session *session, uint64_t request,
                         struct stored *stored)
{
    struct answer *answer = answer_pending(session, request);
    reply_stored(core, session, request, stored);
    answer->state = ANSWER_STORED;
    answer->code = stored->code;
    answer->stored = stored;
    session->answer_bytes += stored_cost(stored);
    core->bookkeeping += stored_cost(stored);
    if (CANARY(ANSWER_NOT_STORED)) {
        answer_remove(core, session, request, answer);
    }
    if (session->answer_bytes > LIMIT_ANSWER_BYTES_SESSION && !session->ending) {
        session_end(core, session, slice_str("its unconfirmed answers exceed the limit in bytes"));
    }
}

/* ---- registering ids ------------------------------------------------------------------------ */

/* An id that was registered before. */
static void answer_repeat(struct core *core, struct session *session, uint64_t request,
                          const uint32_t *hash)
{
    struct answer *answer = idtable_get(&session->answers, request);
    if (!answer) {
        return; /* the client had confirmed it: a late copy */
    }
    if (hash && !answer->refused && answer->hash != *hash) {
        reply_run(core, session, request, 1, STW_EREUSED);
        return;
    }
    if (answer->state == ANSWER_DONE) {
        reply_run(core, session, request, 1, answer->code);
    }
    if (answer->state != ANSWER_STORED) {
        return;
    }
    const struct stored *stored = answer->stored;
    size_t before = core->effects->count;
    if (stored->reply != REPLY_GOT || stored->code != STW_OK ||
        lease_redeliver(core, session, request, stored->first_tag, stored->value)) {
        reply_stored(core, session, request, stored);
        return;
    }
    /* Some of its leases are lost: the whole get is, and what is left of it goes back. */
    core->effects->count = before;
    uint64_t first_tag = stored->first_tag;
    uint64_t count = stored->value;
    stored_drop(core, session, answer);
    answer_done(answer, STW_ELEASE);
    reply_run(core, session, request, 1, STW_ELEASE);
    lease_cancel(core, session, first_tag, count);
}

static void answers_repeat(struct core *core, struct session *session,
                           const struct command *command, uint64_t count, uint64_t common)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t hash = hash_id(command, common, i);
        bool compared = command->kind != COMMAND_REFUSE;
        answer_repeat(core, session, command->request + i, compared ? &hash : NULL);
    }
}

/* Records for `count` ids from the command's `skip`-th on. */
static void answers_register(struct session *session, const struct command *command, uint64_t skip,
                             uint64_t common)
{
    uint64_t total = command_requests(command);
    bool refused = command->kind == COMMAND_REFUSE;
    for (uint64_t i = skip; i < total;) {
        uint64_t added;
        struct answer *run =
            idtable_add_run(&session->answers, command->request + i, total - i, &added);
        for (uint64_t k = 0; k < added; k++) {
            run[k].hash = hash_id(command, common, i + k);
            run[k].state = ANSWER_PENDING;
            run[k].refused = refused;
        }
        i += added;
    }
    session->highest_request += total - skip;
}

/* Makes an answered request new again: only a deliberate bug needs it. */
static void answer_again(struct core *core, struct session *session, uint64_t request)
{
    struct answer *answer = idtable_get(&session->answers, request);
    stored_drop(core, session, answer);
    answer->state = ANSWER_PENDING;
    answer->waiter = NULL;
}

uint64_t answers_begin(struct core *core, struct session *session, const struct command *command)
{
    uint64_t count = command_requests(command);
    uint64_t first = command->request;
    if (count == 0 || first == 0) {
        return 0;
    }
    if (count > LIMIT_BATCH || first > session->highest_request + 1 || first > UINT64_MAX - count) {
        reply_run(core, session, first, count > LIMIT_BATCH ? 1 : count, STW_EPROTO);
        return 0;
    }
    uint64_t known = session->highest_request + 1 - first;
    uint64_t old = known < count ? known : count;
    uint64_t common = hash_command(core, command);
    if (CANARY(RESEND_APPLIED) && old == 1 && count == 1) {
        const struct answer *before = idtable_get(&session->answers, first);
        if (before && before->state != ANSWER_PENDING) {
            answer_again(core, session, first);
            return 1;
        }
    }
    answers_repeat(core, session, command, old, common);
    if (old == count || session->ending) {
        return 0;
    }
    if (session->answers.live + count - old > LIMIT_ANSWERS_SESSION) {
        session_end(core, session, slice_str("its unconfirmed answers exceed the limit in number"));
        return 0;
    }
    answers_register(session, command, old, common);
    return count - old;
}

/* ---- answering ------------------------------------------------------------------------------ */

void answer_codes(struct core *core, struct session *session, uint64_t first, uint64_t count,
                  int code)
{
    for (uint64_t i = 0; i < count; i++) {
        answer_done(answer_pending(session, first + i), code);
    }
    reply_run(core, session, first, count, code);
}

void answer_plain(struct core *core, struct session *session, uint64_t first, uint64_t count)
{
    answer_codes(core, session, first, count, STW_OK);
}

void answer_error(struct core *core, struct session *session, uint64_t request, int code,
                  struct about sentence)
{
    struct slice object = sentence.object;
    if (!sentence.why && object.size == 0) {
        answer_codes(core, session, request, 1, code);
        return;
    }
    struct slice why = slice_str(sentence.why ? sentence.why : error_text(code));
    struct buf text = {0};
    buf_add(&text, why.data, why.size);
    if (object.size > 0) {
        buf_add(&text, ": ", 2);
        buf_add(&text, object.data, object.size);
    }
    answer_store(core, session, request, stored_new(REPLY_PLAIN, code, buf_view(&text)));
    buf_fini(&text);
}

void answer_number(struct core *core, struct session *session, uint64_t request, uint64_t value)
{
    struct stored *stored = stored_new(REPLY_NUMBER, STW_OK, slice_of(NULL, 0));
    stored->value = value;
    answer_store(core, session, request, stored);
}

void answer_grant(struct core *core, struct session *session, uint64_t request,
                  const struct holder *holder)
{
    struct slice lock = name_slice(&holder->lock->name);
    struct stored *stored = stored_new(REPLY_GRANT, STW_OK, lock);
    stored->value = holder->token;
    stored->value2 = holder->depth;
    answer_store(core, session, request, stored);
}

void answer_got(struct core *core, struct session *session, uint64_t request, uint64_t first_tag,
                uint64_t count)
{
    struct stored *stored = stored_new(REPLY_GOT, STW_OK, slice_of(NULL, 0));
    stored->first_tag = first_tag;
    stored->value = count;
    answer_store(core, session, request, stored);
}

void answer_fields(struct core *core, struct session *session, uint64_t request,
                   struct slice fields)
{
    answer_store(core, session, request, stored_new(REPLY_FIELDS, STW_OK, fields));
}

void answer_wait(struct core *core, struct session *session, uint64_t request,
                 struct waiter *waiter)
{
    (void)core;
    answer_pending(session, request)->waiter = waiter;
}

/* Takes back a grant that the client no longer wants. False: there was nothing to take back. */
static bool cancel_granted(struct core *core, struct session *session, struct answer *answer)
{
    if (answer->state != ANSWER_STORED || answer->stored->code != STW_OK) {
        return false;
    }
    struct stored *stored = answer->stored;
    if (stored->reply != REPLY_GOT && stored->reply != REPLY_GRANT) {
        return false;
    }
    /* The answer changes first: giving back may serve others, and even end this session. */
    answer->stored = NULL;
    session->answer_bytes -= stored_cost(stored);
    core->bookkeeping -= stored_cost(stored);
    answer_done(answer, STW_ECANCELED);
    if (stored->reply == REPLY_GOT) {
        lease_cancel(core, session, stored->first_tag, stored->value);
    } else if (!CANARY(CANCEL_KEEPS_LOCK)) {
        lock_cancel(core, session, slice_of(stored->data, stored->size), stored->value);
    }
    free(stored);
    return true;
}

void answer_cancel(struct core *core, struct session *session, uint64_t request, uint64_t target)
{
    struct answer *answer = idtable_get(&session->answers, target);
    if (!answer || target == request) {
        answer_number(core, session, request, 0);
        return;
    }
    if (answer->state == ANSWER_PENDING) {
        struct waiter *waiter = answer->waiter;
        answer_codes(core, session, target, 1, STW_ECANCELED);
        answer_plain(core, session, request, 1);
        if (!CANARY(CANCELED_PUT) || waiter->kind != WAIT_PUT) {
            waiter_leave(core, waiter);
        }
        return;
    }
    if (cancel_granted(core, session, answer)) {
        answer_plain(core, session, request, 1);
    } else {
        answer_number(core, session, request, 0);
    }
}

/* ---- forgetting ----------------------------------------------------------------------------- */

static void answer_seen(struct core *core, struct session *session, uint64_t request)
{
    struct answer *answer = idtable_get(&session->answers, request);
    if (answer->state == ANSWER_PENDING) {
        return; /* nobody can have seen it yet */
    }
    if (answer->state == ANSWER_STORED && answer->stored->reply == REPLY_GOT) {
        uint64_t first_tag = answer->stored->first_tag;
        uint64_t count = answer->stored->value;
        answer_remove(core, session, request, answer);
        lease_seen(core, session, first_tag, count);
        return;
    }
    answer_remove(core, session, request, answer);
}

/* How many answers in a row from `first` on are plain: nothing hangs on them. */
static uint64_t done_run(struct session *session, uint64_t first, uint64_t max)
{
    void *records;
    uint64_t run = idtable_run(&session->answers, first, max, &records);
    const struct answer *answers = records;
    uint64_t done = 0;
    while (done < run && answers[done].state == ANSWER_DONE) {
        done++;
    }
    return done;
}

static void range_seen(struct core *core, struct session *session, struct id_range range)
{
    if (range.first > session->highest_request || range.count == 0) {
        return;
    }
    uint64_t left = session->highest_request - range.first;
    uint64_t last = range.first + (range.count - 1 < left ? range.count - 1 : left);
    uint64_t id = range.first;
    while (idtable_next(&session->answers, id, &id) && id <= last) {
        uint64_t done = done_run(session, id, last - id + 1);
        if (done == 0) {
            answer_seen(core, session, id++);
            continue;
        }
        idtable_remove_run(&session->answers, id, done);
        id += done;
    }
}

void answers_seen(struct core *core, struct session *session, const struct cmd_seen *seen)
{
    size_t count = seen->count < LIMIT_BATCH ? seen->count : LIMIT_BATCH;
    for (size_t i = 0; i < count && !session->ending; i++) {
        range_seen(core, session, seen->ranges[i]);
    }
}

bool answers_return_slice(struct core *core, struct session *session)
{
    enum { IDS_PER_UNIT = 64 };
    uint64_t budget = (uint64_t)core->work * IDS_PER_UNIT;
    uint64_t id;
    while (budget > 0 && idtable_next(&session->answers, 0, &id)) {
        answer_remove(core, session, id, idtable_get(&session->answers, id));
        budget--;
    }
    core->work = (uint32_t)(budget / IDS_PER_UNIT);
    return session->answers.live > 0;
}

void answers_fini(struct core *core, struct session *session)
{
    uint64_t id;
    while (idtable_next(&session->answers, 0, &id)) {
        answer_remove(core, session, id, idtable_get(&session->answers, id));
    }
    idtable_fini(&session->answers);
}
