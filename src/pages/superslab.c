/* SPDX-License-Identifier: MIT */
/*
 * superslab.c - which units of which superslab are free.  Owns the lists of superslabs and their masks, and the spans
 * that are kept, guarded by hak_super_lock (HAK_RANK_SUPER).  Calls window.h, thp.h and os.h.
 *
 * Superslabs are on lists by the length of their longest run of free units, and a request takes from the list with
 * the shortest run that suffices: superslabs that are almost full are filled up, and those that are almost empty are
 * left alone until they are empty, and their memory can go back.
 */
#include "pages/superslab.h"

#include <string.h>

#include "os/fatal.h"
#include "pages/limit.h"
#include "os/os.h"
#include "knobs/knobs.h"
#include "pages/thp.h"

_Static_assert(HAK_PURGE_PASSES == 3, "two bits count them");

#define REMAP_TRIES 8u

struct hak_lock hak_super_lock = HAK_LOCK_INIT(HAK_RANK_SUPER);
_Atomic uint32_t hak_purge_due;
_Atomic size_t hak_super_settled = HAK_PURGE_SLACK;
_Atomic uint32_t hak_purge_in_background;
static size_t keep_most = SIZE_MAX; /* what keep_free may be, by what the process may map */
/* Addresses are limited (ulimit -v): others of the process, threads' stacks say, need those that are kept for
 * nothing. */
static bool addresses_are_scarce;

static struct hak_super *by_run[HAK_SUPER_UNITS + 1];
static uint64_t runs_present; /* bit n: by_run[n] is not empty */
static struct hak_super *unmapped;    /* linked through `next` */
static struct hak_super_counts counts;

/* By length: a large block's span that was freed lately, and whether hak_super_decay() has seen it there.  Its units
 * are not its superslab's to give to anybody else; what is free and dirty is hak_super_idle(), with these. */
#define KEPT_UNITS 16u
#define KEPT_SHARE 64u /* no span longer than this part of what free memory may be kept */
static _Atomic(struct hak_slab *) kept[KEPT_UNITS + 1];
static unsigned keep_units; /* of spans up to so long */
static bool kept_before[KEPT_UNITS + 1];

void hak_super_start(void)
{
    size_t limit = hak_os_address_limit();
    addresses_are_scarce = limit != SIZE_MAX;
    keep_most = addresses_are_scarce ? limit / 16 : SIZE_MAX;
}

size_t hak_super_keep(void)
{
    return HAK_MIN(hak_knob_value(keep_free), keep_most);
}

static uint32_t mask_of(unsigned units, unsigned start)
{
    return (uint32_t)((((uint64_t)1 << units) - 1) << start);
}

static unsigned longest_run(uint32_t free)
{
    unsigned run = 0;
    for (; free; free &= free << 1)
        run++;
    return run;
}

/* The first unit of a run of `units` at a multiple of `align`, or HAK_SUPER_UNITS. */
static unsigned find_run(uint32_t free, unsigned units, unsigned align)
{
    static const uint32_t aligned[] = {0xffffffff, 0x55555555, 0x11111111, 0x01010101, 0x00010001, 0x00000001};
    uint32_t starts = free;
    for (unsigned have = 1; have < units;) {
        unsigned step = HAK_MIN(have, units - have);
        starts &= starts >> step;
        have += step;
    }
    starts &= aligned[__builtin_ctz(align)];
    return starts ? (unsigned)__builtin_ctz(starts) : HAK_SUPER_UNITS;
}

static uint32_t ages_any(struct hak_ages ages)
{
    return ages.low | ages.high;
}

static uint32_t ages_full(struct hak_ages ages)
{
    return ages.low & ages.high;
}

static void ages_clear(struct hak_ages *ages, uint32_t mask)
{
    ages->low &= ~mask;
    ages->high &= ~mask;
}

static void ages_fill(struct hak_ages *ages, uint32_t mask)
{
    ages->low |= mask;
    ages->high |= mask;
}

