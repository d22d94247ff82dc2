/* What a service manager is told, by sd_notify. */
#include "broker/shell/notify.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* seconds: what one request for more time to start is good for */
#define NOTIFY_MORE_TIME_SECONDS 30

/* milliseconds: between two such requests, each of which is a system call */
#define NOTIFY_PAUSE_MS 1000

/* bytes: one message, a line of status in it */
#define NOTIFY_BYTES 512

/* The socket's messages are lines: a status of two lines would be two assignments. */
static void say(const char *assignments, const char *status)
{
    char text[NOTIFY_BYTES];
    snprintf(text, sizeof text, "%sSTATUS=%.*s", assignments, (int)strcspn(status, "\n"), status);
    sd_notify(false, text);
}

void notify_init(struct notify *notify)
{
    uint64_t every_us = 0;
    *notify = (struct notify){0};
    if (sd_watchdog_enabled(false, &every_us) > 0) {
        /* half of it, as sd_watchdog_enabled(3) advises; never 0, which means "not at all" */
        notify->alive_every_ms = every_us / 2000 > 0 ? every_us / 2000 : 1;
    }
}

void notify_ready(const char *status)
{
    say("READY=1\n", status);
}

void notify_status(const char *status)
{
    say("", status);
}

void notify_starting(struct notify *notify, uint64_t now_ms, const char *status)
{
    char text[64];
    if (notify->more_time_at_ms != 0 && now_ms < notify->more_time_at_ms + NOTIFY_PAUSE_MS) {
        return;
    }
    notify->more_time_at_ms = now_ms;
    snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRIu64 "\n",
             NOTIFY_MORE_TIME_SECONDS * UINT64_C(1000000));
    say(text, status);
}

void notify_stopping(const char *status)
{
    say("STOPPING=1\n", status);
}

void notify_alive(struct notify *notify, uint64_t now_ms)
{
    bool due = notify->alive_at_ms == 0 || now_ms >= notify->alive_at_ms + notify->alive_every_ms;
    if (notify->alive_every_ms == 0 || !due) {
        return;
    }
    notify->alive_at_ms = now_ms;
    sd_notify(false, "WATCHDOG=1");
}
