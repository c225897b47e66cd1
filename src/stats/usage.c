/* SPDX-License-Identifier: MIT */
/*
 * usage.c - adds up what heaps and threads hold, in this process or another.  Owns nothing.  The view takes the locks,
 * if there are any.  Needs nothing of the allocator but its structures and the table of classes.
 */
#include "stats/usage.h"

#include "os/os.h"

/* How many blocks the thread's magazine holds.  The pointers of a copy count from `at`, the address of the original. */
static size_t usage_held(const struct hak_tcache *thread, const struct hak_tcache *at, unsigned class)
{
    const struct hak_class *traits = &hak_classes[class];
    uintptr_t top = (uintptr_t)hak_load_acquire(&thread->hot.mags[class].top);
    size_t slot = (top - (uintptr_t)at - offsetof(struct hak_tcache, slots)) / sizeof *thread->slots;
    size_t place = slot - traits->mag_offset;
    return place <= traits->mag_max ? place : 0; /* more was copied in the middle of a change */
}

static void usage_add_magazines(const struct hak_tcache *thread, const struct hak_tcache *at, struct hak_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++)
        usage->classes[class].magazine += usage_held(thread, at, class);
}

/* The class of a block of the heap with this number, or of any heap if the number is 0; HAK_CLASS_COUNT for others. */
static unsigned usage_class_of(struct hak_view *view, const void *block, uint32_t number)
{
    uint32_t entry = view->entry(view, block);
    if (entry == HAK_ENTRY_NONE || (number != 0 && HAK_ENTRY_OWNER(entry) != number))
        return HAK_CLASS_COUNT;
    return HAK_MIN(HAK_ENTRY_CLASS(entry), HAK_CLASS_COUNT);
}

/* Adds the magazines of a thread that was lost in a fork.  Other heaps may have adopted the slabs of these blocks
 * since, so the page map is asked for each block's heap. */
static void usage_add_stale(struct hak_view *view, const struct hak_tcache *thread, const struct hak_tcache *at,
                            uint32_t number, struct hak_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        void *const *base = thread->slots + hak_classes[class].mag_offset;
        for (size_t left = usage_held(thread, at, class); left > 0; left--) {
            unsigned found = usage_class_of(view, base[left], number);
            if (found < HAK_CLASS_COUNT)
                usage->classes[found].magazine++;
        }
    }
}

/* Adds blocks of the heap with this number, or of any heap if the number is 0.  The thread may change its outbox
 * meanwhile: then a block is read that was there a moment ago, or that has just come.  ThreadSanitizer is told to skip
 * this race. */
__attribute__((noinline, no_sanitize("thread"))) static void
usage_add_outbox(struct hak_view *view, const struct hak_tcache *thread, uint32_t number, struct hak_usage *usage)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++) {
        unsigned class = usage_class_of(view, blocks[i], number);
        if (class < HAK_CLASS_COUNT)
            usage->classes[class].outbox++;
    }
}

static void usage_add_heap(const struct hak_heap *heap, struct hak_usage *usage)
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
    /* All heaps are read even for one of them, as its blocks may be in the outbox of any thread. */
    for (uint32_t i = 1; i <= view->heaps; i++) {
        const struct hak_heap *heap = view->open(view, i);
        bool wanted = number == 0 || number == i;
        if (!heap)
            return false;
        if (wanted)
            usage_add_heap(heap, usage);
        const struct hak_tcache *next, *thread;
        for (const struct hak_tcache *at = heap->threads_list; at && (thread = view->thread(view, at)); at = next) {
            next = thread->next_of_heap;
            if (thread->state == HAK_TCACHE_STALE)
                usage_add_stale(view, thread, at, number, usage);
            else if (wanted)
                usage_add_magazines(thread, at, usage);
            usage_add_outbox(view, thread, number, usage);
        }
        view->close(view, heap);
    }
    return true;
}

/* ---- some heaps at once ---- */

/* Where the figures of `count` heaps go, those with the numbers from `first` on. */
struct range {
    uint32_t first, count;
    struct hakmem_stats_heap *heaps;
};

