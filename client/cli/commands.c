/*
 * The table of commands. --help, and whatever else describes the command (`steward help --json`),
 * come from here and from options.c.
 */
#include "client/cli/cli.h"

#include <string.h>

#define QUEUE_OPTIONS                                                                              \
    BIT(OPTION_MAXSIZE) | BIT(OPTION_MAX_BYTES) | BIT(OPTION_OVERFLOW) | BIT(OPTION_LEASE) |       \
        BIT(OPTION_MAX_DELIVERIES) | BIT(OPTION_DEAD_LETTER) | BIT(OPTION_TTL) |                   \
        BIT(OPTION_DELAY) | BIT(OPTION_DEDUP_WINDOW)

const struct command command_table[] = {
    {"", "put", "QUEUE [ITEM...]", "put items, or the lines of stdin, into a queue",
     "Each line of stdin is an item when no ITEM is given. Thousands are in flight at once; their\n"
     "order is kept; it ends when the manager has confirmed all. It stops at the first failure.\n",
     BIT(OPTION_TIMEOUT) | BIT(OPTION_NULL) | BIT(OPTION_WHOLE) | BIT(OPTION_PRIORITY) |
         BIT(OPTION_DELAY) | BIT(OPTION_TTL) | BIT(OPTION_DEDUP_ID) | BIT(OPTION_HEADER),
     1, UNBOUNDED, false, cmd_put},
    {"", "get", "QUEUE...", "get items from queues and print them",
     "One item, unless -n or --all says else. An item is acknowledged when it has been written to\n"
     "stdout; Ctrl-C or a closed pipe gives back what was not, uncounted.\n"
     "--timeout bounds the wait for each next item. Ends with 3 if there were fewer than -n.\n",
     BIT(OPTION_MAX) | BIT(OPTION_ALL) | BIT(OPTION_TIMEOUT) | BIT(OPTION_NULL) |
         BIT(OPTION_WHOLE) | BIT(OPTION_LEASE),
     1, 64, false, cmd_get},
    {"", "exec", "QUEUE -- CMD [ARG...]", "run CMD for each item, which is its stdin",
     "CMD finds STEWARD_QUEUE, STEWARD_TOKEN and STEWARD_DELIVERIES in its environment. Status 0\n"
     "acknowledges the item, any other nacks it (--delay: it comes back after S). The lease is\n"
     "renewed while CMD runs. With -n 1 it ends with CMD's own status, 125 if Steward failed,\n"
     "124 for a time-out. SIGINT and SIGTERM are passed on; then no more items are taken.\n",
     BIT(OPTION_JOBS) | BIT(OPTION_MAX) | BIT(OPTION_TIMEOUT) | BIT(OPTION_LEASE) |
         BIT(OPTION_DELAY),
     1, 1, true, cmd_exec},
    {"", "lock", "NAME -- CMD [ARG...]", "run CMD while holding a lock",
     "CMD finds STEWARD_LOCK and STEWARD_TOKEN, the fencing token, in its environment. It is sent\n"
     "SIGTERM, then SIGKILL, when the lock is lost. Ends with CMD's own status, 125 if Steward\n"
     "failed or the lock was lost, 124 for a time-out. Signals are passed on to CMD.\n"
     "--lease: the lock is lost after S even if CMD still runs.\n"
     "`lock list`, `lock show`, `lock break` are commands of their own unless `--` follows:\n"
     "`steward lock list -- CMD` takes the lock named \"list\".\n",
     BIT(OPTION_TIMEOUT) | BIT(OPTION_LEASE) | BIT(OPTION_KILL_AFTER), 1, 1, true, cmd_lock},
    {"lock", "list", "[PREFIX]", "list locks and semaphores", "", 0, 0, 1, false, cmd_lock_list},
    {"lock", "show", "NAME", "show who holds a lock and who waits for it", "", 0, 1, 1, false,
     cmd_lock_show},
    {"lock", "break", "NAME", "take a lock from its holders: the next waiter gets a new token", "",
     0, 1, 1, false, cmd_lock_break},
    {"", "sem", "NAME --count N -- CMD [ARG...]", "run CMD while holding one of N permits",
     "As lock, for N holders at once. N is the same for all who use the semaphore.\n",
     BIT(OPTION_TIMEOUT) | BIT(OPTION_LEASE) | BIT(OPTION_KILL_AFTER) | BIT(OPTION_COUNT), 1, 1,
     true, cmd_sem},
    {"queue", "list", "[PREFIX]", "list queues", "", 0, 0, 1, false, cmd_queue_list},
    {"queue", "show", "QUEUE", "show a queue's settings and numbers", "", 0, 1, 1, false,
     cmd_queue_show},
    {"queue", "create", "QUEUE", "create a queue, or check that it has these options", "",
     QUEUE_OPTIONS, 1, 1, false, cmd_queue_create},
    {"queue", "alter", "QUEUE", "change options of a queue", "", QUEUE_OPTIONS, 1, 1, false,
     cmd_queue_alter},
    {"queue", "delete", "QUEUE", "delete a queue and all that is in it", "", 0, 1, 1, false,
     cmd_queue_delete},
    {"queue", "purge", "QUEUE", "drop all items that are not leased", "", 0, 1, 1, false,
     cmd_queue_purge},
    {"queue", "pause", "QUEUE", "no deliveries until resumed; puts go on", "", 0, 1, 1, false,
     cmd_queue_pause},
    {"queue", "resume", "QUEUE", "deliver again", "", 0, 1, 1, false, cmd_queue_resume},
    {"queue", "peek", "QUEUE", "look at items without taking them (default: 10)", "",
     BIT(OPTION_MAX) | BIT(OPTION_OFFSET), 1, 1, false, cmd_queue_peek},
    {"queue", "redrive", "QUEUE", "put dead letters back where they came from", "",
     BIT(OPTION_MAX) | BIT(OPTION_TO), 1, 1, false, cmd_queue_redrive},
    {"queue", "shutdown", "QUEUE", "no more puts; gets until it is empty", "", BIT(OPTION_NOW), 1,
     1, false, cmd_queue_shutdown},
    {"queue", "join", "QUEUE", "wait until every item put is acknowledged, dropped or dead", "",
     BIT(OPTION_TIMEOUT), 1, 1, false, cmd_queue_join},
    {"session", "list", "", "list sessions", "", 0, 0, 0, false, cmd_session_list},
    {"session", "show", "ID", "show a session", "", 0, 1, 1, false, cmd_session_show},
    {"session", "end", "ID", "end a session: what it holds goes back", "", 0, 1, 1, false,
     cmd_session_end},
    {"cluster", "status", "", "show who belongs to the cluster, and who leads",
     "Only the node that leads answers. With --json one object: leader, term, nodes and more.\n", 0,
     0, 0, false, cmd_cluster_status},
    {"cluster", "add", "ID", "add a node: it catches up, then votes",
     "The node must run (stewardd --node ID --cluster ... with an empty directory), under an id "
     "that\n"
     "was never used in this cluster. It ends when the node votes, 3 if that takes longer than\n"
     "--timeout (default: an hour); asked for again, it goes on where it was.\n",
     BIT(OPTION_TIMEOUT), 1, 1, false, cmd_cluster_add},
    {"cluster", "remove", "ID", "remove a node; one that leads hands over first",
     "Stop the node afterwards. Its id is not to be used again.\n", BIT(OPTION_TIMEOUT), 1, 1,
     false, cmd_cluster_remove},
    {"cluster", "transfer", "[ID]", "let another node lead, that one or the best", "",
     BIT(OPTION_TIMEOUT), 0, 1, false, cmd_cluster_transfer},
    {"", "backup", "FILE|-", "write all that the manager keeps to a file, while it runs",
     "The file is written beside FILE (FILE.part) and renamed when it is whole. `stewardd "
     "restore`\n"
     "makes a data directory of it. Progress is printed on stderr.\n",
     0, 1, 1, false, cmd_backup},
    {"", "stat", "", "show the manager's totals and counters", "", 0, 0, 0, false, cmd_stat},
    {"", "top", "[queues|locks|sessions|nodes]", "show what goes on, live",
     "Keys: 1 to 4 or Tab: another table; arrows and Enter: look closer; Esc: back; /: filter; s, "
     "r:\n"
     "sort; p: pause; ?: help; q: leave. Without a terminal say --once, or --json for a line of\n"
     "JSON for each row.\n",
     BIT(OPTION_ONCE) | BIT(OPTION_INTERVAL) | BIT(OPTION_FILTER), 0, 1, false, cmd_top},
    {"", "log-level", "[LEVEL]", "show or set how much the manager logs",
     "LEVEL is error, warn, info or debug. It holds until it is set again, until SIGHUP, or until\n"
     "the manager starts anew. Of a cluster it is the leader's.\n",
     0, 0, 1, false, cmd_log_level},
    {"bench", "throughput", "", "put and get with many processes, all confirmed", "",
     BIT(OPTION_PRODUCERS) | BIT(OPTION_CONSUMERS) | BIT(OPTION_SIZE) | BIT(OPTION_SECONDS) |
         BIT(OPTION_IN_FLIGHT) | BIT(OPTION_BATCH) | BIT(OPTION_PREFETCH) | BIT(OPTION_QUEUE) |
         BIT(OPTION_BROKER_PID),
     0, 0, false, cmd_bench_throughput},
    {"bench", "latency", "", "time from put to delivery, one item in flight", "",
     BIT(OPTION_SIZE) | BIT(OPTION_SECONDS) | BIT(OPTION_QUEUE) | BIT(OPTION_BROKER_PID), 0, 0,
     false, cmd_bench_latency},
    {"bench", "lock", "", "lock and unlock: alone, then among clients who compete", "",
     BIT(OPTION_CLIENTS) | BIT(OPTION_SECONDS) | BIT(OPTION_BROKER_PID), 0, 0, false,
     cmd_bench_lock},
    {"bench", "connections", "", "many connections, each: put, get, ack", "",
     BIT(OPTION_CONNECTIONS) | BIT(OPTION_SIZE) | BIT(OPTION_SECONDS) | BIT(OPTION_BROKER_PID), 0,
     0, false, cmd_bench_connections},
    {"", "help", "[COMMAND...]", "print help; with --json, the tables of commands and options", "",
     0, 0, 2, false, cmd_help},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, 0, false, NULL},
};

const struct command *command_find(const char **words, size_t count, size_t *used)
{
    const struct command *single = NULL;
    for (const struct command *command = command_table; command->name != NULL; command++) {
        bool grouped = command->group[0] != '\0';
        if (grouped && count > 1 && strcmp(words[0], command->group) == 0 &&
            strcmp(words[1], command->name) == 0) {
            *used = 2;
            return command;
        }
        if (!grouped && count > 0 && strcmp(words[0], command->name) == 0) {
            single = command;
        }
    }
    *used = 1;
    return single;
}