/* Of those in the mask; none is more than full. */
static struct hak_ages ages_up(struct hak_ages ages, uint32_t mask)
{
    return (struct hak_ages){(~ages.low | ages.high) & mask, (ages.low | ages.high) & mask};
}

static struct hak_ages ages_down(struct hak_ages ages)
{
    return (struct hak_ages){~ages.low & ages.high, ages.low & ages.high};
}

static void list_add(struct hak_super *super)
{
    struct hak_super **list = &by_run[super->run];
    super->prev = NULL;
    super->next = *list;
    if (*list)
        (*list)->prev = super;
    *list = super;
    runs_present |= (uint64_t)1 << super->run;
}

static void list_remove(struct hak_super *super)
{
    if (super->next)
        super->next->prev = super->prev;
    if (super->prev)
        super->prev->next = super->next;
    else if (!(by_run[super->run] = super->next))
        runs_present &= ~((uint64_t)1 << super->run);
}

/* After super->free has changed. */
static void relist(struct hak_super *super)
{
    unsigned run = longest_run(super->free);
    if (run == super->run)
        return;
    list_remove(super);
    super->run = (uint8_t)run;
    list_add(super);
}

/* Where processors need not have an instruction for it, compilers call a function. */
static unsigned bits_set(uint32_t mask)
{
    mask -= mask >> 1 & 0x55555555;
    mask = (mask & 0x33333333) + (mask >> 2 & 0x33333333);
    mask = (mask + (mask >> 4)) & 0x0f0f0f0f;
    return mask * 0x01010101 >> 24;
}

static size_t bytes_of(uint32_t mask)
{
    return mask ? bits_set(mask) * HAK_UNIT : 0;
}

static void enter(struct hak_slab *span, unsigned from, unsigned to, uint32_t first)
{
    _Atomic uint32_t *map = hak_entry_at(span->super->window, span->base);
    for (unsigned i = from; i < to; i++) {
        span[i].back = (uint8_t)i;
        hak_store(&map[i], hak_entry_of_unit(first, i));
    }
}

/* What they know of where their span begins may stay. */
static void leave(struct hak_slab *span, unsigned from, unsigned to)
{
    _Atomic uint32_t *map = hak_entry_at(span->super->window, span->base);
    for (unsigned i = from; i < to; i++)
        hak_store(&map[i], HAK_ENTRY_NONE);
}

/* Units that hold no memory, and will when those of `mask`, which are free, are used: a huge page comes as a whole. */
static uint32_t fresh_units(const struct hak_super *super, uint32_t mask)
{
    return (super->huge ? UINT32_MAX : mask) & ~super->dirty;
}

/* Just before those of `mask` are taken. */
static void use_fresh(struct hak_super *super, uint32_t mask)
{
    uint32_t fresh = fresh_units(super, mask);
    super->dirty |= fresh;
    counts.free_dirty += bytes_of(fresh);
}

static void take(struct hak_super *super, uint32_t mask)
{
    HAK_INVARIANT((super->free & mask) == mask);
    counts.free -= bytes_of(mask);
    counts.free_dirty -= bytes_of(super->dirty & mask);
    counts.missed += bytes_of(ages_any(super->gone) & mask);
    super->free &= ~mask;
    ages_clear(&super->rest, mask);
    ages_clear(&super->gone, mask);
    relist(super);
}

/* `clean` of them read as zero. */
static void give(struct hak_super *super, uint32_t mask, uint32_t clean)
{
    HAK_INVARIANT((super->free & mask) == 0);
    super->free |= mask;
    super->dirty = (super->dirty | mask) & ~clean;
    counts.free += bytes_of(mask);
    counts.free_dirty += bytes_of(mask & ~clean);
    relist(super);
}

/* A part of it was given back: the kernel is not to fill the gap again by making a huge page of it. */
static void break_up(struct hak_super *super)
{
    if (!super->huge)
        return;
    super->huge = false;
    hak_os_want_huge(super->base, HAK_SUPER, false);
}

/* It is to have small pages at first, as long as not all of it is used. */
static void do_without(struct hak_super *super)
{
    break_up(super);
    super->did_without = true;
}

