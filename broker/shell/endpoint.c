/*
 * Endpoints as text. Only numeric addresses count as local: a host name is whatever a name server
 * says, and libzmq does not resolve names to listen on anyway.
 */
#include "broker/shell/endpoint.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* bytes: longest address we look at; IPv6 with a zone fits */
#define ADDRESS_BYTES 128

/* bytes: sun_path has 108, one is the end */
#define IPC_PATH_BYTES 107

static const char *after(const char *text, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(text, prefix, size) == 0 ? text + size : NULL;
}

/* Splits ADDRESS:PORT; the address without brackets and zone. false: not of that form. */
static bool split(const char *rest, char address[ADDRESS_BYTES], const char **port)
{
    const char *colon = strrchr(rest, ':');
    if (colon == NULL || colon == rest) {
        return false;
    }
    size_t size = (size_t)(colon - rest);
    if (rest[0] == '[' && rest[size - 1] == ']') {
        rest++;
        size -= 2;
    }
    if (size == 0 || size >= ADDRESS_BYTES) {
        return false;
    }
    memcpy(address, rest, size);
    address[size] = '\0';
    char *zone = strchr(address, '%');
    if (zone) {
        *zone = '\0';
    }
    *port = colon + 1;
    return true;
}

static bool port_valid(const char *port)
{
    if (strcmp(port, "*") == 0) {
        return true;
    }
    size_t size = strlen(port);
    return size >= 1 && size <= 5 && strspn(port, "0123456789") == size &&
           strtoul(port, NULL, 10) >= 1 && strtoul(port, NULL, 10) <= 65535;
}

const char *endpoint_problem(const char *endpoint)
{
    const char *path = after(endpoint, "ipc://");
    if (path) {
        size_t size = strlen(path);
        return size >= 1 && size <= IPC_PATH_BYTES ? NULL : "an ipc path has 1 to 107 bytes";
    }
    const char *rest = after(endpoint, "tcp://");
    if (rest == NULL) {
        return "an endpoint begins with tcp:// or ipc://";
    }
    char address[ADDRESS_BYTES];
    const char *port = NULL;
    if (strchr(rest, ';') || !split(rest, address, &port)) {
        return "a tcp endpoint is tcp://ADDRESS:PORT";
    }
    return port_valid(port) ? NULL : "a port is 1 to 65535, or *";
}

bool endpoint_is_local(const char *endpoint)
{
    if (after(endpoint, "ipc://")) {
        return true;
    }
    const char *rest = after(endpoint, "tcp://");
    char address[ADDRESS_BYTES];
    const char *port = NULL;
    if (rest == NULL || !split(rest, address, &port)) {
        return false;
    }
    struct in_addr four;
    if (inet_pton(AF_INET, address, &four) == 1) {
        return (ntohl(four.s_addr) >> 24) == 127;
    }
    struct in6_addr six;
    if (inet_pton(AF_INET6, address, &six) != 1) {
        return false;
    }
    return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

bool endpoint_is_ipv4(const char *endpoint)
{
    const char *rest = after(endpoint, "tcp://");
    char address[ADDRESS_BYTES];
    const char *port = NULL;
    struct in_addr four;
    return rest && split(rest, address, &port) && inet_pton(AF_INET, address, &four) == 1;
}

bool endpoint_is_specific(const char *endpoint)
{
    const char *rest = after(endpoint, "tcp://");
    char address[ADDRESS_BYTES];
    const char *port = NULL;
    if (rest == NULL) {
        return true;
    }
    return split(rest, address, &port) && strcmp(port, "*") != 0 && strcmp(address, "*") != 0 &&
           strcmp(address, "0.0.0.0") != 0 && strcmp(address, "::") != 0 &&
           strcmp(address, "::ffff:0.0.0.0") != 0;
}

const char *endpoint_path(const char *endpoint)
{
    const char *path = after(endpoint, "ipc://");
    return path && path[0] != '@' && path[0] != '*' ? path : NULL;
}
