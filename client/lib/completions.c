/* Completions: finished futures in the order in which they finished, with a descriptor to poll. */
#include "client/lib/client.h"

#include "common/base/alloc.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct stw_completions {
    stw_client *client;
    stw_future *first, *last; /* done and not handed out */
    size_t members;           /* futures that know it: it is freed when the last has gone */
    uint32_t watchers;
    int fd; /* readable while there is a first; -1: never asked for */
    bool freed;
};

static void show(struct stw_completions *completions)
{
    if (completions->fd >= 0) {
        driver_kick(completions->fd);
    }
}

static void hide(struct stw_completions *completions)
{
    uint64_t count;
    if (completions->fd >= 0) {
        ssize_t got = read(completions->fd, &count, sizeof count);
        (void)got;
    }
}

static void append(struct stw_completions *completions, stw_future *future)
{
    future->next = NULL;
    if (completions->first) {
        completions->last->next = future;
    } else {
        completions->first = future;
        show(completions);
    }
    completions->last = future;
}

/* The future leaves; the last one frees what nobody wants any more. */
static void part(stw_future *future)
{
    struct stw_completions *completions = future->completions;
    future->completions = NULL;
    completions->members--;
    if (completions->freed && completions->members == 0) {
        free(completions);
    }
}

void completions_done(stw_future *future)
{
    struct stw_completions *completions = future->completions;
    if (completions->freed) {
        part(future);
        return;
    }
    append(completions, future);
    if (completions->watchers) {
        wait_wake(completions->client, completions);
    }
}

static void unlink_future(struct stw_completions *completions, const stw_future *future)
{
    stw_future *before = NULL;
    for (stw_future *at = completions->first; at; before = at, at = at->next) {
        if (at != future) {
            continue;
        }
        if (before) {
            before->next = at->next;
        } else {
            completions->first = at->next;
        }
        completions->last = completions->last == at ? before : completions->last;
        break;
    }
    if (completions->first == NULL) {
        hide(completions);
    }
}

void completions_forget(stw_future *future)
{
    if (atomic_load(&future->state) == FUTURE_DONE && !future->completions->freed) {
        unlink_future(future->completions, future);
    }
    part(future);
}

int stw_completions_new(stw_client *client, stw_completions **completions)
{
    if (completions == NULL) {
        return STW_EINVAL;
    }
    *completions = NULL;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    stw_completions *made = mem_zalloc(1, sizeof *made);
    made->client = client;
    made->fd = -1;
    client_hold(client);
    *completions = made;
    client_leave(client);
    return 0;
}

int stw_completions_add(stw_completions *completions, stw_future *future, void *user)
{
    if (completions == NULL || future == NULL || future->client != completions->client) {
        return STW_EINVAL;
    }
    int code = client_enter(completions->client);
    if (code != 0) {
        return code;
    }
    if (future->completions) {
        code = client_fail(completions->client, STW_EINVAL, "the future is in completions already");
    } else {
        future->completions = completions;
        future->user = user;
        completions->members++;
        if (atomic_load(&future->state) == FUTURE_DONE) {
            completions_done(future);
        }
    }
    client_leave(completions->client);
    return code;
}

static bool has_one(const struct waiter *waiter)
{
    return ((const struct stw_completions *)waiter->subject)->first != NULL;
}

int stw_completions_next(stw_completions *completions, int64_t timeout_ms, stw_future **future,
                         void **user)
{
    if (completions == NULL || future == NULL) {
        return STW_EINVAL;
    }
    *future = NULL;
    int code = client_enter(completions->client);
    if (code != 0) {
        return code;
    }
    if (completions->first == NULL) {
        struct waiter waiter = {
            .ready = has_one, .client = completions->client, .subject = completions};
        completions->watchers++;
        code = wait_until(&waiter, wait_deadline(timeout_ms));
        completions->watchers--;
    }
    if (code == 0) {
        stw_future *first = completions->first;
        completions->first = first->next;
        if (completions->first == NULL) {
            hide(completions);
        }
        if (user) {
            *user = first->user;
        }
        part(first);
        *future = first;
    }
    client_leave(completions->client);
    return code;
}

int stw_completions_fd(stw_completions *completions)
{
    int code = completions ? client_enter(completions->client) : STW_EINVAL;
    if (code != 0) {
        return code;
    }
    if (completions->fd < 0) {
        completions->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (completions->first) {
            show(completions);
        }
    }
    code = completions->fd >= 0 ? completions->fd : STW_ENOMEM;
    client_leave(completions->client);
    return code;
}

void stw_completions_free(stw_completions **pointer)
{
    if (pointer == NULL || *pointer == NULL) {
        return;
    }
    stw_completions *completions = *pointer;
    stw_client *client = completions->client;
    *pointer = NULL;
    (void)client_enter_free(client);
    while (completions->first) {
        stw_future *first = completions->first;
        completions->first = first->next;
        part(first);
    }
    if (completions->fd >= 0) {
        close(completions->fd);
    }
    completions->freed = true;
    if (completions->members == 0) {
        free(completions);
    }
    client_drop(client);
}
