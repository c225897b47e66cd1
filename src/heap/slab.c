/* SPDX-License-Identifier: MIT */
/*
 * slab.c - the bitmaps of slabs.  Owns nothing: all state is in the slab and in its heap's lists, both guarded by that
 * heap's lock.  Calls superslab.h, meta.h, os.h and misuse.h.
 */
#include "heap/slab.h"

#include <string.h>

#include "os/fatal.h"
#include "pages/meta.h"
#include "os/os.h"
#include "pages/misuse.h"

/* The length of a bitmap, in words. */
static unsigned slab_words(unsigned capacity)
{
    return (capacity + 63) / 64;
}

static size_t slab_bitmap_bytes(unsigned capacity)
{
    return slab_words(capacity) * sizeof(uint64_t);
}

/* The list that the slab belongs to. */
static enum hak_list slab_list_for(const struct hak_slab *slab)
{
    if (slab->free == 0)
        return HAK_LIST_NONE;
    if (slab->free * 8u < slab->capacity)
        return HAK_LIST_FEW;
    return slab->free * 2u <= slab->capacity ? HAK_LIST_FEW_MORE : HAK_LIST_MANY;
}

void hak_slab_unlist(struct hak_slab *slab, struct hak_slab_lists *lists)
{
    if (slab->list == HAK_LIST_NONE)
        return;
    if (slab->next)
        slab->next->prev = slab->prev;
    if (slab->prev)
        slab->prev->next = slab->next;
    else
        lists->head[slab->list] = slab->next;
    slab->list = HAK_LIST_NONE;
}

void hak_slab_enlist(struct hak_slab *slab, struct hak_slab_lists *lists)
{
    enum hak_list list = slab_list_for(slab);
    slab->list = (uint8_t)list;
    if (list == HAK_LIST_NONE)
        return;
    slab->prev = NULL;
    slab->next = lists->head[list];
    if (slab->next)
        slab->next->prev = slab;
    lists->head[list] = slab;
}

static void slab_relist(struct hak_slab *slab, struct hak_slab_lists *lists)
{
    if (HAK_LIKELY(slab_list_for(slab) == slab->list))
        return;
    hak_slab_unlist(slab, lists);
    hak_slab_enlist(slab, lists);
}

struct hak_slab *hak_slab_create(unsigned class, uint32_t owner, struct hak_slab_lists *lists, bool *untouched)
{
    const struct hak_class *traits = &hak_classes[class];
    unsigned words = slab_words(traits->capacity);
    uint32_t entry = HAK_ENTRY(owner, class);
    uint64_t *bits = NULL;
    _Atomic uint64_t *live = NULL;
    if (words > sizeof((struct hak_slab *)0)->bits_here / sizeof(uint64_t)) {
        bits = hak_meta_alloc(slab_bitmap_bytes(traits->capacity));
        if (!bits)
            return NULL;
    }
    if (HAK_DEBUG)
        live = hak_meta_alloc(slab_bitmap_bytes(traits->capacity));
    struct hak_slab *slab = NULL;
    if (!HAK_DEBUG || live)
        slab = hak_span_alloc(traits->units, entry, untouched);
    if (!slab) {
        if (bits)
            hak_meta_free(bits, slab_bitmap_bytes(traits->capacity));
        if (live)
            hak_meta_free((void *)live, slab_bitmap_bytes(traits->capacity));
        return NULL;
    }
    slab->bits = bits ? bits : slab->bits_here;
    slab->live = live;
    memset(slab->bits, 0xff, traits->capacity / 64 * sizeof(uint64_t));
    if (traits->capacity % 64)
        slab->bits[words - 1] = ((uint64_t)1 << traits->capacity % 64) - 1;
    slab->class = (uint8_t)class;
    slab->capacity = slab->free = traits->capacity;
    slab->first_word = 0;
    slab->idle_age = HAK_IDLE_NONE;
    slab->owner = owner;
    hak_slab_enlist(slab, lists);
    return slab;
}

void hak_slab_destroy(struct hak_slab *slab, struct hak_slab_lists *lists)
{
    HAK_INVARIANT(hak_slab_empty(slab));
    hak_slab_unlist(slab, lists);
    if (slab->bits != slab->bits_here)
        hak_meta_free(slab->bits, slab_bitmap_bytes(slab->capacity));
    if (slab->live)
        hak_meta_free((void *)slab->live, slab_bitmap_bytes(slab->capacity));
    slab->bits = NULL;
    slab->live = NULL;
    hak_span_free(slab);
}

