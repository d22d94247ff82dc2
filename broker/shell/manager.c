/*
 * The manager put together. A turn, in this order:
 *
 *     time        a gap means that we were stopped ourselves: say so before anything is read
 *     closes      peers whose connection is gone
 *     packets     up to a bound: gateway -> journal -> core -> effects -> gateway's outboxes
 *     ticks       deadlines of core and gateway, a slice of long work
 *     flush       the journal writes, then each connection gets one packet with all its answers
 */
#include "broker/shell/manager.h"

#include "broker/shell/system.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <stdio.h>

/* milliseconds: after a close is reported, libzmq needs a moment until sends fail; asked thrice */
static const uint64_t CLOSED_AFTER_MS[] = {1, 10, 100};
#define CLOSED_TRIES (sizeof CLOSED_AFTER_MS / sizeof CLOSED_AFTER_MS[0])

/* ---- what the gateway and the journal call -------------------------------------------------- */

static void host_submit(void *context, const struct command *command)
{
    struct manager *manager = context;
    journal_submit(manager->journal, manager->now_ms, command);
}

static enum send_result host_send(void *context, struct slice peer, struct slice head,
                                  struct slice body)
{
    struct manager *manager = context;
    return socket_send(&manager->socket, peer, head, body);
}

static void host_random(void *context, void *out, size_t size)
{
    (void)context;
    system_random(out, size);
}

static void host_log(void *context, char level, const char *event, const char *detail)
{
    struct manager *manager = context;
    enum log_level grave = level == 'e'   ? LEVEL_ERROR
                           : level == 'w' ? LEVEL_WARN
                           : level == 'i' ? LEVEL_INFO
                                          : LEVEL_DEBUG;
    struct log_line line;
    log_begin(&line, manager->log, grave, "gateway", event);
    log_pairs(&line, detail);
    log_end(&line);
}

static void log_effect(struct log *log, const struct effect *effect)
{
    struct log_line line;
    bool ended = effect->kind == EFFECT_SESSION_ENDED;
    log_begin(&line, log, LEVEL_INFO, "core", ended ? "session_ended" : "notice");
    if (effect->session != 0) {
        log_number(&line, "session", effect->session);
    }
    log_slice(&line, ended ? "reason" : "text", effect->text);
    log_end(&line);
}

