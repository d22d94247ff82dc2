/*
 * The driver: conn on a real socket. Socket and conn are guarded by the client's one mutex, so
 * whoever holds it may send and receive; only waiting for the descriptor happens outside (wait.c).
 *
 * ZMQ_FD is edge-triggered and any call on the socket may eat the edge: so each step ends with
 * ZMQ_EVENTS saying that nothing is there, before anybody polls. The same question tells that the
 * connection came up or went; it costs no more than a receive that says EAGAIN.
 * A cut connection shows as the socket not being writable: with ZMQ_IMMEDIATE and no high-water
 * mark that has no other reason, and the content in flight is bounded by wait_room.
 */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

/* bytes: smaller packets are copied into a ZeroMQ message, larger ones travel in a pooled buffer */
#define SEND_COPY_BYTES 2048

/* count: buffers kept for reuse */
#define SEND_SPARE_MAX 8

/* count: packets received before what they caused is sent */
#define RECEIVE_RUN 64

/* ---- packets ---- */

struct received {
    struct packet packet; /* first */
    struct received *next;
    stw_client *client;
    zmq_msg_t head, body;
};

static void received_release(struct packet *packet)
{
    struct received *received = (struct received *)packet;
    zmq_msg_close(&received->head);
    zmq_msg_close(&received->body);
    received->next = received->client->received_spare;
    received->client->received_spare = received;
}

static struct received *received_new(stw_client *client)
{
    struct received *received = client->received_spare;
    if (received) {
        client->received_spare = received->next;
    } else {
        received = mem_alloc(sizeof *received);
    }
    received->packet = (struct packet){.refs = 1, .release = received_release};
    received->client = client;
    zmq_msg_init(&received->head);
    zmq_msg_init(&received->body);
    return received;
}

/* Buffers of large packets; given back by ZeroMQ's own thread. */
struct send_pool {
    pthread_mutex_t lock;
    struct buf spare[SEND_SPARE_MAX];
    size_t count;
};

struct sent_buffer {
    struct send_pool *pool;
    struct buf buf;
};

static void sent_done(void *data, void *hint)
{
    (void)data;
    struct sent_buffer *sent = hint;
    struct send_pool *pool = sent->pool;
    pthread_mutex_lock(&pool->lock);
    if (pool->count < SEND_SPARE_MAX) {
        pool->spare[pool->count++] = sent->buf;
        sent->buf = (struct buf){0};
    }
    pthread_mutex_unlock(&pool->lock);
    buf_fini(&sent->buf);
    free(sent);
}

/* The scratch head as a message; a large one goes along as it is, and scratch gets another. */
static void head_message(stw_client *client, zmq_msg_t *message)
{
    struct buf *head = &client->head;
    if (head->size <= SEND_COPY_BYTES && zmq_msg_init_size(message, head->size) == 0) {
        memcpy(zmq_msg_data(message), head->data, head->size);
        return;
    }
    struct sent_buffer *sent = mem_alloc(sizeof *sent);
    *sent = (struct sent_buffer){.pool = client->send_pool, .buf = *head};
    *head = (struct buf){0};
    pthread_mutex_lock(&client->send_pool->lock);
    if (client->send_pool->count > 0) {
        *head = client->send_pool->spare[--client->send_pool->count];
    }
    pthread_mutex_unlock(&client->send_pool->lock);
    if (zmq_msg_init_data(message, sent->buf.data, sent->buf.size, sent_done, sent) != 0) {
        abort(); /* out of memory */
    }
}

static bool send_packet(stw_client *client, struct slice body)
{
    zmq_msg_t message;
    head_message(client, &message);
    int flags = ZMQ_DONTWAIT | (body.data ? ZMQ_SNDMORE : 0);
    if (zmq_msg_send(&message, client->socket, flags) < 0) {
        zmq_msg_close(&message);
        return false;
    }
    return body.data == NULL || zmq_send(client->socket, body.data, body.size, ZMQ_DONTWAIT) >= 0;
}

