/* The log's bytes. See log_format.h, and docs/log.md for the tables. */
#include "broker/journal/log_format.h"

#include "common/base/panic.h"

#include <endian.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT_MAGIC  0x53575453u /* "STWS" */
#define RECORD_MAGIC   0x52575453u /* "STWR" */
#define SEGMENT_SUM_AT 80
#define RECORD_SUM_AT  56

static void put_u16(uint8_t *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static void put_u32(uint8_t *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static void put_u64(uint8_t *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static uint16_t get_u16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return le16toh(value);
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static uint64_t get_u64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

/* ---- segment header ---- */

void log_segment_encode(uint8_t block[LOG_BLOCK], const struct log_segment_header *header)
{
    memset(block, 0, LOG_BLOCK);
    put_u32(block, SEGMENT_MAGIC);
    put_u16(block + 4, LOG_FORMAT_VERSION);
    put_u16(block + 6, (uint16_t)header->flags);
    put_u64(block + 8, header->size_bytes);
    put_u64(block + 16, header->log_id);
    put_u64(block + 24, header->ordinal);
    put_u64(block + 32, header->incarnation);
    put_u64(block + 40, header->start.sequence);
    put_u64(block + 48, header->start.chain);
    put_u64(block + 56, header->start.term);
    put_u64(block + 64, header->start.vote);
    put_u64(block + 72, header->start.next_index);
    put_u64(block + SEGMENT_SUM_AT, XXH3_64bits(block, SEGMENT_SUM_AT));
}

enum log_header_check log_segment_decode(const uint8_t *block, struct log_segment_header *out,
                                         unsigned *version)
{
    if (get_u32(block) != SEGMENT_MAGIC ||
        get_u64(block + SEGMENT_SUM_AT) != XXH3_64bits(block, SEGMENT_SUM_AT)) {
        return LOG_HEADER_BAD;
    }
    *version = get_u16(block + 4);
    if (*version != LOG_FORMAT_VERSION) {
        return LOG_HEADER_VERSION;
    }
    *out = (struct log_segment_header){
        .flags = get_u16(block + 6),
        .size_bytes = get_u64(block + 8),
        .log_id = get_u64(block + 16),
        .ordinal = get_u64(block + 24),
        .incarnation = get_u64(block + 32),
        .start = {.sequence = get_u64(block + 40),
                  .chain = get_u64(block + 48),
                  .term = get_u64(block + 56),
                  .vote = get_u64(block + 64),
                  .next_index = get_u64(block + 72)},
    };
    return LOG_HEADER_GOOD;
}

/* ---- records ---- */

uint64_t log_record_extent(uint64_t size)
{
    return (LOG_RECORD_HEADER + size + LOG_BLOCK - 1) / LOG_BLOCK * LOG_BLOCK;
}

bool log_all_zero(const uint8_t *data, uint64_t size)
{
    /* Each byte equals the one before it, and the first is zero. */
    return size == 0 || (data[0] == 0 && memcmp(data, data + 1, (size_t)size - 1) == 0);
}

uint32_t log_zero_sectors(const uint8_t *data, uint64_t size)
{
    uint32_t zeros = 0;
    for (uint64_t at = LOG_SECTOR; at + LOG_SECTOR <= size; at += LOG_SECTOR) {
        zeros += log_all_zero(data + at, LOG_SECTOR);
    }
    return zeros;
}

/* So that neither an older record nor one of the file's earlier use can pass for this one. */
static uint64_t items_hash(const uint8_t *data, const struct log_record *record)
{
    uint64_t seed = record->incarnation ^ (record->sequence * 0x9e3779b97f4a7c15ULL);
    return XXH3_64bits_withSeed(data + LOG_RECORD_HEADER, record->size, seed);
}

void log_record_finish(uint8_t *data, struct log_record *record)
{
    uint64_t extent = log_record_extent(record->size);
    uint64_t end = LOG_RECORD_HEADER + record->size;
    STEWARD_ASSERT(record->confirmed < record->sequence);
    memset(data + end, 0, (size_t)(extent - end));
    record->hash = items_hash(data, record);
    record->zero_sectors = log_zero_sectors(data, extent);
    put_u32(data, RECORD_MAGIC);
    put_u32(data + 4, record->size);
    put_u64(data + 8, record->sequence);
    put_u64(data + 16, record->incarnation);
    put_u64(data + 24, record->previous);
    put_u64(data + 32, record->confirmed);
    put_u64(data + 40, record->hash);
    put_u32(data + 48, record->zero_sectors);
    put_u16(data + 52, (uint16_t)record->kind);
    put_u16(data + 54, 0);
    record->checksum = XXH3_64bits(data, RECORD_SUM_AT);
    put_u64(data + RECORD_SUM_AT, record->checksum);
}

bool log_record_decode(const uint8_t *data, uint64_t incarnation, struct log_record *out)
{
    if (get_u32(data) != RECORD_MAGIC || get_u64(data + 16) != incarnation ||
        get_u64(data + RECORD_SUM_AT) != XXH3_64bits(data, RECORD_SUM_AT)) {
        return false;
    }
    *out = (struct log_record){
        .size = get_u32(data + 4),
        .sequence = get_u64(data + 8),
        .incarnation = incarnation,
        .previous = get_u64(data + 24),
        .confirmed = get_u64(data + 32),
        .hash = get_u64(data + 40),
        .zero_sectors = get_u32(data + 48),
        .kind = (enum log_record_kind)get_u16(data + 52),
        .checksum = get_u64(data + RECORD_SUM_AT),
    };
    return true;
}

bool log_record_intact(const uint8_t *data, const struct log_record *record)
{
    return items_hash(data, record) == record->hash;
}

/* ---- items ---- */

uint64_t log_item_extent(const struct log_item *item)
{
    return LOG_ITEM_HEADER + (uint64_t)item->payload.size;
}

void log_item_encode(uint8_t *data, const struct log_item *item)
{
    STEWARD_ASSERT(item->payload.size <= UINT32_MAX);
    data[0] = (uint8_t)item->type;
    data[1] = item->tag;
    put_u16(data + 2, 0);
    put_u32(data + 4, (uint32_t)item->payload.size);
    put_u64(data + 8, item->term);
    put_u64(data + 16, item->index);
    if (item->payload.size > 0) {
        memcpy(data + LOG_ITEM_HEADER, item->payload.data, item->payload.size);
    }
}

bool log_item_next(struct reader *reader, struct log_item *item)
{
    if (reader->failed || reader->at == reader->end) {
        return false;
    }
    item->type = (enum log_type)reader_u8(reader);
    item->tag = reader_u8(reader);
    uint16_t reserved = reader_u16(reader);
    uint32_t size = reader_u32(reader);
    item->term = reader_u64(reader);
    item->index = reader_u64(reader);
    item->payload = reader_raw(reader, size);
    bool known = item->type >= LOG_ENTRY && item->type <= LOG_VOTE;
    if (!known || reserved != 0 || (item->type != LOG_ENTRY && size > 0)) {
        reader->failed = true;
    }
    return !reader->failed;
}

bool log_state_follow(struct log_state *state, const struct log_item *item)
{
    switch (item->type) {
    case LOG_ENTRY:
        if (item->index != state->next_index || item->index == UINT64_MAX) {
            return false;
        }
        state->next_index++;
        return true;
    case LOG_TRUNCATE:
        if (item->index >= state->next_index) {
            return false;
        }
        state->next_index = item->index + 1;
        return true;
    case LOG_RESTART:
        if (item->index == UINT64_MAX) {
            return false;
        }
        state->next_index = item->index + 1;
        return true;
    case LOG_VOTE:
        if (item->term < state->term) {
            return false;
        }
        state->term = item->term;
        state->vote = item->index;
        return true;
    }
    return false;
}

/* ---- the first record that is not valid ---- */

enum log_verdict log_judge(const struct log_tail *tail)
{
    /* A later write was begun only after this one was durable: so it was whole once. */
    if (tail->confirmed_by_later || tail->misplaced) {
        return LOG_CORRUPT;
    }
    /* Over zeros, a write that was cut short leaves each sector either as meant, or zero. */
    if (tail->zeroed && !tail->header_good && !tail->header_sector_zero) {
        return LOG_DAMAGED;
    }
    if (tail->zeroed && tail->header_good && tail->zero_found <= tail->zero_recorded) {
        return LOG_DAMAGED;
    }
    return LOG_TORN;
}
