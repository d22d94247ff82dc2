/*
 * `stewardd inspect DIR|FILE [--verify] [--json]`: what a data directory or a backup holds. With
 * --verify every byte is read, by the same rules as a start or a restore does.
 *
 * A manager may be at work in the directory: what it was just writing can look damaged, so trouble
 * is only believed when it is found several times.
 */
#include "broker/shell/inspect.h"

#include "broker/journal/examine.h"
#include "common/base/alloc.h"

#include <inttypes.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* count: how often a directory in use is looked at before its trouble is believed; milliseconds
 * between */
#define LOOKS_MAX     5
#define LOOK_PAUSE_MS 200

struct inspect {
    const char *path;
    int verify, json; /* as popt wants them */
};

/* ---- JSON: few values, so by hand ----------------------------------------------------------- */

static void json_text(const char *key, const char *value)
{
    printf("\"%s\":\"", key);
    for (const char *at = value; *at; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x20 || byte == '"' || byte == '\\') {
            printf("\\u%04x", byte);
        } else {
            putchar(byte);
        }
    }
    putchar('"');
}

static void json_number(const char *key, uint64_t value)
{
    printf(",\"%s\":%" PRIu64, key, value);
}

static void json_hex(const char *key, uint64_t value)
{
    printf(",\"%s\":\"%016" PRIx64 "\"", key, value);
}

static void json_trouble(const struct log_error *trouble)
{
    if (trouble->trouble != LOG_FINE) {
        putchar(',');
        json_text("trouble", trouble->text);
    }
}

static void json_mark(const struct snapshot_mark *mark, const struct log_error *trouble)
{
    json_number("term", mark->at.term);
    json_number("bytes", mark->bytes);
    json_number("time_ms", mark->time_ms);
    json_hex("hash", mark->hash);
    printf(",\"nodes\":[");
    for (uint32_t i = 0; i < mark->at.members.count; i++) {
        const struct member *member = &mark->at.members.list[i];
        printf("%s{\"node\":%" PRIu64 ",\"role\":\"%s\"}", i ? "," : "", member->id,
               member->role == MEMBER_VOTER ? "voter" : "spare");
    }
    putchar(']');
    json_trouble(trouble);
}

static void json_log(const struct examination *found)
{
    printf(",\"log\":{\"segments\":%" PRIu64, found->segments);
    json_number("reserve", found->pool);
    json_number("segment_bytes", found->segment_bytes);
    json_number("first_segment", found->first_ordinal);
    json_number("last_segment", found->last_ordinal);
    json_number("term", found->term);
    json_number("vote", found->vote);
    json_number("last", found->last);
    if (found->verified) {
        json_number("first", found->first);
        json_number("entries", found->entries);
        json_number("commands", found->commands);
        json_number("last_ms", found->last_ms);
    }
    putchar('}');
}

static void json_directory(const struct inspect *inspect, const struct examination *found,
                           bool good)
{
    putchar('{');
    json_text("directory", inspect->path);
    printf(",\"good\":%s,\"verified\":%s,\"in_use\":%s", good ? "true" : "false",
           inspect->verify ? "true" : "false", found->locked ? "true" : "false");
    json_number("node", found->node);
    json_hex("log_id", found->log_id);
    json_log(found);
    printf(",\"snapshots\":[");
    for (size_t i = 0; i < found->snapshots_count; i++) {
        const struct examined_snapshot *snapshot = &found->snapshots[i];
        printf("%s{\"index\":%" PRIu64, i ? "," : "", snapshot->index);
        json_mark(&snapshot->mark, &snapshot->trouble);
        putchar('}');
    }
    putchar(']');
    json_trouble(&found->trouble);
    printf("}\n");
}

/* ---- for people ----------------------------------------------------------------------------- */

static void print_time(const char *before, uint64_t time_ms)
{
    char text[32];
    struct tm parts;
    time_t seconds = (time_t)(time_ms / 1000);
    if (time_ms > 0 && gmtime_r(&seconds, &parts) &&
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) > 0) {
        printf("%s%s", before, text);
    }
}

static void print_mark(uint64_t index, const struct snapshot_mark *mark,
                       const struct log_error *trouble)
{
    printf("  up to entry %" PRIu64, index);
    if (trouble->trouble == LOG_FINE) {
        printf(", term %" PRIu64 ", %" PRIu64 " bytes", mark->at.term, mark->bytes);
        print_time(", last command ", mark->time_ms);
        printf(", nodes");
        for (uint32_t i = 0; i < mark->at.members.count; i++) {
            const struct member *member = &mark->at.members.list[i];
            printf(" %" PRIu64 "%s", member->id, member->role == MEMBER_VOTER ? "" : " (spare)");
        }
    }
    printf("\n");
    if (trouble->trouble != LOG_FINE) {
        printf("  DAMAGED: %s\n", trouble->text);
    }
}

static void print_log(const struct examination *found)
{
    printf("log: segments %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes; %" PRIu64
           " files in reserve\n",
           found->first_ordinal, found->last_ordinal, found->segment_bytes, found->pool);
    if (!found->verified) {
        printf("  entry %" PRIu64 " or later is the last, term %" PRIu64 " or later\n", found->last,
               found->term);
        return;
    }
    if (found->first > found->last) {
        printf("  no entry behind %" PRIu64, found->last);
    } else {
        printf("  entries %" PRIu64 " to %" PRIu64, found->first, found->last);
    }
    printf(", term %" PRIu64 "; %" PRIu64 " commands", found->term, found->commands);
    print_time(", last ", found->last_ms);
    printf("\n");
}