/* Where the figures of the heap with this number go; NULL if they are not wanted. */
static struct hakmem_stats_heap *usage_stats_of(const struct range *range, uint32_t number)
{
    return number - range->first < range->count ? &range->heaps[number - range->first] : NULL;
}

/* Counts a free block that waits in a thread's outbox, or in a magazine of a thread that was lost in a fork, for the
 * heap that the page map names.  usage_add_own() takes that block for live, so it is subtracted there. */
static void usage_add_waiting(struct hak_view *view, const void *block, bool in_outbox, const struct range *range)
{
    uint32_t entry = view->entry(view, block);
    struct hakmem_stats_heap *stats = usage_stats_of(range, HAK_ENTRY_OWNER(entry));
    if (entry == HAK_ENTRY_NONE || !stats || HAK_ENTRY_CLASS(entry) >= HAK_CLASS_COUNT)
        return;
    size_t size = hak_classes[HAK_ENTRY_CLASS(entry)].size;
    *(in_outbox ? &stats->outbox_blocks : &stats->magazine_blocks) += 1;
    *(in_outbox ? &stats->outbox_bytes : &stats->magazine_bytes) += size;
    stats->live_blocks -= 1;
    stats->live_bytes -= size;
}

__attribute__((noinline, no_sanitize("thread"))) static void
usage_add_waiting_of(struct hak_view *view, const struct hak_tcache *thread, const struct hak_tcache *at,
                     const struct range *range)
{
    unsigned count = HAK_MIN(hak_load_acquire(&thread->outbox.count), HAK_OUTBOX_MAX);
    void *const volatile *blocks = thread->outbox.blocks;
    for (unsigned i = 0; i < count; i++)
        usage_add_waiting(view, blocks[i], true, range);
    for (unsigned class = 0; class < HAK_CLASS_COUNT && thread->state == HAK_TCACHE_STALE; class++) {
        void *const *base = thread->slots + hak_classes[class].mag_offset;
        for (size_t left = usage_held(thread, at, class); left > 0; left--)
            usage_add_waiting(view, base[left], false, range);
    }
}

/* Adds the heap's own sums to what usage_add_waiting() has counted for the heap. */
static void usage_add_own(const struct hak_usage *usage, struct hakmem_stats_heap *stats)
{
    struct hakmem_stats_heap own;
    hak_usage_heap(usage, &own);
#define HAK_STAT_HEAP(name, ...) stats->name += own.name;
#include "stats/stats.def"
}

/* Adds what a heap's threads hold: their magazines, if the heap's figures are wanted, and what waits for any heap. */
static void usage_add_threads(struct hak_view *view, const struct hak_heap *heap, struct hak_usage *usage,
                              const struct range *range)
{
    const struct hak_tcache *next, *thread;
    for (const struct hak_tcache *at = heap->threads_list; at && (thread = view->thread(view, at)); at = next) {
        next = thread->next_of_heap;
        if (usage && thread->state != HAK_TCACHE_STALE)
            usage_add_magazines(thread, at, usage);
        usage_add_waiting_of(view, thread, at, range);
    }
}

bool hak_usage_heaps(struct hak_view *view, uint32_t first, uint32_t count, struct hakmem_stats_heap *heaps)
{
    struct range range = {first, count, heaps};
    for (uint32_t i = 0; i < count; i++)
        heaps[i] = (struct hakmem_stats_heap){.version = HAKMEM_STATS_VERSION, .size = sizeof *heaps};
    for (uint32_t number = 1; number <= view->heaps; number++) {
        struct hak_usage usage = {0};
        struct hakmem_stats_heap *stats = usage_stats_of(&range, number);
        const struct hak_heap *heap = view->open(view, number);
        if (!heap)
            return false;
        if (stats)
            usage_add_heap(heap, &usage);
        usage_add_threads(view, heap, stats ? &usage : NULL, &range);
        if (stats)
            usage_add_own(&usage, stats);
        view->close(view, heap);
    }
    for (uint32_t i = 0; i < count; i++)
        if (heaps[i].live_bytes > SIZE_MAX / 2) /* below 0: a thread has filled its outbox since the heap was read */
            heaps[i].live_blocks = heaps[i].live_bytes = 0;
    return true;
}

