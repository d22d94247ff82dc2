/* A sample that tests/tidy must accept: strcpy() and rand() stand in literals or comments. */
#include <stdint.h>

#include "broker/core/good.h"
#include "common/base/buf.h"

static const char text[] = "sprintf(assert(system(";

struct table {
    int (*call)(int a, int b, int c, int d, int e, int f);
};

static int my_strcpy(struct table *table)
{
    return table->system(text) + table.rand();
}

/* tidy: allow parameters: the signature is given by the library that calls it */
int given(int a, int b, int c, int d, int e, int f)
{
    return a + b + c + d + e + f + my_strcpy(0);
}

int seed(void)
{
    return rand(); /* tidy: allow banned: a load generator, no secret depends on it */
}
