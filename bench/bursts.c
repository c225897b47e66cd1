/* SPDX-License-Identifier: MIT */
/*
 * bursts - blocks of one size, many at once, all freed again.
 *
 *     bursts [BLOCKS [THREADED]]
 *
 * Pattern: for each size of 16 to 4096 bytes and each length of 25 to 6400 blocks: allocate that many of that size,
 * write to each, free them in the order of allocation, and again, until about BLOCKS blocks have come and gone for the
 * pair.  With THREADED 1 all of it runs in a second thread, since an allocator may be faster in a process that has
 * never had one.  Prints the nanoseconds of one malloc and free for each pair; lengths beyond a cache's capacity show
 * what its overflow costs.
 * Source: malloc-simple and malloc-thread of glibc's benchtests; the longest burst here is longer.
 */
#include "bench.h"

static const int sizes[] = {16, 64, 256, 1024, 4096};
static const int lengths[] = {25, 100, 400, 1600, 6400};
static long blocks;
static struct bench_span total;
static double nanoseconds[sizeof sizes / sizeof *sizes][sizeof lengths / sizeof *lengths];

static double burst(size_t size, int length, char **held)
{
    long rounds = blocks / length + 1;
    struct bench_span span;
    bench_start(&span);
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < length; i++) {
            held[i] = bench_need(malloc(size));
            held[i][0] = (char)i;
        }
        for (int i = 0; i < length; i++)
            free(held[i]);
    }
    bench_stop(&span);
    total.wall += span.wall;
    total.cpu += span.cpu;
    return span.cpu * 1e9 / ((double)rounds * length);
}

static void *all_bursts(void *held)
{
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++)
            nanoseconds[s][l] = burst((size_t)sizes[s], lengths[l], held);
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[BLOCKS [THREADED]]");
    blocks = bench_arg(argc, argv, 1, "BLOCKS", 2000000, 1, INT64_MAX);
    bool threaded = bench_arg(argc, argv, 2, "THREADED", 0, 0, 1);
    static char *held[6400];
    if (threaded)
        pthread_join(bench_thread(all_bursts, held), NULL);
    else
        all_bursts(held);

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            char name[64];
            snprintf(name, sizeof name, "ns_%dB_x%d", sizes[s], lengths[l]);
            bench_metric(name, nanoseconds[s][l], "ns", "lower");
        }
    bench_report(&total, 0);
    return bench_finish();
}
