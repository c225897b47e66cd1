/* SPDX-License-Identifier: MIT */
/*
 * heap.c - blocks between magazines, depots and slabs.  Owns no global state but the commons; works on one heap at a
 * time, under its lock (HAK_RANK_HEAP).  Calls slab.h, pool.h and meta.h.
 */
#include "heap.h"

#include <string.h>

#include "invariant.h"
#include "meta.h"
#include "pool.h"

#define MAG_FIRST 8u                             /* blocks that a magazine may hold at first */
#define DEPOT_FIRST 64u                          /* blocks that a depot has room for at first */
#define DEPOT_CLASS_BYTES ((size_t)256 << 10)    /* the most that one depot may hold */
#define DEPOT_HEAP_BYTES ((size_t)2 << 20)       /* the most that all depots of a heap may hold */

struct hak_heap *hak_commons;

static size_t size_of(unsigned class)
{
    return hak_classes[class].size;
}

/* ---- slabs ---- */

static bool only_one_listed(const struct hak_slab *slab, const struct hak_slab_lists *lists)
{
    for (unsigned i = 0; i < HAK_LIST_COUNT; i++)
        if (lists->head[i] && (lists->head[i] != slab || slab->next))
            return false;
    return true;
}

static void destroy(struct hak_heap *heap, struct hak_slab *slab)
{
    heap->slabs[slab->class]--;
    hak_slab_destroy(slab, &heap->lists[slab->class]);
}

/* An empty slab goes back to its superslab, unless it is the class's only one with free blocks: the next block of the
 * class would have it created again. */
static void put(struct hak_heap *heap, void *block)
{
    struct hak_slab *slab = hak_slab_of(block);
    struct hak_slab_lists *lists = &heap->lists[slab->class];
    HAK_INVARIANT(slab->owner == heap->number);
    hak_slab_put(slab, lists, block);
    if (HAK_STATS)
        heap->out[slab->class]--;
    if (HAK_UNLIKELY(hak_slab_empty(slab)) && !only_one_listed(slab, lists))
        destroy(heap, slab);
}

/* The slab to take from: one of the heap's own, one of a heap without a thread, or a new one. */
static struct hak_slab *find_slab(struct hak_heap *heap, unsigned class, bool may_create)
{
    struct hak_slab_lists *lists = &heap->lists[class];
    struct hak_slab *slab = hak_slab_pick(lists);
    if (HAK_LIKELY(slab) || !may_create)
        return slab;
    if (heap != hak_commons && hak_pool_adopt_slab(heap, class))
        return hak_slab_pick(lists);
    slab = hak_slab_create(class, heap->number, lists);
    if (slab)
        heap->slabs[class]++;
    return slab;
}

/* Takes up to `want` blocks, stored downwards from `end`, so that the lowest is the first to be popped. */
static unsigned take(struct hak_heap *heap, unsigned class, void **end, unsigned want)
{
    unsigned taken = 0;
    while (taken < want) {
        struct hak_slab *slab = find_slab(heap, class, taken == 0);
        if (!slab)
            break;
        taken += hak_slab_take(slab, &heap->lists[class], end - taken, want - taken);
    }
    if (HAK_STATS)
        heap->out[class] += taken;
    return taken;
}

/* ---- depots ---- */

static bool depot_has_room(struct hak_heap *heap, unsigned class, unsigned count)
{
    struct hak_depot *depot = &heap->depots[class];
    size_t size = size_of(class);
    size_t most = HAK_MAX(DEPOT_CLASS_BYTES / size, 2);
    if (depot->count + count > most || heap->depot_bytes + count * size > DEPOT_HEAP_BYTES)
        return false;
    if (HAK_LIKELY(depot->count + count <= depot->room))
        return true;
    uint32_t room = HAK_MAX(depot->room * 2, DEPOT_FIRST);
    while (room < depot->count + count)
        room *= 2;
    void **blocks = hak_meta_alloc(room * sizeof *blocks);
    if (!blocks)
        return false;
    if (depot->room) {
        memcpy(blocks, depot->blocks, depot->count * sizeof *blocks);
        hak_meta_free(depot->blocks, depot->room * sizeof *blocks);
    }
    depot->blocks = blocks;
    depot->room = room;
    return true;
}

