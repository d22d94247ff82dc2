/*
 * This node's part in a cluster: its links, who leads, and where clients find the leader. What the
 * manager has beside a journal when --cluster is said; without it there is none of this.
 *
 * A turn: cluster_receive, before clients' packets; the journal sends by cluster_send; then
 * cluster_flush, after the journal's flush. One owner thread; nothing waits but opening (see
 * links_open).
 */
#ifndef BROKER_SHELL_CLUSTER_H
#define BROKER_SHELL_CLUSTER_H

#include "broker/journal/raft.h"
#include "broker/shell/links.h"
#include "broker/shell/log.h"
#include "broker/shell/options.h"

struct cluster;

/*
 * Reads the key, checks the data directory for --bootstrap, listens for nodes and connects. options
 * (with a cluster; borrowed until return) were checked; log is borrowed. NULL: `error` says why.
 */
struct cluster *cluster_open(const struct options *options, struct log *log,
                             struct links_error *error);
void cluster_close(struct cluster **cluster);

/* Fills in what a journal has to know of the cluster: node, founders, join, seed; and
 * how long elections wait, by its body_max. Borrowed. */
void cluster_journal(const struct cluster *cluster, struct journal_raft_options *raft);

/* The journal, once it is open; borrowed until cluster_close. */
void cluster_attach(struct cluster *cluster, struct journal *journal);

/* An endpoint that clients can be sent to; the first one counts, and --advertise before all. */
void cluster_listening(struct cluster *cluster, const char *endpoint);

/* What is told to other nodes as our endpoint for clients; "": nothing yet. */
const char *cluster_advertised(const struct cluster *cluster);

/* Hands the messages of other nodes to the journal, for as much as one turn may take. */
void cluster_receive(struct cluster *cluster, uint64_t now_ms);

/* Time was set forward by so much, ms: no node was silent for that long. */
void cluster_jumped(struct cluster *cluster, uint64_t by_ms);

/* journal_raft_options.send, but for the context. */
void cluster_send(struct cluster *cluster, uint64_t node, struct slice bytes);

/* Sends what the turn produced, and says in the log what changed. */
void cluster_flush(struct cluster *cluster, uint64_t now_ms);

/* true: more is waiting to be received. To be asked last in a turn. */
bool cluster_waiting(struct cluster *cluster);

/* When the next turn is due (ms). */
uint64_t cluster_deadline(const struct cluster *cluster);

/* As links_descriptors and links_attend. */
void cluster_descriptors(const struct cluster *cluster, int out[LINKS_DESCRIPTORS]);
void cluster_attend(struct cluster *cluster);

/* Where clients reach the leader, if that is another node and known; else empty. Borrowed until the
 * next flush. */
struct slice cluster_leader_endpoint(const struct cluster *cluster);

/* Gives leadership away, to whoever is best. false: we do not lead, or there is nobody to take it.
 * true: it is under way; it shows by journal_ready within LIMIT_TRANSFER_MS, or not at all. */
bool cluster_hand_over(struct cluster *cluster, uint64_t now_ms);

/* Where other nodes, and clients, reach a node, and whether it is heard: manage_view.where, with
 * the cluster as context. Empty: not known. Borrowed until the next flush. */
bool cluster_where(void *context, uint64_t node, struct slice *address, struct slice *endpoint);

#endif
