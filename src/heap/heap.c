/* SPDX-License-Identifier: MIT */
/*
 * heap.c - blocks on their way between depots and slabs.  Owns no global state; works on one heap at a time, with its
 * lock held (HAK_RANK_HEAP).  Calls slab.h, meta.h and thp.h, and adopt.h for slabs of abandoned heaps.
 */
#include "heap/heap.h"

#include <string.h>

#include "pages/meta.h"
#include "heap/adopt.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"
#include "pages/thp.h"
#include "pages/trigger.h"

#define DEPOT_FIRST 64u   /* the length of a depot's array at first */
#define DEPOT_MOST 16384u /* and at most, as the array takes memory as well */
/* Depots of blocks above HAK_DEPOT_SHARING_MAX have limits of their own, since each block is large.  One depot holds at
 * most LARGE_DEPOT_BLOCKS blocks and 1/LARGE_DEPOT_BUDGET_DIV of depot_budget.  All of them together hold at most
 * LARGE_DEPOTS_BUDGET_MUL * depot_budget or 1/LARGE_DEPOTS_HEAP_DIV of the heap, whichever is more.  Even a few blocks
 * pay: most calls then need not read a slab's state, which is seldom in the processor's cache. */
#define LARGE_DEPOT_BLOCKS 16u
#define LARGE_DEPOT_BUDGET_DIV 4u
#define LARGE_DEPOTS_BUDGET_MUL 2u
#define LARGE_DEPOTS_HEAP_DIV 32u
#define DECAY_AT_ONCE 512u /* how many blocks are put into slabs before the lock is released for others */
#define MAKE_ROOM_LOOKS 8u /* how many depots are searched for blocks that nobody needs */

static size_t heap_block_size(unsigned class)
{
    return hak_classes[class].size;
}

static bool depot_shares_budget(unsigned class)
{
    return heap_block_size(class) <= HAK_DEPOT_SHARING_MAX;
}

/* ---- slabs ---- */

/* Whether the slab is the only one on its class's lists. */
static bool heap_lists_only(const struct hak_slab *slab, const struct hak_slab_lists *lists)
{
    for (unsigned i = 0; i < HAK_LIST_COUNT; i++)
        if (lists->head[i] && (lists->head[i] != slab || slab->next))
            return false;
    return true;
}

static void heap_destroy_slab(struct hak_heap *heap, struct hak_slab *slab) HAK_REQUIRES(heap->lock)
{
    if (HAK_STATS)
        heap->slabs[slab->class]--;
    heap->units -= slab->units;
    heap->slab_bytes -= slab->capacity * heap_block_size(slab->class);
    if (heap->empty[slab->class] == slab)
        heap->empty[slab->class] = NULL;
    hak_slab_destroy(slab, &heap->lists[slab->class]);
}

/* Puts a block into its slab.  If that leaves the slab empty, the slab is destroyed, unless it is the only one of its
 * class with free blocks: the next request for the class would create it again.  An abandoned heap has no requests, so
 * it destroys that one as well.  Thus no class has two empty slabs.  False if the slab was destroyed. */
static bool heap_put_block(struct hak_heap *heap, struct hak_slab *slab, void *block) HAK_REQUIRES(heap->lock)
{
    unsigned class = slab->class;
    struct hak_slab_lists *lists = &heap->lists[class];
    if (HAK_UNLIKELY(!hak_slab_put(slab, lists, block)))
        return true;
    if (HAK_STATS)
        heap->out[class]--;
    heap->slab_bytes += heap_block_size(class);
    if (HAK_LIKELY(!hak_slab_empty(slab)))
        return true;
    if (!heap->abandoned && heap_lists_only(slab, lists)) {
        heap->empty[class] = slab;
        return true;
    }
    heap_destroy_slab(heap, slab);
    return false;
}

/* Puts blocks of the class into their slabs.  The slab is looked up once for neighbours in a row.  The page map is
 * asked because a block that was freed twice may come after its slab has become empty and was destroyed. */