static void ask_again(struct hak_super *super)
{
    super->huge = true;
    super->did_without = false;
    hak_os_want_huge(super->base, HAK_SUPER, true);
}

/* Gives back the memory of a superslab's free units, one system call for each run of them. */
static size_t purge(struct hak_super *super)
{
    uint32_t todo = super->free & super->dirty;
    size_t given = 0;
    while (todo) {
        unsigned start = (unsigned)__builtin_ctz(todo);
        uint32_t above = ~(todo >> start);
        unsigned units = above ? (unsigned)__builtin_ctz(above) : HAK_SUPER_UNITS;
        uint32_t mask = mask_of(units, start);
        todo &= ~mask;
        if (!hak_os_purge(super->base + start * HAK_UNIT, units * HAK_UNIT))
            continue;
        super->dirty &= ~mask;
        ages_clear(&super->rest, mask);
        given += bytes_of(mask);
    }
    if (given && super->free != UINT32_MAX)
        break_up(super);
    hak_limit_release(given);
    counts.free_dirty -= given;
    counts.purged += given;
    return given;
}

/* Gives up a wholly free superslab with its addresses, which others of the process may then have. */
static size_t unmap(struct hak_super *super)
{
    size_t given = bytes_of(super->dirty);
    if (!hak_window_unmap(super))
        return purge(super);
    list_remove(super);
    counts.mapped -= HAK_SUPER;
    counts.free -= HAK_SUPER;
    counts.free_dirty -= given;
    counts.purged += given;
    hak_limit_release(given);
    super->dirty = 0;
    super->rest = super->gone = (struct hak_ages){0};
    super->next = unmapped;
    unmapped = super;
    return HAK_MAX(given, 1); /* something was given back, if only addresses */
}

static void add(struct hak_super *super)
{
    counts.mapped += HAK_SUPER;
    counts.free += HAK_SUPER;
    list_add(super);
}

/* Maps one that was unmapped, or new ones.  Some of the unmapped ones' places may be taken, or memory be out. */
static bool grow(void)
{
    unsigned tries = REMAP_TRIES;
    for (struct hak_super **link = &unmapped, *super; (super = *link) && tries--; link = &super->next)
        if (hak_window_remap(super)) {
            *link = super->next;
            add(super);
            return true;
        }
    struct hak_super *chain = hak_window_grow();
    bool grown = chain != NULL;
    while (chain) {
        struct hak_super *super = chain;
        chain = chain->next;
        add(super);
    }
    return grown;
}

/* A superslab with the run, and where in it; NULL if none has it. */
static struct hak_super *find(unsigned units, unsigned align, unsigned *start)
{
    for (uint64_t left = runs_present >> units << units; left; left &= left - 1)
        for (struct hak_super *super = by_run[__builtin_ctzl(left)]; super; super = super->next) {
            *start = find_run(super->free, units, align);
            if (HAK_LIKELY(*start < HAK_SUPER_UNITS))
                return super;
        }
    return NULL;
}

/* ---- spans ---- */

static void free_span(struct hak_slab *span)
{
    leave(span, 0, span->units);
    give(span->super, mask_of(span->units, (unsigned)(span - span->super->slabs)), 0);
}

/* Takes it out of `kept`. */
HAK_INLINE struct hak_slab *unkeep(unsigned units)
{
    struct hak_slab *span = hak_load(&kept[units]);
    hak_store(&kept[units], NULL);
    counts.kept_spans--;
    counts.kept_bytes -= units * HAK_UNIT;
    return span;
}

static void free_large(struct hak_slab *span)
{
    counts.large_spans--;
    counts.large_bytes -= span->units * HAK_UNIT;
    free_span(span);
}

/* Puts it there.  False, with nothing done, if there is one already, or it is too long. */
HAK_INLINE bool keep(struct hak_slab *span)
{
    unsigned units = span->units;
    if (units > keep_units || hak_load(&kept[units]))
        return false;
    hak_store(&kept[units], span);
    kept_before[units] = false;
    counts.kept_spans++;
    counts.kept_bytes += units * HAK_UNIT;
    return true;
}

