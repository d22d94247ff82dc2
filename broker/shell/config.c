/*
 * The three sources of options. The command line is read first, because it may name the file, but
 * applied last, because it is the strongest.
 */
#include "broker/shell/config.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"

#include <czmq.h>
#include <errno.h>
#include <popt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static bool fail(struct options_error *error,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

/* Says where a sentence that begins with an option's name came from. */
static bool fail_in(struct options_error *error, const char *where)
{
    struct options_error inner = *error;
    snprintf(error->text, sizeof error->text, "%.200s: %.300s", where, inner.text);
    return false;
}

/* ---- command line --------------------------------------------------------------------------- */

/* popt's table from ours; --help's lines say the defaults. */
struct popt_table {
    struct poptOption options[OPTION_COUNT + 1];
    char help[OPTION_COUNT][256];
};

static void popt_table_init(struct popt_table *table)
{
    *table = (struct popt_table){0};
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        const struct option *option = option_at(id);
        bool flag = option->type == OPTION_FLAG;
        const char *shown = flag || option->fallback == NULL ? "" : option->fallback;
        snprintf(table->help[id], sizeof table->help[id], "%s%s%s%s", option->help,
                 shown[0] ? " (default " : "", shown, shown[0] ? ")" : "");
        table->options[id] = (struct poptOption){
            .longName = option->name,
            .argInfo = flag ? POPT_ARG_NONE : POPT_ARG_STRING,
            .val = (int)id + 1,
            .descrip = table->help[id],
            .argDescrip = option->unit,
        };
    }
}

/* Walks the command line once; only: apply just this option (OPTION_COUNT: all of them). */
static bool walk(struct options *options, poptContext context, size_t only,
                 struct options_error *error)
{
    int rc = 0;
    poptResetContext(context);
    while ((rc = poptGetNextOpt(context)) > 0) {
        size_t id = (size_t)rc - 1;
        char *argument = poptGetOptArg(context);
        bool wanted = only == OPTION_COUNT || only == id;
        bool done = !wanted ||
                    options_set(options, id, argument ? argument : "1", SOURCE_COMMAND_LINE, error);
        free(argument);
        if (!done) {
            return fail_in(error, "command line");
        }
    }
    if (rc < -1) {
        const char *text =
            rc == POPT_ERROR_BADOPT ? "unknown option (see --help)" : poptStrerror(rc);
        return fail(error, "%.200s: %s", poptBadOption(context, 0), text);
    }
    if (poptPeekArg(context)) {
        return fail(error, "\"%.200s\": stewardd takes options only (see --help)",
                    poptPeekArg(context));
    }
    return true;
}

void config_help(FILE *out)
{
    struct popt_table table;
    popt_table_init(&table);
    const char *argv[] = {"stewardd", NULL};
    poptContext context = poptGetContext("stewardd", 1, argv, table.options, 0);
    poptSetOtherOptionHelp(context, "[OPTION...]");
    poptPrintHelp(context, out, 0);
    poptFreeContext(context);
    fputs("\nEach option NAME may also stand in the file as NAME = VALUE, or in the environment\n"
          "as STEWARD_NAME. The command line wins over the environment, and that over the file.\n",
          out);
}

/* ---- environment ---------------------------------------------------------------------------- */

static const char *environment_get(char *const *environment, const char *name)
{
    size_t size = strlen(name);
    for (; environment && *environment; environment++) {
        if (strncmp(*environment, name, size) == 0 && (*environment)[size] == '=') {
            return *environment + size + 1;
        }
    }
    return NULL;
}

/* Applies the variables of all options, or of one only (as walk does). */
static bool read_environment(struct options *options, char *const *environment, size_t only,
                             struct options_error *error)
{
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        if (only != OPTION_COUNT && only != id) {
            continue;
        }
        const char *name = option_at(id)->environment;
        const char *value = name ? environment_get(environment, name) : NULL;
        /* set to nothing is as good as not set: `STEWARD_X= stewardd` */
        if (value && value[0] != '\0' &&
            !options_set(options, id, value, SOURCE_ENVIRONMENT, error)) {
            return fail_in(error, name);
        }
    }
    return true;
}

/* ---- file ----------------------------------------------------------------------------------- */

/*
 * czmq reports a syntax error by a line on stdout, and only there says which line it was. So stdout
 * is a buffer while it reads, and the sentence behind "(zconfig): " is ours.
 */
