/* SPDX-License-Identifier: MIT */
/*
 * check_pages.c - modules of pages/ by themselves, without the allocator above them: the account of limit.c, the stocks
 * of stock.c, the huge blocks of huge.c and the windows of window.c.  Each test draws operations by a seed and compares
 * the module with a shadow model after each.
 */
#include <sys/mman.h>

#include "knobs/knobs.h"
#include "os/os.h"
#include "pages/huge.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "pages/misuse.h"
#include "pages/stock.h"
#include "pages/superslab.h"
#include "pages/window.h"
#include "suite.h"

static uint64_t seed, state;

static size_t draw(size_t below)
{
    return (size_t)(test_random(&state) % below);
}

static void start(void)
{
    state = test_state(seed);
    hak_os_start();
    hak_store(&hak_knobs[HAK_KNOB_thp], HAK_THP_NEVER);
}

/* ---- limit.c ---- */

#define SOFT ((size_t)40 << 20)
#define HARD ((size_t)64 << 20)

/* What limit.h says, for one thread. */
static struct {
    size_t held, peak, rise, hard, soft, press_at;
} account;

static void account_for(size_t bytes)
{
    account.held += bytes;
    if (account.held > account.peak) {
        account.rise += account.held - account.peak;
        account.peak = account.held;
    }
}

static void limits_change(void)
{
    account.hard = draw(4) ? HARD - draw(8) * TEST_MIB : SIZE_MAX;
    account.soft = account.press_at = draw(4) ? SOFT - draw(8) * TEST_MIB : SIZE_MAX;
    hak_store(&hak_knobs[HAK_KNOB_limit_hard], account.hard == SIZE_MAX ? 0 : account.hard);
    hak_store(&hak_knobs[HAK_KNOB_limit_soft], account.soft == SIZE_MAX ? 0 : account.soft);
    hak_limit_apply();
}

static void limit_step(void)
{
    size_t bytes = draw(16) ? draw(3 * TEST_MIB) : SIZE_MAX - draw(5);
    if (account.hard != SIZE_MAX && account.held <= account.hard && draw(16) == 0)
        bytes = account.hard - account.held + draw(2); /* the last byte that fits, and one more */
    bool fits = account.held <= account.hard && bytes <= account.hard - account.held;
    unsigned what = (unsigned)draw(100);
    hak_store(&hak_limit_pressed, 0);
    if (what < 45 && (bytes < HARD || account.hard != SIZE_MAX)) {
        NEED(hak_limit_charge(bytes) == (fits || bytes == 0), "%zu bytes more than %zu, of %zu", bytes, account.held,
             account.hard);
        if (fits)
            account_for(bytes);
        NEED(hak_load(&hak_limit_pressed) == (fits && bytes && account.held > account.press_at),
             "pressed at %zu of %zu", account.held, account.press_at);
    } else if (what < 85) {
        bytes = draw(account.held + 1);
        hak_limit_release(bytes);
        account.held -= bytes;
    } else if (what < 90) {
        bytes = draw(TEST_MIB);
        hak_limit_add(bytes);
        account_for(bytes);
    } else if (what < 94) {
        hak_limit_rearm();
        account.press_at = account.soft == SIZE_MAX || account.held + account.soft / 32 < account.soft
                               ? account.soft
                               : account.held + account.soft / 32;
    } else if (what < 96) {
        hak_limit_forget_rise();
        if (account.peak > account.held) {
            account.peak = account.held;
            account.rise = 0;
        }
    } else if (what < 98) {
        NEED(hak_limit_allows(account.held, bytes) == fits, "%zu bytes where %zu are in use", bytes, account.held);
    } else if (!HAK_MINIMAL) {
        limits_change();
    }
    NEED(hak_load(&hak_limit_held) == account.held, "%zu held, not %zu", hak_load(&hak_limit_held), account.held);
    NEED(hak_load(&hak_limit_rise) == account.rise, "risen by %zu, not %zu", hak_load(&hak_limit_rise), account.rise);
    NEED(hak_limit_soft() == account.soft, "the soft limit is %zu, not %zu", hak_limit_soft(), account.soft);
}

START_TEST(test_limit)
{
    start();
    account.hard = account.soft = account.press_at = SIZE_MAX;
    for (unsigned long step = 0, steps = test_scale(50000); step < steps; step++)
        limit_step();
}
END_TEST

/* ---- stock.c ---- */

