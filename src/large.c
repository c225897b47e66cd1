/* SPDX-License-Identifier: MIT */
/*
 * large.c - blocks that are spans of units.  Owns the count of them and their bytes.  Calls superslab.h, huge.c and
 * report.h; needs no lock of its own.
 */
#include "large.h"

#include "report.h"
#include "superslab.h"

_Atomic size_t hak_large_blocks, hak_large_bytes;

static unsigned units_of(size_t size)
{
    return (unsigned)((size + HAK_UNIT - 1) >> HAK_UNIT_SHIFT);
}

void *hak_large_alloc(size_t size, size_t align, bool *zero)
{
    if (size > HAK_LARGE_MAX || align > HAK_LARGE_MAX)
        return hak_huge_alloc(size, align, zero);
    unsigned units = HAK_MAX(units_of(size), 1);
    unsigned align_units = (unsigned)HAK_MAX(align >> HAK_UNIT_SHIFT, 1);
    struct hak_slab *span = hak_span_alloc(units, align_units, HAK_ENTRY_LARGE, HAK_ENTRY_INSIDE, zero);
    if (!span)
        return NULL;
    span->class = HAK_CLASS_LARGE; /* what report.c knows it by when it is gone */
    hak_add(&hak_large_blocks, 1);
    hak_add(&hak_large_bytes, units * HAK_UNIT);
    return span->base;
}

/* The span that begins with the block; NULL if there is none, and that was reported. */
static struct hak_slab *span_of(const char *call, const void *p)
{
    struct hak_slab *span = hak_slab_of(p);
    if (HAK_LIKELY(span->base == p))
        return span;
    hak_report_inside(call, p);
    return NULL;
}

void hak_large_free(const char *call, void *p)
{
    struct hak_slab *span = span_of(call, p);
    if (HAK_UNLIKELY(!span))
        return;
    size_t bytes = span->units * HAK_UNIT;
    /* Of two threads that free it, one finds the entry changed. */
    uint32_t large = HAK_ENTRY_LARGE;
    if (HAK_UNLIKELY(!atomic_compare_exchange_strong(hak_entry_at(span->super->window, p), &large, HAK_ENTRY_INSIDE))) {
        hak_report_double_free(call, p, bytes);
        return;
    }
    hak_sub(&hak_large_blocks, 1);
    hak_sub(&hak_large_bytes, bytes);
    hak_span_free(span);
}

size_t hak_large_usable(const char *call, const void *p)
{
    struct hak_slab *span = span_of(call, p);
    return HAK_LIKELY(span) ? span->units * HAK_UNIT : 0;
}

bool hak_large_resize(const char *call, void *p, size_t size)
{
    struct hak_slab *span = span_of(call, p);
    unsigned old = span->units;
    if (size > HAK_LARGE_MAX || !hak_span_resize(span, units_of(size), HAK_ENTRY_INSIDE))
        return false;
    hak_add(&hak_large_bytes, ((size_t)span->units - old) * HAK_UNIT);
    return true;
}
