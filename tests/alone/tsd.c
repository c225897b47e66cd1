/* SPDX-License-Identifier: MIT */
/*
 * tsd.c - destructors of thread-specific data that allocate and free, in all rounds that POSIX allows, of keys made
 * before libhakmem made its own and after; destructors of C++ thread_local objects; and main leaving by pthread_exit.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/wait.h>

#include "../tap.h"
#include "names.h"

#define THREADS test_scale(2000)
#define SIZES 8

static pthread_key_t early_key, late_key, lazy_key, last_key;
static char last_rounds[PTHREAD_DESTRUCTOR_ITERATIONS + 1];
static atomic_long rounds, problems;
static _Atomic(void *) left_over[512];

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern char __dso_handle;

static const size_t sizes[SIZES] = {16, 48, 200, 1000, 5000, 40000, 200000, 1500000};

struct state {
    int round;
    pthread_key_t *key;
    unsigned char *blocks[SIZES];
};

static void fill(struct state *state)
{
    for (size_t i = 0; i < SIZES; i++) {
        state->blocks[i] = malloc(sizes[i]);
        if (!state->blocks[i])
            atomic_fetch_add(&problems, 1);
        else
            pattern_fill(state->blocks[i], sizes[i], (uint64_t)state->round);
    }
}

static void empty(struct state *state)
{
    for (size_t i = 0; i < SIZES; i++) {
        if (pattern_check(state->blocks[i], sizes[i], (uint64_t)state->round) != SIZE_MAX)
            atomic_fetch_add(&problems, 1);
        free(state->blocks[i]);
    }
}

/* Frees what the round before has left, allocates anew, and asks to be called again as long as that is allowed. */
static void destroy(void *argument)
{
    struct state *state = argument;
    empty(state);
    atomic_fetch_add(&rounds, 1);
    if (++state->round >= PTHREAD_DESTRUCTOR_ITERATIONS) {
        free(state);
        /* A last block that this thread will never free. */
        void *block = malloc(100);
        free(atomic_exchange(&left_over[(uintptr_t)block / 16 % TEST_COUNT(left_over)], block));
        return;
    }
    fill(state);
    pthread_setspecific(*state->key, state);
}

static void destroy_object(void *argument)
{
    struct state *state = argument;
    empty(state);
    free(state);
}

static struct state *new_state(pthread_key_t *key)
{
    struct state *state = calloc(1, sizeof(*state));
    state->key = key;
    fill(state);
    return state;
}

static void *thread(void *unused)
{
    pthread_setspecific(early_key, new_state(&early_key));
    pthread_setspecific(late_key, new_state(&late_key));
    __cxa_thread_atexit_impl(destroy_object, new_state(NULL), &__dso_handle);
    return unused;
}

/*
 * A thread whose only use of the allocator is in its destructor: whatever has been done for threads that end must
 * be done for this one as well.
 */
static void lazy_destroy(void *argument)
{
    struct state state = {.round = 0};
    (void)argument;
    fill(&state);
    empty(&state);
    void *block = malloc(100);
    free(atomic_exchange(&left_over[(uintptr_t)block / 16 % TEST_COUNT(left_over)], block));
}

static void *lazy_thread(void *unused)
{
    pthread_setspecific(lazy_key, &lazy_key);
    return unused;
}

/* A thread whose first use of the allocator is in its last round of destructors: nothing of libc's tells anybody
 * afterwards that it has ended. */
static void last_destroy(void *argument)
{
    char *round = argument;
    if (++round < last_rounds + PTHREAD_DESTRUCTOR_ITERATIONS)
        pthread_setspecific(last_key, round);
    else
        lazy_destroy(NULL);
}

static void *last_thread(void *unused)
{
    pthread_setspecific(last_key, last_rounds);
    return unused;
}

