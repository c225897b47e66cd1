/* SPDX-License-Identifier: MIT */
/*
 * purge.c - free memory goes back to the kernel by itself, whoever freed it, through a thread that is there only where
 * it is worth its while; and what comes back is as good as new.
 *
 * Each case is a process of its own, forked from one that frees next to nothing, so that each begins without a helper.
 * Nothing is expected within a certain time: what is to come about is waited for, and only patience ends.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* unshare, dirent64 */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "../tap.h"
#include "names.h"

#ifndef TEST_CORE
#include "../../include/hakmem.h"
#pragma weak hakmem_tune_parse
#endif

enum { SKIPPED = 77 };

static atomic_int problems;

/* In a case: what must hold. */
#define NEED(condition, ...) ((condition) ? (void)0 : need_failed(__VA_ARGS__))
__attribute__((format(printf, 1, 2))) static void need_failed(const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (atomic_fetch_add(&problems, 1) < 10)
        tap_note("%s", text);
}

static void skip_case(const char *why)
{
    tap_note("%s", why);
    _exit(SKIPPED);
}

static void tune(const char *settings)
{
#ifndef TEST_CORE
    if (!hakmem_tune_parse)
        skip_case("knobs cannot be reached");
#endif
    if (hakmem_tune_parse(settings, NULL, NULL) != HAKMEM_TUNE_OK)
        skip_case("the knobs of this build do not change");
}

static void doze(void)
{
    struct timespec moment = {0, 10000000};
    nanosleep(&moment, NULL);
}

/* ---- threads of this process -------------------------------------------------------------------------------- */

