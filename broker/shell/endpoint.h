/* Endpoints as text: are they of a kind that we listen on, and who could reach them. Pure. */
#ifndef BROKER_SHELL_ENDPOINT_H
#define BROKER_SHELL_ENDPOINT_H

#include <stdbool.h>

/* What is wrong with an endpoint to listen on (static sentence), or NULL. */
const char *endpoint_problem(const char *endpoint);

/* true if only processes of this host can connect: 127.0.0.0/8, ::1, ipc. */
bool endpoint_is_local(const char *endpoint);

/* true for tcp with a numeric IPv4 address. */
bool endpoint_is_ipv4(const char *endpoint);

/* true if others can be sent there: neither an address that means all of the host's (0.0.0.0, [::],
 * *) nor an open port. */
bool endpoint_is_specific(const char *endpoint);

/* The path of an ipc endpoint in the file system; NULL for others (abstract names too). */
const char *endpoint_path(const char *endpoint);

#endif
