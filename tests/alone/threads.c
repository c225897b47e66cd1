/* SPDX-License-Identifier: MIT */
/*
 * threads.c - threads that come and go, exchange blocks, free each other's and leave some behind: nothing is
 * stranded, nothing grows without bound, and what a foreign thread frees returns to its owner.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "../tap.h"
#include "names.h"

static atomic_long problems;

static void need(int good) { atomic_fetch_add(&problems, !good); }

static long more(size_t now, size_t before) { return (long)now - (long)before; }

/*
 * Whether memory was given back: no more is resident than `allowed` above what was before.  Addresses may stay with
 * the process; a sanitizer's shadow and quarantine are resident too, and then there is nothing to say.
 */
static void tap_given_back(size_t before, size_t allowed, const char *when)
{
    size_t now = resident_bytes();
    tap_ok(TEST_SANITIZER || test_emulated() || now <= before + allowed, "%ld bytes more resident %s", more(now, before), when);
}

static pthread_t spawn(void *(*function)(void *), void *argument)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, argument)) {
        tap_ok(0, "pthread_create");
        exit(tap_end());
    }
    return thread;
}

/* ---- 20 000 short threads ----------------------------------------------------------------------------------- */

enum { SHORT_BLOCKS = 48, AT_ONCE = 16 };

struct short_life {
    uint64_t random;
    unsigned char *left[SHORT_BLOCKS]; /* for main to free, when the thread is gone */
};

static size_t short_size(int i) { return i < 40 ? (size_t)(i + 1) * (i + 3) * 5 : (size_t)(i - 39) * 20000; }

static void *short_thread(void *argument)
{
    struct short_life *life = argument;
    unsigned char *own[SHORT_BLOCKS];
    for (int i = 0; i < SHORT_BLOCKS; i++) {
        own[i] = malloc(short_size(i));
        need(own[i] != NULL);
        memset(own[i], i, short_size(i));
        /* What the previous thread in this place has left. */
        if (test_random(&life->random) % 2) {
            free(life->left[i]);
            life->left[i] = NULL;
        }
    }
    for (int i = 0; i < SHORT_BLOCKS; i++) {
        need(own[i][0] == i && own[i][short_size(i) - 1] == i);
        if (life->left[i] || test_random(&life->random) % 2)
            free(own[i]);
        else
            life->left[i] = own[i];
    }
    return NULL;
}

static void short_lives(struct short_life *lives, unsigned long count)
{
    pthread_t threads[AT_ONCE];
    for (unsigned long i = 0; i < count; i += AT_ONCE) {
        for (int k = 0; k < AT_ONCE; k++)
            threads[k] = spawn(short_thread, &lives[k]);
        for (int k = 0; k < AT_ONCE; k++)
            pthread_join(threads[k], NULL);
    }
}

static void test_short_threads(void)
{
    static struct short_life lives[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++)
        lives[i].random = test_state((uint64_t)i);
    unsigned long count = test_scale(20000);
    short_lives(lives, count / 4 + 300);
    size_t held = held_bytes(), resident = resident_bytes();
    short_lives(lives, count);
    /* A heap grows into its steady state slowly; a thread that strands 4 KiB would be 80 MiB. */
    tap_ok(held_bytes() < held + held / 2 + 16 * TEST_MIB, "%lu threads: %zu bytes held, %zu after a quarter", count,
           held_bytes(), held);
    if (!TEST_SANITIZER)
        tap_ok(resident_bytes() < resident + resident / 2 + 16 * TEST_MIB, "%zu bytes resident, %zu after a quarter",
               resident_bytes(), resident);
    for (int i = 0; i < AT_ONCE; i++)
        for (int k = 0; k < SHORT_BLOCKS; k++)
            free(lives[i].left[k]);
    verify_heap();
}

/* ---- An exiting thread strands nothing ---------------------------------------------------------------------- */

enum { MANY = 60000 };
static unsigned char *many[MANY];

static void *fill_many(void *argument)
{
    size_t size = *(size_t *)argument;
    for (size_t i = 0; i < MANY; i++) {
        many[i] = malloc(size);
        need(many[i] != NULL);
        many[i][0] = many[i][size - 1] = (unsigned char)i;
    }
    return NULL;
}

