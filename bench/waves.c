/* SPDX-License-Identifier: MIT */
/*
 * waves - page faults of a program that fills its memory and empties it, again and again.
 *
 *     waves [MEBIBYTES [WAVES [MILLISECONDS]]]
 *
 * Pattern: one thread allocates MEBIBYTES of blocks of 1 to 200 KiB, writes to each of their pages, frees all of them
 * in random order, sleeps MILLISECONDS, and so on, WAVES times.  An allocator that gives memory back between the waves
 * pays with a page fault for each page that the next one uses; one that never does keeps it all.  "faults_per_wave" is
 * the average over all waves but the first two, and "rss_kept" the share of the resident memory that is still there at
 * the end of a pause, on average.  Only the waves are timed, not the pauses.
 * Source: servers with bursts of requests; a program of this project.
 */
#include "bench.h"

#define WARM_UP 2

static uint64_t random_state = 5772;

static void wave(char **blocks, size_t bytes)
{
    size_t count = 0;
    for (size_t live = 0; live < bytes; count++) {
        size_t size = 1024 + bench_below(&random_state, 199 * 1024);
        blocks[count] = bench_need(malloc(size));
        for (size_t at = 0; at < size; at += 4096)
            blocks[count][at] = 1;
        live += size;
    }
    for (; count > 0; count--) {
        size_t chosen = bench_below(&random_state, count);
        free(blocks[chosen]);
        blocks[chosen] = blocks[count - 1];
    }
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 3, "[MEBIBYTES [WAVES [MILLISECONDS]]]");
    size_t bytes = (size_t)bench_arg(argc, argv, 1, "MEBIBYTES", 256, 1, 1 << 20) << 20;
    long waves = bench_arg(argc, argv, 2, "WAVES", 40, WARM_UP + 1, 1000000);
    long pause = bench_arg(argc, argv, 3, "MILLISECONDS", 100, 0, 3600000);

    char **blocks = bench_need(calloc(bytes / 1024 + 1, sizeof *blocks));
    struct bench_span total = {0};
    double kept = 0;
    double before = 0;
    for (long i = 0; i < waves; i++) {
        if (i == WARM_UP)
            before = bench_faults();
        struct bench_span span;
        bench_start(&span);
        wave(blocks, bytes);
        bench_stop(&span);
        total.wall += span.wall;
        total.cpu += span.cpu;
        bench_sleep((double)pause / 1000);
        kept += bench_memory("VmRSS:");
    }
    double during = bench_faults() - before;
    double peak = bench_memory("VmHWM:");
    free(blocks);
    bench_metric("faults_per_wave", during / (double)(waves - WARM_UP), "faults", "lower");
    bench_metric("rss_kept", kept / (double)waves / peak, "ratio", "lower");
    bench_report(&total, 0);
    return bench_finish();
}
