/*
 * Appending effects. Every text is copied into the effects' arena, so nothing here borrows from an
 * object that may be freed within the same apply.  Sessions that are ending get nothing more: their
 * client was told that it ended.
 */
#include "broker/core/internal.h"

struct slice emit_bytes(struct core *core, struct slice bytes)
{
    if (bytes.size == 0) {
        return slice_of(NULL, 0);
    }
    uint8_t *copy = effects_alloc(core->effects, bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

void emit_lock_lost(struct core *core, uint64_t session, struct slice name, uint64_t token,
                    int code)
{
    if (!session_find(core, session)) {
        return;
    }
    struct effect *effect = effects_add(core->effects, EFFECT_LOCK_LOST);
    effect->session = session;
    effect->code = code;
    effect->token = token;
    effect->text = emit_bytes(core, name);
}

void emit_lease_lost(struct core *core, uint64_t session, uint64_t tag)
{
    struct effects *effects = core->effects;
    if (effects->count > 0) {
        struct effect *last = &effects->items[effects->count - 1];
        if (last->kind == EFFECT_LEASE_LOST && last->session == session &&
            last->first + last->count == tag) {
            last->count++;
            return;
        }
    }
    if (!session_find(core, session)) {
        return;
    }
    struct effect *effect = effects_add(effects, EFFECT_LEASE_LOST);
    effect->session = session;
    effect->code = STW_ELEASE;
    effect->first = tag;
    effect->count = 1;
}

void emit_consumer_ended(struct core *core, uint64_t session, uint64_t channel, int code)
{
    if (!session_find(core, session)) {
        return;
    }
    struct effect *effect = effects_add(core->effects, EFFECT_CONSUMER_ENDED);
    effect->session = session;
    effect->first = channel;
    effect->code = code;
}

void emit_notice(struct core *core, const char *what, struct slice object)
{
    size_t size = strlen(what);
    uint8_t *text = effects_alloc(core->effects, size + 1 + object.size);
    memcpy(text, what, size);
    if (object.size > 0) {
        text[size++] = ' ';
        memcpy(text + size, object.data, object.size);
    }
    struct effect *effect = effects_add(core->effects, EFFECT_NOTICE);
    effect->text = slice_of(text, size + object.size);
}

/*
 * The session's own effects of this apply go: its client takes nothing more, and a delivered body
 * may be freed when its lease comes back within this very apply.
 */
static void effects_forget(struct effects *effects, uint64_t session)
{
    size_t kept = 0;
    for (size_t i = 0; i < effects->count; i++) {
        if (effects->items[i].session != session) {
            effects->items[kept++] = effects->items[i];
        }
    }
    effects->count = kept;
}

void emit_session_ended(struct core *core, uint64_t session, struct slice reason)
{
    effects_forget(core->effects, session);
    struct effect *effect = effects_add(core->effects, EFFECT_SESSION_ENDED);
    effect->session = session;
    effect->text = emit_bytes(core, reason);
}

struct delivered *emit_deliver(struct core *core, const struct delivery_run *run)
{
    struct delivered *messages = effects_alloc(core->effects, run->count * sizeof *messages);
    memset(messages, 0, run->count * sizeof *messages);
    if (!session_find(core, run->session)) {
        return messages; /* the caller fills it all the same */
    }
    struct slice name = emit_bytes(core, name_slice(&run->queue->name));
    struct effect *effect = effects_add(core->effects, EFFECT_DELIVER);
    effect->session = run->session;
    effect->first = run->channel;
    effect->count = run->count;
    effect->queue = name;
    effect->first_tag = run->first_tag;
    effect->first_token = run->first_token;
    effect->lease_ms = run->lease_ms;
    effect->messages = messages;
    return messages;
}
