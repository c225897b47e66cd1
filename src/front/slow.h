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

/* malloc_trim: everything that is free, everywhere, but for `keep` bytes; the bytes given back. */
size_t hak_trim(size_t keep);
/* The same, but for pages in slabs that are in use, which no other block could have. */
void hak_reclaim(void);

/* The tries of one allocation when memory is out.  Starts as {0} with hak_retry_begin() before each try. */
struct hak_retry {
    uint32_t seen; /* how often all that is free had gone back before the try */
    uint8_t others; /* how often another thread has seen to it since */
    bool last;     /* this thread saw to it: there is no more */
};
void hak_retry_begin(struct hak_retry *retry);
/* After a try that failed: whether another is worth while, as all that is free has gone back to the kernel since, by
 * this thread or another.  That is not done for what could not be had even then. */
bool hak_retry(struct hak_retry *retry, size_t size);

/* Whether a realloc to a smaller size has left a block where it was for want of memory: then a block may be larger than
 * any size that it could have been asked for with. */
bool hak_may_be_oversized(void);
/* When more is held than ever before: as much of what is kept for reuse goes back, the oldest first, so that the most
 * that the program ever holds is not raised by what it does not use. */
#define HAK_SHED_FROM ((size_t)1 << 20) /* from so much on: hak_limit_rise */
HAK_COLD void hak_shed(void);
#pragma GCC visibility pop

#endif
