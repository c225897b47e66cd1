/* SPDX-License-Identifier: MIT */
/*
 * images - threads that augment images for training, the way of numpy.
 *
 *     images [IMAGES [THREADS]]
 *
 * Pattern: THREADS threads prepare IMAGES images between them.  An image has sides of 200 to 612 pixels and three
 * channels.  As in numpy, each step puts its result into a new array and frees the one before: the decoded bytes are
 * mirrored, cropped, made floats, scaled, shifted, mixed with an array of noise, clipped, and made bytes again.  These
 * arrays take 120 KiB to 4.3 MiB, every byte is written, and at most three are live in a thread.  A slice of the
 * result, of 128 by 128 pixels, stays in the thread's batch until 32 are there.  Each array has a header of 112 bytes,
 * a block of its own.  "faults_per_image" counts minor page faults.
 * Source: data loaders in front of neural networks; a program of this project.
 */
#include "bench.h"

#define CHANNELS 3
#define LEAST_SIDE 200
#define MOST_SIDE 612
#define SLICE 128
#define BATCH 32

struct array {
    size_t rows, columns; /* columns counts the channels too */
    void *data;
    char rest[112 - 2 * sizeof(size_t) - sizeof(void *)]; /* a numpy header's other members */
};

struct worker {
    _Alignas(BENCH_LINE) uint64_t random;
    uint64_t sum;
    long images;
};

static struct array *new_array(size_t rows, size_t columns, size_t item)
{
    struct array *array = bench_need(malloc(sizeof *array));
    array->rows = rows;
    array->columns = columns;
    array->data = bench_need(malloc(rows * columns * item));
    return array;
}

static void free_array(struct array *array)
{
    free(array->data);
    free(array);
}

static struct array *decode(uint64_t *random)
{
    size_t rows = LEAST_SIDE + bench_below(random, MOST_SIDE + 1 - LEAST_SIDE);
    size_t columns = LEAST_SIDE + bench_below(random, MOST_SIDE + 1 - LEAST_SIDE);
    struct array *image = new_array(rows, columns * CHANNELS, 1);
    uint32_t state = (uint32_t)bench_random(random);
    for (size_t i = 0; i < rows * columns * CHANNELS; i++)
        ((uint8_t *)image->data)[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    return image;
}

/* Rows and columns from (top, left) on, bytes, with the rows in reverse if `mirrored`. */
static struct array *slice(struct array *old, size_t top, size_t left, size_t rows, size_t columns, bool mirrored)
{
    struct array *array = new_array(rows, columns, 1);
    for (size_t i = 0; i < rows; i++) {
        size_t row = top + (mirrored ? rows - 1 - i : i);
        memcpy((char *)array->data + i * columns, (char *)old->data + row * old->columns + left, columns);
    }
    return array;
}

static struct array *to_floats(struct array *old)
{
    struct array *array = new_array(old->rows, old->columns, sizeof(float));
    const uint8_t *from = old->data;
    float *to = array->data;
    for (size_t i = 0; i < old->rows * old->columns; i++)
        to[i] = from[i];
    free_array(old);
    return array;
}

/* old * factor + term, in a new array. */
static struct array *linear(struct array *old, float factor, float term)
{
    struct array *array = new_array(old->rows, old->columns, sizeof(float));
    const float *from = old->data;
    float *to = array->data;
    for (size_t i = 0; i < old->rows * old->columns; i++)
        to[i] = from[i] * factor + term;
    free_array(old);
    return array;
}

static struct array *with_noise(struct array *old, uint32_t state)
{
    size_t items = old->rows * old->columns;
    struct array *noise = new_array(old->rows, old->columns, sizeof(float));
    struct array *array = new_array(old->rows, old->columns, sizeof(float));
    const float *from = old->data;
    float *random = noise->data, *to = array->data;
    for (size_t i = 0; i < items; i++)
        random[i] = (float)((state = state * 1664525 + 1013904223) >> 28);
    for (size_t i = 0; i < items; i++)
        to[i] = from[i] + random[i];
    free_array(noise);
    free_array(old);
    return array;
}

static struct array *clipped_bytes(struct array *old)
{
    struct array *array = new_array(old->rows, old->columns, 1);
    const float *from = old->data;
    uint8_t *to = array->data;
    for (size_t i = 0; i < old->rows * old->columns; i++)
        to[i] = (uint8_t)(from[i] < 0 ? 0 : from[i] > 255 ? 255 : from[i]);
    free_array(old);
    return array;
}

static struct array *augment(uint64_t *random)
{
    struct array *image = decode(random);
    struct array *mirrored = slice(image, 0, 0, image->rows, image->columns, true);
    free_array(image);
    size_t rows = mirrored->rows - bench_below(random, 24), columns = mirrored->columns - 3 * bench_below(random, 24);
    size_t top = bench_below(random, mirrored->rows - rows + 1);
    size_t left = bench_below(random, mirrored->columns - columns + 1);
    struct array *array = slice(mirrored, top, left, rows, columns, false);
    free_array(mirrored);

    float contrast = (float)bench_below(random, 64) / 64 + 0.5F, light = (float)bench_below(random, 64) - 32;
    array = linear(to_floats(array), contrast, 0);
    array = linear(array, 1, light);
    array = clipped_bytes(with_noise(array, (uint32_t)bench_random(random)));
    struct array *sample = slice(array, 8, 24, SLICE, SLICE * CHANNELS, false);
    free_array(array);
    return sample;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct array *batch[BATCH];
    uint64_t random = worker->random, sum = 0;
    for (long done = 0; done < worker->images;) {
        int count = 0;
        for (; count < BATCH && done < worker->images; count++, done++)
            batch[count] = augment(&random);
        while (count-- > 0) {
            const uint8_t *bytes = batch[count]->data;
            for (size_t i = 0; i < SLICE * SLICE * CHANNELS; i++)
                sum = sum * 31 + bytes[i];
            free_array(batch[count]);
        }
    }
    worker->sum = sum;
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[IMAGES [THREADS]]");
    long images = bench_arg(argc, argv, 1, "IMAGES", 200, 1, INT32_MAX);
    long threads = bench_arg(argc, argv, 2, "THREADS", 4, 1, 1024);

    struct worker *workers = bench_need(aligned_alloc(BENCH_LINE, (size_t)threads * sizeof *workers));
    pthread_t *all = bench_need(malloc((size_t)threads * sizeof *all));
    for (long t = 0; t < threads; t++)
        workers[t] = (struct worker){.random = 2718 + (uint64_t)t * 104729,
                                     .images = images / threads + (t < images % threads)};
    struct bench_span span;
    double before = bench_faults();
    bench_start(&span);
    for (long t = 0; t < threads; t++)
        all[t] = bench_thread(run, &workers[t]);
    for (long t = 0; t < threads; t++)
        pthread_join(all[t], NULL);
    bench_stop(&span);
    bench_metric("faults_per_image", (bench_faults() - before) / (double)images, "faults", "lower");

    uint64_t sum = 0;
    for (long t = 0; t < threads; t++)
        sum += workers[t].sum;
    printf("checksum %llu\n", (unsigned long long)sum);
    free(all);
    free(workers);
    bench_report(&span, (double)images);
    return bench_finish();
}
