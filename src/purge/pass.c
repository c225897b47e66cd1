/* SPDX-License-Identifier: MIT */
/*
 * pass.c - the passes of purge.h.  Owns hak_purge_lock (HAK_RANK_PURGE) and under it the place where the pass over
 * slabs goes on.  Calls registry.h, heap.h, stock.h, superslab.h, large.h and os.h.
 *
 * A pass lets the lock go after a few pieces of work if somebody waits, so that a fork, malloc_trim() or an allocation
 * that has run out of memory waits for these and not for the pass.
 */
#include "purge/purge.h"

#include "os/os.h"
#include "pages/large.h"
#include "pages/misuse.h"
#include "heap/registry.h"
#include "pages/stock.h"

/* Superslabs that one pass looks into; the next goes on where it stopped.  A heap of ten million blocks is seen in a
 * few passes, none of which takes more than about a millisecond of a processor. */
#define SUPERS_AT_ONCE 256u
#define SUPERS_IN_A_PIECE 16u
#define YIELD_AFTER 4u /* pieces of work during which somebody has waited for hak_purge_lock */

HAK_LOCK_ALONE struct hak_lock hak_purge_lock = HAK_LOCK_INIT(HAK_RANK_PURGE);

/* Where a walk over all superslabs goes on. */
struct place {
    struct hak_window *window;
    size_t super;
};
static struct place age_place;

/* The superslab at the place, which moves on; NULL behind the last, and then it starts over.  Some were never mapped,
 * and only the page map, in which such a one has no entries, may be read without a lock. */
static struct hak_slab *next_super(struct place *place, struct place *found)
{
    if (!place->window)
        place->window = &hak_window_first;
    struct hak_chunk *chunk = NULL;
    if (place->super < place->window->supers)
        chunk = hak_load_acquire(&place->window->chunks[place->super / HAK_CHUNK_SUPERS]);
    if (chunk) {
        *found = *place;
        place->super++;
        return &chunk->slabs[found->super % HAK_CHUNK_SUPERS * HAK_SUPER_UNITS];
    }
    place->super = 0;
    place->window = hak_load_acquire(&place->window->next);
    return place->window ? next_super(place, found) : NULL;
}

static size_t age_slabs_of(struct place at, struct hak_slab *slabs, bool now)
{
    size_t given = 0;
    const _Atomic uint32_t *map = &at.window->map[at.super * HAK_SUPER_UNITS];
    for (unsigned i = 0; i < HAK_SUPER_UNITS; i++) {
        uint32_t entry = hak_load(&map[i]);
        if (entry != HAK_ENTRY_NONE && HAK_ENTRY_CLASS(entry) < HAK_CLASS_COUNT)
            given += hak_heap_age_slab(hak_heap_numbered(HAK_ENTRY_OWNER(entry)), &slabs[i], now);
    }
    return given;
}

/* A piece of work is done, and units are in their superslabs: if somebody has waited for the lock during a few pieces
 * he may have it.  Who only let go of it and took it again would be faster than one who has to wake up. */
static void pass_yield(void)
{
    static unsigned pieces; /* under the lock */
    pieces = hak_load(&hak_purge_lock.state) == 2 ? pieces + 1 : 0;
    if (HAK_LIKELY(pieces < YIELD_AFTER))
        return;
    pieces = 0;
    hak_unlock(&hak_purge_lock);
    hak_os_nap();
    hak_lock(&hak_purge_lock);
}

size_t hak_purge_pages(void)
{
    struct place place = {0}, at;
    size_t given = 0, looks = 0;
    for (struct hak_slab *slabs; (slabs = next_super(&place, &at));) {
        given += age_slabs_of(at, slabs, true);
        if (++looks % SUPERS_IN_A_PIECE == 0)
            pass_yield();
    }
    return given;
}

/* *round tells whether the last superslab was among those that were looked into. */
static size_t age_slabs(bool *round)
{
    size_t given = 0;
    *round = false;
    for (unsigned i = 0; i < SUPERS_AT_ONCE && !*round; i++) {
        struct place at;
        struct hak_slab *slabs = next_super(&age_place, &at);
        if (slabs)
            given += age_slabs_of(at, slabs, false);
        *round = !slabs;
        if (i % SUPERS_IN_A_PIECE == SUPERS_IN_A_PIECE - 1)
            pass_yield();
    }
    return given;
}

static void each_heap(void (*act)(struct hak_heap *))
{
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        act(hak_heap_numbered(number));
        pass_yield();
    }
}

/* What is free beside slabs, once. */
static size_t decay_pages(void)
{
    for (unsigned i = 0; i < HAK_STOCKS; i++)
        hak_stock_decay(&hak_stocks[i], false);
    size_t given = hak_super_decay();
    pass_yield();
    given += hak_huge_decay();
    return given;
}

size_t hak_purge_pass(bool *round)
{
    hak_lock(&hak_purge_lock);
    each_heap(hak_heap_decay);
    size_t given = age_slabs(round);
    given += decay_pages();
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

size_t hak_purge_rush(size_t pages_from)
{
    size_t given = 0, in_slabs = 0;
    struct hak_tcache *mine = hak_tcache_mine();
    if (mine)
        hak_tcache_empty(mine); /* else a few thousand blocks of its magazines would keep as many slabs */
    hak_lock(&hak_purge_lock);
    each_heap(hak_heap_drain);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        in_slabs += hak_heap_rearm_purge(hak_heap_numbered(number), HAK_PURGE_SLACK);
    if (in_slabs >= pages_from)
        given += hak_purge_pages();
    for (unsigned pass = 0; pass <= HAK_PURGE_PASSES; pass++) {
        given += decay_pages();
        pass_yield();
    }
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

size_t hak_purge_idle_outside(void)
{
    struct hak_idle idle = hak_trigger_idle();
    return idle.units + idle.mappings + idle.stocks;
}

size_t hak_purge_idle(void)
{
    size_t idle = hak_purge_idle_outside();
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        idle += hak_heap_idle(hak_heap_numbered(number));
    return idle;
}

size_t hak_purge_rearm(size_t slack)
{
    struct hak_idle idle = hak_trigger_rearm(slack);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        idle.heaps += hak_heap_rearm_purge(hak_heap_numbered(number), slack);
    return idle.units + idle.mappings + idle.heaps;
}
