/* SPDX-License-Identifier: MIT */
/*
 * perclass - what one malloc and free cost, size by size.
 *
 *     perclass small|large [PAIRS [WINDOW]]
 *
 * Pattern: one thread; for each size, WINDOW blocks are live and a random one is freed and another allocated in its
 * place, PAIRS times: a fifth of them in each of five passes over all sizes, the fastest of which counts.  "small" goes
 * from 16 bytes to 32 KiB, four sizes to a doubling, and touches no block, so that what shows is the allocator and not
 * the cache; an allocator that keeps its lists inside free blocks still pays for that.  "large" goes from 64 KiB to
 * 8 MiB, two sizes to a doubling, and writes the first and the last byte of each block, so that one that asks the
 * kernel for fresh pages each time pays.
 * Prints each size; "flatness" is the dearest size over the cheapest among those up to 2 KiB.
 * Source: a program of this project; malloc-simple of glibc's benchtests also varies one size at a time.
 */
#include "bench.h"

#define PASSES 5
#define WINDOW_MOST 4096
#define SIZES_MOST 64

static unsigned short order[8192]; /* which of the live blocks to replace next; drawn beforehand */

static double time_pairs(size_t size, long pairs, int window, bool touch)
{
    static char *live[WINDOW_MOST];
    for (int i = 0; i < window; i++)
        live[i] = bench_need(malloc(size));
    double start = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 0; i < pairs; i++) {
        char **slot = &live[order[i & 8191]];
        free(*slot);
        *slot = bench_need(malloc(size));
        if (touch)
            (*slot)[0] = (*slot)[size - 1] = 1;
    }
    double spent = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
    for (int i = 0; i < window; i++)
        free(live[i]);
    return spent * 1e9 / (double)pairs;
}

/* The size after this one: `steps` of them to a doubling, never less than 16 bytes apart. */
static size_t next_size(size_t size, size_t steps)
{
    size_t power = (size_t)1 << (63 - __builtin_clzll(size));
    size_t step = power / steps;
    return size + (step < 16 ? 16 : step);
}

int main(int argc, char **argv)
{
    const char *synopsis = "small|large [PAIRS [WINDOW]]";
    bench_check_usage(argc, argv, 3, synopsis);
    const char *range = argc > 1 ? argv[1] : "small";
    bool large = strcmp(range, "large") == 0;
    if (!large && strcmp(range, "small") != 0)
        bench_usage(synopsis);
    long pairs = bench_arg(argc, argv, 2, "PAIRS", large ? 50000 : 1000000, PASSES, INT64_MAX) / PASSES;
    int window = (int)bench_arg(argc, argv, 3, "WINDOW", large ? 8 : 64, 1, WINDOW_MOST);

    size_t sizes[SIZES_MOST];
    double best[SIZES_MOST];
    int count = 0;
    size_t last = large ? (size_t)8 << 20 : (size_t)32 << 10;
    for (size_t size = large ? (size_t)64 << 10 : 16; size <= last; size = next_size(size, large ? 2 : 4)) {
        best[count] = 1e18;
        sizes[count++] = size;
    }
    uint64_t random = 99991;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        order[i] = (unsigned short)bench_below(&random, (size_t)window);

    struct bench_span span;
    bench_start(&span);
    for (int pass = 0; pass < PASSES; pass++)
        for (int i = 0; i < count; i++) {
            double cost = time_pairs(sizes[i], pairs, window, large);
            best[i] = cost < best[i] ? cost : best[i];
        }
    bench_stop(&span);

    double sum = 0, cheapest = 1e18, dearest = 0;
    for (int i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "ns_%zuB", sizes[i]);
        bench_metric(name, best[i], "ns", "lower");
        sum += best[i];
        if (sizes[i] <= 2048) {
            cheapest = best[i] < cheapest ? best[i] : cheapest;
            dearest = best[i] > dearest ? best[i] : dearest;
        }
    }
    bench_metric("ns_mean", sum / count, "ns", "lower");
    if (!large)
        bench_metric("flatness", dearest / cheapest, "ratio", "lower");
    bench_report(&span, (double)count * PASSES * (double)pairs);
    return bench_finish();
}
