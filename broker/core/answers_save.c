/* Answers of a session in the snapshot, and their invariants. */
#include "broker/core/internal.h"

#include "broker/core/canary.h"
#include "common/base/panic.h"

static void stored_save(const struct stored *stored, struct buf *out)
{
    buf_u8(out, stored->reply);
    buf_u64(out, stored->value);
    buf_u64(out, stored->value2);
    buf_u64(out, stored->first_tag);
    buf_slice(out, slice_of(stored->data, stored->size));
}

static bool stored_load(struct core *core, struct session *session, struct answer *answer,
                        struct reader *in)
{
    uint8_t kind = reader_u8(in);
    uint64_t value = reader_u64(in);
    uint64_t value2 = reader_u64(in);
    uint64_t first_tag = reader_u64(in);
    struct slice data = reader_slice(in);
    if (in->failed || kind > REPLY_FIELDS) {
        return false;
    }
    struct stored *stored = stored_new((enum reply_kind)kind, answer->code, data);
    stored->value = value;
    stored->value2 = value2;
    stored->first_tag = first_tag;
    answer->stored = stored;
    answer->state = ANSWER_STORED;
    session->answer_bytes += stored_cost(stored);
    core->bookkeeping += stored_cost(stored);
    return true;
}

void answers_save(const struct session *session, struct buf *out)
{
    struct idtable *table = (struct idtable *)(uintptr_t)&session->answers;
    buf_u64(out, table->live);
    uint64_t id = 0;
    for (uint64_t i = 0; i < table->live; i++, id++) {
        bool found = idtable_next(table, id, &id);
        STEWARD_ASSERT(found);
        const struct answer *answer = idtable_get(table, id);
        buf_u64(out, id);
        buf_u32(out, answer->hash);
        bool lost = answer->state == ANSWER_STORED && CANARY(ANSWERS_UNSAVED);
        buf_u8(out, lost ? ANSWER_DONE : answer->state);
        buf_u8(out, answer->refused);
        buf_u16(out, (uint16_t)-answer->code);
        if (answer->state == ANSWER_STORED && !lost) {
            stored_save(answer->stored, out);
        }
    }
}

static bool answer_load(struct core *core, struct session *session, uint64_t id, struct reader *in)
{
    struct answer *answer = idtable_add(&session->answers, id, NULL);
    answer->hash = reader_u32(in);
    uint8_t state = reader_u8(in);
    answer->refused = reader_u8(in) != 0;
    answer->code = (int16_t) - (int)reader_u16(in);
    answer->state = ANSWER_PENDING; /* safe to free until all of it is there */
    if (in->failed || state < ANSWER_PENDING || state > ANSWER_STORED) {
        return false;
    }
    if (state == ANSWER_STORED) {
        return stored_load(core, session, answer, in);
    }
    answer->state = state;
    return true;
}

bool answers_load(struct core *core, struct session *session, struct reader *in)
{
    uint64_t count = reader_u64(in);
    uint64_t previous = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = reader_u64(in);
        if (in->failed || id <= previous || id > session->highest_request ||
            !answer_load(core, session, id, in)) {
            return false;
        }
        previous = id;
    }
    return !in->failed;
}

uint64_t answers_cost(const struct session *session)
{
    return idtable_cost(&session->answers) + session->answer_bytes;
}

void answers_check(const struct session *session)
{
    struct idtable *table = (struct idtable *)(uintptr_t)&session->answers;
    idtable_check(table);
    uint64_t bytes = 0;
    uint64_t id = 0;
    for (; idtable_next(table, id, &id); id++) {
        const struct answer *answer = idtable_get(table, id);
        STEWARD_ASSERT(id > 0 && id <= session->highest_request);
        if (answer->state == ANSWER_STORED) {
            bytes += stored_cost(answer->stored);
            STEWARD_ASSERT(answer->stored->code == answer->code);
        } else if (answer->state == ANSWER_PENDING) {
            const struct waiter *waiter = answer->waiter;
            STEWARD_ASSERT(session->ending ||
                           (waiter && waiter->session == session && waiter->request == id));
        } else {
            STEWARD_ASSERT(answer->state == ANSWER_DONE);
        }
    }
    STEWARD_ASSERT(bytes == session->answer_bytes);
    STEWARD_ASSERT(session->ending || bytes <= LIMIT_ANSWER_BYTES_SESSION);
    STEWARD_ASSERT(table->live <= LIMIT_ANSWERS_SESSION);
}
