/* What comes into consensus from outside: peers' bytes and messages, what a disk holds. */
#include "tests/unit/consensus_rig.h"

#include <check.h>
#include <stdlib.h>

START_TEST(a_single_node_commits_what_is_durable)
{
    struct rig rig;
    uint64_t index;
    rig_found(&rig, 1);
    persist(&rig); /* its barrier */
    ck_assert_int_eq(consensus_submit(rig.c, rig.now, slice_str("a"), &index), CONSENSUS_OK);
    ck_assert_uint_eq(index, consensus_last(rig.c));
    ck_assert_uint_lt(rig.applied, index);
    persist(&rig);
    ck_assert_uint_eq(rig.applied, index);
    ck_assert_int_eq(consensus_remove(rig.c, rig.now, 1), CONSENSUS_IS_LEADER);
    ck_assert_int_eq(consensus_transfer(rig.c, rig.now, 0), CONSENSUS_NO_TARGET);
    ck_assert(consensus_snapshotted(rig.c, rig.now, index, 0));
    ck_assert_uint_eq(consensus_first(rig.c), index + 1);
    rig_close(&rig, true);
}
END_TEST

START_TEST(impossible_messages_are_dropped)
{
    struct rig rig;
    struct log_entry command = {.term = 2, .type = ENTRY_COMMAND};
    struct log_entry malformed = {.term = 2, .type = ENTRY_CHANGE, .payload = slice_str("x")};
    struct members none = {0};
    const struct peer_message bad[] = {
        {.type = 0, .from = 2, .term = 2},
        {.type = PEER_APPEND, .from = 1, .term = 2},
        {.type = PEER_APPEND, .from = 2, .term = 0},
        {.type = PEER_APPEND, .from = 2, .term = 1ULL << 62},
        {.type = PEER_APPEND, .from = 2, .term = 2000000},
        {.type = PEER_APPEND, .from = 2, .term = 2, .index = 3},
        {.type = PEER_APPEND, .from = 2, .term = 2, .entries_count = 1, .entries = &command},
        {.type = PEER_APPEND,
         .from = 2,
         .term = 1,
         .index = 1,
         .index_term = 1,
         .entries_count = 1,
         .entries = &command},
        {.type = PEER_APPEND,
         .from = 2,
         .term = 2,
         .index = 1,
         .index_term = 1,
         .entries_count = 1,
         .entries = &malformed},
        {.type = PEER_APPEND, .from = 2, .term = 2, .index = 1, .index_term = 2},
        {.type = PEER_INSTALL,
         .from = 2,
         .term = 2,
         .index = 1,
         .index_term = 1,
         .members = voters(3),
         .members_index = 1},
        {.type = PEER_INSTALL,
         .from = 2,
         .term = 2,
         .index = 9,
         .index_term = 2,
         .members = none,
         .members_index = 1},
        {.type = PEER_VOTE, .from = 2, .term = 2, .index = 1},
        {.type = PEER_TIMEOUT_NOW, .from = 2, .term = 2},
    };
    rig_found(&rig, 3);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_msg(hear(&rig, bad[i]) != NULL, "message %zu was taken", i);
    ck_assert_uint_eq(consensus_term(rig.c), 1);
    rig_close(&rig, true);
}
END_TEST

START_TEST(an_impossible_disk_is_refused)
{
    struct rig rig = {0};
    struct consensus_run falling[] = {{.last = 1, .term = 2}, {.last = 2, .term = 1}};
    struct consensus_options options = {.id = 1,
                                        .election_ms = 300,
                                        .heartbeat_ms = 50,
                                        .install_ms = 1,
                                        .inflight_max = 1,
                                        .emit = on_output,
                                        .context = &rig};
    const struct consensus_disk bad[] = {
        {.vote = 1},
        {.term = 1, .first = 1, .runs = falling, .runs_count = 1},
        {.term = 2, .first = 1, .runs = falling, .runs_count = 1},
        {.term = 2, .first = 1, .runs = falling, .runs_count = 2},
        {.term = 2, .first = 2, .runs = falling + 1, .runs_count = 1},
        {.term = 2, .snapshot = {.index = 3, .term = 2}},
        {.term = 2, .first = 9, .snapshot = {.index = 3, .term = 2}},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct consensus *c = consensus_new(&options);
        ck_assert_msg(consensus_start(c, 1, &bad[i]) != NULL, "disk %zu was taken", i);
        consensus_destroy(&c);
    }
}
END_TEST

