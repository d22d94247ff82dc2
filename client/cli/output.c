/*
 * What the commands print: JSON lines, tables, readable durations and sizes; and bytes to stdout
 * with a count of how many of them got there.
 */
#include "client/cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"

#define PIPE_CHUNK 4096 /* bytes that a pipe which poll calls writable takes without blocking */
#define CELL_BYTES 256  /* longest text of a table's cell */

/* ---- JSON ------------------------------------------------------------------------------------ */

struct line {
    json_t *object;
};

struct line *line_begin(void)
{
    struct line *line = mem_zalloc(1, sizeof(*line));
    line->object = json_object();
    return line;
}

/* Base64 (RFC 4648) of bytes that are no UTF-8. */
static char *base64(const unsigned char *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = mem_alloc((size + 2) / 3 * 4 + 1);
    char *out = text;
    for (size_t i = 0; i < size; i += 3) {
        unsigned bits = (unsigned)data[i] << 16;
        bits |= i + 1 < size ? (unsigned)data[i + 1] << 8 : 0;
        bits |= i + 2 < size ? (unsigned)data[i + 2] : 0;
        *out++ = digits[bits >> 18];
        *out++ = digits[(bits >> 12) & 63];
        *out++ = i + 1 < size ? digits[(bits >> 6) & 63] : '=';
        *out++ = i + 2 < size ? digits[bits & 63] : '=';
    }
    *out = '\0';
    return text;
}

void line_data(struct line *line, const char *key, const void *data, size_t size)
{
    const char *bytes = data != NULL ? data : "";
    json_t *text = json_stringn(bytes, size); /* NULL: not UTF-8 */
    if (text != NULL) {
        json_object_set_new(line->object, key, text);
        return;
    }
    char name[64];
    char *encoded = base64((const unsigned char *)bytes, size);
    snprintf(name, sizeof(name), "%s_base64", key);
    json_object_set_new(line->object, name, json_string(encoded));
    free(encoded);
}

void line_text(struct line *line, const char *key, const char *value)
{
    line_data(line, key, value, strlen(value));
}

void line_u64(struct line *line, const char *key, uint64_t value)
{
    char text[24];
    if (value <= INT64_MAX) {
        json_object_set_new(line->object, key, json_integer((json_int_t)value));
        return;
    }
    snprintf(text, sizeof(text), "%" PRIu64, value); /* jansson's integers are signed */
    json_object_set_new(line->object, key, json_string(text));
}

void line_real(struct line *line, const char *key, double value)
{
    json_object_set_new(line->object, key, json_real(value));
}

void line_bool(struct line *line, const char *key, bool value)
{
    json_object_set_new(line->object, key, json_boolean(value));
}

/* Hashes are compared by eye, and as 64 bits they are no number that every reader of JSON keeps. */
static bool is_hash(const stw_value *value)
{
    return value->type == STW_VALUE_NUMBER && strcmp(value->key, "hash") == 0;
}

void line_value(struct line *line, const stw_value *value)
{
    char hash[24];
    if (is_hash(value)) {
        snprintf(hash, sizeof(hash), "%016" PRIx64, value->number);
        line_text(line, value->key, hash);
    } else if (value->type == STW_VALUE_NUMBER) {
        line_u64(line, value->key, value->number);
    } else {
        line_data(line, value->key, value->data, value->size);
    }
}

void line_array(struct line *line, const char *key)
{
    if (json_object_get(line->object, key) == NULL) {
        json_object_set_new(line->object, key, json_array());
    }
}

void line_append(struct line *line, const char *key, struct line **inner)
{
    line_array(line, key);
    json_array_append_new(json_object_get(line->object, key), (*inner)->object);
    free(*inner);
    *inner = NULL;
}

void line_object(struct line *line, const char *key, struct line **inner)
{
    json_object_set_new(line->object, key, (*inner)->object);
    free(*inner);
    *inner = NULL;
}

void line_discard(struct line **line)
{
    json_decref((*line)->object);
    free(*line);
    *line = NULL;
}

