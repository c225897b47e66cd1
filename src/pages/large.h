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
#include "pages/window.h"

#define HAK_LARGE_ALIGN_MAX ((size_t)16 << 20)

#pragma GCC visibility push(hidden)
/* For HAK_MEDIUM_MAX < size or align > HAK_UNIT; align is a power of two.  `heap` is the number of the calling thread's
 * heap, or 0.  *zero tells whether the block is known to read as zero.  NULL when memory is out. */
void *hak_large_alloc(unsigned heap, size_t size, size_t align, bool *zero);

/* The run of the live block that begins at an address whose page map entry is HAK_ENTRY_LARGE.  NULL, with the misuse
 * noted, if none does. */
struct hak_slab *hak_large_find(const char *call, const void *p);
/* Frees the block at such an address, or the one that was found there. */
void hak_large_free(unsigned heap, const char *call, void *p);
void hak_large_free_run(unsigned heap, const char *call, struct hak_slab *run);
/* Resizes the block in place; false if that is not possible. */
bool hak_large_resize(struct hak_slab *run, size_t size);

/* For an address without a page map entry that is no huge block: says what is wrong with it. */
void hak_large_misuse(const char *call, const void *p);
#pragma GCC visibility pop

/* The bytes of a live block. */
HAK_INLINE size_t hak_large_bytes(const struct hak_slab *run)
{
    return run->length * HAK_UNIT;
}

#endif