#define LONGEST (HAK_STOCK_UNITS_MAX + 2)
#define HELD_MAX 100u
#define STOCK_UNITS 64u /* what stock.c lets a stock hold */

/* Two heaps' stocks: the runs of each length, the one freed last on top, and which a decay has seen. */
static struct {
    struct {
        struct hak_slab *run;
        bool seen;
    } runs[LONGEST + 1][HAK_STOCK_DEPTH];
    unsigned count[LONGEST + 1], units;
} stocks[2];
static struct hak_slab *held[HELD_MAX];
static unsigned held_count;

static bool in_page_map(const struct hak_slab *run)
{
    return hak_entry_of(run->base) == HAK_ENTRY_LARGE;
}

static void stock_check(unsigned heap)
{
    const struct hak_stock *stock = &hak_stocks[heap];
    unsigned all = 0;
    for (unsigned units = 1; units <= HAK_STOCK_UNITS_MAX; units++) {
        unsigned count = stocks[heap].count[units];
        NEED(stock->count[units] == count, "%u runs of %u units, not %u", stock->count[units], units, count);
        for (unsigned i = 0; i < count; i++) {
            struct hak_slab *run = stock->runs[units][i];
            NEED(run == stocks[heap].runs[units][i].run, "run %u of %u units is another", i, units);
            NEED(hak_load(&run->state) == HAK_LARGE_STOCKED && run->length == units && in_page_map(run),
                 "run %u of %u units is not as a stocked one", i, units);
        }
        all += count;
    }
    NEED(hak_load(&stock->spans) == all && hak_load(&stock->units) == stocks[heap].units, "%u runs of %u units in all",
         hak_load(&stock->spans), hak_load(&stock->units));
}

/* Takes the run at the index out of the shadow. */
static struct hak_slab *shadow_remove(unsigned heap, size_t units, unsigned index)
{
    struct hak_slab *run = stocks[heap].runs[units][index].run;
    unsigned count = --stocks[heap].count[units];
    memmove(&stocks[heap].runs[units][index], &stocks[heap].runs[units][index + 1],
            (count - index) * sizeof stocks[heap].runs[units][0]);
    stocks[heap].units -= (unsigned)units;
    return run;
}

static void put(unsigned heap, struct hak_slab *run)
{
    size_t units = run->length, most = hak_super_keep() < HAK_KEEP_AT_EASE ? 0 : STOCK_UNITS;
    unsigned *count = &stocks[heap].count[units];
    struct hak_slab *evicted = NULL, *expected;
    hak_store(&run->state, HAK_LARGE_NONE);
    if (units <= HAK_STOCK_UNITS_MAX && *count && (*count == HAK_STOCK_DEPTH || stocks[heap].units + units > most))
        evicted = shadow_remove(heap, units, 0);
    bool stays = units <= HAK_STOCK_UNITS_MAX && stocks[heap].units + units <= most;
    if (stays) {
        stocks[heap].runs[units][*count].run = run;
        stocks[heap].runs[units][(*count)++].seen = false;
        stocks[heap].units += (unsigned)units;
    }
    expected = stays ? evicted : run;
    struct hak_slab *out = hak_stock_put(heap, run);
    NEED(out == expected, "a run of %zu units: %p is to be freed, not %p", units, (void *)out, (void *)expected);
    NEED(!out || hak_load(&out->state) == HAK_LARGE_NONE, "a run that is to be freed is stocked or live");
    if (evicted)
        NEED(hak_load(&evicted->state) == HAK_LARGE_NONE, "the run that made way is stocked or live");
    if (out)
        hak_span_free_large(out);
}

static struct hak_slab *take(unsigned heap, size_t units, size_t align)
{
    unsigned count = stocks[heap].count[units];
    struct hak_slab *expected = count ? stocks[heap].runs[units][count - 1].run : NULL;
    if (expected && ((uintptr_t)expected->base & (align - 1)) != 0)
        expected = NULL;
    struct hak_slab *run = hak_stock_take(heap, units, align);
    NEED(run == expected, "%p for %zu units, not %p", (void *)run, units, (void *)expected);
    if (run) {
        shadow_remove(heap, units, count - 1);
        NEED(hak_load(&run->state) == HAK_LARGE_LIVE && run->length == units, "not a live run of %zu units", units);
    }
    return run;
}

