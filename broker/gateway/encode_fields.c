/* Rows of fields (common/base/fields.h) into maps, by msgpack-c's packer; and our own counters. */
#include "broker/gateway/internal.h"

#include "common/base/fields.h"
#include "common/base/panic.h"

static int pack_into(void *context, const char *data, size_t size)
{
    buf_add(context, data, size);
    return 0;
}

/* How many fields stand before the next row or the end; the reader is a copy. */
static size_t count_fields(struct reader reader)
{
    struct field field;
    size_t count = 0;
    while (fields_next(&reader, &field) && field.type != FIELD_ROW) {
        count++;
    }
    STEWARD_ASSERT(!reader.failed); /* the core's own bytes */
    return count;
}

static size_t count_rows(struct slice fields)
{
    struct reader reader;
    struct field field;
    size_t count = 0;
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        count += field.type == FIELD_ROW;
    }
    STEWARD_ASSERT(!reader.failed);
    return count;
}

static void pack_field(msgpack_packer *packer, const struct field *field)
{
    msgpack_pack_str_with_body(packer, field->key.data, field->key.size);
    switch (field->type) {
    case FIELD_U64: msgpack_pack_uint64(packer, field->number); break;
    case FIELD_TEXT:
        msgpack_pack_str_with_body(packer, field->bytes.data, field->bytes.size);
        break;
    case FIELD_BYTES:
        msgpack_pack_bin_with_body(packer, field->bytes.data, field->bytes.size);
        break;
    case FIELD_ROW: break;
    }
}

/* One map of the fields up to the next row. */
static void pack_row(msgpack_packer *packer, struct reader *reader)
{
    size_t count = count_fields(*reader);
    msgpack_pack_map(packer, count);
    for (size_t i = 0; i < count; i++) {
        struct field field;
        STEWARD_ASSERT(fields_next(reader, &field));
        pack_field(packer, &field);
    }
}

void encode_map(struct buf *out, struct slice fields)
{
    msgpack_packer packer;
    struct reader reader;
    msgpack_packer_init(&packer, out, pack_into);
    reader_init(&reader, fields);
    pack_row(&packer, &reader);
    STEWARD_ASSERT(reader_done(&reader));
}

void encode_rows(struct buf *out, struct slice fields)
{
    msgpack_packer packer;
    struct reader reader;
    struct field field;
    msgpack_packer_init(&packer, out, pack_into);
    msgpack_pack_array(&packer, count_rows(fields));
    reader_init(&reader, fields);
    while (fields_next(&reader, &field)) {
        STEWARD_ASSERT(field.type == FIELD_ROW);
        pack_row(&packer, &reader);
    }
}

void encode_counters(struct gateway *gateway, struct buf *fields)
{
    const struct gateway_counters *counters = &gateway->counters;
    fields_row(fields);
    fields_u64(fields, "packets_in", counters->packets_in);
    fields_u64(fields, "packets_out", counters->packets_out);
    fields_u64(fields, "bytes_in", counters->bytes_in);
    fields_u64(fields, "bytes_out", counters->bytes_out);
    fields_u64(fields, "records_in", counters->records_in);
    fields_u64(fields, "bad_packets", counters->bad_packets);
    fields_u64(fields, "refused_hellos", counters->refused_hellos);
    fields_u64(fields, "resumed", counters->resumed);
    fields_u64(fields, "unroutable", counters->unroutable);
    fields_u64(fields, "kept", counters->kept);
    fields_u64(fields, "overflowed", counters->overflowed);
    fields_u64(fields, "connections", counters->connections);
}
