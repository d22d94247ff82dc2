/*
 * Every limit of Steward, with its unit and the reason for its value.
 * docs/protocol.md and docs/operations.md quote these; tests/tidy checks that each says its unit.
 */
#ifndef COMMON_BASE_LIMITS_H
#define COMMON_BASE_LIMITS_H

/* bytes: longest name of a queue, lock or semaphore; fits a length byte and a screen line */
#define LIMIT_NAME_BYTES 255

/* bytes: largest body by default (configurable up to LIMIT_BODY_CEILING_BYTES) */
#define LIMIT_BODY_BYTES (1024 * 1024)

/* bytes: no configuration allows larger bodies; a body is handled whole in memory */
#define LIMIT_BODY_CEILING_BYTES (256 * 1024 * 1024)

/* bytes: from here a body travels as the packet's second frame, without another copy */
#define LIMIT_BODY_FRAME_BYTES (64 * 1024)

/* bytes: up to here bodies are copied into slabs; above, each has a refcounted block of its own */
#define LIMIT_BODY_SLAB_BYTES 4096

/* bytes: target size of a packet's first frame; larger gains less than 15 % in throughput */
#define LIMIT_PACKET_BYTES (256 * 1024)

/* bytes: a first frame larger than this is refused: target plus one record that just did not fit */
#define LIMIT_PACKET_CEILING_BYTES (1024 * 1024)

/* count: bodies in one atomic put, messages of one get, tags of one ack: work units per command */
#define LIMIT_BATCH 1024

/* count: units of work of one command or tick; the rest goes on in further ticks */
#define LIMIT_WORK_UNITS 1024

/* count: queues one get or consumer may name; each costs a link in that queue's waiter list */
#define LIMIT_GET_QUEUES 64

/* count: string headers of one message */
#define LIMIT_HEADERS 16

/* bytes: all headers of one message together, names and values; they are small by contract */
#define LIMIT_HEADER_BYTES 4096

/* bytes: a reason given with nack or reject, kept in the dead-letter record */
#define LIMIT_REASON_BYTES 255

/* bytes: longest dedup id */
#define LIMIT_DEDUP_ID_BYTES 128

/* count: dedup ids remembered per queue; the oldest is forgotten first, before its window ends */
#define LIMIT_DEDUP_IDS 100000

/* milliseconds: dedup window of a queue that declares none: 5 minutes, longer than any retry */
#define LIMIT_DEDUP_WINDOW_MS 300000

/* milliseconds: longest time-out, delay, lease or window: a year; keeps sums far from overflow */
#define LIMIT_DURATION_MS (366ULL * 24 * 3600 * 1000)

/* milliseconds: lease of a delivery when neither queue nor get says otherwise */
#define LIMIT_LEASE_MS 30000

/* milliseconds: shortest lease; below it network jitter alone loses leases */
#define LIMIT_LEASE_MIN_MS 100

/* count: open sessions of one manager */
#define LIMIT_SESSIONS 65536

/* count: queues of one manager */
#define LIMIT_QUEUES 1000000

/* count: locks and semaphores of one manager, together */
#define LIMIT_LOCKS 1000000

/* count: waiting requests of one session (blocked gets, puts, acquires, joins, consumers) */
#define LIMIT_WAITERS_SESSION 65536

/* count: waiting requests of the whole manager */
#define LIMIT_WAITERS 1000000

/* count: leases and locks one session may hold at once */
#define LIMIT_HELD_SESSION 4000000

/* count: requests answered or waiting whose answer the client has not confirmed having seen */
#define LIMIT_ANSWERS_SESSION 1048576

/* bytes: stored answers with content (get, stat, peek) of one session */
#define LIMIT_ANSWER_BYTES_SESSION (64 * 1024 * 1024)

/* bytes: one structured answer (a page of a list, a peek); longer ones are paged */
#define LIMIT_RESULT_BYTES (192 * 1024)

/* count: rows of one page of a list or peek */
#define LIMIT_PAGE_ROWS 1000

/* count: permits of a semaphore */
#define LIMIT_PERMITS 1000000

/* count: depth to which one holder may re-enter a lock */
#define LIMIT_LOCK_DEPTH 65535

/* bytes: host and program name in HELLO */
#define LIMIT_INFO_BYTES 255

/* milliseconds: a session ends after this silence unless HELLO asks otherwise */
#define LIMIT_SESSION_TTL_MS 10000

/* milliseconds: shortest session time-to-live a client may ask for */
#define LIMIT_SESSION_TTL_MIN_MS 500

/* milliseconds: longest session time-to-live a client may ask for: one hour */
#define LIMIT_SESSION_TTL_MAX_MS 3600000

