/*
 * The envelope between nodes under any bytes: what is taken is whole, within its limits, and would
 * be written as it was read; nothing reads beyond the end.
 */
#include "broker/shell/links_envelope.h"
#include "common/base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(const struct envelope *envelope)
{
    STEWARD_ASSERT(envelope->from > 0 && envelope->to > 0);
    STEWARD_ASSERT(envelope->address.size <= LIMIT_LINK_ADDRESS_BYTES);
    STEWARD_ASSERT(envelope->endpoint.size <= LIMIT_LINK_ADDRESS_BYTES);
    STEWARD_ASSERT(envelope->neighbours_count <= LIMIT_NODES);
    for (size_t i = 0; i < envelope->neighbours_count; i++) {
        STEWARD_ASSERT(envelope->neighbours[i].node > 0);
        STEWARD_ASSERT(envelope->neighbours[i].address.size <= LIMIT_LINK_ADDRESS_BYTES);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope;
    struct slice message;
    struct buf again;
    if (envelope_read(&envelope, slice_of(data, size)) != NULL) {
        return 0;
    }
    check_texts(&envelope);
    buf_init(&again);
    envelope_begin(&again, &envelope);
    while (envelope_next(&envelope.messages, &message)) {
        envelope_add(&again, message);
    }
    STEWARD_ASSERT(slice_equal(buf_view(&again), slice_of(data, size)));
    buf_fini(&again);
    return 0;
}
