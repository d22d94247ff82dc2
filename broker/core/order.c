/*
 * The treap of order.h. Insert splits along the search path, remove merges; both without recursion
 * deeper than the tree's height, which is O(log n) expected.
 */
#include "broker/core/order.h"

#include "common/base/panic.h"

static uint32_t count_of(const struct order_node *node)
{
    return node ? node->count : 0;
}

/* Recomputes a node's count and its children's parent links. */
static void node_update(struct order_node *node)
{
    node->count = 1 + count_of(node->left) + count_of(node->right);
    if (node->left) {
        node->left->parent = node;
    }
    if (node->right) {
        node->right->parent = node;
    }
}

/* Where in its parent (or the root) a node hangs. */
static struct order_node **slot_of(struct order *order, struct order_node *node)
{
    struct order_node *parent = node->parent;
    if (!parent) {
        return &order->root;
    }
    return parent->left == node ? &parent->left : &parent->right;
}

/* Moves a child of `node` above it; the order of members stays as it was. */
static void rotate_up(struct order *order, struct order_node *child)
{
    struct order_node *node = child->parent;
    struct order_node **slot = slot_of(order, node);
    struct order_node *above = node->parent;
    if (node->left == child) {
        node->left = child->right;
        child->right = node;
    } else {
        node->right = child->left;
        child->left = node;
    }
    node_update(node);
    node_update(child);
    child->parent = above;
    *slot = child;
}

void order_init(struct order *order, order_compare *compare)
{
    *order = (struct order){.compare = compare};
}

void order_insert(struct order *order, struct order_node *node, uint32_t weight)
{
    *node = (struct order_node){.count = 1, .weight = weight};
    struct order_node **slot = &order->root;
    while (*slot) {
        int side = order->compare(node, *slot);
        STEWARD_ASSERT(side != 0);
        node->parent = *slot;
        (*slot)->count++;
        slot = side < 0 ? &(*slot)->left : &(*slot)->right;
    }
    *slot = node;
    while (node->parent && node->parent->weight < node->weight) {
        rotate_up(order, node);
    }
}

void order_remove(struct order *order, struct order_node *node)
{
    while (node->left || node->right) {
        struct order_node *child = node->left;
        if (!child || (node->right && node->right->weight > child->weight)) {
            child = node->right;
        }
        rotate_up(order, child);
    }
    *slot_of(order, node) = NULL;
    for (struct order_node *up = node->parent; up; up = up->parent) {
        up->count--;
    }
    *node = (struct order_node){0};
}

size_t order_count(const struct order *order)
{
    return count_of(order->root);
}

static struct order_node *leftmost(struct order_node *node)
{
    while (node && node->left) {
        node = node->left;
    }
    return node;
}

struct order_node *order_first(const struct order *order)
{
    return leftmost(order->root);
}

struct order_node *order_next(const struct order_node *node)
{
    if (node->right) {
        return leftmost(node->right);
    }
    while (node->parent && node->parent->right == node) {
        node = node->parent;
    }
    return node->parent;
}

struct order_node *order_at(const struct order *order, size_t k)
{
    struct order_node *node = order->root;
    while (node) {
        size_t before = count_of(node->left);
        if (k == before) {
            return node;
        }
        if (k < before) {
            node = node->left;
        } else {
            k -= before + 1;
            node = node->right;
        }
    }
    return NULL;
}

size_t order_rank(const struct order *order, const struct order_node *probe)
{
    size_t rank = 0;
    const struct order_node *node = order->root;
    while (node) {
        if (order->compare(node, probe) < 0) {
            rank += count_of(node->left) + 1;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return rank;
}

struct order_node *order_after(const struct order *order, const struct order_node *probe)
{
    struct order_node *found = NULL;
    struct order_node *node = order->root;
    while (node) {
        if (order->compare(node, probe) > 0) {
            found = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return found;
}

void order_check(const struct order *order)
{
    STEWARD_ASSERT(!order->root || !order->root->parent);
    const struct order_node *previous = NULL;
    size_t count = 0;
    for (const struct order_node *node = order_first(order); node; node = order_next(node)) {
        STEWARD_ASSERT(node->count == 1 + count_of(node->left) + count_of(node->right));
        STEWARD_ASSERT(!node->left || node->left->parent == node);
        STEWARD_ASSERT(!node->right || node->right->parent == node);
        STEWARD_ASSERT(!node->parent || node->parent->weight >= node->weight);
        STEWARD_ASSERT(!previous || order->compare(previous, node) < 0);
        previous = node;
        count++;
    }
    STEWARD_ASSERT(count == order_count(order));
}
