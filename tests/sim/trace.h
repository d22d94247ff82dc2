/*
 * Commands and effects as lines of text: what the simulation compares and what people read.
 *
 * Effects are written one line per request, message or tag, whatever runs they came in, so that
 * two lists are equal when a client could not tell them apart. Sentences are left out.
 */
#ifndef TESTS_SIM_TRACE_H
#define TESTS_SIM_TRACE_H

#include "broker/core/core.h"

/* Appends text by printf; for traces only. */
void trace_add(struct buf *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* One line without its end: session, request, kind and every field that matters for the kind. */
void trace_command(struct buf *out, const struct command *command);

/* One line per thing told to somebody, each ended by '\n' and begun by "sN ". */
void trace_effect(struct buf *out, const struct effect *effect);
void trace_effects(struct buf *out, const struct effects *effects);

/*
 * Orders lines by session, keeping each session's own order: what goes to different sessions has
 * no order between them.
 */
void trace_sort(struct buf *lines);

/* Prints two traces side by side as -expected +got lines on stdout, equal lines once. */
void trace_difference(const struct buf *expected, const struct buf *got);

#endif
