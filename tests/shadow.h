/* SPDX-License-Identifier: MIT */
/*
 * shadow.h - blocks of which a suite knows all that are live, and threads that work on them.
 *
 * The blocks are in `slots`.  A suite looks at them in one thread, while threads rest (run_threads()), and while threads
 * run and other blocks are held all the time (look_among_threads()).
 */
#ifndef HAKMEM_TESTS_SHADOW_H
#define HAKMEM_TESTS_SHADOW_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "suite.h"

/* Any thread may empty any slot and fill an empty one. */
enum { SLOTS = 6000 };
static _Atomic(void *) slots[SLOTS];

/* Of 64 blocks one has up to 3 MiB, two have up to 1 MiB, three up to 100 KiB, and the others up to 3000 bytes. */
static inline size_t some_size(uint64_t r)
{
    unsigned kind = r % 64;
    return (r >> 8) % (kind == 0 ? 3 * TEST_MIB : kind <= 2 ? TEST_MIB : kind <= 5 ? 100 * TEST_KIB : 3000);
}

static inline void change_some(uint64_t seed, unsigned long times)
{
    uint64_t random = test_state(seed);
    for (unsigned long i = 0; i < times; i++) {
        uint64_t r = test_random(&random);
        _Atomic(void *) *slot = &slots[(r >> 40) % SLOTS];
        void *block = atomic_exchange(slot, NULL);
        if (block && r >> 61 == 0) {
            void *resized = hakmem_realloc(block, some_size(r) + 1);
            NEED(resized, "realloc");
            block = resized;
        } else {
            hakmem_free(block);
            block = r >> 63 ? NULL : hakmem_malloc(some_size(r));
        }
        hakmem_free(atomic_exchange(slot, block));
    }
}

static inline void fill(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++)
        atomic_store(&slots[i], hakmem_malloc(size));
}

static inline void empty_all(void)
{
    for (size_t i = 0; i < SLOTS; i++)
        hakmem_free(atomic_exchange(&slots[i], NULL));
}

/* In the child of a fork blocks lie in the magazines and outboxes of threads that the fork has lost. */
static inline void check_child(void (*check)(const char *when))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        check("in the child of a fork");
        change_some(99, test_scale(4000));
        check("in the child of a fork, after some work");
        empty_all();
        check("in the child of a fork, all freed");
        _exit(0);
    }
    NEED(child > 0 && waitpid(child, &status, 0) == child, "fork");
    NEED(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child ended with status %x", (unsigned)status);
}

/* ---- threads that work and rest ---------------------------------------------------------------------------------- */

enum { THREADS = 12, ROUNDS = 6 };
static pthread_barrier_t barrier;

static inline void start(pthread_t *threads, size_t count, void *(*body)(void *))
{
    pthread_barrier_init(&barrier, NULL, (unsigned)count + 1);
    for (uintptr_t i = 0; i < count; i++)
        NEED(pthread_create(&threads[i], NULL, body, (void *)(i + 1)) == 0, "pthread_create");
}

static inline void join(const pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static inline void *work(void *number)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        change_some((uintptr_t)number * 1000 + round, test_scale(4000));
        pthread_barrier_wait(&barrier); /* all have stopped */
        pthread_barrier_wait(&barrier); /* somebody has looked */
    }
    return NULL;
}

/* Threads work on the slots; each time all rest, somebody looks. */
static inline void run_threads(void (*look)(unsigned round))
{
    pthread_t threads[THREADS];
    start(threads, THREADS, work);
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        look(round);
        pthread_barrier_wait(&barrier);
    }
    join(threads, THREADS);
}

/* ---- threads that run -------------------------------------------------------------------------------------------- */

/* Orders pointers by address. */
static inline int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

enum { HELD = 30000, HELD_SIZE = 256 };
static void *held[HELD]; /* live all the time, and sorted by address */
static atomic_int stop;

static inline void *churn(void *number)
{
    uint64_t random = test_state((uintptr_t)number);
    void *some[32] = {0};
    while (!atomic_load(&stop)) {
        uint64_t r = test_random(&random);
        void *block = some[r % 32];
        some[r % 32] = atomic_exchange(&slots[(r >> 8) % 64], block); /* others free it */
        hakmem_free(some[r % 32]);
        some[r % 32] = hakmem_malloc(HELD_SIZE);
    }
    for (size_t i = 0; i < 32; i++)
        hakmem_free(some[i]);
    return NULL;
}

static inline void look_among_threads(void (*look)(unsigned long), unsigned long times)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < HELD; i++)
        held[i] = hakmem_malloc(HELD_SIZE);
    qsort(held, HELD, sizeof *held, compare);
    start(threads, THREADS, churn);
    for (unsigned long i = 1; i <= times; i++)
        look(i);
    atomic_store(&stop, 1);
    join(threads, THREADS);
    empty_all();
    for (size_t i = 0; i < HELD; i++)
        hakmem_free(held[i]);
}

#endif
