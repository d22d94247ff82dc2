/* Slabs: classes, reuse, pages that go back, what a record costs. */
#include "broker/core/slab.h"
#include "common/base/limits.h"
#include "tests/unit/core_fixture.h"

#define LARGEST (LIMIT_BODY_SLAB_BYTES + 32)

START_TEST(cost_is_in_granules_of_16)
{
    ck_assert_uint_eq(slab_cost(1), 16);
    ck_assert_uint_eq(slab_cost(16), 16);
    ck_assert_uint_eq(slab_cost(17), 32);
    ck_assert_uint_eq(slab_cost(128), 128);
}
END_TEST

START_TEST(every_size_holds_its_bytes)
{
    static uint8_t *records[LARGEST + 1];
    struct slab *slab = slab_new();
    for (size_t size = 1; size <= LARGEST; size++) {
        records[size] = slab_alloc(slab, size);
        ck_assert_uint_eq((uintptr_t)records[size] % 16, 0);
        memset(records[size], (int)(size % 251), size);
    }
    for (size_t size = 1; size <= LARGEST; size++) {
        for (size_t i = 0; i < size; i++) {
            if (records[size][i] != size % 251) {
                ck_abort_msg("record of %zu bytes is overwritten at %zu", size, i);
            }
        }
        slab_free(slab, records[size], size);
    }
    slab_destroy(&slab);
    ck_assert_ptr_null(slab);
}
END_TEST

START_TEST(freed_records_are_used_again)
{
    struct slab *slab = slab_new();
    void *a = slab_alloc(slab, 100);
    void *b = slab_alloc(slab, 100);
    ck_assert_ptr_ne(a, b);
    slab_free(slab, a, 100);
    ck_assert_ptr_eq(slab_alloc(slab, 97), a); /* the same class */
    slab_free(slab, a, 97);
    slab_free(slab, b, 100);
    slab_destroy(&slab);
}
END_TEST

/* Fills and empties several regions, in both orders, with a class change between. */
START_TEST(pages_move_between_classes)
{
    enum { COUNT = 60000 };
    void **records = calloc(COUNT, sizeof *records);
    struct slab *slab = slab_new();
    for (size_t round = 0; round < 4; round++) {
        size_t size = 64 + round * 48;
        for (size_t i = 0; i < COUNT; i++) {
            records[i] = slab_alloc(slab, size);
            memcpy(records[i], &i, sizeof i);
        }
        for (size_t i = 0; i < COUNT; i++) {
            size_t k = round % 2 ? COUNT - 1 - i : i, value;
            memcpy(&value, records[k], sizeof value);
            ck_assert_uint_eq(value, k);
            slab_free(slab, records[k], size);
        }
    }
    slab_destroy(&slab);
    free(records);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {cost_is_in_granules_of_16, every_size_holds_its_bytes,
                                  freed_records_are_used_again, pages_move_between_classes};
    return fixture_run("slab", tests, sizeof tests / sizeof *tests);
}
