/* SPDX-License-Identifier: MIT */
/*
 * superslab.c - the page heap of superslab.h.  Owns the free runs, the superslabs that were given up and the counts,
 * guarded by hak_super_lock (HAK_RANK_SUPER).  Calls runs.h, window.h, thp.h, limit.h and os.h.
 */
#include "pages/superslab.h"

#include <string.h>

#include "knobs/knobs.h"
#include "os/fatal.h"
#include "os/os.h"
#include "pages/limit.h"
#include "pages/thp.h"
#include "pages/trigger.h"

#define REMAP_TRIES 8u
/* A huge page is broken up for no fewer units than this. */
#define HUGE_BROKEN_FROM 4u
/* Superslabs that may do without huge pages by themselves: each is a mapping of its own, of which the kernel allows
 * 65530 by default.  Beyond, all of a chunk do without, which are one. */
#define BROKEN_MAX 4096u
/* Where addresses are scarce a longer run than this part of them could not be had beside a few others. */
#define RUN_SHARE 32u

HAK_LOCK_ALONE struct hak_lock hak_super_lock = HAK_LOCK_INIT(HAK_RANK_SUPER);
size_t hak_super_run_max = HAK_RUN_MAX;
static size_t keep_most = SIZE_MAX; /* what keep_free may be, by what the process may map */
/* Addresses are limited (ulimit -v): others of the process, threads' stacks say, need those that are kept for
 * nothing. */
static bool addresses_are_scarce;

static struct hak_runs runs = {.epoch = HAK_EPOCH_FIRST};
/* Given up, addresses and all: skew heaps, linked through `next` and `right`.  The lowest comes back first, so that
 * neighbours join.  Where something else is by now, they wait until the others are through. */
static struct hak_super *unmapped, *occupied;
static size_t broken;              /* superslabs that were told to do without huge pages by themselves */
static struct hak_super_counts counts;

void hak_super_start(void)
{
    size_t limit = hak_os_address_limit();
    addresses_are_scarce = limit != SIZE_MAX;
    if (addresses_are_scarce) {
        keep_most = limit / 16;
        hak_super_run_max = HAK_MIN(HAK_MAX(limit / RUN_SHARE, HAK_SUPER), HAK_RUN_MAX);
    }
}

size_t hak_super_keep(void)
{
    return HAK_MIN(hak_knob_value(keep_free), keep_most);
}

/* Where processors need not have an instruction for it, compilers call a function. */
static unsigned bits_set(uint32_t mask)
{
    mask -= mask >> 1 & 0x55555555;
    mask = (mask & 0x33333333) + (mask >> 2 & 0x33333333);
    mask = (mask + (mask >> 4)) & 0x0f0f0f0f;
    return mask * 0x01010101 >> 24;
}

static struct hak_place place_of(const struct hak_slab *unit)
{
    return (struct hak_place){unit->super->window, hak_unit_index(unit)};
}

/* ---- huge pages ---- */

/* Before it is told: whoever uses a part of it meanwhile is charged for all. */
static void super_request_thp(struct hak_super *super)
{
    super->huge = true;
    super->thp_deferred = false;
    broken -= broken > 0;
}

/* A superslab that asks for huge pages becomes resident as a whole with the first touch. */
static bool super_comes_whole(const struct hak_super *super)
{
    return super->huge && super->dirty == 0;
}

static void super_break(struct hak_super *super)
{
    super->huge = false;
    broken++;
}

void hak_super_break_up(struct hak_super *super)
{
    hak_lock(&hak_super_lock);
    bool was_huge = super->huge, chunk_wise = was_huge && broken >= BROKEN_MAX;
    hak_unlock(&hak_super_lock);
    if (!was_huge)
        return;
    size_t index = (size_t)(super->base - (char *)super->window->base) >> HAK_SUPER_SHIFT;
    struct hak_super *first = chunk_wise ? super - index % HAK_CHUNK_SUPERS : super;
    size_t count = chunk_wise ? HAK_CHUNK_SUPERS : 1;
    char *base = super->base - (size_t)(super - first) * HAK_SUPER;
    hak_os_want_huge(base, count * HAK_SUPER, false);
    hak_lock(&hak_super_lock);
    for (size_t i = 0; i < count; i++)
        if (first[i].mapped)
            first[i].huge = false;
    broken += !chunk_wise;
    hak_unlock(&hak_super_lock);
}

