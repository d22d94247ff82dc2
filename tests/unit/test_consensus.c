/*
 * The consensus adapter, guard by guard: faults of the library that random simulation meets too
 * rarely are provoked here. Each case says whether its guard held.
 *
 * Compiled with STEWARD_CANARIES (test_consensus_canary) every guard is switched off in turn, and
 * its case has to notice.
 */
#include "tests/unit/consensus_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void wait_timeout(struct rig *rig)
{
    rig->now = consensus_deadline(rig->c);
    rig->sent_count = 0;
    consensus_tick(rig->c, rig->now);
}

static void grant(struct rig *rig, uint64_t from, bool pre_vote)
{
    struct peer_message vote = {.type = PEER_VOTE_RESULT,
                                .from = from,
                                .term = consensus_term(rig->c) + pre_vote,
                                .pre_vote = pre_vote,
                                .granted = true};
    hear(rig, vote);
}

/* Node 1 of three is elected by node 2; its barrier, if any, waits for the disk. */
static void rig_elect(struct rig *rig)
{
    rig_found(rig, 3);
    wait_timeout(rig);
    grant(rig, 2, true);
    grant(rig, 2, false);
    STEWARD_ASSERT(rig->role == CONSENSUS_LEADER && rig->term == 2);
}

static void acknowledge(struct rig *rig, uint64_t from)
{
    struct peer_message result = {.type = PEER_APPEND_RESULT,
                                  .from = from,
                                  .term = consensus_term(rig->c),
                                  .index = consensus_last(rig->c)};
    hear(rig, result);
}

/* A leader whose own term has begun: its barrier is committed. */
static void rig_lead(struct rig *rig)
{
    rig_elect(rig);
    persist(rig);
    acknowledge(rig, 2);
    STEWARD_ASSERT(consensus_commit(rig->c) == 2);
}

static const struct peer_message *sent_to(const struct rig *rig, uint64_t to)
{
    for (size_t i = rig->sent_count; i > 0; i--) {
        if (rig->sent[i - 1].to == to)
            return &rig->sent[i - 1];
    }
    return NULL;
}

/* ---- what leaders send, and what they hear back -------------------------------------------- */

static bool a_single_voter_begins_a_term(void)
{
    struct rig rig;
    rig_found(&rig, 1);
    bool held = rig.term == 2 && rig.vote == 1 && rig.role == CONSENSUS_LEADER;
    return rig_close(&rig, held && !rig.role_before_vote);
}

static bool an_old_term_is_answered_as_stale(void)
{
    struct rig rig;
    rig_lead(&rig);
    struct peer_message old = {.type = PEER_APPEND, .from = 3, .term = 1};
    hear(&rig, old);
    const struct peer_message *answer = sent_to(&rig, 3);
    bool held = answer && answer->stale && answer->index == 0 && answer->term == 2;
    struct peer_message stale = {
        .type = PEER_APPEND_RESULT, .from = 3, .term = 2, .index = 2, .stale = true};
    held = held && hear(&rig, stale) != NULL;
    uint64_t match = 9;
    return rig_close(&rig, held && consensus_match(rig.c, 3, &match) && match == 0);
}

static bool a_late_rejection_is_dropped(void)
{
    struct rig rig;
    rig_lead(&rig);
    struct peer_message late = {.type = PEER_APPEND_RESULT, .from = 2, .term = 2, .rejected = 1};
    return rig_close(&rig, hear(&rig, late) != NULL);
}

static bool a_change_leaves_when_it_is_durable(void)
{
    struct rig rig;
    rig_lead(&rig);
    rig.sent_count = 0;
    STEWARD_ASSERT(consensus_add(rig.c, rig.now, 4) == CONSENSUS_OK);
    bool held = true;
    for (size_t i = 0; i < rig.sent_count; i++)
        held = held && rig.sent[i].index + rig.sent[i].entries_count < rig.appended;
    persist(&rig);
    const struct peer_message *message = sent_to(&rig, 2);
    held = held && message && message->index + message->entries_count == rig.appended;
    return rig_close(&rig, held);
}

static bool a_term_begins_with_a_barrier(void)
{
    struct rig rig;
    rig_elect(&rig);
    bool held = rig.appended == 2 && rig.appended_type == ENTRY_BARRIER;
    held = held && consensus_add(rig.c, rig.now, 4) == CONSENSUS_BUSY;
    persist(&rig);
    acknowledge(&rig, 2);
    held = held && consensus_add(rig.c, rig.now, 4) == CONSENSUS_OK;
    return rig_close(&rig, held);
}

