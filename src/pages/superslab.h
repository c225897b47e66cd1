/* SPDX-License-Identifier: MIT */
/*
 * superslab.h - the page heap: runs of units of any length for slabs and large blocks, shared by all heaps and classes.
 *
 * Runs cross the borders of superslabs.  What is freed joins its neighbours (runs.h) and goes back to the kernel when
 * nobody has needed it for HAK_PURGE_PASSES passes.  No system call that maps, unmaps or purges is made under the lock.
 */
#ifndef HAK_SUPERSLAB_H
#define HAK_SUPERSLAB_H

#include "os/lock.h"
#include "pages/runs.h"

struct hak_super_counts {
    size_t mapped;     /* bytes of superslabs held from the kernel */
    size_t large_spans, large_bytes; /* large blocks, those that are stocked included, and their bytes */
    size_t free;       /* bytes in free units */
    size_t free_dirty; /* bytes of these that hold memory */
    size_t purged;     /* bytes given back so far */
    size_t missed;     /* bytes of these that were used again soon after, so far */
};

#pragma GCC visibility push(hidden)
/* Sets what may be kept, and how long a run may be, by what the process may map. */
void hak_super_start(void);
#define HAK_RUN_MAX ((size_t)64 << 20)
extern size_t hak_super_run_max; /* bytes of the longest run that a block may have; not changed after the start */
extern struct hak_lock hak_super_lock;
/* Free memory that may be kept in dirty units, in bytes. */
size_t hak_super_keep(void);
/* Who lets less be kept than this wants nothing to wait for a pass. */
#define HAK_KEEP_AT_EASE ((size_t)64 << 20)

/* Bytes that are free and hold memory, but for what stocks hold. */
HAK_INLINE size_t hak_super_idle(const struct hak_super_counts *counts)
{
    return counts->free_dirty;
}

/* A run of up to HAK_SLAB_UNITS_MAX units for a slab whose first unit has this page map entry.  *untouched: the run
 * lies in a huge page that was not faulted in yet, and the caller is to call hak_thp_touch().  NULL when memory is
 * out. */
struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched);
void hak_span_free(struct hak_slab *span);

/* A run of units for a large block, live, whose first unit has HAK_ENTRY_LARGE; `align` is in units, a power of two.
 * *zero tells whether its memory is known to read as zero.  NULL when memory is out. */
struct hak_slab *hak_span_alloc_large(size_t units, size_t align, bool *zero);
/* The caller has made it HAK_LARGE_NONE. */
void hak_span_free_large(struct hak_slab *span);
/* Resizes a live large block where it is.  False if what follows it is in use. */
bool hak_span_resize_large(struct hak_slab *span, size_t units);
/* The large block around an address that does not begin one, or NULL; for messages, as it searches. */
struct hak_slab *hak_span_around(const void *p);

/* Gives the memory of free units back to the kernel, the oldest first, but for `keep` bytes, and where addresses are
 * scarce those of superslabs that are wholly free; returns the bytes.  Under HAK_RANK_PURGE. */
size_t hak_super_purge(size_t keep);
/* Gives up superslabs that are free and clean, with their addresses, until `keep` bytes are free; returns the bytes.
 * Others of the process may have the addresses then.  Under HAK_RANK_PURGE. */
size_t hak_super_unmap(size_t keep);
/* Gives back up to `bytes` of what has been free since the last pass or longer.  Under HAK_RANK_PURGE. */
void hak_super_shed(size_t bytes);
/* One pass: gives back what has been free for HAK_PURGE_PASSES passes; returns the bytes.  Under HAK_RANK_PURGE. */
size_t hak_super_decay(void);
/* A part of the superslab was given back: the kernel is not to fill the gap again by making a huge page of it. */
void hak_super_break_up(struct hak_super *super);

struct hak_super_counts hak_super_count(void);
/* Where the counts are, for the statistics: under hak_super_lock. */
const struct hak_super_counts *hak_super_counts_at(void);
/* Checks the free runs and counts against the superslabs' masks: under hak_super_lock. */
void hak_super_verify(void);
#pragma GCC visibility pop

#endif
