/*
 * Links between nodes: opening, receiving, sending. A turn of the owner is
 *
 *     links_receive until it says no ... links_send ... links_flush ... links_waiting, poll
 *
 * Fails how: opening says a sentence. Afterwards nothing fails: what cannot be sent is dropped and
 * counted, what is not as it has to be is dropped, counted and told (links_news).
 */
#include "broker/shell/links.h"

#include "broker/shell/endpoint.h"
#include "broker/shell/links_parts.h"
#include "broker/shell/system.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* count and bytes: taken in one turn; then everybody else has theirs */
#define LINKS_TURN_ENVELOPES 256
#define LINKS_TURN_BYTES     (16 * 1024 * 1024)

/* bytes: the largest message when the options do not say */
#define LINKS_MESSAGE_BYTES (4 * 1024 * 1024)

/* ---- open and close ------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static bool fail(struct links_error *error,
                                                       const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(error->text, sizeof error->text, format, list);
    va_end(list);
    return false;
}

static bool address_valid(const char *address, bool keyed, struct links_error *error)
{
    const char *problem = strncmp(address, "tcp://", 6) != 0 ? "nodes talk over tcp:// only"
                          : strlen(address) > LIMIT_LINK_ADDRESS_BYTES ? "the address is too long"
                                                                       : endpoint_problem(address);
    if (problem) {
        return fail(error, "%.200s: %s", address, problem);
    }
    if (!keyed && !endpoint_is_local(address)) {
        return fail(error,
                    "%.200s is not of the loopback: nodes on several hosts need a cluster key "
                    "(stewardd keygen FILE makes one, --cluster-key FILE names it)",
                    address);
    }
    return true;
}

static bool options_valid(const struct links_options *options, struct links_error *error)
{
    bool keyed = options->key != NULL;
    STEWARD_ASSERT(options->node > 0);
    bool valid = address_valid(options->listen, keyed, error);
    for (size_t i = 0; i < options->peers_count && valid; i++) {
        const struct link_peer *peer = &options->peers[i];
        STEWARD_ASSERT(peer->node > 0);
        valid = address_valid(peer->address, keyed, error);
        for (size_t k = 0; k < i && valid; k++) {
            valid = options->peers[k].node != peer->node || fail(error, "a node is listed twice");
        }
    }
    valid = valid && (options->peers_count <= LIMIT_LINKS || fail(error, "too many nodes"));
    bool texts = !options->address || strlen(options->address) <= LIMIT_LINK_ADDRESS_BYTES;
    texts = texts && (!options->endpoint || strlen(options->endpoint) <= LIMIT_LINK_ADDRESS_BYTES);
    return valid && (texts || fail(error, "an address to tell others is too long"));
}

/* An address with a port, as others can use it; not 0.0.0.0, which is nobody's. */
static void tell_address(struct links *links, const struct links_options *options)
{
    bool specific = endpoint_is_specific(links->listening);
    const char *address = options->address ? options->address : specific ? links->listening : "";
    snprintf(links->address, sizeof links->address, "%.*s", LIMIT_LINK_ADDRESS_BYTES, address);
    snprintf(links->endpoint, sizeof links->endpoint, "%s",
             options->endpoint ? options->endpoint : "");
}

static bool open_sockets(struct links *links, const struct links_options *options,
                         struct links_error *error)
{
    uint64_t frame_max = links->message_max + LIMIT_LINK_PACKET_BYTES + LIMIT_LINK_SLACK_BYTES;
    const char *problem = links_socket_open(&links->socket, options->key, frame_max);
    if (problem == NULL && options->key) {
        problem = links_socket_prove(&links->socket);
    }
    if (problem) {
        return fail(error, "%s", problem);
    }
    int code = links_socket_bind(&links->socket, options->listen, links->listening);
    return code == 0 ||
           fail(error, "cannot listen for nodes on %.200s: %s%s", options->listen,
                zmq_strerror(code), code == EADDRINUSE ? " (does another node run there?)" : "");
}

