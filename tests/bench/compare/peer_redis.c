/*
 * Redis through hiredis, pipelined. Modes:
 *
 *   list     RPUSH of one value a command; LPOP of one value a command. What a consumer took is
 *            gone: nothing is acknowledged, a dead consumer's messages are lost
 *   safe     the same with LMOVE into the consumer's own list, and LPOP there as acknowledgement
 *   batch    RPUSH of many values, LPOP of many: the experts' trick; nothing is acknowledged either
 *   batchsafe  RPUSH of many values; a script moves many into the consumer's own list; LPOP of as
 *            many there as acknowledgement
 *   stream   XADD; XREADGROUP of many by a consumer group; XACK and XDEL of many
 *
 * Locks are SET NX PX and a checked delete (a script); hand-offs are BLPOP and RPUSH of one token.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/compare/harness.h"

#define NAME_BYTES 112
#define GROUP      "g"
#define IDS_MAX    4096 /* what one XREADGROUP takes at most */

enum mode { MODE_LIST, MODE_SAFE, MODE_BATCH, MODE_BATCHSAFE, MODE_STREAM };

struct link {
    redisContext *redis;
    enum mode mode;
    bool tokens; /* locks are lists of one token */
    char queue[NAME_BYTES];
    char own[NAME_BYTES + 16]; /* of this consumer: list, or name in the group */
    size_t acks;               /* answers that are not read yet */
    const char **arguments;    /* of a command with many */
    size_t *lengths;
    char script[41];
};

static const char unlock_script[] =
    "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0";

/* unpack() takes some 8,000 values at most. */
static const char move_script[] = "local v=redis.call('lpop',KEYS[1],ARGV[1]) "
                                  "if v then redis.call('rpush',KEYS[2],unpack(v)) end return v";

static bool batched(enum mode mode)
{
    return mode == MODE_BATCH || mode == MODE_BATCHSAFE;
}

static bool acked(enum mode mode)
{
    return mode == MODE_SAFE || mode == MODE_BATCHSAFE;
}

static enum mode mode_of(const struct job *job)
{
    static const char *const names[] = {"list", "safe", "batch", "batchsafe", "stream"};
    for (enum mode mode = MODE_LIST; mode <= MODE_STREAM; mode++) {
        if (strcmp(names[mode], job->mode) == 0) {
            return mode;
        }
    }
    return MODE_LIST;
}

static redisReply *checked(redisContext *redis, redisReply *reply)
{
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        die("redis: %s", reply == NULL ? redis->errstr : reply->str);
    }
    return reply;
}

/* The next answer of the pipeline. */
static redisReply *next(struct link *link)
{
    void *reply = NULL;
    redisGetReply(link->redis, &reply);
    return checked(link->redis, reply);
}

static void flush(struct link *link)
{
    int done = 0;
    while (done == 0) {
        if (redisBufferWrite(link->redis, &done) != REDIS_OK) {
            die("redis: %s", link->redis->errstr);
        }
    }
}

static redisContext *redis_open(const struct job *job)
{
    char host[64];
    int port = address_split(job->address, host);
    redisContext *redis = redisConnect(host, port);
    if (redis == NULL || redis->err != 0) {
        die("cannot connect to redis at %s", job->address);
    }
    return redis;
}

