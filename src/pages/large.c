/* SPDX-License-Identifier: MIT */
/*
 * large.c - blocks that are runs of units: from the heap's stock, else from the page heap.  Owns nothing; needs no lock
 * of its own.  Calls stock.h, superslab.h, huge.h and misuse.h.
 */
#include "pages/large.h"

#include "pages/misuse.h"
#include "pages/stock.h"
#include "pages/superslab.h"

static size_t units_of(size_t size)
{
    return HAK_MAX((size + HAK_UNIT - 1) >> HAK_UNIT_SHIFT, 1);
}

void *hak_large_alloc(unsigned heap, size_t size, size_t align, bool *zero)
{
    if (HAK_UNLIKELY(size > hak_super_run_max || align > HAK_LARGE_ALIGN_MAX))
        return hak_huge_alloc(size, align, zero);
    struct hak_slab *run = hak_stock_take(heap, units_of(size), align);
    *zero = false;
    if (!run)
        run = hak_span_alloc_large(units_of(size), HAK_MAX(align >> HAK_UNIT_SHIFT, 1), zero);
    return HAK_LIKELY(run) ? run->base : NULL;
}

/* Whether a live block begins at the address. */
HAK_INLINE struct hak_slab *run_of(const char *call, const void *p)
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

void hak_large_free(unsigned heap, const char *call, void *p)
{
    struct hak_slab *run = run_of(call, p);
    uint8_t live = HAK_LARGE_LIVE;
    if (HAK_UNLIKELY(!run))
        return;
    /* Of two threads that free it at once, one is refused. */
    if (HAK_SINGLE_THREADED)
        hak_store(&run->state, HAK_LARGE_NONE);
    else if (HAK_UNLIKELY(!atomic_compare_exchange_strong(&run->state, &live, HAK_LARGE_NONE))) {
        hak_misuse_double_free(call, p, run->length * HAK_UNIT);
        return;
    }
    run = hak_stock_put(heap, run);
    if (run)
        hak_span_free_large(run);
}

size_t hak_large_usable(const char *call, const void *p)
{
    struct hak_slab *run = run_of(call, p);
    return HAK_LIKELY(run) ? run->length * HAK_UNIT : 0;
}

bool hak_large_resize(const char *call, void *p, size_t size)
{
    struct hak_slab *run = run_of(call, p);
    return HAK_LIKELY(run) && size <= hak_super_run_max && hak_span_resize_large(run, units_of(size));
}

void hak_large_misuse(const char *call, const void *p)
{
    const struct hak_slab *run = hak_span_around(p);
    if (run)
        hak_misuse_within(call, p, run->base, run->length * HAK_UNIT);
    else
        hak_misuse_foreign(call, p);
}