static zconfig_t *zpl_load(const char *name, const char *text, struct options_error *error)
{
    char *said = NULL;
    size_t size = 0;
    FILE *kept = stdout;
    FILE *buffer = open_memstream(&said, &size);
    STEWARD_ASSERT(buffer != NULL);
    stdout = buffer;
    zconfig_t *root = zconfig_str_load(text);
    stdout = kept;
    fclose(buffer);
    if (root == NULL) {
        const char *reason = strstr(said, "(zconfig): ");
        reason = reason ? reason + strlen("(zconfig): ") : "not a valid configuration file";
        fail(error, "%.200s: line %.*s", name, (int)strcspn(reason, "\r\n"), reason);
    }
    free(said);
    return root;
}

/* czmq cuts lines at 1024 bytes silently, and takes a NUL for the end. */
static bool text_valid(const char *name, const char *data, size_t size, struct options_error *error)
{
    size_t column = 0;
    size_t line = 1;
    for (size_t i = 0; i < size; i++) {
        column = data[i] == '\n' ? 0 : column + 1;
        line += data[i] == '\n' ? 1 : 0;
        if (data[i] == '\0' || column > 1000) {
            return fail(error, "%.200s: line %zu %s", name, line,
                        data[i] == '\0' ? "has a NUL byte" : "is too long");
        }
    }
    return true;
}

static bool apply_line(struct options *options, zconfig_t *line, struct options_error *error)
{
    const char *key = zconfig_name(line);
    const char *value = zconfig_value(line);
    size_t id = option_find(key);
    if (id == OPTION_COUNT || !option_at(id)->in_file) {
        return fail(error, "\"%.100s\" is not an option of this file", key);
    }
    if (value == NULL || zconfig_child(line)) {
        return fail(error, "%.100s: say %.100s = VALUE", key, key);
    }
    return options_set(options, id, value, SOURCE_FILE, error);
}

bool config_parse(struct options *options, const char *name, const void *data, size_t size,
                  struct options_error *error)
{
    if (size > CONFIG_FILE_BYTES) {
        return fail(error, "%.200s: more than %d bytes", name, CONFIG_FILE_BYTES);
    }
    if (!text_valid(name, data, size, error)) {
        return false;
    }
    char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    zconfig_t *root = zpl_load(name, text, error);
    free(text);
    bool done = root != NULL;
    for (zconfig_t *line = root ? zconfig_child(root) : NULL; line && done;
         line = zconfig_next(line)) {
        done = apply_line(options, line, error) || fail_in(error, name);
    }
    zconfig_destroy(&root);
    return done;
}

static bool read_file(struct options *options, struct options_error *error)
{
    FILE *file = fopen(options->config, "rb");
    if (file == NULL) {
        return fail(error, "%.200s: %s", options->config, strerror(errno));
    }
    char *data = malloc(CONFIG_FILE_BYTES + 1);
    STEWARD_ASSERT(data != NULL);
    errno = 0;
    size_t size = fread(data, 1, CONFIG_FILE_BYTES + 1, file);
    bool done = ferror(file) ? fail(error, "%.200s: %s", options->config, strerror(errno))
                             : config_parse(options, options->config, data, size, error);
    free(data);
    fclose(file);
    return done;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* What the command line alone decides: whether to go on at all, and which file. */
static bool read_all(struct options *options, poptContext context, char *const *environment,
                     struct options_error *error)
{
    static const size_t FIRST[] = {OPTION_ID_HELP, OPTION_ID_VERSION, OPTION_ID_CONFIG};
    for (size_t i = 0; i < sizeof FIRST / sizeof FIRST[0]; i++) {
        if (!walk(options, context, FIRST[i], error)) {
            return false;
        }
    }
    if (options->help || options->version) {
        return true;
    }
    /* from the weakest to the strongest, so what is wrong is found even where it is replaced */
    return read_environment(options, environment, OPTION_ID_CONFIG, error) &&
           (options->config == NULL || read_file(options, error)) &&
           read_environment(options, environment, OPTION_COUNT, error) &&
           walk(options, context, OPTION_COUNT, error) && options_check(options, error);
}

bool config_read(struct options *options, int argc, const char **argv, char *const *environment,
                 struct options_error *error)
{
    struct popt_table table;
    popt_table_init(&table);
    poptContext context = poptGetContext("stewardd", argc, argv, table.options, 0);
    STEWARD_ASSERT(context != NULL);
    bool done = read_all(options, context, environment, error);
    poptFreeContext(context);
    return done;
}
