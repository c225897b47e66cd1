/* SPDX-License-Identifier: MIT */
/*
 * adopt.c - moves slabs out of abandoned heaps.  Owns the number of heaps that offer each class.  Calls heap.h, slab.h
 * and registry.h.
 *
 * Both heaps' locks are held while a slab moves.  The abandoned heap's is taken by hak_lock_try(), as both have one
 * rank.  So no thread can take the abandoned heap meanwhile, and no lock that all heaps share is needed.
 */
#include "heap/adopt.h"

#include "heap/registry.h"

/* Hints, read and written without a lock: a stale one costs a search that finds nothing, or a new slab. */
static struct {
    _Atomic uint32_t heaps[HAK_CLASS_COUNT]; /* how many heaps offer the class */
    _Atomic uint32_t last;                   /* the number of the heap that a slab was taken from last */
} adopt HAK_ALIGNED(HAK_LINE);

static bool adopt_offers(const struct hak_heap *heap, unsigned class)
{
    return hak_load(&heap->offers[class / 64]) >> class % 64 & 1;
}

static void adopt_change_offer(struct hak_heap *heap, unsigned class, bool offer) HAK_REQUIRES(heap->lock)
{
    _Atomic uint64_t *word = &heap->offers[class / 64];
    if (adopt_offers(heap, class) == offer)
        return;
    hak_store(word, hak_load(word) ^ (uint64_t)1 << class % 64);
    if (offer)
        hak_fetch_add(&adopt.heaps[class], 1);
    else
        hak_fetch_sub(&adopt.heaps[class], 1);
}

void hak_adopt_offer(struct hak_heap *heap, unsigned class)
{
    hak_lock_assert_held(&heap->lock);
    if (heap->number != HAK_HEAP_ORPHAN)
        adopt_change_offer(heap, class, true);
}

void hak_adopt_withdraw(struct hak_heap *heap)
{
    hak_lock_assert_held(&heap->lock);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        adopt_change_offer(heap, class, false);
}

static void adopt_move(struct hak_slab *slab, struct hak_heap *from, struct hak_heap *to)
    HAK_REQUIRES(from->lock) HAK_REQUIRES(to->lock)
{
    unsigned class = slab->class;
    size_t out = (size_t)slab->capacity - slab->free;
    uint32_t entry = HAK_ENTRY(to->number, class);
    _Atomic uint32_t *map = hak_entry_at(slab->super->window, slab->base);
    hak_slab_unlist(slab, &from->lists[class]);
    slab->owner = to->number;
    for (unsigned i = 0; i < slab->units; i++)
        hak_store(&map[i], hak_entry_of_unit(entry, i));
    hak_store_release(&from->moved, hak_load(&from->moved) + 1); /* after the entries: see hak_heap_receive() */
    hak_slab_enlist(slab, &to->lists[class]);
    from->units -= slab->units;
    to->units += slab->units;
    from->slab_bytes -= slab->free * (size_t)hak_classes[class].size;
    to->slab_bytes += slab->free * (size_t)hak_classes[class].size;
    if (HAK_STATS) {
        from->slabs[class]--;
        from->out[class] -= out;
        to->slabs[class]++;
        to->out[class] += out;
    }
}

/* Moves one slab of the class.  False if there was none.  The heap `from` stops offering a class of which it has no
 * free block left. */
static bool adopt_take_from(struct hak_heap *from, struct hak_heap *to, unsigned class)
    HAK_REQUIRES(from->lock) HAK_REQUIRES(to->lock)
{
    if (!adopt_offers(from, class))
        return false;
    hak_heap_drain_depot(from, class); /* a depot holds blocks of its own heap's slabs only */
    struct hak_slab *slab = hak_slab_pick(&from->lists[class]);
    if (slab)
        adopt_move(slab, from, to);
    if (!hak_slab_pick(&from->lists[class]))
        adopt_change_offer(from, class, false);
    return slab != NULL;
}

bool hak_adopt_slab(struct hak_heap *heap, unsigned class)
{
    hak_lock_assert_held(&heap->lock);
    if (HAK_LIKELY(!hak_load(&adopt.heaps[class])) || heap->abandoned)
        return false;
    uint32_t count = hak_heap_count(), number = HAK_MAX(hak_load(&adopt.last), HAK_HEAP_ORPHAN);
    for (uint32_t looks = 0; looks < count; looks++, number = number % count + 1) {
        struct hak_heap *from = hak_heap_numbered(number);
        if (from == heap || !adopt_offers(from, class) || !hak_lock_try(&from->lock))
            continue;
        bool found = adopt_take_from(from, heap, class);
        hak_unlock(&from->lock);
        if (!found)
            continue;
        if (hak_load(&adopt.last) != number)
            hak_store(&adopt.last, number);
        return true;
    }
    return false;
}