/* ---- units in use ---- */

/* Bytes that become resident when the units, which are free, are used. */
static size_t fresh_bytes(struct hak_place place, size_t units)
{
    size_t end = place.unit + units, bytes = 0;
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        uint32_t mask = hak_units_mask(&place.unit, end);
        bytes += bits_set(super_comes_whole(super) ? UINT32_MAX : mask & ~super->dirty) * HAK_UNIT;
    }
    return bytes;
}

/* Bytes of the clean units that were given back lately. */
static size_t missed_bytes(const struct hak_super *super, uint32_t mask)
{
    size_t bytes = 0;
    for (mask &= ~super->dirty; mask; mask &= mask - 1) {
        uint32_t epoch = super->epoch[__builtin_ctz(mask)];
        bytes += epoch && runs.epoch - epoch <= HAK_PURGE_PASSES ? HAK_UNIT : 0;
    }
    return bytes;
}

/* Free clean units of a superslab that comes as a whole with its neighbours, which are used just now; `run` is the
 * first unit of the run that holds them. */
static void come_along(struct hak_slab *run, struct hak_window *window, size_t begin, size_t end)
{
    struct hak_place place = {window, begin};
    if (begin == end)
        return;
    hak_runs_take(&runs, run, place, end - begin);
    hak_runs_add(&runs, place, end - begin, HAK_RUN_DIRTY, true);
    counts.free_dirty += (end - begin) * HAK_UNIT;
}

/* What alloc_units() tells of the memory of a run. */
struct memory {
    bool zero;      /* it reads as zero */
    bool untouched; /* it begins in a huge page that was not faulted in yet */
};

/* Takes units that are free; `run` is the first unit of the run that holds the first of them. */
static void use_units(struct hak_slab *run, struct hak_place place, size_t units, struct memory *memory)
{
    size_t begin = place.unit, end = begin + units, at = begin, last = end - 1;
    struct hak_window *window = place.window;
    bool first_whole = super_comes_whole(hak_super_at(place));
    bool last_whole = super_comes_whole(hak_unit_at(window, last)->super);
    hak_runs_take(&runs, run, place, units);
    *memory = (struct memory){.zero = true, .untouched = first_whole};
    while (at < end) {
        struct hak_super *super = hak_unit_at(window, at)->super;
        uint32_t mask = hak_units_mask(&at, end);
        memory->zero = memory->zero && (super->dirty & mask) == 0;
        counts.free_dirty -= bits_set(super->dirty & mask) * HAK_UNIT;
        counts.missed += missed_bytes(super, mask);
        super->dirty |= mask;
        if (HAK_UNLIKELY(super->thp_deferred && super->dirty == UINT32_MAX)) {
            super_request_thp(super); /* the kernel may make a huge page of the small ones by the way (khugepaged) */
            hak_os_want_huge(super->base, HAK_SUPER, true);
        }
    }
    counts.free -= units * HAK_UNIT;
    if (first_whole)
        come_along(run, window, begin & ~(size_t)(HAK_SUPER_UNITS - 1), begin);
    if (last_whole)
        come_along(hak_unit_at(window, end), window, end, hak_round_up(end, HAK_SUPER_UNITS));
}

/* ---- growth ---- */

static void add_supers(struct hak_super *first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hak_window_added(&first[i]);
    struct hak_place place = {first->window, hak_unit_index(first->slabs)};
    hak_runs_add(&runs, place, count * HAK_SUPER_UNITS, HAK_RUN_CLEAN, false);
    counts.mapped += count * HAK_SUPER;
    counts.free += count * HAK_SUPER;
}

/* Merges two skew heaps, whose first has the lowest address (Sleator and Tarjan, Self-adjusting heaps, 1986). */
static struct hak_super *unmapped_merge(struct hak_super *one, struct hak_super *other)
{
    struct hak_super *first = NULL, **link = &first;
    while (one && other) {
        struct hak_super *low = one->base < other->base ? one : other;
        struct hak_super *rest = low->right;
        other = low == one ? other : one;
        one = rest;
        low->right = low->next;
        low->next = NULL;
        *link = low;
        link = &low->next;
    }
    *link = one ? one : other;
    return first;
}

