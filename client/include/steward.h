/*
 * libsteward: named queues and locks, owned by a manager process (`stewardd`).
 *
 *     stw_client *client;
 *     if (stw_open(&client, NULL, NULL) != STW_OK) ...
 *     stw_put(client, "letters", "A", 1, -1);
 *     stw_message *message;
 *     if (stw_get(client, "letters", 1000, &message) == STW_OK) {
 *         use(stw_message_data(message), stw_message_size(message));
 *         stw_ack(&message);
 *     }
 *     stw_close(&client);
 *
 * Rules that hold for every function unless its comment says otherwise
 * - Codes: 0 (STW_OK) is done, negatives are the codes of steward_errors.h. Three outcomes are
 *   told apart: done (0); refused (the manager or the library said no: nothing happened); unknown
 *   (STW_ESESSION: the session ended, and STW_EUNREACHABLE or STW_ETIMEOUT where the comment says
 *   so: it may have happened or not).
 * - Timeouts are int64_t milliseconds: 0 tries and does not wait, -1 waits for ever. A cut
 *   connection, a stopped manager, another node that leads: the library reconnects, resumes and
 *   sends again by itself; the caller sees a slow call until its timeout.
 * - Threads: every function may be called from any thread at any time; a client may be shared. Only
 *   an object's last call (stw_close, *_free, stw_ack and its kin) must not race with others on it.
 * - Fork: handles belong to the process that opened them. In a child every call on them fails
 *   with STW_EFORK (and *_close, *_free only free memory); the child opens its own client.
 * - Memory: `T **` consumes the object and sets the pointer to NULL; `const T *` borrows. Pointers
 *   returned from an object live as long as the object. Bodies given to put are copied first.
 * - Names: UTF-8, 1 to 255 bytes, no control characters, NUL-terminated here; names that
 *   begin with '$' are the manager's own. Bodies: 0 bytes to 1 MiB (the manager may say else).
 * - The library has no global state and installs no signal handlers. A blocking call is not
 *   interrupted by signals; use timeouts, or stw_client_interrupt.
 */
#ifndef STEWARD_H
#define STEWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "steward_errors.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STW_API __attribute__((visibility("default")))
#else
#define STW_API
#endif

/* The library's version. */
#define STW_VERSION_MAJOR 0
#define STW_VERSION_MINOR 1
#define STW_VERSION_PATCH 0
#define STW_VERSION       "0.1.0"

/* Where a client connects if nobody says else (and STEWARD_ENDPOINT is not set). */
#define STW_DEFAULT_ENDPOINT "tcp://127.0.0.1:5757"

/* "Use the queue's own setting." */
#define STW_DEFAULT INT64_MIN

typedef struct stw_client stw_client;
typedef struct stw_message stw_message;
typedef struct stw_consumer stw_consumer;
typedef struct stw_lock stw_lock;
typedef struct stw_future stw_future;
typedef struct stw_completions stw_completions;
typedef struct stw_rows stw_rows;

/* ---- errors --------------------------------------------------------------------------------- */

/* One sentence for a code. Static; never NULL. */
STW_API const char *stw_strerror(int code);
/* "STW_ETIMEOUT" for a code. Static; never NULL. */
STW_API const char *stw_err_name(int code);
/* The sentence of this thread's last failed call on this client, with names and numbers in it;
 * "" if none failed. Valid until this thread's next call on the client. */
STW_API const char *stw_last_error(stw_client *client);

/* ---- the client ----------------------------------------------------------------------------- */

typedef struct stw_open_options {
    size_t size;               /* sizeof(stw_open_options); set by stw_open_options_init */
    int64_t timeout_ms;        /* for stw_open to reach the manager; 0: do not wait for it (calls
                               will); default 5000 */
    uint64_t session_ttl_ms;   /* silence after which the manager ends the session; default 10000 */
    uint64_t session_grace_ms; /* after the connection closed; default 2000; 0 allowed */
    const char *program;       /* who this is, for people; default: the process' name */
    uint32_t in_flight_max; /* requests without answer before an async call blocks; default 65536 */
    uint32_t flush_ms;      /* a pending packet leaves at the latest after this; default 1 */
} stw_open_options;

