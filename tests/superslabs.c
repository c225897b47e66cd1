/* SPDX-License-Identifier: MIT */
/*
 * superslabs.c - a simulated large heap, of which growth.sh counts the instructions: `superslabs N` maps N superslabs,
 * of which hardly anything is touched, in 64 threads with a heap each.  64 thousand superslabs are 128 GiB.
 *
 * Each superslab has one live block of 17 to 31 units and a hole behind it.  In the first half the holes are clean, in
 * the second dirty and freed just now.  Each step is 512 calls, eight of each thread, one thread at a time; growth.sh
 * reads the count of a step from the dump that callgrind makes before step_ends().  The steps' names go to stdout.
 *
 * A program of its own on the core library.  Nothing here depends on time.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>

#include "common.h"
#include "hakmem.h"
#include "one_processor.h"
#include "pages/superslab.h"
#include "purge/purge.h"

enum { THREADS = 64, CALLS = 8, MOST = 1 << 16, LEAST_UNITS = 17, MOST_UNITS = 31 };

static void *blocks[2][MOST / 2]; /* by half of the heap and by superslab */
static size_t share;              /* superslabs of a thread in each half */
static void (*act)(size_t thread);
static sem_t go[THREADS], done;

__attribute__((noreturn)) static void give_up(int status, const char *what)
{
    fprintf(stderr, "superslabs: %s\n", what);
    _exit(status);
}

static void *need(void *block)
{
    if (!block)
        give_up(77, "no memory"); /* of addresses or of what may be committed */
    return block;
}

static void *take(size_t units)
{
    return need(hakmem_malloc(units * HAK_UNIT));
}

/* Lengths of blocks: the same for each N. */
static size_t units_of(size_t superslab)
{
    return LEAST_UNITS + superslab * 7 % (MOST_UNITS - LEAST_UNITS + 1);
}

/* The superslab of a call: another thread's, and no neighbour of one that another call chose. */
static size_t chosen(size_t thread, size_t call)
{
    return (thread + 1) % THREADS * share + 2 * call;
}

/* ---- threads ---- */

static void *live(void *number)
{
    size_t thread = (size_t)number;
    for (;;) {
        sem_wait(&go[thread]);
        act(thread);
        sem_post(&done);
    }
    return NULL;
}

static void in_turn(void (*what)(size_t thread))
{
    act = what;
    for (size_t i = 0; i < THREADS; i++) {
        sem_post(&go[i]);
        sem_wait(&done);
    }
}

static void threads_are_there(void)
{
    sem_init(&done, 0, 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_t thread;
        sem_init(&go[i], 0, 0);
        if (pthread_create(&thread, NULL, live, (void *)i))
            give_up(99, "no thread");
    }
}

/* ---- the heap ---- */

static void *carve(size_t superslab, size_t units)
{
    char *block = need(hakmem_aligned_alloc(HAK_SUPER, units * HAK_UNIT));
    if (superslab % 16 == 0)
        *block = 1;
    return block;
}

static void thread_carves_clean(size_t thread)
{
    for (size_t i = thread * share; i < (thread + 1) * share; i++)
        blocks[0][i] = carve(i, units_of(i));
}

static void thread_carves_whole(size_t thread)
{
    for (size_t i = thread * share; i < (thread + 1) * share; i++)
        blocks[1][i] = carve(i, HAK_SUPER_UNITS);
}

static void resize(void *block, size_t units)
{
    if (hakmem_realloc(block, units * HAK_UNIT) != block)
        give_up(99, "a block with room was moved");
}

static void thread_makes_holes(size_t thread)
{
    for (size_t i = thread * share; i < (thread + 1) * share; i++)
        resize(blocks[1][i], units_of(i));
}

/* So many superslabs, free and dirty as far as is known: one run.  A call for each superslab would be slow. */
static void free_supers(size_t count)
{
    static void *runs[MOST / 2 / HAK_CHUNK_SUPERS];
    size_t many = count / HAK_CHUNK_SUPERS;
    for (size_t i = 0; i < many; i++)
        runs[i] = need(hakmem_malloc(HAK_RUN_MAX));
    for (size_t i = 0; i < many; i++)
        hakmem_free(runs[i]);
}

