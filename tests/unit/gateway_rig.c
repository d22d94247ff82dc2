/* The recording host of gateway_rig.h. */
#include "tests/unit/gateway_rig.h"

#include "common/base/alloc.h"
#include "common/base/fields.h"
#include "common/base/panic.h"
#include "tests/unit/notation.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static void rig_submit(void *context, const struct command *command)
{
    struct rig *rig = context;
    if (rig->late) {
        rig->submitted++;
        struct buf bytes = {0};
        command_encode(&bytes, command);
        buf_u64(&rig->waiting, rig->now_ms);
        buf_u32(&rig->waiting, (uint32_t)bytes.size);
        buf_add(&rig->waiting, bytes.data, bytes.size);
        buf_fini(&bytes);
        return;
    }
    journal_submit(rig->journal, rig->now_ms, command);
}

static uint64_t rig_submitted(void *context)
{
    return ((const struct rig *)context)->submitted;
}

static struct slice rig_leader(void *context)
{
    const struct rig *rig = context;
    return rig->leader ? slice_str(rig->leader) : slice_of(NULL, 0);
}

static void rig_applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct rig *rig = context;
    gateway_effects(rig->gateway, now_ms, effects);
    core_check(rig->core);
}

static enum send_result rig_send(void *context, struct slice peer, struct slice head,
                                 struct slice body)
{
    struct rig *rig = context;
    if (rig->answer != SEND_DONE) {
        return rig->answer;
    }
    STEWARD_ASSERT(rig->sent_count < RIG_SENT_MAX);
    struct rig_sent *sent = &rig->sent[rig->sent_count++];
    *sent = (struct rig_sent){.large = body.data != NULL};
    STEWARD_ASSERT(peer.size < sizeof sent->peer);
    memcpy(sent->peer, peer.data, peer.size);
    buf_add(&sent->head, head.data, head.size);
    buf_add(&sent->body, body.data, body.size);
    return SEND_DONE;
}

static void rig_random(void *context, void *out, size_t size)
{
    struct rig *rig = context;
    memset(out, 0, size);
    ((uint8_t *)out)[size - 1] = (uint8_t)++rig->random;
}

static void rig_log(void *context, char level, const char *event, const char *detail)
{
    struct rig *rig = context;
    size_t used = strlen(rig->log);
    (void)snprintf(rig->log + used, sizeof rig->log - used, "%c %s %s\n", level, event, detail);
    rig->log_lines++;
}

/* One row: the number of the call, its action and argument. */
static void rig_manage(void *context, struct slice action, struct slice argument, struct buf *rows)
{
    struct rig *rig = context;
    fields_row(rows);
    fields_u64(rows, "call", ++rig->managed);
    fields_text(rows, "action", action);
    fields_text(rows, "argument", argument);
}

static struct rig *make(const struct gateway_options *options, bool late)
{
    struct gateway_options defaults;
    gateway_options_default(&defaults);
    struct rig *rig = mem_zalloc(1, sizeof *rig);
    rig->now_ms = 1000000;
    rig->core = core_new();
    rig->journal = journal_memory_new(rig->core, rig_applied, rig);
    struct gateway_host host = {.context = rig,
                                .submit = rig_submit,
                                .submitted = late ? rig_submitted : NULL,
                                .leader_endpoint = rig_leader,
                                .send = rig_send,
                                .random = rig_random,
                                .log = rig_log,
                                .manage = rig_manage};
    rig->gateway = gateway_new(rig->core, options ? options : &defaults, &host);
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap = (struct cmd_bootstrap){.hash_key = 7, .incarnation = 99};
    rig_submit(rig, &command);
    gateway_lead(rig->gateway, rig->now_ms);
    rig->random = 0;
    return rig;
}

struct rig *rig_new(const struct gateway_options *options)
{
    return make(options, false);
}

struct rig *rig_new_late(void)
{
    return make(NULL, true);
}

