/* SPDX-License-Identifier: MIT */
/*
 * tcache.c - moves blocks between a thread's magazines and its heap, and from its outbox to other heaps.  Works on the
 * calling thread's own cache, which needs no lock, or on a stale one, with hak_registry_lock held.  Calls heap.h and
 * registry.h.
 *
 * A magazine has no room until its class is used; for blocks above 8 KiB, which are large and mostly used once, until
 * the class is used again.  A magazine that runs empty or full gets twice the room, until the thread's budget is used
 * up.  Then a magazine that has to grow makes another class's magazine shrink, each class in turn, so that the classes
 * in use have the room (Google's tcmalloc does so with its thread caches).  A magazine without room is empty and full
 * at once: the blocks of its class go to the heap and come from it one by one.
 */
#include "heap/tcache.h"

#include <string.h>

#include "heap/registry.h"
#include "pages/misuse.h"
#include "knobs/knobs.h"

#define ROOM_FIRST 8u                    /* how many blocks a magazine may hold at first */
#define ROOM_FIRST_BYTES 16384u          /* and how many bytes */
#define BUDGET_LEAST ((size_t)128 << 10) /* each thread's part of the budget of all threads is at least this */
/* An outbox is delivered when it holds OUTBOX_BYTES_MAX or 1/OUTBOX_BUDGET_DIV of the thread's budget, whichever is
 * less, however few blocks these are. */
#define OUTBOX_BYTES_MAX ((size_t)256 << 10)
#define OUTBOX_BUDGET_DIV 2u
#define BUCKETS 64u     /* an outbox is sorted by owner into so many */
#define SHRINK_LOOKS 8u /* how many magazines are asked to shrink before one goes without */

/* ---- magazines ---- */

static void tcache_set_room(struct hak_tcache *thread, unsigned class, unsigned room)
{
    struct hak_mag *mag = &thread->hot.mags[class];
    thread->room_bytes += ((size_t)room - mag->room) * mag->size;
    mag->room = room;
    mag->limit = hak_mag_base(thread, class) + room;
}

/* How many bytes the thread's magazines may hold. */
static size_t tcache_budget(void)
{
    size_t all = hak_knob_value(magazine_budget_total);
    size_t share = all / HAK_MAX(hak_registry_threads(), 1);
    return HAK_MIN(HAK_MAX(share, HAK_MIN(all, BUDGET_LEAST)), hak_knob_value(magazine_budget));
}

/* How many bytes an outbox may hold. */
static size_t outbox_bytes_max(void)
{
    return HAK_MIN(tcache_budget() / OUTBOX_BUDGET_DIV, OUTBOX_BYTES_MAX);
}

void hak_tcache_reset(struct hak_tcache *thread)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_mag *mag = &thread->hot.mags[class];
        hak_store(&mag->top, hak_mag_base(thread, class));
        mag->inverse = hak_classes[class].inverse;
        mag->last_product = hak_classes[class].last;
        mag->size = hak_classes[class].size;
        tcache_set_room(thread, class, 0);
    }
    memset(thread->last_miss, HAK_MISS_NONE, sizeof thread->last_miss);
    thread->room_bytes = 0;
    thread->outbox.most = outbox_bytes_max();
}

void hak_tcache_update_window(void)
{
    struct hak_tcache *thread = hak_tcache_mine();
    if (thread)
        thread->hot.window_units = hak_load_acquire(&hak_window_first.map_units);
}

/* Gives the `count` blocks that have been in the magazine the longest to the heap. */
static void tcache_give_oldest(struct hak_tcache *thread, unsigned class, unsigned count)
{
    struct hak_mag *mag = &thread->hot.mags[class];
    void **top = hak_load(&mag->top), **base = hak_mag_base(thread, class);
    hak_store(&mag->top, base); /* empty for other readers while blocks move */
    atomic_thread_fence(memory_order_release);
    hak_heap_give(thread->heap, class, base + 1, count);
    memmove(base + 1, base + 1 + count, (size_t)(top - base - count) * sizeof *base);
    hak_store_release(&mag->top, top - count);
}

/* Halves the room of another class's magazine: the next one that has run neither empty nor full since it was asked
 * last. */
