/* SPDX-License-Identifier: MIT */
/*
 * pass.c - the passes of purge.h, and the count of what is free.  Owns hak_purge_lock (HAK_RANK_PURGE) and under it
 * the place where the next pass over slabs goes on.  Calls registry.h, heap.h, stock.h, superslab.h, huge.h, trigger.h
 * and os.h.
 *
 * A pass releases the lock after a few pieces of work if somebody waits.  So a fork, malloc_trim() or an allocation
 * that has run out of memory waits for a few pieces and not for the pass.
 */
#include "purge/purge.h"

#include "heap/registry.h"
#include "os/os.h"
#include "pages/huge.h"
#include "pages/misuse.h"
#include "pages/stock.h"
#include "pages/superslab.h"
#include "pages/trigger.h"

/* Superslabs that one pass looks into; the next pass goes on behind them.  A heap of ten million blocks takes a few
 * passes, each of about a millisecond of a processor. */
#define PASS_SUPERS 256u
#define PIECE_SUPERS 16u
#define YIELD_AFTER 4u /* pieces of work during which somebody has waited for hak_purge_lock */
#define YIELD_NAPS 20u /* milliseconds that he has to take it, where processors are busy */

HAK_LOCK_ALONE struct hak_lock hak_purge_lock = HAK_LOCK_INIT(HAK_RANK_PURGE);

/* A superslab in a walk over all of them. */
struct pass_place {
    struct hak_window *window; /* NULL at the start */
    size_t super;
};

static struct {
    struct pass_place next; /* where the next pass goes on */
    unsigned waited;        /* pieces of work in a row during which somebody waited for the lock */
} pass HAK_GUARDED_BY(hak_purge_lock);

/* Returns the units of the superslab at *place and moves *place on.  NULL behind the last superslab: *place is at the
 * start again.  Some superslabs of a chunk may never have been mapped: only their page map, which has no entries, may
 * be read. */
static struct hak_slab *pass_next_super(struct pass_place *place, struct pass_place *found)
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
    return place->window ? pass_next_super(place, found) : NULL;
}

HAK_REQUIRES(hak_purge_lock) static size_t pass_age_super(struct pass_place at, struct hak_slab *slabs, bool now)
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

/* Between two pieces of work, when no unit is out of its superslab: lets somebody who has waited for a few pieces have
 * the lock.  The naps are for him: he has to wake up, and this thread would take the lock again before. */
HAK_REQUIRES(hak_purge_lock) static void pass_yield(void)
{
    pass.waited = hak_load(&hak_purge_lock.state) == 2 ? pass.waited + 1 : 0;
    if (HAK_LIKELY(pass.waited < YIELD_AFTER))
        return;
    pass.waited = 0;
    hak_unlock(&hak_purge_lock);
    for (unsigned naps = 0; naps < YIELD_NAPS && hak_load(&hak_purge_lock.state) == 0; naps++)
        hak_os_nap();
    hak_lock(&hak_purge_lock);
}

size_t hak_purge_pages(void)
{
    struct pass_place place = {0}, at;
    size_t given = 0, looks = 0;
    hak_lock_assert_held(&hak_purge_lock);
    for (struct hak_slab *slabs; (slabs = pass_next_super(&place, &at));) {
        given += pass_age_super(at, slabs, true);
        if (++looks % PIECE_SUPERS == 0)
            pass_yield();
    }
    return given;
}

/* *round tells whether the last superslab was among those that were looked into. */
HAK_REQUIRES(hak_purge_lock) static size_t pass_age_slabs(bool *round)
{
    size_t given = 0;
    *round = false;
    for (unsigned i = 0; i < PASS_SUPERS && !*round; i++) {
        struct pass_place at;
        struct hak_slab *slabs = pass_next_super(&pass.next, &at);
        if (slabs)
            given += pass_age_super(at, slabs, false);
        *round = !slabs;
        if (i % PIECE_SUPERS == PIECE_SUPERS - 1)
            pass_yield();
    }
    return given;
}

HAK_REQUIRES(hak_purge_lock) static void pass_each_heap(void (*act)(struct hak_heap *))
{
    for (uint32_t number = 1; number <= hak_heap_count(); number++) {
        act(hak_heap_numbered(number));
        pass_yield();
    }
}

/* One pass over what is free outside of slabs. */
HAK_REQUIRES(hak_purge_lock) static size_t pass_outside(void)
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
    pass_each_heap(hak_heap_decay);
    size_t given = pass_age_slabs(round);
    given += pass_outside();
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

static size_t pass_idle_in_heaps(void)
{
    size_t idle = 0;
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        idle += hak_heap_idle(hak_heap_numbered(number));
    return idle;
}

size_t hak_purge_rush(size_t pages_from)
{
    size_t given = 0;
    struct hak_tcache *mine = hak_tcache_mine();
    if (mine)
        hak_tcache_empty(mine); /* else a few thousand blocks of its magazines would keep as many slabs */
    hak_lock(&hak_purge_lock);
    pass_each_heap(hak_heap_drain);
    if (pass_idle_in_heaps() >= pages_from)
        given += hak_purge_pages();
    for (unsigned i = 0; i <= HAK_PURGE_PASSES; i++) {
        given += pass_outside();
        pass_yield();
    }
    hak_unlock(&hak_purge_lock);
    hak_misuse_report();
    return given;
}

size_t hak_purge_idle(void)
{
    struct hak_idle idle = hak_trigger_idle();
    return hak_idle_outside(&idle) + pass_idle_in_heaps();
}

struct hak_idle hak_purge_rearm(size_t slack)
{
    struct hak_idle idle = hak_trigger_rearm(slack);
    for (uint32_t number = 1; number <= hak_heap_count(); number++)
        idle.heaps += hak_heap_rearm_purge(hak_heap_numbered(number), slack);
    return idle;
}
