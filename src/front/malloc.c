/* SPDX-License-Identifier: MIT */
/*
 * malloc.c - allocation when the magazine is empty, the thread has no cache, or the size is above HAK_SMALL_MAX; and
 * aligned allocation.  Owns nothing; takes no lock itself.  Calls tcache.h, registry.h, large.h and libc_malloc.h.
 */
#include <errno.h>
#include <string.h>

#include "front/fast.h"
#include "process/init.h"
#include "process/thread.h"
#include "purge/trim.h"
#include "pages/large.h"
#include "pages/misuse.h"
#include "pages/superslab.h"
#include "os/libc_malloc.h"
#include "heap/registry.h"
#include "purge/pressure.h"
#include "purge/purge.h"
#include "knobs/knobs.h"

void *hak_out_of_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void hak_allocation_ends(void)
{
    hak_misuse_report();
    if (HAK_UNLIKELY(hak_load(&hak_limit_rise) >= HAK_SHED_FROM))
        hak_shed();
    if (HAK_UNLIKELY(hak_load(&hak_limit_pressed)))
        hak_pressure();
    if (HAK_UNLIKELY(hak_purge_due_alloc()))
        hak_purge_tick_alloc();
}

/* A block of the class from the calling thread's magazine, which is refilled if empty.  NULL when memory is out. */
HAK_INLINE void *alloc_from(struct hak_tcache *thread, unsigned class)
{
    void *block = hak_mag_pop(&thread->hot.mags[class]); /* filled, perhaps, when the thread got its cache */
    return block ? block : hak_tcache_refill(thread, class);
}

/* Allocates a block of the class in any way there is: from the magazine, else from the orphan heap, else once more from
 * both after all free memory was given back to the kernel.  The alignment and size are those that the program asked
 * for. */
static HAK_NOINLINE void *alloc_hard(unsigned class, size_t align, size_t size)
{
    struct hak_retry retry = {0};
    do {
        hak_retry_begin(&retry);
        struct hak_tcache *thread = hak_thread_tcache();
        void *block = NULL;
        if (HAK_LIKELY(thread))
            block = alloc_from(thread, class);
        else if (hak_knob_value(force_libc))
            return hak_libc_malloc(align, size);
        if (!block && hak_ready())
            hak_heap_get(hak_orphan_heap, class, &block, 1);
        if (HAK_LIKELY(block)) {
            hak_allocation_ends();
            return hak_live_bits_allocated(block);
        }
    } while (hak_ready() && hak_retry(&retry, size));
    hak_misuse_report();
    return hak_out_of_memory();
}

static void *alloc_class(unsigned class, size_t align, size_t size)
{
    if (HAK_LIKELY(hak_tls.state == HAK_THREAD_ATTACHED)) {
        void *block = alloc_from((struct hak_tcache *)hak_tcache_hot_self(), class);
        if (HAK_LIKELY(block)) {
            hak_allocation_ends();
            return hak_live_bits_allocated(block);
        }
    }
    return alloc_hard(class, align, size);
}

/* The number of the calling thread's heap.  A thread without a cache has none; its number is that of no heap. */
HAK_INLINE unsigned alloc_heap_number(void)
{
    return HAK_ENTRY_OWNER(hak_tcache_hot_self()->key);
}

static HAK_NOINLINE void *alloc_large(size_t size, size_t align, bool *zero)
{
    if (HAK_UNLIKELY(size > PTRDIFF_MAX || !hak_start()))
        return hak_out_of_memory();
    if (HAK_UNLIKELY(hak_knob_value(force_libc)))
        return hak_libc_malloc(align, size);
    unsigned heap = alloc_heap_number();
    struct hak_retry retry = {0};
    void *block;
    do {
        hak_retry_begin(&retry);
        block = hak_large_alloc(heap, size, align, zero);
    } while (HAK_UNLIKELY(!block) && hak_retry(&retry, hak_add_sat(size, align)));
    if (HAK_UNLIKELY(!block))
        hak_limit_forget_rise();
    hak_allocation_ends();
    return HAK_LIKELY(block) ? block : hak_out_of_memory();
}

void *hak_malloc_slow(size_t size)
{
    bool zero;
    if (HAK_LIKELY(size <= HAK_MEDIUM_MAX))
        return alloc_class(hak_class_of(size), 1, size);
    return alloc_large(size, 1, &zero);
}

void *hak_calloc_slow(size_t bytes)
{
    bool zero = false;
    if (hak_start() && HAK_UNLIKELY(hak_knob_value(force_libc)))
        return hak_libc_calloc(bytes);
    void *block = NULL;
    if (bytes <= HAK_MEDIUM_MAX)
        block = alloc_class(hak_class_of(bytes), 1, bytes);
    else
        block = alloc_large(bytes, 1, &zero);
    if (HAK_UNLIKELY(!block) || zero || (bytes > hak_super_run_max && hak_huge_clear(block, bytes)))
        return block;
    return memset(block, 0, bytes);
}

/*
 * Blocks of a class lie at multiples of its size from a multiple of 64 KiB, so they are aligned to each power of two
 * that divides the size.  So the size is rounded up to a multiple of the alignment.  The class of such a multiple has a
 * size that the alignment divides: where classes are closer together than the alignment, the multiple is itself the
 * size of a class; elsewhere all classes' sizes are multiples of the alignment.
 */
void *hak_malloc_aligned(size_t align, size_t size)
{
    bool zero;
    if (size > HAK_MEDIUM_MAX || align > HAK_UNIT)
        return alloc_large(size, align, &zero);
    size_t multiple = hak_round_up(HAK_MAX(size, 1), align);
    void *block = hak_pop(multiple);
    return HAK_LIKELY(block) ? block : alloc_class(hak_class_of(multiple), align, size);
}
