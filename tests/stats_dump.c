/* SPDX-License-Identifier: MIT */
/*
 * stats_dump.c - a program for stats.sh, on the core library: statistics at exit and on SIGUSR2, as HAKMEM_TUNE asks.
 *
 *     stats_dump exit             exits with something live
 *     stats_dump lock             exits while it holds the lock of a heap
 *     stats_dump signal           sends itself the signal, first at ease, then while it holds the lock of a heap
 *     stats_dump storm            sends itself the signal again and again while threads allocate
 *     stats_dump handler          has a handler of its own for the signal
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common.h"
#include "hakmem.h"
#include "heap/registry.h"
#include "stats/stats.h"

enum { THREADS = 4 };
static atomic_int stop;

static void *allocate(void *number)
{
    uint64_t random = test_state((uintptr_t)number);
    void *some[64] = {0};
    while (!atomic_load(&stop)) {
        uint64_t r = test_random(&random);
        hakmem_free(some[r % 64]);
        some[r % 64] = hakmem_malloc((r >> 8) % (r >> 60 ? 1000 : 300000));
    }
    for (unsigned i = 0; i < 64; i++)
        hakmem_free(some[i]);
    return NULL;
}

static void storm(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, allocate, (void *)i))
            exit(99);
    for (unsigned long i = 0; i < test_scale(200); i++) {
        usleep(1000);
        pthread_kill(threads[i % THREADS], SIGUSR2);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void own_handler(int number)
{
    static const char text[] = "the program's own handler\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

static struct hak_lock *a_lock(void)
{
    return &hak_heap_numbered(hak_heap_count())->lock;
}

/* One argument is to end with a lock held. */
HAK_UNCHECKED int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    void *live = hakmem_malloc(5000);
    alarm(test_patience(60));
    if (strcmp(what, "exit") == 0 || strcmp(what, "lock") == 0) {
        if (*what == 'l')
            hak_lock(a_lock());
        return live == NULL;
    }
    if (strcmp(what, "handler") == 0) {
        signal(SIGUSR2, own_handler);
        hak_dump_start(); /* as if the library started only now */
    }
    if (strcmp(what, "storm") == 0) {
        storm();
    } else {
        raise(SIGUSR2);
        hak_lock(a_lock());
        raise(SIGUSR2);
        hak_unlock(a_lock());
    }
    hakmem_free(live);
    puts("went on");
    return 0;
}
