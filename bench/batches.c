/* SPDX-License-Identifier: MIT */
/*
 * batches - stacks and queues of blocks.
 *
 *     batches lifo|fifo [BLOCKS [DEPTH]]
 *
 * Pattern "lifo": a stack of blocks grows and shrinks by random runs of up to DEPTH / 4 blocks, as in a recursive
 * program; the block freed is always the youngest.  Pattern "fifo": a ring of DEPTH blocks; the oldest is freed, a new
 * one takes its place, as in a queue of messages; the memory in use moves on all the time.  Sizes are 16 to 512 bytes,
 * small ones more often; BLOCKS blocks come and go in all.
 * Source: the two orders of freeing that P. Wilson, M. Johnstone, M. Neely and D. Boles, "Dynamic Storage Allocation: A
 * Survey and Critical Review", 1995, set apart from random order; a program of this project.
 */
#include "bench.h"

static uint64_t random_state = 4711;

static char *new_block(void)
{
    size_t size = 16 + bench_below(&random_state, 1 + bench_below(&random_state, 497));
    char *block = bench_need(malloc(size));
    block[0] = 1;
    block[size - 1] = 2;
    return block;
}

static void lifo(char **held, size_t depth, long blocks)
{
    size_t height = 0;
    while (blocks > 0) {
        size_t run = 1 + bench_below(&random_state, depth / 4);
        bool grow = (bench_random(&random_state) >> 63) != 0;
        if (grow) {
            for (; run > 0 && height < depth && blocks > 0; run--, blocks--)
                held[height++] = new_block();
        } else {
            for (; run > 0 && height > 0; run--)
                free(held[--height]);
        }
    }
    while (height > 0)
        free(held[--height]);
}

static void fifo(char **held, size_t depth, long blocks)
{
    for (size_t i = 0; i < depth; i++)
        held[i] = NULL;
    for (size_t at = 0; blocks > 0; blocks--) {
        free(held[at]);
        held[at] = new_block();
        at = at + 1 < depth ? at + 1 : 0;
    }
    for (size_t i = 0; i < depth; i++)
        free(held[i]);
}

int main(int argc, char **argv)
{
    const char *synopsis = "lifo|fifo [BLOCKS [DEPTH]]";
    bench_check_usage(argc, argv, 3, synopsis);
    const char *order = argc > 1 ? argv[1] : "lifo";
    bool queue = strcmp(order, "fifo") == 0;
    if (!queue && strcmp(order, "lifo") != 0)
        bench_usage(synopsis);
    long blocks = bench_arg(argc, argv, 2, "BLOCKS", 30000000, 1, INT64_MAX);
    size_t depth = (size_t)bench_arg(argc, argv, 3, "DEPTH", 10000, 4, INT32_MAX);
    char **held = bench_need(malloc(depth * sizeof *held));

    struct bench_span span;
    bench_start(&span);
    (queue ? fifo : lifo)(held, depth, blocks);
    bench_stop(&span);

    free(held);
    bench_report(&span, (double)blocks);
    return bench_finish();
}
