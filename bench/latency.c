/* SPDX-License-Identifier: MIT */
/*
 * latency - how long the slowest single calls of malloc and free take.
 *
 *     latency [CALLS [LIVE]]
 *
 * Pattern: one thread; LIVE long-lived blocks of a server's mix of sizes (70 % up to 128 bytes, 20 % up to 1 KiB, 8.5 %
 * up to 8 KiB, 1.4 % up to 64 KiB, 0.1 % up to 512 KiB).  Seven steps of ten are a request's: they allocate a block
 * and free the one allocated 64 requests before; the other three replace a random long-lived block.  Every call is
 * timed by itself with the time stamp counter (or the clock), the cost of reading it subtracted.
 * Prints the percentiles over all calls, and "quiet" ones over the calls during which the thread neither took a page
 * fault nor was switched off its processor.  That is found by comparing getrusage before and after, which itself is
 * done only around calls, or work of the program between calls, that took longer than a page fault could.  "noise" is
 * the slowest of as many empty measurements: no "quiet_max" below it means anything, on a virtual machine above all.
 * Source: the tail-at-scale view of J. Dean and L. Barroso, CACM 2013, applied to single calls; a program of this
 * project.
 */
#include "bench.h"

#include <sys/resource.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#define FAULT_NS 250 /* no page fault and no context switch is faster */
#define RING 64
#define SUB 32 /* histogram buckets for each power of two: 3 % of resolution */

struct histogram {
    uint64_t count[64 * SUB];
    uint64_t total, slowest, above_ms;
};

static struct histogram all_calls, quiet_calls, noise;
static double ticks_per_ns = 1;
static uint64_t reading_cost;
static long interruptions; /* as getrusage last told */

static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    unsigned processor;
    _mm_lfence();
    uint64_t now = __rdtscp(&processor);
    _mm_lfence();
    return now;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

static void calibrate(void)
{
    double start = bench_clock(CLOCK_MONOTONIC), now;
    uint64_t first = ticks();
    do
        now = bench_clock(CLOCK_MONOTONIC);
    while (now - start < 0.05);
    ticks_per_ns = (double)(ticks() - first) / ((now - start) * 1e9);
    reading_cost = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = ticks(), cost = ticks() - before;
        if (cost < reading_cost)
            reading_cost = cost;
    }
}

static unsigned bucket_of(uint64_t value)
{
    if (value < SUB)
        return (unsigned)value;
    unsigned power = 63 - (unsigned)__builtin_clzll(value);
    return (power - 4) * SUB + (unsigned)(value >> (power - 5)) - SUB;
}

static double bucket_start(unsigned bucket)
{
    if (bucket < SUB)
        return bucket;
    unsigned power = bucket / SUB + 4;
    return (double)((uint64_t)(SUB + bucket % SUB) << (power - 5));
}

static void record(struct histogram *h, uint64_t taken)
{
    h->count[bucket_of(taken)]++;
    h->total++;
    if (taken > h->slowest)
        h->slowest = taken;
    if ((double)taken > 1e6 * ticks_per_ns)
        h->above_ms++;
}

static double percentile(const struct histogram *h, double percent)
{
    double left = (double)h->total * percent / 100;
    for (unsigned b = 0; b < sizeof h->count / sizeof *h->count; b++) {
        left -= (double)h->count[b];
        if (left <= 0 && h->count[b] > 0)
            return bucket_start(b) / ticks_per_ns;
    }
    return (double)h->slowest / ticks_per_ns;
}

/* Page faults of this thread, and how often it lost its processor, since the last call of this function.  Waiting, for
 * a lock say, is not an excuse. */
static long new_interruptions(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    long before = interruptions;
    interruptions = usage.ru_minflt + usage.ru_majflt + usage.ru_nivcsw;
    return interruptions - before;
}

/* A timed call: what the program did since the last one may have faulted, and is not to be blamed on this one. */
static uint64_t call_ended;

