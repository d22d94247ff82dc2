/*
 * Fixed work for `./dev bench check`, which counts its instructions: check_load WORK, one of
 *
 *   runs     messages through the core, 100 a command: put, deliver, ack, confirmations
 *   singles  the same, one a command
 *   locks    acquire and release through the core
 *   codec    records of 100 bodies written and read, as the wire has them
 *
 * Prints how many messages (or pairs) that was. Only what measure() does is counted.
 */
#include "broker/core/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/panic.h"
#include "common/base/steward_errors.h"
#include "common/wire/codec.h"
#include "common/wire/protocol.h"

enum { RUN = 100, BODY_BYTES = 100, MESSAGES = 20000, SINGLES = 5000, DEPTH = 1000 };

struct load {
    struct core *core;
    struct effects effects;
    uint64_t producer, consumer;
    uint64_t put_id, ack_id, tag;
    uint64_t delivered;
    size_t run;
    struct slice bodies[RUN];
};

static void apply(struct load *load, const struct command *command)
{
    core_apply(load->core, 1000, command, &load->effects);
}

static void seen(struct load *load, uint64_t session, uint64_t first, uint64_t count)
{
    struct id_range range = {first, count};
    struct command command = {
        .kind = COMMAND_SEEN, .session = session, .seen = {.ranges = &range, .count = 1}};
    apply(load, &command);
}

static void put(struct load *load)
{
    struct command command = {
        .kind = COMMAND_PUT,
        .session = load->producer,
        .request = load->put_id,
        .put = {.queue = slice_str("q"), .bodies = load->bodies, .count = load->run}};
    apply(load, &command);
    seen(load, load->producer, load->put_id, load->run);
    load->put_id += load->run;
}

static void deliver(struct load *load)
{
    struct command command = {.kind = COMMAND_CREDIT,
                              .session = load->consumer,
                              .credit = {.channel = 1, .messages = load->run, .bytes = 1 << 30}};
    apply(load, &command);
    for (size_t i = 0; i < load->effects.count; i++) {
        if (load->effects.items[i].kind == EFFECT_DELIVER) {
            load->delivered += load->effects.items[i].count;
        }
    }
}

static void ack(struct load *load)
{
    struct command command = {.kind = COMMAND_ACK,
                              .session = load->consumer,
                              .request = load->ack_id,
                              .settle = {.first_tag = load->tag, .count = load->run}};
    apply(load, &command);
    seen(load, load->consumer, load->ack_id, load->run);
    load->ack_id += load->run;
    load->tag += load->run;
}

static uint64_t pass(struct load *load, uint64_t messages)
{
    for (uint64_t done = 0; done < messages; done += load->run) {
        put(load);
        deliver(load);
        ack(load);
    }
    STEWARD_ASSERT(load->delivered == messages);
    return messages;
}

static uint64_t lock_pairs(struct load *load, uint64_t pairs)
{
    for (uint64_t i = 0; i < pairs; i++) {
        struct slice name = slice_str("guard");
        struct command acquire = {.kind = COMMAND_ACQUIRE,
                                  .session = load->producer,
                                  .request = load->put_id++,
                                  .acquire = {.name = name, .kind = LOCK_MUTEX, .permits = 1}};
        apply(load, &acquire);
        STEWARD_ASSERT(load->effects.count == 1);
        struct command unlock = {.kind = COMMAND_UNLOCK,
                                 .session = load->producer,
                                 .request = load->put_id++,
                                 .unlock = {.name = name, .token = load->effects.items[0].value}};
        apply(load, &unlock);
        STEWARD_ASSERT(load->effects.count == 1 && load->effects.items[0].code == STW_OK);
        seen(load, load->producer, load->put_id - 2, 2);
    }
    return pairs;
}

static void codec_write(struct buf *packet, const struct load *load, uint64_t first)
{
    wire_write_header(packet, first, first);
    wire_write_array(packet, 4);
    wire_write_uint(packet, WIRE_PUTS);
    wire_write_uint(packet, first);
    wire_write_str(packet, slice_str("q"));
    wire_write_array(packet, RUN);
    for (size_t i = 0; i < RUN; i++) {
        wire_write_bin(packet, load->bodies[i]);
    }
}

static uint64_t codec_read(struct slice packet)
{
    struct wire_reader in;
    uint64_t bytes = 0;
    wire_reader_init(&in, packet);
    uint64_t header = wire_read_array(&in);
    for (uint64_t i = 0; i < header; i++) {
        wire_read_uint(&in);
    }
    wire_read_array(&in);
    wire_read_uint(&in);
    wire_read_uint(&in);
    bytes += wire_read_str(&in).size;
    uint32_t count = wire_read_array(&in);
    for (uint32_t i = 0; i < count; i++) {
        bytes += wire_read_bin(&in).size;
    }
    STEWARD_ASSERT(wire_reader_done(&in));
    return bytes;
}

static uint64_t codec(struct load *load, uint64_t messages)
{
    struct buf packet;
    buf_init(&packet);
    for (uint64_t done = 0; done < messages; done += RUN) {
        buf_clear(&packet);
        codec_write(&packet, load, done);
        STEWARD_ASSERT(codec_read(buf_view(&packet)) == RUN * BODY_BYTES + 1);
    }
    buf_fini(&packet);
    return messages;
}

/* Not inlined: callgrind counts from its first instruction to its last. */
__attribute__((noinline)) static uint64_t measure(struct load *load, const char *work)
{
    load->delivered = 0;
    if (strcmp(work, "codec") == 0) {
        return codec(load, MESSAGES);
    }
    if (strcmp(work, "locks") == 0) {
        return lock_pairs(load, SINGLES);
    }
    return pass(load, load->run == 1 ? SINGLES : MESSAGES);
}

static uint64_t open_session(struct load *load)
{
    struct command command = {.kind = COMMAND_SESSION_OPEN, .open = {.ttl_ms = 10000}};
    apply(load, &command);
    return load->effects.items[0].session;
}

static void begin(struct load *load)
{
    static const uint8_t body[BODY_BYTES];
    struct command bootstrap = {.kind = COMMAND_BOOTSTRAP,
                                .bootstrap = {.hash_key = 1, .incarnation = 1}};
    struct slice name = slice_str("q");
    load->core = core_new();
    apply(load, &bootstrap);
    load->producer = open_session(load);
    load->consumer = open_session(load);
    load->put_id = load->tag = 1;
    load->ack_id = 2;
    for (size_t i = 0; i < RUN; i++) {
        load->bodies[i] = slice_of(body, sizeof body);
    }
    struct command consume = {
        .kind = COMMAND_CONSUME,
        .session = load->consumer,
        .request = 1,
        .get = {.queues = &name, .queues_count = 1, .lease_ms = SETTING_DEFAULT}};
    apply(load, &consume);
    for (uint64_t i = 0; i < DEPTH; i += load->run) {
        put(load);
    }
}

int main(int argc, char **argv)
{
    const char *work = argc == 2 ? argv[1] : "";
    struct load load = {.run = strcmp(work, "singles") == 0 ? 1 : RUN};
    if (strcmp(work, "runs") != 0 && load.run != 1 && strcmp(work, "locks") != 0 &&
        strcmp(work, "codec") != 0) {
        fprintf(stderr, "usage: check_load runs|singles|locks|codec\n");
        return 2;
    }
    begin(&load);
    printf("%" PRIu64 "\n", measure(&load, work));
    core_destroy(&load.core);
    effects_fini(&load.effects);
    return 0;
}
