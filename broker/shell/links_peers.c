/*
 * The table of links: who is known, where, whether they are heard, and the pulse that tells others
 * that we are here. Addresses from the network are checked as text before libzmq sees them; without
 * a key only those of the loopback are used.
 */
#include "broker/shell/links_parts.h"

#include "broker/shell/endpoint.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

/* milliseconds: a pulse that nobody took is tried again after this: a connection is being made */
#define PEERS_RETRY_MS 50

/* milliseconds: what an ended process had sent may still arrive for so long after its successor */
#define PEERS_STALE_MS 3000

struct link *links_find(const struct links *links, uint64_t node)
{
    for (size_t i = 0; i < links->count; i++) {
        if (links->links[i]->node == node) {
            return links->links[i];
        }
    }
    return NULL;
}

void links_note(struct links *links, enum link_event event, uint64_t node, const char *reason)
{
    if (links->news_count == LINKS_NEWS) {
        links->counters.news_lost++;
        return;
    }
    size_t at = (links->news_first + links->news_count++) % LINKS_NEWS;
    const struct link *link = links_find(links, node);
    links->news[at] = (struct link_news){.event = event, .node = node, .reason = reason};
    if (link) {
        memcpy(links->news[at].address, link->address, sizeof link->address);
    }
}

/* ---- addresses ------------------------------------------------------------------------------ */

static void copy_text(char out[LIMIT_LINK_ADDRESS_BYTES + 1], struct slice text)
{
    STEWARD_ASSERT(text.size <= LIMIT_LINK_ADDRESS_BYTES);
    if (text.size > 0) {
        memcpy(out, text.data, text.size);
    }
    out[text.size] = '\0';
}

/* Can a node be reached there, and may it be? */
static bool usable(const struct links *links, const char *address)
{
    size_t size = strlen(address);
    return strncmp(address, "tcp://", 6) == 0 && endpoint_problem(address) == NULL &&
           address[size - 1] != '*' && (links->socket.keyed || endpoint_is_local(address));
}

static void move(struct links *links, struct link *link, const char *address)
{
    if (link->dealer) {
        zmq_close(link->dealer);
    }
    copy_text(link->address, slice_str(address));
    link->dealer = links_socket_connect(&links->socket, address);
    link->pulse_ms = 0;
}

struct link *links_add(struct links *links, uint64_t node, const char *address, bool configured)
{
    if (links->count == LIMIT_LINKS) {
        return NULL;
    }
    struct link *link = mem_zalloc(1, sizeof *link);
    link->node = node;
    link->configured = configured;
    move(links, link, address);
    links->links[links->count++] = link;
    return link;
}

void links_drop(struct links *links, size_t i)
{
    struct link *link = links->links[i];
    if (link->dealer) {
        zmq_close(link->dealer);
    }
    buf_fini(&link->out);
    free(link);
    links->links[i] = links->links[--links->count];
}

struct link *links_learn(struct links *links, uint64_t node, struct slice told, bool itself)
{
    struct link *link = links_find(links, node);
    if (link && (link->configured || !itself || slice_equal(told, slice_str(link->address)))) {
        return link;
    }
    char address[LIMIT_LINK_ADDRESS_BYTES + 1];
    copy_text(address, told);
    if (!usable(links, address)) {
        return link;
    }
    if (link) {
        move(links, link, address);
        links_note(links, LINK_MOVED, node, "");
        return link;
    }
    link = links_add(links, node, address, false);
    if (link) {
        links_note(links, LINK_LEARNED, node, itself ? "itself" : "neighbour");
    }
    return link;
}

/* ---- who is heard --------------------------------------------------------------------------- */

/*
 * Which process speaks under the id. The newest is the one; what an older one had sent may come
 * late and is dropped. When the older one goes on, the operator has started a node twice.
 */
static bool run_current(struct links *links, struct link *link, uint64_t run, uint64_t now_ms)
{
    if (run == link->run) {
        return true;
    }
    if (run == link->run_before) {
        if (now_ms > link->run_ms + PEERS_STALE_MS && !link->twice) {
            link->twice = true;
            links_note(links, LINK_TWICE, link->node, "");
        }
        return false;
    }
    if (link->run != 0) {
        links_note(links, LINK_RESTARTED, link->node, "");
    }
    link->run_before = link->run;
    link->run = run;
    link->run_ms = now_ms;
    link->twice = false;
    return true;
}

bool links_hear(struct links *links, struct link *link, const struct envelope *envelope,
                uint64_t now_ms)
{
    if (!run_current(links, link, envelope->run, now_ms)) {
        return false;
    }
    copy_text(link->endpoint, envelope->endpoint);
    link->heard_ms = now_ms;
    if (!link->up) {
        link->up = true;
        links_note(links, LINK_UP, link->node, "");
    }
    return true;
}

/* ---- pulse ---------------------------------------------------------------------------------- */

bool links_transmit(struct links *links, struct link *link)
{
    if (link->out.size == 0) {
        return true;
    }
    bool taken = link->dealer && links_socket_send(link->dealer, link->out.data, link->out.size);
    if (link->dealer == NULL) {
        buf_fini(&link->out);
    }
    buf_init(&link->out); /* the bytes were given away */
    links->counters.envelopes_out += taken ? 1 : 0;
    return taken;
}

/* An envelope without messages: that we live, and whom we hear. */
static bool pulse(struct links *links, struct link *link)
{
    struct envelope envelope = {.from = links->node,
                                .to = link->node,
                                .run = links->run,
                                .address = slice_str(links->address),
                                .endpoint = slice_str(links->endpoint)};
    for (size_t i = 0; i < links->count && envelope.neighbours_count < LIMIT_NODES; i++) {
        struct link *other = links->links[i];
        if (other->up && other != link) {
            envelope.neighbours[envelope.neighbours_count++] = (struct envelope_neighbour){
                .node = other->node, .address = slice_str(other->address)};
        }
    }
    STEWARD_ASSERT(link->out.size == 0);
    envelope_begin(&link->out, &envelope);
    return links_transmit(links, link);
}

void links_jumped(struct links *links, uint64_t by_ms)
{
    for (size_t i = 0; i < links->count; i++) {
        struct link *link = links->links[i];
        link->heard_ms += link->heard_ms > 0 ? by_ms : 0;
        link->run_ms += by_ms;
    }
}

void links_pulse(struct links *links, uint64_t now_ms)
{
    for (size_t i = links->count; i-- > 0;) {
        struct link *link = links->links[i];
        if (now_ms >= link->pulse_ms) {
            link->pulse_ms = now_ms + (pulse(links, link) ? LIMIT_LINK_PULSE_MS : PEERS_RETRY_MS);
        }
        if (link->up && now_ms > link->heard_ms + LIMIT_LINK_SILENT_MS) {
            link->up = false;
            links_note(links, LINK_DOWN, link->node, "");
        }
        link->heard_ms = link->heard_ms == 0 ? now_ms : link->heard_ms;
        if (!link->configured && now_ms > link->heard_ms + LIMIT_LINK_FORGET_MS) {
            links_note(links, LINK_FORGOTTEN, link->node, "");
            links_drop(links, i);
        }
    }
}