static void make_early_key(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    (void)environment;
    pthread_key_create(&early_key, destroy);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(int, char **,
                                                                              char **) = make_early_key;

static void run(void *(*function)(void *), unsigned long count)
{
    enum { AT_ONCE = 8 };
    pthread_t threads[AT_ONCE];
    for (unsigned long i = 0; i < count; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            if (pthread_create(&threads[k], NULL, function, NULL))
                atomic_fetch_add(&problems, 1);
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
}

static void free_left_over(void)
{
    for (size_t i = 0; i < TEST_COUNT(left_over); i++)
        free(atomic_exchange(&left_over[i], NULL));
}

static void *after_main(void *argument)
{
    pthread_join(*(pthread_t *)argument, NULL);
    tap_ok(1, "main has left by pthread_exit");
    void *block = malloc(1000);
    tap_ok(block != NULL, "a thread goes on without main");
    free(block);
    tap_ok(atomic_load(&problems) == 0, "main's destructors");
    exit(tap_end());
}

/* A process without a main thread whose last thread ends unseen, and that has freed enough for a helper to be there. */
static void leave_unseen(void)
{
    static char *blocks[32 * 1024];
    for (size_t i = 0; i < TEST_COUNT(blocks); i++)
        blocks[i] = malloc(1024);
    for (size_t i = 0; i < TEST_COUNT(blocks); i++)
        free(blocks[i]);
    run(last_thread, 1);
    pthread_exit(NULL);
}

static void ends_without_main(void)
{
    int status = -1;
    if (test_emulated()) {
        tap_skip("a process ends with its last thread, which ended unseen", "with a helper here, the child may hang");
        return;
    }
    pid_t child = fork();
    if (child == 0)
        leave_unseen();
    for (int left = 3000; left && child > 0 && waitpid(child, &status, WNOHANG) == 0; left--)
        usleep(10000);
    if (status == -1 && child > 0)
        kill(child, SIGKILL); /* the helper would hear no other signal */
    tap_ok(status == 0, "a process ends with its last thread, which ended unseen: status %d", status);
}

int main(void)
{
    static pthread_t main_thread, last;
    tap_watchdog(60);
    pthread_key_create(&late_key, destroy);
    pthread_key_create(&lazy_key, lazy_destroy);
    pthread_key_create(&last_key, last_destroy);
    run(thread, test_scale(1000));
    run(lazy_thread, test_scale(1000));
    run(last_thread, test_scale(1000));
    free_left_over();
    malloc_trim(0);
    size_t live = live_bytes(), held = held_bytes();
    run(thread, THREADS);
    run(lazy_thread, THREADS);
    tap_ok(atomic_load(&problems) == 0, "%ld problems in %ld rounds of destructors", atomic_load(&problems),
           atomic_load(&rounds));
    tap_ok(atomic_load(&rounds) >= (long)THREADS * PTHREAD_DESTRUCTOR_ITERATIONS * 2, "%ld rounds",
           atomic_load(&rounds));
    free_left_over();
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + 65536, "%zu bytes live, %zu before", live_bytes(), live);
    tap_ok(held_bytes() < held + 24 * TEST_MIB, "%zu bytes held, %zu before", held_bytes(), held);

    unsigned long count = test_scale(20000);
    size_t resident = resident_bytes();
    run(last_thread, count);
    free_left_over();
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + 65536, "%zu bytes live after %lu threads' last rounds", live_bytes(),
           count);
    tap_ok(test_emulated() || resident_bytes() < resident + 24 * TEST_MIB, "%zu bytes resident, %zu before",
           resident_bytes(), resident);

    /* In a static program pthread_exit needs a library that it does not have. */
    if (getauxval(AT_BASE) == 0)
        return tap_end();
    ends_without_main();
    pthread_setspecific(early_key, new_state(&early_key));
    pthread_setspecific(late_key, new_state(&late_key));
    main_thread = pthread_self();
    if (pthread_create(&last, NULL, after_main, &main_thread))
        return 1;
    pthread_exit(NULL);
}
