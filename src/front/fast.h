/* SPDX-License-Identifier: MIT */
/*
 * fast.h - the hot paths of malloc, calloc and free, inlined into every function of the family.  They take no lock,
 * make no system call and read no free block's memory.  All but the common case is a tail call to slow.h.
 */
#ifndef HAK_FAST_H
#define HAK_FAST_H

#include <string.h>

#include "heap/tcache.h"
#include "heap/live_bits.h"
#include "front/slow.h"

/* The magazine that is `offset` bytes from the start of the cache. */
HAK_INLINE struct hak_mag *hak_mag_at(struct hak_tcache_hot *hot, size_t offset)
{
    return (struct hak_mag *)((char *)hot + offset);
}

/*
 * The block on top of the magazine for the size; NULL if there is none.  An empty magazine's top is a slot that holds
 * NULL.  Cost: two branches; five loads: the magazine's offset (two bytes, by size), where the thread's variables are,
 * its delta there, the magazine's top, the block there; one store.
 */
HAK_INLINE void *hak_pop(size_t size)
{
    if (HAK_UNLIKELY(size > HAK_SMALL_MAX))
        return NULL;
    void *block = hak_mag_pop(hak_mag_at(hak_tcache_hot_self(), hak_mag_by_size[(size + 15) / 16]));
    return HAK_LIKELY(block) ? hak_live_bits_allocated(block) : NULL;
}

HAK_INLINE void *hak_malloc(size_t size)
{
    void *block = hak_pop(size);
    return HAK_LIKELY(block) ? block : hak_malloc_slow(size);
}

HAK_INLINE void *hak_calloc(size_t count, size_t size)
{
    size_t bytes;
    if (HAK_UNLIKELY(__builtin_mul_overflow(count, size, &bytes)))
        return hak_out_of_memory();
    void *block = hak_pop(bytes);
    return HAK_LIKELY(block) ? memset(block, 0, bytes) : hak_calloc_slow(bytes);
}

/* Pushes a pointer into a slab of the thread's heap on the magazine of the slab's class.  False, with nothing done, if
 * no block begins there or hak_mag_push() refuses it. */
HAK_INLINE bool hak_push(struct hak_mag *mag, void *p)
{
    return HAK_LIKELY(hak_is_block_start(p, mag->inverse, mag->last_product)) && hak_mag_push(mag, p);
}

/* Frees a pointer whose page map entry is known.  The thread has a cache. */
HAK_INLINE void hak_free_at(struct hak_tcache_hot *hot, void *p, uint32_t entry)
{
    size_t offset = entry ^ hot->key;
    if (HAK_UNLIKELY(HAK_DEBUG || offset >= sizeof hot->mags || !hak_push(hak_mag_at(hot, offset), p)))
        hak_free_slow(p, offset);
}

/*
 * entry ^ key is the offset of the class's magazine if the thread's heap owns the slab; else it is greater than that of
 * any magazine, as bits of the owner or HAK_ENTRY_INNER are set.  NULL, large, huge, foreign and other heaps' pointers
 * leave by the second branch at the latest.
 * Cost: five branches; twelve loads: where the thread's variables are, its delta there, the window's base and size, the
 * map's address, the entry, the key, the magazine's four members, the block on top; two stores: the slot and the
 * magazine's top.
 */
HAK_INLINE void hak_free(void *p)
{
    struct hak_tcache_hot *hot = hak_tcache_hot_self();
    uint32_t entry;
    if (HAK_UNLIKELY(!hak_tcache_entry(hot, p, &entry))) {
        hak_free_unknown(p);
        return;
    }
    hak_free_at(hot, p, entry);
}

/* Frees a block that was asked for with this size.  The class follows from the size, so that the page map's entry is
 * only compared and the magazine is found without waiting for it. */
HAK_INLINE void hak_free_sized(void *p, size_t size)
{
    struct hak_tcache_hot *hot = hak_tcache_hot_self();
    uint32_t entry;
    if (HAK_UNLIKELY(size > HAK_SMALL_MAX || !hak_tcache_entry(hot, p, &entry))) {
        hak_free_sized_unknown("free_sized", p, 1, size);
        return;
    }
    uint32_t offset = hak_mag_by_size[(size + 15) / 16];
    if (HAK_UNLIKELY(HAK_DEBUG || entry != (hot->key | offset) || !hak_push(hak_mag_at(hot, offset), p)))
        hak_free_sized_slow("free_sized", p, 1, size, entry);
}

#endif
