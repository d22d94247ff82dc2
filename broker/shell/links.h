/*
 * Links between the nodes of a cluster: messages of the journal, from node to node, over ZeroMQ.
 *
 * Each node has one ROUTER, on which it hears all others, and one DEALER to each, on which it
 * speaks; a connection carries data one way. With a key everything is CURVE: every node has the
 * same key pair, and nobody else is let in. Opening proves that before the port can be reached:
 * strangers try on a port of the loopback, and have to fail.
 *
 * What is sent may be lost: there is no connection yet, or the other node does not keep up. What
 * arrives is in order as long as a connection lasts. Both is consensus' ordinary life. One thing
 * more is told with each message: where the sender's clients find it.
 *
 * Addresses of configured nodes stand; those of others are learned: from themselves, and from nodes
 * that hear them. One owner thread; nothing here waits, except for opening (the proof takes
 * milliseconds, at most some seconds).
 */
#ifndef BROKER_SHELL_LINKS_H
#define BROKER_SHELL_LINKS_H

#include "broker/shell/cluster_key.h"
#include "common/base/limits.h"
#include "common/base/slice.h"

struct links;

/* count: what links_descriptors gives */
#define LINKS_DESCRIPTORS 3

struct link_peer {
    uint64_t node;       /* > 0 */
    const char *address; /* tcp://HOST:PORT */
};

/* Everything is borrowed until links_open returns. */
struct links_options {
    uint64_t node;                 /* ours, > 0 */
    const char *listen;            /* tcp://ADDRESS:PORT to bind; port * takes a free one */
    const struct link_peer *peers; /* ourselves among them is skipped */
    size_t peers_count;
    const struct cluster_key *key; /* NULL: none, and nothing beyond the loopback is allowed */
    const char *address;           /* where other nodes reach us; NULL: what is bound */
    const char *endpoint;          /* where clients reach us; NULL or "": is not told */
    uint64_t message_max;          /* bytes: the largest message of links_send; 0: 4 MiB */
};

struct links_error {
    char text[512]; /* a sentence without the program's name */
};

enum link_event {
    LINK_UP,        /* a node is heard (again) */
    LINK_DOWN,      /* a node was not heard for LIMIT_LINK_SILENT_MS */
    LINK_RESTARTED, /* a node speaks as a new process */
    LINK_LEARNED,   /* a node that nobody configured: there is a link to it now */
    LINK_MOVED,     /* such a node told another address */
    LINK_FORGOTTEN, /* such a node was silent for LIMIT_LINK_FORGET_MS */
    LINK_TWICE,   /* two processes speak under one id (ours, perhaps): a mistake of the operator */
    LINK_REFUSED, /* an envelope was dropped; reason says why; node is who it says it is, or 0 */
    LINK_DENIED,  /* somebody without the cluster's key was not let in, or did not finish */
};

struct link_news {
    enum link_event event;
    uint64_t node;      /* 0: not known */
    const char *reason; /* a static word; "" */
    char address[LIMIT_LINK_ADDRESS_BYTES + 1];
};

/* A link as it is now; texts are borrowed until the next call on the links. */
struct link_view {
    uint64_t node;
    const char *address;
    const char *endpoint; /* told by the node; "": not known */
    bool configured;
    bool up;
};

struct links_counters {
    uint64_t envelopes_in;
    uint64_t envelopes_out;
    uint64_t refused;   /* envelopes dropped for what they are */
    uint64_t unsent;    /* messages that no connection, or a full one, did not take */
    uint64_t unknown;   /* messages to nodes without a link */
    uint64_t denied;    /* strangers that the key kept out */
    uint64_t news_lost; /* nobody asked in time */
};

/* Binds, proves, connects. NULL, with a sentence, when something of it is not possible. */
struct links *links_open(const struct links_options *options, struct links_error *error);

/* Closes at once: what is not on its way is lost. Nulls the caller's pointer. */
void links_close(struct links **links);

/* Says from now on that clients reach this node there; at most LIMIT_LINK_ADDRESS_BYTES. */
void links_advertise(struct links *links, const char *endpoint);

/* Where other nodes reach this one, as it tells them. */
const char *links_address(const struct links *links);

/* The address that is bound, with its port. */
const char *links_listening(const struct links *links);

/*
 * The descriptors to poll for reading. They are edge-triggered: when the first fires, take a turn;
 * when another does, call links_attend before it.
 */
void links_descriptors(const struct links *links, int out[LINKS_DESCRIPTORS]);
void links_attend(struct links *links);

/*
 * The next message; bytes are borrowed until the next call. false: there is no more, or this turn
 * has had its share (links_waiting says so after links_flush).
 */
bool links_receive(struct links *links, uint64_t now_ms, uint64_t *from, struct slice *bytes);

/* Gathers a message (1 .. message_max bytes) for a node; it leaves at links_flush, or before when
 * much has gathered. To ourselves or to an unknown node: it is dropped and counted. */
void links_send(struct links *links, uint64_t node, struct slice bytes);

/* Ends a turn: sends what has gathered, one ZeroMQ message a node, and pulses that are due. */
void links_flush(struct links *links, uint64_t now_ms);

/* true: something is there to be received. To be asked last in a turn, before polling. */
bool links_waiting(struct links *links);

/* The owner's clock was set forward by so much, ms: nobody was silent for that long. */
void links_jumped(struct links *links, uint64_t by_ms);

/* When links_flush is due although nothing else happens (ms). */
uint64_t links_deadline(const struct links *links);

/* Where a node's clients find it, as the node tells; empty: not known. Borrowed until links_flush.
 * For ourselves: what the options say. */
struct slice links_endpoint(const struct links *links, uint64_t node);

/* The i-th link; false: there are no more. */
bool links_look(const struct links *links, size_t i, struct link_view *view);

/* The next thing worth a line in a log; false: nothing new. */
bool links_news(struct links *links, struct link_news *news);

void links_counters(const struct links *links, struct links_counters *out);

#endif
