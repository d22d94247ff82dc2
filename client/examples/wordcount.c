/*
 * The demo's workers: producers put lines of text, consumers count their words.
 *
 *     wordcount put QUEUE FILE...
 *     wordcount count QUEUE LOCK RESULT NAME [MARK]
 *
 * A consumer takes some lines under leases, counts, and merges its counts into the one result file
 * under the lock; only then it acknowledges the lines. Killed before that, it has done nothing, and
 * the lines are delivered to somebody else. (Killed in the instant between merge and ack, its
 * lines would count twice: delivery is at least once.) The result file keeps the fencing token of
 * its last writer: who comes with an older one has lost the lock and must not write.
 * With MARK it stops at its first lines, writes their number to MARK, and waits to be killed.
 */
#include <ctype.h>
#include <search.h>
#include <string.h>

#include "steward_example.h"

#define LINES_MAX 40 /* of one merge: small, so that the lock passes often */

struct word {
    unsigned long count;
    char text[];
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct word *)a)->text, ((const struct word *)b)->text);
}

static void count_word(void **words, const char *text, size_t size, unsigned long times)
{
    struct word *word = calloc(1, sizeof(*word) + size + 1);
    if (word == NULL) {
        exit(1);
    }
    memcpy(word->text, text, size);
    struct word **found = tsearch(word, words, compare);
    (*found)->count += times;
    if (*found != word) {
        free(word);
    }
}

/* A word is a run of A-Z and a-z, as for `tr -cs A-Za-z '\n'`. */
static void count_line(void **words, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t from = i;
        while (i < size && isalpha((unsigned char)text[i])) {
            i++;
        }
        if (i > from) {
            count_word(words, text + from, i - from, 1);
        }
    }
}

static void write_word(const void *node, VISIT visit, void *file)
{
    const struct word *word = *(const struct word *const *)node;
    if (visit == postorder || visit == leaf) {
        fprintf(file, "%lu %s\n", word->count, word->text);
    }
}

/* Adds the words to the file, as the holder of `token`; false: a later holder was here. */
static bool merge(void **words, const char *path, unsigned long long token)
{
    char line[4096], fresh[4096], *word;
    unsigned long long last = 0;
    FILE *old = fopen(path, "a+e"); /* made if it is not there */
    while (old != NULL && fgets(line, sizeof(line), old) != NULL) {
        unsigned long count = strtoul(line, &word, 10);
        if (word != line && *word == ' ') {
            count_word(words, word + 1, strcspn(word + 1, "\n"), count);
        } else if (strncmp(line, "token ", 6) == 0) {
            last = strtoull(line + 6, NULL, 10);
        }
    }
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = last < token ? fopen(fresh, "we") : NULL;
    if (old == NULL || fclose(old) != 0 || file == NULL) {
        return false;
    }
    fprintf(file, "token %llu\n", token);
    twalk_r(*words, write_word, file);
    return fclose(file) == 0 && rename(fresh, path) == 0;
}

static void stop_here(const char *mark, size_t count)
{
    FILE *file = fopen(mark, "we");
    if (file != NULL && fprintf(file, "%zu\n", count) > 0 && fclose(file) == 0) {
        pause();
    }
    exit(1);
}

/* Counts, merges, acknowledges. */
static void work(stw_client *client, char **argv, stw_message **lines, size_t count)
{
    const char *lock_name = argv[3], *result = argv[4], *name = argv[5];
    static unsigned merges;
    void *words = NULL;
    uint32_t again = 0;
    for (size_t i = 0; i < count; i++) {
        again = stw_message_deliveries(lines[i]) > again ? stw_message_deliveries(lines[i]) : again;
        count_line(&words, stw_message_data(lines[i]), stw_message_size(lines[i]));
    }
    if (again > 1) {
        printf("%s got %zu lines that were delivered before: delivery %u\n", name, count, again);
    }
    stw_lock *lock;
    must(client, stw_lock_acquire(client, lock_name, NULL, &lock));
    unsigned long long token = stw_lock_token(lock);
    if (merges++ % 12 == 0 || again > 1) {
        printf("%s has the lock with token %llu and merges %zu lines\n", name, token, count);
    }
    fflush(stdout);
    if (!merge(&words, result, token)) {
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        must(client, stw_ack(&lines[i]));
    }
    must(client, stw_lock_release(&lock));
    tdestroy(words, free);
}

static int consume(int argc, char **argv)
{
    stw_client *client = example_open();
    stw_message *lines[LINES_MAX];
    const char *queue = argv[2];
    size_t count;
    int code;
    while ((code = stw_get_many(client, &queue, 1, NULL, lines, LINES_MAX, &count)) == STW_OK) {
        if (argc > 6) {
            stop_here(argv[6], count);
        }
        work(client, argv, lines, count);
    }
    stw_close(&client);
    return code == STW_ESHUTDOWN ? 0 : 1;
}

/* Every line is a request of its own; all of a file are in flight together. */
static size_t put_file(stw_client *client, const char *queue, FILE *file)
{
    static stw_future *futures[65536];
    size_t capacity = 0, in_flight = 0, lines = 0;
    char *line = NULL;
    ssize_t size;
    do {
        size = getline(&line, &capacity, file);
        if (size >= 0) {
            size_t text = size > 0 && line[size - 1] == '\n' ? (size_t)size - 1 : (size_t)size;
            must(client, stw_put_async(client, queue, line, text, -1, &futures[in_flight++]));
            lines++;
        }
        if (size < 0 || in_flight == 65536) { /* each must be confirmed */
            while (in_flight > 0) {
                must(client, stw_future_wait(futures[--in_flight], -1));
                stw_future_free(&futures[in_flight]);
            }
        }
    } while (size >= 0);
    free(line);
    return lines;
}

static int produce(int argc, char **argv)
{
    size_t lines = 0;
    stw_client *client = example_open();
    for (int i = 3; i < argc; i++) {
        FILE *file = fopen(argv[i], "re");
        lines += file != NULL ? put_file(client, argv[2], file) : 0;
        if (file == NULL || fclose(file) != 0) {
            return 1;
        }
    }
    stw_close(&client);
    printf("a producer put %zu lines of %d files, each confirmed\n", lines, argc - 3);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 3 && strcmp(argv[1], "put") == 0) {
        return produce(argc, argv);
    }
    if (argc > 5 && strcmp(argv[1], "count") == 0) {
        return consume(argc, argv);
    }
    fprintf(stderr, "usage: wordcount put QUEUE FILE... | count QUEUE LOCK RESULT NAME [MARK]\n");
    return 2;
}
