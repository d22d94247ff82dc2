/*
 * Runs a fuzz target without a fuzzer: every file named on the command line, or found in a
 * directory named there, goes once through LLVMFuzzerTestOneInput, after the empty input.
 * So the corpus is a regression test for any compiler. Prints how many inputs ran.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    free(data);
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

int main(int argc, char **argv)
{
    static const uint8_t nothing[1];
    int total = 1;
    LLVMFuzzerTestOneInput(nothing, 0);
    for (int i = 1; i < argc; i++) {
        total += replay(argv[i]);
    }
    printf("replay: %d inputs\n", total);
    return 0;
}
