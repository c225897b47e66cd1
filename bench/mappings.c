/* SPDX-License-Identifier: MIT */
/*
 * mappings - very many blocks of 1.1 to 3 MiB of which little is touched.
 *
 *     mappings [BLOCKS [ROUNDS]]
 *
 * Pattern: one thread allocates BLOCKS blocks of 1.1 to 3 MiB and writes one byte to each eighth.  ROUNDS times it
 * frees every second block, in random order, and allocates as many of other sizes in their place.  200k blocks reserve
 * 400 GiB: an allocator with one mapping for each block or each hole runs out of them, as vm.max_map_count is 65530.
 * "faults_per_block" counts minor page faults, and "mappings" is the process's number of mappings at the end.
 * Source: sparse matrices, arenas and stacks of many tasks; a program of this project.
 */
#include "bench.h"

static uint64_t random_state = 2685;

static unsigned char *take(size_t number)
{
    size_t size = 1100 << 10;
    size += bench_below(&random_state, (3 << 20) - size);
    unsigned char *block = bench_need(malloc(size));
    if (number % 8 == 0)
        block[size / 2] = (unsigned char)number;
    return block;
}

/* The lines of /proc/self/maps, or 0 without /proc. */
static double mappings(void)
{
    static char text[65536];
    double lines = 0;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    for (ssize_t length; (length = read(file, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < length; i++)
            lines += text[i] == '\n';
    close(file);
    return lines;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[BLOCKS [ROUNDS]]");
    size_t count = (size_t)bench_arg(argc, argv, 1, "BLOCKS", 12000, 2, 10000000);
    long rounds = bench_arg(argc, argv, 2, "ROUNDS", 1, 0, 1000000);
    unsigned char **blocks = bench_need(calloc(count, sizeof *blocks));
    size_t *order = bench_need(calloc(count / 2, sizeof *order)), taken = count;

    struct bench_span span;
    double before = bench_faults();
    bench_start(&span);
    for (size_t i = 0; i < count; i++)
        blocks[i] = take(i);
    for (long r = 0; r < rounds; r++) {
        for (size_t i = 0; i < count / 2; i++) {
            size_t other = bench_below(&random_state, i + 1);
            order[i] = order[other];
            order[other] = i * 2 + (size_t)(r & 1);
        }
        for (size_t i = 0; i < count / 2; i++)
            free(blocks[order[i]]);
        for (size_t i = 0; i < count / 2; i++)
            blocks[order[i]] = take(order[i]);
        taken += count / 2;
    }
    bench_stop(&span);
    bench_metric("faults_per_block", (bench_faults() - before) / (double)taken, "faults", "lower");
    bench_metric("mappings", mappings(), "mappings", "lower");

    for (size_t i = 0; i < count; i++)
        free(blocks[i]);
    free(order);
    free(blocks);
    printf("checksum %llu\n", (unsigned long long)random_state);
    bench_report(&span, (double)taken);
    return bench_finish();
}
