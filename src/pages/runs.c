/* SPDX-License-Identifier: MIT */
/*
 * runs.c - the bins, boundary tags and ages of runs.h.  Owns nothing: all state is in the struct hak_runs and in the
 * free units themselves, guarded by whoever owns the struct.  Calls window.h only.
 */
#include "pages/runs.h"

#include "os/fatal.h"

#define EXACT_BINS 64u   /* lengths below have a bin each */
#define BIN_LOOKS 16u    /* runs of a bin of several lengths that a search looks at */
#define ALIGNED_LOOKS 32u /* runs that a search for an alignment looks at before it takes one that fits for certain */
#define MIXED_LOOKS 8u   /* runs of each kind that a search across kinds tries to extend */
#define MIXED_STEPS 32u  /* neighbours by which it extends one */
#define MIXED_FROM HAK_SLAB_UNITS_MAX /* shorter runs are for slabs: clean units cost less than a search across kinds */

static unsigned run_bin(size_t units)
{
    if (units < EXACT_BINS)
        return (unsigned)units;
    unsigned log2 = 63u - (unsigned)__builtin_clzl(units);
    return HAK_MIN(EXACT_BINS + (log2 - 6) * 8 + (unsigned)(units >> (log2 - 3) & 7), HAK_RUN_BINS - 1);
}

/* The first bin from `bin` on that is not empty, or HAK_RUN_BINS. */
static unsigned runs_bin_from(const struct hak_runs *runs, enum hak_run_kind kind, unsigned bin)
{
    for (unsigned word = bin / 64; word < HAK_RUN_BINS / 64; word++) {
        uint64_t bits = runs->present[kind][word];
        if (word == bin / 64)
            bits &= UINT64_MAX << bin % 64;
        if (bits)
            return word * 64 + (unsigned)__builtin_ctzl(bits);
    }
    return HAK_RUN_BINS;
}

/* The last bin up to `bin` that is not empty, or HAK_RUN_BINS. */
static unsigned runs_bin_down(const struct hak_runs *runs, enum hak_run_kind kind, unsigned bin)
{
    for (unsigned word = bin / 64 + 1; word-- > 0;) {
        uint64_t bits = runs->present[kind][word];
        if (word == bin / 64)
            bits &= UINT64_MAX >> (63 - bin % 64);
        if (bits)
            return word * 64 + 63 - (unsigned)__builtin_clzl(bits);
    }
    return HAK_RUN_BINS;
}

static unsigned run_unit_in_super(const struct hak_slab *unit)
{
    return (unsigned)(unit - unit->super->slabs);
}

static bool run_unit_is_free(const struct hak_slab *unit)
{
    return unit && unit->super && unit->super->free >> run_unit_in_super(unit) & 1;
}

static enum hak_run_kind run_unit_kind(const struct hak_slab *unit)
{
    return unit->super->dirty >> run_unit_in_super(unit) & 1 ? HAK_RUN_DIRTY : HAK_RUN_CLEAN;
}

/* ---- lists ---- */

static struct hak_slab **run_age_list(struct hak_runs *runs, uint32_t oldest)
{
    return runs->epoch - oldest < HAK_AGE_DUE ? &runs->by_age[oldest % HAK_AGE_DUE] : &runs->due;
}

static void run_age_remove(struct hak_runs *runs, struct hak_slab *first)
{
    struct hak_run *run = &first->run;
    if (run->older_next)
        run->older_next->run.older_prev = run->older_prev;
    if (run->older_prev)
        run->older_prev->run.older_next = run->older_next;
    else
        *run_age_list(runs, run->oldest) = run->older_next;
}

static void run_age_insert(struct hak_runs *runs, struct hak_slab *first)
{
    struct hak_slab **list = run_age_list(runs, first->run.oldest);
    first->run.older_prev = NULL;
    first->run.older_next = *list;
    if (*list)
        (*list)->run.older_prev = first;
    *list = first;
}

static void run_remove(struct hak_runs *runs, struct hak_slab *first, enum hak_run_kind kind)
{
    struct hak_run *run = &first->run;
    unsigned bin = run_bin(run->length);
    if (run->next)
        run->next->run.prev = run->prev;
    if (run->prev)
        run->prev->run.next = run->next;
    else if (!(runs->bins[kind][bin] = run->next))
        runs->present[kind][bin / 64] &= ~((uint64_t)1 << bin % 64);
    if (kind == HAK_RUN_DIRTY)
        run_age_remove(runs, first);
}

