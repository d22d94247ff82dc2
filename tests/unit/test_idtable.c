/* Records under growing ids: runs, holes, chunk borders, order. */
#include "tests/unit/core_fixture.h"

#include "broker/core/idtable.h"

struct record {
    uint64_t id;
    uint64_t other;
};

START_TEST(runs_and_holes)
{
    struct idtable table;
    uint64_t bytes = 0;
    idtable_init(&table, sizeof(struct record), &bytes);
    for (uint64_t id = 250; id < 800;) {
        uint64_t added;
        struct record *run = idtable_add_run(&table, id, 800 - id, &added);
        ck_assert_uint_le(added, IDTABLE_CHUNK);
        ck_assert_uint_eq(((uintptr_t)run) % 16, 0);
        for (uint64_t i = 0; i < added; i++) {
            ck_assert_uint_eq(run[i].id, 0);
            run[i].id = id + i;
        }
        id += added;
    }
    idtable_check(&table);
    ck_assert_uint_eq(table.live, 550);
    ck_assert_ptr_null(idtable_get(&table, 249));
    ck_assert_ptr_null(idtable_get(&table, 800));
    for (uint64_t id = 250; id < 800; id++) {
        ck_assert_uint_eq(((struct record *)idtable_get(&table, id))->id, id);
        if (id % 3 != 0) {
            idtable_remove(&table, id);
        }
    }
    idtable_check(&table);
    uint64_t id = 0;
    uint64_t want = 252;
    for (; idtable_next(&table, id, &id); id++, want += 3) {
        ck_assert_uint_eq(id, want);
    }
    ck_assert_uint_eq(want, 801);
    idtable_fini(&table);
    ck_assert_uint_eq(table.live, 0);
}
END_TEST

START_TEST(runs_end_at_holes_and_borders)
{
    struct idtable table;
    uint64_t bytes = 0;
    void *records;
    uint64_t added;
    idtable_init(&table, sizeof(struct record), &bytes);
    idtable_add_run(&table, 200, 100, &added);
    ck_assert_uint_eq(added, 56);
    idtable_add_run(&table, 256, 44, &added);
    ck_assert_uint_eq(idtable_run(&table, 200, 100, &records), 56);
    ck_assert_uint_eq(idtable_run(&table, 200, UINT64_MAX, &records), 56);
    ck_assert_ptr_eq(records, idtable_get(&table, 200));
    ck_assert_uint_eq(idtable_run(&table, 210, 7, &records), 7);
    idtable_remove_run(&table, 220, 5);
    ck_assert_uint_eq(idtable_run(&table, 200, 100, &records), 20);
    ck_assert_ptr_null(idtable_get(&table, 224));
    ck_assert_ptr_nonnull(idtable_get(&table, 225));
    idtable_remove_run(&table, 256, 44);
    ck_assert_ptr_null(idtable_chunk(&table, 256));
    idtable_check(&table);
    ck_assert_uint_eq(table.live, 51);
    idtable_fini(&table);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

START_TEST(chunks_leave_with_their_last_record)
{
    struct idtable table;
    uint64_t bytes = 0;
    struct id_chunk *chunk;
    idtable_init(&table, 8, &bytes);
    idtable_add(&table, 1, &chunk);
    ck_assert_uint_eq(chunk->number, 0);
    idtable_add(&table, 100000, NULL);
    idtable_add(&table, 5000, NULL); /* between: chunks stay in order */
    idtable_add(&table, UINT64_MAX, NULL);
    idtable_check(&table);
    ck_assert_uint_ge(bytes, 4 * sizeof *chunk + 4 * IDTABLE_CHUNK * 8); /* holes and all */
    ck_assert_uint_eq(bytes, idtable_cost(&table));
    uint64_t id;
    ck_assert(idtable_next(&table, 2, &id) && id == 5000);
    ck_assert(idtable_next(&table, 5001, &id) && id == 100000);
    ck_assert(idtable_next(&table, 100001, &id) && id == UINT64_MAX);
    idtable_remove(&table, 5000);
    ck_assert_ptr_null(idtable_chunk(&table, 5000));
    ck_assert_ptr_nonnull(idtable_chunk(&table, 100001));
    ck_assert(idtable_next(&table, 2, &id) && id == 100000);
    idtable_check(&table);
    *(uint64_t *)idtable_get(&table, 1) = 9;
    idtable_remove(&table, 1);
    ck_assert_uint_eq(*(uint64_t *)idtable_add(&table, 1, NULL), 0);
    idtable_fini(&table);
    ck_assert_uint_eq(bytes, 0);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {runs_and_holes, runs_end_at_holes_and_borders,
                                  chunks_leave_with_their_last_record};
    return fixture_run("idtable", tests, sizeof tests / sizeof *tests);
}