static bool connect_all(struct links *links, const struct links_options *options,
                        struct links_error *error)
{
    for (size_t i = 0; i < options->peers_count; i++) {
        const struct link_peer *peer = &options->peers[i];
        if (peer->node == links->node) {
            continue;
        }
        const struct link *link = links_add(links, peer->node, peer->address, true);
        if (link == NULL || link->dealer == NULL) {
            return fail(error, "cannot connect to node %llu at %.200s: %s",
                        (unsigned long long)peer->node, peer->address, zmq_strerror(zmq_errno()));
        }
    }
    return true;
}

struct links *links_open(const struct links_options *options, struct links_error *error)
{
    if (!options_valid(options, error)) {
        return NULL;
    }
    struct links *links = mem_zalloc(1, sizeof *links);
    links->node = options->node;
    links->message_max = options->message_max ? options->message_max : LINKS_MESSAGE_BYTES;
    links->attend = true; /* sockets that were never read give no edge */
    while (links->run == 0) {
        system_random(&links->run, sizeof links->run);
    }
    if (!open_sockets(links, options, error) || !connect_all(links, options, error)) {
        links_close(&links);
        return NULL;
    }
    tell_address(links, options);
    return links;
}

void links_close(struct links **links_p)
{
    struct links *links = *links_p;
    if (links == NULL) {
        return;
    }
    while (links->count > 0) {
        links_drop(links, links->count - 1);
    }
    links_socket_close(&links->socket);
    free(links);
    *links_p = NULL;
}

void links_advertise(struct links *links, const char *endpoint)
{
    size_t size = strlen(endpoint);
    STEWARD_ASSERT(size <= LIMIT_LINK_ADDRESS_BYTES);
    memcpy(links->endpoint, endpoint, size + 1);
}

/* ---- receiving ------------------------------------------------------------------------------ */

/* Those who want to come in, and those who did not manage to. */
static void attend(struct links *links)
{
    bool failed = false;
    links->attend = false;
    links_socket_admit(&links->socket);
    while (links_socket_failed(&links->socket)) {
        links->counters.denied++;
        failed = true;
    }
    if (failed) {
        bool stranger = links->socket.denied > links->denied;
        links->denied = links->socket.denied;
        links_note(links, LINK_DENIED, 0, stranger ? "another_key" : "no_handshake");
    }
}

static void refuse(struct links *links, uint64_t node, const char *reason)
{
    links->counters.refused++;
    if (links->news_count < LINKS_NEWS / 2) { /* a flood of these must not hide the others */
        links_note(links, LINK_REFUSED, node, reason);
    }
}

/* Somebody says that they are us. */
static void hear_ourselves(struct links *links, uint64_t now_ms)
{
    links->counters.refused++;
    if (links->told_twice_ms == 0 || now_ms > links->told_twice_ms + LIMIT_LINK_FORGET_MS) {
        links->told_twice_ms = now_ms;
        links_note(links, LINK_TWICE, links->node, "ours");
    }
}

/* Takes note of who speaks. false: it is not to be listened to. */
static bool accept(struct links *links, const struct envelope *envelope, uint64_t now_ms)
{
    if (envelope->from == links->node) {
        hear_ourselves(links, now_ms);
        return false;
    }
    if (envelope->to != links->node) {
        refuse(links, envelope->from, "misdirected");
        return false;
    }
    struct link *link = links_learn(links, envelope->from, envelope->address, true);
    if (link == NULL) {
        refuse(links, envelope->from, "address_not_usable");
        return false;
    }
    if (!links_hear(links, link, envelope, now_ms)) {
        links->counters.refused++;
        return false;
    }
    for (size_t i = 0; i < envelope->neighbours_count; i++) {
        const struct envelope_neighbour *neighbour = &envelope->neighbours[i];
        if (neighbour->node != links->node) {
            links_learn(links, neighbour->node, neighbour->address, false);
        }
    }
    return true;
}

