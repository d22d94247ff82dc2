/*
 * The consensus adapter's simulation: libraft and all guards, entries only.
 *
 *     sim_consensus [--seeds N] [--from S] [--jobs N]     run N seeds
 *     sim_consensus --seed S                              replay one, showing every message
 *     sim_consensus --canaries [--seeds N]                switch guards off, and find out
 *     sim_consensus --guard NAME [...]                    run with that guard off
 *
 * Exit status: 0 nothing found (with --canaries: all found), 1 otherwise, 2 usage. A seed that
 * crashes inside the library is a failure like any other.
 */
#include "tests/sim/cluster.h"

#include "broker/journal/consensus_guard.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 16

/* seconds: one seed that takes longer hangs */
#define SEED_SECONDS 60

struct options {
    uint64_t seeds, from, seed;
    int jobs, guard;
    bool replay, canaries;
};

/* Guards whose absence random faults find; the others are too rare, and have directed tests in
 * tests/unit/test_consensus.c. */
static const int simulated[] = {
    GUARD_NEW_TERM,       GUARD_STALE_ANSWER,  GUARD_TRIMMED_PREFIX, GUARD_CHANGE_FIRST,
    GUARD_LATE_REJECTION, GUARD_VOTE_UNLISTED, GUARD_TIMER_FLOOR,    GUARD_INSTALL_ONCE,
};

/* Shared with the children, one per job. */
struct report {
    uint64_t seed, done, failed_seed, elections, changes, installs, transfers, crashes, committed;
    uint64_t slowest_ms, simulated_ms;
    bool failed;
    char why[256];
};

struct campaign {
    struct report *reports;
    pid_t pids[JOBS_MAX];
    uint64_t failures, first_seed;
    char first_why[256];
};

static const struct {
    const char *name, *text;
} guards[] = {{"none", ""},
#define GUARD_ROW(name, text) {#name, text},
              GUARD_TABLE(GUARD_ROW)
#undef GUARD_ROW
};

static void set_guard(int guard)
{
#ifdef STEWARD_CANARIES
    consensus_guard_off = guard;
#else
    if (guard != GUARD_NONE) {
        fprintf(stderr, "this build has no canaries: use sim_consensus_canary\n");
        exit(2);
    }
#endif
}

static void add_up(struct report *report, const struct cluster *world)
{
    report->done++;
    report->elections += world->elections;
    report->changes += world->changes;
    report->installs += world->installs;
    report->transfers += world->transfers;
    report->crashes += world->crashes;
    report->committed += world->committed_last;
    report->simulated_ms += world->now;
    if (world->progress_ms > report->slowest_ms)
        report->slowest_ms = world->progress_ms;
}

/* A child: its share of the seeds, until one fails. */
static void run_share(const struct options *options, struct report *report, uint64_t next)
{
    static struct cluster world;
    for (; next < options->from + options->seeds; next += (uint64_t)options->jobs) {
        report->seed = next;
        alarm(SEED_SECONDS);
        bool good = cluster_live(&world, next, false);
        add_up(report, &world);
        cluster_fini(&world);
        if (!good) {
            report->failed = true;
            memcpy(report->why, world.why, sizeof(report->why));
            exit(1);
        }
    }
    exit(0);
}

static void start_job(const struct options *options, struct campaign *campaign, int slot,
                      uint64_t seed)
{
    campaign->reports[slot].failed = false;
    fflush(stdout);
    campaign->pids[slot] = fork();
    if (campaign->pids[slot] != 0)
        return;
    if (options->guard != GUARD_NONE && !freopen("/dev/null", "w", stderr))
        exit(2);
    run_share(options, &campaign->reports[slot], seed);
}

static void note_failure(struct campaign *campaign, const struct report *report, int status)
{
    char why[256];
    if (report->failed)
        snprintf(why, sizeof(why), "%s", report->why);
    else
        snprintf(why, sizeof(why), "crashed by signal %d", WTERMSIG(status));
    if (campaign->failures == 0 || report->seed < campaign->first_seed) {
        campaign->first_seed = report->seed;
        snprintf(campaign->first_why, sizeof(campaign->first_why), "%s", why);
    }
    campaign->failures++;
}

/* Runs all seeds; with a guard off the first failure is enough. */
static void run_campaign(const struct options *options, struct campaign *campaign)
{
    int running = options->jobs;
    set_guard(options->guard);
    for (int i = 0; i < options->jobs; i++)
        start_job(options, campaign, i, options->from + (uint64_t)i);
    while (running > 0) {
        int status, slot = 0;
        pid_t pid = wait(&status);
        while (campaign->pids[slot] != pid)
            slot++;
        struct report *report = &campaign->reports[slot];
        running--;
        if (status == 0)
            continue;
        note_failure(campaign, report, status);
        if (options->guard != GUARD_NONE) {
            for (int i = 0; i < options->jobs; i++)
                if (i != slot && campaign->pids[i] > 0 && running > 0)
                    kill(campaign->pids[i], SIGKILL);
            while (running > 0 && wait(NULL) > 0)
                running--;
            return;
        }
        printf("seed %" PRIu64 ": %s\n", report->seed, report->failed ? report->why : "crashed");
        start_job(options, campaign, slot, report->seed + (uint64_t)options->jobs);
        running++;
    }
}

