/*
 * The model's request ids and answers: an id is applied once, its answer is kept until seen.
 */
#include "tests/sim/model_lock.h"

#include "common/base/alloc.h"

#include "common/base/steward_errors.h"

#include <stdlib.h>

/* The i-th request of a command, encoded as if it had come alone. */
static struct text payload_of(const struct command *command, uint64_t i)
{
    struct command alone = *command;
    struct buf bytes = {0};
    alone.request = command->request + i;
    if (command->kind == COMMAND_PUT) {
        alone.put.bodies += i;
        alone.put.count = 1;
    } else if (command->kind >= COMMAND_ACK && command->kind <= COMMAND_RENEW) {
        alone.settle.first_tag += i;
        alone.settle.count = 1;
    }
    command_encode(&bytes, &alone);
    struct text payload = text_of(buf_view(&bytes));
    buf_fini(&bytes);
    return payload;
}

struct m_answer *m_answer_of(const struct m_session *session, uint64_t request)
{
    for (size_t i = 0; i < session->answers.count; i++) {
        struct m_answer *answer = session->answers.items[i];
        if (answer->request == request)
            return answer;
    }
    return NULL;
}

void m_answer_free(struct m_session *session, struct m_answer *answer)
{
    list_remove(&session->answers, answer);
    text_free(&answer->payload);
    text_free(&answer->fields);
    text_free(&answer->object);
    free(answer);
}

static void reply(struct model *model, const struct m_session *session,
                  const struct m_answer *answer)
{
    struct effect effect = {.kind = EFFECT_REPLY,
                            .code = answer->code,
                            .session = session->id,
                            .first = answer->request,
                            .count = 1,
                            .reply = answer->reply,
                            .value = answer->value,
                            .value2 = answer->value2,
                            .fields = text_view(&answer->fields)};
    tell(model, &effect);
}

static void reply_error(struct model *model, uint64_t session, uint64_t request, int code)
{
    struct effect effect = {
        .kind = EFFECT_REPLY, .code = code, .session = session, .first = request, .count = 1};
    tell(model, &effect);
}

/* ---- old ids -------------------------------------------------------------------------------- */

/* A get again: its messages again if every lease of it still stands, else the get is lost. */
static void got_again(struct model *model, struct m_session *session, struct m_answer *answer)
{
    if (m_leases_again(model, session, answer->first_tag, answer->value)) {
        reply(model, session, answer);
        return;
    }
    answer->code = STW_ELEASE;
    reply(model, session, answer);
    m_leases_cancel(model, session, answer->first_tag, answer->value);
}

static bool payload_differs(const struct command *command, uint64_t i,
                            const struct m_answer *answer)
{
    if (command->kind == COMMAND_REFUSE || answer->refused)
        return false;
    struct text payload = payload_of(command, i);
    bool same = slice_equal(text_view(&payload), text_view(&answer->payload));
    text_free(&payload);
    return !same;
}

/* An old id again: its answer if it is still kept and the payload is the same. */
static void answer_again(struct model *model, struct m_session *session,
                         const struct command *command, uint64_t i)
{
    struct m_answer *answer = m_answer_of(session, command->request + i);
    if (!answer)
        return; /* confirmed before: a late copy */
    if (payload_differs(command, i, answer))
        reply_error(model, session->id, answer->request, STW_EREUSED);
    else if (!answer->pending && answer->code == 0 && answer->reply == REPLY_GOT)
        got_again(model, session, answer);
    else if (!answer->pending)
        reply(model, session, answer);
}

void m_answers_unknown(struct model *model, const struct command *command)
{
    uint64_t count = command->request > 0 ? command_requests(command) : 0;
    for (uint64_t i = 0; i < count; i++)
        reply_error(model, command->session, command->request + i, STW_ESESSION);
}

