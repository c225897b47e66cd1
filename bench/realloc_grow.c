/* SPDX-License-Identifier: MIT */
/*
 * realloc_grow - buffers that grow: strings by a few bytes, vectors by half, files by the page.
 *
 *     realloc_grow [ROUNDS]
 *
 * Pattern: one thread; eight buffers of each kind grow in turn, so that none can simply run on into free space behind
 * it.  Strings: by 1 to 64 bytes up to 16 KiB, the way of a program that appends.  Vectors: by half their size, from
 * 64 bytes to 16 MiB.  Files: by 16 KiB up to 4 MiB, the way of one that reads until the end.  Every addition is
 * written, and its stamp checked when the buffer is full, then the buffers are freed and the next round begins.
 * Prints the time of each kind.
 * Source: the growth patterns of std::string, std::vector and readers of pipes; a program of this project.
 */
#include "bench.h"

#define BUFFERS 8

struct buffer {
    char *at;
    size_t size;
};

enum kind { STRINGS, VECTORS, FILES, KINDS };

static size_t grown(enum kind kind, size_t size, uint64_t *random)
{
    switch (kind) {
    case STRINGS:
        return size + 1 + bench_below(random, 64);
    case VECTORS:
        return size < 64 ? 64 : size + size / 2;
    default:
        return size + (16 << 10);
    }
}

static void grow_all(enum kind kind, size_t limit, uint64_t *random)
{
    struct buffer buffers[BUFFERS] = {{NULL, 0}};
    for (int full = 0; full < BUFFERS;) {
        full = 0;
        for (int b = 0; b < BUFFERS; b++) {
            struct buffer *buffer = &buffers[b];
            if (buffer->size >= limit) {
                full++;
                continue;
            }
            size_t size = grown(kind, buffer->size, random);
            buffer->at = bench_need(realloc(buffer->at, size));
            memset(buffer->at + buffer->size, b + 1, size - buffer->size);
            buffer->size = size;
        }
    }
    for (int b = 0; b < BUFFERS; b++) {
        for (size_t i = 0; i < buffers[b].size; i += 61)
            if (buffers[b].at[i] != b + 1)
                bench_die("realloc lost the contents of a block");
        free(buffers[b].at);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        size_t limit;
        int repeats; /* in a round, so that each kind weighs about the same */
    } kinds[KINDS] = {{"strings", 16 << 10, 20}, {"vectors", 16 << 20, 1}, {"files", 4 << 20, 2}};
    bench_check_usage(argc, argv, 1, "[ROUNDS]");
    long rounds = bench_arg(argc, argv, 1, "ROUNDS", 10, 1, INT64_MAX);

    uint64_t random = 31337;
    double spent[KINDS] = {0};
    struct bench_span span;
    bench_start(&span);
    for (long r = 0; r < rounds; r++)
        for (int kind = 0; kind < KINDS; kind++) {
            double start = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
            for (int i = 0; i < kinds[kind].repeats; i++)
                grow_all((enum kind)kind, kinds[kind].limit, &random);
            spent[kind] += bench_clock(CLOCK_PROCESS_CPUTIME_ID) - start;
        }
    bench_stop(&span);
    for (int kind = 0; kind < KINDS; kind++)
        bench_metric(kinds[kind].name, spent[kind], "s", "lower");
    bench_report(&span, 0);
    return bench_finish();
}
