/* SPDX-License-Identifier: MIT */
/*
 * usage_print.c - a snapshot as text: for people, as JSON, and in the Prometheus text format.  Owns the tables that say
 * what each member of hakmem.h's structures is.  Allocates nothing, and writes in pieces.  Calls usage.h and misuse.h.
 */
#include <string.h>

#include "base/text.h"
#include "stats/usage.h"

struct member {
    const char *name;
    size_t offset;
    bool counter; /* it never falls while the process lives */
    const char *what;
};

#define T(name, what) {#name, offsetof(struct hakmem_stats, name), false, what}
#define TC(name, what) {#name, offsetof(struct hakmem_stats, name), true, what}
static const struct member totals[] = {
    T(live_blocks, "blocks that the program owns"),
    T(live_bytes, "usable bytes of these"),
    T(small_blocks, "live blocks of up to 128 KiB"),
    T(small_bytes, "bytes of these"),
    T(large_blocks, "live blocks of up to 64 MiB"),
    T(large_bytes, "bytes of these"),
    T(huge_blocks, "live blocks above 64 MiB"),
    T(huge_bytes, "bytes of these"),
    T(magazine_blocks, "free blocks in threads' magazines"),
    T(magazine_bytes, "bytes of these"),
    T(depot_blocks, "free blocks in heaps' depots"),
    T(depot_bytes, "bytes of these"),
    T(outbox_blocks, "free blocks on their way to their heap"),
    T(outbox_bytes, "bytes of these"),
    T(free_blocks, "free blocks in slabs"),
    T(free_bytes, "bytes of these"),
    T(slabs, "slabs"),
    T(slab_bytes, "bytes of these"),
    T(waste_bytes, "ends of slabs that no block fits in"),
    T(superslabs, "superslabs"),
    T(superslab_bytes, "bytes of these"),
    T(unit_bytes, "free units of superslabs"),
    T(dirty_bytes, "bytes of these that hold memory"),
    T(cached_bytes, "freed huge blocks kept for reuse"),
    T(own_bytes, "the allocator's own structures"),
    T(mapped_bytes, "mapped by the allocator"),
    T(mapped_peak_bytes, "the most that was mapped"),
    T(committed_bytes, "of what is mapped, all that may be in memory"),
    T(resident_bytes, "of the whole process, in memory; 0 if unknown"),
    TC(purged_bytes, "given back to the kernel so far"),
    TC(hugepage_bytes, "for which huge pages were asked so far"),
    TC(mmap_calls, "calls of mmap so far"),
    TC(munmap_calls, "calls of munmap so far"),
    TC(mremap_calls, "calls of mremap so far"),
    TC(madvise_calls, "calls of madvise so far"),
    TC(mprotect_calls, "calls of mprotect so far"),
    TC(futex_calls, "calls of futex so far"),
    TC(remote_frees, "blocks that came back from threads of other heaps so far"),
    T(heaps, "heaps"),
    T(threads, "threads that allocate"),
};

#define C(name, what) {#name, offsetof(struct hakmem_stats_class, name), false, what}
static const struct member class_members[] = {
    C(block_bytes, "usable size of a block"),
    C(live_blocks, "blocks that the program owns"),
    C(magazine_blocks, "free blocks in threads' magazines"),
    C(depot_blocks, "free blocks in heaps' depots"),
    C(outbox_blocks, "free blocks on their way to their heap"),
    C(free_blocks, "free blocks in slabs"),
    C(slabs, "slabs"),
    C(slab_bytes, "bytes of slabs"),
    C(waste_bytes, "ends of slabs that no block fits in"),
};

