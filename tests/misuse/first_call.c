/* SPDX-License-Identifier: MIT */
/*
 * first_call.c - the very first call of the process is a misuse: there is no heap yet that could know the pointer.
 *
 * Linked with the core library, so that nothing before main() has used the allocator.
 */
#include "misuse.h"

static char bytes[64] __attribute__((aligned(64)));

static void by_free(size_t offset)
{
    expect("hakmem: free of %p, which libhakmem did not allocate", (void *)(bytes + offset));
    hakmem_free(launder(bytes + offset));
    hakmem_malloc_trim(0);
}

static void by_realloc(size_t size)
{
    expect("hakmem: realloc of %p, which libhakmem did not allocate", (void *)bytes);
    (void)!hakmem_realloc(launder(bytes), size);
}

static void by_usable_size(size_t offset)
{
    expect("hakmem: malloc_usable_size of %p, which libhakmem did not allocate", (void *)(bytes + offset));
    (void)hakmem_malloc_usable_size(launder(bytes + offset));
}

int main(void)
{
    tap_watchdog(60);
    misuse_each("free", by_free, {0, 16, 1});
    misuse_each("realloc", by_realloc, {16, 5000000});
    misuse_each("malloc_usable_size", by_usable_size, {0, 16});
    return tap_end();
}
