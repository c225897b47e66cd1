/* SPDX-License-Identifier: MIT */
/*
 * cache.c - between a thread's magazines and its heap, and from its outbox to other heaps.  Works on the calling
 * thread's own cache, which needs no lock.  Calls heap.h and pool.h.
 *
 * Magazines start small.  One that runs empty or full may hold twice as much from then on, until the thread's budget
 * is used up; then each that wants to grow makes another class's shrink, in turn, so that the classes in use have the
 * room (the way of Google's tcmalloc with its thread caches).
 */
#include "cache.h"

#include <string.h>

#include "invariant.h"
#include "pool.h"

#define MAG_FIRST 8u                        /* blocks that a magazine may hold at first */
#define GROWN_MAX ((size_t)1 << 20)         /* a thread's budget, in bytes */
#define GROWN_MAX_ALL ((size_t)16 << 20)    /* all threads' together, but each has */
#define GROWN_MAX_LEAST ((size_t)64 << 10)  /* at least this */
#define OUTBOX_BYTES_MAX ((size_t)256 << 10) /* an outbox is delivered when it holds as much, however few blocks */
#define BUCKETS 64u

/* ---- magazines ---- */

static unsigned first_limit(unsigned class)
{
    return HAK_MIN(MAG_FIRST, hak_classes[class].mag_max);
}

static unsigned limit_of(struct hak_thread *thread, unsigned class)
{
    return (unsigned)(thread->cache.mags[class].limit - hak_mag_base(thread, class));
}

static void set_limit(struct hak_thread *thread, unsigned class, unsigned limit)
{
    thread->grown += ((size_t)limit - limit_of(thread, class)) * hak_classes[class].size;
    thread->cache.mags[class].limit = hak_mag_base(thread, class) + limit;
}

void hak_cache_reset(struct hak_thread *thread)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        hak_store(&thread->cache.mags[class].top, hak_mag_base(thread, class));
        thread->cache.mags[class].limit = hak_mag_base(thread, class) + first_limit(class);
    }
    thread->grown = 0;
}

/* Gives the `count` blocks that were freed longest ago to the heap. */
static void give_oldest(struct hak_thread *thread, unsigned class, unsigned count)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    void **base = hak_mag_base(thread, class);
    void **top = hak_load(&mag->top);
    /* The magazine seems empty while blocks are on the move; see cache.h. */
    hak_store(&mag->top, base);
    atomic_thread_fence(memory_order_release);
    hak_heap_give(thread->heap, class, base, count);
    memmove(base, base + count, (size_t)(top - base - count) * sizeof *base);
    hak_store_release(&mag->top, top - count);
}

/* Halves the limit of one other magazine that has grown. */
static void shrink_another(struct hak_thread *thread, unsigned class)
{
    for (unsigned tries = 0; tries < HAK_CLASS_COUNT; tries++) {
        unsigned other = thread->cursor;
        thread->cursor = (other + 1) % HAK_CLASS_COUNT;
        unsigned limit = limit_of(thread, other), smaller = HAK_MAX(limit / 2, first_limit(other));
        if (other == class || smaller == limit)
            continue;
        unsigned held = (unsigned)(hak_load(&thread->cache.mags[other].top) - hak_mag_base(thread, other));
        if (held > smaller)
            give_oldest(thread, other, held - smaller);
        set_limit(thread, other, smaller);
        return;
    }
}

/* Lets the magazine hold twice as much, if the budget allows. */
static void grow(struct hak_thread *thread, unsigned class)
{
    unsigned limit = limit_of(thread, class), larger = HAK_MIN(limit * 2, hak_classes[class].mag_max);
    if (HAK_LIKELY(larger == limit))
        return;
    size_t budget = HAK_MAX(HAK_MIN(GROWN_MAX_ALL / hak_thread_count(), GROWN_MAX), GROWN_MAX_LEAST);
    if (thread->grown + (larger - limit) * (size_t)hak_classes[class].size <= budget)
        set_limit(thread, class, larger);
    else
        shrink_another(thread, class);
}

