/* SPDX-License-Identifier: MIT */
/*
 * usage.c - adds up what heaps and threads hold, in this process or another.  Owns nothing; the view it is given takes
 * what locks there are.  Calls none of the allocator's functions, and needs nothing of it but the classes.
 */
#include "stats/usage.h"

#include "os/os.h"

/* How many blocks the thread's magazine holds.  Its pointers count from where the thread's structure is. */
static size_t held(const struct hak_tcache *thread, const struct hak_tcache *at, unsigned class)
{
    const struct hak_class *traits = &hak_classes[class];
    uintptr_t top = (uintptr_t)hak_load_acquire(&thread->cache.mags[class].top);
    size_t slot = (top - (uintptr_t)at - offsetof(struct hak_tcache, slots)) / sizeof *thread->slots;
    size_t place = slot - traits->mag_offset;
    return place <= traits->mag_max ? place : 0; /* beyond: a copy of what was changing */
}

static void add_magazines(const struct hak_tcache *thread, const struct hak_tcache *at, struct hak_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        usage->classes[class].magazine += held(thread, at, class);
}

/* The class of a block if it is of the heap of this number, or of any if that is 0; else a number beyond all. */
static unsigned class_for(struct hak_view *view, const void *block, uint32_t number)
{
    uint32_t entry = view->entry(view, block);
    if (entry == HAK_ENTRY_NONE || (number != 0 && HAK_ENTRY_OWNER(entry) != number))
        return HAK_CLASS_COUNT;
    return HAK_MIN(HAK_ENTRY_CLASS(entry), HAK_CLASS_COUNT);
}

/* The same for a thread that was lost in a fork: its heap's slabs may have gone to other heaps since. */
static void add_stale(struct hak_view *view, const struct hak_tcache *thread, const struct hak_tcache *at,
                      uint32_t number, struct hak_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        void *const *base = thread->slots + hak_classes[class].mag_offset;
        for (size_t left = held(thread, at, class); left > 0; left--) {
            unsigned found = class_for(view, base[left], number);
            if (found < HAK_CLASS_COUNT)
                usage->classes[found].magazine++;
        }
    }
}

/* Blocks of the heap of this number, or of any if it is 0.  The thread may be writing there: what is read is then a
 * block that was there a moment ago, or one that has come since.  The compiler's thread sanitizer is told so. */
__attribute__((noinline, no_sanitize("thread"))) static void
add_outbox(struct hak_view *view, const struct hak_tcache *thread, uint32_t number, struct hak_usage *usage)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++) {
        unsigned class = class_for(view, blocks[i], number);
        if (class < HAK_CLASS_COUNT)
            usage->classes[class].outbox++;
    }
}

static void add_heap(const struct hak_heap *heap, struct hak_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        usage->classes[class].slabs += heap->slabs[class];
        usage->classes[class].out += heap->out[class];
        usage->classes[class].depot += heap->depots[class].count;
    }
    usage->threads += hak_load(&heap->threads);
    usage->remote_frees += heap->remote_frees;
    usage->purged += heap->purged;
}

bool hak_usage_collect(struct hak_view *view, uint32_t number, struct hak_usage *usage)
{
    *usage = (struct hak_usage){0};
    /* All heaps for one, too, as its blocks may be in the outbox of any thread. */
    for (uint32_t i = 1; i <= view->heaps; i++) {
        const struct hak_heap *heap = view->open(view, i);
        bool wanted = number == 0 || number == i;
        if (!heap)
            return false;
        if (wanted)
            add_heap(heap, usage);
        const struct hak_tcache *next, *thread;
        for (const struct hak_tcache *at = heap->threads_list; at && (thread = view->thread(view, at)); at = next) {
            next = thread->next_of_heap;
            if (thread->state == HAK_TCACHE_STALE)
                add_stale(view, thread, at, number, usage);
            else if (wanted)
                add_magazines(thread, at, usage);
            add_outbox(view, thread, number, usage);
        }
        view->close(view, heap);
    }
    return true;
}

/* ---- some heaps at once ---- */

struct range {
    uint32_t first, count;
    struct hakmem_stats_heap *heaps;
};

/* The figures of the heap with the number, if they are wanted. */
static struct hakmem_stats_heap *stats_of(const struct range *range, uint32_t number)
{
    return number - range->first < range->count ? &range->heaps[number - range->first] : NULL;
}

/* A free block that waits in a thread's outbox, or in a magazine of a thread that was lost in a fork, is not live.
 * Whose block it is says the page map. */
