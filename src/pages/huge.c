/* SPDX-License-Identifier: MIT */
/*
 * huge.c - blocks that are mappings of their own, and the cache of freed ones.  Owns the table of huge blocks, the
 * cache, what was freed lately and what could not be unmapped, guarded by hak_huge_lock (HAK_RANK_HUGE).  Calls
 * superslab.h, meta.h, os.h and misuse.h; unmaps without the lock.
 */
#include "pages/huge.h"

#include <string.h>

#include "pages/large.h"
#include "pages/limit.h"
#include "pages/meta.h"
#include "os/os.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"
#include "pages/superslab.h"
#include "pages/trigger.h"

#define CACHE_ENTRIES 64u
#define CACHE_FIRST ((size_t)4 << 20) /* what the cache may hold before it has proved its worth */
#define TABLE_FIRST ((size_t)256)
#define FREED_ENTRIES 64u

/* A mapping: a live huge block (in the table) or a cached one.  The block begins where the mapping does. */
struct mapping {
    char *at; /* NULL: the table's slot is free */
    size_t size;
};

HAK_LOCK_ALONE struct hak_lock hak_huge_lock = HAK_LOCK_INIT(HAK_RANK_HUGE);

/* Open addressing with linear probing; at most half full. */
static struct mapping *table;
static size_t table_size, table_used;

/* The block that was freed last, if it is kept: in front of the cache, and in the table still, so that a block of the
 * same size that comes next costs no change there.  Nobody finds it in the table. */
static struct mapping last_freed;
static unsigned last_freed_age; /* by how many calls of hak_huge_decay() */
static size_t last_freed_limit;   /* bytes that it and the cache may have together */

static struct mapping cache[CACHE_ENTRIES]; /* oldest first */
static unsigned cache_used;
static size_t cache_worth = CACHE_FIRST;
static size_t cache_refused; /* bytes of freed mappings that were not kept since the last new mapping */
/* How many of them hak_huge_decay() has seen once at least, twice at least, and so on. */
static unsigned cache_seen[HAK_PURGE_PASSES];
static struct hak_huge_counts counts;

/* Blocks that were freed, or moved by realloc, lately; for nothing but to tell a double free when it comes. */
static struct mapping freed[FREED_ENTRIES];
static unsigned freed_next; /* the oldest */
/* All those before them lie in between. */
static uintptr_t forgotten_low = UINTPTR_MAX, forgotten_high;

/* Freed mappings that the kernel would not unmap (it may have to divide one, and allows a process only so many). Each
 * begins with this. */
struct stuck {
    struct stuck *next;
    size_t size;
};
static struct stuck *stuck;

/* ---- the table ---- */

static size_t slot_for(const void *at)
{
    return (size_t)(((uintptr_t)at >> 12) * 0x9e3779b97f4a7c15u >> 20) & (table_size - 1);
}

static struct mapping *find(const void *at)
{
    if (table_size == 0 || at == last_freed.at)
        return NULL;
    for (size_t i = slot_for(at); table[i].at; i = (i + 1) & (table_size - 1))
        if (table[i].at == at)
            return &table[i];
    return NULL;
}

static void insert(struct mapping mapping)
{
    size_t i = slot_for(mapping.at);
    while (table[i].at)
        i = (i + 1) & (table_size - 1);
    table[i] = mapping;
    table_used++;
}

/* Closes the gap, so that no search stops short (Knuth, The Art of Computer Programming 6.4, algorithm R). */
static void erase(struct mapping *mapping)
{
    size_t gap = (size_t)(mapping - table), mask = table_size - 1;
    for (size_t i = (gap + 1) & mask; table[i].at; i = (i + 1) & mask)
        if (((i - slot_for(table[i].at)) & mask) >= ((i - gap) & mask)) {
            table[gap] = table[i];
            gap = i;
        }
    table[gap].at = NULL;
    table_used--;
}

