/*
 * Hostile packets from four peers into gateway, memory journal and core. The input is a script:
 *
 *     step   = head byte: bits 0-1 peer, bits 2-4 what; then what it needs
 *     0      records: u16 size, bytes; the right header goes in front
 *     1      packet: u16 size, bytes, as they are
 *     2      HELLO
 *     3      records and a second frame of u8 bytes
 *     4      time passes: 2^(u8 % 16) ms
 *     5      the peer's descriptor is closed, u8 % 3 is what sending gives meanwhile
 *     6      what sending gives from now on: u8 % 3
 *     7      HELLO that resumes session u8
 *
 * Whatever comes, invariants hold and every packet sent is well-formed.
 */
#include "broker/gateway/gateway.h"
#include "broker/journal/journal.h"
#include "common/base/fields.h"
#include "common/base/limits.h"
#include "common/base/panic.h"
#include "common/wire/codec.h"

#include <stdlib.h>

#define PEERS     4
#define STEPS_MAX 200
#define CHECK_AT  16 /* steps between walks over the whole core */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct core *core;
    struct journal *journal;
    struct gateway *gateway;
    uint64_t now_ms;
    enum send_result answer;
    uint64_t sent[PEERS];     /* number of each peer's last packet */
    uint64_t received[PEERS]; /* and of the last one to it */
};

static void world_submit(void *context, const struct command *command)
{
    struct world *world = context;
    journal_submit(world->journal, world->now_ms, command);
}

static void world_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct world *world = context;
    gateway_effects(world->gateway, now_ms, effects);
}

/* Every str that goes out is UTF-8, whatever names and reasons came in. */
static void check_text(struct slice head)
{
    struct wire_reader in;
    wire_reader_init(&in, head);
    while (in.at != in.end) {
        uint8_t marker = *in.at;
        if ((marker & 0xf0) == 0x90 || marker == 0xdc || marker == 0xdd) {
            (void)wire_read_array(&in);
        } else if ((marker & 0xf0) == 0x80 || marker == 0xde || marker == 0xdf) {
            (void)wire_read_map(&in);
        } else if ((marker & 0xe0) == 0xa0 || (marker >= 0xd9 && marker <= 0xdb)) {
            STEWARD_ASSERT(wire_utf8(wire_read_str(&in)));
        } else {
            wire_skip(&in);
        }
    }
    STEWARD_ASSERT(!in.failed);
}

static enum send_result world_send(void *context, struct slice peer, struct slice head,
                                   struct slice body)
{
    struct world *world = context;
    struct wire_reader in;
    STEWARD_ASSERT(wire_scan(head) == 0);
    check_text(head);
    STEWARD_ASSERT(body.data == NULL || body.size > 0);
    wire_reader_init(&in, head);
    STEWARD_ASSERT(wire_read_array(&in) == 2);
    if (world->answer == SEND_DONE) {
        world->received[peer.data[0]] = wire_read_uint(&in);
    }
    return world->answer;
}

static void world_random(void *context, void *out, size_t size)
{
    (void)context;
    memset(out, 's', size);
}

static void world_log(void *context, char level, const char *event, const char *detail)
{
    (void)context;
    (void)level;
    STEWARD_ASSERT(strchr(event, '\n') == NULL && strchr(detail, '\n') == NULL);
}

static void world_manage(void *context, struct slice action, struct slice argument,
                         struct buf *rows)
{
    (void)context;
    fields_row(rows);
    fields_text(rows, "action", action);
    fields_text(rows, "argument", argument);
}

static void world_init(struct world *world)
{
    struct gateway_options options;
    gateway_options_default(&options);
    options.body_max = 1000;
    options.memory_max = 1000000;
    options.outbox_max = 1000000;
    options.connections_max = 3;
    *world = (struct world){.now_ms = 1000};
    world->core = core_new();
    world->journal = journal_memory_new(world->core, world_applied, world);
    struct gateway_host host = {.context = world,
                                .submit = world_submit,
                                .send = world_send,
                                .random = world_random,
                                .log = world_log,
                                .manage = world_manage};
    world->gateway = gateway_new(world->core, &options, &host);
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap = (struct cmd_bootstrap){.hash_key = 1, .incarnation = 1};
    world_submit(world, &command);
    gateway_lead(world->gateway, world->now_ms);
}