static void *free_many(void *argument)
{
    size_t size = *(size_t *)argument;
    for (size_t i = 0; i < MANY; i++) {
        need(many[i][0] == (unsigned char)i && many[i][size - 1] == (unsigned char)i);
        free(many[i]);
    }
    return NULL;
}

static void *fill_and_free(void *argument)
{
    fill_many(argument);
    return free_many(argument);
}

static void test_exit_strands_nothing(size_t size)
{
    malloc_trim(0);
    memset(many, 0, sizeof(many));
    size_t live = live_bytes(), resident = resident_bytes(), held, all = MANY * size;

    pthread_join(spawn(fill_and_free, &size), NULL);
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + all / 50, "%ld bytes of a thread that has freed all and exited", more(live_bytes(), live));
    tap_given_back(resident, all / 10 + 4 * TEST_MIB, "after it");

    pthread_join(spawn(fill_many, &size), NULL);
    tap_ok(!HAK_STATS || live_bytes() >= live + all, "blocks outlive their thread");
    free_many(&size);
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + all / 50, "%ld bytes after main has freed an exited thread's", more(live_bytes(), live));
    tap_given_back(resident, all / 10 + 4 * TEST_MIB, "after it");

    pthread_join(spawn(fill_many, &size), NULL);
    pthread_join(spawn(free_many, &size), NULL);
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + all / 50, "%ld bytes when both threads have exited", more(live_bytes(), live));
    tap_given_back(resident, all / 10 + 4 * TEST_MIB, "after it");

    held = held_bytes();
    /* Again and again: an exited thread's memory serves the next one. */
    for (int i = 0; i < 10; i++) {
        pthread_join(spawn(fill_many, &size), NULL);
        pthread_join(spawn(free_many, &size), NULL);
    }
    tap_ok(held_bytes() < held + all * 2 + 8 * TEST_MIB, "%ld bytes held after ten pairs of threads",
           more(held_bytes(), held));
    malloc_trim(0);
    verify_heap();
}

/* ---- A block returns to its owner --------------------------------------------------------------------------- */

static pthread_barrier_t barrier;

static void *owner(void *argument)
{
    size_t size = *(size_t *)argument;
    fill_many(argument);
    size_t held = held_bytes();
    pthread_barrier_wait(&barrier); /* the other frees */
    pthread_barrier_wait(&barrier);
    fill_many(argument);
    tap_ok(held_bytes() < held + MANY * size / 10 + 4 * TEST_MIB,
           "%ld bytes more held to allocate again what another thread has freed", more(held_bytes(), held));
    free_many(argument);
    return NULL;
}

static void *other(void *argument)
{
    pthread_barrier_wait(&barrier);
    free_many(argument);
    pthread_barrier_wait(&barrier);
    return NULL;
}

/*
 * Rounds of "owner allocates, other frees": if blocks stayed with whoever frees them, the owner would need fresh
 * memory in every round.  The two never run at the same time, so what one leaves behind is a matter of design only.
 */
