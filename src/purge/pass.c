/* SPDX-License-Identifier: MIT */
/*
 * pass.c - the passes of purge.h.  Owns hak_purge_lock (HAK_RANK_PURGE) and under it the place where the pass over
 * slabs goes on.  Calls registry.h, heap.h, superslab.h and large.h.
 */
#include "purge/purge.h"

#include "pages/large.h"
#include "pages/misuse.h"
#include "heap/registry.h"
#include "pages/stock.h"

/* Superslabs that one pass looks into; the next goes on where it stopped.  A heap of ten million blocks is seen in a
 * few passes, none of which takes more than about a millisecond of a processor. */
#define SUPERS_AT_ONCE 256u

struct hak_lock hak_purge_lock = HAK_LOCK_INIT(HAK_RANK_PURGE);

static struct hak_window *place_window;
static size_t place_super;

/* The superslab at the place, which moves on; NULL behind the last, and then it starts over.  Some were never mapped,
 * and only the page map, in which such a one has no entries, may be read without a lock. */
static struct hak_slab *next_super(struct hak_window **window, size_t *number)
{
    if (!place_window)
        place_window = &hak_window_first;
    struct hak_chunk *chunk = NULL;
    if (place_super < place_window->supers)
        chunk = hak_load_acquire(&place_window->chunks[place_super / HAK_CHUNK_SUPERS]);
    if (chunk) {
        *window = place_window;
        *number = place_super++;
        return &chunk->slabs[*number % HAK_CHUNK_SUPERS * HAK_SUPER_UNITS];
    }
    place_super = 0;
    place_window = hak_load_acquire(&place_window->next);
    return place_window ? next_super(window, number) : NULL;
}

static size_t rest_slabs_of(const struct hak_window *window, size_t number, struct hak_slab *slabs, bool now)
{
    size_t given = 0;
    const _Atomic uint32_t *map = &window->map[number * HAK_SUPER_UNITS];
    for (unsigned i = 0; i < HAK_SUPER_UNITS; i++) {
        uint32_t entry = hak_load(&map[i]);
        if (entry != HAK_ENTRY_NONE && HAK_ENTRY_CLASS(entry) < HAK_CLASS_COUNT)
            given += hak_heap_rest(hak_heap_numbered(HAK_ENTRY_OWNER(entry)), &slabs[i], now);
    }
    return given;
}

size_t hak_purge_pages(void)
{
    struct hak_window *window;
    size_t given = 0, number;
    place_window = NULL;
    place_super = 0;
    for (struct hak_slab *slabs; (slabs = next_super(&window, &number));)
        given += rest_slabs_of(window, number, slabs, true);
    return given;
}

/* *round tells whether the last superslab was among those that were looked into. */
static size_t rest_slabs(bool *round)
{
    struct hak_window *window;
    struct hak_slab *slabs;
    size_t given = 0, number;
    *round = false;
    for (unsigned i = 0; i < SUPERS_AT_ONCE && !*round; i++) {
        slabs = next_super(&window, &number);
        if (slabs)
            given += rest_slabs_of(window, number, slabs, false);
        *round = !slabs;
    }
    return given;
}

size_t hak_purge_pass(bool *round)
{
    hak_lock(&hak_purge_lock);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        hak_heap_decay(hak_heap_numbered(number));
    size_t given = rest_slabs(round);
    for (unsigned i = 0; i < HAK_STOCKS; i++)
        hak_stock_decay(&hak_stocks[i], false);
    given += hak_super_decay();
    given += hak_huge_decay();
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

static size_t free_units(void)
{
    struct hak_super_counts counts = hak_super_count();
    return hak_super_idle(&counts);
}

static size_t free_mappings(void)
{
    struct hak_huge_counts counts = hak_huge_count();
    return hak_huge_idle(&counts);
}

size_t hak_purge_idle(void)
{
    size_t idle = free_units() + free_mappings() + hak_stock_count(hak_stocks).bytes;
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        idle += hak_heap_idle(hak_heap_numbered(number));
    return idle;
}

size_t hak_purge_settle(size_t slack)
{
    size_t units = free_units(), mappings = free_mappings(), in_heaps = 0;
    uint32_t heaps = hak_heap_count();
    hak_store(&hak_purge_due, 0);
    hak_store(&hak_super_settled, hak_add_sat(units, slack));
    hak_store(&hak_huge_settled, hak_add_sat(mappings, slack));
    for (uint32_t number = 1; number <= heaps; number++)
        in_heaps += hak_heap_settle(hak_heap_numbered(number), slack);
    /* What was freed between the count and the store was compared with the level before. */
    if (free_units() > hak_add_sat(units, slack) || free_mappings() > hak_add_sat(mappings, slack))
        hak_store(&hak_purge_due, 1);
    return units + mappings + in_heaps;
}
