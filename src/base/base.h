/* SPDX-License-Identifier: MIT */
/*
 * base.h - the vocabulary and the few macros that every other file uses.  It includes nothing of ours.
 *
 *   block      what malloc returns; of a size class up to 128 KiB, else large (up to 64 MiB) or huge
 *   unit       64 KiB of address space, the grain of the page map
 *   slab       one to eight units in a row, cut into blocks of one size class, owned by one heap
 *   run        units in a row, free or of one large block; runs cross the borders of superslabs
 *   stock      a heap's freed large blocks that wait for the next block of their length
 *   superslab  2 MiB, aligned to 2 MiB, 32 units: what is asked of the kernel, and what one huge page can back
 *   window     a range of addresses in which superslabs are placed, with one page map
 *   page map   four bytes a unit of a window: which heap owns it and which class its blocks have
 *   heap       owns slabs; a thread has one, and shares it if there are many threads
 *   magazine   a thread's stack of free blocks of one class, reached without a lock
 *   depot      a heap's stack of free blocks of one class, behind the magazine, under the heap's lock
 *   outbox     blocks that a thread freed and other heaps own, delivered in batches
 *   orphan     the one heap without threads: for those that are exiting or could not have a cache
 */
#ifndef HAK_BASE_H
#define HAK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
/* True while the C library knows that the process has one thread: then no operation need be atomic.  False until the C
 * library is initialised. */
#define HAK_SINGLE_THREADED (__libc_single_threaded != 0)
#else
#define HAK_SINGLE_THREADED 0
#endif

#ifndef HAK_DEBUG
#define HAK_DEBUG 0
#endif
#ifndef HAK_STATS
#define HAK_STATS 1
#endif
#ifndef HAK_MINIMAL
#define HAK_MINIMAL 0
#endif

#define HAK_LIKELY(x) __builtin_expect(!!(x), 1)
#define HAK_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define HAK_INLINE static inline __attribute__((always_inline))
#define HAK_COLD __attribute__((noinline, cold))
#define HAK_NOINLINE __attribute__((noinline))
#define HAK_ALIGNED(n) __attribute__((aligned(n)))

enum hak_unit { HAK_UNIT_SHIFT = 16 }; /* gdb knows the constants of an enum, and no macro */
#define HAK_UNIT ((size_t)1 << HAK_UNIT_SHIFT)
#define HAK_SUPER_SHIFT 21
#define HAK_SUPER ((size_t)1 << HAK_SUPER_SHIFT)
#define HAK_SUPER_UNITS 32u
#define HAK_SLAB_UNITS_MAX 8u /* no slab is longer */

/* Bytes that must not hold what two threads write often, each its own (heaps, caches): two cache lines, as processors
 * fetch lines in pairs. */
#define HAK_LINE 128

#define HAK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define HAK_MAX(a, b) ((a) > (b) ? (a) : (b))

/* The sum, or SIZE_MAX where that is less. */
HAK_INLINE size_t hak_add_sat(size_t a, size_t b)
{
    return a < SIZE_MAX - b ? a + b : SIZE_MAX;
}

HAK_INLINE size_t hak_round_up(size_t n, size_t power_of_two)
{
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

/* Fills in a structure of a caller that was compiled with an earlier or a later version of it: copies the members that
 * both know, and sets the caller's others to 0.  Returns how many bytes both know. */
HAK_INLINE size_t hak_copy_out(void *to, size_t to_size, const void *from, size_t from_size)
{
    size_t known = HAK_MIN(to_size, from_size);
    __builtin_memcpy(to, from, known);
    __builtin_memset((char *)to + known, 0, to_size - known);
    return known;
}

#endif
