/*
 * Prints stewardd's table of options as JSON, one option a line, for manual pages, completion and
 * the configuration file. `steward help --json` does the same for the command. Runs while building.
 */
#include "broker/shell/options.h"

#include <jansson.h>
#include <stdio.h>

static const char *type_name(enum option_type type)
{
    switch (type) {
    case OPTION_FLAG: return "flag";
    case OPTION_NUMBER: return "number";
    case OPTION_SIZE: return "size";
    case OPTION_TEXT: return "text";
    case OPTION_LEVEL: return "level";
    case OPTION_FORMAT: return "format";
    case OPTION_LIST: return "list";
    }
    return "text"; /* a type that came later: shown as what the user writes */
}

/* false: out of memory. */
static bool option_print(const struct option *option)
{
    json_t *line = json_pack("{s:s, s:s?, s:s, s:s?, s:s?, s:s, s:I, s:I, s:b}", "name",
                             option->name, "environment", option->environment, "type",
                             type_name(option->type), "unit", option->unit, "fallback",
                             option->fallback, "help", option->help, "min", (json_int_t)option->min,
                             "max", (json_int_t)option->max, "in_file", option->in_file);
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    bool done = text != NULL && puts(text) >= 0;
    free(text);
    json_decref(line);
    return done;
}

int main(void)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        if (!option_print(option_at(id))) {
            fprintf(stderr, "describe_options: cannot describe --%s\n", option_at(id)->name);
            return 1;
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
