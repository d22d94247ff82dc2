/* The log and entries that are larger than all it keeps in memory. */
#include "common/base/limits.h"
#include "tests/unit/log_rig.h"

#include <check.h>
#include <stdlib.h>

#define LARGE ((size_t)2 * LIMIT_LOG_RECENT_BYTES)

/* It is forgotten as soon as it is written, sealed like any other, and read from its file. */
START_TEST(a_record_larger_than_what_is_kept_in_memory)
{
    struct disk *disk = disk_new(7);
    struct rig rig;
    struct log_item item;
    rig_open_segments(&rig, disk, 2 * LARGE);
    rig_fill(&rig, 1, LARGE);
    ck_assert(rig_write(&rig));
    ck_assert_uint_eq(log_durable(rig.log), 1);
    ck_assert_uint_lt(log_deadline(rig.log), UINT64_MAX);
    ck_assert(log_read(rig.log, 1, &item));
    ck_assert_uint_eq(item.payload.size, LARGE);
    rig_close(&rig);
    disk_free(&disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log_large");
    TCase *tcase = tcase_create("large");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_record_larger_than_what_is_kept_in_memory);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
