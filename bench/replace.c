/* SPDX-License-Identifier: MIT */
/*
 * replace - replaces random blocks among many live ones.
 *
 *     replace [LIVE [PAIRS]]
 *
 * Pattern: one thread; LIVE blocks of 16 to 255 bytes are allocated (not timed), then shuffled into random order by
 * two replacements per slot, at most 10 million (not timed either), and then a random one is freed and another
 * allocated in its place, PAIRS times.  From some 100 thousand blocks on, what counts is how many cache lines and
 * TLB entries one pair touches.  Only the pairs are timed; the nanoseconds of one are reported.
 * Source: the inner loop of Larson and Krishnan's server (see larson.c), on one thread and with up to ten million
 * blocks instead of a thousand, since the heaps of caches and databases are that large.
 */
#include "bench.h"

static char *new_block(uint64_t bits)
{
    size_t size = 16 + (((bits & 0xffff) * 240) >> 16);
    char *block = bench_need(malloc(size));
    block[0] = (char)bits;
    block[size - 1] = (char)bits;
    return block;
}

static void replace(char **blocks, size_t live, long pairs, uint64_t *random)
{
    for (long i = 0; i < pairs; i++) {
        uint64_t bits = bench_random(random);
        char **slot = &blocks[((bits >> 32) * live) >> 32];
        free(*slot);
        *slot = new_block(bits);
    }
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[LIVE [PAIRS]]");
    size_t live = (size_t)bench_arg(argc, argv, 1, "LIVE", 1000000, 1, INT32_MAX);
    long pairs = bench_arg(argc, argv, 2, "PAIRS", 5000000, 1, INT64_MAX);
    uint64_t random = 88172645463325252;

    char **blocks = bench_need(malloc(live * sizeof *blocks));
    for (size_t i = 0; i < live; i++)
        blocks[i] = new_block(bench_random(&random));
    replace(blocks, live, live < 5000000 ? (long)(2 * live) : 10000000, &random);

    struct bench_span span;
    bench_start(&span);
    replace(blocks, live, pairs, &random);
    bench_stop(&span);

    bench_metric("ns_per_pair", span.cpu * 1e9 / (double)pairs, "ns", "lower");
    for (size_t i = 0; i < live; i++)
        free(blocks[i]);
    free(blocks);
    bench_report(&span, (double)pairs);
    return bench_finish();
}
