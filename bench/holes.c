/* SPDX-License-Identifier: MIT */
/*
 * holes - how much memory stays resident when nine blocks of ten are freed at random.
 *
 *     holes [MEBIBYTES [PERCENT]]
 *
 * Pattern: one thread allocates MEBIBYTES of blocks of 16 to 512 bytes, writes all of them, and frees PERCENT % chosen
 * at random, leaving holes that no single page is likely to fall into as a whole.  Then blocks of the same sizes are
 * allocated until as many bytes are live as at first: "refilled_over_live" is the resident memory over the bytes live
 * (the array of pointers counted on neither side), which shows whether the holes were used.  These two are what is
 * timed; the first filling would only show what the kernel takes for fresh pages.
 * Holes are made once more, and three seconds later "rss_over_live" is the same ratio.  What an allocator gave back to
 * the kernel by then it has to ask for again: "ns_rested" is the time for one block when the holes are filled after the
 * rest, and "ns_at_once" what it was before.
 * Source: fragmentation after a peak, as in the "hole punching" tests of database caches; a program of this project.
 */
#include "bench.h"

#define REST 3 /* seconds */

struct block {
    char *at;
    unsigned size;
};

static uint64_t random_state = 1618;
static struct block *blocks;
static size_t count, live, percent;

static size_t fill(struct block *block)
{
    block->size = (unsigned)(16 + bench_below(&random_state, 497));
    block->at = bench_need(malloc(block->size));
    memset(block->at, 1, block->size);
    return block->size;
}

static void punch(void)
{
    for (size_t i = 0; i < count; i++)
        if (bench_below(&random_state, 100) < percent) {
            live -= blocks[i].size;
            free(blocks[i].at);
            blocks[i].at = NULL;
        }
}

/* Returns how many blocks it took. */
static size_t refill(size_t wanted)
{
    size_t taken = 0;
    for (size_t i = 0; i < count && live < wanted; i++)
        if (blocks[i].at == NULL) {
            live += fill(&blocks[i]);
            taken++;
        }
    return taken;
}

static double per_block(const struct bench_span *span, size_t taken)
{
    return span->cpu * 1e9 / (double)(taken > 0 ? taken : 1);
}

static double over_live(double before)
{
    return (bench_memory("VmRSS:") - before) / (double)(live > 0 ? live : 1);
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[MEBIBYTES [PERCENT]]");
    size_t wanted = (size_t)bench_arg(argc, argv, 1, "MEBIBYTES", 256, 1, 1 << 20) << 20;
    percent = (size_t)bench_arg(argc, argv, 2, "PERCENT", 90, 0, 100);
    size_t most = wanted / 200 + 1000; /* blocks are 264 bytes on average */
    blocks = bench_need(calloc(most, sizeof *blocks));
    memset(blocks, 0xff, most * sizeof *blocks); /* resident now, so that it cancels out */
    memset(blocks, 0, most * sizeof *blocks);
    double before = bench_memory("VmRSS:");
    while (live < wanted && count < most)
        live += fill(&blocks[count++]);

    struct bench_span span, at_once, rested;
    bench_start(&span);
    punch();
    bench_stop(&span);
    bench_start(&at_once);
    size_t taken = refill(wanted);
    bench_stop(&at_once);
    bench_metric("refilled_over_live", over_live(before), "ratio", "lower");
    bench_metric("ns_at_once", per_block(&at_once, taken), "ns", "lower");
    span.wall += at_once.wall;
    span.cpu += at_once.cpu;

    punch();
    bench_sleep(REST);
    bench_metric("rss_over_live", over_live(before), "ratio", "lower");
    bench_start(&rested);
    taken = refill(wanted);
    bench_stop(&rested);
    bench_metric("ns_rested", per_block(&rested, taken), "ns", "lower");

    for (size_t i = 0; i < count; i++)
        free(blocks[i].at);
    free(blocks);
    bench_report(&span, 0);
    return bench_finish();
}