/* Room for one more, before a mapping is made that would have to be undone. */
static bool table_has_room(void)
{
    if ((table_used + 1) * 2 <= table_size)
        return true;
    size_t old_size = table_size;
    struct mapping *old = table;
    size_t size = old_size ? old_size * 2 : TABLE_FIRST;
    struct mapping *fresh = hak_meta_alloc(size * sizeof *fresh);
    if (!fresh)
        return false;
    table = fresh;
    table_size = size;
    table_used = 0;
    for (size_t i = 0; i < old_size; i++)
        if (old[i].at)
            insert(old[i]);
    if (old)
        hak_meta_free(old, old_size * sizeof *old);
    return true;
}

/* ---- what was freed ---- */

static bool within(const void *p, struct mapping mapping)
{
    return mapping.at && (uintptr_t)p - (uintptr_t)mapping.at < mapping.size;
}

static void forget(struct mapping mapping)
{
    if (!mapping.at)
        return;
    forgotten_low = HAK_MIN(forgotten_low, (uintptr_t)mapping.at);
    forgotten_high = HAK_MAX(forgotten_high, (uintptr_t)mapping.at + mapping.size);
}

static void remember(struct mapping mapping)
{
    unsigned last = (freed_next + FREED_ENTRIES - 1) % FREED_ENTRIES;
    /* A program that uses one block again and again must not drive out all others. */
    unsigned slot = freed[last].at == mapping.at ? last : freed_next++ % FREED_ENTRIES;
    freed_next %= FREED_ENTRIES;
    forget(freed[slot]);
    freed[slot] = mapping;
}

static void count_in(size_t size)
{
    counts.blocks++;
    counts.bytes += size;
}

static void count_out(size_t size)
{
    counts.blocks--;
    counts.bytes -= size;
}

/* From here on it is nothing but a mapping. */
static struct mapping retire_last_freed(void)
{
    struct mapping mapping = last_freed;
    last_freed.at = NULL;
    counts.last_freed = 0;
    erase(find(mapping.at));
    count_out(mapping.size);
    remember(mapping);
    return mapping;
}

/* What is known of an address that begins no live huge block. */
struct finding {
    enum { FINDING_NOTHING, FINDING_INSIDE, FINDING_FREED, FINDING_DEAD } kind;
    struct mapping mapping; /* the block around it, or that began there */
};

/* The block that was freed last of those that held the address. */
static struct finding find_freed(const void *p)
{
    bool was_ours = ((uintptr_t)p >= forgotten_low && (uintptr_t)p < forgotten_high) || within(p, last_freed);
    if (p == last_freed.at)
        return (struct finding){FINDING_FREED, last_freed};
    for (unsigned i = FREED_ENTRIES; i-- > 0;) {
        struct mapping mapping = freed[(freed_next + i) % FREED_ENTRIES]; /* the newest first */
        if (mapping.at == p)
            return (struct finding){FINDING_FREED, mapping};
        was_ours = was_ours || within(p, mapping);
    }
    return (struct finding){was_ours ? FINDING_DEAD : FINDING_NOTHING, {0}};
}

static struct finding find_around(const void *p)
{
    for (size_t i = 0; i < table_size; i++)
        if (within(p, table[i]) && table[i].at != last_freed.at)
            return (struct finding){FINDING_INSIDE, table[i]};
    return find_freed(p);
}

/* Without a lock. */
HAK_COLD static void report(const char *call, const void *p, const struct finding *finding)
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

/* Joins what adjoins, or pieces would get ever smaller.  Under the lock. */
static void stuck_put(struct mapping mapping)
{
    for (struct stuck **link = &stuck, *begin; (begin = *link);) {
        bool before = (char *)begin + begin->size == mapping.at, after = mapping.at + mapping.size == (char *)begin;
        if (before || after) {
            *link = begin->next;
            mapping.at = before ? (char *)begin : mapping.at;
            mapping.size += begin->size;
            counts.stuck -= begin->size;
        } else {
            link = &begin->next;
        }
    }
    struct stuck *begin = (struct stuck *)mapping.at;
    *begin = (struct stuck){stuck, mapping.size};
    stuck = begin;
    counts.stuck += mapping.size;
}

/* The memory goes back even if the addresses cannot. */
static void stuck_keep(struct mapping mapping)
{
    hak_os_purge(mapping.at, mapping.size);
    stuck_put(mapping);
}

