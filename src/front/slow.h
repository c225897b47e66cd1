/* SPDX-License-Identifier: MIT */
/*
 * slow.h - what the hot paths leave to others, and the calls that have no hot path.
 * `call` is the libc name under which a misuse is reported.
 */
#ifndef HAK_SLOW_H
#define HAK_SLOW_H

#include "base/base.h"

/* Whether realloc leaves a block where it is: it fits, and no more than half of it would be lost, if there are smaller
 * ones. */
HAK_INLINE bool hak_keeps_in_place(size_t usable, size_t size)
{
    return size <= usable && (size >= usable / 2 || usable == 16);
}

#pragma GCC visibility push(hidden)
/* NULL, with errno set to ENOMEM. */
HAK_COLD void *hak_out_of_memory(void);
/* The limits and whoever waits for them learn what was taken from the kernel, and misuse that was found is reported. */
void hak_allocation_ends(void);

HAK_NOINLINE void *hak_malloc_slow(size_t size);
HAK_NOINLINE void *hak_calloc_slow(size_t bytes);
HAK_NOINLINE void hak_free_slow(void *p);
HAK_NOINLINE void hak_free_slow_by(const char *call, void *p);
HAK_NOINLINE void hak_free_sized_slow(const char *call, void *p, size_t align, size_t size);
/* For a power of two `align`. */
HAK_NOINLINE void *hak_malloc_aligned(size_t align, size_t size);
HAK_NOINLINE void *hak_realloc(void *p, size_t size);
/* 0 for NULL, and for what is no block. */
size_t hak_usable_size(const char *call, void *p);
/* With force_libc: whether an address that has no business here is taken for a block of the C library's. */
bool hak_is_libcs(const void *p);

/* Whether a realloc to a smaller size has left a block where it was for want of memory: then a block may be larger than
 * any size that it could have been asked for with. */
bool hak_may_be_oversized(void);
#pragma GCC visibility pop

#endif
