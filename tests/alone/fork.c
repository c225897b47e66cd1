/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a process with many threads that all allocate forks again and again: each child allocates, frees blocks of
 * its parent's threads, forks itself, makes threads; and none ever waits for a lock that nobody is left to release.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../tap.h"
#include "names.h"

enum { ALLOCATING = 6, FORKING = 3, PARENTS_BLOCKS = 600 };

static atomic_int stop;
static atomic_long problems;
static unsigned char *blocks[PARENTS_BLOCKS];

static size_t size_of(size_t i)
{
    return i < 500 ? i * 7 + 1 : i < 580 ? i * 100 : i < 595 ? i * 500 : (i - 590) * 400000;
}

/* All of a thread's blocks come from different heaps: whichever thread it is that reaches the block first. */
static void *allocate_all_the_time(void *argument)
{
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    enum { SLOTS = 256 };
    void *slots[SLOTS] = {0};
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        uint64_t r = test_random(&random);
        size_t slot = r % SLOTS, size = (r >> 16) % (r >> 56 ? 2000 : 400000);
        if (r >> 60 == 1) {
            slots[slot] = realloc(slots[slot], size + 1);
        } else {
            free(slots[slot]);
            slots[slot] = r >> 60 == 2 ? aligned_alloc(256, size) : malloc(size);
        }
        if (!slots[slot])
            atomic_fetch_add(&problems, 1);
        if ((r >> 24) % 5000 == 0)
            malloc_trim(0);
    }
    for (size_t i = 0; i < SLOTS; i++)
        free(slots[i]);
    return NULL;
}

static void *fill_some(void *argument)
{
    for (size_t i = (size_t)(uintptr_t)argument; i < PARENTS_BLOCKS; i += ALLOCATING) {
        blocks[i] = malloc(size_of(i));
        if (blocks[i])
            pattern_fill(blocks[i], size_of(i), i);
    }
    return NULL;
}

#if !TEST_TSAN /* which supports no threads in the child of a process with threads */
static void *free_in_thread(void *argument)
{
    free(argument);
    free(malloc(1000));
    return NULL;
}
#endif

static int wait_for(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the child of fork number `number` does; 0 if all is well. */
static int child_work(unsigned long number)
{
    uint64_t random = test_state(number);
    void *own[16];
    alarm(test_patience(60)); /* a fork inherits no alarm, and a deadlock here would hang the parent */
    for (size_t i = 0; i < 16; i++) {
        uint64_t r = test_random(&random);
        size_t at = r % PARENTS_BLOCKS;
        own[i] = malloc(size_of((r >> 32) % 500));
        if (!own[i])
            return 1;
        if (blocks[at]) {
            if (pattern_check(blocks[at], size_of(at), at) != SIZE_MAX)
                return 2;
            free(blocks[at]);
            blocks[at] = NULL;
        }
    }
    if (number % 16 == 0) {
        for (size_t i = 0; i < PARENTS_BLOCKS; i++) {
            free(blocks[i]);
            blocks[i] = NULL;
        }
        malloc_trim(0);
    }
    for (size_t i = 0; i < 16; i++)
        free(own[i]);
    if (number % 8 == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(child_work(number + 1) != 0);
        if (!wait_for(grandchild))
            return 3;
    }
#if !TEST_TSAN
    if (number % 32 == 0) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, free_in_thread, malloc(100)) || pthread_join(thread, NULL))
            return 4;
    }
#endif
    if (number % 64 == 0)
        verify_heap();
    return 0;
}

#if !TEST_TSAN
/* ---- Generations: what the threads have that a fork leaves behind is used by those after it -------------------- */

/* All of them wait for the last: so many that what is lost in each would be seen, and few for a limit of processes. */
enum { GENERATIONS = 40, LOST = 4 };

static pthread_barrier_t barrier;

