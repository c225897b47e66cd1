/* SPDX-License-Identifier: MIT */
/*
 * fleet - a heap like those of large servers: many places that allocate, each with sizes and lifetimes of its own.
 *
 *     fleet [OPERATIONS [MEBIBYTES [THREADS [SEED]]]]
 *
 * Pattern: a heap of MEBIBYTES in all is shared out to THREADS threads.  In each, 300 call sites are drawn from SEED.
 * A site's size comes from a mixture: more than half are below 100 bytes, a tail goes up to 1 MiB.  Half of the sites
 * allocate one size only, the others from half to twice of theirs.  How many blocks a site has live and how often it
 * allocates are drawn apart: one site has a million blocks that hardly change, another has three that change all the
 * time.  An operation chooses a site by its rate, frees one of its blocks (the oldest, the youngest, or any, as is the
 * site's habit), and allocates another in its place.  Up to 256 bytes of a block and one byte of each of its pages are
 * written.  Filling the heap is not timed.  "rss_over_live" is resident memory over live bytes at the end.
 * Source: what papers on the heaps of data centres say of sizes, rates and lifetimes; a program of this project.
 */
#include "bench.h"

#define SITES 300
#define PAGE 4096
#define TABLE 65536 /* entries of the table by which a site is chosen */

enum habit { OLDEST, YOUNGEST, ANY, HABITS };

struct block {
    unsigned char *at;
    unsigned size;
};

struct site {
    struct block *blocks;
    size_t count, next, size;
    double rate;
    enum habit habit;
    bool varies;
};

struct worker {
    _Alignas(BENCH_LINE) struct site sites[SITES];
    uint16_t table[TABLE];
    uint64_t random, sum;
    size_t live;
};

/* The mixture: of 100 sites so many have sizes up to the bound, and of 100 live bytes so many are in such sizes. */
static const struct group {
    size_t least, most;
    int sites, bytes;
} groups[] = {
    {8, 99, 55, 25},          {100, 1023, 25, 30},           {1024, 8191, 13, 20},
    {8192, 131071, 5, 15},    {131072, (1 << 20) / 2, 2, 10},
};

static pthread_barrier_t filled, measured;
static long operations;
static size_t bytes_each;

/* From 0 to 1. */
static double fraction(uint64_t *random)
{
    return (double)(bench_random(random) >> 11) * 0x1p-53;
}

/* Weights that differ a thousandfold: few sites have most of what there is. */
static double weight(uint64_t *random)
{
    double drawn = fraction(random);
    return 1 / (0.001 + drawn * drawn);
}

static size_t site_size(const struct site *site, uint64_t *random)
{
    return site->varies ? site->size / 2 + bench_below(random, site->size * 3 / 2) + 1 : site->size;
}

static void fill(struct site *site, struct block *block, struct worker *worker)
{
    size_t size = site_size(site, &worker->random);
    block->at = bench_need(malloc(size));
    block->size = (unsigned)size;
    memset(block->at, (int)size, size < 256 ? size : 256);
    for (size_t at = PAGE; at < size; at += PAGE)
        block->at[at] = (unsigned char)size;
    worker->live += size;
}

static void empty(struct block *block, struct worker *worker)
{
    worker->sum = worker->sum * 31 + block->at[0] + block->size;
    worker->live -= block->size;
    free(block->at);
}

static void draw_sites(struct worker *worker)
{
    double rates = 0;
    int number = 0;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
        double shares[SITES], all = 0;
        int first = number, count = groups[g].sites * SITES / 100;
        for (; number < first + count; number++) {
            struct site *site = &worker->sites[number];
            site->size = groups[g].least + bench_below(&worker->random, groups[g].most - groups[g].least + 1);
            site->habit = (enum habit)bench_below(&worker->random, HABITS);
            site->varies = bench_below(&worker->random, 2) == 0;
            all += shares[number] = weight(&worker->random);
            /* Sixteen times as large means a quarter as often: about the square root. */
            site->rate = weight(&worker->random) / (1 << (31 - __builtin_clz((unsigned)site->size)) / 2);
            rates += site->rate;
        }
        for (int i = first; i < number; i++) {
            struct site *site = &worker->sites[i];
            double bytes = (double)bytes_each * groups[g].bytes / 100 * shares[i] / all;
            site->count = (size_t)(bytes / ((double)site->size * (site->varies ? 1.25 : 1))) + 1;
            site->blocks = bench_need(calloc(site->count, sizeof *site->blocks));
            worker->live += site->count * sizeof *site->blocks;
        }
    }
    size_t entry = 0;
    double sum = 0;
    for (int i = 0; i < number; i++)
        for (sum += worker->sites[i].rate; entry < TABLE && (double)entry * rates < sum * TABLE; entry++)
            worker->table[entry] = (uint16_t)i;
    for (; entry < TABLE; entry++)
        worker->table[entry] = (uint16_t)(number - 1);
}

