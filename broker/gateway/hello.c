/*
 * The first packet of a connection: HELLO, and what answers it: WELCOME or BYE. Sections 2 to 4 of
 * docs/protocol.md.
 */
#include "broker/gateway/internal.h"

#include "common/base/error.h"
#include "common/base/panic.h"

static const char NO_HELLO[] = "the first packet of a connection is HELLO, alone and numbered 1";

void hello_write_bye(struct buf *out, int code, const char *text)
{
    wire_write_array(out, 3);
    wire_write_uint(out, WIRE_BYE);
    wire_write_uint(out, (uint64_t)-code);
    wire_write_str(out, slice_str(text ? text : error_text(code)));
}

void hello_bye(struct gateway *gateway, struct slice peer, uint64_t seen, int code,
               const char *text)
{
    struct buf out = {0};
    wire_write_header(&out, 1, seen);
    hello_write_bye(&out, code, text);
    struct slice none = slice_of(NULL, 0);
    if (gateway->host.send(gateway->host.context, peer, buf_view(&out), none) == SEND_DONE) {
        gateway->counters.packets_out++;
        gateway->counters.bytes_out += out.size;
    }
    buf_fini(&out);
}

/* So many peers are known, most of them dead connections, that no more are remembered. */
static bool crowded(const struct gateway *gateway)
{
    return HASH_CNT(by_peer, gateway->by_peer) >= 2 * gateway->options.connections_max;
}

/*
 * The stranger gets BYE. It is remembered as a dead connection for a while, so that the rest of
 * what it sends is neither answered nor logged.
 */
static void refuse(struct incoming *packet, struct slice peer, int code, const char *text)
{
    struct gateway *gateway = packet->gateway;
    struct gateway_counters *counters = &gateway->counters;
    if (code == STW_EPROTO) {
        counters->bad_packets++;
        report_limited(gateway, 'w', "bad_packet", "state=stranger");
    } else {
        counters->refused_hellos++;
        report_limited(gateway, 'i', "hello_refused", error_name(code));
    }
    if (crowded(gateway)) {
        hello_bye(gateway, peer, packet->number, code, text);
        return;
    }
    struct connection *connection = connection_new(gateway, peer, -1);
    connection->received = connection->confirmed = packet->number;
    connection_bye(gateway, connection, code, text);
}

/* The version that both speak is checked before anything that another version may have changed. */
static int read_hello(struct incoming *packet, uint64_t *features, struct hello_info *info)
{
    struct wire_reader *in = &packet->in;
    uint32_t n = wire_read_array(in);
    uint64_t op = wire_read_uint(in);
    uint64_t least = wire_read_uint(in);
    uint64_t most = wire_read_uint(in);
    if (in->failed || op != WIRE_HELLO || n < 3 || least > most) {
        decode_wrong(packet, NO_HELLO);
        return STW_EPROTO;
    }
    if (least > WIRE_VERSION_MAX || most < WIRE_VERSION_MIN) {
        return STW_EVERSION;
    }
    *features = wire_read_uint(in);
    bool good = decode_hello_info(packet, info);
    if (n != 5 || !good || !wire_reader_done(in) || packet->body_waits) {
        return STW_EPROTO;
    }
    return 0;
}

