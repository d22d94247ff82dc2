/* A sample that tests/tidy must reject. */
#ifndef COMMON_BASE_LIMITS_H
#define COMMON_BASE_LIMITS_H

#define LIMIT_SILENT 1 // expect(limits)

/* longest name of an object: expect(limits, +1) */
#define LIMIT_UNITLESS 2

/* bytes: short */
#define LIMIT_UNREASONED 3 // expect(limits)

/* bytes: a good one, with a unit and a reason */
#define LIMIT_GOOD 4

enum limit_colours {
    LIMIT_RED = 1, // expect(limits)
};

#endif
