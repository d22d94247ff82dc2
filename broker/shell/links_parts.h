/* What the files of links share: the table of links, and how news are noted. Not for others. */
#ifndef BROKER_SHELL_LINKS_PARTS_H
#define BROKER_SHELL_LINKS_PARTS_H

#include "broker/shell/links.h"
#include "broker/shell/links_envelope.h"
#include "broker/shell/links_socket.h"

/* count: news kept until somebody asks */
#define LINKS_NEWS 64

struct link {
    uint64_t node;
    char address[LIMIT_LINK_ADDRESS_BYTES + 1];
    char endpoint[LIMIT_LINK_ADDRESS_BYTES + 1];
    bool configured; /* its address stands */
    bool up;
    bool twice;        /* that two processes use its id was said */
    void *dealer;      /* NULL: its address is not usable */
    struct buf out;    /* the envelope that gathers; empty: nothing to send */
    uint64_t pulse_ms; /* the next pulse is due */
    uint64_t heard_ms; /* 0: never */
    uint64_t run;      /* of the process that speaks; 0: none yet */
    uint64_t run_before;
    uint64_t run_ms; /* since when `run` speaks */
};

struct links {
    struct links_socket socket;
    uint64_t node;
    uint64_t run; /* drawn at random */
    uint64_t message_max;
    char listening[LINKS_ENDPOINT_BYTES];
    char address[LIMIT_LINK_ADDRESS_BYTES + 1];
    char endpoint[LIMIT_LINK_ADDRESS_BYTES + 1];
    struct link *links[LIMIT_LINKS];
    size_t count;
    struct slice messages; /* of the envelope that is being received */
    uint64_t from;
    size_t turn_envelopes; /* taken in this turn */
    size_t turn_bytes;
    bool attend;            /* the handler or the monitor may have something */
    uint64_t told_twice_ms; /* when we said last that somebody uses our own id */
    uint64_t denied;        /* of the socket, as far as it was told */
    struct link_news news[LINKS_NEWS];
    size_t news_first;
    size_t news_count;
    struct links_counters counters;
};

/* The link to a node, or NULL. */
struct link *links_find(const struct links *links, uint64_t node);

/* Adds a link; NULL: the table is full. An address that libzmq does not take gives one that only
 * listens. */
struct link *links_add(struct links *links, uint64_t node, const char *address, bool configured);

/* Closes and frees the i-th link. */
void links_drop(struct links *links, size_t i);

/* A node told its address, or another node told it: makes or moves a link that nobody configured.
 * The link to the node, or NULL. */
struct link *links_learn(struct links *links, uint64_t node, struct slice address, bool itself);

/* An envelope of the link's node came. false: of a process that is not the one we listen to. */
bool links_hear(struct links *links, struct link *link, const struct envelope *envelope,
                uint64_t now_ms);

/* Hands what has gathered to libzmq; true: it was taken, or there was nothing. */
bool links_transmit(struct links *links, struct link *link);

/* Pulses that are due, nodes that went silent, links to forget. */
void links_pulse(struct links *links, uint64_t now_ms);

/* Notes something for links_news. */
void links_note(struct links *links, enum link_event event, uint64_t node, const char *reason);

#endif
