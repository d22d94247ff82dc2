/* A TCP connection with buffers both ways; see bytes.h. */
#include "tests/bench/compare/bytes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/compare/harness.h"

#define IN_BYTES (4 * 1024 * 1024)

void bytes_open(struct bytes *bytes, const char *address)
{
    *bytes = (struct bytes){.file = tcp_connect(address), .in_capacity = 65536};
    bytes->in = zalloc(1, bytes->in_capacity);
}

void bytes_close(struct bytes *bytes)
{
    close(bytes->file);
    free(bytes->out);
    free(bytes->in);
}

void bytes_add(struct bytes *bytes, const void *data, size_t size)
{
    if (bytes->out_size + size > bytes->out_capacity) {
        bytes->out_capacity = 2 * (bytes->out_size + size);
        bytes->out = realloc(bytes->out, bytes->out_capacity);
        if (bytes->out == NULL) {
            die("out of memory");
        }
    }
    memcpy(bytes->out + bytes->out_size, data, size);
    bytes->out_size += size;
}

/* Reads what is there; blocks for the first byte. */
static void bytes_read(struct bytes *bytes)
{
    if (bytes->in_first > 0) {
        memmove(bytes->in, bytes->in + bytes->in_first, bytes->in_size - bytes->in_first);
        bytes->in_size -= bytes->in_first;
        bytes->in_first = 0;
    }
    if (bytes->in_size == bytes->in_capacity) {
        bytes->in_capacity *= 2;
        bytes->in = bytes->in_capacity <= IN_BYTES ? realloc(bytes->in, bytes->in_capacity) : NULL;
        if (bytes->in == NULL) {
            die("an answer is too long");
        }
    }
    ssize_t got =
        recv(bytes->file, bytes->in + bytes->in_size, bytes->in_capacity - bytes->in_size, 0);
    if (got <= 0 && !(got < 0 && errno == EINTR)) {
        die("the server closed the connection");
    }
    bytes->in_size += got > 0 ? (size_t)got : 0;
}

/* While the server does not read because its answers are not read, they are read. */
void bytes_flush(struct bytes *bytes)
{
    size_t sent = 0;
    while (sent < bytes->out_size) {
        ssize_t now = send(bytes->file, bytes->out + sent, bytes->out_size - sent, MSG_DONTWAIT);
        if (now > 0) {
            sent += (size_t)now;
            continue;
        }
        if (now < 0 && errno != EAGAIN && errno != EINTR) {
            die("cannot send: %s", strerror(errno));
        }
        struct pollfd poll_for = {.fd = bytes->file, .events = POLLIN | POLLOUT};
        poll(&poll_for, 1, 1000);
        if ((poll_for.revents & POLLIN) != 0) {
            bytes_read(bytes);
        }
    }
    bytes->out_size = 0;
}

bool bytes_wait(struct bytes *bytes, int ms)
{
    struct pollfd poll_for = {.fd = bytes->file, .events = POLLIN};
    return bytes->in_size > bytes->in_first || poll(&poll_for, 1, ms) > 0;
}

const char *bytes_take(struct bytes *bytes, size_t size)
{
    while (bytes->in_size - bytes->in_first < size) {
        bytes_read(bytes);
    }
    const char *data = bytes->in + bytes->in_first;
    bytes->in_first += size;
    return data;
}

const char *bytes_line(struct bytes *bytes, size_t *size)
{
    for (;;) {
        char *from = bytes->in + bytes->in_first;
        char *end = memchr(from, '\n', bytes->in_size - bytes->in_first);
        if (end != NULL) {
            bytes->in_first += (size_t)(end - from) + 1;
            *size = (size_t)(end - from) - (end > from && end[-1] == '\r');
            from[*size] = '\0';
            return from;
        }
        bytes_read(bytes);
    }
}
