/* A durable journal with one client. See journal_rig.h. */
#include "tests/unit/journal_rig.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t life_now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static void report(struct life *life, uint64_t type, uint64_t number)
{
    struct report line = {type, number};
    buf_add(&life->reports, &line, sizeof line);
}

uint64_t life_number(struct slice body)
{
    struct reader reader;
    reader_init(&reader, body);
    return reader_u64(&reader);
}

static void note_reply(struct life *life, const struct effect *effect)
{
    for (uint64_t id = effect->first; id < effect->first + effect->count; id++) {
        struct about about = life->requests[id];
        if (effect->code == 0 && about.type == REPORT_LOCKED) {
            report(life, about.type, effect->value);
        } else if (effect->code == 0 && about.type != 0) {
            report(life, about.type, about.number);
        }
    }
}

static void note_delivery(struct life *life, const struct effect *effect)
{
    for (uint64_t i = 0; i < effect->count; i++) {
        STEWARD_ASSERT(life->leased < 4096);
        life->tags[life->leased] = effect->first_tag + i;
        life->numbers[life->leased++] = life_number(effect->messages[i].body);
    }
}

static void applied(void *context, uint64_t time_ms, const struct effects *effects)
{
    struct life *life = context;
    (void)time_ms;
    life->handed++;
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *effect = &effects->items[i];
        switch (effect->kind) {
        case EFFECT_SESSION_OPENED: life->session = effect->session; break;
        case EFFECT_REPLY: note_reply(life, effect); break;
        case EFFECT_DELIVER: note_delivery(life, effect); break;
        default: break;
        }
    }
}

struct journal *life_open(struct life *life, const struct log_io *io, bool no_threads,
                          struct log_error *error)
{
    struct journal_raft_options options = {.directory = life->directory,
                                           .core = life->core = core_new(),
                                           .bootstrap = {.hash_key = 1, .incarnation = 2},
                                           .body_max = LIMIT_BODY_BYTES,
                                           .now_ms = life_now_ms(),
                                           .applied = applied,
                                           .context = life,
                                           .snapshot_bytes = LIFE_SNAPSHOT,
                                           .io = io,
                                           .segment_bytes = LIFE_SEGMENT,
                                           .no_threads = no_threads};
    life->journal = journal_raft_open(&options, error);
    return life->journal;
}

void life_turn(struct life *life)
{
    uint64_t now = life_now_ms(), due = journal_deadline(life->journal);
    int wait_ms = due <= now ? 0 : due - now < 10 ? (int)(due - now) : 10;
    poll(life->polled, life->polled_count, wait_ms);
    journal_process(life->journal, life_now_ms());
    if (journal_deadline(life->journal) <= life_now_ms()) {
        journal_tick(life->journal, life_now_ms());
    }
    journal_flush(life->journal, life_now_ms());
    const char *why = journal_failure(life->journal);
    if (why) {
        fprintf(stderr, "%s\n", why);
    }
    STEWARD_ASSERT(why == NULL);
}

void life_begin(struct life *life, const struct log_io *io)
{
    struct log_error error;
    if (life_open(life, io, false, &error) == NULL) {
        fprintf(stderr, "%s\n", error.text);
    }
    STEWARD_ASSERT(life->journal != NULL);
    int descriptors[JOURNAL_DESCRIPTORS];
    life->polled_count = journal_descriptors(life->journal, descriptors);
    STEWARD_ASSERT(life->polled_count >= 2);
    for (size_t i = 0; i < life->polled_count; i++) {
        life->polled[i] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    }
    while (!journal_ready(life->journal)) {
        life_turn(life);
    }
    STEWARD_ASSERT(life->handed == 1); /* its own first command: the rest was told before */
}

void life_end(struct life *life)
{
    journal_destroy(&life->journal);
    core_destroy(&life->core);
    buf_fini(&life->reports);
    free(life->requests);
}

/* ---- what it says ---- */

static void submit(struct life *life, struct command *command, uint64_t type, uint64_t number)
{
    command->session = life->session;
    command->request = ++life->request;
    if (life->request >= life->capacity) {
        life->capacity = life->capacity ? life->capacity * 2 : 1024;
        life->requests = mem_realloc(life->requests, life->capacity, sizeof *life->requests);
    }
    life->requests[life->request] = (struct about){type, number};
    journal_submit(life->journal, life_now_ms(), command);
}

uint32_t life_random(struct life *life, uint32_t below)
{
    life->random = life->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((life->random >> 33) % below);
}

void life_put(struct life *life)
{
    uint8_t body[400] = {0};
    for (unsigned i = 0; i < LIFE_NUMBER; i++) {
        body[i] = (uint8_t)(life->next >> (8 * i));
    }
    struct slice bodies = slice_of(body, LIFE_NUMBER + life_random(life, 390));
    struct command put = {.kind = COMMAND_PUT};
    put.put = (struct cmd_put){.queue = slice_str("q"), .bodies = &bodies, .count = 1};
    submit(life, &put, REPORT_PUT, life->next++);
}

void life_get(struct life *life)
{
    struct slice queue = slice_str("q");
    struct command get = {.kind = COMMAND_GET};
    get.get = (struct cmd_get){
        .queues = &queue, .queues_count = 1, .max = 1 + life_random(life, 20), .lease_ms = 60000};
    submit(life, &get, 0, 0);
}

void life_ack(struct life *life, size_t which)
{
    struct command ack = {.kind = COMMAND_ACK};
    ack.settle = (struct cmd_settle){.first_tag = life->tags[which], .count = 1};
    report(life, REPORT_ACK_TRIED, life->numbers[which]);
    submit(life, &ack, REPORT_ACKED, life->numbers[which]);
}

void life_hello(struct life *life)
{
    struct session_info info;
    struct command open = {.kind = COMMAND_SESSION_OPEN,
                           .open = {.ttl_ms = 60000, .grace_ms = 1000}};
    for (uint64_t id = 1; id < LIFE_SESSIONS; id++) {
        struct command end = {.kind = COMMAND_SESSION_END, .session = id};
        if (core_session(life->core, id, &info)) {
            journal_submit(life->journal, life_now_ms(), &end);
        }
    }
    journal_submit(life->journal, life_now_ms(), &open);
    while (life->session == 0) {
        life_turn(life);
    }
    struct command acquire = {.kind = COMMAND_ACQUIRE};
    acquire.acquire = (struct cmd_acquire){
        .name = slice_str("lock"), .owner = 1, .timeout_ms = TIMEOUT_FOREVER, .permits = 1};
    submit(life, &acquire, REPORT_LOCKED, 0);
}