/* Receives one envelope, whose messages are then to be handed over. false: none, or enough. */
static bool next_envelope(struct links *links, uint64_t now_ms)
{
    struct slice body;
    struct envelope envelope;
    links->messages = slice_of(NULL, 0);
    if (links->turn_envelopes >= LINKS_TURN_ENVELOPES || links->turn_bytes >= LINKS_TURN_BYTES ||
        !links_socket_receive(&links->socket, &body)) {
        return false;
    }
    links->turn_envelopes++;
    links->turn_bytes += body.size;
    links->counters.envelopes_in++;
    const char *problem = envelope_read(&envelope, body);
    if (problem) {
        refuse(links, 0, problem);
    } else if (accept(links, &envelope, now_ms)) {
        links->from = envelope.from;
        links->messages = envelope.messages;
    }
    return true;
}

bool links_receive(struct links *links, uint64_t now_ms, uint64_t *from, struct slice *bytes)
{
    if (links->attend) {
        attend(links);
    }
    while (!envelope_next(&links->messages, bytes)) {
        if (!next_envelope(links, now_ms)) {
            return false;
        }
    }
    *from = links->from;
    return true;
}

bool links_waiting(struct links *links)
{
    return links->attend || links->messages.size > 0 || links_socket_readable(links->socket.router);
}

/* ---- sending -------------------------------------------------------------------------------- */

void links_send(struct links *links, uint64_t node, struct slice bytes)
{
    STEWARD_ASSERT(bytes.size > 0 && bytes.size <= links->message_max);
    struct link *link = links_find(links, node);
    if (link == NULL) {
        links->counters.unknown++;
        return;
    }
    if (link->out.size > 0 && link->out.size + bytes.size > LIMIT_LINK_PACKET_BYTES &&
        !links_transmit(links, link)) {
        links->counters.unsent++;
    }
    if (link->out.size == 0) {
        struct envelope envelope = {.from = links->node,
                                    .to = node,
                                    .run = links->run,
                                    .address = slice_str(links->address),
                                    .endpoint = slice_str(links->endpoint)};
        envelope_begin(&link->out, &envelope);
    }
    envelope_add(&link->out, bytes);
}

void links_flush(struct links *links, uint64_t now_ms)
{
    for (size_t i = 0; i < links->count; i++) {
        if (!links_transmit(links, links->links[i])) {
            links->counters.unsent++;
        }
    }
    links_pulse(links, now_ms);
    links->turn_envelopes = 0;
    links->turn_bytes = 0;
}

uint64_t links_deadline(const struct links *links)
{
    uint64_t due_ms = UINT64_MAX;
    for (size_t i = 0; i < links->count; i++) {
        due_ms = links->links[i]->pulse_ms < due_ms ? links->links[i]->pulse_ms : due_ms;
    }
    return due_ms;
}

/* ---- looking -------------------------------------------------------------------------------- */

const char *links_address(const struct links *links)
{
    return links->address;
}

const char *links_listening(const struct links *links)
{
    return links->listening;
}

void links_descriptors(const struct links *links, int out[LINKS_DESCRIPTORS])
{
    out[0] = links_socket_fd(links->socket.router);
    out[1] = links_socket_fd(links->socket.monitor);
    out[2] = links->socket.zap ? links_socket_fd(links->socket.zap) : -1;
}

void links_attend(struct links *links)
{
    links->attend = true;
}

struct slice links_endpoint(const struct links *links, uint64_t node)
{
    const struct link *link = links_find(links, node);
    return link                  ? slice_str(link->endpoint)
           : node == links->node ? slice_str(links->endpoint)
                                 : slice_of(NULL, 0);
}

bool links_look(const struct links *links, size_t i, struct link_view *view)
{
    if (i >= links->count) {
        return false;
    }
    const struct link *link = links->links[i];
    *view = (struct link_view){.node = link->node,
                               .address = link->address,
                               .endpoint = link->endpoint,
                               .configured = link->configured,
                               .up = link->up};
    return true;
}

bool links_news(struct links *links, struct link_news *news)
{
    if (links->news_count == 0) {
        return false;
    }
    *news = links->news[links->news_first];
    links->news_first = (links->news_first + 1) % LINKS_NEWS;
    links->news_count--;
    return true;
}

void links_counters(const struct links *links, struct links_counters *out)
{
    *out = links->counters;
}
