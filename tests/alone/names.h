/* SPDX-License-Identifier: MIT */
/*
 * names.h - the standalone programs call the libc names, which libhakmem has replaced when they run.  Built with
 * TEST_CORE they call hakmem_* instead: where a sanitizer has malloc, and where hak_verify() is wanted.
 *
 * To be included after all system headers.
 */
#ifndef HAKMEM_TESTS_NAMES_H
#define HAKMEM_TESTS_NAMES_H

#include <malloc.h>
#include <stdlib.h>

/* musl, which has no such functions, knows nothing of their result either. */
#ifndef __GLIBC__
#include "../../include/hakmem.h"
struct mallinfo2 mallinfo2(void);
int malloc_info(int options, FILE *stream);
int malloc_trim(size_t pad);
int mallopt(int parameter, int value);
#endif

#ifdef TEST_CORE
#include "hakmem.h"
#include "stats/verify.h"
#define malloc hakmem_malloc
#define calloc hakmem_calloc
#define realloc hakmem_realloc
#define free hakmem_free
#define aligned_alloc hakmem_aligned_alloc
#define posix_memalign hakmem_posix_memalign
#define malloc_usable_size hakmem_malloc_usable_size
#define malloc_trim hakmem_malloc_trim
#define mallinfo2() hakmem_mallinfo2()
#define verify_heap() hak_verify()
#else
#define verify_heap() ((void)0)
#endif

/* A build without statistics does not count what is live. */
#ifndef HAK_STATS
#define HAK_STATS 1
#endif

/* All that is live, small or huge. */
static inline size_t live_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* All that is held from the kernel. */
static inline size_t held_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.arena + info.hblkhd;
}

#endif
