/*
 * What a service manager (systemd) is told: ready, stopping, still alive, one line of status.
 *
 * By libsystemd, over the socket that NOTIFY_SOCKET names. Without that variable, so when nobody
 * asked, each call does nothing. A message that cannot be delivered is lost in silence: the service
 * manager then acts on its own time-outs. Nothing here blocks for longer than one sendmsg. Not
 * thread-safe: the thread of the loop calls.
 */
#ifndef BROKER_SHELL_NOTIFY_H
#define BROKER_SHELL_NOTIFY_H

#include <stdint.h>

struct notify {
    uint64_t alive_every_ms;  /* how often the service manager wants a sign; 0: not at all */
    uint64_t alive_at_ms;     /* when it got the last one; 0: never */
    uint64_t more_time_at_ms; /* when more time to start was asked for; 0: never */
};

/* Reads WATCHDOG_USEC and WATCHDOG_PID: signs go out twice as often as asked for. */
void notify_init(struct notify *notify);

/* Serves from now on. status: one line for `systemctl status`; borrowed. */
void notify_ready(const char *status);

/* Only the line. */
void notify_status(const char *status);

/*
 * Still reading what was kept: asks for NOTIFY_MORE_TIME_SECONDS from now on, however often it is
 * called at most once a second. now_ms: any clock that does not go back.
 */
void notify_starting(struct notify *notify, uint64_t now_ms, const char *status);

/* Leaves from now on. */
void notify_stopping(const char *status);

/* A turn of the loop was taken. Call it often: it says so only when a sign is due. */
void notify_alive(struct notify *notify, uint64_t now_ms);

#endif