/* Fills in the defaults and options->size. Call it before setting fields. */
STW_API void stw_open_options_init(stw_open_options *options);

/*
 * Opens a client: one connection, one session, one background thread.
 * endpoints: comma-separated ZeroMQ endpoints, tried in turn; NULL: $STEWARD_ENDPOINT, else
 * STW_DEFAULT_ENDPOINT. options: NULL for defaults.
 * Of a cluster give every node's: the client finds the one that leads, now and after a failover.
 * Blocks up to options.timeout_ms. STW_EUNREACHABLE if no manager answered by then, STW_ENOQUORUM
 * if nodes did but none leads, STW_EINVAL, STW_EVERSION, STW_ENOMEM. On failure *client is NULL.
 */
STW_API int stw_open(stw_client **client, const char *endpoints, const stw_open_options *options);

/* Sends what is pending (waits at most 1 s for it), ends the session (leases and locks go back at
 * once), frees everything but objects that the caller still holds (free those first: messages,
 * consumers, futures of a closed client may only be freed). NULL and *client NULL are allowed. */
STW_API void stw_close(stw_client **client);

/* Sends pending requests now. Never blocks. Not needed before blocking calls: they flush. */
STW_API int stw_flush(stw_client *client);

/* The session's id (as `steward session list` shows it); 0 before the first connection. */
STW_API uint64_t stw_client_session(const stw_client *client);

/* Makes every blocking call under way on this client return STW_ECANCELED, once. Async-signal-safe:
 * may be called from a signal handler. */
STW_API void stw_client_interrupt(stw_client *client);

/* A session ended (STW_ESESSION was the outcome of what was under way); how often so far. */
STW_API uint64_t stw_client_sessions_lost(const stw_client *client);

/* ---- putting -------------------------------------------------------------------------------- */

/* Puts one item; returns when the manager has it. timeout_ms is for room in a bounded queue:
 * STW_EFULL (0: full now; or overflow `reject`), STW_ETIMEOUT (still full), STW_ESHUTDOWN,
 * STW_ETOOBIG, STW_EMEMORY (the manager's ceiling), STW_EDISK (its disk is full): the library
 * retries these until the timeout. STW_ENOQUORUM: too few nodes of a cluster answered, nothing was
 * put. Unknown: STW_ESESSION; STW_ETIMEOUT when the manager could not be reached in time. */
STW_API int stw_put(stw_client *client, const char *queue, const void *data, size_t size,
                    int64_t timeout_ms);

typedef struct stw_header {
    const char *name;
    const char *value;
} stw_header;

typedef struct stw_put_options {
    size_t size;          /* set by stw_put_options_init */
    int64_t timeout_ms;   /* as in stw_put; default -1 */
    int64_t delay_ms;     /* not delivered before; STW_DEFAULT: the queue's setting */
    int64_t ttl_ms;       /* not delivered after; 0: lives for ever; STW_DEFAULT: the queue's */
    uint8_t priority;     /* higher first; default 0 */
    const void *dedup_id; /* idempotent put: the same id within the queue's window is put once */
    size_t dedup_id_size; /* bytes, at most 128; 0: none */
    const stw_header *headers; /* at most 16, 4096 bytes in all */
    size_t headers_count;
} stw_put_options;

/* Fills in the defaults and options->size. */
STW_API void stw_put_options_init(stw_put_options *options);

typedef struct stw_item {
    const void *data;
    size_t size;
} stw_item;

/* Puts count items (1 to 1024) into one queue, all or none, each with the options (NULL: none).
 * *duplicate (may be NULL) is set if the dedup id was known: nothing was put then, code 0. */