/* False if there was none. */
static bool keep_none(void)
{
    bool any = counts.kept_spans > 0;
    for (unsigned units = 0; units <= KEPT_UNITS && counts.kept_spans; units++)
        if (hak_load(&kept[units]))
            free_large(unkeep(units));
    return any;
}

/* What alloc_span() tells of the memory of a span. */
struct memory {
    bool zero;      /* it reads as zero */
    bool untouched; /* it is in a huge page that has not come yet */
};

static struct hak_slab *alloc_span(unsigned units, unsigned align, uint32_t entry, struct memory *memory)
{
    unsigned start;
    struct hak_super *super = find(units, align, &start);
    if (!super && keep_none())
        super = find(units, align, &start);
    if (!super && grow())
        super = find(units, align, &start);
    uint32_t mask = super ? mask_of(units, start) : 0;
    *memory = (struct memory){0};
    if (super && super->huge && !super->dirty && hak_thp_dear())
        do_without(super);
    if (!super || !hak_limit_charge(bytes_of(fresh_units(super, mask))))
        return NULL;
    memory->zero = (super->dirty & mask) == 0;
    memory->untouched = super->huge && !super->dirty;
    use_fresh(super, mask);
    take(super, mask);
    if (HAK_UNLIKELY(super->did_without && super->dirty == UINT32_MAX))
        ask_again(super); /* the kernel may make a huge page of the small ones by the way (khugepaged) */
    struct hak_slab *span = &super->slabs[start];
    span->units = (uint8_t)units;
    enter(span, 0, units, entry);
    return span;
}

struct hak_slab *hak_span_alloc(unsigned units, uint32_t entry, bool *untouched)
{
    struct memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = alloc_span(units, 1, entry, &memory);
    hak_unlock(&hak_super_lock);
    *untouched = memory.untouched;
    return span;
}

struct hak_slab *hak_span_alloc_large(unsigned units, unsigned align, bool *zero)
{
    struct memory memory;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = alloc_span(units, align, HAK_ENTRY_LARGE, &memory);
    if (span) {
        span->class = HAK_CLASS_LARGE; /* what misuse.c knows it by when it is gone */
        counts.large_spans++;
        counts.large_bytes += units * HAK_UNIT;
    }
    hak_unlock(&hak_super_lock);
    *zero = memory.zero;
    if (HAK_UNLIKELY(memory.untouched && hak_thp_times_large()))
        hak_thp_touch(span->base);
    return span;
}

struct hak_slab *hak_span_reuse(unsigned units, size_t align)
{
    if (units > KEPT_UNITS || !hak_load(&kept[units]))
        return NULL;
    hak_lock(&hak_super_lock);
    struct hak_slab *span = hak_load(&kept[units]);
    if (HAK_LIKELY(span && ((uintptr_t)span->base & (align - 1)) == 0)) {
        unkeep(units);
        hak_store(hak_entry_at(span->super->window, span->base), HAK_ENTRY_LARGE);
    } else {
        span = NULL;
    }
    hak_unlock(&hak_super_lock);
    return span;
}

static void note_level(void)
{
    if (HAK_UNLIKELY(hak_super_idle(&counts) > hak_load(&hak_super_settled)))
        hak_store(&hak_purge_due, 1);
}

/* After units were freed: gives memory back if more than may be kept is free, unless the limit is nobody's wish and the
 * helper thread will do it in time. */
static void keep_bound(struct hak_super *super)
{
    size_t keep = hak_super_keep();
    note_level();
    if (hak_load(&hak_purge_in_background) && keep >= HAK_DEFAULT_keep_free)
        return;
    if (addresses_are_scarce && super->run == HAK_SUPER_UNITS && counts.free > keep)
        unmap(super);
    else if (counts.free_dirty > keep)
        purge(super);
}

