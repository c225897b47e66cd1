/* SPDX-License-Identifier: MIT */
/*
 * walk.c - visits all live blocks.  Owns nothing.  Each slab is copied under its heap's lock, and its blocks are
 * visited without the lock; large and huge blocks likewise.  Calls registry.h, superslab.h, large.h, init.h and os.h.
 *
 * A free block may wait in the outbox of any thread, or in the magazine of a thread that a fork has lost.  All that
 * wait are gathered at the start and sorted by address, so that those of a slab are found by a binary search.  What
 * begins to wait later does no harm: it was live when the walk began.  What no longer waits is free, or was allocated
 * meanwhile.
 */
#include <string.h>

#include "hakmem.h"
#include "os/os.h"
#include "process/init.h"
#include "pages/large.h"
#include "heap/registry.h"
#include "pages/superslab.h"

#define WORDS (HAK_UNIT / 16 / 64) /* of the bitmap of the slab with the most blocks: one unit of 16 bytes each */
#define FEW_WAITING 1024u          /* waiting blocks for which the stack has room */

struct walk {
    int (*visit)(void *arg, void *block, size_t usable_size, int size_class);
    void *arg;
    int result;           /* what the last call of `visit` returned */
    const void **waiting; /* free blocks that wait, sorted by address */
    size_t count, room;   /* how many wait, and for how many there is room */
    bool mapped;          /* the room is not on the stack: it has been mapped */
    bool no_room;         /* nothing could be mapped: all threads are looked at for each slab */
};

/* Which blocks of a slab are free, wherever they wait. */
struct copy {
    const char *base;
    unsigned class, capacity;
    uint64_t free[WORDS];
};

static void walk_mark(struct copy *copy, const void *block)
{
    size_t size = hak_classes[copy->class].size, index = ((uintptr_t)block - (uintptr_t)copy->base) / size;
    if (index < copy->capacity)
        copy->free[index / 64] |= (uint64_t)1 << index % 64;
}

/*
 * Marks the blocks of a thread's magazine, which the thread may change meanwhile.  Any pointer that is read, even from
 * a slot that changes, is of a block that was free at some time since the walk began, so no block that stays live is
 * marked.  ThreadSanitizer is told to skip this race.
 */
__attribute__((noinline, no_sanitize("thread"))) static void
walk_mark_magazine(struct copy *copy, struct hak_tcache *thread)
{
    void *const volatile *base = hak_mag_base(thread, copy->class);
    for (unsigned left = hak_mag_held(thread, copy->class); left > 0; left--)
        walk_mark(copy, base[left]);
}

/* Marks what waits in a thread: its outbox, and its magazine if a fork has lost the thread. */
__attribute__((noinline, no_sanitize("thread"))) static void
walk_mark_waiting_of(struct copy *copy, struct hak_tcache *thread)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        walk_mark(copy, blocks[i]);
    if (thread->state == HAK_TCACHE_STALE)
        walk_mark_magazine(copy, thread);
}

/* Marks what waits in all threads.  Under hak_registry_lock, which keeps the heaps' lists of threads as they are; the
 * caller takes it only where this is needed, which clang cannot follow. */
static void walk_mark_waiting(struct copy *copy)
{
    hak_lock_assert_held(&hak_registry_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_tcache *thread = hak_heap_numbered(number)->threads_list;
        for (; thread; thread = thread->next_of_heap)
            walk_mark_waiting_of(copy, thread);
    }
}

