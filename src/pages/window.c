/* SPDX-License-Identifier: MIT */
/*
 * window.c - places windows in the address space and superslabs in windows.  Owns hak_window_first, the windows behind
 * it and `windows`; they grow under hak_window_lock (HAK_RANK_WINDOW).  Calls meta.h, os.h and thp.h.
 */
#include "pages/window.h"

#include <string.h>

#include "pages/meta.h"
#include "os/os.h"
#include "pages/thp.h"

/* The window grows by an eighth of the superslabs that are mapped, but by no more than this many at a time. */
#define GROW_MAX 16u
/* A window is taken for full when something else is mapped at so many places in a row. */
#define OCCUPIED_MAX 64u

struct hak_window hak_window_first;
size_t hak_window_limit;

HAK_LOCK_ALONE struct hak_lock hak_window_lock = HAK_LOCK_INIT(HAK_RANK_WINDOW);

/* All else that this module knows. */
static struct {
    struct hak_window *newest HAK_GUARDED_BY(hak_window_lock); /* the one that grows */
    _Atomic size_t supers;                                     /* superslabs that are mapped */
} windows = {.newest = &hak_window_first};

/* The bytes of the page map entries of so many units, or of all units that the window has, in whole pages. */
static size_t window_map_bytes(const struct hak_window *window, size_t units)
{
    return hak_round_up(HAK_MIN(units, window->units) * sizeof *window->map, hak_os_page);
}

/* The page map has grown to `size` bytes. */
static void window_map_set_size(struct hak_window *window, size_t size)
{
    hak_meta_count(size - window_map_bytes(window, hak_load(&window->map_units)));
    hak_store_release(&window->map_units, HAK_MIN(size / sizeof *window->map, window->units));
}

/* Makes the table of chunks, and the page map as far as the first chunk goes.  False if memory is out. */
static bool window_alloc_tables(struct hak_window *window)
{
    size_t room = window_map_bytes(window, SIZE_MAX), first = window_map_bytes(window, HAK_CHUNK_UNITS);
    size_t table_size = (window->supers + HAK_CHUNK_SUPERS - 1) / HAK_CHUNK_SUPERS * sizeof *window->chunks;
    void *table = hak_meta_alloc(table_size);
    void *map = table ? hak_os_map_own_growing(first, room, &window->map_reserved) : NULL;
    if (!map) {
        if (table)
            hak_meta_free(table, table_size);
        return false;
    }
    window->map = map;
    window->chunks = table;
    window_map_set_size(window, first);
    return true;
}

static bool window_place(struct hak_window *window, uintptr_t base, size_t size, bool reserved)
{
    window->base = base;
    window->supers = size >> HAK_SUPER_SHIFT;
    window->units = window->supers * HAK_SUPER_UNITS;
    window->reserved = reserved;
    if (window_alloc_tables(window))
        return true;
    window->units = 0; /* by which the next attempt to start knows that there is no window */
    return false;
}

/* Places the window in address space that a mapping without access holds, of the largest power of two that the kernel
 * grants. */
static bool window_place_reserved(struct hak_window *window, size_t size)
{
    for (; size >= 2 * HAK_SUPER; size /= 2) {
        char *at = hak_os_reserve(size);
        if (!at)
            continue;
        uintptr_t base = hak_round_up((uintptr_t)at, HAK_SUPER);
        if (window_place(window, base, size - HAK_SUPER, true))
            return true;
        hak_os_release(at, size);
    }
    return false;
}

static size_t window_size(void)
{
    size_t size = hak_os_window_size();
    return hak_window_limit ? HAK_MIN(size, hak_window_limit) : size;
}

bool hak_window_start(void)
{
    size_t size = window_size();
    for (unsigned attempt = 0;; attempt++) {
        uintptr_t hint = hak_os_window_hint(attempt);
        if (hint == 0)
            return window_place_reserved(&hak_window_first, size);
        if (hak_os_map_at((void *)hint, HAK_SUPER) != HAK_OS_CLAIMED)
            continue;
        hak_os_unmap((void *)hint, HAK_SUPER);
        if (window_place(&hak_window_first, hint, size, false))
            return true;
    }
}

/* Adds a window behind the others. */
HAK_REQUIRES(hak_window_lock)
static bool window_add(void)
{
    struct hak_window *window = hak_meta_alloc(sizeof *window);
    if (!window)
        return false;
    if (!window_place_reserved(window, HAK_MIN(window_size(), (size_t)64 << 30))) {
        hak_meta_free(window, sizeof *window);
        return false;
    }
    hak_store_release(&windows.newest->next, window);
    windows.newest = window;
    return true;
}

/* Maps fresh pages at an address that is either reserved or empty. */
static enum hak_os_claim window_claim_at(void *at, size_t size, bool reserved)
{
    if (reserved)
        return hak_os_commit(at, size) ? HAK_OS_CLAIMED : HAK_OS_NO_MEMORY;
    return hak_os_map_at(at, size);
}

/* Makes page map entries for the chunk of superslab `index`. */
HAK_REQUIRES(hak_window_lock)
static enum hak_os_claim window_map_grow(struct hak_window *window, size_t index)
{
    size_t size = window_map_bytes(window, hak_load(&window->map_units));
    size_t wanted = window_map_bytes(window, (index / HAK_CHUNK_SUPERS + 1) * HAK_CHUNK_UNITS);
    if (wanted <= size)
        return HAK_OS_CLAIMED;
    enum hak_os_claim got = window_claim_at((char *)window->map + size, wanted - size, window->map_reserved);
    if (got == HAK_OS_CLAIMED)
        window_map_set_size(window, wanted);
    return got;
}

