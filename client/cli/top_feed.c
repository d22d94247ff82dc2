/*
 * What top shows, asked of the manager: in a thread of its own, because an answer may take as long
 * as a manager takes to come back, and keys must work meanwhile.
 */
#include "client/cli/top.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/base/alloc.h"

/* count: rows of a page that are asked for at once */
#define PAGE_ROWS 1000

/* count: items of a queue that are shown with it */
#define PEEK_ROWS 10

/* milliseconds: how long the first answer of a look may take; then top says that none came */
#define ANSWER_MS 30000

/* milliseconds: between two tries to wake a thread that is to end */
#define STOP_PAUSE_MS 50

uint64_t top_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- one look -------------------------------------------------------------------------------- */

void top_look_free(struct top_look **pointer)
{
    struct top_look *look = *pointer;
    *pointer = NULL;
    if (look == NULL) {
        return;
    }
    for (size_t i = 0; i < look->pages_count; i++) {
        stw_rows_free(&look->pages[i]);
    }
    stw_rows_free(&look->detail[0]);
    stw_rows_free(&look->detail[1]);
    stw_rows_free(&look->stat);
    free(look->rows);
    free(look);
}

static int page_take(stw_client *client, const struct top_look *look, stw_rows **rows)
{
    const struct top_wish *wish = &look->wish;
    const char *prefix = wish->filter[0] == '^' ? wish->filter + 1 : NULL;
    const stw_rows *last = look->pages_count > 0 ? look->pages[look->pages_count - 1] : NULL;
    size_t row = last != NULL ? stw_rows_count(last) - 1 : 0;
    const char *after = last != NULL ? top_text(last, row, "name") : NULL;
    switch (wish->view) {
    case TOP_QUEUES: return stw_queue_list(client, after, prefix, PAGE_ROWS, rows);
    case TOP_LOCKS: return stw_lock_list(client, after, prefix, PAGE_ROWS, rows);
    default:
        return stw_session_list(client, last != NULL ? top_number(last, row, "session") : 0,
                                PAGE_ROWS, rows);
    }
}

/* Page after page, until one is empty or there are enough. */
static int pages_take(stw_client *client, struct top_look *look)
{
    size_t count = 0;
    while (look->wish.view != TOP_NODES) {
        stw_rows *rows = NULL;
        if (look->pages_count == TOP_PAGES_MAX || count >= TOP_ROWS_MAX) {
            look->more = true;
            return STW_OK;
        }
        int code = page_take(client, look, &rows);
        if (code != STW_OK || stw_rows_count(rows) == 0) {
            stw_rows_free(&rows);
            return code;
        }
        count += stw_rows_count(rows);
        look->pages[look->pages_count++] = rows;
    }
    return STW_OK;
}

/* What there is to say of one object; that it is gone is no failure of the look. */
static void detail_take(stw_client *client, struct top_look *look)
{
    const struct top_wish *wish = &look->wish;
    switch (wish->view) {
    case TOP_QUEUES:
        look->detail_code = stw_queue_show(client, wish->name, &look->detail[0]);
        if (look->detail_code == STW_OK) {
            (void)stw_queue_peek(client, wish->name, 0, PEEK_ROWS, &look->detail[1]);
        }
        break;
    case TOP_LOCKS: look->detail_code = stw_lock_show(client, wish->name, &look->detail[0]); break;
    case TOP_SESSIONS:
        look->detail_code = stw_session_show(client, wish->id, &look->detail[0]);
        break;
    default: break; /* a node's row says it all */
    }
}

struct top_look *top_look_take(stw_client *client, const struct top_wish *wish,
                               struct top_past *past)
{
    struct top_look *look = mem_zalloc(1, sizeof(*look));
    look->wish = *wish;
    look->code = stw_manage(client, "stat", NULL, ANSWER_MS, &look->stat);
    look->at_ms = top_now_ms();
    if (look->code == STW_OK && stw_rows_count(look->stat) <= TOP_JOURNAL) {
        look->code = STW_EAGAIN; /* the connection broke on the way: the next one will do */
    }
    if (look->code == STW_OK) {
        look->code = pages_take(client, look);
    }
    if (look->code == STW_OK && wish->detail) {
        detail_take(client, look);
    }
    if (look->code == STW_OK) {
        top_rows_make(look, past);
    } else {
        snprintf(look->error, sizeof(look->error), "%s", stw_last_error(client));
    }
    return look;
}

