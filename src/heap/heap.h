/* SPDX-License-Identifier: MIT */
/*
 * heap.h - a heap: depots in front, slabs behind them.
 *
 * There are a few heaps for each processor.  A thread has one, and threads share heaps where there are more threads
 * than heaps.  A heap is guarded by its lock, so that any thread can work on any heap: to give blocks back, to purge,
 * to count, to fork.
 */
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include "os/lock.h"
#include "heap/slab.h"

/* Free blocks of one class, of slabs that this heap owns, the one freed last on top.  Guarded by the heap's lock. */
struct hak_depot {
    void **blocks;
    uint32_t count, room; /* blocks in the array, and its length */
    uint32_t low;         /* the smallest count since the last hak_heap_decay() */
};

/* Depots of blocks up to this size share the budget of the knob depot_budget. */
#define HAK_DEPOT_SHARING_MAX 8192u

/* The number of the orphan heap, which serves threads that are exiting or could not have a cache. */
#define HAK_HEAP_ORPHAN 1u

/*
 * For each class:
 *   capacities of its slabs = bits set in their bitmaps + out
 *   out = blocks in this heap's depot + in its threads' magazines + in any outbox + live blocks
 */
struct hak_heap {
    struct hak_lock lock;
    uint32_t number; /* constant; from 1 */
    size_t depot_bytes HAK_GUARDED(lock); /* the sizes of all depots' blocks, added up */
    size_t budgeted HAK_GUARDED(lock);    /* of these, what is in depots that share the budget */
    size_t slab_bytes HAK_GUARDED(lock);  /* the sizes of all slabs' free blocks, added up */
    size_t units HAK_GUARDED(lock);       /* all slabs' units, added up */
    size_t purge_threshold HAK_GUARDED(lock); /* of depot_bytes + slab_bytes (pages/trigger.h) */
    unsigned cursor HAK_GUARDED(lock);    /* the class whose depot is asked next to make room */
    struct hak_depot depots[HAK_CLASS_COUNT] HAK_GUARDED(lock);
    struct hak_slab_lists lists[HAK_CLASS_COUNT] HAK_GUARDED(lock);
    /* By class: the slab that became empty and was kept.  There is one at most; it may be in use again. */
    struct hak_slab *empty[HAK_CLASS_COUNT] HAK_GUARDED(lock);
    size_t slabs[HAK_CLASS_COUNT] HAK_GUARDED(lock);
    size_t out[HAK_CLASS_COUNT] HAK_GUARDED(lock);
    size_t remote_frees HAK_GUARDED(lock); /* how many blocks threads of other heaps have given back */
    size_t purged HAK_GUARDED(lock);       /* how many bytes of free pages in slabs have gone back to the kernel */
    /* The threads that have this heap.  Changes need both locks, readers hold one of them. */
    struct hak_tcache *threads_list HAK_GUARDED(lock) HAK_GUARDED(hak_registry_lock);
    bool abandoned HAK_GUARDED(lock); /* no thread has the heap, and nothing is added to its depots (adopt.h) */

    /* These two change with `lock` held and are read without it. */
    _Atomic uint64_t offers[2]; /* a bit for each class of which others may take slabs; 0 unless abandoned */
    _Atomic uint32_t moved;     /* how many slabs other heaps have taken over */

    _Atomic unsigned threads; /* how many threads have the heap; changes with hak_registry_lock held, read without */
    struct hak_heap *next_like HAK_GUARDED(hak_registry_lock); /* the ring of heaps with as many threads */
    struct hak_heap *prev_like HAK_GUARDED(hak_registry_lock);
} HAK_ALIGNED(HAK_LINE);

#pragma GCC visibility push(hidden)
/* Moves up to `want` free blocks of the class to `blocks`, the one to be used first last; returns how many.  0 means
 * that memory is out; fewer than `want` do not. */
unsigned hak_heap_get(struct hak_heap *heap, unsigned class, void **blocks, unsigned want) HAK_EXCLUDES(heap->lock);
/* Takes back blocks of the class that the heap owns. */
void hak_heap_give(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count)
    HAK_EXCLUDES(heap->lock);
/* Takes back blocks of any class that threads of other heaps freed, HAK_RECEIVE_MAX at most.  Blocks that another heap
 * owns, or may own since a moment ago, are moved to the front of the array; returns how many these are. */
#define HAK_RECEIVE_MAX 256u
unsigned hak_heap_receive(struct hak_heap *heap, void **blocks, unsigned count) HAK_EXCLUDES(heap->lock);
/* Puts the blocks of all depots back into slabs and gives empty slabs back to the page heap. */
void hak_heap_drain(struct hak_heap *heap) HAK_EXCLUDES(heap->lock);
/* Puts the blocks of one class's depot back into slabs. */
void hak_heap_drain_depot(struct hak_heap *heap, unsigned class) HAK_REQUIRES(heap->lock);
/* The last thread has left the heap: empty slabs go back, and other heaps are offered the rest. */
void hak_heap_abandon(struct hak_heap *heap) HAK_REQUIRES(heap->lock);
/* Puts the blocks that no depot has needed since the last call back into slabs. */
void hak_heap_decay(struct hak_heap *heap) HAK_EXCLUDES(heap->lock);
/* One purge pass over a slab of the heap, which may have been destroyed meanwhile.  A slab that HAK_PURGE_PASSES calls
 * in a row have found unused is given back if it is empty; else its free pages are, if half of its blocks are free.
 * `now` does so whatever the slab's age.  Returns the bytes of such pages. */
size_t hak_heap_age_slab(struct hak_heap *heap, struct hak_slab *slab, bool now) HAK_EXCLUDES(heap->lock);
/* The bytes of free blocks in depots and slabs. */
size_t hak_heap_idle(struct hak_heap *heap) HAK_EXCLUDES(heap->lock);
/* Re-arms the purge trigger at `slack` bytes above what is free now; returns what is free now. */
size_t hak_heap_rearm_purge(struct hak_heap *heap, size_t slack) HAK_EXCLUDES(heap->lock);
#pragma GCC visibility pop

#endif
