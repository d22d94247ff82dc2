/* The test bench. See machine.h. */
#include "tests/sim/machine.h"

#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* count: units of work of the tighter seeds */
#define FEW_UNITS 4

#ifdef STEWARD_TIGHT
uint32_t tight_work_units = 16;

static void draw_limits(struct machine *machine, uint64_t seed)
{
    tight_work_units = seed % 3 == 0 ? FEW_UNITS : 16;
    machine->part_at = rng_between(&machine->rng, 100, 900);
}
#else
static void draw_limits(struct machine *machine, uint64_t seed)
{
    (void)machine;
    (void)seed;
}
#endif

void machine_init(struct machine *machine, uint64_t seed)
{
    *machine = (struct machine){.core = core_new(), .model = model_new()};
    machine->rng.state = seed ^ 0x5eed;
    machine->snapshot_every = rng_between(&machine->rng, 5, 60);
    draw_limits(machine, seed);
}

void machine_fini(struct machine *machine)
{
    core_destroy(&machine->core);
    if (machine->twin)
        core_destroy(&machine->twin);
    model_destroy(&machine->model);
    effects_fini(&machine->effects);
    effects_fini(&machine->twin_effects);
    buf_fini(&machine->expected);
    buf_fini(&machine->got);
    buf_fini(&machine->bytes);
    buf_fini(&machine->twin_bytes);
    command_arena_fini(&machine->arena);
}

static bool bufs_equal(const struct buf *a, const struct buf *b)
{
    return slice_equal(buf_view(a), buf_view(b));
}

static bool complain(const struct machine *machine, const char *what, size_t step)
{
    if (!machine->quiet)
        printf("DIFFERENCE at step %zu: %s\n", step, what);
    return false;
}

/* What was decoded, encoded again, must be the same bytes; what is twisted must not be decoded. */
static bool check_encoding(struct machine *machine, const struct command *command, bool twisted,
                           size_t step)
{
    buf_clear(&machine->bytes);
    command_encode(&machine->bytes, command);
    struct command again;
    struct command_arena arena = {0};
    int code = command_decode(buf_view(&machine->bytes), &arena, &again);
    buf_clear(&machine->twin_bytes);
    if (code == 0)
        command_encode(&machine->twin_bytes, &again);
    command_arena_fini(&arena);
    if (strcmp(command_name(command->kind), "?") == 0)
        return complain(machine, "the command has no name", step);
    if (twisted)
        return code != 0 || complain(machine, "the decoder lets a wrong command through", step);
    return bufs_equal(&machine->bytes, &machine->twin_bytes) ||
           complain(machine, "the command's encoding does not survive a round trip", step);
}

static bool snapshots_equal(struct machine *machine, const struct core *a, const struct core *b)
{
    buf_clear(&machine->bytes);
    buf_clear(&machine->twin_bytes);
    core_snapshot(a, &machine->bytes);
    core_snapshot(b, &machine->twin_bytes);
    return bufs_equal(&machine->bytes, &machine->twin_bytes);
}

/* ---- damaged bytes -------------------------------------------------------------------------- */

/* Cuts or changes the bytes in scratch; true: they are shorter now. */
static bool damage(struct machine *machine, struct buf *bytes)
{
    size_t at = (size_t)rng_below(&machine->rng, bytes->size), left = bytes->size - at;
    switch (rng_below(&machine->rng, 6)) {
    case 0: bytes->size = at; return true;
    case 1: bytes->data[at] = (uint8_t)rng_below(&machine->rng, 4); return false;
    case 2: memset(bytes->data + at, 0, left < 8 ? left : 8); return false;
    case 3: memset(bytes->data + at, 0xFF, left < 4 ? left : 4); return false;
    case 4: { /* one record takes the place of another */
        size_t from = (size_t)rng_below(&machine->rng, bytes->size), size = bytes->size - from;
        size = size < left ? size : left;
        memmove(bytes->data + at, bytes->data + from, size < 16 ? size : 16);
        return false;
    }
    default: bytes->data[at] ^= (uint8_t)(1u << rng_below(&machine->rng, 8)); return false;
    }
}

