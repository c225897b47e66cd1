/* SPDX-License-Identifier: MIT */
/*
 * holes - how much memory stays resident when nine blocks of ten are freed at random.
 *
 *     holes [MEBIBYTES [PERCENT]]
 *
 * Pattern: one thread allocates MEBIBYTES of blocks of 16 to 512 bytes, writes all of them, and frees PERCENT % chosen
 * at random, leaving holes that no single page is likely to fall into as a whole.  After a second, "rss_over_live" is
 * the resident memory over the bytes still live (the array of pointers counted on neither side).  Then blocks of the
 * same sizes are allocated until as many bytes are live as at first: "refilled_over_live" is the same ratio, which
 * shows whether the holes were used.  The freeing and the second filling are timed; the first would only show what the
 * kernel takes for fresh pages.
 * Source: fragmentation after a peak, as in the "hole punching" tests of database caches; a program of this project.
 */
#include "bench.h"

struct block {
    char *at;
    unsigned size;
};

static uint64_t random_state = 1618;

static size_t fill(struct block *block)
{
    block->size = (unsigned)(16 + bench_below(&random_state, 497));
    block->at = bench_need(malloc(block->size));
    memset(block->at, 1, block->size);
    return block->size;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[MEBIBYTES [PERCENT]]");
    size_t wanted = (size_t)bench_arg(argc, argv, 1, "MEBIBYTES", 256, 1, 1 << 20) << 20;
    size_t percent = (size_t)bench_arg(argc, argv, 2, "PERCENT", 90, 0, 100);
    size_t most = wanted / 200 + 1000; /* blocks are 264 bytes on average */
    struct block *blocks = bench_need(calloc(most, sizeof *blocks));
    memset(blocks, 0xff, most * sizeof *blocks); /* resident now, so that it cancels out */
    memset(blocks, 0, most * sizeof *blocks);
    double before = bench_memory("VmRSS:");

    size_t live = 0, count = 0;
    while (live < wanted && count < most)
        live += fill(&blocks[count++]);
    struct bench_span span;
    bench_start(&span);
    for (size_t i = 0; i < count; i++)
        if (bench_below(&random_state, 100) < percent) {
            live -= blocks[i].size;
            free(blocks[i].at);
            blocks[i].at = NULL;
        }
    bench_stop(&span);
    double at_once = bench_memory("VmRSS:") - before;
    bench_sleep(1);
    double rested = bench_memory("VmRSS:") - before;
    double left = (double)(live > 0 ? live : 1);
    bench_metric("at_once_over_live", at_once / left, "ratio", "lower");
    bench_metric("rss_over_live", rested / left, "ratio", "lower");

    struct bench_span refill;
    bench_start(&refill);
    for (size_t i = 0; i < count && live < wanted; i++)
        if (blocks[i].at == NULL)
            live += fill(&blocks[i]);
    bench_stop(&refill);
    bench_metric("refilled_over_live", (bench_memory("VmRSS:") - before) / (double)live, "ratio", "lower");
    span.wall += refill.wall;
    span.cpu += refill.cpu;

    for (size_t i = 0; i < count; i++)
        free(blocks[i].at);
    free(blocks);
    bench_report(&span, 0);
    return bench_finish();
}
