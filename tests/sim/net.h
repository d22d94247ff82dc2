/*
 * Simulation A2: gateway, core, memory journal and many of the library's connections in one
 * process, over a simulated network and clock, from one seed. Simulation B (nodes.h) puts several
 * durable nodes in the manager's place. What the files share:
 *
 *     net_world.c    time, phases: faults, finishing, draining
 *     net_manager.c  what a manager's shell does for its gateway
 *     net_campaign.c many seeds, one process each; the command line
 *     net_wire.c     the network: pipes, routing ids, descriptors
 *     net_faults.c   what goes wrong, and when
 *     net_client.c   a process with one connection: its socket, its loop, its life
 *     net_program.c  what its program does
 *     net_calls.c    its calls and their outcomes
 *     net_oracle.c, net_oracle_*.c   what must never happen
 *
 * Nothing reads a clock or compares addresses: a seed's trace is the same bit for bit.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "broker/gateway/gateway.h"
#include "broker/journal/journal.h"
#include "client/lib/conn.h"
#include "common/wire/codec.h"
#include "tests/sim/sim_random.h"

#define NET_NEVER UINT64_MAX

enum { NET_CLIENTS_MAX = 10, NET_QUEUES = 4, NET_DEAD = NET_QUEUES, NET_LOCKS = 3, NET_PEER = 5 };

/* count: managers; simulation A2 has one */
#define NET_NODES_MAX 7

/* The last of the locks is a semaphore with so many permits. */
#define NET_SEMAPHORE (NET_LOCKS - 1)
#define NET_PERMITS   2

/* ---- the network ---------------------------------------------------------------------------- */

struct net_packet {
    struct net_packet *next;
    uint64_t due_ms;
    struct buf head, body;
    bool two; /* there is a second frame */
};

struct net_pipe {
    struct net_packet *first, *last;
    uint64_t latest_ms; /* packets stay in order */
    uint64_t lose;      /* so many of the next packets vanish */
};

/* One transport connection: what the manager knows by a routing id. */
struct wire {
    struct wire *next;
    uint32_t serial;
    uint8_t peer[NET_PEER];
    int descriptor;
    int client;       /* slot */
    int node;         /* the manager at the other end, from 1 */
    bool up;          /* both ends stand */
    uint64_t gone_ms; /* when the manager's socket notices the end */
    bool told;        /* and whether it reports it */
    bool gone;        /* it has noticed */
    uint64_t full_ms; /* its pipe takes nothing until then */
    struct net_pipe to_manager, to_client;
};

/* ---- what the oracle knows ------------------------------------------------------------------- */

enum item_outcome { ITEM_OPEN, ITEM_DONE, ITEM_REFUSED, ITEM_UNKNOWN };

struct net_item {
    int queue;
    uint64_t author; /* number of the client's life */
    size_t size;
    bool plain; /* no priority, no delay: its place in the order is known */
    enum item_outcome outcome;
    uint64_t confirmed; /* how often the manager took it */
    uint64_t delivered, token;
    uint64_t session, tag; /* the lease that holds it; session 0: none */
    bool acked;
    bool strayed; /* may be in the dead-letter queue */
};

struct net_lease {
    uint64_t item, token, channel;
    uint64_t lease_ms, until_ms; /* it does not run out before */
    bool live, handed;
};

struct net_request {
    enum command_kind kind;
    bool answered, auto_ack;
    bool seen; /* the client has confirmed its answer */
    int code;
    int lock;
    uint64_t value, count; /* items of a put, tag of a settlement, target; token of a grant */
};

struct net_session {
    uint64_t id, patience_ms; /* time-to-live or grace, whichever is longer */
    bool alive;
    bool touched; /* opened or resumed since a leader began */
    struct net_request *requests;
    size_t requests_count, requests_room;
    struct net_lease *leases;
    size_t leases_count, leases_room;
};

struct net_holder {
    int lock;
    uint64_t session, token;
};

