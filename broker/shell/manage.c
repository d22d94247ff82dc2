/*
 * An operator's requests. Every action may come twice, so each asks for a state, not for a step:
 * a node that is to be added and is there, or a snapshot "not older than", is no failure.
 */
#include "broker/shell/manage.h"

#include "broker/journal/raft.h"
#include "broker/journal/snapshots.h"
#include "broker/shell/system.h"
#include "common/base/error.h"
#include "common/base/fields.h"
#include "common/base/limits.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct request {
    struct manage *manage;
    const struct manage_view *view;
    struct slice argument;
    struct buf *rows;
};

static void say(struct buf *rows, int code, const char *text)
{
    fields_row(rows);
    fields_u64(rows, "code", (uint64_t)-code);
    fields_text(rows, "text", slice_str(text ? text : error_text(code)));
}

static bool in_memory(const struct request *request)
{
    return strcmp(journal_name(request->view->journal), "memory") == 0;
}

/* A decimal number up to `end`, or to the end of the text; false: it is none. */
static bool number(struct slice *text, char end, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    for (; i < text->size && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
        uint64_t digit = text->data[i] - (uint64_t)'0';
        if (*out > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *out = *out * 10 + digit;
    }
    bool whole = i > 0 && (i == text->size ? end == 0 : text->data[i] == (uint8_t)end);
    if (whole && i < text->size) {
        i++; /* the end itself */
    }
    *text = slice_of(text->data + i, text->size - i);
    return whole;
}

/* ---- journal and cluster -------------------------------------------------------------------- */

static const struct raft_peer *peer_of(const struct raft_status *status, uint64_t node)
{
    for (size_t i = 0; i < status->peers_count; i++) {
        if (status->peers[i].id == node) {
            return &status->peers[i];
        }
    }
    return NULL;
}

static const char *role_of(const struct raft_status *status)
{
    const struct raft_peer *self = peer_of(status, status->node);
    switch (status->role) {
    case CONSENSUS_LEADER: return "leader";
    case CONSENSUS_CANDIDATE: return "candidate";
    case CONSENSUS_FOLLOWER: break;
    }
    return self && !self->voter ? "spare" : "follower";
}

static void state_row(const struct raft_status *status, struct buf *rows)
{
    fields_u64(rows, "node", status->node);
    fields_text(rows, "role", slice_str(role_of(status)));
    fields_u64(rows, "leader", status->leader);
    fields_u64(rows, "term", status->term);
    fields_u64(rows, "applied", status->applied);
    fields_u64(rows, "commit", status->commit);
    fields_u64(rows, "first", status->first);
    fields_u64(rows, "last", status->last);
    fields_u64(rows, "snapshot_index", status->snapshot_index);
    fields_u64(rows, "snapshotting", status->snapshotting);
    fields_u64(rows, "log_bytes", status->log_bytes);
    fields_u64(rows, "room_bytes", status->room_bytes);
    fields_u64(rows, "tight", status->tight);
    fields_u64(rows, "hash_index", status->hash_index);
    fields_u64(rows, "hash", status->hash);
    fields_u64(rows, "format", status->format);
    fields_u64(rows, "dropped", status->dropped);
    if (status->promotion_failed != 0) {
        fields_u64(rows, "promotion_failed", status->promotion_failed);
    }
    if (status->snapshot_trouble != NULL) {
        fields_text(rows, "snapshot_trouble", slice_str(status->snapshot_trouble));
    }
}

static void journal_row(const struct request *request, struct raft_status *status)
{
    struct journal *journal = request->view->journal;
    fields_row(request->rows);
    fields_text(request->rows, "journal", slice_str(journal_name(journal)));
    if (!in_memory(request)) {
        journal_raft_status(journal, status);
        state_row(status, request->rows);
    }
}

static void node_row(const struct request *request, const struct raft_status *status,
                     const struct raft_peer *peer)
{
    struct buf *rows = request->rows;
    bool self = peer->id == status->node;
    uint64_t match = self && peer->match == 0 ? status->last : peer->match;
    struct slice address = slice_str(""), endpoint = slice_str("");
    const struct manage_view *view = request->view;
    bool heard = view->where && view->where(view->context, peer->id, &address, &endpoint);
    fields_row(rows);
    fields_u64(rows, "node", peer->id);
    fields_text(rows, "role", slice_str(peer->voter ? "voter" : "spare"));
    fields_u64(rows, "leader", peer->id == status->leader);
    fields_u64(rows, "alive", self || peer->alive || heard);
    fields_u64(rows, "match", match);
    fields_u64(rows, "lag", status->last > match ? status->last - match : 0);
    fields_u64(rows, "hash_index", self ? status->hash_index : peer->hash_index);
    fields_u64(rows, "hash", self ? status->hash : peer->hash);
    fields_text(rows, "address", address);
    fields_text(rows, "endpoint", endpoint);
}

static void act_journal(struct request *request)
{
    struct raft_status status = {0};
    journal_row(request, &status);
}

static void act_cluster(struct request *request)
{
    struct raft_status status = {0};
    journal_row(request, &status);
    for (size_t i = 0; i < status.peers_count; i++) {
        node_row(request, &status, &status.peers[i]);
    }
}

/* ---- the process ---------------------------------------------------------------------------- */

static void process_row(const struct request *request)
{
    const struct manage_view *view = request->view;
    struct buf *rows = request->rows;
    struct system_usage usage;
    system_usage(&usage);
    fields_row(rows);
    fields_text(rows, "version", slice_str(STW_VERSION));
    fields_u64(rows, "pid", (uint64_t)getpid());
    fields_u64(rows, "uptime_ms", view->uptime_ms);
    fields_u64(rows, "turn_longest_us", view->turn_longest_us);
    fields_u64(rows, "cpu_ms", usage.cpu_ms);
    fields_u64(rows, "rss_bytes", usage.rss_bytes);
    fields_u64(rows, "draining", view->draining);
    fields_u64(rows, "memory_max_bytes", view->options->memory_max);
    fields_u64(rows, "body_max_bytes", view->options->body_max);
    fields_u64(rows, "outbox_max_bytes", view->options->outbox_max);
    fields_u64(rows, "connections_max", view->options->connections_max);
    fields_text(rows, "log_level", slice_str(log_level_name(view->log->level)));
    fields_u64(rows, "log_dropped", view->log->dropped);
}

static void act_stat(struct request *request)
{
    process_row(request);
    act_cluster(request);
}

static void say_level(const struct request *request)
{
    say(request->rows, STW_OK, "as asked");
    fields_text(request->rows, "level", slice_str(log_level_name(request->view->log->level)));
}

/* The line that says so is written at the more talkative of the two levels. */
static void act_log_level(struct request *request)
{
    struct log *log = request->view->log;
    enum log_level level = log->level;
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", (int)request->argument.size,
                   (const char *)request->argument.data);
    if (request->argument.size > 0 && !log_level_parse(text, &level)) {
        say(request->rows, STW_EINVAL, "a level is error, warn, info or debug");
        return;
    }
    if (level != log->level) {
        struct log_line line;
        enum log_level before = log->level;
        log->level = level > before ? level : before;
        log_begin(&line, log, LEVEL_INFO, "shell", "log_level");
        log_text(&line, "from", log_level_name(before));
        log_text(&line, "to", log_level_name(level));
        log_end(&line);
        log->level = level;
    }
    say_level(request);
}

