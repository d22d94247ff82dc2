/* The table of steward_errors.h as functions. To add one, append it there. */
#include "common/base/error.h"

#include <stddef.h>

struct entry {
    const char *name;
    const char *text;
};

static const struct entry entries[ERROR_NUMBER_MAX + 1] = {[0] = {"OK", "done"},
#define ENTRY(number, name, text) [number] = {#name, text},
                                                           STW_ERROR_TABLE(ENTRY)
#undef ENTRY
};

/* NULL for codes outside the table; both signs name the same error. */
static const struct entry *find(int code)
{
    if (code < -ERROR_NUMBER_MAX || code > ERROR_NUMBER_MAX) {
        return NULL;
    }
    return &entries[code < 0 ? -code : code];
}

const char *error_name(int code)
{
    const struct entry *entry = find(code);
    return entry ? entry->name : "EUNKNOWN";
}

const char *error_text(int code)
{
    const struct entry *entry = find(code);
    return entry ? entry->text : "unknown error";
}
