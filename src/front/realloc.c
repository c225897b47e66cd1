/* SPDX-License-Identifier: MIT */
/*
 * realloc.c - resizing, and the size of a block.  Owns nothing; takes no lock itself.  Calls fast.h, large.h,
 * libc_malloc.h and limit.h.
 */
#include <errno.h>
#include <string.h>

#include "front/fast.h"
#include "pages/large.h"
#include "os/libc_malloc.h"
#include "pages/misuse.h"
#include "pages/limit.h"

enum kind { SMALL, LARGE, HUGE, LIBCS, NONE };

/* The same as below, for what is in no slab. */
HAK_NOINLINE static enum kind realloc_kind_of_big(const char *call, void *p, uint32_t entry, size_t *usable)
{
    if (hak_is_libcs(p)) {
        *usable = hak_libc_usable_size(p);
        return LIBCS;
    }
    if (entry == HAK_ENTRY_NONE) {
        *usable = hak_huge_usable(call, p);
        return HAK_LIKELY(*usable) ? HUGE : NONE;
    }
    *usable = hak_large_usable(call, p);
    return HAK_LIKELY(*usable) ? LARGE : NONE;
}

HAK_COLD static enum kind realloc_kind_of_inside(const char *call, void *p)
{
    hak_misuse_inside(call, p);
    return NONE;
}

/* What the pointer is, by its page map entry; NONE, and reported, if it is no start of a block. */
HAK_INLINE enum kind realloc_kind_of(const char *call, void *p, size_t *usable)
{
    uint32_t entry = hak_entry_of(p);
    unsigned class = HAK_ENTRY_CLASS(entry);
    if (HAK_UNLIKELY(class >= HAK_CLASS_COUNT || entry == HAK_ENTRY_NONE))
        return realloc_kind_of_big(call, p, entry, usable);
    if (!hak_live_bits_used(call, p))
        return NONE;
    if (HAK_UNLIKELY(!hak_block_begins(p, entry)))
        return realloc_kind_of_inside(call, p);
    *usable = hak_classes[class].size;
    return SMALL;
}

size_t hak_usable_size(const char *call, void *p)
{
    size_t usable;
    if (!p)
        return 0;
    bool is_block = realloc_kind_of(call, p, &usable) != NONE;
    hak_misuse_report();
    return HAK_LIKELY(is_block) ? usable : 0;
}

/* The common case by itself: a small block of the thread's own heap that is left where it is. */
HAK_INLINE bool realloc_stays(void *p, size_t size)
{
    struct hak_tcache_hot *hot = hak_tcache_hot_self();
    uint32_t entry;
    if (HAK_DEBUG || !hak_tcache_entry(hot, p, &entry))
        return false;
    uint32_t offset = entry ^ hot->key;
    if (offset >= sizeof hot->mags || size == 0)
        return false;
    const struct hak_mag *mag = hak_mag_at(hot, offset);
    return hak_keeps_in_place(mag->size, size) && HAK_LIKELY(hak_is_block_start(p, mag->inverse, mag->last_product));
}

static _Atomic uint32_t oversized;

bool hak_may_be_oversized(void)
{
    return hak_load(&oversized);
}

/* Programs do not expect that less memory cannot be had. */
static void *realloc_shrink_in_place(void *p, int saved)
{
    hak_store(&oversized, 1);
    errno = saved;
    return p;
}

static void *realloc_move(void *p, size_t usable, size_t size)
{
    int saved = errno;
    void *block = hak_malloc(size);
    if (HAK_UNLIKELY(!block))
        return size <= usable ? realloc_shrink_in_place(p, saved) : NULL;
    memcpy(block, p, HAK_MIN(usable, size));
    hak_free(p);
    return block;
}

static HAK_NOINLINE void *realloc_resize(void *p, size_t size)
{
    size_t usable;
    if (!p)
        return hak_malloc(size);
    if (size == 0) {
        hak_free_slow_by("realloc", p);
        return NULL;
    }
    switch (realloc_kind_of("realloc", p, &usable)) {
    case SMALL:
        if (HAK_LIKELY(hak_keeps_in_place(usable, size)))
            return p;
        break;
    case LARGE: {
        bool resized = size > HAK_MEDIUM_MAX && hak_large_resize("realloc", p, size);
        hak_allocation_ends();
        if (resized)
            return p;
        break;
    }
    case HUGE: {
        void *resized = hak_huge_resize("realloc", p, size);
        hak_allocation_ends();
        if (resized)
            return resized;
        break;
    }
    case LIBCS:
        return hak_libc_realloc(p, size);
    case NONE:
        hak_misuse_report();
        errno = EINVAL;
        return NULL;
    }
    return realloc_move(p, usable, size);
}

void *hak_realloc(void *p, size_t size)
{
    return HAK_LIKELY(realloc_stays(p, size)) ? p : realloc_resize(p, size);
}
