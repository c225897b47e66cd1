/* SPDX-License-Identifier: MIT */
/*
 * doubling - several large buffers that grow by doubling at once.
 *
 *     doubling [BUFFERS]
 *
 * Pattern: one thread; eight buffers are growing, a random one of them at a time.  A buffer begins with 4 KiB, doubles
 * by realloc until it has 512 KiB to 32 MiB, and is written to its end before each step.  A complete one is checked
 * and freed, and a new one begins in its place, until BUFFERS buffers are complete.  Blocks of 4 KiB, each live for
 * 64 steps, lie between the buffers.  "faults_per_buffer" counts minor page faults.
 * Source: readers of files and streams of unknown length, vectors; a program of this project.
 */
#include "bench.h"

#define GROWING 8
#define FIRST 4096
#define LEAST_LOG 19
#define LOGS 7 /* 2^19 to 2^25 */
#define BETWEEN 64

struct buffer {
    unsigned char *at, stamp;
    size_t size, limit;
};

static uint64_t random_state = 6854, sum;

static void begin(struct buffer *buffer)
{
    buffer->at = bench_need(malloc(FIRST));
    buffer->stamp = (unsigned char)bench_random(&random_state);
    buffer->size = FIRST;
    buffer->limit = (size_t)1 << (LEAST_LOG + bench_below(&random_state, LOGS));
    memset(buffer->at, buffer->stamp, FIRST);
}

static void grow(struct buffer *buffer)
{
    buffer->at = bench_need(realloc(buffer->at, buffer->size * 2));
    memset(buffer->at + buffer->size, buffer->stamp, buffer->size);
    buffer->size *= 2;
}

static void end(struct buffer *buffer)
{
    for (size_t i = 0; i < buffer->size; i += 509)
        if (buffer->at[i] != buffer->stamp)
            bench_die("realloc lost the contents of a block");
    sum = sum * 31 + buffer->size + buffer->stamp;
    free(buffer->at);
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 1, "[BUFFERS]");
    long wanted = bench_arg(argc, argv, 1, "BUFFERS", 40, 1, INT64_MAX);
    struct buffer buffers[GROWING];
    char *between[BETWEEN] = {NULL};

    struct bench_span span;
    double before = bench_faults();
    bench_start(&span);
    for (int b = 0; b < GROWING; b++)
        begin(&buffers[b]);
    for (long complete = 0, step = 0; complete < wanted; step++) {
        struct buffer *buffer = &buffers[bench_below(&random_state, GROWING)];
        if (buffer->size < buffer->limit) {
            grow(buffer);
        } else {
            end(buffer);
            begin(buffer);
            complete++;
        }
        char **block = &between[step % BETWEEN];
        free(*block);
        *block = bench_need(malloc(FIRST));
        **block = 1;
    }
    bench_stop(&span);
    bench_metric("faults_per_buffer", (bench_faults() - before) / (double)wanted, "faults", "lower");

    for (int b = 0; b < GROWING; b++)
        end(&buffers[b]);
    for (int i = 0; i < BETWEEN; i++)
        free(between[i]);
    printf("checksum %llu\n", (unsigned long long)sum);
    bench_report(&span, (double)wanted);
    return bench_finish();
}
