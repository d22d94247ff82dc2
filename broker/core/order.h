/*
 * An intrusive, ordered set with ranks: a treap (Seidel and Aragon 1996) whose nodes count their
 * subtrees, so that "the k-th" and "how many before" are O(log n) expected, like insert and remove.
 * The heap weight is drawn from the key hash, never from an address: shapes are deterministic.
 */
#ifndef BROKER_CORE_ORDER_H
#define BROKER_CORE_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct order_node {
    struct order_node *left;
    struct order_node *right;
    struct order_node *parent;
    uint32_t count;  /* nodes of this subtree */
    uint32_t weight; /* heap key */
};

/* <0, 0, >0; a total order, never 0 for two different members. */
typedef int order_compare(const struct order_node *a, const struct order_node *b);

struct order {
    struct order_node *root;
    order_compare *compare;
};

void order_init(struct order *order, order_compare *compare);
void order_insert(struct order *order, struct order_node *node, uint32_t weight);
void order_remove(struct order *order, struct order_node *node);
size_t order_count(const struct order *order);
struct order_node *order_first(const struct order *order);
struct order_node *order_next(const struct order_node *node);
/* The k-th from 0; NULL past the end. */
struct order_node *order_at(const struct order *order, size_t k);
/* How many members compare less than the probe. */
size_t order_rank(const struct order *order, const struct order_node *probe);
/* First member that compares greater than the probe; NULL if none. */
struct order_node *order_after(const struct order *order, const struct order_node *probe);
/* Walks all members; panics when order, counts, links or weights are wrong. */
void order_check(const struct order *order);

#endif
