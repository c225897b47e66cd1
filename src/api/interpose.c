/* SPDX-License-Identifier: MIT */
/*
 * interpose.c - the C library's names.  Owns nothing.
 *
 * All of them are in this one object: a static link that takes any of them from libhakmem.a takes all, and never
 * pulls in libc's own malloc beside ours.  It is the only object that defines them, and the core library that tests
 * link with is everything but this and cxx.c.
 */
#include <stdlib.h>

#include "hakmem.h"

/* Not declared by every libc that has them, and by musl that has not. */
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