/* A damaged command is refused or is the one command that has these bytes. */
static bool check_damaged(struct machine *machine, struct slice good, size_t step)
{
    struct command command;
    struct command_arena arena = {0};
    buf_clear(&machine->bytes);
    buf_add(&machine->bytes, good.data, good.size);
    bool cut = damage(machine, &machine->bytes);
    int code = command_decode(buf_view(&machine->bytes), &arena, &command);
    buf_clear(&machine->twin_bytes);
    if (code == 0)
        command_encode(&machine->twin_bytes, &command);
    bool right = code != 0 || (!cut && bufs_equal(&machine->bytes, &machine->twin_bytes));
    command_arena_fini(&arena);
    return right || complain(machine, "a damaged command was taken for another", step);
}

/* A cut snapshot is refused; a changed one is refused or loads, and harms nobody. */
static bool check_damaged_snapshot(struct machine *machine, size_t step)
{
    for (int tries = 0; tries < 8; tries++) {
        buf_clear(&machine->twin_bytes);
        buf_add(&machine->twin_bytes, machine->bytes.data, machine->bytes.size);
        bool cut = damage(machine, &machine->twin_bytes);
        struct core *core = core_restore(buf_view(&machine->twin_bytes));
        bool right = !core || !cut;
        core_destroy(&core); /* NULL is fine */
        if (!right)
            return complain(machine, "a cut snapshot was accepted", step);
    }
    return true;
}

/* ---- the twin ------------------------------------------------------------------------------- */

static bool twin_make(struct machine *machine, size_t step)
{
    buf_clear(&machine->bytes);
    core_snapshot(machine->core, &machine->bytes);
    machine->twin = core_restore(buf_view(&machine->bytes));
    if (!machine->twin)
        return complain(machine, "the core does not accept its own snapshot", step);
    core_check(machine->twin);
    machine->twin_until = step + machine->snapshot_every / 2 + 1;
    if (!snapshots_equal(machine, machine->core, machine->twin))
        return complain(machine, "snapshot, restore, snapshot gives other bytes", step);
    return check_damaged_snapshot(machine, step);
}

/* The restored core has lived through the same steps: it takes the original's place. */
static bool twin_take_over(struct machine *machine, size_t step)
{
    if (!snapshots_equal(machine, machine->core, machine->twin))
        return complain(machine, "the restored core's state has another future", step);
    core_destroy(&machine->core);
    machine->core = machine->twin;
    machine->twin = NULL;
    return true;
}

static bool twin_step(struct machine *machine, size_t step)
{
    if (machine->twin && step >= machine->twin_until)
        return twin_take_over(machine, step);
    if (!machine->twin && step % machine->snapshot_every == machine->snapshot_every - 1)
        return twin_make(machine, step);
    return true;
}

static bool twin_apply(struct machine *machine, uint64_t now_ms, const struct command *command)
{
    if (!machine->twin)
        return true;
    core_apply(machine->twin, now_ms, command, &machine->twin_effects);
    buf_clear(&machine->bytes);
    buf_clear(&machine->twin_bytes);
    trace_effects(&machine->bytes, &machine->effects);
    trace_effects(&machine->twin_bytes, &machine->twin_effects);
    return bufs_equal(&machine->bytes, &machine->twin_bytes);
}

static void print_step(const struct machine *machine, uint64_t now_ms,
                       const struct command *command, size_t step)
{
    struct buf line = {0};
    trace_command(&line, command);
    printf("step %zu at %" PRIu64 ": %.*s\n", step, now_ms, (int)line.size,
           (const char *)line.data);
    buf_fini(&line);
    trace_difference(&machine->expected, &machine->got);
}

/* The model does not count the bytes of answers: error sentences are none of its promises. */
static bool ended_by_bytes(const struct effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct effect *e = &effects->items[i];
        if (e->kind == EFFECT_SESSION_ENDED &&
            slice_equal(e->text, slice_str("its unconfirmed answers exceed the limit in bytes")))
            return true;
    }
    return false;
}

static bool apply_all(struct machine *machine, uint64_t now_ms, const struct command *command,
                      size_t step)
{
    core_apply(machine->core, now_ms, command, &machine->effects);
    machine->commands++;
    trace_effects(&machine->got, &machine->effects);
    model_apply(machine->model, now_ms, command, &machine->expected);
    core_check(machine->core);
    machine->parted = machine->parted || (MACHINE_LOOSE && ended_by_bytes(&machine->effects));
    return twin_apply(machine, now_ms, command) ||
           complain(machine, "the restored core answers otherwise", step);
}

