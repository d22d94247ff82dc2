/* One consensus on its own: what it asks for is noted, what it hears is made up. */
#ifndef TESTS_UNIT_CONSENSUS_RIG_H
#define TESTS_UNIT_CONSENSUS_RIG_H

#include "broker/journal/consensus_parts.h"

#include "common/base/panic.h"

#define ELECTION 300
#define SENT_MAX 64

/* One node under test, and what it asked for. */
struct rig {
    struct consensus *c;
    uint64_t now, term, vote, applied, appended, appended_term;
    size_t appended_count;
    uint8_t appended_type;
    enum consensus_role role;
    bool role_before_vote, installing, fatal;
    struct peer_message sent[SENT_MAX];
    size_t sent_count;
    uint64_t lowest_append;
    uint64_t reset; /* the log is void, and goes on with this index; 0: it is not */
};

static inline void on_output(void *context, const struct consensus_output *output)
{
    struct rig *rig = context;
    switch (output->type) {
    case CONSENSUS_PERSIST_VOTE:
        rig->term = output->term;
        rig->vote = output->vote;
        break;
    case CONSENSUS_APPEND:
        rig->appended_count = output->entries_count;
        rig->appended = output->index + output->entries_count - 1;
        rig->appended_term = output->entries[output->entries_count - 1].term;
        rig->appended_type = output->entries[output->entries_count - 1].type;
        if (output->index < rig->lowest_append)
            rig->lowest_append = output->index;
        break;
    case CONSENSUS_SEND:
        if (rig->sent_count < SENT_MAX)
            rig->sent[rig->sent_count++] = *output->message;
        break;
    case CONSENSUS_ROLE:
        rig->role = output->role;
        if (output->role == CONSENSUS_LEADER && output->term != rig->term)
            rig->role_before_vote = true;
        break;
    case CONSENSUS_APPLY: rig->applied = output->index; break;
    case CONSENSUS_INSTALL: rig->installing = true; break;
    case CONSENSUS_LOG_RESET: rig->reset = output->index; break;
    case CONSENSUS_FATAL: rig->fatal = true; break;
    default: break;
    }
}

static inline struct members voters(uint64_t count)
{
    struct members members = {0};
    for (uint64_t id = 1; id <= count; id++)
        members_set(&members, id, MEMBER_VOTER);
    return members;
}

/* Node `id` with this on its disk. */
static inline void rig_open(struct rig *rig, uint64_t id, const struct consensus_disk *disk)
{
    struct consensus_options options = {.id = id,
                                        .seed = 7,
                                        .election_ms = ELECTION,
                                        .heartbeat_ms = 50,
                                        .install_ms = 5000,
                                        .inflight_max = 64,
                                        .emit = on_output,
                                        .context = rig};
    *rig = (struct rig){.now = 1000, .lowest_append = UINT64_MAX, .term = disk->term};
    rig->c = consensus_new(&options);
    const char *why = consensus_start(rig->c, rig->now, disk);
    if (why)
        panic(why, __FILE__, __LINE__);
}

/* Node 1 of a founded cluster of `count` voters. */
static inline void rig_found(struct rig *rig, uint64_t count)
{
    struct consensus_change change = {.index = 1, .members = voters(count)};
    struct consensus_run run = {.last = 1, .term = 1};
    struct consensus_disk disk = {.term = 1,
                                  .first = 1,
                                  .runs = &run,
                                  .runs_count = 1,
                                  .changes = &change,
                                  .changes_count = 1};
    rig_open(rig, 1, &disk);
}

static inline bool rig_close(struct rig *rig, bool held)
{
    bool good = held && !rig->fatal;
    consensus_destroy(&rig->c);
    return good;
}

static inline const char *hear(struct rig *rig, struct peer_message message)
{
    message.to = rig->c->options.id;
    rig->sent_count = 0;
    return consensus_receive(rig->c, rig->now, &message);
}

static inline void persist(struct rig *rig)
{
    rig->sent_count = 0;
    consensus_persisted(rig->c, rig->now, rig->appended, rig->appended_term);
}

#endif
