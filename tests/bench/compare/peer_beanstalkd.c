/*
 * beanstalkd, its protocol spoken directly (doc/protocol.txt): a batch is one write of as many
 * commands. Deletes leave together with the next reserves.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/compare/bytes.h"
#include "tests/bench/compare/harness.h"

struct link {
    struct bytes bytes;
    size_t deletes; /* sent or about to be, not answered */
};

static void say(struct link *link, const char *text)
{
    bytes_add(&link->bytes, text, strlen(text));
}

static void expect(struct link *link, const char *answer)
{
    size_t size;
    const char *line = bytes_line(&link->bytes, &size);
    if (strncmp(line, answer, strlen(answer)) != 0) {
        die("beanstalkd says %s, not %s", line, answer);
    }
}

static void *link_open(const struct job *job, const char *queue, unsigned roles)
{
    struct link *link = zalloc(1, sizeof *link);
    char text[256];
    bytes_open(&link->bytes, job->address);
    if ((roles & ROLE_PUT) != 0) {
        snprintf(text, sizeof text, "use %s\r\n", queue);
        say(link, text);
    }
    if ((roles & ROLE_TAKE) != 0) {
        snprintf(text, sizeof text, "watch %s\r\nignore default\r\n", queue);
        say(link, text);
    }
    bytes_flush(&link->bytes);
    if ((roles & ROLE_PUT) != 0) {
        expect(link, "USING");
    }
    if ((roles & ROLE_TAKE) != 0) {
        expect(link, "WATCHING");
        expect(link, "WATCHING");
    }
    return link;
}

static void put(void *context, const char *bodies, size_t size, size_t count)
{
    struct link *link = context;
    char head[64];
    snprintf(head, sizeof head, "put 0 0 600 %zu\r\n", size);
    for (size_t i = 0; i < count; i++) {
        say(link, head);
        bytes_add(&link->bytes, bodies + i * size, size);
        say(link, "\r\n");
    }
    bytes_flush(&link->bytes);
}

static void confirm(void *context, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        expect(context, "INSERTED");
    }
}

static void deletes_read(struct link *link)
{
    for (; link->deletes > 0; link->deletes--) {
        expect(link, "DELETED");
    }
}

/* One reserve's answer. false: there was no job. */
static bool reserve_read(struct link *link, note_body *note, void *noted)
{
    size_t size;
    uint64_t id;
    char text[64];
    const char *line = bytes_line(&link->bytes, &size);
    if (strncmp(line, "TIMED_OUT", 9) == 0) {
        return false;
    }
    if (sscanf(line, "RESERVED %" SCNu64 " %zu", &id, &size) != 2) {
        die("beanstalkd says %s", line);
    }
    note(noted, bytes_take(&link->bytes, size + 2), size);
    snprintf(text, sizeof text, "delete %" PRIu64 "\r\n", id);
    say(link, text);
    return true;
}

static size_t take(void *context, size_t most, note_body *note, void *noted)
{
    struct link *link = context;
    size_t count = 0;
    say(link, "reserve-with-timeout 1\r\n"); /* waits; those behind it take what is there */
    for (size_t i = 1; i < most; i++) {
        say(link, "reserve-with-timeout 0\r\n");
    }
    bytes_flush(&link->bytes);
    deletes_read(link);
    for (size_t i = 0; i < most; i++) {
        count += reserve_read(link, note, noted);
    }
    link->deletes = count;
    return count;
}

static void settle(void *context)
{
    struct link *link = context;
    bytes_flush(&link->bytes);
    deletes_read(link);
}

static void link_close(void *context)
{
    struct link *link = context;
    bytes_close(&link->bytes);
    free(link);
}

int main(int argc, char **argv)
{
    static const struct peer peer = {.name = "beanstalkd",
                                     .open = link_open,
                                     .put = put,
                                     .confirm = confirm,
                                     .take = take,
                                     .settle = settle,
                                     .close = link_close};
    return harness_main(argc, argv, &peer);
}
