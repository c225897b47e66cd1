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

/* The first to free it is slow: while the block waits in its outbox another frees it, too, its slab goes, and the unit
 * becomes a slab of blocks of another size. */
static pthread_barrier_t step;

static void *free_and_wait(void *block)
{
    hakmem_free(hakmem_malloc(50));
    hakmem_free(block);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    return NULL;
}

static void *free_early(void *block)
{
    hakmem_free(hakmem_malloc(50));
    hakmem_free(block);
    return NULL;
}

static void late(size_t size)
{
    enum { BLOCKS = 400, OTHERS = 6000, OTHER_SIZE = 2560 };
    static char *blocks[BLOCKS];
    pthread_t slow;
    size_t which = BLOCKS / 2;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = hakmem_malloc(size);
    while ((uintptr_t)blocks[which] % 65536 / size != 7) /* not where one of the other size begins */
        which++;
    char *block = blocks[which], *unit = block - (uintptr_t)block % 65536;
    expect_double_free(block);
    or_expect_dead("free", block);
    or_expect("hakmem: free of %p, which is not the start of a block (inside a block of %d bytes at %p)", (void *)block,
              OTHER_SIZE, (void *)(unit + (block - unit) / OTHER_SIZE * OTHER_SIZE));
    pthread_barrier_init(&step, NULL, 2);
    if (pthread_create(&slow, NULL, free_and_wait, block) != 0)
        return;
    pthread_barrier_wait(&step);
    in_thread(free_early, launder(block));
    for (size_t i = 0; i < BLOCKS; i++)
        if (i != which)
            hakmem_free(blocks[i]);
    hakmem_malloc_trim(0);
    for (size_t i = 0; i < OTHERS; i++)
        (void)!hakmem_malloc(OTHER_SIZE);
    pthread_barrier_wait(&step);
    pthread_join(slow, NULL);
    /* By now it has been said, or it would be handed out. */
    for (size_t i = 0; i < OTHERS; i++)
        if (hakmem_malloc(OTHER_SIZE) == block)
            return;
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
    misuse_each("another thread, and late a third one", late, {3072});
    return tap_end();
}
