/* Inside the replica: its state, and what its files share. Only replica*.c includes this. */
#ifndef BROKER_JOURNAL_REPLICA_PARTS_H
#define BROKER_JOURNAL_REPLICA_PARTS_H

#include "broker/journal/consensus.h"
#include "broker/journal/entry.h"
#include "broker/journal/replica.h"

/* Commands that make one entry. */
struct batch {
    struct batch *next;
    struct buf payload;
    uint64_t index; /* of the entry; 0: not in the log yet */
};

/* An entry that is not known to be durable. */
struct waiting {
    uint64_t sequence, index, term;
};

/* What the log holds, as consensus wants to know it at a start. */
struct disk_view {
    struct consensus_run *runs;
    size_t runs_count;
    struct consensus_change *changes;
    size_t changes_count;
    uint64_t first; /* index of the first entry; of the next one when there is none */
    uint64_t last;  /* entry in the log */
    uint64_t term, vote;
    struct consensus_snapshot snapshot; /* the last durable one */
};

/* A copy of an entry that goes in parts, for all followers to which it is on its way. */
struct large {
    uint64_t index, term;
    uint8_t type;
    struct buf payload;
    unsigned users;
};

/* Entries that a follower is to be sent: those behind `prev`, up to `upto`. */
struct feed {
    uint64_t node;
    bool due; /* there is something to say, perhaps only that we lead */
    uint64_t prev, prev_term, upto;
    uint64_t term, commit;
    struct large *large;      /* on its way in parts; NULL: none */
    uint64_t sent, seen;      /* bytes of it: sent, and known to have come */
    uint64_t told;            /* what the follower said last: less than `seen`, it began anew */
    bool stuck;               /* and that was no more than before: something was lost */
    uint64_t progress_ms;     /* when there was more to see last */
    uint64_t given, given_ms; /* index of the last one that came whole, and when */
};

/* A part that came before the one that it follows. */
struct early {
    uint64_t offset; /* 0: none */
    struct buf bytes;
};

/* What has come of an entry in parts. */
struct gathered {
    uint64_t index, term, total; /* index 0: none; total: bytes of the whole */
    struct buf bytes;            /* from its beginning on */
    struct early early[LIMIT_PARTS_ON_WAY];
};

/* A message that waits until the vote before it is durable. */
struct held {
    struct held *next;
    uint64_t node;
    struct buf bytes;
};

/* count: nodes whose last words are remembered: members, and some that were or will be */
#define KNOWN_NODES 16

/* What is known of another node. */
struct known {
    uint64_t node; /* 0: free */
    uint64_t heard_ms;
    uint8_t format;       /* newest one that it reads; 0: it never said */
    bool tight;           /* its disk is nearly full */
    bool cleared;         /* it said that we do not vote */
    uint64_t index, hash; /* of its last mark */
};

struct replica {
    struct replica_options options;
    struct consensus *consensus;
    const char *failure;
    char failure_text[256];
    uint64_t now_ms;

    struct disk_view disk;
    uint64_t payload_max, durable; /* durable: sequence of a record */
    struct waiting *waiting;
    size_t waiting_count, waiting_capacity;
    bool restarting; /* consensus starts anew from disk as soon as all of the log is durable */
    bool installing;
    uint64_t promotion_failed;

    bool leader, ready;
    uint64_t term;
    uint64_t greeted;   /* term whose leader's first command was given */
    uint64_t commit;    /* committed and durable here */
    uint64_t replay_to; /* what the log held at the start */

    struct batch *oldest; /* own batches, not applied yet, in order */
    struct batch *newest; /* the one that gathers, unless it is in the log already */
    struct batch *unsent; /* the first that is not in the log; NULL: none */
    uint64_t on_its_way;  /* index of the last own entry that was appended */
    struct batch *spare;
    size_t spares;
    uint64_t gather_max; /* bytes of a batch, unless one command is larger */
    uint64_t backlog;
    uint64_t ticks; /* submitted and not applied */
    uint64_t submitted_ms;

    uint64_t applied, hash, applied_ms;
    bool bootstrapped;
    bool applying;
    struct effects effects;
    struct command_arena arena;
    struct buf scratch;

