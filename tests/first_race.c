/* SPDX-License-Identifier: MIT */
/*
 * first_race.c - the first call of the process comes from 64 threads at once, with ten different functions; and another
 * thread forks in the midst of it.  Linked with the core library: pthread_create would make the first call otherwise.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "hakmem.h"
#include "tap.h"
#include "stats/verify.h"

enum { THREADS = 64 };

static atomic_int ready, go, problems;
static unsigned char *_Atomic blocks[THREADS];

static size_t size_of(int i) { return (size_t)i * (size_t)i * 40 + 1; }

static void *first_call(int i)
{
    size_t size = size_of(i);
    void *block = NULL;
    switch (i % 10) {
    case 0:
        hakmem_free(NULL);
        return hakmem_malloc(size);
    case 1:
        return hakmem_calloc(1, size);
    case 2:
        return hakmem_realloc(NULL, size);
    case 3:
        return hakmem_aligned_alloc(4096, size);
    case 4:
        return hakmem_posix_memalign(&block, 64, size) ? NULL : block;
    case 5:
        if (hakmem_malloc_usable_size(NULL))
            atomic_fetch_add(&problems, 1);
        return hakmem_malloc(size);
    case 6:
        (void)hakmem_mallinfo2();
        return hakmem_malloc(size);
    case 7:
        hakmem_malloc_trim(0);
        return hakmem_malloc(size);
    case 8:
        return hakmem_malloc(size + 3 * TEST_MIB);
    default:
        return hakmem_malloc(size);
    }
}

static void *thread(void *argument)
{
    int i = (int)(intptr_t)argument;
    atomic_fetch_add(&ready, 1);
    while (!atomic_load(&go))
        sched_yield();
    unsigned char *block = first_call(i);
    if (!block) {
        atomic_fetch_add(&problems, 1);
        return NULL;
    }
    pattern_fill(block, size_of(i), (uint64_t)i);
    atomic_store(&blocks[i], block);
    return NULL;
}

/* Runs in a child process, for each process has one first call only. */
static int race(void)
{
    pthread_t threads[THREADS];
    alarm(test_patience(20));
    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)i))
            return 2;
    while (atomic_load(&ready) < THREADS)
        sched_yield();
    atomic_store(&go, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++) {
        unsigned char *block = atomic_load(&blocks[i]);
        if (!block || pattern_check(block, size_of(i), (uint64_t)i) != SIZE_MAX)
            return 4;
        hakmem_free(block);
    }
    hak_verify();
    return atomic_load(&problems) != 0;
}

#if !TEST_SANITIZER
/* The start calls this, and it returns when another thread has forked. */
static atomic_int starting, may_go_on = 1;

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    int (*real)(pthread_key_t *, void (*)(void *)) = dlsym(RTLD_NEXT, "pthread_key_create");
    atomic_store(&starting, 1);
    while (!atomic_load(&may_go_on))
        sched_yield();
    return real(key, destructor);
}

static void *allocate(void *unused)
{
    (void)unused;
    for (size_t size = 1; size < 5000000; size *= 3) {
        void *block = hakmem_calloc(1, size);
        if (!block || first_nonzero(block, size) != SIZE_MAX)
            atomic_fetch_add(&problems, 1);
        hakmem_free(block);
    }
    return NULL;
}

static int in_threads(int count)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, allocate, NULL))
            return 2;
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    hak_verify();
    return atomic_load(&problems) != 0;
}

/* Nobody goes on with the start in the child: whoever comes first there must do it, and so in the child's child. */
static int fork_in_the_start(void)
{
    pthread_t starter;
    int status;
    alarm(test_patience(20));
    atomic_store(&may_go_on, 0);
    if (pthread_create(&starter, NULL, allocate, NULL))
        return 2;
    while (!atomic_load(&starting))
        sched_yield();
    pid_t child = fork();
    if (child == 0) {
        alarm(test_patience(20));
        atomic_store(&may_go_on, 1);
        status = in_threads(4);
        child = fork();
        if (child == 0)
            _exit(in_threads(4));
        if (status)
            _exit(status);
    } else {
        atomic_store(&may_go_on, 1);
        pthread_join(starter, NULL);
    }
    return child < 0 || waitpid(child, &status, 0) < 0 || status || atomic_load(&problems);
}

#else /* its run-time library calls pthread_key_create itself, early */
static int fork_in_the_start(void) { return 1; }
#endif

static int rounds, failed, forked, forks_failed;

static int in_child(int (*function)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(function());
    return child < 0 || waitpid(child, &status, 0) < 0 ? -1 : status;
}

static void run_all(void)
{
    rounds = (int)test_scale(150);
    for (int i = 0; i < rounds; i++) {
        int status = in_child(race);
        if (status) {
            tap_note("round %d: status %#x", i, (unsigned)status);
            failed++;
        }
    }
    for (; forked < (int)test_scale(40) && !forks_failed && !TEST_SANITIZER && !test_emulated(); forked++) {
        int status = in_child(fork_in_the_start);
        if (status) {
            tap_note("fork %d: status %#x", forked, (unsigned)status);
            forks_failed++;
        }
    }
}

/*
 * The library's constructor would make the first call.  Before all constructors is where a race can be had; where a
 * sanitizer has to set itself up first, the race is run in main and shows what it can.
 */
#if !TEST_SANITIZER
extern char **environ;

static void before_constructors(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    environ = environment; /* where test_scale() looks; libc has not set it yet */
    tap_watchdog(120);
    run_all();
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **,
                                                                              char **) = before_constructors;
#endif

int main(void)
{
    if (TEST_SANITIZER) {
        tap_watchdog(120);
        run_all();
    }
    tap_ok(rounds > 0 && failed == 0, "%d times 64 threads made the first call, %d failed", rounds, failed);
    if (TEST_SANITIZER)
        tap_skip("a fork in the midst of the first call", "a sanitizer has threads of its own");
    else if (test_emulated())
        tap_skip("a fork in the midst of the first call", "the emulator may hang in it");
    else
        tap_ok(forked > 0 && forks_failed == 0, "%d times a thread forked in the midst of it, %d failed", forked,
               forks_failed);
    return tap_end();
}