#define H(name, what) {#name, offsetof(struct hakmem_stats_heap, name), false, what}
#define HC(name, what) {#name, offsetof(struct hakmem_stats_heap, name), true, what}
static const struct member heap_members[] = {
    H(threads, "threads that allocate from the heap"),
    H(live_blocks, "blocks that the program owns"),
    H(live_bytes, "bytes of these"),
    H(magazine_blocks, "free blocks in threads' magazines"),
    H(magazine_bytes, "bytes of these"),
    H(depot_blocks, "free blocks in the depot"),
    H(depot_bytes, "bytes of these"),
    H(outbox_blocks, "free blocks on their way to the heap"),
    H(outbox_bytes, "bytes of these"),
    H(free_blocks, "free blocks in slabs"),
    H(free_bytes, "bytes of these"),
    H(slabs, "slabs"),
    H(slab_bytes, "bytes of these"),
    H(waste_bytes, "ends of slabs that no block fits in"),
    HC(remote_frees, "blocks that came back from threads of other heaps so far"),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t value_of(const struct member *member, const void *stats)
{
    size_t value;
    memcpy(&value, (const char *)stats + member->offset, sizeof value);
    return value;
}

/* ---- pieces of text ---- */

struct out {
    void (*write)(void *arg, const char *text, size_t length);
    void *arg;
    struct hak_text text;
    char buffer[1024];
};

#define FEW_HEAPS 8u /* whose figures are on the stack, which may be a signal handler's */

#define ROOM 256 /* more than any one thing that is put at once */

static void flush(struct out *out)
{
    if (out->text.at > out->buffer)
        out->write(out->arg, out->buffer, (size_t)(out->text.at - out->buffer));
    out->text = (struct hak_text){out->buffer, out->buffer + sizeof out->buffer};
}

static void put(struct out *out, const char *string)
{
    if (out->text.end - out->text.at < ROOM)
        flush(out);
    hak_text_string(&out->text, string);
}

static void put_number(struct out *out, size_t number)
{
    if (out->text.end - out->text.at < ROOM)
        flush(out);
    hak_text_decimal(&out->text, number);
}

static void put_spaces(struct out *out, size_t width, size_t used)
{
    for (; used < width; used++)
        put(out, " ");
}

static void put_number_right(struct out *out, size_t number, size_t width)
{
    size_t digits = 1;
    for (size_t rest = number; rest >= 10; rest /= 10)
        digits++;
    put_spaces(out, width, digits);
    put_number(out, number);
}

/* ---- a snapshot, one thing after the other ---- */

struct snapshot {
    struct out out;
    struct hak_view *view;
    struct hak_usage usage; /* all heaps' */
    struct hakmem_stats total;
    /* The heaps from this number on whose figures are in the view's room. */
    uint32_t first, count;
};

/* A class that has slabs; the figures of others are all 0. */
static bool next_class(const struct snapshot *snapshot, unsigned *class, struct hakmem_stats_class *stats)
{
    for (; *class < HAK_CLASS_COUNT; ++*class) {
        hak_usage_class(&snapshot->usage, *class, stats);
        if (stats->slabs) {
            ++*class;
            return true;
        }
    }
    return false;
}

/* The next heap.  All are read again only where there is not room for all, or if one was busy. */
static bool next_heap(struct snapshot *snapshot, uint32_t *number, struct hakmem_stats_heap *stats)
{
    struct hak_view *view = snapshot->view;
    if (++*number > view->heaps)
        return false;
    if (*number - snapshot->first >= snapshot->count) {
        snapshot->first = *number;
        snapshot->count = HAK_MIN(view->room_heaps, view->heaps - *number + 1);
        if (!hak_usage_heaps(view, snapshot->first, snapshot->count, view->room)) {
            snapshot->count = 0;
            return false;
        }
    }
    *stats = view->room[*number - snapshot->first];
    return true;
}

/* ---- for people ---- */

/* A column's head: the member's name, the shorter for what goes without saying. */
static void put_head(struct out *out, const char *name, size_t width)
{
    char head[32];
    size_t length = strlen(name);
    const char *end = strstr(name, "_blocks");
    if (end)
        length = (size_t)(end - name);
    length = HAK_MIN(length, sizeof head - 1);
    memcpy(head, name, length);
    head[length] = '\0';
    put_spaces(out, width, length);
    put(out, head);
}

#define COLUMN 13

static void print_text(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    unsigned class = 0;
    uint32_t number = 0;
    struct hakmem_stats_class of_class;
    struct hakmem_stats_heap of_heap;
    put(out, "libhakmem " HAKMEM_VERSION_STRING ", process ");
    put_number(out, snapshot->view->process);
    put(out, "\n\n");
    if (!snapshot->total.counted)
        put(out, "built without statistics: live and free blocks of size classes are not known\n\n");
    for (const struct member *member = totals; member < totals + COUNT(totals); member++) {
        put(out, member->name);
        put_spaces(out, 18, strlen(member->name));
        put_number_right(out, value_of(member, &snapshot->total), 16);
        put(out, "  ");
        put(out, member->what);
        put(out, "\n");
    }
    put(out, "\nblocks by size class\n");
    for (size_t i = 0; i < COUNT(class_members); i++)
        put_head(out, class_members[i].name, COLUMN);
    put(out, "\n");
    while (next_class(snapshot, &class, &of_class)) {
        for (size_t i = 0; i < COUNT(class_members); i++)
            put_number_right(out, value_of(&class_members[i], &of_class), COLUMN);
        put(out, "\n");
    }
    put(out, "\nbytes by heap\n heap");
    for (size_t i = 0; i < COUNT(heap_members); i++)
        if (!strstr(heap_members[i].name, "_blocks"))
            put_head(out, heap_members[i].name, COLUMN + 2);
    put(out, "\n");
    while (next_heap(snapshot, &number, &of_heap)) {
        put_number_right(out, number - 1, 5);
        for (size_t i = 0; i < COUNT(heap_members); i++)
            if (!strstr(heap_members[i].name, "_blocks"))
                put_number_right(out, value_of(&heap_members[i], &of_heap), COLUMN + 2);
        put(out, "\n");
    }
}

/* ---- JSON ---- */

static void put_json(struct out *out, const struct member *members, size_t count, const void *stats)
{
    for (size_t i = 0; i < count; i++) {
        put(out, i ? ",\"" : "\"");
        put(out, members[i].name);
        put(out, "\":");
        put_number(out, value_of(&members[i], stats));
    }
}

static void print_json(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    const char *comma = "";
    unsigned class = 0;
    uint32_t number = 0;
    struct hakmem_stats_class of_class;
    struct hakmem_stats_heap of_heap;
    put(out, "{\"libhakmem\":\"" HAKMEM_VERSION_STRING "\",\"version\":");
    put_number(out, snapshot->total.version);
    put(out, ",\"process\":");
    put_number(out, snapshot->view->process);
    put(out, snapshot->total.counted ? ",\"counted\":true,\n" : ",\"counted\":false,\n");
    put_json(out, totals, COUNT(totals), &snapshot->total);
    put(out, ",\n\"by_class\":[");
    while (next_class(snapshot, &class, &of_class)) {
        put(out, comma);
        put(out, "\n{");
        put_json(out, class_members, COUNT(class_members), &of_class);
        put(out, "}");
        comma = ",";
    }
    put(out, "],\n\"by_heap\":[");
    comma = "";
    while (next_heap(snapshot, &number, &of_heap)) {
        put(out, comma);
        put(out, "\n{\"heap\":");
        put_number(out, number - 1);
        put(out, ",");
        put_json(out, heap_members, COUNT(heap_members), &of_heap);
        put(out, "}");
        comma = ",";
    }
    put(out, "]}\n");
}

/* ---- Prometheus ---- */

static void put_metric(struct out *out, const char *prefix, const struct member *member)
{
    put(out, "hakmem_");
    put(out, prefix);
    put(out, member->name);
    if (member->counter)
        put(out, "_total");
}

static void put_metric_head(struct out *out, const char *prefix, const struct member *member)
{
    put(out, "# HELP ");
    put_metric(out, prefix, member);
    put(out, " ");
    put(out, member->what);
    put(out, "\n# TYPE ");
    put_metric(out, prefix, member);
    put(out, member->counter ? " counter\n" : " gauge\n");
}

static void put_labelled(struct out *out, const char *prefix, const struct member *member, const char *label,
                         size_t which, const void *stats)
{
    put_metric(out, prefix, member);
    put(out, "{");
    put(out, label);
    put(out, "=\"");
    put_number(out, which);
    put(out, "\"} ");
    put_number(out, value_of(member, stats));
    put(out, "\n");
}

/* All lines of a metric have to follow one another. */
static void print_prometheus(struct snapshot *snapshot)
{
    struct out *out = &snapshot->out;
    for (const struct member *member = totals; member < totals + COUNT(totals); member++) {
        put_metric_head(out, "", member);
        put_metric(out, "", member);
        put(out, " ");
        put_number(out, value_of(member, &snapshot->total));
        put(out, "\n");
    }
    /* The size of its blocks is what a class is told by. */
    for (const struct member *member = class_members + 1; member < class_members + COUNT(class_members); member++) {
        struct hakmem_stats_class stats;
        put_metric_head(out, "class_", member);
        for (unsigned class = 0; next_class(snapshot, &class, &stats);)
            put_labelled(out, "class_", member, "size", stats.block_bytes, &stats);
    }
    for (const struct member *member = heap_members; member < heap_members + COUNT(heap_members); member++) {
        struct hakmem_stats_heap stats;
        put_metric_head(out, "heap_", member);
        for (uint32_t number = 0; next_heap(snapshot, &number, &stats);)
            put_labelled(out, "heap_", member, "heap", number - 1, &stats);
    }
}

bool hak_usage_print(struct hak_view *view, enum hakmem_stats_format format,
                     void (*write)(void *arg, const char *text, size_t length), void *arg)
{
    struct hakmem_stats_heap few[FEW_HEAPS];
    struct snapshot snapshot = {.out = {.write = write, .arg = arg}, .view = view};
    if (!view->room) {
        view->room = few;
        view->room_heaps = FEW_HEAPS;
    }
    if (!hak_usage_collect(view, 0, &snapshot.usage))
        return false;
    hak_usage_total(view, &snapshot.usage, &snapshot.total);
    flush(&snapshot.out);
    switch (format) {
    case HAKMEM_STATS_TEXT:
        print_text(&snapshot);
        break;
    case HAKMEM_STATS_JSON:
        print_json(&snapshot);
        break;
    case HAKMEM_STATS_PROMETHEUS:
        print_prometheus(&snapshot);
        break;
    }
    flush(&snapshot.out);
    return true;
}
