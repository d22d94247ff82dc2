/*
 * What nodes of a cluster say to each other: flat values, and their bytes.
 *
 * The bytes are ours, versioned, little-endian, and read with every bound checked; whether the
 * values make sense is for the receiver's consensus to judge (consensus_receive).
 */
#ifndef BROKER_JOURNAL_PEER_MESSAGE_H
#define BROKER_JOURNAL_PEER_MESSAGE_H

#include "broker/journal/members.h"

/* On the wire and on disk: never renumber. */
enum entry_type {
    ENTRY_COMMAND = 1, /* opaque payload */
    ENTRY_BARRIER = 2, /* no payload: a leader's first entry */
    ENTRY_CHANGE = 3,  /* payload: members_encode() */
};

/* One entry of the log. Its payload is borrowed, and may be a reference that only its owner reads,
 * except for a change. */
struct log_entry {
    uint64_t term;
    uint8_t type; /* enum entry_type */
    struct slice payload;
};

enum peer_message_type {
    PEER_APPEND = 1, /* entries, or none: a heartbeat */
    PEER_APPEND_RESULT,
    PEER_VOTE,
    PEER_VOTE_RESULT,
    PEER_INSTALL, /* a snapshot is on its way; its state moves beside it, in pieces */
    PEER_TIMEOUT_NOW,
};

struct peer_message {
    uint8_t type; /* enum peer_message_type; says which of the fields below count */
    uint64_t from, to;
    uint64_t term; /* of the sender; of the election it asks for, in votes */

    /* APPEND: what stands before the entries; VOTE, TIMEOUT_NOW: the sender's last entry; INSTALL:
     * the last entry in the snapshot; APPEND_RESULT: index is the last entry known to match. */
    uint64_t index, index_term;

    uint64_t commit;   /* APPEND: the leader's commit index */
    uint64_t rejected; /* APPEND_RESULT: the index that did not match, or 0 */

    bool stale;    /* APPEND_RESULT: answers a message of an older term: tells nothing but a term */
    bool pre_vote; /* VOTE, VOTE_RESULT */
    bool disrupt;  /* VOTE: the leader itself asked for this election */
    bool granted;  /* VOTE_RESULT */

    /* APPEND: entries_count entries follow `index`. As an output of consensus `entries` is NULL:
     * whoever encodes it takes them from the log. */
    uint32_t entries_count;
    struct log_entry *entries;

    struct members members; /* INSTALL: as of the snapshot */
    uint64_t members_index; /* INSTALL: the entry that made them so */
};

/* Appends the bytes; `entries` must be there when entries_count is not 0. */
void peer_encode(const struct peer_message *message, struct buf *out);

/*
 * The same, piece by piece, for an APPEND whose entries come from a log: begin (entries_count does
 * not count), each entry, end. Only this message may be appended to the buffer meanwhile.
 */
struct peer_append {
    struct buf *out;
    size_t count_at; /* bytes: where the number of entries stands */
    uint32_t count;
};
void peer_append_begin(struct peer_append *append, const struct peer_message *message,
                       struct buf *out);
void peer_append_entry(struct peer_append *append, const struct log_entry *entry);
void peer_append_end(struct peer_append *append);

/* Takes any bytes. On true the payloads borrow from them, and the array is the caller's: give the
 * message to peer_fini. On false there is nothing to free. */
bool peer_decode(struct slice bytes, struct peer_message *out);

/* Frees the array of entries that peer_decode made. */
void peer_fini(struct peer_message *message);

#endif
