/*
 * What was kept is applied again: a loop around the journal alone. Time is the journal's matter
 * here: its entries bring their own.
 */
#include "broker/shell/recovery.h"

#include "broker/shell/notify.h"
#include "broker/shell/signals.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>

/* milliseconds: between two lines that say how far it got */
#define PROGRESS_MS 2000

/* milliseconds: longest wait for the journal: a lost wake-up costs no more than this */
#define RECOVERY_POLL_MS 100

struct recovery {
    struct manager *manager;
    struct pollfd polled[JOURNAL_DESCRIPTORS + 1]; /* the signals' first */
    nfds_t count;
    uint64_t start_ms, told_ms; /* CLOCK_BOOTTIME */
    struct notify notify;
};

static void watch(struct recovery *recovery, int signals)
{
    int descriptors[JOURNAL_DESCRIPTORS];
    size_t count = journal_descriptors(recovery->manager->journal, descriptors);
    recovery->polled[0] = (struct pollfd){.fd = signals, .events = POLLIN};
    for (size_t i = 0; i < count; i++) {
        recovery->polled[i + 1] = (struct pollfd){.fd = descriptors[i], .events = POLLIN};
    }
    recovery->count = (nfds_t)(count + 1);
}

static bool wanted_to_stop(const struct recovery *recovery, bool *hang_up)
{
    int number = 0;
    while ((number = signals_next(recovery->polled[0].fd)) != 0) {
        if (number != SIGHUP) {
            return true;
        }
        *hang_up = true;
    }
    return false;
}

static void tell(struct recovery *recovery, const char *event, uint64_t now_ms)
{
    struct log_line line;
    char seconds[32];
    uint64_t ms = now_ms - recovery->start_ms;
    (void)snprintf(seconds, sizeof seconds, "%u.%03u", (unsigned)(ms / 1000),
                   (unsigned)(ms % 1000));
    log_begin(&line, recovery->manager->log, LEVEL_INFO, "shell", event);
    log_text(&line, "seconds", seconds);
    log_number(&line, "entries", journal_raft_mark(recovery->manager->journal).index);
    if (recovery->manager->leads) {
        log_number(&line, "bytes", core_bytes(recovery->manager->core));
        log_number(&line, "held", core_held(recovery->manager->core));
    }
    log_end(&line);
    recovery->told_ms = now_ms;
}

static int wait_ms(const struct recovery *recovery)
{
    uint64_t due_ms = journal_deadline(recovery->manager->journal);
    uint64_t now_ms = recovery->manager->now_ms;
    if (due_ms <= now_ms) {
        return 0;
    }
    return due_ms - now_ms < RECOVERY_POLL_MS ? (int)(due_ms - now_ms) : RECOVERY_POLL_MS;
}

enum recovery_end recovery_run(struct manager *manager, int signals, bool *hang_up)
{
    struct recovery recovery = {.manager = manager};
    if (manager->leads) {
        return RECOVERY_DONE; /* nothing was kept */
    }
    recovery.start_ms = recovery.told_ms = clock_boot_ms();
    watch(&recovery, signals);
    while (!manager->leads) {
        if (wanted_to_stop(&recovery, hang_up)) {
            return RECOVERY_STOPPED;
        }
        manager_recover(manager); /* first: descriptors speak only to whoever has asked before */
        if (manager_failure(manager)) {
            return RECOVERY_FAILED;
        }
        if (!manager->leads) {
            (void)poll(recovery.polled, recovery.count, wait_ms(&recovery));
        }
        uint64_t now_ms = clock_boot_ms();
        if (now_ms - recovery.told_ms >= PROGRESS_MS) {
            tell(&recovery, "recovering", now_ms);
            notify_starting(&recovery.notify, now_ms, "reading what was kept");
        }
    }
    tell(&recovery, "recovered", clock_boot_ms());
    return RECOVERY_DONE;
}
