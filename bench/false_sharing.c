/* SPDX-License-Identifier: MIT */
/*
 * false_sharing - does the allocator put blocks of different threads on one cache line?
 *
 *     false_sharing thrash|scratch [THREADS [ROUNDS [SIZE [WRITES]]]]
 *
 * Pattern, "thrash" (active false sharing): THREADS threads each allocate a block of SIZE bytes, write to all of it
 * WRITES times, and free it, ROUNDS times.  An allocator that deals neighbouring blocks to different threads makes
 * them fight for the cache line.
 * Pattern, "scratch" (passive false sharing): the main thread first allocates one block for each thread, neighbours
 * in all likelihood, and hands them out; each thread frees the one it got and goes on as above.  An allocator that
 * gives a thread the block it freed back, whoever owned it, keeps the sharing alive.
 * Source: cache-thrash and cache-scratch of E. Berger, K. McKinley, R. Blumofe and P. Wilson, "Hoard: A Scalable
 * Memory Allocator for Multithreaded Applications", ASPLOS 2000.
 */
#include "bench.h"

static long rounds, writes;
static size_t size;
static pthread_barrier_t ready;

static void *work(void *handed)
{
    pthread_barrier_wait(&ready);
    free(handed);
    for (long i = 0; i < rounds; i++) {
        volatile char *block = bench_need(malloc(size));
        for (size_t k = 0; k < size; k++)
            block[k] = 0;
        for (long j = 0; j < writes; j++)
            for (size_t k = 0; k < size; k++)
                block[k] = (char)(block[k] + 1);
        free((void *)block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const char *synopsis = "thrash|scratch [THREADS [ROUNDS [SIZE [WRITES]]]]";
    bench_check_usage(argc, argv, 5, synopsis);
    const char *pattern = argc > 1 ? argv[1] : "thrash";
    bool scratch = strcmp(pattern, "scratch") == 0;
    if (!scratch && strcmp(pattern, "thrash") != 0)
        bench_usage(synopsis);
    long threads = bench_arg(argc, argv, 2, "THREADS", 2, 1, 1024);
    rounds = bench_arg(argc, argv, 3, "ROUNDS", 20000, 1, INT64_MAX);
    size = (size_t)bench_arg(argc, argv, 4, "SIZE", 8, 1, 1 << 20);
    writes = bench_arg(argc, argv, 5, "WRITES", 2000, 1, INT64_MAX);

    pthread_t *all = bench_need(malloc((size_t)threads * sizeof *all));
    void **handed = bench_need(calloc((size_t)threads, sizeof *handed));
    for (long t = 0; scratch && t < threads; t++) {
        handed[t] = bench_need(malloc(size));
        memset(handed[t], 0, size);
    }
    pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
    for (long t = 0; t < threads; t++)
        all[t] = bench_thread(work, handed[t]);

    struct bench_span span;
    bench_start(&span);
    pthread_barrier_wait(&ready);
    for (long t = 0; t < threads; t++)
        pthread_join(all[t], NULL);
    bench_stop(&span);

    pthread_barrier_destroy(&ready);
    free(handed);
    free(all);
    bench_report(&span, (double)threads * (double)rounds);
    return bench_finish();
}