/* milliseconds: a session ends this long after its connection closed, unless HELLO says else */
#define LIMIT_SESSION_GRACE_MS 2000

/* bytes: a session's secret (128 bits, from the kernel's random source) */
#define LIMIT_SECRET_BYTES 16

/* milliseconds: an idle object that was created on first use is collected after this time */
#define LIMIT_IDLE_COLLECT_MS 60000

/* milliseconds: a message that its full dead-letter queue refused is tried again after this */
#define LIMIT_DEAD_LETTER_RETRY_MS 1000

/* bytes: memory ceiling of queued content by default: puts are refused above it */
#define LIMIT_MEMORY_BYTES (8ULL * 1024 * 1024 * 1024)

/* count: messages a consumer gets in one turn before the next consumer of the queue is served */
#define LIMIT_DELIVER_RUN 256

/* count: credit of a streaming consumer by default, in messages; fewer costs a third of speed */
#define LIMIT_CREDIT_MESSAGES 4096

/* bytes: credit of a streaming consumer by default */
#define LIMIT_CREDIT_BYTES (16 * 1024 * 1024)

/* count: nesting of msgpack containers in a record */
#define LIMIT_DEPTH 8

/* count: objects in one packet, before any is decoded: one byte each at least */
#define LIMIT_OBJECTS (512 * 1024)

/* bytes: packets kept for a client that does not read; then its session ends */
#define LIMIT_OUTBOX_BYTES (64 * 1024 * 1024)

/* milliseconds: a client flushes its pending packet after this time even if nobody blocks */
#define LIMIT_FLUSH_MS 1

/* count: requests in flight per connection before puts block in the library */
#define LIMIT_IN_FLIGHT 65536

/* milliseconds: a gap of the manager's own loop longer than this is a pause of the manager */
#define LIMIT_CLOCK_GAP_MS 1000

/* bytes: one segment of the log; smaller ones are changed often, larger ones are zeroed long */
#define LIMIT_LOG_SEGMENT_BYTES (64ULL * 1024 * 1024)

/* bytes: smallest segment of the log: for tests and small disks */
#define LIMIT_LOG_SEGMENT_MIN_BYTES (64ULL * 1024)

/* bytes: largest segment of the log: offsets in a record are 32 bits wide */
#define LIMIT_LOG_SEGMENT_MAX_BYTES (1024ULL * 1024 * 1024)

/* bytes: items gathered in one record; 64 KiB saturate a disk at a third of its rate */
#define LIMIT_LOG_RECORD_BYTES (1024 * 1024)

/* bytes: commands gathered in one entry of the log, unless one is larger; it fits one record */
#define LIMIT_ENTRY_BYTES (LIMIT_LOG_RECORD_BYTES - 4096)

/* bytes: commands waiting for the log from which on no packets are taken: several records, so that
 * the disk never waits for the loop, and a tenth of a second of a slow disk */
#define LIMIT_BACKLOG_BYTES (8 * 1024 * 1024)

/* bytes: durable records kept in memory, for followers that are hardly behind */
#define LIMIT_LOG_RECENT_BYTES (8 * 1024 * 1024)

/* count: segments that stand ready by default: one to go on in, two for what makes room */
#define LIMIT_LOG_POOL_SEGMENTS 3

/* count: segments that puts may not touch by default, so that acks and snapshots still can */
#define LIMIT_LOG_RESERVE_SEGMENTS 2

/* count: ready segments beyond those wanted that a start leaves; more are given back to the disk */
#define LIMIT_LOG_SPARE_SEGMENTS 8

/* milliseconds: an idle log is sealed after this: it confirms the last record on disk */
#define LIMIT_LOG_SEAL_MS 5

/* milliseconds: a full disk is looked at again after this time */
#define LIMIT_LOG_RETRY_MS 1000

/* milliseconds: least time without a leader before an election; most loops' stalls are shorter */
#define LIMIT_ELECTION_MS 300

/* bytes: of the largest body beyond LIMIT_BODY_BYTES, for each of which elections wait a ms longer:
 * so fast (200 MB/s) a busy loop copies, hashes and applies it, and says nothing meanwhile */
#define LIMIT_ELECTION_BODY_BYTES 200000

/* milliseconds: a leader that has nothing to say says at least that it leads: six in an election */
#define LIMIT_HEARTBEAT_MS 50

/* milliseconds: a snapshot that a follower did not take is announced to it again */
#define LIMIT_INSTALL_MS 5000

/* count: entries sent to one follower and not acknowledged yet */
#define LIMIT_INFLIGHT_ENTRIES 64

/* bytes: entries in one message to a follower, unless one entry is larger */
#define LIMIT_APPEND_BYTES (1024 * 1024)

