/* SPDX-License-Identifier: MIT */
/*
 * tcache.h - what a thread has for itself: magazines and an outbox.
 *
 * The owning thread works here without a lock.  Other threads read figures, and the child of a fork reads everything.
 * So at every instant each block in a magazine or an outbox must be free and nowhere else.  A block that moves may be
 * nowhere for a moment: a fork in that moment loses it in the child.
 */
#ifndef HAK_TCACHE_H
#define HAK_TCACHE_H

#include "heap/heap.h"
#include "base/tls.h"

/*
 * Free blocks of one class, of slabs that the thread's heap owns: a stack in the thread's slots.  The block on top was
 * freed last, and malloc takes it next.
 *   base = slots + mag_offset; *base is always NULL, which is what an empty magazine pops
 *   base <= top <= limit = base + room, and room <= mag_max
 *   base[1] to *top are the blocks; each is the start of a block of the class, as free checks before it pushes
 *   inverse, last_product and size are copies of the class's, so that the hot paths read one cache line
 */
struct hak_mag {
    _Atomic(void **) top; /* where the block that malloc takes next is */
    void **limit;         /* the magazine is full when top is here */
    uint32_t inverse, last_product;
    uint32_t size;
    uint32_t room; /* how many blocks it may hold; follows the use of the class, within the thread's budget */
};

_Static_assert(sizeof(struct hak_mag) == HAK_MAG_SIZE, "hak_mag_by_size and page map entries count in these");

/* All that the hot paths use of a thread.  The window's members are copies of hak_window_first's, so that they are in
 * the key's cache line.  window_units may be an older and smaller value; the slow path of free updates it. */
struct hak_tcache_hot {
    struct hak_mag mags[HAK_CLASS_COUNT];
    uint32_t key; /* HAK_ENTRY(heap's number, 0); entry ^ key is the offset of a magazine if the heap owns the slab */
    uintptr_t window_base;
    size_t window_units;
    const _Atomic uint32_t *window_map;
};

/* Free blocks that other heaps own: blocks[0 .. count - 1]. */
#define HAK_OUTBOX_MAX HAK_RECEIVE_MAX
struct hak_outbox {
    _Atomic unsigned count;
    _Atomic size_t bytes; /* their sizes added up */
    size_t most;          /* the outbox is delivered when it holds this many bytes */
    /* The page map entry of the block that came last, and the bits in which any two successive entries differed: if
     * none of these is in the owner's number, all blocks have one owner. */
    uint32_t last_entry, differences;
    void *blocks[HAK_OUTBOX_MAX];
};

/* Why the magazine was refilled or flushed last. */
enum hak_miss { HAK_MISS_NONE, HAK_MISS_EMPTY, HAK_MISS_FULL };

enum hak_tcache_state {
    HAK_TCACHE_BOUND, /* a thread owns it */
    HAK_TCACHE_FREE,  /* its thread has exited: it is empty, and the next thread takes it */
    HAK_TCACHE_STALE, /* its thread was lost in a fork: free as well, but it still holds blocks */
};

struct hak_tcache {
    struct hak_tcache_hot hot; /* first, so that one pointer leads to both */
    struct hak_heap *heap;  /* the heap it allocates from; other threads may share it */
    size_t room_bytes;      /* all magazines' rooms, in bytes */
    unsigned cursor;        /* the class whose magazine is asked next to shrink */
    bool busy[HAK_CLASS_COUNT]; /* the magazine has run empty or full since it was asked last */
    uint8_t last_miss[HAK_CLASS_COUNT]; /* enum hak_miss */
    struct hak_outbox outbox;
    void *slots[HAK_MAG_SLOTS];

    struct hak_tcache *next_free HAK_GUARDED(hak_registry_lock); /* the list of free caches */
    struct hak_tcache *next_made HAK_GUARDED(hak_registry_lock); /* the list of all caches */
    const void *tls HAK_GUARDED(hak_registry_lock); /* the address of the owner's hak_tls, which tells threads apart */
    uint32_t pid HAK_GUARDED(hak_registry_lock);    /* the owner's numbers: by these registry.c finds */
    uint32_t tid HAK_GUARDED(hak_registry_lock);    /* that the thread has ended without its destructor */
    uint32_t owners HAK_GUARDED(hak_registry_lock); /* how many threads have had it */
    enum hak_tcache_state state HAK_GUARDED(hak_registry_lock);
    /* The list of the heap's caches.  Changes need both locks, readers hold one of them. */
    struct hak_tcache *next_of_heap HAK_GUARDED(hak_registry_lock) HAK_GUARDED(heap->lock);
    struct hak_tcache *prev_of_heap HAK_GUARDED(hak_registry_lock) HAK_GUARDED(heap->lock);
};

