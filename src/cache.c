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

#include "pool.h"
#include "report.h"
#include "settings.h"

#define ROOM_FIRST 4u                       /* blocks that each stack of a magazine may hold at first */
#define BUDGET_LEAST ((size_t)64 << 10)      /* of the budget of all threads, each has at least this */
#define OUTBOX_BYTES_MAX ((size_t)256 << 10) /* an outbox is delivered when it holds as much, however few blocks */
#define BUCKETS 64u
#define SHRINK_LOOKS 8u

/* ---- magazines ---- */

static unsigned first_room(unsigned class)
{
    return HAK_MIN(ROOM_FIRST, hak_classes[class].mag_max);
}

static void set_room(struct hak_thread *thread, unsigned class, unsigned room)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    thread->grown += 2 * ((size_t)room - thread->room[class]) * hak_classes[class].size;
    thread->room[class] = (uint16_t)room;
    mag->limit = hak_mag_base(thread, class, hak_load(&mag->freed)) + room;
}

void hak_cache_reset(struct hak_thread *thread)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_mag *mag = &thread->cache.mags[class];
        void **first = thread->slots + hak_classes[class].mag_offset;
        mag->next = NULL;
        hak_store(&mag->ready, first);
        hak_store(&mag->freed, first + hak_classes[class].mag_max + 1);
        set_room(thread, class, first_room(class));
    }
    thread->grown = 0;
}

/* After the ready stack has changed other than by a pop. */
static void set_next(struct hak_mag *mag)
{
    mag->next = hak_load(&mag->ready)[-1];
}

/*
 * hak_block_begins() for `count` >= 4 addresses at once, four at a time, in slabs of one unit.  The lower half of an
 * address is two lanes of 16 bits; the lowest one matters, and the other comes along, times 0.
 */
typedef uint32_t four __attribute__((vector_size(16)));
typedef uint16_t eight __attribute__((vector_size(16)));
typedef int16_t eight_signed __attribute__((vector_size(16)));

HAK_INLINE eight products_of_four(void *const *blocks, eight factors)
{
    four halves = {(uint32_t)(uintptr_t)blocks[0], (uint32_t)(uintptr_t)blocks[1], (uint32_t)(uintptr_t)blocks[2],
                   (uint32_t)(uintptr_t)blocks[3]};
    return (eight)halves * factors;
}

static bool all_begin_blocks(void *const *blocks, unsigned count, const struct hak_class *traits)
{
    eight factors = (eight)((four){0} + traits->odd_inverse);
    eight_signed last = (eight_signed)((four){0} + (uint32_t)traits->last);
    void *const *end = blocks + count - 4; /* the last three may be looked at twice */
    eight all = products_of_four(end, factors), beyond = (eight)((eight_signed)all > last);
    for (; blocks < end; blocks += 4) {
        eight products = products_of_four(blocks, factors);
        all |= products;
        beyond |= (eight)((eight_signed)products > last);
    }
    union {
        eight lanes;
        uint64_t halves[2];
    } any = {beyond | (all & (eight)((four){0} + traits->never))};
    return (any.halves[0] | any.halves[1]) == 0;
}

/* Reports what is not the start of a block and closes the gaps. */
HAK_COLD static unsigned drop_insides(void **blocks, unsigned from, unsigned count, unsigned class)
{
    unsigned kept = from;
    for (unsigned i = from; i < count; i++)
        if (hak_block_begins(blocks[i], class))
            blocks[kept++] = blocks[i];
        else
            hak_report_inside("free", blocks[i]);
    return kept;
}

/* A pointer to the middle of a block must not become anybody's block.  Returns how many are left. */
static unsigned check_freed(void **blocks, unsigned count, unsigned class)
{
    const struct hak_class *traits = &hak_classes[class];
    if (HAK_LIKELY(traits->units == 1 && count >= 4 && all_begin_blocks(blocks, count, traits)))
        return count;
    for (unsigned i = 0; i < count; i++)
        if (HAK_UNLIKELY(!hak_block_begins(blocks[i], class)))
            return drop_insides(blocks, i, count, class);
    return count;
}

/* The stacks change places; the ready one is empty.  In between the blocks are nowhere; see the head of cache.h.
 * Returns how many are ready then. */
static unsigned change_places(struct hak_thread *thread, unsigned class)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    void **ready = hak_load(&mag->ready), **freed = hak_load(&mag->freed), **base = hak_mag_base(thread, class, freed);
    unsigned count = check_freed(base, (unsigned)(freed - base), class);
    hak_store(&mag->freed, ready);
    hak_store_release(&mag->ready, base + count);
    mag->limit = ready + thread->room[class];
    set_next(mag);
    thread->busy[class] = true;
    return count;
}

