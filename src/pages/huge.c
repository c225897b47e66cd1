/* SPDX-License-Identifier: MIT */
/*
 * huge.c - blocks that are mappings of their own, and the cache of freed ones.  Owns `huge`, guarded by hak_huge_lock
 * (HAK_RANK_HUGE).  Calls superslab.h, stuck.h, meta.h, os.h and misuse.h.
 *
 * Freed mappings are evicted under the lock and unmapped without it.  New mappings are made under it: see
 * huge_map_new().
 */
#include "pages/huge.h"

#include <string.h>

#include "pages/large.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"
#include "pages/stuck.h"
#include "pages/superslab.h"
#include "pages/trigger.h"

#define CACHE_ENTRIES 64u
#define CACHE_FIRST ((size_t)4 << 20) /* bytes that may be cached before caching more has proved its worth */
#define TABLE_FIRST ((size_t)256)     /* slots of the first table */
#define FREED_ENTRIES 64u

/* A mapping: a live huge block (in the table) or a cached one.  The block begins where the mapping does. */
struct mapping {
    char *at; /* NULL in a free slot of the table */
    size_t size;
};

HAK_LOCK_ALONE struct hak_lock hak_huge_lock = HAK_LOCK_INIT(HAK_RANK_HUGE);

/*
 * All else that this module knows.
 *
 * The block that was freed last is neither in the cache nor out of the table: a new block of its size needs no change
 * to either.  huge_table_find() does not find it.
 */
static struct {
    struct hak_huge_counts counts;

    /* Live blocks and last_freed: open addressing with linear probing; at most half full. */
    struct mapping *table;
    size_t table_size, table_used;

    struct mapping last_freed; /* `at` is NULL if the block that was freed last is not cached */
    unsigned last_freed_age;   /* calls of hak_huge_decay() since it was freed */
    size_t last_freed_limit;   /* bytes that last_freed and the cache may have together */

    struct mapping cache[CACHE_ENTRIES]; /* oldest first */
    unsigned cache_used;
    unsigned cache_seen[HAK_PURGE_PASSES]; /* entries that hak_huge_decay() has seen once or more, twice or more, ... */
    size_t cache_worth;   /* bytes that have proved worth caching */
    size_t cache_refused; /* bytes that were evicted for want of room since the last new mapping */

    /* Ring of blocks that were freed, or moved by realloc, lately: only to tell a double free. */
    struct mapping freed[FREED_ENTRIES];
    unsigned freed_next;                      /* the oldest entry */
    uintptr_t forgotten_low, forgotten_high; /* all blocks that left the ring lay between these */

    struct hak_stuck *stuck; /* freed mappings that the kernel would not unmap */
} huge HAK_GUARDED_BY(hak_huge_lock) = {
    .cache_worth = CACHE_FIRST,
    .forgotten_low = UINTPTR_MAX,
};

/* ---- the table ---- */

HAK_REQUIRES(hak_huge_lock)
static size_t huge_table_slot(const void *at)
{
    return (size_t)(((uintptr_t)at >> 12) * 0x9e3779b97f4a7c15u >> 20) & (huge.table_size - 1);
}

HAK_REQUIRES(hak_huge_lock)
static struct mapping *huge_table_find(const void *at)
{
    if (huge.table_size == 0 || at == huge.last_freed.at)
        return NULL;
    for (size_t i = huge_table_slot(at); huge.table[i].at; i = (i + 1) & (huge.table_size - 1))
        if (huge.table[i].at == at)
            return &huge.table[i];
    return NULL;
}

HAK_REQUIRES(hak_huge_lock)
static void huge_table_insert(struct mapping mapping)
{
    size_t i = huge_table_slot(mapping.at);
    while (huge.table[i].at)
        i = (i + 1) & (huge.table_size - 1);
    huge.table[i] = mapping;
    huge.table_used++;
}

/* Closes the gap, so that no search stops short (Knuth, The Art of Computer Programming 6.4, algorithm R). */
HAK_REQUIRES(hak_huge_lock)
static void huge_table_erase(struct mapping *mapping)
{
    size_t gap = (size_t)(mapping - huge.table), mask = huge.table_size - 1;
    for (size_t i = (gap + 1) & mask; huge.table[i].at; i = (i + 1) & mask)
        if (((i - huge_table_slot(huge.table[i].at)) & mask) >= ((i - gap) & mask)) {
            huge.table[gap] = huge.table[i];
            gap = i;
        }
    huge.table[gap].at = NULL;
    huge.table_used--;
}

