/* What a random program picks from: names, numbers, sessions, tags. See plan.h. */
#include "tests/sim/model_state.h"
#include "tests/sim/plan.h"
#include "tests/sim/trace.h"

static const char *const bad_names[] = {
    "",      "a\nb",         "\xff\xfe",         "$own",     "\xc3",
    "a\x7f", "\xed\xa0\x80", "\xf0\x9f\x98\x80", "\xc0\x80", "\xf4\x90\x80\x80"};

/* The text buffer was reserved in advance: slices into it stay where they are. */
struct slice pick_text(struct plan *plan, size_t size)
{
    size_t start = plan->text.size;
    uint8_t *at = buf_reserve(&plan->text, size);
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)('a' + (i + plan->bodies) % 26);
    plan->text.size += size;
    return slice_of(plan->text.data + start, size);
}

static struct slice strange_name(struct plan *plan)
{
    uint64_t n = rng_below(&plan->rng, sizeof bad_names / sizeof bad_names[0] + 2);
    if (n < sizeof bad_names / sizeof bad_names[0])
        return slice_str(bad_names[n]);
    return pick_text(plan, n % 2 ? LIMIT_NAME_BYTES : LIMIT_NAME_BYTES + 1);
}

static struct slice pick_name(struct plan *plan, char letter, uint64_t names, const char *suffix)
{
    if (rng_chance(&plan->rng, plan->strange_percent))
        return strange_name(plan);
    size_t start = plan->text.size;
    trace_add(&plan->text, "%c%u%s", letter, (unsigned)rng_below(&plan->rng, names), suffix);
    return slice_of(plan->text.data + start, plan->text.size - start);
}

struct slice pick_queue(struct plan *plan)
{
    return pick_name(plan, 'q', plan->queues, rng_chance(&plan->rng, 6) ? ".dead" : "");
}

struct slice pick_lock(struct plan *plan)
{
    return pick_name(plan, 'l', plan->locks, "");
}

struct slice pick_body(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 100);
    plan->bodies++;
    if (rng_chance(&plan->rng, plan->large_percent))
        return pick_text(plan, rng_between(&plan->rng, 3000, 20000));
    if (kind < 4)
        return slice_str("");
    if (kind < 8)
        return pick_text(
            plan, rng_between(&plan->rng, LIMIT_BODY_SLAB_BYTES - 40, LIMIT_BODY_SLAB_BYTES + 40));
    if (kind < 20)
        return pick_text(plan, rng_between(&plan->rng, 20, 400));
    size_t start = plan->text.size;
    trace_add(&plan->text, "b%llu", (unsigned long long)plan->bodies);
    return slice_of(plan->text.data + start, plan->text.size - start);
}

uint64_t pick_duration(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 100);
    if (kind < 2 && plan->strange_percent)
        return kind ? LIMIT_DURATION_MS + 1 : UINT64_MAX - 1;
    if (kind < 10)
        return rng_below(&plan->rng, 3);
    return rng_between(&plan->rng, 1, plan->span_ms);
}

uint64_t pick_timeout(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 100);
    if (kind < 25)
        return 0;
    return kind < 45 ? TIMEOUT_FOREVER : pick_duration(plan);
}

uint64_t pick_lease(struct plan *plan)
{
    if (rng_chance(&plan->rng, 40))
        return SETTING_DEFAULT;
    if (rng_chance(&plan->rng, 90))
        return rng_chance(&plan->rng, 2)
                   ? 60ULL * 86400000
                   : LIMIT_LEASE_MIN_MS + rng_below(&plan->rng, plan->span_ms);
    return pick_duration(plan);
}

const struct m_session *pick_session(struct plan *plan)
{
    const struct list *sessions = &plan->model->sessions;
    if (sessions->count == 0)
        return NULL;
    return sessions->items[rng_below(&plan->rng, sessions->count)];
}

/* A live tag; by and by an old one, or one that never was. */
uint64_t pick_tag(struct plan *plan, const struct m_session *session)
{
    const struct list *messages = &plan->model->messages;
    if (rng_chance(&plan->rng, 8) || messages->count == 0)
        return rng_below(&plan->rng, session->next_tag + 2);
    size_t start = rng_below(&plan->rng, messages->count);
    for (size_t i = 0; i < messages->count; i++) {
        const struct m_message *m = messages->items[(start + i) % messages->count];
        if (m->state == M_LEASED && m->session == session)
            return m->tag;
    }
    return rng_chance(&plan->rng, 20) ? session->next_tag : 0;
}