/* The chunk of superslab `index`, whose page map entries are there.  NULL if memory is out. */
HAK_REQUIRES(hak_window_lock)
static struct hak_chunk *window_chunk_for(struct hak_window *window, size_t index)
{
    _Atomic(struct hak_chunk *) *slot = &window->chunks[index / HAK_CHUNK_SUPERS];
    struct hak_chunk *chunk = hak_load(slot);
    if (!chunk) {
        chunk = hak_meta_alloc(sizeof *chunk);
        if (chunk)
            hak_store_release(slot, chunk);
    }
    return chunk;
}

HAK_REQUIRES(hak_super_lock)
static void super_set_clean(struct hak_super *super)
{
    super->free = super->dirty = 0;
    super->mapped = true;
    super->thp_deferred = false;
    memset(super->epoch, 0, sizeof super->epoch);
}

static struct hak_super *super_set_up(struct hak_window *window, struct hak_chunk *chunk, size_t index)
{
    struct hak_super *super = &chunk->supers[index % HAK_CHUNK_SUPERS];
    super->base = (char *)window->base + (index << HAK_SUPER_SHIFT);
    super->slabs = &chunk->slabs[(index % HAK_CHUNK_SUPERS) * HAK_SUPER_UNITS];
    super->window = window;
    return super;
}

void hak_window_added(struct hak_super *super)
{
    hak_lock_assert_held(&hak_super_lock);
    for (unsigned i = 0; i < HAK_SUPER_UNITS && !super->slabs[i].super; i++) {
        super->slabs[i].super = super;
        super->slabs[i].base = super->base + i * HAK_UNIT;
    }
    super_set_clean(super);
}

static bool window_thp_wanted(bool long_run)
{
    return hak_thp_wanted(hak_load(&windows.supers) << HAK_SUPER_SHIFT, long_run);
}

bool hak_window_wants_huge(void)
{
    return window_thp_wanted(false);
}

/* Asks for huge pages in consecutive superslabs, or tells the kernel to make none there. */
static void window_request_thp(struct hak_super *first, size_t count, bool long_run)
{
    bool huge = window_thp_wanted(long_run);
    for (size_t i = 0; i < count; i++) {
        first[i].huge = huge;
        first[i].long_run = long_run && !huge;
    }
    hak_os_want_huge(first->base, count << HAK_SUPER_SHIFT, huge);
}

static enum hak_os_claim window_claim(struct hak_window *window, size_t index, size_t count)
{
    char *at = (char *)window->base + (index << HAK_SUPER_SHIFT);
    return window_claim_at(at, count << HAK_SUPER_SHIFT, window->reserved);
}

/* The next superslabs of one window.  NULL with *full set if it has no more room, and without if memory is out. */
HAK_REQUIRES(hak_window_lock)
static struct hak_super *window_grow(struct hak_window *window, size_t want, bool long_run, bool *full)
{
    unsigned occupied = 0;
    *full = false;
    while (window->next_super < window->supers && occupied < OCCUPIED_MAX) {
        size_t index = window->next_super;
        size_t count = long_run ? 1 : HAK_MIN(HAK_MAX(hak_load(&windows.supers) / 8, 1), GROW_MAX);
        count = HAK_MAX(count, want);
        count = HAK_MIN(count, HAK_CHUNK_SUPERS - index % HAK_CHUNK_SUPERS);
        count = HAK_MIN(count, window->supers - index);
        enum hak_os_claim got = window_map_grow(window, index);
        if (got == HAK_OS_OCCUPIED) /* what lies behind the map; the window is full */
            break;
        struct hak_chunk *chunk = got == HAK_OS_CLAIMED ? window_chunk_for(window, index) : NULL;
        if (!chunk)
            return NULL;
        got = window_claim(window, index, count);
        if (got != HAK_OS_CLAIMED && count > 1) {
            count = 1;
            got = window_claim(window, index, count);
        }
        if (got == HAK_OS_NO_MEMORY)
            return NULL;
        window->next_super += count;
        if (got == HAK_OS_OCCUPIED) {
            occupied++;
            continue;
        }
        struct hak_super *chain = NULL;
        for (size_t i = count; i-- > 0;) {
            struct hak_super *super = super_set_up(window, chunk, index + i);
            super->next = chain;
            chain = super;
        }
        hak_fetch_add(&windows.supers, count);
        window_request_thp(chain, count, long_run);
        return chain;
    }
    *full = true;
    return NULL;
}

struct hak_super *hak_window_grow(size_t want, bool long_run)
{
    bool full;
    hak_lock(&hak_window_lock);
    struct hak_super *chain = window_grow(windows.newest, want, long_run, &full);
    if (!chain && full && window_add())
        chain = window_grow(windows.newest, want, long_run, &full);
    hak_unlock(&hak_window_lock);
    return chain;
}

bool hak_window_unmap(struct hak_super *super)
{
    if (!hak_os_unmap(super->base, HAK_SUPER))
        return false;
    hak_fetch_sub(&windows.supers, 1);
    return true;
}

enum hak_os_claim hak_window_remap(struct hak_super *super, bool long_run)
{
    enum hak_os_claim got = hak_os_map_at(super->base, HAK_SUPER);
    if (got != HAK_OS_CLAIMED)
        return got;
    hak_fetch_add(&windows.supers, 1);
    window_request_thp(super, 1, long_run);
    return got;
}