/* Room for one more block, before a mapping is made that would have to be undone.  False if memory is out. */
HAK_REQUIRES(hak_huge_lock)
static bool huge_table_make_room(void)
{
    if ((huge.table_used + 1) * 2 <= huge.table_size)
        return true;
    size_t old_size = huge.table_size;
    struct mapping *old = huge.table;
    size_t size = old_size ? old_size * 2 : TABLE_FIRST;
    struct mapping *fresh = hak_meta_alloc(size * sizeof *fresh);
    if (!fresh)
        return false;
    huge.table = fresh;
    huge.table_size = size;
    huge.table_used = 0;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].at)
            huge_table_insert(old[i]);
    if (old)
        hak_meta_free(old, old_size * sizeof *old);
    return true;
}

/* ---- what was freed ---- */

static bool huge_mapping_holds(const void *p, struct mapping mapping)
{
    return mapping.at && (uintptr_t)p - (uintptr_t)mapping.at < mapping.size;
}

HAK_REQUIRES(hak_huge_lock)
static void huge_freed_forget(struct mapping mapping)
{
    if (!mapping.at)
        return;
    huge.forgotten_low = HAK_MIN(huge.forgotten_low, (uintptr_t)mapping.at);
    huge.forgotten_high = HAK_MAX(huge.forgotten_high, (uintptr_t)mapping.at + mapping.size);
}

HAK_REQUIRES(hak_huge_lock)
static void huge_freed_note(struct mapping mapping)
{
    unsigned last = (huge.freed_next + FREED_ENTRIES - 1) % FREED_ENTRIES;
    /* A program that uses one block again and again must not drive out all others. */
    unsigned slot = huge.freed[last].at == mapping.at ? last : huge.freed_next++ % FREED_ENTRIES;
    huge.freed_next %= FREED_ENTRIES;
    huge_freed_forget(huge.freed[slot]);
    huge.freed[slot] = mapping;
}

HAK_REQUIRES(hak_huge_lock)
static void huge_count_in(size_t size)
{
    huge.counts.blocks++;
    huge.counts.bytes += size;
}

HAK_REQUIRES(hak_huge_lock)
static void huge_count_out(size_t size)
{
    huge.counts.blocks--;
    huge.counts.bytes -= size;
}

/* Takes last_freed out of the table: a mapping is left, which no block is in. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_retire_last(void)
{
    struct mapping mapping = huge.last_freed;
    huge.last_freed.at = NULL;
    huge.counts.last_freed = 0;
    huge_table_erase(huge_table_find(mapping.at));
    huge_count_out(mapping.size);
    huge_freed_note(mapping);
    return mapping;
}

/* What is known of an address that begins no live huge block. */
struct finding {
    enum { FINDING_NOTHING, FINDING_INSIDE, FINDING_FREED, FINDING_DEAD } kind;
    struct mapping mapping; /* the block around it, or that began there */
};

/* Looks for an address among the blocks that were freed lately, the newest first. */
HAK_REQUIRES(hak_huge_lock)
static struct finding huge_find_freed(const void *p)
{
    bool was_ours = ((uintptr_t)p >= huge.forgotten_low && (uintptr_t)p < huge.forgotten_high) ||
                    huge_mapping_holds(p, huge.last_freed);
    if (p == huge.last_freed.at)
        return (struct finding){FINDING_FREED, huge.last_freed};
    for (unsigned i = FREED_ENTRIES; i-- > 0;) {
        struct mapping mapping = huge.freed[(huge.freed_next + i) % FREED_ENTRIES];
        if (mapping.at == p)
            return (struct finding){FINDING_FREED, mapping};
        was_ours = was_ours || huge_mapping_holds(p, mapping);
    }
    return (struct finding){was_ours ? FINDING_DEAD : FINDING_NOTHING, {0}};
}

HAK_REQUIRES(hak_huge_lock)
static struct finding huge_find_around(const void *p)
{
    for (size_t i = 0; i < huge.table_size; i++)
        if (huge_mapping_holds(p, huge.table[i]) && huge.table[i].at != huge.last_freed.at)
            return (struct finding){FINDING_INSIDE, huge.table[i]};
    return huge_find_freed(p);
}

