/* The nodes of a cluster as options name them. */
#include "broker/shell/peers.h"

#include "broker/shell/endpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "tcp://"

const char *peers_address(char out[LIMIT_LINK_ADDRESS_BYTES + 1], const char *text)
{
    bool whole = strncmp(text, SCHEME, strlen(SCHEME)) == 0;
    int size = snprintf(out, LIMIT_LINK_ADDRESS_BYTES + 1, "%s%s", whole ? "" : SCHEME, text);
    if (size < 0 || size > LIMIT_LINK_ADDRESS_BYTES) {
        return "an address is too long";
    }
    for (const char *at = out; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return "an address has a blank or a character that is not ASCII";
        }
    }
    return strchr(out + strlen(SCHEME), '/') || endpoint_problem(out)
               ? "a node is ID=HOST:PORT, and an address HOST:PORT"
           : out[size - 1] == '*' ? "a node's port is a number, so that others can find it"
                                  : NULL;
}

/* One ID=HOST:PORT, which is `size` bytes of text. */
static const char *parse_one(struct peer *out, const char *text, size_t size)
{
    char item[LIMIT_LINK_ADDRESS_BYTES + 32];
    char *end = NULL;
    if (size >= sizeof item) {
        return "an address is too long";
    }
    memcpy(item, text, size);
    item[size] = '\0';
    errno = 0;
    out->node = item[0] >= '0' && item[0] <= '9' ? strtoull(item, &end, 10) : 0;
    if (end == NULL || *end != '=') {
        return "a node is ID=HOST:PORT";
    }
    if (errno != 0 || out->node == 0 || out->node > PEERS_NODE_MAX) {
        return "a node's id is a whole number from 1 on";
    }
    return peers_address(out->address, end + 1);
}

static const char *twice(const struct peers *peers, const struct peer *added)
{
    for (const struct peer *peer = peers->list; peer < added; peer++) {
        if (peer->node == added->node) {
            return "an id is there twice";
        }
        if (strcmp(peer->address, added->address) == 0) {
            return "an address is there twice";
        }
    }
    return NULL;
}

const char *peers_parse(struct peers *out, const char *text)
{
    out->count = 0;
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        if (out->count == LIMIT_NODES) {
            return "there are too many nodes";
        }
        struct peer *peer = &out->list[out->count];
        const char *problem = parse_one(peer, at, comma ? (size_t)(comma - at) : strlen(at));
        problem = problem ? problem : twice(out, peer);
        if (problem) {
            return problem;
        }
        out->count++;
        at = comma ? comma + 1 : NULL;
    }
    return NULL;
}

const struct peer *peers_find(const struct peers *peers, uint64_t node)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->list[i].node == node) {
            return &peers->list[i];
        }
    }
    return NULL;
}

bool peers_local(const struct peers *peers)
{
    bool local = true;
    for (size_t i = 0; i < peers->count; i++) {
        local = local && endpoint_is_local(peers->list[i].address);
    }
    return local;
}

void peers_listen(char out[LIMIT_LINK_ADDRESS_BYTES + 1], const char *address)
{
    bool numeric = endpoint_is_ipv4(address) || address[strlen(SCHEME)] == '[';
    const char *port = strrchr(address, ':');
    if (numeric) {
        memcpy(out, address, strlen(address) + 1);
    } else {
        snprintf(out, LIMIT_LINK_ADDRESS_BYTES + 1, "%s0.0.0.0%s", SCHEME, port);
    }
}
