/*
 * The ROUTER socket. Fails how: a peer that is gone is EHOSTUNREACH (ROUTER_MANDATORY), one that
 * does not read is EAGAIN; both are answers, not errors. Anything else that libzmq refuses here is
 * a programmer's error and asserts.
 */
#include "broker/shell/socket.h"

#include "broker/shell/endpoint.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * count: packets queued in libzmq for one peer, each way. A turn sends a peer one packet (more when
 * they are full), so 64 bridge many turns of a slow I/O thread; what does not fit stays with the
 * gateway, which bounds it in bytes. Memory for one peer is at most this many packets.
 */
#define SOCKET_HWM 64

/* bytes: a body may be this much too large and still be answered with ETOOBIG instead of a cut */
#define SOCKET_SLACK_BYTES (64 * 1024)

/* milliseconds: a peer that has not finished its handshake by then is dropped */
#define SOCKET_HANDSHAKE_MS 3000

/* count: connections that wait to be accepted; a fleet that starts at once fits */
#define SOCKET_BACKLOG 1024

/*
 * seconds: half-open connections. The gateway ends silent sessions by their own time-to-live; this
 * only frees their sockets. A dead host is found by TCP's own keepalive, which a process that is
 * stopped in a debugger still answers. Not by ZMQ_HEARTBEAT_IVL: when a client dies while nobody
 * reads its full pipe (the disk is slow), libzmq 4.3 ends the process with an assertion at the next
 * heartbeat.
 */
#define SOCKET_KEEPALIVE_IDLE_S     60
#define SOCKET_KEEPALIVE_INTERVAL_S 10
#define SOCKET_KEEPALIVE_COUNT      6

#define SOCKET_MONITOR "inproc://monitor"

struct setting {
    int option;
    int value;
};

static const struct setting SETTINGS[] = {
    {ZMQ_ROUTER_MANDATORY, 1},
    {ZMQ_SNDHWM, SOCKET_HWM},
    {ZMQ_RCVHWM, SOCKET_HWM},
    {ZMQ_HANDSHAKE_IVL, SOCKET_HANDSHAKE_MS},
    {ZMQ_BACKLOG, SOCKET_BACKLOG},
    {ZMQ_LINGER, 0},
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, SOCKET_KEEPALIVE_IDLE_S},
    {ZMQ_TCP_KEEPALIVE_INTVL, SOCKET_KEEPALIVE_INTERVAL_S},
    {ZMQ_TCP_KEEPALIVE_CNT, SOCKET_KEEPALIVE_COUNT},
};

static void configure(void *router, uint64_t body_max)
{
    for (size_t i = 0; i < sizeof SETTINGS / sizeof SETTINGS[0]; i++) {
        int rc = zmq_setsockopt(router, SETTINGS[i].option, &SETTINGS[i].value, sizeof(int));
        STEWARD_ASSERT(rc == 0);
    }
    uint64_t largest =
        body_max > LIMIT_PACKET_CEILING_BYTES ? body_max : LIMIT_PACKET_CEILING_BYTES;
    int64_t frame_max = (int64_t)(largest + SOCKET_SLACK_BYTES);
    int rc = zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    STEWARD_ASSERT(rc == 0);
}

static bool monitor_open(struct socket *self)
{
    static const int EVENTS = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL;
    if (zmq_socket_monitor(self->router, SOCKET_MONITOR, EVENTS) != 0) {
        return false;
    }
    self->monitor = zmq_socket(self->context, ZMQ_PAIR);
    return self->monitor && zmq_connect(self->monitor, SOCKET_MONITOR) == 0;
}

const char *socket_open(struct socket *self, uint64_t body_max)
{
    *self = (struct socket){0};
    zmq_msg_init(&self->peer);
    for (size_t i = 0; i < SOCKET_FRAMES; i++) {
        zmq_msg_init(&self->frames[i]);
    }
    self->context = zmq_ctx_new();
    self->router = self->context ? zmq_socket(self->context, ZMQ_ROUTER) : NULL;
    if (self->router == NULL) {
        return "cannot open a socket";
    }
    configure(self->router, body_max);
    return monitor_open(self) ? NULL : "cannot watch the socket's connections";
}

static bool path_answers(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    STEWARD_ASSERT(strlen(path) < sizeof address.sun_path); /* endpoint_problem saw to it */
    memcpy(address.sun_path, path, strlen(path));
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return false;
    }
    int rc = connect(probe, (const struct sockaddr *)&address, sizeof address);
    bool answers = rc == 0 || errno == EAGAIN || errno == EINPROGRESS;
    close(probe);
    return answers;
}

/*
 * libzmq removes whatever lies at an ipc path before it binds there: a second manager would steal
 * the first one's clients unseen, and a mistyped path would cost a file. So only a socket that
 * nobody answers on may be replaced. 0, or an errno.
 */
static int path_problem(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0) {
        return 0; /* nothing there; or bind says what is wrong */
    }
    if (!S_ISSOCK(status.st_mode)) {
        return EEXIST;
    }
    return path_answers(path) ? EADDRINUSE : 0;
}