static void heap_put(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
    HAK_REQUIRES(heap->lock)
{
    struct hak_slab *slab = NULL;
    uintptr_t unit = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!slab || (uintptr_t)blocks[i] >> HAK_UNIT_SHIFT != unit) {
            slab = NULL;
            if (HAK_UNLIKELY(HAK_ENTRY_FIRST(hak_entry_of(blocks[i])) != HAK_ENTRY(heap->number, class))) {
                hak_misuse_double_free("free", blocks[i], heap_block_size(class));
                continue;
            }
            slab = hak_slab_of(blocks[i]);
            unit = (uintptr_t)blocks[i] >> HAK_UNIT_SHIFT;
        }
        if (!heap_put_block(heap, slab, blocks[i]))
            slab = NULL;
    }
    if (HAK_UNLIKELY(heap->abandoned) && hak_slab_pick(&heap->lists[class]))
        hak_adopt_offer(heap, class);
}

/* The slab to take from: one of the heap's own, else one of an abandoned heap, else a new one.  *untouched is set as by
 * hak_span_alloc() if the slab is new. */
static struct hak_slab *heap_find_slab(struct hak_heap *heap, unsigned class, bool may_create, bool *untouched)
    HAK_REQUIRES(heap->lock)
{
    struct hak_slab_lists *lists = &heap->lists[class];
    struct hak_slab *slab = hak_slab_pick(lists);
    if (HAK_LIKELY(slab) || !may_create)
        return slab;
    if (hak_adopt_slab(heap, class))
        return hak_slab_pick(lists);
    slab = hak_slab_create(class, heap->number, lists, untouched);
    if (slab) {
        heap->units += slab->units;
        heap->slab_bytes += slab->capacity * heap_block_size(class);
        if (HAK_STATS)
            heap->slabs[class]++;
    }
    return slab;
}

/* Takes up to `want` blocks out of slabs and stores them downwards from `end`, so that the lowest address is popped
 * first.  *untouched, if it is set, concerns the slab of that block. */
static unsigned heap_take(struct hak_heap *heap, unsigned class, void **end, unsigned want, bool *untouched)
    HAK_REQUIRES(heap->lock)
{
    unsigned taken = 0;
    while (taken < want) {
        struct hak_slab *slab = heap_find_slab(heap, class, taken == 0, untouched);
        if (!slab)
            break;
        taken += hak_slab_take(slab, &heap->lists[class], end - taken, want - taken);
    }
    heap->slab_bytes -= taken * heap_block_size(class);
    if (HAK_STATS)
        heap->out[class] += taken;
    return taken;
}

/* ---- depots ---- */