static void depot_push(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
{
    struct hak_depot *depot = &heap->depots[class];
    memcpy(depot->blocks + depot->count, blocks, count * sizeof *blocks);
    depot->count += count;
    heap->depot_bytes += count * size_of(class);
}

static unsigned depot_pop(struct hak_heap *heap, unsigned class, void **blocks, unsigned want)
{
    struct hak_depot *depot = &heap->depots[class];
    unsigned count = HAK_MIN(want, depot->count);
    depot->count -= count;
    heap->depot_bytes -= count * size_of(class);
    memcpy(blocks, depot->blocks + depot->count, count * sizeof *blocks);
    return count;
}

/* Free blocks of one class: into the depot if it has room, else into their slabs. */
static void store(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
{
    if (depot_has_room(heap, class, count))
        depot_push(heap, class, blocks, count);
    else
        for (unsigned i = 0; i < count; i++)
            put(heap, blocks[i]);
}

/* ---- magazines ---- */

static void set_limit(struct hak_heap *heap, unsigned class, unsigned size)
{
    heap->cache.mags[class].limit = hak_mag_base(heap, class) + size;
}

/* A magazine that runs empty or full may hold twice as many from now on, up to its class's bound. */
static unsigned grow_magazine(struct hak_heap *heap, unsigned class)
{
    unsigned size = (unsigned)(heap->cache.mags[class].limit - hak_mag_base(heap, class));
    unsigned larger = HAK_MIN(size * 2, hak_classes[class].mag_max);
    if (larger > size)
        set_limit(heap, class, larger);
    return larger;
}

void hak_heap_reset_magazines(struct hak_heap *heap)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        hak_store(&heap->cache.mags[class].top, hak_mag_base(heap, class));
        set_limit(heap, class, HAK_MIN(MAG_FIRST, hak_classes[class].mag_max));
    }
}

void *hak_heap_refill(struct hak_heap *heap, unsigned class)
{
    void **base = hak_mag_base(heap, class);
    unsigned want = (unsigned)(heap->cache.mags[class].limit - base + 1) / 2;
    grow_magazine(heap, class);
    hak_lock(&heap->lock);
    unsigned got = depot_pop(heap, class, base, want);
    if (got == 0) {
        got = take(heap, class, base + want, want);
        if (got < want)
            memmove(base, base + want - got, got * sizeof *base);
    }
    hak_unlock(&heap->lock);
    if (got == 0)
        return NULL;
    hak_store_release(&heap->cache.mags[class].top, base + got - 1);
    return base[got - 1];
}

void hak_heap_spill(struct hak_heap *heap, unsigned class, void *block)
{
    struct hak_mag *mag = &heap->cache.mags[class];
    void **base = hak_mag_base(heap, class);
    void **top = hak_load(&mag->top);
    grow_magazine(heap, class);
    if (top == mag->limit) {
        /* The half that was freed longest ago goes.  Another thread's fork may freeze this thread at any point, and
         * the child looks into the magazine: it must never seem to hold a block that is also elsewhere. */
        unsigned count = (unsigned)(top - base + 1) / 2;
        hak_store(&mag->top, base);
        atomic_thread_fence(memory_order_release);
        hak_lock(&heap->lock);
        store(heap, class, base, count);
        hak_unlock(&heap->lock);
        memmove(base, base + count, (size_t)(top - base - count) * sizeof *base);
        top -= count;
    }
    *top = block;
    hak_store_release(&mag->top, top + 1);
}

void *hak_commons_alloc(unsigned class)
{
    struct hak_heap *heap = hak_commons;
    void *block = NULL;
    hak_lock(&heap->lock);
    if (depot_pop(heap, class, &block, 1) == 0)
        take(heap, class, &block + 1, 1);
    hak_unlock(&heap->lock);
    return block;
}

unsigned hak_heap_deliver(struct hak_heap *heap, void **blocks, unsigned count)
{
    unsigned moved = 0;
    hak_lock(&heap->lock);
    for (unsigned i = 0; i < count; i++) {
        uint32_t entry = hak_entry_of(blocks[i]);
        if (HAK_UNLIKELY(HAK_ENTRY_OWNER(entry) != heap->number))
            blocks[moved++] = blocks[i];
        else
            store(heap, HAK_ENTRY_CLASS(entry), &blocks[i], 1);
    }
    if (HAK_STATS)
        heap->arrivals += count - moved;
    hak_unlock(&heap->lock);
    return moved;
}

/* ---- giving back ---- */

static void drain_depots(struct hak_heap *heap)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_depot *depot = &heap->depots[class];
        for (unsigned i = 0; i < depot->count; i++)
            put(heap, depot->blocks[i]);
        if (depot->room)
            hak_meta_free(depot->blocks, depot->room * sizeof *depot->blocks);
        *depot = (struct hak_depot){0};
    }
    heap->depot_bytes = 0;
}

static void destroy_empty_slabs(struct hak_heap *heap)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        for (struct hak_slab *slab = heap->lists[class].head[HAK_LIST_MANY], *next; slab; slab = next) {
            next = slab->next;
            if (hak_slab_empty(slab))
                destroy(heap, slab);
        }
}

void hak_heap_drain(struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    drain_depots(heap);
    destroy_empty_slabs(heap);
    hak_unlock(&heap->lock);
}

void hak_heap_drain_magazines(struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        void **base = hak_mag_base(heap, class);
        void **top = hak_load_acquire(&heap->cache.mags[class].top);
        for (void **slot = base; slot < top; slot++)
            put(heap, *slot);
    }
    hak_heap_reset_magazines(heap);
    hak_unlock(&heap->lock);
}