void rig_free(struct rig *rig)
{
    for (size_t i = 0; i < rig->sent_count; i++) {
        buf_fini(&rig->sent[i].head);
        buf_fini(&rig->sent[i].body);
    }
    gateway_destroy(&rig->gateway);
    journal_destroy(&rig->journal);
    core_destroy(&rig->core);
    buf_fini(&rig->text);
    buf_fini(&rig->waiting);
    free(rig);
}

static void receive(struct rig *rig, const char *peer, const struct slice *frames, size_t count)
{
    struct gateway_packet packet = {
        .peer = slice_str(peer), .frames = frames, .count = count, .descriptor = peer[0]};
    gateway_receive(rig->gateway, rig->now_ms, &packet);
    gateway_flush(rig->gateway, rig->now_ms);
}

void rig_receive_bytes(struct rig *rig, const char *peer, struct slice head)
{
    receive(rig, peer, &head, 1);
}

void rig_receive(struct rig *rig, const char *peer, const char *head, const char *body)
{
    struct buf bytes = {0};
    ck_assert_msg(notation_encode(head, &bytes), "not well-formed: %s", head);
    struct slice frames[2] = {buf_view(&bytes), slice_str(body ? body : "")};
    receive(rig, peer, frames, body ? 2 : 1);
    buf_fini(&bytes);
}

void rig_flush(struct rig *rig)
{
    gateway_flush(rig->gateway, rig->now_ms);
}

void rig_apply(struct rig *rig, uint64_t count)
{
    struct reader reader;
    struct command_arena arena = {0};
    struct command command;
    uint64_t last = rig->applied + count;
    last = last < rig->submitted ? last : rig->submitted;
    reader_init(&reader, buf_view(&rig->waiting));
    for (uint64_t i = 0; i < last; i++) {
        uint64_t now_ms = reader_u64(&reader);
        uint32_t size = reader_u32(&reader);
        ck_assert_int_eq(command_decode(reader_raw(&reader, size), &arena, &command), 0);
        if (i == rig->applied) {
            rig->applied++;
            journal_submit(rig->journal, now_ms, &command);
        }
    }
    gateway_settled(rig->gateway, rig->applied);
    rig_flush(rig);
    command_arena_fini(&arena);
}

void rig_wait(struct rig *rig, uint64_t ms)
{
    uint64_t end = rig->now_ms + ms;
    while (rig->now_ms < end) {
        uint64_t due = gateway_deadline(rig->gateway);
        uint64_t core_due = core_deadline(rig->core);
        due = core_due < due ? core_due : due;
        due = due <= rig->now_ms ? rig->now_ms + 1 : due;
        rig->now_ms = due < end ? due : end;
        gateway_tick(rig->gateway, rig->now_ms);
        if (core_deadline(rig->core) <= rig->now_ms) {
            struct command command = {.kind = COMMAND_TICK};
            rig_submit(rig, &command);
        }
        gateway_flush(rig->gateway, rig->now_ms);
    }
}

const char *rig_take(struct rig *rig, const char *peer)
{
    struct buf *text = &rig->text;
    buf_clear(text);
    for (size_t i = 0; i < rig->sent_count; i++) {
        struct rig_sent *sent = &rig->sent[i];
        if (strcmp(sent->peer, peer) != 0) {
            continue;
        }
        buf_add(text, " | ", text->size > 0 ? 3 : 0);
        ck_assert(notation_print(buf_view(&sent->head), text));
        text->size--; /* its NUL */
        if (sent->large) {
            buf_add(text, " + '", 4);
            buf_add(text, sent->body.data, sent->body.size < 8 ? sent->body.size : 8);
            buf_add(text, "'", 1);
        }
        sent->peer[0] = '\0'; /* taken */
    }
    buf_u8(text, '\0');
    return (const char *)text->data;
}

void rig_hello(struct rig *rig, const char *peer)
{
    rig_receive(rig, peer, "[1, 0] [1, 1, 1, 1, {}]", NULL);
    const char *answer = rig_take(rig, peer);
    ck_assert_msg(strncmp(answer, "[1, 1] [128, 1, 1, {\"session\": ", 30) == 0, "%s", answer);
}
