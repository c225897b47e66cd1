/* SPDX-License-Identifier: MIT */
/*
 * idle_return - does memory go back to the kernel when the threads that own it are asleep?
 *
 *     idle_return [MEBIBYTES [OWNERS [SECONDS]]]
 *
 * Pattern: OWNERS threads allocate MEBIBYTES of blocks of 64 to 576 bytes between them, write all of them, and go to
 * sleep.  Another thread frees every block, which is timed, and sleeps too.  "rss_idle" is what is resident SECONDS
 * later, while nobody has called the allocator, and "rss_kept" its share of the memory that was resident before the
 * blocks were freed.
 * Source: the complaint that recurs in the trackers of mimalloc (#333, #1117, #1364), jemalloc (#2867) and gperftools
 * (#1132, #1634); a program of this project.
 */
#include "bench.h"

#define BLOCK_AVERAGE 320

struct owner {
    _Alignas(BENCH_LINE) char **blocks;
    size_t count;
    uint64_t random;
};

static pthread_barrier_t filled, leave;

static void *own(void *argument)
{
    struct owner *owner = argument;
    for (size_t i = 0; i < owner->count; i++) {
        size_t size = 64 + bench_below(&owner->random, 513);
        owner->blocks[i] = bench_need(malloc(size));
        memset(owner->blocks[i], 1, size);
    }
    pthread_barrier_wait(&filled);
    pthread_barrier_wait(&leave);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 3, "[MEBIBYTES [OWNERS [SECONDS]]]");
    size_t bytes = (size_t)bench_arg(argc, argv, 1, "MEBIBYTES", 1024, 1, 1 << 20) << 20;
    long owners = bench_arg(argc, argv, 2, "OWNERS", 4, 1, 1024);
    long seconds = bench_arg(argc, argv, 3, "SECONDS", 3, 0, 3600);

    struct owner *all = bench_need(aligned_alloc(BENCH_LINE, (size_t)owners * sizeof *all));
    pthread_t *threads = bench_need(malloc((size_t)owners * sizeof *threads));
    pthread_barrier_init(&filled, NULL, (unsigned)owners + 1);
    pthread_barrier_init(&leave, NULL, (unsigned)owners + 1);
    for (long t = 0; t < owners; t++) {
        size_t count = bytes / BLOCK_AVERAGE / (size_t)owners;
        all[t] = (struct owner){.count = count, .random = 141421 + (uint64_t)t};
        all[t].blocks = bench_need(malloc(count * sizeof *all[t].blocks));
        threads[t] = bench_thread(own, &all[t]);
    }
    pthread_barrier_wait(&filled);
    double full = bench_memory("VmRSS:");
    struct bench_span span;
    bench_start(&span);
    for (long t = 0; t < owners; t++) {
        for (size_t i = 0; i < all[t].count; i++)
            free(all[t].blocks[i]);
        free(all[t].blocks);
    }
    bench_stop(&span);
    bench_sleep((double)seconds);
    double idle = bench_memory("VmRSS:");
    pthread_barrier_wait(&leave);
    for (long t = 0; t < owners; t++)
        pthread_join(threads[t], NULL);

    free(threads);
    free(all);
    pthread_barrier_destroy(&filled);
    pthread_barrier_destroy(&leave);
    bench_metric("rss_full", full, "B", "lower");
    bench_metric("rss_idle", idle, "B", "lower");
    bench_metric("rss_kept", idle / full, "ratio", "lower");
    bench_report(&span, 0);
    return bench_finish();
}