/* Makes room for `count` more blocks in the depot's array.  False if the array is at its bound, or memory is out. */
static HAK_NOINLINE bool depot_grow(struct hak_depot *depot, unsigned count)
{
    uint32_t room = HAK_MAX(depot->room * 2, DEPOT_FIRST);
    while (room < depot->count + count)
        room *= 2;
    if (room > DEPOT_MOST)
        return false;
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

/* Adds `count` blocks to the heap's sums; (size_t)-n takes n away. */
static void depot_account(struct hak_heap *heap, unsigned class, size_t count) HAK_REQUIRES(heap->lock)
{
    size_t bytes = count * heap_block_size(class);
    heap->depot_bytes += bytes;
    if (depot_shares_budget(class))
        heap->budgeted += bytes;
}

/* Moves the oldest `count` blocks of a depot into their slabs. */
static void depot_put_oldest(struct hak_heap *heap, unsigned class, uint32_t count) HAK_REQUIRES(heap->lock)
{
    struct hak_depot *depot = &heap->depots[class];
    if (count == 0) /* the depot may have no array yet */
        return;
    heap_put(heap, class, depot->blocks, count);
    depot->count -= count;
    depot->low -= count;
    depot_account(heap, class, -(size_t)count);
    memmove(depot->blocks, depot->blocks + count, depot->count * sizeof *depot->blocks);
}

/* Makes room in the budget: asks the depots of other classes in turn, and moves blocks that the first one did not need
 * since it was asked last (or since the last hak_heap_decay()) into slabs. */
static HAK_NOINLINE void depot_make_room(struct hak_heap *heap, unsigned class) HAK_REQUIRES(heap->lock)
{
    for (unsigned looks = 0; looks < MAKE_ROOM_LOOKS; looks++) {
        unsigned other = heap->cursor;
        struct hak_depot *depot = &heap->depots[other];
        heap->cursor = (other + 1) % (hak_class_compute(HAK_DEPOT_SHARING_MAX) + 1);
        if (other == class || depot->count == 0)
            continue;
        uint32_t unused = HAK_MIN(depot->low, DECAY_AT_ONCE);
        depot_put_oldest(heap, other, unused);
        depot->low = depot->count;
        if (unused)
            return;
    }
}

/* Whether the depot may take `count` more blocks and has an array for them. */
static bool depot_has_room(struct hak_heap *heap, unsigned class, unsigned count) HAK_REQUIRES(heap->lock)
{
    struct hak_depot *depot = &heap->depots[class];
    size_t budget = hak_knob_value(depot_budget);
    if (!depot_shares_budget(class)) {
        size_t most = HAK_MAX(budget * LARGE_DEPOTS_BUDGET_MUL, heap->units * HAK_UNIT / LARGE_DEPOTS_HEAP_DIV);
        size_t most_here = HAK_MIN(LARGE_DEPOT_BLOCKS, budget / LARGE_DEPOT_BUDGET_DIV / heap_block_size(class));
        if (depot->count + count > most_here ||
            heap->depot_bytes - heap->budgeted + count * heap_block_size(class) > most)
            return false;
    } else if (HAK_UNLIKELY(heap->budgeted + count * heap_block_size(class) > budget)) {
        depot_make_room(heap, class);
        if (heap->budgeted + count * heap_block_size(class) > budget)
            return false;
    }
    return HAK_LIKELY(depot->count + count <= depot->room) || depot_grow(depot, count);
}

static void depot_push(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
    HAK_REQUIRES(heap->lock)
{
    struct hak_depot *depot = &heap->depots[class];
    memcpy(depot->blocks + depot->count, blocks, count * sizeof *blocks);
    depot->count += count;
    depot_account(heap, class, count);
}

static unsigned depot_pop(struct hak_heap *heap, unsigned class, void **blocks, unsigned want) HAK_REQUIRES(heap->lock)
{
    struct hak_depot *depot = &heap->depots[class];
    unsigned count = HAK_MIN(want, depot->count);
    if (count == 0)
        return 0;
    depot->count -= count;
    depot->low = HAK_MIN(depot->low, depot->count);
    depot_account(heap, class, -(size_t)count);
    memcpy(blocks, depot->blocks + depot->count, count * sizeof *blocks);
    return count;
}

static bool depot_holds(const struct hak_depot *depot, const void *block)
{
    for (uint32_t i = 0; i < depot->count; i++)
        if (depot->blocks[i] == block)
            return true;
    return false;
}

/* Takes back one block above HAK_DEPOT_SHARING_MAX.  Depots of such blocks are short, so the search for a block that
 * was freed twice is cheap. */
static void heap_store_large(struct hak_heap *heap, unsigned class, void *block) HAK_REQUIRES(heap->lock)
{
    if (HAK_UNLIKELY(depot_holds(&heap->depots[class], block)))
        hak_misuse_double_free("free", block, heap_block_size(class));
    else if (depot_has_room(heap, class, 1))
        depot_push(heap, class, &block, 1);
    else
        heap_put(heap, class, &block, 1);
}

/* Whether a block that comes alone is the one on top: then a thread whose magazine has no room has freed it twice in a
 * row. */
static bool depot_has_on_top(const struct hak_depot *depot, void *const *blocks, unsigned count)
{
    return count == 1 && depot->count && depot->blocks[depot->count - 1] == blocks[0];
}

/* Takes back blocks of one class: into the depot if it has room, else into their slabs. */
static void heap_store(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
    HAK_REQUIRES(heap->lock)
{
    if (HAK_UNLIKELY(heap->abandoned))
        heap_put(heap, class, blocks, count);
    else if (HAK_UNLIKELY(!depot_shares_budget(class)))
        for (unsigned i = 0; i < count; i++)
            heap_store_large(heap, class, blocks[i]);
    else if (HAK_UNLIKELY(depot_has_on_top(&heap->depots[class], blocks, count)))
        hak_misuse_double_free("free", blocks[0], heap_block_size(class));
    else if (HAK_LIKELY(depot_has_room(heap, class, count)))
        depot_push(heap, class, blocks, count);
    else
        heap_put(heap, class, blocks, count);
}

/* Sets the purge trigger if more is free than the heap's threshold. */
static void heap_note_level(struct hak_heap *heap) HAK_REQUIRES(heap->lock)
{
    hak_trigger_compare(heap->depot_bytes + heap->slab_bytes, heap->purge_threshold);
}

/* ---- blocks in and out ---- */

unsigned hak_heap_get(struct hak_heap *heap, unsigned class, void **blocks, unsigned want)
{
    bool untouched = false;
    hak_lock(&heap->lock);
    unsigned got = depot_pop(heap, class, blocks, want);
    if (got == 0) {
        got = heap_take(heap, class, blocks + want, want, &untouched);
        if (got < want)
            memmove(blocks, blocks + want - got, got * sizeof *blocks);
    }
    hak_unlock(&heap->lock);
    if (HAK_UNLIKELY(untouched && got))
        hak_thp_touch(blocks[got - 1]);
    return got;
}

void hak_heap_give(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
{
    hak_lock(&heap->lock);
    heap_store(heap, class, blocks, count);
    heap_note_level(heap);
    hak_unlock(&heap->lock);
}

/* A batch of blocks of one heap, sorted by class.  Sorting needs no lock, so the heap's lock is held for a shorter
 * time. */
struct sorted_batch {
    unsigned count;
    uint8_t first, last;               /* the lowest and the highest class in the batch */
    uint16_t end[HAK_CLASS_COUNT + 1]; /* where blocks of class i end; they begin where those of class i - 1 end */
    void *blocks[HAK_RECEIVE_MAX];
};

/* Moves the heap's blocks from the array to the batch; moves the other blocks to the array's front and returns how many
 * these are. */
static unsigned heap_sort_batch(struct sorted_batch *batch, const struct hak_heap *heap, void **blocks, unsigned count)
{
    uint8_t class_of[HAK_RECEIVE_MAX];
    void *mine[HAK_RECEIVE_MAX];
    unsigned others = 0, all = 0;
    batch->first = HAK_CLASS_COUNT - 1;
    batch->last = 0;
    memset(batch->end, 0, sizeof batch->end);
    for (unsigned i = 0; i < count; i++) {
        uint32_t entry = hak_entry_of(blocks[i]);
        uint8_t class = (uint8_t)HAK_ENTRY_CLASS(entry);
        if (HAK_UNLIKELY(HAK_ENTRY_OWNER(entry) != heap->number)) {
            blocks[others++] = blocks[i];
        } else if (HAK_UNLIKELY(!hak_block_begins(blocks[i], entry))) {
            /* A block began there when it was freed, but it was freed twice, and its unit holds another slab now. */
            hak_misuse_inside("free", blocks[i]);
        } else {
            mine[all] = blocks[i];
            class_of[all++] = class;
            batch->end[class + 1]++;
            batch->first = HAK_MIN(batch->first, class);
            batch->last = HAK_MAX(batch->last, class);
        }
    }
    for (unsigned class = batch->first; class <= batch->last; class++)
        batch->end[class + 1] = (uint16_t)(batch->end[class + 1] + batch->end[class]);
    for (unsigned i = 0; i < all; i++)
        batch->blocks[batch->end[class_of[i]]++] = mine[i];
    batch->count = all;
    return others;
}

static void heap_store_batch(struct hak_heap *heap, const struct sorted_batch *batch) HAK_REQUIRES(heap->lock)
{
    unsigned start = 0;
    for (unsigned class = batch->first; class <= batch->last; class++) {
        unsigned end = batch->end[class];
        if (end > start)
            heap_store(heap, class, batch->blocks + start, end - start);
        start = end;
    }
    heap->remote_frees += batch->count;
}

unsigned hak_heap_receive(struct hak_heap *heap, void **blocks, unsigned count)
{
    struct sorted_batch batch;
    uint32_t moved = hak_load_acquire(&heap->moved);
    unsigned others = heap_sort_batch(&batch, heap, blocks, count);
    hak_lock(&heap->lock);
    if (HAK_LIKELY(hak_load(&heap->moved) == moved)) {
        heap_store_batch(heap, &batch);
        heap_note_level(heap);
    } else {
        /* A slab has left the heap since the owners were read: the caller has to read them again. */
        memcpy(blocks + others, batch.blocks, batch.count * sizeof *blocks);
        others += batch.count;
    }
    hak_unlock(&heap->lock);
    return others;
}

/* ---- giving back ---- */

void hak_heap_drain_depot(struct hak_heap *heap, unsigned class)
{
    struct hak_depot *depot = &heap->depots[class];
    hak_lock_assert_held(&heap->lock);
    if (depot->room == 0)
        return;
    heap_put(heap, class, depot->blocks, depot->count);
    depot_account(heap, class, -(size_t)depot->count);
    hak_meta_free(depot->blocks, depot->room * sizeof *depot->blocks);
    *depot = (struct hak_depot){0};
}

static void heap_destroy_empty_slabs(struct hak_heap *heap) HAK_REQUIRES(heap->lock)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        if (heap->empty[class] && hak_slab_empty(heap->empty[class]))
            heap_destroy_slab(heap, heap->empty[class]);
        heap->empty[class] = NULL;
    }
}

void hak_heap_abandon(struct hak_heap *heap)
{
    hak_lock_assert_held(&heap->lock);
    heap->abandoned = true;
    heap_destroy_empty_slabs(heap);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        if (heap->depots[class].count || hak_slab_pick(&heap->lists[class]))
            hak_adopt_offer(heap, class);
}

void hak_heap_drain(struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        hak_heap_drain_depot(heap, class);
    heap_destroy_empty_slabs(heap);
    hak_unlock(&heap->lock);
}

/* The lock is released after each DECAY_AT_ONCE blocks, so that nobody waits long for it. */
void hak_heap_decay(struct hak_heap *heap)
{
    uint32_t left = DECAY_AT_ONCE;
    hak_lock(&heap->lock);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_depot *depot = &heap->depots[class];
        while (depot->low > 0) {
            uint32_t count = HAK_MIN(depot->low, left);
            depot_put_oldest(heap, class, count);
            left -= count;
            if (left > 0)
                continue;
            hak_unlock(&heap->lock);
            left = DECAY_AT_ONCE;
            hak_lock(&heap->lock);
        }
        depot->low = depot->count;
    }
    hak_unlock(&heap->lock);
}

/* Gives back an empty slab, or the free pages of one that is half free; returns the bytes of such pages. */
static size_t heap_purge_slab(struct hak_heap *heap, struct hak_slab *slab) HAK_REQUIRES(heap->lock)
{
    size_t given = 0;
    if (hak_slab_empty(slab))
        heap_destroy_slab(heap, slab);
    else if (slab->free * 2u >= slab->capacity)
        given = hak_slab_purge(slab);
    heap->purged += given;
    return given;
}

size_t hak_heap_age_slab(struct hak_heap *heap, struct hak_slab *slab, bool now)
{
    size_t given = 0;
    hak_lock(&heap->lock);
    uint32_t entry = hak_load(hak_entry_at(slab->super->window, slab->base));
    if (HAK_ENTRY_OWNER(entry) == heap->number && slab->back == 0) {
        if (now || slab->idle_age == HAK_PURGE_PASSES)
            given = heap_purge_slab(heap, slab);
        else if (slab->idle_age < HAK_PURGE_PASSES)
            slab->idle_age++;
    }
    hak_unlock(&heap->lock);
    return given;
}

size_t hak_heap_idle(struct hak_heap *heap)
{
    hak_lock(&heap->lock);
    size_t idle = heap->depot_bytes + heap->slab_bytes;
    hak_unlock(&heap->lock);
    return idle;
}

size_t hak_heap_rearm_purge(struct hak_heap *heap, size_t slack)
{
    hak_lock(&heap->lock);
    size_t level = heap->depot_bytes + heap->slab_bytes;
    heap->purge_threshold = hak_add_sat(level, slack);
    hak_unlock(&heap->lock);
    return level;
}