struct hak_slab *hak_slab_pick(const struct hak_slab_lists *lists)
{
    static const enum hak_list order[] = {HAK_LIST_FEW_MORE, HAK_LIST_MANY, HAK_LIST_FEW};
    for (unsigned i = 0; i < HAK_LIST_COUNT; i++)
        if (lists->head[order[i]])
            return lists->head[order[i]];
    return NULL;
}

unsigned hak_slab_take(struct hak_slab *slab, struct hak_slab_lists *lists, void **end, unsigned want)
{
    size_t size = hak_classes[slab->class].size;
    unsigned word = slab->first_word, taken = 0;
    want = HAK_MIN(want, slab->free);
    while (taken < want) {
        uint64_t bits = slab->bits[word];
        char *first = slab->base + word * 64 * size;
        for (; bits && taken < want; bits &= bits - 1, taken++)
            *--end = first + (unsigned)__builtin_ctzl(bits) * size;
        slab->bits[word] = bits;
        word += !bits;
    }
    slab->first_word = (uint16_t)word;
    slab->free = (uint16_t)(slab->free - taken);
    slab->idle_age = HAK_IDLE_NONE;
    slab_relist(slab, lists);
    return taken;
}

bool hak_slab_put(struct hak_slab *slab, struct hak_slab_lists *lists, void *block)
{
    unsigned index;
    if (HAK_UNLIKELY(!hak_slab_index(slab, block, &index))) {
        hak_misuse_inside("free", block);
        return false;
    }
    uint64_t bit = (uint64_t)1 << index % 64;
    uint16_t word = (uint16_t)(index / 64);
    if (HAK_UNLIKELY(slab->bits[word] & bit)) {
        hak_misuse_double_free("free", block, hak_classes[slab->class].size);
        return false;
    }
    slab->bits[word] |= bit;
    slab->first_word = HAK_MIN(slab->first_word, word);
    slab->free++;
    slab->idle_age = HAK_IDLE_NONE;
    slab_relist(slab, lists);
    return true;
}

/* Whether the blocks of these indices, both included, are free. */
static bool slab_all_free(const struct hak_slab *slab, unsigned first, unsigned last)
{
    for (unsigned word = first / 64; word <= last / 64; word++) {
        uint64_t wanted = UINT64_MAX;
        if (word == first / 64)
            wanted &= UINT64_MAX << first % 64;
        if (word == last / 64)
            wanted &= UINT64_MAX >> (63 - last % 64);
        if ((slab->bits[word] & wanted) != wanted)
            return false;
    }
    return true;
}

/* Whether all blocks that have a byte in the page are free.  A page behind the last block does not count as free. */
static bool slab_page_is_free(const struct hak_slab *slab, size_t offset)
{
    size_t size = hak_classes[slab->class].size;
    size_t first = offset / size, last = (offset + hak_os_page - 1) / size;
    return first < slab->capacity && slab_all_free(slab, (unsigned)first, (unsigned)HAK_MIN(last, slab->capacity - 1u));
}

size_t hak_slab_purge(struct hak_slab *slab)
{
    size_t end = slab->units * HAK_UNIT, given = 0;
    slab->idle_age = HAK_IDLE_PURGED;
    for (size_t start = 0, stop; start < end; start = stop + hak_os_page) {
        for (stop = start; stop < end && slab_page_is_free(slab, stop); stop += hak_os_page)
            ;
        if (stop > start && hak_os_purge(slab->base + start, stop - start))
            given += stop - start;
    }
    if (given) { /* a slab is shorter than a superslab, but may lie in two */
        hak_super_break_up(slab->super);
        hak_super_break_up(slab[slab->units - 1].super);
    }
    return given;
}

char *hak_slab_block_of(const struct hak_slab *slab, const void *p, size_t *block_size)
{
    size_t size = hak_classes[slab->class].size;
    *block_size = size;
    return slab->base + (size_t)((const char *)p - slab->base) / size * size;
}

void hak_misuse_inside(const char *call, const void *p)
{
    size_t size;
    const struct hak_slab *slab = hak_slab_of(p);
    const char *block = slab->base;
    if (HAK_ENTRY_CLASS(hak_entry_of(p)) < HAK_CLASS_COUNT)
        block = hak_slab_block_of(slab, p, &size);
    else
        size = slab->length * HAK_UNIT;
    hak_misuse_within(call, p, block, size);
}