struct oracle {
    struct net_item *items;
    size_t items_count, items_room;
    struct net_session *sessions;
    size_t sessions_count, sessions_room;
    struct net_holder holders[64];
    size_t holders_count;
    uint64_t token;            /* the highest given out */
    uint64_t *first_delivered; /* [author * NET_QUEUES + queue]: the last item first delivered */
    size_t authors_room;
    const struct command *command; /* being applied */
    uint64_t highest;              /* its session's ids up to it were applied before */
    bool again;                    /* the current command resumes a session */
    bool
        unordered; /* puts were refused for a full disk, and tried again when others were through */
    uint64_t now_ms, led_ms; /* the core's time; and when its leader began */
};

/* ---- clients --------------------------------------------------------------------------------- */

struct client;

/* Something the program waits for. */
struct call {
    struct ticket ticket; /* first */
    struct call *next, *prev;
    struct client *client;
    uint8_t op;
    bool forgotten, finished;
    int code;
    uint64_t item, items; /* of a put */
    int lock;
    uint64_t owner;
    uint64_t limit_ms; /* by the client's running time: it must have ended */
    uint64_t number, epoch;
    struct items got;
    struct net_hold *hold; /* of an acquire */
    bool canceled, draining, auto_ack;
};

/* A delivery in the program's hands. */
struct net_held {
    struct lease lease;
    struct net_held *next, *prev;
    uint64_t item, epoch;
    bool renewed; /* by the library */
};

/* A grant in the program's hands. */
struct net_hold {
    struct held held;
    struct net_hold *next, *prev;
    int lock;
    uint64_t owner, epoch;
};

struct stream {
    struct conn_consumer *consumer; /* NULL: none */
    uint32_t queues;                /* set */
};

enum { NET_STREAMS = 2 };

struct client {
    int slot;
    uint64_t life; /* counts clients; 0: nobody lives in the slot */
    struct net_world *world;
    struct conn *conn;
    uint64_t generation;
    struct wire *wire; /* NULL: not connected */
    int node;          /* where its socket connects to */
    uint64_t connect_ms;
    bool noticed; /* its socket tells of a cut */
    bool connected;
    uint64_t stopped_ms;   /* stopped until then; 0: runs */
    uint64_t stopped_from; /* when that began */
    uint64_t paused;       /* sum of such times, and of time its clock did not see */
    uint64_t lag_ms;       /* its clock is behind by so much */
    uint64_t born_ms;      /* an empty slot: when somebody moves in */
    uint64_t act_ms, flush_ms;
    uint64_t ttl_ms;
    bool dirty; /* something was submitted */
    bool leaving, finishing, drained;
    bool forgot; /* a put that may wait for ever */
    struct call *calls;
    struct net_held *held;
    struct net_hold *holds;
    struct stream streams[NET_STREAMS];
    size_t calls_count, held_count, holds_count;
};

/* ---- the whole ------------------------------------------------------------------------------- */

enum fault {
    FAULT_CUT,       /* seen by the client, by the manager or neither */
    FAULT_SWITCH,    /* silent reconnect under a new routing id, with a stretch lost */
    FAULT_LOSE,      /* a stretch in the middle */
    FAULT_DOUBLE,    /* a packet comes twice */
    FAULT_FULL,      /* a pipe takes nothing */
    FAULT_STOP,      /* a client is stopped, and continued */
    FAULT_KILL,      /* a client is killed */
    FAULT_PARTITION, /* nobody gets through */
    FAULT_MANAGER,   /* the manager is stopped, and continued */
    FAULT_SUSPEND,   /* everything is; only the manager's clock knows */
    FAULT_COUNT
};

/* Acts of a program that make a calm seed unquiet: places in net_program.c's table. */
enum { NET_ACT_LEAVE = 20, NET_ACT_KILL = 22 };

/* What one seed is like. */
struct plan {
    int clients;
    uint64_t weights[32]; /* of the program's acts; 0: never */
    uint64_t pace_ms;     /* between acts, about */
    uint64_t latency_ms;
    uint64_t every_ms[FAULT_COUNT]; /* 0: never */
    uint64_t faults_ms;             /* how long there are any */
    bool calm;                      /* nothing goes wrong */
    bool large;                     /* bodies that travel as second frames */
    uint64_t late_percent;          /* closed sockets whose last packets come late */
};

