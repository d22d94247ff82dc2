/*
 * This node's part in a cluster: options become links and founders, links feed the journal, and
 * what changes is said in the log, once for each change.
 */
#include "broker/shell/cluster.h"

#include "broker/journal/examine.h"
#include "broker/shell/endpoint.h"
#include "broker/shell/peers.h"
#include "broker/shell/system.h"
#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* milliseconds: between two looks at how far a start or an install is; also between two lines */
#define CLUSTER_LOOK_MS     250
#define CLUSTER_PROGRESS_MS 2000

struct cluster {
    struct log *log;
    struct links *links;
    struct journal *journal; /* NULL: not yet */
    struct peers peers;
    struct members founders;
    uint64_t node;
    bool bootstrap;
    bool advertised; /* by the option, or by an endpoint we listen on */
    bool led;        /* as it was said last */
    uint64_t leader; /* likewise */
    bool replaying, installing, waits;
    uint64_t look_ms, progress_ms;
};

/* ---- open ----------------------------------------------------------------------------------- */

static bool fail(struct links_error *error, const char *what, const char *why)
{
    snprintf(error->text, sizeof error->text, "%.250s: %.250s", what, why);
    return false;
}

/* A directory that a file system brings along is nobody's data, and what a start leaves that ended
 * before its version file was there holds none yet. */
static bool counts(const char *name)
{
    static const char *const nothing[] = {".", "..", "lost+found", "lock", "log", "version.new"};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        if (strcmp(name, nothing[i]) == 0) {
            return false;
        }
    }
    return true;
}

/* A whole data directory, but neither a founding nor a leader ever got to write anything. */
static bool is_blank(const char *path)
{
    struct examination *found = mem_zalloc(1, sizeof *found);
    bool blank = journal_examine(path, false, found) && found->last == 0 && found->term == 0 &&
                 found->snapshots_count == 0;
    blank = blank && journal_examine(path, true, found) && found->last == 0 && found->term == 0;
    free(found);
    return blank;
}

/*
 * Founding twice would make two clusters of one: what the first had confirmed would be lost. A
 * founding that was cut short (killed, no room) has to be begun again: nothing else would ever be.
 */
static bool may_found(const char *path, struct links_error *error)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return errno == ENOENT || fail(error, path, strerror(errno));
    }
    bool empty = true;
    for (struct dirent *entry = readdir(directory); entry && empty; entry = readdir(directory)) {
        empty = !counts(entry->d_name);
    }
    closedir(directory);
    return empty || is_blank(path) ||
           fail(error, path,
                "it holds something already, and --bootstrap is for the "
                "very first start: leave it away");
}

static bool open_links(struct cluster *cluster, const struct options *options,
                       const struct cluster_key *key, struct links_error *error)
{
    char listen[LIMIT_LINK_ADDRESS_BYTES + 1];
    struct link_peer peers[LIMIT_NODES];
    const struct peer *own = peers_find(&cluster->peers, cluster->node);
    for (size_t i = 0; i < cluster->peers.count; i++) {
        peers[i] = (struct link_peer){.node = cluster->peers.list[i].node,
                                      .address = cluster->peers.list[i].address};
    }
    if (options->cluster_listen) {
        const char *problem = peers_address(listen, options->cluster_listen);
        STEWARD_ASSERT(problem == NULL);
    } else {
        peers_listen(listen, own->address);
    }
    struct links_options links = {.node = cluster->node,
                                  .listen = listen,
                                  .peers = peers,
                                  .peers_count = cluster->peers.count,
                                  .key = key,
                                  .address = own->address,
                                  .endpoint = options->advertise};
    cluster->links = links_open(&links, error);
    return cluster->links != NULL;
}

static bool open_all(struct cluster *cluster, const struct options *options,
                     struct links_error *error)
{
    struct cluster_key key;
    struct cluster_key_error key_error;
    if (options->bootstrap && !may_found(options->data, error)) {
        return false;
    }
    if (options->cluster_key && !cluster_key_load(&key, options->cluster_key, &key_error)) {
        return fail(error, "cluster-key", key_error.text);
    }
    bool done = open_links(cluster, options, options->cluster_key ? &key : NULL, error);
    cluster_key_wipe(&key);
    return done;
}

static void log_listening(const struct cluster *cluster, bool keyed)
{
    struct log_line line;
    log_begin(&line, cluster->log, LEVEL_INFO, "cluster", "listening_for_nodes");
    log_number(&line, "node", cluster->node);
    log_text(&line, "endpoint", links_listening(cluster->links));
    log_text(&line, "encrypted", keyed ? "yes" : "no");
    log_end(&line);
}