/* Gives the `count` blocks of a stack that have been there the longest to the heap. */
static void give_oldest(struct hak_thread *thread, unsigned class, _Atomic(void **) *stack, unsigned count)
{
    void **top = hak_load(stack), **base = hak_mag_base(thread, class, top);
    unsigned good = check_freed(base, count, class);
    /* It seems empty while blocks are on the move. */
    hak_store(stack, base);
    atomic_thread_fence(memory_order_release);
    if (HAK_LIKELY(good))
        hak_heap_give(thread->heap, class, base, good);
    memmove(base, base + count, (size_t)(top - base - count) * sizeof *base);
    hak_store_release(stack, top - count);
    set_next(&thread->cache.mags[class]);
}

static void keep_newest(struct hak_thread *thread, unsigned class, _Atomic(void **) *stack, unsigned keep)
{
    unsigned held = hak_mag_held(thread, class, stack);
    if (held > keep)
        give_oldest(thread, class, stack, held - keep);
}

/* Halves the room of another magazine that has grown, and has not been used up since this looked at it last. */
static void shrink_another(struct hak_thread *thread, unsigned class)
{
    for (unsigned looks = 0; looks < SHRINK_LOOKS; looks++) {
        unsigned other = thread->cursor;
        struct hak_mag *mag = &thread->cache.mags[other];
        unsigned smaller = HAK_MAX(thread->room[other] / 2u, first_room(other));
        bool busy = thread->busy[other];
        thread->cursor = (other + 1) % HAK_CLASS_COUNT;
        thread->busy[other] = false;
        if (busy || other == class || smaller == thread->room[other])
            continue;
        keep_newest(thread, other, &mag->ready, smaller);
        keep_newest(thread, other, &mag->freed, smaller);
        set_room(thread, other, smaller);
        return;
    }
}

/* By how many bytes the thread's magazines may have grown. */
static size_t budget(void)
{
    size_t all = hak_setting(magazine_budget_total);
    size_t share = all / HAK_MAX(hak_pool_threads(), 1);
    return HAK_MIN(HAK_MAX(share, HAK_MIN(all, BUDGET_LEAST)), hak_setting(magazine_budget));
}

/* Lets the magazine hold twice as much, if the budget allows. */
static void grow(struct hak_thread *thread, unsigned class)
{
    unsigned room = thread->room[class], larger = HAK_MIN(room * 2, hak_classes[class].mag_max);
    if (HAK_LIKELY(larger == room))
        return;
    if (thread->grown + 2 * (larger - room) * (size_t)hak_classes[class].size <= budget())
        set_room(thread, class, larger);
    else
        shrink_another(thread, class);
}

void *hak_cache_refill(struct hak_thread *thread, unsigned class)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    unsigned held = 0, room;
    if (HAK_LIKELY(hak_mag_held(thread, class, &mag->freed)))
        held = change_places(thread, class);
    else
        grow(thread, class);
    /* Half full it will do: few blocks would be used up soon, and the stacks change places again and again. */
    room = thread->room[class];
    if (held * 2 < room) {
        void **top = hak_load(&mag->ready);
        unsigned got = hak_heap_get(thread->heap, class, top, room - held);
        if (held + got == 0)
            return NULL;
        hak_store_release(&mag->ready, top + got);
        set_next(mag);
    }
    void *block = mag->next;
    hak_mag_pop(mag);
    return block;
}

void hak_cache_spill(struct hak_thread *thread, unsigned class, void *block)
{
    struct hak_mag *mag = &thread->cache.mags[class];
    if (hak_mag_held(thread, class, &mag->ready) == 0) {
        change_places(thread, class);
    } else {
        grow(thread, class);
        if (hak_load(&mag->freed) == mag->limit)
            give_oldest(thread, class, &mag->freed, (thread->room[class] + 1u) / 2);
    }
    void **freed = hak_load(&mag->freed);
    *freed = block;
    hak_store_release(&mag->freed, freed + 1);
}

/* ---- the outbox ---- */

static uint32_t owner_of(const void *block)
{
    return HAK_ENTRY_OWNER(hak_entry_of(block));
}

void hak_deliver(void **blocks, unsigned count)
{
    while (count) {
        uint32_t owner = owner_of(blocks[0]);
        if (HAK_UNLIKELY(owner == 0)) { /* its slab was counted as empty and is gone */
            hak_report_double_free("free", blocks[0], 0);
            blocks[0] = blocks[--count];
            continue;
        }
        count = hak_heap_receive(hak_heap_numbered(owner), blocks, count);
    }
}