static void decay(unsigned heap, bool all)
{
    size_t expected = 0, free = hak_super_count().free;
    for (size_t units = 1; units <= HAK_STOCK_UNITS_MAX; units++)
        for (unsigned i = 0; i < stocks[heap].count[units];) {
            if (all || stocks[heap].runs[units][i].seen) {
                shadow_remove(heap, units, i);
                expected += units * HAK_UNIT;
            } else {
                stocks[heap].runs[units][i++].seen = true;
            }
        }
    size_t freed = hak_stock_decay(&hak_stocks[heap], all);
    NEED(freed == expected, "%zu bytes freed, not %zu", freed, expected);
    NEED(hak_super_count().free - free == freed, "%zu bytes more are free", hak_super_count().free - free);
}

START_TEST(test_stock)
{
    bool zero;
    start();
    hak_super_start();
    ck_assert(hak_window_start());
    for (unsigned long step = 0, steps = test_scale(20000); step < steps; step++) {
        unsigned heap = (unsigned)draw(2), what = (unsigned)draw(100);
        size_t units = draw(3) ? 1 + draw(4) : 1 + draw(LONGEST), align = (size_t)1 << (draw(4) ? 16 : 16 + draw(4));
        if (what < 45 && held_count < HELD_MAX) {
            struct hak_slab *run = take(heap, units, align);
            held[held_count++] = run ? run : hak_span_alloc_large(units, 1, &zero);
            ck_assert_ptr_nonnull(held[held_count - 1]);
        } else if (what < 96 && held_count) {
            unsigned index = (unsigned)draw(held_count);
            put(heap, held[index]);
            held[index] = held[--held_count];
        } else if (what < 99) {
            decay(heap, draw(8) == 0);
        } else if (!HAK_MINIMAL) {
            hak_store(&hak_knobs[HAK_KNOB_keep_free], draw(2) ? HAK_KEEP_AT_EASE : TEST_MIB);
        }
        stock_check(0);
        stock_check(1);
        struct hak_stock_counts counts = hak_stock_count(hak_stocks);
        NEED(counts.bytes == (stocks[0].units + stocks[1].units) * HAK_UNIT, "%zu bytes in all", counts.bytes);
    }
    NEED(hak_stock_take(2, 1, HAK_UNIT) == NULL, "a heap has a run that it was never given");
}
END_TEST

/* ---- huge.c ---- */

#define BLOCKS_MAX 1500u

static struct {
    char *at;
    size_t size;
} blocks[BLOCKS_MAX];
static unsigned block_count;
static size_t block_bytes;
static char *dead[64]; /* freed lately, and no block since */

static size_t *tag_of(char *block)
{
    return (size_t *)(void *)block;
}

static void tag_check(unsigned index)
{
    NEED(*tag_of(blocks[index].at) == ((uintptr_t)blocks[index].at ^ index), "block %u was overwritten", index);
}

static void forget_dead(const char *at, size_t size)
{
    for (unsigned i = 0; i < TEST_COUNT(dead); i++)
        if (dead[i] && (uintptr_t)dead[i] - (uintptr_t)at < size)
            dead[i] = NULL;
}

static void block_add(char *at, size_t size)
{
    for (unsigned i = 0; i < block_count; i++)
        NEED((uintptr_t)(at - blocks[i].at) >= blocks[i].size && (uintptr_t)(blocks[i].at - at) >= size,
             "a block of %zu bytes overlaps one of %zu", size, blocks[i].size);
    forget_dead(at, size);
    *tag_of(at) = (uintptr_t)at ^ block_count;
    blocks[block_count].at = at;
    blocks[block_count++].size = size;
    block_bytes += size;
}

static void block_remove(unsigned index)
{
    block_bytes -= blocks[index].size;
    blocks[index] = blocks[--block_count];
    if (index < block_count)
        *tag_of(blocks[index].at) = (uintptr_t)blocks[index].at ^ index;
}

static void huge_check(void)
{
    struct hak_huge_counts counts = hak_huge_count();
    unsigned kept = counts.last_freed != 0;
    NEED(counts.blocks == block_count + kept, "%zu blocks, not %u and %u", counts.blocks, block_count, kept);
    NEED(counts.bytes == block_bytes + counts.last_freed, "%zu bytes, not %zu", counts.bytes, block_bytes);
    size_t own = hak_load(&hak_meta_held), account_is = hak_load(&hak_limit_held);
    NEED(account_is == counts.bytes + counts.cached + own, "%zu bytes on the account", account_is);
    NEED(hak_load(&hak_os_counts.mapped) == counts.bytes + counts.cached + counts.stuck + own, "%zu bytes are mapped",
         hak_load(&hak_os_counts.mapped));
    NEED(counts.cached + counts.last_freed <= hak_super_keep(), "%zu bytes are cached", counts.cached);
    hak_tls.misuses = 0;
}

