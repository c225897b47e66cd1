/* SPDX-License-Identifier: MIT */
/*
 * superslab.c - the page heap of superslab.h.  Owns `page_heap`, guarded by hak_super_lock (HAK_RANK_SUPER).  Calls
 * runs.h, window.h, thp.h, limit.h and os.h.
 *
 * super_grow() releases the lock while the kernel maps memory, and takes it again.  So the free runs may have changed
 * when it returns, and likewise span_find(), span_alloc_units() and span_extend(), which call it.
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
/* Units of a huge page that have to be due before a pass breaks it up. */
#define HUGE_BROKEN_FROM 4u
/* Superslabs that may be told one by one to do without huge pages.  Each is a kernel mapping of its own then, of which
 * the kernel allows 65530 by default.  Beyond, a whole chunk is told, which stays one mapping. */
#define BROKEN_MAX 4096u
/* Where addresses are scarce, the longest run is this part of them: a few must fit side by side. */
#define RUN_SHARE 32u

HAK_LOCK_ALONE struct hak_lock hak_super_lock = HAK_LOCK_INIT(HAK_RANK_SUPER);
size_t hak_super_run_max = HAK_RUN_MAX;
/* All else that this module knows. */
static struct {
    struct hak_super_counts counts HAK_GUARDED_BY(hak_super_lock);
    /* Superslabs that were given up, addresses and all: skew heaps, linked through `next` and `right`.  The lowest is
     * mapped again first, so that neighbours join.  Where something else is mapped by now, a superslab waits in
     * `occupied` until all others have been tried. */
    struct hak_super *unmapped HAK_GUARDED_BY(hak_super_lock);
    struct hak_super *occupied HAK_GUARDED_BY(hak_super_lock);
    size_t broken HAK_GUARDED_BY(hak_super_lock); /* superslabs that do without huge pages by a call of their own */
    struct hak_runs runs HAK_GUARDED_BY(hak_super_lock);
    /* Not changed after the start: */
    size_t free_limit_max; /* what keep_free may be, by what the process may map */
    bool addresses_are_scarce; /* by ulimit -v: other parts of the process, threads' stacks say, need them */
} page_heap = {
    .runs.epoch = HAK_EPOCH_FIRST,
    .free_limit_max = SIZE_MAX,
};

void hak_super_start(void)
{
    size_t limit = hak_os_address_limit();
    page_heap.addresses_are_scarce = limit != SIZE_MAX;
    if (page_heap.addresses_are_scarce) {
        page_heap.free_limit_max = limit / 16;
        hak_super_run_max = HAK_MIN(HAK_MAX(limit / RUN_SHARE, HAK_SUPER), HAK_RUN_MAX);
    }
}

size_t hak_super_keep(void)
{
    return HAK_MIN(hak_knob_value(keep_free), page_heap.free_limit_max);
}

/* The bits that are set.  __builtin_popcount() would be a call where the processor may lack the instruction. */
static unsigned super_count_units(uint32_t mask)
{
    mask -= mask >> 1 & 0x55555555;
    mask = (mask & 0x33333333) + (mask >> 2 & 0x33333333);
    mask = (mask + (mask >> 4)) & 0x0f0f0f0f;
    return mask * 0x01010101 >> 24;
}

static struct hak_place super_place_of(const struct hak_slab *unit)
{
    return (struct hak_place){unit->super->window, hak_unit_index(unit)};
}

/* ---- huge pages ---- */

/* Called before the kernel is told: whoever uses a part of the superslab meanwhile is charged for all of it. */
HAK_REQUIRES(hak_super_lock)
static void super_request_thp(struct hak_super *super)
{
    super->huge = true;
    super->thp_deferred = false;
    page_heap.broken -= page_heap.broken > 0;
}

/* Whether the first touch will make the superslab resident as a whole. */
HAK_REQUIRES(hak_super_lock)
static bool super_comes_whole(const struct hak_super *super)
{
    return super->huge && super->dirty == 0;
}

HAK_REQUIRES(hak_super_lock)
static void super_break(struct hak_super *super)
{
    super->huge = false;
    page_heap.broken++;
}

void hak_super_break_up(struct hak_super *super)
{
    hak_lock(&hak_super_lock);
    bool was_huge = super->huge, chunk_wise = was_huge && page_heap.broken >= BROKEN_MAX;
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
    page_heap.broken += !chunk_wise;
    hak_unlock(&hak_super_lock);
}

/* ---- units in use ---- */

