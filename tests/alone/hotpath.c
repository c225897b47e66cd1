/* SPDX-License-Identifier: MIT */
/*
 * hotpath.c - the loops whose instructions hotpath.sh counts: `hotpath NAME COUNT` does COUNT times what NAME says,
 * all of it between measured() being entered and left.  Two counts' difference is the cost of the loop alone, and
 * "nothing" tells how much of it is the loop itself.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, MOST = 1 << 20 };

static void *slots[MOST];

#define NOINLINE __attribute__((noinline, noclone))

/* Stand-ins for the calls measured, to see what the loops cost without them. */
static NOINLINE void *no_malloc(size_t size)
{
    __asm__ volatile("" ::"r"(size));
    return slots;
}

static NOINLINE void no_free(void *block) { __asm__ volatile("" ::"r"(block)); }

/* The call goes through a pointer, as it goes through a GOT entry in other programs. */
static void *(*volatile malloc_pointer)(size_t) = malloc;
static void (*volatile free_pointer)(void *) = free;

static NOINLINE void measured_malloc(size_t size, int count)
{
    void *(*call)(size_t) = malloc_pointer;
    for (int i = 0; i < count; i++)
        slots[i] = call(size);
}

static NOINLINE void measured_free(int count)
{
    void (*call)(void *) = free_pointer;
    for (int i = 0; i < count; i++)
        call(slots[i]);
}

static NOINLINE void measured_calloc(size_t size, int count)
{
    for (int i = 0; i < count; i++)
        slots[i] = calloc(1, size);
}

static NOINLINE void measured_aligned(size_t size, int count)
{
    for (int i = 0; i < count; i++)
        slots[i] = aligned_alloc(64, size);
}

static NOINLINE void measured_realloc(size_t size, int count)
{
    for (int i = 0; i < count; i++)
        slots[i] = realloc(slots[i], size);
}

/* Hits: no more blocks at once than a magazine has just given or taken. */
static void hits(int count, size_t size)
{
    for (int i = 0; i < count; i += BATCH) {
        measured_malloc(size, BATCH);
        measured_free(BATCH);
    }
}

static void fill_magazine(size_t size)
{
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++)
            slots[i] = malloc(size);
        for (int i = 0; i < 1000; i++)
            free(slots[i]);
    }
}

static void calloc_hits(int count, size_t size)
{
    for (int i = 0; i < count; i += BATCH) {
        measured_calloc(size, BATCH);
        for (int k = 0; k < BATCH; k++)
            free(slots[k]);
    }
}

static void aligned_hits(int count, size_t size)
{
    for (int i = 0; i < count; i += BATCH) {
        measured_aligned(size, BATCH);
        for (int k = 0; k < BATCH; k++)
            free(slots[k]);
    }
}

static void realloc_in_place(int count, size_t size)
{
    for (int k = 0; k < BATCH; k++)
        slots[k] = malloc(size);
    for (int i = 0; i < count; i += BATCH)
        measured_realloc(i % (2 * BATCH) ? size : size - 1, BATCH);
    for (int k = 0; k < BATCH; k++)
        free(slots[k]);
}

/* Bursts: thousands of blocks from the slabs and back to them. */
static void burst(int count, size_t size)
{
    for (int i = 0; i < count; i += 20000) {
        measured_malloc(size, 20000);
        measured_free(20000);
    }
}

/* One at a time, as the span that was freed last is kept. */
static void large(int count)
{
    for (int i = 0; i < count; i++) {
        measured_malloc(256 << 10, 1);
        measured_free(1);
    }
}

static void nulls(int count)
{
    memset(slots, 0, BATCH * sizeof *slots);
    for (int i = 0; i < count; i += BATCH)
        measured_free(BATCH);
}

static void *free_all(void *count)
{
    free(malloc(100));
    measured_free(*(int *)count);
    return NULL;
}

/* One thread's blocks are freed by another; here what the other thread's exit delivers is not measured. */
static void remote(int count, size_t size)
{
    pthread_t thread;
    for (int i = 0; i < count; i++)
        slots[i] = malloc(size);
    if (pthread_create(&thread, NULL, free_all, &count) == 0)
        pthread_join(thread, NULL);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    const char *name = argv[1];
    int count = atoi(argv[2]);
    memset(slots, 0, sizeof(slots));
    if (count < 1 || count > MOST)
        return 2;
    if (!strncmp(name, "nothing", 7)) {
        malloc_pointer = no_malloc;
        free_pointer = no_free;
    }
    /* Whatever happens the first time has happened, and the magazines are as large and as full as they get. */
    fill_magazine(48);
    fill_magazine(1000);
    if (!strcmp(name, "nothing-malloc") || !strcmp(name, "nothing-free") || !strcmp(name, "malloc-48") ||
        !strcmp(name, "free-48"))
        hits(count, 48);
    else if (!strcmp(name, "malloc-1000") || !strcmp(name, "free-1000"))
        hits(count, 1000);
    else if (!strcmp(name, "calloc-48"))
        calloc_hits(count, 48);
    else if (!strcmp(name, "aligned-128"))
        aligned_hits(count, 128);
    else if (!strcmp(name, "realloc-48"))
        realloc_in_place(count, 48);
    else if (!strcmp(name, "refill-48") || !strcmp(name, "flush-48"))
        burst(count, 48);
    else if (!strcmp(name, "refill-1000") || !strcmp(name, "flush-1000"))
        burst(count, 1000);
    else if (!strcmp(name, "free-null"))
        nulls(count);
    else if (!strcmp(name, "large-alloc") || !strcmp(name, "large-free"))
        large(count);
    else if (!strcmp(name, "remote-free-48"))
        remote(count, 48);
    else
        return 2;
    return 0;
}