static void unmapped_add(struct hak_super **heap, struct hak_super *super)
{
    super->next = super->right = NULL;
    *heap = unmapped_merge(*heap, super);
}

static struct hak_super *unmapped_lowest(void)
{
    struct hak_super *super = unmapped;
    unmapped = unmapped_merge(super->next, super->right);
    return super;
}

/* Maps one that was given up.  Its place may be taken by now, or memory be out.  The lock is released meanwhile. */
static bool remap_one(bool long_run)
{
    for (unsigned tries = REMAP_TRIES; unmapped && tries--;) {
        struct hak_super *super = unmapped_lowest();
        hak_unlock(&hak_super_lock);
        enum hak_os_claim got = hak_window_remap(super, long_run);
        hak_lock(&hak_super_lock);
        if (got == HAK_OS_CLAIMED) {
            add_supers(super, 1);
            return true;
        }
        unmapped_add(got == HAK_OS_OCCUPIED ? &occupied : &unmapped, super);
        if (got == HAK_OS_NO_MEMORY)
            return false;
    }
    if (!unmapped) {
        unmapped = occupied;
        occupied = NULL;
    }
    return false;
}

/* Whether a run is so long that huge pages are not asked for because of it. */
static bool is_long(size_t units)
{
    return units > HAK_SUPER_UNITS / 2;
}

/* Maps superslabs, so many if that is possible at once: first those that were given up, or the addresses would be used
 * up.  The lock is released meanwhile. */
static bool grow(size_t supers, bool long_run)
{
    size_t remapped = 0;
    while (remapped < supers && unmapped && remap_one(long_run))
        remapped++;
    if (remapped)
        return true;
    hak_unlock(&hak_super_lock);
    struct hak_super *chain = hak_window_grow(supers, long_run), *last = chain;
    size_t count = chain != NULL;
    for (; chain && last->next; last = last->next)
        count++;
    hak_lock(&hak_super_lock);
    if (chain)
        add_supers(chain, count);
    return chain != NULL;
}

/* The run, its address space mapped if need be. */
static bool find_or_grow(size_t units, size_t align, struct hak_place *place, struct hak_slab **run)
{
    size_t supers = (units + align - 1 + HAK_SUPER_UNITS - 1) / HAK_SUPER_UNITS;
    /* A chunk at a time, and places that others have are passed over. */
    size_t tries = supers / HAK_CHUNK_SUPERS * 2 + (unmapped ? 12 : 4);
    while (!hak_runs_find(&runs, units, align, place, run))
        if (!tries-- || !grow(HAK_MIN(supers, HAK_CHUNK_SUPERS), is_long(units)))
            return hak_runs_find(&runs, units, align, place, run);
    return true;
}

/* Small pages are quicker to have for now. */
static void defer_thp(struct hak_place place)
{
    struct hak_super *super = hak_super_at(place);
    if (!super_comes_whole(super) || !hak_thp_backed_off())
        return;
    super_break(super);
    super->thp_deferred = true;
    hak_os_want_huge(super->base, HAK_SUPER, false);
}

/* Under the lock, which may be released and taken again. */
static struct hak_slab *alloc_units(size_t units, size_t align, struct memory *memory)
{
    struct hak_place place;
    struct hak_slab *run;
    *memory = (struct memory){0};
    if (!find_or_grow(units, align, &place, &run))
        return NULL;
    defer_thp(place);
    if (!hak_limit_charge(fresh_bytes(place, units)))
        return NULL;
    use_units(run, place, units, memory);
    return hak_unit_at(place.window, place.unit);
}

/* ---- slabs ---- */

struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched)
{
    struct memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = alloc_units(units, 1, &memory);
    if (HAK_LIKELY(span)) {
        struct hak_place place = place_of(span);
        span->units = (uint8_t)units;
        for (unsigned i = 0; i < units; i++) {
            hak_unit_at(place.window, place.unit + i)->back = (uint8_t)i;
            hak_store(&place.window->map[place.unit + i], hak_entry_of_unit(entry, i));
        }
    }
    hak_unlock(&hak_super_lock);
    *untouched = memory.untouched;
    return span;
}

/* Whether more is free than may be kept, by the wish of somebody or for want of addresses, so that it cannot wait for a
 * pass. */
