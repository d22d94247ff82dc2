/*
 * The model: what the manager promises, written with lists and loops only.
 *
 * It takes the core's commands and writes the effects that it expects as lines of trace.h. It has
 * no hash tables, heaps or free lists and does every command whole, never in slices. Where the core
 * may choose an order, the model's order is the promised one.
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "broker/core/core.h"

struct model;

struct model *model_new(void);
void model_destroy(struct model **model);

/* Applies one command; appends the expected effects. */
void model_apply(struct model *model, uint64_t now_ms, const struct command *command,
                 struct buf *lines);

/* When a tick would next do something; UINT64_MAX: never. */
uint64_t model_deadline(const struct model *model);

/* Is there such a session, and what is the highest id of its requests? */
bool model_session(const struct model *model, uint64_t id, uint64_t *highest_request);

/* How many deadlines the last command fired. */
uint64_t model_fired(const struct model *model);

/* How many messages were ever dropped to make room: work that no effect shows. */
uint64_t model_dropped(const struct model *model);

#endif
