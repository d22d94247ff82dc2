/* Names of codes, and the sentence of each thread's last failure on a client. */
#include "client/lib/client.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* count: threads whose last sentence is kept; the one that failed longest ago makes room */
#define ERRORS_THREADS 256

/* bytes: a sentence with names and numbers */
#define ERROR_TEXT_BYTES 512

struct error_text {
    pid_t thread;
    uint64_t used; /* when, as a counter */
    char text[ERROR_TEXT_BYTES];
};

struct errors {
    struct error_text *at[ERRORS_THREADS];
    size_t count;
    uint64_t clock;
};

const char *stw_strerror(int code)
{
    return error_text(code);
}

const char *stw_err_name(int code)
{
    static const char *const names[ERROR_NUMBER_MAX + 1] = {[0] = "STW_OK",
#define NAME(number, name, text) [number] = "STW_" #name,
                                                            STW_ERROR_TABLE(NAME)
#undef NAME
    };
    if (code < -ERROR_NUMBER_MAX || code > 0) {
        return "STW_EUNKNOWN";
    }
    return names[-code];
}

struct errors *errors_new(void)
{
    return mem_zalloc(1, sizeof(struct errors));
}

void errors_free(struct errors *errors)
{
    for (size_t i = 0; i < errors->count; i++) {
        free(errors->at[i]);
    }
    free(errors);
}

static struct error_text *find(const struct errors *errors, pid_t thread)
{
    for (size_t i = 0; i < errors->count; i++) {
        if (errors->at[i]->thread == thread) {
            return errors->at[i];
        }
    }
    return NULL;
}

static struct error_text *oldest(const struct errors *errors)
{
    struct error_text *text = errors->at[0];
    for (size_t i = 1; i < errors->count; i++) {
        text = errors->at[i]->used < text->used ? errors->at[i] : text;
    }
    return text;
}

static struct error_text *find_or_make(struct errors *errors, pid_t thread)
{
    struct error_text *text = find(errors, thread);
    if (text == NULL && errors->count < ERRORS_THREADS) {
        text = errors->at[errors->count++] = mem_zalloc(1, sizeof *text);
    } else if (text == NULL) {
        text = oldest(errors);
    }
    text->thread = thread;
    text->used = ++errors->clock;
    return text;
}

int client_fail(stw_client *client, int code, const char *format, ...)
{
    struct error_text *kept = find_or_make(client->errors, gettid());
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(kept->text, sizeof kept->text, format, arguments);
    va_end(arguments);
    if (kept->text[0] == 0) {
        snprintf(kept->text, sizeof kept->text, "%s", error_text(code));
    }
    return code;
}

const char *stw_last_error(stw_client *client)
{
    if (client == NULL || !client_enter_free(client)) {
        return "";
    }
    const struct error_text *kept = find(client->errors, gettid());
    const char *text = kept ? kept->text : "";
    pthread_mutex_unlock(&client->lock);
    return text;
}
