/* Simulations A2 and B: many seeds, one process each, and the command line. See net_campaign.h. */
#include "tests/sim/net_campaign.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* seconds: one seed that takes longer hangs */
#define SEED_SECONDS 120

/* Every so many seeds, one is run twice and must leave the same trace. */
#define TWICE_EVERY 8

#define JOBS_MAX 64

struct options {
    const struct net_program *program;
    uint64_t seeds, from, seed, bug; /* bug: number of a deliberate one, from 1; 0: none */
    int jobs;
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
    struct net_counts *reports; /* shared with the children, one per job */
    struct net_counts sum;
    uint64_t next, done, failures, failed_seed;
    bool quiet;
};

/* In a child: its end is the seed's verdict. */
static _Noreturn void run_seed(const struct net_managers *managers, uint64_t seed,
                               struct net_counts *report)
{
    struct net_world *world = calloc(1, sizeof *world);
    alarm(SEED_SECONDS);
    net_run(world, managers, seed, false);
    *report = world->counts;
    if (seed % TWICE_EVERY == 0) {
        uint64_t hash = world->hash;
        net_run(world, managers, seed, false);
        if (world->hash != hash) {
            net_fail(world, "two runs differ: %016" PRIx64 " and %016" PRIx64, hash, world->hash);
        }
    }
    free(world);
    exit(0);
}

static void start_job(struct campaign *campaign, int slot)
{
    struct job *job = &campaign->jobs[slot];
    job->seed = campaign->next++;
    fflush(stdout);
    job->pid = fork();
    if (job->pid == 0) {
        if (campaign->quiet && !freopen("/dev/null", "w", stderr)) {
            exit(2);
        }
        run_seed(campaign->options->program->managers, job->seed, &campaign->reports[slot]);
    }
}

static void add_counts(struct net_counts *sum, const struct net_counts *more)
{
    const uint64_t *from = (const uint64_t *)more;
    uint64_t *to = (uint64_t *)sum;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += from[i];
    }
}

static void end_job(struct campaign *campaign, int slot, int status)
{
    struct job *job = &campaign->jobs[slot];
    campaign->done++;
    if (status == 0) {
        add_counts(&campaign->sum, &campaign->reports[slot]);
    } else if (campaign->failures++ == 0 || job->seed < campaign->failed_seed) {
        campaign->failed_seed = job->seed;
    }
    if (status != 0 && !campaign->quiet) {
        printf("seed %" PRIu64 " failed (status %d); replay: %s --seed %" PRIu64 "\n", job->seed,
               status, campaign->options->program->managers->program, job->seed);
    }
    job->pid = 0;
}

static void reap(struct campaign *campaign)
{
    int status, pid = waitpid(-1, &status, 0);
    for (int i = 0; i < campaign->options->jobs; i++) {
        if (pid > 0 && campaign->jobs[i].pid == pid) {
            end_job(campaign, i, status);
        }
    }
}

/* Runs the seeds, or until one fails. */
static void campaign_run(struct campaign *campaign)
{
    const struct options *options = campaign->options;
    for (;;) {
        int busy = 0;
        for (int i = 0; i < options->jobs; i++) {
            bool more = campaign->next < options->from + options->seeds && campaign->failures == 0;
            if (campaign->jobs[i].pid == 0 && more) {
                start_job(campaign, i);
            }
            busy += campaign->jobs[i].pid != 0;
        }
        if (busy == 0) {
            return;
        }
        reap(campaign);
    }
}

