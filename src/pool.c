/* SPDX-License-Identifier: MIT */
/*
 * pool.c - makes heaps, numbers them, and keeps those whose threads have exited.  Owns the directory of heaps and the
 * pool, guarded by hak_pool_lock (HAK_RANK_POOL); the directory is read without it.  Calls heap.h and meta.h.
 *
 * A pooled heap keeps its slabs, and the next thread takes it as it is; until then threads that run out of blocks of
 * a class take its slabs one by one, so that nothing an exited thread left behind is out of reach.
 */
#include "pool.h"

#include "invariant.h"
#include "meta.h"
#include "outbox.h"
#include "window.h"

#define DIRECTORY_CHUNK 1024u
#define DIRECTORY_CHUNKS 16384u /* 2^24 heaps; threads have 22 bits in Linux */
/* How many pooled heaps a thread looks into for a slab before it makes a new one. */
#define ADOPT_TRIES 8

struct hak_lock hak_pool_lock = HAK_LOCK_INIT(HAK_RANK_POOL);

/* Magazines that are empty at their top (the sentinel below) and full at once. */
static void *no_slots[2];
#define NONE_1 {&no_slots[1], &no_slots[1]}
#define NONE_8 NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1, NONE_1
struct hak_cache hak_cache_none HAK_ALIGNED(HAK_LINE) = {
    .key = UINT32_MAX,
    .mags = {NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8, NONE_8},
};
_Static_assert(HAK_CLASS_COUNT == 88, "hak_cache_none has a magazine for every class");

static _Atomic(struct hak_heap **) directory[DIRECTORY_CHUNKS];
static _Atomic uint32_t count;
static struct hak_heap *_Atomic pool;

uint32_t hak_heap_count(void)
{
    return hak_load_acquire(&count);
}

struct hak_heap *hak_heap_numbered(uint32_t number)
{
    return hak_load_acquire(&directory[number / DIRECTORY_CHUNK])[number % DIRECTORY_CHUNK];
}

/* Under hak_pool_lock. */
static struct hak_heap *create(void)
{
    uint32_t number = hak_load(&count) + 1;
    if (number / DIRECTORY_CHUNK >= DIRECTORY_CHUNKS)
        return NULL;
    struct hak_heap **chunk = hak_load(&directory[number / DIRECTORY_CHUNK]);
    if (!chunk) {
        chunk = hak_meta_alloc(DIRECTORY_CHUNK * sizeof *chunk);
        if (!chunk)
            return NULL;
        hak_store_release(&directory[number / DIRECTORY_CHUNK], chunk);
    }
    struct hak_heap *heap = hak_meta_alloc(sizeof *heap);
    if (!heap)
        return NULL;
    heap->number = number;
    heap->lock.rank = HAK_RANK_HEAP;
    heap->cache.key = HAK_ENTRY(number, 0);
    heap->cache.window_base = hak_window_first.base;
    heap->cache.window_units = hak_window_first.units;
    heap->cache.window_map = hak_window_first.map;
    hak_heap_reset_magazines(heap);
    chunk[number % DIRECTORY_CHUNK] = heap;
    hak_store_release(&count, number);
    return heap;
}

bool hak_heap_start(void)
{
    hak_lock(&hak_pool_lock);
    if (!hak_commons)
        hak_commons = create();
    hak_unlock(&hak_pool_lock);
    return hak_commons != NULL;
}

static void empty(struct hak_heap *heap)
{
    hak_heap_drain_magazines(heap);
    hak_heap_drain(heap);
}

struct hak_heap *hak_heap_acquire(void)
{
    hak_lock(&hak_pool_lock);
    /* The main thread may have had a heap before its variables were set once more (see thread.h). */
    struct hak_heap *heap = hak_load(&count) >= 2 ? hak_heap_numbered(2) : NULL;
    if (!heap || hak_load(&heap->state) != HAK_HEAP_BOUND || heap->thread != &hak_tls) {
        heap = hak_load(&pool);
        if (heap)
            hak_store(&pool, heap->pool_next);
        else
            heap = create();
    }
    bool stale = false;
    if (heap) {
        stale = hak_load(&heap->state) == HAK_HEAP_STALE;
        hak_store(&heap->state, HAK_HEAP_BOUND);
        heap->thread = &hak_tls;
    }
    hak_unlock(&hak_pool_lock);
    if (stale) {
        empty(heap);
        hak_outbox_flush(heap);
    }
    return heap;
}

void hak_heap_release(struct hak_heap *heap)
{
    hak_outbox_flush(heap);
    empty(heap);
    hak_lock(&hak_pool_lock);
    heap->thread = NULL;
    hak_store(&heap->state, HAK_HEAP_POOLED);
    heap->pool_next = hak_load(&pool);
    hak_store(&pool, heap);
    hak_unlock(&hak_pool_lock);
}

void hak_heap_orphan_all(const struct hak_heap *mine)
{
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_heap *heap = hak_heap_numbered(number);
        if (heap == mine || heap == hak_commons || hak_load(&heap->state) != HAK_HEAP_BOUND)
            continue;
        heap->thread = NULL;
        hak_store(&heap->state, HAK_HEAP_STALE);
        heap->pool_next = hak_load(&pool);
        hak_store(&pool, heap);
    }
}

/* Both heaps' locks are held. */
static void move_slab(struct hak_slab *slab, struct hak_heap *from, struct hak_heap *to)
{
    unsigned class = slab->class;
    size_t out = (size_t)slab->capacity - slab->free;
    uint32_t entry = HAK_ENTRY(to->number, class);
    _Atomic uint32_t *map = hak_entry_at(slab->super->window, slab->base);
    hak_slab_unlist(slab, &from->lists[class]);
    from->slabs[class]--;
    from->out[class] -= out;
    slab->owner = to->number;
    for (unsigned i = 0; i < slab->units; i++)
        hak_store(&map[i], entry);
    to->slabs[class]++;
    to->out[class] += out;
    hak_slab_enlist(slab, &to->lists[class]);
}

bool hak_pool_adopt_slab(struct hak_heap *heap, unsigned class)
{
    bool found = false;
    if (HAK_LIKELY(!hak_load(&pool)) || !hak_lock_try(&hak_pool_lock))
        return false;
    struct hak_heap *from = hak_load(&pool);
    for (int i = 0; from && !found && i < ADOPT_TRIES; i++, from = from->pool_next) {
        if (hak_load(&from->state) != HAK_HEAP_POOLED || !hak_lock_try(&from->lock))
            continue;
        struct hak_slab *slab = hak_slab_pick(&from->lists[class]);
        if (slab) {
            move_slab(slab, from, heap);
            found = true;
        }
        hak_unlock(&from->lock);
    }
    hak_unlock(&hak_pool_lock);
    return found;
}