/* Bytes that become resident when these free units are used. */
HAK_REQUIRES(hak_super_lock)
static size_t span_fresh_bytes(struct hak_place place, size_t units)
{
    size_t end = place.unit + units, bytes = 0;
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        uint32_t mask = hak_units_mask(&place.unit, end);
        bytes += super_count_units(super_comes_whole(super) ? UINT32_MAX : mask & ~super->dirty) * HAK_UNIT;
    }
    return bytes;
}

/* Bytes of the clean units of the mask that went back to the kernel in the last passes. */
HAK_REQUIRES(hak_super_lock)
static size_t super_refaulted_bytes(const struct hak_super *super, uint32_t mask)
{
    size_t bytes = 0;
    for (mask &= ~super->dirty; mask; mask &= mask - 1) {
        uint32_t epoch = super->epoch[__builtin_ctz(mask)];
        bytes += epoch && page_heap.runs.epoch - epoch <= HAK_PURGE_PASSES ? HAK_UNIT : 0;
    }
    return bytes;
}

/* Makes free clean units dirty: the superslab becomes resident as a whole, as neighbours of theirs are used just now.
 * `run` is the first unit of the run that holds them. */
HAK_REQUIRES(hak_super_lock)
static void span_fault_along(struct hak_slab *run, struct hak_window *window, size_t begin, size_t end)
{
    struct hak_place place = {window, begin};
    if (begin == end)
        return;
    hak_runs_take(&page_heap.runs, run, place, end - begin);
    hak_runs_add(&page_heap.runs, place, end - begin, HAK_RUN_DIRTY, true);
    page_heap.counts.free_dirty += (end - begin) * HAK_UNIT;
}

/* The memory of a run that span_alloc_units() has found. */
struct span_memory {
    bool zero;      /* it reads as zero */
    bool untouched; /* it begins in a huge page that was not faulted in yet */
};

/* Takes free units; `run` is the first unit of the run that holds the first of them. */
HAK_REQUIRES(hak_super_lock)
static void span_take(struct hak_slab *run, struct hak_place place, size_t units, struct span_memory *memory)
{
    size_t begin = place.unit, end = begin + units, at = begin, last = end - 1;
    struct hak_window *window = place.window;
    bool first_whole = super_comes_whole(hak_super_at(place));
    bool last_whole = super_comes_whole(hak_unit_at(window, last)->super);
    hak_runs_take(&page_heap.runs, run, place, units);
    *memory = (struct span_memory){.zero = true, .untouched = first_whole};
    while (at < end) {
        struct hak_super *super = hak_unit_at(window, at)->super;
        uint32_t mask = hak_units_mask(&at, end);
        memory->zero = memory->zero && (super->dirty & mask) == 0;
        page_heap.counts.free_dirty -= super_count_units(super->dirty & mask) * HAK_UNIT;
        page_heap.counts.refaulted += super_refaulted_bytes(super, mask);
        super->dirty |= mask;
        if (HAK_UNLIKELY(super->thp_deferred && super->dirty == UINT32_MAX)) {
            super_request_thp(super); /* khugepaged may join the small pages */
            hak_os_want_huge(super->base, HAK_SUPER, true);
        }
    }
    page_heap.counts.free -= units * HAK_UNIT;
    if (first_whole)
        span_fault_along(run, window, begin & ~(size_t)(HAK_SUPER_UNITS - 1), begin);
    if (last_whole)
        span_fault_along(hak_unit_at(window, end), window, end, hak_round_up(end, HAK_SUPER_UNITS));
}

/* ---- growth ---- */

HAK_REQUIRES(hak_super_lock)
static void super_add(struct hak_super *first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hak_window_added(&first[i]);
    struct hak_place place = {first->window, hak_unit_index(first->slabs)};
    hak_runs_add(&page_heap.runs, place, count * HAK_SUPER_UNITS, HAK_RUN_CLEAN, false);
    page_heap.counts.mapped += count * HAK_SUPER;
    page_heap.counts.free += count * HAK_SUPER;
}

/* Merges two skew heaps, whose first has the lowest address (Sleator and Tarjan, Self-adjusting heaps, 1986). */
HAK_REQUIRES(hak_super_lock)
static struct hak_super *super_heap_merge(struct hak_super *one, struct hak_super *other)
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

HAK_REQUIRES(hak_super_lock)
static void super_heap_add(struct hak_super **heap, struct hak_super *super)
{
    super->next = super->right = NULL;
    *heap = super_heap_merge(*heap, super);
}

