/* SPDX-License-Identifier: MIT */
/*
 * live_bits.c - the live bits of debug builds; see live_bits.h.  Owns nothing; takes no lock.  Calls window.h and
 * misuse.h.
 */
#include "heap/live_bits.h"

#include "os/fatal.h"

/* The word and bit of a block in a slab; *word is NULL for large, huge and foreign pointers, which other tables know.
 * False, and noted, if no block begins there. */
static bool live_bits_find(const char *call, const void *p, uint32_t entry, _Atomic uint64_t **word, uint64_t *bit)
{
    unsigned index;
    *word = NULL;
    if (HAK_ENTRY_CLASS(entry) >= HAK_CLASS_COUNT || entry == HAK_ENTRY_NONE)
        return true;
    struct hak_slab *slab = hak_slab_of(p);
    if (!hak_slab_index(slab, p, &index)) {
        hak_misuse_inside(call, p);
        return false;
    }
    *bit = (uint64_t)1 << index % 64;
    *word = &slab->live[index / 64];
    return true;
}

static bool live_bits_report_freed(const char *call, const void *p)
{
    hak_misuse_double_free(call, p, hak_classes[hak_slab_of(p)->class].size);
    return false;
}

void hak_live_bits_mark_live(const void *block)
{
    uint64_t bit;
    _Atomic uint64_t *word;
    if (live_bits_find("malloc", block, hak_entry_of(block), &word, &bit) && word)
        HAK_REQUIRE((atomic_fetch_or(word, bit) & bit) == 0);
}

bool hak_live_bits_mark_free(const char *call, const void *p, uint32_t entry)
{
    uint64_t bit;
    _Atomic uint64_t *word;
    if (!live_bits_find(call, p, entry, &word, &bit))
        return false;
    return !word || (atomic_fetch_and(word, ~bit) & bit) != 0 || live_bits_report_freed(call, p);
}

bool hak_live_bits_expect_live(const char *call, const void *p, uint32_t entry)
{
    uint64_t bit;
    _Atomic uint64_t *word;
    if (!live_bits_find(call, p, entry, &word, &bit))
        return false;
    return !word || (atomic_load(word) & bit) != 0 || live_bits_report_freed(call, p);
}
