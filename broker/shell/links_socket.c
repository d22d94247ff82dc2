/*
 * The sockets of links. Fails how: a peer without a connection, or one that does not keep up, is
 * EAGAIN at its DEALER: the message is dropped. What libzmq refuses else is a programmer's error.
 */
#include "broker/shell/links_socket.h"

#include "broker/shell/endpoint.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <string.h>

/* count: messages queued for one peer, each way; one a turn, so this bridges a slow I/O thread */
#define LINKS_HWM 32

/* count: connections that wait to be accepted; a cluster that starts at once fits */
#define LINKS_BACKLOG 64

/* milliseconds: a peer that has not finished its handshake by then is dropped, or tried again */
#define LINKS_HANDSHAKE_MS         3000
#define LINKS_HANDSHAKE_CONNECT_MS 1000

/* milliseconds: between attempts to connect, and how long one may take */
#define LINKS_RECONNECT_MS     50
#define LINKS_RECONNECT_MAX_MS 400
#define LINKS_CONNECT_MS       1000

/*
 * milliseconds: a connection on which nothing is acknowledged is given up and made anew; a pulse is
 * always under way. After a partition TCP alone would wait for longer and longer; much shorter, and
 * a slow network would look like death. On the ROUTER's side TCP's own keepalive cleans up.
 *
 * Not ZMQ_HEARTBEAT_IVL, on neither side: when a connection breaks whose messages nobody reads just
 * now (this node stood still, or loads a snapshot), libzmq 4.3 ends the process with an assertion
 * at the next heartbeat that its timer sends, or that it finds among what it had read before.
 */
#define LINKS_DEAD_MS              3000
#define LINKS_KEEPALIVE_IDLE_S     10
#define LINKS_KEEPALIVE_INTERVAL_S 5
#define LINKS_KEEPALIVE_COUNT      3

/* bytes: nobody sends anything to a DEALER */
#define LINKS_DEALER_FRAME_BYTES 1024

#define LINKS_MONITOR "inproc://links-monitor"
#define LINKS_ZAP     "inproc://zeromq.zap.01"
#define LINKS_DOMAIN  "steward-cluster"

/* Debian's header does not name it, its library has it: without a handler nobody is let in. */
#define LINKS_ZAP_ENFORCE_DOMAIN 93

/* count and bytes: of a ZAP request; ours has seven frames, the key is the longest that matters */
#define ZAP_FRAMES      7
#define ZAP_FRAME_BYTES 256

struct setting {
    int option;
    int value;
};

static const struct setting ROUTER_SETTINGS[] = {
    {ZMQ_SNDHWM, 1},
    {ZMQ_RCVHWM, LINKS_HWM},
    {ZMQ_LINGER, 0},
    {ZMQ_BACKLOG, LINKS_BACKLOG},
    {ZMQ_HANDSHAKE_IVL, LINKS_HANDSHAKE_MS},
    {ZMQ_TCP_KEEPALIVE, 1},
    {ZMQ_TCP_KEEPALIVE_IDLE, LINKS_KEEPALIVE_IDLE_S},
    {ZMQ_TCP_KEEPALIVE_INTVL, LINKS_KEEPALIVE_INTERVAL_S},
    {ZMQ_TCP_KEEPALIVE_CNT, LINKS_KEEPALIVE_COUNT},
};

static const struct setting DEALER_SETTINGS[] = {
    {ZMQ_SNDHWM, LINKS_HWM},
    {ZMQ_RCVHWM, 1},
    {ZMQ_LINGER, 0},
    {ZMQ_IMMEDIATE, 1},
    {ZMQ_HANDSHAKE_IVL, LINKS_HANDSHAKE_CONNECT_MS},
    {ZMQ_RECONNECT_IVL, LINKS_RECONNECT_MS},
    {ZMQ_RECONNECT_IVL_MAX, LINKS_RECONNECT_MAX_MS},
    {ZMQ_CONNECT_TIMEOUT, LINKS_CONNECT_MS},
    {ZMQ_TCP_MAXRT, LINKS_DEAD_MS},
};

static void set(void *socket, int option, const void *value, size_t size)
{
    int rc = zmq_setsockopt(socket, option, value, size);
    STEWARD_ASSERT(rc == 0);
}

static void set_all(void *socket, const struct setting *settings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        set(socket, settings[i].option, &settings[i].value, sizeof(int));
    }
}

static void set_frame_max(void *socket, uint64_t bytes)
{
    int64_t value = (int64_t)bytes;
    set(socket, ZMQ_MAXMSGSIZE, &value, sizeof value);
}