/* From the first that suffices.  Size 0 if there is none. */
static struct mapping stuck_take(size_t size, size_t align)
{
    for (struct stuck **link = &stuck, *begin; (begin = *link); link = &begin->next) {
        char *at = (char *)hak_round_up((uintptr_t)begin, align);
        size_t before = (size_t)(at - (char *)begin);
        if (begin->size < before || begin->size - before < size)
            continue;
        size_t after = begin->size - before - size;
        *link = begin->next;
        counts.stuck -= begin->size;
        if (before)
            stuck_put((struct mapping){(char *)begin, before});
        if (after)
            stuck_put((struct mapping){at + size, after});
        return (struct mapping){at, size};
    }
    return (struct mapping){0};
}

/* Without the lock. */
static bool unmap(struct mapping mapping)
{
    bool unmapped = hak_os_unmap(mapping.at, mapping.size);
    if (HAK_LIKELY(unmapped)) {
        hak_limit_release(mapping.size);
        return true;
    }
    hak_lock(&hak_huge_lock);
    stuck_keep(mapping);
    hak_unlock(&hak_huge_lock);
    hak_limit_release(mapping.size);
    return false;
}

/* Tries again; returns the bytes of address space given back. */
static size_t stuck_unmap(void)
{
    size_t given = 0;
    hak_lock(&hak_huge_lock);
    struct stuck *list = stuck;
    stuck = NULL;
    counts.stuck = 0;
    hak_unlock(&hak_huge_lock);
    while (list) {
        struct mapping mapping = {(char *)list, list->size};
        list = list->next;
        hak_limit_add(mapping.size); /* as if it held memory still */
        if (unmap(mapping))
            given += mapping.size;
    }
    return given;
}

/* ---- the cache ---- */

static struct mapping cache_remove(unsigned i)
{
    struct mapping mapping = cache[i];
    if (i < --cache_used)
        memmove(&cache[i], &cache[i + 1], (cache_used - i) * sizeof *cache);
    for (unsigned times = 0; times < HAK_PURGE_PASSES; times++)
        cache_seen[times] -= i < cache_seen[times];
    counts.cached -= mapping.size;
    return mapping;
}

/* From the smallest cached mapping that suffices; what is more than a quarter too much of it stays in the cache.  Size
 * 0 if there is none. */
static struct mapping cache_take(size_t size, size_t align)
{
    unsigned best = CACHE_ENTRIES;
    for (unsigned i = 0; i < cache_used; i++)
        if (cache[i].size >= size && ((uintptr_t)cache[i].at & (align - 1)) == 0 &&
            (best == CACHE_ENTRIES || cache[i].size < cache[best].size))
            best = i;
    if (best == CACHE_ENTRIES)
        return (struct mapping){0};
    if (cache[best].size - size <= size / 4)
        return cache_remove(best);
    struct mapping mapping = {cache[best].at, size};
    cache[best].at += size;
    cache[best].size -= size;
    counts.cached -= size;
    return mapping;
}

/* What may be kept, the front included: a quarter of what is live, so that it does not decide the program's footprint,
 * but enough for a program that uses one or two blocks in turn, unless it is turned off; how much is enough shows when
 * mappings are made of what was not kept.  And no more than superslabs may keep. */
static size_t bound(void)
{
    size_t enough = HAK_MIN(hak_knob_value(huge_cache), cache_worth);
    return enough ? HAK_MIN(HAK_MAX(enough, (counts.bytes - counts.last_freed) / 4), hak_super_keep()) : 0;
}

static void note_level(void)
{
    hak_trigger_compare(hak_huge_idle(&counts), hak_load(&hak_trigger.mappings));
}

/* Unmaps one that is kept, the one that has been for the longest; returns its bytes, of memory at least.  Releases the
 * lock for that and takes it again. */
static size_t drop(void)
{
    struct mapping out = cache_used ? cache_remove(0) : retire_last_freed();
    counts.purged += out.size;
    hak_unlock(&hak_huge_lock);
    unmap(out);
    hak_lock(&hak_huge_lock);
    return out.size;
}

