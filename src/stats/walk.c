/* SPDX-License-Identifier: MIT */
/*
 * walk.c - visits all live blocks.  Owns nothing.  What is live in a slab is copied with the lock held that keeps the
 * slab where it is, its heap's, and visited without; so are large blocks of a superslab and huge ones.
 * Calls registry.h, superslab.h, large.h and init.h.
 *
 * Free blocks that wait in threads' outboxes, and in the magazines of threads that were lost in a fork, may be of any
 * slab.  All are gathered at the start, sorted by address, and found by a search.  That is soon enough: what is put
 * there later was live when the walk began, and what leaves is free, or was not live all the time.
 */
#include <string.h>

#include "hakmem.h"
#include "os/os.h"
#include "process/init.h"
#include "pages/large.h"
#include "heap/registry.h"
#include "pages/superslab.h"

#define WORDS (HAK_UNIT / 16 / 64) /* of a bitmap for the slab with the most blocks, those of 16 bytes */

#define FEW_WAITING 1024u          /* blocks that wait, for which no pages are needed */

struct walk {
    int (*visit)(void *arg, void *block, size_t usable_size, int size_class);
    void *arg;
    int result;
    const void **waiting; /* sorted by address */
    size_t count, room;
    bool mapped;  /* the room is of pages of its own */
    bool no_room; /* there is no memory for them: then all threads are looked at for each slab */
};

/* A slab's blocks that are free, wherever they wait. */
struct copy {
    const char *base;
    unsigned class, capacity;
    uint64_t free[WORDS];
};

static void mark(struct copy *copy, const void *block)
{
    size_t size = hak_classes[copy->class].size, index = ((uintptr_t)block - (uintptr_t)copy->base) / size;
    if (index < copy->capacity)
        copy->free[index / 64] |= (uint64_t)1 << index % 64;
}

/*
 * A magazine of a thread that may be at work.  Whatever is read, even from a slot that changes meanwhile, is a block
 * that was free since the walk began: a live one that stays live is never hidden by it.  The compiler's thread
 * sanitizer is told so.
 */
__attribute__((noinline, no_sanitize("thread"))) static void mark_magazine(struct copy *copy, struct hak_tcache *thread)
{
    void *const volatile *base = hak_mag_base(thread, copy->class);
    for (unsigned left = hak_mag_held(thread, copy->class); left > 0; left--)
        mark(copy, base[left]);
}

/* The same for what waits in a thread, with hak_registry_lock held. */
__attribute__((noinline, no_sanitize("thread"))) static void mark_waiting_of(struct copy *copy,
                                                                             struct hak_tcache *thread)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        mark(copy, blocks[i]);
    if (thread->state == HAK_TCACHE_STALE)
        mark_magazine(copy, thread);
}

static void mark_waiting(struct copy *copy)
{
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_tcache *thread = hak_heap_numbered(number)->threads_list;
        for (; thread; thread = thread->next_of_heap)
            mark_waiting_of(copy, thread);
    }
}

/* The first of the blocks that wait at or behind the address. */
static size_t first_waiting(const struct walk *walk, const char *at)
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

/* Under the lock of the slab's heap. */
static void copy_slab(const struct walk *walk, struct copy *copy, const struct hak_slab *slab, struct hak_heap *heap)
{
    struct hak_depot *depot = &heap->depots[slab->class];
    uintptr_t end = (uintptr_t)slab->base + slab->units * HAK_UNIT;
    copy->base = slab->base;
    copy->class = slab->class;
    copy->capacity = slab->capacity;
    memcpy(copy->free, slab->bits, (slab->capacity + 63u) / 64 * sizeof *slab->bits);
    for (unsigned i = 0; i < depot->count; i++)
        mark(copy, depot->blocks[i]);
    if (walk->no_room)
        mark_waiting(copy);
    for (size_t i = first_waiting(walk, slab->base); i < walk->count && (uintptr_t)walk->waiting[i] < end; i++)
        mark(copy, walk->waiting[i]);
    for (struct hak_tcache *thread = heap->threads_list; thread; thread = thread->next_of_heap)
        if (thread->state != HAK_TCACHE_STALE)
            mark_magazine(copy, thread);
}

/* ---- blocks that wait ---- */

/* Beyond the room blocks are counted only. */
static void add_waiting(struct walk *walk, const void *block)
{
    if (walk->count < walk->room)
        walk->waiting[walk->count] = block;
    walk->count++;
}

__attribute__((noinline, no_sanitize("thread"))) static void gather_of(struct walk *walk, struct hak_tcache *thread)
{
    unsigned count = hak_load_acquire(&thread->outbox.count);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        add_waiting(walk, blocks[i]);
    for (unsigned class = 0; class < HAK_CLASS_COUNT && thread->state == HAK_TCACHE_STALE; class++)
        for (unsigned left = hak_mag_held(thread, class); left > 0; left--)
            add_waiting(walk, hak_mag_base(thread, class)[left]);
}

