/* `stewardd keygen FILE`: makes a cluster's key. The file is to be copied to each node by hand. */
#include "broker/shell/keygen.h"

#include "broker/shell/cluster_key.h"

#include <stdio.h>
#include <string.h>

#define EXIT_OK     0
#define EXIT_FAILED 1
#define EXIT_USAGE  2

static const char USAGE[] =
    "usage: stewardd keygen FILE\n"
    "Makes a new key for a cluster and writes it to FILE, which must not exist (mode 0600).\n"
    "Copy it to every node by a way that keeps it secret; each starts with --cluster-key FILE.\n";

int keygen_run(int argc, const char *const *argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(USAGE, stdout);
        return EXIT_OK;
    }
    if (argc != 2 || argv[1][0] == '-' || argv[1][0] == '\0') {
        fputs(USAGE, stderr);
        return EXIT_USAGE;
    }
    struct cluster_key_error error;
    if (!cluster_key_create(argv[1], &error)) {
        fprintf(stderr, "stewardd: %s\n", error.text);
        return EXIT_FAILED;
    }
    printf("%s: a new cluster key; copy it to every node, and let nobody else read it\n", argv[1]);
    return EXIT_OK;
}
