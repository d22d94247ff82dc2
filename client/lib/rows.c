/* Rows of named values: decoded once from the answer's array of maps, then only read. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <stdlib.h>

struct row {
    size_t first; /* index of its first field in `fields` */
    size_t count;
};

struct stw_rows {
    struct row *rows;
    size_t rows_count;
    stw_value *fields;
    size_t fields_count, fields_capacity;
};

static char *text_of(struct slice value)
{
    char *text = mem_alloc(value.size + 1);
    if (value.size > 0) {
        memcpy(text, value.data, value.size);
    }
    text[value.size] = 0;
    return text;
}

static void read_value(struct wire_reader *in, stw_value *value)
{
    uint8_t marker = in->at == in->end ? 0xc1 : *in->at;
    struct slice bytes;
    if (marker >= 0xc4 && marker <= 0xc6) {
        value->type = STW_VALUE_BYTES;
        bytes = wire_read_bin(in);
    } else if ((marker & 0xe0) == 0xa0 || (marker >= 0xd9 && marker <= 0xdb)) {
        value->type = STW_VALUE_TEXT;
        bytes = wire_read_str(in);
    } else {
        value->type = STW_VALUE_NUMBER;
        value->number = wire_read_uint(in);
        return;
    }
    value->data = text_of(bytes);
    value->size = bytes.size;
}

static void read_row(struct wire_reader *in, stw_rows *rows, struct row *row)
{
    uint32_t count = wire_read_map(in);
    row->first = rows->fields_count;
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        if (rows->fields_count == rows->fields_capacity) {
            rows->fields_capacity = rows->fields_capacity * 2 + 32;
            rows->fields = mem_realloc(rows->fields, rows->fields_capacity, sizeof *rows->fields);
        }
        stw_value *value = &rows->fields[rows->fields_count++];
        *value = (stw_value){.key = text_of(wire_read_str(in))};
        read_value(in, value);
        row->count++;
    }
}

stw_rows *rows_decode(struct slice bytes)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes);
    stw_rows *rows = mem_zalloc(1, sizeof *rows);
    rows->rows_count = wire_read_array(&in);
    rows->rows = mem_zalloc(rows->rows_count, sizeof *rows->rows);
    for (size_t i = 0; i < rows->rows_count && !in.failed; i++) {
        read_row(&in, rows, &rows->rows[i]);
    }
    if (!wire_reader_done(&in)) {
        stw_rows_free(&rows);
    }
    return rows;
}

int rows_call(stw_client *client, uint8_t op, uint8_t fields, struct buf *tail, stw_rows **rows)
{
    stw_future *future;
    int code = request_submit(
        client,
        &(struct conn_request){
            .op = op, .fields = fields, .tail = buf_view(tail), .timeout_ms = UINT64_MAX},
        &future);
    buf_fini(tail);
    if (code != 0) {
        return code;
    }
    code = future_finish(future);
    if (code == 0) {
        *rows = rows_decode(buf_view(&future->rows));
        code = *rows ? 0 : client_fail(client, STW_EPROTO, "the manager's rows are malformed");
    }
    future_free_locked(future);
    return code;
}

size_t stw_rows_count(const stw_rows *rows)
{
    return rows ? rows->rows_count : 0;
}

size_t stw_rows_fields(const stw_rows *rows, size_t row)
{
    return rows && row < rows->rows_count ? rows->rows[row].count : 0;
}

bool stw_rows_value(const stw_rows *rows, size_t row, size_t field, stw_value *value)
{
    if (field >= stw_rows_fields(rows, row)) {
        return false;
    }
    *value = rows->fields[rows->rows[row].first + field];
    return true;
}

bool stw_rows_find(const stw_rows *rows, size_t row, const char *key, stw_value *value)
{
    for (size_t i = 0; i < stw_rows_fields(rows, row); i++) {
        const stw_value *field = &rows->fields[rows->rows[row].first + i];
        if (strcmp(field->key, key) == 0) {
            *value = *field;
            return true;
        }
    }
    return false;
}

void stw_rows_free(stw_rows **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_rows *rows = *pointer;
    *pointer = NULL;
    for (size_t i = 0; i < rows->fields_count; i++) {
        free((void *)(uintptr_t)rows->fields[i].key);
        free((void *)(uintptr_t)rows->fields[i].data);
    }
    free(rows->fields);
    free(rows->rows);
    free(rows);
}
