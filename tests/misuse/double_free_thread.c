/* SPDX-License-Identifier: MIT */
/* double_free_thread.c - two threads free one block, or another thread than the owner frees it twice. */
#include "misuse.h"

static void *free_it(void *block)
{
    hakmem_free(block);
    return NULL;
}

static void *free_twice(void *block)
{
    void *other = hakmem_malloc(16), *again = launder(block);
    hakmem_free(block);
    hakmem_free(other);
    hakmem_free(again);
    hakmem_malloc_trim(0);
    return NULL;
}

static void by_another_and_the_owner(size_t size)
{
    void *block = hakmem_malloc(size), *kept = hakmem_malloc(size);
    expect_double_free(block);
    in_thread(free_it, block);
    hakmem_free(block);
    hakmem_malloc_trim(0);
    hakmem_free(kept);
}

static void by_the_owner_and_another(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block), *kept = hakmem_malloc(size);
    expect_double_free(block);
    hakmem_free(block);
    in_thread(free_it, again);
    hakmem_malloc_trim(0);
    hakmem_free(kept);
}

static void by_two_others(size_t size)
{
    void *block = hakmem_malloc(size), *kept = hakmem_malloc(size);
    expect_double_free(block);
    in_thread(free_it, block);
    in_thread(free_it, block);
    hakmem_malloc_trim(0);
    hakmem_free(kept);
}

static void by_one_other_twice(size_t size)
{
    void *block = hakmem_malloc(size), *kept = hakmem_malloc(size);
    expect_double_free(block);
    in_thread(free_twice, block);
    hakmem_malloc_trim(0);
    hakmem_free(kept);
}

static void *allocate_two(void *argument)
{
    void **result = argument;
    result[0] = hakmem_malloc((size_t)(uintptr_t)result[0]);
    result[1] = hakmem_malloc(hakmem_malloc_usable_size(result[0]));
    return NULL;
}

static void after_the_owner(size_t size)
{
    void *blocks[2] = {(void *)(uintptr_t)size, NULL};
    in_thread(allocate_two, blocks);
    expect_double_free(blocks[0]);
    /* Its slab, and with it the block's size, may be gone by then. */
    or_expect("hakmem: double free of %p", blocks[0]);
    or_expect_dead("free", blocks[0]);
    void *again = launder(blocks[0]);
    hakmem_free(blocks[0]);
    hakmem_free(blocks[1] ? launder(blocks[1]) : NULL);
    hakmem_free(again);
    hakmem_malloc_trim(0);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("another thread, then the owner", by_another_and_the_owner, MISUSE_SMALL);
    misuse_each("the owner, then another thread", by_the_owner_and_another, MISUSE_SMALL);
    misuse_each("two other threads", by_two_others, MISUSE_SMALL);
    misuse_each("another thread twice", by_one_other_twice, MISUSE_SMALL);
    misuse_each("after the owner has exited", after_the_owner, MISUSE_SMALL);
    return tap_end();
}