static void *owner_of_rounds(void *argument)
{
    for (int i = 0; i < 20; i++) {
        fill_many(argument);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void *other_of_rounds(void *argument)
{
    for (int i = 0; i < 20; i++) {
        pthread_barrier_wait(&barrier);
        free_many(argument);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void test_returns_to_owner(size_t size)
{
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_t a = spawn(owner, &size), b = spawn(other, &size);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    malloc_trim(0);
    size_t held = held_bytes();
    a = spawn(owner_of_rounds, &size);
    b = spawn(other_of_rounds, &size);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    tap_ok(held_bytes() < held + MANY * size * 5 / 4 + 8 * TEST_MIB,
           "%ld bytes more held after 20 rounds of %zu bytes", more(held_bytes(), held), MANY * size);
    verify_heap();
}

/* ---- 64 threads that exchange blocks ------------------------------------------------------------------------ */

enum { CROWD = 64, PLACES = 4096 };
static _Atomic(unsigned char *) places[PLACES];

static void *exchange(void *argument)
{
    uint64_t random = test_state((uint64_t)(uintptr_t)argument);
    for (unsigned long i = test_scale(60000); i; i--) {
        uint64_t r = test_random(&random);
        size_t size = 16 + (r >> 32) % (r % 64 ? 1000 : 40000);
        unsigned char *block = malloc(size);
        need(block != NULL);
        memcpy(block, &size, sizeof(size));
        block[size - 1] = 0x3c;
        unsigned char *got = atomic_exchange(&places[r % PLACES], block);
        if (got) {
            memcpy(&size, got, sizeof(size));
            need(got[size - 1] == 0x3c);
            free(got);
        }
    }
    return NULL;
}

static void test_crowd(void)
{
    pthread_t threads[CROWD];
    malloc_trim(0);
    size_t live = live_bytes(), held = held_bytes(), resident = resident_bytes();
    for (int round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < CROWD; i++)
            threads[i] = spawn(exchange, (void *)i);
        for (int i = 0; i < CROWD; i++)
            pthread_join(threads[i], NULL);
    }
    /* 4096 blocks of 1000 bytes at most on average; 64 heaps each with a slab of each of 60 classes would be 240
     * MiB. */
    tap_ok(held_bytes() < held + 300 * TEST_MIB, "64 threads exchanging blocks hold %ld bytes", more(held_bytes(), held));
    for (int i = 0; i < PLACES; i++)
        free(atomic_exchange(&places[i], NULL));
    malloc_trim(0);
    tap_ok(!HAK_STATS || live_bytes() < live + 65536, "%ld bytes live after them", more(live_bytes(), live));
    tap_given_back(resident, 16 * TEST_MIB, "after them");
    verify_heap();
}

/* ---- One allocates, one frees, both all the time ------------------------------------------------------------ */

enum { RING = 1024 };
static _Atomic(unsigned char *) ring[RING];

static void *produce(void *argument)
{
    uint64_t random = test_state(7);
    for (unsigned long i = 0, count = test_scale(3000000); i < count; i++) {
        size_t size = 16 + test_random(&random) % 500;
        unsigned char *block = malloc(size);
        need(block != NULL);
        block[0] = block[size - 1] = 1;
        while (atomic_load_explicit(&ring[i % RING], memory_order_relaxed))
            sched_yield();
        atomic_store(&ring[i % RING], block);
    }
    return argument;
}

static void *consume(void *argument)
{
    for (unsigned long i = 0, count = test_scale(3000000); i < count; i++) {
        unsigned char *block;
        while (!(block = atomic_exchange(&ring[i % RING], NULL)))
            sched_yield();
        need(block[0] == 1);
        free(block);
    }
    return argument;
}

static void test_producer_and_consumer(void)
{
    malloc_trim(0);
    size_t held = held_bytes();
    pthread_t a = spawn(produce, NULL), b = spawn(consume, NULL);
    pthread_join(a, NULL);
    size_t at_the_end = held_bytes();
    pthread_join(b, NULL);
    tap_ok(at_the_end < held + 16 * TEST_MIB, "a producer and a consumer hold %ld bytes", more(at_the_end, held));
    verify_heap();
}

/* ---- Many threads alive at once ----------------------------------------------------------------------------- */

static void *wait_with_heap(void *argument)
{
    unsigned char *blocks[20];
    for (size_t i = 0; i < 20; i++) {
        blocks[i] = malloc((i + 1) * 100);
        need(blocks[i] != NULL);
        pattern_fill(blocks[i], (i + 1) * 100, (uintptr_t)argument);
    }
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < 20; i++) {
        need(pattern_check(blocks[i], (i + 1) * 100, (uintptr_t)argument) == SIZE_MAX);
        free(blocks[i]);
    }
    return NULL;
}

static void test_many_at_once(void)
{
    enum { MOST = 3000 };
    static pthread_t threads[MOST];
    size_t count = test_scale(MOST);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, TEST_SANITIZER ? TEST_MIB : 64 * TEST_KIB);
    pthread_barrier_init(&barrier, NULL, (unsigned)count);
    for (uintptr_t i = 0; i < count; i++)
        if (pthread_create(&threads[i], &small, wait_with_heap, (void *)i)) {
            tap_skip("thousands of threads at once", "pthread_create fails");
            exit(tap_end());
        }
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    tap_ok(1, "%zu threads at once", count);
    verify_heap();
}

int main(void)
{
    tap_watchdog(120);
    test_short_threads();
    test_exit_strands_nothing(48);
    test_exit_strands_nothing(1000);
    test_returns_to_owner(48);
    test_returns_to_owner(1000);
    test_crowd();
    test_producer_and_consumer();
    test_many_at_once();
    tap_ok(atomic_load(&problems) == 0, "%ld problems with blocks", atomic_load(&problems));
    return tap_end();
}
