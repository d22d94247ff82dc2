/*
 * Assertions that stay on in release builds.
 *
 * STEWARD_ASSERT is for programmers' errors only: bad input gets a reply, a broken environment an
 * error.  A failed assertion prints expression and place on stderr and aborts.
 */
#ifndef COMMON_BASE_PANIC_H
#define COMMON_BASE_PANIC_H

/* Prints "steward: panic: EXPR at FILE:LINE" on stderr and aborts. Never returns. */
_Noreturn void panic(const char *expression, const char *file, int line);

#define STEWARD_ASSERT(expression) ((expression) ? (void)0 : panic(#expression, __FILE__, __LINE__))

#endif
