/* SPDX-License-Identifier: MIT */
/*
 * measure - runs a program with an allocator preloaded and writes down what it took.
 *
 *     measure RESULTS LIBRARY PROGRAM [ARGUMENT...]
 *
 * The file RESULTS gets the lines "metric wall", "metric cpu", "metric peak_rss" and "metric faults" of the format in
 * bench.h, the last of which counts minor page faults; LIBRARY goes into LD_PRELOAD ("-" for none) of PROGRAM and its
 * children only.  The exit status is the program's, or 128 and the signal that ended it.
 *
 * A process inherits the peak of the one that executed it, and a Python interpreter's is larger than many a
 * benchmark's: hence this small program in between.
 */
#include "bench.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
    if (argc < 4)
        bench_usage("RESULTS LIBRARY PROGRAM [ARGUMENT...]");
    double start = bench_clock(CLOCK_MONOTONIC);
    pid_t child = fork();
    if (child < 0)
        bench_die("cannot fork");
    if (child == 0) {
        if (strcmp(argv[2], "-") != 0 && setenv("LD_PRELOAD", argv[2], 1) != 0)
            _exit(127);
        execvp(argv[3], &argv[3]);
        fprintf(stderr, "measure: cannot run %s: %s\n", argv[3], strerror(errno));
        _exit(127);
    }

    int status;
    struct rusage usage;
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            bench_die("cannot wait for the program");
    double wall = bench_clock(CLOCK_MONOTONIC) - start;
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;

    if (freopen(argv[1], "w", stdout) == NULL)
        bench_die("cannot write the results");
    bench_metric("wall", wall, "s", "lower");
    bench_metric("cpu", cpu, "s", "lower");
    bench_metric("peak_rss", (double)usage.ru_maxrss * 1024, "B", "lower");
    bench_metric("faults", (double)usage.ru_minflt, "faults", "lower");
    if (fflush(stdout) != 0)
        bench_die("cannot write the results");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