struct net_counts {
    uint64_t packets, lost, doubled, late, resumed, ended, killed, gaps, puts, gets, streamed,
        acked, grants, done, refused, unknown;
    /* simulation B */
    uint64_t simulated_ms, commands, entries, messages, crashes, elections, transfers, changes,
        snapshots, installs, compared;
};

struct net_world;

/* A manager, as far as its shell is simulated. */
struct net_manager {
    struct net_world *world;
    int node;        /* its number, from 1 */
    uint64_t now_ms; /* by its own clock */
    uint64_t turned_ms;
    struct core *core;
    struct journal *journal;
    struct gateway *gateway;
};

/* What stands at the other end of the clients' wires. All get the world; `managed` is theirs. */
struct net_managers {
    const char *program;                             /* to say how to replay */
    void (*open)(struct net_world *world);           /* may change the plan; sets endpoints */
    void (*close)(struct net_world *world);          /* its state goes into the hash */
    void (*step)(struct net_world *world);           /* what is due now */
    uint64_t (*next)(const struct net_world *world); /* when that is (ms) */
    void (*stop)(struct net_world *world, uint64_t for_ms); /* FAULT_MANAGER */
    void (*heal)(struct net_world *world);                  /* there are no faults any more */
    void (*check)(struct net_world *world);                 /* invariants */
    bool (*up)(const struct net_world *world, int node);    /* takes connections */
};

struct net_world {
    uint64_t seed, now_ms, hash;
    bool verbose;
    struct rng rng;
    struct plan plan;
    const struct net_managers *managers;
    void *managed;
    char endpoints[256];                    /* of those that clients know */
    uint64_t blocked_ms[NET_NODES_MAX + 1]; /* clients do not get through to it until then */
    int nodes;                              /* numbers in use: 1 .. nodes */
    bool faults;
    uint64_t due_ms[FAULT_COUNT];
    struct wire *wires;
    uint32_t serial;
    struct client clients[NET_CLIENTS_MAX + 1]; /* the last slot: the one that drains */
    uint64_t lives;
    struct oracle oracle;
    struct net_counts counts;
};

/* Runs a seed to its end; its trace's hash in world->hash. Exits with status 1 on a violation. */
void net_run(struct net_world *world, const struct net_managers *managers, uint64_t seed,
             bool verbose);
void net_run_until(struct net_world *world, uint64_t until_ms);

