/* The inside of libsteward: the structures behind steward.h's handles. */
#ifndef CLIENT_LIB_CLIENT_H
#define CLIENT_LIB_CLIENT_H

#include "client/lib/conn.h"
#include "common/wire/codec.h"

#include <pthread.h>
#include <stdatomic.h>
#include <steward.h>

/* bytes: bodies up to here lie in the message object itself */
#define MESSAGE_SMALL_BYTES 256

/* bytes: smaller bodies are copied out of the received packet, so that one that is kept does not
 * keep the whole packet; larger ones stay in it */
#define MESSAGE_COPY_BYTES (16 * 1024)

/* bytes: content of unanswered requests before an async call blocks */
#define IN_FLIGHT_BYTES (64u * 1024 * 1024)

struct waiter;
struct send_pool;
struct errors;

struct stw_client {
    pthread_mutex_t lock;     /* guards all below, the socket too */
    volatile uint32_t *alive; /* a page that the kernel wipes in a forked child */
    size_t refs;              /* objects that the caller holds, and one of stw_open */
    bool closed;
    struct conn *conn;
    struct errors *errors;
    uint32_t in_flight_max, flush_ms;

    /* driver.c */
    void *context, *socket; /* ZeroMQ */
    int socket_fd;          /* ZMQ_FD; -1: no socket */
    uint64_t generation;    /* conn_socket's, of the socket */
    bool connected;
    bool flush_armed;     /* something is pending that was not sent at once */
    uint64_t flush_at_ms; /* and leaves then at the latest */
    bool flush_now;
    struct buf head; /* scratch */
    struct send_pool *send_pool;
    struct received *received_spare;

    /* waiting: driver.c */
    pthread_t background;
    bool started, stop;
    bool background_watches;          /* the background thread polls the socket */
    uint64_t background_wake_ms;      /* when it looks again by itself */
    int wake_background, wake_poller; /* eventfds */
    struct waiter *poller;            /* the caller that polls the socket */
    uint64_t polls;                   /* how often a caller began to */
    struct waiter *waiters;           /* callers that sleep */
    size_t waiters_count;
    size_t any_watchers;  /* waiters for any future */
    size_t room_watchers; /* waiters for room in flight */
    atomic_uint interrupts;
    atomic_ullong session; /* for stw_client_session */
    atomic_ullong sessions_lost;

    /* pools */
    struct name *last_name; /* of the last put */
    stw_future *futures_spare;
    stw_message *messages_spare;
};

enum future_state { FUTURE_UNDER_WAY = 0, FUTURE_DONE = 1 };

struct stw_future {
    struct ticket ticket; /* first: conn knows futures by it */
    stw_client *client;
    stw_future *next; /* in the pool; in a completions' list */
    atomic_int state;
    int code;
    uint32_t watchers; /* waiters on it */
    bool auto_ack;
    uint8_t op;
    uint64_t epoch;
    uint64_t number, depth;
    struct items items;
    struct buf rows;
    char *text;            /* sentence of a failure; NULL: the code's own */
    struct stw_lock *lock; /* of an acquire: made before, held when done */
    struct stw_completions *completions;
    void *user;
};

struct header_text {
    char *name, *value;
};

struct stw_message {
    stw_client *client;
    stw_message *next; /* in the pool */
    const uint8_t *data;
    size_t size;
    struct name *queue;
    struct run *run; /* data lies in its packet; NULL: copied */
    void *owned;     /* data, when it has a block of its own */
    uint64_t tag, token, epoch;
    uint64_t lease_ms;
    uint32_t deliveries;
    uint8_t priority;
    bool auto_ack;
    struct lease lease;
    struct header_text *headers;
    size_t headers_count;
    uint8_t small[MESSAGE_SMALL_BYTES];
};

struct stw_consumer {
    stw_client *client;
    struct conn_consumer *stream;
    uint32_t watchers;
};

struct stw_lock {
    stw_client *client;
    char *name;
    uint64_t owner;
    uint64_t epoch;
    uint64_t lease_ms;
    uint64_t from_ms; /* granted or renewed */
    struct held held;
};

/* ---- client.c ---- */

/* Entry of a public function: 0 and the lock is taken, or STW_EFORK, STW_ECLOSED, STW_EINVAL
 * (NULL). */
int client_enter(stw_client *client);
/* Likewise for functions that work on a closed client too. false: a forked child. */
bool client_enter_free(stw_client *client);
void client_leave(stw_client *client);
/* One object more or less; the last frees the client (and unlocks it). */
void client_hold(stw_client *client);
void client_drop(stw_client *client);
bool client_forked(const stw_client *client);

/* A name as the protocol wants it? */
bool client_good_name(const char *name);
/* steward.h's timeout as conn's. */
uint64_t client_timeout(int64_t timeout_ms);
/* steward.h's "STW_DEFAULT or milliseconds" as the wire's; false: not valid. */
bool client_setting(int64_t value, uint64_t *out);

