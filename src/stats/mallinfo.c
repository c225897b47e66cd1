/* SPDX-License-Identifier: MIT */
/*
 * mallinfo.c - the statistics in glibc's forms.  Owns nothing, and holds no lock while it prints.  Calls stats.h,
 * text.h and os.h.
 */
#include "stats/mallinfo.h"

#include <errno.h>

#include "os/os.h"
#include "base/text.h"
#include "stats/stats.h"

static void mallinfo_collect(struct hakmem_stats *stats)
{
    struct hak_view view;
    struct hak_usage usage;
    hak_stats_view(&view, HAK_LOCK_WAIT);
    hak_usage_collect(&view, 0, &usage);
    hak_usage_total(&view, &usage, stats);
}

/* Bytes of free blocks in magazines, depots and outboxes, which glibc would have in its fast bins. */
static size_t mallinfo_in_caches(const struct hakmem_stats *stats)
{
    return stats->magazine_bytes + stats->depot_bytes + stats->outbox_bytes;
}

struct mallinfo2 hak_mallinfo2(void)
{
    struct hakmem_stats stats;
    mallinfo_collect(&stats);
    size_t live = stats.small_bytes + stats.large_bytes;
    return (struct mallinfo2){
        .arena = stats.superslab_bytes,
        .hblks = stats.huge_blocks,
        .hblkhd = stats.huge_bytes,
        .uordblks = live,
        .fsmblks = mallinfo_in_caches(&stats),
        .fordblks = stats.superslab_bytes - HAK_MIN(live, stats.superslab_bytes),
        .keepcost = stats.dirty_bytes + stats.cached_bytes,
    };
}

static void mallinfo_print_sizes(const struct hak_usage *usage, FILE *stream)
{
    size_t from = 1;
    for (unsigned class = 0; class < HAK_CLASS_COUNT; class++) {
        struct hakmem_stats_class one;
        hak_usage_class(usage, class, &one);
        size_t count = one.magazine_blocks + one.depot_blocks + one.outbox_blocks + one.free_blocks;
        if (one.slabs)
            fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from, one.block_bytes,
                    count * one.block_bytes, count);
        from = one.block_bytes + 1;
    }
}

static void mallinfo_print_heap(struct hak_view *view, uint32_t number, FILE *stream)
{
    struct hak_usage usage;
    struct hakmem_stats_heap heap;
    hak_usage_collect(view, number, &usage);
    hak_usage_heap(&usage, &heap);
    fprintf(stream, "<heap nr=\"%u\">\n<sizes>\n", number - 1);
    mallinfo_print_sizes(&usage, stream);
    fprintf(stream,
            "</sizes>\n<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n</heap>\n",
            heap.magazine_blocks + heap.depot_blocks + heap.outbox_blocks,
            heap.magazine_bytes + heap.depot_bytes + heap.outbox_bytes, heap.free_blocks, heap.free_bytes,
            heap.slab_bytes);
}

int hak_malloc_info(int options, FILE *stream)
{
    struct hak_view view;
    struct hakmem_stats all;
    if (options != 0) {
        errno = EINVAL;
        return -1;
    }
    mallinfo_collect(&all);
    hak_stats_view(&view, HAK_LOCK_WAIT);
    fputs("<malloc version=\"1\">\n", stream);
    for (uint32_t number = 1; HAK_STATS && number <= view.heaps; number++)
        mallinfo_print_heap(&view, number, stream);
    fprintf(stream,
            "<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n"
            "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n"
            "<aspace type=\"total\" size=\"%zu\"/>\n</malloc>\n",
            all.magazine_blocks + all.depot_blocks + all.outbox_blocks, mallinfo_in_caches(&all),
            all.free_blocks + all.unit_bytes / HAK_UNIT, all.free_bytes + all.unit_bytes, all.huge_blocks,
            all.huge_bytes, all.superslab_bytes + all.huge_bytes + all.cached_bytes, all.superslab_bytes);
    return ferror(stream) ? -1 : 0;
}

/* Writes one line without libc's streams. */
static void mallinfo_line(const char *what, size_t bytes)
{
    char line[80];
    struct hak_text text = {line, line + sizeof line};
    hak_text_string(&text, what);
    hak_text_decimal(&text, bytes);
    hak_text_string(&text, "\n");
    hak_os_write_stderr(line, (size_t)(text.at - line));
}

void hak_malloc_stats(void)
{
    struct hakmem_stats stats;
    mallinfo_collect(&stats);
    mallinfo_line("heaps                   ", stats.heaps);
    mallinfo_line("superslabs, bytes       ", stats.superslab_bytes);
    mallinfo_line("  live blocks, bytes    ", stats.small_bytes + stats.large_bytes);
    mallinfo_line("  cached blocks, bytes  ", mallinfo_in_caches(&stats));
    mallinfo_line("  free units, bytes     ", stats.unit_bytes);
    mallinfo_line("huge blocks             ", stats.huge_blocks);
    mallinfo_line("huge blocks, bytes      ", stats.huge_bytes);
    mallinfo_line("cached mappings, bytes  ", stats.cached_bytes);
    mallinfo_line("own structures, bytes   ", stats.own_bytes);
}
