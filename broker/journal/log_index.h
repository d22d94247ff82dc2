/*
 * Where each entry is: by its index the record that holds it, by a record's sequence its place on
 * disk. Plain memory, about 24 bytes an entry and 16 a record. One owner thread.
 */
#ifndef BROKER_JOURNAL_LOG_INDEX_H
#define BROKER_JOURNAL_LOG_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_place {
    uint64_t term;
    uint64_t sequence; /* of the record */
    uint32_t offset;   /* bytes from the record's begin to the item's */
    uint32_t size;     /* bytes of the payload */
};

struct log_spot {
    uint64_t ordinal; /* of the segment */
    uint64_t offset;  /* bytes from the file's begin */
};

/* A ring of equal elements that are numbered one after the other. */
struct log_ring {
    uint8_t *data;
    size_t element;  /* bytes */
    size_t capacity; /* elements, a power of two or 0 */
    size_t head;
    size_t count;
    uint64_t first; /* number of the first one; of the next one when there is none */
};

struct log_index {
    struct log_ring entries; /* struct log_place, by index */
    struct log_ring records; /* struct log_spot, by sequence */
};

void log_index_init(struct log_index *index);
void log_index_fini(struct log_index *index);

/* The next entry; `number` is the last one's plus 1. */
void log_index_add(struct log_index *index, uint64_t number, const struct log_place *place);

/* Forgets the entries behind `number`; the next one has number + 1. */
void log_index_cut(struct log_index *index, uint64_t number);

/* Forgets the entries before `number`, and records that no entry needs. */
void log_index_trim(struct log_index *index, uint64_t number);

/* The next record's place. */
void log_index_record(struct log_index *index, uint64_t sequence, struct log_spot spot);

/* NULL: there is none. Valid until the next change. */
const struct log_place *log_index_find(const struct log_index *index, uint64_t number);
const struct log_spot *log_index_spot(const struct log_index *index, uint64_t sequence);

#endif
