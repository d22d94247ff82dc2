/*
 * The proof that a ROUTER with a key lets nobody else in. libzmq's CURVE fails open when nothing
 * says who may come: so this is tried at each start, on the very socket that will serve, before it
 * can be reached. Three knock, one after another: somebody without any key, somebody with a key of
 * their own who even knows ours, and a node. The node is there so that "nobody was heard" means
 * something.
 */
#include "broker/shell/links_socket.h"

#include "broker/shell/clock.h"
#include "common/base/panic.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* milliseconds: the proof mostly needs ten; slower than this, and something is wrong */
#define PROOF_MS 5000

/* milliseconds: between two looks */
#define PROOF_STEP_MS 1

#define PROOF_LISTEN "tcp://127.0.0.1:*"
#define PROOF_WORD   "let me in"

enum visitor { VISITOR_PLAIN, VISITOR_STRANGER, VISITOR_NODE };

/* Each has a name of its own: one that was closed is free again only after a while. */
static const char *const MONITORS[] = {
    [VISITOR_PLAIN] = "inproc://links-proof-plain",
    [VISITOR_STRANGER] = "inproc://links-proof-stranger",
    [VISITOR_NODE] = "inproc://links-proof-node",
};

struct probe {
    void *dealer;
    void *monitor;
};

static void probe_key(void *dealer, const struct cluster_key *own, const uint8_t *server)
{
    zmq_setsockopt(dealer, ZMQ_CURVE_SERVERKEY, server, CLUSTER_KEY_BYTES);
    zmq_setsockopt(dealer, ZMQ_CURVE_PUBLICKEY, own->public_key, CLUSTER_KEY_BYTES);
    zmq_setsockopt(dealer, ZMQ_CURVE_SECRETKEY, own->secret_key, CLUSTER_KEY_BYTES);
}

static bool probe_open(struct probe *probe, struct links_socket *self, enum visitor who,
                       const char *endpoint)
{
    struct cluster_key own = self->key;
    if (who == VISITOR_STRANGER) {
        cluster_key_random(&own);
    }
    int once = -1;
    int linger = 0;
    probe->dealer = zmq_socket(self->context, ZMQ_DEALER);
    probe->monitor = zmq_socket(self->context, ZMQ_PAIR);
    if (probe->dealer == NULL || probe->monitor == NULL) {
        return false;
    }
    zmq_setsockopt(probe->dealer, ZMQ_RECONNECT_IVL, &once, sizeof once);
    zmq_setsockopt(probe->dealer, ZMQ_LINGER, &linger, sizeof linger);
    if (who != VISITOR_PLAIN) {
        probe_key(probe->dealer, &own, self->key.public_key);
    }
    cluster_key_wipe(&own);
    if (zmq_socket_monitor(probe->dealer, MONITORS[who], ZMQ_EVENT_ALL) != 0 ||
        zmq_connect(probe->monitor, MONITORS[who]) != 0 ||
        zmq_connect(probe->dealer, endpoint) != 0) {
        return false;
    }
    /* EAGAIN: the visitor was turned away before it could speak, which the monitor tells. */
    return zmq_send(probe->dealer, PROOF_WORD, strlen(PROOF_WORD), ZMQ_DONTWAIT) >= 0 ||
           zmq_errno() == EAGAIN;
}

static void probe_close(struct probe *probe)
{
    if (probe->dealer) {
        zmq_socket_monitor(probe->dealer, NULL, 0);
        zmq_close(probe->dealer);
    }
    if (probe->monitor) {
        zmq_close(probe->monitor);
    }
}

/* true: libzmq says that the visitor's connection came to its end. */
static bool turned_away(struct probe *probe)
{
    uint8_t frame[16];
    char endpoint[8];
    uint16_t event = 0;
    while (zmq_recv(probe->monitor, frame, sizeof frame, ZMQ_DONTWAIT) >= 0) {
        memcpy(&event, frame, sizeof event);
        zmq_recv(probe->monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
        if (event == ZMQ_EVENT_DISCONNECTED || event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH ||
            event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
            event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL) {
            return true;
        }
    }
    return false;
}

/* Waits until the visitor is heard or turned away. NULL, or why it is not as it has to be. */
static const char *watch(struct probe *probe, struct links_socket *self, enum visitor who)
{
    uint64_t denied = self->denied;
    uint64_t end_ms = clock_boot_ms() + PROOF_MS;
    struct slice body;
    while (clock_boot_ms() < end_ms) {
        links_socket_admit(self);
        if (links_socket_receive(self, &body)) {
            return who == VISITOR_NODE ? NULL : "the port for nodes lets strangers in";
        }
        if (turned_away(probe)) {
            bool asked = who != VISITOR_STRANGER || self->denied > denied;
            return who == VISITOR_NODE ? "the port for nodes does not take the cluster's own key"
                   : asked             ? NULL
                                       : "nobody was asked whether a stranger may come in";
        }
        poll(NULL, 0, PROOF_STEP_MS);
    }
    return "the port for nodes did not refuse a stranger in time";
}

static const char *visit(struct links_socket *self, enum visitor who, const char *endpoint)
{
    struct probe probe = {0};
    const char *problem = probe_open(&probe, self, who, endpoint)
                              ? watch(&probe, self, who)
                              : "cannot connect to the port for nodes to try it";
    probe_close(&probe);
    return problem;
}

const char *links_socket_prove(struct links_socket *self)
{
    STEWARD_ASSERT(self->keyed);
    char actual[LINKS_ENDPOINT_BYTES];
    if (links_socket_bind(self, PROOF_LISTEN, actual) != 0) {
        return "cannot listen on 127.0.0.1 to try the port for nodes";
    }
    const char *problem = visit(self, VISITOR_PLAIN, actual);
    problem = problem ? problem : visit(self, VISITOR_STRANGER, actual);
    problem = problem ? problem : visit(self, VISITOR_NODE, actual);
    zmq_unbind(self->router, actual);
    while (links_socket_failed(self)) {
        /* the strangers' handshakes are no news */
    }
    self->denied = 0;
    return problem;
}
