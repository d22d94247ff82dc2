/*
 * The nodes of a cluster as options name them: `1=host:port,2=host:port`. Pure.
 */
#ifndef BROKER_SHELL_PEERS_H
#define BROKER_SHELL_PEERS_H

#include "common/base/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* id: consensus keeps the two highest bits for itself */
#define PEERS_NODE_MAX ((1ULL << 62) - 1)

struct peer {
    uint64_t node;                              /* 1 .. PEERS_NODE_MAX */
    char address[LIMIT_LINK_ADDRESS_BYTES + 1]; /* tcp://HOST:PORT */
};

struct peers {
    size_t count;
    struct peer list[LIMIT_NODES]; /* as they stand in the text; ids and addresses differ */
};

/* Reads such a list. NULL, or what is wrong with it (a static sentence). */
const char *peers_parse(struct peers *out, const char *text);

/* HOST:PORT or tcp://HOST:PORT as an address. NULL, or what is wrong (a static sentence). */
const char *peers_address(char out[LIMIT_LINK_ADDRESS_BYTES + 1], const char *text);

/* NULL: no such node. Borrowed. */
const struct peer *peers_find(const struct peers *peers, uint64_t node);

/* true if all addresses are of the loopback. */
bool peers_local(const struct peers *peers);

/* Where a node of that address listens when nothing else is said: there, when it is numeric; behind
 * a name, on all IPv4 addresses of the host, since a name is nothing one can bind. */
void peers_listen(char out[LIMIT_LINK_ADDRESS_BYTES + 1], const char *address);

#endif