char *line_end(struct line **line)
{
    char *text = json_dumps((*line)->object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    line_discard(line);
    return text != NULL ? text : strdup("{}");
}

bool line_print(struct line **line, FILE *out)
{
    char *text = line_end(line);
    bool good = fprintf(out, "%s\n", text) >= 0;
    free(text);
    return good;
}

bool line_show(const struct cli *cli, struct line **line)
{
    const char *key;
    json_t *value;
    if (given(cli, OPTION_JSON)) {
        return line_print(line, stdout);
    }
    json_object_foreach((*line)->object, key, value)
    {
        if (json_is_string(value)) {
            printf("%-20s  %s\n", key, json_string_value(value));
        } else {
            double number = json_number_value(value);
            bool whole = json_is_integer(value) || number >= 1000;
            printf("%-20s  %.*f\n", key, whole ? 0 : 3, number);
        }
    }
    line_discard(line);
    return !ferror(stdout);
}

/* ---- for people ------------------------------------------------------------------------------ */

const char *duration_text(uint64_t ms, char *text, size_t size)
{
    uint64_t s = ms / 1000;
    if (ms < 1000) {
        snprintf(text, size, "%" PRIu64 " ms", ms);
    } else if (s < 60) {
        snprintf(text, size, "%" PRIu64 ".%" PRIu64 " s", s, ms % 1000 / 100);
    } else if (s < 3600) {
        snprintf(text, size, "%" PRIu64 " m %02" PRIu64 " s", s / 60, s % 60);
    } else if (s < 86400) {
        snprintf(text, size, "%" PRIu64 " h %02" PRIu64 " m", s / 3600, s % 3600 / 60);
    } else {
        snprintf(text, size, "%" PRIu64 " d %02" PRIu64 " h", s / 86400, s % 86400 / 3600);
    }
    return text;
}

const char *bytes_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(text, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

const char *value_text(const stw_value *value, char *text, size_t size)
{
    if (is_hash(value)) {
        snprintf(text, size, "%016" PRIx64, value->number);
        return text;
    }
    if (value->type == STW_VALUE_NUMBER) {
        if (ends_with(value->key, "_ms")) {
            return duration_text(value->number, text, size);
        }
        if (ends_with(value->key, "bytes")) {
            return bytes_text(value->number, text, size);
        }
        snprintf(text, size, "%" PRIu64, value->number);
        return text;
    }
    size_t length = value->size < size - 1 ? value->size : size - 1;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)value->data[i];
        unsigned char next = i + 1 < length ? (unsigned char)value->data[i + 1] : 0xff;
        text[i] = byte < 0x20 || byte == 0x7f ? '.' : (char)byte;
        if (byte == 0xc2 && next < 0xa0) { /* U+0080 to U+009F: commands to some terminals */
            text[i] = text[i + 1] = '.';
            i++;
        }
    }
    text[length] = '\0';
    return text;
}

static const char *cell(const stw_rows *rows, size_t row, const char *key, char *text)
{
    stw_value value;
    if (!stw_rows_find(rows, row, key, &value)) {
        return "-";
    }
    return value_text(&value, text, CELL_BYTES);
}

static void columns_widen(const stw_rows *rows, size_t first, struct column *columns)
{
    char text[CELL_BYTES];
    for (struct column *column = columns; column->key != NULL; column++) {
        int width = (int)strlen(column->title);
        for (size_t row = first; row < stw_rows_count(rows); row++) {
            int size = (int)strlen(cell(rows, row, column->key, text));
            width = size > width ? size : width;
        }
        bool right = column->width < 0;
        int before = right ? -column->width : column->width;
        width = width > before ? width : before;
        column->width = right ? -width : width;
    }
}

static void cell_print(const struct column *column, const char *text)
{
    const char *gap = column[1].key != NULL ? "  " : "";
    if (column->width < 0) {
        printf("%*s%s", -column->width, text, gap);
    } else {
        printf("%-*s%s", column[1].key != NULL ? column->width : 0, text, gap);
    }
}

static bool table(const stw_rows *rows, size_t first, struct column *columns, bool head)
{
    char text[CELL_BYTES];
    columns_widen(rows, first, columns);
    for (const struct column *column = columns; head && column->key != NULL; column++) {
        cell_print(column, column->title);
    }
    printf("%s", head ? "\n" : "");
    for (size_t row = first; row < stw_rows_count(rows); row++) {
        for (const struct column *column = columns; column->key != NULL; column++) {
            cell_print(column, cell(rows, row, column->key, text));
        }
        printf("\n");
    }
    return !ferror(stdout);
}

bool rows_table(const struct cli *cli, const stw_rows *rows, struct column *columns, bool head)
{
    if (!given(cli, OPTION_JSON)) {
        return table(rows, 0, columns, head);
    }
    for (size_t row = 0; row < stw_rows_count(rows); row++) {
        row_fields(cli, rows, row);
    }
    return !ferror(stdout);
}

bool rows_rest(const stw_rows *rows, size_t first, struct column *columns)
{
    return table(rows, first, columns, true);
}

void line_row(struct line *line, const stw_rows *rows, size_t row)
{
    stw_value value;
    for (size_t field = 0; stw_rows_value(rows, row, field, &value); field++) {
        line_value(line, &value);
    }
}

bool row_fields(const struct cli *cli, const stw_rows *rows, size_t row)
{
    if (given(cli, OPTION_JSON)) {
        struct line *line = line_begin();
        line_row(line, rows, row);
        return line_print(&line, stdout);
    }
    char text[CELL_BYTES];
    stw_value value;
    for (size_t field = 0; stw_rows_value(rows, row, field, &value); field++) {
        printf("%-20s  %s\n", value.key, value_text(&value, text, sizeof(text)));
    }
    return !ferror(stdout);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

void output_add(struct output *output, const void *data, size_t size)
{
    if (size > output->capacity - output->size) {
        output->capacity = (output->size + size) * 2;
        output->data = mem_realloc(output->data, output->capacity, 1);
    }
    if (size > 0) {
        memcpy(output->data + output->size, data, size);
    }
    output->size += size;
}

/* Files never make us wait for long; on anything else a signal must be able to stop us. */
static bool is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

bool output_flush(struct cli *cli, struct output *output)
{
    size_t most = is_file(STDOUT_FILENO) ? SIZE_MAX : PIPE_CHUNK;
    while (output->written < output->size) {
        size_t left = output->size - output->written;
        if (most == PIPE_CHUNK && !fd_wait(cli, STDOUT_FILENO, POLLOUT, -1)) {
            return false;
        }
        ssize_t n = write(STDOUT_FILENO, output->data + output->written, left < most ? left : most);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        output->written += n > 0 ? (size_t)n : 0;
    }
    return true;
}

void output_clear(struct output *output)
{
    output->size = 0;
    output->written = 0;
}
