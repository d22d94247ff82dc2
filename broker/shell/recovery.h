/* A start's first part: what was kept is applied again, before anybody is listened to. */
#ifndef BROKER_SHELL_RECOVERY_H
#define BROKER_SHELL_RECOVERY_H

#include "broker/shell/manager.h"

enum recovery_end {
    RECOVERY_DONE = 0, /* the manager leads */
    RECOVERY_FAILED,   /* the journal failed, see manager_failure */
    RECOVERY_STOPPED   /* SIGTERM or SIGINT came */
};

/*
 * Runs the manager's journal until it leads. signals: see signals_open; *hang_up becomes true when
 * SIGHUP came, for which there is time afterwards. Logs how far it got every
 * two seconds, and what it found at the end. Blocks.
 */
enum recovery_end recovery_run(struct manager *manager, int signals, bool *hang_up);

#endif
