/* SPDX-License-Identifier: MIT */
/* double_free_big.c - a span or a mapping is freed twice: found at once, for no magazine holds them. */
#include "misuse.h"

static void at_once(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    or_expect_foreign("free", block);
    hakmem_free(block);
    hakmem_free(again);
}

static void after_others(size_t size)
{
    void *block = hakmem_malloc(size), *other = hakmem_malloc(size), *again = launder(block);
    void *kept = hakmem_malloc(size);
    expect_double_free(block);
    or_expect_foreign("free", block);
    hakmem_free(block);
    hakmem_free(other);
    hakmem_free(again);
    hakmem_free(kept);
}

static void after_trim(size_t size)
{
    void *block = hakmem_malloc(size), *again = launder(block);
    expect_double_free(block);
    or_expect_foreign("free", block);
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
    or_expect_foreign("free", block);
    in_thread(free_it, block);
    in_thread(free_it, block);
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("free, free", at_once, MISUSE_BIG);
    misuse_each("free, free another, free", after_others, MISUSE_BIG);
    misuse_each("free, trim, free", after_trim, MISUSE_BIG);
    misuse_each("free in two threads", in_two_threads, MISUSE_BIG);
    return tap_end();
}
