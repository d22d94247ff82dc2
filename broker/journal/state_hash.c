/* The running hash: XXH3 over little-endian bytes, each step seeded with the one before. */
#include "broker/journal/state_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t state_hash_entry(uint64_t hash, struct slice payload)
{
    return XXH3_64bits_withSeed(payload.data, payload.size, hash);
}

static void add_run(struct buf *out, const struct effect *effect)
{
    buf_slice(out, effect->queue);
    buf_u64(out, effect->first_tag);
    buf_u64(out, effect->first_token);
    buf_u64(out, effect->lease_ms);
    for (uint64_t i = 0; i < effect->count; i++) {
        const struct delivered *message = &effect->messages[i];
        buf_u64(out, message->sequence);
        buf_u64(out, message->body.size);
        buf_u32(out, message->deliveries);
        buf_u8(out, message->priority);
        buf_u8(out, message->plain);
        buf_slice(out, message->plain ? (struct slice){0} : message->fields);
    }
}

static void add_effect(struct buf *out, const struct effect *effect)
{
    buf_u8(out, (uint8_t)effect->kind);
    buf_u32(out, (uint32_t)-effect->code);
    buf_u64(out, effect->session);
    buf_u64(out, effect->first);
    buf_u64(out, effect->count);
    buf_slice(out, effect->text);
    switch (effect->kind) {
    case EFFECT_REPLY:
        buf_u8(out, (uint8_t)effect->reply);
        buf_u64(out, effect->value);
        buf_u64(out, effect->value2);
        buf_slice(out, effect->reply == REPLY_FIELDS ? effect->fields : (struct slice){0});
        break;
    case EFFECT_DELIVER: add_run(out, effect); break;
    case EFFECT_SESSION_OPENED:
    case EFFECT_SESSION_REFUSED:
        buf_u64(out, effect->reference);
        buf_u64(out, effect->incarnation);
        buf_u64(out, effect->highest_request);
        buf_u8(out, effect->resumed);
        break;
    case EFFECT_LOCK_LOST: buf_u64(out, effect->token); break;
    case EFFECT_SESSION_ENDED:
    case EFFECT_LEASE_LOST:
    case EFFECT_CONSUMER_ENDED:
    case EFFECT_NOTICE: break; /* said above */
    }
}

uint64_t state_hash_effects(uint64_t hash, const struct effects *effects, struct buf *scratch)
{
    buf_clear(scratch);
    buf_u64(scratch, effects->count);
    for (size_t i = 0; i < effects->count; i++) {
        add_effect(scratch, &effects->items[i]);
    }
    return XXH3_64bits_withSeed(scratch->data, scratch->size, hash);
}