static bool too_much_is_free(void)
{
    size_t keep = hak_super_keep();
    return keep < HAK_KEEP_AT_EASE && (addresses_are_scarce ? counts.free : counts.free_dirty) > keep;
}

static void note_level(void)
{
    hak_trigger_compare(hak_super_idle(&counts), hak_load(&hak_trigger.units));
    if (HAK_UNLIKELY(too_much_is_free()))
        hak_trigger_excess();
}

static void give_units(struct hak_place place, size_t units)
{
    hak_runs_add(&runs, place, units, HAK_RUN_DIRTY, true);
    counts.free += units * HAK_UNIT;
    counts.free_dirty += units * HAK_UNIT;
    note_level();
}

void hak_span_free(struct hak_slab *span)
{
    struct hak_place place = place_of(span);
    unsigned units = span->units;
    hak_lock(&hak_super_lock);
    for (unsigned i = 0; i < units; i++)
        hak_store(&place.window->map[place.unit + i], HAK_ENTRY_NONE);
    give_units(place, units);
    hak_unlock(&hak_super_lock);
}

/* ---- large blocks ---- */

struct hak_slab *hak_span_alloc_large(size_t units, size_t align, bool *zero)
{
    struct memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = alloc_units(units, align, &memory);
    if (HAK_LIKELY(span)) {
        span->class = HAK_CLASS_LARGE; /* what misuse.c knows it by when it is gone */
        span->back = 0;
        span->length = units;
        hak_store(&span->state, HAK_LARGE_LIVE);
        hak_store(hak_entry_at(span->super->window, span->base), HAK_ENTRY_LARGE);
        counts.large_spans++;
        counts.large_bytes += units * HAK_UNIT;
    }
    hak_unlock(&hak_super_lock);
    *zero = memory.zero;
    if (HAK_UNLIKELY(memory.untouched && hak_thp_times_large()))
        hak_thp_touch(span->base);
    return span;
}

static void forget_large(struct hak_slab *span)
{
    counts.large_spans--;
    counts.large_bytes -= span->length * HAK_UNIT;
    hak_store(hak_entry_at(span->super->window, span->base), HAK_ENTRY_NONE);
}

void hak_span_free_large(struct hak_slab *span)
{
    hak_lock(&hak_super_lock);
    forget_large(span);
    give_units(place_of(span), span->length);
    hak_unlock(&hak_super_lock);
}

/* Makes room behind a block; the lock may be released meanwhile, but the block is the caller's. */
static bool extend(struct hak_place behind, size_t more)
{
    size_t free = hak_runs_free_at(behind, more);
    struct memory memory;
    /* At the end of what is mapped, more can be. */
    if (free < more) {
        struct hak_slab *next = hak_unit_at(behind.window, behind.unit + free);
        if (behind.unit + free >= behind.window->units || (next && next->super && next->super->mapped))
            return false;
        size_t supers = (more - free + HAK_SUPER_UNITS - 1) / HAK_SUPER_UNITS;
        if (!grow(HAK_MIN(supers, HAK_CHUNK_SUPERS), true) || hak_runs_free_at(behind, more) < more)
            return false;
    }
    if (!hak_limit_charge(fresh_bytes(behind, more)))
        return false;
    use_units(hak_unit_at(behind.window, behind.unit), behind, more, &memory);
    return true;
}

bool hak_span_resize_large(struct hak_slab *span, size_t units)
{
    struct hak_place place = place_of(span);
    size_t old = span->length;
    bool done = true;
    hak_lock(&hak_super_lock);
    if (units < old)
        give_units((struct hak_place){place.window, place.unit + units}, old - units);
    else if (units > old)
        done = extend((struct hak_place){place.window, place.unit + old}, units - old);
    if (done) {
        span->length = units;
        counts.large_bytes += (units - old) * HAK_UNIT;
    }
    hak_unlock(&hak_super_lock);
    return done;
}

