/* The end of a process whose assumptions do not hold. */
#include "common/base/panic.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void panic(const char *expression, const char *file, int line)
{
    fprintf(stderr, "steward: panic: %s at %s:%d\n", expression, file, line);
    fflush(stderr);
    abort();
}
