/*
 * A readable notation of MessagePack, for tests and docs/protocol.md: 12, "str", 'bin', h'00ff',
 * nil, true, false, [1, 2], {"key": 1}. A packet's head is several values with spaces between.
 */
#ifndef TESTS_UNIT_NOTATION_H
#define TESTS_UNIT_NOTATION_H

#include "common/base/buf.h"

/* Appends the bytes of `text`, written by the wire codec. false: not well-formed. */
bool notation_encode(const char *text, struct buf *out);

/* Appends the notation of `bytes`, read by the wire codec, NUL-terminated. false: not readable. */
bool notation_print(struct slice bytes, struct buf *out);

#endif
