/*
 * The sockets of links: a context of their own, so that a fleet of clients does not delay the pulse
 * of a cluster and a name server that hangs (libzmq resolves names in its I/O thread) hurts nobody
 * else; the ROUTER, the handler that says who may come in, and DEALERs. One owner thread.
 */
#ifndef BROKER_SHELL_LINKS_SOCKET_H
#define BROKER_SHELL_LINKS_SOCKET_H

#include "broker/shell/cluster_key.h"
#include "common/base/slice.h"

#include <zmq.h>

/* bytes: an endpoint as libzmq prints it */
#define LINKS_ENDPOINT_BYTES 1024

struct links_socket {
    void *context;
    void *router;
    void *monitor; /* PAIR on which libzmq reports handshakes that failed */
    void *zap;     /* REP that libzmq asks who may come in; NULL without a key */
    bool keyed;
    struct cluster_key key;
    zmq_msg_t peer;
    zmq_msg_t body;
    uint64_t denied;  /* by the handler */
    uint64_t skipped; /* frames beyond the second, dropped unread */
};

/* Opens context, handler, monitor and ROUTER (not bound). key NULL: none; else it is copied.
 * frame_max: bytes, larger ones cut the connection.
 * NULL, or a static sentence. */
const char *links_socket_open(struct links_socket *socket, const struct cluster_key *key,
                              uint64_t frame_max);

/* Binds; actual gets the endpoint with the real port. 0, or an errno of libzmq's. */
int links_socket_bind(struct links_socket *socket, const char *endpoint,
                      char actual[LINKS_ENDPOINT_BYTES]);

/* A DEALER that connects to an address, to be closed by the caller; NULL: libzmq refuses it. */
void *links_socket_connect(struct links_socket *socket, const char *address);

/* The next message's body, borrowed until the next call; false: there is none. */
bool links_socket_receive(struct links_socket *socket, struct slice *body);

/* Sends bytes that came from malloc, and frees them in any case. false: nobody took them. */
bool links_socket_send(void *dealer, uint8_t *bytes, size_t size);

/* Answers everybody who asks to come in, by the key. */
void links_socket_admit(struct links_socket *socket);

/* true: the monitor saw a handshake that failed. */
bool links_socket_failed(struct links_socket *socket);

/* A socket's ZMQ_EVENTS has ZMQ_POLLIN. */
bool links_socket_readable(void *socket);

/* A socket's descriptor; edge-triggered. */
int links_socket_fd(void *socket);

void links_socket_close(struct links_socket *socket);

/*
 * Lets strangers (with no key, with a key of their own) and a friend knock at the ROUTER, on a port
 * of the loopback. NULL: the first were refused and the friend was heard. Else a static sentence.
 * Blocks, mostly for milliseconds, at most some seconds. Only with a key, before the real bind.
 */
const char *links_socket_prove(struct links_socket *socket);

#endif