/* The contents of a file, without the allocator. */
static const char *contents(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, size - 1);
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* How many threads there are, or only those that are helpers; the last one's number. */
static int tasks(int helpers, int *last)
{
    char path[64], text[64], entries[8192] __attribute__((aligned(16)));
    int count = 0, folder = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ssize_t got;
    while (folder >= 0 && (got = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0)
        for (ssize_t at = 0; at < got; at += ((struct dirent64 *)(entries + at))->d_reclen) {
            int number = atoi(((struct dirent64 *)(entries + at))->d_name);
            snprintf(path, sizeof path, "/proc/self/task/%d/comm", number);
            if (number <= 0 || (helpers && strcmp(contents(path, text, sizeof text), "hakmem-purge\n") != 0))
                continue;
            count++;
            if (last)
                *last = number;
        }
    if (folder >= 0)
        close(folder);
    return count;
}

static int is_library(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    (void)argument;
    return info->dlpi_name[0] && !strstr(info->dlpi_name, "vdso");
}

/* There can be none in a static program, or with limited addresses. */
static int helper_possible(void)
{
    struct rlimit limit;
    return dl_iterate_phdr(is_library, NULL) && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
           access("/proc/self/task", R_OK) == 0;
}

static int calls_go_on; /* else nobody calls the allocator while something is waited for */

/* Frees that are more than a push: those that pass by the question whether much is free. */
static void free_a_little(void)
{
    static void *few[4000];
    for (size_t i = 0; i < TEST_COUNT(few); i++)
        few[i] = malloc(200);
    for (size_t i = 0; i < TEST_COUNT(few); i++)
        free(few[i]);
}

static int wait_until(int (*holds)(size_t), size_t argument)
{
    for (unsigned left = test_patience(60) * 100; left; left--) {
        if (holds(argument))
            return 1;
        doze();
        if (calls_go_on)
            free_a_little();
    }
    return 0;
}

static int resident_is(size_t bytes) { return resident_bytes() <= bytes; }

static int helpers_are(size_t count) { return tasks(1, NULL) == (int)count; }

/* ---- blocks ------------------------------------------------------------------------------------------------- */

enum { MOST = 400000 };
struct block {
    unsigned char *at;
    size_t size;
};
static struct block blocks[MOST];

/* Until `bytes` are live in the places from `from` on; returns the place behind the last. */
static size_t fill(size_t from, size_t bytes, size_t least, size_t most)
{
    uint64_t random = test_state(from + least);
    for (size_t live = 0; live < bytes && from < MOST; from++) {
        size_t size = least + test_random(&random) % (most - least + 1);
        blocks[from] = (struct block){malloc(size), size};
        NEED(blocks[from].at != NULL, "no memory");
        if (!blocks[from].at)
            break;
        pattern_fill(blocks[from].at, size, from);
        live += size;
        for (size_t page = 0; page < size; page += 4096)
            blocks[from].at[page] = pattern_byte(from, page);
    }
    return from;
}

static void release(size_t i)
{
    NEED(pattern_check(blocks[i].at, blocks[i].size, i) == SIZE_MAX, "block %zu of %zu bytes has changed", i, blocks[i].size);
    free(blocks[i].at);
    blocks[i].at = NULL;
}

static void release_all(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (blocks[i].at)
            release(i);
}

enum { OWNERS = 4, CLASSES = 40 }; /* heaps at work but the main thread's; classes of blocks in them, at most */

static size_t page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Whether all but a twentieth and `constant` of what was there at the peak comes back.  That is for pages of 4 KiB: the
 * few blocks of a class that a heap keeps hold a larger one as well.  An emulator grows as it translates. */
static void need_return_when(int (*comes)(int (*)(size_t), size_t), size_t before, size_t peak, size_t constant)
{
    size_t allowed = before + (peak - before) / 20 + constant + (OWNERS + 1) * CLASSES * (page_bytes() - 4 * TEST_KIB);
    if (test_emulated())
        allowed += 16 * TEST_MIB;
    if (!TEST_SANITIZER)
        NEED(comes(resident_is, allowed), "%zu bytes resident; %zu at the peak and %zu before", resident_bytes(), peak,
             before);
}

static int at_once(int (*holds)(size_t), size_t argument) { return holds(argument); }

static void need_return(size_t before, size_t peak, size_t constant)
{
    need_return_when(wait_until, before, peak, constant);
}

static void need_return_at_once(size_t before, size_t peak, size_t constant)
{
    need_return_when(at_once, before, peak, constant);
}

static size_t resident_at_first(void)
{
    memset(blocks, 0xff, sizeof blocks);
    memset(blocks, 0, sizeof blocks);
    return resident_bytes();
}

/* ---- who frees ---------------------------------------------------------------------------------------------- */

enum { PLACES = MOST / OWNERS };
static pthread_barrier_t barrier;
static size_t ends[OWNERS];

static void *own_and_sleep(void *argument)
{
    size_t number = (size_t)(uintptr_t)argument;
    ends[number] = fill(number * PLACES, 24 * TEST_MIB, 16, 600);
    pthread_barrier_wait(&barrier);
    for (;;)
        pause();
    return NULL;
}

static pthread_t spawn(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument)) {
        need_failed("pthread_create");
        _exit(1);
    }
    return thread;
}

static void freed_by_another(void)
{
    pthread_barrier_init(&barrier, NULL, OWNERS + 1);
    size_t before = resident_at_first();
    for (uintptr_t i = 0; i < OWNERS; i++)
        spawn(own_and_sleep, (void *)i);
    pthread_barrier_wait(&barrier);
    size_t peak = resident_bytes();
    for (size_t i = 0; i < OWNERS; i++)
        release_all(i * PLACES, ends[i]);
    need_return(before, peak, 5 * TEST_MIB);
    verify_heap();
}

static void *allocate_and_sleep(void *argument)
{
    atomic_int *ready = argument;
    free(malloc(100));
    atomic_store(ready, 1);
    for (;;)
        pause();
    return NULL;
}

/* From here on the process has another thread that has allocated. */
static void have_another_thread(void)
{
    atomic_int ready = 0;
    spawn(allocate_and_sleep, &ready);
    while (!atomic_load(&ready))
        doze();
}