/* ---- changes -------------------------------------------------------------------------------- */

static int code_of(enum consensus_result result)
{
    switch (result) {
    case CONSENSUS_OK: return STW_OK;
    case CONSENSUS_NOT_LEADER: return STW_EREDIRECT;
    case CONSENSUS_BUSY: return STW_EBUSY;
    case CONSENSUS_BAD_NODE: return STW_ENOENT;
    case CONSENSUS_IS_LEADER: return STW_EINVAL;
    case CONSENSUS_NO_TARGET: return STW_ENOENT;
    case CONSENSUS_FULL: return STW_ELIMIT;
    }
    return STW_EINTERNAL;
}

/* Is it as it is asked to be? NULL: no; else a sentence. */
static const char *already(const struct request *request, enum raft_change what, uint64_t node)
{
    struct raft_status status;
    journal_raft_status(request->view->journal, &status);
    const struct raft_peer *peer = peer_of(&status, node);
    switch (what) {
    case RAFT_CHANGE_ADD: return peer ? "it is a member" : NULL;
    case RAFT_CHANGE_PROMOTE: return peer && peer->voter ? "it votes" : NULL;
    case RAFT_CHANGE_REMOVE: return peer == NULL ? "it is no member" : NULL;
    case RAFT_CHANGE_TRANSFER: return node != 0 && node == status.leader ? "it leads" : NULL;
    }
    return NULL;
}

static void change(struct request *request, enum raft_change what)
{
    uint64_t node = 0;
    struct slice text = request->argument;
    bool any = what == RAFT_CHANGE_TRANSFER && text.size == 0;
    if (in_memory(request)) {
        say(request->rows, STW_EINVAL, "the manager keeps everything in memory: it is no cluster");
        return;
    }
    if (!any && (!number(&text, 0, &node) || node == 0)) {
        say(request->rows, STW_EINVAL, "a node's id is a number from 1 on");
        return;
    }
    const char *sentence = already(request, what, node);
    if (sentence) {
        say(request->rows, STW_OK, sentence);
        return;
    }
    enum consensus_result result =
        journal_raft_change(request->view->journal, request->view->now_ms, what, node);
    say(request->rows, code_of(result),
        result == CONSENSUS_OK ? "under way" : consensus_result_text(result));
}

static void act_add(struct request *request)
{
    change(request, RAFT_CHANGE_ADD);
}

static void act_promote(struct request *request)
{
    change(request, RAFT_CHANGE_PROMOTE);
}

static void act_remove(struct request *request)
{
    change(request, RAFT_CHANGE_REMOVE);
}

static void act_transfer(struct request *request)
{
    change(request, RAFT_CHANGE_TRANSFER);
}

/* ---- backups -------------------------------------------------------------------------------- */

