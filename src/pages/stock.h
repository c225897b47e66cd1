/* SPDX-License-Identifier: MIT */
/*
 * stock.h - freed large blocks that wait for the next block of their length, a stock for each heap.
 *
 * A stock serves the threads of a heap without the lock of the page heap.  It holds short runs only, few of each
 * length, and none for longer than two passes.  Its blocks keep their page map entry, so that reuse writes no shared
 * line.
 */
#ifndef HAK_STOCK_H
#define HAK_STOCK_H

#include "os/lock.h"
#include "pages/window.h"

#define HAK_STOCKS 64u           /* heaps beyond share them */
#define HAK_STOCK_UNITS_MAX 16u  /* longest run */
#define HAK_STOCK_DEPTH 4u       /* runs of one length */

/*
 * runs[n][0 .. count[n] - 1] are runs of n units, the one freed last on top; each is HAK_LARGE_STOCKED.
 *   spans = the sum of all counts, units = the sum of n * count[n]
 *   seen[n] = how many of them, from the bottom, were there at the last pass
 * Guarded by `lock` (HAK_RANK_STOCK); spans and units are read without it as figures.
 */
struct hak_stock {
    struct hak_lock lock;
    _Atomic uint32_t spans, units;
    uint8_t count[HAK_STOCK_UNITS_MAX + 1], seen[HAK_STOCK_UNITS_MAX + 1];
    struct hak_slab *runs[HAK_STOCK_UNITS_MAX + 1][HAK_STOCK_DEPTH];
} HAK_ALIGNED(HAK_LINE);

struct hak_stock_counts {
    size_t spans, bytes;
};

#pragma GCC visibility push(hidden)
extern struct hak_stock hak_stocks[HAK_STOCKS];
/* A run of the length at an address that is a multiple of `align` bytes, live again; NULL if there is none. */
struct hak_slab *hak_stock_take(unsigned heap, size_t units, size_t align);
/* Keeps a run whose block was freed, in place of the oldest of its length if there are enough.  Returns the run that
 * the caller has to free: none, that one, or the given one. */
struct hak_slab *hak_stock_put(unsigned heap, struct hak_slab *run);
/* Frees what was there at the last call already, or all of it; returns the bytes. */
size_t hak_stock_decay(struct hak_stock *stock, bool all);
/* What all stocks hold; `stocks` may be a copy. */
struct hak_stock_counts hak_stock_count(const struct hak_stock *stocks);
#pragma GCC visibility pop

#endif