/* tidy: allow parameters: a flat call reads better than a struct here */
STW_API int stw_put_many(stw_client *client, const char *queue, const stw_item *items, size_t count,
                         const stw_put_options *options, bool *duplicate);

/* As stw_put, without waiting: *future ends with the same codes. Many puts in flight are packed
 * together. Blocks only while in_flight_max requests have no answer. future NULL: nobody asks. */
/* tidy: allow parameters: a flat call reads better than a struct here */
STW_API int stw_put_async(stw_client *client, const char *queue, const void *data, size_t size,
                          int64_t timeout_ms, stw_future **future);
/* As stw_put_many, without waiting; stw_future_value is 1 for a duplicate.
 * future NULL: nobody asks. Blocks only while in_flight_max requests have no answer. */
/* tidy: allow parameters: a flat call reads better than a struct here */
STW_API int stw_put_many_async(stw_client *client, const char *queue, const stw_item *items,
                               size_t count, const stw_put_options *options, stw_future **future);

/* ---- getting -------------------------------------------------------------------------------- */

/* Gets one item under a lease of the queue's length: acknowledge it, or it is delivered again.
 * STW_EEMPTY (timeout 0 and nothing there), STW_ETIMEOUT, STW_ESHUTDOWN (shut down and empty). */
STW_API int stw_get(stw_client *client, const char *queue, int64_t timeout_ms,
                    stw_message **message);

typedef struct stw_get_options {
    size_t size;        /* set by stw_get_options_init */
    int64_t timeout_ms; /* default -1 */
    int64_t lease_ms;   /* STW_DEFAULT: the queue's */
    bool auto_ack;      /* acknowledged when this library has the reply; stw_ack is then a no-op */
} stw_get_options;

/* Fills in the defaults and options->size. */
STW_API void stw_get_options_init(stw_get_options *options);

/* Gets up to messages_max (1 to 1024) items from the first of queues_count (1 to 64) queues that
 * has any; waits for the first item only. messages[0 .. *count-1] are the caller's to settle. */
/* tidy: allow parameters: a flat call reads better than a struct here */
STW_API int stw_get_many(stw_client *client, const char *const *queues, size_t queues_count,
                         const stw_get_options *options, stw_message **messages,
                         size_t messages_max, size_t *count);

/* The future's messages are taken by stw_future_message. */
/* tidy: allow parameters: a flat call reads better than a struct here */
STW_API int stw_get_async(stw_client *client, const char *const *queues, size_t queues_count,
                          const stw_get_options *options, size_t messages_max, stw_future **future);

/* ---- messages ------------------------------------------------------------------------------- */

/* The body: stw_message_size bytes, not NUL-terminated, never NULL. Lives with the message. */
STW_API const void *stw_message_data(const stw_message *message);
/* Bytes of the body. */
STW_API size_t stw_message_size(const stw_message *message);
/* The queue it came from. NUL-terminated; lives as long as the message. */
STW_API const char *stw_message_queue(const stw_message *message);
/* The fencing token of this delivery: larger than all tokens given out before. */
STW_API uint64_t stw_message_token(const stw_message *message);
/* 1 for the first delivery. */
STW_API uint32_t stw_message_deliveries(const stw_message *message);
/* The priority it was put with, 0 to 255. */
STW_API uint8_t stw_message_priority(const stw_message *message);
/* Header value, or of a dead letter "dead.queue", "dead.reason", "first_failure", "last_failure";
 * NULL if there is none. */
STW_API const char *stw_message_header(const stw_message *message, const char *name);
/* Milliseconds of lease left by this process' clock; negative: probably lost. */
STW_API int64_t stw_message_lease_left(const stw_message *message);

