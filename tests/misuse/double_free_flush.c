/* SPDX-License-Identifier: MIT */
/*
 * double_free_flush.c - a block is freed twice with others in between: found when the magazine is flushed at the
 * latest, by malloc_trim or by the exit of the thread, however many other blocks were freed meanwhile.
 */
#include "misuse.h"

static void by_trim(size_t size)
{
    void *block = hakmem_malloc(size), *other = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(other);
    hakmem_free(again);
    hakmem_malloc_trim(0);
}

static void among_many(size_t size)
{
    enum { MORE = 20000 };
    static void *more[MORE];
    for (size_t i = 0; i < MORE; i++)
        more[i] = hakmem_malloc(size);
    void *again = launder(more[5]);
    expect_double_free(more[5]);
    if (size > 8192) /* it goes back to its slab at once, which then is empty */
        or_expect_dead("free", more[5]);
    for (size_t i = 0; i < 10; i++)
        hakmem_free(more[i]);
    hakmem_free(again);
    for (size_t i = 10; i < MORE; i++)
        hakmem_free(more[i]);
    hakmem_malloc_trim(0);
}

static void *exiting(void *argument)
{
    by_trim(*(size_t *)argument);
    return NULL;
}

static void *exiting_without_trim(void *argument)
{
    size_t size = *(size_t *)argument;
    void *block = hakmem_malloc(size), *other = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(other);
    hakmem_free(again);
    return NULL;
}

static void by_exit(size_t size) { in_thread(exiting_without_trim, &size); }
static void by_trim_in_thread(size_t size) { in_thread(exiting, &size); }

/* The block is in its slab again and then freed once more. */
static void after_flush(size_t size)
{
    void *block = hakmem_malloc(size), *kept = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_malloc_trim(0);
    hakmem_free(again);
    hakmem_malloc_trim(0);
    hakmem_free(kept);
}

/* Its whole slab was empty and may be the kernel's. */
static void after_slab_is_gone(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    or_expect_dead("free", block);
    hakmem_free(block);
    hakmem_malloc_trim(0);
    hakmem_free(again);
    hakmem_malloc_trim(0);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("found by malloc_trim", by_trim, MISUSE_SMALL);
    misuse_each("among many others", among_many, {16, 48, 1000, 5000, 32768});
    misuse_each("found by the thread's exit", by_exit, MISUSE_SMALL);
    misuse_each("found by malloc_trim in a thread", by_trim_in_thread, MISUSE_SMALL);
    misuse_each("freed again after the flush", after_flush, MISUSE_SMALL);
    misuse_each("freed again after its slab", after_slab_is_gone, MISUSE_SMALL);
    return tap_end();
}
