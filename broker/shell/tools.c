/* The table of stewardd's subcommands. To add one: a line here, a part of docs/operations.md. */
#include "broker/shell/tools.h"

#include "broker/shell/keygen.h"
#include "broker/shell/restore.h"

#include <string.h>

bool tools_run(int argc, const char *const *argv, int *code)
{
    static const struct {
        const char *name;
        int (*run)(int argc, const char *const *argv);
    } tools[] = {{"restore", restore_run}, {"keygen", keygen_run}};
    for (size_t i = 0; argc > 1 && i < sizeof tools / sizeof tools[0]; i++) {
        if (strcmp(argv[1], tools[i].name) == 0) {
            *code = tools[i].run(argc - 1, argv + 1);
            return true;
        }
    }
    return false;
}
