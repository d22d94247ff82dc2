/*
 * The gateway's lines for the log. What peers can cause at will is limited: a few lines a second in
 * all, and the first line of a later second says how many were left out. Never logged: routing ids,
 * secrets, and text that a peer chose.
 */
#include "broker/gateway/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define LINES_PER_SECOND 5
#define LINE_BYTES       256

void report_limited(struct gateway *gateway, char level, const char *event, const char *detail)
{
    uint64_t second = gateway->now_ms / 1000;
    if (second != gateway->log_second) {
        gateway->log_second = second;
        gateway->log_lines = 0;
    }
    if (gateway->log_lines >= LINES_PER_SECOND) {
        gateway->log_suppressed++;
        return;
    }
    gateway->log_lines++;
    char line[2 * LINE_BYTES];
    if (gateway->log_suppressed > 0) {
        (void)snprintf(line, sizeof line, "%s suppressed=%" PRIu64, detail,
                       gateway->log_suppressed);
        gateway->log_suppressed = 0;
        detail = line;
    }
    gateway->host.log(gateway->host.context, level, event, detail);
}