struct hak_slab *hak_span_around(const void *p)
{
    struct hak_slab *found = NULL;
    struct hak_window *window = hak_window_of(p);
    if (!window)
        return NULL;
    hak_lock(&hak_super_lock);
    size_t begin = ((uintptr_t)p - window->base) >> HAK_UNIT_SHIFT;
    for (size_t unit = begin + 1; unit-- > 0;) {
        struct hak_slab *slab = hak_unit_at(window, unit);
        uint32_t entry = hak_load(&window->map[unit]);
        if (!slab || !slab->super || slab->super->free >> (slab - slab->super->slabs) & 1)
            break;
        if (entry == HAK_ENTRY_NONE)
            continue;
        if (entry == HAK_ENTRY_LARGE && hak_load(&slab->state) == HAK_LARGE_LIVE && begin - unit < slab->length)
            found = slab;
        break;
    }
    hak_unlock(&hak_super_lock);
    return found;
}

/* ---- back to the kernel ---- */

#define BATCH 64u

/* Runs that are on their way back: free no more, and nobody's. */
struct batch {
    unsigned count;
    size_t units; /* in all */
    struct {
        struct hak_place place;
        size_t units;
        bool given; /* the kernel has taken them */
    } out[BATCH];
};

/* The units of the mask, which are free and dirty, that have been so for `age` passes.  A huge page is not broken up
 * for a few of them. */
static uint32_t super_due(struct hak_super *super, uint32_t mask, unsigned age)
{
    uint32_t due = 0;
    for (uint32_t left = mask; left; left &= left - 1)
        if (runs.epoch - super->epoch[__builtin_ctz(left)] >= age)
            due |= left & -left;
    if (!super->huge || age == 0 || bits_set(due) >= HUGE_BROKEN_FROM)
        return due;
    for (; due; due &= due - 1)
        super->epoch[__builtin_ctz(due)] = runs.epoch; /* or each pass would look at them again */
    return 0;
}

/* False if there is no room for one more unit. */
static bool batch_append(struct batch *batch, struct hak_place place)
{
    unsigned last = batch->count - 1;
    if (batch->count && batch->out[last].place.window == place.window &&
        batch->out[last].place.unit + batch->out[last].units == place.unit) {
        batch->out[last].units++;
    } else {
        if (batch->count == BATCH)
            return false;
        batch->out[batch->count].place = place;
        batch->out[batch->count].units = 1;
        batch->count++;
    }
    batch->units++;
    return true;
}

/* Takes the units of a dirty run that are due, `most` at the most, and puts the others back.  False if not all of those
 * found room. */
static bool batch_take(struct batch *batch, struct hak_slab *run, unsigned age, size_t most)
{
    struct hak_place place = place_of(run);
    size_t at = place.unit, end = at + run->run.length, stays = at, before = batch->units;
    bool room = true;
    hak_runs_take(&runs, run, place, end - at);
    while (at < end) {
        struct hak_super *super = hak_unit_at(place.window, at)->super;
        size_t next = at;
        uint32_t mask = hak_units_mask(&next, end), due = super_due(super, mask, age);
        for (; at < next; at++) {
            if ((due >> at % HAK_SUPER_UNITS & 1) == 0 || batch->units - before == most)
                continue;
            room = room && batch_append(batch, (struct hak_place){place.window, at});
            if (!room)
                continue;
            hak_runs_put_back(&runs, (struct hak_place){place.window, stays}, at - stays);
            stays = at + 1;
        }
    }
    hak_runs_put_back(&runs, (struct hak_place){place.window, stays}, end - stays);
    return room;
}

/* Takes what has been free for `age` passes, the oldest first.  False if there is nothing. */
static bool batch_fill(struct batch *batch, unsigned age, size_t bytes)
{
    size_t most = bytes / HAK_UNIT;
    struct hak_slab *run;
    batch->count = 0;
    batch->units = 0;
    hak_lock(&hak_super_lock);
    while (batch->units < most && (run = hak_runs_oldest(&runs, age)))
        if (!batch_take(batch, run, age, most - batch->units))
            break;
    counts.free -= batch->units * HAK_UNIT;
    counts.free_dirty -= batch->units * HAK_UNIT;
    hak_unlock(&hak_super_lock);
    return batch->count > 0;
}

/* One system call a run.  Of a huge page that was given back in part the rest stays small. */
static void batch_purge(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        struct hak_place place = batch->out[i].place;
        size_t end = place.unit + batch->out[i].units;
        char *at = (char *)place.window->base + place.unit * HAK_UNIT;
        batch->out[i].given = hak_os_purge(at, batch->out[i].units * HAK_UNIT);
        while (batch->out[i].given && place.unit < end) {
            struct hak_super *super = hak_super_at(place);
            if (hak_units_mask(&place.unit, end) != UINT32_MAX)
                hak_super_break_up(super);
        }
    }
}

