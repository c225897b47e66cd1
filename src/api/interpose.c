/* SPDX-License-Identifier: MIT */
/*
 * interpose.c - the C library's names.  Owns nothing.
 *
 * All names are in this one object.  A static link that takes one of them from libhakmem.a takes all, and so never
 * takes libc's own malloc beside ours.  Tests link with the core library, which is all of libhakmem but this file and
 * cxx.c.
 */
#include <stdlib.h>

#include "hakmem.h"

/* Not every libc declares these; musl has none of them. */
void cfree(void *block);
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t alignment, size_t size);
void *pvalloc(size_t size);
struct mallinfo2 mallinfo2(void);
struct mallinfo mallinfo(void);
int malloc_info(int options, FILE *stream);
void malloc_stats(void);
int malloc_trim(size_t pad);
int mallopt(int parameter, int value);

#define HAK_NAME(f) f
#include "api/family.h"