/* Sorts the blocks by owner, as far as BUCKETS tell owners apart, and delivers each bucket. */
static void deliver_sorted(void **blocks, unsigned count)
{
    void *sorted[HAK_OUTBOX_MAX];
    uint8_t bucket[HAK_OUTBOX_MAX];
    unsigned end[BUCKETS + 1] = {0};
    for (unsigned i = 0; i < count; i++) {
        bucket[i] = (uint8_t)(owner_of(blocks[i]) % BUCKETS);
        end[bucket[i] + 1]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        end[i + 1] += end[i];
    for (unsigned i = 0; i < count; i++)
        sorted[end[bucket[i]]++] = blocks[i];
    for (unsigned i = 0, start = 0; start < count; start = end[i++])
        hak_deliver(sorted + start, end[i] - start);
}

static void flush_outbox(struct hak_thread *thread)
{
    struct hak_outbox *outbox = &thread->outbox;
    unsigned count = hak_load_acquire(&outbox->count);
    /* It seems empty while blocks are on the move. */
    hak_store(&outbox->count, 0);
    hak_store(&outbox->bytes, 0);
    atomic_thread_fence(memory_order_release);
    if (HAK_ENTRY_OWNER(outbox->differences))
        deliver_sorted(outbox->blocks, count);
    else
        hak_deliver(outbox->blocks, count);
    outbox->differences = 0;
}

void hak_cache_send(struct hak_thread *thread, void *block, uint32_t entry)
{
    struct hak_outbox *outbox = &thread->outbox;
    unsigned count = hak_load(&outbox->count);
    size_t bytes = hak_load(&outbox->bytes) + hak_classes[HAK_ENTRY_CLASS(entry)].size;
    outbox->differences |= outbox->last ^ entry;
    outbox->last = entry;
    outbox->blocks[count] = block;
    hak_store_release(&outbox->count, count + 1);
    hak_store(&outbox->bytes, bytes);
    if (count + 1 == HAK_OUTBOX_MAX || bytes >= OUTBOX_BYTES_MAX)
        flush_outbox(thread);
}

/* ---- everything ---- */

/* Reports blocks that are there twice and closes the gaps: the last chance before they are somebody else's. */
static unsigned drop_twice(void **blocks, unsigned count, unsigned class)
{
    uint16_t places[4 * HAK_MAG_MOST]; /* which block is there, counted from 1; by a hash of the address */
    unsigned kept = 0, bits = 2;
    while (1u << bits < 2 * count)
        bits++;
    memset(places, 0, sizeof *places << bits);
    for (unsigned i = 0; i < count; i++) {
        uint32_t at = (uint32_t)((uintptr_t)blocks[i] >> 4) * 0x9e3779b1u >> (32 - bits);
        while (places[at] && blocks[places[at] - 1] != blocks[i])
            at = (at + 1) & ((1u << bits) - 1);
        if (HAK_UNLIKELY(places[at])) {
            hak_report_double_free("free", blocks[i], hak_classes[class].size);
            continue;
        }
        blocks[kept++] = blocks[i];
        places[at] = (uint16_t)kept;
    }
    return kept;
}

static unsigned take_out(struct hak_thread *thread, unsigned class, _Atomic(void **) *stack, void **to)
{
    unsigned count = hak_mag_held(thread, class, stack);
    void **base = hak_mag_base(thread, class, hak_load(stack));
    memcpy(to, base, count * sizeof *base);
    hak_store(stack, base);
    return count;
}

void hak_cache_empty(struct hak_thread *thread)
{
    void *blocks[2 * HAK_MAG_MOST];
    flush_outbox(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_mag *mag = &thread->cache.mags[class];
        unsigned count = take_out(thread, class, &mag->ready, blocks);
        count += take_out(thread, class, &mag->freed, blocks + count);
        if (count == 0)
            continue;
        mag->next = NULL;
        atomic_thread_fence(memory_order_release); /* it seems empty while blocks are on the move */
        count = drop_twice(blocks, check_freed(blocks, count, class), class);
        hak_heap_give(thread->heap, class, blocks, count);
    }
    hak_cache_reset(thread);
}

static void salvage(struct hak_thread *thread, unsigned class, _Atomic(void **) *stack)
{
    hak_deliver(hak_mag_base(thread, class, hak_load(stack)), hak_mag_held(thread, class, stack));
}

void hak_cache_salvage(struct hak_thread *thread)
{
    flush_outbox(thread);
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        salvage(thread, class, &thread->cache.mags[class].ready);
        salvage(thread, class, &thread->cache.mags[class].freed);
    }
    hak_cache_reset(thread);
}
