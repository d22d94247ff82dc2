/* The table of stewardd's subcommands. To add one: a line here, a part of docs/operations.md. */
#include "broker/shell/tools.h"

#include "broker/shell/inspect.h"
#include "broker/shell/keygen.h"
#include "broker/shell/restore.h"

#include <string.h>

static const struct tool {
    const char *name;
    const char *summary;
    int (*run)(int argc, const char *const *argv);
} TOOLS[] = {
    {"restore", "a data directory from a backup", restore_run},
    {"inspect", "what a data directory or a backup holds", inspect_run},
    {"keygen", "the key of a new cluster", keygen_run},
};

#define TOOLS_COUNT (sizeof TOOLS / sizeof TOOLS[0])

bool tools_run(int argc, const char *const *argv, int *code)
{
    for (size_t i = 0; argc > 1 && i < TOOLS_COUNT; i++) {
        if (strcmp(argv[1], TOOLS[i].name) == 0) {
            *code = TOOLS[i].run(argc - 1, argv + 1);
            return true;
        }
    }
    return false;
}

void tools_help(FILE *out)
{
    fputs("\nInstead of serving (each has a --help of its own):\n", out);
    for (size_t i = 0; i < TOOLS_COUNT; i++) {
        fprintf(out, "  stewardd %-16s %s\n", TOOLS[i].name, TOOLS[i].summary);
    }
}