void *hak_cache_refill(struct hak_thread *thread, unsigned class)
{
    void **base = hak_mag_base(thread, class);
    unsigned want = (limit_of(thread, class) + 1) / 2;
    grow(thread, class);
    unsigned got = hak_heap_get(thread->heap, class, base, want);
    if (got == 0)
        return NULL;
    hak_store_release(&thread->cache.mags[class].top, base + got - 1);
    return base[got - 1];
}

void hak_cache_spill(struct hak_thread *thread, unsigned class, void *block)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    grow(thread, class);
    if (hak_load(&mag->top) == mag->limit)
        give_oldest(thread, class, (limit_of(thread, class) + 1) / 2);
    void **top = hak_load(&mag->top);
    *top = block;
    hak_store_release(&mag->top, top + 1);
}

static unsigned held_by(struct hak_thread *thread, unsigned class)
{
    return (unsigned)(hak_load_acquire(&thread->cache.mags[class].top) - hak_mag_base(thread, class));
}

/* ---- the outbox ---- */

static uint32_t owner_of(const void *block)
{
    return HAK_ENTRY_OWNER(hak_entry_of(block));
}

/* Each run of blocks with one owner goes there; what comes back, since its slab has just changed hands, to the new
 * owner. */
void hak_deliver(void **blocks, unsigned count)
{
    while (count) {
        unsigned returned = 0;
        for (unsigned i = 0, same; i < count; i += same) {
            uint32_t owner = owner_of(blocks[i]);
            for (same = 1; i + same < count && owner_of(blocks[i + same]) == owner; same++)
                ;
            unsigned back = hak_heap_receive(hak_heap_numbered(owner), blocks + i, same);
            memmove(blocks + returned, blocks + i, back * sizeof *blocks);
            returned += back;
        }
        count = returned;
    }
}

/* Copies blocks grouped by owner, as far as BUCKETS tell owners apart; within a group the order stays. */
static void group(void **grouped, void *const *blocks, unsigned count)
{
    uint8_t bucket[HAK_OUTBOX_MAX];
    unsigned start[BUCKETS + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        bucket[i] = (uint8_t)(owner_of(blocks[i]) % BUCKETS);
        start[bucket[i] + 1]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        start[i + 1] += start[i];
    for (unsigned i = 0; i < count; i++)
        grouped[start[bucket[i]]++] = blocks[i];
}

static void flush_outbox(struct hak_thread *thread)
{
    struct hak_outbox *outbox = &thread->outbox;
    void *grouped[HAK_OUTBOX_MAX];
    unsigned count = hak_load_acquire(&outbox->count);
    if (count == 0)
        return;
    group(grouped, outbox->blocks, count);
    hak_store(&outbox->count, 0);
    hak_store(&outbox->bytes, 0);
    atomic_thread_fence(memory_order_release);
    hak_deliver(grouped, count);
}

void hak_cache_send(struct hak_thread *thread, void *block, unsigned class)
{
    struct hak_outbox *outbox = &thread->outbox;
    unsigned count = hak_load(&outbox->count);
    size_t bytes = hak_load(&outbox->bytes) + hak_classes[class].size;
    outbox->blocks[count] = block;
    hak_store_release(&outbox->count, count + 1);
    hak_store(&outbox->bytes, bytes);
    if (count + 1 == HAK_OUTBOX_MAX || bytes >= OUTBOX_BYTES_MAX)
        flush_outbox(thread);
}

/* ---- everything ---- */

void hak_cache_empty(struct hak_thread *thread)
{
    flush_outbox(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        unsigned held = held_by(thread, class);
        if (held)
            give_oldest(thread, class, held);
    }
    hak_cache_reset(thread);
}

void hak_cache_salvage(struct hak_thread *thread)
{
    flush_outbox(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        hak_deliver(hak_mag_base(thread, class), held_by(thread, class));
    hak_cache_reset(thread);
}