uint64_t m_answers_open(struct model *model, struct m_session *session,
                        const struct command *command)
{
    uint64_t count = command_requests(command), old = 0;
    if (command->request == 0)
        return 0;
    if (command->request > session->highest_request + 1 || count > LIMIT_BATCH) {
        for (uint64_t i = 0; i < (count > LIMIT_BATCH ? 1 : count); i++)
            reply_error(model, session->id, command->request + i, STW_EPROTO);
        return 0;
    }
    for (; old < count && command->request + old <= session->highest_request; old++)
        answer_again(model, session, command, old);
    if (session->answers.count + count - old > LIMIT_ANSWERS_SESSION) {
        if (count > old)
            model_end(model, session);
        return 0;
    }
    for (uint64_t i = old; i < count; i++) {
        struct m_answer *answer = mem_zalloc(1, sizeof *answer);
        answer->request = command->request + i;
        answer->payload = payload_of(command, i);
        answer->pending = true;
        answer->refused = command->kind == COMMAND_REFUSE;
        list_add(&session->answers, answer);
        session->highest_request = answer->request;
    }
    return count - old;
}

/* ---- new answers ---------------------------------------------------------------------------- */

static void say(struct model *model, struct m_session *session, uint64_t request, int code,
                enum reply_kind kind)
{
    struct m_answer *answer = m_answer_of(session, request);
    answer->pending = false;
    answer->code = code;
    answer->reply = kind;
    reply(model, session, answer);
}

void m_say_plain(struct model *model, struct m_session *session, uint64_t request)
{
    say(model, session, request, 0, REPLY_PLAIN);
}

void m_say_error(struct model *model, struct m_session *session, uint64_t request, int code)
{
    say(model, session, request, code, REPLY_PLAIN);
}

void m_say_number(struct model *model, struct m_session *session, uint64_t request, uint64_t value)
{
    m_answer_of(session, request)->value = value;
    say(model, session, request, 0, REPLY_NUMBER);
}

void m_say_grant(struct model *model, const struct m_holder *holder, uint64_t request)
{
    struct m_answer *answer = m_answer_of(holder->session, request);
    answer->value = holder->token;
    answer->value2 = holder->depth;
    answer->object = text_of(text_view(&holder->lock->name));
    say(model, holder->session, request, 0, REPLY_GRANT);
}

void m_say_got(struct model *model, struct m_session *session, uint64_t request, uint64_t first_tag,
               uint64_t count)
{
    struct m_answer *answer = m_answer_of(session, request);
    answer->value = count;
    answer->first_tag = first_tag;
    say(model, session, request, 0, REPLY_GOT);
}

void m_say_fields(struct model *model, struct m_session *session, uint64_t request,
                  struct slice fields)
{
    m_answer_of(session, request)->fields = text_of(fields);
    say(model, session, request, 0, REPLY_FIELDS);
}

/* ---- cancelling, forgetting ----------------------------------------------------------------- */

void model_cancel(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_answer *answer = m_answer_of(session, command->target);
    if (!answer || command->target == command->request) {
        m_say_number(model, session, command->request, 0);
        return;
    }
    if (answer->pending) {
        struct m_waiter *waiter = m_wait_of(model, session, command->target);
        m_say_error(model, session, command->target, STW_ECANCELED);
        m_say_plain(model, session, command->request);
        m_wait_leave(model, waiter);
        return;
    }
    if (answer->code != 0 || (answer->reply != REPLY_GOT && answer->reply != REPLY_GRANT)) {
        m_say_number(model, session, command->request, 0);
        return;
    }
    answer->code = STW_ECANCELED;
    if (answer->reply == REPLY_GOT)
        m_leases_cancel(model, session, answer->first_tag, answer->value);
    else
        m_lock_cancel(model, session, text_view(&answer->object), answer->value);
    m_say_plain(model, session, command->request);
}

void model_seen(struct model *model, struct m_session *session, const struct cmd_seen *seen)
{
    for (size_t k = 0; k < seen->count; k++) {
        const struct id_range *range = &seen->ranges[k];
        for (size_t i = 0; i < session->answers.count;) {
            struct m_answer *answer = session->answers.items[i];
            bool named =
                answer->request >= range->first && answer->request - range->first < range->count;
            if (!named || answer->pending) {
                i++;
                continue;
            }
            bool got = answer->code == 0 && answer->reply == REPLY_GOT;
            uint64_t first_tag = answer->first_tag, count = answer->value;
            m_answer_free(session, answer);
            if (got)
                m_leases_seen(model, session, first_tag, count);
        }
    }
}
