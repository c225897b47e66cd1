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

#define HAK_STOCKS 64u           /* more heaps than this share them */
#define HAK_STOCK_UNITS_MAX 16u  /* units of the longest run */
#define HAK_STOCK_DEPTH 4u       /* runs of one length */

/*
 * runs[n][0 .. count[n] - 1] are runs of n units, the one freed last on top; each is HAK_LARGE_STOCKED.
 *   spans = the sum of all counts, units = the sum of n * count[n]
 *   seen[n] <= count[n]: runs, from the bottom, that were in the stock at the last pass
 * All under `lock` (HAK_RANK_STOCK); spans and units are read without it as
 * well (R8 in src/ORDERING).
 */
struct hak_stock {
    struct hak_lock lock;
    _Atomic uint32_t spans, units;
    uint8_t count[HAK_STOCK_UNITS_MAX + 1] HAK_GUARDED(lock);
    uint8_t seen[HAK_STOCK_UNITS_MAX + 1] HAK_GUARDED(lock);
    struct hak_slab *runs[HAK_STOCK_UNITS_MAX + 1][HAK_STOCK_DEPTH] HAK_GUARDED(lock);
} HAK_ALIGNED(HAK_LINE);

struct hak_stock_counts {
    size_t spans, bytes;
};

#pragma GCC visibility push(hidden)
extern struct hak_stock hak_stocks[HAK_STOCKS];
/* A run of the length at an address that is a multiple of `align` bytes, live again; NULL if there is none. */
struct hak_slab *hak_stock_take(unsigned heap, size_t units, size_t align);
/* Stocks a run whose block was freed.  Returns the run that the caller has to free: NULL, the oldest of the length,
 * which had to make way, or the given one, which the stock has no room for. */
struct hak_slab *hak_stock_put(unsigned heap, struct hak_slab *run);
/* Frees the runs that were in the stock at the last call already, or all of them; returns the bytes. */
size_t hak_stock_decay(struct hak_stock *stock, bool all);
/* What all stocks hold; `stocks` may be a copy. */
struct hak_stock_counts hak_stock_count(const struct hak_stock *stocks);
#pragma GCC visibility pop

#endif
