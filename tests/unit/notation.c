/* The notation of notation.h: text to bytes by the codec's writer, bytes to text by its reader. */
#include "tests/unit/notation.h"

#include "common/wire/codec.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- text to bytes -------------------------------------------------------------------------- */

static void skip_space(const char **at)
{
    while (**at == ' ' || **at == '\n' || **at == ',') {
        (*at)++;
    }
}

static bool encode_value(const char **at, struct buf *out);

/* What stands between brackets; *count values. */
static bool encode_inside(const char **at, char end, struct buf *out, uint32_t *count)
{
    *count = 0;
    for (skip_space(at); **at != end; skip_space(at)) {
        if (**at == ':') {
            (*at)++;
            continue;
        }
        if (!encode_value(at, out)) {
            return false;
        }
        (*count)++;
    }
    (*at)++;
    return true;
}

static bool encode_container(const char **at, struct buf *out)
{
    struct buf inside = {0};
    bool map = *(*at)++ == '{';
    uint32_t count;
    bool good = encode_inside(at, map ? '}' : ']', &inside, &count) && (!map || count % 2 == 0);
    if (map) {
        wire_write_map(out, count / 2);
    } else {
        wire_write_array(out, count);
    }
    buf_add(out, inside.data, inside.size);
    buf_fini(&inside);
    return good;
}

static bool encode_quoted(const char **at, struct buf *out)
{
    char quote = *(*at)++;
    const char *end = strchr(*at, quote);
    if (end == NULL) {
        return false;
    }
    struct slice inside = slice_of(*at, (size_t)(end - *at));
    if (quote == '"') {
        wire_write_str(out, inside);
    } else {
        wire_write_bin(out, inside);
    }
    *at = end + 1;
    return true;
}

static bool encode_hex(const char **at, struct buf *out)
{
    struct buf bytes = {0};
    *at += 2;
    while (isxdigit((unsigned char)**at) && isxdigit((unsigned char)(*at)[1])) {
        char pair[3] = {(*at)[0], (*at)[1], '\0'};
        buf_u8(&bytes, (uint8_t)strtoul(pair, NULL, 16));
        *at += 2;
    }
    wire_write_bin(out, buf_view(&bytes));
    buf_fini(&bytes);
    return *(*at)++ == '\'';
}

static bool take_word(const char **at, const char *word)
{
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0) {
        return false;
    }
    *at += size;
    return true;
}

static bool encode_value(const char **at, struct buf *out)
{
    switch (**at) {
    case '[':
    case '{': return encode_container(at, out);
    case '"':
    case '\'': return encode_quoted(at, out);
    default: break;
    }
    if (strncmp(*at, "h'", 2) == 0) {
        return encode_hex(at, out);
    }
    if (isdigit((unsigned char)**at)) {
        char *end;
        wire_write_uint(out, strtoull(*at, &end, 10));
        *at = end;
        return true;
    }
    if (take_word(at, "nil")) {
        wire_write_nil(out);
        return true;
    }
    bool value = **at == 't';
    wire_write_bool(out, value);
    return take_word(at, value ? "true" : "false");
}

bool notation_encode(const char *text, struct buf *out)
{
    for (skip_space(&text); *text; skip_space(&text)) {
        if (!encode_value(&text, out)) {
            return false;
        }
    }
    return true;
}

/* ---- bytes to text -------------------------------------------------------------------------- */

static void add_text(struct buf *out, const char *text)
{
    buf_add(out, text, strlen(text));
}

static void print_bin(struct slice bin, struct buf *out)
{
    bool plain = true;
    for (size_t i = 0; i < bin.size; i++) {
        plain = plain && isprint(bin.data[i]) && bin.data[i] != '\'';
    }
    add_text(out, plain ? "'" : "h'");
    for (size_t i = 0; i < bin.size; i++) {
        char hex[3];
        (void)snprintf(hex, sizeof hex, plain ? "%c" : "%02x", bin.data[i]);
        add_text(out, hex);
    }
    add_text(out, "'");
}

static void print_value(struct wire_reader *in, struct buf *out);

static void print_container(struct wire_reader *in, struct buf *out, bool map)
{
    uint32_t count = map ? wire_read_map(in) : wire_read_array(in);
    add_text(out, map ? "{" : "[");
    for (uint32_t i = 0; i < count && !in->failed; i++) {
        add_text(out, i > 0 ? ", " : "");
        print_value(in, out);
        if (map) {
            add_text(out, ": ");
            print_value(in, out);
        }
    }
    add_text(out, map ? "}" : "]");
}

static void print_uint(struct wire_reader *in, struct buf *out)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)wire_read_uint(in));
    add_text(out, text);
}

static void print_value(struct wire_reader *in, struct buf *out)
{
    uint8_t marker = in->at == in->end ? 0xc1 : *in->at;
    if ((marker & 0xf0) == 0x90 || marker == 0xdc || marker == 0xdd) {
        print_container(in, out, false);
    } else if ((marker & 0xf0) == 0x80 || marker == 0xde || marker == 0xdf) {
        print_container(in, out, true);
    } else if ((marker & 0xe0) == 0xa0 || (marker >= 0xd9 && marker <= 0xdb)) {
        struct slice text = wire_read_str(in);
        add_text(out, "\"");
        buf_add(out, text.data, text.size);
        add_text(out, "\"");
    } else if (marker >= 0xc4 && marker <= 0xc6) {
        print_bin(wire_read_bin(in), out);
    } else if (marker == 0xc2 || marker == 0xc3) {
        add_text(out, wire_read_bool(in) ? "true" : "false");
    } else if (wire_read_nil(in)) {
        add_text(out, "nil");
    } else {
        print_uint(in, out);
    }
}

bool notation_print(struct slice bytes, struct buf *out)
{
    struct wire_reader in;
    wire_reader_init(&in, bytes);
    while (in.at != in.end) {
        print_value(&in, out);
        add_text(out, in.at != in.end ? " " : "");
    }
    buf_u8(out, '\0');
    return !in.failed;
}