/* count: messages with entries to one follower in one turn: the loop has others to serve */
#define LIMIT_APPEND_TURN 2

/* bytes: of a large entry in one message */
#define LIMIT_PART_BYTES (256 * 1024)

/* count: an entry of more parts than these goes in parts; what a turn gathers is no larger */
#define LIMIT_PARTS 4

/* count: parts on their way to one follower. What is said behind them waits for so much: 2 MiB */
#define LIMIT_PARTS_ON_WAY 8

/* milliseconds: parts of which nothing was heard are sent again */
#define LIMIT_PART_AGAIN_MS 500

/* bytes: entries sent to a follower that does not answer: enough to hear from it */
#define LIMIT_APPEND_SILENT_BYTES (64 * 1024)

/* count: messages kept until the vote before them is on disk; more are lost, which does no harm */
#define LIMIT_HELD_MESSAGES 64

/* count: commands applied in one go: about 20 ms, so that a start shows its progress and a leader's
 * heartbeats leave; every KiB of an entry counts as one more */
#define LIMIT_APPLY_COMMANDS 16384

/* milliseconds: nodes tell each other this often how far they are, and their state's hash */
#define LIMIT_MARK_MS 250

/* count: last entries whose hash is remembered: what other nodes tell is a little behind */
#define LIMIT_MARKS 4096

/* bytes: of log between two snapshots, or as many as the last snapshot has, whichever is more */
#define LIMIT_SNAPSHOT_LOG_BYTES (256ULL * 1024 * 1024)

/* bytes: of a snapshot in one message between nodes */
#define LIMIT_SNAPSHOT_PIECE_BYTES (256 * 1024)

/* count: pieces of a snapshot that a follower asks for at a time */
#define LIMIT_SNAPSHOT_PULLS 2

/* milliseconds: a piece of a snapshot that did not come is asked for again */
#define LIMIT_SNAPSHOT_PULL_MS 300

/* milliseconds: a snapshot that nobody asked for that long is not kept for a follower any more */
#define LIMIT_SNAPSHOT_HOLD_MS 30000

/* milliseconds: a snapshot that found no room is tried again after this time */
#define LIMIT_SNAPSHOT_RETRY_MS 5000

/* bytes: block of a snapshot file: written at once, with a checksum of its own */
#define LIMIT_SNAPSHOT_BLOCK_BYTES (256 * 1024)

/* bytes: a second; a snapshot is written no faster, so that the log beside it is not held up */
#define LIMIT_SNAPSHOT_RATE_BYTES (300ULL * 1000 * 1000)

/* bytes: a snapshot's state; no file is believed that says it is larger: 1 TiB */
#define LIMIT_SNAPSHOT_STATE_BYTES (1ULL << 40)

/* bytes: of a backup in one answer; with its rows it fits a packet */
#define LIMIT_BACKUP_PIECE_BYTES (128 * 1024)

/* milliseconds: after such a pause in reading a backup, the next one is not kept waiting for it */
#define LIMIT_BACKUP_PAUSE_MS 3000

/* milliseconds: a backup that was not read for so long is over; what it reads may go */
#define LIMIT_BACKUP_IDLE_MS 30000

/* count: by how much tokens, ids and the log's indices jump when a backup is restored: more than a
 * manager gives out in the years between backup and restore, and often enough in 64 bits */
#define LIMIT_RESTORE_JUMP (1000ULL * 1000 * 1000 * 1000 * 1000)

/* count: nodes of one cluster, spares included; more than seven voters were never tried */
#define LIMIT_NODES 9

/* count: links to other nodes, learned ones and some that left the cluster included */
#define LIMIT_LINKS 32

/* bytes: an address of a node, or the endpoint it tells to clients; tcp:// and a long host name */
#define LIMIT_LINK_ADDRESS_BYTES 300

/* milliseconds: a node that has nothing to say to another says at least that it lives */
#define LIMIT_LINK_PULSE_MS 250

/* milliseconds: a node that was not heard for this time counts as down: four lost pulses */
#define LIMIT_LINK_SILENT_MS 1000

/* milliseconds: a link that nobody configured is forgotten after this silence; it can come again */
#define LIMIT_LINK_FORGET_MS 60000

/* milliseconds: giving leadership away is waited for so long: several elections fit */
#define LIMIT_TRANSFER_MS 1500

/* bytes: target size of one message between nodes; more of one turn goes in a further one */
#define LIMIT_LINK_PACKET_BYTES (4 * 1024 * 1024)

/* bytes: what a message between nodes may have beside its packet: its head and fields */
#define LIMIT_LINK_SLACK_BYTES (4 * 1024 * 1024)

/* port: the default TCP port */
#define LIMIT_DEFAULT_PORT 5757

#endif