/* A line of the trace: a static word and four numbers. */
void net_note(struct net_world *world, const char *word, uint64_t a, uint64_t b, uint64_t c);
/* A promise was broken: says it and how to replay it, and exits. */
_Noreturn void net_fail(struct net_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t net_hash(uint64_t hash, const void *data, size_t size);
static inline uint64_t net_less(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- net_manager.c ---- */
/* A gateway for its core. Of `host` the first functions are the caller's, the others are set here;
 * its context is the manager. */
struct gateway *manager_gateway(struct net_manager *manager, struct gateway_host host);
/* Closed connections and packets that have come. */
void manager_receive(struct net_manager *manager);
/* When there will be any. */
uint64_t manager_arrival(const struct net_manager *manager);
/* How long the manager did not run, if that is worth a command; and notes the turn. */
uint64_t manager_gap(struct net_manager *manager);
/* The commands that make the queues, in a session of their own: 0, 1, ...; false: no more. */
bool manager_setup(uint64_t step, uint64_t session, struct command *command);

/* ---- net_wire.c ---- */
struct wire *wire_open(struct net_world *world, const struct client *client);
/* The manager's end is gone, at once. */
void wire_drop(struct net_world *world, struct wire *wire);
/* The client's end is gone: what was under way is lost from some packet on. */
void wire_close(struct net_world *world, struct wire *wire);
void wire_push(struct net_world *world, struct wire *wire, bool up, struct slice head,
               struct slice body);
/* The next packet that is due, or NULL; free it. */
struct net_packet *wire_pop(struct net_pipe *pipe, uint64_t now_ms);
void net_packet_free(struct net_packet *packet);
struct wire *wire_find(struct net_world *world, struct slice peer);
/* Forgets wires that both sides are done with. */
void wires_sweep(struct net_world *world);
void wires_free(struct net_world *world);

/* ---- net_faults.c ---- */
void plan_draw(struct net_world *world);
void faults_start(struct net_world *world);
void faults_step(struct net_world *world);
uint64_t faults_next(const struct net_world *world);
/* All stops and partitions end. */
void faults_end(struct net_world *world);

/* ---- net_client.c ---- */
void client_born(struct client *client);
void client_die(struct client *client);
void client_step(struct client *client);
uint64_t client_next(const struct client *client);
void client_stop(struct client *client, uint64_t until_ms);
void client_continue(struct client *client);
/* Its own clock; and how long it ran. */
uint64_t client_now(const struct client *client);
uint64_t client_ran(const struct client *client);

/* ---- net_program.c ---- */
void program_act(struct client *client);
/* No faults any more: everything is settled, released and cancelled. */
void program_finish(struct client *client);
/* true: nothing is open. */
bool program_finished(const struct client *client);
void program_drain(struct client *client);

/* ---- net_calls.c ---- */
struct call *call_new(struct client *client, uint8_t op, uint64_t timeout_ms);
void calls_done(void *context, struct ticket *ticket, const struct outcome *outcome);
/* What ended is handed to the program; overdue calls are found. */
void calls_collect(struct client *client);
void call_cancel(struct client *client, struct call *call);
void call_forget(struct client *client, struct call *call);
void call_queues(struct buf *out, uint32_t queues);
/* renewable: the library may renew its lease. */
void held_take(struct client *client, struct item *item, bool renewable);
void held_settle(struct client *client, struct net_held *held, uint8_t op);
void held_drop(struct client *client, struct net_held *held);
void hold_release(struct client *client, struct net_hold *hold);
void hold_drop(struct client *client, struct net_hold *hold);
const char *queue_text(int queue);
const char *lock_text(int lock);

/* ---- net_oracle.c ---- */
void oracle_command(struct net_world *world, const struct command *command);
void oracle_effects(struct net_world *world, const struct effects *effects);
uint64_t oracle_put(struct net_world *world, const struct client *client, int queue, bool plain);
/* The body of an item. */
void oracle_body(const struct net_world *world, uint64_t item, struct buf *out);
void oracle_outcome(struct net_world *world, const struct call *call, int code);
/* A program was handed a delivery; its item. */
uint64_t oracle_handed(struct net_world *world, uint64_t session, const struct item *item);
/* Items of the queues that should have been acknowledged and are not. */
uint64_t oracle_left(const struct net_world *world, uint32_t queues);
/* Answers that the session's client has not confirmed: the core keeps them. */
uint64_t oracle_unseen(const struct net_world *world, uint64_t session);
/* Everything confirmed was acknowledged. */
void oracle_end(struct net_world *world);
void oracle_free(struct oracle *oracle);
struct net_session *oracle_session(struct net_world *world, uint64_t id);

/* ---- net_oracle_times.c ---- */
/* Commands that give everybody the full time again. */
void oracle_full_time(struct net_world *world, const struct command *command);
/* A session is to end, nobody having said so. */
void oracle_session_end(struct net_world *world, const struct net_session *session);
/* A lease has run out. */
void oracle_ran_out(struct net_world *world, const struct net_session *session, uint64_t tag);
void oracle_opened(struct net_world *world, struct net_session *session);

/* ---- net_oracle_locks.c ---- */
void oracle_granted(struct net_world *world, uint64_t session, int lock, uint64_t token);
/* lock -1: whatever it is; token 0: all of the session. */
void oracle_released(struct net_world *world, uint64_t session, uint64_t token);
int oracle_lock(struct slice name);
void oracle_token(struct net_world *world, uint64_t token);

#endif