static struct net_counts *reports_map(void)
{
    void *at = mmap(NULL, JOBS_MAX * sizeof(struct net_counts), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return at;
}

static void print_counts(const struct net_counts *c)
{
    printf("packets %" PRIu64 " (lost %" PRIu64 ", doubled %" PRIu64 ", late %" PRIu64
           "); resumes %" PRIu64 ", sessions ended %" PRIu64 ", kills %" PRIu64
           ", manager stopped %" PRIu64 "\n",
           c->packets, c->lost, c->doubled, c->late, c->resumed, c->ended, c->killed, c->gaps);
    printf("puts %" PRIu64 ", gets %" PRIu64 ", streamed %" PRIu64 ", acked %" PRIu64
           ", grants %" PRIu64 "; calls: done %" PRIu64 ", refused %" PRIu64 ", unknown %" PRIu64
           "\n",
           c->puts, c->gets, c->streamed, c->acked, c->grants, c->done, c->refused, c->unknown);
}

static int run_seeds(const struct options *options)
{
    struct campaign campaign = {
        .options = options, .reports = reports_map(), .next = options->from};
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    campaign_run(&campaign);
    clock_gettime(CLOCK_MONOTONIC, &end);
    double seconds =
        (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
    printf("%s: %" PRIu64 " seeds in %.1f s, %" PRIu64 " failed\n", options->program->title,
           campaign.done, seconds, campaign.failures);
    print_counts(&campaign.sum);
    if (options->program->print) {
        options->program->print(&campaign.sum, seconds);
    }
    return campaign.failures > 0;
}

static int replay(const struct options *options)
{
    struct net_world *world = calloc(1, sizeof *world);
    net_run(world, options->program->managers, options->seed, true);
    printf("seed %" PRIu64 ": nothing found, trace %016" PRIx64 "\n", options->seed, world->hash);
    print_counts(&world->counts);
    free(world);
    return 0;
}

/* Runs seeds until one fails; 1: none did. */
static int hunt(const struct options *options, size_t number)
{
    const struct net_bug *bug = &options->program->bugs[number];
    struct campaign campaign = {
        .options = options, .reports = reports_map(), .next = options->from, .quiet = true};
    *bug->place = bug->value;
    campaign_run(&campaign);
    *bug->place = 0;
    munmap(campaign.reports, JOBS_MAX * sizeof(struct net_counts));
    if (campaign.failures > 0) {
        printf("canary %zu caught by seed %" PRIu64 ": %s\n", number + 1, campaign.failed_seed,
               bug->text);
    } else {
        printf("canary %zu MISSED in %" PRIu64 " seeds: %s\n", number + 1, campaign.done,
               bug->text);
    }
    return campaign.failures == 0;
}

static int run_canaries(const struct options *options)
{
    const struct net_program *program = options->program;
    int missed = 0;
    if (program->bugs_count == 0) {
        fprintf(stderr, "this build has no canaries: run %s_canary\n", program->managers->program);
        return 2;
    }
    for (size_t i = 0; i < program->bugs_hunted; i++) {
        missed += hunt(options, i);
    }
    printf("canaries: %d missed\n", missed);
    return missed > 0;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') {
        fprintf(stderr, "'%s' is not a number\n", text);
        exit(2);
    }
    return value;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {{"seeds", required_argument, NULL, 'n'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"canaries", no_argument, NULL, 'c'},
                                          {"bug", required_argument, NULL, 'b'},
                                          {NULL, 0, NULL, 0}};
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'n': o->seeds = number(optarg); break;
        case 'f': o->from = number(optarg); break;
        case 'j': o->jobs = (int)number(optarg); break;
        case 'c': o->canaries = true; break;
        case 'b': o->bug = number(optarg); break;
        case 's':
            o->seed = number(optarg);
            o->replay = true;
            break;
        default: return false;
        }
    }
    return optind == argc && o->jobs > 0 && o->jobs <= JOBS_MAX;
}

int net_main(const struct net_program *program, int argc, char **argv)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct options options = {.program = program, .seeds = 100, .from = 1};
    options.jobs = cores > 0 && cores < JOBS_MAX ? (int)cores : 1;
    if (!parse(argc, argv, &options)) {
        const char *name = program->managers->program;
        fprintf(stderr,
                "usage: %s [--seeds N] [--from SEED] [--jobs N]\n"
                "       %s --seed S [--bug CANARY]\n"
                "       %s --canaries [--seeds N] [--from SEED] [--jobs N]\n",
                name, name, name);
        return 2;
    }
    if (options.canaries) {
        return run_canaries(&options);
    }
    if (options.bug > 0 && options.bug <= program->bugs_count) {
        *program->bugs[options.bug - 1].place = program->bugs[options.bug - 1].value;
    }
    return options.replay ? replay(&options) : run_seeds(&options);
}