HAK_EXCLUDES(hak_huge_lock)
static HAK_COLD void huge_report(const char *call, const void *p, const struct finding *finding)
{
    switch (finding->kind) {
    case FINDING_INSIDE:
        hak_misuse_within(call, p, finding->mapping.at, finding->mapping.size);
        break;
    case FINDING_FREED:
        hak_misuse_double_free(call, p, finding->mapping.size);
        break;
    case FINDING_DEAD:
        hak_misuse_dead(call, p);
        break;
    case FINDING_NOTHING:
        hak_large_misuse(call, p);
        break;
    }
}

/* ---- what could not be unmapped ---- */

/* Keeps a mapping that could not be unmapped.  Its memory goes back to the kernel even if its addresses cannot. */
HAK_REQUIRES(hak_huge_lock)
static void huge_stuck_keep(struct mapping mapping)
{
    hak_os_purge(mapping.at, mapping.size);
    hak_stuck_put(&huge.stuck, (struct hak_stuck_range){mapping.at, mapping.size});
    huge.counts.stuck += mapping.size;
}

/* False if the kernel would not; then the mapping is on the list. */
HAK_EXCLUDES(hak_huge_lock)
static bool huge_unmap(struct mapping mapping)
{
    bool unmapped = hak_os_unmap(mapping.at, mapping.size);
    if (HAK_LIKELY(unmapped)) {
        hak_limit_release(mapping.size);
        return true;
    }
    hak_lock(&hak_huge_lock);
    huge_stuck_keep(mapping);
    hak_unlock(&hak_huge_lock);
    hak_limit_release(mapping.size);
    return false;
}

/* Tries to unmap all mappings of the list once more; returns the bytes of address space given back. */
HAK_EXCLUDES(hak_huge_lock)
static size_t huge_stuck_unmap(void)
{
    size_t given = 0;
    struct hak_stuck_range range;
    hak_lock(&hak_huge_lock);
    struct hak_stuck *all = huge.stuck;
    huge.stuck = NULL;
    huge.counts.stuck = 0;
    hak_unlock(&hak_huge_lock);
    while ((range = hak_stuck_pop(&all)).size) {
        struct mapping mapping = {range.at, range.size};
        hak_limit_add(mapping.size); /* which huge_unmap() releases, although the memory went back long ago */
        if (huge_unmap(mapping))
            given += mapping.size;
    }
    return given;
}

/* ---- the cache ---- */

HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_cache_remove(unsigned i)
{
    struct mapping mapping = huge.cache[i];
    if (i < --huge.cache_used)
        memmove(&huge.cache[i], &huge.cache[i + 1], (huge.cache_used - i) * sizeof *huge.cache);
    for (unsigned times = 0; times < HAK_PURGE_PASSES; times++)
        huge.cache_seen[times] -= i < huge.cache_seen[times];
    huge.counts.cached -= mapping.size;
    return mapping;
}

/* A mapping from the smallest cached one that suffices; of size 0 if none does.  If more than a quarter would be too
 * much, the rest stays in the cache. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_cache_take(size_t size, size_t align)
{
    unsigned best = CACHE_ENTRIES;
    for (unsigned i = 0; i < huge.cache_used; i++)
        if (huge.cache[i].size >= size && ((uintptr_t)huge.cache[i].at & (align - 1)) == 0 &&
            (best == CACHE_ENTRIES || huge.cache[i].size < huge.cache[best].size))
            best = i;
    if (best == CACHE_ENTRIES)
        return (struct mapping){0};
    if (huge.cache[best].size - size <= size / 4)
        return huge_cache_remove(best);
    struct mapping mapping = {huge.cache[best].at, size};
    huge.cache[best].at += size;
    huge.cache[best].size -= size;
    huge.counts.cached -= size;
    return mapping;
}

/* Bytes that the cache and last_freed may have together.  A quarter of what is live, so that the cache does not decide
 * the program's footprint; but at least cache_worth, which is enough for a program that uses one or two blocks in turn;
 * at most what superslabs may keep; nothing if the knob huge_cache is 0. */
HAK_REQUIRES(hak_huge_lock)
static size_t huge_cache_limit(void)
{
    size_t enough = HAK_MIN(hak_knob_value(huge_cache), huge.cache_worth);
    return enough ? HAK_MIN(HAK_MAX(enough, (huge.counts.bytes - huge.counts.last_freed) / 4), hak_super_keep()) : 0;
}

