/*
 * An echo service: 4 server processes share one queue of requests, 16 client processes have a
 * queue of replies each, whose name travels with the request as a header.
 *
 * A server acknowledges a request after it has put the reply: a server that dies in between leaves
 * the request to another one. (The client may then get the same reply twice: at least once.)
 */
#include <ctype.h>
#include <string.h>

#include "steward_example.h"

#define SERVERS  4
#define CLIENTS  16
#define REQUESTS 25 /* of each client */

static char requests[64];

static void serve(int server)
{
    int answered = 0;
    stw_client *client = example_open();
    stw_message *request;
    while (stw_get(client, requests, -1, &request) == STW_OK) { /* until it is shut down */
        char reply[64];
        size_t size = stw_message_size(request);
        const char *text = stw_message_data(request);
        const char *reply_to = stw_message_header(request, "reply-to");
        if (reply_to == NULL || size > sizeof(reply)) {
            stw_reject(&request, "no reply-to, or too long");
            continue;
        }
        for (size_t i = 0; i < size; i++) {
            reply[i] = (char)toupper((unsigned char)text[i]);
        }
        must(client, stw_put(client, reply_to, reply, size, -1));
        must(client, stw_ack(&request));
        answered++;
    }
    printf("server %d answered %d\n", server, answered);
    stw_close(&client);
}

static void ask(stw_client *client, const char *replies, int number, int turn)
{
    char text[64], expected[64];
    snprintf(text, sizeof(text), "client %d asks %d", number, turn);
    snprintf(expected, sizeof(expected), "CLIENT %d ASKS %d", number, turn);
    stw_item item = {text, strlen(text)};
    stw_header header = {"reply-to", replies};
    stw_put_options options;
    stw_put_options_init(&options);
    options.headers = &header;
    options.headers_count = 1;
    must(client, stw_put_many(client, requests, &item, 1, &options, NULL));

    stw_message *reply;
    must(client, stw_get(client, replies, 10000, &reply));
    if (stw_message_size(reply) != strlen(expected) ||
        memcmp(stw_message_data(reply), expected, strlen(expected)) != 0) {
        fprintf(stderr, "client %d: a wrong answer\n", number);
        exit(1);
    }
    must(client, stw_ack(&reply));
}

static void ask_all(int number)
{
    char replies[96];
    snprintf(replies, sizeof(replies), "%s-replies-%d", requests, number);
    stw_client *client = example_open();
    for (int turn = 0; turn < REQUESTS; turn++) {
        ask(client, replies, number, turn);
    }
    must(client, stw_queue_delete(client, replies));
    stw_close(&client);
}

int main(void)
{
    own_name(requests, "echo");
    for (int number = 0; number < CLIENTS; number++) {
        spawn(ask_all, number);
    }
    for (int server = 0; server < SERVERS; server++) {
        spawn(serve, server);
    }
    /* The servers leave when the queue is shut down; all requests must have been answered then. */
    stw_client *client = example_open();
    bool well = true;
    for (int i = 0; i < CLIENTS; i++) {
        well = all_well(1) && well;
    }
    must(client, stw_queue_shutdown(client, requests, false));
    well = all_well(SERVERS) && well;
    must(client, stw_queue_delete(client, requests));
    stw_close(&client);
    printf("%d answers, all %s\n", CLIENTS * REQUESTS, well ? "right" : "wrong or missing");
    return well ? 0 : 1;
}
