/* The heap of deadlines: an array from 1 whose timers know their place in it. */
#include "broker/core/timer.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <stdlib.h>

#define FIRST_CAPACITY 64

static bool before(const struct timer *a, const struct timer *b)
{
    if (a->due_ms != b->due_ms) {
        return a->due_ms < b->due_ms;
    }
    return a->number < b->number;
}

static void place(struct timers *timers, size_t index, struct timer *timer)
{
    timers->heap[index] = timer;
    timer->index = (uint32_t)index;
}

static void sift_up(struct timers *timers, size_t index, struct timer *timer)
{
    while (index > 1 && before(timer, timers->heap[index / 2])) {
        place(timers, index, timers->heap[index / 2]);
        index /= 2;
    }
    place(timers, index, timer);
}

static void sift_down(struct timers *timers, size_t index, struct timer *timer)
{
    for (;;) {
        size_t child = index * 2;
        if (child > timers->count) {
            break;
        }
        if (child < timers->count && before(timers->heap[child + 1], timers->heap[child])) {
            child++;
        }
        if (!before(timers->heap[child], timer)) {
            break;
        }
        place(timers, index, timers->heap[child]);
        index = child;
    }
    place(timers, index, timer);
}

/* Puts the timer where it belongs, starting from a place that is free or its own. */
static void sift(struct timers *timers, size_t index, struct timer *timer)
{
    if (index > 1 && before(timer, timers->heap[index / 2])) {
        sift_up(timers, index, timer);
    } else {
        sift_down(timers, index, timer);
    }
}

void timers_fini(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

static size_t slot_for(struct timers *timers, const struct timer *timer)
{
    if (timer->index != 0) {
        STEWARD_ASSERT(timers->heap[timer->index] == timer);
        return timer->index;
    }
    if (timers->count + 1 >= timers->capacity) {
        timers->capacity = timers->capacity ? timers->capacity * 2 : FIRST_CAPACITY;
        STEWARD_ASSERT(timers->capacity <= UINT32_MAX);
        timers->heap = mem_realloc(timers->heap, timers->capacity, sizeof(struct timer *));
    }
    return ++timers->count;
}

void timer_rearm(struct timers *timers, struct timer *timer, uint64_t due_ms, uint64_t number)
{
    size_t index = slot_for(timers, timer);
    timer->due_ms = due_ms;
    timer->number = number;
    sift(timers, index, timer);
}

void timer_arm(struct timers *timers, struct timer *timer, uint64_t due_ms)
{
    timer_rearm(timers, timer, due_ms, timers->next_number++);
}

void timer_disarm(struct timers *timers, struct timer *timer)
{
    size_t index = timer->index;
    if (index == 0) {
        return;
    }
    STEWARD_ASSERT(index <= timers->count && timers->heap[index] == timer);
    timer->index = 0;
    struct timer *last = timers->heap[timers->count--];
    if (last != timer) {
        sift(timers, index, last);
    }
}

struct timer *timers_first(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[1] : NULL;
}

void timers_check(const struct timers *timers)
{
    for (size_t i = 1; i <= timers->count; i++) {
        const struct timer *timer = timers->heap[i];
        STEWARD_ASSERT(timer->index == i);
        STEWARD_ASSERT(timer->number < timers->next_number);
        STEWARD_ASSERT(i == 1 || before(timers->heap[i / 2], timer));
    }
}
