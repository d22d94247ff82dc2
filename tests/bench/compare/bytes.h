/* A TCP connection with buffers both ways, for peers whose protocol is spoken here directly. */
#ifndef TESTS_BENCH_COMPARE_BYTES_H
#define TESTS_BENCH_COMPARE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    int file;
    char *out, *in;
    size_t out_size, out_capacity;
    size_t in_first, in_size, in_capacity;
};

void bytes_open(struct bytes *bytes, const char *address);
void bytes_close(struct bytes *bytes);
/* Appends; nothing leaves before bytes_flush. */
void bytes_add(struct bytes *bytes, const void *data, size_t size);
void bytes_flush(struct bytes *bytes);
/* Waits until something can be read; false: not within `ms`. */
bool bytes_wait(struct bytes *bytes, int ms);
/* The next `size` bytes, or the next line without its end (size: its length); blocks. Valid until
 * the next call. */
const char *bytes_take(struct bytes *bytes, size_t size);
const char *bytes_line(struct bytes *bytes, size_t *size);

#endif