static size_t passes(unsigned times)
{
    size_t given = 0;
    bool round;
    while (times--)
        given += hak_purge_pass(&round);
    return given;
}

/* ---- steps, of one thread ---- */

static void thread_frees(size_t thread)
{
    for (size_t i = 0; i < CALLS; i++)
        hakmem_free(blocks[0][chosen(thread, i)]);
}

static void thread_joins(size_t thread)
{
    for (size_t i = 0; i < CALLS; i++)
        hakmem_free(blocks[1][chosen(thread, i)]);
}

static void thread_extends(size_t thread)
{
    for (size_t i = 0; i < CALLS; i++)
        resize(blocks[1][chosen(thread, i) + 1], units_of(chosen(thread, i) + 1) + 1);
}

static void thread_finds(size_t thread)
{
    for (size_t i = 0; i < CALLS; i++)
        take(1 + (thread + i) % 15);
}

static void thread_finds_aligned(size_t thread)
{
    (void)thread;
    for (size_t i = 0; i < CALLS; i++)
        need(hakmem_aligned_alloc(16 * HAK_UNIT, 9 * HAK_UNIT)); /* no hole has a place for it */
}

static void thread_makes_slabs(size_t thread)
{
    (void)thread;
    for (size_t i = 0; i < CALLS; i++)
        need(hakmem_malloc(20000));
}

static void thread_grows(size_t thread)
{
    (void)thread;
    for (size_t i = 0; i < CALLS; i++)
        take(2 * HAK_SUPER_UNITS + 1);
}

static void pass_in_vain(void)
{
    if (passes(1))
        give_up(99, "something was due too early");
}

/* What was freed three passes ago, among what has been freed since. */
static void purge(void)
{
    size_t given = passes(1), least = (size_t)THREADS * CALLS * LEAST_UNITS * HAK_UNIT;
    if (given < least || given > 2 * least)
        give_up(99, "the pass gave back other than what was due");
}

/* ---- measured ---- */

__attribute__((noinline)) void step_measured(void (*step)(void));
__attribute__((noinline)) void step_ends(void);

static void (*counted)(size_t thread);

void step_measured(void (*step)(void))
{
    step();
    atomic_signal_fence(memory_order_seq_cst); /* no tail call, by which callgrind would lose it */
}

static size_t current;

static void run_counted(void)
{
    counted(current);
}

/* Calls look at what is free when much was freed, or in the course of time: that is a step of its own. */
static void no_looks(void)
{
    hak_store(&hak_trigger.units, SIZE_MAX);
    hak_store(&hak_trigger.due, HAK_PURGE_NONE);
}

static void measure_thread(size_t thread)
{
    current = thread;
    no_looks();
    step_measured(run_counted);
}

static void look(void)
{
    hak_caller_tick(true);
}

static void measure(const char *name, void (*step)(void))
{
    puts(name);
    no_looks();
    step_measured(step);
    step_ends();
}

void step_ends(void)
{
    atomic_signal_fence(memory_order_seq_cst);
}

static void measure_in_turn(const char *name, void (*step)(size_t thread))
{
    puts(name);
    counted = step;
    in_turn(measure_thread);
    step_ends();
}

int main(int argc, char **argv)
{
    size_t count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
    if (count > MOST || count % (THREADS * HAK_CHUNK_SUPERS * 2) != 0 || count == 0)
        give_up(99, "usage: superslabs NUMBER, of 4096 times something up to 65536");
    use_one_processor();
    threads_are_there();
    share = count / 2 / THREADS;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

    free_supers(count / 2);
    passes(2 * HAK_PURGE_PASSES);
    in_turn(thread_carves_clean);
    free_supers(count / 2);
    in_turn(thread_carves_whole);

    measure_in_turn("free", thread_frees);
    passes(HAK_PURGE_PASSES - 1);
    in_turn(thread_makes_holes);
    measure("pass", pass_in_vain);
    measure("purge", purge);
    measure("look", look);
    measure_in_turn("extend", thread_extends);
    measure_in_turn("find", thread_finds);
    measure_in_turn("find-aligned", thread_finds_aligned);
    measure_in_turn("slabs", thread_makes_slabs);
    measure_in_turn("join", thread_joins);
    measure_in_turn("grow", thread_grows);
    fflush(stdout);
    _exit(0);
}