static void tcache_shrink_another(struct hak_tcache *thread, unsigned class)
{
    for (unsigned looks = 0, all = 0; looks < SHRINK_LOOKS && all < HAK_CLASS_COUNT; all++) {
        unsigned other = thread->cursor;
        unsigned room = thread->hot.mags[other].room, held;
        bool busy = thread->busy[other];
        thread->cursor = (other + 1) % HAK_CLASS_COUNT;
        thread->busy[other] = false;
        looks += room > 0;
        if (busy || other == class || room == 0)
            continue;
        held = hak_mag_held(thread, other);
        if (held > room / 2)
            tcache_give_oldest(thread, other, held - room / 2);
        tcache_set_room(thread, other, room / 2);
        return;
    }
}

/* The room that a magazine should grow to: twice what it has, or what its class begins with. */
static unsigned tcache_next_room(struct hak_tcache *thread, unsigned class)
{
    const struct hak_mag *mag = &thread->hot.mags[class];
    unsigned most = hak_classes[class].mag_max;
    if (HAK_LIKELY(mag->room))
        return HAK_MIN(mag->room * 2, most);
    if (mag->size > HAK_DEPOT_SHARING_MAX)
        return thread->last_miss[class] != HAK_MISS_NONE;
    return HAK_MIN(HAK_MIN(ROOM_FIRST, ROOM_FIRST_BYTES / mag->size), most);
}

/* Gives the magazine more room if the budget allows, else makes another one shrink for the next time. */
static void tcache_grow(struct hak_tcache *thread, unsigned class)
{
    struct hak_mag *mag = &thread->hot.mags[class];
    unsigned room = mag->room, larger = tcache_next_room(thread, class);
    if (HAK_LIKELY(larger == room))
        return;
    size_t most = tcache_budget(), left = most > thread->room_bytes ? (most - thread->room_bytes) / mag->size : 0;
    if (left >= larger - room) {
        tcache_set_room(thread, class, larger);
        return;
    }
    if (room == 0)
        tcache_set_room(thread, class, (unsigned)left);
    tcache_shrink_another(thread, class);
}

/* How many blocks a refill gets or a flush gives: half of the room, so that as many blocks can be taken as freed before
 * the next miss.  All of the room when the last miss was of the same kind, as then the program only allocates or only
 * frees. */
static unsigned tcache_batch(struct hak_tcache *thread, unsigned class, enum hak_miss miss)
{
    unsigned room = thread->hot.mags[class].room;
    bool again = thread->last_miss[class] == miss;
    thread->last_miss[class] = (uint8_t)miss;
    return again ? room : (room + 1) / 2;
}

void *hak_tcache_refill(struct hak_tcache *thread, unsigned class)
{
    struct hak_mag *mag = &thread->hot.mags[class];
    void **base = hak_mag_base(thread, class);
    thread->busy[class] = true;
    tcache_grow(thread, class);
    unsigned want = HAK_MAX(tcache_batch(thread, class, HAK_MISS_EMPTY), 1); /* without room, for the caller alone */
    unsigned got = hak_heap_get(thread->heap, class, base + 1, want);
    hak_store_release(&mag->top, base + got);
    return hak_mag_pop(mag);
}

/* Whether the magazine holds the block. */
static bool tcache_holds(struct hak_tcache *thread, unsigned class, const void *block)
{
    void *const *base = hak_mag_base(thread, class);
    for (unsigned left = hak_mag_held(thread, class); left > 0; left--)
        if (base[left] == block)
            return true;
    return false;
}

void hak_tcache_spill(struct hak_tcache *thread, unsigned class, void *block)
{
    struct hak_mag *mag = &thread->hot.mags[class];
    /* A short magazine is searched for a double free before any of its blocks goes to the heap. */
    if (HAK_UNLIKELY(mag->room <= ROOM_FIRST && tcache_holds(thread, class, block))) {
        hak_misuse_double_free("free", block, mag->size);
        return;
    }
    thread->busy[class] = true;
    tcache_grow(thread, class);
    if (hak_load(&mag->top) == mag->limit) {
        unsigned count = tcache_batch(thread, class, HAK_MISS_FULL);
        if (mag->room == 0) {
            hak_heap_give(thread->heap, class, &block, 1);
            return;
        }
        tcache_give_oldest(thread, class, count);
    }
    void **top = hak_load(&mag->top);
    top[1] = block;
    hak_store_release(&mag->top, top + 1);
}

/* ---- the outbox ---- */

static uint32_t outbox_owner_of(const void *block)
{
    return HAK_ENTRY_OWNER(hak_entry_of(block));
}