/* One of each type, with everything that travels. */
static size_t samples(struct peer_message *out, struct log_entry *entries, struct buf *payload)
{
    struct members members = voters(3);
    members_encode(&members, payload);
    entries[0] = (struct log_entry){.term = 3, .type = ENTRY_COMMAND, .payload = slice_str("abc")};
    entries[1] = (struct log_entry){.term = 4, .type = ENTRY_CHANGE, .payload = buf_view(payload)};
    entries[2] = (struct log_entry){.term = 4, .type = ENTRY_BARRIER};
    const struct peer_message all[] = {
        {.type = PEER_APPEND, .commit = 7, .entries_count = 3, .entries = entries},
        {.type = PEER_APPEND},
        {.type = PEER_APPEND_RESULT, .rejected = 12, .stale = true},
        {.type = PEER_VOTE, .pre_vote = true, .disrupt = true},
        {.type = PEER_VOTE_RESULT, .granted = true},
        {.type = PEER_INSTALL, .members = members, .members_index = 5},
        {.type = PEER_TIMEOUT_NOW},
    };
    size_t count = sizeof(all) / sizeof(all[0]);
    for (size_t i = 0; i < count; i++) {
        out[i] = all[i];
        out[i].from = 1;
        out[i].to = 2;
        out[i].term = 4;
        out[i].index = 9;
        out[i].index_term = 3;
    }
    return count;
}

START_TEST(messages_survive_the_wire)
{
    struct peer_message messages[8], back;
    struct log_entry entries[3];
    struct buf payload = {0};
    size_t count = samples(messages, entries, &payload);
    for (size_t i = 0; i < count; i++) {
        struct buf first = {0}, second = {0};
        peer_encode(&messages[i], &first);
        ck_assert(peer_decode(buf_view(&first), &back));
        ck_assert_uint_eq(back.type, messages[i].type);
        ck_assert_uint_eq(back.term, 4);
        ck_assert_uint_eq(back.index, 9);
        ck_assert_uint_eq(back.rejected, messages[i].rejected);
        ck_assert_uint_eq(back.stale, messages[i].stale);
        ck_assert_uint_eq(back.entries_count, messages[i].entries_count);
        ck_assert_uint_eq(back.members.count, messages[i].members.count);
        peer_encode(&back, &second);
        ck_assert(slice_equal(buf_view(&first), buf_view(&second)));
        peer_fini(&back);
        buf_fini(&first);
        buf_fini(&second);
    }
    buf_fini(&payload);
}
END_TEST

START_TEST(cut_messages_are_refused)
{
    struct peer_message messages[8], back;
    struct log_entry entries[3];
    struct buf payload = {0};
    size_t count = samples(messages, entries, &payload);
    for (size_t i = 0; i < count; i++) {
        struct buf bytes = {0};
        peer_encode(&messages[i], &bytes);
        for (size_t size = 0; size < bytes.size; size++) {
            uint8_t *exact = malloc(size + 1); /* so that a sanitizer sees a read too far */
            memcpy(exact, bytes.data, size);
            ck_assert(!peer_decode(slice_of(exact, size), &back));
            free(exact);
        }
        buf_u8(&bytes, 0);
        ck_assert(!peer_decode(buf_view(&bytes), &back));
        buf_fini(&bytes);
    }
    buf_fini(&payload);
}
END_TEST

START_TEST(members_are_checked)
{
    static const uint8_t twice[] = {1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 2};
    static const uint8_t no_voter[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1};
    static const uint8_t no_id[] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2};
    static const uint8_t good[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2};
    struct members members;
    ck_assert(!members_decode(slice_of(twice, sizeof(twice)), &members));
    ck_assert(!members_decode(slice_of(no_voter, sizeof(no_voter)), &members));
    ck_assert(!members_decode(slice_of(no_id, sizeof(no_id)), &members));
    ck_assert(!members_decode(slice_of(good, sizeof(good) - 1), &members));
    ck_assert(members_decode(slice_of(good, sizeof(good)), &members));
    ck_assert(members_sole_voter(&members, 1));
    for (uint64_t id = 2; id <= LIMIT_NODES; id++)
        ck_assert(members_set(&members, id, MEMBER_SPARE));
    ck_assert(!members_set(&members, LIMIT_NODES + 1, MEMBER_SPARE));
    ck_assert(members_remove(&members, 2) && !members_remove(&members, 2));
    ck_assert_ptr_eq(members_find(&members, 2), NULL);
    ck_assert_uint_eq(members_find(&members, 3)->id, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consensus_input");
    TCase *tcase = tcase_create("consensus_input");
    tcase_add_test(tcase, a_single_node_commits_what_is_durable);
    tcase_add_test(tcase, impossible_messages_are_dropped);
    tcase_add_test(tcase, an_impossible_disk_is_refused);
    tcase_add_test(tcase, messages_survive_the_wire);
    tcase_add_test(tcase, cut_messages_are_refused);
    tcase_add_test(tcase, members_are_checked);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
