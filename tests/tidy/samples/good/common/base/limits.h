/* A sample that tests/tidy must accept. */

/* bytes: longest name; fits a length byte and a screen line */
#define LIMIT_NAME_BYTES 255

enum limit_times {
    LIMIT_WAIT_MS = 10, /* milliseconds: longer than any local round trip */
};