static void huge_alloc(void)
{
    bool zero;
    size_t size = 1 + draw(draw(8) ? 16 << 10 : TEST_MIB), align = (size_t)1 << (draw(4) ? 4 : 12 + draw(8));
    char *at = hak_huge_alloc(size, align, &zero);
    ck_assert_ptr_nonnull(at);
    size_t usable = hak_huge_usable("malloc_usable_size", at), pages = hak_round_up(size, hak_os_page);
    NEED((uintptr_t)at % align == 0, "%p is not aligned to %zu", (void *)at, align);
    NEED(usable >= pages && usable <= pages + pages / 4, "%zu bytes for %zu", usable, size);
    NEED(!zero || *tag_of(at) == 0, "%p does not read as zero", (void *)at);
    block_add(at, usable);
}

static void huge_free(void)
{
    unsigned index = (unsigned)draw(block_count);
    char *at = blocks[index].at;
    tag_check(index);
    hak_huge_free("free", at);
    block_remove(index);
    dead[draw(TEST_COUNT(dead))] = at;
    NEED(!hak_huge_is_block(at) && hak_tls.misuses == 0, "a freed block is one still");
}

static void huge_resize(void)
{
    unsigned index = (unsigned)draw(block_count);
    size_t size = hak_super_run_max / 2 + 1 + draw(TEST_MIB), old = blocks[index].size;
    char *from = blocks[index].at, *at = hak_huge_resize("realloc", from, size);
    ck_assert_ptr_nonnull(at);
    NEED(*tag_of(at) == ((uintptr_t)from ^ index), "a block of %zu bytes lost what it held", old);
    size_t usable = hak_huge_usable("malloc_usable_size", at);
    NEED(usable >= size, "%zu bytes for %zu", usable, size);
    block_remove(index);
    block_add(at, usable);
    if (at != from)
        NEED(!hak_huge_is_block(from), "a block that moved is at its old place, too");
    /* Or thousands of them would need more addresses than there are. */
    hak_huge_free("free", at);
    block_remove(block_count - 1);
}

/* What is no live block is refused, and changes nothing. */
static void huge_misuse(void)
{
    unsigned index = (unsigned)draw(block_count);
    char *p = draw(2) ? dead[draw(TEST_COUNT(dead))] : blocks[index].at + (blocks[index].size > 16384 ? 16384 : 16);
    if (!p)
        return;
    hak_tls.misuses = 0;
    hak_huge_free("free", p);
    NEED(hak_tls.misuses == 1, "%p was freed", (void *)p);
    NEED(hak_huge_usable("malloc_usable_size", p) == 0 && hak_tls.misuses == 2, "%p has bytes", (void *)p);
    tag_check(index);
}

static int by_address(const void *a, const void *b)
{
    const struct hak_huge_block *one = a, *other = b;
    return one->at < other->at ? -1 : one->at > other->at;
}

/* hak_huge_after() gives each block once, in order. */
static void huge_walk(void)
{
    static struct hak_huge_block expected[BLOCKS_MAX];
    struct hak_huge_block found[50];
    const void *at = NULL;
    unsigned seen = 0, count;
    for (unsigned i = 0; i < block_count; i++) {
        tag_check(i);
        expected[i] = (struct hak_huge_block){blocks[i].at, blocks[i].size};
    }
    qsort(expected, block_count, sizeof *expected, by_address);
    while ((count = hak_huge_after(at, found, TEST_COUNT(found)))) {
        for (unsigned i = 0; i < count; i++, seen++)
            NEED(seen < block_count && found[i].at == expected[seen].at && found[i].size == expected[seen].size,
                 "block %u in the order of addresses is %p", seen, found[i].at);
        at = found[count - 1].at;
    }
    NEED(seen == block_count, "%u of %u blocks", seen, block_count);
}

/* What was freed is kept for HAK_PURGE_PASSES passes, and no longer. */
static void huge_decay(void)
{
    for (unsigned pass = 0; pass <= HAK_PURGE_PASSES + 1; pass++)
        hak_huge_decay();
    struct hak_huge_counts counts = hak_huge_count();
    NEED(hak_huge_idle(&counts) == 0, "%zu bytes are cached", hak_huge_idle(&counts));
}

