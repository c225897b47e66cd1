/* SPDX-License-Identifier: MIT */
/*
 * measure FD PRELOAD PROGRAM [ARGUMENT...] - runs PROGRAM once and writes its time and memory to the descriptor FD:
 *
 *     WALL_NS USER_US SYS_US MAXRSS_KIB MINFLT MAJFLT NVCSW NIVCSW WAIT_STATUS
 *
 * or "error ERRNO" if it cannot be executed.  PRELOAD becomes its LD_PRELOAD; empty, LD_PRELOAD is removed.
 *
 * Why not in Python: a process inherits the peak memory of the process that executes it, so that under an interpreter
 * no program would seem to need less than the interpreter.  This program needs very little.
 *
 * measure clock - prints the processor's clock in Hz, as measured: a virtual machine's kernel often knows only
 * the nominal one.
 *
 * A signal sent to this process by kill(2) goes on to the program; one from the terminal has reached it already.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile pid_t child;

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    if (child > 0 && info->si_code <= 0) {
        (void)kill(child, signal_number);
    }
}

static const int passed_on[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
enum { PASSED_ON = sizeof(passed_on) / sizeof(passed_on[0]) };

static long long now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long microseconds(struct timeval t)
{
    return t.tv_sec * 1000000LL + t.tv_usec;
}

/*
 * Each addition of a chain takes one cycle on every processor, as it needs the result of the one before.  Of several
 * short stretches the fastest is one that nothing has interrupted.  Without optimisation the chain would go through
 * memory, and the answer is 0: not known.
 */
#define ADD                                                                                                            \
    x += y;                                                                                                            \
    __asm__ volatile("" : "+r"(x));
#define TEN_TIMES(X) X X X X X X X X X X

static double measured_clock(void)
{
    enum { STRETCHES = 40, ROUNDS = 10000, ADDITIONS = 100 * ROUNDS };
    double best = 0;
    unsigned long x = 0, y = (unsigned long)getpid();
    __asm__ volatile("" : "+r"(y));
    for (int stretch = 0; stretch < STRETCHES; stretch++) {
        long long start = now();
        for (int i = 0; i < ROUNDS; i++) {
            TEN_TIMES(TEN_TIMES(ADD))
        }
        long long took = now() - start;
        if (took > 0 && ADDITIONS * 1e9 / (double)took > best) {
            best = ADDITIONS * 1e9 / (double)took;
        }
    }
#ifndef __OPTIMIZE__
    best = 0;
#endif
    return best;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "clock") == 0) {
        printf("%.0f\n", measured_clock());
        return 0;
    }
    if (argc < 4) {
        fputs("usage: measure FD PRELOAD PROGRAM [ARGUMENT...]\n       measure clock\n", stderr);
        return 2;
    }
    int out = atoi(argv[1]);
    (void)fcntl(out, F_SETFD, FD_CLOEXEC);
    if (argv[2][0] ? setenv("LD_PRELOAD", argv[2], 1) : unsetenv("LD_PRELOAD")) {
        perror("measure: LD_PRELOAD");
        return 1;
    }

    struct sigaction action, before[PASSED_ON];
    memset(&action, 0, sizeof action);
    action.sa_sigaction = pass_on;
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    for (int i = 0; i < PASSED_ON; i++) {
        (void)sigaction(passed_on[i], &action, &before[i]);
    }

    /* The child of vfork shares this memory, so that its `failure` is read below.  A signal in the child may run our
     * handler, which does nothing while `child` is 0. */
    volatile int failure = 0;
    long long start = now();
    pid_t pid = vfork();
    if (pid == 0) {
        for (int i = 0; i < PASSED_ON; i++) {
            (void)sigaction(passed_on[i], &before[i], NULL);
        }
        execvp(argv[3], argv + 3);
        failure = errno;
        _exit(127);
    }
    child = pid;
    int status = 0;
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    pid_t waited = -1;
    if (pid > 0) {
        do {
            waited = wait4(pid, &status, 0, &usage);
        } while (waited < 0 && errno == EINTR);
    }
    long long end = now();
    if (pid < 0 || waited < 0) {
        failure = errno;
    }
    if (failure) {
        (void)dprintf(out, "error %d\n", failure);
    } else {
        (void)dprintf(out, "%lld %lld %lld %ld %ld %ld %ld %ld %d\n", end - start, microseconds(usage.ru_utime),
                      microseconds(usage.ru_stime), usage.ru_maxrss, usage.ru_minflt, usage.ru_majflt, usage.ru_nvcsw,
                      usage.ru_nivcsw, status);
    }
    return 0;
}
