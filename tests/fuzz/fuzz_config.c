/*
 * Configuration files: any bytes are either refused with a sentence or give a configuration that
 * prints as a file which gives the same configuration again.
 */
#include "broker/shell/config.h"
#include "common/base/panic.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *print(const struct options *options, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);
    STEWARD_ASSERT(out != NULL);
    options_print(options, out);
    fclose(out);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options;
    struct options again;
    struct options_error error = {{0}};
    options_init(&options);
    options_init(&again);
    if (!config_parse(&options, "fuzz", data, size, &error)) {
        STEWARD_ASSERT(error.text[0] != '\0');
    } else if (options_check(&options, &error)) {
        size_t first_size = 0;
        size_t second_size = 0;
        char *first = print(&options, &first_size);
        STEWARD_ASSERT(config_parse(&again, "printed", first, first_size, &error));
        /* second time around every value comes from a file, so only the third print is equal */
        char *second = print(&again, &second_size);
        options_fini(&options);
        options_init(&options);
        STEWARD_ASSERT(config_parse(&options, "printed", second, second_size, &error));
        free(first);
        first = print(&options, &first_size);
        STEWARD_ASSERT(strcmp(first, second) == 0);
        free(first);
        free(second);
    }
    options_fini(&options);
    options_fini(&again);
    return 0;
}