static void huge_give_back(void)
{
    struct hak_huge_counts before = hak_huge_count(), after;
    size_t bytes = draw(4 * TEST_MIB);
    switch (draw(4)) {
    case 0:
        hak_huge_purge(bytes);
        after = hak_huge_count();
        NEED(hak_huge_idle(&after) <= bytes, "%zu bytes are cached", hak_huge_idle(&after));
        break;
    case 1: {
        size_t shed = hak_huge_shed(bytes);
        after = hak_huge_count();
        NEED(shed <= bytes && hak_huge_idle(&after) <= hak_huge_idle(&before) - shed, "%zu bytes of %zu", shed, bytes);
        break;
    }
    case 2:
        huge_decay();
        break;
    default:
        hak_store(&hak_os_fail_unmap, draw(2)); /* mappings that stay are used again */
        break;
    }
}

START_TEST(test_huge)
{
    start();
    for (unsigned long step = 0, steps = test_scale(12000); step < steps; step++) {
        unsigned what = (unsigned)draw(100), rising = step / (BLOCKS_MAX * 2) % 2 == 0;
        if (block_count < 4 || (what < (rising ? 80 : 20) && block_count < BLOCKS_MAX))
            huge_alloc();
        else if (what < 93)
            huge_free();
        else if (what < 97)
            huge_misuse();
        else if (what < 98)
            huge_resize();
        else if (what < 99)
            huge_give_back();
        huge_check();
        if (step % 500 == 0)
            huge_walk();
    }
    while (block_count)
        huge_free();
    hak_store(&hak_os_fail_unmap, 0);
    hak_huge_purge(0);
    struct hak_huge_counts counts = hak_huge_count();
    NEED(counts.bytes + counts.cached + counts.stuck == 0, "%zu bytes are left",
         counts.bytes + counts.cached + counts.stuck);
    huge_check();
}
END_TEST

/* ---- window.c ---- */

#define WINDOW_BYTES ((size_t)128 << 20)
#define SUPERS_MAX 200u

static struct hak_super *supers[SUPERS_MAX];
static bool given_up[SUPERS_MAX];
static unsigned super_count;
static void *strangers[SUPERS_MAX]; /* superslabs' places that somebody else has mapped */
static unsigned stranger_count;

/* Maps something at a place where a window will grow. */
static void stranger(const struct hak_window *window)
{
    size_t index = draw(WINDOW_BYTES / HAK_SUPER);
    void *at = (void *)(window->base + (index << HAK_SUPER_SHIFT));
    if (!window->reserved && hak_os_map_at(at, HAK_SUPER) == HAK_OS_CLAIMED)
        strangers[stranger_count++] = at;
}

/* A new superslab is nobody else's, and each of its units is found by its address. */
static void super_check(const struct hak_super *super)
{
    struct hak_window *window = hak_window_of(super->base);
    NEED((uintptr_t)super->base % HAK_SUPER == 0 && window && window == super->window, "%p", (void *)super->base);
    size_t index = ((uintptr_t)super->base - window->base) >> HAK_SUPER_SHIFT;
    const struct hak_chunk *chunk = hak_load_acquire(&window->chunks[index / HAK_CHUNK_SUPERS]);
    NEED(super == &chunk->supers[index % HAK_CHUNK_SUPERS], "not the superslab %zu of its window", index);
    for (unsigned i = 0; i < stranger_count; i++)
        NEED(super->base != strangers[i], "the place of another mapping");
    for (size_t unit = 0; unit < HAK_SUPER_UNITS; unit++) {
        char *at = super->base + unit * HAK_UNIT;
        struct hak_slab *slab = hak_unit_used(at + draw(HAK_UNIT));
        NEED(slab == &super->slabs[unit] && slab->super == super && slab->base == at, "unit %zu", unit);
        NEED(hak_unit_at(window, hak_unit_index(slab)) == slab, "unit %zu by its index", unit);
    }
}

/* Entries that are written are read back, and no other superslab's change: each unit has its own number. */
static void entries_check(void)
{
    for (unsigned i = 0; i < super_count; i++)
        for (size_t unit = 0; unit < HAK_SUPER_UNITS; unit++)
            NEED(hak_entry_of(supers[i]->base + unit * HAK_UNIT) == i * HAK_SUPER_UNITS + unit + 1,
                 "the entry of unit %zu of superslab %u", unit, i);
    NEED(hak_entry_of(&supers) == HAK_ENTRY_NONE && hak_unit_used(&supers) == NULL, "an address of no window");
}

