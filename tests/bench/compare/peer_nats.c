/*
 * NATS JetStream through libnats: asynchronous publications with a handler for each confirmation,
 * a pull consumer that fetches batches, an acknowledgement for each message. A work-queue stream,
 * in memory or in files.
 */
#include <nats/nats.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/compare/harness.h"

#define DURABLE  "workers"
#define FETCH_MS 100

struct link {
    natsConnection *connection;
    jsCtx *stream;
    natsSubscription *subscription;
    char *queue;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint64_t confirmed, wanted, awaited; /* publications; awaited: 0, or wake confirm() there */
};

static void check(natsStatus status, const char *what)
{
    if (status != NATS_OK) {
        die("nats: %s: %s (%s)", what, natsStatus_GetText(status), nats_GetLastError(NULL));
    }
}

/* On the library's thread. */
static void published(jsCtx *stream, natsMsg *message, jsPubAck *ack, jsPubAckErr *error,
                      void *closure)
{
    struct link *link = closure;
    (void)stream;
    if (ack == NULL) {
        die("nats: not published: %s", error != NULL && error->ErrText ? error->ErrText : "?");
    }
    pthread_mutex_lock(&link->mutex);
    link->confirmed++;
    if (link->confirmed == link->awaited) {
        pthread_cond_signal(&link->changed);
    }
    pthread_mutex_unlock(&link->mutex);
    natsMsg_Destroy(message);
}

static struct link *link_new(const struct job *job, const char *queue)
{
    struct link *link = zalloc(1, sizeof *link);
    natsOptions *options = NULL;
    jsOptions stream;
    char url[128];
    snprintf(url, sizeof url, "nats://%s", job->address);
    link->queue = strdup(queue);
    pthread_mutex_init(&link->mutex, NULL);
    pthread_cond_init(&link->changed, NULL);
    check(natsOptions_Create(&options), "options");
    check(natsOptions_SetURL(options, url), "options");
    if (job->batch == 1) { /* else a thread of the library's sends what has gathered */
        check(natsOptions_SetSendAsap(options, true), "options");
    }
    check(natsConnection_Connect(&link->connection, options), "connect");
    natsOptions_Destroy(options);
    jsOptions_Init(&stream);
    stream.PublishAsync.MaxPending = (int64_t)(job->in_flight + job->batch);
    stream.PublishAsync.StallWait = 30000;
    stream.PublishAsync.AckHandler = published;
    stream.PublishAsync.AckHandlerClosure = link;
    check(natsConnection_JetStream(&link->stream, link->connection, &stream), "JetStream");
    return link;
}

static void link_close(void *context)
{
    struct link *link = context;
    natsSubscription_Destroy(link->subscription);
    jsCtx_Destroy(link->stream);
    natsConnection_Destroy(link->connection);
    free(link->queue);
    free(link);
}

static void prepare(const struct job *job, const char *queue)
{
    struct link *link = link_new(job, queue);
    jsStreamConfig stream;
    jsConsumerConfig consumer;
    jsErrCode code = 0;
    jsStreamConfig_Init(&stream);
    stream.Name = queue;
    stream.Subjects = &queue;
    stream.SubjectsLen = 1;
    stream.Retention = js_WorkQueuePolicy;
    stream.Storage = job->durable ? js_FileStorage : js_MemoryStorage;
    check(js_AddStream(NULL, link->stream, &stream, NULL, &code), "stream");
    jsConsumerConfig_Init(&consumer);
    consumer.Durable = DURABLE;
    consumer.AckPolicy = js_AckExplicit;
    consumer.MaxAckPending = 1000000;
    check(js_AddConsumer(NULL, link->stream, queue, &consumer, NULL, &code), "consumer");
    link_close(link);
    check(nats_CloseAndWait(10000), "close"); /* its threads do not survive a fork */
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    struct link *link = link_new(job, queue);
    if ((roles & ROLE_TAKE) != 0) {
        jsSubOptions options;
        jsErrCode code = 0;
        jsSubOptions_Init(&options);
        options.Stream = queue;
        options.Consumer = DURABLE;
        check(js_PullSubscribe(&link->subscription, link->stream, queue, DURABLE, NULL, &options,
                               &code),
              "subscribe");
    }
    return link;
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    for (size_t i = 0; i < count; i++) {
        check(js_PublishAsync(link->stream, link->queue, bodies + i * size, (int)size, NULL),
              "publish");
    }
}

static void confirm(void *context, size_t count)
{
    struct link *link = context;
    pthread_mutex_lock(&link->mutex);
    link->wanted += count;
    while (link->confirmed < link->wanted) {
        link->awaited = link->wanted;
        pthread_cond_wait(&link->changed, &link->mutex);
    }
    link->awaited = 0;
    pthread_mutex_unlock(&link->mutex);
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    natsMsgList list = {0};
    jsErrCode code = 0;
    natsStatus status =
        natsSubscription_Fetch(&list, link->subscription, (int)most, FETCH_MS, &code);
    if (status == NATS_TIMEOUT) {
        return 0;
    }
    check(status, "fetch");
    size_t count = (size_t)list.Count;
    for (int i = 0; i < list.Count; i++) {
        natsMsg *message = list.Msgs[i];
        note(noted, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
        check(natsMsg_Ack(message, NULL), "ack");
    }
    natsMsgList_Destroy(&list);
    return count;
}

static void settle(void *context)
{
    struct link *link = context;
    check(natsConnection_Flush(link->connection), "acknowledgements");
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "nats",
                                     .prepare = prepare,
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
