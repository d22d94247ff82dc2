/*
 * gearmand, its protocol spoken directly (PROTOCOL in its sources): background jobs, a batch is one
 * write of as many packets. WORK_COMPLETE, which has no answer, leaves with the next GRAB_JOBs.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/compare/bytes.h"
#include "tests/bench/compare/harness.h"

enum {
    CAN_DO = 1,
    PRE_SLEEP = 4,
    NOOP = 6,
    JOB_CREATED = 8,
    GRAB_JOB = 9,
    NO_JOB = 10,
    JOB_ASSIGN = 11,
    WORK_COMPLETE = 13,
    ECHO_REQ = 16,
    ECHO_RES = 17,
    SUBMIT_JOB_BG = 18,
};
#define HEAD_BYTES 12

struct link {
    struct bytes bytes;
    char *function;
    bool idle; /* the last round brought nothing */
};

static void packet(struct link *link, uint32_t type, size_t size)
{
    uint32_t words[2] = {htonl(type), htonl((uint32_t)size)};
    bytes_add(&link->bytes, "\0REQ", 4);
    bytes_add(&link->bytes, words, sizeof words);
}

/* The next packet but NOOPs; its contents are valid until the next call. */
static uint32_t packet_read(struct link *link, const char **data, size_t *size)
{
    uint32_t words[2];
    do {
        const char *head = bytes_take(&link->bytes, HEAD_BYTES);
        memcpy(words, head + 4, sizeof words);
        *size = ntohl(words[1]);
        *data = bytes_take(&link->bytes, *size);
    } while (ntohl(words[0]) == NOOP);
    return ntohl(words[0]);
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    struct link *link = zalloc(1, sizeof *link);
    bytes_open(&link->bytes, job->address);
    link->function = strdup(queue);
    if ((roles & ROLE_TAKE) != 0) {
        packet(link, CAN_DO, strlen(queue));
        bytes_add(&link->bytes, queue, strlen(queue));
    }
    bytes_flush(&link->bytes);
    return link;
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    size_t name = strlen(link->function) + 1;
    for (size_t i = 0; i < count; i++) {
        packet(link, SUBMIT_JOB_BG, name + 1 + size);
        bytes_add(&link->bytes, link->function, name);
        bytes_add(&link->bytes, "", 1); /* no unique id */
        bytes_add(&link->bytes, bodies + i * size, size);
    }
    bytes_flush(&link->bytes);
}

static void confirm(void *context, size_t count)
{
    const char *data;
    size_t size;
    for (size_t i = 0; i < count; i++) {
        if (packet_read(context, &data, &size) != JOB_CREATED) {
            die("gearmand does not confirm a job");
        }
    }
}

static void job_done(struct link *link, const char *data, size_t size, note_body *note, void *noted)
{
    size_t handle = strnlen(data, size) + 1;
    size_t skip = handle + strnlen(data + handle, size - handle) + 1;
    note(noted, data + skip, size - skip);
    packet(link, WORK_COMPLETE, handle);
    bytes_add(&link->bytes, data, handle);
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    const char *data;
    size_t count = 0, size;
    if (link->idle) {
        packet(link, PRE_SLEEP, 0);
        bytes_flush(&link->bytes);
        bytes_wait(&link->bytes, 100);
    }
    for (size_t i = 0; i < most; i++) {
        packet(link, GRAB_JOB, 0);
    }
    bytes_flush(&link->bytes);
    for (size_t i = 0; i < most; i++) {
        uint32_t type = packet_read(link, &data, &size);
        if (type == JOB_ASSIGN) {
            job_done(link, data, size, note, noted);
            count++;
        } else if (type != NO_JOB) {
            die("gearmand answers GRAB_JOB with packet %u", type);
        }
    }
    link->idle = count == 0;
    return count;
}

static void settle(void *context)
{
    struct link *link = context;
    const char *data;
    size_t size;
    packet(link, ECHO_REQ, 0);
    bytes_flush(&link->bytes);
    if (packet_read(link, &data, &size) != ECHO_RES) {
        die("gearmand has no echo");
    }
}

static void link_close(void *context)
{
    struct link *link = context;
    bytes_flush(&link->bytes);
    bytes_close(&link->bytes);
    free(link->function);
    free(link);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "gearmand",
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