/* Lists a run whose units have been marked; does not join it with its neighbours. */
static void run_insert(struct hak_runs *runs, struct hak_place place, size_t units, enum hak_run_kind kind,
                       uint32_t oldest)
{
    struct hak_slab *first = hak_unit_at(place.window, place.unit);
    struct hak_slab **head = &runs->bins[kind][run_bin(units)];
    hak_unit_at(place.window, place.unit + units - 1)->run.length = (uint32_t)units;
    first->run.length = (uint32_t)units;
    first->run.oldest = oldest;
    first->run.prev = NULL;
    first->run.next = *head;
    if (*head)
        (*head)->run.prev = first;
    *head = first;
    runs->present[kind][run_bin(units) / 64] |= (uint64_t)1 << run_bin(units) % 64;
    if (kind == HAK_RUN_DIRTY)
        run_age_insert(runs, first);
}

/* ---- free and take ---- */

static void runs_mark_free(const struct hak_runs *runs, struct hak_place place, size_t units, enum hak_run_kind kind,
                      bool used)
{
    size_t end = place.unit + units;
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        uint32_t mask = hak_units_mask(&place.unit, end);
        HAK_INVARIANT((super->free & mask) == 0);
        super->free |= mask;
        super->dirty = kind == HAK_RUN_DIRTY ? super->dirty | mask : super->dirty & ~mask;
        for (uint32_t left = used ? mask : 0; left; left &= left - 1)
            super->epoch[__builtin_ctz(left)] = runs->epoch;
    }
}

/* The one of two epochs that is longer ago; epochs wrap. */
static uint32_t runs_older(const struct hak_runs *runs, uint32_t a, uint32_t b)
{
    return runs->epoch - a > runs->epoch - b ? a : b;
}

void hak_runs_add(struct hak_runs *runs, struct hak_place place, size_t units, enum hak_run_kind kind, bool used)
{
    uint32_t oldest = runs->epoch;
    runs_mark_free(runs, place, units, kind, used);
    struct hak_slab *before = place.unit ? hak_unit_at(place.window, place.unit - 1) : NULL;
    if (run_unit_is_free(before) && run_unit_kind(before) == kind) {
        size_t length = before->run.length;
        struct hak_slab *first = hak_unit_at(place.window, place.unit - length);
        oldest = runs_older(runs, oldest, first->run.oldest);
        run_remove(runs, first, kind);
        place.unit -= length;
        units += length;
    }
    struct hak_slab *after = hak_unit_at(place.window, place.unit + units);
    if (run_unit_is_free(after) && run_unit_kind(after) == kind) {
        size_t length = after->run.length;
        oldest = runs_older(runs, oldest, after->run.oldest);
        run_remove(runs, after, kind);
        units += length;
    }
    run_insert(runs, place, units, kind, oldest);
}

void hak_runs_put_back(struct hak_runs *runs, struct hak_place place, size_t units)
{
    struct hak_place at = place;
    size_t end = place.unit + units;
    uint32_t oldest = runs->epoch;
    if (units == 0)
        return;
    while (at.unit < end) {
        struct hak_super *super = hak_super_at(at);
        uint32_t mask = hak_units_mask(&at.unit, end);
        super->free |= mask;
        for (; mask; mask &= mask - 1)
            oldest = runs_older(runs, oldest, super->epoch[__builtin_ctz(mask)]);
    }
    run_insert(runs, place, units, HAK_RUN_DIRTY, oldest);
}

void hak_runs_take(struct hak_runs *runs, struct hak_slab *run, struct hak_place place, size_t units)
{
    size_t begin = place.unit, end = place.unit + units, at = hak_unit_index(run);
    while (at < end) {
        enum hak_run_kind kind = run_unit_kind(run);
        size_t stop = at + run->run.length;
        uint32_t oldest = run->run.oldest;
        run_remove(runs, run, kind);
        if (at < begin)
            run_insert(runs, (struct hak_place){place.window, at}, begin - at, kind, oldest);
        if (stop > end)
            run_insert(runs, (struct hak_place){place.window, end}, stop - end, kind, oldest);
        at = stop;
        if (at < end)
            run = hak_unit_at(place.window, at);
    }
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        uint32_t mask = hak_units_mask(&place.unit, end);
        HAK_INVARIANT((super->free & mask) == mask);
        super->free &= ~mask;
    }
}

/* ---- search ---- */

