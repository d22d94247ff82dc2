/*
 * Some nodes' links in one process, on the loopback: started, turned and counted. One process a
 * test: everything is in globals, which begin as zeros.
 */
#ifndef TESTS_UNIT_LINKS_RIG_H
#define TESTS_UNIT_LINKS_RIG_H

#include "broker/shell/clock.h"
#include "broker/shell/links.h"

#include <check.h>

/* count: nodes of a test */
#define NODES 3

/* milliseconds: no wait of a test is longer */
#define PATIENCE_MS 8000

extern struct cluster_key key;
extern struct links *nodes[NODES + 1]; /* by id, from 1 */
extern uint64_t got[NODES + 1];        /* messages that node has received */
extern uint64_t last[NODES + 1];       /* the number in the last one */
extern uint64_t last_from[NODES + 1];
extern uint64_t disorder; /* messages whose number was not larger than the last */
extern unsigned events[NODES + 1][LINK_DENIED + 1];
extern char reason[64]; /* of the last news that had one */

/* A fixture: a key, and all nodes closed at the end. */
void links_rig_setup(void);
void links_rig_teardown(void);

/* The time that the nodes are told, ms. */
uint64_t now(void);

/* A node that knows those that are open already; they learn it. */
struct links *start(uint64_t node, const struct cluster_key *with, const char *listen);

/* A message of `size` bytes that begins with the number. */
void send_number(uint64_t from, uint64_t to, uint64_t number, size_t size);

/* One turn of a node, as its owner takes it; one of each; many. */
void turn(uint64_t node);
void turns(void);
void turns_for(uint64_t ms);

/* Does the node hear the other? */
bool up(uint64_t node, uint64_t other);

/* Takes turns until the condition holds; fails after PATIENCE_MS. */
#define UNTIL(condition)                                                                           \
    do {                                                                                           \
        uint64_t until_ms = clock_boot_ms() + PATIENCE_MS;                                         \
        while (!(condition)) {                                                                     \
            ck_assert_msg(clock_boot_ms() < until_ms, "never: %s", #condition);                    \
            turns();                                                                               \
        }                                                                                          \
    } while (0)

#endif
