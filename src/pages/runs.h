/* SPDX-License-Identifier: MIT */
/*
 * runs.h - free runs of units: joined with their neighbours when they are freed, found by length, and ordered by age.
 *
 * A run is a maximal row of free units of one kind: all dirty (they hold memory) or all clean (they read as zero).
 *
 *   1. A run of n units is on the list of bin(n): one bin a length below 64, and eight bins for each doubling above.
 *   2. The first and the last unit of a run know its length (boundary tags: Knuth, The Art of Computer Programming
 *      2.5), so that a freed run joins both neighbours in constant time.
 *   3. A search looks in the bin of the wanted length at a few runs, and then takes the head of the next bin that is
 *      not empty; the runs freed last are at the head.
 *   4. A dirty run is on the list of the epoch in which its oldest unit was freed.  What is due to go back to the
 *      kernel is found without a look at anything else.
 *
 * All functions work on one struct hak_runs, under the lock that guards it, and make no system call.
 */
#ifndef HAK_RUNS_H
#define HAK_RUNS_H

#include "pages/window.h"

#define HAK_RUN_BINS 256u
/* A unit is due so many passes after it was freed. */
#define HAK_AGE_DUE (HAK_PURGE_PASSES + 1)

enum hak_run_kind { HAK_RUN_CLEAN, HAK_RUN_DIRTY, HAK_RUN_KINDS };

struct hak_runs {
    struct hak_slab *bins[HAK_RUN_KINDS][HAK_RUN_BINS]; /* first units */
    uint64_t present[HAK_RUN_KINDS][HAK_RUN_BINS / 64]; /* bit n: bin n is not empty */
    /* Dirty runs by the age of their oldest unit: by_age[epoch % HAK_AGE_DUE], and what is older in `due`. */
    struct hak_slab *by_age[HAK_AGE_DUE];
    struct hak_slab *due;
    uint32_t epoch; /* passes so far, from HAK_EPOCH_FIRST on */
};

#define HAK_EPOCH_FIRST 8u /* so far from 0, which stands for "never", that no unit counts as given back lately */

/* A place in a window. */
struct hak_place {
    struct hak_window *window;
    size_t unit; /* index in the window */
};

#pragma GCC visibility push(hidden)
/* Makes units free that are not, and joins them with free neighbours of their kind.  Dirty units count as freed in this
 * epoch, and clean ones as given back in it, unless they were never used. */
void hak_runs_add(struct hak_runs *runs, struct hak_place place, size_t units, enum hak_run_kind kind, bool used);
/* Takes units, all of which are free, out of their runs; `run` is the first unit of the run that holds the first. */
void hak_runs_take(struct hak_runs *runs, struct hak_slab *run, struct hak_place place, size_t units);
/* Finds so many free units at a multiple of `align` units, dirty ones before clean ones.  *run is the first unit of the
 * run in which they begin.  False if a bounded search finds none. */
bool hak_runs_find(const struct hak_runs *runs, size_t units, size_t align, struct hak_place *place,
                   struct hak_slab **run);
/* Finds clean units only, all of one run; otherwise as hak_runs_find(). */
bool hak_runs_find_clean(const struct hak_runs *runs, size_t units, size_t align, struct hak_place *place,
                         struct hak_slab **run);
/* Makes dirty units free again that were taken, with the age they had.  They adjoin no dirty run; `units` may be 0. */
void hak_runs_put_back(struct hak_runs *runs, struct hak_place place, size_t units);
/* The number of free units in a row from the place on; the count may stop at any number from `most` on. */
size_t hak_runs_free_at(struct hak_place place, size_t most);
/* The next epoch begins. */
void hak_runs_pass(struct hak_runs *runs);
/* Checks all runs against the superslabs' masks, and adds up the free units and the dirty ones of these. */
void hak_runs_verify(const struct hak_runs *runs, size_t *free, size_t *dirty);
/* The dirty run whose oldest unit was freed first, of those that were freed `age` epochs ago or before; or NULL. */
struct hak_slab *hak_runs_oldest(const struct hak_runs *runs, unsigned age);
#pragma GCC visibility pop

HAK_INLINE struct hak_super *hak_super_at(struct hak_place place)
{
    return hak_unit_at(place.window, place.unit)->super;
}

/* The units of one superslab in a range of units, as a mask; moves *unit behind them. */
HAK_INLINE uint32_t hak_units_mask(size_t *unit, size_t end)
{
    unsigned from = *unit % HAK_SUPER_UNITS;
    size_t count = HAK_MIN(HAK_SUPER_UNITS - from, end - *unit);
    *unit += count;
    return (uint32_t)((((uint64_t)1 << count) - 1) << from);
}

#endif
