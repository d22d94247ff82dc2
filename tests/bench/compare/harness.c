/* Options of a contestant's program; see harness.h. */
#include "tests/bench/compare/harness.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: %s WORK ADDRESS [--mode M] [--size BYTES] [--seconds S] [--in-flight N] [--batch N]\n"
    "       [--producers N] [--consumers N] [--connections N] [--count N] [--durable]\n"
    "       [--patience S] [--server PID]...\n";

static const struct option options[] = {{"mode", required_argument, NULL, 'm'},
                                        {"size", required_argument, NULL, 's'},
                                        {"seconds", required_argument, NULL, 't'},
                                        {"in-flight", required_argument, NULL, 'f'},
                                        {"batch", required_argument, NULL, 'b'},
                                        {"producers", required_argument, NULL, 'p'},
                                        {"consumers", required_argument, NULL, 'c'},
                                        {"count", required_argument, NULL, 'n'},
                                        {"connections", required_argument, NULL, 'k'},
                                        {"durable", no_argument, NULL, 'd'},
                                        {"server", required_argument, NULL, 'P'},
                                        {"patience", required_argument, NULL, 'w'},
                                        {NULL, 0, NULL, 0}};

static bool option_set(struct job *job, int option, const char *text)
{
    uint64_t number = text != NULL ? strtoull(text, NULL, 10) : 0;
    switch (option) {
    case 'm': job->mode = text; break;
    case 's': job->size = (size_t)number; break;
    case 't': job->seconds = strtod(text, NULL); break;
    case 'f': job->in_flight = (size_t)number; break;
    case 'b': job->batch = (size_t)number; break;
    case 'p': job->producers = (size_t)number; break;
    case 'c': job->consumers = (size_t)number; break;
    case 'k': job->connections = (size_t)number; break;
    case 'n': job->count = number; break;
    case 'w': job->patience = strtod(text, NULL); break;
    case 'd': job->durable = true; break;
    case 'P':
        if (job->servers_count < SERVERS_MAX) {
            job->servers[job->servers_count++] = (pid_t)number;
        }
        break;
    default: return false;
    }
    return true;
}

static bool job_check(struct job *job)
{
    if (strcmp(job->work, "fill") == 0 && job->count == 0) {
        job->count = 1000000;
    }
    if (strcmp(job->work, "fill") != 0) {
        job->count = 0;
    }
    return job->size >= BODY_MIN && job->size <= 1 << 20 && job->batch > 0 && job->seconds > 0 &&
           job->in_flight >= job->batch && job->producers > 0 && job->consumers > 0 &&
           job->producers + job->consumers <= PROCESSES_MAX && job->connections > 0 &&
           job->connections <= 50 * PROCESSES_MAX;
}

int harness_main(int argc, char **argv, const struct peer *peer)
{
    struct run run = {.peer = peer};
    struct job *job = &run.job;
    struct timespec now;
    int option;
    bool good = true;
    *job = (struct job){.mode = "", .size = 100, .seconds = 2, .in_flight = 1024, .batch = 1};
    job->producers = job->consumers = 2;
    job->patience = 20;
    job->connections = 200;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        good = option_set(job, option, optarg) && good;
    }
    if (good && argc - optind == 2) {
        job->work = argv[optind];
        job->address = argv[optind + 1];
        good = job_check(job);
    }
    if (!good || job->work == NULL) {
        fprintf(stderr, usage, argv[0]);
        return 2;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    job->run = (uint32_t)now.tv_nsec ^ (uint32_t)getpid();
    snprintf(job->queue, sizeof job->queue, "compare-%08x", (unsigned)job->run);
    signal(SIGPIPE, SIG_IGN);
    return work_run(&run);
}