void hak_span_free(struct hak_slab *span)
{
    struct hak_super *super = span->super;
    hak_lock(&hak_super_lock);
    free_span(span);
    keep_bound(super);
    hak_unlock(&hak_super_lock);
}

/* In the place of the one that is kept, as what was used last is warm; or past it. */
static HAK_NOINLINE void free_large_slow(struct hak_slab *span)
{
    keep_units = (unsigned)HAK_MIN(hak_super_keep() / KEPT_SHARE / HAK_UNIT, KEPT_UNITS);
    struct hak_slab *out = span;
    if (span->units <= keep_units) {
        out = hak_load(&kept[span->units]) ? unkeep(span->units) : NULL;
        keep(span);
    }
    if (out) {
        struct hak_super *super = out->super;
        free_large(out);
        keep_bound(super);
    }
}

bool hak_span_free_large(struct hak_slab *span, _Atomic uint32_t *entry)
{
    hak_lock(&hak_super_lock);
    bool live = hak_load(entry) == HAK_ENTRY_LARGE;
    if (HAK_LIKELY(live)) {
        hak_store(entry, HAK_ENTRY_INSIDE);
        if (HAK_LIKELY(keep(span)))
            note_level();
        else
            free_large_slow(span);
    }
    hak_unlock(&hak_super_lock);
    return live;
}

bool hak_span_resize_large(struct hak_slab *span, unsigned units)
{
    struct hak_super *super = span->super;
    unsigned start = (unsigned)(span - super->slabs), old = span->units;
    bool done = true;
    hak_lock(&hak_super_lock);
    if (units < old) {
        leave(span, units, old);
        give(super, mask_of(old - units, start + units), 0);
        keep_bound(super);
    } else if (units > old) {
        uint32_t mask = start + units <= HAK_SUPER_UNITS ? mask_of(units - old, start + old) : 0;
        done = mask && (super->free & mask) == mask && hak_limit_charge(bytes_of(fresh_units(super, mask)));
        if (done) {
            use_fresh(super, mask);
            take(super, mask);
            enter(span, old, units, HAK_ENTRY_LARGE);
        }
    }
    if (done) {
        span->units = (uint8_t)units;
        counts.large_bytes += ((size_t)units - old) * HAK_UNIT;
    }
    hak_unlock(&hak_super_lock);
    return done;
}

size_t hak_super_purge(size_t keep)
{
    size_t given = 0;
    hak_lock(&hak_super_lock);
    keep_none();
    keep_units = 0; /* what may be kept may have changed: the next that is freed will find out */
    for (struct hak_super *super = by_run[HAK_SUPER_UNITS], *next; super && counts.free > keep; super = next) {
        next = super->next;
        given += unmap(super);
    }
    /* The emptiest first: theirs are the longest runs, and they are the last to be needed again. */
    for (unsigned run = HAK_SUPER_UNITS; run > 0; run--)
        for (struct hak_super *super = by_run[run]; super && counts.free_dirty > keep; super = super->next)
            given += purge(super);
    hak_unlock(&hak_super_lock);
    return given;
}

void hak_super_shed(size_t bytes)
{
    size_t given = 0;
    hak_lock(&hak_super_lock);
    keep_none();
    for (unsigned run = HAK_SUPER_UNITS; run > 0 && given < bytes; run--)
        for (struct hak_super *super = by_run[run]; super && given < bytes; super = super->next)
            if (!super->huge || super->free == UINT32_MAX)
                given += purge(super);
    hak_unlock(&hak_super_lock);
}

/* ---- giving back in the course of time ---- */

/* A huge page is broken up for no fewer units than this. */
#define HUGE_BROKEN_FROM 4u

/* Spans that were kept at the last call, too, are as idle as units that were free then. */
static void decay_kept(void)
{
    hak_lock(&hak_super_lock);
    for (unsigned units = 0; units <= KEPT_UNITS; units++) {
        if (hak_load(&kept[units]) && kept_before[units]) {
            struct hak_slab *span = unkeep(units);
            free_large(span);
            span->super->rest.low |= mask_of(units, (unsigned)(span - span->super->slabs));
        }
        kept_before[units] = true;
    }
    hak_unlock(&hak_super_lock);
}