/* Superslabs that hold nothing are as good as new, and ask for huge pages again where new ones do. */
static void mend(struct hak_place place, size_t units)
{
    size_t end = hak_round_up(place.unit + units, HAK_SUPER_UNITS);
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        hak_units_mask(&place.unit, end);
        hak_lock(&hak_super_lock);
        bool ask = super->free == UINT32_MAX && super->dirty == 0 && !super->huge && !super->long_run &&
                   hak_window_wants_huge();
        if (ask)
            super_request_thp(super);
        hak_unlock(&hak_super_lock);
        if (ask)
            hak_os_want_huge(super->base, HAK_SUPER, true);
    }
}

static size_t batch_return(const struct batch *batch)
{
    size_t given = 0;
    hak_lock(&hak_super_lock);
    for (unsigned i = 0; i < batch->count; i++) {
        bool clean = batch->out[i].given;
        size_t bytes = batch->out[i].units * HAK_UNIT;
        hak_runs_add(&runs, batch->out[i].place, batch->out[i].units, clean ? HAK_RUN_CLEAN : HAK_RUN_DIRTY, true);
        counts.free += bytes;
        counts.free_dirty += clean ? 0 : bytes;
        given += clean ? bytes : 0;
    }
    counts.purged += given;
    hak_limit_release(given);
    hak_unlock(&hak_super_lock);
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->out[i].given)
            mend(batch->out[i].place, batch->out[i].units);
    return given;
}

/* Gives back what has been free for `age` passes, up to so many bytes. */
static size_t purge_oldest(unsigned age, size_t bytes)
{
    size_t given = 0;
    struct batch batch;
    while (batch_fill(&batch, age, bytes)) {
        batch_purge(&batch);
        given += batch_return(&batch);
        bytes -= batch.units * HAK_UNIT;
    }
    return given;
}

size_t hak_super_unmap(size_t keep)
{
    size_t given = 0;
    struct hak_place place;
    struct hak_slab *run;
    hak_lock(&hak_super_lock);
    while (counts.free > keep && hak_runs_find_clean(&runs, HAK_SUPER_UNITS, HAK_SUPER_UNITS, &place, &run)) {
        struct hak_super *super = hak_super_at(place);
        hak_runs_take(&runs, run, place, HAK_SUPER_UNITS);
        counts.free -= HAK_SUPER;
        counts.mapped -= HAK_SUPER;
        hak_unlock(&hak_super_lock);
        bool done = hak_window_unmap(super);
        hak_lock(&hak_super_lock);
        if (!done) {
            add_supers(super, 1);
            break;
        }
        super->mapped = false;
        unmapped_add(&unmapped, super);
        given += HAK_SUPER;
    }
    unmapped = unmapped_merge(unmapped, occupied);
    occupied = NULL;
    hak_unlock(&hak_super_lock);
    return given;
}

size_t hak_super_purge(size_t keep)
{
    hak_lock(&hak_super_lock);
    size_t excess = counts.free_dirty > keep ? counts.free_dirty - keep : 0;
    hak_unlock(&hak_super_lock);
    size_t given = purge_oldest(0, hak_round_up(excess, HAK_UNIT));
    return addresses_are_scarce ? given + hak_super_unmap(keep) : given;
}

void hak_super_shed(size_t bytes)
{
    purge_oldest(1, bytes);
}

size_t hak_super_decay(void)
{
    hak_lock(&hak_super_lock);
    hak_runs_pass(&runs);
    hak_unlock(&hak_super_lock);
    return purge_oldest(HAK_AGE_DUE, SIZE_MAX);
}

/* ---- figures ---- */

struct hak_super_counts hak_super_count(void)
{
    hak_lock(&hak_super_lock);
    struct hak_super_counts result = counts;
    hak_unlock(&hak_super_lock);
    return result;
}

const struct hak_super_counts *hak_super_counts_at(void)
{
    return &counts;
}

void hak_super_verify(void)
{
    size_t free, dirty;
    hak_runs_verify(&runs, &free, &dirty);
    HAK_REQUIRE(free * HAK_UNIT == counts.free && dirty * HAK_UNIT == counts.free_dirty);
}
