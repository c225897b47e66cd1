/* SPDX-License-Identifier: MIT */
/*
 * libc_malloc.h - the C library's own malloc, for force_libc.
 *
 * With it on no thread gets a cache, so that every call takes a slow path; what the hot paths do does not depend on it.
 * Blocks that were handed out before the environment was known are still the allocator's, and go back to it.
 */
#ifndef HAK_LIBC_MALLOC_H
#define HAK_LIBC_MALLOC_H

#include "base/base.h"
#include "hakmem.h"

#pragma GCC visibility push(hidden)
/* Whether the C library has an allocator that can be called beside this one. */
bool hak_libc_exists(void);

void *hak_libc_malloc(size_t align, size_t size); /* `align` is a power of two */
void *hak_libc_calloc(size_t bytes);
void *hak_libc_realloc(void *block, size_t size);
void hak_libc_free(void *block);

size_t hak_libc_usable_size(void *block);
struct mallinfo2 hak_libc_mallinfo2(void);
int hak_libc_malloc_info(int options, FILE *stream);
void hak_libc_malloc_stats(void);
int hak_libc_malloc_trim(size_t pad);
int hak_libc_mallopt(int parameter, int value);
#pragma GCC visibility pop

#endif