static void freed_by_itself(void)
{
    have_another_thread();
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 16, 2000), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

static size_t fill_large_and_huge(void)
{
    size_t large = fill(0, 64 * TEST_MIB, 200 * TEST_KIB, TEST_MIB);
    return fill(large, 64 * TEST_MIB, TEST_MIB + 1, 3 * TEST_MIB);
}

static void large_and_huge(void)
{
    have_another_thread();
    size_t before = resident_at_first();
    size_t end = fill_large_and_huge(), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

/* What is kept of larger blocks by itself, which is less than is worth a thread.  Where there can be none, what is used
 * as soon as this was freed waits for calls that come by. */
static void behind_small(size_t bytes, size_t least, size_t most)
{
    have_another_thread();
    calls_go_on = !helper_possible();
    size_t before = resident_at_first();
    release_all(0, fill(0, 32 * TEST_MIB, 16, 2000));
    need_return(before, before + 32 * TEST_MIB, 3 * TEST_MIB);
    size_t end = fill(0, bytes, least, most), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

static void large_behind_small(void) { behind_small(16 * TEST_MIB, 200 * TEST_KIB, TEST_MIB); }
static void huge_behind_small(void) { behind_small(12 * TEST_MIB, 2 * TEST_MIB, 3 * TEST_MIB); }

/* Blocks above 1 MiB that are kept for reuse are of no use to a program that goes on with small ones: as much as these
 * add to the most that was ever held goes back. */
static void kept_below_peak(void)
{
    tune("purge_thread=no,purge_delay=3600s");
    size_t before = resident_at_first(), huge = fill(0, 4 * TEST_MIB, 2 * TEST_MIB - 4096, 2 * TEST_MIB - 4096);
    release_all(0, huge);
    size_t kept = resident_bytes();
    size_t end = fill(0, 24 * TEST_MIB, 1024, 1024), most = resident_bytes();
    if (!TEST_SANITIZER && !test_emulated()) {
        NEED(kept > before + 3 * TEST_MIB, "%zu bytes resident with some kept; %zu before", kept, before);
        NEED(most < before + 26 * TEST_MIB, "%zu bytes resident with 24 MiB live; %zu before", most, before);
    }
    release_all(0, end);
    verify_heap();
}

/* ---- holes -------------------------------------------------------------------------------------------------- */

static void punch_holes(size_t end)
{
    uint64_t random = test_state(9);
    for (size_t i = 0; i < end; i++)
        if (test_random(&random) % 10)
            release(i);
}

static void skip_with_large_pages(void)
{
    if (page_bytes() > 4 * TEST_KIB)
        skip_case("no page of so many bytes is free among blocks in use");
}

static void holes(void)
{
    skip_with_large_pages();
    have_another_thread();
    calls_go_on = !helper_possible();
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    punch_holes(end);
    /* A page of 300-byte blocks is free with a probability of a fifth; an emulator may grow by as much. */
    if (!TEST_SANITIZER && !test_emulated())
        NEED(wait_until(resident_is, peak - (peak - before) / 12), "%zu bytes resident; %zu at the peak and %zu before",
             resident_bytes(), peak, before);
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    verify_heap();
}

/* ---- without a helper --------------------------------------------------------------------------------------- */

static void trim_in_slabs(void)
{
    skip_with_large_pages();
    tune("purge_thread=no,purge_delay=3600s");
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512);
    punch_holes(end);
    malloc_trim(64 * TEST_MIB);
    size_t slabs_only = resident_bytes();
    malloc_trim(0);
    size_t now = resident_bytes();
    if (!TEST_SANITIZER)
        NEED(now < before + 60 * TEST_MIB, "%zu bytes resident, %zu with 64 MiB to keep, %zu before", now, slabs_only,
             before);
    release_all(0, end);
    malloc_trim(0);
    if (!TEST_SANITIZER)
        NEED(resident_is(before + 3 * TEST_MIB), "%zu bytes resident; %zu before", resident_bytes(), before);
    NEED(helpers_are(0), "a helper in spite of purge_thread=no");
}

static void unaided(void)
{
    tune("purge_thread=no,purge_delay=20ms");
    calls_go_on = 1;
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    release_all(0, end);
    need_return(before, peak, 3 * TEST_MIB);
    NEED(helpers_are(0), "a helper in spite of purge_thread=no");
    verify_heap();
}

/* ---- one thread --------------------------------------------------------------------------------------------- */

static void free_much(void);

static void one_thread(void)
{
    int threads = tasks(0, NULL);
    for (int i = 0; i < 3; i++)
        free_much();
    NEED(tasks(1, NULL) == 0 && tasks(0, NULL) == threads, "a program with one thread has %d", tasks(0, NULL));
}

/* Nobody calls the allocator after the last free. */
static void at_once_small(void)
{
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 16, 2000), peak = resident_bytes();
    release_all(0, end);
    need_return_at_once(before, peak, 6 * TEST_MIB);
    verify_heap();
}

