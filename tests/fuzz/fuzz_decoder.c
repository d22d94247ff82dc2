/*
 * The wire codec: what the scan lets through must be readable to the end by our reader and by
 * msgpack-c, and must come out of our writer as bytes that pass the scan again.
 */
#include "common/base/limits.h"
#include "common/base/panic.h"
#include "common/wire/codec.h"

#include <msgpack.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void copy_value(struct wire_reader *in, struct buf *out);

static void copy_container(struct wire_reader *in, struct buf *out, bool map)
{
    uint32_t count = map ? wire_read_map(in) : wire_read_array(in);
    if (map) {
        wire_write_map(out, count);
    } else {
        wire_write_array(out, count);
    }
    for (uint64_t i = 0; i < (map ? 2 * (uint64_t)count : count); i++) {
        copy_value(in, out);
    }
}

/* Reads by the type that the marker says and writes it in the shortest form. */
static void copy_value(struct wire_reader *in, struct buf *out)
{
    STEWARD_ASSERT(in->at != in->end && !in->failed);
    uint8_t marker = *in->at;
    if ((marker & 0xf0) == 0x90 || marker == 0xdc || marker == 0xdd) {
        copy_container(in, out, false);
    } else if ((marker & 0xf0) == 0x80 || marker == 0xde || marker == 0xdf) {
        copy_container(in, out, true);
    } else if ((marker & 0xe0) == 0xa0 || (marker >= 0xd9 && marker <= 0xdb)) {
        struct slice text = wire_read_str(in);
        (void)wire_utf8(text);
        wire_write_str(out, text);
    } else if (marker >= 0xc4 && marker <= 0xc6) {
        size_t before = out->size;
        struct slice bin = wire_read_bin(in);
        wire_write_bin(out, bin);
        STEWARD_ASSERT(out->size - before == wire_bin_bytes(bin.size));
    } else if (marker == 0xc2 || marker == 0xc3) {
        wire_write_bool(out, wire_read_bool(in));
    } else if (wire_read_nil(in)) {
        wire_write_nil(out);
    } else {
        wire_write_uint(out, wire_read_uint(in));
    }
}

static void check_with_msgpack(struct slice value)
{
    msgpack_unpacked unpacked;
    size_t offset = 0;
    msgpack_unpacked_init(&unpacked);
    STEWARD_ASSERT(msgpack_unpack_next(&unpacked, (const char *)value.data, value.size, &offset) ==
                   MSGPACK_UNPACK_SUCCESS);
    STEWARD_ASSERT(offset == value.size);
    msgpack_unpacked_destroy(&unpacked);
}

/* Typed reads of whatever is there: they may fail, never overrun. */
static void read_anything(struct slice frame)
{
    struct wire_reader in;
    wire_reader_init(&in, frame);
    for (size_t i = 0; in.at != in.end && i < 1000; i++) {
        (void)wire_read_array(&in);
        (void)wire_read_uint(&in);
        (void)wire_read_str(&in);
        (void)wire_read_uint_or_nil(&in);
        (void)wire_read_bin(&in);
        (void)wire_read_bool(&in);
        (void)wire_read_map(&in);
    }
    STEWARD_ASSERT(in.at == in.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice frame = slice_of(data, size);
    read_anything(frame);
    if (wire_scan(frame) != 0) {
        return 0;
    }
    struct buf out = {0};
    struct wire_reader in;
    wire_reader_init(&in, frame);
    while (in.at != in.end) {
        struct wire_reader value = in;
        check_with_msgpack(wire_read_value(&in));
        copy_value(&value, &out);
        STEWARD_ASSERT(value.at == in.at && !value.failed && !in.failed);
    }
    STEWARD_ASSERT(wire_reader_done(&in));
    STEWARD_ASSERT(out.size <= size && wire_scan(buf_view(&out)) == 0);
    buf_fini(&out);
    return 0;
}
