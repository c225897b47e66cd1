/* SPDX-License-Identifier: MIT */
/*
 * heap.h - a heap: magazines in front, depots behind them, slabs at the back.  Layer 5, above slab.h.
 *
 * What a thread does without a lock it does in struct hak_cache and the outbox; all else is under the heap's lock, so
 * that any thread can work on any heap: to deliver blocks, to purge, to count, to fork.
 */
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include "lock.h"
#include "slab.h"
#include "thread.h"

/*
 * A stack of free blocks of one class, in the heap's slots.
 *   base = slots + mag_offset;  base <= top <= limit <= base + mag_max
 *   base[-1] is NULL for ever; base[0 .. top - base) are free blocks of slabs that this heap owns
 * Written by the owning thread alone; others read `top` for figures, and after a fork.
 */
struct hak_mag {
    _Atomic(void **) top; /* the next free slot */
    void **limit;         /* it is full here; grows towards mag_max as the class is used */
};

/* All that the hot paths touch of a thread.  The window is a copy of hak_window_first, to be on the key's line. */
struct hak_cache {
    struct hak_mag mags[HAK_CLASS_COUNT];
    uint32_t key; /* HAK_ENTRY(number, 0): xor with one's own block's page map entry leaves the class */
    uintptr_t window_base;
    size_t window_units;
    const _Atomic uint32_t *window_map;
};

/* Free blocks that other heaps own.  Written by the owning thread alone; others read the figures, and
 * the child of a fork all of it. */
#define HAK_OUTBOX_MAX 256u
struct hak_outbox {
    _Atomic unsigned count;
    _Atomic size_t bytes; /* their blocks' sizes added up */
    void *blocks[HAK_OUTBOX_MAX];
};

/* Free blocks of one class, of slabs that this heap owns, the warmest on top. */
struct hak_depot {
    void **blocks;
    uint32_t count, room;
};

enum hak_heap_state {
    HAK_HEAP_BOUND,  /* a thread owns it */
    HAK_HEAP_POOLED, /* its thread has exited: magazines, depots and outbox are empty, the next thread takes it */
    HAK_HEAP_STALE,  /* its thread was lost in a fork: pooled, but nothing of it has been emptied yet */
};

struct hak_heap {
    struct hak_cache cache; /* first, so that one pointer leads to both */
    void *slots[HAK_MAG_SLOTS] HAK_ALIGNED(HAK_LINE);
    struct hak_outbox outbox;

    /* Under HAK_RANK_POOL: */
    struct hak_heap *pool_next;
    const void *thread; /* the owner's hak_tls, which tells threads apart */
    _Atomic uint8_t state;
    uint32_t number;

    /* Under the lock: */
    struct hak_lock lock HAK_ALIGNED(HAK_LINE);
    size_t depot_bytes; /* all depots' blocks' sizes added up */
    struct hak_depot depots[HAK_CLASS_COUNT];
    struct hak_slab_lists lists[HAK_CLASS_COUNT];
    size_t slabs[HAK_CLASS_COUNT];
    size_t out[HAK_CLASS_COUNT]; /* blocks taken from slabs and not put back: live, or in a magazine, depot, outbox */
    size_t arrivals;             /* blocks that other threads freed */
};

#pragma GCC visibility push(hidden)
/* Every thread's cache until it has a heap: empty magazines that are full, and a key that matches nothing. */
extern struct hak_cache hak_cache_none;
extern struct hak_heap *hak_commons;

/* The magazine is empty: fills it and returns a block; NULL when memory is out.  The thread's own heap. */
void *hak_heap_refill(struct hak_heap *heap, unsigned class);
/* The magazine is full: makes room and pushes the block.  The thread's own heap. */
void hak_heap_spill(struct hak_heap *heap, unsigned class, void *block);
/* One block, for a thread without a heap. */
void *hak_commons_alloc(unsigned class);
/* Blocks that another thread freed.  Those whose slab has changed its owner meanwhile are moved to the front of the
 * array, and their number is returned. */
unsigned hak_heap_deliver(struct hak_heap *heap, void **blocks, unsigned count);
/* Puts the blocks of all depots back into slabs and gives empty slabs back to their superslabs. */
void hak_heap_drain(struct hak_heap *heap);
/* The same for the magazines, of the thread's own heap or one without a thread. */
void hak_heap_drain_magazines(struct hak_heap *heap);
/* Makes all magazines empty, whatever they hold, and small again. */
void hak_heap_reset_magazines(struct hak_heap *heap);
#pragma GCC visibility pop

HAK_INLINE struct hak_cache *hak_cache_self(void)
{
    return (struct hak_cache *)((char *)&hak_cache_none + hak_tls.delta);
}

HAK_INLINE void **hak_mag_base(struct hak_heap *heap, unsigned class)
{
    return heap->slots + hak_classes[class].mag_offset;
}

#endif
