/* SPDX-License-Identifier: MIT */
/*
 * slow.h - what the hot paths leave to others, and the calls that have no hot path.  Layer 7, above cache.h and
 * large.h.  `call` is the libc name under which a misuse is reported.
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

/* malloc_trim: everything that is free, everywhere, but for `keep` bytes; the bytes given back. */
size_t hak_trim(size_t keep);
/* When memory is out: the same, but for pages in slabs that are in use, which no other block could have. */
size_t hak_reclaim(void);
/* When more is held than ever before: as much of what is kept for reuse goes back, the oldest first, so that the most
 * that the program ever holds is not raised by what it does not use. */
#define HAK_SHED_FROM ((size_t)1 << 20) /* from so much on: hak_limit_rise */
HAK_COLD void hak_shed(void);
#pragma GCC visibility pop

#endif
