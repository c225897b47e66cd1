/* SPDX-License-Identifier: MIT */
/*
 * superslab.h - the page heap: runs of units of any length for slabs and large blocks, shared by all heaps and classes.
 *
 * Runs cross the borders of superslabs.  A freed run joins its neighbours (runs.h), and its memory goes back to the
 * kernel when nobody has needed it for HAK_PURGE_PASSES passes.  No system call that maps, unmaps or purges is made
 * under hak_super_lock, which window.h declares.
 *
 * Units on their way back to the kernel are neither free nor in use.  The holder of hak_purge_lock (purge.h) sees none
 * such: whoever gives memory back holds it, which a debug build checks by the lock's rank.
 */
#ifndef HAK_SUPERSLAB_H
#define HAK_SUPERSLAB_H

#include "os/lock.h"
#include "pages/runs.h"

/* Guarded by hak_super_lock; read without it as figures (R9 in src/ORDERING). */
struct hak_super_counts {
    size_t mapped;     /* bytes of superslabs held from the kernel */
    size_t large_spans, large_bytes; /* large blocks, stocked ones included, and their bytes */
    size_t free;       /* bytes in free units */
    size_t free_dirty; /* bytes of these that hold memory */
    size_t purged;     /* bytes given back so far */
    size_t refaulted;  /* bytes of these that were faulted in again soon after, so far */
};

#pragma GCC visibility push(hidden)
/* Sets what may be kept, and how long a run may be, by what the process may map. */
void hak_super_start(void);
#define HAK_RUN_MAX ((size_t)64 << 20)
extern size_t hak_super_run_max; /* bytes of the longest run that a block may have; not changed after the start */
/* The knob keep_free, in bytes, or less where addresses are scarce: free memory that may stay in dirty units. */
size_t hak_super_keep(void);
/* With less than this for hak_super_keep(), free memory beyond it does not wait for a pass. */
#define HAK_KEEP_AT_EASE ((size_t)64 << 20)

/* Bytes that are free and hold memory, without those in stocks. */
HAK_INLINE size_t hak_super_idle(const struct hak_super_counts *counts)
{
    return counts->free_dirty;
}

/* A run of up to HAK_SLAB_UNITS_MAX units for a slab whose first unit has this page map entry.  *untouched: the run
 * lies in a huge page that was not faulted in yet, and the caller is to call hak_thp_touch().  NULL when memory is
 * out. */
struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched) HAK_EXCLUDES(hak_super_lock);
void hak_span_free(struct hak_slab *span) HAK_EXCLUDES(hak_super_lock);

/* A run of units for a large block, live, whose first unit has HAK_ENTRY_LARGE; `align` is in units, a power of two.
 * *zero tells whether its memory is known to read as zero.  NULL when memory is out. */
struct hak_slab *hak_span_alloc_large(size_t units, size_t align, bool *zero) HAK_EXCLUDES(hak_super_lock);
/* Frees a large block whose state the caller has set to HAK_LARGE_NONE. */
void hak_span_free_large(struct hak_slab *span) HAK_EXCLUDES(hak_super_lock);
/* Resizes a live large block in place.  False if what follows it is in use. */
bool hak_span_resize_large(struct hak_slab *span, size_t units) HAK_EXCLUDES(hak_super_lock);
/* The live large block that holds the address, or NULL.  Searches the page map: for messages only. */
struct hak_slab *hak_span_around(const void *p) HAK_EXCLUDES(hak_super_lock);

/* The caller of these four holds hak_purge_lock. */
/* Gives the memory of free units back to the kernel, the oldest first, until `keep` bytes of it are left; where
 * addresses are scarce, hak_super_unmap(keep) as well.  Returns the bytes. */
size_t hak_super_purge(size_t keep) HAK_EXCLUDES(hak_super_lock);
/* Gives up superslabs that are free and clean, with their addresses, until `keep` bytes are free; returns the bytes.
 * Other mappings of the process may get these addresses. */
size_t hak_super_unmap(size_t keep) HAK_EXCLUDES(hak_super_lock);
/* Gives back up to `bytes` of what has been free since the last pass or longer. */
void hak_super_shed(size_t bytes) HAK_EXCLUDES(hak_super_lock);
/* One pass: gives back what has been free for HAK_PURGE_PASSES passes; returns the bytes. */
size_t hak_super_decay(void) HAK_EXCLUDES(hak_super_lock);

/* Tells the kernel to make no huge page of a superslab again, a part of which was given back. */
void hak_super_break_up(struct hak_super *super) HAK_EXCLUDES(hak_super_lock);

struct hak_super_counts hak_super_count(void) HAK_EXCLUDES(hak_super_lock);
/* The counts themselves, for the statistics. */
const struct hak_super_counts *hak_super_counts_at(void);
/* Checks the free runs and the counts against the superslabs' masks. */
void hak_super_verify(void) HAK_REQUIRES(hak_super_lock);
#pragma GCC visibility pop

#endif