/* ---- errors.c ---- */

struct errors *errors_new(void);
void errors_free(struct errors *errors);
/* Keeps the sentence for this thread; returns code. Lock held. */
int client_fail(stw_client *client, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- driver.c ---- */

/* 0 or STW_ENOMEM, STW_EUNREACHABLE with the socket's error. */
int driver_start(stw_client *client);
/* Stops the thread, closes socket and context. Lock not held. */
void driver_stop(stw_client *client, uint64_t linger_ms);
/* Frees what driver_start made; also in a forked child. */
void driver_free(stw_client *client);
/* Milliseconds of the monotonic clock. */
uint64_t driver_now(void);
/* Receives what is there, fires timers, sends if `flush` or urgent. Lock held; never blocks. */
void driver_step(stw_client *client, bool flush);
/* Something was submitted: sends when a packet is full, else notes when it has to leave. */
void driver_submitted(stw_client *client);
/* A call ends (client_leave, client_drop): sees that what it left pending leaves in time. */
void driver_leaving(stw_client *client);
/* conn_host.changed: a session was opened or lost. */
void driver_changed(stw_client *client);
/* Writes to an eventfd. */
void driver_kick(int fd);

/* ---- wait.c ---- */

/* A caller that waits for something. */
struct waiter {
    struct waiter *next, *prev;
    bool (*ready)(const struct waiter *waiter);
    stw_client *client;
    const void *subject; /* what it waits for: wait_wake with the same pointer wakes it */
    size_t count;        /* for `ready` */
    bool woken, polling;
    pthread_cond_t cond;
};

/* Flushes, then waits until ready: 0, STW_EAGAIN at the deadline (driver_now's clock, NEVER: none),
 * STW_ECANCELED when interrupted. Lock held on call and return. */
int wait_until(struct waiter *waiter, uint64_t deadline_ms);
/* Wakes those that wait for subject. Lock held. */
void wait_wake(stw_client *client, const void *subject);
void wait_wake_all(stw_client *client);
/* 0, or the connection's end. */
int wait_usable(stw_client *client);
/* Until there is room for another async request. 0, STW_ECANCELED or the connection's end. Calls
 * that wait for their answer are as many as there are threads, and settlements as many as there
 * are deliveries: they need no room, else puts that wait on a full queue would keep them from
 * emptying it. */
int wait_room(stw_client *client);
/* Wakes those that wait for room, if there is. */
void wait_check_room(stw_client *client);
/* driver_now's clock when timeout_ms from now is over. */
uint64_t wait_deadline(int64_t timeout_ms);
void *background_main(void *client);

/* ---- future.c ---- */

/* A future of the client, under way, with a reference on the client. Lock held. */
stw_future *future_new(stw_client *client);
/* conn_host.done */
void future_done(void *client, struct ticket *ticket, const struct outcome *outcome);
/* Lock held. Gives back what was not taken. */
void future_free_locked(stw_future *future);
/* Waits for the end, keeps the future: its code; STW_ECANCELED when interrupted (then it is
 * cancelled). Lock held. */
int future_finish(stw_future *future);
/* As future_finish, and frees. */
int future_finish_free(stw_future *future);
/* Hands a future to a caller who may not want it. Lock held. */
void future_give(stw_future *future, stw_future **out);

/* ---- message.c ---- */

/* Takes the item's reference on its run. Lock held. */
stw_message *message_take(stw_client *client, struct item *item, bool auto_ack);
void message_drop(stw_message *message);
void message_pool_fini(stw_client *client);

/* ---- completions.c ---- */

/* The future is done: into its list. Lock held. */
void completions_done(stw_future *future);
/* It is freed while it stands in a list. Lock held. */
void completions_forget(stw_future *future);

/* ---- lock.c ---- */

/* An acquire ended well. Lock held. */
void lock_granted(stw_future *future);
/* A lock that nobody took: released if it is held, and freed. Lock held. */
void lock_give_back(struct stw_lock *lock);

/* ---- get.c ---- */

/* The array of queue names; a failure is told by client_fail. Lock held. */
int get_write_queues(stw_client *client, struct buf *out, const char *const *queues, size_t count);

/* ---- request.c: requests built from values ---- */

/* Submits at once, room or not. 0, or the connection's end. Lock held. */
int request_submit(stw_client *client, const struct conn_request *request, stw_future **future);
/* Submits, waits, frees; number (may be NULL) gets the answer's. Lock held. */
int request_call(stw_client *client, const struct conn_request *request, uint64_t *number);

/* ---- rows.c ---- */

/* Rows of the encoded array of maps, the caller's; NULL: it is none. */
stw_rows *rows_decode(struct slice bytes);
/* A request with `fields` values in tail (freed) whose answer is rows. Lock held. */
int rows_call(stw_client *client, uint8_t op, uint8_t fields, struct buf *tail, stw_rows **rows);

#endif