/* The same, of what might have been kept. */
static void refuse(void)
{
    cache_refused += cache_used ? cache[0].size : counts.last_freed;
    drop();
}

/* As the newest, which `seen` calls of hak_huge_decay() have found in front.  May release the lock and take it
 * again. */
static void cache_add(struct mapping mapping, unsigned seen)
{
    while (HAK_UNLIKELY(cache_used == CACHE_ENTRIES))
        refuse();
    for (unsigned times = 0; times < HAK_PURGE_PASSES; times++)
        cache_seen[times] += times < seen && cache_seen[times] == cache_used;
    cache[cache_used++] = mapping;
    counts.cached += mapping.size;
}

static void front_to_cache(void)
{
    if (last_freed.at)
        cache_add(retire_last_freed(), last_freed_age);
}

size_t hak_huge_purge(size_t keep)
{
    size_t given = stuck_unmap();
    hak_lock(&hak_huge_lock);
    while (hak_huge_idle(&counts) > keep)
        given += drop();
    last_freed_limit = 0; /* what may be kept may have changed: the next that is freed will find out */
    hak_unlock(&hak_huge_lock);
    return given;
}

size_t hak_huge_shed(size_t bytes)
{
    size_t given = 0;
    hak_lock(&hak_huge_lock);
    front_to_cache();
    while (cache_used && cache[0].size <= bytes - given)
        given += drop();
    hak_unlock(&hak_huge_lock);
    return given;
}

size_t hak_huge_decay(void)
{
    size_t given = 0;
    hak_lock(&hak_huge_lock);
    while (cache_seen[HAK_PURGE_PASSES - 1])
        given += drop();
    memmove(cache_seen + 1, cache_seen, sizeof cache_seen - sizeof *cache_seen);
    cache_seen[0] = cache_used;
    /* What is in the cache was there before. */
    if (last_freed.at && last_freed_age++ >= HAK_PURGE_PASSES && !cache_used)
        given += drop();
    hak_unlock(&hak_huge_lock);
    return given;
}

/* ---- blocks ---- */

/* Under the lock. */
static void trim_mapping(char *at, size_t size)
{
    if (size && !hak_os_unmap(at, size))
        stuck_keep((struct mapping){at, size});
}

/* A new mapping, by way of a larger one if the kernel has to be told the alignment. */
static char *map_aligned(size_t size, size_t align)
{
    if (align <= hak_os_page)
        return hak_os_map(size);
    char *at = hak_os_map(size + align - hak_os_page);
    if (!at)
        return NULL;
    char *block = (char *)hak_round_up((uintptr_t)at, align);
    char *end = at + size + align - hak_os_page;
    trim_mapping(at, (size_t)(block - at));
    trim_mapping(block + size, (size_t)(end - block) - size);
    return block;
}

/* Without an address if that fails, or the limit does not allow it.  The lock is kept, so that the room in the table
 * stays; a page fault is no part of this. */
static struct mapping charge_new(size_t size, size_t align, bool *zero)
{
    struct mapping mapping = {NULL, size};
    if (cache_refused >= size) /* had it been kept, it would do now */
        cache_worth = HAK_MIN(cache_worth * 2, hak_knob_value(huge_cache));
    cache_refused = 0;
    if (!hak_limit_charge(size))
        return mapping;
    struct mapping kept = stuck_take(size, align);
    *zero = kept.size == 0;
    mapping.at = kept.size ? kept.at : map_aligned(size, align);
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
    if (counts.last_freed == size && ((uintptr_t)last_freed.at & (align - 1)) == 0) {
        char *at = last_freed.at;
        last_freed.at = NULL;
        counts.last_freed = 0;
        hak_unlock(&hak_huge_lock);
        return at;
    }
    front_to_cache();
    if (!table_has_room()) {
        hak_unlock(&hak_huge_lock);
        return NULL;
    }
    struct mapping mapping = cache_take(size, align);
    if (mapping.size == 0) {
        mapping = charge_new(size, align, zero);
        if (!mapping.at && counts.cached) {
            hak_unlock(&hak_huge_lock);
            hak_huge_purge(0);
            return hak_huge_alloc(size, align, zero);
        }
    }
    if (mapping.at) {
        insert(mapping);
        count_in(mapping.size);
    }
    hak_unlock(&hak_huge_lock);
    return mapping.at;
}

