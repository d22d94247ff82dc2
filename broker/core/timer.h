/*
 * Deadlines: one binary heap for the whole core, ordered by (due, arming number), so that ties fire
 * in the order in which they were armed, on every replica.
 */
#ifndef BROKER_CORE_TIMER_H
#define BROKER_CORE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum timer_kind {
    TIMER_MESSAGE = 1, /* struct message_ext: delay or time-to-live */
    TIMER_LEASES,      /* struct lease_chunk: earliest lease of 256 tags */
    TIMER_WAITER,      /* struct waiter: deadline of a request */
    TIMER_HOLDER,      /* struct holder: a lock's lease */
    TIMER_DEDUP,       /* struct queue: oldest dedup id */
    TIMER_QUEUE_IDLE,  /* struct queue: collect when still idle */
    TIMER_LOCK_IDLE    /* struct lock: collect when still idle */
};

struct timer {
    uint64_t due_ms;
    uint64_t number; /* of arming: breaks ties, part of the state */
    uint32_t index;  /* in the heap, from 1; 0: not armed */
    uint8_t kind;    /* enum timer_kind; the owner embeds the timer */
};

struct timers {
    struct timer **heap; /* from 1 */
    size_t count;
    size_t capacity;
    uint64_t next_number;
};

void timers_fini(struct timers *timers);
/* Arms or moves; gives it a new number. */
void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ms);
void timer_disarm(struct timers *timers, struct timer *timer);
/* For restore: arms with the number it had. */
void timer_rearm(struct timers *timers, struct timer *timer, uint64_t due_ms, uint64_t number);
static inline bool timer_armed(const struct timer *timer)
{
    return timer->index != 0;
}
/* The earliest; NULL when none. */
struct timer *timers_first(const struct timers *timers);
/* Walks the heap; panics when it is none. */
void timers_check(const struct timers *timers);

#endif
