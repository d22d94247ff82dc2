/*
 * The ROUTER socket: packets in and out as raw zmq_msg_t, and news of closed connections from its
 * monitor. One owner thread.
 */
#ifndef BROKER_SHELL_SOCKET_H
#define BROKER_SHELL_SOCKET_H

#include "broker/gateway/gateway.h"

#include <zmq.h>

/* count: frames of a packet that are looked at; two are allowed, a third shows what is wrong */
#define SOCKET_FRAMES 3

/* bytes: an endpoint as libzmq prints it */
#define SOCKET_ENDPOINT_BYTES 1024

struct socket {
    void *context;
    void *router;
    void *monitor; /* PAIR on which libzmq reports closed connections */
    zmq_msg_t peer;
    zmq_msg_t frames[SOCKET_FRAMES];
    uint64_t skipped; /* frames beyond SOCKET_FRAMES, dropped unread */
};

/* A packet, borrowed from the socket until its next receive. */
struct packet {
    struct slice peer;
    struct slice frames[SOCKET_FRAMES];
    size_t count;   /* 1 .. SOCKET_FRAMES */
    size_t bytes;   /* of all frames */
    int descriptor; /* of the connection; -1: unknown */
};

enum socket_event { SOCKET_NOTHING = 0, SOCKET_CLOSED, SOCKET_HANDSHAKE_FAILED };

/* Opens context, ROUTER and monitor; larger frames than body_max and a packet's head allow cut the
 * connection. NULL, or a static sentence. */
const char *socket_open(struct socket *socket, uint64_t body_max);

/* Listens; actual gets the endpoint with the real port. 0, or an errno of libzmq's. */
int socket_listen(struct socket *socket, const char *endpoint, char actual[SOCKET_ENDPOINT_BYTES]);

/* The next packet; false: none is there (or the context ends). Never waits. */
bool socket_receive(struct socket *socket, struct packet *packet);

/* gateway_host.send; context is the struct socket. */
enum send_result socket_send(void *context, struct slice peer, struct slice head,
                             struct slice body);

/* The next thing the monitor saw; value: the descriptor of a closed connection. */
enum socket_event socket_event_next(struct socket *socket, int *value);

/* Is a packet there? Also lets libzmq take note of what its I/O thread reported, so that sends see
 * who is gone. */
bool socket_readable(struct socket *socket);

/* The descriptors to poll. They are edge-triggered, and any call on the socket may eat the edge: so
 * poll the router's only after socket_readable said no, the monitor's after SOCKET_NOTHING. */
int socket_router_fd(struct socket *socket);
int socket_monitor_fd(struct socket *socket);

/* Stops listening and closes; waits up to linger_ms for what is not sent yet. */
void socket_close(struct socket *socket, int linger_ms);

#endif
