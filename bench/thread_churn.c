/* SPDX-License-Identifier: MIT */
/*
 * thread_churn - short threads, one generation after another.
 *
 *     thread_churn [THREADS [BLOCKS]]
 *
 * Pattern: THREADS threads, eight at a time, each allocate BLOCKS blocks of 16 to 1039 bytes, free a random half, and
 * leave the rest to the main thread, which frees them after the next eight have been started.  What counts is what a
 * thread's first allocation and its exit cost, and whether its blocks and caches are lost with it: "growth" is the
 * resident memory at the end less that after a tenth of the threads.
 * Source: servers with a thread per request; compare the thread tests of jemalloc and mimalloc; a program of this
 * project.
 */
#include "bench.h"

#define ABREAST 8

struct job {
    _Alignas(BENCH_LINE) uint64_t random;
    char **blocks;
};

static long block_count;

static void *run(void *argument)
{
    struct job *job = argument;
    for (long i = 0; i < block_count; i++) {
        size_t size = 16 + bench_below(&job->random, 1024);
        job->blocks[i] = bench_need(malloc(size));
        job->blocks[i][0] = job->blocks[i][size - 1] = 1;
    }
    for (long i = 0; i < block_count; i++)
        if ((bench_random(&job->random) >> 63) != 0) {
            free(job->blocks[i]);
            job->blocks[i] = NULL;
        }
    return NULL;
}

static void start(struct job *jobs, pthread_t *threads)
{
    for (int t = 0; t < ABREAST; t++)
        threads[t] = bench_thread(run, &jobs[t]);
}

static void free_left(struct job *jobs)
{
    for (int t = 0; t < ABREAST; t++)
        for (long i = 0; i < block_count; i++) {
            free(jobs[t].blocks[i]);
            jobs[t].blocks[i] = NULL;
        }
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[THREADS [BLOCKS]]");
    long generations = bench_arg(argc, argv, 1, "THREADS", 20000, ABREAST, INT64_MAX) / ABREAST;
    block_count = bench_arg(argc, argv, 2, "BLOCKS", 200, 1, 10000000);

    static struct job jobs[2][ABREAST];
    for (int t = 0; t < 2 * ABREAST; t++) {
        struct job *job = &jobs[t / ABREAST][t % ABREAST];
        job->random = 271828 + (uint64_t)t;
        job->blocks = bench_need(calloc((size_t)block_count, sizeof *job->blocks));
    }

    double early = 0;
    pthread_t threads[ABREAST];
    struct bench_span span;
    bench_start(&span);
    for (long g = 0; g < generations; g++) {
        struct job *now = jobs[g & 1], *before = jobs[(g & 1) ^ 1];
        start(now, threads);
        free_left(before);
        for (int t = 0; t < ABREAST; t++)
            pthread_join(threads[t], NULL);
        if (g == generations / 10)
            early = bench_memory("VmRSS:");
    }
    bench_stop(&span);
    double late = bench_memory("VmRSS:");

    for (int half = 0; half < 2; half++) {
        free_left(jobs[half]);
        for (int t = 0; t < ABREAST; t++)
            free(jobs[half][t].blocks);
    }
    bench_metric("growth", late > early ? late - early : 0, "B", "lower");
    bench_metric("us_per_thread", span.wall * 1e6 / (double)(generations * ABREAST), "us", "lower");
    bench_report(&span, (double)(generations * ABREAST));
    return bench_finish();
}