/* The units of a chunk that are on their way back. */
struct batch {
    struct hak_chunk *chunk;
    uint32_t out[HAK_CHUNK_SUPERS];
};

/* Takes out what has rested for long enough, and counts for what else is free.  False if nothing is to go back. */
static bool batch_take(struct batch *batch)
{
    uint32_t any = 0;
    hak_lock(&hak_super_lock);
    for (unsigned i = 0; i < HAK_CHUNK_SUPERS; i++) {
        struct hak_super *super = &batch->chunk->supers[i];
        uint32_t free_dirty = super->free & super->dirty, out = free_dirty & ages_full(super->rest);
        if (super->huge && bits_set(out) < HUGE_BROKEN_FROM)
            out = 0;
        batch->out[i] = out;
        any |= out;
        if (out)
            take(super, out);
        super->rest = ages_up(super->rest, free_dirty & ~out);
        super->gone = ages_down(super->gone);
    }
    hak_unlock(&hak_super_lock);
    return any != 0;
}

static bool is_out(const struct batch *batch, unsigned unit)
{
    return batch->out[unit / HAK_SUPER_UNITS] >> unit % HAK_SUPER_UNITS & 1;
}

/* It holds no memory: as if it were new. */
static void mend(struct hak_super *super)
{
    if (!super->huge && hak_window_wants_huge())
        ask_again(super);
}

void hak_super_break_up(struct hak_super *super)
{
    hak_lock(&hak_super_lock);
    break_up(super);
    hak_unlock(&hak_super_lock);
}

/* One system call for each run of units, across superslabs' borders.  What the kernel would not take leaves `clean`. */
static size_t batch_purge(const struct batch *batch, uint32_t clean[HAK_CHUNK_SUPERS])
{
    size_t given = 0;
    memset(clean, 0, HAK_CHUNK_SUPERS * sizeof *clean);
    for (unsigned start = 0, stop; start < HAK_CHUNK_UNITS; start = stop + 1) {
        for (stop = start; stop < HAK_CHUNK_UNITS && is_out(batch, stop); stop++)
            ;
        if (stop == start || !hak_os_purge(batch->chunk->slabs[start].base, (stop - start) * HAK_UNIT))
            continue;
        given += (stop - start) * HAK_UNIT;
        for (unsigned unit = start; unit < stop; unit++)
            clean[unit / HAK_SUPER_UNITS] |= (uint32_t)1 << unit % HAK_SUPER_UNITS;
    }
    return given;
}

static void batch_return(const struct batch *batch, const uint32_t clean[HAK_CHUNK_SUPERS])
{
    hak_lock(&hak_super_lock);
    for (unsigned i = 0; i < HAK_CHUNK_SUPERS; i++) {
        struct hak_super *super = &batch->chunk->supers[i];
        if (!batch->out[i])
            continue;
        give(super, batch->out[i], clean[i]);
        ages_fill(&super->gone, clean[i]);
        counts.purged += bytes_of(clean[i]);
        hak_limit_release(bytes_of(clean[i]));
        if (super->free == UINT32_MAX && !super->dirty)
            mend(super);
        else
            break_up(super);
    }
    hak_unlock(&hak_super_lock);
}

/* The system calls are made without the lock, so that nobody waits for them; the units are nobody's meanwhile. */
size_t hak_super_decay(void)
{
    size_t given = 0;
    decay_kept();
    for (struct hak_window *window = &hak_window_first; window; window = hak_load_acquire(&window->next))
        for (size_t i = 0; i * HAK_CHUNK_SUPERS < window->supers; i++) {
            struct batch batch = {.chunk = hak_load_acquire(&window->chunks[i])};
            uint32_t clean[HAK_CHUNK_SUPERS];
            if (!batch.chunk)
                break;
            if (batch_take(&batch)) {
                given += batch_purge(&batch, clean);
                batch_return(&batch, clean);
            }
        }
    return given;
}

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
