/* SPDX-License-Identifier: MIT */
/*
 * cache.h - what a thread has for itself: magazines and an outbox.  Layer 6, above heap.h.
 *
 * The owning thread works here without a lock.  Others read figures, and the child of a fork all of it: so at every
 * instant each block that is in a magazine or an outbox must be free and nowhere else.  It may for a moment be nowhere
 * at all: a fork in that moment loses it in the child.
 */
#ifndef HAK_CACHE_H
#define HAK_CACHE_H

#include "heap.h"
#include "thread.h"

/*
 * Free blocks of one class, of slabs that the thread's heap owns, in two stacks in the thread's slots: malloc pops from
 * one, free pushes on the other, and when the one is empty or the other full they change places.  With a single stack
 * the processor would have to wait, at each malloc, for the address of the slot that the free before it has written,
 * which is known only once the page map has answered; or guess, and be wrong when both are of the same class.
 *   base(i) = slots + mag_offset + i * (mag_max + 1), for i = 0 and 1
 *   ready and freed each lie in base(i) .. base(i) + mag_max for an i, and for different ones but while they change
 *   base(i)[-1] is NULL for ever; base(i)[0 .. ready or freed) are the blocks
 *   freed <= limit = base(i) + the thread's room for the class <= base(i) + mag_max
 *   next = ready[-1], so that malloc has its result by one load from an address that is known early
 */
struct hak_mag {
    void *next;             /* the block that malloc takes next, or NULL */
    _Atomic(void **) ready; /* one beyond it */
    _Atomic(void **) freed; /* where free puts the next block */
    void **limit;           /* where it cannot */
};

_Static_assert(sizeof(struct hak_mag) == HAK_MAG_SIZE, "hak_mag_by_size and page map entries count in these");

/* All that the hot paths touch of a thread.  The window is a copy of hak_window_first, to be on the key's line. */
struct hak_cache {
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
    /* The page map entry of the block that came last, and in which bits it differed from one before. */
    uint32_t last, differences;
    void *blocks[HAK_OUTBOX_MAX];
};

enum hak_cache_state {
    HAK_CACHE_BOUND, /* a thread owns it */
    HAK_CACHE_FREE,  /* its thread has exited: it is empty, and the next thread takes it */
    HAK_CACHE_STALE, /* its thread was lost in a fork: as free, but nothing of it has been emptied yet */
};

struct hak_thread {
    struct hak_cache cache; /* first, so that one pointer leads to both */
    struct hak_heap *heap;  /* the one it allocates from; others may share it */
    size_t grown;           /* bytes by which magazines' limits exceed their first values */
    unsigned cursor;        /* the class whose magazine is next asked to shrink */
    bool busy[HAK_CLASS_COUNT]; /* the stacks of the magazine have changed places since it was last asked */
    /* What either stack of a magazine may hold now; changes as the class is used, within the thread's budget. */
    uint16_t room[HAK_CLASS_COUNT];
    struct hak_outbox outbox;
    void *slots[HAK_MAG_SLOTS];

    /* Under HAK_RANK_POOL (pool.c): */
    struct hak_thread *next_free;
    const void *tls; /* the owner's hak_tls, which tells threads apart */
    uint32_t process, thread; /* the owner's numbers, by which pool.c notices that it has ended unseen */
    struct hak_thread *next_made;
    enum hak_cache_state state;
    /* Under HAK_RANK_POOL and the heap's lock: the list of those with the same heap. */
    struct hak_thread *next_of_heap;
};

#pragma GCC visibility push(hidden)
/* Every thread's cache until it has one: magazines that are empty and full at once, and a key that matches nothing. */
extern struct hak_cache hak_cache_none;

/* The magazine is empty: fills it and returns a block; NULL when memory is out. */
void *hak_cache_refill(struct hak_thread *thread, unsigned class);
/* The magazine is full: makes room and pushes the block. */
void hak_cache_spill(struct hak_thread *thread, unsigned class, void *block);
/* A block of another heap that the thread has freed, and its page map entry. */
void hak_cache_send(struct hak_thread *thread, void *block, uint32_t entry);
/* Delivers the outbox and gives all magazines' blocks back to the heap. */
void hak_cache_empty(struct hak_thread *thread);
/* Empty, small magazines, whatever they held. */
void hak_cache_reset(struct hak_thread *thread);
/* What a stale cache seems to hold goes back to whoever owns it now. */
void hak_cache_salvage(struct hak_thread *thread);
/* Gives blocks back to the heaps that own them, for a thread without a cache.  The array is overwritten. */
void hak_deliver(void **blocks, unsigned count);
#pragma GCC visibility pop

HAK_INLINE struct hak_cache *hak_cache_self(void)
{
    return (struct hak_cache *)((uintptr_t)&hak_cache_none + (uintptr_t)hak_tls.delta);
}

/* The page map entry of an address.  False if it is not in the first window, or the thread has no cache yet. */
HAK_INLINE bool hak_cache_entry(const struct hak_cache *cache, const void *p, uint32_t *entry)
{
    size_t unit = ((uintptr_t)p - cache->window_base) >> HAK_UNIT_SHIFT;
    if (HAK_UNLIKELY(unit >= cache->window_units))
        return false;
    *entry = hak_load(&cache->window_map[unit]);
    return true;
}

/* Drops mag->next. */
HAK_INLINE void hak_mag_pop(struct hak_mag *mag)
{
    void **ready = hak_load(&mag->ready) - 1;
    mag->next = ready[-1];
    hak_store(&mag->ready, ready);
}

/* The bottom of the stack that the pointer into it belongs to. */
HAK_INLINE void **hak_mag_base(struct hak_thread *thread, unsigned class, void **top)
{
    void **first = thread->slots + hak_classes[class].mag_offset, **second = first + hak_classes[class].mag_max + 1;
    return top < second ? first : second;
}

/* How many blocks the stack holds that the pointer into it belongs to. */
HAK_INLINE unsigned hak_mag_held(struct hak_thread *thread, unsigned class, _Atomic(void **) *top)
{
    void **at = hak_load_acquire(top);
    return (unsigned)(at - hak_mag_base(thread, class, at));
}

#endif
