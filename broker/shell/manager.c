/*
 * The manager put together. A turn, in this order:
 *
 *     time        a gap means that we were stopped ourselves: say so before anything is read
 *     closes      peers whose connection is gone
 *     nodes       what other nodes of the cluster say: to the journal
 *     packets     up to a bound: gateway -> journal
 *     journal     what became durable: core -> effects -> gateway's outboxes (memory: at once)
 *     ticks       deadlines of core, journal and gateway, a slice of long work
 *     flush       the journal writes, then each node gets one message with all that is for it, and
 *                 each connection one packet with all its answers
 *
 * While the journal has more to do than LIMIT_BACKLOG_BYTES, no packets are taken: the clients'
 * pipes fill, and they wait. Their silence does not count meanwhile, and they hear that we live.
 */
#include "broker/shell/manager.h"

#include "broker/shell/system.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <stdio.h>

/* milliseconds: after a close is reported, libzmq needs a moment until sends fail; asked thrice */
static const uint64_t CLOSED_AFTER_MS[] = {1, 10, 100};
#define CLOSED_TRIES (sizeof CLOSED_AFTER_MS / sizeof CLOSED_AFTER_MS[0])

/* milliseconds: reading that paused for less is not made up for: that walks over all sessions */
#define UNREAD_MIN_MS 50

/* milliseconds: between two looks at who has to hear from us while nothing is read */
#define UNREAD_LOOK_MS 100

/* ---- what the gateway and the journal call -------------------------------------------------- */

static void host_submit(void *context, const struct command *command)
{
    struct manager *manager = context;
    manager->submitted++;
    journal_submit(manager->journal, manager->now_ms, command);
}

static uint64_t host_submitted(void *context)
{
    return ((const struct manager *)context)->submitted;
}

static enum send_result host_send(void *context, struct slice peer, struct slice head,
                                  struct slice body)
{
    struct manager *manager = context;
    return socket_send(&manager->socket, peer, head, body);
}

static void host_node(void *context, uint64_t node, struct slice bytes)
{
    struct manager *manager = context;
    cluster_send(manager->cluster, node, bytes);
}

