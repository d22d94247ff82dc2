/* The table of options itself: every name, default, limit and line of help stands here only. */
#include "broker/shell/options.h"

#include "broker/shell/peers.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <string.h>

#define FIELD(name) offsetof(struct options, name)

/* bytes: no ceiling of memory or outbox below this: a few packets must fit */
#define OPTIONS_SIZE_MIN (1024 * 1024)

/* bytes: 2^50; keeps sums far from overflow */
#define OPTIONS_SIZE_MAX (1ULL << 50)

static const struct option TABLE[OPTION_COUNT] = {
    [OPTION_ID_LISTEN] =
        {"listen", "STEWARD_LISTEN", OPTION_LIST, "ENDPOINT", "tcp://127.0.0.1:5757",
         "listen here; repeatable; tcp://ADDRESS:PORT (port * picks one), ipc://PATH",
         FIELD(listen), 0, 0, true},
    [OPTION_ID_DATA] = {"data", "STEWARD_DATA", OPTION_TEXT, "DIR", "./steward.data",
                        "keep everything in this directory, made when missing", FIELD(data), 0, 0,
                        true},
    [OPTION_ID_MEMORY] = {"memory", "STEWARD_MEMORY", OPTION_FLAG, NULL, "0",
                          "keep everything in memory only: gone when the process ends",
                          FIELD(memory), 0, 1, true},
    [OPTION_ID_NODE] = {"node", "STEWARD_NODE", OPTION_NUMBER, "ID", NULL,
                        "this node's id in the cluster; a wiped node needs a new one", FIELD(node),
                        1, PEERS_NODE_MAX, true},
    [OPTION_ID_CLUSTER] = {"cluster", "STEWARD_CLUSTER", OPTION_TEXT, "NODES", NULL,
                           "all nodes: ID=HOST:PORT, separated by commas", FIELD(cluster), 0, 0,
                           true},
    [OPTION_ID_BOOTSTRAP] = {"bootstrap", NULL, OPTION_FLAG, NULL, "0",
                             "found the cluster: once, on each node that --cluster names",
                             FIELD(bootstrap), 0, 1, false},
    [OPTION_ID_CLUSTER_KEY] = {"cluster-key", "STEWARD_CLUSTER_KEY", OPTION_TEXT, "FILE", NULL,
                               "the key of all nodes, made by `stewardd keygen FILE`",
                               FIELD(cluster_key), 0, 0, true},
    [OPTION_ID_CLUSTER_LISTEN] = {"cluster-listen", "STEWARD_CLUSTER_LISTEN", OPTION_TEXT,
                                  "ADDRESS:PORT", NULL,
                                  "listen for nodes here, when --cluster does not say it",
                                  FIELD(cluster_listen), 0, 0, true},
    [OPTION_ID_ADVERTISE] = {"advertise", "STEWARD_ADVERTISE", OPTION_TEXT, "ENDPOINT", NULL,
                             "where clients reach this node, when --listen does not say it",
                             FIELD(advertise), 0, 0, true},
    [OPTION_ID_INSECURE] = {"insecure", "STEWARD_INSECURE", OPTION_FLAG, NULL, "0",
                            "allow --listen beyond loopback, where anybody may connect",
                            FIELD(insecure), 0, 1, true},
    [OPTION_ID_BODY_MAX] = {"body-max", "STEWARD_BODY_MAX", OPTION_SIZE, "BYTES", "1M",
                            "largest body of a message", FIELD(body_max), 1,
                            LIMIT_BODY_CEILING_BYTES, true},
    [OPTION_ID_MEMORY_MAX] = {"memory-max", "STEWARD_MEMORY_MAX", OPTION_SIZE, "BYTES", "8G",
                              "refuse puts while more than this is stored", FIELD(memory_max),
                              OPTIONS_SIZE_MIN, OPTIONS_SIZE_MAX, true},
    [OPTION_ID_CONNECTIONS_MAX] = {"connections-max", "STEWARD_CONNECTIONS_MAX", OPTION_NUMBER,
                                   "COUNT", "65536", "refuse new connections beyond this many",
                                   FIELD(connections_max), 1, LIMIT_SESSIONS, true},
    [OPTION_ID_OUTBOX_MAX] = {"outbox-max", "STEWARD_OUTBOX_MAX", OPTION_SIZE, "BYTES", "64M",
                              "end a client that lets more than this wait to be read",
                              FIELD(outbox_max), OPTIONS_SIZE_MIN, OPTIONS_SIZE_MAX, true},
    [OPTION_ID_DRAIN_SECONDS] = {"drain-seconds", "STEWARD_DRAIN_SECONDS", OPTION_NUMBER, "SECONDS",
                                 "5", "after SIGTERM, let clients finish for at most this long",
                                 FIELD(drain_seconds), 0, 86400, true},
    [OPTION_ID_LOG_LEVEL] = {"log-level", "STEWARD_LOG_LEVEL", OPTION_LEVEL, "LEVEL", "info",
                             "error, warn, info or debug", FIELD(log_level), 0, 3, true},
    [OPTION_ID_LOG_FORMAT] = {"log-format", "STEWARD_LOG_FORMAT", OPTION_FORMAT, "FORMAT", "text",
                              "text or json: key=value for people, or a JSON object a line",
                              FIELD(log_format), 0, 1, true},
    [OPTION_ID_CONFIG] = {"config", "STEWARD_CONFIG", OPTION_TEXT, "FILE", NULL,
                          "read options from this file, one `name = value` a line", FIELD(config),
                          0, 0, false},
    [OPTION_ID_CHECK_CONFIG] = {"check-config", NULL, OPTION_FLAG, NULL, "0",
                                "print the resulting configuration and leave", FIELD(check_config),
                                0, 1, false},
    [OPTION_ID_VERSION] = {"version", NULL, OPTION_FLAG, NULL, "0", "print the version and leave",
                           FIELD(version), 0, 1, false},
    [OPTION_ID_HELP] = {"help", NULL, OPTION_FLAG, NULL, "0", "print this and leave", FIELD(help),
                        0, 1, false},
};

const struct option *option_at(size_t id)
{
    STEWARD_ASSERT(id < OPTION_COUNT);
    return &TABLE[id];
}

size_t option_find(const char *name)
{
    size_t id = 0;
    while (id < OPTION_COUNT && strcmp(TABLE[id].name, name) != 0) {
        id++;
    }
    return id;
}

const char *option_source_name(enum option_source source)
{
    static const char *const NAMES[] = {"default", "file", "environment", "command line"};
    STEWARD_ASSERT((size_t)source < sizeof NAMES / sizeof NAMES[0]);
    return NAMES[source];
}