static void campaign_open(struct campaign *campaign, int jobs)
{
    *campaign = (struct campaign){0};
    campaign->reports = mmap(NULL, sizeof(struct report) * (size_t)jobs, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (campaign->reports == MAP_FAILED)
        exit(2);
}

static uint64_t sum_done(const struct campaign *campaign, int jobs)
{
    uint64_t done = 0;
    for (int i = 0; i < jobs; i++)
        done += campaign->reports[i].done;
    return done;
}

static int run_seeds(const struct options *options)
{
    struct campaign campaign;
    struct report sum = {0};
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    campaign_open(&campaign, options->jobs);
    run_campaign(options, &campaign);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (int i = 0; i < options->jobs; i++) {
        const struct report *report = &campaign.reports[i];
        sum.elections += report->elections;
        sum.changes += report->changes;
        sum.installs += report->installs;
        sum.transfers += report->transfers;
        sum.crashes += report->crashes;
        sum.committed += report->committed;
        sum.simulated_ms += report->simulated_ms;
        if (report->slowest_ms > sum.slowest_ms)
            sum.slowest_ms = report->slowest_ms;
    }
    double seconds =
        (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    printf("sim_consensus: %" PRIu64 " seeds, %" PRIu64 " failures; %" PRIu64 " entries, %" PRIu64
           " elections, %" PRIu64 " applied changes, %" PRIu64 " installs, %" PRIu64
           " transfers, %" PRIu64 " crashes; slowest progress %" PRIu64
           " ms; %.0f simulated seconds in %.1f\n",
           sum_done(&campaign, options->jobs), campaign.failures, sum.committed, sum.elections,
           sum.changes, sum.installs, sum.transfers, sum.crashes, sum.slowest_ms,
           (double)sum.simulated_ms / 1000, seconds);
    if (campaign.failures > 0)
        printf("first: sim_consensus --seed %" PRIu64 ": %s\n", campaign.first_seed,
               campaign.first_why);
    return campaign.failures > 0;
}

static int run_canaries(struct options options)
{
    size_t found = 0, count = sizeof(simulated) / sizeof(simulated[0]);
    for (size_t i = 0; i < count; i++) {
        struct campaign campaign;
        campaign_open(&campaign, options.jobs);
        options.guard = simulated[i];
        run_campaign(&options, &campaign);
        found += campaign.failures > 0;
        if (campaign.failures > 0)
            printf("%-15s found, seed %" PRIu64 ": %s\n", guards[simulated[i]].name,
                   campaign.first_seed, campaign.first_why);
        else
            printf("%-15s NOT FOUND in %" PRIu64 " seeds\n", guards[simulated[i]].name,
                   sum_done(&campaign, options.jobs));
        munmap(campaign.reports, sizeof(struct report) * (size_t)options.jobs);
    }
    printf("sim_consensus: %zu of %zu guards are missed when off\n", found, count);
    return found == count ? 0 : 1;
}

static int replay(const struct options *options)
{
    static struct cluster world;
    set_guard(options->guard);
    bool good = cluster_live(&world, options->seed, true);
    printf("seed %" PRIu64 ": %s\n", options->seed, good ? "good" : world.why);
    cluster_fini(&world);
    return good ? 0 : 1;
}

static int guard_named(const char *name)
{
    for (int i = 1; i < GUARD_END; i++) {
        if (strcmp(guards[i].name, name) == 0)
            return i;
    }
    fprintf(stderr, "no guard is called %s\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seeds", 1, NULL, 'n'}, {"from", 1, NULL, 'f'},  {"seed", 1, NULL, 's'},
        {"jobs", 1, NULL, 'j'},  {"guard", 1, NULL, 'g'}, {"canaries", 0, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = {.seeds = 1000, .from = 1};
    options.jobs = cores < 1 ? 1 : cores > JOBS_MAX ? JOBS_MAX : (int)cores;
    int option;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'n': options.seeds = strtoull(optarg, NULL, 10); break;
        case 'f': options.from = strtoull(optarg, NULL, 10); break;
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            options.replay = true;
            break;
        case 'j': options.jobs = (int)strtol(optarg, NULL, 10); break;
        case 'g': options.guard = guard_named(optarg); break;
        case 'c': options.canaries = true; break;
        default: return 2;
        }
    }
    if (options.jobs < 1 || options.jobs > JOBS_MAX || optind != argc)
        return 2;
    if (options.replay)
        return replay(&options);
    return options.canaries ? run_canaries(options) : run_seeds(&options);
}