/* Settling. Each waits for the manager's answer, consumes the message, and fails with STW_ELEASE
 * if the lease was lost (the item is or will be delivered to somebody else).
 * ack: done. nack: failed, counts, comes back after delay_ms. release: comes back, does not count.
 * reject: to the dead-letter queue. reason: may be NULL, at most 255 bytes are kept. */
STW_API int stw_ack(stw_message **message);
/* Failed: counts as a delivery and comes back after delay_ms (0: at once), or goes to the
 * dead-letter queue at max_deliveries. reason: NULL or at most 255 bytes. Blocks; consumes. */
STW_API int stw_nack(stw_message **message, int64_t delay_ms, const char *reason);
/* Given back to its place in the queue, not counted. Blocks; consumes. */
STW_API int stw_release(stw_message **message);
/* To the dead-letter queue now. reason: NULL or at most 255 bytes. Blocks; consumes. */
STW_API int stw_reject(stw_message **message, const char *reason);
/* A new lease of lease_ms (STW_DEFAULT: as it was) from now on. Does not consume. */
STW_API int stw_renew(stw_message *message, int64_t lease_ms);
/* Python's word for stw_ack. */
STW_API int stw_task_done(stw_message **message);

/* The same without waiting; consume the message at once. future NULL: nobody asks. */
STW_API int stw_ack_async(stw_message **message, stw_future **future);
/* stw_nack without waiting. Consumes at once. future NULL: nobody asks. */
STW_API int stw_nack_async(stw_message **message, int64_t delay_ms, const char *reason,
                           stw_future **future);
/* stw_release without waiting. Consumes at once. future NULL: nobody asks. */
STW_API int stw_release_async(stw_message **message, stw_future **future);
/* stw_reject without waiting. Consumes at once. future NULL: nobody asks. */
STW_API int stw_reject_async(stw_message **message, const char *reason, stw_future **future);

/* Renews by itself (every third of the lease) until the message is settled or freed. */
STW_API int stw_message_auto_renew(stw_message *message, bool on);

/* Frees without settling: the lease runs out, or ends with the session. */
STW_API void stw_message_free(stw_message **message);

/* ---- consuming: a stream ahead of the program ----------------------------------------------- */

typedef struct stw_consume_options {
    size_t size;             /* set by stw_consume_options_init */
    uint64_t prefetch;       /* messages ahead of the program; default 4096 */
    uint64_t prefetch_bytes; /* bytes ahead of the program; default 16 MiB */
    int64_t lease_ms;        /* STW_DEFAULT: the queue's */
} stw_consume_options;

/* Fills in the defaults and options->size. */
STW_API void stw_consume_options_init(stw_consume_options *options);

/* Opens a stream from 1 to 64 queues. What lies in its buffer is leased and renewed by the library;
 * stw_consumer_next hands it over: from then on the lease is the program's. */
STW_API int stw_consume(stw_client *client, const char *const *queues, size_t queues_count,
                        const stw_consume_options *options, stw_consumer **consumer);

/* The next message. STW_EEMPTY (timeout 0), STW_ETIMEOUT, STW_ESHUTDOWN or STW_EDELETED (the
 * stream is at its end), STW_ESESSION (once, when the session was lost; the stream then goes on in
 * a new session; what was handed over before cannot be settled any more). */
STW_API int stw_consumer_next(stw_consumer *consumer, int64_t timeout_ms, stw_message **message);

/* Gives what is in the buffer back, uncounted, and closes. Messages handed over stay valid. */
STW_API void stw_consumer_close(stw_consumer **consumer);

/* ---- queues --------------------------------------------------------------------------------- */

enum stw_overflow { STW_OVERFLOW_BLOCK = 0, STW_OVERFLOW_REJECT = 1, STW_OVERFLOW_DROP_OLDEST = 2 };

