/* Simulations A2 and B: runs many seeds, replays one, hunts deliberate bugs. See net.h. */
#ifndef TESTS_SIM_NET_CAMPAIGN_H
#define TESTS_SIM_NET_CAMPAIGN_H

#include "tests/sim/net.h"

/* A deliberate bug: `place` set to `value` switches it on. */
struct net_bug {
    const char *text;
    int *place;
    int value;
};

struct net_program {
    const char *title;
    const struct net_managers *managers;
    void (*print)(const struct net_counts *sum, double seconds); /* more lines; NULL: none */
    const struct net_bug *bugs;
    size_t bugs_count;  /* 0: this build has none */
    size_t bugs_hunted; /* the first of them; the others are for --bug */
};

/* All of main. */
int net_main(const struct net_program *program, int argc, char **argv);

#endif