/* ---- the socket ---- */

static void close_socket(stw_client *client, int linger_ms)
{
    if (client->socket) {
        zmq_setsockopt(client->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(client->socket);
    }
    client->socket = NULL;
    client->socket_fd = -1;
    client->connected = false;
}

static void open_socket(stw_client *client, const char *endpoint)
{
    int immediate = 1, none = 0, ipv6 = 1, interval = 100;
    client->socket = zmq_socket(client->context, ZMQ_DEALER);
    if (client->socket == NULL) {
        return;
    }
    zmq_setsockopt(client->socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    zmq_setsockopt(client->socket, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(client->socket, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(client->socket, ZMQ_RCVHWM, &none, sizeof none);
    zmq_setsockopt(client->socket, ZMQ_IPV6, &ipv6, sizeof ipv6);
    zmq_setsockopt(client->socket, ZMQ_RECONNECT_IVL, &interval, sizeof interval);
    size_t size = sizeof client->socket_fd;
    if (zmq_connect(client->socket, endpoint) != 0 ||
        zmq_getsockopt(client->socket, ZMQ_FD, &client->socket_fd, &size) != 0) {
        close_socket(client, 0); /* conn gives the endpoint up after a while */
    }
}

/* The socket that conn wants, and no other. */
static void sync_socket(stw_client *client)
{
    uint64_t generation;
    const char *endpoint = conn_socket(client->conn, &generation);
    if (generation == client->generation) {
        return;
    }
    client->generation = generation;
    close_socket(client, 0);
    if (endpoint) {
        open_socket(client, endpoint);
    }
    driver_kick(client->wake_background); /* those who poll have the old descriptor */
    if (client->poller) {
        driver_kick(client->wake_poller);
    }
}

/* Is there a packet? If not: did the connection come up, or go? What came before its end is read
 * first. */
static bool look_at_socket(stw_client *client, uint64_t now)
{
    int events = 0;
    size_t size = sizeof events;
    if (zmq_getsockopt(client->socket, ZMQ_EVENTS, &events, &size) != 0) {
        return false;
    }
    if (events & ZMQ_POLLIN) {
        return true;
    }
    bool up = (events & ZMQ_POLLOUT) != 0;
    if (up == client->connected) {
        return false;
    }
    client->connected = up;
    if (up) {
        conn_connected(client->conn, now);
    } else {
        conn_disconnected(client->conn, now);
    }
    return false;
}

/* One packet; false: none there. */
static bool receive_packet(stw_client *client, uint64_t now)
{
    struct received *received = received_new(client);
    if (zmq_msg_recv(&received->head, client->socket, ZMQ_DONTWAIT) < 0) {
        packet_release(&received->packet);
        return false;
    }
    bool good = true;
    if (zmq_msg_more(&received->head)) {
        zmq_msg_recv(&received->body, client->socket, ZMQ_DONTWAIT);
        received->packet.body =
            slice_of(zmq_msg_data(&received->body), zmq_msg_size(&received->body));
        zmq_msg_t rest;
        for (bool more = zmq_msg_more(&received->body); more; good = false) {
            zmq_msg_init(&rest);
            zmq_msg_recv(&rest, client->socket, ZMQ_DONTWAIT);
            more = zmq_msg_more(&rest);
            zmq_msg_close(&rest);
        }
    }
    received->packet.head = slice_of(zmq_msg_data(&received->head), zmq_msg_size(&received->head));
    if (good) {
        conn_receive(client->conn, now, &received->packet);
    } else {
        conn_disconnected(client->conn, now);
    }
    packet_release(&received->packet);
    return true;
}

/* Receives a bounded run; true: there may be more. */
static bool receive_run(stw_client *client, uint64_t now)
{
    for (int i = 0; i < RECEIVE_RUN; i++) {
        uint64_t generation;
        conn_socket(client->conn, &generation);
        if (client->socket == NULL || generation != client->generation) {
            return false;
        }
        if (!look_at_socket(client, now) || !receive_packet(client, now)) {
            return false;
        }
    }
    return true;
}

static bool send_all(stw_client *client, uint64_t now)
{
    struct slice body;
    bool any = false;
    while (client->connected && conn_next_packet(client->conn, now, &client->head, &body)) {
        any = true;
        if (!send_packet(client, body)) {
            conn_disconnected(client->conn, now);
            break;
        }
    }
    client->flush_armed = false;
    return any;
}

static bool wants_send(const stw_client *client, bool flush)
{
    return client->connected && (flush || client->flush_now || conn_urgent(client->conn) ||
                                 conn_pending_bytes(client->conn) >= LIMIT_PACKET_BYTES);
}

void driver_step(stw_client *client, bool flush)
{
    uint64_t now = driver_now();
    if (client->closed) {
        return;
    }
    for (bool again = true; again;) {
        sync_socket(client);
        again = receive_run(client, now);
        conn_tick(client->conn, now);
        if (wants_send(client, flush)) {
            client->flush_now = false;
            again = send_all(client, now) || again;
        }
        uint64_t generation;
        conn_socket(client->conn, &generation);
        again = again || generation != client->generation;
    }
    if (flush) {
        client->flush_armed = false; /* without a connection too: WELCOME flushes */
    }
    wait_check_room(client);
}

void driver_submitted(stw_client *client)
{
    if (conn_pending_bytes(client->conn) >= LIMIT_PACKET_BYTES) {
        driver_step(client, true);
    } else if (!client->flush_armed) {
        client->flush_armed = true;
        client->flush_at_ms = driver_now() + client->flush_ms;
    }
}

/* A call that waits has flushed by now; only what others left behind needs the background thread,
 * once for each pending packet. */
void driver_leaving(stw_client *client)
{
    if (client->flush_armed && client->background_wake_ms > client->flush_at_ms) {
        client->background_wake_ms = client->flush_at_ms;
        driver_kick(client->wake_background);
    }
}

void driver_changed(stw_client *client)
{
    client->flush_now = true;
    atomic_store(&client->session, conn_session(client->conn));
    atomic_store(&client->sessions_lost, conn_sessions_lost(client->conn));
    wait_wake(client, client->conn);
}

/* ---- start and stop ---- */

uint64_t driver_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void driver_kick(int fd)
{
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof one);
    (void)written; /* full means: already kicked */
}

int driver_start(stw_client *client)
{
    client->socket_fd = -1;
    client->wake_background = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    client->wake_poller = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    client->context = zmq_ctx_new();
    if (client->wake_background < 0 || client->wake_poller < 0 || client->context == NULL) {
        return STW_ENOMEM;
    }
    client->send_pool = mem_zalloc(1, sizeof *client->send_pool);
    pthread_mutex_init(&client->send_pool->lock, NULL);
    client->started = pthread_create(&client->background, NULL, background_main, client) == 0;
    return client->started ? 0 : STW_ENOMEM;
}

void driver_stop(stw_client *client, uint64_t linger_ms)
{
    if (client->started) {
        pthread_mutex_lock(&client->lock);
        client->stop = true;
        pthread_mutex_unlock(&client->lock);
        driver_kick(client->wake_background);
        pthread_join(client->background, NULL);
    }
    close_socket(client, (int)linger_ms);
    if (client->context) {
        zmq_ctx_term(client->context);
        client->context = NULL;
    }
}

void driver_free(stw_client *client)
{
    if (client->wake_background > 0) {
        close(client->wake_background);
    }
    if (client->wake_poller > 0) {
        close(client->wake_poller);
    }
    if (client->send_pool) {
        for (size_t i = 0; i < client->send_pool->count; i++) {
            buf_fini(&client->send_pool->spare[i]);
        }
        pthread_mutex_destroy(&client->send_pool->lock);
        free(client->send_pool);
    }
    while (client->received_spare) {
        struct received *received = client->received_spare;
        client->received_spare = received->next;
        free(received);
    }
    buf_fini(&client->head);
}
