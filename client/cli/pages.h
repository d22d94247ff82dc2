/* Lists, page by page: pages.c. */
#ifndef CLIENT_CLI_PAGES_H
#define CLIENT_CLI_PAGES_H

#include "client/cli/cli.h"

/* Where a page begins. */
struct page {
    const char *after; /* the last name of the page before; NULL: the first page */
    uint64_t after_id; /* likewise of rows that are known by a number; 0: the first page */
    uint64_t offset;   /* how many rows are left out, or were shown before */
    size_t max;        /* rows */
};

struct listing {
    struct column *columns;
    const char *key;       /* the field by which the next page is asked for; NULL: the offset is */
    uint64_t offset, most; /* rows to leave out; rows in all */
    int (*fetch)(const struct cli *cli, const struct page *page, stw_rows **rows);
};

/* Opens the client and prints page after page, so that a list's length costs no memory. The exit
 * code. */
int pages_show(struct cli *cli, const struct listing *listing);

#endif
