/* Lists are fetched and printed page by page. */
#include "client/cli/pages.h"

#include <string.h>

/* count: rows asked for at once; the manager may give fewer */
#define PAGE_ROWS 500

/* bytes: the longest name, and its NUL */
#define NAME_BYTES 256

/* Where the page behind these rows begins. */
static void turn(struct page *page, const struct listing *listing, const stw_rows *rows,
                 char name[NAME_BYTES])
{
    size_t count = stw_rows_count(rows);
    stw_value value;
    page->offset += count;
    if (count == 0 || listing->key == NULL ||
        !stw_rows_find(rows, count - 1, listing->key, &value)) {
        return;
    }
    if (value.type == STW_VALUE_NUMBER) {
        page->after_id = value.number;
    } else {
        snprintf(name, NAME_BYTES, "%s", value.data);
        page->after = name;
    }
}

int pages_show(struct cli *cli, const struct listing *listing)
{
    char name[NAME_BYTES];
    struct page page = {.offset = listing->offset};
    uint64_t left = listing->most;
    bool head = true, good = true;
    int code = client_open(cli);
    while (code == EXIT_DONE && good && left > 0) {
        stw_rows *rows = NULL;
        page.max = left < PAGE_ROWS ? (size_t)left : PAGE_ROWS;
        code = listing->fetch(cli, &page, &rows);
        if (code != STW_OK) {
            return finish(cli, code);
        }
        size_t count = stw_rows_count(rows);
        good = rows_table(cli, rows, listing->columns, head);
        turn(&page, listing, rows, name);
        stw_rows_free(&rows);
        left = count > 0 ? left - count : 0;
        head = false;
    }
    return good ? code : EXIT_FAILED;
}