static void set_version(void *socket, const char *endpoint)
{
    int ipv6 = endpoint_is_ipv4(endpoint) ? 0 : 1;
    set(socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
}

/* ---- open ----------------------------------------------------------------------------------- */

static void router_key(struct links_socket *self)
{
    int on = 1;
    set(self->router, ZMQ_CURVE_SERVER, &on, sizeof on);
    set(self->router, ZMQ_CURVE_SECRETKEY, self->key.secret_key, CLUSTER_KEY_BYTES);
    set(self->router, ZMQ_ZAP_DOMAIN, LINKS_DOMAIN, strlen(LINKS_DOMAIN));
    /* a second bolt: the handler is there, and the proof shows it. A library that has not got this
     * option says EINVAL. */
    (void)zmq_setsockopt(self->router, LINKS_ZAP_ENFORCE_DOMAIN, &on, sizeof on);
}

/* The handler is bound before the ROUTER exists: there is no moment in which anybody gets in. */
static bool zap_open(struct links_socket *self)
{
    self->zap = zmq_socket(self->context, ZMQ_REP);
    return self->zap && zmq_bind(self->zap, LINKS_ZAP) == 0;
}

static bool monitor_open(struct links_socket *self)
{
    static const int EVENTS = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (zmq_socket_monitor(self->router, LINKS_MONITOR, EVENTS) != 0) {
        return false;
    }
    self->monitor = zmq_socket(self->context, ZMQ_PAIR);
    return self->monitor && zmq_connect(self->monitor, LINKS_MONITOR) == 0;
}

const char *links_socket_open(struct links_socket *self, const struct cluster_key *key,
                              uint64_t frame_max)
{
    *self = (struct links_socket){.keyed = key != NULL};
    zmq_msg_init(&self->peer);
    zmq_msg_init(&self->body);
    self->context = zmq_ctx_new();
    if (key) {
        self->key = *key;
    }
    if (self->context == NULL || (key && !zap_open(self))) {
        return "cannot open a socket between nodes";
    }
    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    if (self->router == NULL) {
        return "cannot open a socket between nodes";
    }
    set_all(self->router, ROUTER_SETTINGS, sizeof ROUTER_SETTINGS / sizeof ROUTER_SETTINGS[0]);
    set_frame_max(self->router, frame_max);
    if (key) {
        router_key(self);
    }
    return monitor_open(self) ? NULL : "cannot watch the socket between nodes";
}

int links_socket_bind(struct links_socket *self, const char *endpoint,
                      char actual[LINKS_ENDPOINT_BYTES])
{
    set_version(self->router, endpoint);
    if (zmq_bind(self->router, endpoint) != 0) {
        return zmq_errno();
    }
    size_t size = LINKS_ENDPOINT_BYTES;
    int rc = zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, actual, &size);
    STEWARD_ASSERT(rc == 0);
    return 0;
}

void *links_socket_connect(struct links_socket *self, const char *address)
{
    void *dealer = zmq_socket(self->context, ZMQ_DEALER);
    if (dealer == NULL) {
        return NULL;
    }
    set_all(dealer, DEALER_SETTINGS, sizeof DEALER_SETTINGS / sizeof DEALER_SETTINGS[0]);
    set_frame_max(dealer, LINKS_DEALER_FRAME_BYTES);
    set_version(dealer, address);
    if (self->keyed) {
        set(dealer, ZMQ_CURVE_SERVERKEY, self->key.public_key, CLUSTER_KEY_BYTES);
        set(dealer, ZMQ_CURVE_PUBLICKEY, self->key.public_key, CLUSTER_KEY_BYTES);
        set(dealer, ZMQ_CURVE_SECRETKEY, self->key.secret_key, CLUSTER_KEY_BYTES);
    }
    if (zmq_connect(dealer, address) != 0) {
        zmq_close(dealer);
        return NULL;
    }
    return dealer;
}

void links_socket_close(struct links_socket *self)
{
    zmq_msg_close(&self->peer);
    zmq_msg_close(&self->body);
    if (self->monitor) {
        zmq_socket_monitor(self->router, NULL, 0);
        zmq_close(self->monitor);
    }
    if (self->router) {
        zmq_close(self->router);
    }
    if (self->zap) {
        zmq_close(self->zap);
    }
    if (self->context) {
        zmq_ctx_term(self->context);
    }
    cluster_key_wipe(&self->key);
    *self = (struct links_socket){0};
}

/* ---- messages ------------------------------------------------------------------------------- */

