/* SPDX-License-Identifier: MIT */
/* free_sized.c - a sized free with a size that cannot be the block's. */
#include "misuse.h"

static void sized(size_t size, size_t claimed)
{
    void *block = hakmem_malloc(size);
    expect("hakmem: free_sized of %p with size %zu, but the block has %zu bytes", block, claimed,
           hakmem_malloc_usable_size(block));
    hakmem_free_sized(block, claimed);
    hakmem_malloc_trim(0);
}

static void too_large(size_t size) { sized(size, size * 2 + 100); }
/* Not just below: realloc may leave a block in place that shrinks by up to half. */
static void too_small(size_t size) { sized(size, size / 4); }
static void zero(size_t size) { sized(size, 0); }
static void absurd(size_t size) { sized(size, SIZE_MAX - size); }

static void aligned(size_t size, size_t claimed)
{
    void *block = hakmem_aligned_alloc(64, size);
    expect("hakmem: free_aligned_sized of %p with size %zu, but the block has %zu bytes", block, claimed,
           hakmem_malloc_usable_size(block));
    hakmem_free_aligned_sized(block, 64, claimed);
    hakmem_malloc_trim(0);
}

static void aligned_too_large(size_t size) { aligned(size, size * 2 + 1000); }

int main(void)
{
    tap_watchdog(60);
    misuse_each("too large", too_large, MISUSE_SMALL);
    misuse_each("too large", too_large, MISUSE_BIG);
    misuse_each("too small", too_small, {48, 1000, 5000, 32768, 100000, 131072});
    misuse_each("too small", too_small, MISUSE_BIG);
    misuse_each("zero", zero, {48, 1000, 5000, 300000, 5000000});
    misuse_each("SIZE_MAX and less", absurd, {48, 1000, 5000, 300000, 5000000});
    misuse_each("aligned, too large", aligned_too_large, {48, 1000, 5000, 32768, 300000, 1048577, 5000000});
    return tap_end();
}
