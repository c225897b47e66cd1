/* SPDX-License-Identifier: MIT */
/*
 * pareto - random sizes and random lifetimes, both following the 80/20 law.
 *
 *     pareto [STEPS [SLOTS [THREADS]]]
 *
 * Pattern: each thread has SLOTS slots.  A step picks one by the 80/20 law applied six times over (few slots change
 * all the time, most hold their block for long); an empty slot is filled with a block whose size is a power of two by
 * the law of halves (8 bytes half of the time, up to 32 KiB rarely), less a random part of it; a full one is read and
 * freed.  All of a block is written.  The mix of sizes defeats caches of one size that are filled by the batch.
 * Source: alloc-test of 'No Bugs' Hare and D. Ignatchenko, "Testing Memory Allocators", ithare.com, 2018.
 */
#include "bench.h"

static long steps, slot_count;

struct slot {
    unsigned char *block;
    size_t size;
};

/* Narrows [0, slot_count) six times: with 80 % to its first fifth, else to the rest. */
static size_t pareto_index(uint64_t *random)
{
    size_t low = 0, length = (size_t)slot_count;
    uint64_t bits = bench_random(random);
    for (int i = 0; i < 6 && length >= 5; i++, bits >>= 8) {
        size_t fifth = length / 5;
        if ((bits & 255) < 205) {
            length = fifth;
        } else {
            low += fifth;
            length -= fifth;
        }
    }
    return low + bench_below(random, length);
}

static size_t halving_size(uint64_t *random)
{
    uint64_t bits = bench_random(random);
    int exponent = 3 + __builtin_ctzll(bits | (1 << 12));
    size_t most = (size_t)1 << exponent;
    return most - (size_t)(bits >> 32) % (most / 2);
}

struct work {
    _Alignas(BENCH_LINE) uint64_t random;
    uint64_t sum;
};

static void *run(void *argument)
{
    struct work *work = argument;
    uint64_t random = work->random, sum = 0;
    /* Written as a whole: pages that are read before they are written cost two faults each, the second of which
     * interrupts the other threads' processors, and that is no part of the pattern. */
    struct slot *slots = bench_need(malloc((size_t)slot_count * sizeof *slots));
    memset(slots, 0, (size_t)slot_count * sizeof *slots);
    for (long i = 0; i < steps; i++) {
        struct slot *slot = &slots[pareto_index(&random)];
        if (slot->block != NULL) {
            sum += slot->block[0] + slot->block[slot->size - 1];
            free(slot->block);
            slot->block = NULL;
        } else {
            slot->size = halving_size(&random);
            slot->block = bench_need(malloc(slot->size));
            memset(slot->block, (int)slot->size, slot->size);
        }
    }
    for (long i = 0; i < slot_count; i++)
        free(slots[i].block);
    free(slots);
    work->sum = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 3, "[STEPS [SLOTS [THREADS]]]");
    steps = bench_arg(argc, argv, 1, "STEPS", 20000000, 1, INT64_MAX);
    slot_count = bench_arg(argc, argv, 2, "SLOTS", 200000, 5, INT32_MAX);
    long threads = bench_arg(argc, argv, 3, "THREADS", 1, 1, 1024);

    struct work *work = bench_need(aligned_alloc(BENCH_LINE, (size_t)threads * sizeof *work));
    pthread_t *all = bench_need(malloc((size_t)threads * sizeof *all));
    for (long t = 0; t < threads; t++)
        work[t] = (struct work){.random = 20171 + (uint64_t)t * 104729};
    struct bench_span span;
    bench_start(&span);
    for (long t = 1; t < threads; t++)
        all[t] = bench_thread(run, &work[t]);
    run(&work[0]);
    for (long t = 1; t < threads; t++)
        pthread_join(all[t], NULL);
    bench_stop(&span);

    uint64_t sum = 0;
    for (long t = 0; t < threads; t++)
        sum += work[t].sum;
    printf("checksum %llu\n", (unsigned long long)sum);
    free(all);
    free(work);
    bench_report(&span, (double)threads * (double)steps);
    return bench_finish();
}
