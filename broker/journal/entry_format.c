/* The newest version of entries that this build writes and reads: see entry.h. */
#include "broker/journal/entry.h"

#ifndef STEWARD_FORMAT
#define STEWARD_FORMAT 1 /* version: the first */
#endif

const uint8_t entry_format = STEWARD_FORMAT;
