/* SPDX-License-Identifier: MIT */
/*
 * stock.c - the stocks of stock.h.  Owns hak_stocks, each guarded by its own lock (HAK_RANK_STOCK).  Calls superslab.h.
 */
#include "pages/stock.h"

#include <string.h>

#include "knobs/knobs.h"
#include "pages/superslab.h"

#define BUDGET_UNITS 64u /* 4 MiB: what a stock may hold in all */

#define STOCK_EMPTY {.lock = HAK_LOCK_INIT(HAK_RANK_STOCK)}

struct hak_stock hak_stocks[HAK_STOCKS] = {[0 ... HAK_STOCKS - 1] = STOCK_EMPTY};

static struct hak_stock *stock_of(unsigned heap)
{
    return &hak_stocks[heap % HAK_STOCKS];
}

/* Adds to the stock's figures, of which the holder of the lock is the only writer (R8 in src/ORDERING). */
HAK_INLINE void stock_count(struct hak_stock *stock, unsigned units, int change)
{
    hak_store(&stock->spans, hak_load(&stock->spans) + (uint32_t)change);
    hak_store(&stock->units, hak_load(&stock->units) + (uint32_t)change * units);
}

/* Takes the run of the length that has waited for the longest, which the caller has to free without the lock. */
static struct hak_slab *stock_drop(struct hak_stock *stock, unsigned units)
{
    struct hak_slab **runs = stock->runs[units], *oldest = runs[0];
    stock->count[units]--;
    stock->seen[units] -= stock->seen[units] > 0;
    memmove(runs, runs + 1, stock->count[units] * sizeof *runs);
    stock_count(stock, units, -1);
    hak_store(&oldest->state, HAK_LARGE_NONE);
    return oldest;
}

struct hak_slab *hak_stock_take(unsigned heap, size_t units, size_t align)
{
    struct hak_stock *stock = stock_of(heap);
    struct hak_slab *run = NULL;
    if (units > HAK_STOCK_UNITS_MAX || hak_load(&stock->spans) == 0)
        return NULL;
    hak_lock(&stock->lock);
    unsigned count = stock->count[units];
    if (HAK_LIKELY(count && ((uintptr_t)stock->runs[units][count - 1]->base & (align - 1)) == 0)) {
        run = stock->runs[units][count - 1];
        stock->count[units] = (uint8_t)--count;
        stock->seen[units] = (uint8_t)HAK_MIN(stock->seen[units], count);
        stock_count(stock, (unsigned)units, -1);
        hak_store(&run->state, HAK_LARGE_LIVE);
    }
    hak_unlock(&stock->lock);
    return run;
}

struct hak_slab *hak_stock_put(unsigned heap, struct hak_slab *run)
{
    struct hak_stock *stock = stock_of(heap);
    struct hak_slab *out = NULL;
    size_t units = run->length;
    if (units > HAK_STOCK_UNITS_MAX)
        return run;
    hak_lock(&stock->lock);
    size_t most = hak_super_keep() < HAK_KEEP_AT_EASE ? 0 : BUDGET_UNITS;
    if (stock->count[units] == HAK_STOCK_DEPTH || (stock->count[units] && hak_load(&stock->units) + units > most))
        out = stock_drop(stock, (unsigned)units);
    if (HAK_LIKELY(hak_load(&stock->units) + units <= most)) {
        stock->runs[units][stock->count[units]++] = run;
        stock_count(stock, (unsigned)units, 1);
        hak_store(&run->state, HAK_LARGE_STOCKED);
        hak_unlock(&stock->lock);
        return out;
    }
    hak_unlock(&stock->lock);
    if (out)
        hak_span_free_large(out);
    return run;
}

size_t hak_stock_decay(struct hak_stock *stock, bool all)
{
    struct hak_slab *out[HAK_STOCK_DEPTH];
    size_t freed = 0;
    if (hak_load(&stock->spans) == 0)
        return 0;
    for (unsigned units = 1; units <= HAK_STOCK_UNITS_MAX; units++) {
        unsigned count = 0;
        hak_lock(&stock->lock);
        for (unsigned left = all ? stock->count[units] : stock->seen[units]; left > 0; left--)
            out[count++] = stock_drop(stock, units);
        stock->seen[units] = stock->count[units];
        hak_unlock(&stock->lock);
        for (unsigned i = 0; i < count; i++, freed += units * HAK_UNIT)
            hak_span_free_large(out[i]);
    }
    return freed;
}

struct hak_stock_counts hak_stock_count(const struct hak_stock *stocks)
{
    struct hak_stock_counts counts = {0};
    for (unsigned i = 0; i < HAK_STOCKS; i++) {
        counts.spans += hak_load(&stocks[i].spans);
        counts.bytes += hak_load(&stocks[i].units) * HAK_UNIT;
    }
    return counts;
}
