/* SPDX-License-Identifier: MIT */
/*
 * live_bits.h - what debug builds know of every block: whether the program owns it.
 *
 * So a block that is freed twice is found at the second call, and a pointer into the middle of a block at once.  The
 * bits are changed by atomic operations, since a block is freed without its heap's lock.  In other builds these
 * functions do nothing.
 */
#ifndef HAK_DEBUG_H
#define HAK_DEBUG_H

#include "pages/misuse.h"
#include "heap/slab.h"

#pragma GCC visibility push(hidden)
void hak_live_bits_mark_live(const void *block);
bool hak_live_bits_mark_free(const char *call, const void *p, uint32_t entry);
bool hak_live_bits_expect_live(const char *call, const void *p, uint32_t entry);
#pragma GCC visibility pop

/* The program gets the block, which may be of any kind, or NULL.  Returns the block. */
HAK_INLINE void *hak_live_bits_allocated(void *block)
{
    if (HAK_DEBUG && block)
        hak_live_bits_mark_live(block);
    return block;
}

/* The program frees the pointer, whose page map entry is given.  False if it owns no such block; then the misuse was
 * noted. */
HAK_INLINE bool hak_live_bits_freed(const char *call, const void *p, uint32_t entry)
{
    return !HAK_DEBUG || hak_live_bits_mark_free(call, p, entry);
}

/* The program passes the pointer to a call that does not free it.  False as above. */
HAK_INLINE bool hak_live_bits_used(const char *call, const void *p, uint32_t entry)
{
    return !HAK_DEBUG || hak_live_bits_expect_live(call, p, entry);
}

#endif