HAK_REQUIRES(hak_super_lock)
static struct hak_super *super_unmapped_lowest(void)
{
    struct hak_super *super = page_heap.unmapped;
    page_heap.unmapped = super_heap_merge(super->next, super->right);
    return super;
}

/* Maps a superslab that was given up.  False if something else is mapped in all the places that were tried, or memory
 * is out.  Releases the lock for the system call. */
HAK_REQUIRES(hak_super_lock)
static bool super_remap_one(bool long_run)
{
    for (unsigned tries = REMAP_TRIES; page_heap.unmapped && tries--;) {
        struct hak_super *super = super_unmapped_lowest();
        hak_unlock(&hak_super_lock);
        enum hak_os_claim got = hak_window_remap(super, long_run);
        hak_lock(&hak_super_lock);
        if (got == HAK_OS_CLAIMED) {
            super_add(super, 1);
            return true;
        }
        super_heap_add(got == HAK_OS_OCCUPIED ? &page_heap.occupied : &page_heap.unmapped, super);
        if (got == HAK_OS_NO_MEMORY)
            return false;
    }
    if (!page_heap.unmapped) {
        page_heap.unmapped = page_heap.occupied;
        page_heap.occupied = NULL;
    }
    return false;
}

/* Whether a run is so long that new superslabs for it do not ask for huge pages (thp.c). */
static bool span_is_long(size_t units)
{
    return units > HAK_SUPER_UNITS / 2;
}

/* Maps up to so many superslabs, or more where the window grows faster.  Those that were given up come first, or the
 * window would fill.  False if there is none.  Releases the lock for the system calls. */
HAK_REQUIRES(hak_super_lock)
static bool super_grow(size_t supers, bool long_run)
{
    size_t remapped = 0;
    while (remapped < supers && page_heap.unmapped && super_remap_one(long_run))
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
        super_add(chain, count);
    return chain != NULL;
}

/* Finds a free run, and maps superslabs for it if need be. */
HAK_REQUIRES(hak_super_lock)
static bool span_find(size_t units, size_t align, struct hak_place *place, struct hak_slab **run)
{
    size_t supers = (units + align - 1 + HAK_SUPER_UNITS - 1) / HAK_SUPER_UNITS;
    /* Each try maps a chunk at most, and may find places where something else is mapped. */
    size_t tries = supers / HAK_CHUNK_SUPERS * 2 + (page_heap.unmapped ? 12 : 4);
    while (!hak_runs_find(&page_heap.runs, units, align, place, run))
        if (!tries-- || !super_grow(HAK_MIN(supers, HAK_CHUNK_SUPERS), span_is_long(units)))
            return hak_runs_find(&page_heap.runs, units, align, place, run);
    return true;
}

/* Has the superslab do with small pages for now, if huge pages are slow to fault in. */
HAK_REQUIRES(hak_super_lock)
static void super_defer_thp(struct hak_place place)
{
    struct hak_super *super = hak_super_at(place);
    if (!super_comes_whole(super) || !hak_thp_backed_off())
        return;
    super_break(super);
    super->thp_deferred = true;
    hak_os_want_huge(super->base, HAK_SUPER, false);
}

/* Takes a free run, charged.  NULL if memory is out. */
HAK_REQUIRES(hak_super_lock)
static struct hak_slab *span_alloc_units(size_t units, size_t align, struct span_memory *memory)
{
    struct hak_place place;
    struct hak_slab *run;
    *memory = (struct span_memory){0};
    if (!span_find(units, align, &place, &run))
        return NULL;
    super_defer_thp(place);
    if (!hak_limit_charge(span_fresh_bytes(place, units)))
        return NULL;
    span_take(run, place, units, memory);
    return hak_unit_at(place.window, place.unit);
}

/* ---- slabs ---- */

struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched)
{
    struct span_memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = span_alloc_units(units, 1, &memory);
    if (HAK_LIKELY(span)) {
        struct hak_place place = super_place_of(span);
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

/* Whether more is free than keep_free allows, if that is so little that the excess must not wait for a pass. */
HAK_REQUIRES(hak_super_lock)
static bool super_has_excess(void)
{
    size_t keep = hak_super_keep();
    const struct hak_super_counts *counts = &page_heap.counts;
    return keep < HAK_KEEP_AT_EASE && (page_heap.addresses_are_scarce ? counts->free : counts->free_dirty) > keep;
}

HAK_REQUIRES(hak_super_lock)
static void super_note_free(void)
{
    hak_trigger_compare(hak_super_idle(&page_heap.counts), hak_load(&hak_trigger.units));
    if (HAK_UNLIKELY(super_has_excess()))
        hak_trigger_excess();
}

HAK_REQUIRES(hak_super_lock)
static void span_give(struct hak_place place, size_t units)
{
    hak_runs_add(&page_heap.runs, place, units, HAK_RUN_DIRTY, true);
    page_heap.counts.free += units * HAK_UNIT;
    page_heap.counts.free_dirty += units * HAK_UNIT;
    super_note_free();
}

void hak_span_free(struct hak_slab *span)
{
    struct hak_place place = super_place_of(span);
    unsigned units = span->units;
    hak_lock(&hak_super_lock);
    for (unsigned i = 0; i < units; i++)
        hak_store(&place.window->map[place.unit + i], HAK_ENTRY_NONE);
    span_give(place, units);
    hak_unlock(&hak_super_lock);
}

/* ---- large blocks ---- */

struct hak_slab *hak_span_alloc_large(size_t units, size_t align, bool *zero)
{
    struct span_memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = span_alloc_units(units, align, &memory);
    if (HAK_LIKELY(span)) {
        span->class = HAK_CLASS_LARGE; /* misuse.c reads it when the block is freed already */
        span->back = 0;
        span->length = units;
        hak_store(&span->state, HAK_LARGE_LIVE);
        hak_store(hak_entry_at(span->super->window, span->base), HAK_ENTRY_LARGE);
        page_heap.counts.large_spans++;
        page_heap.counts.large_bytes += units * HAK_UNIT;
    }
    hak_unlock(&hak_super_lock);
    *zero = memory.zero;
    if (HAK_UNLIKELY(memory.untouched && hak_thp_times_large()))
        hak_thp_touch(span->base);
    return span;
}

HAK_REQUIRES(hak_super_lock)
static void span_forget_large(struct hak_slab *span)
{
    page_heap.counts.large_spans--;
    page_heap.counts.large_bytes -= span->length * HAK_UNIT;
    hak_store(hak_entry_at(span->super->window, span->base), HAK_ENTRY_NONE);
}

void hak_span_free_large(struct hak_slab *span)
{
    hak_lock(&hak_super_lock);
    span_forget_large(span);
    span_give(super_place_of(span), span->length);
    hak_unlock(&hak_super_lock);
}

/* Takes the units behind a block.  The block is the caller's, so nobody frees it while the lock is released. */
HAK_REQUIRES(hak_super_lock)
static bool span_extend(struct hak_place behind, size_t more)
{
    size_t free = hak_runs_free_at(behind, more);
    struct span_memory memory;
    /* At the end of what is mapped, the window may grow. */
    if (free < more) {
        struct hak_slab *next = hak_unit_at(behind.window, behind.unit + free);
        if (behind.unit + free >= behind.window->units || (next && next->super && next->super->mapped))
            return false;
        size_t supers = (more - free + HAK_SUPER_UNITS - 1) / HAK_SUPER_UNITS;
        if (!super_grow(HAK_MIN(supers, HAK_CHUNK_SUPERS), true) || hak_runs_free_at(behind, more) < more)
            return false;
    }
    if (!hak_limit_charge(span_fresh_bytes(behind, more)))
        return false;
    span_take(hak_unit_at(behind.window, behind.unit), behind, more, &memory);
    return true;
}

bool hak_span_resize_large(struct hak_slab *span, size_t units)
{
    struct hak_place place = super_place_of(span);
    size_t old = span->length;
    bool done = true;
    hak_lock(&hak_super_lock);
    if (units < old)
        span_give((struct hak_place){place.window, place.unit + units}, old - units);
    else if (units > old)
        done = span_extend((struct hak_place){place.window, place.unit + old}, units - old);
    if (done) {
        span->length = units;
        page_heap.counts.large_bytes += (units - old) * HAK_UNIT;
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

/* Runs that are on their way back to the kernel: not free any more, and in nobody's use. */
struct batch {
    unsigned count;
    size_t units; /* in all */
    struct {
        struct hak_place place;
        size_t units;
        bool given; /* the kernel has taken their memory */
    } out[BATCH];
    struct hak_super *unmapped; /* those of the runs that were not given */
};

/* Those units of the mask, all of them free and dirty, that have been free for `age` passes.  None if they are few and
 * backed by a huge page, which would be broken up. */
HAK_REQUIRES(hak_super_lock)
static uint32_t super_due(struct hak_super *super, uint32_t mask, unsigned age)
{
    uint32_t due = 0;
    for (uint32_t left = mask; left; left &= left - 1)
        if (page_heap.runs.epoch - super->epoch[__builtin_ctz(left)] >= age)
            due |= left & -left;
    if (!super->huge || age == 0 || super_count_units(due) >= HUGE_BROKEN_FROM)
        return due;
    for (; due; due &= due - 1)
        super->epoch[__builtin_ctz(due)] = page_heap.runs.epoch; /* or each pass would find them again */
    return 0;
}

/* False if the batch has no room for one more unit. */
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

/* Takes the units of a dirty run that are due, but no more than `most`, and puts the others back.  False if the batch
 * is full. */
HAK_REQUIRES(hak_super_lock)
static bool batch_take(struct batch *batch, struct hak_slab *run, unsigned age, size_t most)
{
    struct hak_place place = super_place_of(run);
    size_t at = place.unit, end = at + run->run.length, stays = at, before = batch->units;
    bool room = true;
    hak_runs_take(&page_heap.runs, run, place, end - at);
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
            hak_runs_put_back(&page_heap.runs, (struct hak_place){place.window, stays}, at - stays);
            stays = at + 1;
        }
    }
    hak_runs_put_back(&page_heap.runs, (struct hak_place){place.window, stays}, end - stays);
    return room;
}

/* Fills the batch with units that have been free for `age` passes, the oldest first.  False if there are none. */
HAK_EXCLUDES(hak_super_lock)
static bool batch_fill(struct batch *batch, unsigned age, size_t bytes)
{
    size_t most = bytes / HAK_UNIT;
    struct hak_slab *run;
    batch->count = 0;
    batch->units = 0;
    batch->unmapped = NULL;
    hak_lock(&hak_super_lock);
    while (batch->units < most && (run = hak_runs_oldest(&page_heap.runs, age)))
        if (!batch_take(batch, run, age, most - batch->units))
            break;
    page_heap.counts.free -= batch->units * HAK_UNIT;
    page_heap.counts.free_dirty -= batch->units * HAK_UNIT;
    hak_unlock(&hak_super_lock);
    return batch->count > 0;
}

/* Unmaps those superslabs that lie wholly in a run: locked memory goes back to the kernel only with its addresses. */
HAK_EXCLUDES(hak_super_lock)
static void batch_unmap(struct batch *batch, struct hak_place place, size_t end)
{
    while (place.unit < end) {
        struct hak_super *super = hak_super_at(place);
        if (hak_units_mask(&place.unit, end) == UINT32_MAX && hak_window_unmap(super)) {
            super->next = batch->unmapped;
            batch->unmapped = super;
        }
    }
}

/* Gives the batch to the kernel, in one system call a run.  If a part of a huge page goes, the kernel is told not to
 * make a huge page of the rest. */
HAK_EXCLUDES(hak_super_lock)
static void batch_purge(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        struct hak_place place = batch->out[i].place;
        size_t end = place.unit + batch->out[i].units;
        char *at = (char *)place.window->base + place.unit * HAK_UNIT;
        batch->out[i].given = hak_os_purge(at, batch->out[i].units * HAK_UNIT);
        if (HAK_UNLIKELY(!batch->out[i].given))
            batch_unmap(batch, place, end);
        while (batch->out[i].given && place.unit < end) {
            struct hak_super *super = hak_super_at(place);
            if (hak_units_mask(&place.unit, end) != UINT32_MAX)
                hak_super_break_up(super);
        }
    }
}

/* Superslabs without memory ask for huge pages again, if new superslabs do. */
HAK_EXCLUDES(hak_super_lock)
static void super_renew_thp(struct hak_place place, size_t units)
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

/* Notes superslabs that were unmapped; returns their bytes. */
HAK_REQUIRES(hak_super_lock)
static size_t batch_forget(struct hak_super *super)
{
    size_t bytes = 0;
    for (struct hak_super *next; super; super = next) {
        next = super->next;
        super->mapped = false;
        super->dirty = 0;
        page_heap.counts.mapped -= HAK_SUPER;
        super_heap_add(&page_heap.unmapped, super);
        bytes += HAK_SUPER;
    }
    return bytes;
}

/* Makes units free again that the kernel did not take, without those of superslabs that were unmapped. */
HAK_REQUIRES(hak_super_lock)
static void batch_return_refused(struct hak_place place, size_t units)
{
    size_t end = place.unit + units;
    while (place.unit < end) {
        struct hak_place part = place;
        bool mapped = hak_super_at(place)->mapped;
        hak_units_mask(&place.unit, end);
        units = place.unit - part.unit;
        if (!mapped)
            continue;
        hak_runs_add(&page_heap.runs, part, units, HAK_RUN_DIRTY, true);
        page_heap.counts.free += units * HAK_UNIT;
        page_heap.counts.free_dirty += units * HAK_UNIT;
    }
}

/* Makes the batch free again, clean as far as the kernel has taken it; returns the bytes of that. */
HAK_EXCLUDES(hak_super_lock)
static size_t batch_return(const struct batch *batch)
{
    hak_lock(&hak_super_lock);
    size_t given = batch_forget(batch->unmapped);
    for (unsigned i = 0; i < batch->count; i++) {
        size_t units = batch->out[i].units;
        if (HAK_UNLIKELY(!batch->out[i].given)) {
            batch_return_refused(batch->out[i].place, units);
            continue;
        }
        hak_runs_add(&page_heap.runs, batch->out[i].place, units, HAK_RUN_CLEAN, true);
        page_heap.counts.free += units * HAK_UNIT;
        given += units * HAK_UNIT;
    }
    page_heap.counts.purged += given;
    hak_limit_release(given);
    hak_unlock(&hak_super_lock);
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->out[i].given)
            super_renew_thp(batch->out[i].place, batch->out[i].units);
    return given;
}

