/*
 * The log's bytes: segment headers, records, items, and the judgement on the first record that is
 * not valid. Pure: no files, no clock. docs/log.md describes the format byte for byte.
 *
 * A segment is a file of fixed size: one block with its header, then records, each padded to whole
 * blocks. A record is what one write made durable: a header of 64 bytes and the items that had
 * gathered. All numbers are little-endian; checksums are XXH3-64.
 */
#ifndef BROKER_JOURNAL_LOG_FORMAT_H
#define BROKER_JOURNAL_LOG_FORMAT_H

#include "broker/journal/log.h"
#include "common/base/limits.h"

#define LOG_FORMAT_VERSION 1

/* bytes: what one write touches at least; O_DIRECT wants it, and confirmed blocks stay untouched */
#define LOG_BLOCK 4096

/* bytes: the unit in which a disk writes all or nothing */
#define LOG_SECTOR 512

#define LOG_RECORD_HEADER 64
#define LOG_ITEM_HEADER   24

/* What the log knows between two records: the same in a header and while reading. */
struct log_state {
    uint64_t sequence; /* of the next record */
    uint64_t chain;    /* checksum of the last record's header; 0 before the first */
    uint64_t term;     /* the last LOG_VOTE */
    uint64_t vote;
    uint64_t next_index; /* of the next entry */
};

enum { LOG_SEGMENT_ZEROED = 1, LOG_SEGMENT_USED = 2 };

/* The first block of a segment. Before LOG_SEGMENT_USED is set, `start` means nothing. */
struct log_segment_header {
    unsigned flags;
    uint64_t size_bytes;  /* of the file */
    uint64_t log_id;      /* the same in all segments of a directory */
    uint64_t ordinal;     /* as in the file's name; 0 in the pool */
    uint64_t incarnation; /* random, new at every use of the file */
    struct log_state start;
};

/* Writes a whole block. */
void log_segment_encode(uint8_t block[LOG_BLOCK], const struct log_segment_header *header);

enum log_header_check { LOG_HEADER_GOOD, LOG_HEADER_BAD, LOG_HEADER_VERSION };

/* LOG_HEADER_VERSION: whole, but of a version that is not known; *version says which. */
enum log_header_check log_segment_decode(const uint8_t *block, struct log_segment_header *out,
                                         unsigned *version);

enum log_record_kind { LOG_RECORD_ITEMS = 1, LOG_RECORD_SEAL = 2 };

struct log_record {
    enum log_record_kind kind;
    uint32_t size; /* bytes of items after the header */
    uint64_t sequence;
    uint64_t incarnation;  /* of the segment */
    uint64_t previous;     /* the chain: checksum of the record before */
    uint64_t confirmed;    /* highest sequence that was durable when this one was begun */
    uint64_t hash;         /* of the items; set by log_record_finish */
    uint32_t zero_sectors; /* all-zero sectors behind the first; set by log_record_finish */
    uint64_t checksum;     /* of the header; set by log_record_finish */
};

/* Bytes a record takes in its segment. */
uint64_t log_record_extent(uint64_t size);

/*
 * Completes a record in place: header, zeros up to the block's end, checksums. `data` holds
 * log_record_extent(record->size) bytes, the items from LOG_RECORD_HEADER on.
 */
void log_record_finish(uint8_t *data, struct log_record *record);

/* true: whole, and written in this use of the segment. Says nothing about order or items. */
bool log_record_decode(const uint8_t *data, uint64_t incarnation, struct log_record *out);

/* `data` as at log_record_finish: do the items match their checksum? */
bool log_record_intact(const uint8_t *data, const struct log_record *record);

/* Bytes an item takes. */
uint64_t log_item_extent(const struct log_item *item);

/* Writes log_item_extent bytes. */
void log_item_encode(uint8_t *data, const struct log_item *item);

/* The next item of a record's items; false at the end, or when malformed (reader->failed). */
bool log_item_next(struct reader *reader, struct log_item *item);

/* Follows one item; false when it contradicts what came before. */
bool log_state_follow(struct log_state *state, const struct log_item *item);

/* How many sectors of [LOG_SECTOR, size) are all zero. */
uint32_t log_zero_sectors(const uint8_t *data, uint64_t size);

/* true when all bytes are zero. */
bool log_all_zero(const uint8_t *data, uint64_t size);

/* What was found at the place of the first record that is not valid. */
struct log_tail {
    bool zeroed;             /* the segment was all zero before this use */
    bool misplaced;          /* a whole header of this use, but not the one that belongs here */
    bool header_good;        /* the header is whole; the items are not */
    bool header_sector_zero; /* nothing is written in the first sector */
    uint32_t zero_recorded;  /* all-zero sectors that the header tells of */
    uint32_t zero_found;     /* all-zero sectors there are */
    bool confirmed_by_later; /* a later record says that this one was durable */
};

enum log_verdict { LOG_TORN, LOG_CORRUPT, LOG_DAMAGED };

/* The rules of docs/log.md, in their order. */
enum log_verdict log_judge(const struct log_tail *tail);

#endif