/* The first index from `unit` on whose address is a multiple of `align` units. */
static size_t run_align_up(const struct hak_window *window, size_t unit, size_t align)
{
    size_t base = window->base >> HAK_UNIT_SHIFT;
    return hak_round_up(base + unit, align) - base;
}

/* The first index from `unit` on where the units may begin.  A slab lies in one chunk, so that the states of its units
 * lie in a row. */
static size_t run_fit_from(const struct hak_window *window, size_t unit, size_t units, size_t align)
{
    if (align == 1 && units <= HAK_SLAB_UNITS_MAX)
        return unit % HAK_CHUNK_UNITS + units <= HAK_CHUNK_UNITS ? unit : hak_round_up(unit, HAK_CHUNK_UNITS);
    return run_align_up(window, unit, align);
}

/* Whether the run holds the units at the alignment; *skip is where in the run. */
static bool run_fits(const struct hak_slab *run, size_t units, size_t align, size_t *skip)
{
    size_t at = hak_unit_index(run);
    *skip = run_fit_from(run->super->window, at, units, align) - at;
    return *skip + units <= run->run.length;
}

/* The shortest of a few runs of the bin that fit. */
static struct hak_slab *runs_bin_best(const struct hak_runs *runs, enum hak_run_kind kind, unsigned bin, size_t units,
                                 size_t align, unsigned looks)
{
    struct hak_slab *best = NULL;
    size_t skip;
    for (struct hak_slab *run = runs->bins[kind][bin]; run && looks--; run = run->run.next)
        if (run_fits(run, units, align, &skip) && (!best || run->run.length < best->run.length)) {
            best = run;
            if (bin < EXACT_BINS)
                break;
        }
    return best;
}

static struct hak_slab *runs_find_kind(const struct hak_runs *runs, enum hak_run_kind kind, size_t units, size_t align)
{
    unsigned certain = run_bin(units + align - 1) + 1, left = align > 1 ? ALIGNED_LOOKS : BIN_LOOKS;
    for (unsigned bin = runs_bin_from(runs, kind, run_bin(units)); bin < HAK_RUN_BINS;
         bin = runs_bin_from(runs, kind, HAK_MAX(bin + 1, left ? 0 : certain))) {
        unsigned looks = bin >= certain ? 1 : HAK_MIN(left, BIN_LOOKS);
        struct hak_slab *run = runs_bin_best(runs, kind, bin, units, align, looks);
        if (run)
            return run;
        left -= HAK_MIN(left, looks);
    }
    return NULL;
}

size_t hak_runs_free_at(struct hak_place place, size_t most)
{
    size_t found = 0;
    for (struct hak_slab *unit; found < most && run_unit_is_free(unit = hak_unit_at(place.window, place.unit + found));)
        found += unit->run.length;
    return found;
}

/* Around a run that is too short: the free runs of either kind on both sides. */
static bool run_extend(struct hak_slab *run, size_t units, size_t align, struct hak_place *place,
                       struct hak_slab **first)
{
    struct hak_window *window = run->super->window;
    size_t begin = hak_unit_index(run), end = begin + run->run.length;
    unsigned steps = MIXED_STEPS;
    for (struct hak_slab *unit; steps && run_unit_is_free(unit = hak_unit_at(window, end)); steps--)
        end += unit->run.length;
    *first = run;
    for (;;) {
        size_t at = run_fit_from(window, begin, units, align);
        if (at + units <= end) {
            /* As far up as the run that was there first, which is the warmer or the longer one. */
            *place = (struct hak_place){window, at};
            break;
        }
        struct hak_slab *before = begin ? hak_unit_at(window, begin - 1) : NULL;
        if (!steps-- || !run_unit_is_free(before))
            return false;
        begin -= before->run.length;
        *first = hak_unit_at(window, begin);
    }
    while (hak_unit_index(*first) + (*first)->run.length <= place->unit)
        *first = hak_unit_at(window, hak_unit_index(*first) + (*first)->run.length);
    return true;
}

static bool runs_find_mixed(const struct hak_runs *runs, enum hak_run_kind kind, size_t units, size_t align,
                       struct hak_place *place, struct hak_slab **run)
{
    unsigned looks = MIXED_LOOKS;
    for (unsigned bin = runs_bin_down(runs, kind, HAK_RUN_BINS - 1); bin < HAK_RUN_BINS && bin > 0;
         bin = runs_bin_down(runs, kind, bin - 1))
        for (struct hak_slab *at = runs->bins[kind][bin]; at; at = at->run.next) {
            if (!looks--)
                return false;
            if (run_extend(at, units, align, place, run))
                return true;
        }
    return false;
}