bool links_socket_receive(struct links_socket *self, struct slice *body)
{
    if (zmq_msg_recv(&self->peer, self->router, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    *body = slice_of(NULL, 0);
    zmq_msg_t *last = &self->peer;
    for (size_t frame = 0; zmq_msg_more(last); frame++) {
        last = frame == 0 ? &self->body : &self->peer; /* the routing id is not needed any more */
        int rc = zmq_msg_recv(last, self->router, ZMQ_DONTWAIT);
        STEWARD_ASSERT(rc >= 0); /* libzmq hands over whole messages */
        self->skipped += frame == 0 ? 0 : 1;
        *body = slice_of(zmq_msg_data(&self->body), zmq_msg_size(&self->body));
    }
    return true;
}

static void release(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

bool links_socket_send(void *dealer, uint8_t *bytes, size_t size)
{
    zmq_msg_t message;
    int rc = zmq_msg_init_data(&message, bytes, size, release, NULL);
    STEWARD_ASSERT(rc == 0);
    if (zmq_msg_send(&message, dealer, ZMQ_DONTWAIT) >= 0) {
        return true;
    }
    zmq_msg_close(&message);
    return false;
}

static int integer_option(void *socket, int option)
{
    int value = 0;
    size_t size = sizeof value;
    int rc = zmq_getsockopt(socket, option, &value, &size);
    STEWARD_ASSERT(rc == 0);
    return value;
}

bool links_socket_readable(void *socket)
{
    return (integer_option(socket, ZMQ_EVENTS) & ZMQ_POLLIN) != 0;
}

int links_socket_fd(void *socket)
{
    return integer_option(socket, ZMQ_FD);
}

/* ---- who may come in ------------------------------------------------------------------------ */

struct zap_frame {
    uint8_t data[ZAP_FRAME_BYTES];
    size_t size; /* may be larger than what data took */
};

/* Version, request id, domain, address, routing id, mechanism, credentials. */
static size_t zap_read(void *zap, struct zap_frame frames[ZAP_FRAMES])
{
    size_t count = 0;
    int more = 1;
    for (; more; count++) {
        struct zap_frame *frame = &frames[count < ZAP_FRAMES ? count : ZAP_FRAMES - 1];
        int size = zmq_recv(zap, frame->data, ZAP_FRAME_BYTES, ZMQ_DONTWAIT);
        if (size < 0) {
            return 0;
        }
        frame->size = (size_t)size;
        more = integer_option(zap, ZMQ_RCVMORE);
    }
    return count;
}

static bool frame_is(const struct zap_frame *frame, const void *data, size_t size)
{
    return frame->size == size && memcmp(frame->data, data, size) == 0;
}

static bool zap_admits(const struct links_socket *self, const struct zap_frame *frames,
                       size_t count)
{
    return count == ZAP_FRAMES && frame_is(&frames[0], "1.0", 3) &&
           frame_is(&frames[2], LINKS_DOMAIN, strlen(LINKS_DOMAIN)) &&
           frame_is(&frames[5], "CURVE", 5) &&
           frame_is(&frames[6], self->key.public_key, CLUSTER_KEY_BYTES);
}

static void zap_answer(void *zap, const struct zap_frame *request, bool admit)
{
    const char *code = admit ? "200" : "400";
    const char *text = admit ? "OK" : "not a node of this cluster";
    size_t id_size = request->size < ZAP_FRAME_BYTES ? request->size : ZAP_FRAME_BYTES;
    zmq_send(zap, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(zap, request->data, id_size, ZMQ_SNDMORE);
    zmq_send(zap, code, 3, ZMQ_SNDMORE);
    zmq_send(zap, text, strlen(text), ZMQ_SNDMORE);
    zmq_send(zap, "", 0, ZMQ_SNDMORE);
    zmq_send(zap, "", 0, 0);
}

void links_socket_admit(struct links_socket *self)
{
    struct zap_frame frames[ZAP_FRAMES] = {0};
    size_t count = 0;
    while (self->zap && (count = zap_read(self->zap, frames)) > 0) {
        bool admit = zap_admits(self, frames, count);
        self->denied += admit ? 0 : 1;
        zap_answer(self->zap, &frames[1], admit);
    }
}

bool links_socket_failed(struct links_socket *self)
{
    uint8_t frame[16];
    if (zmq_recv(self->monitor, frame, sizeof frame, ZMQ_DONTWAIT) < 0) {
        return false;
    }
    char endpoint[8]; /* the second frame is our own address; it is cut */
    int rc = zmq_recv(self->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    STEWARD_ASSERT(rc >= 0);
    return true;
}
