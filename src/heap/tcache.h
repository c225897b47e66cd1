/* SPDX-License-Identifier: MIT */
/*
 * tcache.h - what a thread has for itself: magazines and an outbox.
 *
 * The owning thread works here without a lock.  Others read figures, and the child of a fork all of it: so at every
 * instant each block that is in a magazine or an outbox must be free and nowhere else.  It may for a moment be nowhere
 * at all: a fork in that moment loses it in the child.
 */
#ifndef HAK_TCACHE_H
#define HAK_TCACHE_H

#include "heap/heap.h"
#include "base/tls.h"

/*
 * Free blocks of one class, of slabs that the thread's heap owns: a stack in the thread's slots, the block freed last
 * on top, which is the next that malloc hands out.
 *   base = slots + mag_offset; *base is NULL for ever, and what an empty magazine pops
 *   base <= top <= limit = base + room, and room <= mag_max
 *   base[1] to *top are the blocks, each of which begins where a block does: free looks before it pushes
 *   inverse, last_product and size are the class's, so that all that is needed is in one cache line
 */
struct hak_mag {
    _Atomic(void **) top; /* the block that malloc takes next */
    void **limit;         /* free pushes no more when top is there */
    uint32_t inverse, last_product;
    uint32_t size;
    uint32_t room; /* changes as the class is used, within the thread's budget */
};

_Static_assert(sizeof(struct hak_mag) == HAK_MAG_SIZE, "hak_mag_by_size and page map entries count in these");

/* All that the hot paths touch of a thread.  The window is a copy of hak_window_first, to be on the key's line. */
struct hak_tcache_hot {
    struct hak_mag mags[HAK_CLASS_COUNT];
    uint32_t key; /* HAK_ENTRY(heap's number, 0): xor with one's own block's page map entry leaves the class */
    uintptr_t window_base;
    size_t window_units;
    const _Atomic uint32_t *window_map;
};

/* Free blocks that other heaps own. */
#define HAK_OUTBOX_MAX HAK_RECEIVE_MAX
struct hak_outbox {
    _Atomic unsigned count;
    _Atomic size_t bytes; /* their sizes added up */
    size_t most;          /* the outbox is delivered when it holds as many bytes */
    /* The page map entry of the block that came last, and in which bits it differed from one before. */
    uint32_t last_entry, differences;
    void *blocks[HAK_OUTBOX_MAX];
};

/* Why the magazine was last refilled or flushed. */
enum hak_miss { HAK_MISS_NONE, HAK_MISS_EMPTY, HAK_MISS_FULL };

enum hak_tcache_state {
    HAK_TCACHE_BOUND, /* a thread owns it */
    HAK_TCACHE_FREE,  /* its thread has exited: it is empty, and the next thread takes it */
    HAK_TCACHE_STALE, /* its thread was lost in a fork: as free, but nothing of it has been emptied yet */
};

struct hak_tcache {
    struct hak_tcache_hot hot; /* first, so that one pointer leads to both */
    struct hak_heap *heap;  /* the one it allocates from; others may share it */
    size_t room_bytes;      /* all magazines' rooms, in bytes */
    unsigned cursor;        /* the class whose magazine is next asked to shrink */
    bool busy[HAK_CLASS_COUNT]; /* the magazine has run empty or full since it was last asked */
    uint8_t last_miss[HAK_CLASS_COUNT]; /* enum hak_miss */
    struct hak_outbox outbox;
    void *slots[HAK_MAG_SLOTS];

    /* Under HAK_RANK_REGISTRY (registry.c): */
    struct hak_tcache *next_free;
    const void *tls; /* the owner's hak_tls, which tells threads apart */
    uint32_t pid, tid; /* the owner's numbers, by which registry.c notices that it has ended unseen */
    uint32_t owners;          /* how many threads have had it so far */
    struct hak_tcache *next_made;
    enum hak_tcache_state state;
    /* Under HAK_RANK_REGISTRY and the heap's lock: the list of those with the same heap. */
    struct hak_tcache *next_of_heap, *prev_of_heap;
};

#pragma GCC visibility push(hidden)
/* Every thread's cache until it has one: magazines that are empty and full at once, and a key that matches nothing. */
extern const struct hak_tcache_hot hak_tcache_none;

/* The magazine is empty: fills it and returns a block; NULL when memory is out. */
void *hak_tcache_refill(struct hak_tcache *thread, unsigned class);
/* The magazine is full: makes room and pushes the block. */
void hak_tcache_spill(struct hak_tcache *thread, unsigned class, void *block);
/* A block of another heap that the thread has freed, found to begin where it should, and its page map entry. */
void hak_tcache_send(struct hak_tcache *thread, void *block, uint32_t entry);
/* Delivers the outbox and gives all magazines' blocks back to the heap. */
void hak_tcache_empty(struct hak_tcache *thread);
/* Empty, small magazines, whatever they held. */
void hak_tcache_reset(struct hak_tcache *thread);
/* What a stale cache seems to hold goes back to whoever owns it now. */
void hak_tcache_salvage(struct hak_tcache *thread);
/* Gives blocks back to the heaps that own them, for a thread without a cache.  The array is overwritten. */
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

/* The page map entry of an address.  False if it is not in the first window, or the thread has no cache yet. */
HAK_INLINE bool hak_tcache_entry(const struct hak_tcache_hot *hot, const void *p, uint32_t *entry)
{
    size_t unit = ((uintptr_t)p - hot->window_base) >> HAK_UNIT_SHIFT;
    if (HAK_UNLIKELY(unit >= hot->window_units))
        return false;
    *entry = hak_load(&hot->window_map[unit]);
    return true;
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

/* NULL if the magazine is empty. */
HAK_INLINE void *hak_mag_pop(struct hak_mag *mag)
{
    void **top = hak_load(&mag->top), *block = *top;
    if (HAK_LIKELY(block))
        hak_store(&mag->top, top - 1);
    return block;
}

/* A block that begins where one of the class does.  False, with nothing done, if the magazine is full or the block on
 * top is the very same: then it was freed twice in a row. */
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
