/* SPDX-License-Identifier: MIT */
/* interior.c - a pointer into a block is freed: found at once. */
#include "misuse.h"

static void announce_by(int which, const char *call, char *block, size_t offset)
{
    expect_line(which, "hakmem: %s of %p, which is not the start of a block (inside a block of %zu bytes at %p)", call,
           (void *)(block + offset), hakmem_malloc_usable_size(block), (void *)block);
}

static void announce(const char *call, char *block, size_t offset) { announce_by(0, call, block, offset); }

static void near_start(size_t size)
{
    char *block = hakmem_malloc(size);
    announce("free", block, 16);
    hakmem_free(launder(block + 16));
}

static void misaligned(size_t size)
{
    char *block = hakmem_malloc(size);
    announce("free", block, 1);
    hakmem_free(launder(block + 1));
}

static void near_end(size_t size)
{
    char *block = hakmem_malloc(size);
    size_t last = hakmem_malloc_usable_size(block) - 1;
    announce("free", block, last);
    hakmem_free(launder(block + last));
}

static void at_page(size_t size)
{
    char *block = hakmem_malloc(size);
    size_t offset = 4096 - (uintptr_t)block % 4096;
    announce("free", block, offset);
    hakmem_free(launder(block + offset));
}

/* A block that lies many superslabs behind its start. */
static void far_inside(size_t size)
{
    char *block = hakmem_malloc(size);
    size_t offset = size / 2 / 65536 * 65536 + 65536;
    announce("free", block, offset);
    hakmem_free(launder(block + offset));
}

static void *free_it(void *block)
{
    hakmem_free(block);
    return NULL;
}

static void in_another_thread(size_t size)
{
    char *block = hakmem_malloc(size);
    announce("free", block, 16);
    in_thread(free_it, block + 16);
}

static void by_realloc(size_t size)
{
    char *block = hakmem_malloc(size);
    announce("realloc", block, 16);
    (void)!hakmem_realloc(launder(block + 16), size * 2);
}

static void by_usable_size(size_t size)
{
    char *block = hakmem_malloc(size);
    announce("malloc_usable_size", block, 16);
    (void)hakmem_malloc_usable_size(launder(block + 16));
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("16 bytes after the start", near_start, {48, 1000, 5000, 32768, 100000, 131072});
    misuse_each("16 bytes after the start", near_start, MISUSE_BIG);
    misuse_each("one byte after the start", misaligned, MISUSE_SMALL);
    misuse_each("one byte after the start", misaligned, MISUSE_BIG);
    misuse_each("the last byte", near_end, MISUSE_SMALL);
    misuse_each("the last byte", near_end, MISUSE_BIG);
    misuse_each("a page boundary", at_page, {5000, 32768, 100000, 131072});
    misuse_each("a page boundary", at_page, MISUSE_BIG);
    misuse_each("far behind the start", far_inside, {200000, 300000, 1048576, 1048577, 5000000, 200000000});
    misuse_each("in another thread", in_another_thread, {48, 1000, 32768, 300000, 5000000});
    misuse_each("by realloc", by_realloc, {48, 1000, 32768, 300000, 5000000});
    misuse_each("by malloc_usable_size", by_usable_size, {48, 1000, 32768, 300000, 5000000});
    return tap_end();
}