static inline uint64_t call_begins(void)
{
    uint64_t now = ticks();
    if ((double)(now - call_ended) > FAULT_NS * ticks_per_ns) {
        new_interruptions();
        now = ticks();
    }
    return now;
}

static inline void call_ends(uint64_t began)
{
    uint64_t now = ticks();
    uint64_t taken = now - began;
    taken = taken > reading_cost ? taken - reading_cost : 0;
    record(&all_calls, taken);
    if ((double)taken <= FAULT_NS * ticks_per_ns || new_interruptions() == 0)
        record(&quiet_calls, taken);
    call_ended = ticks();
}

static size_t server_size(uint64_t *random)
{
    static const struct {
        unsigned per_mille, low, high;
    } mix[] = {{700, 16, 128}, {200, 129, 1024}, {85, 1025, 8192}, {14, 8193, 65536}, {1, 65537, 524288}};
    size_t draw = bench_below(random, 1000), i = 0;
    while (draw >= mix[i].per_mille)
        draw -= mix[i++].per_mille;
    return mix[i].low + bench_below(random, mix[i].high - mix[i].low + 1);
}

static void replace(char **slot, uint64_t *random)
{
    size_t size = server_size(random);
    if (*slot != NULL) {
        uint64_t began = call_begins();
        free(*slot);
        call_ends(began);
    }
    uint64_t began = call_begins();
    char *block = malloc(size);
    call_ends(began);
    bench_need(block);
    for (size_t at = 0; at < size; at += 4096)
        block[at] = 1;
    block[size - 1] = 1;
    *slot = block;
}

static void report(const char *prefix, const struct histogram *h)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50", 50}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}};
    char name[64];
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, points[i].name);
        bench_metric(name, percentile(h, points[i].percent), "ns", "lower");
    }
    snprintf(name, sizeof name, "%smax", prefix);
    bench_metric(name, (double)h->slowest / ticks_per_ns, "ns", "lower");
    snprintf(name, sizeof name, "%sabove_1ms", prefix);
    bench_metric(name, (double)h->above_ms, "calls", "lower");
}

int main(int argc, char **argv)
{
    bench_check_usage(argc, argv, 2, "[CALLS [LIVE]]");
    long calls = bench_arg(argc, argv, 1, "CALLS", 10000000, 1000, INT64_MAX);
    size_t live = (size_t)bench_arg(argc, argv, 2, "LIVE", 200000, 1, INT32_MAX);
    calibrate();
    char **blocks = bench_need(calloc(live, sizeof *blocks));
    static char *ring[RING];
    uint64_t random = 2718281828;
    for (size_t i = 0; i < live; i++)
        replace(&blocks[i], &random);
    for (int i = 0; i < RING; i++)
        replace(&ring[i], &random);
    memset(&all_calls, 0, sizeof all_calls); /* the setup does not count */
    memset(&quiet_calls, 0, sizeof quiet_calls);

    struct bench_span span;
    bench_start(&span);
    for (long i = 0; i < calls / 2; i++)
        replace(bench_below(&random, 10) < 7 ? &ring[i % RING] : &blocks[bench_below(&random, live)], &random);
    bench_stop(&span);
    for (long i = 0; i < calls; i++) {
        uint64_t before = ticks(), cost = ticks() - before;
        record(&noise, cost > reading_cost ? cost - reading_cost : 0);
    }

    for (size_t i = 0; i < live; i++)
        free(blocks[i]);
    free(blocks);
    for (int i = 0; i < RING; i++)
        free(ring[i]);
    report("", &all_calls);
    report("quiet_", &quiet_calls);
    bench_metric("noise_p99.9", percentile(&noise, 99.9), "ns", "lower");
    bench_metric("noise_max", (double)noise.slowest / ticks_per_ns, "ns", "lower");
    bench_report(&span, (double)calls);
    return bench_finish();
}
