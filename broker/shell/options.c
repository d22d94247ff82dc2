/* What can be done with options: set from text, check, print. */
#include "broker/shell/options.h"

#include "broker/shell/endpoint.h"
#include "broker/shell/log.h"
#include "common/base/alloc.h"
#include "common/base/limits.h"
#include "common/base/panic.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

__attribute__((format(printf, 2, 3))) static bool fail(struct options_error *error,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- one value from text -------------------------------------------------------------------- */

static bool parse_flag(const char *text, bool *out)
{
    static const char *const TRUE_WORDS[] = {"1", "true", "yes", "on"};
    static const char *const FALSE_WORDS[] = {"0", "false", "no", "off"};
    for (size_t i = 0; i < 4; i++) {
        if (strcasecmp(text, TRUE_WORDS[i]) == 0 || strcasecmp(text, FALSE_WORDS[i]) == 0) {
            *out = strcasecmp(text, TRUE_WORDS[i]) == 0;
            return true;
        }
    }
    return false;
}

/* Digits, and for sizes one of K, M, G. */
static bool parse_number(const char *text, bool suffix, uint64_t *out)
{
    if (text[0] < '0' || text[0] > '9') {
        return false; /* strtoull takes signs and blanks; we do not */
    }
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    unsigned shift = 0;
    if (suffix && *end != '\0') {
        static const char LETTERS[] = "KMG";
        const char *letter = strchr(LETTERS, *end & ~0x20);
        if (letter == NULL || *letter == '\0') {
            return false;
        }
        shift = 10 * (unsigned)(letter - LETTERS + 1);
        end++;
    }
    if (*end != '\0' || (shift > 0 && value > UINT64_MAX >> shift)) {
        return false;
    }
    *out = value << shift;
    return true;
}

static bool set_number(struct options *options, const struct option *option, const char *text,
                       struct options_error *error)
{
    bool size = option->type == OPTION_SIZE;
    uint64_t value = 0;
    if (!parse_number(text, size, &value)) {
        return fail(error, "%s: \"%.100s\" is not a %s", option->name, text,
                    size ? "size: say bytes, or a number with K, M or G" : "whole number");
    }
    if (value < option->min || value > option->max) {
        return fail(error, "%s: %" PRIu64 " is out of range: %" PRIu64 " to %" PRIu64, option->name,
                    value, option->min, option->max);
    }
    memcpy((char *)options + option->offset, &value, sizeof value);
    return true;
}

static bool set_level(struct options *options, const struct option *option, const char *text,
                      struct options_error *error)
{
    enum log_level level = LEVEL_ERROR;
    if (!log_level_parse(text, &level)) {
        return fail(error, "%s: \"%.100s\" is not one of %s", option->name, text, option->help);
    }
    uint64_t value = (uint64_t)level;
    memcpy((char *)options + option->offset, &value, sizeof value);
    return true;
}

static bool set_format(struct options *options, const struct option *option, const char *text,
                       struct options_error *error)
{
    enum log_format format = LOG_PAIRS;
    if (!log_format_parse(text, &format)) {
        return fail(error, "%s: \"%.100s\" is neither text nor json", option->name, text);
    }
    uint64_t value = (uint64_t)format;
    memcpy((char *)options + option->offset, &value, sizeof value);
    return true;
}

static bool set_flag(struct options *options, const struct option *option, const char *text,
                     struct options_error *error)
{
    bool value = false;
    if (!parse_flag(text, &value)) {
        return fail(error, "%s: \"%.100s\" is neither yes nor no", option->name, text);
    }
    memcpy((char *)options + option->offset, &value, sizeof value);
    return true;
}

static bool valid_text(const struct option *option, const char *text, struct options_error *error)
{
    size_t size = strlen(text);
    if (size == 0 || size > OPTIONS_TEXT_BYTES) {
        return fail(error, "%s: a value of 1 to %d bytes is needed", option->name,
                    OPTIONS_TEXT_BYTES);
    }
    for (size_t i = 0; i < size; i++) {
        /* the quote because a configuration file has no way to write it */
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '"') {
            return fail(error, "%s: the value has a control character or a double quote",
                        option->name);
        }
    }
    return true;
}