static void world_fini(struct world *world)
{
    core_check(world->core);
    gateway_destroy(&world->gateway);
    journal_destroy(&world->journal);
    core_destroy(&world->core);
}

/* One packet of the peer; body empty: one frame. */
static void receive(struct world *world, uint8_t peer, struct slice head, struct slice body)
{
    struct slice frames[2] = {head, body};
    struct gateway_packet packet = {.peer = slice_of(&peer, 1),
                                    .frames = frames,
                                    .count = body.size > 0 ? 2 : 1,
                                    .descriptor = peer};
    gateway_receive(world->gateway, world->now_ms, &packet);
}

static void receive_records(struct world *world, uint8_t peer, struct slice records,
                            struct slice body)
{
    struct buf head = {0};
    wire_write_header(&head, ++world->sent[peer], world->received[peer]);
    buf_add(&head, records.data, records.size);
    receive(world, peer, buf_view(&head), body);
    buf_fini(&head);
}

/* session 0: a new one. */
static void hello(struct world *world, uint8_t peer, uint64_t session)
{
    struct buf record = {0};
    uint8_t secret[LIMIT_SECRET_BYTES];
    memset(secret, 's', sizeof secret);
    for (int i = 0; i < 5; i++) {
        i == 0 ? wire_write_array(&record, 5) : wire_write_uint(&record, 1);
    }
    wire_write_map(&record, session ? 2 : 0);
    if (session) {
        wire_write_str(&record, slice_str("session"));
        wire_write_uint(&record, session);
        wire_write_str(&record, slice_str("secret"));
        wire_write_bin(&record, slice_of(secret, sizeof secret));
    }
    world->sent[peer] = world->received[peer] = 0;
    receive_records(world, peer, buf_view(&record), slice_of(NULL, 0));
    buf_fini(&record);
}

static void pass_time(struct world *world, uint8_t exponent)
{
    world->now_ms += 1ULL << exponent % 16;
    gateway_tick(world->gateway, world->now_ms);
    for (int i = 0; i < 100 && core_deadline(world->core) <= world->now_ms; i++) {
        struct command command = {.kind = COMMAND_TICK};
        world_submit(world, &command);
    }
}

static void closed(struct world *world, uint8_t peer, uint8_t answer)
{
    enum send_result before = world->answer;
    world->answer = (enum send_result)(answer % 3);
    gateway_closed(world->gateway, world->now_ms, peer);
    world->answer = before;
}

static void step(struct world *world, struct reader *script)
{
    static const uint8_t filler[255];
    uint8_t head = reader_u8(script);
    uint8_t peer = head % PEERS;
    struct slice none = slice_of(NULL, 0);
    switch (head >> 2 & 7) {
    case 0: receive_records(world, peer, reader_raw(script, reader_u16(script)), none); break;
    case 1: receive(world, peer, reader_raw(script, reader_u16(script)), none); break;
    case 2: hello(world, peer, 0); break;
    case 3: {
        struct slice records = reader_raw(script, reader_u16(script));
        receive_records(world, peer, records, slice_of(filler, reader_u8(script)));
        break;
    }
    case 4: pass_time(world, reader_u8(script)); break;
    case 5: closed(world, peer, reader_u8(script)); break;
    case 6: world->answer = (enum send_result)(reader_u8(script) % 3); break;
    default: hello(world, peer, reader_u8(script)); break;
    }
    gateway_flush(world->gateway, world->now_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world;
    struct reader script;
    world_init(&world);
    reader_init(&script, slice_of(data, size));
    for (int i = 1; i <= STEPS_MAX && script.at != script.end && !script.failed; i++) {
        step(&world, &script);
        if (i % CHECK_AT == 0) {
            core_check(world.core);
        }
    }
    world_fini(&world);
    return 0;
}
