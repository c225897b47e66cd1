/* SPDX-License-Identifier: MIT */
/*
 * helper.c - which process has a helper, the thread that gives free memory back, when the helper ends, and what it
 * leaves as it is: signals, scheduling, exit handlers.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare */
#endif
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>

#include "purging.h"

static pthread_barrier_t barrier;

/* ---- when there is one -------------------------------------------------------------------------------------- */

static void one_helper(void)
{
    if (!helper_possible())
        skip_case("there can be no helper");
#ifdef TAKE_ABORT
    /* In a program at a fixed place, abort() then has an address in the program. */
    signal(SIGUSR2, (void (*)(int))abort);
    signal(SIGUSR2, SIG_DFL);
#endif
    have_another_thread();
    int threads = tasks(0, NULL), number = 0;
    for (int i = 0; i < 50; i++)
        release_all(0, fill(0, 4 * TEST_MIB, 16, 2000));
    NEED(tasks(1, NULL) == 0 && tasks(0, NULL) == threads, "a program that frees little has %d threads",
         tasks(0, NULL));
    for (int i = 0; i < 10; i++)
        free_much();
    need_helpers(1);
    NEED(TEST_SANITIZER || tasks(0, NULL) == threads + 1, "%d threads", tasks(0, NULL));
    tasks(1, &number);
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    NEED(!sigismember(&mine, SIGUSR1) && !sigismember(&mine, SIGINT), "the thread that started it blocks signals");
    if (test_emulated())
        return; /* what /proc says of signals is what the emulator blocks */
    /* All signals that can be blocked; 32 and 33 are the C library's own. */
    char path[64], status[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", number);
    const char *mask = strstr(contents(path, status, sizeof status), "SigBlk:");
    uint64_t unblockable = (uint64_t)1 << (SIGKILL - 1) | (uint64_t)1 << (SIGSTOP - 1) | (uint64_t)3 << 31;
    uint64_t blocked = mask ? strtoull(mask + 7, NULL, 16) : 0;
    NEED((blocked | unblockable) == UINT64_MAX, "it blocks the signals %016llx", (unsigned long long)blocked);
}

static void one_thread(void)
{
    int threads = tasks(0, NULL);
    for (int i = 0; i < 3; i++)
        free_much();
    NEED(tasks(1, NULL) == 0 && tasks(0, NULL) == threads, "a program with one thread has %d", tasks(0, NULL));
}

static void own_user_namespace(void)
{
    if (TEST_SANITIZER || test_emulated())
        skip_case("a sanitizer or an emulator has threads of its own");
    for (int i = 0; i < 3; i++)
        release_all(0, fill(0, 40 * TEST_MIB, 16, 2000));
    int result = unshare(CLONE_NEWUSER), error = errno;
    if (result && (error == EPERM || error == ENOSPC || error == ENOSYS))
        skip_case("user namespaces are not allowed");
    NEED(result == 0, "unshare: error %d", error);
}

static void *allocate_and_wait(void *argument)
{
    free(malloc(100));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return argument;
}

static void helper_leaves_with_others(void)
{
    if (!helper_possible())
        skip_case("there can be no helper");
    tune("purge_delay=10ms");
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t thread = spawn(allocate_and_wait, NULL);
    pthread_barrier_wait(&barrier);
    free_much();
    need_helpers(1);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    need_helpers(0);
    free_much();
    NEED(helpers_are(0), "a helper in a program with one thread left");
}

static void helper_by_knob(void)
{
    if (!helper_possible())
        skip_case("there can be no helper");
    have_another_thread();
    tune("purge_thread=no");
    free_much();
    NEED(helpers_are(0), "a helper in spite of purge_thread=no");
    tune("purge_thread=yes");
    free_much();
    need_helpers(1);
    tune("purge_thread=no");
    need_helpers(0);
    tune("purge_thread=yes");
    free_much();
    need_helpers(1);
}

/* ---- how it is scheduled ------------------------------------------------------------------------------------ */

/* What a thread inherits from its maker. */
struct schedule {
    cpu_set_t cpus;
    int policy, nice;
    long io, slack;
};

static struct schedule schedule_of(pid_t thread)
{
    struct schedule schedule = {.policy = sched_getscheduler(thread), .nice = getpriority(PRIO_PROCESS, (id_t)thread)};
    char path[64], text[64];
    sched_getaffinity(thread, sizeof schedule.cpus, &schedule.cpus);
    schedule.io = syscall(SYS_ioprio_get, 1, thread);
    snprintf(path, sizeof path, "/proc/%d/timerslack_ns", thread);
    schedule.slack = atol(contents(path, text, sizeof text));
    return schedule;
}

/* The helper is scheduled as the process was at its start, whichever thread made it. */
static void helper_as_process(void)
{
    if (!helper_possible() || TEST_SANITIZER || test_emulated())
        skip_case("there can be no helper, or nothing can be said of it");
    have_another_thread();
    int number = 0, self = getpid();
    struct schedule first = schedule_of(self);
    struct sched_param real_time = {.sched_priority = 1}, none = {0};
    cpu_set_t one;
    size_t end = fill(0, 40 * TEST_MIB, 500, 2000);
    int may_lower = setpriority(PRIO_PROCESS, 0, first.nice + 5) == 0 && setpriority(PRIO_PROCESS, 0, first.nice) == 0;
    setpriority(PRIO_PROCESS, 0, first.nice + 5);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &first.cpus))
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 7);
    prctl(PR_SET_TIMERSLACK, 12345678);
    if (sched_setscheduler(0, SCHED_FIFO, &real_time))
        sched_setscheduler(0, SCHED_BATCH, &none);
    release_all(0, end);
    sched_setscheduler(0, SCHED_OTHER, &none);
    need_helpers(1);
    tasks(1, &number);
    struct schedule found = schedule_of(number);
    NEED(found.policy == first.policy, "its policy is %d instead of %d", found.policy, first.policy);
    NEED(!may_lower || found.nice == first.nice, "it is nice by %d instead of %d", found.nice, first.nice);
    NEED(found.io == first.io, "its I/O priority is %ld instead of %ld", found.io, first.io);
    NEED(found.slack == first.slack, "its timers' slack is %ld instead of %ld", found.slack, first.slack);
    NEED(CPU_EQUAL(&found.cpus, &first.cpus), "it may run on %d processors instead of %d", CPU_COUNT(&found.cpus),
         CPU_COUNT(&first.cpus));
}