/* Which options are given: all others keep the manager's default (or their value, in alter). */
enum stw_queue_option {
    STW_QUEUE_MAXSIZE = 1,
    STW_QUEUE_MAX_BYTES = 2,
    STW_QUEUE_OVERFLOW = 4,
    STW_QUEUE_LEASE = 8,
    STW_QUEUE_MAX_DELIVERIES = 16,
    STW_QUEUE_DEAD_LETTER = 32,
    STW_QUEUE_TTL = 64,
    STW_QUEUE_DELAY = 128,
    STW_QUEUE_DEDUP_WINDOW = 256
};

typedef struct stw_queue_options {
    size_t size;        /* set by stw_queue_options_init */
    uint32_t given;     /* set of enum stw_queue_option */
    uint64_t maxsize;   /* ready and delayed items; 0: unbounded */
    uint64_t max_bytes; /* bytes of ready and delayed items; 0: unbounded */
    enum stw_overflow overflow;
    uint64_t lease_ms;       /* default 30000 */
    uint64_t max_deliveries; /* then the item goes to the dead-letter queue; 0: never */
    const char *dead_letter; /* default: NAME.dead */
    uint64_t ttl_ms;
    uint64_t delay_ms;
    uint64_t dedup_window_ms; /* default 300000 */
} stw_queue_options;

/* Nothing given; sets options->size. */
STW_API void stw_queue_options_init(stw_queue_options *options);

/* Creates the queue, or checks that it exists with these options (STW_EEXIST names one that
 * differs). Queues are also created by their first use, without options. */
STW_API int stw_queue_declare(stw_client *client, const char *queue,
                              const stw_queue_options *options);
/* Changes the given options of an existing queue, for puts and leases from now on. STW_ENOENT. */
STW_API int stw_queue_alter(stw_client *client, const char *queue,
                            const stw_queue_options *options);
/* Deletes it with all it holds: waiters end STW_EDELETED, leases are lost. STW_ENOENT. */
STW_API int stw_queue_delete(stw_client *client, const char *queue);
/* *count (may be NULL): how many items went. */
STW_API int stw_queue_purge(stw_client *client, const char *queue, uint64_t *count);
/* No deliveries until resumed; puts go on. */
STW_API int stw_queue_pause(stw_client *client, const char *queue);
/* Ends a pause. */
STW_API int stw_queue_resume(stw_client *client, const char *queue);
/* Python 3.13's Queue.shutdown: no more puts; gets until empty, or (immediate) everything goes. */
STW_API int stw_queue_shutdown(stw_client *client, const char *queue, bool immediate);
/* Dead letters back to where they came from (target NULL) or to target; max 0: all there are. */
STW_API int stw_queue_redrive(stw_client *client, const char *queue, const char *target,
                              uint64_t max, uint64_t *count);
/* Waits until every item ever put is acknowledged, dropped or dead. Ends although workers die. */
STW_API int stw_queue_join(stw_client *client, const char *queue, int64_t timeout_ms);
/* Ready items now. */
STW_API int stw_queue_qsize(stw_client *client, const char *queue, uint64_t *count);

/* ---- locks and semaphores ------------------------------------------------------------------- */

typedef struct stw_lock_options {
    size_t size;        /* set by stw_lock_options_init */
    int64_t timeout_ms; /* default -1; 0 tries: STW_EBUSY */
    uint64_t lease_ms;  /* 0 (default): held until released or the session ends */
    bool reentrant;     /* the same owner may take it again; released as often */
    uint64_t owner;     /* who within this client holds it; default 0: the calling thread */
    uint64_t permits;   /* semaphores: the declared count, the same in every acquire */
} stw_lock_options;

/* Fills in the defaults and options->size. */
STW_API void stw_lock_options_init(stw_lock_options *options);

/* Takes the named lock. STW_EBUSY, STW_ETIMEOUT, STW_EKIND. The lock is the session's: it passes
 * on when this process dies. It is lease-based: guard outside resources with the fencing token. */
STW_API int stw_lock_acquire(stw_client *client, const char *name, const stw_lock_options *options,
                             stw_lock **lock);
