/* SPDX-License-Identifier: MIT */
/*
 * verify.c - checks the structures against one another: page map, superslabs, slabs, heaps' lists, magazines and
 * depots.  Owns nothing.  Takes each heap's lock, then that of the superslabs.
 */
#include "stats/verify.h"

#include "process/init.h"
#include "os/fatal.h"
#include "heap/registry.h"
#include "purge/purge.h"

/* Counts the free blocks in the slab's bitmap; words before `first_word` have none. */
static unsigned verify_bits(const struct hak_slab *slab)
{
    unsigned set = 0;
    for (unsigned word = 0; word * 64 < slab->capacity; word++) {
        HAK_REQUIRE(word >= slab->first_word || slab->bits[word] == 0);
        set += (unsigned)__builtin_popcountl(slab->bits[word]);
    }
    return set;
}

static void verify_slab(const struct hak_slab *slab, const struct hak_heap *heap, unsigned class)
{
    HAK_REQUIRE(slab->class == class && slab->owner == heap->number && slab->back == 0);
    HAK_REQUIRE(slab->capacity == hak_classes[class].capacity && slab->units == hak_classes[class].units);
    HAK_REQUIRE(verify_bits(slab) == slab->free);
    const _Atomic uint32_t *map = hak_entry_at(slab->super->window, slab->base);
    uint32_t entry = HAK_ENTRY(heap->number, class);
    for (unsigned i = 0; i < slab->units; i++) {
        HAK_REQUIRE(hak_load(&map[i]) == hak_entry_of_unit(entry, i));
        HAK_REQUIRE(slab[i].back == i);
        HAK_REQUIRE((slab[i].super->free >> (slab + i - slab[i].super->slabs) & 1) == 0);
    }
}

/* Checks the slabs on the heap's lists; returns how many blocks are free in them. */
static size_t verify_lists(const struct hak_heap *heap, unsigned class)
{
    size_t free_blocks = 0;
    for (unsigned list = 0; list < HAK_LIST_COUNT; list++) {
        const struct hak_slab *prev = NULL;
        for (const struct hak_slab *slab = heap->lists[class].head[list]; slab; prev = slab, slab = slab->next) {
            HAK_REQUIRE(slab->list == list && slab->prev == prev && slab->free > 0);
            HAK_REQUIRE(!hak_slab_empty(slab) || slab == heap->empty[class]);
            verify_slab(slab, heap, class);
            free_blocks += slab->free;
        }
    }
    return free_blocks;
}

/* Checks the pointers of a magazine or depot: each is the start of a block of this heap and class, and that block is
 * not free in its slab. */
static void verify_blocks(const struct hak_heap *heap, unsigned class, void *const *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned index;
        const struct hak_slab *slab = hak_slab_of(blocks[i]);
        HAK_REQUIRE(slab->owner == heap->number && slab->class == class);
        HAK_REQUIRE(hak_slab_index(slab, blocks[i], &index));
        HAK_REQUIRE((slab->bits[index / 64] >> index % 64 & 1) == 0);
        HAK_REQUIRE(!slab->live || (hak_load(&slab->live[index / 64]) >> index % 64 & 1) == 0);
    }
}

static void verify_magazine(struct hak_tcache *thread, unsigned class)
{
    const struct hak_mag *mag = &thread->hot.mags[class];
    void **base = hak_mag_base(thread, class);
    HAK_REQUIRE(*base == NULL && mag->limit == base + mag->room);
    HAK_REQUIRE(mag->room <= hak_classes[class].mag_max && hak_load(&mag->top) <= mag->limit);
    HAK_REQUIRE(mag->inverse == hak_classes[class].inverse && mag->last_product == hak_classes[class].last);
    HAK_REQUIRE(mag->size == hak_classes[class].size);
    verify_blocks(thread->heap, class, base + 1, hak_mag_held(thread, class));
}

