/* SPDX-License-Identifier: MIT */
/*
 * text.c - a snapshot for people: what matters first, then where the free memory is, then tables by size class and by
 * heap.  No line is longer than 100 columns.  Memory is in MiB.  Not all figures are shown: the other forms, which the
 * rows of stats.def make, have all, in bytes.
 */
#include <stdio.h>
#include <string.h>

#include "process.h"

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

static size_t minus(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

/* Memory that may be resident, and that neither the program nor the allocator's own structures have. */
static size_t kept(const struct hakmem_stats *total)
{
    return minus(total->committed_bytes, total->live_bytes + total->own_bytes);
}

static void print_summary(const struct hak_view *view, const struct hakmem_stats *total, const char *name)
{
    size_t whole = total->committed_bytes;
    printf("%s%sprocess %u, libhakmem %s, %zu thread%s that allocate%s, %zu heaps\n\n", name, *name ? ": " : "",
           view->process, HAKMEM_VERSION_STRING, total->threads, total->threads == 1 ? "" : "s",
           total->threads == 1 ? "s" : "", total->heaps);
    if (!total->counted)
        puts("Built without statistics: live and free blocks up to 128 KiB are not told apart.\n");
    printf("%12.1f MiB  live: %zu blocks that the program owns\n", mib(total->live_bytes), total->live_blocks);
    printf("%12.1f MiB  free: kept for blocks to come, %.0f %% of what is held\n", mib(kept(total)),
           whole ? 100.0 * (double)kept(total) / (double)whole : 0.0);
    printf("%12.1f MiB  libhakmem's own structures\n", mib(total->own_bytes));
    printf("%12.1f MiB  held: these three together, all that may be in memory\n", mib(whole));
    printf("%12.1f MiB  mapped: held, and address space without memory; at most %.1f MiB so far\n",
           mib(total->mapped_bytes), mib(total->mapped_peak_bytes));
    printf("%12.1f MiB  resident: of the whole process, with what is not libhakmem's\n", mib(total->resident_bytes));
    printf("%12.1f MiB  given back to the kernel so far\n", mib(total->purged_bytes));
}

/* Where memory is: bytes, the number of blocks if these are blocks, and what they are. */
struct part {
    size_t bytes, blocks; /* offsets in struct hakmem_stats; NO_BLOCKS for memory that is not blocks */
    const char *what;
};
#define NO_BLOCKS SIZE_MAX
#define AT(name) offsetof(struct hakmem_stats, name)
#define BLOCKS(name, what) {AT(name##_bytes), AT(name##_blocks), what}
#define BYTES(name, what) {AT(name##_bytes), NO_BLOCKS, what}

static const struct part live_parts[] = {
    BLOCKS(small, "blocks of up to 128 KiB"),
    BLOCKS(large, "blocks of up to 64 MiB"),
    BLOCKS(huge, "larger blocks"),
};
static const struct part free_parts[] = {
    BLOCKS(magazine, "blocks in threads' magazines"),
    BLOCKS(depot, "blocks in heaps' depots"),
    BLOCKS(outbox, "blocks on their way to their heap"),
    BLOCKS(free, "blocks in slabs"),
    BYTES(waste, "ends of slabs that no block fits in"),
    BYTES(dirty, "units of superslabs that hold memory"),
    BYTES(cached, "freed blocks above 64 MiB"),
};

static size_t figure_at(const void *stats, size_t offset)
{
    size_t value;
    memcpy(&value, (const char *)stats + offset, sizeof value);
    return value;
}

static void print_parts(const struct hakmem_stats *total, const char *head, const struct part *parts, size_t count)
{
    printf("\n%s\n", head);
    for (size_t i = 0; i < count; i++) {
        size_t blocks = parts[i].blocks == NO_BLOCKS ? 0 : figure_at(total, parts[i].blocks);
        printf("%12.1f MiB  ", mib(figure_at(total, parts[i].bytes)));
        if (blocks)
            printf("%zu ", blocks);
        puts(parts[i].what);
    }
}

static void print_classes(const struct hak_usage *usage)
{
    puts("\nby size class");
    printf("%9s%12s%11s%11s%10s%10s%10s%9s%12s\n", "size", "live blocks", "live MiB", "magazines", "depots", "outboxes",
           "in slabs", "slabs", "slab MiB");
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hakmem_stats_class one;
        hak_usage_class(usage, class, &one);
        if (one.slabs)
            printf("%9zu%12zu%11.1f%11zu%10zu%10zu%10zu%9zu%12.1f\n", one.block_bytes, one.live_blocks,
                   mib(one.live_blocks * one.block_bytes), one.magazine_blocks, one.depot_blocks, one.outbox_blocks,
                   one.free_blocks, one.slabs, mib(one.slab_bytes));
    }
}

static void print_heaps(struct hak_view *view)
{
    puts("\nby heap, MiB");
    printf("%9s%9s%11s%11s%10s%10s%10s%11s%18s\n", "heap", "threads", "live", "magazines", "depots", "outboxes",
           "in slabs", "slabs", "from other heaps");
    hak_usage_heaps(view, 1, view->heaps, view->room);
    for (uint32_t i = 0; i < view->heaps; i++) {
        const struct hakmem_stats_heap *one = &view->room[i];
        printf("%9u%9zu%11.1f%11.1f%10.1f%10.1f%10.1f%11.1f%18zu\n", i, one->threads, mib(one->live_bytes),
               mib(one->magazine_bytes), mib(one->depot_bytes), mib(one->outbox_bytes), mib(one->free_bytes),
               mib(one->slab_bytes), one->remote_frees);
    }
}

void stats_print_text(struct hak_view *view, const char *name)
{
    struct hak_usage usage;
    struct hakmem_stats total;
    hak_usage_collect(view, 0, &usage);
    hak_usage_total(view, &usage, &total);
    print_summary(view, &total, name);
    print_parts(&total, "live", live_parts, sizeof live_parts / sizeof *live_parts);
    print_parts(&total, "free", free_parts, sizeof free_parts / sizeof *free_parts);
    print_classes(&usage);
    print_heaps(view);
}

void stats_print_line(struct hak_view *view, bool heads)
{
    struct hak_usage usage;
    struct hakmem_stats total;
    hak_usage_collect(view, 0, &usage);
    hak_usage_total(view, &usage, &total);
    if (heads)
        printf("%11s%11s%11s%11s%11s%12s%13s%9s\n", "live", "free", "own", "held", "resident", "given back",
               "live blocks", "threads");
    printf("%11.1f%11.1f%11.1f%11.1f%11.1f%12.1f%13zu%9zu\n", mib(total.live_bytes), mib(kept(&total)),
           mib(total.own_bytes), mib(total.committed_bytes), mib(total.resident_bytes), mib(total.purged_bytes),
           total.live_blocks, total.threads);
}