/* In rounds over all sites, so that their blocks lie in a mixture. */
static void fill_heap(struct worker *worker)
{
    size_t filled_of[SITES] = {0};
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < SITES; i++) {
            struct site *site = &worker->sites[i];
            for (size_t portion = site->count / 64 + 1; portion > 0 && filled_of[i] < site->count; portion--)
                fill(site, &site->blocks[filled_of[i]++], worker);
            more |= filled_of[i] < site->count;
        }
    }
}

static void operate(struct worker *worker)
{
    struct site *site = &worker->sites[worker->table[bench_below(&worker->random, TABLE)]];
    size_t chosen = site->next;
    if (site->habit == OLDEST)
        site->next = chosen + 1 < site->count ? chosen + 1 : 0;
    else if (site->habit == ANY)
        chosen = bench_below(&worker->random, site->count);
    empty(&site->blocks[chosen], worker);
    fill(site, &site->blocks[chosen], worker);
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    draw_sites(worker);
    fill_heap(worker);
    pthread_barrier_wait(&filled);
    for (long i = 0; i < operations; i++)
        operate(worker);
    pthread_barrier_wait(&measured);
    pthread_barrier_wait(&measured);
    for (int i = 0; i < SITES; i++) {
        for (size_t b = 0; b < worker->sites[i].count; b++)
            empty(&worker->sites[i].blocks[b], worker);
        free(worker->sites[i].blocks);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 4, "[OPERATIONS [MEBIBYTES [THREADS [SEED]]]]");
    operations = bench_arg(argc, argv, 1, "OPERATIONS", 4000000, 1, INT64_MAX);
    long mebibytes = bench_arg(argc, argv, 2, "MEBIBYTES", 256, 1, 1 << 20);
    long threads = bench_arg(argc, argv, 3, "THREADS", 1, 1, 1024);
    uint64_t seed = (uint64_t)bench_arg(argc, argv, 4, "SEED", 1, 1, INT32_MAX);
    bytes_each = ((size_t)mebibytes << 20) / (size_t)threads;
    operations = operations / threads + 1;

    struct worker *workers = bench_need(aligned_alloc(BENCH_LINE, (size_t)threads * sizeof *workers));
    memset(workers, 0, (size_t)threads * sizeof *workers);
    pthread_t *all = bench_need(malloc((size_t)threads * sizeof *all));
    pthread_barrier_init(&filled, NULL, (unsigned)threads + 1);
    pthread_barrier_init(&measured, NULL, (unsigned)threads + 1);
    for (long t = 0; t < threads; t++) {
        workers[t].random = seed * 7368787 + (uint64_t)t * 104729;
        all[t] = bench_thread(run, &workers[t]);
    }
    struct bench_span span;
    pthread_barrier_wait(&filled);
    double before = bench_faults();
    bench_start(&span);
    pthread_barrier_wait(&measured);
    bench_stop(&span);
    double faults = bench_faults() - before, live = 0;
    for (long t = 0; t < threads; t++)
        live += (double)workers[t].live;
    bench_metric("rss_over_live", bench_memory("VmRSS:") / live, "ratio", "lower");
    bench_metric("faults_per_1000", faults * 1000 / (double)(operations * threads), "faults", "lower");
    pthread_barrier_wait(&measured);

    uint64_t sum = 0;
    for (long t = 0; t < threads; t++) {
        pthread_join(all[t], NULL);
        sum += workers[t].sum;
    }
    printf("checksum %llu, %.0f bytes live\n", (unsigned long long)sum, live);
    free(all);
    free(workers);
    bench_report(&span, (double)operations * (double)threads);
    return bench_finish();
}
