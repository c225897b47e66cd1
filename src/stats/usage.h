/* SPDX-License-Identifier: MIT */
/*
 * usage.h - adds up what heaps and threads hold.
 *
 * Hot paths count nothing for the statistics.  The distance of a magazine's pointers is the number of its blocks, and
 * a block is live if it has left its slab and no magazine, depot or outbox has it.  Each heap is read by itself: while
 * threads run, a sum is of moments close to each other.
 *
 * All structures are read through a view: of this process under the heaps' locks (snapshot.c), or of another process as
 * copies (tools/stats/process.c).  Pointers in a copy are addresses of the other process, so functions here take a copy
 * and the address it was copied from.
 */
#ifndef HAK_USAGE_H
#define HAK_USAGE_H

#include "hakmem.h"
#include "pages/large.h"
#include "heap/registry.h"
#include "pages/stock.h"
#include "os/os.h"
#include "pages/superslab.h"

/* What is counted for the process as a whole, and not for each heap. */
struct hak_counts {
    struct hak_super_counts super;
    struct hak_huge_counts huge;
    struct hak_stock_counts stocks;
    size_t own_bytes;                      /* held for the allocator's own structures */
    size_t mapped, mapped_peak, want_huge; /* as in struct hak_os_counts */
    size_t resident;                       /* bytes of the process; 0 if they were not asked for */
    size_t calls[HAK_OS_KINDS];            /* system calls, by enum hak_os_kind */
};

/*
 * What a snapshot does about a lock that another thread holds, or this thread itself in a signal handler:
 *   HAK_LOCK_WAIT  waits for the lock
 *   HAK_LOCK_TRY   tries for a while, and gives up
 *   HAK_LOCK_SKIP  tries for a while, and reads without the lock; safe, as the structures of heaps and threads are
 *                  never unmapped, but a figure may be read in the middle of a change
 */
enum hak_patience { HAK_LOCK_WAIT, HAK_LOCK_TRY, HAK_LOCK_SKIP };

struct hak_view {
    uint32_t heaps;             /* how many there are; they are numbered from 1 */
    unsigned process;           /* the process ID */
    enum hak_patience patience; /* used in this process only: copies have no locks */
    bool locked;                /* `close` has to unlock the open heap */
    struct hak_counts counts;
    /* Room for the figures of `room_heaps` heaps, or NULL.  With room for all heaps, all are read in one pass. */
    struct hakmem_stats_heap *room;
    uint32_t room_heaps;
    /* Returns the heap, which may be read until `close`; NULL if its lock could not be had. */
    const struct hak_heap *(*open)(struct hak_view *view, uint32_t number);
    void (*close)(struct hak_view *view, const struct hak_heap *heap);
    /* Returns the thread of the open heap to which the pointer `at` in the view's structures points, or NULL. */
    const struct hak_tcache *(*thread)(struct hak_view *view, const struct hak_tcache *at);
    /* Returns the page map entry of an address. */
    uint32_t (*entry)(struct hak_view *view, const void *block);
};

/* Numbers of one class.  `out` blocks have left the slabs; those of them that no magazine, depot or outbox has are
 * live. */
struct hak_class_usage {
    size_t slabs, out, magazine, depot, outbox;
};

/* Sums of one heap or of all. */
struct hak_usage {
    struct hak_class_usage classes[HAK_CLASS_COUNT];
    size_t threads, remote_frees, purged;
};

#pragma GCC visibility push(hidden)
/* Adds up the heap with this number, or all heaps if the number is 0.  False if a heap's lock could not be had. */
bool hak_usage_collect(struct hak_view *view, uint32_t number, struct hak_usage *usage);

/* Stores the figures of `count` heaps, those with the numbers from `first` on, in one pass over all heaps and threads.
 * False if a heap's lock could not be had. */
bool hak_usage_heaps(struct hak_view *view, uint32_t first, uint32_t count, struct hakmem_stats_heap *heaps);

/* Turn sums into the structures of hakmem.h, by the rows of stats.def.  hak_usage_total() wants the sums of all heaps,
 * and adds what the view has counted for the process as a whole. */
void hak_usage_total(const struct hak_view *view, const struct hak_usage *usage, struct hakmem_stats *stats);
void hak_usage_class(const struct hak_usage *usage, unsigned class, struct hakmem_stats_class *stats);
void hak_usage_heap(const struct hak_usage *usage, struct hakmem_stats_heap *stats);

/* Writes a snapshot as text, in pieces.  False, and nothing is written, if a heap's lock could not be had. */
bool hak_usage_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg);
#pragma GCC visibility pop

#endif
