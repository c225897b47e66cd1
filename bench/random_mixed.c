/* SPDX-License-Identifier: MIT */
/*
 * random_mixed - toggles random slots between empty and a block of 16 to 1039 bytes.
 *
 *     random_mixed [ITERATIONS [SLOTS [SEED]]]
 *
 * Pattern: one thread; a 32-bit xorshift number picks the slot (r % SLOTS) and the size (16 + (r & 1023)); an empty
 * slot is filled, and its block's first and last byte written; a full one is freed.  Half of the steps allocate.
 * Source: the benchmark of the same name that the original hakmem was tuned with, argument for argument, so that
 * its figures can be compared.  With few slots it is bound by mispredicted branches rather than by the allocator.
 */
#include "bench.h"

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 3, "[ITERATIONS [SLOTS [SEED]]]");
    long iterations = bench_arg(argc, argv, 1, "ITERATIONS", 20000000, 1, INT64_MAX);
    long slot_count = bench_arg(argc, argv, 2, "SLOTS", 400, 1, INT32_MAX);
    uint32_t random = (uint32_t)bench_arg(argc, argv, 3, "SEED", 1, 1, UINT32_MAX);
    unsigned char **slots = bench_need(calloc((size_t)slot_count, sizeof *slots));

    struct bench_span span;
    bench_start(&span);
    for (long i = 0; i < iterations; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        unsigned char **slot = &slots[random % (uint32_t)slot_count];
        if (*slot != NULL) {
            free(*slot);
            *slot = NULL;
        } else {
            size_t size = 16 + (random & 1023);
            unsigned char *block = bench_need(malloc(size));
            block[0] = (unsigned char)random;
            block[size - 1] = (unsigned char)(random >> 8);
            *slot = block;
        }
    }
    bench_stop(&span);

    for (long i = 0; i < slot_count; i++)
        free(slots[i]);
    free(slots);
    printf("Throughput = %.0f ops/s [iterations %ld, slots %ld]\n", (double)iterations / span.wall, iterations,
           slot_count);
    bench_report(&span, (double)iterations);
    return bench_finish();
}