static void at_once_large(void)
{
    size_t before = resident_at_first();
    size_t end = fill_large_and_huge(), peak = resident_bytes();
    release_all(0, end);
    need_return_at_once(before, peak, 6 * TEST_MIB);
    verify_heap();
}

static void at_once_holes(void)
{
    skip_with_large_pages();
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 64, 512), peak = resident_bytes();
    punch_holes(end);
    if (!TEST_SANITIZER && !test_emulated())
        NEED(resident_bytes() < peak - (peak - before) / 12, "%zu bytes resident; %zu at the peak and %zu before",
             resident_bytes(), peak, before);
    release_all(0, end);
    /* The last blocks may wait in magazines, each in a page of its own. */
    need_return_at_once(before, peak, 24 * TEST_MIB);
    verify_heap();
}

/* ---- the helper --------------------------------------------------------------------------------------------- */

static void free_much_from(size_t place)
{
    release_all(place, fill(place, 40 * TEST_MIB, 500, 2000));
}

static void free_much(void)
{
    free_much_from(0);
}

static void need_helpers(size_t count)
{
    NEED(wait_until(helpers_are, count), "%d helpers instead of %zu", tasks(1, NULL), count);
}

static void one_helper(void)
{
    if (!helper_possible())
        skip_case("there can be no helper");
#ifdef TAKE_ABORT
    /* The address of abort() is then one in the program, if that is linked to a fixed place. */
    signal(SIGUSR2, (void (*)(int))abort);
    signal(SIGUSR2, SIG_DFL);
#endif
    have_another_thread();
    int threads = tasks(0, NULL), number = 0;
    for (int i = 0; i < 50; i++)
        release_all(0, fill(0, 4 * TEST_MIB, 16, 2000));
    NEED(tasks(1, NULL) == 0 && tasks(0, NULL) == threads, "a program that frees little has %d threads", tasks(0, NULL));
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
    /* All that can be blocked; 32 and 33 are the C library's own. */
    char path[64], status[4096];
    snprintf(path, sizeof path, "/proc/self/task/%d/status", number);
    const char *mask = strstr(contents(path, status, sizeof status), "SigBlk:");
    uint64_t unblockable = (uint64_t)1 << (SIGKILL - 1) | (uint64_t)1 << (SIGSTOP - 1) | (uint64_t)3 << 31;
    uint64_t blocked = mask ? strtoull(mask + 7, NULL, 16) : 0;
    NEED((blocked | unblockable) == UINT64_MAX, "it blocks the signals %016llx", (unsigned long long)blocked);
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

/* With an hour between passes nothing comes back, however long one looks; with less it does, and at once. */
static void delay_by_knob(void)
{
    if (!helper_possible() || TEST_SANITIZER)
        skip_case("there can be no helper, or what is resident says nothing");
    have_another_thread();
    tune("purge_delay=3600s");
    size_t before = resident_at_first(), end = fill(0, 64 * TEST_MIB, 500, 2000), peak = resident_bytes();
    release_all(0, end);
    need_helpers(1);
    for (int i = 0; i < 100; i++)
        doze();
    NEED(resident_bytes() > before + (peak - before) * 3 / 4, "%zu bytes resident at once, %zu before", resident_bytes(),
         before);
    tune("purge_delay=10ms");
    need_return(before, peak, 3 * TEST_MIB);
}

/* What a thread inherits from the one that makes it. */
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

/* Whoever starts the helper, it is scheduled as the process was at first. */
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

/* ---- processes ---------------------------------------------------------------------------------------------- */

static int wait_for(pid_t child)
{
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void child_of_helped(void)
{
    if (TEST_TSAN)
        skip_case("ThreadSanitizer has no threads in the child of a process with threads");
    if (test_emulated())
        skip_case("the emulator may hang in the child of a process with threads");
    if (helper_possible()) {
        have_another_thread();
        free_much();
        need_helpers(1);
    }
    size_t left = fill(0, 40 * TEST_MIB, 500, 2000);
    pid_t child = fork();
    if (child == 0) {
        alarm(test_patience(100));
        size_t before = resident_bytes(), end = fill(left, 64 * TEST_MIB, 500, 2000), peak = resident_bytes();
        release_all(left, end);
        need_return(before, peak, 6 * TEST_MIB);
        NEED(helpers_are(0), "a helper in a child with one thread");
        if (helper_possible()) {
            have_another_thread();
            free_much_from(left);
            need_helpers(1);
        }
        verify_heap();
        _exit(atomic_load(&problems) != 0);
    }
    NEED(wait_for(child) == 0, "the child failed");
    release_all(0, left);
}

static void *free_and_end(void *argument)
{
    unsigned rest = (unsigned)(uintptr_t)argument;
    free_much_from(rest % 2 * (MOST / 2));
    for (unsigned i = rest % 8; i; i--)
        sched_yield();
    return NULL;
}

/* The thread that leaves last is not always the same, and the helper is where chance has it. */
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

/* The process's last thread runs them, and the helper is none that outlives the main one. */
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

/* ---- what comes back is as good as new ---------------------------------------------------------------------- */

enum { WORKERS = 4, SLOTS = 3000 };
static atomic_int stop;

static size_t some_size(uint64_t r)
{
    size_t limits[] = {600, 600, 600, 4000, 4000, 40000, 300000, 3000000};
    unsigned which = r % 997 == 0 ? 7 : r % 97 == 0 ? 6 : r % 5;
    return (r >> 20) % limits[which] + 1;
}

static void *work(void *argument)
{
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    static struct block all[WORKERS][SLOTS];
    struct block *own = all[(uintptr_t)argument];
    for (unsigned long left = test_scale(600000); left && !atomic_load(&stop); left--) {
        uint64_t r = test_random(&random);
        /* Now and then most of it goes at once, so that there is something to give back. */
        size_t first = r % SLOTS, count = r >> 52 == 0 ? SLOTS : 1;
        for (size_t k = 0; k < count; k++) {
            struct block *block = &own[(first + k) % SLOTS];
            uint64_t seed = (uintptr_t)block;
            if (block->at) {
                NEED(pattern_check(block->at, block->size, seed) == SIZE_MAX, "a block of %zu bytes changed", block->size);
                free(block->at);
                block->at = NULL;
            } else if (count == 1) {
                size_t size = some_size(test_random(&random));
                int zeroed = r >> 63;
                *block = (struct block){zeroed ? calloc(1, size) : malloc(size), size};
                NEED(block->at != NULL, "no memory");
                NEED(!zeroed || first_nonzero(block->at, size) == SIZE_MAX, "calloc of %zu bytes is not zero", size);
                pattern_fill(block->at, size, seed);
            }
        }
        if (r >> 56 == 1)
            sched_yield();
    }
    for (size_t i = 0; i < SLOTS; i++)
        if (own[i].at) {
            NEED(pattern_check(own[i].at, own[i].size, (uintptr_t)&own[i]) == SIZE_MAX, "a block changed");
            free(own[i].at);
            own[i].at = NULL;
        }
    return NULL;
}

static void passes_all_the_time(const char *settings)
{
    tune(settings);
    have_another_thread();
    free_much(); /* so that there is a helper */
    size_t left = fill(0, 8 * TEST_MIB, 16, 5000);
    pthread_t threads[WORKERS];
    for (uintptr_t i = 0; i < WORKERS; i++)
        threads[i] = spawn(work, (void *)i);
    for (int i = 0; i < (int)test_scale(40) && !TEST_TSAN && !test_emulated(); i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(test_patience(60));
            release_all((size_t)i % 7, left);
            verify_heap();
            size_t end = fill(left, 20 * TEST_MIB, 16, 9000);
            verify_heap();
            release_all(0, end);
            verify_heap();
            _exit(atomic_load(&problems) != 0);
        }
        NEED(wait_for(child) == 0, "a child failed");
        doze();
    }
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    release_all(0, left);
    verify_heap();
}

static void model_with_helper(void) { passes_all_the_time("purge_delay=1ms,keep_free=64t"); }

static void model_without(void) { passes_all_the_time("purge_delay=1ms,purge_thread=no"); }

/* ------------------------------------------------------------------------------------------------------------- */

static void run_case(const char *what, void (*function)(void))
{
    pid_t child = fork();
    if (child == 0) {
        alarm(test_patience(100));
        function();
        _exit(atomic_load(&problems) != 0);
    }
    int status = wait_for(child);
    if (status == SKIPPED)
        tap_skip(what, "see above");
    else
        tap_ok(status == 0, "%s", what);
}

/* With an argument, only whether there is a helper. */
int main(int argc, char **argv)
{
    (void)argv;
    tap_watchdog(280);
    run_case("a program that frees little has no helper, one that frees much has one", one_helper);
    if (argc > 1)
        return tap_end();
    run_case("a program with one thread has one when it has freed much", one_thread);
    run_case("and can have a user namespace", own_user_namespace);
    run_case("what it frees comes back with the last free", at_once_small);
    run_case("large and huge blocks, too", at_once_large);
    run_case("and pages in slabs that are in use", at_once_holes);
    run_case("the helper leaves when one thread is left", helper_leaves_with_others);
    run_case("the helper is scheduled as the process was at its start", helper_as_process);
    run_case("exit handlers do not run in the helper", exit_handlers);
    run_case("what another thread freed comes back while its owners sleep", freed_by_another);
    run_case("what a thread freed itself comes back while it sleeps", freed_by_itself);
    run_case("large and huge blocks come back", large_and_huge);
    run_case("a few large blocks come back behind many small ones", large_behind_small);
    run_case("a few huge blocks come back behind many small ones", huge_behind_small);
    run_case("what is kept does not raise the peak", kept_below_peak);
    run_case("pages in slabs that are in use come back", holes);
    run_case("malloc_trim gives back pages in slabs that are in use", trim_in_slabs);
    run_case("without a helper memory comes back when some is freed", unaided);
    run_case("purge_thread starts and ends the helper", helper_by_knob);
    run_case("purge_delay is how long memory stays", delay_by_knob);
    run_case("memory comes back in the child of a process with a helper", child_of_helped);
    run_case("the helper keeps no process alive", keeps_nothing_alive);
    run_case("a thousand passes a second change no block", model_with_helper);
    run_case("nor do those of threads that free", model_without);
    return tap_end();
}