static void applied(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct manager *manager = context;
    for (size_t i = 0; i < effects->count; i++) {
        enum effect_kind kind = effects->items[i].kind;
        if (kind == EFFECT_NOTICE || kind == EFFECT_SESSION_ENDED) {
            log_effect(manager->log, &effects->items[i]);
        }
    }
    gateway_effects(manager->gateway, now_ms, effects);
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct gateway *open_gateway(struct manager *manager, const struct options *options)
{
    struct gateway_options limits;
    gateway_options_default(&limits);
    limits.body_max = options->body_max;
    limits.memory_max = options->memory_max;
    limits.outbox_max = options->outbox_max;
    limits.connections_max = options->connections_max;
    limits.server = "stewardd " STW_VERSION;
    struct gateway_host host = {.context = manager,
                                .submit = host_submit,
                                .send = host_send,
                                .random = host_random,
                                .log = host_log};
    return gateway_new(manager->core, &limits, &host);
}

static void bootstrap(struct manager *manager)
{
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    system_random(&command.bootstrap.hash_key, sizeof command.bootstrap.hash_key);
    while (command.bootstrap.incarnation == 0) {
        system_random(&command.bootstrap.incarnation, sizeof command.bootstrap.incarnation);
    }
    host_submit(manager, &command);
}

void manager_init(struct manager *manager, const struct options *options, struct log *log)
{
    manager->log = log;
    manager->closed_count = 0;
    manager->monitor_fired = true; /* a socket that was never read gives no edge */
    clock_start(&manager->clock, clock_wall_ms(), clock_boot_ms());
    manager->now_ms = manager->clock.now_ms;
    manager->core = core_new();
    manager->journal = journal_memory_new(manager->core, applied, manager);
    manager->gateway = open_gateway(manager, options);
    bootstrap(manager);
}

void manager_fini(struct manager *manager)
{
    gateway_destroy(&manager->gateway);
    journal_destroy(&manager->journal);
    core_destroy(&manager->core);
}

/* ---- a turn --------------------------------------------------------------------------------- */

static void turn_time(struct manager *manager)
{
    uint64_t gap_ms = 0;
    manager->now_ms = clock_advance(&manager->clock, clock_boot_ms(), &gap_ms);
    if (gap_ms <= LIMIT_CLOCK_GAP_MS) {
        return;
    }
    struct log_line line;
    log_begin(&line, manager->log, LEVEL_WARN, "shell", "clock_gap");
    log_number(&line, "gap_ms", gap_ms);
    log_end(&line);
    struct command command = {.kind = COMMAND_CLOCK_GAP, .gap_ms = gap_ms};
    host_submit(manager, &command);
    gateway_gap(manager->gateway, manager->now_ms, gap_ms);
}

static void note_closed(struct manager *manager, int descriptor)
{
    if (manager->closed_count == MANAGER_CLOSED) {
        /* so many at once: ask for the oldest now, the gateway's silence timer finds the rest */
        gateway_closed(manager->gateway, manager->now_ms, manager->closed[0].descriptor);
        manager->closed[0] = manager->closed[--manager->closed_count];
    }
    manager->closed[manager->closed_count++] =
        (struct closed){.descriptor = descriptor, .due_ms = manager->now_ms + CLOSED_AFTER_MS[0]};
}

static void turn_events(struct manager *manager)
{
    int value = 0;
    enum socket_event event = SOCKET_NOTHING;
    for (size_t i = 0; manager->monitor_fired && i < MANAGER_CLOSED; i++) {
        event = socket_event_next(&manager->socket, &value);
        if (event == SOCKET_NOTHING) {
            manager->monitor_fired = false;
            return;
        }
        if (event == SOCKET_CLOSED) {
            note_closed(manager, value);
        } else {
            log_event(manager->log, LEVEL_INFO, "handshake_failed", NULL, NULL);
        }
    }
}

/* Descriptors are reused, so the gateway only asks the peers behind one whether they still are. */
static void turn_closed(struct manager *manager)
{
    bool settled = false;
    for (size_t i = manager->closed_count; i-- > 0;) {
        struct closed *closed = &manager->closed[i];
        if (closed->due_ms > manager->now_ms) {
            continue;
        }
        if (!settled) {
            (void)socket_readable(&manager->socket);
            settled = true;
        }
        gateway_closed(manager->gateway, manager->now_ms, closed->descriptor);
        if (++closed->tries == CLOSED_TRIES) {
            *closed = manager->closed[--manager->closed_count];
        } else {
            closed->due_ms = manager->now_ms + CLOSED_AFTER_MS[closed->tries];
        }
    }
}

static void turn_packets(struct manager *manager)
{
    struct packet packet;
    size_t bytes = 0;
    for (size_t i = 0; i < MANAGER_TURN_PACKETS && bytes < MANAGER_TURN_BYTES; i++) {
        if (!socket_receive(&manager->socket, &packet)) {
            return;
        }
        bytes += packet.bytes;
        struct gateway_packet received = {.peer = packet.peer,
                                          .frames = packet.frames,
                                          .count = packet.count,
                                          .descriptor = packet.descriptor};
        gateway_receive(manager->gateway, manager->now_ms, &received);
    }
}

static void turn_ticks(struct manager *manager)
{
    if (core_deadline(manager->core) <= manager->now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        host_submit(manager, &command);
    }
    if (gateway_deadline(manager->gateway) <= manager->now_ms) {
        gateway_tick(manager->gateway, manager->now_ms);
    }
}

bool manager_turn(struct manager *manager)
{
    turn_time(manager);
    turn_events(manager);
    turn_closed(manager);
    turn_packets(manager);
    turn_ticks(manager);
    journal_flush(manager->journal, manager->now_ms);
    gateway_flush(manager->gateway, manager->now_ms);
    return manager->monitor_fired || socket_readable(&manager->socket);
}

uint64_t manager_deadline(const struct manager *manager)
{
    uint64_t core_ms = core_deadline(manager->core);
    uint64_t due_ms = gateway_deadline(manager->gateway);
    due_ms = core_ms < due_ms ? core_ms : due_ms;
    for (size_t i = 0; i < manager->closed_count; i++) {
        due_ms = manager->closed[i].due_ms < due_ms ? manager->closed[i].due_ms : due_ms;
    }
    return due_ms;
}

uint64_t manager_connections(const struct manager *manager)
{
    struct gateway_counters counters;
    gateway_counters(manager->gateway, &counters);
    return counters.connections;
}

bool manager_idle(const struct manager *manager)
{
    return manager_connections(manager) == 0 || core_held(manager->core) == 0;
}
