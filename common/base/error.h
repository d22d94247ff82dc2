/* Names and sentences of the codes in steward_errors.h. Pure; any thread. */
#ifndef COMMON_BASE_ERROR_H
#define COMMON_BASE_ERROR_H

#include "common/base/steward_errors.h"

/* Largest error number in the table (positive). */
#define ERROR_NUMBER_MAX 33

/* "ETIMEOUT" for STW_ETIMEOUT, "OK" for 0, "EUNKNOWN" for others. Static string, never NULL. */
const char *error_name(int code);

/* One sentence for a code, without a full stop. Static string, never NULL. */
const char *error_text(int code);

#endif
