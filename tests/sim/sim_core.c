/*
 * Simulation A: the core under random commands, compared step by step with a model.
 *
 *     sim_core [--seeds N] [--from SEED] [--steps N] [--jobs N]    run N seeds
 *     sim_core --seed S [--steps N] [--keep LIST]                  replay one, showing every step
 *     sim_core --canaries [...]                                    find each deliberate bug
 *
 * Exit status: 0 nothing found (with --canaries: all found), 1 otherwise, 2 usage.
 * docs/simulation.md says how to read a failure.
 */
#include "tests/sim/shrink.h"

#include "broker/core/canary.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* seconds: one seed that takes longer hangs */
#define SEED_SECONDS 120

#define JOBS_MAX 64

#ifdef STEWARD_CANARIES
int core_canary;
#endif

struct options {
    uint64_t seeds, from, seed;
    size_t steps;
    int jobs;
    const char *keep;
    bool replay, canaries;
};

struct job {
    int pid; /* 0: free */
    uint64_t seed;
};

/* A run over many seeds. */
struct campaign {
    const struct options *options;
    struct job jobs[JOBS_MAX];
    struct report *reports; /* shared with the children, one per job */
    uint64_t next, done, commands, failures;
    uint64_t failed_seed;
    size_t failed_step;
    bool quiet;
};

static void start_job(struct campaign *campaign, int slot)
{
    struct job *job = &campaign->jobs[slot];
    struct report *report = &campaign->reports[slot];
    *report = (struct report){0};
    job->seed = campaign->next++;
    fflush(stdout);
    job->pid = fork();
    if (job->pid != 0)
        return;
    alarm(SEED_SECONDS);
    if (campaign->quiet && !freopen("/dev/null", "w", stderr))
        exit(2);
    struct program program = {0};
    int status =
        live_through(&program, job->seed, campaign->options->steps, report, campaign->quiet);
    program_fini(&program);
    exit(status);
}

static void end_job(struct campaign *campaign, int slot, int status)
{
    struct job *job = &campaign->jobs[slot];
    campaign->done++;
    campaign->commands += campaign->reports[slot].commands;
    if (status != 0 && (campaign->failures++ == 0 || job->seed < campaign->failed_seed)) {
        campaign->failed_seed = job->seed;
        campaign->failed_step = campaign->reports[slot].step;
    }
    if (status != 0 && !campaign->quiet)
        printf("seed %" PRIu64 " failed at step %zu (status %d)\n", job->seed,
               campaign->reports[slot].step, status);
    job->pid = 0;
}

static void reap(struct campaign *campaign)
{
    int status, pid = waitpid(-1, &status, 0);
    for (int i = 0; i < campaign->options->jobs; i++)
        if (pid > 0 && campaign->jobs[i].pid == pid)
            end_job(campaign, i, status);
}

/* Runs seeds until `last`, or until one fails. */
static void campaign_run(struct campaign *campaign, uint64_t last)
{
    const int jobs = campaign->options->jobs;
    for (;;) {
        int busy = 0;
        for (int i = 0; i < jobs; i++) {
            bool more = campaign->next < last && campaign->failures == 0;
            if (campaign->jobs[i].pid == 0 && more)
                start_job(campaign, i);
            busy += campaign->jobs[i].pid != 0;
        }
        if (busy == 0)
            return;
        reap(campaign);
    }
}

