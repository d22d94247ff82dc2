/* Ranges of seen answers: see seen.h. */
#include "client/lib/seen.h"

#include "common/base/alloc.h"
#include "common/base/limits.h"
#include "common/wire/canary.h"
#include "common/wire/codec.h"
#include "common/wire/protocol.h"

#include <stdlib.h>

/* count: ranges in one record, the protocol's limit; the rest follows in the next record */
#define SEEN_RANGES_MAX LIMIT_BATCH

/* Closes the gap at the front when it is worth it. */
static void seen_compact(struct seen *seen)
{
    size_t kept = seen->count - seen->head;
    if (seen->head < kept && kept > 0) {
        return;
    }
    if (kept > 0) {
        memmove(seen->ranges, seen->ranges + seen->head, kept * sizeof *seen->ranges);
    }
    seen->sent -= seen->head;
    seen->head = 0;
    seen->count = kept;
}

void seen_add(struct seen *seen, uint64_t first, uint64_t count)
{
    if (seen_pending(seen)) {
        struct seen_range *last = &seen->ranges[seen->count - 1];
        if (last->first + last->count == first) {
            last->count += count;
            return;
        }
        if (first + count == last->first) {
            last->first = first;
            last->count += count;
            return;
        }
    }
    if (seen->count == seen->capacity) {
        seen_compact(seen);
    }
    if (seen->count == seen->capacity) {
        seen->capacity = seen->capacity ? seen->capacity * 2 : 64;
        seen->ranges = mem_realloc(seen->ranges, seen->capacity, sizeof *seen->ranges);
    }
    seen->ranges[seen->count++] = (struct seen_range){.first = first, .count = count};
}

void seen_write(struct seen *seen, struct buf *out, uint64_t number)
{
    size_t count = seen->count - seen->sent;
    if (count > SEEN_RANGES_MAX) {
        count = SEEN_RANGES_MAX;
    }
    wire_write_array(out, (uint32_t)(1 + 2 * count));
    wire_write_uint(out, WIRE_SEEN);
    for (size_t i = 0; i < count; i++) {
        struct seen_range *range = &seen->ranges[seen->sent++];
        range->packet = number;
        wire_write_uint(out, range->first);
        wire_write_uint(out, range->count + NET_CANARY(SEEN_WIDE));
    }
}

void seen_confirm(struct seen *seen, uint64_t number)
{
    while (seen->head < seen->sent && seen->ranges[seen->head].packet <= number) {
        seen->head++;
    }
    if (seen->head == seen->count) {
        seen_clear(seen);
    }
}

void seen_rewind(struct seen *seen)
{
    seen->sent = seen->head;
}

void seen_clear(struct seen *seen)
{
    seen->head = seen->sent = seen->count = 0;
}

void seen_fini(struct seen *seen)
{
    free(seen->ranges);
    *seen = (struct seen){0};
}