static void prepare(const struct job *job, const char *queue)
{
    redisContext *redis = redis_open(job);
    if (mode_of(job) == MODE_STREAM) {
        freeReplyObject(
            checked(redis, redisCommand(redis, "XGROUP CREATE %s " GROUP " 0 MKSTREAM", queue)));
    }
    if (strcmp(job->work, "handoffs") == 0) {
        freeReplyObject(checked(redis, redisCommand(redis, "RPUSH %s-0 token", queue)));
    }
    redisFree(redis);
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    static _Atomic unsigned opened;
    struct link *link = zalloc(1, sizeof *link);
    link->redis = redis_open(job);
    link->mode = mode_of(job);
    link->tokens = strcmp(job->work, "handoffs") == 0;
    snprintf(link->queue, sizeof link->queue, "%s", queue);
    snprintf(link->own, sizeof link->own, "%s-%d-%u", queue, (int)getpid(), opened++);
    link->arguments = zalloc(job->batch + IDS_MAX + 4, sizeof *link->arguments);
    link->lengths = zalloc(job->batch + IDS_MAX + 4, sizeof *link->lengths);
    if ((roles & ROLE_LOCK) != 0 || link->mode == MODE_BATCHSAFE) {
        redisReply *reply = checked(
            link->redis, redisCommand(link->redis, "SCRIPT LOAD %s",
                                      (roles & ROLE_LOCK) != 0 ? unlock_script : move_script));
        snprintf(link->script, sizeof link->script, "%s", reply->str);
        freeReplyObject(reply);
    }
    return link;
}

/* One argument after those that are there. */
static void argument(struct link *link, int *count, const char *text, size_t size)
{
    link->arguments[*count] = text;
    link->lengths[(*count)++] = size;
}

static void command(struct link *link, int count)
{
    redisAppendCommandArgv(link->redis, count, link->arguments, link->lengths);
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    int used = 0;
    argument(link, &used, link->mode == MODE_STREAM ? "XADD" : "RPUSH",
             link->mode == MODE_STREAM ? 4 : 5);
    argument(link, &used, link->queue, strlen(link->queue));
    if (link->mode == MODE_STREAM) {
        argument(link, &used, "*", 1);
        argument(link, &used, "b", 1);
    }
    for (size_t i = 0; i < count; i++) {
        argument(link, &used, bodies + i * size, size);
        if (!batched(link->mode)) {
            command(link, used--);
        }
    }
    if (batched(link->mode)) {
        command(link, used);
    }
    flush(link);
}

static void confirm(void *context, size_t count)
{
    struct link *link = context;
    size_t answers = batched(link->mode) ? 1 : count;
    for (size_t i = 0; i < answers; i++) {
        freeReplyObject(next(link));
    }
}

static void acks_read(struct link *link)
{
    for (; link->acks > 0; link->acks--) {
        freeReplyObject(next(link));
    }
}

/* How many bodies were in the answer; frees it. */
static size_t note_reply(redisReply *reply, note_body *note, void *noted)
{
    size_t count = 0;
    if (reply->type == REDIS_REPLY_STRING) {
        note(noted, reply->str, reply->len);
        count = 1;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        note(noted, reply->element[i]->str, reply->element[i]->len);
        count++;
    }
    freeReplyObject(reply);
    return count;
}

/* Waits for the first one; the others come with the next call. */
static size_t take_first(struct link *link, note_body *note, void *noted)
{
    if (acked(link->mode)) {
        redisAppendCommand(link->redis, "BLMOVE %s %s LEFT RIGHT 0.1", link->queue, link->own);
        flush(link);
        acks_read(link);
        size_t count = note_reply(next(link), note, noted);
        if (count > 0) {
            redisAppendCommand(link->redis, "LPOP %s", link->own);
            link->acks++;
        }
        return count;
    }
    redisAppendCommand(link->redis, "BLPOP %s 0.1", link->queue);
    redisReply *reply = next(link);
    bool found = reply->type == REDIS_REPLY_ARRAY;
    if (found) {
        note(noted, reply->element[1]->str, reply->element[1]->len);
    }
    freeReplyObject(reply);
    return found;
}

