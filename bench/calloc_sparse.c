/* SPDX-License-Identifier: MIT */
/*
 * calloc_sparse - large zeroed arrays of which little is used.
 *
 *     calloc_sparse [ARRAYS]
 *
 * Pattern: one thread; 8 arrays of 1 to 32 MiB are live, a random one is freed and a new one of another size got from
 * calloc in its place.  One byte in each 64 KiB is checked to be zero and then set, as in a hash table or a bitmap that
 * stays nearly empty.  An allocator that clears what the kernel has just cleared touches, and keeps resident, sixteen
 * times as many pages as the program uses.
 * Source: the sparse arrays and oversized hash tables of numeric programs; a program of this project.
 */
#include "bench.h"

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 1, "[ARRAYS]");
    long arrays = bench_arg(argc, argv, 1, "ARRAYS", 500, 1, INT64_MAX);
    char *live[8] = {NULL};
    uint64_t random = 65537;

    struct bench_span span;
    bench_start(&span);
    for (long i = 0; i < arrays; i++) {
        char **slot = &live[bench_below(&random, 8)];
        free(*slot);
        size_t size = ((size_t)1 << 20) + bench_below(&random, 31 << 20);
        *slot = bench_need(calloc(size / 8, 8));
        for (size_t at = bench_below(&random, 65536); at < size / 8 * 8; at += 65536) {
            if ((*slot)[at] != 0)
                bench_die("calloc returned memory that is not zero");
            (*slot)[at] = 1;
        }
    }
    bench_stop(&span);

    for (int i = 0; i < 8; i++)
        free(live[i]);
    bench_report(&span, (double)arrays);
    return bench_finish();
}