HAK_REQUIRES(hak_huge_lock)
static void huge_note_idle(void)
{
    hak_trigger_compare(hak_huge_idle(&huge.counts), hak_load(&hak_trigger.mappings));
}

/* Takes the mapping that has been cached the longest, which the caller has to unmap without the lock. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_evict(void)
{
    struct mapping mapping = huge.cache_used ? huge_cache_remove(0) : huge_retire_last();
    huge.counts.purged += mapping.size;
    return mapping;
}

/* Evicts for want of room. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_refuse(void)
{
    struct mapping mapping = huge_evict();
    huge.cache_refused += mapping.size;
    return mapping;
}

/* Adds a mapping as the newest, which `seen` calls of hak_huge_decay() have seen as last_freed.  Returns the mapping
 * that was evicted for it, as huge_evict() does; of size 0 if none was. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_cache_add(struct mapping mapping, unsigned seen)
{
    struct mapping evicted = {0};
    if (HAK_UNLIKELY(huge.cache_used == CACHE_ENTRIES))
        evicted = huge_refuse();
    for (unsigned times = 0; times < HAK_PURGE_PASSES; times++)
        huge.cache_seen[times] += times < seen && huge.cache_seen[times] == huge.cache_used;
    huge.cache[huge.cache_used++] = mapping;
    huge.counts.cached += mapping.size;
    return evicted;
}

/* Moves last_freed, if there is one, to the cache.  Returns what huge_cache_add() does. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_last_to_cache(void)
{
    return huge.last_freed.at ? huge_cache_add(huge_retire_last(), huge.last_freed_age) : (struct mapping){0};
}

/* ---- eviction ---- */

/* Mappings that were evicted under the lock, to be unmapped without it: all that can be cached, last_freed, and one for
 * which another was evicted. */
struct evicted {
    unsigned count;
    struct mapping out[CACHE_ENTRIES + 2];
};

static void evicted_add(struct evicted *evicted, struct mapping mapping)
{
    if (mapping.size)
        evicted->out[evicted->count++] = mapping;
}

/* Returns the bytes. */
static size_t evicted_unmap(const struct evicted *evicted)
{
    size_t given = 0;
    for (unsigned i = 0; i < evicted->count; i++) {
        given += evicted->out[i].size;
        huge_unmap(evicted->out[i]);
    }
    return given;
}

size_t hak_huge_purge(size_t keep)
{
    struct evicted evicted;
    size_t given = huge_stuck_unmap();
    evicted.count = 0;
    hak_lock(&hak_huge_lock);
    while (hak_huge_idle(&huge.counts) > keep)
        evicted_add(&evicted, huge_evict());
    huge.last_freed_limit = 0; /* huge_cache_limit() may have changed: the next free calls it */
    hak_unlock(&hak_huge_lock);
    return given + evicted_unmap(&evicted);
}

size_t hak_huge_shed(size_t bytes)
{
    struct evicted evicted;
    size_t shed = 0;
    evicted.count = 0;
    hak_lock(&hak_huge_lock);
    evicted_add(&evicted, huge_last_to_cache());
    while (huge.cache_used && huge.cache[0].size <= bytes - shed) {
        shed += huge.cache[0].size;
        evicted_add(&evicted, huge_evict());
    }
    hak_unlock(&hak_huge_lock);
    evicted_unmap(&evicted);
    return shed;
}

size_t hak_huge_decay(void)
{
    struct evicted evicted;
    evicted.count = 0;
    hak_lock(&hak_huge_lock);
    while (huge.cache_seen[HAK_PURGE_PASSES - 1])
        evicted_add(&evicted, huge_evict());
    memmove(huge.cache_seen + 1, huge.cache_seen, sizeof huge.cache_seen - sizeof *huge.cache_seen);
    huge.cache_seen[0] = huge.cache_used;
    /* What is in the cache was freed before last_freed, so its turn comes first. */
    if (huge.last_freed.at && huge.last_freed_age++ >= HAK_PURGE_PASSES && !huge.cache_used)
        evicted_add(&evicted, huge_evict());
    hak_unlock(&hak_huge_lock);
    return evicted_unmap(&evicted);
}

/* ---- blocks ---- */

/* Unmaps a part of a mapping that nobody needs. */
HAK_REQUIRES(hak_huge_lock)
static void huge_trim(char *at, size_t size)
{
    if (size && !hak_os_unmap(at, size))
        huge_stuck_keep((struct mapping){at, size});
}

