/* SPDX-License-Identifier: MIT */
/*
 * large.c - blocks that are spans of units.  Owns nothing.  Calls superslab.h, huge.c and misuse.h; needs no lock of
 * its own.
 */
#include "pages/large.h"

#include "pages/misuse.h"
#include "pages/superslab.h"

static unsigned units_of(size_t size)
{
    return HAK_MAX((unsigned)((size + HAK_UNIT - 1) >> HAK_UNIT_SHIFT), 1);
}

void *hak_large_alloc(size_t size, size_t align, bool *zero)
{
    if (size > HAK_LARGE_MAX || align > HAK_LARGE_MAX)
        return hak_huge_alloc(size, align, zero);
    unsigned align_units = (unsigned)HAK_MAX(align >> HAK_UNIT_SHIFT, 1);
    struct hak_slab *span = hak_span_alloc_large(units_of(size), align_units, zero);
    return HAK_LIKELY(span) ? span->base : NULL;
}

void *hak_large_reuse(size_t size, size_t align)
{
    if (size > HAK_LARGE_MAX || align > HAK_LARGE_MAX)
        return hak_huge_reuse(size, align);
    struct hak_slab *span = hak_span_reuse(units_of(size), align);
    return HAK_LIKELY(span) ? span->base : NULL;
}

/* No live block begins at the address: it is in one, or in what was one. */
HAK_COLD static void report(const char *call, const void *p)
{
    const struct hak_slab *span = hak_slab_of(p);
    if (hak_load(hak_entry_at(span->super->window, span->base)) == HAK_ENTRY_LARGE)
        hak_misuse_inside(call, p);
    else
        hak_misuse_foreign(call, p);
}

/* The span of a live block that begins at the address, and the page map entry of its first unit; NULL if there is none,
 * and that was reported. */
HAK_INLINE struct hak_slab *span_of(const char *call, const void *p, _Atomic uint32_t **entry)
{
    struct hak_slab *span = hak_slab_of(p);
    *entry = hak_entry_at(hak_window_of(p), p);
    if (HAK_LIKELY(hak_load(*entry) == HAK_ENTRY_LARGE && span->base == p))
        return span;
    report(call, p);
    return NULL;
}

void hak_large_free(const char *call, void *p)
{
    _Atomic uint32_t *entry;
    struct hak_slab *span = span_of(call, p, &entry);
    /* Of two threads that free it at once, one is refused. */
    if (HAK_LIKELY(span) && HAK_UNLIKELY(!hak_span_free_large(span, entry)))
        hak_misuse_foreign(call, p);
}

size_t hak_large_usable(const char *call, const void *p)
{
    _Atomic uint32_t *entry;
    struct hak_slab *span = span_of(call, p, &entry);
    return HAK_LIKELY(span) ? span->units * HAK_UNIT : 0;
}

bool hak_large_resize(const char *call, void *p, size_t size)
{
    _Atomic uint32_t *entry;
    struct hak_slab *span = span_of(call, p, &entry);
    return HAK_LIKELY(span) && size <= HAK_LARGE_MAX && hak_span_resize_large(span, units_of(size));
}