/* Gives what has been free for `age` passes to the kernel, up to so many bytes; returns the bytes. */
HAK_EXCLUDES(hak_super_lock)
static size_t super_purge_oldest(unsigned age, size_t bytes)
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
    hak_lock_assert_rank(HAK_RANK_PURGE);
    hak_lock(&hak_super_lock);
    while (page_heap.counts.free > keep &&
           hak_runs_find_clean(&page_heap.runs, HAK_SUPER_UNITS, HAK_SUPER_UNITS, &place, &run)) {
        struct hak_super *super = hak_super_at(place);
        hak_runs_take(&page_heap.runs, run, place, HAK_SUPER_UNITS);
        page_heap.counts.free -= HAK_SUPER;
        page_heap.counts.mapped -= HAK_SUPER;
        hak_unlock(&hak_super_lock);
        bool done = hak_window_unmap(super);
        hak_lock(&hak_super_lock);
        if (!done) {
            super_add(super, 1);
            break;
        }
        super->mapped = false;
        super_heap_add(&page_heap.unmapped, super);
        given += HAK_SUPER;
    }
    page_heap.unmapped = super_heap_merge(page_heap.unmapped, page_heap.occupied);
    page_heap.occupied = NULL;
    hak_unlock(&hak_super_lock);
    return given;
}