/* ---- when the process ends ---------------------------------------------------------------------------------- */

static void *free_and_end(void *argument)
{
    unsigned rest = (unsigned)(uintptr_t)argument;
    free_much_from(rest % 2 * (MOST / 2));
    for (unsigned i = rest % 8; i; i--)
        sched_yield();
    return NULL;
}

/* Which thread ends last differs from process to process, and so does what the helper does at that moment. */
static void keeps_nothing_alive(void)
{
    if (TEST_SANITIZER)
        skip_case("a sanitizer has threads of its own");
    for (unsigned i = 0; i < 30; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(test_patience(60));
            if (i % 3)
                tune(i % 3 == 1 ? "purge_delay=1ms" : "purge_delay=3600s");
            spawn(free_and_end, (void *)(uintptr_t)i);
            if (i % 2)
                spawn(free_and_end, (void *)(uintptr_t)(i + 1));
            pthread_exit(NULL);
        }
        int status = wait_for(child);
        if (status == SKIPPED)
            skip_case("a knob was refused");
        NEED(status == 0, "process %u did not end by itself: %d", i, status);
    }
}

static void need_no_helper(void)
{
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    if (strcmp(name, "hakmem-purge") == 0)
        _exit(2);
}

static void *outlive_main(void *argument)
{
    atomic_int *main_leaves = argument;
    free_much();
    while (!atomic_load(main_leaves))
        doze();
    for (int i = 0; i < 30; i++)
        doze();
    return NULL;
}

/* The last thread of a process runs its exit handlers, so the helper must not outlive the main thread. */
static void exit_handlers(void)
{
    static atomic_int main_leaves;
    if (!helper_possible() || TEST_SANITIZER)
        skip_case("there can be no helper, or a sanitizer has threads of its own");
    pid_t child = fork();
    if (child == 0) {
        alarm(test_patience(60));
        atexit(need_no_helper);
        spawn(outlive_main, &main_leaves);
        need_helpers(1);
        atomic_store(&main_leaves, 1);
        pthread_exit(NULL);
    }
    int status = wait_for(child);
    NEED(status == 0, "exit handlers run in the helper, or nowhere: status %d", status);
}

/* With an argument, only the first case. */
int main(int argc, char **argv)
{
    (void)argv;
    tap_watchdog(280);
    run_case("a program that frees little has no helper, one that frees much has one", one_helper);
    if (argc > 1)
        return tap_end();
    run_case("a program with one thread has one when it has freed much", one_thread);
    run_case("and can have a user namespace", own_user_namespace);
    run_case("the helper leaves when one thread is left", helper_leaves_with_others);
    run_case("purge_thread starts and ends the helper", helper_by_knob);
    run_case("the helper is scheduled as the process was at its start", helper_as_process);
    run_case("exit handlers do not run in the helper", exit_handlers);
    run_case("the helper keeps no process alive", keeps_nothing_alive);
    return tap_end();
}
