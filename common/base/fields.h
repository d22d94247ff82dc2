/*
 * Rows of named values: how the core hands structured answers (stat, list, show, peek) to whoever
 * encodes them, without knowing the wire.
 *
 * A buffer holds rows one after the other; a row holds fields (key, u64 | bytes | text). Encoding:
 * 'R' begins a row; 'U' key u64; 'B' key bytes; 'T' key text; key = u8 length + bytes.
 * Keys are static lower-case words with units last (see docs/protocol.md, "Fields").
 */
#ifndef COMMON_BASE_FIELDS_H
#define COMMON_BASE_FIELDS_H

#include "common/base/buf.h"

enum field_type { FIELD_ROW = 'R', FIELD_U64 = 'U', FIELD_BYTES = 'B', FIELD_TEXT = 'T' };

struct field {
    enum field_type type;
    struct slice key;   /* empty for FIELD_ROW */
    struct slice bytes; /* FIELD_BYTES, FIELD_TEXT */
    uint64_t number;    /* FIELD_U64 */
};

/* Begins a row. */
void fields_row(struct buf *out);
void fields_u64(struct buf *out, const char *key, uint64_t value);
void fields_bytes(struct buf *out, const char *key, struct slice value);
void fields_text(struct buf *out, const char *key, struct slice value);

/* Reads the next field or row mark; false at the end or on malformed input (reader->failed). */
bool fields_next(struct reader *reader, struct field *field);

#endif
