/* SPDX-License-Identifier: MIT */
/*
 * walk.c - visits all live blocks.  Owns nothing.  What is live in a slab is copied with the locks held that keep the
 * slab where it is (the pool's and its heap's), and visited without; so are large blocks of a superslab and huge ones.
 * Calls pool.h, superslab.h, large.h and init.h.
 */
#include <string.h>

#include "hakmem.h"
#include "process/init.h"
#include "pages/large.h"
#include "heap/registry.h"
#include "pages/superslab.h"

#define WORDS (HAK_UNIT / 16 / 64) /* of a bitmap for the slab with the most blocks, those of 16 bytes */

struct walk {
    int (*visit)(void *arg, void *block, size_t usable_size, int size_class);
    void *arg;
    int result;
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
 * A magazine or an outbox of a thread that may be at work.  Whatever is read, even from a slot that changes meanwhile,
 * is a block that was free since the walk began: a live one that stays live is never hidden by it.  The compiler's
 * thread sanitizer is told so.
 */
__attribute__((noinline, no_sanitize("thread"))) static void mark_magazine(struct copy *copy, struct hak_tcache *thread)
{
    void *const volatile *base = hak_mag_base(thread, copy->class);
    for (unsigned left = hak_mag_held(thread, copy->class); left > 0; left--)
        mark(copy, base[left]);
}

__attribute__((noinline, no_sanitize("thread"))) static void mark_outbox(struct copy *copy, struct hak_tcache *thread)
{
    unsigned count = hak_load_acquire(&thread->outbox.count);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        mark(copy, blocks[i]);
}

/* Under the locks of the pool and of the slab's heap. */
static void copy_slab(struct copy *copy, const struct hak_slab *slab, struct hak_heap *heap)
{
    struct hak_depot *depot = &heap->depots[slab->class];
    copy->base = slab->base;
    copy->class = slab->class;
    copy->capacity = slab->capacity;
    memcpy(copy->free, slab->bits, (slab->capacity + 63u) / 64 * sizeof *slab->bits);
    for (unsigned i = 0; i < depot->count; i++)
        mark(copy, depot->blocks[i]);
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        struct hak_tcache *thread = hak_heap_numbered(number)->threads_list;
        for (; thread; thread = thread->next_of_heap) {
            mark_outbox(copy, thread);
            /* The slab may have had another heap when a thread was lost in a fork. */
            if (thread->heap == heap || thread->state == HAK_TCACHE_STALE)
                mark_magazine(copy, thread);
        }
    }
}

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
    hak_lock(&hak_registry_lock);
    struct hak_heap *heap = hak_heap_numbered(HAK_ENTRY_OWNER(entry));
    hak_lock(&heap->lock);
    bool found = hak_load(hak_entry_at(window, unit)) == entry;
    const struct hak_slab *slab = found ? hak_slab_of(unit) : NULL;
    found = found && slab->base == unit;
    if (found)
        copy_slab(&copy, slab, heap);
    hak_unlock(&heap->lock);
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
    struct walk walk = {visit_block, arg, 0};
    if (!hak_ready())
        return 0;
    for (struct hak_window *window = &hak_window_first; window; window = hak_load_acquire(&window->next))
        walk_window(&walk, window);
    walk_huge(&walk);
    return walk.result;
}
