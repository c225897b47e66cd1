/* SPDX-License-Identifier: MIT */
/* mallinfo.h - glibc's functions that report figures: see hakmem.h's of the same names. */
#ifndef HAK_INFO_H
#define HAK_INFO_H

#include "hakmem.h"

#pragma GCC visibility push(hidden)
struct mallinfo2 hak_mallinfo2(void);
int hak_malloc_info(int options, FILE *stream);
void hak_malloc_stats(void);
#pragma GCC visibility pop

#endif