/* The index of the first waiting block at the address or behind. */
static size_t walk_first_waiting(const struct walk *walk, const char *at)
{
    size_t low = 0, high = walk->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((uintptr_t)walk->waiting[middle] < (uintptr_t)at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void walk_copy_slab(const struct walk *walk, struct copy *copy, const struct hak_slab *slab,
                           struct hak_heap *heap) HAK_REQUIRES(heap->lock);

static void walk_copy_slab(const struct walk *walk, struct copy *copy, const struct hak_slab *slab,
                           struct hak_heap *heap)
{
    struct hak_depot *depot = &heap->depots[slab->class];
    uintptr_t end = (uintptr_t)slab->base + slab->units * HAK_UNIT;
    copy->base = slab->base;
    copy->class = slab->class;
    copy->capacity = slab->capacity;
    memcpy(copy->free, slab->bits, (slab->capacity + 63u) / 64 * sizeof *slab->bits);
    for (unsigned i = 0; i < depot->count; i++)
        walk_mark(copy, depot->blocks[i]);
    if (walk->no_room)
        walk_mark_waiting(copy);
    for (size_t i = walk_first_waiting(walk, slab->base); i < walk->count && (uintptr_t)walk->waiting[i] < end; i++)
        walk_mark(copy, walk->waiting[i]);
    for (struct hak_tcache *thread = heap->threads_list; thread; thread = thread->next_of_heap)
        if (thread->state != HAK_TCACHE_STALE)
            walk_mark_magazine(copy, thread);
}

/* ---- blocks that wait ---- */

/* Gathers a block, or only counts it if the room is full. */
static void walk_add_waiting(struct walk *walk, const void *block)
{
    if (walk->count < walk->room)
        walk->waiting[walk->count] = block;
    walk->count++;
}

__attribute__((noinline, no_sanitize("thread"))) static void
walk_gather_of(struct walk *walk, struct hak_tcache *thread)
{
    unsigned count = hak_load_acquire(&thread->outbox.count);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        walk_add_waiting(walk, blocks[i]);
    for (unsigned class = 0; class < HAK_CLASS_COUNT && thread->state == HAK_TCACHE_STALE; class++)
        for (unsigned left = hak_mag_held(thread, class); left > 0; left--)
            walk_add_waiting(walk, hak_mag_base(thread, class)[left]);
}

/* Gathers all waiting blocks.  False if the room is too small; `count` then tells how many there are. */
static bool walk_gather(struct walk *walk)
{
    walk->count = 0;
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_heap *heap = hak_heap_numbered(number);
        hak_lock(&heap->lock);
        for (struct hak_tcache *thread = heap->threads_list; thread; thread = thread->next_of_heap)
            walk_gather_of(walk, thread);
        hak_unlock(&heap->lock);
    }
    return walk->count <= walk->room;
}

/* Moves the block at an index down the binary heap until no block below it is greater. */
static void walk_sift(const void **blocks, size_t at, size_t count)
{
    const void *block = blocks[at];
    for (size_t below; (below = 2 * at + 1) < count; at = below) {
        if (below + 1 < count && (uintptr_t)blocks[below + 1] > (uintptr_t)blocks[below])
            below++;
        if ((uintptr_t)blocks[below] <= (uintptr_t)block)
            break;
        blocks[at] = blocks[below];
    }
    blocks[at] = block;
}

/* Sorts by heapsort, as libc's qsort() may allocate. */
static void walk_sort(const void **blocks, size_t count)
{
    for (size_t at = count / 2; at-- > 0;)
        walk_sift(blocks, at, count);
    for (size_t last = count; last-- > 1;) {
        const void *greatest = blocks[0];
        blocks[0] = blocks[last];
        blocks[last] = greatest;
        walk_sift(blocks, 0, last);
    }
}

static void walk_give_up_room(struct walk *walk)
{
    if (walk->mapped)
        hak_os_unmap(walk->waiting, walk->room * sizeof *walk->waiting);
    walk->mapped = false;
    walk->room = 0;
}

static void walk_find_waiting(struct walk *walk)
{
    while (!walk_gather(walk)) {
        size_t bytes = hak_round_up(walk->count * 2 * sizeof *walk->waiting, hak_os_page);
        walk_give_up_room(walk);
        walk->waiting = hak_os_map(bytes);
        if (!walk->waiting) {
            walk->count = 0;
            walk->no_room = true;
            return;
        }
        walk->mapped = true;
        walk->room = bytes / sizeof *walk->waiting;
    }
    walk_sort(walk->waiting, walk->count);
}

/* ---- what is visited ---- */

static void walk_visit(struct walk *walk, void *block, size_t size, int class)
{
    if (walk->result == 0)
        walk->result = walk->visit(walk->arg, block, size, class);
}

/*
 * Copies the slab that begins with the unit.  False if there is none: by now the unit may belong to another slab or to
 * none, or lie inside a slab.
 */
static bool walk_copy_slab_at(const struct walk *walk, struct copy *copy, struct hak_window *window, char *unit,
                              uint32_t entry)
{
    struct hak_heap *heap = hak_heap_numbered(HAK_ENTRY_OWNER(entry));
    hak_lock(&heap->lock);
    const struct hak_slab *slab = hak_load(hak_entry_at(window, unit)) == entry ? hak_slab_of(unit) : NULL;
    bool found = slab && slab->base == unit;
    if (found)
        walk_copy_slab(walk, copy, slab, heap);
    hak_unlock(&heap->lock);
    return found;
}

/* Copies the slab where there is no room for what waits: all threads are looked at for this slab alone. */
static bool walk_copy_slab_without_room(const struct walk *walk, struct copy *copy, struct hak_window *window,
                                        char *unit, uint32_t entry)
{
    hak_lock(&hak_registry_lock);
    bool found = walk_copy_slab_at(walk, copy, window, unit, entry);
    hak_unlock(&hak_registry_lock);
    return found;
}

/* Visits the live blocks of the slab that begins with the unit, if one does. */
static void walk_slab(struct walk *walk, struct hak_window *window, char *unit)
{
    struct copy copy;
    uint32_t entry = hak_load(hak_entry_at(window, unit));
    if (entry == HAK_ENTRY_NONE || HAK_ENTRY_CLASS(entry) >= HAK_CLASS_COUNT)
        return;
    if (!(walk->no_room ? walk_copy_slab_without_room : walk_copy_slab_at)(walk, &copy, window, unit, entry))
        return;
    const size_t size = hak_classes[copy.class].size;
    for (unsigned i = 0; i < copy.capacity; i++)
        if ((copy.free[i / 64] >> i % 64 & 1) == 0)
            walk_visit(walk, (char *)(uintptr_t)copy.base + i * size, size, (int)copy.class);
}

/* The size of the live large block that begins with the unit, or 0. */
static size_t walk_large_at(struct hak_window *window, char *unit)
{
    hak_lock(&hak_super_lock);
    const struct hak_slab *run = hak_slab_of(unit);
    bool live = hak_load(hak_entry_at(window, unit)) == HAK_ENTRY_LARGE && hak_load(&run->state) == HAK_LARGE_LIVE;
    size_t size = live ? run->length * HAK_UNIT : 0;
    hak_unlock(&hak_super_lock);
    return size;
}

/* How many superslabs the window has had so far. */
static size_t walk_supers_of(struct hak_window *window)
{
    hak_lock(&hak_window_lock);
    size_t supers = window->next_super;
    hak_unlock(&hak_window_lock);
    return supers;
}

static void walk_window(struct walk *walk, struct hak_window *window)
{
    size_t units = walk_supers_of(window) * HAK_SUPER_UNITS;
    for (size_t i = 0; i < units && walk->result == 0; i++) {
        char *unit = (char *)window->base + (i << HAK_UNIT_SHIFT);
        uint32_t entry = hak_load(hak_entry_at(window, unit));
        size_t size = entry == HAK_ENTRY_LARGE ? walk_large_at(window, unit) : 0;
        if (size)
            walk_visit(walk, unit, size, -1);
        else
            walk_slab(walk, window, unit);
    }
}

static void walk_huge(struct walk *walk)
{
    struct hak_huge_block blocks[64];
    const void *last = NULL;
    for (unsigned count; walk->result == 0 && (count = hak_huge_after(last, blocks, 64)); last = blocks[count - 1].at)
        for (unsigned i = 0; i < count; i++)
            walk_visit(walk, blocks[i].at, blocks[i].size, -1);
}

int hakmem_walk(int (*visit_block)(void *arg, void *block, size_t usable_size, int size_class), void *arg)
{
    const void *few[FEW_WAITING];
    struct walk walk = {.visit = visit_block, .arg = arg, .waiting = few, .room = FEW_WAITING};
    if (!hak_ready())
        return 0;
    walk_find_waiting(&walk);
    for (struct hak_window *window = &hak_window_first; window; window = hak_load_acquire(&window->next))
        walk_window(&walk, window);
    walk_huge(&walk);
    walk_give_up_room(&walk);
    return walk.result;
}
