/*
 * A replica among hostile nodes. The input is what they say, and what happens in between:
 *
 *     u8 who, u16 size, bytes     again and again
 *
 * who: bits 0 and 1 the sender, 2 to 5; bit 2 the bytes are those of a PEER_BYTES_CONSENSUS message
 * behind its kind; bit 3 time passes; bit 4 the log is durable now. The first byte of all says
 * whether the node is a founder of three, or blank.
 *
 * Whatever they say: nothing crashes, what was applied stays applied, and a failure has a sentence.
 */
#include "broker/journal/replica.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define ENTRIES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A log in memory: payloads are copies. */
struct store {
    struct log_item entries[ENTRIES];
    uint64_t base, last, sequence; /* base: index before the first one */
};

static void cut(struct store *store, uint64_t last)
{
    while (store->last > last && store->last > store->base) {
        struct log_item *item = &store->entries[--store->last - store->base];
        free((void *)(uintptr_t)item->payload.data);
    }
}

static uint64_t on_append(void *context, const struct log_item *item)
{
    struct store *store = context;
    if (item->type == LOG_ENTRY) {
        STEWARD_ASSERT(item->index == store->last + 1 && store->last - store->base < ENTRIES);
        struct log_item *to = &store->entries[store->last++ - store->base];
        *to = *item;
        to->payload.data =
            item->payload.size ? mem_dup(item->payload.data, item->payload.size) : NULL;
    } else if (item->type == LOG_TRUNCATE) {
        cut(store, item->index);
    } else if (item->type == LOG_RESTART) {
        cut(store, 0);
        store->base = store->last = item->index;
    }
    return ++store->sequence;
}

static bool on_read(void *context, uint64_t index, struct log_item *out)
{
    const struct store *store = context;
    STEWARD_ASSERT(index > store->base && index <= store->last);
    *out = store->entries[index - store->base - 1];
    return true;
}

static void on_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    (void)context;
    (void)now_ms;
    (void)effects;
}

static void on_send(void *context, uint64_t node, struct slice bytes)
{
    (void)context;
    STEWARD_ASSERT(node != 1 && bytes.size > 0);
}

static void on_install(void *context, uint64_t leader, const struct consensus_snapshot *snapshot)
{
    (void)context;
    STEWARD_ASSERT(leader != 1 && snapshot->index > 0);
}

static struct replica *begin(struct store *store, struct core *core, bool founder)
{
    struct members members = {0};
    for (uint64_t id = 1; id <= 3; id++) {
        members_set(&members, id, MEMBER_VOTER);
    }
    struct replica_options options = {.node = 1,
                                      .core = core,
                                      .bootstrap = {.hash_key = 1, .incarnation = 2},
                                      .host = {.context = store,
                                               .append = on_append,
                                               .read = on_read,
                                               .applied = on_applied,
                                               .send = on_send,
                                               .install = on_install}};
    struct replica_disk disk = {.payload_max = 65536, .founders = founder ? &members : NULL};
    struct replica *replica = replica_new(&options);
    replica_start(replica, 1000, &disk);
    STEWARD_ASSERT(replica_failure(replica) == NULL);
    return replica;
}

static void hear(struct replica *replica, uint64_t now_ms, uint8_t who, struct slice said)
{
    struct buf bytes = {0};
    if (who & 4) {
        buf_u8(&bytes, PEER_BYTES_CONSENSUS);
    }
    buf_add(&bytes, said.data, said.size);
    replica_receive(replica, now_ms, 2 + (who & 3), buf_view(&bytes));
    buf_fini(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct store store;
    struct reader reader;
    uint64_t now_ms = 1000, applied = 0;
    store = (struct store){.base = 0};
    reader_init(&reader, slice_of(data, size));
    struct core *core = core_new();
    struct replica *replica = begin(&store, core, reader_u8(&reader) & 1);
    while (!reader.failed && reader.at < reader.end && store.last - store.base < ENTRIES / 2) {
        uint8_t who = reader_u8(&reader);
        uint16_t length = reader_u16(&reader);
        size_t left = (size_t)(reader.end - reader.at);
        hear(replica, now_ms, who, reader_raw(&reader, length < left ? length : left));
        now_ms += who & 8 ? 200 : 1;
        replica_tick(replica, now_ms);
        if (who & 16) {
            replica_durable(replica, now_ms, store.sequence);
        }
        replica_apply(replica, now_ms);
        replica_flush(replica, now_ms);
        STEWARD_ASSERT(replica_applied(replica) >= applied);
        applied = replica_applied(replica);
    }
    const char *why = replica_failure(replica);
    STEWARD_ASSERT(why == NULL || why[0] != '\0');
    replica_destroy(&replica);
    core_destroy(&core);
    cut(&store, 0);
    return 0;
}
