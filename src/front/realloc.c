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

/* A block that realloc was given. */
struct realloc_block {
    uint32_t entry;
    size_t usable;
    struct hak_slab *run; /* of a large block; NULL for others */
};

/* As realloc_kind_of(), for what is in no slab. */
HAK_NOINLINE static enum kind realloc_kind_of_big(const char *call, void *p, struct realloc_block *block)
{
    if (hak_is_libcs(p, block->entry)) {
        block->usable = hak_libc_usable_size(p);
        return LIBCS;
    }
    if (block->entry == HAK_ENTRY_NONE) {
        block->usable = hak_huge_usable(call, p);
        return HAK_LIKELY(block->usable) ? HUGE : NONE;
    }
    block->run = hak_large_find(call, p);
    if (HAK_UNLIKELY(!block->run))
        return NONE;
    block->usable = hak_large_bytes(block->run);
    return LARGE;
}

HAK_COLD static enum kind realloc_kind_of_inside(const char *call, void *p)
{
    hak_misuse_inside(call, p);
    return NONE;
}

/* What the pointer is, by its page map entry, and the block's size.  NONE, with the misuse noted, if no block begins
 * there. */
HAK_INLINE enum kind realloc_kind_of(const char *call, void *p, struct realloc_block *block)
{
    unsigned class = HAK_ENTRY_CLASS(block->entry);
    block->run = NULL;
    if (HAK_UNLIKELY(class >= HAK_CLASS_COUNT || block->entry == HAK_ENTRY_NONE))
        return realloc_kind_of_big(call, p, block);
    if (!hak_live_bits_used(call, p, block->entry))
        return NONE;
    if (HAK_UNLIKELY(!hak_block_begins(p, block->entry)))
        return realloc_kind_of_inside(call, p);
    block->usable = hak_classes[class].size;
    return SMALL;
}

size_t hak_usable_size_at(const char *call, void *p, uint32_t entry)
{
    struct realloc_block block = {.entry = entry};
    bool is_block = realloc_kind_of(call, p, &block) != NONE;
    hak_misuse_report();
    return HAK_LIKELY(is_block) ? block.usable : 0;
}

size_t hak_usable_size(const char *call, void *p)
{
    return p ? hak_usable_size_at(call, p, hak_entry_of(p)) : 0;
}

/* The common case by itself: a small block of the thread's own heap that stays where it is. */
HAK_INLINE bool realloc_stays(struct hak_tcache_hot *hot, void *p, size_t size, size_t offset)
{
    if (HAK_DEBUG || offset >= sizeof hot->mags || size == 0)
        return false;
    const struct hak_mag *mag = hak_mag_at(hot, offset);
    return hak_keeps_in_place(mag->size, size) && HAK_LIKELY(hak_is_block_start(p, mag->inverse, mag->last_product));
}

static _Atomic uint32_t realloc_oversized; /* only ever set, by any thread */

bool hak_may_be_oversized(void)
{
    return hak_load(&realloc_oversized);
}

/* Leaves the block as it is: programs do not expect that realloc to a smaller size can fail. */
static void *realloc_shrink_in_place(void *p, int saved_errno)
{
    hak_store(&realloc_oversized, 1);
    errno = saved_errno;
    return p;
}

/* Copies the block to a new one and frees the old one.  Its entry still holds: while the thread has a heap, no slab
 * leaves that heap.  A slab of another heap may change its owner meanwhile (adopt.h), but then the block goes through
 * the outbox, which reads the owner again.  A thread that gets its heap in hak_malloc() has to read the entry anew. */
static void *realloc_move(void *p, size_t size, const struct realloc_block *block)
{
    int saved_errno = errno;
    bool had_heap = hak_tls.state == HAK_THREAD_ATTACHED;
    void *moved = hak_malloc(size);
    if (HAK_UNLIKELY(!moved))
        return size <= block->usable ? realloc_shrink_in_place(p, saved_errno) : NULL;
    memcpy(moved, p, HAK_MIN(block->usable, size));
    if (block->run)
        hak_free_large("realloc", block->run);
    else if (HAK_LIKELY(had_heap))
        hak_free_at(hak_tcache_hot_self(), p, block->entry);
    else
        hak_free(p);
    return moved;
}

static void *realloc_resize(void *p, size_t size, uint32_t entry)
{
    struct realloc_block block = {.entry = entry};
    if (size == 0) {
        hak_free_by("realloc", p, entry);
        return NULL;
    }
    switch (realloc_kind_of("realloc", p, &block)) {
    case SMALL:
        if (HAK_LIKELY(hak_keeps_in_place(block.usable, size)))
            return p;
        break;
    case LARGE: {
        bool resized = size > HAK_MEDIUM_MAX && hak_large_resize(block.run, size);
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
    return realloc_move(p, size, &block);
}

/* For the rest of what the thread's cache knows the entry of: `offset` is the entry xor the cache's key. */
static HAK_NOINLINE void *realloc_known(void *p, size_t size, size_t offset)
{
    return realloc_resize(p, size, (uint32_t)offset ^ hak_tcache_hot_self()->key);
}

/* For a pointer of which the thread's cache does not know the entry. */
static HAK_NOINLINE void *realloc_unknown(void *p, size_t size)
{
    if (!p)
        return hak_malloc(size);
    hak_tcache_see_window();
    return realloc_resize(p, size, hak_entry_of(p));
}

void *hak_realloc(void *p, size_t size)
{
    struct hak_tcache_hot *hot = hak_tcache_hot_self();
    uint32_t entry;
    if (HAK_UNLIKELY(!hak_tcache_entry(hot, p, &entry)))
        return realloc_unknown(p, size);
    size_t offset = entry ^ hot->key;
    return HAK_LIKELY(realloc_stays(hot, p, size, offset)) ? p : realloc_known(p, size, offset);
}