static bool what_is_up_to_date_needs_no_catching_up(void)
{
    struct rig rig;
    rig_lead(&rig);
    bool held = consensus_promote(rig.c, rig.now, 77) == CONSENSUS_BAD_NODE;
    STEWARD_ASSERT(consensus_add(rig.c, rig.now, 4) == CONSENSUS_OK);
    persist(&rig);
    acknowledge(&rig, 2);
    acknowledge(&rig, 4);
    held = held && consensus_promote(rig.c, rig.now, 4) == CONSENSUS_OK;
    held = held && members_find(consensus_members(rig.c), 4)->role == MEMBER_VOTER;
    return rig_close(&rig, held);
}

/* ---- votes --------------------------------------------------------------------------------- */

static bool a_refused_pre_vote_tells_the_term(void)
{
    struct rig rig;
    rig_lead(&rig);
    struct peer_message vote = {
        .type = PEER_VOTE, .from = 3, .term = 1, .index = 1, .index_term = 1, .pre_vote = true};
    hear(&rig, vote);
    const struct peer_message *answer = sent_to(&rig, 3);
    return rig_close(&rig, answer && !answer->granted && answer->term == 2);
}

static bool a_spare_votes(void)
{
    struct rig rig;
    struct consensus_change change = {.index = 1, .members = voters(1)};
    struct consensus_run run = {.last = 1, .term = 1};
    members_set(&change.members, 2, MEMBER_SPARE);
    struct consensus_disk disk = {.term = 1,
                                  .first = 1,
                                  .runs = &run,
                                  .runs_count = 1,
                                  .changes = &change,
                                  .changes_count = 1};
    struct peer_message vote = {
        .type = PEER_VOTE, .from = 1, .term = 2, .index = 2, .index_term = 1};
    bool held = true;
    for (uint64_t id = 2; id <= 3; id++) { /* 3 is not even in its own configuration */
        rig_open(&rig, id, &disk);
        hear(&rig, vote);
        const struct peer_message *answer = sent_to(&rig, 1);
        held = held && answer && answer->granted && rig.vote == 1;
        held = held && rig.c->raft.configuration.n == 2;
        held = rig_close(&rig, held);
    }
    return held;
}

static bool a_second_election_is_polite(void)
{
    struct rig rig;
    rig_found(&rig, 3);
    struct peer_message beat = {
        .type = PEER_APPEND, .from = 2, .term = 1, .index = 1, .index_term = 1};
    struct peer_message now = {
        .type = PEER_TIMEOUT_NOW, .from = 2, .term = 1, .index = 1, .index_term = 1};
    hear(&rig, beat);
    hear(&rig, now);
    bool held = rig.sent_count == 2 && rig.sent[0].disrupt && !rig.sent[0].pre_vote;
    wait_timeout(&rig);
    held = held && rig.sent_count == 2 && !rig.sent[0].disrupt && rig.sent[0].pre_vote;
    return rig_close(&rig, held);
}

/* Whether a vote that may disrupt the leader was asked of somebody. */
static bool stands(const struct rig *rig)
{
    for (size_t i = 0; i < rig->sent_count; i++) {
        if (rig->sent[i].type == PEER_VOTE && rig->sent[i].disrupt && !rig->sent[i].pre_vote)
            return true;
    }
    return false;
}

static bool an_offer_waits_for_the_disk(void)
{
    struct rig rig;
    rig_found(&rig, 3);
    struct log_entry entry = {.term = 1, .type = ENTRY_COMMAND};
    struct peer_message append = {.type = PEER_APPEND,
                                  .from = 2,
                                  .term = 1,
                                  .index = 1,
                                  .index_term = 1,
                                  .entries = &entry,
                                  .entries_count = 1};
    struct peer_message now = {
        .type = PEER_TIMEOUT_NOW, .from = 2, .term = 1, .index = 2, .index_term = 1};
    hear(&rig, append);
    hear(&rig, now);
    bool held = !stands(&rig);
    persist(&rig);
    return rig_close(&rig, held && stands(&rig));
}

static bool a_late_vote_deposes_nobody(void)
{
    struct rig rig;
    rig_lead(&rig);
    struct peer_message late = {.type = PEER_VOTE_RESULT, .from = 3, .term = 9};
    hear(&rig, late);
    return rig_close(&rig, consensus_role(rig.c) == CONSENSUS_LEADER);
}

