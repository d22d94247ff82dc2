/* The treap against a sorted array, under random inserts and removes. */
#include "tests/unit/core_fixture.h"

#include "broker/core/order.h"

#define KEYS 300

struct member {
    struct order_node node;
    uint32_t key;
    bool in;
};

static int by_key(const struct order_node *a, const struct order_node *b)
{
    uint32_t x = ((const struct member *)a)->key;
    uint32_t y = ((const struct member *)b)->key;
    return (x > y) - (x < y);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* All questions at once against the flags of `members`. */
static void compare(struct order *order, struct member *members)
{
    size_t rank = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        struct member probe = {.key = key};
        ck_assert_uint_eq(order_rank(order, &probe.node), rank);
        if (members[key].in) {
            ck_assert_ptr_eq(order_at(order, rank), &members[key].node);
            rank++;
        }
        uint32_t after = key + 1;
        while (after < KEYS && !members[after].in) {
            after++;
        }
        struct order_node *want = after < KEYS ? &members[after].node : NULL;
        ck_assert_ptr_eq(order_after(order, &probe.node), want);
        if (members[key].in) {
            ck_assert_ptr_eq(order_next(&members[key].node), want);
        }
    }
    ck_assert_uint_eq(order_count(order), rank);
    ck_assert_ptr_null(order_at(order, rank));
}

START_TEST(agrees_with_a_sorted_array)
{
    static struct member members[KEYS];
    struct order order;
    uint32_t seed = (uint32_t)_i + 1;
    order_init(&order, by_key);
    memset(members, 0, sizeof members);
    for (uint32_t step = 0; step < 2000; step++) {
        uint32_t key = next_random(&seed) % KEYS;
        struct member *member = &members[key];
        member->key = key;
        if (member->in) {
            order_remove(&order, &member->node);
        } else {
            order_insert(&order, &member->node, next_random(&seed));
        }
        member->in = !member->in;
        order_check(&order);
        if (step % 50 == 0) {
            compare(&order, members);
        }
    }
    compare(&order, members);
}
END_TEST

START_TEST(equal_weights_work)
{
    static struct member members[KEYS];
    struct order order;
    order_init(&order, by_key);
    ck_assert_ptr_null(order_first(&order));
    for (uint32_t i = 0; i < KEYS; i++) {
        members[i] = (struct member){.key = i, .in = true};
        order_insert(&order, &members[i].node, 5);
    }
    order_check(&order);
    compare(&order, members);
    for (uint32_t i = 0; i < KEYS; i++) {
        ck_assert_ptr_eq(order_first(&order), &members[i].node);
        order_remove(&order, &members[i].node);
        order_check(&order);
    }
    ck_assert_uint_eq(order_count(&order), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("order");
    TCase *cases = tcase_create("order");
    tcase_set_timeout(cases, 60);
    tcase_add_loop_test(cases, agrees_with_a_sorted_array, 0, 8);
    tcase_add_test(cases, equal_weights_work);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