#pragma GCC visibility push(hidden)
/* The cache of a thread that has none: its magazines are empty and full at once, and no entry matches its key. */
extern const struct hak_tcache_hot hak_tcache_none;

/* For an empty magazine: fills it and returns a block; NULL when memory is out. */
void *hak_tcache_refill(struct hak_tcache *thread, unsigned class);
/* For a full magazine: makes room and pushes the block. */
void hak_tcache_spill(struct hak_tcache *thread, unsigned class, void *block);
/* Puts a block that another heap owns into the outbox.  The caller has checked that a block begins there; `entry` is
 * its page map entry. */
void hak_tcache_send(struct hak_tcache *thread, void *block, uint32_t entry);
/* Delivers the outbox and gives all magazines' blocks back to the heap. */
void hak_tcache_empty(struct hak_tcache *thread);
/* Makes all magazines empty and without room, whatever they held. */
void hak_tcache_reset(struct hak_tcache *thread);
/* Makes the calling thread's copy of the window the newest. */
HAK_COLD void hak_tcache_update_window(void);
/* Gives the blocks of a stale cache back to the heaps that own them now. */
void hak_tcache_salvage(struct hak_tcache *thread);
/* Gives blocks of any class back to the heaps that own them.  The array is overwritten. */
void hak_deliver(void **blocks, unsigned count);
#pragma GCC visibility pop

HAK_INLINE struct hak_tcache_hot *hak_tcache_hot_self(void)
{
    return (struct hak_tcache_hot *)((uintptr_t)&hak_tcache_none + (uintptr_t)hak_tls.delta);
}

/* The calling thread's cache; NULL if it has none. */
HAK_INLINE struct hak_tcache *hak_tcache_mine(void)
{
    return hak_tls.state == HAK_THREAD_ATTACHED ? (struct hak_tcache *)hak_tcache_hot_self() : NULL;
}

/* The page map entry of an address.  False if the address is not in the first window, or the thread has no cache. */
HAK_INLINE bool hak_tcache_entry(const struct hak_tcache_hot *hot, const void *p, uint32_t *entry)
{
    size_t unit = ((uintptr_t)p - hot->window_base) >> HAK_UNIT_SHIFT;
    if (HAK_UNLIKELY(unit >= hot->window_units))
        return false;
    *entry = hak_load(&hot->window_map[unit]);
    return true;
}

/* Before a free that the hot paths may have left because of an old window. */
HAK_INLINE void hak_tcache_see_window(void)
{
    if (HAK_UNLIKELY(hak_tcache_hot_self()->window_units != hak_load(&hak_window_first.map_units)))
        hak_tcache_update_window();
}

/* The slot below a magazine's lowest block. */
HAK_INLINE void **hak_mag_base(struct hak_tcache *thread, unsigned class)
{
    return thread->slots + hak_classes[class].mag_offset;
}

/* How many blocks a magazine holds. */
HAK_INLINE unsigned hak_mag_held(struct hak_tcache *thread, unsigned class)
{
    return (unsigned)(hak_load_acquire(&thread->hot.mags[class].top) - hak_mag_base(thread, class));
}

/* The block on top, which is taken; NULL if the magazine is empty. */
HAK_INLINE void *hak_mag_pop(struct hak_mag *mag)
{
    void **top = hak_load(&mag->top), *block = *top;
    if (HAK_LIKELY(block))
        hak_store(&mag->top, top - 1);
    return block;
}

/* Pushes a block.  The caller has checked that a block of the class begins there.  False, with nothing done, if the
 * magazine is full, or if the block is on top already: then it was freed twice in a row. */
HAK_INLINE bool hak_mag_push(struct hak_mag *mag, void *block)
{
    void **top = hak_load(&mag->top);
    if (HAK_UNLIKELY(top == mag->limit || *top == block))
        return false;
    top[1] = block;
    hak_store_release(&mag->top, top + 1);
    return true;
}

#endif
