/* SPDX-License-Identifier: MIT */
/*
 * large.h - blocks above the largest class.
 *
 * Large blocks, up to hak_super_run_max, are runs of whole units of the page heap.  Huge blocks, above, are mappings of
 * their own (huge.h).
 */
#ifndef HAK_LARGE_H
#define HAK_LARGE_H

#include "base/base.h"
#include "pages/huge.h"

#define HAK_LARGE_ALIGN_MAX ((size_t)16 << 20)

#pragma GCC visibility push(hidden)
/* For HAK_MEDIUM_MAX < size or align > HAK_UNIT; align is a power of two.  `heap` is the number of the calling thread's
 * heap, or 0.  *zero tells whether the block is known to read as zero.  NULL when memory is out. */
void *hak_large_alloc(unsigned heap, size_t size, size_t align, bool *zero);

/* For an address whose page map entry is HAK_ENTRY_LARGE. */
void hak_large_free(unsigned heap, const char *call, void *p);
size_t hak_large_usable(const char *call, const void *p); /* 0 if it was reported */
/* Resizes where it is; false if that is not possible. */
bool hak_large_resize(const char *call, void *p, size_t size);

/* For an address without a page map entry that is no huge block: says what is wrong with it. */
void hak_large_misuse(const char *call, const void *p);
#pragma GCC visibility pop

#endif
