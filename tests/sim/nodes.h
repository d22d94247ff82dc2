/*
 * Simulation B: several nodes, each the real gateway, durable journal and core, and many of the
 * library's connections, on simulated time, network and disks, from one seed. Clients, their wires
 * and their oracle are simulation A2's (net.h); in the manager's place stand nodes. Their files:
 *
 *     nodes_world.c    the nodes of a seed: founding, steps, healing, the comparison at the end
 *     nodes_node.c     one node: its start, its turns, its ends
 *     nodes_links.c    what nodes send each other
 *     nodes_disk.c     what a node's disk keeps
 *     nodes_faults.c   what goes wrong, and when
 *     nodes_history.c  what was committed, applied once more beside the nodes; what never may be
 */
#ifndef TESTS_SIM_NODES_H
#define TESTS_SIM_NODES_H

#include "broker/journal/raft.h"
#include "tests/sim/net.h"
#include "tests/sim/nodes_disk.h"

enum node_fault {
    NODE_KILL,     /* a process ends at once */
    NODE_POWER,    /* a machine loses its power */
    NODE_TORN,     /* and does so while it writes */
    NODE_EIO,      /* a write fails */
    NODE_BLACKOUT, /* all machines lose their power */
    NODE_STOP,     /* a process ends in good order */
    NODE_PAUSE,    /* a process does not run, and goes on */
    NODE_FULL,     /* a disk takes nothing more */
    NODE_CUT,      /* some do not hear some others, maybe one way only */
    NODE_TRANSFER, /* leadership is handed over */
    NODE_CHANGE,   /* a node is added, promoted or removed */
    NODE_SNAPSHOT, /* a snapshot is asked for */
    NODE_FICKLE,   /* the power goes soon after a new term or a snapshot */
    NODE_FAULTS
};

struct nodes_plan {
    int founders;
    uint32_t election_ms, heartbeat_ms;
    uint64_t snapshot_bytes, segment_bytes, body_max;
    uint64_t loss, twice, late; /* percent of messages between nodes */
    uint64_t delay_ms;          /* of them, at most */
    uint64_t disk_ms;           /* that a job of the log takes, at most */
    uint64_t skew_ms;           /* between wall clocks, at most */
    uint64_t down_ms;           /* until a node is started again, at most */
    uint64_t every_ms[NODE_FAULTS];
};

enum node_life { NODE_ABSENT, NODE_DOWN, NODE_UP };

/* A node and its machine. */
struct node {
    struct net_manager manager; /* first */
    struct nodes *nodes;
    enum node_life life;
    uint64_t lives; /* counts its processes */
    struct nodes_disk *disk;
    bool joins;                 /* began empty, to be added by the leader */
    uint64_t began_ms, base_ms; /* when its process began, and its clock then */
    uint64_t wake_ms;           /* a turn is due; NET_NEVER: none */
    uint64_t stopped_ms;        /* does not run until then */
    uint64_t restart_ms;        /* while it is down */
    uint64_t full_ms;           /* its disk is full until then; 0: it is not */
    uint64_t unread_ms;         /* since then its clients are not read; 0: they are */
    uint64_t calls, turns;
    uint64_t submitted, settled; /* commands since it leads, and those of them that are applied */
    bool leads, installs;
    uint64_t snapshot; /* index of its newest one */
    uint64_t term;     /* as it says itself */
    uint64_t promised; /* the highest term in what it told others */
    uint64_t doom_ms;  /* its power goes then; 0: not foreseen */
};

struct nodes_packet {
    struct nodes_packet *next;
    uint64_t due_ms;
    uint64_t from, to;
    size_t size;
    uint8_t bytes[];
};

/* An entry that some node has applied. */
struct nodes_entry {
    uint64_t term, content; /* hash of tag and payload */
    uint64_t hash;          /* the running hash after it */
};

struct nodes_history {
    struct core *core; /* the reference: it applies each committed entry once */
    struct effects effects;
    struct command_arena arena;
    struct buf scratch, left, right;
    uint64_t index, hash, time_ms;
    struct nodes_entry *entries; /* of index 1 and so on */
    size_t room;
    bool setup; /* the queues are there */
    struct {
        uint64_t term, node, life;
    } * leaders;
    size_t leaders_count, leaders_room;
};

struct nodes {
    struct net_world *world;
    struct nodes_plan plan;
    struct node list[NET_NODES_MAX + 1]; /* by number */
    struct nodes_packet *packets;        /* by due_ms */
    bool cut[NET_NODES_MAX + 1][NET_NODES_MAX + 1];
    uint64_t cut_ms; /* until then */
    uint64_t due_ms[NODE_FAULTS];
    bool faults;
    uint64_t healed_ms; /* 0: not yet */
    bool progressed;    /* since then */
    struct nodes_history history;
};

extern const struct net_managers nodes_managers;

#ifdef STEWARD_CANARIES
extern int nodes_canary; /* enum nodes_canary: deliberate bugs of the machines */
#define NODES_CANARY(name) (nodes_canary == NODES_CANARY_##name)
#else
#define NODES_CANARY(name) 0
#endif
enum nodes_canary { NODES_CANARY_NO_SYNC = 1 };

static inline struct nodes *nodes_of(const struct net_world *world)
{
    return world->managed;
}

/* ---- nodes_node.c ---- */
/* Its process begins; it may end at once when its disk says so. */
void node_start(struct node *node);
/* Its process ends. */
void node_end(struct node *node, enum disk_end how);
/* As a SIGTERM: all is written. */
void node_stop(struct node *node);
void node_turn(struct node *node);
/* To its journal; it leads. */
void node_submit(struct node *node, const struct command *command);
uint64_t node_next(const struct node *node);
/* The node that leads and takes commands; NULL: none. */
struct node *nodes_leader(struct nodes *nodes);

/* ---- nodes_links.c ---- */
void nodes_send(void *context, uint64_t to, struct slice bytes);
/* Messages that are due reach their nodes' journals. */
void nodes_deliver(struct node *node);
uint64_t nodes_arrival(const struct node *node);
void nodes_packets_free(struct nodes *nodes);

/* ---- nodes_faults.c ---- */
void nodes_plan_draw(struct nodes *nodes);
void nodes_faults_start(struct nodes *nodes);
void nodes_faults_step(struct nodes *nodes);
uint64_t nodes_faults_next(const struct nodes *nodes);
void nodes_heal(struct nodes *nodes);

/* ---- nodes_history.c ---- */
void nodes_history_open(struct nodes *nodes);
void nodes_history_close(struct nodes *nodes);
/* A node applies an entry: its journal says so before anybody hears of it. */
void nodes_applied(void *context, const struct log_item *entry);
/* It has started: what it told others in an earlier life still stands. */
void nodes_remembers(struct node *node);
/* After a turn: its hash, and who leads. */
void nodes_observe(struct node *node);
/* Its whole state, if it has applied as much as anybody. */
void nodes_compare(struct node *node);

#endif
