/* SPDX-License-Identifier: MIT */
/*
 * double_free_big.c - a span or a mapping is freed twice: found at once, for no magazine holds them, and called what it
 * is even when its memory has gone back to the kernel, but for mappings with many others freed since.
 */
#include "misuse.h"

static void at_once(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(again);
}

static void after_others(size_t size)
{
    void *block = hakmem_malloc(size), *other = hakmem_malloc(size), *again = launder(block);
    void *kept = hakmem_malloc(size);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(other);
    hakmem_free(again);
    hakmem_free(kept);
}

static void after_trim(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_malloc_trim(0);
    hakmem_free(again);
}

static void *free_it(void *block)
{
    hakmem_free(block);
    return NULL;
}

static void in_two_threads(size_t size)
{
    void *block = hakmem_malloc(size);
    expect_double_free(block);
    in_thread(free_it, block);
    in_thread(free_it, block);
}

/* Others have been where it was and are free again as well; or, where mappings are not made in the same place again
 * (qemu-user takes the next one each time), as many have been freed since as may drive it out. */
static void after_reuse(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block), *other = NULL;
    expect_double_free(block);
    hakmem_free(block);
    for (int i = 0; i < 100; i++) {
        block = hakmem_malloc(size);
        other = launder(block);
        hakmem_free(block);
    }
    if (size > TEST_MIB && other != again)
        or_expect_dead("free", again);
    hakmem_free(again);
}

static void after_realloc(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    void *moved = hakmem_realloc(block, size * 4);
    if (moved == again) { /* grown where it is */
        hakmem_free(moved);
        expect_double_free(block = hakmem_malloc(size));
        again = launder(block);
        hakmem_free(block);
    }
    hakmem_free(again);
}

/* So many mappings are freed after it that it cannot be told from one that never was; but not that it never was. */
static void forgotten(size_t size)
{
    enum { OTHERS = 200 };
    static void *others[OTHERS];
    void *block = hakmem_malloc(size), *again = launder(block);
    expect("hakmem: free of %p, which is no block: freed before, or never allocated", block);
    or_expect("hakmem: double free of %p (block of %zu bytes)", block, hakmem_malloc_usable_size(block));
    for (int i = 0; i < OTHERS; i++)
        others[i] = hakmem_malloc(size);
    hakmem_free(block);
    for (int i = 0; i < OTHERS; i++)
        hakmem_free(others[i]);
    hakmem_malloc_trim(0);
    hakmem_free(again);
}

/* Into its middle: no block began there, and whose memory it is now is not known. */
static void inside(size_t size)
{
    char *block = hakmem_malloc(size), *again = launder(block + size / 2 / 16 * 16);
    expect("hakmem: free of %p, which is no block: freed before, or never allocated", (void *)again);
    hakmem_free(block);
    hakmem_malloc_trim(0);
    hakmem_free(again);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("free, free", at_once, MISUSE_BIG);
    misuse_each("free, free another, free", after_others, MISUSE_BIG);
    misuse_each("free, trim, free", after_trim, MISUSE_BIG);
    misuse_each("free in two threads", in_two_threads, MISUSE_BIG);
    misuse_each("free, a hundred others, free", after_reuse, MISUSE_BIG);
    misuse_each("realloc, free of the old address", after_realloc, {1048577, 5000000, 200000000});
    misuse_each("free, 200 others, free", forgotten, {1048577, 5000000});
    misuse_each("free into its middle", inside, MISUSE_BIG);
    return tap_end();
}
