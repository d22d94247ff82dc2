/*
 * The options of stewardd: ONE table. The command line, the configuration file, the environment,
 * --help, --check-config and docs/operations.md all come from it.
 *
 * To add an option: a field in struct options, a line in the enum, a line in the table
 * (options_table.c), a line in docs/operations.md. The stronger source wins:
 * command line > environment > file > default. Not thread-safe.
 */
#ifndef BROKER_SHELL_OPTIONS_H
#define BROKER_SHELL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* count: endpoints one manager listens on */
#define OPTIONS_LISTEN_MAX 16

/* bytes: the longest text value; an endpoint or a path */
#define OPTIONS_TEXT_BYTES 1024

enum option_source { SOURCE_DEFAULT = 0, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_COMMAND_LINE };

enum option_type {
    OPTION_FLAG,   /* bool; in a file or the environment: 1, 0, true, false, yes, no, on, off */
    OPTION_NUMBER, /* uint64_t */
    OPTION_SIZE,   /* uint64_t, bytes; K, M, G multiply by powers of 1024 */
    OPTION_TEXT,   /* char *, owned */
    OPTION_LEVEL,  /* uint64_t: enum log_level by name */
    OPTION_FORMAT, /* uint64_t: enum log_format by name */
    OPTION_LIST    /* struct option_list; repeatable; separated by commas in the environment */
};

enum option_id {
    OPTION_ID_LISTEN,
    OPTION_ID_DATA,
    OPTION_ID_MEMORY,
    OPTION_ID_NODE,
    OPTION_ID_CLUSTER,
    OPTION_ID_BOOTSTRAP,
    OPTION_ID_CLUSTER_KEY,
    OPTION_ID_CLUSTER_LISTEN,
    OPTION_ID_ADVERTISE,
    OPTION_ID_INSECURE,
    OPTION_ID_BODY_MAX,
    OPTION_ID_MEMORY_MAX,
    OPTION_ID_CONNECTIONS_MAX,
    OPTION_ID_OUTBOX_MAX,
    OPTION_ID_DRAIN_SECONDS,
    OPTION_ID_LOG_LEVEL,
    OPTION_ID_LOG_FORMAT,
    OPTION_ID_CONFIG,
    OPTION_ID_CHECK_CONFIG,
    OPTION_ID_VERSION,
    OPTION_ID_HELP,
    OPTION_COUNT
};

struct option_list {
    char *items[OPTIONS_LISTEN_MAX]; /* owned */
    size_t count;
};

struct options {
    struct option_list listen;
    char *data; /* directory; not used with memory */
    bool memory;
    uint64_t node; /* our id in the cluster; 0: none */
    char *cluster; /* all nodes: see peers.h; NULL: this node is alone */
    bool bootstrap;
    char *cluster_key;    /* file; NULL: none */
    char *cluster_listen; /* HOST:PORT; NULL: by our own address in `cluster` */
    char *advertise;      /* endpoint for clients; NULL: the first of `listen` */
    bool insecure;
    bool check_config;
    bool version;
    bool help;
    uint64_t body_max;
    uint64_t memory_max;
    uint64_t connections_max;
    uint64_t outbox_max;
    uint64_t drain_seconds;
    uint64_t log_level;  /* enum log_level */
    uint64_t log_format; /* enum log_format */
    char *config;        /* NULL: no file */
    enum option_source sources[OPTION_COUNT];
};

struct option {
    const char *name;        /* "body-max": --body-max, and the key in the file */
    const char *environment; /* "STEWARD_BODY_MAX"; NULL: not from the environment */
    enum option_type type;
    const char *unit;     /* for --help: "BYTES"; NULL for flags */
    const char *fallback; /* the default as text; NULL: empty */
    const char *help;     /* one line */
    size_t offset;        /* in struct options */
    uint64_t min, max;    /* numbers and sizes */
    bool in_file;         /* may stand in the file */
};

/* The option of that number; never NULL below OPTION_COUNT. */
const struct option *option_at(size_t id);

/* Which option has that name; OPTION_COUNT: none. */
size_t option_find(const char *name);

/* Fills in the defaults. Free with options_fini. */
void options_init(struct options *options);
void options_fini(struct options *options);

/* What went wrong, for people. */
struct options_error {
    char text[512];
};

/*
 * Sets one option from text. A value of a weaker source is replaced, a list of the same source
 * grows, an equal source otherwise overwrites, a stronger one stays. false, with a sentence, when
 * the value is not valid.
 */
bool options_set(struct options *options, size_t id, const char *text, enum option_source source,
                 struct options_error *error);

/* Rules between options, and those of endpoints (loopback only unless insecure). */
bool options_check(const struct options *options, struct options_error *error);

/* Those among options_check's rules that are about clusters (options_cluster.c). */
bool options_check_cluster(const struct options *options, struct options_error *error);

/* bytes: the longest value as text: a full list, its commas, a NUL */
#define OPTIONS_VALUE_BYTES (OPTIONS_LISTEN_MAX * (OPTIONS_TEXT_BYTES + 1))

/* An option's value as one would write it, a list with commas; none: "". `text` has
 * OPTIONS_VALUE_BYTES. */
void options_value(const struct options *options, size_t id, char *text);

/* The resulting configuration as a configuration file; comments say where each value came from. */
void options_print(const struct options *options, FILE *out);

/* "default", "file", "environment", "command line". Static string. */
const char *option_source_name(enum option_source source);

#endif
