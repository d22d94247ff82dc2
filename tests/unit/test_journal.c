/* The memory journal: applied at once, with the time that came along. */
#include "broker/journal/journal.h"

#include <check.h>

struct seen {
    size_t calls;
    uint64_t now_ms;
    size_t effects;
    enum effect_kind kind;
};

static void note(void *context, uint64_t now_ms, const struct effects *effects)
{
    struct seen *seen = context;
    seen->calls++;
    seen->now_ms = now_ms;
    seen->effects = effects->count;
    if (effects->count > 0) {
        seen->kind = effects->items[0].kind;
    }
}

START_TEST(a_command_is_applied_before_submit_returns)
{
    struct seen seen = {0};
    struct core *core = core_new();
    struct journal *journal = journal_memory_new(core, note, &seen);
    ck_assert_str_eq(journal_name(journal), "memory");
    struct command command = {.kind = COMMAND_BOOTSTRAP};
    command.bootstrap = (struct cmd_bootstrap){.hash_key = 1, .incarnation = 2};
    journal_submit(journal, 5, &command);
    ck_assert_uint_eq(seen.calls, 1);
    ck_assert_uint_eq(seen.now_ms, 5);
    command = (struct command){.kind = COMMAND_SESSION_OPEN};
    command.open.ttl_ms = 1000;
    journal_submit(journal, 6, &command);
    ck_assert_uint_eq(seen.calls, 2);
    ck_assert_uint_eq(seen.now_ms, 6);
    ck_assert_uint_eq(seen.effects, 1);
    ck_assert_int_eq(seen.kind, EFFECT_SESSION_OPENED);
    journal_flush(journal, 7);
    ck_assert_uint_eq(seen.calls, 2);
    struct session_info info;
    ck_assert(core_session(core, 1, &info));
    int descriptors[JOURNAL_DESCRIPTORS];
    journal_process(journal, 8);
    journal_tick(journal, 9);
    ck_assert_uint_eq(seen.calls, 2); /* nothing was waiting */
    ck_assert_uint_eq(journal_descriptors(journal, descriptors), 0);
    ck_assert_uint_eq(journal_deadline(journal), UINT64_MAX);
    ck_assert_uint_eq(journal_backlog(journal), 0);
    ck_assert(journal_ready(journal));
    ck_assert(!journal_ticking(journal));
    ck_assert_ptr_null(journal_failure(journal));
    journal_destroy(&journal);
    ck_assert_ptr_null(journal);
    journal_destroy(&journal); /* of nothing is nothing */
    core_destroy(&core);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("journal");
    TCase *tcase = tcase_create("memory");
    tcase_add_test(tcase, a_command_is_applied_before_submit_returns);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
