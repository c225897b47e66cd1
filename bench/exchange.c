/* SPDX-License-Identifier: MIT */
/*
 * exchange - many more threads than processors, all passing blocks to each other.
 *
 *     exchange [THREADS [STEPS]]
 *
 * Pattern: THREADS threads share a table of 64 slots for each of them.  A step allocates a block of 16 to 1039 bytes,
 * writes to it, swaps it atomically with what a random slot of the table holds, checks that block's stamp, and frees
 * it: nearly every block is freed by another thread than the one that allocated it, and a thread is often suspended
 * by the scheduler in the middle of an allocator's critical section.  Every 64th step passes a block of 8 KiB more.
 * Source: the transfer table of mimalloc's stress test (D. Leijen), reduced to its exchange; a program of this project.
 */
#include "bench.h"

#define SLOTS_PER_THREAD 64

static size_t slot_count;
static long steps;
static _Atomic(unsigned char *) *table;
static pthread_barrier_t ready;

static unsigned char stamp(size_t size)
{
    return (unsigned char)(size * 31 + 7);
}

static void *run(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument * 0x9E3779B97F4A7C15u | 1;
    pthread_barrier_wait(&ready);
    for (long i = 0; i < steps; i++) {
        size_t size = 16 + bench_below(&random, 1024) + (i % 64 == 0 ? 8192 : 0);
        unsigned char *block = bench_need(malloc(size));
        memcpy(block, &size, sizeof size);
        block[size - 1] = stamp(size);
        block = atomic_exchange(&table[bench_below(&random, slot_count)], block);
        if (block == NULL)
            continue;
        memcpy(&size, block, sizeof size);
        if (size < 16 || size > 10000 || block[size - 1] != stamp(size))
            bench_die("a block was overwritten");
        free(block);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[THREADS [STEPS]]");
    long threads = bench_arg(argc, argv, 1, "THREADS", 64, 1, 4096);
    steps = bench_arg(argc, argv, 2, "STEPS", 200000, 1, INT64_MAX);
    slot_count = (size_t)threads * SLOTS_PER_THREAD;
    table = bench_need(calloc(slot_count, sizeof *table));
    pthread_t *all = bench_need(malloc((size_t)threads * sizeof *all));
    pthread_barrier_init(&ready, NULL, (unsigned)threads + 1);
    for (long t = 0; t < threads; t++)
        all[t] = bench_thread(run, (void *)(uintptr_t)(t + 1));

    struct bench_span span;
    bench_start(&span);
    pthread_barrier_wait(&ready);
    for (long t = 0; t < threads; t++)
        pthread_join(all[t], NULL);
    bench_stop(&span);

    for (size_t i = 0; i < slot_count; i++)
        free(table[i]);
    free((void *)table);
    free(all);
    pthread_barrier_destroy(&ready);
    bench_report(&span, (double)threads * (double)steps);
    return bench_finish();
}
