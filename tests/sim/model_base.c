/* The model's lists, texts, alarms and expected effects. See model.h. */
#include "tests/sim/model_parts.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "common/base/steward_errors.h"
#include "tests/sim/trace.h"

#include <stdlib.h>

void list_add(struct list *list, void *item)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 16;
        list->items = mem_realloc(list->items, list->capacity, sizeof list->items[0]);
    }
    list->items[list->count++] = item;
}

void list_remove(struct list *list, void *item)
{
    size_t i = 0;
    while (i < list->count && list->items[i] != item)
        i++;
    STEWARD_ASSERT(i < list->count);
    list->count--;
    memmove(list->items + i, list->items + i + 1, (list->count - i) * sizeof list->items[0]);
}

void list_fini(struct list *list)
{
    free(list->items);
    *list = (struct list){0};
}

struct text text_of(struct slice bytes)
{
    return (struct text){.data = mem_dup(bytes.data, bytes.size), .size = bytes.size};
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}

void m_alarm_set(struct model *model, struct alarm *alarm, uint64_t due_ms)
{
    alarm->due_ms = due_ms;
    alarm->number = model->next_alarm++;
}

/* The generator's names: letters, digits and points are good, and a smiling face in front. */
bool m_name_good(struct slice name)
{
    if (name.size == 0 || name.size > LIMIT_NAME_BYTES || name.data[0] == '$')
        return false;
    bool smiles = name.size >= 4 && memcmp(name.data, "\xf0\x9f\x98\x80", 4) == 0;
    for (size_t i = smiles ? 4 : 0; i < name.size; i++)
        if (name.data[i] < ' ' || name.data[i] > '~')
            return false;
    return true;
}

bool m_may_wait(const struct model *model, const struct m_session *session)
{
    uint64_t own = 0;
    for (size_t i = 0; i < model->waiters.count; i++)
        own += ((struct m_waiter *)model->waiters.items[i])->session == session;
    return own < LIMIT_WAITERS_SESSION && model->waiters.count < LIMIT_WAITERS;
}

uint64_t m_room(const struct model *model, const struct m_session *session)
{
    uint64_t held = 0;
    for (size_t i = 0; i < model->holders.count; i++)
        held += ((struct m_holder *)model->holders.items[i])->session == session;
    for (size_t i = 0; i < model->messages.count; i++) {
        const struct m_message *m = model->messages.items[i];
        held += m->state == M_LEASED && m->session == session;
    }
    return held < LIMIT_HELD_SESSION ? LIMIT_HELD_SESSION - held : 0;
}

void tell(struct model *model, const struct effect *effect)
{
    trace_effect(model->lines, effect);
}

void tell_lock_lost(struct model *model, const struct m_holder *holder, int code)
{
    struct effect effect = {.kind = EFFECT_LOCK_LOST,
                            .code = code,
                            .session = holder->session->id,
                            .token = holder->token,
                            .text = text_view(&holder->lock->name)};
    tell(model, &effect);
}

void tell_lease_lost(struct model *model, const struct m_message *message)
{
    struct effect effect = {.kind = EFFECT_LEASE_LOST,
                            .code = STW_ELEASE,
                            .session = message->session->id,
                            .first = message->tag,
                            .count = 1};
    tell(model, &effect);
}

void tell_consumer_ended(struct model *model, const struct m_waiter *waiter, int code)
{
    struct effect effect = {.kind = EFFECT_CONSUMER_ENDED,
                            .code = code,
                            .session = waiter->session->id,
                            .first = waiter->request};
    tell(model, &effect);
}