/* ---- the public form ---- */

/*
 * The members of hakmem.h's structures and the rows of stats.def are the same, in the same order: each member has the
 * type size_t and the offset of its row, and no member is without a row.
 */
#define SAME_MEMBER(public, table, name) \
    _Static_assert(offsetof(struct public, name) == offsetof(struct table, name) && \
                       _Generic(((struct public *)NULL)->name, size_t: true, default: false), \
                   "stats.def and struct " #public " differ at " #name)
#define SAME_SIZE(public, table) \
    _Static_assert(sizeof(struct public) == sizeof(struct table), "struct " #public " has a member without a row")

struct total_rows {
    uint32_t version, size, counted, classes;
#define HAK_STAT_TOTAL(name, ...) size_t name;
#include "stats/stats.def"
};
struct class_rows {
    uint32_t version, size;
#define HAK_STAT_CLASS(name, ...) size_t name;
#include "stats/stats.def"
};
struct heap_rows {
    uint32_t version, size;
#define HAK_STAT_HEAP(name, ...) size_t name;
#include "stats/stats.def"
};

#define HAK_STAT_TOTAL(name, ...) SAME_MEMBER(hakmem_stats, total_rows, name);
#define HAK_STAT_CLASS(name, ...) SAME_MEMBER(hakmem_stats_class, class_rows, name);
#define HAK_STAT_HEAP(name, ...) SAME_MEMBER(hakmem_stats_heap, heap_rows, name);
#include "stats/stats.def"
SAME_SIZE(hakmem_stats, total_rows);
SAME_SIZE(hakmem_stats_class, class_rows);
SAME_SIZE(hakmem_stats_heap, heap_rows);

static size_t usage_live(const struct hak_class_usage *counts)
{
    /* Magazines may have changed since `out` did. */
    size_t cached = counts->magazine + counts->depot + counts->outbox;
    return counts->out > cached ? counts->out - cached : 0;
}

void hak_usage_class(const struct hak_usage *usage, unsigned class, struct hakmem_stats_class *stats)
{
    const struct hak_class_usage *counts = &usage->classes[class];
    const struct hak_class *traits = &hak_classes[class];
    const size_t slab_bytes = traits->units * HAK_UNIT;
    const size_t blocks = counts->slabs * traits->capacity; /* live or free, of all slabs */
    *stats = (struct hakmem_stats_class){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
#define HAK_STAT_CLASS(name, type, value, ...) .name = (value),
#include "stats/stats.def"
    };
}

void hak_usage_heap(const struct hak_usage *usage, struct hakmem_stats_heap *stats)
{
    struct hakmem_stats_class one;
    *stats = (struct hakmem_stats_heap){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
#define HAK_STAT_HEAP(name, type, of_heap, ...) .name = (of_heap),
#include "stats/stats.def"
    };
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        hak_usage_class(usage, class, &one);
#define HAK_STAT_HEAP(name, type, of_heap, of_class, ...) stats->name += (of_class);
#include "stats/stats.def"
    }
}

void hak_usage_total(const struct hak_view *view, const struct hak_usage *usage, struct hakmem_stats *stats)
{
    const struct hak_counts *counts = &view->counts;
    /* Neither blocks in a stock nor the block that was freed last are live. */
    size_t large_blocks = counts->super.large_spans - counts->stocks.spans;
    size_t large_bytes = counts->super.large_bytes - counts->stocks.bytes;
    size_t huge_blocks = counts->huge.blocks - (counts->huge.last_freed > 0);
    size_t huge_bytes = counts->huge.bytes - counts->huge.last_freed;
    struct hakmem_stats_heap small; /* all heaps together */
    hak_usage_heap(usage, &small);
    *stats = (struct hakmem_stats){
        .version = HAKMEM_STATS_VERSION,
        .size = sizeof *stats,
        .counted = HAK_STATS,
        .classes = HAK_CLASS_COUNT,
#define HAK_STAT_TOTAL(name, type, value, ...) .name = (value),
#include "stats/stats.def"
    };
}
