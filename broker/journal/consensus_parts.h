/* Inside the adapter: its state, and what its files share. Only consensus*.c includes this. */
#ifndef BROKER_JOURNAL_CONSENSUS_PARTS_H
#define BROKER_JOURNAL_CONSENSUS_PARTS_H

#include "broker/journal/consensus.h"
#include "broker/journal/consensus_guard.h"

#include <raft.h>

/* Terms and indexes stay far from where sums overflow. */
#define NUMBER_END (1ULL << 62)

/* milliseconds: a timer never fires again sooner, whatever the library says */
#define TIMER_FLOOR_MS 5

struct consensus {
    struct consensus_options options;
    struct raft raft;
    bool started, failed;
    uint64_t now;
    uint64_t ticked;       /* when the last tick was */
    uint64_t leader_heard; /* when the current leader last spoke */
    uint64_t applied;      /* the last APPLY */

    /* What the last ROLE said. */
    enum consensus_role role;
    uint64_t role_term, role_leader;

    /* The configurations: changes[0] may be the snapshot's, the others are in the log. */
    struct consensus_change *changes;
    size_t changes_count, changes_capacity;
    size_t changes_committed; /* the library was told of so many */

    struct consensus_snapshot snapshot; /* the last durable one */
    struct consensus_snapshot install;  /* the one on its way */

    uint64_t led_term;   /* the last term we led from its beginning */
    uint64_t term_start; /* our first entry of that term */
    uint64_t promoting;  /* node that catches up, or 0 */

    /* Nodes that were not sent a change because it is not durable here yet. */
    uint64_t held[LIMIT_NODES];
    size_t held_count;
    uint64_t held_index;

    /* Leadership that was offered while entries were being written; type 0: none. */
    struct peer_message offer;
    uint64_t offer_until;

    /* The step under way: the entries given, and what the library was given for them. */
    const struct log_entry *input;
    struct raft_entry *entries;
    size_t entries_capacity;
    bool answer_stale; /* results of this step are answers to an older term */
    bool mute;         /* this step's messages are not sent */
};

/* ---- consensus_step.c ---- */

/* One raft_step and everything that follows from it. The library's error code, already reported
 * when it is not harmless. */
int step(struct consensus *c, struct raft_event *event);

/* After the last step of a call: what the adapter itself has to do next. */
void settle(struct consensus *c);

void fail(struct consensus *c, const char *text);

/* Borrowed until the next call: `count` raft entries for `input`, payloads left out except of
 * changes, which free_entries gives back. */
struct raft_entry *make_entries(struct consensus *c, const struct log_entry *input, size_t count);
void free_entries(struct raft_entry *entries, size_t count);

enum consensus_result submit_entry(struct consensus *c, const struct log_entry *entry,
                                   uint64_t *index);

/* ---- consensus_library.c: what libraft does not offer by itself ---- */

/* Term of an entry, or of the snapshot's last; 0: not in the log. */
uint64_t library_term_of(const struct raft *r, uint64_t index);

/* Ours into libraft's; release with raft_configuration_close. */
void library_configuration(const struct members *members, struct raft_configuration *out);

/* Makes this node count as a voter until library_vote_end. */
struct vote_patch {
    bool active, extended;
    int role; /* the real one, unless extended */
    unsigned position;
    struct raft_configuration saved;
    struct raft_server servers[LIMIT_NODES + 1];
};
void library_vote_begin(struct raft *r, struct vote_patch *patch);
void library_vote_end(struct raft *r, struct vote_patch *patch);

void library_forget_leader(struct raft *r);

/* A timeout that would make a lone voter leader begins a new term first; true when it did. */
bool library_new_term(struct raft *r, uint64_t now, bool sole_voter);

/* ---- consensus_change.c ---- */

/* Newest configuration, or NULL. */
const struct consensus_change *changes_newest(const struct consensus *c);
void changes_append(struct consensus *c, uint64_t index, const struct members *members);
void changes_cut(struct consensus *c, uint64_t index);
void changes_reset(struct consensus *c, const struct consensus_snapshot *base);
/* The one that holds at `index`. */
const struct consensus_change *changes_at(const struct consensus *c, uint64_t index);
void promotion_poll(struct consensus *c);

/* ---- consensus_receive.c ---- */

/* Takes leadership that was offered while entries were being written, once they are durable. */
void offer_poll(struct consensus *c);

/* ---- consensus_check.c ---- */

/* NULL, or why this message is not for the library. */
const char *check_message(const struct consensus *c, const struct peer_message *message);

#endif