int socket_listen(struct socket *self, const char *endpoint, char actual[SOCKET_ENDPOINT_BYTES])
{
    const char *path = endpoint_path(endpoint);
    int problem = path ? path_problem(path) : 0;
    if (problem != 0) {
        return problem;
    }
    /* with IPv6 on, IPv4 is announced as [::ffff:a.b.c.d], which not every client can use */
    int ipv6 = endpoint_is_ipv4(endpoint) ? 0 : 1;
    int rc = zmq_setsockopt(self->router, ZMQ_IPV6, &ipv6, sizeof ipv6);
    STEWARD_ASSERT(rc == 0);
    if (zmq_bind(self->router, endpoint) != 0) {
        return zmq_errno();
    }
    size_t size = SOCKET_ENDPOINT_BYTES;
    rc = zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, actual, &size);
    STEWARD_ASSERT(rc == 0);
    return 0;
}

/* ---- packets in ----------------------------------------------------------------------------- */

static struct slice message_slice(zmq_msg_t *message)
{
    return slice_of(zmq_msg_data(message), zmq_msg_size(message));
}

/* The frames behind the routing id. They came with it: libzmq hands over whole messages. */
static void receive_frames(struct socket *self, struct packet *packet)
{
    zmq_msg_t *last = &self->peer;
    while (zmq_msg_more(last)) {
        bool extra = packet->count == SOCKET_FRAMES;
        last = &self->frames[extra ? SOCKET_FRAMES - 1 : packet->count];
        int rc = zmq_msg_recv(last, self->router, ZMQ_DONTWAIT);
        STEWARD_ASSERT(rc >= 0);
        packet->bytes += zmq_msg_size(last);
        packet->count += extra ? 0 : 1;
        self->skipped += extra ? 1 : 0;
    }
    for (size_t i = 0; i < packet->count; i++) {
        packet->frames[i] = message_slice(&self->frames[i]);
    }
}

bool socket_receive(struct socket *self, struct packet *packet)
{
    packet->count = 0;
    packet->bytes = 0;
    if (zmq_msg_recv(&self->peer, self->router, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    packet->peer = message_slice(&self->peer);
    receive_frames(self, packet);
    /* the routing id's frame does not know where it came from; the frames behind it do */
    packet->descriptor = packet->count > 0 ? zmq_msg_get(&self->frames[0], ZMQ_SRCFD) : -1;
    return true;
}

/* ---- packets out ---------------------------------------------------------------------------- */

static void send_frame(struct socket *self, struct slice frame, int flags)
{
    /* Once the routing id was taken there is room for the rest; a peer that dies in between has
     * its packet dropped by libzmq, and its close is reported. */
    int rc = zmq_send(self->router, frame.data, frame.size, ZMQ_DONTWAIT | flags);
    STEWARD_ASSERT(rc >= 0);
}

enum send_result socket_send(void *context, struct slice peer, struct slice head, struct slice body)
{
    struct socket *self = context;
    if (zmq_send(self->router, peer.data, peer.size, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return zmq_errno() == EHOSTUNREACH ? SEND_GONE : SEND_LATER;
    }
    send_frame(self, head, body.data ? ZMQ_SNDMORE : 0);
    if (body.data) {
        send_frame(self, body, 0);
    }
    return SEND_DONE;
}

/* ---- the monitor ---------------------------------------------------------------------------- */

enum socket_event socket_event_next(struct socket *self, int *value)
{
    uint8_t frame[16] = {0};
    int size = zmq_recv(self->monitor, frame, sizeof frame, ZMQ_DONTWAIT);
    if (size < 0) {
        return SOCKET_NOTHING;
    }
    char endpoint[8]; /* the second frame names the endpoint; longer ones are cut */
    int rc = zmq_recv(self->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    STEWARD_ASSERT(size == 6 && rc >= 0);
    uint16_t event = 0;
    memcpy(&event, frame, sizeof event);
    memcpy(value, frame + sizeof event, sizeof *value);
    return event == ZMQ_EVENT_DISCONNECTED ? SOCKET_CLOSED : SOCKET_HANDSHAKE_FAILED;
}

static int integer_option(void *socket, int option)
{
    int value = 0;
    size_t size = sizeof value;
    int rc = zmq_getsockopt(socket, option, &value, &size);
    STEWARD_ASSERT(rc == 0);
    return value;
}

bool socket_readable(struct socket *self)
{
    return (integer_option(self->router, ZMQ_EVENTS) & ZMQ_POLLIN) != 0;
}

int socket_router_fd(struct socket *self)
{
    return integer_option(self->router, ZMQ_FD);
}

int socket_monitor_fd(struct socket *self)
{
    return integer_option(self->monitor, ZMQ_FD);
}

void socket_close(struct socket *self, int linger_ms)
{
    zmq_msg_close(&self->peer);
    for (size_t i = 0; i < SOCKET_FRAMES; i++) {
        zmq_msg_close(&self->frames[i]);
    }
    if (self->monitor) {
        zmq_socket_monitor(self->router, NULL, 0);
        zmq_close(self->monitor);
    }
    if (self->router) {
        zmq_setsockopt(self->router, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(self->router);
    }
    if (self->context) {
        zmq_ctx_term(self->context);
    }
    *self = (struct socket){0};
}
