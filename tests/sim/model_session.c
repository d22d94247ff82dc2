/* The model's sessions: opening, resuming, and giving back all that one owned. */
#include "tests/sim/model_lock.h"
#include "tests/sim/model_queue.h"

#include "common/base/alloc.h"
#include "common/base/steward_errors.h"
#include "tests/sim/trace.h"

#include <stdlib.h>

struct m_session *m_session_of(const struct model *model, uint64_t id)
{
    for (size_t i = 0; i < model->sessions.count; i++) {
        struct m_session *session = model->sessions.items[i];
        if (session->id == id)
            return session;
    }
    return NULL;
}

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least)
        return least;
    return value > most ? most : value;
}

static void refuse(struct model *model, uint64_t reference, int code)
{
    struct effect effect = {.kind = EFFECT_SESSION_REFUSED, .code = code, .reference = reference};
    tell(model, &effect);
}

static void opened(struct model *model, const struct m_session *session, uint64_t reference,
                   bool resumed)
{
    struct effect effect = {.kind = EFFECT_SESSION_OPENED,
                            .session = session->id,
                            .reference = reference,
                            .incarnation = model->incarnation,
                            .highest_request = session->highest_request,
                            .resumed = resumed};
    tell(model, &effect);
}

void model_open(struct model *model, const struct cmd_open *open)
{
    if (model->sessions.count >= LIMIT_SESSIONS) {
        refuse(model, open->reference, STW_ELIMIT);
        return;
    }
    if (open->host.size > LIMIT_INFO_BYTES || open->program.size > LIMIT_INFO_BYTES) {
        refuse(model, open->reference, STW_EINVAL);
        return;
    }
    struct m_session *session = mem_zalloc(1, sizeof *session);
    *session = (struct m_session){.id = model->next_session++,
                                  .pid = open->pid,
                                  .opened_ms = model->now_ms,
                                  .reference = open->reference,
                                  .host = text_of(open->host),
                                  .program = text_of(open->program),
                                  .next_tag = 1};
    memcpy(session->secret, open->secret, sizeof session->secret);
    uint64_t ttl_ms = open->ttl_ms == SETTING_DEFAULT ? LIMIT_SESSION_TTL_MS : open->ttl_ms;
    uint64_t grace_ms = open->grace_ms == SETTING_DEFAULT ? LIMIT_SESSION_GRACE_MS : open->grace_ms;
    session->ttl_ms = within(ttl_ms, LIMIT_SESSION_TTL_MIN_MS, LIMIT_SESSION_TTL_MAX_MS);
    session->grace_ms = within(grace_ms, 0, LIMIT_SESSION_TTL_MAX_MS);
    list_add(&model->sessions, session);
    opened(model, session, open->reference, false);
}

void model_resume(struct model *model, const struct cmd_resume *resume)
{
    struct m_session *session = m_session_of(model, resume->session);
    if (!session) {
        refuse(model, resume->reference, STW_ESESSION);
        return;
    }
    if (memcmp(session->secret, resume->secret, sizeof session->secret) != 0) {
        refuse(model, resume->reference, STW_ESECRET);
        return;
    }
    opened(model, session, resume->reference, true);
    m_leases_resume(model, session, resume->last_tag);
    session->reference = resume->reference;
    session->detached = false;
    m_waits_wake(model, session);
}

/* Its connection is gone, unless it has a newer one; putters behind its own may get in. */
void model_detach(struct model *model, struct m_session *session, uint64_t reference)
{
    if (session->reference != reference || session->detached)
        return;
    session->detached = true;
    for (size_t i = 0; i < model->waiters.count; i++) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->session == session && w->kind == M_PUT)
            m_queue_wake(model, w->queues[0]);
    }
}

/* Nobody is connected: who waits keeps the place, and nobody is served. */
void model_detach_all(struct model *model)
{
    for (size_t i = 0; i < model->sessions.count; i++) {
        struct m_session *session = model->sessions.items[i];
        session->detached = true;
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

/* Requests that wait, then consumers, each in order of arrival. */
static void end_waiters(struct model *model, const struct m_session *session, bool consumers)
{
    for (size_t i = 0; i < model->waiters.count;) {
        struct m_waiter *w = model->waiters.items[i];
        if (w->session != session || (w->kind == M_CONSUME) != consumers) {
            i++;
            continue;
        }
        m_wait_leave(model, w);
        i = 0; /* leaving may serve others and change the list */
    }
}

static void end_holders(struct model *model, const struct m_session *session)
{
    for (size_t i = 0; i < model->holders.count;) {
        struct m_holder *h = model->holders.items[i];
        if (h->session != session) {
            i++;
            continue;
        }
        m_holder_end(model, h);
        i = 0;
    }
}

static struct m_message *first_lease(const struct model *model, const struct m_session *session)
{
    struct m_message *first = NULL;
    for (size_t i = 0; i < model->messages.count; i++) {
        struct m_message *m = model->messages.items[i];
        if (m->state == M_LEASED && m->session == session && (!first || m->tag < first->tag))
            first = m;
    }
    return first;
}

static void end_groups(struct model *model, const struct m_session *session)
{
    for (size_t i = 0; i < model->groups.count;) {
        struct m_group *group = model->groups.items[i];
        if (group->session != session) {
            i++;
            continue;
        }
        list_remove(&model->groups, group);
        free(group);
    }
}

static void session_free(struct m_session *session)
{
    while (session->answers.count > 0)
        m_answer_free(session, session->answers.items[0]);
    list_fini(&session->answers);
    text_free(&session->host);
    text_free(&session->program);
    free(session);
}

/* What the same command had to tell the session is not told any more. */
static void untell(struct model *model, const struct m_session *session)
{
    struct buf mine = {0}, kept = {0};
    trace_add(&mine, "s%llu ", (unsigned long long)session->id);
    for (size_t start = 0, end; start < model->lines->size; start = end) {
        const uint8_t *line = model->lines->data + start;
        const uint8_t *stop = memchr(line, '\n', model->lines->size - start);
        end = start + (size_t)(stop - line) + 1;
        if (end - start < mine.size || memcmp(line, mine.data, mine.size) != 0)
            buf_add(&kept, line, end - start);
    }
    buf_clear(model->lines);
    buf_add(model->lines, kept.data, kept.size);
    buf_fini(&mine);
    buf_fini(&kept);
}

void model_end(struct model *model, struct m_session *session)
{
    struct effect effect = {.kind = EFFECT_SESSION_ENDED, .session = session->id};
    struct m_message *lease;
    list_remove(&model->sessions, session);
    untell(model, session);
    tell(model, &effect);
    end_waiters(model, session, false);
    end_waiters(model, session, true);
    end_holders(model, session);
    while ((lease = first_lease(model, session)))
        m_lease_return(model, lease);
    end_groups(model, session);
    session_free(session);
}

void model_kill(struct model *model, struct m_session *session, const struct command *command)
{
    struct m_session *killed = m_session_of(model, command->target);
    if (!killed) {
        m_say_error(model, session, command->request, STW_ENOENT);
        return;
    }
    m_say_plain(model, session, command->request);
    model_end(model, killed);
}