static struct report *reports_map(void)
{
    void *at = mmap(NULL, JOBS_MAX * sizeof(struct report), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return at;
}

/* Shrinks, shows the history and the command that replays it. */
static void explain(uint64_t seed, size_t step)
{
    struct program program = {0};
    struct buf kept = {0};
    program_generate(&program, seed, step + 1);
    program_shrink(&program, seed);
    program_kept(&program, &kept);
    printf("history of seed %" PRIu64 ", shrunk:\n", seed);
    program_print(&program);
    printf("replay: sim_core --seed %" PRIu64 " --steps %zu --keep %.*s\n", seed, step + 1,
           (int)kept.size, (const char *)kept.data);
    fflush(stdout);
    int pid = fork();
    if (pid == 0)
        exit(program_run(&program, seed, false, false));
    child_wait(pid, false);
    buf_fini(&kept);
    program_fini(&program);
}

static int run_seeds(const struct options *options)
{
    struct campaign campaign = {
        .options = options, .reports = reports_map(), .next = options->from};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    campaign_run(&campaign, options->from + options->seeds);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("simulation A: %" PRIu64 " commands over %" PRIu64 " seeds in %.1f s (%.0f/s), %" PRIu64
           " differences\n",
           campaign.commands, campaign.done, seconds, (double)campaign.commands / seconds,
           campaign.failures);
    if (campaign.failures > 0)
        explain(campaign.failed_seed, campaign.failed_step);
    return campaign.failures > 0;
}

static int replay(const struct options *options)
{
    struct program program = {0};
    program_generate(&program, options->seed, options->steps);
    if (options->keep)
        program_keep(&program, options->keep);
    int status = program_run(&program, options->seed, true, false);
    printf("seed %" PRIu64 ": %s\n", options->seed, status ? "DIFFERENT" : "same");
    program_fini(&program);
    return status;
}

#ifdef STEWARD_CANARIES
static const char *canary_text(int canary)
{
    static const char *const texts[] = {"",
#define CANARY_TEXT(name, text) text,
                                        CANARY_TABLE(CANARY_TEXT)
#undef CANARY_TEXT
    };
    return texts[canary];
}

static int run_canaries(const struct options *options)
{
    int missed = 0;
    for (int canary = 1; canary < CANARY_END; canary++) {
        struct campaign campaign = {
            .options = options, .reports = reports_map(), .next = options->from, .quiet = true};
        core_canary = canary;
        campaign_run(&campaign, options->from + options->seeds);
        if (campaign.failures > 0)
            printf("canary %2d caught by seed %" PRIu64 " at step %zu: %s\n", canary,
                   campaign.failed_seed, campaign.failed_step, canary_text(canary));
        else
            printf("canary %2d MISSED in %" PRIu64 " seeds: %s\n", canary, campaign.done,
                   canary_text(canary));
        missed += campaign.failures == 0;
        munmap(campaign.reports, JOBS_MAX * sizeof(struct report));
    }
    printf("canaries: %d of %d caught\n", CANARY_END - 1 - missed, CANARY_END - 1);
    return missed > 0;
}
#else
static int run_canaries(const struct options *options)
{
    (void)options;
    fprintf(stderr, "this build has no canaries: run sim_core_canary\n");
    return 2;
}
#endif

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "sim_core: '%s' is not a number\n", text);
        exit(2);
    }
    return value;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_core [--seeds N] [--from SEED] [--steps N] [--jobs N]\n"
                    "       sim_core --seed S [--steps N] [--keep LIST]\n"
                    "       sim_core --canaries [--seeds N] [--from SEED] [--steps N]\n");
    return 2;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"seeds", required_argument, NULL, 'n'}, {"from", required_argument, NULL, 'f'},
        {"steps", required_argument, NULL, 'p'}, {"jobs", required_argument, NULL, 'j'},
        {"seed", required_argument, NULL, 's'},  {"keep", required_argument, NULL, 'k'},
        {"canaries", no_argument, NULL, 'c'},    {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'n': o->seeds = number(optarg); break;
        case 'f': o->from = number(optarg); break;
        case 'p': o->steps = number(optarg); break;
        case 'j': o->jobs = (int)number(optarg); break;
        case 'k': o->keep = optarg; break;
        case 'c': o->canaries = true; break;
        case 's':
            o->seed = number(optarg);
            o->replay = true;
            break;
        default: return false;
        }
    }
    return optind == argc && o->steps > 0 && o->jobs > 0 && o->jobs <= JOBS_MAX;
}

int main(int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = {.seeds = 100, .from = 1, .steps = 1000};
    options.jobs = cores > 0 && cores < JOBS_MAX ? (int)cores : 1;
    if (!parse(argc, argv, &options))
        return usage();
    if (options.canaries)
        return run_canaries(&options);
    return options.replay ? replay(&options) : run_seeds(&options);
}