static size_t take_list(struct link *link, size_t most, note_body *note, void *noted)
{
    size_t count = 0, answers = batched(link->mode) ? 1 : most;
    if (most == 1) {
        return take_first(link, note, noted);
    }
    for (size_t i = 0; i < answers; i++) {
        if (link->mode == MODE_SAFE) {
            redisAppendCommand(link->redis, "LMOVE %s %s LEFT RIGHT", link->queue, link->own);
        } else if (link->mode == MODE_BATCHSAFE) {
            redisAppendCommand(link->redis, "EVALSHA %s 2 %s %s %d", link->script, link->queue,
                               link->own, (int)most);
        } else if (link->mode == MODE_BATCH) {
            redisAppendCommand(link->redis, "LPOP %s %d", link->queue, (int)most);
        } else {
            redisAppendCommand(link->redis, "LPOP %s", link->queue);
        }
    }
    flush(link);
    acks_read(link);
    for (size_t i = 0; i < answers; i++) {
        count += note_reply(next(link), note, noted);
    }
    if (acked(link->mode) && count > 0) { /* leaves with the next commands */
        redisAppendCommand(link->redis, "LPOP %s %d", link->own, (int)count);
        link->acks++;
    }
    return count > 0 ? count : take_first(link, note, noted);
}

/* XACK and XDEL of what was read; they leave with the next commands. */
static void stream_ack(struct link *link, const redisReply *entries)
{
    for (int deletes = 0; deletes < 2; deletes++) {
        int used = 0;
        argument(link, &used, deletes ? "XDEL" : "XACK", 4);
        argument(link, &used, link->queue, strlen(link->queue));
        if (!deletes) {
            argument(link, &used, GROUP, strlen(GROUP));
        }
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *id = entries->element[i]->element[0];
            argument(link, &used, id->str, id->len);
        }
        command(link, used);
        link->acks++;
    }
}

static size_t take_stream(struct link *link, size_t most, note_body *note, void *noted)
{
    size_t count = 0;
    redisAppendCommand(link->redis, "XREADGROUP GROUP " GROUP " %s COUNT %d BLOCK 100 STREAMS %s >",
                       link->own, (int)(most < IDS_MAX ? most : IDS_MAX), link->queue);
    flush(link);
    acks_read(link);
    redisReply *reply = next(link);
    if (reply->type == REDIS_REPLY_ARRAY) {
        const redisReply *entries = reply->element[0]->element[1];
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *body = entries->element[i]->element[1]->element[1];
            note(noted, body->str, body->len);
        }
        count = entries->elements;
        stream_ack(link, entries);
    }
    freeReplyObject(reply);
    return count;
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    return link->mode == MODE_STREAM ? take_stream(link, most, note, noted)
                                     : take_list(link, most, note, noted);
}

static void settle(void *context)
{
    struct link *link = context;
    flush(link);
    acks_read(link);
}

static void lock(void *context, unsigned first, unsigned count)
{
    struct link *link = context;
    for (unsigned i = 0; i < count; i++) {
        if (link->tokens) {
            redisAppendCommand(link->redis, "BLPOP %s-%u 0", link->queue, first + i);
        } else {
            redisAppendCommand(link->redis, "SET %s-%u %s NX PX 30000", link->queue, first + i,
                               link->own);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        redisReply *reply = next(link);
        if (reply->type == REDIS_REPLY_NIL) {
            die("a lock of one's own is not free");
        }
        freeReplyObject(reply);
    }
}

static void unlock(void *context, unsigned first, unsigned count)
{
    struct link *link = context;
    for (unsigned i = 0; i < count; i++) {
        if (link->tokens) {
            redisAppendCommand(link->redis, "RPUSH %s-%u token", link->queue, first + i);
        } else {
            redisAppendCommand(link->redis, "EVALSHA %s 1 %s-%u %s", link->script, link->queue,
                               first + i, link->own);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        redisReply *reply = next(link);
        if (reply->type != REDIS_REPLY_INTEGER || reply->integer != 1) {
            die("a lock was not held");
        }
        freeReplyObject(reply);
    }
}

static void link_close(void *context)
{
    struct link *link = context;
    redisFree(link->redis);
    free(link->arguments);
    free(link->lengths);
    free(link);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "redis",
                                     .prepare = prepare,
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .lock = lock,
                                     .unlock = unlock,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