/* A new mapping; cut out of a larger one if the alignment is more than the kernel's. */
HAK_REQUIRES(hak_huge_lock)
static char *huge_map_aligned(size_t size, size_t align)
{
    if (align <= hak_os_page)
        return hak_os_map(size);
    char *at = hak_os_map(size + align - hak_os_page);
    if (!at)
        return NULL;
    char *block = (char *)hak_round_up((uintptr_t)at, align);
    char *end = at + size + align - hak_os_page;
    huge_trim(at, (size_t)(block - at));
    huge_trim(block + size, (size_t)(end - block) - size);
    return block;
}

/* A mapping of the size, charged; its address is NULL if the limit or the kernel does not allow it.  The lock is held
 * across the system call, so that the room that the table has stays; no page is faulted in here. */
HAK_REQUIRES(hak_huge_lock)
static struct mapping huge_map_new(size_t size, size_t align, bool *zero)
{
    struct mapping mapping = {NULL, size};
    if (huge.cache_refused >= size) /* had that been cached, no mapping were needed now */
        huge.cache_worth = HAK_MIN(huge.cache_worth * 2, hak_knob_value(huge_cache));
    huge.cache_refused = 0;
    if (!hak_limit_charge(size))
        return mapping;
    struct hak_stuck_range kept = hak_stuck_take(&huge.stuck, size, align);
    huge.counts.stuck -= kept.size;
    *zero = kept.size == 0;
    mapping.at = kept.size ? kept.at : huge_map_aligned(size, align);
    if (!mapping.at)
        hak_limit_release(size);
    return mapping;
}

void *hak_huge_alloc(size_t size, size_t align, bool *zero)
{
    if (size > PTRDIFF_MAX - align)
        return NULL;
    size = hak_round_up(HAK_MAX(size, 1), hak_os_page);
    *zero = false;
    hak_lock(&hak_huge_lock);
    if (huge.counts.last_freed == size && ((uintptr_t)huge.last_freed.at & (align - 1)) == 0) {
        char *at = huge.last_freed.at;
        huge.last_freed.at = NULL;
        huge.counts.last_freed = 0;
        hak_unlock(&hak_huge_lock);
        return at;
    }
    struct mapping evicted = huge_last_to_cache();
    if (evicted.size) {
        hak_unlock(&hak_huge_lock);
        huge_unmap(evicted);
        hak_lock(&hak_huge_lock);
    }
    if (!huge_table_make_room()) {
        hak_unlock(&hak_huge_lock);
        return NULL;
    }
    struct mapping mapping = huge_cache_take(size, align);
    if (mapping.size == 0) {
        mapping = huge_map_new(size, align, zero);
        if (!mapping.at && huge.counts.cached) {
            hak_unlock(&hak_huge_lock);
            hak_huge_purge(0);
            return hak_huge_alloc(size, align, zero);
        }
    }
    if (mapping.at) {
        huge_table_insert(mapping);
        huge_count_in(mapping.size);
    }
    hak_unlock(&hak_huge_lock);
    return mapping.at;
}

bool hak_huge_clear(void *p, size_t size)
{
    return hak_os_purge(p, hak_round_up(size, hak_os_page));
}

/* Notes the misuse of an address at which no live huge block begins.  Without the lock, as the page heap is asked. */
HAK_RELEASES(hak_huge_lock)
static HAK_COLD void huge_unlock_and_report(const char *call, const void *p)
{
    struct finding finding = huge_find_around(p);
    hak_unlock(&hak_huge_lock);
    huge_report(call, p, &finding);
}

HAK_REQUIRES(hak_huge_lock)
HAK_INLINE void huge_set_last(struct mapping mapping)
{
    huge.last_freed = mapping;
    huge.last_freed_age = 0;
    huge.counts.last_freed = mapping.size;
}

/* Frees a block where last_freed has to make way, or more would be cached than may be: evicts the oldest. */
HAK_RELEASES(hak_huge_lock)
static HAK_NOINLINE void huge_free_slow(struct mapping mapping)
{
    struct evicted evicted;
    unsigned seen = huge.last_freed_age;
    struct mapping before = huge.last_freed.at ? huge_retire_last() : huge.last_freed;
    evicted.count = 0;
    huge_set_last(mapping);
    if (before.at)
        evicted_add(&evicted, huge_cache_add(before, seen));
    huge_note_idle();
    while (hak_huge_idle(&huge.counts) > huge_cache_limit())
        evicted_add(&evicted, huge_refuse());
    huge.last_freed_limit = huge_cache_limit();
    hak_unlock(&hak_huge_lock);
    evicted_unmap(&evicted);
}