void hak_deliver(void **blocks, unsigned count)
{
    while (count) {
        uint32_t owner = outbox_owner_of(blocks[0]);
        if (HAK_UNLIKELY(owner == 0)) { /* freed twice: its slab became empty and was destroyed */
            hak_misuse_double_free("free", blocks[0], 0);
            blocks[0] = blocks[--count];
            continue;
        }
        count = hak_heap_receive(hak_heap_numbered(owner), blocks, count);
    }
}

/* Sorts the blocks by owner and delivers them.  Owners whose numbers differ by a multiple of BUCKETS share a bucket. */
static void outbox_deliver_sorted(void **blocks, unsigned count)
{
    void *sorted[HAK_OUTBOX_MAX];
    uint8_t bucket[HAK_OUTBOX_MAX];
    unsigned end[BUCKETS + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        bucket[i] = (uint8_t)(outbox_owner_of(blocks[i]) % BUCKETS);
        end[bucket[i] + 1]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        end[i + 1] += end[i];
    for (unsigned i = 0; i < count; i++)
        sorted[end[bucket[i]]++] = blocks[i];
    for (unsigned i = 0, start = 0; start < count; start = end[i++])
        hak_deliver(sorted + start, end[i] - start);
}

static void outbox_flush(struct hak_tcache *thread)
{
    struct hak_outbox *outbox = &thread->outbox;
    unsigned count = hak_load_acquire(&outbox->count);
    hak_store(&outbox->count, 0); /* empty for other readers while blocks move */
    hak_store(&outbox->bytes, 0);
    atomic_thread_fence(memory_order_release);
    if (HAK_ENTRY_OWNER(outbox->differences))
        outbox_deliver_sorted(outbox->blocks, count);
    else
        hak_deliver(outbox->blocks, count);
    outbox->differences = 0;
    outbox->most = outbox_bytes_max();
}

void hak_tcache_send(struct hak_tcache *thread, void *block, uint32_t entry)
{
    struct hak_outbox *outbox = &thread->outbox;
    unsigned count = hak_load(&outbox->count);
    size_t bytes = hak_load(&outbox->bytes) + hak_classes[HAK_ENTRY_CLASS(entry)].size;
    outbox->differences |= outbox->last_entry ^ entry;
    outbox->last_entry = entry;
    outbox->blocks[count] = block;
    hak_store_release(&outbox->count, count + 1);
    hak_store(&outbox->bytes, bytes);
    if (count + 1 == HAK_OUTBOX_MAX || bytes >= outbox->most)
        outbox_flush(thread);
}

/* ---- the whole cache ---- */

/* Drops blocks that are in the array twice, and notes them as double frees: once the heap has them, another thread may
 * get them.  Returns how many are left. */
static unsigned tcache_drop_twice(void **blocks, unsigned count, unsigned class)
{
    uint16_t places[2 * HAK_MAG_MOST]; /* a hash table of indices into the array, counted from 1 */
    unsigned kept = 0, bits = 2;
    while (1u << bits < 2 * count)
        bits++;
    memset(places, 0, sizeof *places << bits);
    for (unsigned i = 0; i < count; i++) {
        uint32_t at = (uint32_t)((uintptr_t)blocks[i] >> 4) * 0x9e3779b1u >> (32 - bits);
        while (places[at] && blocks[places[at] - 1] != blocks[i])
            at = (at + 1) & ((1u << bits) - 1);
        if (HAK_UNLIKELY(places[at])) {
            hak_misuse_double_free("free", blocks[i], hak_classes[class].size);
            continue;
        }
        blocks[kept++] = blocks[i];
        places[at] = (uint16_t)kept;
    }
    return kept;
}

void hak_tcache_empty(struct hak_tcache *thread)
{
    void *blocks[HAK_MAG_MOST];
    outbox_flush(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        void **base = hak_mag_base(thread, class);
        unsigned count = hak_mag_held(thread, class);
        if (count == 0)
            continue;
        memcpy(blocks, base + 1, count * sizeof *blocks);
        hak_store(&thread->hot.mags[class].top, base);
        atomic_thread_fence(memory_order_release); /* empty for other readers while blocks move */
        hak_heap_give(thread->heap, class, blocks, tcache_drop_twice(blocks, count, class));
    }
    hak_tcache_reset(thread);
}

void hak_tcache_salvage(struct hak_tcache *thread)
{
    outbox_flush(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        hak_deliver(hak_mag_base(thread, class) + 1, hak_mag_held(thread, class));
    hak_tcache_reset(thread);
}
