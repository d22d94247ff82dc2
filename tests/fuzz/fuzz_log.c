/*
 * The log's reader on hostile files. The input describes up to FILES segments, block by block:
 *
 *     u8 how, u16 size, bytes     again and again: one block begins with these bytes, zeros follow
 *
 * how: bit 0 next file first; bit 1 make it a whole segment header (size of file, log id, ordinal
 * and checksum are put right); bit 2 make it a whole record (incarnation, sequence, chain and
 * checksums are put right); bit 3 repeat the block before instead. So mutations reach what lies
 * behind the checksums.
 *
 * Whatever the files hold: no overread, no endless loop; entries come in order, one index after the
 * other but for truncations; a refusal has a sentence; and what was read once is read again.
 */
#include "broker/journal/log.h"
#include "broker/journal/log_format.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILES      3
#define BLOCKS     16
#define FILE_BYTES (BLOCKS * LOG_BLOCK)
#define LOG_ID     1
#define VERSION    "steward-data 1\nlog 0000000000000001\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct image {
    uint8_t *files[FILES];
    unsigned count;
};

/* ---- the files ---- */

static int image_open(void *context, const char *path, int how)
{
    const struct image *image = context;
    unsigned number = 0;
    const char *name = strrchr(path, '/') + 1;
    STEWARD_ASSERT(!(how & LOG_OPEN_WRITE)); /* verifying changes nothing */
    if (strcmp(name, "version") == 0) {
        return FILES;
    }
    return sscanf(name, "%x", &number) == 1 && number >= 1 && number <= image->count
               ? (int)number - 1
               : -ENOENT;
}

static void image_close(void *context, int file)
{
    (void)context;
    (void)file;
}

static int64_t image_size(void *context, int file)
{
    (void)context;
    return file == FILES ? (int64_t)sizeof VERSION - 1 : FILE_BYTES;
}

static int64_t image_read(void *context, int file, void *data, size_t size, uint64_t offset)
{
    const struct image *image = context;
    uint64_t whole = (uint64_t)image_size(context, file);
    const void *bytes = file == FILES ? (const void *)VERSION : image->files[file];
    if (offset >= whole) {
        return 0;
    }
    size = size < whole - offset ? size : (size_t)(whole - offset);
    memcpy(data, (const uint8_t *)bytes + offset, size);
    return (int64_t)size;
}

static int image_list(void *context, const char *path, log_visit *visit, void *argument)
{
    const struct image *image = context;
    (void)path;
    for (unsigned i = 0; i < image->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%016x.segment", i + 1);
        visit(argument, name);
    }
    return 0;
}

/* ---- from the input ---- */

struct maker {
    struct image *image;
    struct reader input;
    unsigned block; /* in the newest file */
    uint64_t incarnation;
    uint64_t sequence, chain;
};

static uint8_t *next_block(struct maker *maker, bool next_file)
{
    struct image *image = maker->image;
    if (image->count == 0 || next_file || maker->block == BLOCKS) {
        if (image->count == FILES) {
            return NULL;
        }
        image->files[image->count++] = mem_zalloc(1, FILE_BYTES);
        maker->block = 0;
    }
    return image->files[image->count - 1] + (size_t)maker->block++ * LOG_BLOCK;
}

static void fix_header(struct maker *maker, uint8_t *block)
{
    struct reader reader;
    struct log_segment_header header = {.size_bytes = FILE_BYTES, .log_id = LOG_ID};
    reader_init(&reader, slice_of(block, LOG_BLOCK));
    header.flags = reader_u8(&reader) & 3;
    header.incarnation = reader_u8(&reader);
    header.start.term = reader_u8(&reader);
    header.start.vote = reader_u8(&reader);
    header.start.next_index = reader_u8(&reader);
    header.ordinal = maker->image->count;
    header.start.sequence = maker->sequence;
    header.start.chain = maker->chain;
    maker->incarnation = header.incarnation;
    log_segment_encode(block, &header);
}

/* The first bytes say how long it is; the items stand where items stand. */
static void fix_record(struct maker *maker, uint8_t *block)
{
    struct log_record record = {.kind = block[0] & 1 ? LOG_RECORD_SEAL : LOG_RECORD_ITEMS,
                                .sequence = maker->sequence,
                                .incarnation = maker->incarnation,
                                .previous = maker->chain,
                                .confirmed = maker->sequence - 1};
    unsigned left = BLOCKS - maker->block;
    uint32_t most = (left + 1) * LOG_BLOCK - LOG_RECORD_HEADER;
    record.size = ((uint32_t)block[1] | (uint32_t)block[2] << 8) % (most + 1);
    log_record_finish(block, &record);
    /* What it covers is taken: the next block stands behind it. */
    maker->block += (unsigned)(log_record_extent(record.size) / LOG_BLOCK) - 1;
    maker->sequence++;
    maker->chain = record.checksum;
}

static void make(struct maker *maker)
{
    const uint8_t *before = NULL;
    while (maker->input.at != maker->input.end) {
        uint8_t how = reader_u8(&maker->input);
        struct slice bytes = reader_raw(&maker->input, reader_u16(&maker->input) % LOG_BLOCK);
        uint8_t *block = maker->input.failed ? NULL : next_block(maker, how & 1);
        if (block == NULL) {
            return;
        }
        if (how & 8 && before != NULL) {
            memmove(block, before, LOG_BLOCK);
        } else if (bytes.size > 0) {
            memcpy(block, bytes.data, bytes.size);
        }
        if (how & 2) {
            fix_header(maker, block);
        } else if (how & 4) {
            fix_record(maker, block);
        }
        before = block;
    }
}

/* ---- what comes out ---- */

struct seen {
    uint64_t items;
    uint64_t next_index; /* 0: not known yet */
    uint64_t bytes;      /* a sum over payloads: they can be read */
};

static void see(void *context, const struct log_item *item)
{
    struct seen *seen = context;
    seen->items++;
    for (size_t i = 0; i < item->payload.size; i++) {
        seen->bytes += item->payload.data[i];
    }
    if (item->type == LOG_ENTRY) {
        STEWARD_ASSERT(seen->next_index == 0 || item->index == seen->next_index);
        seen->next_index = item->index + 1;
    } else if (item->type != LOG_VOTE) {
        STEWARD_ASSERT(item->type == LOG_RESTART || seen->next_index == 0 ||
                       item->index < seen->next_index);
        seen->next_index = item->index + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct image image = {.count = 0};
    struct maker maker = {.image = &image, .sequence = 1};
    struct log_io io = {.context = &image,
                        .open = image_open,
                        .close = image_close,
                        .size = image_size,
                        .read = image_read,
                        .uncache = image_close,
                        .list = image_list};
    struct seen first = {0}, second = {0};
    struct log_options options = {.directory = "d", .io = &io, .recovered = see, .context = &first};
    struct log_error error;
    reader_init(&maker.input, slice_of(data, size));
    make(&maker);
    bool good = log_verify(&options, &error);
    STEWARD_ASSERT(good == (error.trouble == LOG_FINE));
    STEWARD_ASSERT(good || strlen(error.text) > 20);
    options.context = &second;
    STEWARD_ASSERT(log_verify(&options, &error) == good);
    STEWARD_ASSERT(memcmp(&first, &second, sizeof first) == 0);
    for (unsigned i = 0; i < image.count; i++) {
        free(image.files[i]);
    }
    return 0;
}