static bool a_timer_lies_ahead(void)
{
    struct rig rig;
    rig_lead(&rig);
    rig.now += ELECTION; /* nobody answered: the leader steps down */
    consensus_tick(rig.c, rig.now);
    rig.c->raft.election_timer_start = 0; /* as the library leaves it for a spare */
    return rig_close(&rig, consensus_deadline(rig.c) > rig.now);
}

/* ---- entries ------------------------------------------------------------------------------- */

static struct buf change_payload(uint8_t role)
{
    struct members members = voters(3);
    struct buf payload = {0};
    members_set(&members, 4, role);
    members_encode(&members, &payload);
    return payload;
}

static bool a_change_behind_commands_has_its_index(void)
{
    struct rig rig;
    struct buf payload = change_payload(MEMBER_SPARE);
    struct log_entry entries[] = {
        {.term = 2, .type = ENTRY_COMMAND},
        {.term = 2, .type = ENTRY_CHANGE, .payload = buf_view(&payload)},
        {.term = 2, .type = ENTRY_COMMAND},
    };
    struct peer_message append = {.type = PEER_APPEND,
                                  .from = 2,
                                  .term = 2,
                                  .index = 1,
                                  .index_term = 1,
                                  .entries_count = 3,
                                  .entries = entries};
    rig_found(&rig, 3);
    hear(&rig, append);
    bool held = rig.appended == 4 && rig.c->raft.configuration_uncommitted_index == 3;
    buf_fini(&payload);
    return rig_close(&rig, held);
}

static bool two_changes_roll_back_one(void)
{
    struct rig rig;
    struct buf spare = change_payload(MEMBER_SPARE), voter = change_payload(MEMBER_VOTER);
    struct log_entry change = {.term = 2, .type = ENTRY_CHANGE, .payload = buf_view(&spare)};
    struct peer_message append = {.type = PEER_APPEND,
                                  .from = 2,
                                  .term = 2,
                                  .index = 1,
                                  .index_term = 1,
                                  .commit = 1,
                                  .entries_count = 1,
                                  .entries = &change};
    rig_found(&rig, 3);
    hear(&rig, append);
    change.payload = buf_view(&voter);
    append.index = append.commit = append.index_term = 2;
    hear(&rig, append); /* the first change was committed, although not yet durable here */
    change = (struct log_entry){.term = 3, .type = ENTRY_COMMAND};
    append.term = 3;
    append.from = 3;
    hear(&rig, append); /* another leader never had the second one */
    const struct raft_configuration *now = &rig.c->raft.configuration;
    bool held = now->n == 4 && now->servers[3].role == RAFT_SPARE;
    buf_fini(&spare);
    buf_fini(&voter);
    return rig_close(&rig, held && consensus_members(rig.c)->count == 4);
}

/* A follower with a snapshot up to 10 and no entry before it. */
static void rig_trimmed(struct rig *rig)
{
    struct consensus_run run = {.last = 12, .term = 1};
    struct consensus_disk disk = {
        .term = 1,
        .snapshot = {.index = 10, .term = 1, .members_index = 1, .members = voters(3)},
        .first = 11,
        .runs = &run,
        .runs_count = 1};
    rig_open(rig, 1, &disk);
}

static bool what_a_snapshot_covers_is_skipped(void)
{
    struct rig rig;
    struct buf payload = change_payload(MEMBER_SPARE);
    struct log_entry entries[] = {
        {.term = 1, .type = ENTRY_CHANGE, .payload = buf_view(&payload)},
        {.term = 1, .type = ENTRY_COMMAND},
    };
    struct peer_message late = {
        .type = PEER_APPEND, .from = 2, .term = 1, .entries_count = 2, .entries = entries};
    rig_trimmed(&rig);
    hear(&rig, late);
    const struct peer_message *answer = sent_to(&rig, 2);
    bool held = answer && answer->rejected == 0 && rig.lowest_append == UINT64_MAX;
    buf_fini(&payload);
    return rig_close(&rig, held && consensus_last(rig.c) == 12);
}

