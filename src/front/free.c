/* SPDX-License-Identifier: MIT */
/*
 * free.c - frees that are not a push on the thread's own magazine: NULL, a full magazine, other heaps' blocks, large
 * and huge ones, and pointers that are no blocks.  Owns nothing; takes no lock itself.  Calls tcache.h, large.h,
 * libc_malloc.h, purge.h and misuse.h.
 */
#include "front/fast.h"
#include "pages/large.h"
#include "os/libc_malloc.h"
#include "process/thread.h"
#include "purge/purge.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"

bool hak_is_libcs(const void *p, uint32_t entry)
{
    return HAK_UNLIKELY(hak_knob_value(force_libc)) && entry == HAK_ENTRY_NONE && !hak_huge_is_block(p);
}

/* Puts a small block into its magazine, or into the outbox if another heap owns it.  False, with nothing done, if the
 * block is on top of the magazine already. */
HAK_INLINE bool free_put_away(struct hak_tcache *thread, void *p, uint32_t entry)
{
    unsigned class = HAK_ENTRY_CLASS(entry);
    struct hak_mag *mag = &thread->hot.mags[class];
    if (HAK_ENTRY_OWNER(entry) != thread->heap->number)
        hak_tcache_send(thread, p, entry);
    else if (HAK_UNLIKELY(*hak_load(&mag->top) == p))
        return false;
    else if (!hak_mag_push(mag, p))
        hak_tcache_spill(thread, class, p);
    return true;
}

static void free_block(const char *call, void *p, uint32_t entry)
{
    if (!hak_live_bits_freed(call, p, entry))
        return;
    if (HAK_UNLIKELY(!hak_block_begins(p, entry))) {
        hak_misuse_inside(call, p);
        return;
    }
    struct hak_tcache *thread = hak_thread_tcache_freeing();
    if (HAK_UNLIKELY(!thread))
        hak_deliver(&p, 1);
    else if (HAK_UNLIKELY(!free_put_away(thread, p, entry)))
        hak_misuse_double_free(call, p, hak_classes[HAK_ENTRY_CLASS(entry)].size);
}

/* Frees most of what the hot path leaves: blocks whose magazine is full, blocks of another heap, blocks in an inner
 * unit of a slab, and large ones.  False, with nothing done, for anything else.  The thread has a cache. */
static bool free_common(void *p, uint32_t entry)
{
    struct hak_tcache_hot *hot = hak_tcache_hot_self();
    if (HAK_DEBUG)
        return false;
    if (entry == HAK_ENTRY_LARGE) {
        hak_large_free(HAK_ENTRY_OWNER(hot->key), "free", p);
        return true;
    }
    return HAK_ENTRY_OWNER(entry) != 0 && HAK_LIKELY(hak_block_begins(p, entry)) &&
           free_put_away((struct hak_tcache *)hot, p, entry);
}

/* The end of each call, made without a lock: reports misuse that was noted, and looks at the purge trigger. */
HAK_INLINE void free_finish(const void *caller)
{
    hak_misuse_report();
    if (HAK_UNLIKELY(hak_purge_due_free()))
        hak_purge_tick(caller);
}

/* Frees whatever the pointer is, or notes that it is no block. */
HAK_INLINE void free_any(const char *call, void *p, uint32_t entry, const void *caller)
{
    switch (HAK_ENTRY_CLASS(entry)) {
    default:
        if (HAK_LIKELY(entry != HAK_ENTRY_NONE))
            free_block(call, p, entry);
        else if (hak_is_libcs(p, entry))
            hak_libc_free(p);
        else
            hak_huge_free(call, p);
        break;
    case HAK_CLASS_LARGE:
        hak_large_free(HAK_ENTRY_OWNER(hak_tcache_hot_self()->key), call, p);
        break;
    }
    free_finish(caller);
}

void hak_free_slow(void *p, size_t offset)
{
    uint32_t entry = (uint32_t)offset ^ hak_tcache_hot_self()->key;
    if (HAK_UNLIKELY(!free_common(p, entry)))
        free_any("free", p, entry, __builtin_return_address(0));
    else
        free_finish(__builtin_return_address(0));
}

void hak_free_unknown(void *p)
{
    if (!p)
        return;
    hak_tcache_see_window();
    free_any("free", p, hak_entry_of(p), __builtin_return_address(0));
}

void hak_free_by(const char *call, void *p, uint32_t entry)
{
    free_any(call, p, entry, __builtin_return_address(0));
}

void hak_free_large(const char *call, struct hak_slab *run)
{
    hak_large_free_run(HAK_ENTRY_OWNER(hak_tcache_hot_self()->key), call, run);
    free_finish(__builtin_return_address(0));
}

/* Whether a block of `usable` bytes can have been asked for with `size`: it has the size's class, or realloc left it in
 * place. */
static bool free_size_fits(size_t align, size_t size, size_t usable)
{
    if (size > usable || align > 1 || hak_keeps_in_place(usable, size) || hak_may_be_oversized())
        return size <= usable;
    return usable <= HAK_MEDIUM_MAX && hak_classes[hak_class_of(size)].size == usable;
}

void hak_free_sized_slow(const char *call, void *p, size_t align, size_t size, uint32_t entry)
{
    size_t usable = hak_usable_size_at(call, p, entry);
    if (HAK_UNLIKELY(!usable)) /* no block: that was reported */
        return;
    if (HAK_LIKELY(free_size_fits(align, size, usable) || hak_is_libcs(p, entry))) {
        hak_free_by(call, p, entry);
    } else {
        hak_misuse_size(call, p, size, usable);
        hak_misuse_report();
    }
}

void hak_free_sized_unknown(const char *call, void *p, size_t align, size_t size)
{
    if (!p)
        return;
    hak_tcache_see_window();
    hak_free_sized_slow(call, p, align, size, hak_entry_of(p));
}