/* Deadlines may have waited for a slice that left nothing for them to do: no tick shows that. */
static bool is_long(const struct buf *lines, uint64_t fired)
{
    uint64_t count = 2 * fired;
    for (size_t i = 0; i < lines->size; i++)
        count += lines->data[i] == '\n';
    return count >= LIMIT_WORK_UNITS / 2;
}

/* Work that was cut into slices goes on in ticks; the model does everything at once. */
static bool drain(struct machine *machine, uint64_t now_ms, size_t step)
{
    uint64_t fired = model_fired(machine->model);
    struct command tick = {.kind = COMMAND_TICK};
    uint64_t turns = 0;
    do {
        core_apply(machine->core, now_ms, &tick, &machine->effects);
        trace_effects(&machine->got, &machine->effects);
        core_check(machine->core);
        machine->commands++;
        if (!twin_apply(machine, now_ms, &tick))
            return complain(machine, "the restored core answers otherwise", step);
        if (++turns > 10000)
            return complain(machine, "ticks without end", step);
    } while (core_deadline(machine->core) <= now_ms);
    model_apply(machine->model, now_ms, &tick, &machine->expected);
    machine->sliced = machine->sliced || turns > 1 || is_long(&machine->expected, fired);
    return true;
}

/*
 * Where slices were cut decides who was served with what, so a difference in such a step is no
 * fault: from there on the core goes on without comparison, but with its invariants and its twin.
 * What was dropped, or became a dead letter later for want of room, may show only in later steps.
 */
static bool compare(struct machine *machine, size_t step)
{
    bool drops = model_dropped(machine->model) - machine->dropped >= LIMIT_WORK_UNITS / 2;
    bool hides = drops || (machine->sliced && LIMIT_WORK_UNITS <= FEW_UNITS);
    machine->cut = machine->cut || (MACHINE_LOOSE && hides);
    trace_sort(&machine->expected);
    trace_sort(&machine->got);
    if (bufs_equal(&machine->expected, &machine->got))
        return core_deadline(machine->core) <= model_deadline(machine->model) ||
               complain(machine, "the core would tick too late", step);
    if (machine->sliced || machine->cut) {
        machine->parted = true;
        return true;
    }
    complain(machine, "effects (- the model's, + the core's)", step);
    if (!machine->quiet)
        trace_difference(&machine->expected, &machine->got);
    return false;
}

/* The model only leads the generator now, and work is left over between commands. */
static bool go_alone(struct machine *machine, uint64_t now_ms)
{
    struct command tick = {.kind = COMMAND_TICK};
    model_apply(machine->model, now_ms, &tick, &machine->expected);
    return true;
}

/* What the gateway asks about sessions. */
static bool check_session(struct machine *machine, uint64_t id, size_t step)
{
    struct session_info info = {0};
    uint64_t highest = 0;
    bool found = core_session(machine->core, id, &info);
    bool expected = model_session(machine->model, id, &highest);
    return (found == expected && info.highest_request == highest) ||
           complain(machine, "the core knows other sessions", step);
}

bool machine_step(struct machine *machine, const struct program *program, size_t step)
{
    struct command command;
    uint64_t now_ms = program->steps[step].now_ms;
    if (!program_command(program, step, &machine->arena, &command))
        return true;
    bool twisted = program->steps[step].twisted && !program->steps[step].muted;
    if (!check_encoding(machine, &command, twisted, step) || !twin_step(machine, step) ||
        !check_damaged(machine, program_bytes(program, step), step))
        return false;
    buf_clear(&machine->expected);
    buf_clear(&machine->got);
    machine->dropped = model_dropped(machine->model);
    machine->parted = machine->parted || (machine->part_at > 0 && step >= machine->part_at);
    bool same = apply_all(machine, now_ms, &command, step);
    if (machine->parted)
        return same && go_alone(machine, now_ms);
    machine->sliced = MACHINE_LOOSE && core_deadline(machine->core) <= now_ms &&
                      model_deadline(machine->model) > now_ms;
    if (same && MACHINE_LOOSE)
        same = drain(machine, now_ms, step);
    if (machine->verbose)
        print_step(machine, now_ms, &command, step);
    return same && compare(machine, step) &&
           (machine->parted || check_session(machine, command.session, step));
}

bool machine_finish(struct machine *machine)
{
    if (machine->twin && !twin_take_over(machine, 0))
        return false;
    return twin_make(machine, 0);
}