void hak_huge_free(const char *call, void *p)
{
    hak_lock(&hak_huge_lock);
    const struct mapping *found = huge_table_find(p);
    if (HAK_UNLIKELY(!found)) {
        huge_unlock_and_report(call, p);
        return;
    }
    if (HAK_LIKELY(!huge.last_freed.at && found->size + huge.counts.cached <= huge.last_freed_limit)) {
        huge_set_last(*found);
        huge_note_idle();
        hak_unlock(&hak_huge_lock);
    } else {
        huge_free_slow(*found);
    }
}

size_t hak_huge_usable(const char *call, const void *p)
{
    hak_lock(&hak_huge_lock);
    const struct mapping *found = huge_table_find(p);
    if (HAK_UNLIKELY(!found)) {
        huge_unlock_and_report(call, p);
        return 0;
    }
    size_t size = found->size;
    hak_unlock(&hak_huge_lock);
    return size;
}

bool hak_huge_is_block(const void *p)
{
    hak_lock(&hak_huge_lock);
    bool is_block = huge_table_find(p) != NULL;
    hak_unlock(&hak_huge_lock);
    return is_block;
}

HAK_REQUIRES(hak_huge_lock)
static void *huge_remap(struct mapping mapping, size_t size)
{
    size_t more = size > mapping.size ? size - mapping.size : 0;
    if (!hak_limit_charge(more))
        return NULL;
    void *at = hak_os_remap(mapping.at, mapping.size, size, true);
    hak_limit_release(at ? mapping.size + more - size : more);
    return at;
}

void *hak_huge_resize(const char *call, void *p, size_t size)
{
    if (size <= hak_super_run_max / 2 || size > PTRDIFF_MAX)
        return NULL;
    size = hak_round_up(size, hak_os_page);
    hak_lock(&hak_huge_lock);
    struct mapping *found = huge_table_find(p);
    if (HAK_UNLIKELY(!found)) { /* another thread has freed it since its size was asked for */
        huge_unlock_and_report(call, p);
        return NULL;
    }
    struct mapping mapping = *found;
    if (size <= mapping.size && size >= mapping.size - mapping.size / 4) {
        hak_unlock(&hak_huge_lock);
        return p;
    }
    /* A block that grows will grow again: map an eighth more, of which no page is faulted in yet. */
    size_t wanted = size > mapping.size ? hak_round_up(size + size / 8, hak_os_page) : size;
    void *at = huge_remap(mapping, wanted);
    if (!at && wanted > size)
        at = huge_remap(mapping, wanted = size);
    if (at) {
        huge_table_erase(found);
        if (at != mapping.at || wanted < mapping.size)
            huge_freed_note(mapping);
        huge_table_insert((struct mapping){at, wanted});
        huge.counts.bytes += wanted - mapping.size;
    }
    hak_unlock(&hak_huge_lock);
    return at;
}

struct hak_huge_counts hak_huge_count(void)
{
    hak_lock(&hak_huge_lock);
    struct hak_huge_counts result = huge.counts;
    hak_unlock(&hak_huge_lock);
    return result;
}

const struct hak_huge_counts *hak_huge_counts_at(void)
{
    return &huge.counts;
}

/* Walks the whole table at each call, as it has no order, and keeps the lowest addresses in a sorted array. */
unsigned hak_huge_after(const void *address, struct hak_huge_block *blocks, unsigned room)
{
    unsigned found = 0;
    hak_lock(&hak_huge_lock);
    for (size_t i = 0; i < huge.table_size; i++) {
        struct mapping mapping = huge.table[i];
        if (!mapping.at || mapping.at == huge.last_freed.at || (uintptr_t)mapping.at <= (uintptr_t)address)
            continue;
        if (found == room && (uintptr_t)mapping.at > (uintptr_t)blocks[found - 1].at)
            continue;
        unsigned place = found < room ? found++ : found - 1;
        for (; place > 0 && (uintptr_t)blocks[place - 1].at > (uintptr_t)mapping.at; place--)
            blocks[place] = blocks[place - 1];
        blocks[place] = (struct hak_huge_block){mapping.at, mapping.size};
    }
    hak_unlock(&hak_huge_lock);
    return found;
}