/* By id, so that each founder writes down the same, however its list is ordered. */
static void name_founders(struct cluster *cluster)
{
    uint64_t last = 0;
    for (size_t i = 0; i < cluster->peers.count; i++) {
        uint64_t next = UINT64_MAX;
        for (size_t k = 0; k < cluster->peers.count; k++) {
            uint64_t node = cluster->peers.list[k].node;
            next = node > last && node < next ? node : next;
        }
        members_set(&cluster->founders, next, MEMBER_VOTER);
        last = next;
    }
}

struct cluster *cluster_open(const struct options *options, struct log *log,
                             struct links_error *error)
{
    struct cluster *cluster = mem_zalloc(1, sizeof *cluster);
    const char *problem = peers_parse(&cluster->peers, options->cluster);
    STEWARD_ASSERT(problem == NULL && peers_find(&cluster->peers, options->node));
    cluster->log = log;
    cluster->node = options->node;
    cluster->bootstrap = options->bootstrap;
    cluster->advertised = options->advertise != NULL;
    name_founders(cluster);
    if (!open_all(cluster, options, error)) {
        cluster_close(&cluster);
        return NULL;
    }
    log_listening(cluster, options->cluster_key != NULL);
    return cluster;
}

static void say_left(const struct cluster *cluster)
{
    struct links_counters counters;
    struct log_line line;
    links_counters(cluster->links, &counters);
    log_begin(&line, cluster->log, LEVEL_INFO, "cluster", "left");
    log_number(&line, "messages_in", counters.envelopes_in);
    log_number(&line, "messages_out", counters.envelopes_out);
    log_number(&line, "unsent", counters.unsent);
    log_number(&line, "refused", counters.refused);
    log_number(&line, "strangers", counters.denied);
    log_end(&line);
}

void cluster_close(struct cluster **cluster)
{
    if (*cluster && (*cluster)->links) {
        say_left(*cluster);
    }
    if (*cluster) {
        links_close(&(*cluster)->links);
        free(*cluster);
        *cluster = NULL;
    }
}

void cluster_journal(const struct cluster *cluster, struct journal_raft_options *raft)
{
    uint64_t beyond = raft->body_max > LIMIT_BODY_BYTES ? raft->body_max - LIMIT_BODY_BYTES : 0;
    raft->node = cluster->node;
    raft->founders = cluster->bootstrap ? &cluster->founders : NULL;
    raft->join = !cluster->bootstrap;
    raft->election_ms = LIMIT_ELECTION_MS + (uint32_t)(beyond / LIMIT_ELECTION_BODY_BYTES);
    system_random(&raft->seed, sizeof raft->seed);
}

void cluster_attach(struct cluster *cluster, struct journal *journal)
{
    cluster->journal = journal;
}

void cluster_listening(struct cluster *cluster, const char *endpoint)
{
    bool reaches = endpoint_is_specific(endpoint) && strlen(endpoint) <= LIMIT_LINK_ADDRESS_BYTES;
    reaches = reaches && (peers_local(&cluster->peers) || strncmp(endpoint, "ipc://", 6) != 0);
    if (!cluster->advertised && reaches) {
        links_advertise(cluster->links, endpoint);
        cluster->advertised = true;
    }
}

const char *cluster_advertised(const struct cluster *cluster)
{
    return (const char *)links_endpoint(cluster->links, cluster->node).data;
}

/* ---- a turn --------------------------------------------------------------------------------- */

void cluster_receive(struct cluster *cluster, uint64_t now_ms)
{
    uint64_t from = 0;
    struct slice bytes;
    while (links_receive(cluster->links, now_ms, &from, &bytes)) {
        journal_raft_receive(cluster->journal, now_ms, from, bytes);
    }
}

void cluster_jumped(struct cluster *cluster, uint64_t by_ms)
{
    links_jumped(cluster->links, by_ms);
}

void cluster_send(struct cluster *cluster, uint64_t node, struct slice bytes)
{
    links_send(cluster->links, node, bytes);
}

bool cluster_waiting(struct cluster *cluster)
{
    return links_waiting(cluster->links);
}

uint64_t cluster_deadline(const struct cluster *cluster)
{
    return links_deadline(cluster->links);
}

void cluster_descriptors(const struct cluster *cluster, int out[LINKS_DESCRIPTORS])
{
    links_descriptors(cluster->links, out);
}

void cluster_attend(struct cluster *cluster)
{
    links_attend(cluster->links);
}

struct slice cluster_leader_endpoint(const struct cluster *cluster)
{
    uint64_t leader = journal_leader(cluster->journal);
    return leader != 0 && leader != cluster->node ? links_endpoint(cluster->links, leader)
                                                  : slice_of(NULL, 0);
}

bool cluster_hand_over(struct cluster *cluster, uint64_t now_ms)
{
    return journal_ready(cluster->journal) &&
           journal_raft_change(cluster->journal, now_ms, RAFT_CHANGE_TRANSFER, 0) == CONSENSUS_OK;
}