bool hak_huge_clear(void *p, size_t size)
{
    return hak_os_purge(p, hak_round_up(size, hak_os_page));
}

/* The live block at the address, with the lock taken.  NULL for anything else, which is reported, and then without. */
static struct mapping *lock_block(const char *call, const void *p)
{
    hak_lock(&hak_huge_lock);
    struct mapping *mapping = find(p);
    if (HAK_LIKELY(mapping))
        return mapping;
    struct finding finding = find_around(p);
    hak_unlock(&hak_huge_lock);
    report(call, p, &finding);
    return NULL;
}

HAK_INLINE void set_front(struct mapping mapping)
{
    last_freed = mapping;
    last_freed_age = 0;
    counts.last_freed = mapping.size;
}

/* The one in front goes to the cache, and what is too much then back to the kernel, the oldest first.  The lock may be
 * released for that, but not before the block is no longer live. */
static HAK_NOINLINE void free_slow(struct mapping mapping)
{
    unsigned seen = last_freed_age;
    struct mapping before = last_freed.at ? retire_last_freed() : last_freed;
    set_front(mapping);
    if (before.at)
        cache_add(before, seen);
    note_level();
    while (hak_huge_idle(&counts) > bound())
        refuse();
    last_freed_limit = bound();
}

void hak_huge_free(const char *call, void *p)
{
    struct mapping *found = lock_block(call, p);
    if (HAK_UNLIKELY(!found))
        return;
    if (HAK_LIKELY(!last_freed.at && found->size + counts.cached <= last_freed_limit)) {
        set_front(*found);
        note_level();
    } else {
        free_slow(*found);
    }
    hak_unlock(&hak_huge_lock);
}

size_t hak_huge_usable(const char *call, const void *p)
{
    const struct mapping *found = lock_block(call, p);
    if (HAK_UNLIKELY(!found))
        return 0;
    size_t size = found->size;
    hak_unlock(&hak_huge_lock);
    return size;
}

bool hak_huge_is_block(const void *p)
{
    hak_lock(&hak_huge_lock);
    bool is_block = find(p) != NULL;
    hak_unlock(&hak_huge_lock);
    return is_block;
}

static void *resize_charged(struct mapping mapping, size_t size)
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
    struct mapping *found = lock_block(call, p);
    if (HAK_UNLIKELY(!found)) /* freed by another thread since its size was asked for */
        return NULL;
    struct mapping mapping = *found;
    if (size <= mapping.size && size >= mapping.size - mapping.size / 4) {
        hak_unlock(&hak_huge_lock);
        return p;
    }
    /* A block that grows will grow again: an eighth more, of address space only. */
    size_t wanted = size > mapping.size ? hak_round_up(size + size / 8, hak_os_page) : size;
    void *at = resize_charged(mapping, wanted);
    if (!at && wanted > size)
        at = resize_charged(mapping, wanted = size);
    if (at) {
        erase(found);
        if (at != mapping.at || wanted < mapping.size)
            remember(mapping);
        insert((struct mapping){at, wanted});
        counts.bytes += wanted - mapping.size;
    }
    hak_unlock(&hak_huge_lock);
    return at;
}

struct hak_huge_counts hak_huge_count(void)
{
    hak_lock(&hak_huge_lock);
    struct hak_huge_counts result = counts;
    hak_unlock(&hak_huge_lock);
    return result;
}

const struct hak_huge_counts *hak_huge_counts_at(void)
{
    return &counts;
}

/* The table has no order, so each call goes through all of it and keeps the lowest addresses. */
unsigned hak_huge_after(const void *address, struct hak_huge_block *blocks, unsigned room)
{
    unsigned found = 0;
    hak_lock(&hak_huge_lock);
    for (size_t i = 0; i < table_size; i++) {
        struct mapping mapping = table[i];
        if (!mapping.at || mapping.at == last_freed.at || (uintptr_t)mapping.at <= (uintptr_t)address)
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
