/* SPDX-License-Identifier: MIT */
/*
 * superslab.h - runs of units in superslabs, shared by all heaps and classes.  Layer 3, above window.h.
 */
#ifndef HAK_SUPERSLAB_H
#define HAK_SUPERSLAB_H

#include "os/lock.h"
#include "pages/window.h"

struct hak_super_counts {
    size_t mapped;     /* bytes of superslabs held from the kernel */
    size_t large_spans, large_bytes; /* large blocks' spans, those that are kept included, and their bytes */
    size_t kept_spans, kept_bytes;   /* those that are kept */
    size_t free;       /* bytes in free units */
    size_t free_dirty; /* bytes of these that hold memory */
    size_t purged;     /* bytes given back so far */
    size_t missed;     /* bytes of these that were used again soon after, so far */
};

#pragma GCC visibility push(hidden)
/* Sets what may be kept by what the process may map. */
void hak_super_start(void);
extern struct hak_lock hak_super_lock;
/* Free memory that may be kept in dirty units, in bytes. */
size_t hak_super_keep(void);
/* Set where memory is freed when more of it is free than purge.c allowed for when it last looked: bytes in free dirty
 * units beyond hak_super_settled, say. */
#define HAK_PURGE_SLACK ((size_t)1 << 20) /* what is allowed for beyond what is free */
extern _Atomic uint32_t hak_purge_due;
extern _Atomic size_t hak_super_settled;
/* Set while purge.c has a thread that gives back: what is freed need not be given back where it is. */
extern _Atomic uint32_t hak_purge_in_background;

/* Bytes that are free and hold memory, spans that are kept included. */
HAK_INLINE size_t hak_super_idle(const struct hak_super_counts *counts)
{
    return counts->free_dirty + counts->kept_bytes;
}

/* A run of units for a slab whose first unit has this page map entry.  *untouched tells whether it is in a huge page
 * that has not come yet: thp.h wants to know how long that takes.  NULL when memory is out. */
struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched);
void hak_span_free(struct hak_slab *span);

/* The same for a large block's span, whose entries are HAK_ENTRY_LARGE and HAK_ENTRY_INSIDE, the first aligned to
 * `align` units (a power of two).  *zero tells whether its memory is known to read as zero.  The last of each length
 * that was freed is kept as it is, its entries all HAK_ENTRY_INSIDE, for the next block of that length: it is had by
 * hak_span_reuse() with its alignment in bytes, or that returns NULL. */
struct hak_slab *hak_span_alloc_large(unsigned units, unsigned align, bool *zero);
struct hak_slab *hak_span_reuse(unsigned units, size_t align);
/* The entry is that of the span's first unit.  False, with nothing done, if it is free already. */
bool hak_span_free_large(struct hak_slab *span, _Atomic uint32_t *entry);
/* Resizes it where it is.  False if what follows it is in use. */
bool hak_span_resize_large(struct hak_slab *span, unsigned units);
/* Gives the memory of free units back to the kernel, but for `keep` bytes, and the addresses of superslabs that are
 * free as a whole; returns the bytes given back. */
size_t hak_super_purge(size_t keep);
/* Gives the memory of free units back, `bytes` of it or a little more, but for what would break up a huge page. */
void hak_super_shed(size_t bytes);
/* Gives back what has been free since HAK_PURGE_PASSES calls ago, but for a few units of what is a huge page; returns
 * the bytes.  Under HAK_RANK_PURGE. */
size_t hak_super_decay(void);
/* A part of it has been given back by somebody else: it is to have no huge pages. */
void hak_super_break_up(struct hak_super *super);
struct hak_super_counts hak_super_count(void);
/* Where the counts are, for the statistics: under hak_super_lock. */
const struct hak_super_counts *hak_super_counts_at(void);
#pragma GCC visibility pop

#endif
