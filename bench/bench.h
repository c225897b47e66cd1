/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what every benchmark program needs: clocks, a generator of pseudo-random numbers, reading of arguments,
 * the process's own memory figures, and the lines in which results are reported.
 *
 * A program uses plain malloc and free, so that any allocator can be preloaded under it.  Nothing in this header
 * allocates, apart from the one buffer that stdio takes when the first result is printed.
 *
 * Results are lines of five words on standard output:
 *
 *     metric NAME VALUE UNIT lower|higher
 *
 * where the last word says which direction is better.  Everything else on standard output is for people.
 */
#ifndef HAKMEM_BENCH_H
#define HAKMEM_BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define BENCH_UNUSED __attribute__((unused))
#define BENCH_LINE 64 /* bytes of a cache line, for keeping the program's own data of two threads apart */

BENCH_UNUSED static _Noreturn void bench_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

/* The argument at `index`, a number from low to high (k, m and g multiply by powers of 1000), or `otherwise`. */
BENCH_UNUSED static long bench_arg(int argc, char **argv, int index, const char *name, long otherwise, long low,
                                   long high)
{
    if (index >= argc)
        return otherwise;
    char *end;
    errno = 0;
    long value = strtol(argv[index], &end, 10);
    long factor = *end == 'k' ? 1000 : *end == 'm' ? 1000000 : *end == 'g' ? 1000000000 : 1;
    if (factor > 1)
        end++;
    if (errno != 0 || end == argv[index] || *end != '\0' || __builtin_mul_overflow(value, factor, &value) ||
        value < low || value > high) {
        fprintf(stderr, "%s: %s must be a number from %ld to %ld, not \"%s\"\n", program_invocation_short_name, name,
                low, high, argv[index]);
        exit(2);
    }
    return value;
}

BENCH_UNUSED static _Noreturn void bench_usage(const char *synopsis)
{
    fprintf(stderr, "usage: %s %s\n", program_invocation_short_name, synopsis);
    exit(2);
}

/* No program has options, so whatever begins with a dash is a request for help. */
BENCH_UNUSED static void bench_check_usage(int argc, char **argv, int most_arguments, const char *synopsis)
{
    if (argc > most_arguments + 1 || (argc > 1 && argv[1][0] == '-'))
        bench_usage(synopsis);
}

/* A block that must exist: a benchmark has no use for a failed allocation. */
BENCH_UNUSED static void *bench_need(void *block)
{
    if (block == NULL)
        bench_die("out of memory");
    return block;
}

/* xorshift64*: one multiplication a number, no state shared between threads.  The seed must not be 0. */
BENCH_UNUSED static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* A number from 0 to bound - 1, by multiplication instead of a slow division; bound below 2^32. */
BENCH_UNUSED static inline size_t bench_below(uint64_t *state, size_t bound)
{
    return (size_t)(((bench_random(state) >> 32) * bound) >> 32);
}

BENCH_UNUSED static double bench_clock(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* What is measured runs from bench_start to bench_stop; the setup before it and the teardown after it do not count. */
struct bench_span {
    double wall;
    double cpu; /* of all threads, the kernel's share included */
};

BENCH_UNUSED static void bench_start(struct bench_span *span)
{
    span->wall = bench_clock(CLOCK_MONOTONIC);
    span->cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID);
}

BENCH_UNUSED static void bench_stop(struct bench_span *span)
{
    span->cpu = bench_clock(CLOCK_PROCESS_CPUTIME_ID) - span->cpu;
    span->wall = bench_clock(CLOCK_MONOTONIC) - span->wall;
}

BENCH_UNUSED static void bench_metric(const char *name, double value, const char *unit, const char *better)
{
    printf("metric %s %.6g %s %s\n", name, value, unit, better);
}

BENCH_UNUSED static void bench_report(const struct bench_span *span, double operations)
{
    bench_metric("wall", span->wall, "s", "lower");
    bench_metric("cpu", span->cpu, "s", "lower");
    if (operations > 0)
        bench_metric("rate", operations / span->wall, "ops/s", "higher");
}

/* A figure of /proc/self/status in bytes ("VmHWM:" is the peak, "VmRSS:" what is resident now), or 0 without /proc. */
BENCH_UNUSED static double bench_memory(const char *field)
{
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    const char *at = strstr(text, field);
    return at == NULL ? 0 : (double)strtol(at + strlen(field), NULL, 10) * 1024;
}

/* The minor page faults of the process so far: pages that the kernel handed out, with no disk involved. */
BENCH_UNUSED static double bench_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_minflt;
}

BENCH_UNUSED static void bench_sleep(double seconds)
{
    struct timespec rest = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
}

/*
 * The last thing a program does, all its blocks freed: reports the peak, and where BENCH_IDLE names a number of
 * seconds, what is still resident after sleeping that long.  The driver asks for it in one round only.
 */
BENCH_UNUSED static int bench_finish(void)
{
    bench_metric("peak_rss", bench_memory("VmHWM:"), "B", "lower");
    const char *idle = getenv("BENCH_IDLE");
    if (idle != NULL && atof(idle) > 0) {
        fflush(stdout);
        bench_sleep(atof(idle));
        bench_metric("idle_rss", bench_memory("VmRSS:"), "B", "lower");
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

BENCH_UNUSED static pthread_t bench_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, argument) != 0)
        bench_die("cannot create a thread");
    return thread;
}

#endif