/* Checks a heap's threads, slabs and depots, and its counts against what is found in them. */
static void verify_heap(struct hak_heap *heap)
{
    size_t depot_bytes = 0, budgeted = 0, slab_bytes = 0, units = 0;
    hak_lock(&heap->lock);
    for (struct hak_tcache *thread = heap->threads_list; thread; thread = thread->next_of_heap) {
        HAK_REQUIRE(thread->heap == heap);
        HAK_REQUIRE(!thread->next_of_heap || thread->next_of_heap->prev_of_heap == thread);
        for (unsigned class = 0; class < HAK_CLASS_COUNT && thread->state != HAK_TCACHE_STALE; class++)
            verify_magazine(thread, class);
    }
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        const struct hak_depot *depot = &heap->depots[class];
        size_t free_blocks = verify_lists(heap, class);
        if (HAK_STATS)
            HAK_REQUIRE(free_blocks + heap->out[class] == heap->slabs[class] * hak_classes[class].capacity);
        slab_bytes += free_blocks * hak_classes[class].size;
        units += heap->slabs[class] * hak_classes[class].units;
        bool offered = hak_load(&heap->offers[class / 64]) >> class % 64 & 1;
        HAK_REQUIRE(offered ? heap->abandoned : !heap->abandoned || heap->number == HAK_HEAP_ORPHAN || !free_blocks);
        HAK_REQUIRE(depot->low <= depot->count && depot->count <= depot->room);
        verify_blocks(heap, class, depot->blocks, depot->count);
        depot_bytes += depot->count * (size_t)hak_classes[class].size;
        if (hak_classes[class].size <= HAK_DEPOT_SHARING_MAX)
            budgeted += depot->count * (size_t)hak_classes[class].size;
    }
    HAK_REQUIRE(depot_bytes == heap->depot_bytes && budgeted == heap->budgeted);
    HAK_REQUIRE(slab_bytes == heap->slab_bytes && (!HAK_STATS || units == heap->units));
    hak_unlock(&heap->lock);
}

/* Sums of bytes in all superslabs. */
struct sums {
    size_t mapped, free;
};

/* Checks that the page map and the mask of free units agree, and adds the superslab to the sums. */
static void verify_super(const struct hak_super *super, struct sums *sums)
{
    const _Atomic uint32_t *map = hak_entry_at(super->window, super->base);
    size_t large = 0; /* units of a large block that are still to come */
    HAK_REQUIRE(((uintptr_t)super->base & (HAK_SUPER - 1)) == 0);
    for (unsigned i = 0; i < HAK_SUPER_UNITS; i++) {
        uint32_t entry = hak_load(&map[i]);
        if (entry == HAK_ENTRY_LARGE)
            large = super->slabs[i].length;
        HAK_REQUIRE((super->free >> i & 1) == 0 || entry == HAK_ENTRY_NONE);
        HAK_REQUIRE(large == 0 || (super->free >> i & 1) == 0);
        large -= large > 0;
    }
    sums->mapped += super->mapped ? HAK_SUPER : 0;
    sums->free += (size_t)__builtin_popcount(super->free) * HAK_UNIT;
}

HAK_REQUIRES(hak_window_lock)
static void verify_window(const struct hak_window *window, struct sums *sums)
{
    for (size_t i = 0; i < window->next_super; i++) {
        const struct hak_chunk *chunk = hak_load(&window->chunks[i / HAK_CHUNK_SUPERS]);
        const struct hak_super *super = &chunk->supers[i % HAK_CHUNK_SUPERS];
        if (super->base)
            verify_super(super, sums);
    }
}

void hak_verify(void)
{
    if (!hak_ready())
        return;
    hak_lock(&hak_purge_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        verify_heap(hak_heap_numbered(number));
    hak_lock(&hak_super_lock);
    const struct hak_super_counts *counts = hak_super_counts_at();
    struct sums sums = {0};
    hak_lock(&hak_window_lock);
    for (const struct hak_window *window = &hak_window_first; window; window = hak_load_acquire(&window->next))
        verify_window(window, &sums);
    hak_unlock(&hak_window_lock);
    HAK_REQUIRE(sums.mapped == counts->mapped && sums.free == counts->free);
    hak_super_verify();
    hak_unlock(&hak_super_lock);
    hak_unlock(&hak_purge_lock);
}