bool hak_runs_find_clean(const struct hak_runs *runs, size_t units, size_t align, struct hak_place *place,
                         struct hak_slab **run)
{
    size_t skip;
    *run = runs_find_kind(runs, HAK_RUN_CLEAN, units, align);
    if (!*run)
        return false;
    run_fits(*run, units, align, &skip);
    *place = (struct hak_place){(*run)->super->window, hak_unit_index(*run) + skip};
    return true;
}

bool hak_runs_find(const struct hak_runs *runs, size_t units, size_t align, struct hak_place *place,
                   struct hak_slab **run)
{
    size_t skip;
    *run = runs_find_kind(runs, HAK_RUN_DIRTY, units, align);
    if (*run) {
        run_fits(*run, units, align, &skip);
        *place = (struct hak_place){(*run)->super->window, hak_unit_index(*run) + skip};
        return true;
    }
    if (units > MIXED_FROM && runs_find_mixed(runs, HAK_RUN_DIRTY, units, align, place, run))
        return true;
    return hak_runs_find_clean(runs, units, align, place, run) ||
           (units > 1 && runs_find_mixed(runs, HAK_RUN_CLEAN, units, align, place, run));
}

/* ---- ages ---- */

/* Runs of the epoch that is HAK_AGE_DUE ago by now are due: their list goes in front of `due`. */
void hak_runs_pass(struct hak_runs *runs)
{
    struct hak_slab **list = &runs->by_age[++runs->epoch % HAK_AGE_DUE], *last = *list;
    if (!last)
        return;
    while (last->run.older_next)
        last = last->run.older_next;
    last->run.older_next = runs->due;
    if (runs->due)
        runs->due->run.older_prev = last;
    runs->due = *list;
    *list = NULL;
}

struct hak_slab *hak_runs_oldest(const struct hak_runs *runs, unsigned age)
{
    if (runs->due || age >= HAK_AGE_DUE)
        return runs->due;
    for (unsigned back = HAK_AGE_DUE - 1;; back--) {
        struct hak_slab *run = runs->by_age[(runs->epoch - back) % HAK_AGE_DUE];
        if (run || back == age)
            return run;
    }
}

/* ---- verification ---- */

static void run_verify(const struct hak_slab *first, enum hak_run_kind kind)
{
    size_t unit = hak_unit_index(first), end = unit + first->run.length;
    struct hak_window *window = first->super->window;
    HAK_REQUIRE(hak_unit_at(window, end - 1)->run.length == first->run.length);
    struct hak_slab *before = unit ? hak_unit_at(window, unit - 1) : NULL, *after = hak_unit_at(window, end);
    HAK_REQUIRE(!run_unit_is_free(before) || run_unit_kind(before) != kind);
    HAK_REQUIRE(!run_unit_is_free(after) || run_unit_kind(after) != kind);
    for (; unit < end; unit++) {
        struct hak_slab *slab = hak_unit_at(window, unit);
        HAK_REQUIRE(run_unit_is_free(slab) && run_unit_kind(slab) == kind);
        HAK_REQUIRE(hak_load(&window->map[unit]) == HAK_ENTRY_NONE);
    }
}

void hak_runs_verify(const struct hak_runs *runs, size_t *free, size_t *dirty)
{
    size_t units[HAK_RUN_KINDS] = {0}, aged = 0;
    for (unsigned kind = 0; kind < HAK_RUN_KINDS; kind++)
        for (unsigned bin = 0; bin < HAK_RUN_BINS; bin++) {
            HAK_REQUIRE((runs->present[kind][bin / 64] >> bin % 64 & 1) == (runs->bins[kind][bin] != NULL));
            for (const struct hak_slab *run = runs->bins[kind][bin]; run; run = run->run.next) {
                HAK_REQUIRE(run_bin(run->run.length) == bin);
                run_verify(run, (enum hak_run_kind)kind);
                units[kind] += run->run.length;
            }
        }
    for (unsigned i = 0; i <= HAK_AGE_DUE; i++)
        for (const struct hak_slab *run = i < HAK_AGE_DUE ? runs->by_age[i] : runs->due; run;
             run = run->run.older_next)
            aged += run->run.length;
    HAK_REQUIRE(aged == units[HAK_RUN_DIRTY]);
    *free = units[HAK_RUN_CLEAN] + units[HAK_RUN_DIRTY];
    *dirty = units[HAK_RUN_DIRTY];
}
