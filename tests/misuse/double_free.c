/* SPDX-License-Identifier: MIT */
/* double_free.c - a block is freed twice in succession: found at the second free, whatever the build. */
#include "misuse.h"

static void by_free(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(again);
}

static void by_cfree(size_t size)
{
    void *block = hakmem_calloc(1, size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_cfree(again);
}

static void of_aligned(size_t size)
{
    void *block = hakmem_aligned_alloc(1024, size), *again = launder(block);
    expect_double_free(block);
    hakmem_free(block);
    hakmem_free(again);
}

/* realloc to 0 frees as well. */
static void after_realloc(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    (void)!hakmem_realloc(block, 0);
    hakmem_free(again);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("free, free", by_free, MISUSE_SMALL);
    misuse_each("free, cfree", by_cfree, MISUSE_SMALL);
    misuse_each("an aligned block", of_aligned, MISUSE_SMALL);
    misuse_each("realloc to 0, free", after_realloc, MISUSE_SMALL);
    return tap_end();
}