static void print_directory(const struct inspect *inspect, const struct examination *found,
                            bool good)
{
    printf("%s: log %016" PRIx64, inspect->path, found->log_id);
    if (found->node != 0) {
        printf(", node %" PRIu64, found->node);
    }
    printf("%s\n", found->locked ? ", in use by a process: what it writes is not told" : "");
    if (found->log_id != 0) {
        print_log(found);
    }
    for (size_t i = 0; i < found->snapshots_count; i++) {
        const struct examined_snapshot *snapshot = &found->snapshots[i];
        printf("snapshot %016" PRIx64 ":\n", snapshot->index);
        print_mark(snapshot->index, &snapshot->mark, &snapshot->trouble);
    }
    if (found->trouble.trouble != LOG_FINE) {
        printf("DAMAGED: %s\n", found->trouble.text);
    }
    printf("%s\n", !good             ? "not all of it is whole"
                   : inspect->verify ? "whole: every byte was read"
                                     : "nothing wrong in what was looked at; --verify reads all");
}

/* ---- looking -------------------------------------------------------------------------------- */

/*
 * A manager at work writes while we read, so a record may seem torn that is whole a moment later.
 * Damage stays where it is: the same words, up to those about a later record, in two looks.
 */
static bool examine(const struct inspect *inspect, struct examination *found)
{
    char before[sizeof found->trouble.text] = "";
    for (int i = 0; i < LOOKS_MAX; i++) {
        if (i > 0) {
            nanosleep(&(struct timespec){.tv_nsec = LOOK_PAUSE_MS * 1000000L}, NULL);
        }
        if (journal_examine(inspect->path, inspect->verify, found)) {
            return true;
        }
        char *text = found->trouble.text;
        char *later = strstr(text, ", although a later");
        size_t size = later ? (size_t)(later - text) : strlen(text);
        bool same = size > 0 && strncmp(before, text, size) == 0 && before[size] == '\0';
        if (!found->locked || same) {
            return false;
        }
        memcpy(before, text, size);
        before[size] = '\0';
    }
    if (found->trouble.trouble == LOG_FINE) {
        return false; /* a snapshot's, in each look */
    }
    found->trouble = (struct log_error){.trouble = LOG_FINE};
    return true; /* each look found another place: where the manager was writing just then */
}

static int inspect_directory(const struct inspect *inspect)
{
    struct examination *found = mem_zalloc(1, sizeof *found);
    bool good = examine(inspect, found);
    if (inspect->json) {
        json_directory(inspect, found, good);
    } else {
        print_directory(inspect, found, good);
    }
    free(found);
    return good ? EXIT_OK : EXIT_FAILED;
}

/* A backup. Its table of checksums is always read, and says that it has its whole length. */
static int inspect_file(const struct inspect *inspect)
{
    struct snapshot_mark mark = {0};
    struct log_error trouble = {.trouble = LOG_FINE};
    bool good = snapshot_verify(NULL, inspect->path, &mark, &trouble);
    if (inspect->json) {
        putchar('{');
        json_text("file", inspect->path);
        printf(",\"good\":%s,\"verified\":true,\"index\":%" PRIu64, good ? "true" : "false",
               mark.at.index);
        json_mark(&mark, &trouble);
        printf("}\n");
    } else {
        printf("%s: a backup\n", inspect->path);
        print_mark(mark.at.index, &mark, &trouble);
        printf("%s\n", good ? "whole: every byte was read" : "not whole");
    }
    return good ? EXIT_OK : EXIT_FAILED;
}

static int look(const struct inspect *inspect)
{
    struct stat status;
    if (stat(inspect->path, &status) != 0) {
        fprintf(stderr, "stewardd: inspect: cannot look at %s: %m\n", inspect->path);
        return EXIT_FAILED;
    }
    int code = S_ISDIR(status.st_mode) ? inspect_directory(inspect) : inspect_file(inspect);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "stewardd: inspect: cannot write: %m\n");
        return EXIT_FAILED;
    }
    return code;
}

static int usage(const char *why)
{
    fprintf(stderr, "stewardd: inspect: %s\nusage: stewardd inspect DIR|FILE [--verify] [--json]\n",
            why);
    return EXIT_USAGE;
}

int inspect_run(int argc, const char *const *argv)
{
    struct inspect inspect = {0};
    struct poptOption table[] = {
        {"verify", 0, POPT_ARG_NONE, &inspect.verify, 0, "read and check every byte", NULL},
        {"json", 0, POPT_ARG_NONE, &inspect.json, 0, "print one JSON object", NULL},
        POPT_AUTOHELP POPT_TABLEEND};
    poptContext context =
        poptGetContext("stewardd inspect", argc, (const char **)(uintptr_t)argv, table, 0);
    poptSetOtherOptionHelp(context, "DIR|FILE [--verify] [--json]");
    int key = poptGetNextOpt(context);
    inspect.path = key == -1 ? poptGetArg(context) : NULL;
    int code;
    if (key < -1) {
        code = usage(poptStrerror(key));
    } else if (inspect.path == NULL || poptPeekArg(context) != NULL) {
        code = usage("wants a data directory or a backup");
    } else {
        code = look(&inspect);
    }
    poptFreeContext(context);
    return code;
}