/* ---- the thread ------------------------------------------------------------------------------ */

struct top_feed {
    stw_client *client;
    struct top_past *past; /* the thread's */
    pthread_t thread;
    int fd; /* eventfd: a look lies ready */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* something below: on the monotonic clock */
    struct top_wish wish;
    uint64_t wishes; /* how often it changed */
    uint64_t interval_ms;
    bool paused, stop;
    struct top_look *look; /* made, not taken yet */
};

/* Until the interval is over, or something else is wanted. With the mutex. */
static void rest(struct top_feed *feed, uint64_t since_ms, uint64_t wishes)
{
    while (!feed->stop && feed->wishes == wishes) {
        uint64_t due_ms = since_ms + feed->interval_ms;
        if (!feed->paused && top_now_ms() >= due_ms) {
            return;
        }
        struct timespec due = {.tv_sec = (time_t)(due_ms / 1000),
                               .tv_nsec = (long)(due_ms % 1000) * 1000000};
        if (feed->paused) {
            pthread_cond_wait(&feed->changed, &feed->mutex);
        } else {
            pthread_cond_timedwait(&feed->changed, &feed->mutex, &due);
        }
    }
}

static void *run(void *context)
{
    struct top_feed *feed = context;
    pthread_mutex_lock(&feed->mutex);
    while (!feed->stop) {
        struct top_wish wish = feed->wish;
        uint64_t wishes = feed->wishes, since_ms = top_now_ms();
        pthread_mutex_unlock(&feed->mutex);
        struct top_look *look = top_look_take(feed->client, &wish, feed->past);
        pthread_mutex_lock(&feed->mutex);
        top_look_free(&feed->look);
        feed->look = look;
        (void)eventfd_write(feed->fd, 1);
        rest(feed, since_ms, wishes);
    }
    pthread_mutex_unlock(&feed->mutex);
    return NULL;
}

struct top_feed *top_feed_start(stw_client *client, const struct top_wish *wish,
                                uint64_t interval_ms)
{
    pthread_condattr_t clock;
    struct top_feed *feed = mem_zalloc(1, sizeof(*feed));
    feed->client = client;
    feed->past = top_past_new();
    feed->wish = *wish;
    feed->interval_ms = interval_ms;
    feed->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&feed->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&feed->changed, &clock);
    pthread_condattr_destroy(&clock);
    if (feed->fd >= 0 && pthread_create(&feed->thread, NULL, run, feed) == 0) {
        return feed;
    }
    if (feed->fd >= 0) {
        close(feed->fd);
    }
    top_past_free(&feed->past);
    free(feed);
    return NULL;
}

static void change(struct top_feed *feed)
{
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->mutex);
}

/* The thread may be about to call when the call is interrupted: so again, until it has ended. */
void top_feed_stop(struct top_feed **pointer)
{
    struct top_feed *feed = *pointer;
    int code = ETIMEDOUT;
    *pointer = NULL;
    pthread_mutex_lock(&feed->mutex);
    feed->stop = true;
    change(feed);
    while (code == ETIMEDOUT) {
        struct timespec until;
        stw_client_interrupt(feed->client);
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STOP_PAUSE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        code = pthread_timedjoin_np(feed->thread, NULL, &until);
    }
    top_look_free(&feed->look);
    top_past_free(&feed->past);
    pthread_cond_destroy(&feed->changed);
    pthread_mutex_destroy(&feed->mutex);
    close(feed->fd);
    free(feed);
}

int top_feed_fd(const struct top_feed *feed)
{
    return feed->fd;
}

struct top_look *top_feed_next(struct top_feed *feed)
{
    eventfd_t times;
    pthread_mutex_lock(&feed->mutex);
    struct top_look *look = feed->look;
    feed->look = NULL;
    (void)eventfd_read(feed->fd, &times);
    pthread_mutex_unlock(&feed->mutex);
    return look;
}

void top_feed_wish(struct top_feed *feed, const struct top_wish *wish)
{
    pthread_mutex_lock(&feed->mutex);
    feed->wish = *wish;
    feed->wishes++;
    change(feed);
}

void top_feed_interval(struct top_feed *feed, uint64_t interval_ms)
{
    pthread_mutex_lock(&feed->mutex);
    feed->interval_ms = interval_ms;
    change(feed);
}

void top_feed_pause(struct top_feed *feed, bool paused)
{
    pthread_mutex_lock(&feed->mutex);
    feed->paused = paused;
    change(feed);
}