bool cluster_where(void *context, uint64_t node, struct slice *address, struct slice *endpoint)
{
    const struct cluster *cluster = context;
    struct link_view view;
    bool self = node == cluster->node;
    *address = self ? slice_str(links_address(cluster->links)) : slice_of(NULL, 0);
    *endpoint = links_endpoint(cluster->links, node);
    for (size_t i = 0; !self && links_look(cluster->links, i, &view); i++) {
        if (view.node == node) {
            *address = slice_str(view.address);
            return view.up;
        }
    }
    return self;
}

/* ---- the log -------------------------------------------------------------------------------- */

static const struct {
    enum log_level level;
    const char *event;
} NEWS[] = {
    [LINK_UP] = {LEVEL_INFO, "node_up"},
    [LINK_DOWN] = {LEVEL_WARN, "node_down"},
    [LINK_RESTARTED] = {LEVEL_INFO, "node_restarted"},
    [LINK_LEARNED] = {LEVEL_INFO, "node_learned"},
    [LINK_MOVED] = {LEVEL_INFO, "node_moved"},
    [LINK_FORGOTTEN] = {LEVEL_INFO, "node_forgotten"},
    [LINK_TWICE] = {LEVEL_ERROR, "node_runs_twice"},
    [LINK_REFUSED] = {LEVEL_WARN, "node_refused"},
    [LINK_DENIED] = {LEVEL_WARN, "stranger_refused"},
};

static void log_news(struct cluster *cluster)
{
    struct link_news news;
    while (links_news(cluster->links, &news)) {
        struct log_line line;
        log_begin(&line, cluster->log, NEWS[news.event].level, "cluster", NEWS[news.event].event);
        if (news.node != 0) {
            log_number(&line, "node", news.node);
        }
        if (news.address[0] != '\0') {
            log_text(&line, "address", news.address);
        }
        if (news.reason[0] != '\0') {
            log_text(&line, "reason", news.reason);
        }
        log_end(&line);
    }
}

static void log_role(struct cluster *cluster)
{
    bool leads = journal_ready(cluster->journal);
    uint64_t leader = journal_leader(cluster->journal);
    bool elected = leader == cluster->node && !leads; /* it leads soon: that is said then */
    if (elected || (leads == cluster->led && leader == cluster->leader)) {
        return;
    }
    cluster->led = leads;
    cluster->leader = leader;
    struct raft_status status;
    struct log_line line;
    journal_raft_status(cluster->journal, &status);
    log_begin(&line, cluster->log, leader == 0 ? LEVEL_WARN : LEVEL_INFO, "cluster",
              leads         ? "leading"
              : leader == 0 ? "no_leader"
                            : "following");
    log_number(&line, "node", cluster->node);
    log_number(&line, "term", status.term);
    if (leader != 0) {
        log_number(&line, "leader", leader);
    }
    log_number(&line, "applied", status.applied);
    log_end(&line);
}

static void log_progress(struct cluster *cluster, const char *event,
                         const struct raft_status *status)
{
    struct log_line line;
    log_begin(&line, cluster->log, LEVEL_INFO, "cluster", event);
    log_number(&line, "applied", status->applied);
    log_number(&line, "last", status->last);
    if (status->installing) {
        log_number(&line, "bytes", status->install_bytes);
        log_number(&line, "of", status->install_total);
    }
    log_end(&line);
}

/* How far a start, or a snapshot of the leader's, has come: at its begin and end, and meanwhile. */
static void look(struct cluster *cluster, uint64_t now_ms)
{
    struct raft_status status;
    journal_raft_status(cluster->journal, &status);
    bool due = now_ms >= cluster->progress_ms + CLUSTER_PROGRESS_MS;
    if (status.replaying != cluster->replaying || (status.replaying && due)) {
        log_progress(cluster, status.replaying ? "recovering" : "recovered", &status);
        cluster->progress_ms = now_ms;
    }
    if (status.installing != cluster->installing || (status.installing && due)) {
        log_progress(cluster, status.installing ? "installing" : "installed", &status);
        cluster->progress_ms = now_ms;
    }
    cluster->replaying = status.replaying;
    cluster->installing = status.installing;
    if (status.peers_count == 0 && !cluster->waits) {
        log_event(
            cluster->log, LEVEL_WARN, "waits_to_be_added", "text",
            "this directory belongs to no cluster yet: steward cluster add ID, or --bootstrap "
            "on each founder");
    }
    cluster->waits = status.peers_count == 0;
}

void cluster_flush(struct cluster *cluster, uint64_t now_ms)
{
    links_flush(cluster->links, now_ms);
    log_news(cluster);
    log_role(cluster);
    if (now_ms >= cluster->look_ms) {
        cluster->look_ms = now_ms + CLUSTER_LOOK_MS;
        look(cluster, now_ms);
    }
}