size_t hak_super_purge(size_t keep)
{
    hak_lock_assert_rank(HAK_RANK_PURGE);
    hak_lock(&hak_super_lock);
    size_t excess = page_heap.counts.free_dirty > keep ? page_heap.counts.free_dirty - keep : 0;
    hak_unlock(&hak_super_lock);
    size_t given = super_purge_oldest(0, hak_round_up(excess, HAK_UNIT));
    return page_heap.addresses_are_scarce ? given + hak_super_unmap(keep) : given;
}

void hak_super_shed(size_t bytes)
{
    hak_lock_assert_rank(HAK_RANK_PURGE);
    super_purge_oldest(1, bytes);
}

size_t hak_super_decay(void)
{
    hak_lock_assert_rank(HAK_RANK_PURGE);
    hak_lock(&hak_super_lock);
    hak_runs_pass(&page_heap.runs);
    hak_unlock(&hak_super_lock);
    return super_purge_oldest(HAK_AGE_DUE, SIZE_MAX);
}

/* ---- figures ---- */

struct hak_super_counts hak_super_count(void)
{
    hak_lock(&hak_super_lock);
    struct hak_super_counts result = page_heap.counts;
    hak_unlock(&hak_super_lock);
    return result;
}

const struct hak_super_counts *hak_super_counts_at(void)
{
    return &page_heap.counts;
}

void hak_super_verify(void)
{
    size_t free, dirty;
    hak_lock_assert_held(&hak_super_lock);
    hak_runs_verify(&page_heap.runs, &free, &dirty);
    HAK_REQUIRE(free * HAK_UNIT == page_heap.counts.free && dirty * HAK_UNIT == page_heap.counts.free_dirty);
}
