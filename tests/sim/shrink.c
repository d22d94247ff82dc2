/* Children, replays and delta debugging (Zeller and Hildebrandt 2002). See shrink.h. */
#include "tests/sim/shrink.h"

#include "tests/sim/plan.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* seconds: a run that takes longer hangs */
#define RUN_SECONDS 60

/* seconds: shrinking stops here and shows what it has */
#define SHRINK_SECONDS 25

int live_through(struct program *program, uint64_t seed, size_t steps, struct report *report,
                 bool quiet)
{
    struct machine machine;
    static struct plan plan;
    machine_init(&machine, seed);
    machine.quiet = quiet;
    plan_init(&plan, seed, machine.model, program);
    bool same = true;
    for (size_t i = 0; same && i < steps; i++) {
        if (i > 0)
            plan_step(&plan);
        report->step = i;
        same = machine_step(&machine, program, i);
        report->commands = machine.commands;
    }
    same = same && machine_finish(&machine);
    plan_fini(&plan);
    machine_fini(&machine);
    return same ? 0 : 1;
}

void program_generate(struct program *program, uint64_t seed, size_t steps)
{
    struct model *model = model_new();
    static struct plan plan;
    struct buf lines = {0};
    struct command_arena arena = {0};
    plan_init(&plan, seed, model, program);
    for (size_t i = 0; i < steps; i++) {
        struct command command;
        if (i > 0)
            plan_step(&plan);
        buf_clear(&lines);
        if (!program_command(program, i, &arena, &command))
            continue;
        model_apply(model, program->steps[i].now_ms, &command, &lines);
        command = (struct command){.kind = COMMAND_TICK};
        if (MACHINE_LOOSE)
            model_apply(model, program->steps[i].now_ms, &command, &lines);
    }
    buf_fini(&lines);
    command_arena_fini(&arena);
    plan_fini(&plan);
    model_destroy(&model);
}

int program_run(const struct program *program, uint64_t seed, bool verbose, bool quiet)
{
    struct machine machine;
    machine_init(&machine, seed);
    machine.verbose = verbose;
    machine.quiet = quiet;
    bool same = true;
    for (size_t i = 0; same && i < program->count; i++)
        same = machine_step(&machine, program, i);
    same = same && machine_finish(&machine);
    machine_fini(&machine);
    return same ? 0 : 1;
}

bool child_wait(int pid, bool quiet)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status) && !quiet)
        printf("the core died: %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool fails(const struct program *program, uint64_t seed)
{
    fflush(stdout);
    int pid = fork();
    if (pid == 0) {
        alarm(RUN_SECONDS / 10);
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        _exit(program_run(program, seed, false, true));
    }
    return pid > 0 && !child_wait(pid, true);
}

/* Mutes steps first .. first+count-1; keeps it so if the program still fails. */
static void try_mute(struct program *program, uint64_t seed, size_t first, size_t count)
{
    bool before[1024], any = false;
    for (size_t i = 0; i < count; i++) {
        before[i] = program->steps[first + i].muted;
        any = any || !before[i];
        program->steps[first + i].muted = true;
    }
    if (!any || fails(program, seed))
        return;
    for (size_t i = 0; i < count; i++)
        program->steps[first + i].muted = before[i];
}

void program_shrink(struct program *program, uint64_t seed)
{
    time_t until = time(NULL) + SHRINK_SECONDS;
    size_t chunk = program->count / 2 < 1024 ? program->count / 2 : 1024;
    if (!fails(program, seed))
        return;
    for (; chunk > 0; chunk /= 2) {
        for (size_t end = program->count; end > 1 && time(NULL) < until;) {
            size_t first = end > chunk ? end - chunk : 1;
            try_mute(program, seed, first, end - first);
            end = first;
        }
    }
}
