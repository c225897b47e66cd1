/* SPDX-License-Identifier: MIT */
/*
 * heap.h - a heap: depots in front, slabs behind them.
 *
 * There are a few heaps for each processor; a thread has one, and where there are more threads than heaps they share.
 * All of a heap is under its lock, so that any thread can work on any heap: to give blocks back, to purge, to count,
 * to fork.
 */
#ifndef HAK_HEAP_H
#define HAK_HEAP_H

#include "os/lock.h"
#include "heap/slab.h"

/* Free blocks of one class, of slabs that this heap owns, the warmest on top. */
struct hak_depot {
    void **blocks;
    uint32_t count, room;
    uint32_t low; /* the smallest count since hak_heap_decay() last came by */
};

/* Depots of blocks up to this size share a budget. */
#define HAK_DEPOT_SHARING_MAX 8192u

/* The number of the heap without threads, for those that are exiting or could not have a cache. */
#define HAK_HEAP_ORPHAN 1u

/*
 * For each class: blocks in slabs = free bits + out, and out = blocks in this heap's depot and its threads' magazines +
 * blocks in any outbox + live blocks.
 */
struct hak_heap {
    struct hak_lock lock;
    uint32_t number;
    size_t depot_bytes; /* all depots' blocks' sizes added up */
    size_t budgeted;    /* those in the depots that share a budget */
    size_t slab_bytes;  /* all slabs' free blocks' sizes added up */
    size_t units;       /* all slabs' units added up */
    size_t purge_threshold; /* of depot_bytes + slab_bytes: pages/trigger.h */
    unsigned cursor;    /* the class whose depot is next asked to make room */
    struct hak_depot depots[HAK_CLASS_COUNT];
    struct hak_slab_lists lists[HAK_CLASS_COUNT];
    /* By class: the slab without a block in use.  There is one at most, and it may be in use again by now. */
    struct hak_slab *empty[HAK_CLASS_COUNT];
    size_t slabs[HAK_CLASS_COUNT];
    size_t out[HAK_CLASS_COUNT];
    size_t remote_frees; /* blocks that threads of other heaps gave back, so far */
    size_t purged;       /* bytes of free pages in slabs that went back to the kernel, so far */
    struct hak_tcache *threads_list; /* those that have this heap; changes under HAK_RANK_REGISTRY, too */

    bool abandoned;             /* no thread has it, and none of its depots is added to: see adopt.h */
    _Atomic uint64_t offers[2]; /* one bit for each class that others may take slabs of; none unless it is abandoned */
    _Atomic uint32_t moved;     /* how many slabs other heaps have taken over, so far */

    /* Under HAK_RANK_REGISTRY: */
    _Atomic unsigned threads;            /* how many of the threads are alive */
    struct hak_heap *next_like, *prev_like; /* a ring of those with as many */
} HAK_ALIGNED(HAK_LINE);

#pragma GCC visibility push(hidden)
/* Moves up to `want` free blocks of the class to `blocks`, the one to be used first last; returns how many.  Fewer
 * than `want` do not mean that memory is out; none do. */
unsigned hak_heap_get(struct hak_heap *heap, unsigned class, void **blocks, unsigned want);
/* Takes back blocks of the class that the heap owns. */
void hak_heap_give(struct hak_heap *heap, unsigned class, void *const *blocks, unsigned count);
/* The same for blocks of any class that other threads freed, HAK_RECEIVE_MAX of them at most.  Those that another heap
 * owns, or may own since a moment ago, are moved to the front of the array, and their number is returned. */
#define HAK_RECEIVE_MAX 256u
unsigned hak_heap_receive(struct hak_heap *heap, void **blocks, unsigned count);
/* Puts the blocks of all depots back into slabs and gives empty slabs back to their superslabs. */
void hak_heap_drain(struct hak_heap *heap);
/* The depot of one class, where the lock is held already. */
void hak_heap_drain_depot(struct hak_heap *heap, unsigned class);
/* The last thread has left the heap, whose lock is held. */
void hak_heap_abandon(struct hak_heap *heap);
/* Puts what has lain at the bottom of the depots since the last call back into slabs. */
void hak_heap_decay(struct hak_heap *heap);
/* For a slab of the heap, perhaps since destroyed: if no block of it was taken or put back since HAK_PURGE_PASSES
 * calls ago, gives it back if it is empty, and else the pages in it that are free, if half of it is; `now` does so in
 * any case.  Returns the bytes of such pages. */
size_t hak_heap_age_slab(struct hak_heap *heap, struct hak_slab *slab, bool now);
/* The bytes of free blocks in depots and slabs. */
size_t hak_heap_idle(struct hak_heap *heap);
/* Sets the threshold of the purge trigger `slack` bytes above what is free in the heap now; returns what is free. */
size_t hak_heap_rearm_purge(struct hak_heap *heap, size_t slack);
#pragma GCC visibility pop

#endif
