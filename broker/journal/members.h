/*
 * Who belongs to the cluster: the content of a configuration entry.
 *
 * Plain values, no pointers. Nodes are named by id only; addresses belong to the links.
 */
#ifndef BROKER_JOURNAL_MEMBERS_H
#define BROKER_JOURNAL_MEMBERS_H

#include "common/base/buf.h"
#include "common/base/limits.h"

/* Written to disk and sent: never renumber. */
enum member_role {
    MEMBER_SPARE = 1, /* gets entries only while it catches up; does not count */
    MEMBER_VOTER = 2,
};

struct member {
    uint64_t id;  /* > 0, below 2^62 */
    uint8_t role; /* enum member_role */
};

/* In the order in which they joined; ids differ. */
struct members {
    uint32_t count;
    struct member list[LIMIT_NODES];
};

/* Adds one at the end, or gives it another role. false: no room, or not a valid id or role. */
bool members_set(struct members *members, uint64_t id, uint8_t role);

/* true when it was there. */
bool members_remove(struct members *members, uint64_t id);

/* NULL when it is not a member. Borrowed. */
const struct member *members_find(const struct members *members, uint64_t id);

/* The same members in the same order and roles. */
bool members_equal(const struct members *a, const struct members *b);

/* How many vote. */
uint32_t members_voters(const struct members *members);

/* `id` votes, and nobody else does. */
bool members_sole_voter(const struct members *members, uint64_t id);

/* Appends version, count, then id and role of each. */
void members_encode(const struct members *members, struct buf *out);

/* Takes any bytes. true only for 1 to LIMIT_NODES valid members, one voter at least, no byte left.
 */
bool members_decode(struct slice bytes, struct members *out);

#endif