static struct snapshots *store_of(const struct request *request)
{
    if (in_memory(request)) {
        say(request->rows, STW_EINVAL,
            "the manager keeps everything in memory: there is nothing to back up");
        return NULL;
    }
    struct snapshots *store = journal_raft_snapshots(request->view->journal);
    if (store == NULL) {
        say(request->rows, STW_EBUSY, "the manager has not opened its snapshots yet");
    }
    return store;
}

static void hold(struct request *request, struct snapshots *store, uint64_t index)
{
    request->manage->held = index;
    request->manage->used_ms = request->view->now_ms;
    snapshots_hold_backup(store, index);
}

static void say_busy(struct request *request, uint64_t index)
{
    fields_row(request->rows);
    fields_u64(request->rows, "busy", 1);
    fields_u64(request->rows, "index", index);
}

/*
 * A snapshot that holds everything up to the entry that was applied when it was first asked for.
 * Nothing new since the last one: that one will do.
 */
static void act_begin(struct request *request)
{
    struct snapshot_mark newest;
    struct raft_status status;
    struct slice text = request->argument;
    struct snapshots *store = store_of(request);
    uint64_t wanted = 0, size = 0;
    if (store == NULL) {
        return;
    }
    journal_raft_status(request->view->journal, &status);
    if (text.size == 0) {
        wanted = status.applied;
    } else if (!number(&text, 0, &wanted) || wanted > status.applied) {
        say(request->rows, STW_EINVAL, "an index that was told before");
        return;
    }
    uint64_t idle_ms = request->view->now_ms - request->manage->used_ms;
    bool other = request->manage->held != 0 && request->manage->held < wanted &&
                 idle_ms < LIMIT_BACKUP_PAUSE_MS;
    if (!other && snapshots_newest(store, &newest) && newest.at.index >= wanted &&
        snapshots_size(store, newest.at.index, &size)) {
        hold(request, store, newest.at.index);
        fields_row(request->rows);
        fields_u64(request->rows, "index", newest.at.index);
        fields_u64(request->rows, "size", size);
        return;
    }
    if (request->argument.size > 0 && status.snapshot_trouble && !status.snapshotting) {
        say(request->rows, STW_EDISK, status.snapshot_trouble);
        return;
    }
    if (!other) { /* false: one is being written, and the next request begins another if need be */
        (void)journal_raft_snapshot_now(request->view->journal, request->view->now_ms);
    }
    say_busy(request, wanted);
}

static void act_read(struct request *request)
{
    static uint8_t piece[LIMIT_BACKUP_PIECE_BYTES];
    struct slice text = request->argument;
    struct snapshots *store = store_of(request);
    uint64_t index = 0, offset = 0, size = 0;
    if (store == NULL) {
        return;
    }
    if (!number(&text, ' ', &index) || !number(&text, 0, &offset)) {
        say(request->rows, STW_EINVAL, "an index and an offset");
        return;
    }
    int64_t got = snapshots_size(store, index, &size)
                      ? snapshots_read(store, index, offset, piece, sizeof piece)
                      : -1;
    if (got < 0) {
        say(request->rows, STW_ENOENT, "the snapshot is not there any more");
        return;
    }
    if (request->manage->held == index) {
        request->manage->used_ms = request->view->now_ms;
    }
    fields_row(request->rows);
    fields_u64(request->rows, "index", index);
    fields_u64(request->rows, "offset", offset);
    fields_u64(request->rows, "size", size);
    fields_bytes(request->rows, "data", slice_of(piece, (size_t)got));
}

static void act_end(struct request *request)
{
    struct slice text = request->argument;
    struct snapshots *store = store_of(request);
    uint64_t index = 0;
    if (store == NULL) {
        return;
    }
    if (number(&text, 0, &index) && request->manage->held == index && index != 0) {
        hold(request, store, 0);
    }
    say(request->rows, STW_OK, "let go");
}

void manage_tick(struct manage *manage, const struct manage_view *view)
{
    if (manage->held != 0 && view->now_ms - manage->used_ms >= LIMIT_BACKUP_IDLE_MS) {
        manage->held = 0;
        snapshots_hold_backup(journal_raft_snapshots(view->journal), 0);
    }
}

/* ---- the table ------------------------------------------------------------------------------ */

void manage_act(struct manage *manage, const struct manage_view *view, struct slice action,
                struct slice argument, struct buf *rows)
{
    static const struct {
        const char *name;
        void (*act)(struct request *request);
    } actions[] = {{"journal", act_journal},       {"cluster", act_cluster},
                   {"cluster.add", act_add},       {"cluster.promote", act_promote},
                   {"cluster.remove", act_remove}, {"cluster.transfer", act_transfer},
                   {"backup.begin", act_begin},    {"backup.read", act_read},
                   {"backup.end", act_end},        {"stat", act_stat},
                   {"log-level", act_log_level}};
    struct request request = {manage, view, argument, rows};
    manage_tick(manage, view);
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (slice_equal(action, slice_str(actions[i].name))) {
            actions[i].act(&request);
            return;
        }
    }
    if (action.size > 0) {
        say(rows, STW_EINVAL, "there is no such action");
    }
}
