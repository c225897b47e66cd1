/* SPDX-License-Identifier: MIT */
/* realloc_freed.c - a freed block is given to realloc: as much a double free as any other. */
#include "misuse.h"

static void announce(void *block)
{
    size_t usable = hakmem_malloc_usable_size(block);
    expect("hakmem: double free of %p (block of %zu bytes) by realloc", block, usable);
    or_expect("hakmem: double free of %p (block of %zu bytes)", block, usable);
}

static void moving(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    announce(block);
    hakmem_free(block);
    (void)!hakmem_realloc(again, size * 4 + 100);
    hakmem_malloc_trim(0);
}

static void to_zero(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    announce(block);
    hakmem_free(block);
    (void)!hakmem_realloc(again, 0);
    hakmem_malloc_trim(0);
}

/* A mapping that is gone was ours all the same. */
static void gone(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect("hakmem: double free of %p (block of %zu bytes) by realloc", block, hakmem_malloc_usable_size(block));
    hakmem_free(block);
    (void)!hakmem_realloc(again, size * 4 + 100);
    hakmem_malloc_trim(0);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("realloc that moves", moving, MISUSE_SMALL);
    misuse_each("realloc to 0", to_zero, MISUSE_SMALL);
    misuse_each("realloc of a larger block", gone, MISUSE_BIG);
    return tap_end();
}
