/* The rig of links_rig.h. */
#include "tests/unit/links_rig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

struct cluster_key key;
struct links *nodes[NODES + 1];
uint64_t got[NODES + 1];
uint64_t last[NODES + 1];
uint64_t last_from[NODES + 1];
uint64_t disorder;
unsigned events[NODES + 1][LINK_DENIED + 1];
char reason[64];

void links_rig_setup(void)
{
    cluster_key_random(&key);
}

void links_rig_teardown(void)
{
    for (size_t i = 1; i <= NODES; i++) {
        links_close(&nodes[i]);
    }
}

uint64_t now(void)
{
    return clock_boot_ms() + 1000000;
}

struct links *start(uint64_t node, const struct cluster_key *with, const char *listen)
{
    struct link_peer peers[NODES];
    struct links_error error = {""};
    size_t count = 0;
    char endpoint[32];
    snprintf(endpoint, sizeof endpoint, "tcp://client:%u", (unsigned)node);
    for (uint64_t i = 1; i <= NODES; i++) {
        if (nodes[i]) {
            peers[count++] = (struct link_peer){.node = i, .address = links_address(nodes[i])};
        }
    }
    struct links_options options = {.node = node,
                                    .listen = listen,
                                    .peers = peers,
                                    .peers_count = count,
                                    .key = with,
                                    .endpoint = endpoint};
    nodes[node] = links_open(&options, &error);
    ck_assert_msg(nodes[node] != NULL, "%s", error.text);
    return nodes[node];
}

void send_number(uint64_t from, uint64_t to, uint64_t number, size_t size)
{
    uint8_t *bytes = calloc(1, size);
    ck_assert_ptr_nonnull(bytes);
    memcpy(bytes, &number, sizeof number);
    links_send(nodes[from], to, slice_of(bytes, size));
    free(bytes);
}

static void note(uint64_t node)
{
    struct link_news news;
    while (links_news(nodes[node], &news)) {
        events[node][news.event]++;
        if (news.reason[0] != '\0') {
            snprintf(reason, sizeof reason, "%s", news.reason);
        }
    }
}

void turn(uint64_t node)
{
    struct slice bytes;
    uint64_t from = 0;
    links_attend(nodes[node]);
    while (links_receive(nodes[node], now(), &from, &bytes)) {
        uint64_t number = 0;
        ck_assert_uint_ge(bytes.size, sizeof number);
        memcpy(&number, bytes.data, sizeof number);
        disorder += from == last_from[node] && number <= last[node] ? 1 : 0;
        last[node] = number;
        last_from[node] = from;
        got[node]++;
    }
    links_flush(nodes[node], now());
    note(node);
}

void turns(void)
{
    for (uint64_t i = 1; i <= NODES; i++) {
        if (nodes[i]) {
            turn(i);
        }
    }
    poll(NULL, 0, 1);
}

void turns_for(uint64_t ms)
{
    uint64_t end_ms = clock_boot_ms() + ms;
    while (clock_boot_ms() < end_ms) {
        turns();
    }
}

bool up(uint64_t node, uint64_t other)
{
    struct link_view view;
    for (size_t i = 0; links_look(nodes[node], i, &view); i++) {
        if (view.node == other) {
            return view.up;
        }
    }
    return false;
}