static char *text_dup(const char *text, size_t size)
{
    char *copy = mem_alloc(size + 1);
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static bool set_text(struct options *options, const struct option *option, const char *text,
                     struct options_error *error)
{
    if (!valid_text(option, text, error)) {
        return false;
    }
    char *value = NULL;
    memcpy(&value, (char *)options + option->offset, sizeof value);
    free(value);
    value = text_dup(text, strlen(text));
    memcpy((char *)options + option->offset, &value, sizeof value);
    return true;
}

static void list_clear(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    list->count = 0;
}

/* Adds the endpoints of text, separated by commas, to the list. */
static bool list_add(struct option_list *list, const struct option *option, const char *text,
                     struct options_error *error)
{
    if (!valid_text(option, text, error)) {
        return false;
    }
    for (const char *at = text; at != NULL;) {
        const char *comma = strchr(at, ',');
        size_t size = comma ? (size_t)(comma - at) : strlen(at);
        if (list->count == OPTIONS_LISTEN_MAX) {
            return fail(error, "%s: at most %d are possible", option->name, OPTIONS_LISTEN_MAX);
        }
        char *item = text_dup(at, size);
        list->items[list->count++] = item;
        const char *reason = endpoint_problem(item);
        if (reason) {
            return fail(error, "%s: \"%.200s\": %s", option->name, item, reason);
        }
        at = comma ? comma + 1 : NULL;
    }
    return true;
}

static bool set_list(struct options *options, size_t id, const char *text,
                     enum option_source source, struct options_error *error)
{
    struct option_list *list = &options->listen;
    STEWARD_ASSERT(option_at(id)->offset == offsetof(struct options, listen));
    if (options->sources[id] != source) {
        list_clear(list);
    }
    return list_add(list, option_at(id), text, error);
}

bool options_set(struct options *options, size_t id, const char *text, enum option_source source,
                 struct options_error *error)
{
    const struct option *option = option_at(id);
    if (options->sources[id] > source) {
        return true;
    }
    bool done = false;
    switch (option->type) {
    case OPTION_FLAG: done = set_flag(options, option, text, error); break;
    case OPTION_NUMBER:
    case OPTION_SIZE: done = set_number(options, option, text, error); break;
    case OPTION_TEXT: done = set_text(options, option, text, error); break;
    case OPTION_LEVEL: done = set_level(options, option, text, error); break;
    case OPTION_FORMAT: done = set_format(options, option, text, error); break;
    case OPTION_LIST: done = set_list(options, id, text, source, error); break;
    }
    options->sources[id] = source;
    return done;
}

/* ---- all of them ---------------------------------------------------------------------------- */

void options_init(struct options *options)
{
    *options = (struct options){0};
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        struct options_error error = {{0}};
        const char *fallback = option_at(id)->fallback;
        if (fallback) {
            bool done = options_set(options, id, fallback, SOURCE_DEFAULT, &error);
            STEWARD_ASSERT(done);
        }
    }
}

void options_fini(struct options *options)
{
    list_clear(&options->listen);
    free(options->data);
    free(options->cluster);
    free(options->cluster_key);
    free(options->cluster_listen);
    free(options->advertise);
    free(options->config);
    *options = (struct options){0};
}

bool options_check(const struct options *options, struct options_error *error)
{
    if (options->outbox_max < options->body_max + LIMIT_PACKET_CEILING_BYTES) {
        return fail(error, "outbox-max must be at least body-max + %d bytes: one packet",
                    LIMIT_PACKET_CEILING_BYTES);
    }
    if (options->memory_max < options->body_max) {
        return fail(error, "memory-max must be at least body-max");
    }
    if (options->memory && options->sources[OPTION_ID_DATA] >= options->sources[OPTION_ID_MEMORY]) {
        return fail(error, "data: with --memory nothing is kept: leave one of the two away");
    }
    for (size_t i = 0; i < options->listen.count; i++) {
        const char *endpoint = options->listen.items[i];
        if (!options->insecure && !endpoint_is_local(endpoint)) {
            return fail(error,
                        "listen: \"%.200s\" reaches beyond this host and nobody would be asked who "
                        "they are: say --insecure if that is wanted",
                        endpoint);
        }
    }
    return options_check_cluster(options, error);
}

static void print_value(FILE *out, const struct option *option, const char *text,
                        enum option_source source)
{
    fprintf(out, "%s = \"%s\"    # %s\n", option->name, text, option_source_name(source));
}

static void list_value(const struct option_list *list, char *text)
{
    for (size_t i = 0; i < list->count; i++) {
        size_t size = strlen(list->items[i]);
        memcpy(text, list->items[i], size);
        text += size;
        *text++ = ',';
    }
    text[list->count > 0 ? -1 : 0] = '\0';
}

void options_value(const struct options *options, size_t id, char *text)
{
    const struct option *option = option_at(id);
    const char *field = (const char *)options + option->offset;
    const char *value = "";
    uint64_t number = 0;
    switch (option->type) {
    case OPTION_LIST: list_value(&options->listen, text); return;
    case OPTION_TEXT: memcpy(&value, field, sizeof value); break;
    case OPTION_FLAG: value = *(const bool *)field ? "1" : "0"; break;
    case OPTION_LEVEL:
        memcpy(&number, field, sizeof number);
        value = log_level_name((enum log_level)number);
        break;
    case OPTION_FORMAT:
        memcpy(&number, field, sizeof number);
        value = log_format_name((enum log_format)number);
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
        memcpy(&number, field, sizeof number);
        snprintf(text, OPTIONS_VALUE_BYTES, "%" PRIu64, number);
        return;
    }
    snprintf(text, OPTIONS_VALUE_BYTES, "%s", value ? value : "");
}

static void print_option(const struct options *options, size_t id, FILE *out)
{
    static char text[OPTIONS_VALUE_BYTES];
    enum option_source source = options->sources[id];
    bool list = option_at(id)->type == OPTION_LIST;
    for (size_t i = 0; list && i < options->listen.count; i++) {
        print_value(out, option_at(id), options->listen.items[i], source);
    }
    options_value(options, id, text);
    if (!list && text[0] != '\0') {
        print_value(out, option_at(id), text, source);
    }
}

void options_print(const struct options *options, FILE *out)
{
    if (options->config) {
        fprintf(out, "# file: %s (%s)\n", options->config,
                option_source_name(options->sources[OPTION_ID_CONFIG]));
    }
    for (size_t id = 0; id < OPTION_COUNT; id++) {
        const struct option *option = option_at(id);
        bool unused = id == OPTION_ID_DATA && options->memory; /* the two refuse each other */
        unused = unused || (option->fallback == NULL && options->sources[id] == SOURCE_DEFAULT);
        if (option->in_file && !unused) {
            print_option(options, id, out);
        }
    }
}
