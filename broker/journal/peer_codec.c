/* The bytes of what nodes say to each other: see peer_message.h. */
#include "broker/journal/peer_message.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define PEER_VERSION 1

/* bytes: term, type and the payload's length */
#define ENTRY_HEADER_BYTES 13

enum { FLAG_STALE = 1, FLAG_PRE_VOTE = 2, FLAG_DISRUPT = 4, FLAG_GRANTED = 8, FLAGS_ALL = 15 };

static uint8_t flags_of(const struct peer_message *message)
{
    return (uint8_t)((message->stale ? FLAG_STALE : 0) | (message->pre_vote ? FLAG_PRE_VOTE : 0) |
                     (message->disrupt ? FLAG_DISRUPT : 0) | (message->granted ? FLAG_GRANTED : 0));
}

static void encode_header(const struct peer_message *message, struct buf *out)
{
    buf_u8(out, PEER_VERSION);
    buf_u8(out, message->type);
    buf_u8(out, flags_of(message));
    buf_u64(out, message->from);
    buf_u64(out, message->to);
    buf_u64(out, message->term);
    buf_u64(out, message->index);
    buf_u64(out, message->index_term);
}

void peer_append_begin(struct peer_append *append, const struct peer_message *message,
                       struct buf *out)
{
    STEWARD_ASSERT(message->type == PEER_APPEND);
    encode_header(message, out);
    buf_u64(out, message->commit);
    *append = (struct peer_append){.out = out, .count_at = out->size};
    buf_u32(out, 0); /* known at the end */
}

void peer_append_entry(struct peer_append *append, const struct log_entry *entry)
{
    buf_u64(append->out, entry->term);
    buf_u8(append->out, entry->type);
    buf_slice(append->out, entry->payload);
    append->count++;
}

void peer_append_end(struct peer_append *append)
{
    for (unsigned i = 0; i < 4; i++) {
        append->out->data[append->count_at + i] = (uint8_t)(append->count >> (8 * i));
    }
}

static void encode_append(const struct peer_message *message, struct buf *out)
{
    struct peer_append append;
    STEWARD_ASSERT(message->entries_count == 0 || message->entries);
    peer_append_begin(&append, message, out);
    for (uint32_t i = 0; i < message->entries_count; i++) {
        peer_append_entry(&append, &message->entries[i]);
    }
    peer_append_end(&append);
}

void peer_encode(const struct peer_message *message, struct buf *out)
{
    if (message->type == PEER_APPEND) {
        encode_append(message, out);
        return;
    }
    encode_header(message, out);
    if (message->type == PEER_APPEND_RESULT) {
        buf_u64(out, message->rejected);
    } else if (message->type == PEER_INSTALL) {
        buf_u64(out, message->members_index);
        members_encode(&message->members, out);
    }
}

static void decode_entries(struct reader *in, struct peer_message *out)
{
    out->entries_count = reader_u32(in);
    if (in->failed || out->entries_count > (size_t)(in->end - in->at) / ENTRY_HEADER_BYTES) {
        in->failed = true;
        return;
    }
    if (out->entries_count == 0)
        return;
    out->entries = mem_alloc(out->entries_count * sizeof(*out->entries));
    for (uint32_t i = 0; i < out->entries_count; i++) {
        struct log_entry *entry = &out->entries[i];
        entry->term = reader_u64(in);
        entry->type = reader_u8(in);
        entry->payload = reader_slice(in);
    }
}

static bool decode_members(struct reader *in, struct peer_message *out)
{
    out->members_index = reader_u64(in);
    struct slice rest = reader_raw(in, (size_t)(in->end - in->at));
    return members_decode(rest, &out->members);
}

bool peer_decode(struct slice bytes, struct peer_message *out)
{
    struct reader in;
    *out = (struct peer_message){0};
    reader_init(&in, bytes);
    if (reader_u8(&in) != PEER_VERSION)
        return false;
    out->type = reader_u8(&in);
    uint8_t flags = reader_u8(&in);
    out->stale = flags & FLAG_STALE;
    out->pre_vote = flags & FLAG_PRE_VOTE;
    out->disrupt = flags & FLAG_DISRUPT;
    out->granted = flags & FLAG_GRANTED;
    out->from = reader_u64(&in);
    out->to = reader_u64(&in);
    out->term = reader_u64(&in);
    out->index = reader_u64(&in);
    out->index_term = reader_u64(&in);
    bool valid = out->type >= PEER_APPEND && out->type <= PEER_TIMEOUT_NOW && flags <= FLAGS_ALL;
    if (valid && out->type == PEER_APPEND) {
        out->commit = reader_u64(&in);
        decode_entries(&in, out);
    } else if (valid && out->type == PEER_APPEND_RESULT) {
        out->rejected = reader_u64(&in);
    } else if (valid && out->type == PEER_INSTALL) {
        valid = decode_members(&in, out);
    }
    if (valid && reader_done(&in))
        return true;
    peer_fini(out);
    return false;
}

void peer_fini(struct peer_message *message)
{
    free(message->entries);
    message->entries = NULL;
    message->entries_count = 0;
}
