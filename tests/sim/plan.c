/* The order of a random program: time, ticks, resends, and which verb comes next. See plan.h. */
#include "tests/sim/model_state.h"
#include "tests/sim/plan.h"

#include "common/base/panic.h"

/* Room for the texts of the largest command, so that slices into the buffer stay valid. */
#define TEXT_BYTES (8u * 1024 * 1024)

static void draw_weights(struct plan *plan)
{
    static const uint32_t factors[] = {0, 1, 1, 2, 6};
    size_t count = plan_verbs_count();
    for (size_t i = 0; i < count; i++) {
        uint32_t factor = factors[rng_below(&plan->rng, 5)];
        if (factor == 0 && plan_verb_always(i))
            factor = 1;
        plan->weights[i] = factor * (plan_verb_always(i) ? 6 : 1);
        plan->total += plan->weights[i];
    }
}

void plan_init(struct plan *plan, uint64_t seed, const struct model *model, struct program *program)
{
    static const uint64_t spans[] = {300, 3000, 20000, 90000};
    *plan = (struct plan){.rng = {.state = seed}, .model = model, .program = program};
    buf_reserve(&plan->text, TEXT_BYTES);
    plan->now_ms = rng_below(&plan->rng, 1000000);
    plan->queues = rng_between(&plan->rng, 1, 4);
    plan->locks = rng_between(&plan->rng, 1, 3);
    plan->span_ms = spans[rng_below(&plan->rng, 4)];
    plan->resend_percent = rng_below(&plan->rng, 3) * 4;
    plan->strange_percent = rng_below(&plan->rng, 2) * 2;
    plan->dedup_percent = rng_chance(&plan->rng, 60) ? 30 : 90;
    plan->large_percent = rng_chance(&plan->rng, 85) ? 0 : 30;
    draw_weights(plan);
    struct command boot = {.kind = COMMAND_BOOTSTRAP,
                           .bootstrap = {rng_next(&plan->rng), rng_next(&plan->rng) | 1}};
    program_add(program, plan->now_ms, &boot);
}

void plan_fini(struct plan *plan)
{
    buf_fini(&plan->text);
    command_arena_fini(&plan->arena);
}

/* Time stands still, creeps, jumps to the next deadline or just past it, or leaps. */
static void pass_time(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 100), deadline = model_deadline(plan->model);
    if (kind < 55)
        return;
    if (kind < 80)
        plan->now_ms += rng_between(&plan->rng, 1, 20);
    else if (kind < 97 && deadline != NEVER && deadline > plan->now_ms)
        plan->now_ms = deadline + (kind < 92 ? 0 : rng_below(&plan->rng, 50));
    else
        plan->now_ms += rng_below(&plan->rng, plan->span_ms);
}

static void add_manager(struct plan *plan, enum command_kind kind)
{
    struct command command = {.kind = kind};
    if (kind == COMMAND_CLOCK_GAP)
        command.gap_ms = rng_below(&plan->rng, plan->span_ms);
    program_add(plan->program, plan->now_ms, &command);
}

/* A request that is on record, as it was: the network doubled it or the client did. */
static bool add_resend(struct plan *plan)
{
    size_t count = plan->program->count;
    size_t back = rng_between(&plan->rng, 1, rng_chance(&plan->rng, 70) ? 10 : 200);
    struct command command;
    if (back >= count || plan->program->steps[count - back].twisted ||
        !program_command(plan->program, count - back, &plan->arena, &command))
        return false;
    if (command.kind == COMMAND_SESSION_OPEN || command.kind == COMMAND_BOOTSTRAP)
        return false;
    program_add(plan->program, plan->now_ms, &command);
    return true;
}

/* The end of an old packet with something new behind it: ids on both sides of the highest. */
static bool add_overlap(struct plan *plan)
{
    size_t count = plan->program->count;
    for (size_t back = 1; back < 12 && back < count; back++) {
        struct command c;
        if (plan->program->steps[count - back].twisted ||
            !program_command(plan->program, count - back, &plan->arena, &c))
            continue;
        if (c.kind == COMMAND_PUT && c.put.count < 8) {
            for (size_t i = 0; i < c.put.count; i++)
                plan->slices[i] = c.put.bodies[i];
            plan->slices[c.put.count++] = pick_body(plan);
            plan->slices[c.put.count++] = pick_body(plan);
            uint64_t skip = rng_below(&plan->rng, 2);
            c.put.bodies = plan->slices + skip;
            c.put.count -= skip;
            c.request += skip;
        } else if (c.kind >= COMMAND_ACK && c.kind <= COMMAND_RENEW) {
            c.settle.count++;
        } else {
            continue;
        }
        program_add(plan->program, plan->now_ms, &c);
        return true;
    }
    return false;
}

static size_t pick_verb(struct plan *plan)
{
    uint64_t ticket = rng_below(&plan->rng, plan->total);
    size_t verb = 0;
    while (ticket >= plan->weights[verb])
        ticket -= plan->weights[verb++];
    return verb;
}

/* Mostly the next id; else a gap, or an old id with another payload, or none at all. */
static uint64_t pick_request(struct plan *plan, const struct m_session *session)
{
    if (rng_chance(&plan->rng, plan->strange_percent) && rng_chance(&plan->rng, 20))
        return 0;
    if (!rng_chance(&plan->rng, plan->resend_percent))
        return session->highest_request + 1;
    if (rng_chance(&plan->rng, 15))
        return session->highest_request + rng_between(&plan->rng, 2, 5);
    return rng_below(&plan->rng, session->highest_request + 1) + 1;
}

static bool is_request(enum command_kind kind)
{
    return kind >= COMMAND_PUT && kind <= COMMAND_REFUSE;
}

static bool add_verb(struct plan *plan)
{
    struct command command = {0};
    if (!plan_verbs[pick_verb(plan)](plan, &command))
        return false;
    if (is_request(command.kind)) {
        const struct m_session *session = NULL;
        for (size_t i = 0; i < plan->model->sessions.count; i++) {
            const struct m_session *s = plan->model->sessions.items[i];
            if (s->id == command.session)
                session = s;
        }
        command.request = session ? pick_request(plan, session) : 1;
    }
    program_add(plan->program, plan->now_ms, &command);
    if (rng_chance(&plan->rng, plan->strange_percent))
        program_twist(plan->program);
    return true;
}

static bool add_something(struct plan *plan)
{
    uint64_t kind = rng_below(&plan->rng, 1000);
    if (model_deadline(plan->model) <= plan->now_ms && kind < 700) {
        add_manager(plan, COMMAND_TICK);
        return true;
    }
    if (kind < 10) {
        add_manager(plan, COMMAND_TICK);
        return true;
    }
    if (kind == 15 && rng_chance(&plan->rng, 10)) {
        add_manager(plan, COMMAND_BOOTSTRAP); /* a second one changes nothing */
        return true;
    }
    if (kind < 16) {
        add_manager(plan, kind < 11 ? COMMAND_LEADER_START : COMMAND_CLOCK_GAP);
        return true;
    }
    if (rng_chance(&plan->rng, plan->resend_percent))
        return rng_chance(&plan->rng, 70) ? add_resend(plan) : add_overlap(plan);
    return add_verb(plan);
}

void plan_step(struct plan *plan)
{
    size_t count = plan->program->count;
    buf_clear(&plan->text);
    pass_time(plan);
    for (int tries = 0; !add_something(plan); tries++)
        STEWARD_ASSERT(tries < 10000);
    STEWARD_ASSERT(plan->program->count == count + 1);
}