/* Takes one of options->permits permits of the named semaphore. */
STW_API int stw_semaphore_acquire(stw_client *client, const char *name,
                                  const stw_lock_options *options, stw_lock **permit);
/* stw_lock_acquire without waiting: take the lock by stw_future_lock. */
STW_API int stw_lock_acquire_async(stw_client *client, const char *name,
                                   const stw_lock_options *options, stw_future **future);
/* stw_semaphore_acquire without waiting: take the permit by stw_future_lock. */
STW_API int stw_semaphore_acquire_async(stw_client *client, const char *name,
                                        const stw_lock_options *options, stw_future **future);
/* Gives it back; STW_ENOTHOLDER if it was lost. Consumes. */
STW_API int stw_lock_release(stw_lock **lock);
/* stw_lock_release without waiting. Consumes at once. future NULL: nobody asks. */
STW_API int stw_lock_release_async(stw_lock **lock, stw_future **future);
/* A new lease of lease_ms from now on, for a lock taken with one. STW_ENOTHOLDER if it was lost. */
STW_API int stw_lock_renew(stw_lock *lock, uint64_t lease_ms);
/* The fencing token: larger than that of every holder before. */
STW_API uint64_t stw_lock_token(const stw_lock *lock);
/* Its name. NUL-terminated; lives as long as the handle. */
STW_API const char *stw_lock_name(const stw_lock *lock);
/* false once the library knows that it was lost (session ended, lease ran out, broken). No I/O. */
STW_API bool stw_lock_held(const stw_lock *lock);
/* Frees the handle without releasing. */
STW_API void stw_lock_free(stw_lock **lock);
/* An operator's act: takes the lock from its holders; the next waiter gets a new token. */
STW_API int stw_lock_break(stw_client *client, const char *name);

/* ---- futures -------------------------------------------------------------------------------- */

/* Waits for the outcome: the code of the request; STW_EAGAIN if it is not there after timeout_ms
 * (the request goes on). May be called again. */
STW_API int stw_future_wait(stw_future *future, int64_t timeout_ms);
/* The outcome if it is there, else STW_EAGAIN. Never blocks, never flushes. */
STW_API int stw_future_poll(stw_future *future);
/* Index of one that is done (NULL entries are skipped), or STW_EAGAIN. All of one client. */
STW_API int stw_future_wait_any(stw_future *const *futures, size_t count, int64_t timeout_ms);
/* STW_OK when all are done (whatever their outcomes), or STW_EAGAIN. All of one client. */
STW_API int stw_future_wait_all(stw_future *const *futures, size_t count, int64_t timeout_ms);
/* Asks the manager to end the request; what it got meanwhile is given back. */
STW_API int stw_future_cancel(stw_future *future);
/* Takes the next message of a done get; NULL when there are no more. */
STW_API stw_message *stw_future_message(stw_future *future);
/* Takes the lock of a done acquire; NULL if there is none. */
STW_API stw_lock *stw_future_lock(stw_future *future);
/* The number of an answer: put_many: 1 for a duplicate. */
STW_API uint64_t stw_future_value(const stw_future *future);
/* The sentence of a failed request, "" else. */
STW_API const char *stw_future_error(const stw_future *future);
/* Frees; a request under way of kind get or acquire is cancelled, others go on unasked.
 * Messages and locks not taken are given back. */
STW_API void stw_future_free(stw_future **future);

/* A queue of finished futures, for thousands in flight. */
STW_API int stw_completions_new(stw_client *client, stw_completions **completions);
/* The future will appear in it once, when it is done (at once if it is already). user comes
 * along. */
STW_API int stw_completions_add(stw_completions *completions, stw_future *future, void *user);
/* The next finished one (the caller's again), STW_EAGAIN after timeout_ms. */
STW_API int stw_completions_next(stw_completions *completions, int64_t timeout_ms,
                                 stw_future **future, void **user);
