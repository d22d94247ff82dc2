/* Recorded steps: adding, muting, printing. See program.h. */
#include "tests/sim/program.h"

#include "common/base/alloc.h"
#include "common/base/panic.h"
#include "tests/sim/trace.h"

#include <stdio.h>
#include <stdlib.h>

/* A tag that no delivery ever has: what a muted step acknowledges. */
#define TAG_NEVER 1000000000000ULL

void program_fini(struct program *program)
{
    free(program->steps);
    buf_fini(&program->bytes);
    *program = (struct program){0};
}

void program_add(struct program *program, uint64_t now_ms, const struct command *command)
{
    if (program->count == program->capacity) {
        program->capacity = program->capacity ? program->capacity * 2 : 256;
        program->steps = mem_realloc(program->steps, program->capacity, sizeof program->steps[0]);
    }
    size_t offset = program->bytes.size;
    struct buf encoded = {0}; /* the command may borrow from the program, whose bytes may move */
    command_encode(&encoded, command);
    buf_add(&program->bytes, encoded.data, encoded.size);
    buf_fini(&encoded);
    program->steps[program->count++] =
        (struct step){.now_ms = now_ms, .offset = offset, .size = program->bytes.size - offset};
}

struct slice program_bytes(const struct program *program, size_t step)
{
    const struct step *s = &program->steps[step];
    return slice_of(program->bytes.data + s->offset, s->size);
}

/* Sessions must keep their numbers, and ticks and openings cost nothing to keep. */
static bool step_is_frame(enum command_kind kind)
{
    return kind == COMMAND_BOOTSTRAP || kind == COMMAND_SESSION_OPEN;
}

static bool command_mute(struct command *command)
{
    uint64_t count = command_requests(command);
    if (count == 0 || command->request == 0)
        return false;
    *command = (struct command){.kind = COMMAND_ACK,
                                .session = command->session,
                                .request = command->request,
                                .settle = {.first_tag = TAG_NEVER, .count = count}};
    return true;
}

/* ---- what no decoder lets through ----------------------------------------------------------- */

/* More than any command may carry. */
static const struct slice many_slices[LIMIT_BATCH + LIMIT_GET_QUEUES];
static const struct header_pair many_headers[LIMIT_HEADERS + 1];

static bool twist_put(struct cmd_put *put, bool headers)
{
    static struct put_options options;
    if (headers && !put->options)
        return false;
    if (headers) {
        options = *put->options;
        options.headers = many_headers;
        options.headers_count = LIMIT_HEADERS + 1;
        put->options = &options;
        return true;
    }
    put->bodies = many_slices;
    put->count = LIMIT_BATCH + 1;
    return true;
}

/* false: there is no way. */
static bool command_twist(struct command *command)
{
    switch (command->kind) {
    case COMMAND_PUT:
    case COMMAND_PUT_MANY: return twist_put(&command->put, command->request % 2 == 0);
    case COMMAND_GET:
    case COMMAND_CONSUME:
        command->get.queues = many_slices;
        command->get.queues_count = LIMIT_GET_QUEUES + 1;
        return true;
    case COMMAND_QUEUE_DECLARE:
    case COMMAND_QUEUE_ALTER:
        command->queue.options.overflow = (enum overflow)(OVERFLOW_DROP_OLDEST + 1);
        command->queue.options.given |=
            command->request % 2 ? (uint32_t)QUEUE_OVERFLOW : QUEUE_OPTIONS_ALL + 1u;
        return true;
    case COMMAND_ACQUIRE: command->acquire.kind = (enum lock_kind)(LOCK_SEMAPHORE + 1); return true;
    default: return false;
    }
}

void program_twist(struct program *program)
{
    struct step *step = &program->steps[program->count - 1];
    struct command_arena arena = {0};
    struct command command;
    int code = command_decode(program_bytes(program, program->count - 1), &arena, &command);
    step->twisted = code == 0 && command_twist(&command);
    command_arena_fini(&arena);
}

bool program_command(const struct program *program, size_t step, struct command_arena *arena,
                     struct command *command)
{
    int code = command_decode(program_bytes(program, step), arena, command);
    STEWARD_ASSERT(code == 0);
    if (program->steps[step].twisted && !program->steps[step].muted)
        return command_twist(command);
    if (!program->steps[step].muted || step_is_frame(command->kind))
        return true;
    return command_mute(command);
}

void program_keep(struct program *program, const char *list)
{
    for (size_t i = 0; i < program->count; i++)
        program->steps[i].muted = true;
    while (*list != '\0') {
        char *end;
        size_t first = strtoul(list, &end, 10), last = first;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (size_t i = first; i <= last && i < program->count; i++)
            program->steps[i].muted = false;
        list = *end == ',' ? end + 1 : "";
    }
}

void program_kept(const struct program *program, struct buf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < program->count; i++) {
        if (program->steps[i].muted)
            continue;
        size_t last = i;
        while (last + 1 < program->count && !program->steps[last + 1].muted)
            last++;
        trace_add(out, "%s%zu", comma, i);
        if (last > i)
            trace_add(out, "-%zu", last);
        comma = ",";
        i = last;
    }
}

void program_print(const struct program *program)
{
    struct command_arena arena = {0};
    struct buf line = {0};
    for (size_t i = 0; i < program->count; i++) {
        struct command command;
        if (!program_command(program, i, &arena, &command))
            continue;
        if (program->steps[i].muted && !step_is_frame(command.kind))
            continue;
        buf_clear(&line);
        trace_command(&line, &command);
        printf("  step %zu at %llu: %.*s\n", i, (unsigned long long)program->steps[i].now_ms,
               (int)line.size, (const char *)line.data);
    }
    buf_fini(&line);
    command_arena_fini(&arena);
}
