/* A borrowed run of bytes. Never owns; valid as long as whoever lent it says. */
#ifndef COMMON_BASE_SLICE_H
#define COMMON_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data;
    size_t size; /* bytes */
};

/* Borrows size bytes. */
static inline struct slice slice_of(const void *data, size_t size)
{
    return (struct slice){.data = data, .size = size};
}

/* Borrows a NUL-terminated text, without its NUL. */
static inline struct slice slice_str(const char *text)
{
    return (struct slice){.data = (const uint8_t *)text, .size = strlen(text)};
}

/* Same size and bytes. */
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
