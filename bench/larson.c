/* SPDX-License-Identifier: MIT */
/*
 * larson - a server whose worker threads come and go while the blocks they allocated stay.
 *
 *     larson [THREADS [GENERATIONS [STEPS [SLOTS]]]]
 *
 * Pattern: each of THREADS chains holds SLOTS blocks of 8 to 1000 bytes.  A thread replaces a random block of its
 * chain STEPS times, then starts its successor, hands it the blocks, and ends; after GENERATIONS threads the chain is
 * over.  Most blocks are therefore freed by another thread than the one that allocated them, often after that one is
 * gone.  The work is fixed and the time measured, where the original fixed the time and counted.
 * Source: P. Larson and M. Krishnan, "Memory Allocation for Long-Running Server Applications", ISMM 1998.
 */
#include "bench.h"

struct chain {
    _Alignas(BENCH_LINE) char **blocks;
    uint64_t random;
    long generations_left;
};

static long steps, slots;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t chain_over = PTHREAD_COND_INITIALIZER;
static long chains_running;

static char *new_block(uint64_t *random)
{
    size_t size = 8 + bench_below(random, 993);
    char *block = bench_need(malloc(size));
    block[0] = 'a';
    block[size - 1] = 'z';
    return block;
}

static void *serve(void *argument)
{
    struct chain *chain = argument;
    char **blocks = chain->blocks;
    uint64_t random = chain->random;
    for (long i = 0; i < steps; i++) {
        char **slot = &blocks[bench_below(&random, (size_t)slots)];
        free(*slot);
        *slot = new_block(&random);
    }
    chain->random = random;

    if (--chain->generations_left > 0) {
        pthread_detach(bench_thread(serve, chain));
        return NULL;
    }
    pthread_mutex_lock(&lock);
    if (--chains_running == 0)
        pthread_cond_signal(&chain_over);
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 4, "[THREADS [GENERATIONS [STEPS [SLOTS]]]]");
    long threads = bench_arg(argc, argv, 1, "THREADS", 2, 1, 4096);
    long generations = bench_arg(argc, argv, 2, "GENERATIONS", 20, 1, 1000000);
    steps = bench_arg(argc, argv, 3, "STEPS", 500000, 1, INT64_MAX);
    slots = bench_arg(argc, argv, 4, "SLOTS", 5000, 1, 100000000);

    struct chain *chains = bench_need(aligned_alloc(BENCH_LINE, (size_t)threads * sizeof *chains));
    for (long t = 0; t < threads; t++) {
        chains[t].random = 4141 + (uint64_t)t * 7919;
        chains[t].generations_left = generations;
        chains[t].blocks = bench_need(malloc((size_t)slots * sizeof *chains[t].blocks));
        for (long i = 0; i < slots; i++)
            chains[t].blocks[i] = new_block(&chains[t].random);
    }
    chains_running = threads;

    struct bench_span span;
    bench_start(&span);
    for (long t = 0; t < threads; t++)
        pthread_detach(bench_thread(serve, &chains[t]));
    pthread_mutex_lock(&lock);
    while (chains_running > 0)
        pthread_cond_wait(&chain_over, &lock);
    pthread_mutex_unlock(&lock);
    bench_stop(&span);

    for (long t = 0; t < threads; t++) {
        for (long i = 0; i < slots; i++)
            free(chains[t].blocks[i]);
        free(chains[t].blocks);
    }
    free(chains);
    bench_report(&span, (double)threads * (double)generations * (double)steps);
    return bench_finish();
}
