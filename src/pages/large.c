/* SPDX-License-Identifier: MIT */
/*
 * large.c - blocks that are runs of units: from the heap's stock, else from the page heap.  Owns nothing; needs no lock
 * of its own.  Calls stock.h, superslab.h, huge.h and misuse.h.
 */
#include "pages/large.h"

#include "pages/misuse.h"
#include "pages/stock.h"
#include "pages/superslab.h"

static size_t large_units(size_t size)
{
    return HAK_MAX((size + HAK_UNIT - 1) >> HAK_UNIT_SHIFT, 1);
}

void *hak_large_alloc(unsigned heap, size_t size, size_t align, bool *zero)
{
    if (HAK_UNLIKELY(size > hak_super_run_max || align > HAK_LARGE_ALIGN_MAX))
        return hak_huge_alloc(size, align, zero);
    struct hak_slab *run = hak_stock_take(heap, large_units(size), align);
    *zero = false;
    if (!run)
        run = hak_span_alloc_large(large_units(size), HAK_MAX(align >> HAK_UNIT_SHIFT, 1), zero);
    return HAK_LIKELY(run) ? run->base : NULL;
}

/* The run of the live block that begins at the address; NULL, with the misuse noted, if none does. */
HAK_INLINE struct hak_slab *large_run_of(const char *call, const void *p)
{
    struct hak_slab *run = hak_slab_of(p);
    if (HAK_LIKELY(run->base == p && hak_load(&run->state) == HAK_LARGE_LIVE))
        return run;
    if (hak_load(&run->state) != HAK_LARGE_LIVE && run->base == p)
        hak_misuse_double_free(call, p, run->length * HAK_UNIT);
    else if (hak_load(&run->state) == HAK_LARGE_LIVE)
        hak_misuse_within(call, p, run->base, run->length * HAK_UNIT);
    else
        hak_misuse_dead(call, p);
    return NULL;
}

struct hak_slab *hak_large_find(const char *call, const void *p)
{
    return large_run_of(call, p);
}

HAK_INLINE void large_free(unsigned heap, const char *call, struct hak_slab *run)
{
    uint8_t live = HAK_LARGE_LIVE;
    /* Of two threads that free it at once, one is refused. */
    if (HAK_SINGLE_THREADED)
        hak_store(&run->state, HAK_LARGE_NONE);
    else if (HAK_UNLIKELY(!atomic_compare_exchange_strong(&run->state, &live, HAK_LARGE_NONE))) {
        hak_misuse_double_free(call, run->base, run->length * HAK_UNIT);
        return;
    }
    run = hak_stock_put(heap, run);
    if (run)
        hak_span_free_large(run);
}

void hak_large_free(unsigned heap, const char *call, void *p)
{
    struct hak_slab *run = large_run_of(call, p);
    if (HAK_LIKELY(run))
        large_free(heap, call, run);
}

void hak_large_free_run(unsigned heap, const char *call, struct hak_slab *run)
{
    large_free(heap, call, run);
}

bool hak_large_resize(struct hak_slab *run, size_t size)
{
    return size <= hak_super_run_max && hak_span_resize_large(run, large_units(size));
}

void hak_large_misuse(const char *call, const void *p)
{
    const struct hak_slab *run = hak_span_around(p);
    if (run)
        hak_misuse_within(call, p, run->base, run->length * HAK_UNIT);
    else
        hak_misuse_foreign(call, p);
}
