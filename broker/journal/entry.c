/* The payload of a command entry. */
#include "broker/journal/entry.h"

#include "common/base/panic.h"

size_t entry_add(struct buf *payload, uint8_t version, uint64_t now_ms,
                 const struct command *command)
{
    size_t begin = payload->size;
    if (begin == 0) {
        buf_u8(payload, version);
    }
    buf_u64(payload, now_ms);
    size_t at = payload->size; /* the size is known afterwards */
    buf_u32(payload, 0);
    command_encode(payload, command);
    size_t size = payload->size - at - 4;
    STEWARD_ASSERT(size <= UINT32_MAX);
    for (unsigned i = 0; i < 4; i++) {
        payload->data[at + i] = (uint8_t)(size >> (8 * i));
    }
    return payload->size - begin;
}

void entry_move_last(struct buf *from, size_t size, struct buf *to)
{
    STEWARD_ASSERT(to->size == 0 && size < from->size);
    buf_u8(to, from->data[0]);
    from->size -= size;
    buf_add(to, from->data + from->size, size);
}

void entry_begin(struct entry_reader *entry, struct slice payload, uint8_t newest)
{
    reader_init(&entry->reader, payload);
    entry->version = reader_u8(&entry->reader);
    entry->good = entry->version > 0 && entry->version <= newest;
}

bool entry_next(struct entry_reader *entry, struct command_arena *arena, uint64_t *now_ms,
                struct command *command)
{
    struct reader *reader = &entry->reader;
    if (!entry->good || reader->at == reader->end) {
        return false;
    }
    *now_ms = reader_u64(reader);
    struct slice bytes = reader_slice(reader);
    entry->good = !reader->failed && command_decode(bytes, arena, command) == 0;
    return entry->good;
}

bool entry_whole(const struct entry_reader *entry)
{
    return entry->good && reader_done(&entry->reader);
}