static void add_waiting(struct hak_view *view, const void *block, bool in_outbox, const struct range *range)
{
    uint32_t entry = view->entry(view, block);
    struct hakmem_stats_heap *stats = stats_of(range, HAK_ENTRY_OWNER(entry));
    if (entry == HAK_ENTRY_NONE || !stats || HAK_ENTRY_CLASS(entry) >= HAK_CLASS_COUNT)
        return;
    size_t size = hak_classes[HAK_ENTRY_CLASS(entry)].size;
    *(in_outbox ? &stats->outbox_blocks : &stats->magazine_blocks) += 1;
    *(in_outbox ? &stats->outbox_bytes : &stats->magazine_bytes) += size;
    stats->live_blocks -= 1;
    stats->live_bytes -= size;
}

__attribute__((noinline, no_sanitize("thread"))) static void
add_waiting_of(struct hak_view *view, const struct hak_tcache *thread, const struct hak_tcache *at,
               const struct range *range)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        add_waiting(view, blocks[i], true, range);
    for (unsigned class = 0; class < HAK_CLASS_COUNT && thread->state == HAK_TCACHE_STALE; class++) {
        void *const *base = thread->slots + hak_classes[class].mag_offset;
        for (size_t left = held(thread, at, class); left > 0; left--)
            add_waiting(view, base[left], false, range);
    }
}

/* Adds what is known of the heap itself to what other heaps' threads hold of it. */
static void add_own(const struct hak_usage *usage, struct hakmem_stats_heap *stats)
{
    struct hakmem_stats_heap own;
    hak_usage_heap(usage, &own);
    stats->threads = own.threads;
    stats->live_blocks += own.live_blocks;
    stats->live_bytes += own.live_bytes;
    stats->magazine_blocks += own.magazine_blocks;
    stats->magazine_bytes += own.magazine_bytes;
    stats->depot_blocks = own.depot_blocks;
    stats->depot_bytes = own.depot_bytes;
    stats->free_blocks = own.free_blocks;
    stats->free_bytes = own.free_bytes;
    stats->slabs = own.slabs;
    stats->slab_bytes = own.slab_bytes;
    stats->waste_bytes = own.waste_bytes;
    stats->remote_frees = own.remote_frees;
}

/* The threads of a heap; their magazines, if its figures are wanted, and what waits in them for any heap. */
static void add_threads(struct hak_view *view, const struct hak_heap *heap, struct hak_usage *usage,
                        const struct range *range)
{
    const struct hak_tcache *next, *thread;
    for (const struct hak_tcache *at = heap->threads_list; at && (thread = view->thread(view, at)); at = next) {
        next = thread->next_of_heap;
        if (usage && thread->state != HAK_TCACHE_STALE)
            add_magazines(thread, at, usage);
        add_waiting_of(view, thread, at, range);
    }
}

bool hak_usage_heaps(struct hak_view *view, uint32_t first, uint32_t count, struct hakmem_stats_heap *heaps)
{
    struct range range = {first, count, heaps};
    for (uint32_t i = 0; i < count; i++)
        heaps[i] = (struct hakmem_stats_heap){.version = HAKMEM_STATS_VERSION, .size = sizeof *heaps};
    for (uint32_t number = 1; number <= view->heaps; number++) {
        struct hak_usage usage = {0};
        struct hakmem_stats_heap *stats = stats_of(&range, number);
        const struct hak_heap *heap = view->open(view, number);
        if (!heap)
            return false;
        if (stats)
            add_heap(heap, &usage);
        add_threads(view, heap, stats ? &usage : NULL, &range);
        if (stats)
            add_own(&usage, stats);
        view->close(view, heap);
    }
    for (uint32_t i = 0; i < count; i++)
        if (heaps[i].live_bytes > SIZE_MAX / 2) /* a thread has filled its outbox since the heap was read */
            heaps[i].live_blocks = heaps[i].live_bytes = 0;
    return true;
}

/* ---- the public form ---- */

static size_t live_of(const struct hak_class_usage *usage)
{
    /* Magazines may have changed since `out` did. */
    size_t cached = usage->magazine + usage->depot + usage->outbox;
    return usage->out > cached ? usage->out - cached : 0;
}

