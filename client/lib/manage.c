/* What an operator asks of the manager as a process: MANAGE in docs/protocol.md. */
#include "client/lib/client.h"

static bool good_word(const char *word)
{
    return strlen(word) <= LIMIT_NAME_BYTES && wire_utf8(slice_str(word));
}

/* The action's own refusal stands in its last row. 0: none. */
static int refused(stw_client *client, const stw_rows *rows)
{
    stw_value code, text;
    size_t count = stw_rows_count(rows);
    if (count < 3 || !stw_rows_find(rows, count - 1, "code", &code) ||
        code.type != STW_VALUE_NUMBER || code.number == 0) {
        return 0;
    }
    bool worded = stw_rows_find(rows, count - 1, "text", &text) && text.type == STW_VALUE_TEXT;
    int known = code.number <= INT16_MAX ? -(int)code.number : STW_EINTERNAL;
    return client_fail(client, known, "%s", worded ? text.data : "");
}

static int submit(stw_client *client, const struct slice words[2], int64_t timeout_ms,
                  stw_future **future)
{
    struct buf tail = {0};
    wire_write_str(&tail, words[0]);
    wire_write_str(&tail, words[1]);
    int code = request_submit(client,
                              &(struct conn_request){.op = WIRE_MANAGE,
                                                     .fields = 2,
                                                     .tail = buf_view(&tail),
                                                     .timeout_ms = client_timeout(timeout_ms)},
                              future);
    buf_fini(&tail);
    return code;
}

static int ask(stw_client *client, const struct slice words[2], int64_t timeout_ms, stw_rows **rows)
{
    stw_future *future;
    int code = submit(client, words, timeout_ms, &future);
    if (code != 0) {
        return code;
    }
    code = future_finish(future);
    if (code == 0) {
        *rows = rows_decode(buf_view(&future->rows));
        code = *rows ? refused(client, *rows)
                     : client_fail(client, STW_EPROTO, "the manager's rows are malformed");
    }
    future_free_locked(future);
    if (code != 0) {
        stw_rows_free(rows);
    }
    return code;
}

/* tidy: allow parameters: the signature is the public header's */
int stw_manage(stw_client *client, const char *action, const char *argument, int64_t timeout_ms,
               stw_rows **rows)
{
    if (rows == NULL || action == NULL) {
        return STW_EINVAL;
    }
    *rows = NULL;
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    const char *second = argument ? argument : "";
    if (good_word(action) && good_word(second)) {
        code =
            ask(client, (struct slice[2]){slice_str(action), slice_str(second)}, timeout_ms, rows);
    } else {
        code = client_fail(client, STW_EINVAL, "action and argument: UTF-8, 255 bytes at most");
    }
    client_leave(client);
    return code;
}
