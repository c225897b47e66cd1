/* SPDX-License-Identifier: MIT */
/*
 * growth.c - what growth.sh counts the instructions of: the cost of a fixed number of calls in a process that holds n
 * things of one kind.  `growth CASE N` brings N of them about, and then calls growth_measured(), which makes the calls.
 *
 * A program of its own on the core library, run by callgrind.  Nothing here depends on time.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "common.h"
#include "hakmem.h"
#include "one_processor.h"
#include "os/os.h"
#include "pages/huge.h"
#include "pages/superslab.h"

enum { MOST = 1 << 20, CALLS = 512 };
static void *blocks[MOST], *more[CALLS * 8];
static size_t count; /* the N of the command line */

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "growth: %s\n", what);
    _exit(99);
}

static void *take(size_t size)
{
    void *block = hakmem_malloc(size);
    if (!block)
        give_up("no memory");
    return block;
}

/* ---- slabs that a thread left behind ---- */

enum { LEFT_SIZE = 1000, LEFT_PER_SLAB = 64, LEFT_EACH = 16 };

/* Leaves one block of sixteen. */
static void *leave_slabs(void *unused)
{
    uint64_t random = test_state(1);
    size_t all = count * LEFT_PER_SLAB;
    for (size_t i = 0; i < all; i++)
        blocks[i] = take(LEFT_SIZE);
    for (size_t i = all - 1; i > 0; i--) {
        size_t other = test_random(&random) % (i + 1);
        void *block = blocks[i];
        blocks[i] = blocks[other];
        blocks[other] = block;
    }
    for (size_t i = 0; i < all - all / LEFT_EACH; i++)
        hakmem_free(blocks[i]);
    return unused;
}

static void slabs_are_left(void)
{
    pthread_t thread;
    take(LEFT_SIZE); /* main has a heap of its own */
    if (count * LEFT_PER_SLAB > MOST || pthread_create(&thread, NULL, leave_slabs, NULL) || pthread_join(thread, NULL))
        give_up("cannot leave slabs");
}

static void take_another_class(void)
{
    for (size_t i = 0; i < CALLS * 8; i++)
        more[i] = take(2 * LEFT_SIZE);
}

static void take_the_class_left(void)
{
    for (size_t i = 0; i < CALLS * 8; i++)
        more[i] = take(LEFT_SIZE);
}

/* ---- threads ---- */

static pthread_t threads[MOST / 1024];
static sem_t started, leave[MOST / 1024];

/* A thread with something of everything: a block of its own, and one of another thread's in its outbox. */
static void *live(void *number)
{
    void *own = take(100), **foreign = number;
    hakmem_free(*foreign);
    *foreign = NULL;
    hakmem_free(own);
    sem_post(&started);
    sem_wait(&leave[foreign - blocks]);
    return NULL;
}

static void threads_are_there(void)
{
    if (count > TEST_COUNT(threads))
        give_up("too many threads");
    sem_init(&started, 0, 0);
    for (size_t i = 0; i < count; i++) {
        blocks[i] = take(200);
        sem_init(&leave[i], 0, 0);
        if (pthread_create(&threads[i], NULL, live, &blocks[i]))
            give_up("no thread");
        sem_wait(&started);
    }
}

/* The oldest first.  What is counted is a function of the library. */
static void let_threads_exit(void)
{
    for (size_t i = 0; i < count / 2; i++) {
        sem_post(&leave[i]);
        pthread_join(threads[i], NULL);
    }
}

static void write_nothing(void *written, const char *text, size_t length)
{
    (void)text;
    *(size_t *)written += length;
}

static void print_snapshots(void)
{
    size_t written = 0;
    hakmem_stats_print(HAKMEM_STATS_PROMETHEUS, write_nothing, &written);
    hakmem_stats_print(HAKMEM_STATS_JSON, write_nothing, &written);
    if (written == 0)
        give_up("no snapshot");
}

static void threads_and_blocks_are_there(void)
{
    threads_are_there();
    for (size_t i = 0; i < 20000; i++)
        take(1000);
}

static int count_block(void *seen, void *block, size_t size, int class)
{
    (void)block;
    (void)size;
    (void)class;
    ++*(size_t *)seen;
    return 0;
}

static void walk(void)
{
    size_t seen = 0;
    if (hakmem_walk(count_block, &seen) || seen < 20000)
        give_up("not all blocks were visited");
}

/* ---- superslabs and huge blocks ---- */

/* Each superslab has free units that hold no memory, none next to another. */
static void superslabs_have_holes(void)
{
    if (count * 16 > MOST)
        give_up("too many superslabs");
    for (size_t i = 0; i < count * 16; i++)
        if (!(blocks[i] = hakmem_aligned_alloc(2 * 65536, 60000)))
            give_up("no memory");
}

static void take_what_fits_nowhere(void)
{
    for (size_t i = 0; i < CALLS; i++)
        more[i] = take(500000);
}

static void take_aligned(void)
{
    for (size_t i = 0; i < CALLS; i++)
        if (!(more[i] = hakmem_aligned_alloc(TEST_MIB, 60000)))
            give_up("no memory");
}

static void large_blocks_are_there(void)
{
    if (count > MOST)
        give_up("too many blocks");
    for (size_t i = 0; i < count; i++)
        blocks[i] = take(1100000);
}

static void take_and_free(void)
{
    for (size_t i = 0; i < CALLS; i++)
        more[i] = take(1300000 + i * 4096);
    for (size_t i = 0; i < CALLS; i++)
        hakmem_free(more[i]);
}

/* Each block of more than 1 MiB is a mapping of its own, as those above 64 MiB are otherwise. */
static void huge_blocks_are_there(void)
{
    take(100);
    hak_super_run_max = TEST_MIB;
    large_blocks_are_there();
}

/* Mappings that the kernel would not take back, none next to another. */
static void mappings_are_stuck(void)
{
    huge_blocks_are_there();
    atomic_store(&hak_os_fail_unmap, 1);
    for (size_t i = 0; i < count; i += 2)
        hakmem_free(blocks[i]);
    if (hak_huge_count().stuck < count / 4 * 1100000)
        give_up("they are not stuck");
}

/* ---- the table ---- */

static const struct growth {
    const char *name;
    void (*before)(void), (*measured)(void);
} cases[] = {
    {"slabs-left-other-class", slabs_are_left, take_another_class},
    {"slabs-left-same-class", slabs_are_left, take_the_class_left},
    {"thread-exit", threads_are_there, let_threads_exit},
    {"snapshot", threads_are_there, print_snapshots},
    {"walk", threads_and_blocks_are_there, walk},
    {"holes-grow", superslabs_have_holes, take_what_fits_nowhere},
    {"holes-aligned", superslabs_have_holes, take_aligned},
    {"large-blocks", large_blocks_are_there, take_and_free},
    {"huge-blocks", huge_blocks_are_there, take_and_free},
    {"stuck-mappings", mappings_are_stuck, take_and_free},
};

__attribute__((noinline)) void growth_measured(const struct growth *growth);
void growth_measured(const struct growth *growth)
{
    growth->measured();
    atomic_signal_fence(memory_order_seq_cst); /* no tail call, by which callgrind would lose it */
}

int main(int argc, char **argv)
{
    use_one_processor();
    count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
    for (size_t i = 0; i < TEST_COUNT(cases) && count; i++)
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].before();
            growth_measured(&cases[i]);
            _exit(0);
        }
    give_up("usage: growth CASE NUMBER");
}
