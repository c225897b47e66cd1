/* SPDX-License-Identifier: MIT */
/*
 * purging.h - what purge.c and helper.c share: cases, the threads of the process, blocks with a pattern, and how to
 * wait for memory to come back.
 *
 * Each case runs in a process of its own, forked from one that frees next to nothing, so that it begins without a
 * helper.  A case expects nothing within a certain time: it waits until the state is reached or patience ends.
 */
#ifndef HAKMEM_TESTS_PURGING_H
#define HAKMEM_TESTS_PURGING_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dirent64 */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
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

/* Reports a failure of the case unless the condition holds. */
#define NEED(condition, ...) ((condition) ? (void)0 : need_failed(__VA_ARGS__))
__attribute__((format(printf, 1, 2))) static inline void need_failed(const char *format, ...)
{
    char text[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (atomic_fetch_add(&problems, 1) < 10)
        tap_note("%s", text);
}

static inline void skip_case(const char *why)
{
    tap_note("%s", why);
    _exit(SKIPPED);
}

/* False if the knobs cannot be reached, or those of this build do not change. */
static inline int try_tune(const char *settings)
{
#ifndef TEST_CORE
    if (!hakmem_tune_parse)
        return 0;
#endif
    return hakmem_tune_parse(settings, NULL, NULL) == HAKMEM_TUNE_OK;
}

static inline void tune(const char *settings)
{
    if (!try_tune(settings))
        skip_case("the knobs cannot be reached, or those of this build do not change");
}

static inline void doze(void)
{
    struct timespec moment = {0, 10000000};
    nanosleep(&moment, NULL);
}

/* ---- threads of this process -------------------------------------------------------------------------------- */

/* The contents of a file, read without an allocation. */
static inline const char *contents(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, size - 1);
    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* The number of threads, or of helpers; *last is the thread number of one of them. */
static inline int tasks(int helpers, int *last)
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

static inline int is_library(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    (void)argument;
    return info->dlpi_name[0] && !strstr(info->dlpi_name, "vdso");
}

/* A static program, or one with limited addresses, cannot have a helper. */
static inline int helper_possible(void)
{
    struct rlimit limit;
    return dl_iterate_phdr(is_library, NULL) && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY &&
           access("/proc/self/task", R_OK) == 0;
}

static int calls_go_on; /* whether wait_until() calls the allocator */

/* So many frees that some take the slow path, which looks at the purge trigger. */
static inline void free_a_little(void)
{
    static void *few[4000];
    for (size_t i = 0; i < TEST_COUNT(few); i++)
        few[i] = malloc(200);
    for (size_t i = 0; i < TEST_COUNT(few); i++)
        free(few[i]);
}

static inline int wait_until(int (*holds)(size_t), size_t argument)
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

static inline int resident_is(size_t bytes) { return resident_bytes() <= bytes; }

static inline int helpers_are(size_t count) { return tasks(1, NULL) == (int)count; }

static inline pthread_t spawn(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument)) {
        need_failed("pthread_create");
        _exit(1);
    }
    return thread;
}

static inline void *allocate_and_sleep(void *argument)
{
    atomic_int *ready = argument;
    free(malloc(100));
    atomic_store(ready, 1);
    for (;;)
        pause();
    return NULL;
}

/* Starts a second thread with a cache. */
static inline void have_another_thread(void)
{
    atomic_int ready = 0;
    spawn(allocate_and_sleep, &ready);
    while (!atomic_load(&ready))
        doze();
}

static inline void need_helpers(size_t count)
{
    NEED(wait_until(helpers_are, count), "%d helpers instead of %zu", tasks(1, NULL), count);
}

/* ---- blocks ------------------------------------------------------------------------------------------------- */

enum { MOST = 400000 };
struct block {
    unsigned char *at;
    size_t size;
};
static struct block blocks[MOST];

/* Allocates `bytes` in the places from `from` on; returns the place behind the last. */
static inline size_t fill(size_t from, size_t bytes, size_t least, size_t most)
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

static inline void release(size_t i)
{
    NEED(pattern_check(blocks[i].at, blocks[i].size, i) == SIZE_MAX, "block %zu of %zu bytes has changed", i,
         blocks[i].size);
    free(blocks[i].at);
    blocks[i].at = NULL;
}

static inline void release_all(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (blocks[i].at)
            release(i);
}

static inline void free_much_from(size_t place)
{
    release_all(place, fill(place, 40 * TEST_MIB, 500, 2000));
}

static inline void free_much(void)
{
    free_much_from(0);
}

/* ---- cases --------------------------------------------------------------------------------------------------- */

static inline int wait_for(pid_t child)
{
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void run_case(const char *what, void (*function)(void))
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

#endif