    uint64_t vote_sequence; /* record of the last vote: nothing leaves before it is durable */
    struct feed feeds[LIMIT_NODES];
    struct gathered gathered;
    struct held *held, **held_end;
    size_t held_count;
    struct buf out;

    bool tight; /* this node's disk is nearly full */
    struct known known[KNOWN_NODES];
    uint64_t hashes[LIMIT_MARKS];                 /* hash after entry i at i % LIMIT_MARKS */
    uint64_t hashes_from;                         /* the first of them */
    uint64_t mark_at_ms;                          /* when to tell the others next */
    uint64_t asked_index, asked_hash, asked_from; /* of a leader's mark that is ahead of us */
};

/* ---- replica.c ---- */

void replica_fail(struct replica *replica, const char *text);
/* An entry of the leader's does not fit this node's log. */
void replica_fail_large(struct replica *replica);
/* Nothing is on its disk: it waits to be added to a cluster. */
bool replica_is_blank(const struct replica *replica);
/* Consensus begins anew, from what is on disk. */
void replica_restart(struct replica *replica, uint64_t now_ms);

/* ---- replica_disk.c: what the log holds ---- */

/* Appends, and notes it. */
void disk_append_entry(struct replica *replica, uint64_t index, const struct log_entry *entry);
void disk_append_vote(struct replica *replica, uint64_t term, uint64_t vote);
void disk_cut(struct replica *replica, uint64_t last);
void disk_reset(struct replica *replica, uint64_t next);
/* Entries before `first` are not in consensus' log any more. */
void disk_trim(struct disk_view *disk, uint64_t first);
/* Of an entry, or of the snapshot's last; 0: unknown. */
uint64_t disk_term_at(const struct disk_view *disk, uint64_t index);
void disk_fini(struct disk_view *disk);

/* ---- replica_batches.c: commands gather, entries are applied ---- */

void batches_free(struct batch *batch);
/* Leadership is lost: what was submitted and not applied is forgotten. */
void batches_drop(struct replica *replica);

/* ---- replica_sends.c: what consensus wants of other nodes ---- */

void sends_message(struct replica *replica, const struct peer_message *message);
/* Entries and heartbeats, a bounded part; nothing while a vote is not durable. */
void sends_flush(struct replica *replica);
/* Messages that waited for a vote. */
void sends_release(struct replica *replica);
void sends_drop_feeds(struct replica *replica);
/* There is more to send, and nothing to wait for. */
bool sends_pending(const struct replica *replica);
void sends_fini(struct replica *replica);

/* ---- replica_large.c: entries that go in parts ---- */

bool large_is(const struct replica *replica, struct slice payload);
/* The feed's next entry is on its way, or came whole just now: it is not to be sent. */
bool large_waits(const struct replica *replica, const struct feed *feed);
void large_begin(struct replica *replica, struct feed *feed, const struct log_item *item);
/* Sends parts, as many as may be on their way. The feed must have one. */
void large_run(struct replica *replica, struct feed *feed, bool alive);
void large_drop(struct feed *feed);
const char *large_receive_part(struct replica *replica, uint64_t from, struct slice bytes);
const char *large_receive_seen(struct replica *replica, uint64_t from, struct slice bytes);
/* The log has gone on: parts of what it holds are not needed any more. */
void large_forget(struct replica *replica);
void large_fini(struct replica *replica);

/* ---- replica_marks.c: how far the others are, and whether they are the same ---- */

void marks_note(struct replica *replica);
/* The state jumped to `applied`: what was remembered is of another past. */
void marks_reset(struct replica *replica);
void marks_tick(struct replica *replica);
uint64_t marks_deadline(const struct replica *replica);
const char *marks_receive(struct replica *replica, uint64_t from, struct slice bytes);
struct known *marks_known(struct replica *replica, uint64_t node);
const struct known *marks_find(const struct replica *replica, uint64_t node);
bool marks_alive(const struct replica *replica, const struct known *known);
bool marks_tight(const struct replica *replica);
/* The newest version that all members read. */
uint8_t marks_format(const struct replica *replica);

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
