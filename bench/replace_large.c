/* SPDX-License-Identifier: MIT */
/*
 * replace_large - random replacement among some twenty blocks of 5 to 25 MiB.
 *
 *     replace_large [STEPS [BLOCKS]]
 *
 * Pattern: one thread; BLOCKS blocks are live.  A step frees a random one, allocates another of 5 to 25 MiB in its
 * place, and writes to each page of one quarter of it, which begins anywhere.  What of a block's memory is resident
 * from an earlier use is rarely what the next one needs.  A block's stamps are checked before it is freed.
 * "faults_per_block" counts minor page faults.
 * Source: caches of decoded pictures, map tiles and matrices; a program of this project.
 */
#include "bench.h"

#define PAGE 4096

struct block {
    unsigned char *at;
    size_t used, size; /* the quarter that was written */
    unsigned char stamp;
};

static uint64_t random_state = 1414, sum;

static void fill(struct block *block)
{
    size_t size = ((size_t)5 << 20) + bench_below(&random_state, 20 << 20);
    block->at = bench_need(malloc(size));
    block->size = size / 4;
    block->used = bench_below(&random_state, size - block->size);
    block->stamp = (unsigned char)bench_random(&random_state);
    for (size_t i = 0; i < block->size; i += PAGE)
        block->at[block->used + i] = block->stamp;
}

static void empty(struct block *block)
{
    if (block->at == NULL)
        return;
    for (size_t i = 0; i < block->size; i += PAGE)
        if (block->at[block->used + i] != block->stamp)
            bench_die("a block's contents changed");
    sum = sum * 31 + block->stamp + block->size;
    free(block->at);
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[STEPS [BLOCKS]]");
    long steps = bench_arg(argc, argv, 1, "STEPS", 120, 1, INT64_MAX);
    size_t count = (size_t)bench_arg(argc, argv, 2, "BLOCKS", 20, 1, 1000);
    struct block *blocks = bench_need(calloc(count, sizeof *blocks));

    struct bench_span span;
    double before = bench_faults();
    bench_start(&span);
    for (long i = 0; i < steps; i++) {
        struct block *block = &blocks[bench_below(&random_state, count)];
        empty(block);
        fill(block);
    }
    bench_stop(&span);
    bench_metric("faults_per_block", (bench_faults() - before) / (double)steps, "faults", "lower");

    for (size_t i = 0; i < count; i++)
        empty(&blocks[i]);
    free(blocks);
    printf("checksum %llu\n", (unsigned long long)sum);
    bench_report(&span, (double)steps);
    return bench_finish();
}