static struct slice host_leader(void *context)
{
    const struct manager *manager = context;
    return manager->cluster ? cluster_leader_endpoint(manager->cluster) : slice_of(NULL, 0);
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

static struct manage_view view_of(const struct manager *manager)
{
    return (struct manage_view){.journal = manager->journal,
                                .now_ms = manager->now_ms,
                                .log = manager->log,
                                .options = manager->options,
                                .uptime_ms = clock_boot_ms() - manager->start_ms,
                                .turn_longest_us = manager->turn_longest_ns / 1000,
                                .draining = manager->draining,
                                .where = manager->cluster ? cluster_where : NULL,
                                .context = manager->cluster};
}

static void host_manage(void *context, struct slice action, struct slice argument, struct buf *rows)
{
    struct manager *manager = context;
    struct manage_view view = view_of(manager);
    manage_act(&manager->manage, &view, action, argument, rows);
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
    manager->applied++;
    gateway_effects(manager->gateway, now_ms, effects);
}

/* ---- life ----------------------------------------------------------------------------------- */

static struct gateway_options gateway_limits(const struct options *options)
{
    struct gateway_options limits;
    gateway_options_default(&limits);
    limits.body_max = options->body_max;
    limits.memory_max = options->memory_max;
    limits.outbox_max = options->outbox_max;
    limits.connections_max = options->connections_max;
    limits.server = "stewardd " STW_VERSION;
    return limits;
}

void manager_set_ceilings(struct manager *manager)
{
    struct gateway_options limits = gateway_limits(manager->options);
    gateway_set_ceilings(manager->gateway, &limits);
}

void manager_drain(struct manager *manager)
{
    manager->draining = true;
    gateway_drain(manager->gateway);
}

static struct gateway *open_gateway(struct manager *manager, const struct options *options)
{
    struct gateway_options limits = gateway_limits(options);
    struct gateway_host host = {.context = manager,
                                .submit = host_submit,
                                .submitted = options->memory ? NULL : host_submitted,
                                .send = host_send,
                                .leader_endpoint = host_leader,
                                .random = host_random,
                                .log = host_log,
                                .manage = host_manage};
    return gateway_new(manager->core, &limits, &host);
}

/* The journal began, or ceased, to take commands. */
static void turn_role(struct manager *manager)
{
    bool leads = journal_ready(manager->journal);
    if (leads && !manager->leads) {
        uint64_t before_ms = manager->now_ms;
        clock_forward(&manager->clock, journal_time_ms(manager->journal));
        manager->now_ms = manager->clock.now_ms;
        if (manager->cluster) {
            cluster_jumped(manager->cluster, manager->now_ms - before_ms);
        }
        manager->submitted = manager->applied = 0; /* the journal's own first command is not ours */
        gateway_lead(manager->gateway, manager->now_ms);
    } else if (!leads && manager->leads) {
        gateway_follow(manager->gateway, manager->now_ms);
    }
    manager->leads = leads;
}

static struct cmd_bootstrap random_bootstrap(void)
{
    struct cmd_bootstrap bootstrap = {0};
    system_random(&bootstrap.hash_key, sizeof bootstrap.hash_key);
    while (bootstrap.incarnation == 0) {
        system_random(&bootstrap.incarnation, sizeof bootstrap.incarnation);
    }
    return bootstrap;
}

static void open_memory(struct manager *manager)
{
    struct command command = {.kind = COMMAND_BOOTSTRAP, .bootstrap = random_bootstrap()};
    manager->journal = journal_memory_new(manager->core, applied, manager);
    host_submit(manager, &command);
}

static bool open_data(struct manager *manager, const struct options *options,
                      struct log_error *error)
{
    struct journal_raft_options raft = {.directory = options->data,
                                        .core = manager->core,
                                        .bootstrap = random_bootstrap(),
                                        .body_max = options->body_max,
                                        .now_ms = manager->now_ms,
                                        .applied = applied,
                                        .context = manager};
    if (manager->cluster) {
        raft.send = host_node;
        cluster_journal(manager->cluster, &raft);
    }
    manager->journal = journal_raft_open(&raft, error);
    if (manager->journal && manager->cluster) {
        cluster_attach(manager->cluster, manager->journal);
    }
    return manager->journal != NULL;
}

static bool open_cluster(struct manager *manager, const struct options *options,
                         struct log_error *error)
{
    struct links_error links = {""};
    if (options->cluster == NULL) {
        return true;
    }
    manager->cluster = cluster_open(options, manager->log, &links);
    snprintf(error->text, sizeof error->text, "%s", links.text);
    return manager->cluster != NULL;
}

bool manager_init(struct manager *manager, const struct options *options, struct log *log,
                  struct log_error *error)
{
    manager->log = log;
    manager->options = options;
    manager->start_ms = clock_boot_ms();
    manager->closed_count = 0;
    manager->monitor_fired = true; /* a socket that was never read gives no edge */
    clock_start(&manager->clock, clock_wall_ms(), clock_boot_ms());
    manager->now_ms = manager->clock.now_ms;
    manager->core = core_new();
    manager->gateway = open_gateway(manager, options);
    if (options->memory) {
        open_memory(manager);
    } else if (!open_cluster(manager, options, error) || !open_data(manager, options, error)) {
        return false;
    }
    turn_role(manager);
    return true;
}

void manager_fini(struct manager *manager)
{
    gateway_destroy(&manager->gateway);
    journal_destroy(&manager->journal);
    cluster_close(&manager->cluster);
    core_destroy(&manager->core);
}

/* ---- a turn --------------------------------------------------------------------------------- */

static void turn_time(struct manager *manager)
{
    uint64_t gap_ms = 0;
    manager->now_ms = clock_advance(&manager->clock, clock_boot_ms(), &gap_ms);
    if (gap_ms <= LIMIT_CLOCK_GAP_MS || !manager->leads) {
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

/* Leadership may go with any message; what is asked after that is no leader's business. */
static void turn_nodes(struct manager *manager)
{
    if (manager->cluster) {
        cluster_receive(manager->cluster, manager->now_ms);
        turn_role(manager);
    }
}

static bool crowded(const struct manager *manager)
{
    return journal_backlog(manager->journal) > LIMIT_BACKLOG_BYTES;
}

/* May packets be taken in this turn? What was not heard meanwhile is nobody's silence. */
static bool turn_reads(struct manager *manager)
{
    bool pause = crowded(manager);
    if (pause && manager->unread_ms == 0) {
        manager->unread_ms = manager->now_ms;
    }
    if (pause) {
        gateway_unread(manager->gateway, manager->now_ms, manager->unread_ms);
    }
    if (pause || manager->unread_ms == 0) {
        return !pause;
    }
    uint64_t gap_ms = manager->now_ms - manager->unread_ms;
    if (gap_ms >= UNREAD_MIN_MS) {
        gateway_gap(manager->gateway, manager->now_ms, gap_ms);
    }
    manager->unread_ms = 0;
    return true;
}

static void turn_packets(struct manager *manager)
{
    struct packet packet;
    size_t bytes = 0;
    if (!turn_reads(manager)) {
        return;
    }
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

/* Until a tick that was submitted is applied, the core's deadline says nothing. */
static uint64_t core_due_ms(const struct manager *manager)
{
    bool reads = manager->leads && !journal_ticking(manager->journal);
    return reads ? core_deadline(manager->core) : UINT64_MAX;
}

/* While nothing is read, nobody is too silent. */
static uint64_t gateway_due_ms(const struct manager *manager)
{
    return manager->unread_ms == 0 ? gateway_deadline(manager->gateway) : UINT64_MAX;
}

static void turn_ticks(struct manager *manager)
{
    if (core_due_ms(manager) <= manager->now_ms) {
        struct command command = {.kind = COMMAND_TICK};
        host_submit(manager, &command);
    }
    if (gateway_due_ms(manager) <= manager->now_ms) {
        gateway_tick(manager->gateway, manager->now_ms);
    }
    if (journal_deadline(manager->journal) <= manager->now_ms) {
        journal_tick(manager->journal, manager->now_ms);
        turn_role(manager);
    }
    struct manage_view view = view_of(manager);
    manage_tick(&manager->manage, &view);
}

/* A disk that is nearly full: what only adds is refused until there is room again. */
static void turn_room(struct manager *manager)
{
    bool tight = journal_tight(manager->journal);
    if (tight != manager->tight) {
        manager->tight = tight;
        gateway_set_tight(manager->gateway, tight);
        log_event(manager->log, tight ? LEVEL_WARN : LEVEL_INFO,
                  tight ? "disk_nearly_full" : "disk_has_room", NULL, NULL);
    }
}

static void turn_journal(struct manager *manager)
{
    journal_process(manager->journal, manager->now_ms);
    turn_role(manager);
    STEWARD_ASSERT(!manager->leads || manager->applied <= manager->submitted);
    gateway_settled(manager->gateway, manager->applied);
    turn_room(manager);
}

/* true: what could not be sent made commands, for which the journal has to be flushed once more. */
static bool turn_flush(struct manager *manager)
{
    uint64_t submitted = manager->submitted;
    journal_flush(manager->journal, manager->now_ms);
    if (manager->cluster) {
        turn_role(manager);
        cluster_flush(manager->cluster, manager->now_ms);
    }
    gateway_flush(manager->gateway, manager->now_ms);
    return manager->submitted != submitted;
}

bool manager_turn(struct manager *manager)
{
    uint64_t begun_ns = clock_boot_ns();
    turn_time(manager);
    turn_events(manager);
    turn_closed(manager);
    turn_nodes(manager);
    turn_packets(manager);
    turn_journal(manager);
    turn_ticks(manager);
    bool more = turn_flush(manager);
    /* Asked in any case: it lets the socket's descriptor wait for the next edge. */
    bool readable = socket_readable(&manager->socket);
    bool nodes = manager->cluster && cluster_waiting(manager->cluster);
    uint64_t took_ns = clock_boot_ns() - begun_ns;
    manager->turn_longest_ns =
        took_ns > manager->turn_longest_ns ? took_ns : manager->turn_longest_ns;
    return more || manager->monitor_fired || nodes || (readable && !crowded(manager));
}

void manager_recover(struct manager *manager)
{
    manager->now_ms = clock_advance(&manager->clock, clock_boot_ms(), NULL);
    turn_journal(manager);
    if (journal_deadline(manager->journal) <= manager->now_ms) {
        journal_tick(manager->journal, manager->now_ms);
    }
    journal_flush(manager->journal, manager->now_ms);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t manager_deadline(const struct manager *manager)
{
    uint64_t due_ms = earlier(core_due_ms(manager), gateway_due_ms(manager));
    due_ms = earlier(due_ms, journal_deadline(manager->journal));
    due_ms = manager->cluster ? earlier(due_ms, cluster_deadline(manager->cluster)) : due_ms;
    due_ms = manager->unread_ms ? earlier(due_ms, manager->now_ms + UNREAD_LOOK_MS) : due_ms;
    for (size_t i = 0; i < manager->closed_count; i++) {
        due_ms = earlier(due_ms, manager->closed[i].due_ms);
    }
    return due_ms;
}

uint64_t manager_connections(const struct manager *manager)
{
    struct gateway_counters counters;
    gateway_counters(manager->gateway, &counters);
    return counters.connections;
}

const char *manager_failure(const struct manager *manager)
{
    return journal_failure(manager->journal);
}

bool manager_idle(const struct manager *manager)
{
    return journal_backlog(manager->journal) == 0 &&
           (manager_connections(manager) == 0 || !manager->leads || core_held(manager->core) == 0);
}
