/* SPDX-License-Identifier: MIT */
/*
 * slow.h - what the hot paths leave to others, and the calls that have no hot path.
 * `call` is the libc name under which a misuse is reported.
 */
#ifndef HAK_SLOW_H
#define HAK_SLOW_H

#include "base/base.h"

struct hak_slab;

/* Whether realloc leaves a block where it is: the new size fits and uses at least half of the block, or the block has
 * the smallest size there is. */
HAK_INLINE bool hak_keeps_in_place(size_t usable, size_t size)
{
    return size <= usable && (size >= usable / 2 || usable == 16);
}

#pragma GCC visibility push(hidden)
/* Sets errno to ENOMEM and returns NULL. */
HAK_COLD void *hak_out_of_memory(void);
/* The end of a call that may have taken memory from the kernel, made without a lock: reports misuse that was noted, and
 * acts on the limits and the purge trigger. */
void hak_allocation_ends(void);

HAK_NOINLINE void *hak_malloc_slow(size_t size);
HAK_NOINLINE void *hak_calloc_slow(size_t bytes);

/* A call asks the page map once.  Whoever knows the entry of a pointer passes it on as `entry`; the pointer then is not
 * NULL.  The functions without `entry` ask for it. */
HAK_NOINLINE void hak_free_unknown(void *p);
/* For a thread that has a cache: `offset` is the entry xor the cache's key, as hak_free() has it in a register. */
HAK_NOINLINE void hak_free_slow(void *p, size_t offset);
HAK_NOINLINE void hak_free_by(const char *call, void *p, uint32_t entry);
HAK_NOINLINE void hak_free_sized_slow(const char *call, void *p, size_t align, size_t size, uint32_t entry);
HAK_NOINLINE void hak_free_sized_unknown(const char *call, void *p, size_t align, size_t size);
/* Frees a large block that hak_large_find() has found. */
void hak_free_large(const char *call, struct hak_slab *run);
/* `align` is a power of two. */
HAK_NOINLINE void *hak_malloc_aligned(size_t align, size_t size);
HAK_NOINLINE void *hak_realloc(void *p, size_t size);
/* The bytes that a block has room for; 0 for NULL, and for a pointer that is no block, which is reported. */
size_t hak_usable_size(const char *call, void *p);
size_t hak_usable_size_at(const char *call, void *p, uint32_t entry);
/* With force_libc: whether a pointer that is no block of ours is taken for one of the C library's.  `entry` is its page
 * map entry. */
bool hak_is_libcs(const void *p, uint32_t entry);

/* Whether a realloc to a smaller size has ever left a block in place because memory was out.  Then a block may be
 * larger than the size that the program knows suggests. */
bool hak_may_be_oversized(void);
#pragma GCC visibility pop

#endif