/* In the same time wherever they differ. */
static bool secret_equal(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < LIMIT_SECRET_BYTES; i++) {
        difference = (uint8_t)(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
}

/* The core decides; but what its owner left behind on another connection comes too late already,
 * and must not reach the journal behind the RESUME. */
static void prepare_resume(struct gateway *gateway, struct connection *connection,
                           const struct hello_info *info)
{
    struct link *link = link_find(gateway, info->session);
    if (link == NULL) {
        return;
    }
    link_resuming(link, connection);
    if (link->connection && secret_equal(link->connection->secret, connection->secret)) {
        link_replaced(gateway, link);
    }
}

static void submit_resume(struct gateway *gateway, struct connection *connection,
                          const struct hello_info *info)
{
    prepare_resume(gateway, connection, info);
    struct command command = {.kind = COMMAND_SESSION_RESUME};
    command.resume = (struct cmd_resume){
        .reference = connection->number, .session = info->session, .last_tag = info->last_tag};
    memcpy(command.resume.secret, connection->secret, LIMIT_SECRET_BYTES);
    gateway->host.submit(gateway->host.context, &command);
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    if (value < least) {
        return least;
    }
    return value > most ? most : value;
}

static void submit_open(struct gateway *gateway, const struct connection *connection,
                        const struct hello_info *info)
{
    struct command command = {.kind = COMMAND_SESSION_OPEN};
    command.open = (struct cmd_open){
        .reference = connection->number,
        .ttl_ms = clamp(info->ttl_ms, LIMIT_SESSION_TTL_MIN_MS, LIMIT_SESSION_TTL_MAX_MS),
        .grace_ms = clamp(info->grace_ms, 0, LIMIT_SESSION_TTL_MAX_MS),
        .pid = info->pid,
        .host = info->host,
        .program = info->program};
    memcpy(command.open.secret, connection->secret, LIMIT_SECRET_BYTES);
    gateway->host.submit(gateway->host.context, &command);
}

/* This node follows: who asks is told who leads. */
static void send_to_leader(struct incoming *packet, struct slice peer)
{
    struct gateway *gateway = packet->gateway;
    const struct gateway_host *host = &gateway->host;
    struct slice endpoint =
        host->leader_endpoint ? host->leader_endpoint(host->context) : slice_of(NULL, 0);
    if (endpoint.size == 0 || crowded(gateway)) {
        refuse(packet, peer, STW_ENOQUORUM,
               "no leader is known: too few nodes answer, or an election is under way; try again");
        return;
    }
    struct connection *connection = connection_new(gateway, peer, -1);
    connection->received = connection->confirmed = packet->number;
    struct buf *out = outbox_record(gateway, connection, endpoint.size);
    wire_write_array(out, 2);
    wire_write_uint(out, WIRE_REDIRECT);
    wire_write_str(out, endpoint);
    outbox_send(gateway, connection, slice_of(NULL, 0));
    connection_kill(gateway, connection);
}

void hello_receive(struct incoming *packet, struct slice peer, int descriptor)
{
    struct gateway *gateway = packet->gateway;
    uint64_t features = 0;
    struct hello_info info = {.ttl_ms = LIMIT_SESSION_TTL_MS, .grace_ms = LIMIT_SESSION_GRACE_MS};
    int code = read_hello(packet, &features, &info);
    if (code == 0 && !gateway->leads) {
        send_to_leader(packet, peer);
        return;
    }
    if (code == 0 && gateway->draining) {
        code = STW_EDRAINING;
    }
    if (code == 0 && !info.resume && gateway_overfull(gateway)) {
        code = STW_EMEMORY;
    }
    if (code == 0 && gateway->counters.connections >= gateway->options.connections_max) {
        code = STW_ELIMIT;
    }
    if (code) {
        refuse(packet, peer, code, code == STW_EPROTO ? packet->wrong : NULL);
        return;
    }
    struct connection *connection = connection_new(gateway, peer, descriptor);
    connection->received = connection->confirmed = 1;
    connection->frames = (features & WIRE_FEATURE_FRAMES) != 0;
    gateway->counters.records_in++;
    if (info.resume) {
        memcpy(connection->secret, info.secret.data, LIMIT_SECRET_BYTES);
        submit_resume(gateway, connection, &info);
    } else {
        gateway->host.random(gateway->host.context, connection->secret, LIMIT_SECRET_BYTES);
        submit_open(gateway, connection, &info);
    }
}

static void write_key_uint(struct buf *out, const char *key, uint64_t value)
{
    wire_write_str(out, slice_str(key));
    wire_write_uint(out, value);
}

static void write_welcome(struct gateway *gateway, struct connection *connection,
                          const struct effect *effect)
{
    struct buf *out = outbox_record(gateway, connection, 0);
    if (out == NULL) {
        return;
    }
    const struct link *link = connection->link;
    wire_write_array(out, 4);
    wire_write_uint(out, WIRE_WELCOME);
    wire_write_uint(out, WIRE_VERSION_MAX);
    wire_write_uint(out, connection->frames ? WIRE_FEATURE_FRAMES : 0);
    wire_write_map(out, 9);
    write_key_uint(out, "session", link->session);
    wire_write_str(out, slice_str("secret"));
    wire_write_bin(out, slice_of(connection->secret, LIMIT_SECRET_BYTES));
    write_key_uint(out, "incarnation", effect->incarnation);
    wire_write_str(out, slice_str("resumed"));
    wire_write_bool(out, effect->resumed);
    write_key_uint(out, "highest_request", effect->highest_request);
    write_key_uint(out, "ttl_ms", link->ttl_ms);
    write_key_uint(out, "grace_ms", link->grace_ms);
    write_key_uint(out, "body_max", gateway->options.body_max);
    wire_write_str(out, slice_str("server"));
    wire_write_str(out, slice_str(gateway->server));
}

void hello_opened(struct gateway *gateway, const struct effect *effect)
{
    struct session_info info;
    struct link *link = link_find(gateway, effect->session);
    if (link == NULL) {
        if (!core_session(gateway->core, effect->session, &info)) {
            return;
        }
        link = link_new(gateway, effect->session, &info);
    }
    link->reference = effect->reference;
    struct connection *connection = connection_numbered(gateway, effect->reference);
    if (connection == NULL || connection->state != CONNECTION_OPENING) {
        if (link->connection == NULL) { /* broke meanwhile */
            link_away(gateway, link, link->grace_ms);
            link_detach(gateway, link);
        }
        return;
    }
    gateway->counters.resumed += effect->resumed;
    link_bind(gateway, link, connection);
    write_welcome(gateway, connection, effect);
}

void hello_refused(struct gateway *gateway, const struct effect *effect)
{
    struct connection *connection = connection_numbered(gateway, effect->reference);
    if (connection == NULL || connection->state != CONNECTION_OPENING) {
        return;
    }
    gateway->counters.refused_hellos++;
    report_limited(gateway, 'i', "hello_refused", error_name(effect->code));
    connection_bye(gateway, connection, effect->code, NULL);
}