/* False if there are more than there is room for; `count` is how many. */
static bool gather(struct walk *walk)
{
    walk->count = 0;
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_heap *heap = hak_heap_numbered(number);
        hak_lock(&heap->lock);
        for (struct hak_tcache *thread = heap->threads_list; thread; thread = thread->next_of_heap)
            gather_of(walk, thread);
        hak_unlock(&heap->lock);
    }
    return walk->count <= walk->room;
}

/* Moves the block at a place down a heap until none below is greater. */
static void sift(const void **blocks, size_t at, size_t count)
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

/* Heapsort, as libc's qsort() may allocate. */
static void sort(const void **blocks, size_t count)
{
    for (size_t at = count / 2; at-- > 0;)
        sift(blocks, at, count);
    for (size_t last = count; last-- > 1;) {
        const void *greatest = blocks[0];
        blocks[0] = blocks[last];
        blocks[last] = greatest;
        sift(blocks, 0, last);
    }
}

static void give_up_room(struct walk *walk)
{
    if (walk->mapped)
        hak_os_unmap(walk->waiting, walk->room * sizeof *walk->waiting);
    walk->mapped = false;
    walk->room = 0;
}

static void find_waiting(struct walk *walk)
{
    while (!gather(walk)) {
        size_t bytes = hak_round_up(walk->count * 2 * sizeof *walk->waiting, hak_os_page);
        give_up_room(walk);
        walk->waiting = hak_os_map(bytes);
        if (!walk->waiting) {
            walk->count = 0;
            walk->no_room = true;
            return;
        }
        walk->mapped = true;
        walk->room = bytes / sizeof *walk->waiting;
    }
    sort(walk->waiting, walk->count);
}

/* ---- what is visited ---- */

static void visit(struct walk *walk, void *block, size_t size, int class)
{
    if (walk->result == 0)
        walk->result = walk->visit(walk->arg, block, size, class);
}

/* The unit may be of another slab by now, or of none, or be somewhere in a slab. */
static void walk_slab(struct walk *walk, struct hak_window *window, char *unit)
{
    struct copy copy;
    uint32_t entry = hak_load(hak_entry_at(window, unit));
    if (entry == HAK_ENTRY_NONE || HAK_ENTRY_CLASS(entry) >= HAK_CLASS_COUNT)
        return;
    if (walk->no_room)
        hak_lock(&hak_registry_lock);
    struct hak_heap *heap = hak_heap_numbered(HAK_ENTRY_OWNER(entry));
    hak_lock(&heap->lock);
    bool found = hak_load(hak_entry_at(window, unit)) == entry;
    const struct hak_slab *slab = found ? hak_slab_of(unit) : NULL;
    found = found && slab->base == unit;
    if (found)
        copy_slab(walk, &copy, slab, heap);
    hak_unlock(&heap->lock);
    if (walk->no_room)
        hak_unlock(&hak_registry_lock);
    for (unsigned i = 0; found && i < copy.capacity; i++)
        if ((copy.free[i / 64] >> i % 64 & 1) == 0)
            visit(walk, (char *)(uintptr_t)copy.base + i * (size_t)hak_classes[copy.class].size,
                  hak_classes[copy.class].size, (int)copy.class);
}

/* The size of the large block that begins with the unit, or 0. */
static size_t large_at(struct hak_window *window, char *unit)
{
    hak_lock(&hak_super_lock);
    const struct hak_slab *run = hak_slab_of(unit);
    bool live = hak_load(hak_entry_at(window, unit)) == HAK_ENTRY_LARGE && hak_load(&run->state) == HAK_LARGE_LIVE;
    size_t size = live ? run->length * HAK_UNIT : 0;
    hak_unlock(&hak_super_lock);
    return size;
}

static size_t supers_of(struct hak_window *window)
{
    hak_lock(&hak_super_lock);
    size_t supers = window->next_super;
    hak_unlock(&hak_super_lock);
    return supers;
}

static void walk_window(struct walk *walk, struct hak_window *window)
{
    size_t units = supers_of(window) * HAK_SUPER_UNITS;
    for (size_t i = 0; i < units && walk->result == 0; i++) {
        char *unit = (char *)window->base + (i << HAK_UNIT_SHIFT);
        uint32_t entry = hak_load(hak_entry_at(window, unit));
        size_t size = entry == HAK_ENTRY_LARGE ? large_at(window, unit) : 0;
        if (size)
            visit(walk, unit, size, -1);
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
            visit(walk, blocks[i].at, blocks[i].size, -1);
}

int hakmem_walk(int (*visit_block)(void *arg, void *block, size_t usable_size, int size_class), void *arg)
{
    const void *few[FEW_WAITING];
    struct walk walk = {.visit = visit_block, .arg = arg, .waiting = few, .room = FEW_WAITING};
    if (!hak_ready())
        return 0;
    find_waiting(&walk);
    for (struct hak_window *window = &hak_window_first; window; window = hak_load_acquire(&window->next))
        walk_window(&walk, window);
    walk_huge(&walk);
    give_up_room(&walk);
    return walk.result;
}
