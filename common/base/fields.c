/* Rows of named values: writing and reading the encoding of fields.h. */
#include "common/base/fields.h"

#include "common/base/panic.h"

static void fields_key(struct buf *out, enum field_type type, const char *key)
{
    size_t size = strlen(key);
    STEWARD_ASSERT(size > 0 && size <= UINT8_MAX);
    buf_u8(out, (uint8_t)type);
    buf_u8(out, (uint8_t)size);
    buf_add(out, key, size);
}

void fields_row(struct buf *out)
{
    buf_u8(out, FIELD_ROW);
}

void fields_u64(struct buf *out, const char *key, uint64_t value)
{
    fields_key(out, FIELD_U64, key);
    buf_u64(out, value);
}

void fields_bytes(struct buf *out, const char *key, struct slice value)
{
    fields_key(out, FIELD_BYTES, key);
    buf_slice(out, value);
}

void fields_text(struct buf *out, const char *key, struct slice value)
{
    fields_key(out, FIELD_TEXT, key);
    buf_slice(out, value);
}

bool fields_next(struct reader *reader, struct field *field)
{
    if (reader->failed || reader->at == reader->end) {
        return false;
    }
    *field = (struct field){.type = (enum field_type)reader_u8(reader)};
    switch (field->type) {
    case FIELD_ROW: return true;
    case FIELD_U64:
        field->key = reader_raw(reader, reader_u8(reader));
        field->number = reader_u64(reader);
        break;
    case FIELD_BYTES:
    case FIELD_TEXT:
        field->key = reader_raw(reader, reader_u8(reader));
        field->bytes = reader_slice(reader);
        break;
    default: reader->failed = true;
    }
    return !reader->failed;
}
