/* SPDX-License-Identifier: MIT */
/* debug.c - the live bits of debug builds; see debug.h.  Owns nothing; takes no lock.  Calls window.h and report.h. */
#include "debug.h"

#include "invariant.h"

/* The word and bit of a block of a class; NULL for large, huge and foreign ones, which their own tables know. */
static _Atomic uint64_t *word_of(const char *call, const void *p, uint64_t *bit)
{
    unsigned index;
    if (HAK_ENTRY_CLASS(hak_entry_of(p)) >= HAK_CLASS_COUNT || hak_entry_of(p) == HAK_ENTRY_NONE)
        return NULL;
    struct hak_slab *slab = hak_slab_of(p);
    if (!hak_slab_index(slab, p, &index))
        hak_report_inside(call, p);
    *bit = (uint64_t)1 << index % 64;
    return &slab->live[index / 64];
}

void hak_debug_mark_live(const void *block)
{
    uint64_t bit;
    _Atomic uint64_t *word = word_of("malloc", block, &bit);
    if (word)
        HAK_REQUIRE((atomic_fetch_or(word, bit) & bit) == 0);
}

void hak_debug_mark_free(const char *call, const void *p)
{
    uint64_t bit;
    _Atomic uint64_t *word = word_of(call, p, &bit);
    if (word && (atomic_fetch_and(word, ~bit) & bit) == 0)
        hak_report_double_free(call, p, hak_classes[hak_slab_of(p)->class].size);
}

void hak_debug_expect_live(const char *call, const void *p)
{
    uint64_t bit;
    _Atomic uint64_t *word = word_of(call, p, &bit);
    if (word && (atomic_load(word) & bit) == 0)
        hak_report_double_free(call, p, hak_classes[hak_slab_of(p)->class].size);
}