/* A superslab that was mapped, for the first time or again, is clean. */
static void super_is_added(struct hak_super *super)
{
    hak_lock(&hak_super_lock);
    hak_window_added(super);
    hak_unlock(&hak_super_lock);
    NEED(super->mapped && super->free == 0 && super->dirty == 0 && !super->thp_deferred, "%p is not clean",
         (void *)super->base);
    for (unsigned unit = 0; unit < HAK_SUPER_UNITS; unit++)
        NEED(super->epoch[unit] == 0, "unit %u of %p has an age", unit, (void *)super->base);
    super_check(super);
}

static void super_add(struct hak_super *super)
{
    unsigned number = super_count;
    for (unsigned i = 0; i < super_count; i++)
        NEED(supers[i] != super && supers[i]->base != super->base, "superslab %u once more", i);
    NEED(hak_unit_used(super->base) == NULL, "units are known before they are there");
    supers[super_count++] = super;
    super_is_added(super);
    for (size_t unit = 0; unit < HAK_SUPER_UNITS; unit++)
        hak_store(hak_entry_at(super->window, super->base + unit * HAK_UNIT),
                  (uint32_t)(number * HAK_SUPER_UNITS + unit + 1));
}

static void window_grow(void)
{
    size_t want = 1 + draw(draw(4) ? 4 : HAK_CHUNK_SUPERS), count = 0;
    bool long_run = draw(2);
    struct hak_super *super = hak_window_grow(want, long_run), *next;
    ck_assert_ptr_nonnull(super);
    for (; super; super = next, count++) {
        next = super->next;
        NEED(!next || next->base == super->base + HAK_SUPER, "superslabs that do not follow each other");
        if (super_count < SUPERS_MAX)
            super_add(super);
    }
    NEED(!long_run || count <= want, "%zu superslabs for a long run of %zu", count, want);
}

static void window_give_up(void)
{
    unsigned i = (unsigned)draw(super_count);
    struct hak_super *super = supers[i];
    if (super->window->reserved)
        return;
    if (!given_up[i]) {
        ck_assert(hak_window_unmap(super));
        super->free = super->dirty = super->epoch[draw(HAK_SUPER_UNITS)] = UINT32_MAX; /* as after some use */
        super->thp_deferred = true;
        given_up[i] = true;
        return;
    }
    if (draw(2)) { /* somebody else is there for a while */
        ck_assert(hak_os_map_at(super->base, HAK_SUPER) == HAK_OS_CLAIMED);
        NEED(hak_window_remap(super, false) == HAK_OS_OCCUPIED, "superslab %u at another mapping's place", i);
        hak_os_unmap(super->base, HAK_SUPER);
        return;
    }
    NEED(hak_window_remap(super, false) == HAK_OS_CLAIMED, "superslab %u cannot be had again", i);
    super_is_added(super);
    given_up[i] = false;
}

START_TEST(test_window)
{
    start();
    hak_window_limit = WINDOW_BYTES;
    ck_assert(hak_window_start());
    size_t aside = hak_window_first.reserved ? HAK_SUPER : 0; /* for the alignment */
    NEED(hak_window_first.units == (WINDOW_BYTES - aside) / HAK_UNIT, "%zu units", hak_window_first.units);
    for (unsigned i = 0; i < 8; i++)
        stranger(&hak_window_first);
    while (super_count < SUPERS_MAX) {
        if (draw(2) || !super_count)
            window_grow();
        else
            window_give_up();
        if (super_count % 20 == 0)
            entries_check();
    }
    entries_check();
    ck_assert_ptr_nonnull(hak_load_acquire(&hak_window_first.next)); /* it became full on the way */
    for (unsigned i = 0; i < super_count; i++)
        super_check(supers[i]);
}
END_TEST

int main(void)
{
    seed = suite_seed();
    Suite *suite = suite_create("pages");
    TCase *tcase = suite_case(suite, "modules of pages/", 120);
    tcase_add_test(tcase, test_limit);
    tcase_add_test(tcase, test_stock);
    tcase_add_test(tcase, test_huge);
    tcase_add_test(tcase, test_window);
    return suite_run(suite);
}