static bool one_snapshot_is_installed_at_a_time(void)
{
    struct rig rig;
    struct peer_message install = {.type = PEER_INSTALL,
                                   .from = 2,
                                   .term = 2,
                                   .index = 50,
                                   .index_term = 2,
                                   .members = voters(3),
                                   .members_index = 1};
    rig_trimmed(&rig);
    bool held = hear(&rig, install) == NULL && rig.installing;
    held = held && hear(&rig, install) != NULL;
    if (held)
        consensus_installed(rig.c, rig.now);
    held = held && consensus_last(rig.c) == 50 && consensus_first(rig.c) == 51;
    return rig_close(&rig, held);
}

/* ---- all of them --------------------------------------------------------------------------- */

static const struct {
    enum guard guard;
    const char *name;
    bool (*held)(void);
} cases[] = {
    {GUARD_NEW_TERM, "a_single_voter_begins_a_term", a_single_voter_begins_a_term},
    {GUARD_STALE_ANSWER, "an_old_term_is_answered_as_stale", an_old_term_is_answered_as_stale},
    {GUARD_TRIMMED_PREFIX, "what_a_snapshot_covers_is_skipped", what_a_snapshot_covers_is_skipped},
    {GUARD_CHANGE_FIRST, "a_change_behind_commands_has_its_index",
     a_change_behind_commands_has_its_index},
    {GUARD_LATE_REJECTION, "a_late_rejection_is_dropped", a_late_rejection_is_dropped},
    {GUARD_PRE_VOTE_TERM, "a_refused_pre_vote_tells_the_term", a_refused_pre_vote_tells_the_term},
    {GUARD_VOTE_UNLISTED, "a_spare_votes", a_spare_votes},
    {GUARD_CHANGE_DURABLE, "a_change_leaves_when_it_is_durable",
     a_change_leaves_when_it_is_durable},
    {GUARD_CANDIDATE_PRE_VOTE, "a_second_election_is_polite", a_second_election_is_polite},
    {GUARD_VOTE_RESULT_STATE, "a_late_vote_deposes_nobody", a_late_vote_deposes_nobody},
    {GUARD_TIMER_FLOOR, "a_timer_lies_ahead", a_timer_lies_ahead},
    {GUARD_CATCH_UP, "what_is_up_to_date_needs_no_catching_up",
     what_is_up_to_date_needs_no_catching_up},
    {GUARD_INSTALL_ONCE, "one_snapshot_is_installed_at_a_time",
     one_snapshot_is_installed_at_a_time},
    {GUARD_OWN_TERM_FIRST, "a_term_begins_with_a_barrier", a_term_begins_with_a_barrier},
    {GUARD_CHANGE_ORDER, "two_changes_roll_back_one", two_changes_roll_back_one},
    {GUARD_TIMEOUT_NOW_HELD, "an_offer_waits_for_the_disk", an_offer_waits_for_the_disk},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

_Static_assert(CASES == GUARD_END - 1, "a case for each guard");

#ifdef STEWARD_CANARIES

/* Whether a case notices that its guard is off: it says so, or the library crashes. */
static bool notices(size_t i)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        consensus_guard_off = (int)cases[i].guard;
        if (!freopen("/dev/null", "w", stderr))
            _exit(0);
        alarm(20);
        _exit(cases[i].held() ? 0 : 1);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status != 0;
}

int main(void)
{
    int missed = 0;
    for (size_t i = 0; i < CASES; i++) {
        bool noticed = notices(i);
        printf("%s without its guard: %s\n", cases[i].name, noticed ? "noticed" : "NOT NOTICED");
        missed += !noticed;
    }
    return missed > 0;
}

#else

/* The log's owner has to know that the next entry is not the first of all. */
START_TEST(an_empty_log_goes_on_behind_the_snapshot)
{
    struct rig rig;
    struct consensus_disk disk = {
        .term = 3, .snapshot = {.index = 10, .term = 2, .members_index = 1, .members = voters(3)}};
    rig_open(&rig, 1, &disk);
    ck_assert_uint_eq(rig.reset, 11);
    ck_assert_uint_eq(consensus_first(rig.c), 11);
    ck_assert(rig_close(&rig, true));
    rig_found(&rig, 3);
    ck_assert_uint_eq(rig.reset, 0);
    ck_assert(rig_close(&rig, true));
}
END_TEST

START_TEST(guards_hold)
{
    ck_assert_msg(cases[_i].held(), "%s", cases[_i].name);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("consensus");
    TCase *tcase = tcase_create("consensus");
    tcase_add_test(tcase, an_empty_log_goes_on_behind_the_snapshot);
    tcase_add_loop_test(tcase, guards_hold, 0, (int)CASES);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
