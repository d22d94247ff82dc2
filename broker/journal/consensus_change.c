/* Membership: the configurations in the log, and changing them one at a time. */
#include "broker/journal/consensus_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

const struct consensus_change *changes_newest(const struct consensus *c)
{
    return c->changes_count > 0 ? &c->changes[c->changes_count - 1] : NULL;
}

void changes_append(struct consensus *c, uint64_t index, const struct members *members)
{
    if (c->changes_count == c->changes_capacity) {
        c->changes_capacity = c->changes_capacity * 2 + 4;
        c->changes = mem_realloc(c->changes, c->changes_capacity, sizeof(*c->changes));
    }
    STEWARD_ASSERT(c->changes_count == 0 || changes_newest(c)->index < index);
    c->changes[c->changes_count++] = (struct consensus_change){.index = index, .members = *members};
}

void changes_cut(struct consensus *c, uint64_t index)
{
    while (c->changes_count > c->changes_committed && changes_newest(c)->index >= index)
        c->changes_count--;
}

void changes_reset(struct consensus *c, const struct consensus_snapshot *base)
{
    c->changes_count = 0;
    c->changes_committed = 0;
    if (base->index > 0) {
        changes_append(c, base->members_index, &base->members);
        c->changes_committed = 1;
    }
}

const struct consensus_change *changes_at(const struct consensus *c, uint64_t index)
{
    size_t i = c->changes_count;
    while (i > 0 && c->changes[i - 1].index > index)
        i--;
    return i > 0 ? &c->changes[i - 1] : NULL;
}

void consensus_describe(const struct consensus *c, uint64_t index, struct consensus_snapshot *out)
{
    const struct consensus_change *change = changes_at(c, index);
    STEWARD_ASSERT(index <= c->applied && change && library_term_of(&c->raft, index) > 0);
    *out = (struct consensus_snapshot){.index = index,
                                       .term = library_term_of(&c->raft, index),
                                       .members_index = change->index,
                                       .members = change->members};
}

/* Whether a change may begin now. */
static enum consensus_result may_change(const struct consensus *c)
{
    if (c->failed || c->raft.state != RAFT_LEADER || raft_transferee(&c->raft) != 0)
        return CONSENSUS_NOT_LEADER;
    bool settled = c->led_term == c->raft.current_term && c->term_start > 0 &&
                   raft_commit_index(&c->raft) >= c->term_start;
    if (GUARD(OWN_TERM_FIRST) && !settled)
        return CONSENSUS_BUSY;
    if (c->promoting != 0 || c->raft.configuration_uncommitted_index != 0)
        return CONSENSUS_BUSY;
    return CONSENSUS_OK;
}

static enum consensus_result submit_change(struct consensus *c, const struct members *members)
{
    struct buf payload = {0};
    uint64_t index;
    members_encode(members, &payload);
    struct log_entry entry = {
        .term = c->raft.current_term, .type = ENTRY_CHANGE, .payload = buf_view(&payload)};
    enum consensus_result result = submit_entry(c, &entry, &index);
    buf_fini(&payload);
    return result;
}

enum consensus_result consensus_add(struct consensus *c, uint64_t now, uint64_t node)
{
    enum consensus_result result = may_change(c);
    if (result != CONSENSUS_OK)
        return result;
    struct members members = *consensus_members(c);
    if (members_find(&members, node) || node == 0 || node >= NUMBER_END)
        return CONSENSUS_BAD_NODE;
    if (!members_set(&members, node, MEMBER_SPARE))
        return CONSENSUS_FULL;
    c->now = now > c->now ? now : c->now;
    result = submit_change(c, &members);
    settle(c);
    return result;
}

enum consensus_result consensus_remove(struct consensus *c, uint64_t now, uint64_t node)
{
    enum consensus_result result = may_change(c);
    if (result != CONSENSUS_OK)
        return result;
    if (node == c->options.id)
        return CONSENSUS_IS_LEADER;
    struct members members = *consensus_members(c);
    if (!members_remove(&members, node))
        return CONSENSUS_BAD_NODE;
    c->now = now > c->now ? now : c->now;
    result = submit_change(c, &members);
    settle(c);
    return result;
}

static enum consensus_result make_voter(struct consensus *c, uint64_t node)
{
    struct members members = *consensus_members(c);
    members_set(&members, node, MEMBER_VOTER);
    return submit_change(c, &members);
}

enum consensus_result consensus_promote(struct consensus *c, uint64_t now, uint64_t node)
{
    enum consensus_result result = may_change(c);
    uint64_t match;
    if (result != CONSENSUS_OK)
        return result;
    const struct member *member = members_find(consensus_members(c), node);
    if (GUARD(CATCH_UP) && (!member || member->role == MEMBER_VOTER))
        return CONSENSUS_BAD_NODE;
    c->now = now > c->now ? now : c->now;
    /* The library never finds out that nothing is missing, and gives up after seconds. */
    if (GUARD(CATCH_UP) && consensus_match(c, node, &match) && match == consensus_last(c)) {
        result = make_voter(c, node);
    } else {
        struct raft_event event = {.type = RAFT_CATCH_UP, .catch_up = {.server_id = node}};
        c->promoting = node;
        step(c, &event);
    }
    settle(c);
    return result;
}

void promotion_poll(struct consensus *c)
{
    int status = RAFT_CATCH_UP_NONE;
    uint64_t node = c->promoting;
    if (node == 0)
        return;
    if (raft_catch_up(&c->raft, node, &status) != 0)
        status = RAFT_CATCH_UP_ABORTED; /* no longer leader */
    if (status == RAFT_CATCH_UP_RUNNING)
        return;
    c->promoting = 0;
    if (status == RAFT_CATCH_UP_FINISHED && make_voter(c, node) == CONSENSUS_OK)
        return;
    struct consensus_output output = {.type = CONSENSUS_PROMOTION_FAILED, .node = node};
    c->options.emit(c->options.context, &output);
}