void hak_usage_class(const struct hak_usage *usage, unsigned class, struct hakmem_stats_class *stats)
{
    const struct hak_class_usage *u = &usage->classes[class];
    const struct hak_class *traits = &hak_classes[class];
    size_t blocks = u->slabs * traits->capacity;
    *stats = (struct hakmem_stats_class){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
        .block_bytes = traits->size,
        .live_blocks = live_of(u),
        .magazine_blocks = u->magazine,
        .depot_blocks = u->depot,
        .outbox_blocks = u->outbox,
        .free_blocks = blocks > u->out ? blocks - u->out : 0,
        .slabs = u->slabs,
        .slab_bytes = u->slabs * traits->units * HAK_UNIT,
        .waste_bytes = u->slabs * (traits->units * HAK_UNIT - (size_t)traits->capacity * traits->size),
    };
}

void hak_usage_heap(const struct hak_usage *usage, struct hakmem_stats_heap *stats)
{
    *stats = (struct hakmem_stats_heap){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
        .threads = usage->threads,
        .remote_frees = usage->remote_frees,
    };
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hakmem_stats_class one;
        hak_usage_class(usage, class, &one);
        stats->live_blocks += one.live_blocks;
        stats->live_bytes += one.live_blocks * one.block_bytes;
        stats->magazine_blocks += one.magazine_blocks;
        stats->magazine_bytes += one.magazine_blocks * one.block_bytes;
        stats->depot_blocks += one.depot_blocks;
        stats->depot_bytes += one.depot_blocks * one.block_bytes;
        stats->outbox_blocks += one.outbox_blocks;
        stats->outbox_bytes += one.outbox_blocks * one.block_bytes;
        stats->free_blocks += one.free_blocks;
        stats->free_bytes += one.free_blocks * one.block_bytes;
        stats->slabs += one.slabs;
        stats->slab_bytes += one.slab_bytes;
        stats->waste_bytes += one.waste_bytes;
    }
}

void hak_usage_total(const struct hak_view *view, const struct hak_usage *usage, struct hakmem_stats *stats)
{
    const struct hak_counts *counts = &view->counts;
    size_t large_blocks = counts->super.large_spans - counts->stocks.spans;
    size_t large_bytes = counts->super.large_bytes - counts->stocks.bytes;
    size_t huge_blocks = counts->huge.blocks - (counts->huge.last_freed > 0);
    size_t huge_bytes = counts->huge.bytes - counts->huge.last_freed;
    struct hakmem_stats_heap small;
    hak_usage_heap(usage, &small);
    *stats = (struct hakmem_stats){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
        .counted = HAK_STATS,
        .classes = HAK_CLASS_COUNT,
        .live_blocks = small.live_blocks + large_blocks + huge_blocks,
        .live_bytes = small.live_bytes + large_bytes + huge_bytes,
        .small_blocks = small.live_blocks,
        .small_bytes = small.live_bytes,
        .large_blocks = large_blocks,
        .large_bytes = large_bytes,
        .huge_blocks = huge_blocks,
        .huge_bytes = huge_bytes,
        .magazine_blocks = small.magazine_blocks,
        .magazine_bytes = small.magazine_bytes,
        .depot_blocks = small.depot_blocks,
        .depot_bytes = small.depot_bytes,
        .outbox_blocks = small.outbox_blocks,
        .outbox_bytes = small.outbox_bytes,
        .free_blocks = small.free_blocks,
        .free_bytes = small.free_bytes,
        .slabs = small.slabs,
        .slab_bytes = small.slab_bytes,
        .waste_bytes = small.waste_bytes,
        .superslabs = counts->super.mapped / HAK_SUPER,
        .superslab_bytes = counts->super.mapped,
        .unit_bytes = counts->super.free + counts->stocks.bytes,
        .dirty_bytes = hak_super_idle(&counts->super) + counts->stocks.bytes,
        .cached_bytes = hak_huge_idle(&counts->huge) + counts->huge.stuck,
        .own_bytes = counts->own_bytes,
        .mapped_bytes = counts->mapped,
        .mapped_peak_bytes = counts->mapped_peak,
        .committed_bytes = counts->mapped - (counts->super.free - counts->super.free_dirty),
        .resident_bytes = counts->resident,
        .purged_bytes = counts->super.purged + counts->huge.purged + usage->purged,
        .hugepage_bytes = counts->want_huge,
        .mmap_calls = counts->calls[HAK_OS_MMAP],
        .munmap_calls = counts->calls[HAK_OS_MUNMAP],
        .mremap_calls = counts->calls[HAK_OS_MREMAP],
        .madvise_calls = counts->calls[HAK_OS_MADVISE],
        .mprotect_calls = counts->calls[HAK_OS_MPROTECT],
        .futex_calls = counts->calls[HAK_OS_FUTEX],
        .remote_frees = small.remote_frees,
        .heaps = view->heaps,
        .threads = usage->threads,
    };
}