static void *fill_magazines(void *unused)
{
    static const size_t sizes[] = {100, 1000, 4000, 16000};
    void *some[256];
    for (size_t s = 0; s < TEST_COUNT(sizes); s++) {
        for (size_t i = 0; i < TEST_COUNT(some); i++)
            some[i] = malloc(sizes[s]);
        for (size_t i = 0; i < TEST_COUNT(some); i++)
            free(some[i]);
    }
    pthread_barrier_wait(&barrier);
    pause();
    return unused;
}

static int generation(int number, size_t held)
{
    alarm(test_patience(120));
    pthread_barrier_init(&barrier, NULL, LOST + 1);
    for (int i = 0; i < LOST; i++) {
        pthread_t thread;
        int error = pthread_create(&thread, NULL, fill_magazines, NULL);
        if (error) {
            tap_note("pthread_create in generation %d: %s", number, strerror(error));
            return 1;
        }
    }
    pthread_barrier_wait(&barrier);
    if (number == 3)
        held = held_bytes();
    if (number == GENERATIONS) {
        tap_note("%zu bytes held, %zu in the third generation", held_bytes(), held);
        /* How many of the threads were at it at the same moment is chance: one needs 5.4 MB. */
        size_t overlapping = LOST * (size_t)256 * (100 + 1000 + 4000 + 16000) * 9 / 8;
        return held_bytes() > (held > overlapping ? held : overlapping) + 8 * TEST_MIB;
    }
    pid_t child = fork();
    if (child == 0)
        _exit(generation(number + 1, held));
    if (child < 0)
        tap_note("fork in generation %d: %s", number, strerror(errno));
    return !wait_for(child);
}

static void test_generations(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(generation(0, 0));
    tap_ok(wait_for(child), "%d generations of processes, each losing %d threads, do not grow", GENERATIONS, LOST);
}
#endif

static atomic_ulong forks_left, forks_failed;

static void *fork_all_the_time(void *unused)
{
    unsigned long left;
    while ((left = atomic_fetch_sub(&forks_left, 1)) > 0 && left <= 1000000000) {
        pid_t child = fork();
        if (child == 0)
            _exit(child_work(left));
        if (!wait_for(child))
            atomic_fetch_add(&forks_failed, 1);
    }
    return unused;
}

int main(void)
{
    pthread_t threads[ALLOCATING], forking[FORKING];
#ifdef TEST_CORE
    unsigned long forks = test_scale(1000); /* with hak_verify(); the preloaded program makes more */
#else
    unsigned long forks = test_scale(1500);
#endif
    /* qemu-user forks without regard for the locks that its own threads hold, and then children hang in it. */
    if (test_emulated()) {
        tap_skip("forks while threads allocate", "the emulator may hang in them");
        return tap_end();
    }
    tap_watchdog(240);
#if !TEST_TSAN
    test_generations();
#endif
    for (uintptr_t i = 0; i < ALLOCATING; i++) {
        if (pthread_create(&threads[i], NULL, fill_some, (void *)i))
            return 99;
        pthread_join(threads[i], NULL);
    }
    for (uintptr_t i = 0; i < ALLOCATING; i++)
        if (pthread_create(&threads[i], NULL, allocate_all_the_time, (void *)i))
            return 99;
    atomic_store(&forks_left, forks);
    for (int i = 0; i < FORKING; i++)
        if (pthread_create(&forking[i], NULL, fork_all_the_time, NULL))
            return 99;
    for (int i = 0; i < FORKING; i++)
        pthread_join(forking[i], NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < ALLOCATING; i++)
        pthread_join(threads[i], NULL);
    tap_ok(atomic_load(&forks_failed) == 0, "%lu forks, %lu children failed", forks, atomic_load(&forks_failed));
    tap_ok(atomic_load(&problems) == 0, "the parent's threads went on");
    int good = 1;
    for (size_t i = 0; i < PARENTS_BLOCKS; i++) {
        good = good && pattern_check(blocks[i], size_of(i), i) == SIZE_MAX;
        free(blocks[i]);
    }
    tap_ok(good, "the parent's blocks are as they were");
    verify_heap();
    return tap_end();
}
