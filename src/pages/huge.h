/* SPDX-License-Identifier: MIT */
/*
 * huge.h - blocks that are mappings of their own: above hak_super_run_max, or aligned to more than HAK_LARGE_ALIGN_MAX.
 *
 * Freed mappings are cached for a while, within a bound (the knobs huge_cache and keep_free), so that a program that
 * frees and allocates them in turn makes no system calls.  By default the bound is HAK_RUN_MAX or less: only blocks are
 * cached that are huge because addresses are scarce, or because of their alignment.
 */
#ifndef HAK_HUGE_H
#define HAK_HUGE_H

#include "base/base.h"
#include "os/lock.h"

/* Guarded by hak_huge_lock; read without it as figures (R9 in src/ORDERING). */
struct hak_huge_counts {
    size_t blocks; /* huge blocks, the one that was freed last included if it is cached */
    size_t bytes;  /* and the bytes mapped for them */
    size_t last_freed; /* bytes of the one that was freed last, 0 if it is not cached */
    size_t cached; /* bytes of other freed mappings that are cached */
    size_t purged; /* bytes of freed mappings that were unmapped so far */
    size_t stuck;  /* bytes of freed mappings that the kernel would not unmap */
};

/* Bytes of freed mappings that are cached, the one that was freed last included. */
HAK_INLINE size_t hak_huge_idle(const struct hak_huge_counts *counts)
{
    return counts->cached + counts->last_freed;
}

#pragma GCC visibility push(hidden)
extern struct hak_lock hak_huge_lock;

/* *zero tells whether the block is known to read as zero.  NULL when memory is out. */
void *hak_huge_alloc(size_t size, size_t align, bool *zero) HAK_EXCLUDES(hak_huge_lock);

/* For an address without a page map entry: a huge block, or an address that is not the allocator's and is noted as
 * misuse. */
void hak_huge_free(const char *call, void *p) HAK_EXCLUDES(hak_huge_lock);
size_t hak_huge_usable(const char *call, const void *p) HAK_EXCLUDES(hak_huge_lock); /* 0 if misuse was noted */
bool hak_huge_is_block(const void *p) HAK_EXCLUDES(hak_huge_lock);
/* Resizes a huge block without copying; it may move.  NULL if it must be copied, or memory is out. */
void *hak_huge_resize(const char *call, void *p, size_t size) HAK_EXCLUDES(hak_huge_lock);

/* Makes a huge block read as zero by giving its pages back, so that only pages that the program touches again are
 * resident.  False if the kernel kept them. */
bool hak_huge_clear(void *p, size_t size);
/* Unmaps cached mappings, the oldest first, until at most `keep` bytes are cached; returns the bytes given back. */
size_t hak_huge_purge(size_t keep) HAK_EXCLUDES(hak_huge_lock);
/* Unmaps cached mappings, the oldest first, as long as they are no more than `bytes` together; returns the bytes. */
size_t hak_huge_shed(size_t bytes) HAK_EXCLUDES(hak_huge_lock);
/* Unmaps what was freed before the last HAK_PURGE_PASSES calls; returns the bytes. */
size_t hak_huge_decay(void) HAK_EXCLUDES(hak_huge_lock);
struct hak_huge_counts hak_huge_count(void) HAK_EXCLUDES(hak_huge_lock);
/* The counts themselves, for the statistics. */
const struct hak_huge_counts *hak_huge_counts_at(void);
/* The live huge blocks that follow the address, up to `room`, in the order of their addresses. */
struct hak_huge_block {
    void *at;
    size_t size;
};
unsigned hak_huge_after(const void *address, struct hak_huge_block *blocks, unsigned room) HAK_EXCLUDES(hak_huge_lock);
#pragma GCC visibility pop

#endif
