/*
 * Runs a fuzz target without a fuzzer: every file named on the command line, or found in a
 * directory named there, goes once through LLVMFuzzerTestOneInput, after the empty input.
 * So the corpus is a regression test for any compiler. Prints how many inputs ran.
 *
 * With -seconds=S it goes on for so long with mutated copies of those files. The n-th mutation
 * depends on n and the files only: after a crash, -from=N -verbose goes there again.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define PROGRESS_AT 1024 /* mutations between two lines that say how far it got */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs that mutations start from. */
struct input {
    uint8_t *data;
    size_t size;
};
static struct input *inputs;
static size_t inputs_count;

/* Takes the bytes. */
static void remember(uint8_t *data, size_t size)
{
    inputs = realloc(inputs, (inputs_count + 1) * sizeof *inputs);
    if (inputs == NULL) {
        abort();
    }
    inputs[inputs_count++] = (struct input){data, size};
}

/* Runs one file; returns 1, or exits with a message. The buffer is exact, so overreads show. */
static int replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (file == NULL || data == NULL || fread(data, 1, size, file) != size) {
        fprintf(stderr, "replay: cannot read %s: %s\n", path, strerror(errno));
        exit(2);
    }
    fclose(file);
    fprintf(stderr, "replay: %s (%zu bytes)\n", path, size);
    LLVMFuzzerTestOneInput(data, size);
    remember(data, size);
    return 1;
}

static int replay(const char *path);

/* Runs the files of a directory, in the order of their names; returns how many. */
static int replay_directory(const char *path)
{
    struct dirent **entries = NULL;
    int total = 0;
    int found = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < found; i++) {
        char name[4096];
        int length = snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && length > 0 && (size_t)length < sizeof name) {
            total += replay(name);
        }
        free(entries[i]);
    }
    free(entries);
    return total;
}

/* Runs a file or a directory; a path that does not exist counts as an empty directory. */
static int replay(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
        return 0;
    }
    return S_ISDIR(status.st_mode) ? replay_directory(path)
                                   : replay_file(path, (size_t)status.st_size);
}

/* SplitMix64. */
static uint64_t next_number(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

/* One small change in place: a bit, a byte, a telling value, or a stretch of another input. */
static void change(uint8_t *data, size_t size, uint64_t *state)
{
    static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x90, 0xc0, 0xc4, 0xdd, 0xff};
    uint64_t dice = next_number(state);
    size_t at = (size_t)(next_number(state) % size);
    const struct input *other = &inputs[next_number(state) % inputs_count];
    switch (dice % 4) {
    case 0: data[at] ^= (uint8_t)(1u << (dice >> 8) % 8); break;
    case 1: data[at] = (uint8_t)(dice >> 8); break;
    case 2: data[at] = telling[(dice >> 8) % sizeof telling]; break;
    default: {
        size_t room = size - at < other->size ? size - at : other->size;
        size_t length = room > 0 ? (size_t)((dice >> 8) % room) : 0;
        memmove(data + at, other->data + (size_t)((dice >> 40) % (other->size - length + 1)),
                length);
        break;
    }
    }
}

/* The n-th mutation: a prefix of one input with the whole of another behind it, then changed. */
static void run_mutation(uint64_t n)
{
    uint64_t state = n;
    const struct input *first = &inputs[next_number(&state) % inputs_count];
    const struct input *second = &inputs[next_number(&state) % inputs_count];
    size_t head = (size_t)(next_number(&state) % (first->size + 1));
    size_t tail = next_number(&state) % 2 ? second->size : 0;
    uint8_t *data = malloc(head + tail + 1);
    if (data == NULL) {
        abort();
    }
    memcpy(data, first->data, head);
    memcpy(data + head, second->data, tail);
    for (uint64_t changes = next_number(&state) % 6; changes > 0 && head + tail > 0; changes--) {
        change(data, head + tail, &state);
    }
    LLVMFuzzerTestOneInput(data, head + tail);
    free(data);
}

/* Mutations from `n` on until the time is over; returns how many ran. */
static uint64_t mutate(uint64_t n, long seconds, int verbose)
{
    uint64_t from = n;
    time_t end = time(NULL) + seconds;
    for (; inputs_count > 0 && time(NULL) < end; n++) {
        if (verbose || n % PROGRESS_AT == 0) {
            fprintf(stderr, "replay: mutation %llu\n", (unsigned long long)n);
        }
        run_mutation(n);
    }
    return n - from;
}

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int total = 1, verbose = 0;
    long seconds = 0;
    uint64_t from = 0;
    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-seconds=", 9) == 0) {
            seconds = strtol(argv[i] + 9, NULL, 10);
        } else if (strncmp(argv[i], "-from=", 6) == 0) {
            from = strtoull(argv[i] + 6, NULL, 10);
        } else if (strcmp(argv[i], "-verbose") == 0) {
            verbose = 1;
        } else {
            total += replay(argv[i]);
        }
    }
    uint64_t mutations = mutate(from, seconds, verbose);
    printf("replay: %d inputs, %llu mutations\n", total, (unsigned long long)mutations);
    for (size_t i = 0; i < inputs_count; i++) {
        free(inputs[i].data);
    }
    free(inputs);
    return 0;
}