/* A descriptor that is readable while stw_completions_next would return one: for poll, epoll, any
 * event loop. Owned by the completions. */
STW_API int stw_completions_fd(stw_completions *completions);
/* Frees it; futures still in it stay valid and are no longer announced. */
STW_API void stw_completions_free(stw_completions **completions);

/* ---- looking: rows of named values ---------------------------------------------------------- */

/* Each gives rows to free with stw_rows_free; fields as docs/protocol.md names them.
 * Lists are paged: `after` is the name of the last row of the page before, NULL at first. */
STW_API int stw_stat(stw_client *client, stw_rows **rows);
/* An operator's request to the manager as a process: its journal, cluster, backups. The actions and
 * their rows stand in docs/protocol.md under MANAGE; argument NULL is "". rows[0] is the manager's
 * totals, rows[1] its gateway's counters, what follows the action's. A refusal of the action (its
 * row's `code`) is the code returned, without rows. What became of an action that ended in
 * STW_ETIMEOUT or STW_ESESSION is not known: all may be asked for again. Blocks until a leader
 * answers, at most timeout_ms (negative: for ever). STW_EINVAL, STW_ETIMEOUT, STW_ENOQUORUM. */
STW_API int stw_manage(stw_client *client, const char *action, const char *argument,
                       int64_t timeout_ms, stw_rows **rows);
/* One row: a queue's settings, counts and counters. STW_ENOENT. */
STW_API int stw_queue_show(stw_client *client, const char *queue, stw_rows **rows);
/* A page of at most max (1 to 1000) queues in byte order of names, each as in stw_queue_show;
 * prefix NULL: all. */
STW_API int stw_queue_list(stw_client *client, const char *after, const char *prefix, size_t max,
                           stw_rows **rows);
/* Ready items from offset on, in delivery order, at most max (1 to 1000); nothing is leased. */
STW_API int stw_queue_peek(stw_client *client, const char *queue, uint64_t offset, size_t max,
                           stw_rows **rows);
/* First row the lock, then a row for each holder and waiter. STW_ENOENT. */
STW_API int stw_lock_show(stw_client *client, const char *name, stw_rows **rows);
/* A page of at most max (1 to 1000) locks and semaphores in byte order of names. */
STW_API int stw_lock_list(stw_client *client, const char *after, const char *prefix, size_t max,
                          stw_rows **rows);
/* One row: a session. STW_ENOENT. */
STW_API int stw_session_show(stw_client *client, uint64_t session, stw_rows **rows);
/* A page of at most max (1 to 1000) sessions with ids greater than after, ascending. */
STW_API int stw_session_list(stw_client *client, uint64_t after, size_t max, stw_rows **rows);
/* An operator's act: ends a session; what it owns is given back. STW_ENOENT. */
STW_API int stw_session_end(stw_client *client, uint64_t session);

enum stw_value_type { STW_VALUE_NUMBER = 1, STW_VALUE_TEXT = 2, STW_VALUE_BYTES = 3 };

typedef struct stw_value {
    const char *key;
    enum stw_value_type type;
    uint64_t number;
    const char *data; /* TEXT: NUL-terminated; BYTES: size bytes */
    size_t size;
} stw_value;

/* How many rows. */
STW_API size_t stw_rows_count(const stw_rows *rows);
/* How many fields a row has; 0 out of range. */
STW_API size_t stw_rows_fields(const stw_rows *rows, size_t row);
/* Field by position. Out of range: false. */
STW_API bool stw_rows_value(const stw_rows *rows, size_t row, size_t field, stw_value *value);
/* Field by name. */
STW_API bool stw_rows_find(const stw_rows *rows, size_t row, const char *key, stw_value *value);
/* Frees the rows and everything that stw_value pointed to. */
STW_API void stw_rows_free(stw_rows **rows);

#ifdef __cplusplus
}
#endif

#endif
