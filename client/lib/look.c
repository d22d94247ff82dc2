/* Looking: stat, show, list and peek, and an operator's end of a session. */
#include "client/lib/client.h"

static int bad_name(stw_client *client)
{
    return client_fail(client, STW_EINVAL, "not a valid name");
}

/* Entry of a function that gives rows. */
static int enter(stw_client *client, stw_rows **rows)
{
    if (rows == NULL) {
        return STW_EINVAL;
    }
    *rows = NULL;
    return client_enter(client);
}

int stw_stat(stw_client *client, stw_rows **rows)
{
    int code = enter(client, rows);
    if (code == 0) {
        struct buf tail = {0};
        code = rows_call(client, WIRE_STAT, 0, &tail, rows);
        client_leave(client);
    }
    return code;
}

static int show(stw_client *client, uint8_t op, const char *name, stw_rows **rows)
{
    int code = enter(client, rows);
    if (code != 0) {
        return code;
    }
    struct buf tail = {0};
    if (client_good_name(name)) {
        wire_write_str(&tail, slice_str(name));
        code = rows_call(client, op, 1, &tail, rows);
    } else {
        code = bad_name(client);
    }
    client_leave(client);
    return code;
}

int stw_queue_show(stw_client *client, const char *queue, stw_rows **rows)
{
    return show(client, WIRE_QUEUE_SHOW, queue, rows);
}

int stw_lock_show(stw_client *client, const char *name, stw_rows **rows)
{
    return show(client, WIRE_LOCK_SHOW, name, rows);
}

struct page {
    uint8_t op;
    const char *after, *prefix;
    size_t max;
};

static uint64_t page_max(size_t max)
{
    return max > 0 && max < LIMIT_PAGE_ROWS ? max : LIMIT_PAGE_ROWS;
}

static int list(stw_client *client, const struct page *page, stw_rows **rows)
{
    int code = enter(client, rows);
    if (code != 0) {
        return code;
    }
    struct slice after = slice_str(page->after ? page->after : "");
    struct slice prefix = slice_str(page->prefix ? page->prefix : "");
    if (after.size > LIMIT_NAME_BYTES || prefix.size > LIMIT_NAME_BYTES || !wire_utf8(after) ||
        !wire_utf8(prefix)) {
        code = bad_name(client);
    } else {
        struct buf tail = {0};
        wire_write_str(&tail, after);
        wire_write_str(&tail, prefix);
        wire_write_uint(&tail, page_max(page->max));
        code = rows_call(client, page->op, 3, &tail, rows);
    }
    client_leave(client);
    return code;
}

int stw_queue_list(stw_client *client, const char *after, const char *prefix, size_t max,
                   stw_rows **rows)
{
    return list(client, &(struct page){WIRE_QUEUE_LIST, after, prefix, max}, rows);
}

int stw_lock_list(stw_client *client, const char *after, const char *prefix, size_t max,
                  stw_rows **rows)
{
    return list(client, &(struct page){WIRE_LOCK_LIST, after, prefix, max}, rows);
}

int stw_queue_peek(stw_client *client, const char *queue, uint64_t offset, size_t max,
                   stw_rows **rows)
{
    int code = enter(client, rows);
    if (code != 0) {
        return code;
    }
    struct buf tail = {0};
    if (client_good_name(queue)) {
        wire_write_str(&tail, slice_str(queue));
        wire_write_uint(&tail, offset);
        wire_write_uint(&tail, page_max(max));
        code = rows_call(client, WIRE_QUEUE_PEEK, 3, &tail, rows);
    } else {
        code = bad_name(client);
    }
    client_leave(client);
    return code;
}

int stw_session_show(stw_client *client, uint64_t session, stw_rows **rows)
{
    int code = enter(client, rows);
    if (code == 0) {
        struct buf tail = {0};
        wire_write_uint(&tail, session);
        code = rows_call(client, WIRE_SESSION_SHOW, 1, &tail, rows);
        client_leave(client);
    }
    return code;
}

int stw_session_list(stw_client *client, uint64_t after, size_t max, stw_rows **rows)
{
    int code = enter(client, rows);
    if (code == 0) {
        struct buf tail = {0};
        wire_write_uint(&tail, after);
        wire_write_uint(&tail, page_max(max));
        code = rows_call(client, WIRE_SESSION_LIST, 2, &tail, rows);
        client_leave(client);
    }
    return code;
}

int stw_session_end(stw_client *client, uint64_t session)
{
    int code = client_enter(client);
    if (code != 0) {
        return code;
    }
    struct buf tail = {0};
    wire_write_uint(&tail, session);
    code = request_call(client,
                        &(struct conn_request){.op = WIRE_SESSION_KILL,
                                               .fields = 1,
                                               .tail = buf_view(&tail),
                                               .timeout_ms = UINT64_MAX},
                        NULL);
    buf_fini(&tail);
    client_leave(client);
    return code;
}
