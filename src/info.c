/* SPDX-License-Identifier: MIT */
/*
 * info.c - collects the figures of info.h and prints them in glibc's forms.  Owns nothing; holds a heap's lock only
 * while reading it, never while printing.  Calls pool.h, superslab.h, large.h, meta.h and os.h.
 */
#include "info.h"

#include <errno.h>
#include <limits.h>

#include "init.h"
#include "large.h"
#include "meta.h"
#include "os.h"
#include "pool.h"
#include "report.h"
#include "superslab.h"

void hak_heap_usage(struct hak_heap *heap, struct hak_heap_usage *usage)
{
    *usage = (struct hak_heap_usage){0};
    hak_lock(&heap->lock);
    for (struct hak_thread *thread = heap->threads_list; thread; thread = thread->next_of_heap) {
        for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
            struct hak_mag *mag = &thread->cache.mags[class];
            usage->classes[class].cached +=
                hak_mag_held(thread, class, &mag->ready) + hak_mag_held(thread, class, &mag->freed);
        }
        usage->outbox_bytes += hak_load(&thread->outbox.bytes);
    }
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hak_class_usage *u = &usage->classes[class];
        u->slabs = heap->slabs[class];
        u->cached += heap->depots[class].count;
        u->free = u->slabs * hak_classes[class].capacity - heap->out[class];
        /* Magazines may have changed since `out` did. */
        u->live = heap->out[class] > u->cached ? heap->out[class] - u->cached : 0;
    }
    hak_unlock(&heap->lock);
}

struct totals {
    size_t live, cached, free; /* bytes in blocks of size classes */
    size_t cached_blocks, free_blocks;
    size_t outboxes; /* bytes in blocks that count as live in one heap and lie in an outbox of another's thread */
    size_t heaps;
    struct hak_super_counts supers;
    struct hak_huge_counts huge;
    size_t large; /* bytes in large blocks */
};

static void add_heap(struct totals *totals, const struct hak_heap_usage *usage)
{
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        const struct hak_class_usage *u = &usage->classes[class];
        size_t size = hak_classes[class].size;
        totals->live += u->live * size;
        totals->cached += u->cached * size;
        totals->free += u->free * size;
        totals->cached_blocks += u->cached;
        totals->free_blocks += u->free;
    }
    totals->outboxes += usage->outbox_bytes;
    totals->heaps++;
}

static void collect(struct totals *totals)
{
    *totals = (struct totals){0};
    if (!hak_ready())
        return;
    for (uint32_t number = 1; HAK_STATS && number <= hak_heap_count(); number++) {
        struct hak_heap_usage usage;
        hak_heap_usage(hak_heap_numbered(number), &usage);
        add_heap(totals, &usage);
    }
    totals->live -= HAK_MIN(totals->live, totals->outboxes);
    totals->cached += totals->outboxes;
    totals->supers = hak_super_count();
    totals->huge = hak_huge_count();
    totals->large = hak_load(&hak_large_bytes);
}

struct mallinfo2 hak_mallinfo2(void)
{
    struct totals totals;
    collect(&totals);
    size_t live = totals.live + totals.large;
    return (struct mallinfo2){
        .arena = totals.supers.mapped,
        .hblks = totals.huge.blocks,
        .hblkhd = totals.huge.bytes,
        .uordblks = live,
        .fsmblks = totals.cached,
        .fordblks = totals.supers.mapped - HAK_MIN(live, totals.supers.mapped),
        .keepcost = totals.supers.free_dirty + totals.huge.cached,
    };
}

int hak_malloc_info(int options, FILE *stream)
{
    struct totals all = {0}, sums;
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    fputs("<malloc version=\"1\">\n", stream);
    for (uint32_t number = 1; HAK_STATS && hak_ready() && number <= hak_heap_count(); number++) {
        struct hak_heap_usage usage;
        struct totals one = {0};
        size_t slab_bytes = 0;
        hak_heap_usage(hak_heap_numbered(number), &usage);
        add_heap(&one, &usage);
        add_heap(&all, &usage);
        fprintf(stream, "<heap nr=\"%u\">\n<sizes>\n", number - 1);
        for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
            const struct hak_class_usage *u = &usage.classes[class];
            size_t size = hak_classes[class].size, count = u->cached + u->free;
            slab_bytes += u->slabs * hak_classes[class].units * HAK_UNIT;
            if (u->slabs)
                fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
                        class ? hak_classes[class - 1].size + (size_t)1 : 1, size, count * size, count);
        }
        fprintf(stream,
                "</sizes>\n<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
                "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n</heap>\n",
                one.cached_blocks, one.cached, one.free_blocks, one.free, slab_bytes);
    }
    collect(&sums);
    fprintf(stream,
            "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n</malloc>\n",
            all.cached_blocks, all.cached, all.free_blocks + sums.supers.free / HAK_UNIT, all.free + sums.supers.free,
            sums.huge.blocks, sums.huge.bytes,
            sums.supers.mapped + sums.huge.bytes + sums.huge.cached, sums.supers.mapped);
    return ferror(stream) ? -1 : 0;
}

static void stats_line(const char *what, size_t bytes)
{
    char line[80];
    struct hak_text text = {line, line + sizeof line};
    hak_text_string(&text, what);
    hak_text_decimal(&text, bytes);
    hak_text_string(&text, "\n");
    hak_os_complain(line, (size_t)(text.at - line));
}

void hak_malloc_stats(void)
{
    struct totals totals;
    collect(&totals);
    stats_line("heaps                   ", totals.heaps);
    stats_line("superslabs, bytes       ", totals.supers.mapped);
    stats_line("  live blocks, bytes    ", totals.live + totals.large);
    stats_line("  cached blocks, bytes  ", totals.cached);
    stats_line("  free units, bytes     ", totals.supers.free);
    stats_line("huge blocks             ", totals.huge.blocks);
    stats_line("huge blocks, bytes      ", totals.huge.bytes);
    stats_line("cached mappings, bytes  ", totals.huge.cached);
    stats_line("own structures, bytes   ", hak_meta_held());
}
