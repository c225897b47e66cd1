/* SPDX-License-Identifier: MIT */
/*
 * xmalloc_test - every block is allocated by one thread and freed by another.
 *
 *     xmalloc_test [PAIRS [BLOCKS]]
 *
 * Pattern: PAIRS producers fill batches of 4096 blocks of 8 to 512 bytes and put them on a shared bounded list; as
 * many consumers take the batches off and free what is in them, then the batch itself.  BLOCKS blocks make the trip,
 * in all.  An allocator that gives a freed block to the thread that freed it grows without bound or moves blocks in
 * bulk; one that returns it to its owner pays for the crossing.
 * Source: C. Lever and D. Boreham, "malloc() Performance in a Multithreaded Linux Environment", USENIX 2000
 * (malloc-test), in the form known as xmalloc-test.
 */
#include "bench.h"

#define BATCH 4096

struct batch {
    struct batch *next;
    char *blocks[BATCH];
};

static const unsigned short sizes[] = {8,   12,  16,  24,  32,  40,  48,  64,  80,  96,
                                       112, 128, 160, 192, 224, 256, 320, 384, 448, 512};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER, not_full = PTHREAD_COND_INITIALIZER;
static struct batch *list;
static long listed, list_bound;
static long batches_to_make, batches_to_take;

static void *produce(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument * 2654435761u + 1;
    for (;;) {
        pthread_mutex_lock(&lock);
        bool more = batches_to_make-- > 0;
        pthread_mutex_unlock(&lock);
        if (!more)
            return NULL;

        struct batch *batch = bench_need(malloc(sizeof *batch));
        for (int i = 0; i < BATCH; i++) {
            size_t size = sizes[bench_below(&random, sizeof sizes / sizeof *sizes)];
            batch->blocks[i] = bench_need(malloc(size));
            batch->blocks[i][0] = (char)i;
            batch->blocks[i][size - 1] = (char)i;
        }

        pthread_mutex_lock(&lock);
        while (listed >= list_bound)
            pthread_cond_wait(&not_full, &lock);
        batch->next = list;
        list = batch;
        listed++;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&lock);
    }
}

static void *consume(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&lock);
        if (batches_to_take-- <= 0) {
            pthread_mutex_unlock(&lock);
            return NULL;
        }
        while (list == NULL)
            pthread_cond_wait(&not_empty, &lock);
        struct batch *batch = list;
        list = batch->next;
        listed--;
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&lock);

        for (int i = 0; i < BATCH; i++)
            free(batch->blocks[i]);
        free(batch);
    }
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[PAIRS [BLOCKS]]");
    long pairs = bench_arg(argc, argv, 1, "PAIRS", 2, 1, 1024);
    long blocks = bench_arg(argc, argv, 2, "BLOCKS", 40000000, BATCH, INT64_MAX);
    batches_to_make = batches_to_take = blocks / BATCH;
    list_bound = 2 * pairs;

    pthread_t *threads = bench_need(malloc(2 * (size_t)pairs * sizeof *threads));
    struct bench_span span;
    bench_start(&span);
    for (long t = 0; t < pairs; t++) {
        threads[2 * t] = bench_thread(produce, (void *)(uintptr_t)(t + 1));
        threads[2 * t + 1] = bench_thread(consume, NULL);
    }
    for (long t = 0; t < 2 * pairs; t++)
        pthread_join(threads[t], NULL);
    bench_stop(&span);

    free(threads);
    bench_report(&span, (double)(blocks / BATCH) * BATCH);
    return bench_finish();
}
